"""Metrics of a model beside its baselines, and examples of its answers.

Explained in notebook 07. Everything here asks held-out cases: what a user did after the case is never in the history.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from gensar_lite.data.bazaar.oracle import BazaarOracle
from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.baselines import build_baselines
from gensar_lite.evaluation.metrics import metrics_of
from gensar_lite.evaluation.named import MEASURE, NamedProducts
from gensar_lite.evaluation.protocols import Ranker, evaluate_ranker, list_quality, rank_cases
from gensar_lite.model import GenSAR

RANK_COLUMNS = ["model", "seed", "task", "protocol", "split", "case_id", "user_id", "item_id", "rank", "ties"]
ORACLE = "oracle"
SHOWN_HISTORY = 5


def evaluate(
    model: GenSAR,
    data: Dataset,
    *,
    split: str = "test",
    protocols: Iterable[str] | None = None,
    baselines: bool | Iterable[str] = False,
    lists: bool = True,
) -> dict[str, Any]:
    """Measure a model on the held-out cases of both tasks.

    `baselines`: True for all, or some of their names; they are fitted first. `lists` adds, for each ranker and task,
    what its lists of ten look like (coverage, popularity bias, novelty). Gives the content of `metrics.json`:
    task -> protocol -> metric, "baselines", "ceiling" (the oracle, where the store is simulated and baselines are
    asked for), "lists" and "provenance"; where the model hears evidence, "generator" holds what it is worth without. Raises DataError where the model was made for another catalogue.
    """
    if data.info["fingerprint"] != model.data.info["fingerprint"]:
        raise DataError(
            f"the model was made from another data set ({model.data.name}, fingerprint {model.data.info['fingerprint'][:16]}) than {data.name} ({data.info['fingerprint'][:16]}); measure it on its own, model.data"
        )
    protocols = None if protocols is None else list(protocols)
    ranks, found = rank_all(rows_of(model), data, model.config.seed, split, protocols, lists)
    if baselines:
        names = None if baselines is True else list(baselines)
        rankers = [*build_baselines(data, model.signals, model.config.seed, names, model.device), *oracle_of(data)]
        other_ranks, other_lists = rank_all(rankers, data, model.config.seed, split, protocols, lists)
        ranks, found = pd.concat([ranks, other_ranks], ignore_index=True), {**found, **other_lists}
    return compose_metrics(ranks, found, model, provenance_of(data, split, model.config.seed))


def rows_of(model: GenSAR) -> list[GenSAR]:
    """The rows of one model in a table: the generator with the evidence that it hears, and alone."""
    return [model, model.hearing(())] if model.heard else [model]


def oracle_of(data: Dataset) -> list[Ranker]:
    """The ranker that knows the truth, where the store is simulated."""
    return [BazaarOracle(data)] if is_simulated(data) else []


def is_simulated(data: Dataset) -> bool:
    """Whether the truth about a data set is known."""
    return "bazaar" in data.info and "changed" not in data.info


def rank_all(
    rankers: Iterable[Ranker],
    data: Dataset,
    seed: int,
    split: str = "test",
    protocols: list[str] | None = None,
    lists: bool = True,
) -> tuple[pd.DataFrame, dict]:
    """Ranks of several rankers in the columns of `ranks.parquet`, and what their lists look like: name -> task -> measure."""
    parts, found = [], {}
    named = NamedProducts(data) if lists and is_simulated(data) else None
    for ranker in rankers:
        ranks = evaluate_ranker(ranker, data, split, protocols=protocols)
        parts.append(ranks.assign(model=ranker.name, seed=seed)[RANK_COLUMNS])
        if lists:
            found[ranker.name] = {
                task: list_quality(ranker, data, task, split) for task in ranker.tasks if len(data.cases(task, split))
            }
            if named is not None and len(named.cases) and "search" in found[ranker.name] and ranker.name != ORACLE:
                found[ranker.name]["search"][MEASURE] = named.precision(ranker)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=RANK_COLUMNS), found


def compose_metrics(ranks: pd.DataFrame, lists: dict, model: GenSAR, provenance: dict) -> dict[str, Any]:
    """The content of `metrics.json` from the ranks of a model (its rows) and of all others beside it."""
    values = {str(model): metrics_of(part) for model, part in ranks.groupby("model", sort=False)}
    own = values.pop(model.name, {})
    alone = {"generator": values.pop(model.hearing(()).name, {})} if model.heard else {}
    ceiling = {ORACLE: values.pop(ORACLE)} if ORACLE in values else {}
    return {
        **{task: own.get(task, {}) for task in TASKS},
        **alone,
        "baselines": values,
        "ceiling": ceiling,
        "lists": lists,
        "provenance": {**provenance, "model": model.name, "evidence": list(model.heard)},
    }


def provenance_of(data: Dataset, split: str, seed: int) -> dict[str, Any]:
    """Where numbers come from: the data set, its cases and the model's seed."""
    from gensar_lite import __version__

    info = data.info
    return {
        "data": info["name"],
        "origin": info["origin"],
        "fingerprint": info["fingerprint"],
        "counts": info["counts"],
        "query_protocol": info["query_protocol"],
        "data_seed": info["data_seed"],
        "split": split,
        "cases": {task: len(data.cases(task, split)) for task in TASKS},
        "seed": seed,
        "version": __version__,
    }


def describe_examples(model: GenSAR, data: Dataset, num: int, k: int = 5) -> list[dict[str, Any]]:
    """`num` test cases of each task with the model's answers, drawn at random and not for their success.

    Each has task, user, query (search), history (titles of the latest clicks and queries, oldest first), answers
    (item_id, title, identifier, best first), target (item_id, title; of a session the first click) and its exact rank in the whole catalogue.
    """
    found: list[dict[str, Any]] = []
    for task in reversed(TASKS):
        cases = data.cases(task, "test")
        if not num or not len(cases):
            continue
        rows = np.sort(np.random.default_rng(0).permutation(len(cases))[:num])
        cases = cases.take(rows)
        answers = model.top_items(cases, k)
        better, ties = rank_cases(model, cases, "full", data.num_items)
        rank = (1 + better + ties / 2)[cases.ptr[:-1]]
        for row in range(len(cases)):
            found.append(
                {
                    "task": task,
                    "user": data.log.user_ids[cases.user[row]],
                    "query": cases.query[row] if cases.query is not None else None,
                    "history": _history_texts(data, cases, row),
                    "answers": model.describe(answers[row], task).to_dict("records"),
                    "target": data.items.iloc[cases.item[row]][["item_id", "title"]].to_dict(),
                    "rank": float(rank[row]),
                }
            )
    return found


def _history_texts(data: Dataset, cases: Cases, row: int) -> list[str]:
    log = data.log
    events = np.arange(max(cases.start[row], cases.stop[row] - SHOWN_HISTORY), cases.stop[row])
    texts = []
    for event in events:
        title = data.items["title"].iloc[log.item[event]] if log.item[event] >= 0 else None
        asked = f"“{log.queries[log.query[event]]}”" if log.searched[event] else None
        texts.append(" → ".join(part for part in (asked, title) if part))
    return texts
