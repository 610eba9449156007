"""Curves: what a sweep measured, by user, place and seed, read from its results and the ranks behind them.

Explained in notebook 08. Validation cases choose (which points are on the front, which one of a curve to take), test
cases report.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.metrics import add_metrics
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.evidence import NAMES as EVIDENCE
from gensar_lite.tradeoff.results import CURVE

POINT = [*CURVE, "place"]
MIXED = ("fingerprint", "version")
SEPARATE_WEIGHTS = "fusion"  # curves whose weight is chosen for each task by itself: no weight of a model is shared
GENERATIVE = {"search": 0.0, "recommendation": 1.0}
"""The mix at which a generative model serves one task alone."""
ENDS = list(GENERATIVE.values())


@dataclass(frozen=True)
class Goals:
    """What is measured as one point: a protocol per task and one metric."""

    recommendation: str = PRIMARY["recommendation"][0]
    search: str = PRIMARY["search"][0]
    metric: str = "NDCG@10"

    def of(self, task: str) -> str:
        """The protocol of a task."""
        return self.recommendation if task == "recommendation" else self.search


PRIMARY_GOALS = Goals()


@dataclass(frozen=True)
class Curve:
    """One curve: `places` (P,), test values per user `users` (S, P, 2, U) with NaN where a user has no case of the
    task, validation means `valid` (S, P, 2), `cpu_minutes` and `minutes` (S,) of its trainings.

    The U users are those of the data set, the same for all of its curves. A specialist is a curve with one place, NaN, and NaN in the task
    that it does not serve. `name` holds the columns `CURVE` and `evidence`, what of the store the model hears, joined by "+".
    """

    name: dict[str, str]
    seeds: list[int]
    places: np.ndarray
    users: np.ndarray
    valid: np.ndarray
    cpu_minutes: np.ndarray
    minutes: np.ndarray

    @property
    def test(self) -> np.ndarray:
        """(S, P, 2) mean test values."""
        return np.asarray(np.nanmean(self.users, axis=3, dtype=np.float64))

    @property
    def chosen(self) -> tuple[int, int]:
        """The points (rows of `places`) to take for recommendation and for search, by validation alone.

        One model at one place: the one with the best mean of both tasks, of a sweep that was trained for both where there is such a one.
        Only fused scores, which leave the model alone, choose a weight for each task.
        """
        valid = self.valid.mean(axis=0)
        if self.name["curve"].startswith(SEPARATE_WEIGHTS):
            return int(valid[:, 0].argmax()), int(valid[:, 1].argmax())
        both = valid.mean(axis=1)
        if self.name["curve"] == "sweep" and serves_both(self):
            both = np.where(np.isin(self.places, ENDS), -np.inf, both)
        best = int(both.argmax())
        return best, best


def inner(curve: Curve) -> Curve:
    """A sweep's curve without its models of one task, where it has others; other curves as they are."""
    return (
        at_places(curve, np.setdiff1d(curve.places, ENDS))
        if curve.name["curve"] == "sweep" and serves_both(curve)
        else curve
    )


def serves_both(curve: Curve) -> bool:
    """Whether some model of a curve was trained for both tasks."""
    return curve.name["curve"] != "sweep" or bool(set(curve.places) - set(ENDS))


def at_places(curve: Curve, places: np.ndarray) -> Curve:
    """A sweep's curve with some of its places alone, and the cost of those."""
    rows = np.isin(curve.places, places)
    share = rows.mean()
    return replace(
        curve,
        places=curve.places[rows],
        users=curve.users[:, rows],
        valid=curve.valid[:, rows],
        cpu_minutes=curve.cpu_minutes * share,
        minutes=curve.minutes * share,
    )


def refuse_mixture(results: pd.DataFrame) -> None:
    """Raise DataError where one data set's results come from several fingerprints or versions of the code, or where
    two runs claim the same point of a curve."""
    for column in MIXED:
        several = results.groupby("data")[column].nunique()
        if (several > 1).any():
            label = several.idxmax()
            values = ", ".join(map(str, results.loc[results["data"] == label, column].unique()))
            raise DataError(f"the results of {label} mix several values of {column} ({values}); choose one first")
    if clashing(results).any():
        row = results[clashing(results)].iloc[0].to_dict()
        raise DataError(
            f"several runs claim the point {row['place']:g} of {describe_choice(row)} on {row['data']}: they differ in "
            "settings that all runs of a folder should share; use another --out for other settings"
        )


def clashing(results: pd.DataFrame) -> pd.Series:
    """Which rows say what a row of another run says, too: same curve, place, seed and measurement."""
    what = [*POINT, "seed", "task", "protocol", "split", "metric"]
    return results.groupby(what, dropna=False, observed=True)["run"].transform("nunique") > 1


