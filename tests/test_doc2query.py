"""Pseudo-queries: what the model learns from a log whose habits are planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from builders import tiny_store

from gensar_lite.data.build import build_dataset
from gensar_lite.data.dataset import Dataset
from gensar_lite.training.doc2query import Doc2Query, split_words

NOUNS = ("sofa", "lamp", "kettle", "tent")
ADJECTIVES = ("red", "blue", "green", "white", "black", "grey", "small", "large", "light", "heavy")


def planted(num_users: int = 120, num_searches: int = 6, log: bool = True) -> Dataset:
    """People quote a title's adjective, and say "couch" for "sofa"; descriptions and brands are never quoted."""
    rows = [(adjective, noun) for noun in NOUNS for adjective in ADJECTIVES]
    items = pd.DataFrame({
        "item_id": [f"i{n}" for n in range(len(rows))],
        "title": [f"{adjective} {noun}" for adjective, noun in rows],
        "description": "filler words that nobody ever quotes",
        "categories": "Home",
        "brand": "Acme",
    })  # fmt: skip
    rng = np.random.default_rng(0)
    clicked = rng.integers(len(rows), size=(num_users, num_searches))
    searches = pd.DataFrame({
        "user_id": np.repeat([f"u{u}" for u in range(num_users)], num_searches),
        "session_id": [f"s{s}" for s in range(clicked.size)],
        "query": [f"{rows[i][0]} {'couch' if rows[i][1] == 'sofa' else rows[i][1]}" for i in clicked.ravel()],
        "item_id": [f"i{i}" for i in clicked.ravel()],
        "timestamp": np.tile(np.arange(num_searches), num_users),
    })  # fmt: skip
    clicks = searches[["user_id", "item_id", "timestamp"]].assign(timestamp=lambda t: t["timestamp"] + 100)
    return build_dataset(
        items, clicks, searches if log else searches.iloc[:0], name="planted", origin="test", query_protocol="log",
        data_seed=0, timestamps="steps",
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Doc2Query:
    return Doc2Query.fit(planted())


def weight(model: Doc2Query, item: int, word: str) -> float:
    """P(word | item)."""
    row = model.word_weights(np.array([item]))[0].toarray()[0]
    return float(row[model.words.index(word)] / row.sum())


def test_it_learns_which_field_people_quote(model: Doc2Query) -> None:
    assert model.field_weight.argmax() == 0
    assert model.field_weight[0] > 0.9
    assert weight(model, 0, "filler") < 0.01


def test_it_learns_a_planted_synonym(model: Doc2Query) -> None:
    assert weight(model, 0, "couch") > 5 * weight(model, 0, "sofa"), "item 0 is a red sofa, which people call a couch"
    assert weight(model, 10, "lamp") > 0.3, "item 10 is a red lamp, and people say so"
    assert weight(model, 10, "couch") < 0.02


def test_written_queries_sound_like_the_log(model: Doc2Query) -> None:
    queries = model.sample(np.arange(40), 20)
    assert len(queries) == 800
    sofas, lamps = queries[:200], queries[200:400]
    assert np.mean(["couch" in q.split() for q in sofas]) > 0.6
    assert np.mean(["couch" in q.split() for q in lamps]) < 0.1
    assert np.mean([q.split()[0] == "red" for q in queries[:20] if "red" in q]) > 0.8, (
        "words keep the order of the text"
    )
    lengths = np.array([len(q.split()) for q in queries])
    assert abs((lengths == 2).mean() - model.lengths[1]) < 0.05
    assert all(len(set(q.split())) == len(q.split()) for q in queries), "no word twice"


def test_length_distribution_is_that_of_the_log(model: Doc2Query) -> None:
    np.testing.assert_allclose(model.lengths, [0, 1], atol=1e-9)
    store = tiny_store()
    log = store.log
    clicked = store.train_mask & log.searched & (log.item >= 0)
    counted = np.array([len(split_words(log.queries[q])) for q in log.query[clicked]])
    lengths = Doc2Query.fit(store).lengths
    assert lengths.sum() == pytest.approx(1)
    for n in range(1, 8):
        assert lengths[n - 1] == pytest.approx((counted == n).mean() if n <= len(lengths) else 0)


def test_translations_are_distributions(model: Doc2Query) -> None:
    sums = model.translation.sum(axis=1)
    assert (sums < 1 + 1e-9).all()
    assert model.translation.data.min() >= 0
    assert ((model.copy >= 0) & (model.copy <= 1)).all()
    assert model.field_weight.sum() == pytest.approx(1)


def test_same_seed_same_queries() -> None:
    items = np.arange(0, 100, 3)
    first, second, other = (Doc2Query.fit(tiny_store(), seed=s).sample(items, 4, s) for s in (1, 1, 2))
    assert first == second
    assert first != other


def test_words_of_held_out_queries_are_never_written() -> None:
    store = tiny_store()
    log = store.log
    seen = {w for q in np.unique(log.query[store.train_mask & log.searched]) for w in split_words(log.queries[q])}
    seen |= {
        w
        for column in ("title", "brand", "categories", "description")
        for text in store.items[column]
        for w in split_words(text)
    }
    written = {w for q in Doc2Query.fit(store).sample(np.arange(100), 30) for w in q.split()}
    hidden = {w for q in log.queries for w in split_words(q)} - seen
    assert hidden, "some words occur in held-out queries alone"
    assert not written & hidden


def test_without_a_search_log_words_are_copied_from_titles() -> None:
    data = planted(log=False)
    assert not data.log.searched.any()
    model = Doc2Query.fit(data)
    for n, query in enumerate(model.sample(np.arange(40), 10)):
        title = set(data.items["title"][n // 10].split())
        assert len(query.split()) >= 2
        assert title <= set(query.split()), "title words first; a longer query borrows from the other fields"


def test_an_item_without_words_gets_empty_queries() -> None:
    data = tiny_store()
    items = data.items.copy()
    items.loc[0, ["title", "brand", "categories", "description"]] = ""
    blank = Dataset(items, data.interactions, data.searches, data.candidates, data.info)
    queries = Doc2Query.fit(blank).sample(np.arange(2), 3)
    assert queries[:3] == ["", "", ""]
    assert all(queries[3:])


def test_split_words() -> None:
    assert split_words("T-Shirt, 5.5mm & Été's (XL)") == ["t-shirt", "5.5mm", "été's", "xl"]
    assert split_words("--- ... _") == []
