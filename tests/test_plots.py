"""Figures: what they show is what the data say, every axis is labelled, greys can be told apart."""

from __future__ import annotations

import io
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from gensar_lite.explore import plots
from gensar_lite.explore.codes import codes_of
from gensar_lite.explore.style import GROUPS, MARKERS, PAPER, ROLES, shorten, text_colour
from gensar_lite.explore.trees import code_tree

N, K = 240, 8


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def table() -> SimpleNamespace:
    codes = np.random.default_rng(0).integers(0, K, (N, 6))
    codes[:, 1] %= 3  # a codebook that is used in part
    return SimpleNamespace(
        codebook_names=["m1", "m2", "s1", "s2", "c1", "c2"],
        codebook_sizes=np.full(6, K),
        codes={"semantic": codes[:, [0, 1, 2, 3]], "collaborative": codes[:, [0, 1, 4, 5]]},
        codebooks_of={"semantic": np.array([0, 1, 2, 3]), "collaborative": np.array([0, 1, 4, 5])},
    )


def texts_of(figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def check(figure) -> None:
    """Every visible axis is labelled, and the figure can be drawn."""
    for ax in figure.axes:
        if ax.get_visible() and ax.get_label() != "<colorbar>":
            assert ax.get_xlabel(), "an x axis has no label"
            shared = ax.get_shared_y_axes().get_siblings(ax)
            assert any(other.get_ylabel() for other in shared), "a y axis has no label"
    figure.savefig(io.BytesIO(), format="png")


def luminance(colour: str) -> float:
    return float(np.dot(mpl.colors.to_rgb(colour), (0.299, 0.587, 0.114)))


def test_roles_can_be_told_apart_in_grey():
    greys = sorted(luminance(c) for c in (*ROLES.values(), PAPER))
    assert min(np.diff(greys)) > 0.12


def test_groups_differ_in_colour_and_marker():
    assert len(set(GROUPS)) == len(set(MARKERS)) == len(GROUPS) == len(MARKERS) == 12


def test_drawing_leaves_the_settings_alone(table):
    before = dict(mpl.rcParams)
    plots.plot_code_categories(table, codes_of(table, "s1"), "s1")
    assert dict(mpl.rcParams) == before


def test_category_of_takes_one_level_of_the_first_path():
    items = pd.DataFrame({"categories": ["Kitchen > Coffee", "Home > Rugs | Office > Mats", "", "Garden"]})
    assert plots.category_of(items).tolist() == ["Kitchen", "Home", "(none)", "Garden"]
    assert plots.category_of(items, 1).tolist() == ["Coffee", "Rugs", "(none)", "(none)"]


@pytest.mark.parametrize("method", ["pca", pytest.param("umap", marks=pytest.mark.slow)])
def test_map_keeps_groups_apart_and_repeats_itself(method):
    rng = np.random.default_rng(0)
    vectors = np.repeat(np.eye(3, 12), 20, axis=0) + 0.05 * rng.normal(size=(60, 12))
    places = plots.map_vectors(vectors, method, num_neighbours=8)
    assert places.shape == (60, 2)
    np.testing.assert_array_equal(places, plots.map_vectors(vectors, method, num_neighbours=8))
    middles = places.reshape(3, 20, 2).mean(axis=1)
    nearest = np.argmin(((places[:, None] - middles) ** 2).sum(axis=2), axis=1)
    assert (nearest == np.repeat(np.arange(3), 20)).all()


@pytest.mark.parametrize("shape", [(1, 4), (3, 4), (4, 1)])
def test_tiny_maps(shape):
    assert plots.map_vectors(np.arange(np.prod(shape)).reshape(shape), "umap").shape == (shape[0], 2)


def test_plot_map_counts_its_groups():
    labels = ["tea"] * 30 + ["$coffee$"] * 22 + [f"g{i}" for i in range(12)]
    ax = plots.plot_map(np.random.default_rng(0).random((64, 2)), labels, method="pca")
    check(ax.figure)
    legend = [t.get_text() for t in ax.get_legend().get_texts()]
    assert {"tea (30)", "$coffee$ (22)", "other (2)"} <= set(legend)
    with pytest.raises(ValueError, match="one label per place"):
        plots.plot_map(np.zeros((3, 2)), ["a"])


def test_an_order_keeps_the_colours_of_groups():
    places = np.random.default_rng(0).random((30, 2))
    few, many = ["tea"] * 5 + ["cup"] * 25, ["tea"] * 25 + ["cup"] * 5
    colours = []
    for labels in (few, many):
        ax = plots.plot_map(places, labels, order=["cup", "tea", "absent"])
        colours.append([tuple(c.get_facecolor()[0]) for c in ax.collections])
    assert colours[0] == colours[1]


def test_only_groups_that_lie_apart_are_named_on_the_map():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(200, 2))
    places[:50] += 30
    ax = plots.plot_map(places, ["apart"] * 50 + [f"mixed {i % 5}" for i in range(150)], legend=False)
    assert [t.get_text() for t in ax.texts] == ["apart"]
    assert ax.get_legend() is None


