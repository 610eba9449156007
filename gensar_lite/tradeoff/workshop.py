"""What the runs of a sweep share: data sets, signals, identifiers and kept models, each made once.

Signals are made once per data set and seed, identifiers once per strategy, seed and sizes, a model once per
configuration. What is made lies in the sweep's folder under a hash of everything that decides about it; a lock lets
one process make it while the others wait. What it took to make is kept beside it.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from filelock import FileLock

from gensar_lite.config import RunConfig
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import check_whole, new_folder, read_json, write_json
from gensar_lite.evaluation.baselines import build_baselines
from gensar_lite.evaluation.protocols import Ranker
from gensar_lite.identifiers import IdentifierTable, learn_identifiers
from gensar_lite.identifiers.strategies import codebooks_of
from gensar_lite.model import GenSAR
from gensar_lite.pipeline.folder import digest_of
from gensar_lite.signals import Signals, embed
from gensar_lite.signals.device import choose_device
from gensar_lite.tradeoff.design import Design, load_source

Thing = TypeVar("Thing")
RANKERS_KEPT = 8
NOTE_SECONDS = 10.0  # between two notes of what a training has cost so far


class Cost(NamedTuple):
    """Seconds on the clock, and of processor time (all threads together)."""

    wall: float = 0.0
    cpu: float = 0.0

    def plus(self, *others: Cost) -> Cost:
        """The sum of costs."""
        return Cost(self.wall + sum(o.wall for o in others), self.cpu + sum(o.cpu for o in others))


def _read_cost(path: Path) -> Cost:
    told = read_json(path, wall=(int, float), cpu=(int, float))
    return Cost(told["wall"], told["cpu"])


class Clock:
    """Started when made; `cost` is what has passed since, and what was spent before."""

    def __init__(self, before: Cost | None = None) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        self.before = before or Cost()

    @property
    def cost(self) -> Cost:
        return self.before.plus(Cost(time.perf_counter() - self.wall, time.process_time() - self.cpu))


@contextmanager
def _noted(path: Path) -> Iterator[Clock]:
    """A clock whose reading is noted in a file now and then, and goes on from there after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clock, done = Clock(_read_cost(path) if path.is_file() else None), threading.Event()

    def note() -> None:
        while not done.wait(NOTE_SECONDS):
            write_json(path, clock.cost._asdict())

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    try:
        yield clock
    finally:
        done.set()
        thread.join()
        write_json(path, clock.cost._asdict())


class Made(NamedTuple, Generic[Thing]):
    """A thing, the hash of all that decides about it, and what making it took (not what loading it took)."""

    thing: Thing
    key: str
    cost: Cost


def codebooks(config: RunConfig) -> dict[str, list[str]]:
    """The codebooks that a strategy stands for: one that people registered may mean something else tomorrow."""
    chosen = config.identifiers
    return {
        view: list(names)
        for view, names in codebooks_of(chosen.strategy, chosen.num_shared, chosen.num_specific).items()
    }


