"""Reading curves: points, fronts, intervals and differences on results whose answers are known."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from builders import tiny_store

from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.metrics import case_metrics
from gensar_lite.signals import Signals
from gensar_lite.tradeoff.curve import Curve, Goals, clashing, read_curves
from gensar_lite.tradeoff.gains import _groups, case_features, signal_agreement, who_gains
from gensar_lite.tradeoff.pareto import hypervolume, pareto_front, staircase, staircase_area
from gensar_lite.tradeoff.reading import (
    curves_table,
    points_table,
    resample_points,
    volume_of,
)
from gensar_lite.tradeoff.results import CURVE as NAMES
from gensar_lite.tradeoff.runs import metrics_table
from gensar_lite.tradeoff.summary import records

HIT, MISS = 1.0, 50.0  # ranks: NDCG@10 of 1 and 0
GOALS = Goals()


def ranks_of(shares: dict[str, float], num_users: int = 40, shift: int = 0, **columns: object) -> pd.DataFrame:
    """Ranks in which the first `share` of the users' cases is hit, on both splits."""
    parts = []
    for task, share in shares.items():
        protocol = GOALS.of(task)
        user = np.arange(num_users)
        hit = np.roll(user < share * num_users, shift)
        for split in ("valid", "test"):
            rank = np.where(hit, HIT, MISS)
            parts.append(
                pd.DataFrame(
                    {
                        "task": task,
                        "protocol": protocol,
                        "split": split,
                        "case_id": user,
                        "user_id": user,
                        "item_id": "i",
                        "rank": rank,
                        "ties": 0,
                    }
                )
            )
    return pd.concat(parts, ignore_index=True).assign(**columns)


def sweep_of(points: dict[tuple[str, str, float], tuple[float, float]], seeds: tuple[int, ...] = (0, 1)):
    """Results and ranks of curves: (curve, strategy, place) -> shares hit in recommendation and search."""
    results, ranks = [], []
    for (curve, strategy, place), (recommendation, search) in points.items():
        shares = {"recommendation": recommendation, "search": search}
        shares = {task: share for task, share in shares.items() if share >= 0}
        for seed in seeds:
            table = ranks_of(shares, shift=seed, curve=curve, place=place)
            run = f"{curve}{strategy}{place}{seed}"
            about = {
                "data": "shop",
                "fingerprint": "f",
                "version": "v",
                "strategy": strategy,
                "variant": "",
                "seed": seed,
                "mix": place,
            }
            results.append(
                metrics_table(table).assign(**about, run=run, seconds=60.0, cpu_seconds=30.0, parameters="{}")
            )
            ranks.append(table.assign(**about, run=run))
    return pd.concat(results, ignore_index=True), pd.concat(ranks, ignore_index=True)


CURVES = {
    ("sweep", "gensar", 0.0): (0.1, 0.8),
    ("sweep", "gensar", 0.5): (0.5, 0.7),
    ("sweep", "gensar", 1.0): (0.6, 0.1),
    ("sweep", "semantic", 0.5): (0.3, 0.5),
    ("specialist", "bm25", np.nan): (-1, 0.9),
    ("specialist", "als", np.nan): (0.4, -1),
}


def test_points_fronts_and_choices_by_hand():
    results, ranks = sweep_of(CURVES)
    points = points_table(read_curves(results, ranks)).set_index(["strategy", "place"])
    assert points["recommendation"].round(6).to_dict() == {k[1:]: v[0] for k, v in CURVES.items() if k[0] == "sweep"}
    assert points["front"].to_dict() == {
        ("gensar", 0.0): True,
        ("gensar", 0.5): True,
        ("gensar", 1.0): True,
        ("semantic", 0.5): False,
    }
    assert points.index[points["search_chosen"]].tolist() == [("gensar", 0.5), ("semantic", 0.5)]
    row = points.loc[("gensar", 0.5)]
    assert row["recommendation_low"] < 0.5 < row["recommendation_high"]


