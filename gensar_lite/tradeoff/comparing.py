"""Differences that can be trusted: strategies against each other, and one model against the best specialist of a task.

Explained in notebook 08. Each curve is represented by the point that validation chooses. Differences are paired by user
and tested as in `evaluation.significance`; all p-values of a table are corrected together (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.evaluation.significance import compare_values, correct_holm
from gensar_lite.tradeoff.pareto import shortfall
from gensar_lite.tradeoff.reading import (
    NUM_RESAMPLES,
    PRIMARY_GOALS,
    Curve,
    Goals,
    at_places,
    describe_choice,
    resample_points,
    volume_of,
)

GENERATIVE = {"search": 0.0, "recommendation": 1.0}
"""The mix at which a generative model serves one task alone."""
ENDS = list(GENERATIVE.values())


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


def inner(curve: Curve) -> Curve:
    """A sweep's curve without its models of one task, where it has others; other curves as they are."""
    places = np.setdiff1d(curve.places, ENDS)
    return at_places(curve, places) if len(places) and curve.name["curve"] == "sweep" else curve


def compare_strategies(curves: list[Curve], reference: str, goals: Goals = PRIMARY_GOALS) -> pd.DataFrame:
    """One curve (by its name, such as "gensar") against all others of the same data, task by task.

    Two sweeps are compared at one mix, the one with the best validation mean of both curves among those that both have;
    any other curve where validation chooses on it. Columns as in `significance.compare`, with data in front, and
    `place` and `against_place`; `p_holm` is corrected over the whole table.
    """
    rows = []
    for group in _by_data(curves).values():
        named = {describe_choice(curve.name): curve for curve in group}
        if (own := named.pop(reference, None)) is None:
            continue
        for name, other in named.items():
            pair = _at_one_mix(own, other)
            for t, task in enumerate(TASKS):
                places = [float(curve.places[curve.chosen[t]]) for curve in pair]
                about = {"model": reference, "against": name, "place": places[0], "against_place": places[1]}
                rows.append(_difference(task, goals, *((curve, curve.chosen[t]) for curve in pair)) | about)
    return _corrected([pd.DataFrame(rows)] if rows else [])


def compare_places(curve: Curve, pairs: Iterable[tuple[str, float, float]], goals: Goals) -> pd.DataFrame:
    """A curve at one place against the same curve at another, for some (task, place, other place); columns as above."""
    rows = []
    for task, place, other in pairs:
        ours, theirs = ((curve, int(np.flatnonzero(curve.places == at)[0])) for at in (place, other))
        about = {"model": describe_choice(curve.name), "place": place, "against_place": other}
        rows.append(_difference(task, goals, ours, theirs) | about)
    return _corrected([pd.DataFrame(rows)] if rows else [])


def _difference(task: str, goals: Goals, ours: tuple[Curve, int], theirs: tuple[Curve, int]) -> dict[str, Any]:
    """One row of a table of differences: one curve at a place (its row) and another one, in a task."""
    own, other = (curve.users[:, place, TASKS.index(task)].astype(float) for curve, place in (ours, theirs))
    both = np.isfinite(own).all(axis=0) & np.isfinite(other).all(axis=0)
    found = compare_values(own[:, both], other[:, both], ours[0].seeds, theirs[0].seeds)
    return {"data": ours[0].name["data"], "task": task, "protocol": goals.of(task), "metric": goals.metric, **found}


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
    curve = at_places(curve, places)
    own = np.isin(curve.seeds, seeds)
    curve = replace(curve, seeds=seeds, users=curve.users[own], valid=curve.valid[own])
    drawn = volume_of(curve, resample_points(curve.users, num_resamples))
    return float(volume_of(curve, curve.test).mean()), drawn.mean(axis=1)


def compare_with_specialists(
    results: pd.DataFrame, curves: list[Curve], rankers: list[Curve], goals: Goals = PRIMARY_GOALS
) -> pd.DataFrame:
    """Each curve's chosen model, of those for both tasks, against the best specialist of each task (best on validation); `rankers` are those of
    `read_curves(…, specialists=True)`.

    Columns as in `significance.compare`, with data in front, `place`, and `shortfall`: the larger share by which the model stays
    below the best specialist of a task, 0 where it is at or above both.
    """
    yardsticks = specialists_table(results, goals)
    rows: list[dict[str, Any]] = []
    for label, group in _by_data(curves).items():
        best = yardsticks[(yardsticks["data"] == label) & yardsticks["best"]] if len(yardsticks) else yardsticks
        for curve in map(inner, group):
            found = []
            for other in best.to_dict("records"):
                if (against := _specialist(other, group, rankers)) is not None:
                    at = curve.chosen[TASKS.index(other["task"])]
                    about = {"model": describe_choice(curve.name), "against": other["specialist"]}
                    place = {"place": float(curve.places[at])}
                    found.append(_difference(other["task"], goals, (curve, at), against) | about | place)
            if [row["task"] for row in found] and len(found) == len(TASKS):
                both = sorted(found, key=lambda row: TASKS.index(row["task"]))
                ideal = (both[0]["against_value"], both[1]["against_value"])
                if min(ideal) > 0:
                    below = float(shortfall(np.array([row["value"] for row in both]), ideal))
                    found = [row | {"shortfall": below} for row in found]
            rows += found
    return _corrected([pd.DataFrame(rows)] if rows else [])


def _specialist(row: Mapping[Any, Any], curves: list[Curve], rankers: list[Curve]) -> tuple[Curve, int] | None:
    """A row of `specialists_table` as a curve and the place (its row) that serves the task."""
    for curve in [*curves, *rankers]:
        if all(curve.name[c] == row[c] for c in ("data", "curve", "strategy", "variant")):
            at = np.flatnonzero((curve.places == GENERATIVE[row["task"]]) | np.isnan(curve.places))
            return (curve, int(at[0])) if len(at) else None
    return None


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