class Workshop:
    """Makes and keeps what runs need. One for each process; the folder is shared."""

    def __init__(self, design: Design, out: Path, version: str, progress: bool = True) -> None:
        self.out, self.version, self.progress = out, version, progress
        self.sources = design.sources()
        # neighbouring runs ask for the same: a look into memory first
        self.dataset = lru_cache(maxsize=2)(self._dataset)
        self._rankers: dict[tuple[str, str, int], Made[Ranker]] = {}
        self._last: dict[str, Made] = {}
        self._trained: list[tuple[Path, Path]] = []
        # of each training, how many kinds of evidence are joined to it
        configs = {
            repr(config): config for config in (design.config(u) for u in design.units() if u.kind != "specialist")
        }
        self._num_heard = Counter(repr(replace(config, evidence=())) for config in configs.values())

    def _dataset(self, label: str) -> Dataset:
        return load_source(self.sources[label])

    def signals(self, label: str, config: RunConfig) -> Made[Signals]:
        """The signals of a data set for a seed."""
        data = self.dataset(label)
        made_from = {"data": data.info["fingerprint"], "signals": asdict(config.signals), "seed": config.seed}

        def make() -> Signals:
            return embed(data, **asdict(config.signals), seed=config.seed)

        return self._kept("signals", made_from, make, lambda made, folder: made.save(folder), Signals.load)

    def identifiers(self, label: str, config: RunConfig) -> Made[IdentifierTable]:
        """The identifiers of a data set for a strategy, a seed and sizes."""
        data, signals = self.dataset(label), self.signals(label, config)
        made_from = {"from": signals.key, "identifiers": asdict(config.identifiers), "seed": config.seed}
        made_from["codebooks"] = codebooks(config)

        def make() -> IdentifierTable:
            return learn_identifiers(data, signals.thing, **asdict(config.identifiers), seed=config.seed)

        def load(folder: Path) -> IdentifierTable:
            return IdentifierTable.load(folder, data.items["item_id"].tolist())

        return self._kept("identifiers", made_from, make, lambda made, folder: made.save(folder), load)

    def model(
        self, label: str, config: RunConfig, keep: bool = False, parent: Made[GenSAR] | None = None
    ) -> Made[GenSAR]:
        """A trained model; `keep` leaves it in the sweep's folder as a run that can be searched.

        `parent` is the parent of a fine-tune. A training that was killed goes on from its checkpoint, which stays until
        `forget_checkpoints`: who is killed while measuring need not train again. The cost holds
        what was spent before, to within `NOTE_SECONDS`. Models that differ in what they hear are one training: evidence is
        joined to the generator alone, which stays in the folder where runs of the design share it.
        """
        table = self.identifiers(label, config)
        made_from = {"from": table.key, "config": config.to_json(), "parent": parent.key if parent else None}
        key = self._key(made_from)
        folder = self.out / "models" / key
        with self._lock(key):
            if (folder / "cost.json").is_file():
                self._trained.append(self._checkpoint(key))
                return self._read(folder, lambda path: GenSAR.load(path).to(choose_device()))
            if config.evidence:
                alone = self.model(label, replace(config, evidence=()), parent=parent)
                clock = Clock(alone.cost)
                model, cost = alone.thing.join_evidence(config.evidence), clock.cost
            else:
                model, cost = self._train(label, config, key, parent)
            if keep or (self._num_heard[repr(replace(config, evidence=()))] > 1 and not config.evidence):
                self._write(folder, cost, model.save, made_from)
            return Made(model, key, cost)

    def _train(self, label: str, config: RunConfig, key: str, parent: Made[GenSAR] | None) -> tuple[GenSAR, Cost]:
        checkpoint, spent = self._checkpoint(key)
        with _noted(spent) as clock:
            model = GenSAR.fit(
                self.dataset(label),
                self.signals(label, config).thing,
                self.identifiers(label, config).thing,
                config=config,
                checkpoint=checkpoint,
                progress=self.progress,
                parent=parent.thing if parent else None,
            )
            cost = clock.cost
        self._trained.append((checkpoint, spent))
        return model, cost

    def _checkpoint(self, key: str) -> tuple[Path, Path]:
        """Where a training stands, and what it has cost so far."""
        return self.out / "checkpoints" / key, self.out / "checkpoints" / f"{key}.spent.json"

    def forget_checkpoints(self) -> None:
        """Remove the checkpoints of finished trainings, once what they were made for is measured and recorded."""
        for checkpoint, spent in self._trained:
            shutil.rmtree(checkpoint, ignore_errors=True)
            spent.unlink(missing_ok=True)
        self._trained.clear()

    def ranker(self, label: str, name: str, seed: int, config: RunConfig) -> Made[Ranker]:
        """A specialist, fitted; the latest few stay in memory for the runs that fuse with them."""
        signals = self.signals(label, config)
        place = (name, signals.key, seed)
        if place not in self._rankers:
            clock = Clock()
            ranker = build_baselines(self.dataset(label), signals.thing, seed, [name])[0]
            self._rankers[place] = Made(ranker, name, clock.cost)
            while len(self._rankers) > RANKERS_KEPT:
                del self._rankers[next(iter(self._rankers))]
        return self._rankers[place]

    def _kept(
        self,
        kind: str,
        made_from: dict[str, Any],
        make: Callable[[], Thing],
        save: Callable[[Thing, Path], None],
        load: Callable[[Path], Thing],
    ) -> Made[Thing]:
        key = self._key(made_from)
        if kind in self._last and self._last[kind].key == key:
            return self._last[kind]
        folder = self.out / kind / key
        with self._lock(key):
            if (folder / "cost.json").is_file():
                made = self._read(folder, load)
            else:
                clock = Clock()
                thing = make()
                made = Made(thing, key, clock.cost)
                self._write(folder, made.cost, lambda content: save(thing, content), made_from)
        self._last[kind] = made
        return made

    def _key(self, made_from: dict[str, Any]) -> str:
        return digest_of({**made_from, "version": self.version})

    def _lock(self, key: str) -> FileLock:
        (self.out / "locks").mkdir(parents=True, exist_ok=True)
        return FileLock(self.out / "locks" / f"{key}.lock")

    @staticmethod
    def _read(folder: Path, load: Callable[[Path], Thing]) -> Made[Thing]:
        check_whole(folder, "part of a sweep")
        return Made(load(folder / "content"), folder.name, _read_cost(folder / "cost.json"))

    @staticmethod
    def _write(folder: Path, cost: Cost, save: Callable[[Path], None], made_from: dict[str, Any]) -> None:
        with new_folder(folder, "part of a sweep") as temporary:
            save(temporary / "content")
            write_json(temporary / "made_from.json", made_from)
            write_json(temporary / "cost.json", cost._asdict())
