"""What a sweep runs: data sets, strategies, mixes, seeds and settings, crossed in blocks.

Explained in notebook 08. A design is written down before the first training, in a JSON file or by the command's
options, and checked as a whole: a name that nobody knows stops it there, not in its hundredth run.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gensar_lite.config import PRESETS, RunConfig, preset
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.load import load_dataset
from gensar_lite.data.splits import SPLITS, TASKS
from gensar_lite.data.storage import SEAL, DataError, read_json, read_sealed
from gensar_lite.evaluation.baselines import NAMES
from gensar_lite.evaluation.protocols import EVALUATION_PROTOCOLS, PRIMARY
from gensar_lite.pipeline.line import check_config

CURVES = ("sweep", "interpolation", "conditioned", "fusion")
"""The ways to a curve: one training a mix, and three cheaper ones."""
KINDS = (*CURVES, "specialist")
WITHOUT_SEED = ("popularity", "item-knn", "bm25")  # the same for every seed
PRIMARY_PROTOCOLS = tuple(dict.fromkeys(protocol for protocol, _ in PRIMARY.values()))
TASK_SETTING = "without"  # a setting of its own: tasks left out of training

Source = str | dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """One piece of work: a training (or two, or none) and its measurement.

    `kind` is one of `KINDS`; `strategy` names identifiers, or the ranker for a specialist, whose `mix` is None.
    `settings` holds what differs from the design's own settings: the unit's *variant*.
    """

    kind: str
    data: str
    strategy: str
    mix: float | None
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def variant(self) -> str:
        """The settings in words, empty for those of the design."""
        return ", ".join(f"{name}={_short(value)}" for name, value in sorted(self.settings.items()))

    def __str__(self) -> str:
        parts = [self.data, self.strategy, self.variant, "" if self.mix is None else f"mix {self.mix:g}"]
        parts += [f"seed {self.seed}", "" if self.kind == "sweep" else self.kind]
        return ", ".join(part for part in parts if part)


ASKED = "design.json"
"""What a sweep's folder was asked to do last."""
AXES = {"strategy": "strategies", "mix": "mixes", "seed": "seeds"}


