"""Ranking metrics with ties counted at their expected value under a random order.

Explained in notebook 07. A target that shares its score with t others stands, in a random order of the
tied items, at each of the places better + 1 ... better + t + 1 with the same probability. So every
metric has an exact expectation, and no metric depends on how a sort happens to order equal scores:
McSherry & Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence
of Tied Scores", ECIR 2008, section 3.

Shapes: C cases, n scored items of a case, R relevant items of all cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import digamma, gammaln

METRICS = ("HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10", "MRR")


def place_of_target(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count, from scores (C, 1 + n) with the target in column 0, the items `better` (C,) than it and the `ties` (C,)."""
    target, others = scores[:, :1], scores[:, 1:]
    return (others > target).sum(axis=1), (others == target).sum(axis=1)


def case_metrics(
    better: np.ndarray, ties: np.ndarray, names: tuple[str, ...] = METRICS, ptr: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Expected metrics (C,) from the counts (R,) of the relevant items of C cases.

    Without `ptr` every case has one relevant item (R = C, the ideal DCG is 1); else those of case c are
    `ptr[c]:ptr[c + 1]`, counted in one list that holds all of them. NDCG is then held against the ideal ranking,
    HR@k is the probability that one of them at least is among the first k, MRR that of the first. `names` may hold
    HR@k, NDCG@k for any k, and MRR; with `ptr` also Recall@k.
    """
    better, size = np.asarray(better, np.int64), np.asarray(ties, np.int64) + 1
    if ptr is None or (np.diff(ptr) == 1).all():
        return {name: _expected(name.replace("Recall", "HR"), better, size) for name in names}
    groups = _TieGroups.from_places(better, size, np.asarray(ptr, np.int64))
    return {name: _judged(name, groups) for name in names}


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
    worth = np.exp2(gains) - 1 if gain == "exponential" else gains
    groups = _TieGroups.from_scores(scores, gains > 0, worth)
    return {name: _judged(name, groups) for name in names}


@dataclass(frozen=True)
class _TieGroups:
    """G groups of tied items, in the order of the cases and of their places.

    `case`, `start` (place of the group's first item, from 0), `size`, `relevant` (how many) and `worth` (sum of
    gains) are (G,); `ideal` (C, n) holds the gains of each case, the largest first.
    """

    case: np.ndarray
    start: np.ndarray
    size: np.ndarray
    relevant: np.ndarray
    worth: np.ndarray
    ideal: np.ndarray

    @classmethod
    def from_scores(cls, scores: np.ndarray, relevant: np.ndarray, worth: np.ndarray) -> _TieGroups:
        num_cases, n = scores.shape
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(scores, order, axis=1)
        opens = np.ones((num_cases, n), bool)
        opens[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
        group = np.cumsum(opens.ravel()) - 1  # numbered through all cases
        first = np.flatnonzero(opens.ravel())

        def total(values: np.ndarray) -> np.ndarray:
            return np.bincount(group, weights=np.take_along_axis(values, order, axis=1).ravel())

        return cls(first // n, first % n, np.bincount(group), total(relevant), total(worth), -np.sort(-worth, axis=1))

    @classmethod
    def from_places(cls, better: np.ndarray, size: np.ndarray, ptr: np.ndarray) -> _TieGroups:
        """The groups that hold a relevant item: the others change no metric."""
        case = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
        key = np.stack([case, better])
        groups, first, relevant = np.unique(key, axis=1, return_index=True, return_counts=True)
        ideal = (np.arange(int(np.diff(ptr).max(initial=0))) < np.diff(ptr)[:, None]).astype(float)
        return cls(groups[0], groups[1], size[first], relevant, relevant, ideal)

    def per_case(self, values: np.ndarray) -> np.ndarray:
        """Sum over the groups of every case: (C,)."""
        return np.bincount(self.case, weights=values, minlength=len(self.ideal))


def _judged(name: str, groups: _TieGroups) -> np.ndarray:
    kind, k = _parse(name)
    if kind == "MRR":
        return _expected_reciprocal_rank(groups)
    inside = np.clip(k - groups.start, 0, groups.size)
    num_relevant = groups.per_case(groups.relevant)
    if kind == "HR":
        # The group that straddles k shows `inside` of its items: none is relevant with hypergeometric probability.
        missed = _log_choose(groups.size - groups.relevant, inside) - _log_choose(groups.size, inside)
        return 1 - np.exp(groups.per_case(missed))
    if kind == "Recall":
        found = groups.per_case(groups.relevant * inside / groups.size)
        return np.divide(found, num_relevant, out=np.zeros_like(found), where=num_relevant > 0)
    gained = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    start = np.minimum(groups.start, k)
    dcg = groups.per_case(groups.worth / groups.size * (gained[start + inside] - gained[start]))
    best = groups.ideal[:, :k]
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
    expected = np.zeros(len(groups.ideal))
    expected[cases] = np.bincount(span, weights=chance / (groups.start[first][span] + j), minlength=len(first))
    return expected


def add_metrics(ranks: pd.DataFrame, names: tuple[str, ...] = METRICS) -> pd.DataFrame:
    """The table of ranks with one row per case and one more column per metric, its expected value.

    `ranks` has one row per relevant item: `rank` is the expected rank, 1 + better + ties / 2, and `ties` the number of
    other items with its score, as `evaluate_ranker` writes them. Of a case of several items the row of the
    best placed one stays.
    """
    ties = ranks["ties"].to_numpy(np.int64)
    better = np.rint(ranks["rank"].to_numpy(np.float64) - 1 - ties / 2).astype(np.int64)
    keys = [column for column in ranks if column not in ("item_id", "rank", "ties")]
    if "case_id" not in keys or not ranks.duplicated(keys).any():
        return ranks.assign(**case_metrics(better, ties, names))
    case = ranks.groupby(keys, sort=False, dropna=False, observed=True).ngroup().to_numpy()
    order = np.lexsort((better, case))
    ptr = np.concatenate([[0], np.cumsum(np.bincount(case))])
    return ranks.iloc[order[ptr[:-1]]].assign(**case_metrics(better[order], ties[order], names, ptr))


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
