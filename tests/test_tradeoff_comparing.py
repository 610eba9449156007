"""Differences: strategies, variants, mixes, curves at equal price and specialists on results whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_tradeoff_reading import CURVES, GOALS, ranks_of, sweep_of

from gensar_lite.tradeoff.comparing import (
    compare_alike,
    compare_at_price,
    compare_mixes,
    compare_strategies,
    compare_variants,
    compare_volumes,
    compare_with_specialists,
    specialists_table,
)
from gensar_lite.tradeoff.curve import Goals, read_curves
from gensar_lite.tradeoff.reading import (
    curves_table,
    points_table,
)
from gensar_lite.tradeoff.runs import metrics_table
from gensar_lite.tradeoff.summary import summary_text


def test_one_seed_has_no_interval():
    results, ranks = sweep_of(CURVES, seeds=(0,))
    curves = read_curves(results, ranks)
    assert points_table(curves)[["recommendation_low", "search_high"]].isna().all(axis=None)
    assert curves_table(curves)[["low", "high"]].isna().all(axis=None)
    assert compare_strategies(curves, "gensar")[["low", "high", "p", "p_holm"]].isna().all(axis=None)


def test_strategies_are_compared_at_the_chosen_mix():
    results, ranks = sweep_of(CURVES)
    curves = read_curves(results, ranks)
    table = compare_strategies(curves, "gensar").set_index("task")
    assert table.loc["recommendation", "difference"] == pytest.approx(0.2)
    assert table.loc["search", "difference"] == pytest.approx(0.2)
    assert (table["p_holm"] >= table["p"]).all()


def test_sweeps_are_compared_at_one_mix_that_both_have():
    more = {("sweep", "semantic", 1.0): (0.65, 0.05)}
    results, ranks = sweep_of(CURVES | more)
    curves = read_curves(results, ranks)
    table = compare_strategies(curves, "gensar").set_index("task")
    assert table[["place", "against_place"]].eq(0.5).all(axis=None), "0 is a mix of gensar alone"
    assert table.loc["recommendation", "difference"] == pytest.approx(0.2)
    apart = {("sweep", "semantic", 1.0): (0.6, 0.1), ("sweep", "gensar", 1.0): (0.5, 0.3)}
    curves = read_curves(*sweep_of(apart))
    table = compare_strategies(curves, "gensar").set_index("task")
    assert table["place"].eq(1).all()


def test_variants_are_compared_with_the_plain_curve_and_strategies_where_they_were_trained_alike():
    tables = sweep_of(CURVES)
    variants = [
        tuple(table.assign(variant=f"num_codes={num}", run=table["run"] + str(num)) for table in tables)
        for num in (8, 4)
    ]
    results, ranks = (pd.concat(parts) for parts in zip(tables, *variants, strict=True))
    curves = read_curves(results, ranks)
    levers = compare_variants(curves)
    pairs = list(dict.fromkeys(levers[["model", "against"]].itertuples(index=False, name=None)))
    names = [(f"{strategy} (num_codes={num})", strategy) for strategy in ("gensar", "semantic") for num in (8, 4)]
    assert sorted(pairs) == sorted(names)
    assert levers["difference"].eq(0).all()
    unnamed = [curve for curve in curves if curve.name["variant"]]
    pairs = set(compare_variants(unnamed)[["model", "against"]].itertuples(index=False, name=None))
    assert pairs == {(f"{name} (num_codes=4)", f"{name} (num_codes=8)") for name in ("gensar", "semantic")}
    first = next(curve for curve in unnamed if curve.name["strategy"] == "gensar")
    both = replace(first, name=first.name | {"variant": "num_codes=8, steps=1"})
    assert "num_codes=8" in first.name["variant"]
    added = compare_variants([*unnamed, both]).query("model == 'gensar (num_codes=8, steps=1)'")
    assert set(added["against"]) == {"gensar (num_codes=8)"}, "what is added is held against what it is added to"
    alike = compare_alike(curves, "gensar")
    pairs = set(alike[["model", "against"]].itertuples(index=False, name=None))
    assert pairs == {("gensar" + end, "semantic" + end) for end in ("", " (num_codes=8)", " (num_codes=4)")}
    assert len(alike) == 6
    assert compare_alike(curves, "nobody").empty


def test_the_best_specialist_is_chosen_by_the_protocol_that_is_asked():
    """On uniform candidates als validates better, on popular ones dense; both answer in both."""
    rows = []
    for strategy, shares in {"als": (0.6, 0.2), "dense": (0.4, 0.5)}.items():
        for protocol, share in zip(("uniform99", "popular99"), shares, strict=True):
            table = ranks_of({"recommendation": share}).assign(protocol=protocol, curve="specialist", place=np.nan)
            about = {"data": "shop", "fingerprint": "f", "version": "v", "variant": "", "seed": 0, "mix": np.nan}
            rows.append(metrics_table(table).assign(**about, strategy=strategy, run=strategy, parameters="{}"))
    results = pd.concat(rows, ignore_index=True)
    best = {
        protocol: specialists_table(results, Goals(protocol)).query("best")["specialist"].item()
        for protocol in ("uniform99", "popular99")
    }
    assert best == {"uniform99": "als", "popular99": "dense"}
    primary_only = results[~((results["split"] == "valid") & (results["protocol"] == "popular99"))]
    assert specialists_table(primary_only, Goals("popular99")).query("best")["specialist"].item() == "als"


def test_hypervolumes_are_compared_at_the_mixes_that_both_have():
    same = {("sweep", "twin", place): value for (_, name, place), value in CURVES.items() if name == "gensar"}
    results, ranks = sweep_of(CURVES | same)
    table = compare_volumes(read_curves(results, ranks), "gensar").set_index("against")
    row = table.loc["semantic"]
    assert (row["num_places"], row["num_seeds"]) == (1, 2)
    assert row["difference"] == pytest.approx(0.5 * 0.7 - 0.3 * 0.5)
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert row["p_holm"] < 0.05
    twin = table.loc["twin"]
    assert twin["num_places"] == 3
    assert twin["difference"] == twin["low"] == twin["high"] == 0, "the same users are drawn for both"
    assert twin["p"] == 1
    assert compare_volumes(read_curves(results, ranks), "nobody").empty


def test_steps_along_a_curve_are_told():
    results, ranks = sweep_of(CURVES)
    table = compare_mixes(read_curves(results, ranks))
    steps = table.set_index(["against_place", "place", "task"])["difference"].round(6).to_dict()
    assert steps == {
        (0.0, 0.5, "recommendation"): 0.4,
        (0.0, 0.5, "search"): -0.1,
        (0.5, 1.0, "recommendation"): 0.1,
        (0.5, 1.0, "search"): -0.6,
    }
    assert set(table["model"]) == {"gensar"}, "one mix is no curve"


def test_specialists_are_rankers_and_models_of_one_task():
    results, ranks = sweep_of(CURVES)
    table = specialists_table(results)
    best = table[table["best"]].set_index("task")["specialist"].to_dict()
    assert best == {"recommendation": "als", "search": "bm25"}
    distances = compare_with_specialists(
        results, read_curves(results, ranks), read_curves(results, ranks, specialists=True)
    )
    own = distances[distances["model"] == "gensar"].set_index(["kind", "task"])
    assert own.loc[("ranker", "search"), "difference"] == pytest.approx(0.7 - 0.9)
    assert own.loc[("ranker", "search"), "shortfall"] == pytest.approx(0.2 / 0.9)
    assert own.loc[("one task", "recommendation"), "against"] == "gensar recommendation-only"
    assert own.loc[("one task", "search"), "shortfall"] == pytest.approx(max(0.1 / 0.8, 0.1 / 0.6))


def test_a_model_is_held_against_models_of_one_task_that_hear_the_same():
    alone = {key: value for key, value in CURVES.items() if key[:2] != ("sweep", "semantic")}
    parts = [sweep_of(alone), sweep_of({("sweep", "gensar", place): (0.9, 0.9) for place in (0.0, 0.5, 1.0)})]
    heard = [table.assign(variant="evidence=words", parameters='{"evidence": ["words"]}') for table in parts[1]]
    heard = [table.assign(run=table["run"] + "e") for table in heard]
    results, ranks = (pd.concat(tables, ignore_index=True) for tables in zip(parts[0], heard, strict=True))
    curves = read_curves(results, ranks)
    assert [c.name["evidence"] for c in curves] == ["", "words"]
    table = compare_with_specialists(results, curves, read_curves(results, ranks, specialists=True))
    own = table[table["kind"] == "one task"].set_index(["model", "task"])["against"]
    assert own.to_dict() == {
        ("gensar", "recommendation"): "gensar recommendation-only",
        ("gensar", "search"): "gensar search-only",
        ("gensar + words", "recommendation"): "gensar + words recommendation-only",
        ("gensar + words", "search"): "gensar + words search-only",
    }


def test_a_cheap_curve_is_held_against_a_sweep_of_its_price():
    results, ranks = sweep_of(CURVES | {("conditioned", "gensar", 0.5): (0.5, 0.7)})
    (row,) = compare_at_price(read_curves(results, ranks)).to_dict("records")
    assert row["model"] == "gensar, conditioned"
    assert row["against"] == "gensar"
    assert row["num_places"] == 1
    assert row["sweep_cpu_minutes"] == pytest.approx(3 * row["cpu_minutes"])
    middle = 0.5 * 0.7  # what the mix in the middle covers, which the minutes of one training pay for
    assert row["value"] == pytest.approx(middle)
    assert row["against_value"] == pytest.approx(middle)
    assert row["difference"] == pytest.approx(0)
    assert row["p"] == 1
    better = sweep_of(CURVES | {("conditioned", "gensar", 0.5): (0.6, 0.7)})
    (row,) = compare_at_price(read_curves(*better)).to_dict("records")
    assert row["low"] > 0
    assert row["p_holm"] < 0.05


def test_the_text_says_where_there_is_one_seed():
    from gensar_lite.tradeoff.summary import Reading

    results, ranks = sweep_of(CURVES, seeds=(0,))
    curves = read_curves(results, ranks)
    empty = pd.DataFrame()
    text = summary_text(
        Reading(results, curves, points_table(curves), curves_table(curves), specialists_table(results), *[empty] * 4),
        GOALS,
    )
    assert text.count("one seed") == 2
    assert "best specialist of search: bm25 0.900" in text
