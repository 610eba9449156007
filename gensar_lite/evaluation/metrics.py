"""Ranking metrics with ties counted at their expected value under a random order.

Explained in notebook 07. A target that shares its score with t others stands, in a random order of the
tied items, at each of the places better + 1 ... better + t + 1 with the same probability. So every
metric has an exact expectation, and no metric depends on how a sort happens to order equal scores:
McSherry & Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence
of Tied Scores", ECIR 2008, section 3.

Shapes: C cases, n scored items of a case.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import digamma, gammaln

METRICS = ("HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10", "MRR")


def place_of_target(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count, from scores (C, 1 + n) with the target in column 0, the items `better` (C,) than it and the `ties` (C,)."""
    target, others = scores[:, :1], scores[:, 1:]
    return (others > target).sum(axis=1), (others == target).sum(axis=1)


def case_metrics(better: np.ndarray, ties: np.ndarray, names: tuple[str, ...] = METRICS) -> dict[str, np.ndarray]:
    """Expected metrics (C,) of cases with one relevant item each, from counts (C,).

    `names` may hold HR@k, NDCG@k for any k, and MRR. With one relevant item the ideal DCG is 1.
    """
    better, size = np.asarray(better, np.int64), np.asarray(ties, np.int64) + 1
    return {name: _expected(name, better, size) for name in names}


def _expected(name: str, better: np.ndarray, size: np.ndarray) -> np.ndarray:
    kind, k = _parse(name)
    if kind == "MRR":
        return (digamma(better + size + 1.0) - digamma(better + 1.0)) / size  # a difference of harmonic numbers
    inside = np.clip(k - better, 0, size)
    if kind == "HR":
        return inside / size
    gained = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    start = np.minimum(better, k)
    return (gained[start + inside] - gained[start]) / size


def _parse(name: str) -> tuple[str, int]:
    kind, _, k = name.partition("@")
    if name == "MRR":
        return kind, 0
    if kind not in ("HR", "NDCG", "Recall") or not k.isdigit() or int(k) < 1:
        raise ValueError(f"{name!r} is no known metric; use HR@k, NDCG@k, Recall@k (judged_metrics only) or MRR")
    return kind, int(k)


def judged_metrics(
    scores: np.ndarray, gains: np.ndarray, names: tuple[str, ...] = METRICS, gain: str = "linear"
) -> dict[str, np.ndarray]:
    """Expected metrics (C,) of cases with any number of relevant items.

    `scores` (C, n) and judgements `gains` (C, n): 0 is not relevant, higher is better, binary or graded.
    Pad shorter lists with score -inf and gain 0. `gain` "linear" takes a judgement as it stands (trec_eval,
    Järvelin & Kekäläinen 2002), "exponential" as 2^g - 1 (Burges et al. 2005). NDCG@k divides by the DCG@k
    of the ideal order of all n items; HR@k is the probability that at least one relevant item is among the
    first k, Recall@k the share of the relevant ones there, MRR that of the first. A case without a relevant
    item counts 0, as in trec_eval.
    """
    scores, gains = np.asarray(scores, np.float64), np.asarray(gains, np.float64)
    if gain not in ("linear", "exponential"):
        raise ValueError(f"gain must be 'linear' or 'exponential', not {gain!r}")
    if scores.shape != gains.shape or scores.ndim != 2:
        raise ValueError(f"scores {scores.shape} and gains {gains.shape} must have one shape (C, n)")
    if np.isnan(scores).any() or np.isnan(gains).any() or (gains < 0).any():
        raise ValueError("scores must be numbers and gains must be numbers of at least 0")
    if 0 in scores.shape:
        return {name: np.zeros(len(scores)) for name in names}
    groups = _TieGroups(scores, gains > 0)
    worth = np.exp2(gains) - 1 if gain == "exponential" else gains
    return {name: _judged(name, groups, worth) for name in names}


