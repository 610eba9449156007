"""Sweeps over strategies, mixes, seeds and settings: stopped and resumed at any moment, shared by processes.

Explained in notebook 08. `run_sweep` does what is left of a design. Everything that decides about a result is part of
its key, so a finished run is found again and nothing else is taken for it; results of another data set under the
same name, or of other code, stop the sweep unless they are wanted beside the new ones.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import SEAL, DataError, new_folder, own_folder, write_json, write_sealed
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.pipeline.estimate import estimate_bytes, estimate_seconds, gigabytes, in_words
from gensar_lite.pipeline.folder import digest_of
from gensar_lite.tradeoff.design import ASKED, Design, Unit, read_asked
from gensar_lite.tradeoff.results import tidy, write_results
from gensar_lite.tradeoff.runs import Outcome, do_unit, metrics_table
from gensar_lite.tradeoff.study import FrozenTrial, TrialState, Work, code_version
from gensar_lite.tradeoff.workshop import Clock, Cost, Workshop, codebooks

Say = Callable[[str], None]
STUDY = "tradeoff"
SHARED = ("preset", "settings", "finetune_mixes", "finetune_share", "finetune_rate", "num_places", "levels")
"""What all runs of a folder have in common."""


class Progress(NamedTuple):
    """How a sweep stands: the tidy table, failures (label -> error), and the runs that other processes have not ended."""

    results: pd.DataFrame
    failures: dict[str, str]
    open: int


def run_sweep(
    design: Design,
    out: str | Path,
    *,
    storage: str | None = None,
    study: str = STUDY,
    retry_failed: bool = False,
    keep_others: bool = False,
    progress: bool = True,
    say: Say = lambda sentence: None,
) -> Progress:
    """Do all runs of a design that are not done, and give the table of all that are.

    `out` is the sweep's folder, new or of an earlier call with the same preset and settings. `storage` is the URL of a database for machines that share
    no folder; each then has its own `out`. `retry_failed` tries failed runs again. `keep_others` goes on beside
    results of other data or code in the same study, which are not read. Raises DataError before the first training
    where the design cannot be run.
    """
    design.check()
    out = own_folder(out, "sweep")
    version = code_version()
    shop = Workshop(design, out, version, progress)
    fingerprints = {label: shop.dataset(label).info["fingerprint"] for label in shop.sources}
    units = {unit_key(unit, design, fingerprints[unit.data], version): unit for unit in design.units()}
    work = Work(out, storage, study)
    if not keep_others:
        _refuse_others(work, fingerprints, version, out)
    _refuse_other_settings(work, design, version, out)
    write_sealed(
        out / ASKED, {**design.to_json(), "fingerprints": fingerprints, "version": version, "runs": list(units)}
    )
    work.add(units)
    if retry_failed:
        _retry(work, set(units))
    sweep = _Sweep(design, shop, work, units, fingerprints, version, say)
    sweep.announce()
    while (trial := work.take(set(units))) is not None:
        sweep.do(trial)
        progress_of(work, out, set(units))  # whoever wants to look in between finds a table
    return progress_of(work, out, set(units))


def unit_key(unit: Unit, design: Design, fingerprint: str, version: str) -> str:
    """A hash of everything that decides about a run's results."""
    content: dict[str, Any] = {
        "unit": {name: value for name, value in vars(unit).items() if name != "settings"},
        "config": design.config(unit).to_json(),
        "codebooks": None if unit.kind == "specialist" else codebooks(design.config(unit)),
        "protocols": sorted(design.protocols),
        "fingerprint": fingerprint,
        "version": version,
    }
    if unit.kind == "interpolation":
        content["line"] = [design.finetune_mixes, design.finetune_share, design.finetune_rate, design.num_places]
    if unit.kind == "conditioned":
        content["levels"] = design.levels
    if unit.kind == "fusion":
        content["partners"] = [design.partners, design.num_places]
    return digest_of(json.loads(json.dumps(content)))


