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
from gensar_lite.tradeoff.curve import (
    GENERATIVE,
    PRIMARY_GOALS,
    Curve,
    Goals,
    at_places,
    describe_choice,
    evidence_of,
    inner,
    serves_both,
    steps_of,
)
from gensar_lite.tradeoff.pareto import shortfall
from gensar_lite.tradeoff.reading import NUM_RESAMPLES, resample_points, volume_of
from gensar_lite.tradeoff.results import CURVE


def specialists_table(results: pd.DataFrame, goals: Goals = PRIMARY_GOALS) -> pd.DataFrame:
    """Every specialist of every data set: rankers, and generative models of one task (mix 0 or 1 of a sweep).

    Columns data, task, specialist, evidence (that it hears), steps (of its training), valid, value (means over seeds), num_seeds, and `best`: of the rankers, or of all
    where there are none, the first on validation, by the protocol of `goals` where all were validated by it, else by the primary one.
    """
    means = results[(results["metric"] == goals.metric)]
    generative = (means["curve"] == "sweep") & (means["mix"] == means["task"].map(GENERATIVE))
    chosen = means[generative | (means["curve"] == "specialist")].copy()
    heard = {text: evidence_of(text) for text in chosen["parameters"].unique()}
    chosen["evidence"] = chosen["parameters"].map(heard).where(chosen["curve"] == "sweep", "")
    steps = {text: steps_of(text) for text in heard}
    chosen["steps"] = chosen["parameters"].map(steps).where(chosen["curve"] == "sweep")
    named = ["curve", "strategy", "variant", "evidence"]
    names = {
        keys: describe_choice(dict(zip(named, keys, strict=True)) | {"curve": "sweep"})
        for keys in chosen[named].drop_duplicates().itertuples(index=False, name=None)
    }
    only = np.where(chosen["curve"] == "sweep", " " + chosen["task"] + "-only", "")
    chosen["specialist"] = [names[keys] for keys in chosen[named].itertuples(index=False, name=None)] + only
    keys = ["data", "task", "specialist", *named]
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
    table["steps"] = chosen.groupby(keys)["steps"].max().reindex(pd.MultiIndex.from_frame(table[keys])).to_numpy()
    if len(table):
        first = table["valid"] + (table["curve"] == "specialist")
        table["best"] = table.index.isin(first.groupby([table["data"], table["task"]]).idxmax())
    return table


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


def compare_alike(curves: list[Curve], strategy: str, goals: Goals = PRIMARY_GOALS) -> pd.DataFrame:
    """One strategy against all others that were trained alike: within each variant, and with the same evidence; columns as above."""
    alike: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        alike.setdefault((curve.name["variant"], curve.name["evidence"]), []).append(curve)
    parts = []
    for group in alike.values():
        own = [curve.name for curve in group if curve.name["curve"] == "sweep" and curve.name["strategy"] == strategy]
        if own:
            parts.append(compare_strategies(group, describe_choice(own[0]), goals))
    return _corrected([part for part in parts if len(part)])


def compare_variants(curves: list[Curve], goals: Goals = PRIMARY_GOALS) -> pd.DataFrame:
    """What a setting is worth: each variant of a strategy against the one before it to whose settings it adds the fewest (the plain curve has
    none), or, where there is no such one, against the one just before it; columns as above."""
    sweeps: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        if curve.name["curve"] == "sweep":
            sweeps.setdefault((curve.name["data"], curve.name["strategy"]), []).append(curve)
    parts = []
    for own in sweeps.values():
        own.sort(key=lambda curve: bool(curve.name["variant"]))  # the plain curve first, the others as they are
        settings = [set(filter(None, curve.name["variant"].split(", "))) for curve in own]
        for number in range(1, len(own)):
            fewer = [at for at in range(number) if settings[at] < settings[number]]
            before = max(fewer, key=lambda at: len(settings[at]), default=number - 1)
            pair = [own[number], own[before]]
            parts.append(compare_strategies(pair, describe_choice(pair[0].name), goals))
    return _corrected([part for part in parts if len(part)])


def compare_places(
    curve: Curve, pairs: Iterable[tuple[str, float, float]], goals: Goals, against: Curve | None = None
) -> pd.DataFrame:
    """A curve at one place against itself, or another one, at another, for some (task, place, other place); columns as above."""
    rows, other_curve = [], against or curve
    for task, place, other in pairs:
        ours, theirs = _at(curve, place), _at(other_curve, other)
        names = {"model": describe_choice(curve.name), "against": describe_choice(other_curve.name)}
        rows.append(_difference(task, goals, ours, theirs) | names | {"place": place, "against_place": other})
    return _corrected([pd.DataFrame(rows)] if rows else [])


