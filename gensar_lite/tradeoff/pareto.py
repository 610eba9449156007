"""Fronts of two goals: who is not beaten in both, how much area a curve covers, how far it stays from the specialists.

Explained in notebook 08. Both goals are to be as large as possible: recommendation first, search second.

Shapes: P points, R resamples. Functions take points (..., P, 2), so that all resamples of a bootstrap go at once.
"""

from __future__ import annotations

import numpy as np

REFERENCE = (0.0, 0.0)
"""The point from which hypervolumes are measured unless told otherwise: no case answered in either task."""


def pareto_front(points: np.ndarray) -> np.ndarray:
    """(P,) whether no other point is at least as good in both goals and better in one. `points` is (P, 2).

    Equal points are on the front together. One sort and one running maximum: after sorting by the first goal,
    descending, a point is beaten exactly by an earlier one that is at least as good in the second.
    """
    points = _checked(points)
    if points.ndim != 2:
        raise ValueError(f"a front is that of points (P, 2), not {points.shape}")
    order = np.lexsort((-points[:, 1], -points[:, 0]))
    ranked = points[order]
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(ranked[:, 1])])[: len(ranked)]
    # a copy of the point before it is beaten by nothing that does not beat that point, too
    same = np.zeros(len(ranked), bool)
    same[1:] = (ranked[1:] == ranked[:-1]).all(axis=1)
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(ranked))))
    on_front = np.empty(len(ranked), bool)
    on_front[order] = (ranked[:, 1] > best_before[first]) if len(ranked) else on_front
    return on_front


def hypervolume(points: np.ndarray, reference: tuple[float, float] = REFERENCE) -> np.ndarray:
    """Area (...,) between the reference point and the points (..., P, 2): what some point is at least as good as.

    Zitzler & Thiele 1999, in two dimensions by one sort: from the largest first goal downward, each point adds a
    strip above the best second goal so far. Points that do not exceed the reference in both goals add nothing.
    """
    points = _checked(points)
    gain = np.maximum(points - np.asarray(reference, np.float64), 0)
    order = np.argsort(-gain[..., 0], axis=-1, kind="stable")
    first = np.take_along_axis(gain[..., 0], order, axis=-1)
    second = np.take_along_axis(gain[..., 1], order, axis=-1)
    best = np.maximum.accumulate(second, axis=-1)
    height = np.diff(best, axis=-1, prepend=0.0)
    return (first * height).sum(axis=-1)


def staircase(points: np.ndarray) -> np.ndarray:
    """The points (rows of (P, 2)) on the front, from the largest first goal downward: the steps of the area they cover."""
    rows = np.flatnonzero(pareto_front(points))
    rows = rows[np.lexsort((points[rows, 1], -points[rows, 0]))]
    return rows[np.concatenate([[True], (np.diff(points[rows], axis=0) != 0).any(axis=1)])]  # of equal points one


def staircase_area(points: np.ndarray, reference: tuple[float, float] = REFERENCE) -> np.ndarray:
    """Area (...,) under steps (..., P, 2) whose order other data have fixed, such as `staircase` of validation values.

    Of each step's strip as much counts as its points say, also where they fall out of order. So the mean is right whatever the
    number of steps, while `hypervolume`, which takes the best of the measured points, grows with the number of chances.
    """
    gain = _checked(points) - np.asarray(reference, np.float64)
    height = np.diff(gain[..., 1], axis=-1, prepend=0.0)
    return (gain[..., 0] * height).sum(axis=-1)


def shortfall(points: np.ndarray, specialists: tuple[float, float]) -> np.ndarray:
    """Relative distance (...,) of points (..., 2) below the best specialist of each task: the larger of both shares.

    0 is a point at or above both specialists; .1 is a point that loses a tenth of a specialist's value in its worse
    task (a Chebyshev distance, so a strong task cannot make up for a weak one).
    """
    points, ideal = _checked(points), np.asarray(specialists, np.float64)
    if (ideal <= 0).any():
        raise ValueError(f"the specialists' values must be above 0 to be measured against, not {tuple(ideal)}")
    return np.maximum((ideal - points) / ideal, 0).max(axis=-1)


def _checked(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim < 1 or points.shape[-1] != 2:
        raise ValueError(f"points must have two goals each, (..., 2), not shape {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("points must be finite numbers; leave out what was not measured")
    return points
