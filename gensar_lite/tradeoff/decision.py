"""What a sweep says to somebody who must decide: sentences in plain words, each with its number and how sure it is.

Told in docs/tradeoff.md. *Sure* is a difference with p < .05 after Holm's correction, of at least two trainings; validation cases
choose, test cases report. The same sentences end `gensar-lite tradeoff` and begin the page of `gensar-lite report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import read_json
from gensar_lite.signals import Signals
from gensar_lite.tradeoff.comparing import compare_places, compare_strategies, compare_volumes
from gensar_lite.tradeoff.curve import ENDS, GENERATIVE, Curve, Goals, at_places, describe_choice, inner, serves_both
from gensar_lite.tradeoff.design import Source, load_source
from gensar_lite.tradeoff.gains import FEATURES, case_features, who_gains
from gensar_lite.tradeoff.results import CURVE, LISTS, ranks_of_runs
from gensar_lite.tradeoff.summary import Reading

SURE = 0.05
FLAT = 0.01  # mixes whose validation mean is so near to the best one's are told together


class Gains(NamedTuple):
    """Groups of cases in which one model for both tasks is compared with the same identifiers' models of one task."""

    curve: Curve
    place: float
    table: pd.DataFrame


def measure_gains(out: Path, reading: Reading, goals: Goals, sources: Mapping[str, Source]) -> dict[str, Gains]:
    """Who gains and who loses, by data set and by whether evidence is heard, where the sweep holds models of both tasks and of one."""
    found = {}
    whole = [c for c in reading.curves if set(ENDS) < set(c.places)]
    for label, heard in dict.fromkeys((c.name["data"], bool(c.name["evidence"])) for c in whole):
        curve = chosen_curve([c for c in whole if bool(c.name["evidence"]) == heard], label)
        if curve is None:
            continue
        place = float(inner(curve).places[inner(curve).chosen[0]])
        results = reading.results
        own = results[(results[CURVE] == [curve.name[c] for c in CURVE]).all(axis=1)]
        own = own[own["seed"].isin(curve.seeds) & own["mix"].isin([place, *ENDS])]
        ranks = pd.concat(ranks_of_runs(out, own, "test", [goals.of(task) for task in TASKS]), ignore_index=True)
        ranks = ranks[ranks["task"].map(goals.of) == ranks["protocol"]]
        data = load_source(sources[label])
        for path in sorted((out / "signals").glob("*/made_from.json")):
            if read_json(path, data=str)["data"] != data.info["fingerprint"]:
                continue
            signals = Signals.load(path.parent / "content")
            features = pd.concat([case_features(data, signals, data.cases(task, "test")) for task in TASKS])
            alone = ranks[ranks["place"] == ranks["task"].map(GENERATIVE)]
            table = who_gains(ranks[ranks["place"] == place], alone, features, goals.metric)
            found[f"{label} with evidence" if heard else label] = Gains(curve, place, table)
            break
    return found


def chosen_curve(curves: Iterable[Curve], label: str) -> Curve | None:
    """The sweep of a data set that validation takes, at the mixes that all of its sweeps of both tasks have."""
    sweeps = [c for c in curves if c.name["data"] == label and c.name["curve"] == "sweep" and serves_both(c)]
    if not sweeps:
        return None
    shared = sorted(set.intersection(*(set(inner(c).places.tolist()) for c in sweeps)))
    return max(
        sweeps, key=lambda c: (at_places(c, np.array(shared)) if shared else inner(c)).valid.mean(axis=(0, 2)).max()
    )


