"""Metrics: worked examples, brute force over every order of the ties, and libraries of other authors."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from gensar_lite.evaluation.metrics import (
    METRICS,
    add_metrics,
    case_metrics,
    judged_metrics,
    metrics_of,
    place_of_target,
)


def metrics_of_order(gains: list[float], names: tuple[str, ...]) -> dict[str, float]:
    """The textbook definitions for one fixed order, one item after the other."""
    found = {}
    ideal = sorted(gains, reverse=True)
    for name in names:
        kind, _, k = name.partition("@")
        if kind == "MRR":
            found[name] = next((1 / (i + 1) for i, g in enumerate(gains) if g > 0), 0.0)
        elif kind == "HR":
            found[name] = float(any(g > 0 for g in gains[: int(k)]))
        elif kind == "Recall":
            found[name] = sum(g > 0 for g in gains[: int(k)]) / max(sum(g > 0 for g in gains), 1)
        else:
            dcg, best = (sum(g / np.log2(i + 2) for i, g in enumerate(row[: int(k)])) for row in (gains, ideal))
            found[name] = dcg / best if best else 0.0
    return found


def by_brute_force(scores: list[float], gains: list[float], names: tuple[str, ...]) -> dict[str, float]:
    """The mean over every order of the items that keeps higher scores first."""
    orders = [o for o in permutations(range(len(scores))) if all(scores[a] >= scores[b] for a, b in pairwise(o))]
    results = [metrics_of_order([gains[i] for i in o], names) for o in orders]
    return {name: float(np.mean([r[name] for r in results])) for name in names}


SMALL = ("HR@1", "HR@2", "HR@3", "NDCG@2", "NDCG@3", "NDCG@10", "Recall@2", "MRR")


@settings(max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=6))
def test_judged_metrics_equal_the_mean_over_all_orders_of_ties(items):
    scores, gains = [float(s) for s, _ in items], [float(g) for _, g in items]
    expected = by_brute_force(scores, gains, SMALL)
    found = judged_metrics(np.array([scores]), np.array([gains]), SMALL)
    assert {n: v[0] for n, v in found.items()} == pytest.approx(expected)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_single_target_equals_the_mean_over_all_orders_of_ties(scores):
    names = tuple(n for n in SMALL if not n.startswith("Recall"))
    better, ties = place_of_target(np.array([scores]))
    expected = by_brute_force([float(s) for s in scores], [1.0] + [0.0] * (len(scores) - 1), names)
    assert {n: v[0] for n, v in case_metrics(better, ties, names).items()} == pytest.approx(expected)


def test_many_cases_at_once_equal_one_by_one():
    rng = np.random.default_rng(0)
    scores, gains = (
        rng.integers(0, 4, (50, 12)).astype(float),
        rng.integers(0, 3, (50, 12)) * (rng.random((50, 12)) < 0.3),
    )
    together = judged_metrics(scores, gains, SMALL)
    for c in range(50):
        alone = judged_metrics(scores[[c]], gains[[c]], SMALL)
        assert {n: together[n][c] for n in SMALL} == pytest.approx({n: alone[n][0] for n in SMALL})


def test_both_forms_agree_on_one_relevant_item():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 30, (200, 100)).astype(float)
    gains = np.zeros_like(scores)
    gains[:, 0] = 1
    counted, judged = case_metrics(*place_of_target(scores)), judged_metrics(scores, gains)
    for name in METRICS:
        np.testing.assert_allclose(counted[name], judged[name], atol=1e-12)


def test_gain_vector_of_jarvelin_and_kekalainen():
    # The gains G' = <3,2,3,0,0,1,2,2,3,0> of TOIS 2002, section 2.1, with rank i discounted by log2(i + 1), the later
    # standard (theirs starts at rank 2): 3 + 2/1.58496 + 3/2 + 1/2.80735 + 2/3 + 2/3.16993 + 3/3.32193 = 8.31875.
    gains = np.array([[3, 2, 3, 0, 0, 1, 2, 2, 3, 0]], float)
    ideal = np.array([3, 3, 3, 2, 2, 2, 1]) @ (1 / np.log2(np.arange(2, 9)))
    found = judged_metrics(np.arange(10, 0, -1.0)[None], gains, ("NDCG@10",))
    assert found["NDCG@10"][0] * ideal == pytest.approx(8.31875, abs=1e-5)


def test_worked_example_with_graded_judgements():
    # Wikipedia, "Discounted cumulative gain": order 3,2,3,0,1,2 with DCG 6.861; ideal with 3,2 left out: 3,3,3,2,2,2 -> IDCG 8.740, NDCG .785.
    scores = np.array([[6, 5, 4, 3, 2, 1, 0, -1]], float)
    gains = np.array([[3, 2, 3, 0, 1, 2, 3, 2]], float)
    assert judged_metrics(scores, gains, ("NDCG@6",))["NDCG@6"][0] == pytest.approx(0.785, abs=5e-4)


def test_exponential_gain():
    # Burges et al. 2005: gain 2^g - 1. Order 2,0,1: (3 + 1/2) / (3 + 1/log2(3)).
    found = judged_metrics(np.array([[3.0, 2, 1]]), np.array([[2.0, 0, 1]]), ("NDCG@5",), gain="exponential")
    assert found["NDCG@5"][0] == pytest.approx(3.5 / (3 + 1 / np.log2(3)))


@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_ndcg_with_ties_agrees_with_scikit_learn(k):
    rng = np.random.default_rng(k)
    scores, gains = rng.integers(0, 6, (60, 20)).astype(float), rng.integers(0, 4, (60, 20)).astype(float)
    found = judged_metrics(scores, gains, (f"NDCG@{k}",))[f"NDCG@{k}"]
    assert found.mean() == pytest.approx(ndcg_score(gains, scores, k=k))


def test_untied_metrics_agree_with_ranx(ranx):
    rng = np.random.default_rng(3)
    scores, gains = rng.random((25, 30)), rng.integers(0, 4, (25, 30)) * (rng.random((25, 30)) < 0.3)
    gains[:, 0] = 1  # ranx wants a relevant item in every query
    ids = [f"d{i}" for i in range(30)]
    qrels = ranx.Qrels(
        {f"q{c}": {d: int(g) for d, g in zip(ids, row, strict=True) if g} for c, row in enumerate(gains)}
    )
    run = ranx.Run({f"q{c}": dict(zip(ids, map(float, row), strict=True)) for c, row in enumerate(scores)})
    theirs = ranx.evaluate(qrels, run, ["hit_rate@5", "ndcg@10", "recall@10", "mrr"])
    ours = judged_metrics(scores, gains, ("HR@5", "NDCG@10", "Recall@10", "MRR"))
    assert [v.mean() for v in ours.values()] == pytest.approx(
        [theirs[n] for n in ("hit_rate@5", "ndcg@10", "recall@10", "mrr")]
    )


def test_perfect_and_worst_rankings():
    best, worst = case_metrics([0], [0]), case_metrics([99], [0])
    assert all(v[0] == pytest.approx(1) for v in best.values())
    assert worst["MRR"][0] == pytest.approx(1 / 100)
    assert all(worst[n][0] == 0 for n in METRICS if n != "MRR")


def test_all_tied_is_what_chance_gives():
    chance = case_metrics([0], [99])
    assert chance["HR@10"][0] == pytest.approx(0.1)
    assert chance["MRR"][0] == pytest.approx(np.mean(1 / np.arange(1, 101)))


def test_nothing_to_rank():
    assert all(v.shape == (0,) for v in case_metrics([], []).values())
    assert all(v.tolist() == [0.0, 0.0] for v in judged_metrics(np.zeros((2, 0)), np.zeros((2, 0)), SMALL).values())
    assert all(v.tolist() == [0.0] for v in judged_metrics(np.ones((1, 3)), np.zeros((1, 3)), SMALL).values())


def test_unranked_targets_share_the_last_places():
    scores = np.array([[-np.inf, 3, 2, -np.inf]])
    assert [int(v[0]) for v in place_of_target(scores)] == [2, 1]


def test_padding_changes_nothing():
    scores, gains = np.array([[3.0, 2, 1]]), np.array([[0.0, 1, 2]])
    padded = np.array([[3.0, 2, 1, -np.inf, -np.inf]]), np.array([[0.0, 1, 2, 0, 0]])
    for name, value in judged_metrics(scores, gains, SMALL).items():
        assert judged_metrics(*padded, SMALL)[name] == pytest.approx(value)


@pytest.mark.parametrize("name", ["HR", "HR@0", "NDCG@x", "precision@5", "MRR@10"])
def test_unknown_metrics_are_refused(name):
    with pytest.raises(ValueError, match="no known metric"):
        case_metrics([0], [0], (name,))


@pytest.mark.parametrize(("scores", "gains"), [([[np.nan, 1]], [[1, 0]]), ([[1, 2]], [[1, -1]]), ([[1, 2]], [[1]])])
def test_unusable_judgements_are_refused(scores, gains):
    with pytest.raises(ValueError, match="must"):
        judged_metrics(np.array(scores), np.array(gains))


def table_of_ranks(**columns) -> pd.DataFrame:
    base = {
        "task": ["search"] * 3,
        "protocol": ["full"] * 3,
        "split": ["test"] * 3,
        "rank": [1.0, 2.5, 50.0],
        "ties": [0, 1, 98],
    }
    return pd.DataFrame(base | columns)


def test_metrics_of_a_table_of_ranks():
    found = metrics_of(table_of_ranks())
    assert found["search"]["full"]["HR@1"] == pytest.approx((1 + 0 + 1 / 99) / 3)
    assert found["search"]["full"]["HR@5"] == pytest.approx((1 + 1 + 5 / 99) / 3)
    assert add_metrics(table_of_ranks())["NDCG@5"].tolist()[1] == pytest.approx((1 / np.log2(3) + 1 / 2) / 2)


@pytest.mark.parametrize("column", ["split", "model", "seed"])
def test_metrics_never_mix(column):
    with pytest.raises(ValueError, match=column):
        metrics_of(table_of_ranks(**{column: ["test", "test", "valid"]}))