def test_hypervolume_and_cost_of_a_curve():
    results, ranks = sweep_of(CURVES)
    table = curves_table(read_curves(results, ranks)).set_index("strategy")
    expected = float(hypervolume(np.array([(0.1, 0.8), (0.5, 0.7), (0.6, 0.1)])))
    assert table.loc["gensar", "hypervolume"] == pytest.approx(expected)
    assert table.loc["gensar", "valid"] == pytest.approx((0.5 + 0.7) / 2)
    assert table.loc["gensar", "low"] < expected < table.loc["gensar", "high"]
    assert table.loc["gensar", "cpu_minutes"] == pytest.approx(1.5)
    assert table.loc["gensar", "per_cpu_minute"] == pytest.approx(expected / 1.5)


def equal_models(num_places: int, rng: np.random.Generator, num_users: int = 1_000, num_seeds: int = 3) -> Curve:
    """A curve whose places are equally good: .4 in recommendation and .8 in search, whatever was measured of them."""
    truth = np.array([0.4, 0.8])[:, None]

    def draw(cases: int) -> np.ndarray:
        easy = rng.normal(0, 0.2, (2, cases))  # what all models of a user's cases share
        return truth + easy + rng.normal(0, 0.3, (num_seeds, num_places, 2, cases))

    name = dict.fromkeys(NAMES, "") | {"data": "shop", "curve": "sweep", "strategy": str(num_places)}
    users, spent = draw(num_users).astype(np.float32), np.ones(num_seeds)
    places = np.linspace(0, 1, num_places)
    return Curve(name, list(range(num_seeds)), places, users, draw(num_users).mean(axis=3), spent, spent)


def test_more_places_cover_no_more_of_equal_models():
    """Of equal models the area is the same for one place and for nine; taking the best of the measured ones, it is not."""
    rng, num_draws = np.random.default_rng(0), 150
    for num_places in (1, 5, 9):
        drawn = [equal_models(num_places, rng) for _ in range(num_draws)]
        areas = np.array([volume_of(curve, curve.test).mean() for curve in drawn])
        assert abs(areas.mean() - 0.4 * 0.8) < 3 * areas.std() / num_draws**0.5, num_places
        fronts = [curve.test[:, pareto_front(curve.valid.mean(axis=0))] for curve in drawn]
        flattering = np.mean([hypervolume(points).mean() for points in fronts])
        if num_places > 1:
            assert flattering > 0.4 * 0.8 + 4 * areas.std() / num_draws**0.5


def test_the_area_of_a_clear_curve_is_its_hypervolume():
    points = np.array([(0.1, 0.8), (0.5, 0.7), (0.6, 0.1), (0.4, 0.6), (0.5, 0.7)])
    steps = staircase(points)
    assert points[steps].tolist() == [[0.6, 0.1], [0.5, 0.7], [0.1, 0.8]]
    assert staircase_area(points[steps]) == pytest.approx(float(hypervolume(points)))


def test_two_hundred_thousand_users_fit_into_memory():
    """What is kept of a run is one number for each user, place, seed and task, and draws of users come in blocks."""
    num_users, results, tables = 200_000, [], []
    shares = {"recommendation": 0.4, "search": 0.8}
    small, _ = sweep_of({("sweep", "gensar", place): (0.4, 0.8) for place in (0.0, 1.0)})
    for (place, seed, run), part in small.groupby(["place", "seed", "run"]):
        results.append(part)
        about = {name: part[name].iloc[0] for name in (*NAMES, "mix")}

        def table(about=about, place=place, seed=seed, run=run) -> pd.DataFrame:
            ranks = ranks_of(shares, num_users, shift=seed)
            return ranks[ranks["split"] == "test"].assign(**about, place=place, seed=seed, run=run)

        tables.append(table)
    tracemalloc.start()
    (curve,) = read_curves(pd.concat(results), (make() for make in tables))
    kept, peak = tracemalloc.get_traced_memory()
    drawn = resample_points(curve.users, 50)
    _, later = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert curve.users.shape == (2, 2, 2, num_users)
    assert kept < 4 * curve.users.nbytes + 20e6
    assert max(peak, later) < 500e6
    assert drawn.mean(axis=0) == pytest.approx(curve.test, abs=0.001)


def test_intervals_cover_what_they_should():
    """The interval of a mean over users is that of the textbook: 1.96 standard errors to either side."""
    values = np.random.default_rng(0).normal(0.4, 0.2, (1, 1, 2, 400))
    drawn = resample_points(values, 4000)[:, 0, 0]
    np.testing.assert_allclose(drawn.mean(axis=0), values[0, 0].mean(axis=1), atol=0.002)
    np.testing.assert_allclose(drawn.std(axis=0), values[0, 0].std(axis=1) / 20, rtol=0.08)