def decide(reading: Reading, goals: Goals, gains: Mapping[str, Gains] | None = None) -> dict[str, dict[str, list[str]]]:
    """Sentences by data set and question; the generator alone and with the store's evidence are told apart."""
    found: dict[str, dict[str, list[str]]] = {}
    for label in dict.fromkeys(curve.name["data"] for curve in reading.curves):
        own = [curve for curve in reading.curves if curve.name["data"] == label]
        groups = [[c for c in own if bool(c.name["evidence"]) == heard] for heard in (False, True)]
        chosen = [(group, curve) for group in groups if (curve := chosen_curve(group, label)) is not None]
        told: dict[str, list[str]] = {"In short": []}
        for group, curve in chosen:
            told["In short"] += _in_short(reading, goals, group, curve)
            answers = {
                "One model for both tasks?": _one_model(reading, curve),
                "What is the store's evidence worth?": _evidence(groups[0], goals, curve),
                _which(group): _identifiers(group, goals, curve),
                "Which mix?": _mix(goals, curve),
                "Is there a cheaper way?": _cheaper(reading, curve),
                "Who gains, who loses?": _who((gains or {}).values(), curve),
                "What do its lists look like?": _lists(reading.results, curve),
            }
            form = "With evidence" if curve.name["evidence"] else "The generator alone"
            for question, sentences in answers.items():
                title = f"{form}: {question[0].lower()}{question[1:]}" if len(chosen) > 1 else question
                told |= {title: sentences} if sentences else {}
        if chosen:
            found[label] = told
    return found


def decision_text(found: Mapping[str, Mapping[str, list[str]]]) -> str:
    """The sentences of `decide` as plain text."""
    lines = []
    for label, told in found.items():
        lines += [f"What {label} says", ""]
        for question, sentences in told.items():
            lines += [question, *(f"  - {sentence}" for sentence in sentences)]
        lines.append("")
    return "\n".join(lines)


def _in_short(reading: Reading, goals: Goals, group: list[Curve], curve: Curve) -> list[str]:
    """What validation takes, what it reaches, and what that means."""
    model = inner(curve)
    at, values = model.chosen[0], model.test.mean(axis=0)
    heard = curve.name["evidence"].replace("+", ", ")
    form = f"with the store's evidence ({heard})" if heard else "the generator alone"
    choice = sum(map(serves_both, group)) > 1 or len(model.places) > 1
    several = f"mean of {len(curve.seeds)} trainings" if len(curve.seeds) > 1 else "one training, so nothing is sure"
    return [
        f"{'Validation takes' if choice else 'There is one model,'} {describe_choice(curve.name)} at mix {model.places[at]:g}, {form}: recommendation {values[at, 0]:.3f} "
        f"({goals.metric}, {goals.recommendation}), search {values[at, 1]:.3f} ({goals.search}); test cases, {several}.",
        *_verdict(_distances(reading, curve)),
    ]


def _distances(reading: Reading, curve: Curve) -> list[dict[Any, Any]]:
    """What the chosen model gains or loses on the specialists of each task."""
    table = reading.distances
    if not len(table):
        return []
    own = table[(table["data"] == curve.name["data"]) & (table["model"] == describe_choice(curve.name))]
    return own.to_dict("records")


def _one_model(reading: Reading, curve: Curve) -> list[str]:
    """What serving both tasks with one model costs and gains."""
    words = {
        "ranker": "the best ranker of the task",
        "one task": "the best model of the task alone",
        "equal practice": "a model with as much practice in the task alone",
    }
    return [_against(row, f"{words[row['kind']]}, {row['against']}") for row in _distances(reading, curve)]


def _verdict(rows: list[dict[Any, Any]]) -> list[str]:
    """What the differences come to."""
    if not rows or any(not np.isfinite(row["p_holm"]) for row in rows):
        return []
    behind = [
        f"{row['against']} is surely better in {row['task']}" for row in rows if is_sure(row) and row["difference"] < 0
    ]
    others = "no ranker" if all(row["kind"] == "ranker" for row in rows) else "no ranker and no model of one task"
    ahead = [row["task"] for row in rows if is_sure(row) and row["difference"] > 0 and row["kind"] == "ranker"]
    if behind:
        return [f"One model for both tasks costs something: {' and '.join(behind)}."]
    if ahead:
        where = " and ".join(ahead)
        return [f"One model serves both tasks: surely ahead of the best ranker in {where}, surely behind {others}."]
    return ["One model for both tasks is surely ahead of no ranker, and surely behind none."]


def _evidence(alone: list[Curve], goals: Goals, curve: Curve) -> list[str]:
    """What a model with evidence gains on the same identifiers without it, at its own mix."""
    place = float(inner(curve).places[inner(curve).chosen[0]])
    plain = {c.name["strategy"]: c for c in alone if c.name["curve"] == "sweep" and place in c.places}
    other = plain.get(curve.name["strategy"])
    if not curve.name["evidence"] or other is None:
        return []
    rows = compare_places(curve, [(task, place, place) for task in TASKS], goals, other).to_dict("records")
    return [_against(row, f"{row['against']} at the same mix") for row in rows]


