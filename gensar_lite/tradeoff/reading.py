"""Reading curves: points with intervals, fronts, hypervolumes, and what each curve costs.

Explained in notebook 08. Validation cases choose (which points are on the front, which one of a curve to take), test
cases report. Intervals come from resampling users within seeds; the range over seeds stands beside them. One seed
says nothing about another training, so it gets no interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.metrics import add_metrics
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.tradeoff.pareto import REFERENCE, pareto_front, staircase, staircase_area
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
    task, validation means `valid` (S, P, 2), `cpu_minutes` and `minutes` (S,) of its trainings.

    The U users are those of the data set, the same for all of its curves. A specialist is a curve with one place, NaN, and NaN in the task
    that it does not serve.
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
    curves = []
    for keys, own in cells.items():
        name = dict(zip(CURVE, map(str, keys), strict=True))
        if specialists != (name["curve"] == "specialist"):
            continue
        if not specialists and {task for *_, task in own} != set(TASKS):
            continue
        valid = means[(means[CURVE] == list(keys)).all(axis=1)]
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


def resample_points(users: np.ndarray, num_resamples: int = NUM_RESAMPLES, seed: int = 0) -> np.ndarray:
    """(R, S, P, 2) mean values under R draws of the users, with replacement; all seeds, places and tasks meet the
    same draw, so that their differences are paired. `users` is (S, P, 2, U) with NaN where a user has no case."""
    num_users, rng = users.shape[-1], np.random.default_rng(seed)
    flat = users.reshape(-1, num_users)
    there = np.isfinite(flat)
    filled, counted = np.where(there, flat, 0).T, there.astype(np.float32).T
    means, step = np.empty((num_resamples, *users.shape[:-1])), max(1, DRAWS_AT_ONCE // num_users)
    for begin in range(0, num_resamples, step):  # the same draws as all at once
        part = means[begin : begin + step]
        draws = rng.multinomial(num_users, np.full(num_users, 1 / num_users), len(part)).astype(float)
        part[:] = (draws @ filled / np.maximum(draws @ counted, 1)).reshape(part.shape)
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
    """One row per curve: the chosen place, its validation value (`valid`, mean of both tasks) and test values, `hypervolume` (`volume_of`), `low` and `high` (users resampled within seeds; NaN with one seed),
    `seed_low`, `seed_high`, `cpu_minutes` of all its trainings (mean over seeds), `per_cpu_minute`."""
    rows = []
    for curve in curves:
        valid = curve.valid.mean(axis=0)
        first, second = curve.chosen
        volumes = volume_of(curve, curve.test, reference)  # (S,)
        drawn = volume_of(curve, resample_points(curve.users, num_resamples), reference).mean(axis=1)
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


def volume_of(curve: Curve, points: np.ndarray, reference: tuple[float, float] = REFERENCE) -> np.ndarray:
    """(...,) area that a curve covers by points (..., P, 2): validation says which of them are its steps, and in what order.

    So that more places are not more chances to be lucky on the test cases. Fused scores take the best weight of each task.
    """
    valid = curve.valid.mean(axis=0)
    if not curve.name["curve"].startswith(SEPARATE_WEIGHTS):
        return staircase_area(points[..., staircase(valid), :], reference)
    first, second = curve.chosen
    return staircase_area(np.stack([points[..., first, 0], points[..., second, 1]], axis=-1)[..., None, :], reference)


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
    volumes = [
        float(volume_of(some, some.test, reference).mean()) for some in (at_places(sweep, sweep.places[taken]), sweep)
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