def compare_mixes(curves: list[Curve], goals: Goals = PRIMARY_GOALS) -> pd.DataFrame:
    """What each step along a sweep's curve gains and costs: every mix against the one before it, in both tasks; columns as above."""
    parts = [
        compare_places(
            curve,
            [(task, high, low) for low, high in zip(curve.places, curve.places[1:], strict=False) for task in TASKS],
            goals,
        )
        for curve in curves
        if curve.name["curve"] == "sweep" and len(curve.places) > 1
    ]
    return _corrected(parts)


def _at(curve: Curve, place: float) -> tuple[Curve, int]:
    return curve, int(np.flatnonzero(curve.places == place)[0])


def _difference(task: str, goals: Goals, ours: tuple[Curve, int], theirs: tuple[Curve, int]) -> dict[str, Any]:
    """One row of a table of differences: one curve at a place (its row) and another one, in a task."""
    own, other = (curve.users[:, place, TASKS.index(task)].astype(float) for curve, place in (ours, theirs))
    both = np.isfinite(own).all(axis=0) & np.isfinite(other).all(axis=0)
    found = compare_values(own[:, both], other[:, both], ours[0].seeds, theirs[0].seeds)
    trained = [len(curve.seeds) for curve, _ in (ours, theirs) if curve.name["curve"] != "specialist"]
    found["num_seeds"] = min([int(found["num_seeds"]), *trained])  # many seeds of a ranker do not make one training two
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


def compare_volumes(curves: list[Curve], reference: str) -> pd.DataFrame:
    """The hypervolume of one sweep (by its strategy's name) against that of every other sweep of the same data.

    Two sweeps are compared at the mixes and seeds that both have (`num_places`, `num_seeds`), since more points cover
    more. One row per pair: data, model, against, `value`, `against_value`, `difference` with its interval `low` to
    `high` (the same users drawn for both; NaN with one seed), `p` (how rarely a draw puts the other one ahead, two-sided)
    and `p_holm`.
    """
    rows = []
    for group in _by_data(curve for curve in curves if curve.name["curve"] == "sweep").values():
        named = {describe_choice(curve.name): curve for curve in group}
        if (own := named.pop(reference, None)) is None:
            continue
        for other in named.values():
            places = np.intersect1d(own.places, other.places)
            if len(places) and set(own.seeds) & set(other.seeds):
                pair = at_places(own, places), at_places(other, places)
                rows.append(_volumes(*pair) | {"num_places": len(places)})
    return _corrected([pd.DataFrame(rows)] if rows else [])