def progress_of(work: Work, out: Path, keys: set[str]) -> Progress:
    """The state of a study; writes `results.parquet`. Results of all designs in the study are in the table."""
    with work.lock:  # or a process that has read fewer runs would write over the table of one that has read more
        done = {t.user_attrs["key"]: t.user_attrs for t in work.trials(TrialState.COMPLETE)}
        results = tidy(done.values())
        write_results(out, results)
    waiting = work.trials(TrialState.RUNNING, TrialState.WAITING)
    open_ = {t.user_attrs.get("key") for t in waiting} & keys
    failures = {
        t.user_attrs["label"]: t.user_attrs.get("error", "")
        for t in work.trials(TrialState.FAIL)
        if t.user_attrs.get("key") in keys - done.keys() - open_
    }
    return Progress(results, failures, len(open_ - done.keys()))


def _refuse_others(work: Work, fingerprints: dict[str, str], version: str, out: Path) -> None:
    for trial in work.trials(TrialState.COMPLETE):
        about, label = trial.user_attrs["about"], trial.user_attrs["unit"]["data"]
        other_data = label in fingerprints and about["fingerprint"] != fingerprints[label]
        if other_data or about["version"] != version:
            what = (
                f"another data set called {label} (fingerprint {about['fingerprint'][:12]}, now {fingerprints[label][:12]})"
                if other_data
                else f"other code (version {about['version']}, now {version})"
            )
            raise DataError(
                f"{out} holds results of {what}; choose another --out, or go on beside them, unread, with --keep-others"
            )


def _refuse_other_settings(work: Work, design: Design, version: str, out: Path) -> None:
    """Runs of one folder and version are compared, so what they share must be the same."""
    if not ((out / ASKED).is_file() and work.trials(TrialState.COMPLETE)):
        return
    before, now = read_asked(out), json.loads(json.dumps(design.to_json()))
    changed = [name for name in SHARED if before[name] != now[name]]
    if changed and before["version"] == version:
        told = "; ".join(f"{name} was {before[name]}, now {now[name]}" for name in changed)
        raise DataError(
            f"{out} holds runs with other settings ({told}), and runs of one folder are compared; choose another --out"
        )


def _retry(work: Work, keys: set[str]) -> None:
    alive = {t.user_attrs["key"] for t in work.trials(TrialState.COMPLETE, TrialState.WAITING, TrialState.RUNNING)}
    failed = {t.user_attrs["key"]: t for t in work.trials(TrialState.FAIL)}
    for key, trial in failed.items():
        if key in keys - alive:
            work.add_again(trial)