def test_codes_of_finds_the_level_of_a_codebook(table):
    assert (codes_of(table, "c2") == table.codes["collaborative"][:, 3]).all()
    assert (codes_of(table, "m2") == table.codes["semantic"][:, 1]).all()


def test_plot_code_categories_draws_the_shares(table):
    groups = np.where(codes_of(table, "s1") < 4, "low", "high")
    ax = plots.plot_code_categories(table, groups, "s1")
    check(ax.figure)
    drawn = ax.collections[0].get_array().reshape(2, K)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.sum(axis=0), 1)
    same = plots.plot_code_categories(table, codes_of(table, "s1").astype(str), "s1")
    assert same.get_title("left").endswith("with the category 1.00")


def test_the_code_tree_accounts_for_every_item(table):
    tree = code_tree(table, [f"title <{i}>" for i in range(N)], num_branches=(3, 2))
    counted = [int(branch.about.split(" item")[0].split(" ")[-1]) for branch in tree.branches]
    assert sum(counted) == N
    assert len(tree.branches) == 4
    for branch, num in zip(tree.branches[:3], counted, strict=False):
        assert sum(int(inner.about.split(" item")[0].split(" ")[-1]) for inner in branch.branches) == num
    assert "title <" in repr(tree)
    assert "title &lt;" in tree._repr_html_()
    assert "title <" not in tree._repr_html_()


def test_the_code_tree_below_a_prefix(table):
    code = int(table.codes["collaborative"][0, 0])
    tree = code_tree(table, ["t"] * N, view="collaborative", prefix=(code,))
    assert tree.head.endswith(f"below <m1_{code}>: {(table.codes['collaborative'][:, 0] == code).sum()} items")
    assert tree.branches[0].code.startswith("<m2_")
    with pytest.raises(ValueError, match="no semantic identifier starts with"):
        code_tree(table, ["t"] * N, prefix=(99,))


METRICS = {
    "recommendation": {"uniform99": {"NDCG@10": 0.25}, "full": {"NDCG@10": 0.05}},
    "search": {"bm25_99": {"NDCG@10": 0.5}},
    "baselines": {
        "sasrec": {"recommendation": {"uniform99": {"NDCG@10": 0.3}}},
        "bm25": {"search": {"bm25_99": {"NDCG@10": 0.4}}},
    },
    "provenance": {},
}


def test_plot_metrics_draws_bars_as_long_as_their_values():
    figure = plots.plot_metrics(METRICS, ceiling={"search": 0.8}, title="Both tasks")
    check(figure)
    bars = {ax.get_title("left").lower(): [p.get_width() for p in ax.patches] for ax in figure.axes}
    assert bars == {"recommendation": [0.3, 0.25], "search": [0.5, 0.4]}
    assert {"0.300", "0.250", "0.500", "0.400", "oracle 0.800"} <= set(texts_of(figure).split("\n"))
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert figure.axes[0].get_xlim()[0] == 0


def test_plot_metrics_of_another_protocol_and_of_none():
    figure = plots.plot_metrics(METRICS, protocols={"recommendation": "full"})
    assert "in the whole catalogue" in texts_of(figure)
    with pytest.raises(ValueError, match="no MRR"):
        plots.plot_metrics(METRICS, metric="MRR")


def test_plot_history_names_curves_and_marks_the_best_step():
    rows = [
        {"step": 10 * i, "loss": 5 / i, "search": 0.1 * i, "primary": 0.3 - 0.01 * (i - 4) ** 2} for i in range(1, 7)
    ]
    figure = plots.plot_history(rows)
    check(figure)
    words = texts_of(figure)
    assert "best, step 40" in words
    assert "search 0.600" in words
    assert figure.axes[0].lines[0].get_ydata().tolist() == [r["loss"] for r in rows]
    assert figure.axes[0].get_ylim()[0] == 0
    with pytest.raises(ValueError, match="no rows"):
        plots.plot_history([])


def test_shorten_cuts_at_words():
    assert shorten("short", 10) == "short"
    assert shorten("a long title, with many words", 16) == "a long title…"
    assert all(len(shorten("x" * 50 + " y", n)) <= n for n in range(5, 52))


def test_text_is_readable_on_its_colour():
    assert text_colour("white") != text_colour("black")
    assert text_colour(ROLES["shared"]) == PAPER