def is_sure(row: Mapping[Any, Any]) -> bool:
    """Whether a row of differences can be relied on."""
    return bool(row["p_holm"] < SURE)


def _how_sure(row: Mapping[Any, Any]) -> str:
    return "not tested" if not np.isfinite(row["p_holm"]) else "sure" if is_sure(row) else "not sure"


def _against(row: Mapping[Any, Any], whom: str) -> str:
    """A difference as a sentence."""
    share = f" ({abs(row['difference']) / row['against_value']:.0%})" if row["against_value"] > 0 else ""
    side = "ahead of" if row["difference"] > 0 else "behind"
    sure = _how_sure(row)
    if np.isfinite(row["low"]):
        sure = f"{row['low']:+.3f} to {row['high']:+.3f}, {sure}"
    return f"In {row['task']} it is {abs(row['difference']):.3f}{share} {side} {whom}: {sure}."


def _which(group: list[Curve]) -> str:
    """What the sweeps differ in, as a question."""
    sweeps = [c for c in group if c.name["curve"] == "sweep" and serves_both(c)]
    several = [
        word
        for word, column in (("identifiers", "strategy"), ("settings", "variant"))
        if len({c.name[column] for c in sweeps}) > 1
    ]
    return f"Which {' and '.join(several)}?"


def _identifiers(group: list[Curve], goals: Goals, curve: Curve) -> list[str]:
    """The chosen identifiers and settings against all others, at one mix and over whole curves."""
    sweeps = [c for c in group if c.name["curve"] == "sweep" and serves_both(c)]
    if len(sweeps) < 2:
        return []
    name = describe_choice(curve.name)
    table = compare_strategies([inner(c) for c in sweeps], name, goals)
    groups: dict[str, list[str]] = {"better": [], "mixed": [], "worse": [], "open": []}
    for other, rows in table.groupby("against", sort=False):
        signs = {np.sign(row["difference"]) for row in rows.to_dict("records") if is_sure(row)}
        kind = "mixed" if len(signs) > 1 else {1: "better", -1: "worse"}.get(int(max(signs, default=0)), "open")
        values = ", ".join(f"{row['task']} {row['difference']:+.3f}" for row in rows.to_dict("records"))
        groups[kind].append(f"{other} ({values})")
    words = {
        "better": "Surely better in a task, and surely worse in none, than",
        "mixed": "Surely better in one task and surely worse in the other than",
        "worse": "Surely worse in a task, though validation took it, than",
        "open": "Not told apart from",
    }
    told = [f"{words[kind]} {'; '.join(names)}." for kind, names in groups.items() if names]
    volumes = compare_volumes(sweeps, name)
    several = volumes[volumes["num_places"] > 1] if len(volumes) else volumes
    for kind, part in (("more", several[several["difference"] > 0]), ("less", several[several["difference"] < 0])):
        if names := [row["against"] for row in part.to_dict("records") if is_sure(row)]:
            told.append(f"Over all mixes together it covers surely {kind} than {', '.join(names)}.")
    return told


def _mix(goals: Goals, curve: Curve) -> list[str]:
    """Whether there is a trade-off between the mixes, and how much the choice matters."""
    model = inner(curve)
    if len(model.places) < 2:
        return []
    valid, at = model.valid.mean(axis=(0, 2)), model.chosen[0]
    near = [f"{place:g}" for place in model.places[valid > valid[at] - FLAT]]
    told = [
        f"Mixes {', '.join(near)} lie within {FLAT:g} of each other on validation: between them the choice hardly matters."
        if len(near) > 1
        else f"No other mix comes within {FLAT:g} of {near[0]} on validation."
    ]
    low, high = float(model.places[0]), float(model.places[-1])
    rows = compare_places(curve, [(task, high, low) for task in TASKS], goals).to_dict("records")
    recommendation, search = (row["difference"] for row in rows)
    words = "; ".join(f"{row['task']} {row['difference']:+.3f} ({_how_sure(row)})" for row in rows)
    told.append(f"From mix {low:g} to mix {high:g}: {words}.")
    if len(curve.seeds) < 2:
        told.append("One training of each mix cannot tell whether there is a trade-off.")
    elif recommendation > 0 > search and all(map(is_sure, rows)):
        told.append(
            f"So there is a trade-off: one point of search buys {-recommendation / search:.2f} points of recommendation."
        )
    elif any(map(is_sure, rows)):
        told.append("So the mix matters, but not as a trade-off: no task surely pays for the other.")
    else:
        told.append("So no trade-off between the mixes is seen here.")
    return told