@dataclass(frozen=True)
class Block:
    """Everything in a block is crossed with everything else. `variants` are changes of settings, `{}` for none."""

    data: tuple[Source, ...]
    strategies: tuple[str, ...]
    mixes: tuple[float, ...]
    seeds: tuple[int, ...]
    variants: tuple[dict[str, Any], ...] = ({},)
    curves: tuple[str, ...] = ("sweep",)
    specialists: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """Blocks, and what all of them share.

    `settings` are changes of the preset (any name of its identifiers, signals or training, and `without`, a list of
    training tasks to leave out). A curve of interpolated weights runs between fine-tunes at `finetune_mixes`, of
    `finetune_share` times the parent's steps at `finetune_rate` times its learning rate; `num_places` of it, and
    of every fusion, are measured. A conditioned model can be asked for `levels`. `partners` are the rankers whose
    scores are fused with the model's.
    """

    blocks: tuple[Block, ...]
    preset: str = "tiny"
    settings: dict[str, Any] = field(default_factory=dict)
    protocols: tuple[str, ...] = ("uniform99", "popular99", "bm25_99", "full")
    finetune_mixes: tuple[float, float] = (0.1, 0.9)
    finetune_share: float = 0.25
    finetune_rate: float = 0.5
    num_places: int = 9
    levels: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    partners: tuple[str, ...] = ("bm25", "item-knn", "als")

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Design:
        """Read a design; entries of a block that are missing are taken from the top level."""
        known = {f.name for f in fields(cls)} | {f.name for f in fields(Block)} | {"name", "about"}
        if unknown := [name for name in content if name not in known]:
            raise DataError(
                f"the design has entries that nobody knows: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        shared = {f.name: content[f.name] for f in fields(Block) if f.name in content}
        blocks = []
        for number, block in enumerate(content.get("blocks", [{}]), start=1):
            given = {**shared, **block}
            names = {f.name for f in fields(Block)}
            missing = [name for name in ("data", "strategies", "mixes", "seeds") if not given.get(name)]
            if missing or set(given) - names:
                what = (
                    f"lacks {', '.join(missing)}"
                    if missing
                    else f"does not know {', '.join(sorted(set(given) - names))}"
                )
                raise DataError(f"block {number} of the design {what}; a block has {', '.join(sorted(names))}")
            blocks.append(Block(**{name: tuple(value) for name, value in given.items()}))
        rest: dict[str, Any] = {
            f.name: tuple(content[f.name]) if isinstance(content[f.name], list) else content[f.name]
            for f in fields(cls)
            if f.name in content and f.name != "blocks"
        }
        return cls(tuple(blocks), **rest)

    @classmethod
    def read(cls, path: str | Path) -> Design:
        """Read a design file."""
        if not Path(path).is_file():
            raise DataError(f"there is no design file {path}; docs/tradeoff.md says what one holds")
        return cls.from_json(read_json(path))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def sources(self) -> dict[str, Source]:
        """The data sets by the names under which results speak of them."""
        found: dict[str, Source] = {}
        for source in (source for block in self.blocks for source in block.data):
            label = name_source(source)
            if found.setdefault(label, source) != source:
                raise DataError(
                    f"two different data sets would be called {label!r}; give one of the folders another name"
                )
        return found

    def units(self) -> list[Unit]:
        """All work, each piece once: in the order of the design, seed by seed, so that neighbours share signals and models."""
        found: dict[str, Unit] = {}
        for block in self.blocks:
            for unit in map(self._plain, _block_units(block)):
                found.setdefault(repr((unit.kind, unit.data, unit.strategy, unit.mix, unit.seed, unit.variant)), unit)
        labels = list(self.sources())
        variants, strategies = (
            list(dict.fromkeys(getattr(u, n) for u in found.values())) for n in ("variant", "strategy")
        )
        return sorted(
            found.values(),
            key=lambda u: (
                labels.index(u.data),
                u.seed,
                variants.index(u.variant),
                strategies.index(u.strategy),
                KINDS.index(u.kind),
                u.mix or 0,
            ),
        )

    def _plain(self, unit: Unit) -> Unit:
        """A variant that only repeats the design's own settings is no variant."""
        plain = replace(unit, settings={})
        return plain if unit.settings and self.config(plain) == self.config(unit) else unit

    def config(self, unit: Unit, **changes: Any) -> RunConfig:
        """The whole configuration of a unit's training. Raises DataError for a setting that nobody knows."""
        settings = {**self.settings, **unit.settings}
        if axes := [name for name in AXES if name in settings]:
            raise DataError(f"{axes[0]} is an axis of the sweep, not a setting; name its values in {AXES[axes[0]]}")
        settings |= changes
        without = settings.pop(TASK_SETTING, ())
        if unit.kind != "specialist":
            settings["strategy"] = unit.strategy
        if unit.mix is not None and "mix_levels" not in settings:
            settings["mix"] = unit.mix
        try:
            config = preset(self.preset, unit.seed, **settings)
            return replace(config, training=leave_out(config.training, without))
        except (TypeError, ValueError) as error:
            raise DataError(f"{unit}: {error}") from error

    def check(self) -> None:
        """Raise DataError for anything that would fail later, as far as names and numbers tell."""
        if self.preset not in PRESETS:
            raise DataError(f"unknown preset {self.preset!r}; there are {', '.join(PRESETS)}")
        known = {p for protocols in EVALUATION_PROTOCOLS.values() for p in protocols}
        _refuse("protocol", self.protocols, known)
        _refuse("partner", self.partners, NAMES)
        low, high = self.finetune_mixes
        if not (0 < self.finetune_share <= 1 and self.num_places >= 2 and 0 <= low < high <= 1):
            raise DataError(
                "finetune_share must lie between 0 and 1, num_places be at least 2, finetune_mixes be two rising mixes"
            )
        for block in self.blocks:
            _refuse("curve", block.curves, CURVES)
            _refuse("specialist", block.specialists, NAMES)
            if wrong := [mix for mix in block.mixes if not 0 <= mix <= 1]:
                raise DataError(f"mixes must lie between 0 (search only) and 1 (recommendation only), not {wrong}")
        units = self.units()
        if not units:
            raise DataError("the design holds no run; give at least one data set, strategy, mix and seed")
        for config in {repr(config): config for config in map(self.config, units)}.values():
            check_config(config)


def _block_units(block: Block) -> list[Unit]:
    units = []
    labels = [name_source(source) for source in block.data]
    inner = [mix for mix in sorted(block.mixes) if 0 < mix < 1]  # cheap curves start from a model of both tasks
    middle = inner[len(inner) // 2] if inner else 0.5
    for label, seed in itertools.product(labels, block.seeds):
        rankers = [name for name in block.specialists if seed == min(block.seeds) or name not in WITHOUT_SEED]
        units += [Unit("specialist", label, name, None, seed) for name in rankers]
        for strategy, variant in itertools.product(block.strategies, block.variants):
            for curve in block.curves:
                mixes: Sequence[float] = block.mixes if curve == "sweep" else (middle,)
                units += [Unit(curve, label, strategy, mix, seed, dict(variant)) for mix in mixes]
    return units


def leave_out(training: Any, tasks: Sequence[str]) -> Any:
    """A training without some tasks: auxiliary ones, or one of the two kinds of search examples."""
    tasks = [tasks] if isinstance(tasks, str) else list(tasks)
    searches = {"query_to_item": 0.0, "next_search_item": 1.0}
    _refuse("task to leave out", tasks, {*training.aux_shares, *searches})
    if set(searches) <= set(tasks):
        raise DataError("leaving out both kinds of search examples is mix 1, not a task left out")
    shares = {name: share for name, share in training.aux_shares.items() if name not in tasks}
    pseudo = [searches[name] for name in tasks if name in searches]
    return replace(training, aux_shares=shares, **({"pseudo_share": pseudo[0]} if pseudo else {}))


NOTED = ("fingerprints", "version", "runs", SEAL)
"""What a sweep's folder notes beside its design."""


def read_asked(out: Path) -> dict[str, Any]:
    """What a sweep's folder was asked to do last, of what data and code. Raises DataError where that was changed."""
    return read_sealed(out / ASKED, blocks=list, fingerprints=dict, version=str, runs=list)


def asked_units(about: Mapping[str, Any]) -> list[Unit]:
    """The work of a design that `read_asked` gave."""
    return Design.from_json({name: value for name, value in about.items() if name not in NOTED}).units()


def name_source(source: Source) -> str:
    """The name of a data set in tables: that of its folder, or the knobs of a simulated store."""
    if isinstance(source, str):
        return Path(source).name or source
    return "bazaar(" + ", ".join(f"{name}={_short(value)}" for name, value in sorted(source.items())) + ")"


def load_source(source: Source) -> Dataset:
    """Load a data set, or simulate a store with the knobs given; both tasks must have cases to measure.

    Raises DataError where there is none, or where a task could not be measured.
    """
    if isinstance(source, str):
        data = load_dataset(source)
    else:
        try:
            data = simulate(BazaarConfig(**source))
        except TypeError as error:
            known = ", ".join(f.name for f in fields(BazaarConfig))
            raise DataError(
                f"the store {name_source(source)} has a knob that nobody knows; known are {known}"
            ) from error
    for task, split in itertools.product(TASKS, SPLITS):
        if not len(data.cases(task, split)):
            raise DataError(
                f"{name_source(source)} has no {split} case of {task}; a trade-off needs held-out cases of both tasks"
            )
    return data


def _refuse(what: str, given: Sequence[str], known: Any) -> None:
    if unknown := [name for name in given if name not in known]:
        raise DataError(f"unknown {what} {', '.join(map(repr, unknown))}; known are {', '.join(sorted(known))}")


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(_short, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
