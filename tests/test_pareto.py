"""Fronts, hypervolumes and distances: against brute force, and a library of other authors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gensar_lite.tradeoff.pareto import hypervolume, pareto_front, shortfall

FEW = arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.just(2)), elements=st.integers(0, 4).map(float))


def beaten(points: np.ndarray, point: np.ndarray) -> bool:
    return bool(((points >= point).all(axis=1) & (points > point).any(axis=1)).any())


@given(FEW)
def test_front_is_that_of_brute_force(points):
    assert pareto_front(points).tolist() == [not beaten(points, point) for point in points]


@given(FEW)
def test_hypervolume_counts_the_cells_below_the_points(points):
    """On whole numbers the area is the number of unit squares that lie below and left of some point."""
    corner = np.stack(np.meshgrid(np.arange(4), np.arange(4), indexing="ij"), axis=-1).reshape(-1, 2)
    covered = (points[:, None] >= corner + 1).all(axis=2).any(axis=0)
    assert hypervolume(points) == covered.sum()


def test_another_library_agrees():
    optuna = pytest.importorskip("optuna._hypervolume")
    rng = np.random.default_rng(0)
    for num in (1, 2, 7, 40):
        points, reference = rng.random((num, 2)), np.array([0.1, 0.2])
        inside = points[(points > reference).all(axis=1)]
        expected = optuna.compute_hypervolume(-inside, -reference) if len(inside) else 0.0  # it minimises
        assert hypervolume(points, (0.1, 0.2)) == pytest.approx(expected)


def test_front_agrees_with_the_best_trials_of_optuna():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    points = np.random.default_rng(1).integers(0, 8, (40, 2)).astype(float)
    study = optuna.create_study(directions=["maximize", "maximize"])
    for point in points:
        study.add_trial(optuna.trial.create_trial(values=point.tolist()))
    assert sorted(t.number for t in study.best_trials) == np.flatnonzero(pareto_front(points)).tolist()


def test_all_resamples_go_at_once():
    points = np.random.default_rng(2).random((5, 3, 6, 2))
    each = [[hypervolume(p) for p in row] for row in points]
    np.testing.assert_allclose(hypervolume(points), each)


def test_points_below_the_reference_add_nothing():
    assert hypervolume(np.array([[0.5, 0.1], [0.1, 0.5]]), (0.2, 0.2)) == 0
    assert hypervolume(np.zeros((0, 2))) == 0
    assert pareto_front(np.zeros((0, 2))).shape == (0,)


def test_shortfall_is_the_share_lost_in_the_worse_task():
    assert shortfall(np.array([0.3, 0.6]), (0.4, 0.6)) == pytest.approx(0.25)
    assert shortfall(np.array([[0.5, 0.9], [0.4, 0.3]]), (0.4, 0.6)).tolist() == [0, 0.5]
    with pytest.raises(ValueError, match="above 0"):
        shortfall(np.array([0.3, 0.6]), (0.0, 0.6))


@pytest.mark.parametrize("points", [np.zeros((3, 3)), np.array([[np.nan, 1]]), np.float64(1)])
def test_what_is_no_set_of_points_is_refused(points):
    with pytest.raises(ValueError, match="points must"):
        hypervolume(points)