def _cheaper(reading: Reading, curve: Curve) -> list[str]:
    """The cheap curves of the chosen strategy against as many mixes of its sweep as their minutes pay for."""
    table = reading.cheap
    if not len(table):
        return []
    own = table[(table["data"] == curve.name["data"]) & (table["against"] == describe_choice(curve.name))]
    words = {
        1: "Covers surely more than the mixes of the sweep that its minutes pay for",
        0: "Not told apart from those mixes",
        -1: "Covers surely less than those mixes",
    }
    told: dict[int, list[str]] = {sign: [] for sign in words}
    for row in own.to_dict("records"):
        price = f"{row['cpu_minutes']:.1f} of {row['sweep_cpu_minutes']:.1f} CPU minutes"
        sign = int(np.sign(row["difference"])) if is_sure(row) else 0
        told[sign].append(f"{row['curve']} ({row['difference']:+.3f} in hypervolume, {price})")
    return [f"{words[sign]}: {'; '.join(names)}." for sign, names in told.items() if names]


def _who(gains: Iterable[Gains], curve: Curve) -> list[str]:
    """The groups of cases with the largest sure differences."""
    told_apart = ("data", "evidence")
    own = [found for found in gains if all(found.curve.name[c] == curve.name[c] for c in told_apart)]
    if not own or own[0].table["p_holm"].isna().all():
        return []
    rows = sorted((row for row in own[0].table.to_dict("records") if is_sure(row)), key=lambda row: row["difference"])
    if not rows:
        return ["No group of cases is surely better or worse off than with the same identifiers' models of one task."]
    told = []
    for verb, chosen in (
        ("gains", [row for row in rows[::-1] if row["difference"] > 0]),
        ("loses", [row for row in rows if row["difference"] < 0]),
    ):
        groups = [
            f"{row['task']} with {FEATURES[row['feature']]} {row['group']} ({row['difference']:+.3f}, {row['cases']:,} cases)"
            for row in chosen[:3]
        ]
        told.append(
            f"Against the same identifiers' models of one task it {verb} {'most' if groups else 'surely'} in "
            f"{'; '.join(groups) + ', surely' if groups else 'no group'}."
        )
    return told


def _lists(results: pd.DataFrame, curve: Curve) -> list[str]:
    """What the chosen model's lists of ten are like, beside those of the specialists."""
    table = results[(results["protocol"] == LISTS) & (results["data"] == curve.name["data"])]
    if table.empty:
        return []
    model, told = inner(curve), []
    own = (table[CURVE] == [curve.name[c] for c in CURVE]).all(axis=1)
    own &= table["place"] == model.places[model.chosen[0]]
    for metric, (text, form) in LIST_WORDS.items():
        words = []
        for task in TASKS:
            asked = (table["metric"] == metric) & (table["task"] == task)
            mine = table[asked & own]["value"].mean()
            theirs = table[asked & (table["curve"] == "specialist")].groupby("strategy")["value"].mean()
            ends = dict.fromkeys(f"{value:{form}}" for value in (theirs.min(), theirs.max()) if np.isfinite(value))
            if np.isfinite(mine):
                words.append(f"{task} {mine:{form}}" + (f" (rankers {' to '.join(ends)})" if ends else ""))
        if words:
            told.append(f"{text}: {', '.join(words)}.")
    return told


LIST_WORDS = {
    "coverage": ("Share of the catalogue that somebody is shown", ".0%"),
    "popularity_bias": ("Popularity of what is listed (mean percentile, .5 is neutral)", ".2f"),
    "novelty": ("Novelty of what is listed, in bits", ".1f"),
    "repeats": ("Listed items that the user had clicked before", ".0%"),
    "noun_precision@5": ("The product that a query names, among the first five items", ".0%"),
}
"""Measures of lists in words, with their format."""
