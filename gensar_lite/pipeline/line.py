"""The whole line: store, signals, identifiers, training, baselines, evaluation, each in its part of a run folder.

Explained in notebook 00. A stage is skipped when everything it is made from is as it was; a training that was killed
goes on from its checkpoint to the result that it would have had undisturbed. Under `accelerate launch` one process
does the stages before and after training, all of them train.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from gensar_lite.config import RunConfig
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import (
    DataError,
    locked,
    new_file,
    new_folder,
    read_json,
    read_sealed,
    write_sealed,
)
from gensar_lite.evaluation.baselines import NAMES, recorded_parameters
from gensar_lite.evaluation.sharing import share
from gensar_lite.identifiers import (
    IdentifierTable,
    is_identifier_file,
    learn_identifiers,
    list_strategies,
    read_identifiers,
)
from gensar_lite.identifiers.foreign import check_identifier_file, read_codes
from gensar_lite.identifiers.quantisers import get_quantiser
from gensar_lite.model import GenSAR
from gensar_lite.network.weights import check_checkpoint
from gensar_lite.pipeline.beside import BESIDE_BYTES, WORTH_SECONDS, Beside, measure_baselines
from gensar_lite.pipeline.estimate import estimate_bytes, estimate_seconds, gigabytes, in_words
from gensar_lite.pipeline.folder import RunFolder, digest_of
from gensar_lite.pipeline.measure import compose_metrics, describe_examples, provenance_of, rank_all, rows_of
from gensar_lite.signals import Signals, embed
from gensar_lite.signals.collaborative import SOURCES
from gensar_lite.signals.device import choose_device, spare_cores
from gensar_lite.training.doc2query import read_pseudo_queries

Say = Callable[[str], None]


def run(
    data: Dataset,
    config: RunConfig,
    out: str | Path,
    *,
    baselines: bool = True,
    examples: int = 3,
    progress: bool = True,
    say: Say = lambda sentence: None,
    device: str | None = None,
) -> dict[str, Any]:
    """Go through all stages and give the content of `metrics.json`.

    `out` is the run folder: a new one, or one of the same data set, of which only what changed is made again.
    `examples` is the number of test cases per task whose answers are kept in `examples.json`. `say` is told what
    happens. `device` is where all stages compute (None: this process' GPU where there is one, else the CPU). Raises DataError before any work where the configuration cannot be run, `out` holds something else, or
    another process is writing there.
    """
    check_config(config)
    chosen = choose_device(device)
    if is_identifier_file(config.identifiers.strategy):
        read_codes(config.identifiers.strategy, data)
    first = PartialState(cpu=not torch.cuda.is_available()).is_main_process
    if device is not None and chosen.type != "cpu" and PartialState().num_processes > 1:
        raise DataError(f"several processes compute on one GPU each; leave out the device {device!r}")
    with locked(out, wait=0) if first else nullcontext():
        return _Line(data, config, out, baselines, examples, progress, say, chosen).run()


def check_config(config: RunConfig) -> None:
    """Raise DataError for a configuration that would fail later."""
    chosen = config.identifiers
    if is_identifier_file(chosen.strategy):
        check_identifier_file(chosen.strategy)
    elif chosen.strategy not in list_strategies():
        raise DataError(
            f"unknown strategy {chosen.strategy!r}; known are {', '.join(list_strategies())}, or a file of finished identifiers"
        )
    get_quantiser(chosen.quantiser)
    if config.training.backbone is not None:
        check_checkpoint(config.training.backbone)
    text, clicks = config.signals.text_encoder, config.signals.collaborative
    for source in (text, clicks):
        if source.endswith(".npy") and not Path(source).is_file():
            raise DataError(f"{source} does not exist; give the path of an .npy array with one row per item")
    if clicks not in SOURCES and not clicks.endswith(".npy"):
        raise DataError(
            f"unknown source of collaborative vectors {clicks!r}; use one of {', '.join(SOURCES)} or the path of an .npy file"
        )
    if config.signals.normalise and not (text.endswith(".npy") or clicks.endswith(".npy")):
        raise DataError("only vectors that come as an .npy array can be normalised; all others have length 1 already")
    prefixes = (config.signals.query_prefix, config.signals.passage_prefix)
    if prefixes != (None, None) and (text == "tfidf" or text.endswith(".npy")):
        raise DataError(f"prefixes are for sentence-transformers models; the text encoder {text!r} reads none")
    if text != "tfidf" and not text.endswith(".npy") and importlib.util.find_spec("sentence_transformers") is None:
        raise DataError(
            f'the text encoder {text!r} needs sentence-transformers: pip install "gensar_lite[text]", or use "tfidf", which needs nothing'
        )


class _Line:
    def __init__(
        self,
        data: Dataset,
        config: RunConfig,
        out: str | Path,
        baselines: bool,
        examples: int,
        progress: bool,
        say: Say,
        device: torch.device,
    ) -> None:
        self.data, self.config, self.device = data, config, device
        self.baselines, self.examples, self.progress = baselines, examples, progress
        self.processes = PartialState(cpu=not torch.cuda.is_available())
        self.first = self.processes.is_main_process
        self.say: Say = say if self.first else lambda sentence: None
        if self.first:
            RunFolder(out)  # makes the folder
        self.processes.wait_for_everyone()
        self.folder = RunFolder(out, sweep=False)
        self.model: GenSAR | None = None
        self.beside: Beside | None = None

    def run(self) -> dict[str, Any]:
        try:
            return self.make_all()
        finally:
            if self.beside is not None:
                self.beside.stop()

    def make_all(self) -> dict[str, Any]:
        self.check_same_data()
        if self.config.training.pseudo_queries is not None:
            read_pseudo_queries(self.config.training.pseudo_queries, self.data)
        made_from = self.common()
        stages, apart = self.folder.stages, False
        if any(stage not in stages for stage in ("signals", "identifiers", "training")):
            seconds, memory = estimate_seconds(self.data, self.config), estimate_bytes(self.data, self.config)
            if self.baselines and self.processes.num_processes == 1 and self.device.type == "cpu":
                apart = seconds > WORTH_SECONDS and spare_cores() > 1
            self.say(
                f"The model will take {in_words(seconds)} and {gigabytes(memory + apart * BESIDE_BYTES)} of memory on this machine (a guess from sizes and a short speed test), baselines and evaluation some more; progress bars tell more as they go."
            )
        if self.device.type != "cpu":
            self.say(f"It computes on {self.device}.")
        self.stage("store", {"data": self.data.info["fingerprint"]}, lambda: self.data.save(self.out / "store"))
        made_from |= {"seed": self.seed_of_signals(), "signals": {**asdict(self.config.signals), **self.given_arrays()}}
        self.stage("signals", made_from, self.make_signals)
        beside = {**self.common(), "seed": self.config.seed, "from": self.folder.digest("signals")}
        beside |= {"names": list(NAMES), "parameters": recorded_parameters(self.data)}
        if apart:
            self.start_baselines(beside)
        made_from = {
            **made_from,
            "seed": self.config.seed,
            "identifiers": {**asdict(self.config.identifiers), **self.given_identifiers()},
            "from": self.folder.digest("signals"),
        }
        self.stage("identifiers", made_from, self.make_identifiers)
        made_from = {
            **made_from,
            "training": {**asdict(self.config.training), **self.given_queries()},
            "from": [self.folder.digest(s) for s in ("signals", "identifiers")],
        }
        self.train(made_from)
        made_from = {**made_from, "evidence": self.config.evidence, "from": self.folder.digest("training")}
        self.stage("evidence", made_from, self.make_evidence)
        if self.first:
            write_sealed(self.out / "config.json", self.config.to_json())
        self.processes.wait_for_everyone()
        metrics = self.measure(made_from, beside if self.baselines else None)
        return metrics if self.first else {}

    # the stages ---------------------------------------------------------------------------------

    def stage(self, name: str, made_from: dict, make: Callable[[], float | None], together: bool = False) -> None:
        """Do a stage unless it is current: in the first process, for which the others wait, or in all `together`."""
        current = broadcast_object_list([self.first and self.is_current(name, made_from)])[0]
        self.say(f"{name}: unchanged" if current else f"{name} …")
        if not current and (self.first or together):
            start = time.perf_counter()
            if self.first:
                self.folder.begin(name)
            seconds = make()  # another process may have taken them
            if self.first:
                self.folder.finish(name, made_from, seconds or time.perf_counter() - start)
        self.processes.wait_for_everyone()
        if not self.first:
            self.folder = RunFolder(self.out, sweep=False)

    def is_current(self, name: str, made_from: dict) -> bool:
        if not self.folder.is_current(name, made_from):
            return False
        try:
            self.folder.check(name)
        except DataError as error:
            self.say(f"{error} Making it again.")
            return False
        return True

    def make_signals(self) -> None:
        signals = embed(self.data, **asdict(self.config.signals), seed=self.config.seed, device=self.device)
        signals.save(self.out / "signals")

    def make_identifiers(self) -> None:
        chosen, signals = self.config.identifiers, Signals.load(self.out / "signals")
        if is_identifier_file(chosen.strategy):
            table = read_identifiers(chosen.strategy, self.data, signals)
        else:
            table = learn_identifiers(self.data, signals, **asdict(chosen), seed=self.config.seed, device=self.device)
        table.save(self.out / "identifiers")

    def train(self, made_from: dict) -> None:
        """Train in all processes; the checkpoint is tied to what this training is made from."""
        current = self.is_current("training", made_from)
        self.processes.wait_for_everyone()
        checkpoints = self.out / "checkpoint"
        if current:
            self.say("training: unchanged")
            if self.first:  # of a run that was killed between its last step and this
                shutil.rmtree(checkpoints, ignore_errors=True)
            return
        checkpoint = checkpoints / digest_of(made_from)
        spent = checkpoint / "progress.json"
        self.say("training: going on from the checkpoint" if spent.is_file() else "training …")
        if self.first:
            for other in checkpoints.glob("*"):
                if other != checkpoint:
                    shutil.rmtree(other, ignore_errors=True)
            checkpoint.parent.mkdir(exist_ok=True)
            self.folder.begin("training")
        start = time.perf_counter()
        signals = Signals.load(self.out / "signals")
        table = IdentifierTable.load(self.out / "identifiers", self.data.items["item_id"].tolist())
        alone = replace(self.config, evidence=())
        self.model = GenSAR.fit(
            self.data,
            signals,
            table,
            config=alone,
            checkpoint=checkpoint,
            progress=self.progress,
            device=self.device,
        )
        if self.first:
            with new_folder(self.out / "model", "model") as temporary:
                self.model.write_weights(temporary)
            self.folder.finish("training", made_from, time.perf_counter() - start)
            shutil.rmtree(checkpoints, ignore_errors=True)

    def make_evidence(self) -> None:
        """Ask the store, and fit how much it counts beside the trained generator."""
        if self.model is None:
            self.model = GenSAR.read(self.out, replace(self.config, evidence=())).to(self.device)
        self.model = self.model.join_evidence(self.config.evidence)
        self.model.evidence.save(self.out / "evidence")

    def measure(self, made_from: dict, beside: dict | None) -> dict[str, Any]:
        """Baselines and examples by the first process, the model's metrics by all of them."""
        if beside:
            self.stage("baselines", beside, self.measure_baselines)
        asked = {"of": made_from, "beside": beside, "split": "test"}
        self.stage("evaluation", asked, self.measure_model, together=True)
        self.stage("examples", {"of": made_from, "num": self.examples}, self.write_examples)
        if not self.first:
            return {}
        timings = self.folder.timings()
        if not (self.out / "timings.json").is_file() or read_sealed(self.out / "timings.json") != timings:
            write_sealed(self.out / "timings.json", timings)
        return read_sealed(self.out / "metrics.json", baselines=dict, provenance=dict)

    def start_baselines(self, made_from: dict) -> None:
        """Have another process measure the baselines, unless they are there."""
        if not self.is_current("baselines", made_from):
            self.folder.begin("baselines")
            self.beside = Beside(self.out, self.config.seed)
            self.say("baselines: another process measures them meanwhile")

    def measure_baselines(self) -> float | None:
        if self.beside is not None and (seconds := self.beside.wait()) is not None:
            return seconds
        measure_baselines(self.out, self.data, self.config.seed, self.device)
        return None

    def measure_model(self) -> None:
        model = self.trained()
        rows = [share(row, self.data.num_items) for row in rows_of(model)]
        ranks, lists = rank_all(rows, self.data, self.config.seed)
        if not self.first:
            return
        if self.baselines:
            ranks = pd.concat([ranks, pd.read_parquet(self.out / "baselines" / "ranks.parquet")], ignore_index=True)
            lists |= read_json(self.out / "baselines" / "lists.json")
        provenance = {**provenance_of(self.data, "test", self.config.seed), "config": self.config.to_json()}
        with new_file(self.out / "ranks.parquet") as temporary:
            ranks.to_parquet(temporary, index=False, compression="zstd")
        write_sealed(self.out / "metrics.json", compose_metrics(ranks, lists, model, provenance))

    def write_examples(self) -> None:
        write_sealed(
            self.out / "examples.json", {"examples": describe_examples(self.trained(), self.data, self.examples)}
        )

    # what stages are made from ----------------------------------------------------------------

    @property
    def out(self) -> Path:
        return self.folder.path

    def trained(self) -> GenSAR:
        if (
            self.model is None or self.model.config.evidence != self.config.evidence
        ):  # another process may have joined the evidence
            self.model = GenSAR.load(self.out).to(self.device)
        return self.model

    def common(self) -> dict[str, Any]:
        from gensar_lite import __version__

        return {"data": self.data.info["fingerprint"], "version": __version__}

    def seed_of_signals(self) -> int | None:
        """Signals that come as arrays are the same for every seed."""
        chosen = self.config.signals
        return (
            None if chosen.text_encoder.endswith(".npy") and chosen.collaborative.endswith(".npy") else self.config.seed
        )

    def given_arrays(self) -> dict[str, str]:
        """Hashes of pre-computed arrays: the file may change under its name."""
        sources = asdict(self.config.signals)
        return {
            f"{name}_sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()
            for name, path in sources.items()
            if str(path).endswith(".npy")
        }

    def given_identifiers(self) -> dict[str, str]:
        """The hash of a file of finished identifiers."""
        path = self.config.identifiers.strategy
        return {"sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()} if is_identifier_file(path) else {}

    def given_queries(self) -> dict[str, str]:
        """Hash of pseudo-queries that come as a file."""
        path = self.config.training.pseudo_queries
        return {} if path is None else {"pseudo_queries_sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}

    def check_same_data(self) -> None:
        made_from = self.folder.stages.get("store", {}).get("made_from", {})
        if made_from.get("data") not in (None, self.data.info["fingerprint"]):
            raise DataError(
                f"{self.out} was made from another data set than {self.data.name!r} (or items were added to it since); choose another folder with --out, or delete this one"
            )
