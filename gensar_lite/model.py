"""The model a user holds: one set of weights that searches, recommends and suggests queries.

Explained in notebook 00. A `GenSAR` carries what it needs to answer: the catalogue and the log (its store), the
identifiers, the vocabulary and the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gensar_lite.config import RunConfig
from gensar_lite.config import preset as preset_config
from gensar_lite.data.dataset import ITEM_COLUMNS, Cases, Dataset, extend_catalogue
from gensar_lite.data.storage import (
    AGAIN,
    DataError,
    check_whole,
    find_folder,
    new_folder,
    read_sealed,
    write_sealed,
)
from gensar_lite.decoding.beam import Beams, beam_search
from gensar_lite.decoding.queries import QueryWriter
from gensar_lite.decoding.scoring import score_items
from gensar_lite.evaluation.metrics import case_metrics
from gensar_lite.evaluation.protocols import PRIMARY, rank_cases
from gensar_lite.evaluation.sharing import share
from gensar_lite.evidence.evidence import Evidence
from gensar_lite.identifiers.table import VIEWS, IdentifierTable
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network.backbone import T5
from gensar_lite.network.inputs import InputEncoder
from gensar_lite.network.prompts import TASK_PROMPT
from gensar_lite.network.requests import Request, RequestEncoder
from gensar_lite.network.scorer import Scorer, requests_at_once
from gensar_lite.network.tokenizer import AnyTokenizer
from gensar_lite.network.vocabulary import NUM_AGES, TASK_VIEW, Vocabulary
from gensar_lite.network.weights import read_weights, write_weights
from gensar_lite.signals.device import choose_device, workers
from gensar_lite.signals.signals import Signals

CASES_AT_ONCE = 64
NUM_BEAMS = 30


class GenSAR:
    """A trained model together with its store. Make one with `fit` or `load`; what changes a model gives a new one.

    `heard` names the sources of evidence that its answers are joined with where a question does not choose; () is the
    generator alone.
    """

    tasks: tuple[str, ...] = ("recommendation", "search")

    def __init__(
        self,
        data: Dataset,
        signals: Signals,
        table: IdentifierTable,
        tokenizer: AnyTokenizer,
        backbone: T5 | None,
        config: RunConfig,
        evidence: Evidence | None = None,
    ) -> None:
        self.evidence = evidence or Evidence([], data.num_items)
        self.heard = tuple(name for name in config.evidence if name in self.evidence.sources)
        self.data = data
        self.signals = signals
        self.table = table
        self.config = config
        # items that joined after training have no token of their own
        remembered = getattr(backbone.config, "num_remembered", 0) if backbone is not None else len(table)
        remembered *= config.training.remembers_items
        training = config.training
        num_ages = NUM_AGES if training.marks_ages else 0
        self.vocabulary = Vocabulary(tokenizer, table, remembered, len(training.mix_levels), num_ages)
        form = training.history, training.max_events, training.max_text, training.max_query
        self.encoder = InputEncoder(self.vocabulary, data.log, data.item_texts, *form)
        if training.mix_levels:
            asked = training.mix if config.asked_mix is None else config.asked_mix
            self.encoder = self.encoder.at_level(training.nearest_level(asked))
        self.requests = RequestEncoder(data, self.encoder)
        self.tries = self.vocabulary.tries
        if backbone is None:
            from gensar_lite.training.initialise import new_weights

            backbone = new_weights(self.vocabulary, training, config.seed)
            backbone.config.num_remembered = remembered
        self.backbone = backbone.eval()
        self.training_history: list[dict] = []

    @property
    def name(self) -> str:
        """What rows are called: the kind of identifiers, which alone means the generator alone, and what is heard."""
        return " + ".join([self.config.identifiers.strategy, *self.heard])

    # making one ---------------------------------------------------------------------------------

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
    ) -> GenSAR:
        """Train a model on the training part of a data set.

        `preset` and `changes` (any field of `TrainingConfig`) choose the sizes and the schedule, or `config` gives
        them whole. `checkpoint` names a folder from which a training that was killed goes on. `parent` gives a
        model of the same identifiers and sizes whose weights training starts from (a fine-tune). `watch` is called with
        the model at each validation, its weights as they are then. `device` is where it is trained, and stays (`to` gives it elsewhere);
        None: this process' GPU where there is one, else the CPU.
        """
        # what only making a model needs is loaded when one is made: an answer comes sooner
        from gensar_lite.training.doc2query import pseudo_queries
        from gensar_lite.training.examples import Examples
        from gensar_lite.training.initialise import load_or_train_tokenizer, place_tokens
        from gensar_lite.training.loop import fit_generator

        config = config or preset_config(preset, seed, **changes)
        log = data.log
        typed = sorted({log.queries[q] for q in np.unique(log.query[data.train_mask & log.searched])})
        tokenizer = load_or_train_tokenizer([*data.item_texts, *typed], config.training)
        model = cls(data, signals, identifiers, tokenizer, None, config)
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

    def join_evidence(self, names: Sequence[str]) -> GenSAR:
        """This model with other sources of evidence, made from its store; how much each counts is fitted to half of the validation cases ("fit")."""
        from gensar_lite.training.calibration import fit_evidence

        config = replace(self.config, evidence=tuple(names))
        evidence = Evidence.make(self.data, self.signals.semantic, config.evidence)
        held = [self.data.cases(task, "fit") for task in self.tasks]
        fit_evidence(self.backbone, self.vocabulary, self.requests, evidence, held, config.seed)
        joined = copy.copy(self)
        joined.config, joined.evidence, joined.heard = config, evidence, config.evidence
        return joined

    def hearing(self, names: Sequence[str]) -> GenSAR:
        """This model, answering with some of its sources of evidence; () is the generator alone. Raises DataError for others."""
        if unknown := set(names) - set(self.evidence.sources):
            there = ", ".join(self.evidence.sources) or "none"
            raise DataError(f"this model has no evidence {', '.join(sorted(unknown))}; it has {there}")
        other = copy.copy(self)
        other.heard = tuple(name for name in self.evidence.sources if name in names)
        return other

    def take_weights(self, other: GenSAR) -> None:
        """Copy the weights of a model that means the same by every token. Raises DataError where it does not."""
        same = all(np.array_equal(self.table.codes[view], other.table.codes[view]) for view in VIEWS)
        shapes = {name: value.shape for name, value in self.backbone.state_dict().items()}
        same &= self.vocabulary.tokenizer.get_vocab() == other.vocabulary.tokenizer.get_vocab()
        if not same or shapes != {name: value.shape for name, value in other.backbone.state_dict().items()}:
            raise DataError("the model to start from has other identifiers or sizes; train it on the same ones first")
        self.backbone.load_state_dict(other.backbone.state_dict())

    def for_mix(self, mix: float) -> GenSAR:
        """The same weights, asked for the level of `mix_levels` nearest to this mix; saved and loaded with it."""
        level = self.config.training.nearest_level(mix)
        other = copy.copy(self)
        other.config = replace(self.config, asked_mix=mix)
        other.encoder, other.requests = self.encoder.at_level(level), copy.copy(self.requests)
        other.requests.encoder = other.encoder
        return other

    def _asked_for(self, mix: float | None) -> GenSAR:
        return self if mix is None else self.for_mix(mix)

    @property
    def device(self) -> torch.device:
        """Where it answers."""
        return self.backbone.device

    def to(self, device: torch.device | str) -> GenSAR:
        """The same model with its weights on another device, where it answers from then on; this one stays where it is.

        Raises DataError where there is no such device.
        """
        other = copy.copy(self)
        other.backbone = copy.deepcopy(self.backbone).to(choose_device(device))
        return other

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

    # scoring: what evaluation asks ----------------------------------------------------------------

    def score(self, cases: Cases, candidates: np.ndarray | None, mix: float | None = None) -> np.ndarray:
        """Exact log-probabilities (C, n) of candidates (C, n), or (C, N) of the whole catalogue; `mix` as in `recommend`."""
        asked, every = self._asked_for(mix), np.arange(self.data.num_items)[None]
        width = self.data.num_items if candidates is None else candidates.shape[1]

        def ask(scorer: Scorer, rows: slice) -> np.ndarray:
            return score_items(scorer, every if candidates is None else candidates[rows])

        return asked._in_pieces(cases, ask, np.zeros((0, width), np.float32))

    def _in_pieces(self, cases: Cases, ask: Callable[[Scorer, slice], np.ndarray], nothing: np.ndarray) -> np.ndarray:
        """What `ask` answers, with a few cases at a time, piece after piece or on several cores; `nothing` where there are none."""
        size = requests_at_once(self.data.num_items, CASES_AT_ONCE)
        pieces = [slice(first, first + size) for first in range(0, len(cases), size)]

        def answer(rows: slice) -> np.ndarray:
            with torch.inference_mode():
                return ask(self.scorer(self.requests.cases(cases.take(rows)), cases.task), rows)

        if len(pieces) < 2 or (pool := workers(self.device)) is None:
            return np.concatenate([nothing, *map(answer, pieces)])
        with pool:
            return np.concatenate([nothing, *pool.map(answer, pieces)])

    def scorer(self, request: Request, task: str, trie: IdentifierTrie | None = None) -> Scorer:
        """What beam search and exact scoring ask about some requests: the generator with what is heard of the store."""
        view = TASK_VIEW[task]
        told = self.evidence.ask(request.question, self.heard, view)
        weights = self.evidence.weights.get(" + ".join(self.heard), {}).get(view)
        softmax = self.config.training.softmax
        return Scorer(self.backbone, self.vocabulary, view, request.inputs, softmax, trie, told, weights)

    # answering ------------------------------------------------------------------------------------

    def search(
        self,
        query: str | Sequence[str],
        user: str | None = None,
        history: Sequence[str] | None = None,
        k: int = 10,
        mix: float | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """The `k` best items for a query, personalised where a user or a history of item ids is given.

        Gives a DataFrame with item_id, title, score (log-probability) and identifier, best first; a list of
        queries gives one table with the query in front. `mix` and `options` as in `recommend`.
        """
        queries = [query] if isinstance(query, str) else list(query)
        return self._asked_for(mix)._answer(
            "search",
            queries,
            [user] * len(queries),
            history,
            k,
            None if isinstance(query, str) else ("query", queries),
            **options,
        )

    def recommend(
        self,
        user: str | Sequence[str] | None = None,
        history: Sequence[str] | None = None,
        k: int = 10,
        mix: float | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """The `k` items that a user, or somebody with this history of item ids, will most probably click next.

        Options: `num_beams` (default: the larger of 30 and k), `exclude_seen` (leave out items of the history),
        `items` (choose among these item ids only), `category` (among items whose categories contain this text), `evidence`
        (the sources to hear, () for the generator alone; default: those of `heard`). `mix` is what a model trained with
        `mix_levels` is asked for (see `for_mix`).
        A user the log has never seen gets what suits a new user, with a warning.
        """
        users = [user] if user is None or isinstance(user, str) else list(user)
        return self._asked_for(mix)._answer(
            "recommendation",
            None,
            users,
            history,
            k,
            None if user is None or isinstance(user, str) else ("user", users),
            **options,
        )

    def _answer(
        self,
        task: str,
        queries: list[str] | None,
        users: Sequence[str | None],
        history: Sequence[str] | None,
        k: int,
        label: tuple[str, Sequence[str | None]] | None,
        *,
        num_beams: int = NUM_BEAMS,
        exclude_seen: bool = False,
        items: Sequence[str] | None = None,
        category: str | None = None,
        evidence: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if queries is not None and not all(isinstance(q, str) and q.strip() for q in queries):
            raise ValueError("the query is empty; type at least one word")
        if not users:
            return self._table(
                Beams(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)), TASK_VIEW[task], k, label
            )
        request, seen = self.requests.users(TASK_PROMPT[task], users, history, queries)
        trie = self._allowed(TASK_VIEW[task], items, category)
        answering = self if evidence is None else self.hearing(evidence)
        scorer = answering.scorer(request, task, trie)
        width = min(max(num_beams, k), len(trie.items))
        beams = beam_search(scorer, width, seen if exclude_seen else None)
        return self._table(beams, TASK_VIEW[task], k, label)

    def top_items(self, cases: Cases, k: int = 10) -> np.ndarray:
        """The items (C, k) that held-out cases are answered with, best first (-1: no more); what `search` and `recommend` show."""
        width = min(max(NUM_BEAMS, k), self.data.num_items)

        def ask(scorer: Scorer, rows: slice) -> np.ndarray:
            return beam_search(scorer, width).items[:, :k]

        return self._in_pieces(cases, ask, np.zeros((0, min(k, width)), np.int64))

    def describe(self, items: np.ndarray, task: str) -> pd.DataFrame:
        """item_id, title and identifier of item numbers (n,)."""
        items = np.asarray(items)[np.asarray(items) >= 0]
        return pd.DataFrame(
            {
                "item_id": self.data.items["item_id"].to_numpy()[items],
                "title": self.data.items["title"].to_numpy()[items],
                "identifier": [self.table.text(item, TASK_VIEW[task]) for item in items],
            }
        )

    def _allowed(self, view: str, items: Sequence[str] | None, category: str | None) -> IdentifierTrie:
        if items is None and category is None:
            return self.tries[view]
        allowed = np.ones(self.data.num_items, bool)
        if category is not None:
            allowed &= self.data.items["categories"].str.contains(category, case=False, regex=False).to_numpy()
            if not allowed.any():
                raise DataError(f"no item has a category that contains {category!r}")
        if items is not None:
            unknown = [item for item in items if item not in self.data.item_number]
            if unknown:
                raise DataError(
                    f"the items to choose from are not all in the catalogue: {', '.join(map(str, unknown[:5]))}"
                )
            chosen = np.zeros_like(allowed)
            chosen[[self.data.item_number[item] for item in items]] = True
            allowed &= chosen
        return self.tries[view].restrict(np.flatnonzero(allowed))

    def _table(self, beams: Beams, view: str, k: int, label: tuple[str, Sequence[str | None]] | None) -> pd.DataFrame:
        row, column = np.nonzero(beams.items[:, :k] >= 0)
        items = beams.items[row, column]
        table = pd.DataFrame(
            {
                "item_id": self.data.items["item_id"].to_numpy()[items],
                "title": self.data.items["title"].to_numpy()[items],
                "score": beams.scores[row, column],
                "identifier": [self.table.text(item, view) for item in items],
            }
        )
        if label is not None:
            table.insert(0, label[0], np.array(label[1], dtype=object)[row])
        return table

    @cached_property
    def _query_writer(self) -> QueryWriter:
        training = self.config.training
        words = slice(None) if training.softmax == "full" else slice(0, self.vocabulary.num_words)
        return QueryWriter(self.encoder, self.data.log.queries, training.max_target_text, words)

    def suggest_queries(
        self, user: str | None = None, history: Sequence[str] | None = None, k: int = 5, mix: float | None = None
    ) -> pd.DataFrame:
        """The `k` queries that this user will most probably type next, among all that the log holds: query and score."""
        request, _ = self._asked_for(mix).requests.users("next_query", [user], history)
        return pd.DataFrame(self._query_writer.suggest(self.backbone, request.inputs, k), columns=["query", "score"])

    def add_items(self, items: pd.DataFrame) -> GenSAR:
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
        grown = GenSAR(data, signals, table, self.vocabulary.tokenizer, self.backbone, self.config, evidence)
        grown.training_history, grown.heard = self.training_history, self.heard
        return grown

    def identifiers_of(self, item_ids: Sequence[str]) -> pd.DataFrame:
        """item_id, title and both identifiers of some items."""
        rows = [self.data.item_number[item] for item in item_ids]
        names = {view: [self.table.text(row, view) for row in rows] for view in VIEWS}
        return self.data.items.iloc[rows][["item_id", "title"]].assign(**names).reset_index(drop=True)

    # on disk --------------------------------------------------------------------------------------

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
    def load(cls, folder: str | Path) -> GenSAR:
        """Read a run folder. Raises DataError where a part is missing, broken, or was made from another catalogue."""
        folder = find_folder(folder)
        if not (folder / "config.json").is_file():
            raise DataError(
                f"{folder} is not a run folder (no config.json); make one with `gensar-lite run` or `GenSAR.save`"
            )
        check_whole(folder, "run")
        return cls.read(folder, RunConfig.from_json(read_sealed(folder / "config.json")))

    @classmethod
    def read(cls, folder: Path, config: RunConfig) -> GenSAR:
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