def test_resamples_in_blocks_are_those_drawn_at_once(monkeypatch):
    values = np.random.default_rng(0).random((2, 1, 2, 30))
    values[..., 0, :7] = np.nan
    at_once = resample_points(values, 100)
    monkeypatch.setattr("gensar_lite.tradeoff.reading.DRAWS_AT_ONCE", 7 * 30)
    np.testing.assert_allclose(resample_points(values, 100), at_once, rtol=1e-12)


def test_users_without_a_case_of_a_task_count_in_the_other():
    values = np.full((1, 1, 2, 50), 0.5)
    values[0, 0, 1, :40] = np.nan
    np.testing.assert_allclose(resample_points(values, 200), 0.5)


def test_two_runs_cannot_be_one_point():
    results, ranks = sweep_of(CURVES)
    twice = pd.concat([results, results[results["strategy"] == "semantic"].assign(run="other steps")])
    assert not clashing(results).any()
    assert set(twice[clashing(twice)]["strategy"]) == {"semantic"}
    with pytest.raises(DataError, match=r"several runs claim the point 0\.5 of semantic on shop"):
        read_curves(twice, ranks)


def test_mixtures_of_data_or_code_are_refused():
    results, ranks = sweep_of(CURVES)
    for column in ("fingerprint", "version"):
        other = results.assign(**{column: np.where(results["strategy"] == "gensar", "other", results[column])})
        with pytest.raises(ValueError, match=f"mix several values of {column}"):
            read_curves(other, ranks)


def test_groups_hold_all_cases_once():
    values = np.array([0.0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    groups = _groups(values, 4)
    assert sum(mask.sum() for mask, _, _ in groups) == len(values)
    assert all((values[mask] >= low).all() and (values[mask] <= high).all() for mask, low, high in groups)
    assert [(low, high) for _, low, high in _groups(np.ones(5), 4)] == [(1, 1)]


def test_who_gains_finds_the_group_that_gains():
    model = ranks_of({"search": 0.5}, seed=0).query("split == 'test'")
    against = ranks_of({"search": 0.25}, seed=0).query("split == 'test'")
    features = pd.DataFrame(
        {
            "case_id": np.arange(40),
            "popularity": np.arange(40),
            "history": 3,
            "query_words": np.nan,
            "overlap": 0.5,
            "agreement": 0.1,
        }
    )
    table = who_gains(model, against, features).query("feature == 'popularity'")
    assert table["difference"].round(6).tolist() == [0, 1, 0, 0]
    assert table["cases"].tolist() == [10] * 4
    assert table["low"].isna().all(), "one seed has no interval"
    with pytest.raises(ValueError, match="different cases"):
        who_gains(model, against.iloc[1:], features)


def test_case_features_of_the_tiny_store():
    data = tiny_store()
    rng = np.random.default_rng(0)
    semantic = rng.normal(size=(data.num_items, 6)).astype(np.float32)
    signals = Signals(data.items["item_id"].tolist(), semantic, semantic, None, np.zeros((7, 6)))  # type: ignore[arg-type]
    np.testing.assert_array_equal(signal_agreement(signals), 1)
    table = case_features(data, signals, data.cases("search", "test"))
    assert table["overlap"].between(0, 1).all()
    assert (table["query_words"] >= 1).all()
    assert case_features(data, signals, data.cases("recommendation", "test"))["overlap"].isna().all()


def test_metrics_of_a_unit_are_those_of_its_cases():
    table = metrics_table(ranks_of({"search": 0.25}, curve="sweep", place=0.5))
    chosen = table[(table["metric"] == "MRR") & (table["split"] == "test")].iloc[0]
    assert chosen["cases"] == 40
    assert chosen["value"] == pytest.approx(
        0.25 + 0.75 * case_metrics(np.array([49]), np.array([0]), ("MRR",))["MRR"][0]
    )


def test_json_holds_no_nan():
    assert records(pd.DataFrame({"a": [np.nan, 1.0], "b": [True, False], "c": [1, 2]})) == [
        {"a": None, "b": True, "c": 1},
        {"a": 1.0, "b": False, "c": 2},
    ]