class _Sweep:
    """One process that works on a study."""

    def __init__(
        self,
        design: Design,
        shop: Workshop,
        work: Work,
        units: dict[str, Unit],
        fingerprints: dict[str, str],
        version: str,
        say: Say,
    ) -> None:
        self.design, self.shop, self.work, self.units = design, shop, work, units
        self.fingerprints, self.version, self.say = fingerprints, version, say
        self.guess = 0.0  # seconds of a training, before any has been seen

    def announce(self) -> None:
        """Say what is ahead, with a first guess of how long it takes."""
        done = {t.user_attrs["key"] for t in self.work.trials(TrialState.COMPLETE, TrialState.FAIL)} & self.units.keys()
        left = [unit for key, unit in self.units.items() if key not in done]
        guess = ""
        if trained := [unit for unit in left if unit.kind != "specialist"]:
            sizes = self.shop.dataset(trained[0].data), self.design.config(trained[0])
            self.guess = estimate_seconds(*sizes)
            guess = f"; trainings will take {in_words(self.guess * len(trained))} and {gigabytes(estimate_bytes(*sizes))} of memory (a guess from sizes and a short speed test)"
        self.say(f"{len(self.units)} runs, {len(done)} of them done{guess}.")

    def do(self, trial: FrozenTrial) -> None:
        """Do one run; a failure is recorded and the next one goes on."""
        key = trial.user_attrs["key"]
        unit = self.units[key]
        clock = Clock()
        try:
            with self.work.alive(trial):
                outcome = do_unit(unit, self.design, self.shop)
                told = self.record(trial, key, unit, outcome, clock.cost)
                self.shop.forget_checkpoints()
        except Exception as error:  # whatever it is, the other runs can go on
            sentence = " ".join(str(error).split()) or type(error).__name__
            if not isinstance(error, DataError):
                sentence = f"{type(error).__name__}: {sentence}"
            self.work.fail(trial, sentence, traceback.format_exc())
            told = f"FAILED ({sentence})"
        self.say(f"{self.count()}: {unit}: {told}{self.left()}")

    def record(self, trial: FrozenTrial, key: str, unit: Unit, outcome: Outcome, spent: Cost) -> str:
        """Write ranks and metrics; gives the result in words."""
        table = pd.concat([metrics_table(outcome.ranks), outcome.lists], ignore_index=True)
        about = {
            "fingerprint": self.fingerprints[unit.data],
            "version": self.version,
            "seconds": round(outcome.training.wall, 3),
            "cpu_seconds": round(outcome.training.cpu, 3),
            "before_seconds": round(outcome.before.wall, 3),
            "before_cpu_seconds": round(outcome.before.cpu, 3),
            "added": {curve: [round(cost.wall, 3), round(cost.cpu, 3)] for curve, cost in outcome.added.items()},
            "run_seconds": round(spent.wall, 3),  # this process: what was kept from other runs took nothing
            "parameters": {**self.design.config(unit).to_json(), **outcome.notes},
        }
        with new_folder(self.shop.out / "runs" / key, "sweep's run") as folder:
            outcome.ranks.to_parquet(folder / "ranks.parquet", index=False, compression="zstd")
            write_json(folder / "run.json", {"unit": vars(unit), **about})
        attributes = {"metrics": _columns(table), "about": about, "variant": unit.variant}
        self.work.finish(trial, _primary(table), {**attributes, SEAL: digest_of(attributes)})
        values = {task: _best_on_validation(table, task) for task in TASKS}
        said = ", ".join(f"{task} {value:.3f}" for task, value in values.items() if value is not None)
        return f"{said} (validation); {in_words(spent.wall) if spent.wall >= 10 else f'{spent.wall:.0f} seconds'}"

    def count(self) -> str:
        """How many of this design's runs are over."""
        over = {t.user_attrs.get("key") for t in self.work.trials(TrialState.COMPLETE, TrialState.FAIL)}
        return f"{len(over & self.units.keys())} of {len(self.units)}"

    def left(self) -> str:
        """An estimate of what is left, from the runs of the same kind that are over and the processes at work."""
        done = self.work.trials(TrialState.COMPLETE)
        spent: dict[str, list[float]] = {}
        for trial in done:
            spent.setdefault(trial.user_attrs["unit"]["kind"], []).append(trial.user_attrs["about"]["run_seconds"])
        waiting = [t for t in self.work.trials(TrialState.WAITING) if t.user_attrs.get("key") in self.units]
        if not waiting or not spent:
            return ""
        mean = {kind: sum(seconds) / len(seconds) for kind, seconds in spent.items()}
        seen = [seconds for kind, seconds in mean.items() if kind != "specialist"]
        overall = max(seen, default=self.guess)  # a kind that has not run yet: rather too long than too short
        total = sum(mean.get(t.user_attrs["unit"]["kind"], overall) for t in waiting)
        workers = 1 + len(self.work.trials(TrialState.RUNNING))
        return f"; {in_words(total / workers)} left"


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as JSON holds them: no NaN."""
    return {
        str(name): [None if isinstance(v, float) and v != v else v for v in column.tolist()]
        for name, column in table.items()
    }


def _best_on_validation(table: pd.DataFrame, task: str) -> float | None:
    """The primary metric of a task, the best place of a curve; None for a ranker that does not serve it."""
    columns = ["task", "protocol", "metric", "split"]
    chosen = table[(table[columns] == [task, *PRIMARY[task], "valid"]).all(axis=1)]
    return float(chosen["value"].max()) if len(chosen) else None


def _primary(table: pd.DataFrame) -> tuple[float, float]:
    """Both goals on validation, for the study; 0 for a task that is not served."""
    first, second = (_best_on_validation(table, task) or 0.0 for task in ("recommendation", "search"))
    return first, second