def read_curves(
    results: pd.DataFrame,
    ranks: pd.DataFrame | Iterable[pd.DataFrame],
    goals: Goals = PRIMARY_GOALS,
    specialists: bool = False,
) -> list[Curve]:
    """All curves that serve both tasks, or all `specialists`. Seeds that lack a place that others have are left out of that curve.

    `ranks` may come a run at a time (`ranks_of_runs`): what stays in memory is one number for each user, place, seed and task.
    Raises DataError where results of several data sets under one name, of several versions or settings, are mixed.
    """
    refuse_mixture(results)
    cells, users = _cells([ranks] if isinstance(ranks, pd.DataFrame) else ranks, goals)
    means = results[(results["split"] == "valid") & (results["metric"] == goals.metric)]
    heard = results.drop_duplicates(CURVE).set_index(CURVE)["parameters"].map(evidence_of)
    curves = []
    for keys, own in cells.items():
        name = dict(zip(CURVE, map(str, keys), strict=True))
        if specialists != (name["curve"] == "specialist"):
            continue
        if not specialists and {task for *_, task in own} != set(TASKS):
            continue
        valid = means[(means[CURVE] == list(keys)).all(axis=1)]
        name["evidence"] = "" if specialists else heard[keys]
        curves.append(_one_curve(name, own, len(users[name["data"]]), valid))
    return curves


Cell = tuple[np.ndarray, np.ndarray]  # users, by number, and their values


def _cells(
    tables: Iterable[pd.DataFrame], goals: Goals
) -> tuple[dict[tuple, dict[tuple[int, float | None, str], Cell]], dict[str, pd.Index]]:
    """Values by curve, then by seed, place (None: it has none) and task; and the users of each data set."""
    cells: dict[tuple, dict[tuple[int, float | None, str], Cell]] = {}
    users: dict[str, pd.Index] = {}
    columns = [*POINT, "seed", "task"]
    for table in tables:
        for keys, part in user_values(table, goals).groupby(columns, sort=False, dropna=False, observed=True):
            *curve, place, seed, task = cast(tuple[Any, ...], keys)
            label, ids = str(curve[0]), pd.Index(part["user_id"])
            known = users.get(label)
            known = ids if known is None else known if ids.isin(known).all() else known.union(ids, sort=False)
            users[label] = known
            found = known.get_indexer(ids).astype(np.int32), part["value"].to_numpy(np.float32)
            cells.setdefault(tuple(curve), {})[int(seed), None if place != place else float(place), task] = found
    return cells, users


def user_values(ranks: pd.DataFrame, goals: Goals) -> pd.DataFrame:
    """Mean test value of each user, seed, place and task: columns of `POINT`, seed, task, user_id, value."""
    wanted = (ranks["split"] == "test") & (ranks["protocol"] == ranks["task"].map(goals.of))
    table = add_metrics(ranks[wanted], (goals.metric,))
    columns = [*POINT, "seed", "task", "user_id"]
    found = table.groupby(columns, sort=False, dropna=False, observed=True)[goals.metric].mean()
    return found.rename("value").reset_index()


def _one_curve(name: dict[str, str], cells: dict[tuple, Cell], num_users: int, valid: pd.DataFrame) -> Curve:
    there = {(seed, place) for seed, place, _ in cells}
    places = sorted({place for _, place in there if place is not None}) or [None]
    seeds = sorted({seed for seed, _ in there})
    whole = [seed for seed in seeds if all((seed, place) in there for place in places)]
    if not whole:  # a sweep under way: what the seed with the most has
        whole = [max(seeds, key=lambda seed: sum(seed == s for s, _ in there))]
        places = [place for place in places if (whole[0], place) in there]
    table = np.full((len(whole), len(places), len(TASKS), num_users), np.nan, np.float32)
    for s, p, t in np.ndindex(table.shape[:3]):
        if (cell := cells.get((whole[s], places[p], TASKS[t]))) is not None:
            table[s, p, t, cell[0]] = cell[1]
    at = np.array([np.nan if place is None else place for place in places])
    chosen = valid[valid["seed"].isin(whole) & (valid["place"].isin(at) | valid["place"].isna())]
    means = np.full((len(whole), len(places), len(TASKS)), np.nan)
    for number, task in enumerate(TASKS):
        rows = chosen[(chosen["task"] == task) & (chosen["protocol"] == PRIMARY[task][0])]
        row = _rows_of(whole, rows["seed"]), _rows_of(at, rows["place"])
        means[row[0], row[1], number] = rows["value"]
    runs = chosen.drop_duplicates(["seed", "run"]).groupby("seed")[["seconds", "cpu_seconds"]].sum() / 60
    spent = runs.reindex(whole)
    return Curve(name, whole, at, table, means, spent["cpu_seconds"].to_numpy(), spent["seconds"].to_numpy())


def _rows_of(known: Any, values: pd.Series) -> np.ndarray:
    """The place of each value among the known ones."""
    return pd.Index(known).get_indexer(pd.Index(values))


def evidence_of(parameters: str) -> str:
    """What of the store a run's model hears, by its recorded parameters; "" is the generator alone."""
    return "+".join(json.loads(parameters).get("evidence", ()))


def steps_of(parameters: str) -> float:
    """The training steps that a run made, by its recorded parameters; NaN for a ranker."""
    return float(json.loads(parameters).get("steps", np.nan))


def describe_choice(row: Mapping[Any, Any]) -> str:
    """A curve's name in words: `gensar` is the generator alone, `gensar + evidence` hears all that the store says."""
    kind = "" if row["curve"] == "sweep" else f", {row['curve']}"
    name, variant = row["strategy"], row["variant"].split(", ") if row["variant"] else []
    if (heard := row.get("evidence")) is not None:
        variant = [change for change in variant if not change.startswith("evidence=")]
        name += f" + {'evidence' if heard == '+'.join(EVIDENCE) else heard}" if heard else ""
    changes = f" ({', '.join(variant)})" if variant else ""
    return f"{name}{changes}{kind}"
