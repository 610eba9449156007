"""Significance: exact answers on tiny data, coverage on simulated data, and no false certainty."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gensar_lite.evaluation.significance import bootstrap_interval, compare, correct_holm, randomisation_test


def test_exact_randomisation_by_hand():
    # All differences 1: of the 2^4 sign patterns only two are as extreme as the observed one.
    assert randomisation_test([1, 1, 1, 1]) == pytest.approx(2 / 16)
    assert randomisation_test([1, -1]) == 1.0
    assert randomisation_test([3, 1, -1, 0, 0]) == pytest.approx(6 / 8)  # the sums are 5, 3, 3, 1, twice each


def test_randomisation_agrees_with_scipy():
    values = np.random.default_rng(0).normal(0.15, 1, 200)
    theirs = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=5000, rng=np.random.default_rng(1), vectorized=True
    ).pvalue
    assert randomisation_test(values, 20_000) == pytest.approx(theirs, abs=0.02)


def test_randomisation_keeps_its_level():
    random = np.random.default_rng(2)
    p = np.array([randomisation_test(random.standard_t(3, 60), 499, seed) for seed in range(400)])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.035)
    assert p.min() > 0


def test_no_difference_is_no_evidence():
    assert randomisation_test(np.zeros(50)) == 1.0
    assert bootstrap_interval(np.zeros(50)) == (0.0, 0.0)
    assert bootstrap_interval([0.3]) == (0.3, 0.3)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(3)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_interval(random.exponential(1.0, 150), num_resamples=400, seed=trial)
        hits += low <= 1.0 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_the_interval_agrees_with_the_standard_error():
    values = np.random.default_rng(4).normal(0.1, 1, 3000)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(3000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)
    assert bootstrap_interval(values) == (low, high)


@pytest.mark.parametrize("values", [[], [np.nan, 1], [[1, 2]]])
def test_unusable_differences_are_refused(values):
    for function in (bootstrap_interval, randomisation_test):
        with pytest.raises(ValueError, match="finite"):
            function(np.array(values))


def test_holm_by_hand():
    # Holm 1979: sorted p times (T, T-1, ...), never decreasing, at most 1.
    assert correct_holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert correct_holm([]).tolist() == []


def ranks_of(model: str, seed: int, rank: np.ndarray, protocol: str = "full") -> pd.DataFrame:
    users = [f"u{i}" for i in range(len(rank))]
    return pd.DataFrame(
        {
            "model": model,
            "seed": seed,
            "task": "search",
            "protocol": protocol,
            "split": "test",
            "case_id": range(len(rank)),
            "user_id": users,
            "rank": rank.astype(float),
            "ties": 0,
        }
    )


@pytest.fixture
def ranks() -> pd.DataFrame:
    random = np.random.default_rng(5)
    base = random.integers(1, 60, 400)
    parts = [ranks_of("ours", s, np.maximum(base - random.integers(0, 6, 400), 1)) for s in range(3)]
    return pd.concat([*parts, ranks_of("bm25", 0, base), ranks_of("same", 0, base)], ignore_index=True)


def test_compare_finds_what_is_there(ranks):
    found = compare(ranks, "ours", ["bm25"]).iloc[0]
    assert found["low"] < found["difference"] < found["high"]
    assert found["difference"] == pytest.approx(found["value"] - found["against_value"])
    assert found["low"] > 0
    assert found["p_holm"] < 0.01
    assert (found["num_seeds"], found["num_users"]) == (3, 400)
    assert found["seed_low"] <= found["difference"] <= found["seed_high"]


def test_compare_finds_nothing_where_nothing_is(ranks):
    found = compare(ranks, "bm25", ["same"]).iloc[0]
    assert (found["difference"], found["low"], found["high"], found["p"]) == (0, 0, 0, 1)


def test_compare_corrects_over_all_rows(ranks):
    found = compare(ranks, "ours", metrics=("NDCG@10", "HR@1"))
    assert len(found) == 4
    assert found["p_holm"].tolist() == pytest.approx(correct_holm(found["p"].to_numpy()).tolist())
    assert (found["p_holm"] >= found["p"]).all()


def test_row_order_does_not_matter(ranks):
    pd.testing.assert_frame_equal(
        compare(ranks, "ours", ["bm25"]), compare(ranks.sample(frac=1, random_state=0), "ours", ["bm25"])
    )


def test_compare_refuses_what_cannot_be_compared(ranks):
    with pytest.raises(ValueError, match="no ranks of 'als'"):
        compare(ranks, "ours", ["als"])
    with pytest.raises(ValueError, match="mix splits"):
        compare(pd.concat([ranks, ranks.assign(split="valid")]), "ours")
    with pytest.raises(ValueError, match="different cases"):
        compare(pd.concat([ranks, ranks_of("short", 0, np.ones(30))]), "ours", ["short"])


def test_seeds_are_paired_with_seeds():
    random = np.random.default_rng(6)
    base = random.integers(1, 9, (3, 50))
    ranks = pd.concat(
        [ranks_of("a", s, base[s]) for s in range(3)] + [ranks_of("b", s, base[s] + s) for s in range(3)],
        ignore_index=True,
    )
    found = compare(ranks, "a", ["b"], metrics=("MRR",)).iloc[0]
    by_seed = [np.mean(1 / base[s] - 1 / (base[s] + s)) for s in range(3)]
    assert (found["seed_low"], found["seed_high"]) == pytest.approx((min(by_seed), max(by_seed)))
    assert found["seed_low"] == pytest.approx(0)
    assert found["difference"] == pytest.approx(np.mean(by_seed))


def test_a_model_of_one_seed_stands_beside_all_seeds_of_the_other(ranks):
    backward = compare(ranks, "bm25", ["ours"]).iloc[0]
    forward = compare(ranks, "ours", ["bm25"]).iloc[0]
    assert backward["difference"] == pytest.approx(-forward["difference"])
    assert backward["num_seeds"] == 3


def test_means_and_differences_are_over_the_seeds_that_both_have():
    def ranks(model: str, by_seed: dict[int, float]) -> pd.DataFrame:
        about = {"model": model, "task": "search", "protocol": "full", "split": "test", "ties": 0}
        rows = [
            {**about, "seed": seed, "case_id": user, "user_id": user, "rank": 1.0 if user < share * 10 else 50.0}
            for seed, share in by_seed.items()
            for user in range(10)
        ]
        return pd.DataFrame(rows)

    table = pd.concat([ranks("a", {0: 0.2, 1: 0.4, 2: 0.9}), ranks("b", {0: 0.1, 1: 0.1})])
    (row,) = compare(table, "a").to_dict("records")
    assert (row["value"], row["against_value"]) == (pytest.approx(0.3), pytest.approx(0.1))
    assert row["difference"] == pytest.approx(row["value"] - row["against_value"])
    assert row["num_seeds"] == 2
