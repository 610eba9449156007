"""Reading curves: points with intervals, fronts, hypervolumes, and what each curve costs.

Explained in notebook 08. Validation cases choose (which points are on the front, which one of a curve to take), test
cases report. Intervals come from resampling users within seeds; the range over seeds stands beside them. One seed
says nothing about another training, so it gets no interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.metrics import add_metrics
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.tradeoff.pareto import REFERENCE, hypervolume, pareto_front
from gensar_lite.tradeoff.results import CURVE

POINT = [*CURVE, "place"]
NUM_RESAMPLES = 2000
DRAWS_AT_ONCE = 2**21  # users times resamples in memory at a time: 32 MiB
MIXED = ("fingerprint", "version")
SEPARATE_WEIGHTS = "fusion"  # curves whose weight is chosen for each task by itself: no weight of a model is shared


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
    task, validation means `valid` (S, P, 2), `cpu_minutes` and `minutes` (S,) of its trainings."""

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
        return np.nanmean(self.users, axis=3)

    @property
    def chosen(self) -> tuple[int, int]:
        """The points (rows of `places`) to take for recommendation and for search, by validation alone.

        One model at one place: the one with the best mean of both tasks. Only fused scores, which leave the model
        alone, choose a weight for each task.
        """
        valid = self.valid.mean(axis=0)
        if self.name["curve"].startswith(SEPARATE_WEIGHTS):
            return int(valid[:, 0].argmax()), int(valid[:, 1].argmax())
        best = int(valid.mean(axis=1).argmax())
        return best, best


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


def read_curves(results: pd.DataFrame, ranks: pd.DataFrame, goals: Goals = PRIMARY_GOALS) -> list[Curve]:
    """All curves that serve both tasks. Seeds that lack a place that others have are left out of that curve.

    Raises DataError where results of several data sets under one name, of several versions or settings, are mixed.
    """
    refuse_mixture(results)
    values = user_values(ranks, goals)
    means = results[(results["split"] == "valid") & (results["metric"] == goals.metric)]
    curves = []
    for keys, part in values.groupby(CURVE, sort=False, observed=True):
        name = dict(zip(CURVE, map(str, keys), strict=True))
        if part["task"].nunique() < len(TASKS) or name["curve"] == "specialist":
            continue
        own = means[(means[CURVE] == list(keys)).all(axis=1)]
        curves.append(_one_curve(name, part, own, goals))
    return curves


def user_values(ranks: pd.DataFrame, goals: Goals) -> pd.DataFrame:
    """Mean test value of each user, seed, place and task: columns of `POINT`, seed, task, user_id, value."""
    wanted = (ranks["split"] == "test") & (ranks["protocol"] == ranks["task"].map(goals.of))
    table = add_metrics(ranks[wanted], (goals.metric,))
    columns = [*POINT, "seed", "task", "user_id"]
    found = table.groupby(columns, sort=False, dropna=False, observed=True)[goals.metric].mean()
    return found.rename("value").reset_index()


def _one_curve(name: dict[str, str], values: pd.DataFrame, valid: pd.DataFrame, goals: Goals) -> Curve:
    places = np.sort(values["place"].unique())
    measured = values.groupby("seed")["place"].nunique()
    seeds = sorted(measured.index[measured == len(places)].tolist())
    if not seeds:  # a sweep under way: what the first seed has
        seeds = [int(measured.index[int(np.argmax(measured.to_numpy()))])]
        places = np.sort(values.loc[values["seed"] == seeds[0], "place"].unique())
    users = np.sort(values["user_id"].unique())
    inside = values[values["seed"].isin(seeds) & values["place"].isin(places)]
    table = np.full((len(seeds), len(places), len(TASKS), len(users)), np.nan)
    at = (
        _rows_of(seeds, inside["seed"]),
        _rows_of(places, inside["place"]),
        _rows_of(TASKS, inside["task"]),
        _rows_of(users, inside["user_id"]),
    )
    table[at] = inside["value"]
    chosen = valid[valid["seed"].isin(seeds) & valid["place"].isin(places)]
    means = np.full((len(seeds), len(places), len(TASKS)), np.nan)
    for number, task in enumerate(TASKS):
        rows = chosen[(chosen["task"] == task) & (chosen["protocol"] == PRIMARY[task][0])]
        row = _rows_of(seeds, rows["seed"]), _rows_of(places, rows["place"])
        means[row[0], row[1], number] = rows["value"]
    runs = chosen.drop_duplicates(["seed", "run"]).groupby("seed")[["seconds", "cpu_seconds"]].sum() / 60
    spent = runs.reindex(seeds)
    return Curve(name, seeds, places, table, means, spent["cpu_seconds"].to_numpy(), spent["seconds"].to_numpy())


def _rows_of(known: Any, values: pd.Series) -> np.ndarray:
    """The place of each value among the known ones."""
    return pd.Index(known).get_indexer(pd.Index(values))


