"""What the explorers stand on: a trained model, and for the trade-off two short fine-tunes of it and their measured line.

`find_kit` reads what is there, `prepare_kit` makes what is missing, once: a quick model where there is no run, then the
fine-tunes (see `tradeoff.interpolation`), and the points of the line between them. Everything
but the run itself lies in one folder and is made anew when the run's weights have changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import transformers

import gensar_lite
from gensar_lite.data.splits import SPLITS
from gensar_lite.data.storage import (
    DataError,
    check_whole,
    hash_files,
    new_folder,
    own_folder,
    read_sealed,
    write_sealed,
)
from gensar_lite.evaluation.protocols import evaluate_ranker
from gensar_lite.model import GenSAR
from gensar_lite.pipeline.folder import digest_of
from gensar_lite.tradeoff.interpolation import WeightLine
from gensar_lite.tradeoff.results import tidy, write_results
from gensar_lite.tradeoff.runs import metrics_table

DEMO, KIT = Path("runs/demo"), Path("runs/app")
QUICK_STEPS = 500
ENDS = {"search-heavy": 0.1, "recommendation-heavy": 0.9}
"""The mixes of the two fine-tunes, as in `gensar-lite tradeoff`."""
FINETUNE_SHARE, FINETUNE_RATE = 0.25, 0.5
PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)
PROTOCOLS = ("uniform99", "bm25_99")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kit:
    """A model and what was made from it; parts that are not there are None."""

    run: Path
    model: GenSAR
    line: WeightLine | None = None
    curve: Path | None = None


def find_run(run: str | Path | None = None, kit: str | Path = KIT) -> Path | None:
    """The run to show: the one that is named, else that of `make demo`, else the kit's own quick model; None where
    there is none."""
    if run is not None:
        return Path(run)
    return next((path for path in (DEMO, Path(kit) / "model") if (path / "config.json").is_file()), None)


def find_kit(run: str | Path | None = None, kit: str | Path = KIT) -> Kit:
    """The model of a run with what is there for it. Raises DataError where there is no run, or it cannot be read."""
    found = find_run(run, kit)
    if found is None:
        raise DataError("there is no trained model yet; `gensar-lite app` trains a quick one, `make demo` a better one")
    kit, model = Path(kit), _load(found)
    if not _is_current(kit, found):
        return Kit(found, model)
    ends = [_load(kit / "ends" / name) for name in ENDS]
    return Kit(found, model, WeightLine(ends[0], ends[1]), kit / "curve")


def prepare_run(
    run: str | Path | None = None,
    kit: str | Path = KIT,
    steps: int = QUICK_STEPS,
    say: Say = print,
    progress: bool = True,
) -> Path:
    """The folder of the run to show; where there is none, or one of another version in the kit, a quick model is trained."""
    own_folder(kit, "kit")
    own = Path(kit) / "model"
    found = find_run(run, kit)
    if found is None or (found == own and not _can_load(own)):
        why = "No trained model yet" if found is None else f"{own} was made by another version"
        say(f"{why} (`make demo` would make a better one): a quick model is trained, some two minutes.")
        quick_model(steps, progress).save(own)
        found = own
    return found


def prepare_kit(
    run: str | Path | None = None,
    kit: str | Path = KIT,
    steps: int = QUICK_STEPS,
    say: Say = print,
    progress: bool = True,
) -> Path:
    """Make what is missing, and give the run's folder. `steps` are those of the quick model."""
    started = time.perf_counter()
    found, kit = prepare_run(run, kit, steps, say, progress), Path(kit)
    try:
        if _is_current(kit, found):
            return found
    except DataError as error:
        say(f"{error} It is made again.")
    model = _load(found)
    (kit / "kit.json").unlink(missing_ok=True)
    for number, (name, mix) in enumerate(ENDS.items(), start=1):
        say(f"Fine-tune {number} of 2 for the mix slider: {name} …")
        fine_tune(model, mix, progress).save(kit / "ends" / name)
    say("Measuring the line between them …")
    measure_line(model, WeightLine(*(GenSAR.load(kit / "ends" / name) for name in ENDS)), kit / "curve")
    write_sealed(kit / "kit.json", {"made_from": _digest(found)})
    say(f"Ready after {time.perf_counter() - started:.0f} s; the next time needs none of this.")
    return found


