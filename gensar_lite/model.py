"""The model a user holds: how it is made, changed, saved and loaded. What it answers stands in `answering`.

Explained in notebook 00.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch

from gensar_lite.answering import Answering
from gensar_lite.config import RunConfig
from gensar_lite.config import preset as preset_config
from gensar_lite.data.dataset import ITEM_COLUMNS, Dataset, extend_catalogue
from gensar_lite.data.storage import (
    AGAIN,
    DataError,
    check_whole,
    find_folder,
    new_folder,
    read_sealed,
    write_sealed,
)
from gensar_lite.evaluation.metrics import case_metrics
from gensar_lite.evaluation.protocols import PRIMARY, rank_cases
from gensar_lite.evaluation.sharing import share
from gensar_lite.evidence.evidence import Evidence
from gensar_lite.identifiers.table import VIEWS, IdentifierTable
from gensar_lite.network.backbone import T5
from gensar_lite.network.tokenizer import AnyTokenizer
from gensar_lite.network.weights import read_weights, write_weights
from gensar_lite.signals.signals import Signals


class GenSAR(Answering):
    """A trained model together with its store. Make one with `fit` or `load`; what changes a model gives a new one."""

    @classmethod
    def untrained(
        cls,
        data: Dataset,
        signals: Signals,
        table: IdentifierTable,
        tokenizer: AnyTokenizer,
        config: RunConfig,
        evidence: Evidence | None = None,
    ) -> Self:
        """A model with the weights that training starts from, or a checkpoint's."""
        # what only making a model needs is loaded when one is made: an answer comes sooner
        from gensar_lite.training.initialise import new_weights

        fresh = partial(new_weights, config=config.training, seed=config.seed)
        return cls(data, signals, table, tokenizer, fresh, config, evidence)

    @classmethod
    def fit(
        cls,
        data: Dataset,
        signals: Signals,
        identifiers: IdentifierTable,
        preset: str = "tiny",
        seed: int = 0,
        config: RunConfig | None = None,
        checkpoint: str | Path | None = None,
        progress: bool = True,
        parent: GenSAR | None = None,
        watch: Callable[[GenSAR], object] | None = None,
        device: torch.device | str | None = None,
        **changes: object,
    ) -> Self:
        """Train a model on the training part of a data set.

        `preset` and `changes` (any field of `TrainingConfig`) choose the sizes and the schedule, or `config` gives
        them whole. `checkpoint` names a folder from which a training that was killed goes on. `parent` gives a
        model of the same identifiers and sizes whose weights training starts from (a fine-tune). `watch` is called with
        the model at each validation, its weights as they are then. `device` is where it is trained, and stays (`to` gives it elsewhere);
        None: this process' GPU where there is one, else the CPU.
        """
        from gensar_lite.training.doc2query import pseudo_queries
        from gensar_lite.training.examples import Examples
        from gensar_lite.training.initialise import load_or_train_tokenizer, place_tokens
        from gensar_lite.training.loop import fit_generator

        config = config or preset_config(preset, seed, **changes)
        log = data.log
        typed = sorted({log.queries[q] for q in np.unique(log.query[data.train_mask & log.searched])})
        tokenizer = load_or_train_tokenizer([*data.item_texts, *typed], config.training)
        model = cls.untrained(data, signals, identifiers, tokenizer, config)
        if parent is not None:
            model.take_weights(parent)
        else:
            spaces = [signals.semantic, signals.collaborative]
            place_tokens(model.backbone, model.vocabulary, model.encoder.texts, spaces, config.training, config.seed)
        pseudo = pseudo_queries(data, config.training, config.seed)
        examples = Examples(data, model.encoder, pseudo, config.training, config.seed)
        model.training_history = fit_generator(
            model.backbone,
            model.vocabulary,
            examples,
            examples.schedule(),
            validate=model.validator(data, watch),
            checkpoint=Path(checkpoint) if checkpoint else None,
            progress=progress,
            device=device,
        )
        model.balance_codes()
        return model.join_evidence(config.evidence)

    @torch.no_grad()
    def balance_codes(self) -> None:
        """Fit how much a code's own vectors count and how much those of the items below it, to half of the validation cases ("fit")."""
        from gensar_lite.training.calibration import fit_balance

        if self.vocabulary.num_remembered:
            held = [self.data.cases(task, "fit") for task in self.tasks]
            fitted = fit_balance(self.backbone, self.vocabulary, self.requests, held, self.config.seed)
            self.backbone.config.balance = fitted

    def join_evidence(self, names: Sequence[str]) -> Self:
        """This model with other sources of evidence, made from its store; how much each counts is fitted to half of the validation cases ("fit")."""
        from gensar_lite.training.calibration import fit_evidence

        config = replace(self.config, evidence=tuple(names))
        evidence = Evidence.make(self.data, self.signals.semantic, config.evidence)
        held = [self.data.cases(task, "fit") for task in self.tasks]
        fit_evidence(self.backbone, self.vocabulary, self.requests, evidence, held, config.seed)
        joined = copy.copy(self)
        joined.config, joined.evidence, joined.heard = config, evidence, config.evidence
        return joined

    def take_weights(self, other: GenSAR) -> None:
        """Copy the weights of a model that means the same by every token. Raises DataError where it does not."""
        same = all(np.array_equal(self.table.codes[view], other.table.codes[view]) for view in VIEWS)
        shapes = {name: value.shape for name, value in self.backbone.state_dict().items()}
        same &= self.vocabulary.tokenizer.get_vocab() == other.vocabulary.tokenizer.get_vocab()
        if not same or shapes != {name: value.shape for name, value in other.backbone.state_dict().items()}:
            raise DataError("the model to start from has other identifiers or sizes; train it on the same ones first")
        self.backbone.load_state_dict(other.backbone.state_dict())

    def validator(
        self, data: Dataset, watch: Callable[[GenSAR], object] | None = None, num_cases: int = 500
    ) -> Callable[[T5], dict[str, float]]:
        """A function that measures both tasks on some validation cases; "primary" is the mean of their primary metrics."""
        asked = {task: data.cases(task, "fit") for task in self.tasks}
        rng = np.random.default_rng(0)
        asked = {
            task: cases.take(np.sort(rng.permutation(len(cases))[:num_cases]))
            for task, cases in asked.items()
            if len(cases)
        }

        def validate(backbone: T5) -> dict[str, float]:
            backbone.eval()
            if watch is not None:
                watch(self)
            values = {}
            for task, cases in asked.items():
                protocol, metric = PRIMARY[task]
                place = rank_cases(share(self, data.num_items), cases, protocol, data.num_items)
                values[task] = float(case_metrics(*place, (metric,), cases.ptr)[metric].mean())
            return {**values, "primary": float(np.mean(list(values.values())))} if values else {}

        return validate

    def add_items(self, items: pd.DataFrame) -> Self:
        """A model that new items (item_id, title and, where known, description, categories, brand) have joined.

        Nothing is trained: they are named by codes that exist, from what their texts say, so that search finds them at
        once and recommendation where their expected place is; identifiers of the others stay (`identifiers_of` tells
        them). This model stays as it is. Raises DataError for ids that are there already and where no identifier is free.
        """
        from gensar_lite.identifiers.learning import assign_new

        if missing := {"item_id", "title"} - set(items.columns):
            raise DataError(f"new items need the columns item_id and title; missing: {', '.join(sorted(missing))}")
        new = items.reindex(columns=list(ITEM_COLUMNS)).astype(object).fillna("").astype(str)
        data = extend_catalogue(self.data, new)
        first = self.data.num_items
        semantic, collaborative = self.signals.encode_items(data.item_texts[first:])
        table = self.table.extend(
            new["item_id"].tolist(), assign_new(self.table, semantic, collaborative, self.config.seed)
        )
        signals = replace(
            self.signals,
            item_ids=data.items["item_id"].tolist(),
            semantic=np.vstack([self.signals.semantic, semantic]),
            collaborative=np.vstack([self.signals.collaborative, collaborative]),
        )
        evidence = Evidence.make(data, signals.semantic, list(self.evidence.sources))
        evidence.weights, evidence.powers = self.evidence.weights, self.evidence.powers
        grown = type(self)(data, signals, table, self.vocabulary.tokenizer, self.backbone, self.config, evidence)
        grown.training_history, grown.heard = self.training_history, self.heard
        return grown

    def save(self, folder: str | Path) -> None:
        """Write a self-contained run folder: it appears complete or not at all."""
        with new_folder(folder, "run") as temporary:
            self.write(temporary)

    def write(self, folder: Path) -> None:
        """Write store, signals, identifiers and weights into an existing folder."""
        self.data.save(folder / "store")
        self.signals.save(folder / "signals")
        self.table.save(folder / "identifiers")
        with new_folder(folder / "model", "model") as temporary:
            self.write_weights(temporary)
        self.evidence.save(folder / "evidence")
        config = replace(self.config, evidence=tuple(self.evidence.sources))  # what a reader must find
        write_sealed(folder / "config.json", config.to_json())

    def write_weights(self, folder: Path) -> None:
        """The weights in Hugging Face layout, the tokenizer, and the history of the training."""
        write_weights(folder, self.backbone, self.vocabulary.tokenizer, self.training_history)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a run folder. Raises DataError where a part is missing, broken, or was made from another catalogue."""
        folder = find_folder(folder)
        if not (folder / "config.json").is_file():
            raise DataError(
                f"{folder} is not a run folder (no config.json); make one with `gensar-lite run` or `GenSAR.save`"
            )
        check_whole(folder, "run")
        return cls.read(folder, RunConfig.from_json(read_sealed(folder / "config.json")))

    @classmethod
    def read(cls, folder: Path, config: RunConfig) -> Self:
        """Read the parts that `write` wrote, for a configuration; the evidence is what it names."""
        data = Dataset.load(folder / "store")
        signals = Signals.load(folder / "signals")
        signals.check(data)
        table = IdentifierTable.load(folder / "identifiers", data.items["item_id"].tolist())
        backbone, tokenizer, history = read_weights(folder / "model")
        evidence = Evidence.load(folder / "evidence", data) if config.evidence else Evidence([], data.num_items)
        if missing := set(config.evidence) - set(evidence.sources):
            raise DataError(
                f"{folder / 'evidence'} lacks {', '.join(sorted(missing))}, which the run's configuration names; {AGAIN}"
            )
        model = cls(data, signals, table, tokenizer, backbone, config, evidence)
        if len(model.backbone.shared.weight) != model.vocabulary.size:
            raise DataError(
                f"{folder}: the model's vocabulary ({len(model.backbone.shared.weight)} tokens) is not that of its identifiers ({model.vocabulary.size}); train again"
            )
        model.training_history = history
        return model