def resample_points(users: np.ndarray, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> np.ndarray:
    """(R, S, P, 2) mean values under R draws of the users, with replacement; all seeds, places and tasks meet the
    same draw, so that their differences are paired. `users` is (S, P, 2, U) with NaN where a user has no case."""
    num_users, rng = users.shape[-1], np.random.default_rng(seed)
    there = np.isfinite(users)
    filled, counted = np.where(there, users, 0), there.astype(float)
    means, step = np.empty((num_resamples, *users.shape[:-1])), max(1, DRAWS_AT_ONCE // num_users)
    for begin in range(0, num_resamples, step):  # the same draws as all at once
        part = means[begin : begin + step]
        draws = rng.multinomial(num_users, np.full(num_users, 1 / num_users), len(part)).astype(float)
        total = np.einsum("ru,...u->r...", draws, filled, optimize=True)
        count = np.einsum("ru,...u->r...", draws, counted, optimize=True)
        part[:] = total / np.maximum(count, 1)
    return means


def points_table(curves: list[Curve], num_resamples: int = NUM_RESAMPLES, confidence: float = 0.95) -> pd.DataFrame:
    """One row per point: for each task the mean over seeds, `_low` and `_high` (interval over users, NaN with one
    seed), `_seed_low` and `_seed_high`, `_valid`, `_chosen`; `num_seeds`; `front`: on validation, no other point of
    the curves of this data set is better."""
    rows = []
    for curve in curves:
        drawn = resample_points(curve.users, num_resamples).mean(axis=1)
        tail = (1 - confidence) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
        for p, place in enumerate(curve.places):
            row: dict[str, object] = {**curve.name, "place": float(place), "num_seeds": len(curve.seeds)}
            for t, task in enumerate(TASKS):
                by_seed = curve.test[:, p, t]
                several = len(curve.seeds) > 1
                row |= {
                    task: by_seed.mean(),
                    f"{task}_low": low[p, t] if several else np.nan,
                    f"{task}_high": high[p, t] if several else np.nan,
                    f"{task}_seed_low": by_seed.min(),
                    f"{task}_seed_high": by_seed.max(),
                    f"{task}_valid": curve.valid[:, p, t].mean(),
                    f"{task}_chosen": curve.chosen[t] == p,
                }
            rows.append(row)
    table = pd.DataFrame(rows)
    if len(table):
        table["front"] = False
        for _, part in table.groupby("data", sort=False):
            valid = part[[f"{task}_valid" for task in TASKS]].to_numpy()
            table.loc[part.index, "front"] = pareto_front(valid)
    return table


def curves_table(
    curves: list[Curve],
    reference: tuple[float, float] = REFERENCE,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """One row per curve: the chosen place, its validation value (`valid`, mean of both tasks) and test values, `hypervolume` of the test values of the points that
    are on the curve's own front in validation, `low` and `high` (users resampled within seeds; NaN with one seed),
    `seed_low`, `seed_high`, `cpu_minutes` of all its trainings (mean over seeds), `per_cpu_minute`."""
    rows = []
    for curve in curves:
        valid = curve.valid.mean(axis=0)
        on_front = np.flatnonzero(pareto_front(valid))
        first, second = curve.chosen
        volumes = _volume(curve.test, on_front, (first, second), reference)  # (S,)
        drawn = _volume(resample_points(curve.users, num_resamples), on_front, (first, second), reference).mean(axis=1)
        tail = (1 - confidence) / 2
        several = len(curve.seeds) > 1
        low, high = np.quantile(drawn, [tail, 1 - tail]) if several else (np.nan, np.nan)
        test, minutes = curve.test.mean(axis=0), float(curve.cpu_minutes.mean())
        rows.append(
            {
                **curve.name,
                "num_seeds": len(curve.seeds),
                "num_places": len(curve.places),
                "chosen_recommendation": float(curve.places[first]),
                "chosen_search": float(curve.places[second]),
                "valid": float(valid[first, 0] + valid[second, 1]) / 2,
                "recommendation": float(test[first, 0]),
                "search": float(test[second, 1]),
                "hypervolume": float(volumes.mean()),
                "low": float(low),
                "high": float(high),
                "seed_low": float(volumes.min()),
                "seed_high": float(volumes.max()),
                "cpu_minutes": minutes,
                "minutes": float(curve.minutes.mean()),
                "per_cpu_minute": float(volumes.mean() / minutes) if minutes > 0 else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _volume(
    points: np.ndarray, on_front: np.ndarray, chosen: tuple[int, int], reference: tuple[float, float]
) -> np.ndarray:
    """(...,) hypervolume of the points (..., P, 2) of a front, and of the one that takes each task's chosen place."""
    own = np.stack([points[..., chosen[0], 0], points[..., chosen[1], 1]], axis=-1)
    return hypervolume(np.concatenate([points[..., on_front, :], own[..., None, :]], axis=-2), reference)


def sweep_at_cost(curves: list[Curve], of: Curve, reference: tuple[float, float] = REFERENCE) -> dict[str, float]:
    """What a sweep of the same strategy and data gives for the price of another curve.

    As many of the sweep's points as that price pays for, spread evenly over the mixes; their hypervolume, how many
    there are, and the hypervolume of the whole sweep. Empty where there is no such sweep.
    """
    same = [name for name in CURVE if name != "curve"]
    found = [c for c in curves if c.name["curve"] == "sweep" and all(c.name[n] == of.name[n] for n in same)]
    if not found:
        return {}
    sweep = found[0]
    each = float(sweep.cpu_minutes.mean()) / len(sweep.places)
    num = int(np.clip(float(of.cpu_minutes.mean()) / max(each, 1e-9), 1, len(sweep.places)))
    middle = [len(sweep.places) // 2]
    taken = np.unique(np.round(np.linspace(0, len(sweep.places) - 1, num)).astype(int)) if num > 1 else np.array(middle)
    valid = sweep.valid.mean(axis=0)
    volumes = [
        float(hypervolume(sweep.test[:, rows[pareto_front(valid[rows])]], reference).mean())
        for rows in (taken, np.arange(len(sweep.places)))
    ]
    return {
        "sweep_points": float(num),
        "sweep_hypervolume": volumes[0],
        "sweep_whole": volumes[1],
        "sweep_cpu_minutes": float(sweep.cpu_minutes.mean()),
    }


def describe_choice(row: Mapping[Any, Any]) -> str:
    """A curve's name in words."""
    kind = "" if row["curve"] == "sweep" else f", {row['curve']}"
    variant = f" ({row['variant']})" if row["variant"] else ""
    return f"{row['strategy']}{variant}{kind}"
