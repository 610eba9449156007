"""What the page's slider moves along: two short fine-tunes of a run's model, and how well the line between them does.

They lie in a folder, the *kit*, and are made anew when the run's weights have changed. Everything here is the generator alone:
with the evidence of the store both ends answer much alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from gensar_lite.data.sealed import read_sealed
from gensar_lite.data.storage import hash_files, own_folder, write_sealed
from gensar_lite.evaluation.metrics import add_metrics
from gensar_lite.evaluation.protocols import PRIMARY, evaluate_ranker
from gensar_lite.explore.kit import load_quietly
from gensar_lite.model import GenSAR
from gensar_lite.pipeline.folder import digest_of
from gensar_lite.tradeoff.interpolation import WeightLine

ENDS = {"search": 0.0, "recommendation": 1.0}
"""The mixes of the two fine-tunes."""
FINETUNE_SHARE, FINETUNE_RATE = 0.25, 0.5
PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Slider(NamedTuple):
    """The two ends, and what the test says of places between them: {"place", "recommendation", "search"}; place None is the
    model as it was trained."""

    ends: tuple[GenSAR, GenSAR]
    points: list[dict]


def find_slider(run: str | Path, kit: str | Path) -> Slider | None:
    """The slider of a run, if the kit has it and the run is the same. Raises DataError where it is damaged."""
    path = Path(kit) / "kit.json"
    if not path.is_file():
        return None
    told = read_sealed(path, made_from=str, points=list)
    if told["made_from"] != _digest(run):
        return None
    first, second = (load_quietly(Path(kit) / "ends" / name) for name in ENDS)
    return Slider((first, second), told["points"])


def prepare_slider(run: str | Path, kit: str | Path, say: Callable[[str], None], progress: bool = True) -> Slider:
    """The slider of a run; where the kit has none, two fine-tunes are trained and measured, which takes some minutes."""
    found = find_slider(run, kit)
    if found is not None:
        return found
    own_folder(kit, "kit")
    model, kit = load_quietly(run), Path(kit)
    (kit / "kit.json").unlink(missing_ok=True)
    for number, (name, mix) in enumerate(ENDS.items(), start=1):
        say(f"Fine-tune {number} of 2 for the slider: {name} …")
        fine_tune(model, mix, progress).save(kit / "ends" / name)
    say("Measuring the line between them …")
    ends = load_quietly(kit / "ends" / "search"), load_quietly(kit / "ends" / "recommendation")
    points = measure_line(model, WeightLine(*ends))
    write_sealed(kit / "kit.json", {"made_from": _digest(run), "points": points})
    return Slider(ends, points)


def fine_tune(parent: GenSAR, mix: float, progress: bool = True) -> GenSAR:
    """A short training from a model's weights at another mix."""
    training = parent.config.training
    steps = max(1, round(training.steps * FINETUNE_SHARE))
    rate = training.learning_rate * FINETUNE_RATE
    changed = replace(training, mix=mix, steps=steps, learning_rate=rate, validate_every=steps)
    config = replace(parent.config, training=changed, evidence=())
    return GenSAR.fit(parent.data, parent.signals, parent.table, config=config, parent=parent, progress=progress)


def measure_line(parent: GenSAR, line: WeightLine) -> list[dict]:
    """NDCG@10 of both tasks on the test, by their primary protocols (a mean over users), as trained and along the line."""
    data, points = parent.data, []
    for place in (None, *PLACES):
        model = (parent if place is None else line.at(place)).hearing(())
        ranks = evaluate_ranker(model, data, "test", protocols=[PRIMARY[task][0] for task in PRIMARY])
        asked = add_metrics(ranks, ("NDCG@10",))
        asked = asked[asked["protocol"] == asked["task"].map({task: PRIMARY[task][0] for task in PRIMARY})]
        by_user: pd.Series = asked.groupby(["task", "user_id"])["NDCG@10"].mean()
        values = by_user.groupby("task").mean()
        points.append({"place": place, **{task: float(values[task]) for task in PRIMARY}})
    return points


def _digest(run: str | Path) -> str:
    """A hash of a run's weights and identifiers, and of how the slider is made."""
    how = [list(ENDS.items()), FINETUNE_SHARE, FINETUNE_RATE, list(PLACES)]
    return digest_of({"files": hash_files(Path(run), ("model", "identifiers")), "how": how})
