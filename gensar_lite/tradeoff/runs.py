"""One piece of work of a sweep: train what it needs, rank all held-out cases at every place of its curve.

Explained in notebook 08. A *place* is where a point lies on its curve, from search (0) to recommendation (1): the mix
of training in a sweep, the mix asked for, the share of the way between two fine-tunes; in a fusion, the weight
of the partner. The primary protocols are measured on validation cases, for choosing, and the design's on test
cases, for reporting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.splits import TASKS
from gensar_lite.evaluation.baselines import recorded_parameters, recorded_tuning
from gensar_lite.evaluation.metrics import METRICS, add_metrics
from gensar_lite.evaluation.named import MEASURE, NamedProducts
from gensar_lite.evaluation.protocols import EVALUATION_PROTOCOLS, Ranker, evaluate_ranker, list_quality
from gensar_lite.model import GenSAR
from gensar_lite.pipeline.measure import is_simulated
from gensar_lite.tradeoff.design import PRIMARY_PROTOCOLS, Design, Unit
from gensar_lite.tradeoff.fusion import OtherTask, rank_fused
from gensar_lite.tradeoff.interpolation import WeightLine
from gensar_lite.tradeoff.results import LISTS
from gensar_lite.tradeoff.workshop import Cost, Made, Workshop

WHOLE = {"choose": "valid"}  # what results call the half of the validation cases to which nothing was fitted
LISTED_CASES = 300  # test cases of a task whose lists are looked at
METRIC_ROWS = ["curve", "place", "task", "protocol", "split", "metric"]


class Outcome(NamedTuple):
    """What a unit leaves: ranks of every case (with columns curve and place), and what it took.

    `training` is the cost of all trainings that the curves need, from nothing; `before` that of signals and
    identifiers, which runs share; `notes` what else is worth keeping; `added` what some of the curves need beside; `lists`
    what the lists of ten look like, as rows of metrics.
    """

    ranks: pd.DataFrame
    training: Cost
    before: Cost
    notes: dict
    added: Mapping[str, Cost] = MappingProxyType({})
    lists: pd.DataFrame | None = None


def do_unit(unit: Unit, design: Design, shop: Workshop) -> Outcome:
    """Do one piece of work."""
    works: dict[str, Callable[[Unit, Design, Workshop], Outcome]] = {
        "sweep": _sweep,
        "interpolation": _interpolate,
        "conditioned": _condition,
        "fusion": _fuse,
        "specialist": _specialist,
    }
    return works[unit.kind](unit, design, shop)


def metrics_table(ranks: pd.DataFrame) -> pd.DataFrame:
    """Mean metrics of a unit's ranks: columns `METRIC_ROWS`, value and cases (how many the mean is over)."""
    rows = []
    for keys, part in add_metrics(ranks).groupby(METRIC_ROWS[:-1], sort=False, dropna=False, observed=True):
        rows += [(*keys, metric, float(part[metric].mean()), len(part)) for metric in METRICS]
    return pd.DataFrame(rows, columns=[*METRIC_ROWS, "value", "cases"])


def _measure(
    rankers: Iterable[tuple[str, float, Ranker]], data: Dataset, design: Design, every_split: bool = False
) -> pd.DataFrame:
    """Ranks of all that is asked; `every_split`: validation cases, too, by all protocols that are reported."""
    parts = []
    for curve, place, ranker in rankers:
        for split, protocols in _asked(design, every_split):
            ranks = evaluate_ranker(ranker, data, split, protocols=protocols)
            parts.append(ranks.assign(curve=curve, place=place, split=WHOLE.get(split, split)))
    return pd.concat(parts, ignore_index=True)


def _asked(design: Design, every_split: bool = False) -> list[tuple[str, tuple[str, ...]]]:
    reported = tuple(dict.fromkeys((*PRIMARY_PROTOCOLS, *design.protocols)))
    return [("choose", reported if every_split else PRIMARY_PROTOCOLS), ("test", reported)]


def _before(unit: Unit, design: Design, shop: Workshop) -> Cost:
    config = design.config(unit)
    return shop.signals(unit.data, config).cost.plus(shop.identifiers(unit.data, config).cost)


def _notes(model: GenSAR) -> dict:
    return {"steps": model.training_history[-1]["step"] if model.training_history else 0}


def _sweep(unit: Unit, design: Design, shop: Workshop) -> Outcome:
    # the middle of the mixes is where cheaper curves start from
    parent = any(
        other.kind in ("interpolation", "fusion") and replace(other, kind="sweep") == unit for other in design.units()
    )
    made = shop.model(unit.data, design.config(unit), keep=parent)
    assert unit.mix is not None
    ranks = _measure([("sweep", unit.mix, made.thing)], shop.dataset(unit.data), design)
    lists = measure_lists("sweep", unit.mix, made.thing, shop.dataset(unit.data))
    return Outcome(ranks, made.cost, _before(unit, design, shop), _notes(made.thing), lists=lists)


def _specialist(unit: Unit, design: Design, shop: Workshop) -> Outcome:
    config = design.config(unit)
    made = shop.ranker(unit.data, unit.strategy, unit.seed, config)
    data = shop.dataset(unit.data)
    tuned = recorded_tuning(data)  # where there is none, the parameters are the defaults
    ranks = _measure([("specialist", np.nan, made.thing)], data, design, every_split=True)
    notes = {"specialist": recorded_parameters(data).get(unit.strategy, {}), "tuned_on": tuned.get("fingerprint")}
    lists = measure_lists("specialist", np.nan, made.thing, data)
    return Outcome(ranks, made.cost, shop.signals(unit.data, config).cost, notes, lists=lists)


