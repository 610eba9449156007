"""Figures of sweeps: what they show is what the tables say, and they say where there is one seed."""

from __future__ import annotations

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from test_plots import check, texts_of
from test_tradeoff_reading import CURVES, GOALS, ranks_of, sweep_of

from gensar_lite.explore.plots import plot_cheap, plot_gains, plot_store_map, plot_tradeoff
from gensar_lite.explore.store_map import describe_store_map, moved_knobs, store_knobs
from gensar_lite.explore.tradeoff_pictures import describe_tradeoff, file_name
from gensar_lite.tradeoff.comparing import specialists_table
from gensar_lite.tradeoff.curve import read_curves
from gensar_lite.tradeoff.gains import who_gains
from gensar_lite.tradeoff.reading import curves_table, points_table
from gensar_lite.tradeoff.summary import Reading

MORE = CURVES | {
    ("conditioned", "gensar", 0.5): (0.5, 0.6),
    ("fusion with bm25", "gensar", 0.0): (0.5, 0.6),
    ("fusion with bm25", "gensar", 0.5): (0.5, 0.9),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def reading_of(seeds: tuple[int, ...] = (0, 1)) -> Reading:
    results, ranks = sweep_of(MORE, seeds)
    curves = read_curves(results, ranks)
    tables = points_table(curves), curves_table(curves), specialists_table(results)
    return Reading(results, curves, *tables, *[pd.DataFrame()] * 4)


def test_the_trade_off_is_drawn_where_its_points_are():
    reading = reading_of()
    figure = plot_tradeoff(reading.points, reading.specialists, GOALS)
    check(figure)
    ax = figure.axes[0]
    drawn = next(line for line in ax.lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(drawn.get_xdata(), [0.1, 0.5, 0.6])
    np.testing.assert_allclose(drawn.get_ydata(), [0.8, 0.7, 0.1])
    words = texts_of(figure)
    assert "bm25 0.900" in words
    assert "als 0.400" in words
    assert "one seed" not in words
    assert "conditioned" not in words, "a sweep's figure shows the sweep"


def test_markers_are_filled_on_the_front_alone():
    reading = reading_of()
    figure = plot_tradeoff(reading.points, reading.specialists, GOALS)
    filled = {
        c.get_offsets().data.shape[0]: len({tuple(f) for f in c.get_facecolors()}) for c in figure.axes[0].collections
    }
    assert filled[3] == 1, "all three of gensar's are on the front"


def test_models_of_one_task_do_not_squash_the_others():
    points = reading_of().points.query("curve == 'sweep'")
    near = points[points["strategy"] == "gensar"].iloc[[1, 1, 1]].assign(place=[0.3, 0.5, 0.7])
    near["recommendation"], near["search"] = [0.49, 0.5, 0.51], [0.71, 0.7, 0.69]
    figure = plot_tradeoff(pd.concat([points[points["place"].isin([0, 1])], near]), pd.DataFrame(), GOALS)
    words = texts_of(figure)
    assert "outside: gensar, mix 0 (0.100, 0.800)" in words
    assert "outside: gensar, mix 1 (0.600, 0.100)" in words
    left, right = figure.axes[0].get_xlim()
    assert 0.4 < left < 0.49 < 0.51 < right < 0.6


def test_a_single_point_is_a_curve():
    reading = reading_of()
    figure = plot_tradeoff(reading.points.query("curve == 'sweep'").iloc[:1], reading.specialists, GOALS)
    assert "gensar" in texts_of(figure)


def test_a_specialist_out_of_the_frame_is_told_on_its_own_side():
    reading = reading_of()
    one = reading.points.query("curve == 'sweep' and strategy == 'gensar' and place == 0.5")
    yardsticks = pd.DataFrame(
        {
            "data": "shop",
            "task": ["recommendation", "search"],
            "specialist": ["als", "bm25"],
            "value": [0.05, 1.3],
            "best": True,
        }
    )
    words = texts_of(plot_tradeoff(one, yardsticks, GOALS))
    assert "als 0.050 \N{LEFTWARDS ARROW}" in words
    assert "bm25 1.300 \N{LEFTWARDS ARROW}" in words


def test_one_seed_is_said_to_have_no_interval():
    reading = reading_of((0,))
    assert "one seed: no intervals" in texts_of(plot_tradeoff(reading.points, reading.specialists, GOALS))
    assert "one seed: no intervals" in texts_of(plot_cheap(reading.points, reading.volumes, GOALS, "shop", "gensar"))


def test_cheap_curves_stand_beside_the_sweep():
    reading = reading_of()
    figure = plot_cheap(reading.points, reading.volumes, GOALS, "shop", "gensar")
    check(figure)
    assert {"sweep", "conditioned", "fusion with bm25"} <= set(texts_of(figure).split("\n"))
    with pytest.raises(ValueError, match="no cheap curve of semantic"):
        plot_cheap(reading.points, reading.volumes, GOALS, "shop", "semantic")
    with pytest.raises(ValueError, match="no curve to draw among sweep"):
        plot_tradeoff(reading.points.iloc[:0], reading.specialists, GOALS)


def test_pictures_have_captions_and_texts():
    pictures = describe_tradeoff(reading_of(), GOALS)
    assert list(pictures) == ["tradeoff", "cheap_shop_gensar"]
    assert "shop, gensar: recommendation 0.500 and search 0.700 at the chosen place" in pictures["tradeoff"].alt
    assert all(p.caption and isinstance(p.figure, mpl.figure.Figure) for p in pictures.values())
    assert file_name("bazaar(alignment=0.25, signal=1)") == "bazaar_alignment_0.25__signal_1"


def test_more_curves_than_can_be_told_apart_get_a_figure_for_each_variant():
    reading = reading_of()
    points, volumes = (
        pd.concat([table.assign(variant=variant) for variant in ("", *(f"num_codes={n}" for n in range(4)))])
        for table in (reading.points, reading.volumes)
    )
    few, many = (
        describe_tradeoff(reading._replace(points=points[own], volumes=volumes[wanted]), GOALS)
        for own, wanted in (
            (points["variant"].isin(["", "num_codes=0"]), volumes["variant"].isin(["", "num_codes=0"])),
            (points["curve"] != "", volumes["curve"] != ""),
        )
    )
    assert "tradeoff_num_codes_0" not in few
    assert {"tradeoff", "tradeoff_num_codes_0", "tradeoff_num_codes_3"} <= set(many)
    assert "semantic (num_codes=0)" in many["tradeoff_num_codes_0"].alt
    assert "num_codes" not in many["tradeoff"].alt


def test_gains_are_drawn_as_they_are():
    model, against = (ranks_of({"search": share}, seed=0).query("split == 'test'") for share in (0.5, 0.25))
    features = pd.DataFrame({"case_id": np.arange(40), "popularity": np.arange(40)})
    features = features.assign(history=3, query_words=np.nan, overlap=np.nan, agreement=0.5)
    table = who_gains(model, against, features)
    figure = plot_gains(table, "one model", {"search": "search only"})
    figure.savefig(io.BytesIO(), format="png")
    assert figure.axes[-1].get_xlabel() == "difference in NDCG@10"
    assert all(ax.get_ylabel() for ax in figure.axes)
    dots = figure.axes[0].collections[0].get_offsets().data[:, 0]
    np.testing.assert_allclose(dots, [0, 1, 0, 0])
    words = texts_of(figure)
    assert "0 to 9  (10)" in words
    assert "Search, against search only" in words
    assert "one seed: no intervals" in words
    with pytest.raises(ValueError, match="no group"):
        plot_gains(table.iloc[:0], "one model", {})


def test_the_map_of_the_store_draws_each_knob_by_itself():
    sources = {
        "bazaar": "bazaar",
        "a": {"alignment": 0.0},
        "b": {"alignment": 1.0},
        "c": {"alignment": 0.0, "signal": 0.5},
    }
    stores = store_knobs({**sources, "mine": "/data/mine"})
    assert stores["data"].tolist() == ["bazaar", "a", "b", "c"]
    assert moved_knobs(stores) == ["alignment"]
    assert moved_knobs(store_knobs({"mine": "/data/mine"})) == [], "a table of one's own has no knobs"
    small = {label: {"num_items": 800, **knobs} for label, knobs in sources.items() if label != "bazaar"}
    assert moved_knobs(store_knobs({"small": {"num_items": 800}, **small})) == ["alignment"]
    rows = [
        {
            "data": label,
            "task": task,
            "model": "gensar",
            "against": other,
            "difference": value,
            "low": np.nan,
            "high": np.nan,
            "p_holm": p,
        }
        for label, value, p in (("bazaar", 0.1, 0.01), ("a", -0.2, 0.2), ("b", 0.3, 0.001), ("c", 0.4, 0.2))
        for task in ("recommendation", "search")
        for other in ("semantic", "fused")
    ]
    table = pd.DataFrame(rows)
    figure = plot_store_map(table, stores)
    check(figure)
    drawn = figure.axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(drawn[:, 1], [-0.2, 0.1, 0.3])
    words = texts_of(figure)
    assert "one seed: no intervals" in words
    assert "alignment of co-clicks and categories" in words
    told = describe_store_map(table, stores)
    assert "b, search: gensar +0.300 against fused" in told
    assert "a, " not in told
    for strategies, known in ((table, stores.iloc[:1]), (table.assign(data="another store"), stores)):
        with pytest.raises(ValueError, match="no differences of strategies"):
            plot_store_map(strategies, known)
