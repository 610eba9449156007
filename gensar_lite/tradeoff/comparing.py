"""Differences that can be trusted: strategies against each other, and one model against the best specialist of a task.

Explained in notebook 08. Each curve is represented by the point that validation chooses. Differences are paired by user
and tested as in `evaluation.significance`; all p-values of a table are corrected together (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.evaluation.significance import compare, correct_holm
from gensar_lite.tradeoff.pareto import hypervolume, pareto_front, shortfall
from gensar_lite.tradeoff.reading import (
    NUM_RESAMPLES,
    PRIMARY_GOALS,
    Curve,
    Goals,
    at_places,
    describe_choice,
    resample_points,
)
from gensar_lite.tradeoff.results import CURVE

GENERATIVE = {"search": 0.0, "recommendation": 1.0}
"""The mix at which a generative model serves one task alone."""


def specialists_table(results: pd.DataFrame, goals: Goals = PRIMARY_GOALS) -> pd.DataFrame:
    """Every specialist of every data set: rankers, and generative models of one task (mix 0 or 1 of a sweep).

    Columns data, task, specialist, valid, value (means over seeds), num_seeds, and `best`: first on validation, by the
    protocol of `goals` where all were validated by it, else by the primary one.
    """
    means = results[(results["metric"] == goals.metric)]
    generative = (means["curve"] == "sweep") & (means["mix"] == means["task"].map(GENERATIVE))
    rankers = means["curve"] == "specialist"
    chosen = means[generative | rankers].copy()
    names = chosen["strategy"] + np.where(chosen["variant"] == "", "", " (" + chosen["variant"] + ")")
    only = np.where(chosen["curve"] == "sweep", " " + chosen["task"] + "-only", "")
    chosen["specialist"] = names + only
    keys = ["data", "task", "specialist", "curve", "strategy", "variant"]
    asked, primary = (chosen["protocol"] == chosen["task"].map(of) for of in (goals.of, lambda t: PRIMARY[t][0]))
    valid = chosen["split"] == "valid"
    splits = {
        "asked": chosen[valid & asked],
        "valid": chosen[valid & primary],
        "value": chosen[~valid & asked],
    }
    found = {name: part.groupby(keys, sort=False)["value"].mean() for name, part in splits.items()}
    asked_of_all = found.pop("asked")  # models of one task are validated by the primary protocols alone
    if found["value"].index.isin(asked_of_all.index).all():
        found["valid"] = asked_of_all
    found["num_seeds"] = splits["value"].groupby(keys, sort=False)["seed"].nunique()
    table = pd.DataFrame(found).dropna().reset_index()
    if len(table):
        table["best"] = table.index.isin(table.groupby(["data", "task"])["valid"].idxmax())
    return table


def labelled_ranks(ranks: pd.DataFrame, curves: Iterable[Curve], goals: Goals = PRIMARY_GOALS) -> pd.DataFrame:
    """Test ranks of each curve at its chosen place, and of every specialist, named in the column `model`.

    A curve is called by its strategy, variant and kind; a specialist as in `specialists_table`.
    """
    asked = ranks[(ranks["split"] == "test") & (ranks["protocol"] == ranks["task"].map(goals.of))]
    parts = []
    for curve in curves:
        own = asked[(asked[CURVE] == [curve.name[c] for c in CURVE]).all(axis=1) & asked["seed"].isin(curve.seeds)]
        for task, row in zip(TASKS, curve.chosen, strict=True):
            taken = own[(own["task"] == task) & (own["place"] == curve.places[row])]
            parts.append(taken.assign(model=describe_choice(curve.name)))
    rankers = asked[asked["curve"] == "specialist"]
    parts.append(rankers.assign(model=rankers["strategy"]))
    single = asked[(asked["curve"] == "sweep") & (asked["place"] == asked["task"].map(GENERATIVE))]
    named = single["strategy"] + np.where(single["variant"] == "", "", " (" + single["variant"] + ")")
    parts.append(single.assign(model=named + " " + single["task"] + "-only"))
    return pd.concat(parts, ignore_index=True)


def compare_strategies(
    ranks: pd.DataFrame, curves: list[Curve], reference: str, goals: Goals = PRIMARY_GOALS
) -> pd.DataFrame:
    """One curve (by its name, such as "gensar") against all others of the same data, task by task.

    Two sweeps are compared at one mix, the one with the best validation mean of both curves among those that both have;
    any other curve where validation chooses on it. Columns as in `significance.compare`, with data in front, and
    `place` and `against_place`; `p_holm` is corrected over the whole table.
    """
    parts = []
    for label, group in _by_data(curves).items():
        named = {describe_choice(curve.name): curve for curve in group}
        if (own := named.pop(reference, None)) is None:
            continue
        table = ranks[ranks["data"] == label]
        for name, other in named.items():
            first, second = _at_one_mix(own, other)
            found = compare(labelled_ranks(table, [first, second], goals), reference, [name], (goals.metric,))
            seeds = min(len(first.seeds), len(second.seeds))
            places = {
                column: found["task"].map(dict(zip(TASKS, curve.places[list(curve.chosen)], strict=True)))
                for column, curve in (("place", first), ("against_place", second))
            }
            parts.append(found.assign(data=label, num_seeds=np.minimum(found["num_seeds"], seeds), **places))
    return _corrected(parts)


def _at_one_mix(first: Curve, second: Curve) -> tuple[Curve, Curve]:
    """Two sweeps at the mix that validation likes best for both together; other curves as they are."""
    if any(curve.name["curve"] != "sweep" for curve in (first, second)):
        return first, second
    places = np.intersect1d(first.places, second.places)
    if not len(places):
        return first, second
    pair = at_places(first, places), at_places(second, places)
    best = places[[sum(curve.valid.mean(axis=(0, 2)) for curve in pair).argmax()]]
    return at_places(first, best), at_places(second, best)


def compare_volumes(
    curves: list[Curve], reference: str, num_resamples: int = NUM_RESAMPLES, confidence: float = 0.95
) -> pd.DataFrame:
    """The hypervolume of one sweep (by its strategy's name) against that of every other sweep of the same data.

    Two sweeps are compared at the mixes and seeds that both have (`num_places`, `num_seeds`), since more points cover
    more. One row per pair: data, model, against, `value`, `against_value`, `difference` with its interval `low` to
    `high` (the same users drawn for both; NaN with one seed), `p` (how rarely a draw puts the other one ahead, two-sided)
    and `p_holm`.
    """
    rows = []
    for label, group in _by_data(curve for curve in curves if curve.name["curve"] == "sweep").items():
        named = {describe_choice(curve.name): curve for curve in group}
        if reference not in named:
            continue
        own = named.pop(reference)
        for name, other in named.items():
            places, seeds = np.intersect1d(own.places, other.places), sorted(set(own.seeds) & set(other.seeds))
            if not len(places) or not seeds:
                continue
            volumes, draws = zip(*(_volumes(c, places, seeds, num_resamples) for c in (own, other)), strict=True)
            drawn = draws[0] - draws[1]
            low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
            rarer = min((drawn <= 0).sum(), (drawn >= 0).sum())
            rows.append(
                {
                    "data": label,
                    "model": reference,
                    "against": name,
                    "num_places": len(places),
                    "num_seeds": len(seeds),
                    "value": volumes[0],
                    "against_value": volumes[1],
                    "difference": volumes[0] - volumes[1],
                    "low": low,
                    "high": high,
                    "p": min(2 * (rarer + 1) / (num_resamples + 1), 1.0),
                }
            )
    return _corrected([pd.DataFrame(rows)] if rows else [])


def _volumes(curve: Curve, places: np.ndarray, seeds: list[int], num_resamples: int) -> tuple[float, np.ndarray]:
    """A sweep's hypervolume at some places, mean over some seeds, and (R,) what draws of its users make of it."""
    curve, own = at_places(curve, places), np.isin(curve.seeds, seeds)
    front = pareto_front(curve.valid[own].mean(axis=0))
    drawn = resample_points(curve.users[own][:, front], num_resamples)
    return float(hypervolume(curve.test[own][:, front]).mean()), hypervolume(drawn).mean(axis=1)


def compare_with_specialists(
    results: pd.DataFrame, ranks: pd.DataFrame, curves: list[Curve], goals: Goals = PRIMARY_GOALS
) -> pd.DataFrame:
    """Each curve's chosen model against the best specialist of each task (best on validation).

    Columns as in `significance.compare`, with data in front, and `shortfall`: the larger share by which the model stays
    below the best specialist of a task, 0 where it is at or above both.
    """
    yardsticks = specialists_table(results, goals)
    parts = []
    for label, group in _by_data(curves).items():
        best = yardsticks[(yardsticks["data"] == label) & yardsticks["best"]] if len(yardsticks) else yardsticks
        table = labelled_ranks(ranks[ranks["data"] == label], group, goals)
        for curve in group:
            rows = []
            for other in best.to_dict("records"):
                of_task = table[table["task"] == other["task"]]
                name = describe_choice(curve.name)
                rows.append(compare(of_task, name, [other["specialist"]], (goals.metric,)).assign(data=label))
            if rows:
                rows_of_curve = pd.concat(rows, ignore_index=True)
                if len(rows_of_curve) == len(TASKS) and (rows_of_curve["against_value"] > 0).all():
                    both = rows_of_curve.set_index("task").loc[list(TASKS)]
                    pair = (float(both["against_value"].iloc[0]), float(both["against_value"].iloc[1]))
                    rows_of_curve["shortfall"] = float(shortfall(both["value"].to_numpy(), pair))
                parts.append(rows_of_curve)
    return _corrected(parts)


def _by_data(curves: Iterable[Curve]) -> dict[str, list[Curve]]:
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.name["data"], []).append(curve)
    return found


def _corrected(parts: list[pd.DataFrame]) -> pd.DataFrame:
    if not parts:
        return pd.DataFrame()
    table = pd.concat(parts, ignore_index=True)
    table["p_holm"] = correct_holm(table["p"].to_numpy())
    one_seed = table["num_seeds"] < 2  # nothing is sure from a single training
    table.loc[one_seed, ["low", "high", "p", "p_holm"]] = np.nan
    return table[["data", *[column for column in table if column != "data"]]]
