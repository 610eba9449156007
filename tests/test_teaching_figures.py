"""Figures of the notebooks: beam trees, quantised points, what levels leave over, lines and intervals."""

from __future__ import annotations

import io
import os

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.explore import plots
from gensar_lite.explore.beams import trace_beams
from gensar_lite.explore.quantising import residual_shares
from gensar_lite.explore.trees import beam_tree
from gensar_lite.identifiers import learn_identifiers
from gensar_lite.signals import embed
from gensar_lite.tradeoff.curve import PRIMARY_GOALS

CODES = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [2, 0], [2, 1]])
CHANCE = np.array([0.15, 0.14, 0.13, 0.3, 0.27, 0.01])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def words(ax) -> str:
    return "\n".join(t.get_text() for t in ax.findobj(mpl.text.Text))


def check(ax) -> None:
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    ax.figure.savefig(io.BytesIO(), format="png")


def test_one_beam_takes_the_best_branch_and_loses_the_best_item():
    first, last = trace_beams(CODES, np.log(CHANCE), 1)
    assert first.prefixes[:, 0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(np.exp(first.logprobs), [0.42, 0.3, 0.28])
    assert last.prefixes[last.kept].tolist() == [[0, 0]], "the best item, (1, 0), lies below a lost branch"


def test_with_a_beam_for_every_item_the_trace_is_exact():
    last = trace_beams(CODES, np.log(CHANCE), 6)[-1]
    np.testing.assert_allclose(np.exp(last.logprobs), -np.sort(-CHANCE))
    assert last.kept.all()
    assert (CODES[:, 0][np.argsort(-CHANCE)] == last.prefixes[:, 0]).all()
    with pytest.raises(ValueError, match="at least one beam"):
        trace_beams(CODES, np.log(CHANCE), 0)


def test_the_beam_tree_tells_codes_probabilities_and_what_was_lost():
    tree = beam_tree(CODES, np.log(CHANCE), [f"item {n}" for n in range(6)], ["m1", "s1"], num_beams=1)
    kept, lost = tree.branches
    assert (kept.code, kept.about, kept.lost) == ("<m1_0>", "42.0%, place 1", False)
    assert (lost.code, lost.about, lost.lost) == ("<m1_1>", "30.0%, dropped as 2", True)
    assert [(inner.titles, inner.lost) for inner in kept.branches] == [("item 0", False), ("item 1", True)]
    assert "&lt;m1_0&gt;" in tree._repr_html_()


def test_plot_codes_ties_every_point_to_its_code():
    points = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    centres = np.array([[0.0, 0.5], [5.0, 5.0]])
    ax = plots.plot_codes(points, centres, np.array([0, 0, 1]))
    check(ax)
    ties = np.array(ax.collections[0].get_segments())
    np.testing.assert_array_equal(ties[:, 0], points)
    np.testing.assert_array_equal(ties[:, 1], centres[[0, 0, 1]])
    with pytest.raises(ValueError, match="two numbers each"):
        plots.plot_codes(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2, int))


@pytest.mark.parametrize("quantiser", ["kmeans", "rqvae"])
def test_every_level_leaves_less_over(quantiser):
    data = simulate(BazaarConfig(num_items=300, num_users=150, mean_events=10))
    signals = embed(data, collaborative="als")
    table = learn_identifiers(data, signals, quantiser=quantiser, num_codes=16)
    left = residual_shares(table, signals)
    assert left.index.tolist() == [0, 1, 2, 3, 4]
    assert list(left.columns) == ["semantic", "collaborative"]
    assert (left.iloc[0] == 1).all()
    assert (left.iloc[-1] < left.iloc[1]).all()
    assert (left.to_numpy() >= 0).all()


def test_lines_are_named_at_their_ends():
    table = pd.DataFrame({"a": [1.0, 10.0], "semantic": [2.0, 10.5]}, index=[10, 1000])
    ax = plots.plot_lines(table, xlabel="items", ylabel="seconds", log=("x", "y"))
    check(ax)
    assert {t.get_text() for t in ax.texts} == {"a", "semantic"}
    assert ax.get_xscale() == ax.get_yscale() == "log"
    heights = sorted(t.get_position()[1] for t in ax.texts)
    assert heights[1] - heights[0] >= 0.069
    with pytest.raises(ValueError, match="empty"):
        plots.plot_lines(pd.DataFrame(), xlabel="", ylabel="")


def test_intervals_that_hold_zero_are_drawn_open():
    rows = pd.DataFrame(
        {
            "task": ["search", "recommendation"],
            "protocol": ["bm25_99", "uniform99"],
            "metric": "NDCG@10",
            "model": "gensar",
            "against": ["bm25", "als"],
            "difference": [0.2, -0.01],
            "low": [0.1, -0.05],
            "high": [0.3, 0.03],
        }
    )
    ax = plots.plot_intervals(rows)
    check(ax)
    filled = [tuple(c.get_facecolor()[0]) != (1, 1, 1, 1) for c in ax.collections]
    assert filled == [True, False]
    with pytest.raises(ValueError, match="no comparison"):
        plots.plot_intervals(rows[:0])


def test_models_stand_in_rows_and_kinds_side_by_side():
    points = pd.DataFrame({"recommendation": [0.3, 0.4, 0.5], "search": [0.6, 0.5, 0.7]})
    for task in ("recommendation", "search"):
        points[f"{task}_low"], points[f"{task}_high"] = points[task] - 0.01, points[task] + 0.02
    rows, hues = ["gensar", "fused", "gensar"], ["plain", "plain", "fewer codes"]
    figure = plots.plot_models(points, PRIMARY_GOALS, rows=rows, hues=hues)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["gensar", "fused"]
    dots = [c.get_offsets() for c in left.collections if isinstance(c, PathCollection)]
    assert sorted(len(part) for part in dots) == [1, 2]
    heights = np.concatenate([part[:, 1] for part in dots])
    assert len(set(np.round(heights, 6))) == 3
    assert set(np.round(heights)) == {0, 1}
    assert right.get_xlabel().startswith("search, NDCG@10")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["plain", "fewer codes"]
    with pytest.raises(ValueError, match="no models"):
        plots.plot_models(points[:0], PRIMARY_GOALS, rows=[])


def test_a_notebook_shows_every_figure_not_only_the_first():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    draw = "import pandas as pd\nfrom gensar_lite.explore.plots import plot_lines\nplot_lines(pd.DataFrame({'a': [1.0, 2.0]}), xlabel='x', ylabel='y')\n1"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(draw) for _ in range(2)])
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    nbclient.NotebookClient(notebook, kernel_name="python3", startup_timeout=300, iopub_timeout=60).execute(
        env=environment
    )
    for cell in notebook.cells:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs)