def quick_model(steps: int = QUICK_STEPS, progress: bool = True, data: str = "bazaar") -> GenSAR:
    """A model of the embedded store after fewer steps than the preset `tiny` has."""
    store = gensar_lite.load_dataset(data)
    signals = gensar_lite.embed(store)
    table = gensar_lite.learn_identifiers(store, signals)
    return GenSAR.fit(store, signals, table, preset="tiny", steps=steps, progress=progress)


def fine_tune(parent: GenSAR, mix: float, progress: bool = True) -> GenSAR:
    """A short training from a model's weights at another mix, with the shares of `gensar-lite tradeoff`."""
    training = parent.config.training
    steps = max(1, round(training.steps * FINETUNE_SHARE))
    rate = training.learning_rate * FINETUNE_RATE
    changed = replace(training, mix=mix, steps=steps, learning_rate=rate, validate_every=steps)
    config = replace(parent.config, training=changed)
    return GenSAR.fit(parent.data, parent.signals, parent.table, config=config, parent=parent, progress=progress)


def measure_line(parent: GenSAR, line: WeightLine, out: Path) -> None:
    """Rank the held-out cases by the model and at places of the line, and write them as the folder of a sweep, which
    `read_tradeoff` reads."""
    data, parts = parent.data, []
    points = [("sweep", parent.config.training.mix, parent), *(("interpolation", place, None) for place in PLACES)]
    for curve, place, model in points:
        for split in SPLITS:
            ranks = evaluate_ranker(model or line.at(place), data, split, protocols=PROTOCOLS)
            parts.append(ranks.assign(curve=curve, place=place))
    ranks = pd.concat(parts, ignore_index=True)
    weights = digest_of({name: _sum(value) for name, value in parent.backbone.state_dict().items()})
    training = parent.config.training
    about = {
        "fingerprint": data.info["fingerprint"],
        "version": f"{gensar_lite.__version__}+{weights[:12]}",
        "seconds": float("nan"),
        "cpu_seconds": float("nan"),
        "parameters": parent.config.to_json(),
    }
    unit = {
        "data": data.name,
        "strategy": parent.config.identifiers.strategy,
        "mix": training.mix,
        "seed": parent.config.seed,
    }
    finished = {
        "unit": unit,
        "about": about,
        "variant": "",
        "key": "line",
        "metrics": metrics_table(ranks).to_dict("list"),
    }
    with new_folder(out, "curve") as folder:
        (folder / "runs").mkdir()
        with new_folder(folder / "runs" / "line", "sweep's run") as run:
            ranks.to_parquet(run / "ranks.parquet", index=False, compression="zstd")
        write_results(folder, tidy([finished]))


def _can_load(run: Path) -> bool:
    try:
        _load(run)
    except DataError:
        return False
    return True


def _load(run: Path) -> GenSAR:
    """A model without the bars of its loading, which would stand above the explorers."""
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        return GenSAR.load(run)
    finally:
        if bars:
            transformers.utils.logging.enable_progress_bar()


def _sum(value) -> float:
    return float(value.double().sum())


def _digest(run: Path) -> str:
    """A hash of a run's weights and identifiers, and of how the kit is made."""
    how = [ENDS, FINETUNE_SHARE, FINETUNE_RATE, ("model", *PLACES), PROTOCOLS]
    return digest_of(json.loads(json.dumps({"files": hash_files(run, ("model", "identifiers")), "how": how})))


def _is_current(kit: Path, run: Path) -> bool:
    """Whether a kit was made from a run. Raises DataError where it is damaged."""
    path = kit / "kit.json"
    if not path.is_file() or read_sealed(path, made_from=str)["made_from"] != _digest(run):
        return False
    check_whole(kit / "curve", "curve")
    return True
