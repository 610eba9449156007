"""Why the tasks help or hurt each other: gradients by hand, information of labels that are known, figures that are drawn."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from builders import random_table, tiny_store

from gensar_lite.explore.plots import plot_agreement, plot_conflict, plot_information
from gensar_lite.model import GenSAR
from gensar_lite.signals import Signals, embed
from gensar_lite.tradeoff.conflict import TASKS, gradient_conflict, token_groups
from gensar_lite.tradeoff.information import categories, co_click_communities, code_information

SIZES = {
    "d_model": 16,
    "num_heads": 2,
    "d_ff": 16,
    "vocab_size": 400,
    "batch_size": 32,
    "steps": 4,
    "validate_every": 2,
}


@cache
def signals() -> Signals:
    return embed(tiny_store(), collaborative="als")


@cache
def watched() -> tuple[GenSAR, pd.DataFrame]:
    """A model, and the conflict at each validation of its training."""
    found: list[pd.DataFrame] = []
    model = GenSAR.fit(
        tiny_store(),
        signals(),
        random_table(tiny_store().items["item_id"].tolist()),
        progress=False,
        watch=lambda m: found.append(gradient_conflict(m, 2, 32).assign(step=2 * len(found) + 2)),
        **SIZES,
    )
    return model, pd.concat(found, ignore_index=True)


def test_cosines_are_those_of_the_gradients() -> None:
    model, _ = watched()
    table = gradient_conflict(model, num_batches=1, batch_size=32)
    assert table["cosine"].dropna().between(-1 - 1e-6, 1 + 1e-6).all()
    again = gradient_conflict(model, num_batches=1, batch_size=32)
    pd.testing.assert_frame_equal(table, again)
    assert (table.loc[table["kind"] == "layer", list(TASKS)] > 0).all().all()
    assert all(p.grad is None or not p.grad.any() for p in model.backbone.parameters())


def test_a_watched_training_ends_like_one_that_nobody_watches() -> None:
    model, along = watched()
    assert sorted(along["step"].unique()) == [2, 4]
    alone = GenSAR.fit(tiny_store(), signals(), model.table, progress=False, **SIZES)
    for first, second in zip(model.backbone.parameters(), alone.backbone.parameters(), strict=True):
        assert torch.equal(first, second)


def test_token_groups_cover_the_table_once() -> None:
    model, _ = watched()
    rows = np.concatenate([*token_groups(model).values()])
    assert sorted(rows.tolist()) == list(range(model.vocabulary.size))


def test_information_of_codes_that_are_the_label_and_of_codes_that_are_chance() -> None:
    table = random_table([f"i{n}" for n in range(400)], num_codes=64)
    first = table.codes["semantic"][:, 0]
    found = code_information(table, {"itself": first, "chance": np.random.default_rng(3).integers(64, size=400)})
    value = found.set_index(["label", "what", "of", "length"])["information"]
    assert value["itself", "code", "m1", 1] == pytest.approx(1)
    assert value["itself", "prefix", "collaborative", 1] == pytest.approx(1)
    assert abs(value["itself", "code", "s1", 1]) < 0.05
    assert abs(value["chance", "code", "m1", 1]) < 0.05


def test_labels_of_the_store() -> None:
    data = tiny_store()
    assert len(categories(data)) == data.num_items
    groups = co_click_communities(data, num=5)
    assert ((groups == -1) == (data.popularity == 0)).all()
    assert len(np.unique(groups[groups >= 0])) == 5
    assert (groups == co_click_communities(data, num=5)).all()


def test_the_figures_say_what_their_axes_are() -> None:
    model, along = watched()
    for table in (along, along[along["step"] == 4]):
        figure = plot_conflict(table)
        assert "cosine" in figure.axes[0].get_ylabel()
    labels = {"category": categories(tiny_store()), "community": co_click_communities(tiny_store(), 5)}
    figure = plot_information(code_information(model.table, labels))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["category", "community"]


def test_the_agreement_of_signals_is_drawn_item_by_item_and_by_popularity():
    agreement, popularity = np.array([0.0, 0.0, 0.1, 0.3] * 10), np.arange(40)
    figure = plot_agreement(agreement, popularity)
    bars = {round(bar.get_x() + bar.get_width() / 2, 6): bar.get_height() for bar in figure.axes[0].patches}
    assert bars == pytest.approx({0.0: 0.5, 0.1: 0.25, 0.3: 0.25})
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()][-1] == "32 to 39"
    drawn = figure.axes[1].lines[0].get_ydata()
    np.testing.assert_allclose(drawn, agreement.reshape(5, 8).mean(axis=1))
