"""A curve without any training: scores of two rankers, summed with a weight that is chosen on validation.

Explained in notebook 08. Scores of different kinds are made comparable per case: z-scores over the case's candidates
(Fox & Shaw 1994 sum scores after such a scaling), or log-probabilities as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.evaluation.metrics import case_metrics
from gensar_lite.evaluation.protocols import PRIMARY, Ranker, count_places, places_of, score_in_chunks
from gensar_lite.model import GenSAR

SCALES = ("z-score", "logprob")
OTHER_TASK = {"search": "recommendation", "recommendation": "search"}


def scale_scores(scores: np.ndarray, how: str) -> np.ndarray:
    """Scores (C, n) made comparable across rankers: mean 0 and deviation 1 per case, or left as log-probabilities.

    A ranker that scores all candidates of a case alike says nothing there: zeros.
    """
    if how not in SCALES:
        raise ValueError(f"scores are scaled by one of {', '.join(SCALES)}, not {how!r}")
    scores = np.asarray(scores, np.float64)
    if how == "logprob":
        return scores
    centred = scores - scores.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-12)


class OtherTask:
    """A model's score of an item in the task that was not asked: the item's other identifier as evidence.

    `query` "kept" asks for the collaborative identifier with the query in sight; "dropped" asks what this user would
    be recommended, whatever was typed. A recommendation has no query: its other score is the semantic identifier's.
    """

    tasks: tuple[str, ...] = ("recommendation", "search")

    def __init__(self, model: GenSAR, query: str) -> None:
        self.model, self.query = model, query
        self.name = f"{model.name}, other identifier" if query == "kept" else f"{model.name}, other task"

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) or (C, N) log-probabilities."""
        query = cases.query if self.query == "kept" else None
        return self.model.score(replace(cases, task=OTHER_TASK[cases.task], query=query), candidates)


class FusedRanker:
    """Two rankers as one: (1 - weight) times the first score plus weight times the second, per task.

    `weights` maps a task to its weight; a task that the second ranker does not serve is the first one's alone.
    """

    tasks: tuple[str, ...] = ("recommendation", "search")

    def __init__(self, first: Ranker, second: Ranker, weights: dict[str, float], how: str = "z-score") -> None:
        self.first, self.second, self.weights, self.how = first, second, weights, how
        self.name = f"{first.name} + {second.name}"
        self.tasks = first.tasks

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) or (C, N) fused scores."""
        weight = self.weights.get(cases.task, 0.0) if cases.task in self.second.tasks else 0.0
        theirs = self.second.score(cases, candidates) if weight else None
        return fuse(self.first.score(cases, candidates), theirs, weight, self.how)


def fuse(first: np.ndarray, second: np.ndarray | None, weight: float, how: str) -> np.ndarray:
    """(C, n) fused scores; at weight 0 and 1 the scores of one ranker just as they are, ties included."""
    if second is None or weight == 0:
        return first
    if weight == 1:
        return second
    return (1 - weight) * scale_scores(first, how) + weight * scale_scores(second, how)


def rank_fused(
    first: Ranker,
    second: Ranker,
    cases: Cases,
    protocol: str,
    num_items: int,
    weights: Sequence[float],
    how: str = "z-score",
) -> tuple[np.ndarray, np.ndarray]:
    """Counts (W, R) of the items better than each true item and tied with it, for W weights with one scoring of each ranker."""
    better = np.zeros((len(weights), len(cases.relevant)), np.int64)
    ties = np.zeros_like(better)
    streams = [score_in_chunks(ranker, cases, protocol, num_items) for ranker in (first, second)]
    for (rows, items, ours), (_, _, theirs) in zip(*streams, strict=True):
        place = places_of(cases, rows)
        for row, weight in enumerate(weights):
            counts = count_places(fuse(ours, theirs, weight, how), items, cases.relevant[place])
            better[row, place], ties[row, place] = counts
    return better, ties


def choose_weight(
    first: Ranker, second: Ranker, data: Dataset, task: str, weights: Sequence[float], how: str = "z-score"
) -> float:
    """The weight with the best primary metric on the validation cases of a task; the smallest of equal ones.

    0, the first ranker alone, where the second one does not serve the task.
    """
    if task not in second.tasks:
        return 0.0
    protocol, metric = PRIMARY[task]
    cases = data.cases(task, "valid")
    better, ties = rank_fused(first, second, cases, protocol, data.num_items, weights, how)
    values = [case_metrics(*places, (metric,), cases.ptr)[metric].mean() for places in zip(better, ties, strict=True)]
    return float(weights[int(np.argmax(values))])
