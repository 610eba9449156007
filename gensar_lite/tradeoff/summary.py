"""Everything that a sweep's folder says, in one object: for the command, for notebooks, for figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import write_sealed
from gensar_lite.tradeoff.agreement import signals_table
from gensar_lite.tradeoff.comparing import (
    compare_alike,
    compare_at_price,
    compare_mixes,
    compare_variants,
    compare_volumes,
    compare_with_specialists,
    specialists_table,
)
from gensar_lite.tradeoff.curve import (
    PRIMARY_GOALS,
    Curve,
    Goals,
    clashing,
    describe_choice,
    read_curves,
    refuse_mixture,
    serves_both,
)
from gensar_lite.tradeoff.design import Unit
from gensar_lite.tradeoff.pareto import REFERENCE
from gensar_lite.tradeoff.reading import curves_table, points_table
from gensar_lite.tradeoff.results import ranks_of_runs, read_results

Tables = Mapping[str, pd.DataFrame]


class Reading(NamedTuple):
    """The curves of a sweep and the tables read from them (`TABLES` says what each one is)."""

    results: pd.DataFrame
    curves: list[Curve]
    points: pd.DataFrame
    volumes: pd.DataFrame
    specialists: pd.DataFrame
    volume_differences: pd.DataFrame
    strategies: pd.DataFrame
    distances: pd.DataFrame
    signals: pd.DataFrame
    mixes: pd.DataFrame = pd.DataFrame()
    variants: pd.DataFrame = pd.DataFrame()
    cheap: pd.DataFrame = pd.DataFrame()
    missing: int = 0
    """How many of the runs that were asked for are not there."""


TABLES = {
    "points": "every point of every curve, with intervals and the front",
    "volumes": "every curve: chosen place, hypervolume, cost",
    "specialists": "rankers and generative models of one task",
    "volume_differences": "paired differences of the hypervolume of the reference strategy's sweep and every other sweep",
    "strategies": "paired differences of the reference strategy and every other one that was trained alike",
    "variants": "paired differences of every variant of a strategy and the one that it adds to, or the one before it",
    "distances": "paired differences of every curve's chosen model and the best ranker, and the best generative model, of each task alone",
    "mixes": "paired differences of each mix of a sweep and the one before it",
    "cheap": "paired differences of the hypervolume of every cheap curve and of the sweep of its strategy at equal price",
    "signals": "how far the two signals agree, and how well each recommends alone on validation cases",
}


def read_tradeoff(
    folder: str | Path,
    goals: Goals = PRIMARY_GOALS,
    version: str | None = None,
    fingerprints: Mapping[str, str] | None = None,
    units: Sequence[Unit] = (),
    runs: Iterable[str] | None = None,
) -> Reading:
    """Read a sweep's folder. `version`, `fingerprints` (data set -> fingerprint) and `runs` (those of one design, which
    win where others claim the same point) choose where the folder holds several; without them, a mixture raises
    DataError. Tables are in the order of the design's `units`. All other curves are compared with that of the first of their strategies, or
    else of gensar or the first one."""
    results = read_results(folder)
    if version is not None:
        results = results[results["version"] == version]
    if fingerprints is not None:
        results = results[results["fingerprint"] == results["data"].map(fingerprints)]
    asked = set(runs or ())
    if asked:
        results = results[~clashing(results) | results["run"].isin(asked)]
    refuse_mixture(results)
    order = {(u.data, u.strategy, u.variant): number for number, u in reversed(list(enumerate(units)))}
    number = [
        order.get(key, len(units)) for key in zip(*(results[c] for c in ("data", "strategy", "variant")), strict=True)
    ]
    results = results.iloc[np.argsort(number, kind="stable")]
    protocols = list(dict.fromkeys(goals.of(task) for task in TASKS))

    def read(specialists: bool) -> list[Curve]:
        return read_curves(results, ranks_of_runs(folder, results, "test", protocols), goals, specialists)

    curves = read(specialists=False) if len(results) else []
    names = [describe_choice(curve.name) for curve in curves if serves_both(curve)]
    first = [unit.strategy for unit in units if unit.kind != "specialist"][:1]
    preferred = [name for name in (*first, "gensar", *names) if name in names]
    chosen = preferred[0] if preferred else ""
    strategy = next((c.name["strategy"] for c in curves if describe_choice(c.name) == chosen), "")
    return Reading(
        results,
        curves,
        points_table(curves),
        curves_table(curves),
        specialists_table(results, goals),
        compare_volumes(curves, chosen),
        compare_alike(curves, strategy, goals),
        compare_with_specialists(results, curves, read(specialists=True), goals) if curves else pd.DataFrame(),
        signals_table(Path(folder), dict(results[["data", "fingerprint"]].drop_duplicates().to_numpy().tolist())),
        compare_mixes(curves, goals),
        compare_variants(curves, goals),
        compare_at_price(curves),
        len(asked - set(results["run"])),
    )


def write_reading(folder: str | Path, reading: Reading, goals: Goals, about: Mapping[str, Any]) -> Path:
    """Write `summary.json`: what was asked (`about`), the goals, the reference point and all tables but the results."""
    tables = {name: records(getattr(reading, name)) for name in TABLES}
    path = Path(folder) / f"{named('summary', goals)}.json"
    said = {"goals": vars(goals), "reference_point": REFERENCE, "tables": TABLES}
    write_sealed(path, {**about, **said, **tables})
    return path


def named(name: str, goals: Goals) -> str:
    """The name of a file; readings by other goals than the primary ones stand beside those by the primary ones."""
    return name if goals == PRIMARY_GOALS else "_".join([name, *vars(goals).values()]).replace("@", "")


def _signals_text(reading: Reading, label: str) -> list[str]:
    """How far the signals of a data set agree, and what each says alone, means over seeds."""
    own = reading.signals[reading.signals["data"] == label] if len(reading.signals) else reading.signals
    return [
        f"signals ({kind}): of an item's nearest by text {row['agreement']:.1%} are its nearest by co-clicks, too (by chance {row['by_chance']:.1%}); "
        f"on validation cases text alone recommends {row['semantic']:.3f}, co-clicks alone {row['collaborative']:.3f}"
        for kind, row in (own.groupby("signals").mean(numeric_only=True).iterrows() if len(own) else ())
    ]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON holds them: numbers of seven digits, no NaN."""
    return [{str(k): _plain(v) for k, v in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.7g}") if np.isfinite(value) else None
    return value


def missing_text(missing: int) -> str:
    """What to say of runs that were asked for and are not done."""
    are = "run is" if missing == 1 else "runs are"
    return f"{missing} {are} not done yet (under way, or failed): what is said here is of the others, and may change."


def summary_text(reading: Reading, goals: Goals) -> str:
    """The table of curves that the command ends with, after the sentences of `decision`, and what the signals say."""
    lines: list[str] = []
    for label in reading.volumes["data"].unique() if len(reading.volumes) else []:
        protocols = f"{goals.metric}, recommendation {goals.recommendation}, search {goals.search}, test cases"
        lines += ["", f"{label}: {protocols}"]
        lines.append(
            f"{'curve':38}{'place':>12}{'rec':>8}{'search':>8}{'volume':>9}{'interval':>16}{'CPU min':>9}{'per min':>9}"
        )
        part = reading.volumes[reading.volumes["data"] == label].sort_values("hypervolume", ascending=False)
        for row in part.to_dict("records"):
            places = dict.fromkeys(f"{row[f'chosen_{task}']:g}" for task in TASKS)
            interval = "one seed" if row["num_seeds"] < 2 else f"{row['low']:.4f} {row['high']:.4f}"
            lines.append(
                f"{describe_choice(row)[:37]:38}{' / '.join(places):>12}{row['recommendation']:8.3f}{row['search']:8.3f}"
                f"{row['hypervolume']:9.4f}{interval:>16}{row['cpu_minutes']:9.2f}{row['per_cpu_minute']:9.3f}"
            )
        lines += _signals_text(reading, label)
        best = reading.specialists
        best = best[(best["data"] == label) & best["best"]] if len(best) else best
        for row in best.to_dict("records"):
            lines.append(f"best specialist of {row['task']}: {row['specialist']} {row['value']:.3f}")
    if lines:
        lines += [
            "",
            "place: chosen on validation. volume: area above (0, 0) under the points, in the order of validation.",
        ]
    if reading.missing:
        lines += ["", missing_text(reading.missing)]
    return "\n".join(lines)
