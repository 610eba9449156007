"""Reading curves: points with intervals, fronts, hypervolumes, and what each curve costs.

Explained in notebook 08. Intervals come from resampling users within seeds; the range over seeds stands beside them. One seed
says nothing about another training, so it gets no interval.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.tradeoff.curve import SEPARATE_WEIGHTS, Curve
from gensar_lite.tradeoff.pareto import REFERENCE, pareto_front, staircase, staircase_area

NUM_RESAMPLES = 2000
DRAWS_AT_ONCE = 2**21  # users times resamples in memory at a time: 32 MiB


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
