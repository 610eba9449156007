"""Who gains and who loses: the difference of two models by what is known of each question.

Explained in notebook 08. A mean can hide that a model serves the many at the cost of the few; here the cases are cut
into groups by one property at a time.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.lexical import index_terms
from gensar_lite.data.splits import TASKS
from gensar_lite.evaluation.metrics import add_metrics
from gensar_lite.evaluation.significance import bootstrap_interval, correct_holm, randomisation_test
from gensar_lite.evidence.nearest import nearest_others
from gensar_lite.signals import Signals
from gensar_lite.signals.text import normalise

FEATURES = {
    "popularity": "clicks of the target in training",
    "history": "events in the history",
    "query_words": "words of the query",
    "overlap": "share of the query's words in the target's title",
    "agreement": "shared neighbours of the target in both signals",
}
"""Properties of a case, in words."""
NUM_NEIGHBOURS = 10


def signal_agreement(signals: Signals, num_neighbours: int = NUM_NEIGHBOURS) -> np.ndarray:
    """(N,) share of each item's nearest items by text that are among its nearest by co-clicks (cosine), too.

    Exact up to the size that `nearest` tells; above, neighbours may be missed.
    """
    found = []
    for vectors in (signals.semantic, signals.collaborative):
        num = min(num_neighbours, len(vectors) - 1)
        found.append(nearest_others(normalise(vectors), num)[0])
    first, second = found
    return (first[:, :, None] == second[:, None, :]).any(axis=2).mean(axis=1)


def case_features(data: Dataset, signals: Signals, cases: Cases) -> pd.DataFrame:
    """One row per case: case_id and the columns of `FEATURES`, means over the true items; NaN where a property does not apply."""
    titles = data.items["title"].to_numpy(dtype=object)
    query_words, overlap = np.full(len(cases), np.nan), np.full(len(cases.relevant), np.nan)
    terms = [set(index_terms(query, data.language)) for query in cases.query or []]
    query_words[: len(terms)] = [len(query.split()) for query in cases.query or []]
    for row, (case, item) in enumerate(zip(cases.owner, cases.relevant, strict=True)):
        if terms and terms[case]:
            overlap[row] = len(terms[case] & set(index_terms(titles[item], data.language))) / len(terms[case])

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(cases.owner, values, len(cases)) / np.diff(cases.ptr)

    return pd.DataFrame(
        {
            "case_id": cases.case_id,
            "popularity": mean(data.popularity[cases.relevant]),
            "history": cases.stop - cases.start,
            "query_words": query_words,
            "overlap": mean(overlap),
            "agreement": mean(signal_agreement(signals)[cases.relevant]),
        }
    )


def who_gains(
    model: pd.DataFrame,
    against: pd.DataFrame,
    features: pd.DataFrame,
    metric: str = "NDCG@10",
    num_groups: int = 4,
    num_resamples: int = 2000,
) -> pd.DataFrame:
    """The difference of two models in groups of cases, one table for all properties.

    `model` and `against` are ranks of the same cases, split and protocol (a column seed where there are several);
    `features` comes from `case_features`. Groups are quantiles, or the values themselves where there are few.
    Columns: task, feature, group (its range in words), `lowest` and `highest` value, cases, value, against_value,
    difference, low and high (over users), `p`, `p_holm`; these four are NaN with one seed. Raises ValueError where cases differ.
    """
    tables = [_per_case(part, metric) for part in (model, against)]
    if not tables[0].index.equals(tables[1].index):
        raise ValueError("the two models answered different cases; take ranks of one data set, split and protocol")
    several = all("seed" in part and part["seed"].nunique() > 1 for part in (model, against))
    both = tables[0].rename("value").to_frame().assign(against_value=tables[1]).reset_index()
    both = both.merge(features, on="case_id")
    rows = []
    for task in [task for task in TASKS if (both["task"] == task).any()]:
        for feature in FEATURES:
            part = both[(both["task"] == task) & both[feature].notna()]
            for group, lowest, highest in _groups(part[feature].to_numpy(), num_groups):
                inside = part[group]
                differences = (inside["value"] - inside["against_value"]).groupby(inside["user_id"]).mean().to_numpy()
                low, high = (
                    bootstrap_interval(differences, num_resamples=num_resamples) if several else (np.nan, np.nan)
                )
                rows.append(
                    {
                        "task": task,
                        "feature": feature,
                        "group": " to ".join(dict.fromkeys(f"{round(edge, 2):g}" for edge in (lowest, highest))),
                        "lowest": lowest,
                        "highest": highest,
                        "cases": len(inside),
                        "value": float(inside["value"].mean()),
                        "against_value": float(inside["against_value"].mean()),
                        "difference": float(differences.mean()),
                        "low": low,
                        "high": high,
                        "p": randomisation_test(differences, num_resamples) if several else np.nan,
                    }
                )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=correct_holm(table["p"].to_numpy())) if len(table) else table


def _per_case(ranks: pd.DataFrame, metric: str) -> pd.Series:
    """Mean over seeds of each case, by task, case_id and user_id."""
    if ranks["split"].nunique() > 1 or (ranks.groupby("task")["protocol"].nunique() > 1).any():
        raise ValueError("the ranks mix splits or protocols; choose one")
    values = add_metrics(ranks, (metric,)).groupby(["task", "case_id", "user_id"], observed=True)[metric].mean()
    return values.sort_index()


def _groups(values: np.ndarray, num_groups: int) -> list[tuple[np.ndarray, float, float]]:
    """Masks of groups of about the same size, with the smallest and largest value of each."""
    if not len(values):
        return []
    edges = np.unique(np.quantile(values, np.linspace(0, 1, num_groups + 1)[1:-1], method="higher"))
    number = np.searchsorted(edges, values, side="right")
    masks = [number == group for group in np.unique(number)]
    return [(mask, float(values[mask].min()), float(values[mask].max())) for mask in masks]