class _TieGroups:
    """Each item's tie group by descending score; all arrays are (C, n) in that order, positions from 0."""

    def __init__(self, scores: np.ndarray, relevant: np.ndarray) -> None:
        num_cases, n = scores.shape
        self.order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(scores, self.order, axis=1)
        opens = np.ones((num_cases, n), bool)
        opens[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
        self.group = np.cumsum(opens.ravel()) - 1  # numbered through all cases
        self.case = np.arange(num_cases * n)[opens.ravel()] // n
        self.start = np.arange(num_cases * n)[opens.ravel()] % n
        self.size = np.bincount(self.group)
        self.relevant = self.total(relevant)
        self.shape = (num_cases, n)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum of per-item values (C, n), in the items' own order, over every group."""
        ranked = np.take_along_axis(values, self.order, axis=1)
        return np.bincount(self.group, weights=ranked.ravel())

    def per_case(self, values: np.ndarray) -> np.ndarray:
        """Sum over the groups of every case: (C,)."""
        return np.bincount(self.case, weights=values, minlength=self.shape[0])


def _judged(name: str, groups: _TieGroups, worth: np.ndarray) -> np.ndarray:
    kind, k = _parse(name)
    n = groups.shape[1]
    if kind == "MRR":
        return _expected_reciprocal_rank(groups)
    inside = np.clip(k - groups.start, 0, groups.size)
    num_relevant = groups.per_case(groups.relevant)
    if kind == "HR":
        # The group that straddles k shows `inside` of its items: none is relevant with hypergeometric probability.
        missed = _log_choose(groups.size - groups.relevant, inside) - _log_choose(groups.size, inside)
        return 1 - np.exp(groups.per_case(missed)) if n else np.zeros(groups.shape[0])
    if kind == "Recall":
        found = groups.per_case(groups.relevant * inside / groups.size)
        return np.divide(found, num_relevant, out=np.zeros_like(found), where=num_relevant > 0)
    gained = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, n + 2)))])
    discount = gained[groups.start + inside] - gained[groups.start]
    dcg = groups.per_case(groups.total(worth) / groups.size * discount)
    best = -np.sort(-worth, axis=1)[:, :k]
    ideal = best @ (gained[1:] - gained[:-1])[: best.shape[1]]
    return np.divide(dcg, ideal, out=np.zeros_like(dcg), where=ideal > 0)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    possible = k <= n
    k = np.minimum(k, n)
    return np.where(possible, gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0), -np.inf)


def _expected_reciprocal_rank(groups: _TieGroups) -> np.ndarray:
    holding = np.flatnonzero(groups.relevant > 0)
    cases, first = np.unique(groups.case[holding], return_index=True)
    first = holding[first]
    size, relevant = groups.size[first], groups.relevant[first]
    # The first relevant item of g tied ones, r of them relevant, is the j-th with probability C(g-j, r-1) / C(g, r).
    span = np.repeat(np.arange(len(first)), size)
    j = np.arange(len(span)) - np.repeat(np.cumsum(size) - size, size) + 1
    chance = np.exp(_log_choose(size[span] - j, relevant[span] - 1) - _log_choose(size, relevant)[span])
    expected = np.zeros(groups.shape[0])
    expected[cases] = np.bincount(span, weights=chance / (groups.start[first][span] + j), minlength=len(first))
    return expected


def add_metrics(ranks: pd.DataFrame, names: tuple[str, ...] = METRICS) -> pd.DataFrame:
    """The table of ranks with one more column per metric, the expected value of each case.

    `rank` is the expected rank, 1 + better + ties / 2, and `ties` the number of other items with the
    target's score, as `evaluate_ranker` writes them.
    """
    ties = ranks["ties"].to_numpy(np.int64)
    better = np.rint(ranks["rank"].to_numpy(np.float64) - 1 - ties / 2).astype(np.int64)
    return ranks.assign(**case_metrics(better, ties, names))


def metrics_of(ranks: pd.DataFrame, names: tuple[str, ...] = METRICS) -> dict[str, dict[str, dict[str, float]]]:
    """Mean metrics of one model's ranks: task -> protocol -> metric.

    Raises ValueError where the table mixes models, seeds or splits, whose mean would mean nothing.
    """
    for column in ("model", "seed", "split"):
        if column in ranks and ranks[column].nunique(dropna=False) > 1:
            raise ValueError(
                f"the ranks mix several values of {column!r} ({sorted(map(str, ranks[column].unique()))}); choose one"
            )
    found: dict[str, dict[str, Any]] = {}
    for (task, protocol), rows in add_metrics(ranks, names).groupby(["task", "protocol"], sort=False, observed=True):
        found.setdefault(str(task), {})[str(protocol)] = {name: float(rows[name].mean()) for name in names}
    return found
