"""Synthesised queries: where their words come from, and which interactions get one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gensar_lite.data.languages import Pieces
from gensar_lite.data.lexical import index_terms, stem, words
from gensar_lite.data.queries import (
    FIELD_WEIGHTS,
    NOISE,
    category_queries,
    count_words,
    known_item_queries,
    synthesise_searches,
    usable_words,
)
from gensar_lite.data.storage import DataError


def items_of(*rows: dict) -> pd.DataFrame:
    columns = ("item_id", "title", "description", "categories", "brand")
    return pd.DataFrame(
        [{c: r.get(c, "") for c in columns} | {"item_id": r.get("item_id", f"i{n}")} for n, r in enumerate(rows)],
        dtype=object,
    )


STORE = items_of(
    {
        "title": "Red Camping Tent for Two",
        "brand": "Acme",
        "description": "sleeps well",
        "categories": "Outdoor > Camping > Camping Tents | Gifts > For Campers",
    },
    {"title": "Espresso Cup 1/2 Litre", "description": "the cup of all cups", "categories": "Kitchen > Cups & Mugs"},
    {"title": "DCR-123 Drill"},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Men's 1/2-Inch DCR-123, 5.5mm café", ["mens", "1/2", "inch", "dcr", "123", "5.5", "mm", "cafe"]),
        ("日本 Tee_shirt", ["日", "本", "tee", "shirt"]),
        ("…!", []),
    ],
)
def test_words_keep_digits_sizes_and_other_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_stemming_joins_plurals_and_leaves_model_numbers() -> None:
    pairs = {
        "tents": "tent",
        "boxes": "box",
        "batteries": "battery",
        "glasses": "glass",
        "ties": "tie",
        "brushes": "brush",
    }
    assert {w: stem(w) for w in pairs} == pairs
    assert all(stem(w) == w for w in ("bus", "glass", "x36s1s", "gas", "axis"))
    assert index_terms("the Tents of 1/2") == ["tent", "1/2"]


def test_item_models_are_field_mixtures() -> None:
    model = count_words(STORE)
    mine = slice(model.ptr[0], model.ptr[1])
    weight = dict(zip(model.vocabulary[model.term[mine]], model.weight[mine], strict=True))
    # title: red, camping, tent, two; categories: outdoor, camping, camping, tents, gifts, campers
    assert weight["red"] == pytest.approx(FIELD_WEIGHTS["title"] / 4)
    assert weight["acme"] == pytest.approx(FIELD_WEIGHTS["brand"])
    assert weight["camping"] == pytest.approx(FIELD_WEIGHTS["title"] / 4 + FIELD_WEIGHTS["categories"] * 2 / 6)
    assert "for" not in weight
    assert list(weight)[:4] == ["red", "camping", "tent", "two"]  # in the order of the text


def test_items_are_counted_in_blocks_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = count_words(STORE)
    monkeypatch.setattr("gensar_lite.data.queries._ITEMS", 2)
    blocks = count_words(STORE)
    for name in ("vocabulary", "ptr", "term", "weight", "frequency"):
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))


def test_known_item_words_come_from_the_item_but_for_some_noise() -> None:
    rng = np.random.default_rng(0)
    asked = rng.integers(0, 3, 6000)
    queries, fallen_back = known_item_queries(STORE, asked, rng)
    assert fallen_back == 0
    own = [
        set(usable_words(" ".join(row), Pieces([])))
        for row in STORE[["title", "brand", "categories", "description"]].to_numpy()
    ]
    foreign = total = 0
    for i, query in zip(asked, queries, strict=True):
        typed = query.split()
        assert typed
        assert len(set(typed)) == len(typed)
        assert set(typed) & own[i]
        foreign += len(set(typed) - own[i])
        total += len(typed)
    # noise draws the item's own words, too: at most NOISE of the words after the first are foreign
    assert 0.02 < foreign / total < NOISE
    length = np.array([len(q.split()) for q, i in zip(queries, asked, strict=True) if i == 0])
    assert 2.5 < length.mean() < 3.2
    in_title = np.mean(
        [
            w in {"red", "camping", "tent", "two"}
            for q, i in zip(queries, asked, strict=True)
            if i == 0
            for w in q.split()
        ]
    )
    assert 0.5 < in_title < 0.9


def test_queries_repeat_with_their_seed() -> None:
    asked = np.array([0, 1, 2] * 10)
    first, same, other = (known_item_queries(STORE, asked, np.random.default_rng(s))[0] for s in (1, 1, 2))
    assert first.equals(same)
    assert not first.equals(other)


def test_items_without_a_usable_word_are_asked_for_by_title_or_id() -> None:
    items = items_of({"title": "The Who"}, {"item_id": "x 9", "title": "!"}, {"title": "tent"})
    queries, fallen_back = known_item_queries(items, np.array([0, 1, 2]), np.random.default_rng(0))
    assert queries.to_list() == ["the who", "x 9", "tent"]
    assert fallen_back == 2


def test_category_paths_lose_stop_words_and_repeats() -> None:
    queries, fallen_back = category_queries(STORE, np.array([0] * 40 + [1, 2]), np.random.default_rng(0))
    assert set(queries[:40]) == {"outdoor camping tents", "gifts campers"}
    assert queries[40] == "kitchen cups mugs"
    assert fallen_back == 1  # the drill has no category: asked for as in known-item
    assert set(queries[41].split()) & {"dcr", "123", "drill"}


def test_category_paths_need_categories() -> None:
    with pytest.raises(DataError, match="known-item"):
        category_queries(items_of({"title": "a tent"}, {"title": "cup"}), np.array([0]), np.random.default_rng(0))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=40, unique=True),
    st.sampled_from([0.0, 0.4, 1.0]),
    st.integers(0, 3),
)
def test_every_held_out_interaction_has_a_search(rows: list[tuple[int, int, int]], share: float, seed: int) -> None:
    interactions = pd.DataFrame(
        [(f"u{u}", f"i{i}", t) for u, i, t in rows], columns=["user_id", "item_id", "timestamp"]
    )
    searches, _ = synthesise_searches(STORE, interactions, "known-item", share, seed)
    key = ["user_id", "item_id", "timestamp"]
    searched = set(map(tuple, searches[key].to_numpy()))
    assert len(searched) == len(searches)
    assert searched <= set(map(tuple, interactions[key].to_numpy()))
    assert searches["session_id"].is_unique
    assert (searches["query"].str.len() > 0).all()
    for _, mine in interactions.groupby("user_id"):
        last_two = mine.sort_values("timestamp", kind="stable").tail(2)
        assert set(map(tuple, last_two[key].to_numpy())) <= searched
    if share == 1.0:
        assert len(searches) == len(interactions)
    if share == 0.0:
        assert len(searches) == interactions.groupby("user_id").head(2).shape[0]


def test_the_share_of_searches_is_as_asked() -> None:
    interactions = pd.DataFrame({"user_id": "u", "item_id": ["i0", "i1"] * 2000, "timestamp": range(4000)})
    searches, _ = synthesise_searches(STORE, interactions, "known-item", 0.3)
    assert len(searches) / 4000 == pytest.approx(0.3, abs=0.03)
    with pytest.raises(DataError, match="between 0 and 1"):
        synthesise_searches(STORE, interactions, "known-item", 30)