def compare_at_price(curves: list[Curve]) -> pd.DataFrame:
    """The hypervolume of every cheap curve against that of the same strategy's sweep at equal price: as many of its mixes (`num_places`),
    evenly spread, as the CPU minutes of the cheap curve pay for (`cpu_minutes`; of the whole sweep `sweep_cpu_minutes`); columns as above."""
    same = [name for name in CURVE if name != "curve"]
    sweeps = {tuple(c.name[n] for n in same): c for c in curves if c.name["curve"] == "sweep"}
    rows = []
    for curve in curves:
        sweep = sweeps.get(tuple(curve.name[n] for n in same))
        if curve.name["curve"] == "sweep" or sweep is None or not set(curve.seeds) & set(sweep.seeds):
            continue
        paid, whole = float(curve.cpu_minutes.mean()), float(sweep.cpu_minutes.mean())
        num = int(np.clip(paid / max(whole / len(sweep.places), 1e-9), 1, len(sweep.places)))
        spread = np.linspace(0, len(sweep.places) - 1, num) if num > 1 else [len(sweep.places) // 2]
        part = at_places(sweep, sweep.places[np.unique(np.round(spread).astype(int))])
        about = {"num_places": num, "cpu_minutes": paid, "sweep_cpu_minutes": whole}
        rows.append(_volumes(curve, part) | {"curve": curve.name["curve"]} | about)
    return _corrected([pd.DataFrame(rows)] if rows else [])


def _volumes(own: Curve, other: Curve, num_resamples: int = NUM_RESAMPLES, confidence: float = 0.95) -> dict[str, Any]:
    """One row of a table of hypervolumes: two curves, over the seeds that both have, and what draws of the users make of both."""
    seeds, values, draws = sorted(set(own.seeds) & set(other.seeds)), [], []
    for curve in (own, other):
        shared = np.isin(curve.seeds, seeds)
        curve = replace(curve, seeds=seeds, users=curve.users[shared], valid=curve.valid[shared])
        values.append(float(volume_of(curve, curve.test).mean()))
        draws.append(volume_of(curve, resample_points(curve.users, num_resamples)).mean(axis=1))
    drawn = draws[0] - draws[1]
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    rarer = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return {
        "data": own.name["data"],
        "model": describe_choice(own.name),
        "against": describe_choice(other.name),
        "num_seeds": len(seeds),
        "value": values[0],
        "against_value": values[1],
        "difference": values[0] - values[1],
        "low": low,
        "high": high,
        "p": min(2 * (rarer + 1) / (num_resamples + 1), 1.0),
    }


def compare_with_specialists(
    results: pd.DataFrame, curves: list[Curve], rankers: list[Curve], goals: Goals = PRIMARY_GOALS
) -> pd.DataFrame:
    """Each curve's chosen model, of those for both tasks, against the best ranker of each task, against the best generative model of that task
    alone that hears the same evidence (both are best on validation), and against such a model that had just as many steps of the task, where there
    is one. `rankers` are those of `read_curves(…, specialists=True)`.

    Columns as in `significance.compare`, with data in front, `place`, `kind` of the opponent ("ranker", "one task", "equal practice"), and `shortfall`:
    the larger share by which the model stays below the two opponents of a kind, 0 where it is at or above both.
    """
    known = specialists_table(results, goals)
    rows: list[dict[str, Any]] = []
    for label, group in _by_data(curves if len(known) else []).items():
        for curve in map(inner, filter(serves_both, group)):
            own = known[known["data"] == label]
            ranker, same = own["curve"] == "specialist", own["evidence"] == curve.name["evidence"]
            trained = results[(results[CURVE] == [curve.name[c] for c in CURVE]).all(axis=1)]["parameters"].iloc[0]
            share = {task: float(curve.places[at]) for task, at in zip(TASKS, curve.chosen, strict=True)}
            share["search"] = 1 - share["search"]
            practised = np.isclose(own["steps"], own["task"].map(share) * steps_of(trained))
            kinds = {"ranker": ranker, "one task": ~ranker & same, "equal practice": ~ranker & same & practised}
            for kind, part in ((kind, own[chosen]) for kind, chosen in kinds.items()):
                best = part.loc[part.groupby("task")["valid"].idxmax()].to_dict("records")
                rows += _distances(
                    curve, {row["task"]: _specialist(row, [*group, *rankers]) for row in best}, kind, goals
                )
    return _corrected([pd.DataFrame(rows)] if rows else [])


def _distances(
    curve: Curve, opponents: Mapping[str, tuple[str, Curve, int] | None], kind: str, goals: Goals
) -> list[dict[str, Any]]:
    """Rows of one curve's chosen model against an opponent in each task."""
    found = []
    for task, opponent in opponents.items():
        if opponent is not None:
            at = curve.chosen[TASKS.index(task)]
            about = {"model": describe_choice(curve.name), "against": opponent[0], "kind": kind}
            row = _difference(task, goals, (curve, at), opponent[1:])
            found.append(row | about | {"place": float(curve.places[at])})
    if len(found) == len(TASKS) and all(row["against_value"] > 0 for row in found):
        both = sorted(found, key=lambda row: TASKS.index(row["task"]))
        ideal = (both[0]["against_value"], both[1]["against_value"])
        below = float(shortfall(np.array([row["value"] for row in both]), ideal))
        found = [row | {"shortfall": below} for row in found]
    return found


def _specialist(row: Mapping[Any, Any], curves: list[Curve]) -> tuple[str, Curve, int] | None:
    """A row of `specialists_table` as its name, a curve and the place (its row) that serves the task."""
    for curve in curves:
        if all(curve.name[c] == row[c] for c in ("data", "curve", "strategy", "variant")):
            at = np.flatnonzero((curve.places == GENERATIVE[row["task"]]) | np.isnan(curve.places))
            return (row["specialist"], curve, int(at[0])) if len(at) else None
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