def measure_lists(curve: str, place: float, ranker: Ranker, data: Dataset) -> pd.DataFrame:
    """What a ranker's lists of ten look like in some test cases of each task: rows as in `metrics_table`."""
    rows = []
    for task in (task for task in TASKS if task in ranker.tasks):
        found = list_quality(ranker, data, task, num_cases=LISTED_CASES)
        if task == "search" and is_simulated(data) and len((named := NamedProducts(data)).cases):
            found[MEASURE] = named.precision(ranker)
        cases = min(LISTED_CASES, len(data.cases(task, "test")))
        rows += [(curve, place, task, LISTS, "test", metric, value, cases) for metric, value in found.items()]
    return pd.DataFrame(rows, columns=[*METRIC_ROWS, "value", "cases"])


def _condition(unit: Unit, design: Design, shop: Workshop) -> Outcome:
    made = shop.model(unit.data, design.config(unit, mix_levels=tuple(design.levels)))
    places = (("conditioned", level, made.thing.for_mix(level)) for level in design.levels)
    ranks = _measure(places, shop.dataset(unit.data), design)
    return Outcome(ranks, made.cost, _before(unit, design, shop), _notes(made.thing))


def _parent(unit: Unit, design: Design, shop: Workshop) -> Made[GenSAR]:
    return shop.model(unit.data, design.config(replace(unit, kind="sweep")), keep=True)


def _interpolate(unit: Unit, design: Design, shop: Workshop) -> Outcome:
    """Weights between two fine-tunes, and, for the same two trainings, their scores instead of their weights."""
    parent = _parent(unit, design, shop)
    whole = design.config(unit)
    steps = max(1, round(whole.training.steps * design.finetune_share))
    rate = whole.training.learning_rate * design.finetune_rate
    ends = []
    for mix in design.finetune_mixes:
        changed = replace(whole.training, mix=mix, steps=steps, learning_rate=rate, validate_every=steps)
        ends.append(shop.model(unit.data, replace(whole, training=changed), keep=True, parent=parent))
    places = np.linspace(0, 1, design.num_places)
    line = WeightLine(ends[0].thing, ends[1].thing)
    data = shop.dataset(unit.data)
    ranks = _measure((("interpolation", float(place), line.at(float(place))) for place in places), data, design)
    both = _measure_fused("ensemble", ends[0].thing, ends[1].thing, data, design, "logprob")
    cost = parent.cost.plus(*(end.cost for end in ends))
    return Outcome(
        pd.concat([ranks, both], ignore_index=True), cost, _before(unit, design, shop), {"finetune_steps": steps}
    )


def _fuse(unit: Unit, design: Design, shop: Workshop) -> Outcome:
    """One model's scores with those of its other identifier, its other task, and of each partner."""
    model = _parent(unit, design, shop)
    data, config = shop.dataset(unit.data), design.config(unit)
    partners: list[tuple[str, Ranker, str, Cost]] = [
        ("identifiers", OtherTask(model.thing, "kept"), "logprob", Cost()),
        ("tasks", OtherTask(model.thing, "dropped"), "logprob", Cost()),
    ]
    for name in design.partners:
        made = shop.ranker(unit.data, name, unit.seed, config)
        partners.append((name, made.thing, "z-score", made.cost))
    parts = [
        _measure_fused(f"fusion with {name}", model.thing, ranker, data, design, how)
        for name, ranker, how, _ in partners
    ]
    added = {f"fusion with {name}": cost for name, _, _, cost in partners}
    ranks = pd.concat(parts, ignore_index=True)
    return Outcome(ranks, model.cost, _before(unit, design, shop), _notes(model.thing), added)


def _measure_fused(curve: str, first: Ranker, second: Ranker, data: Dataset, design: Design, how: str) -> pd.DataFrame:
    """Ranks at every weight; in a task that the second ranker does not serve they are the first one's at all of them."""
    weights = np.linspace(0, 1, design.num_places)
    parts = list(_fused_ranks(first, second, data, design, how, weights))
    return pd.concat(parts, ignore_index=True).assign(curve=curve)


def _fused_ranks(
    first: Ranker, second: Ranker, data: Dataset, design: Design, how: str, weights: np.ndarray
) -> Iterator[pd.DataFrame]:
    users, items = np.array(data.log.user_ids, dtype=object), data.items["item_id"].to_numpy(dtype=object)
    for split, protocols in _asked(design):
        for task in TASKS:
            cases = data.cases(task, split)
            for protocol in protocols:
                if protocol not in EVALUATION_PROTOCOLS[task]:
                    continue
                alone = task not in second.tasks
                partner, used = (first, [0.0]) if alone else (second, weights.tolist())
                better, ties = rank_fused(first, partner, cases, protocol, data.num_items, used, how)
                for row, weight in enumerate(weights):
                    counts = (better[0], ties[0]) if alone else (better[row], ties[row])
                    yield pd.DataFrame(
                        {
                            "task": task,
                            "protocol": protocol,
                            "split": WHOLE.get(split, split),
                            "case_id": cases.case_id[cases.owner],
                            "user_id": users[cases.user[cases.owner]],
                            "item_id": items[cases.relevant],
                            "rank": 1 + counts[0] + counts[1] / 2,
                            "ties": counts[1],
                            "place": float(weight),
                        }
                    )
