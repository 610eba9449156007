"""Baselines against hand-made numbers and implicit's own, and what they may not see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import build_small
from scipy import sparse

import gensar_lite.evaluation.baselines as baselines
from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.evaluation.baselines import ALS, NAMES, ItemKNN, build_baselines, fit_baseline, history_matrix
from gensar_lite.evaluation.protocols import evaluate_ranker
from gensar_lite.signals import Signals
from gensar_lite.signals.collaborative import click_matrix
from gensar_lite.signals.text import fit_ridge, make_encoder

QUICK = {"dim": 16, "epochs": 3, "batch_positions": 256}
NUM_ITEMS = 30


def make_store(sequences: list[list[int]], num_items: int = NUM_ITEMS) -> Dataset:
    """One user per sequence of item numbers; the last two of each are asked in both tasks."""
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(num_items)]})
    items["title"] = [f"thing word{n} group{n % 3}" for n in range(num_items)]
    for column in ("description", "categories", "brand"):
        items[column] = ""
    rows = [(f"u{u:02}", f"i{n}", step) for u, s in enumerate(sequences) for step, n in enumerate(s)]
    interactions = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    last = interactions.groupby("user_id").tail(2)
    sessions = [f"s{n}" for n in range(len(last))]
    searches = last.assign(session_id=sessions, query=["thing word" + i[1:] for i in last["item_id"]])
    return build_small(items, interactions, searches)


def make_signals(data: Dataset) -> Signals:
    encoder, semantic = make_encoder("tfidf", data.item_texts)
    return Signals(data.items["item_id"].tolist(), semantic, semantic, encoder, fit_ridge(semantic, semantic))


def random_sequences(seed: int = 0, users: int = 25) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.choice(np.arange(u % 3, NUM_ITEMS - 3, 3), rng.integers(4, 8)).tolist() for u in range(users)]


@pytest.fixture(scope="module")
def store() -> Dataset:
    return make_store(random_sequences())


@pytest.fixture(scope="module")
def signals(store: Dataset) -> Signals:
    return make_signals(store)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "baselines.json"
    path.write_text(
        json.dumps({"default": {"parameters": {"sasrec": QUICK, "sasrec-text": QUICK, "als": {"factors": 8}}}})
    )
    monkeypatch.setattr(baselines, "RECORDED", path)


def case(data: Dataset, start: int, stop: int, query: str | None = None) -> Cases:
    one = np.array([0])
    return Cases(
        "recommendation" if query is None else "search",
        one,
        one,
        one + start,
        one + stop,
        one,
        None if query is None else [query],
        {},
    )


def test_histories_count_clicks_and_forget_with_decay() -> None:
    data = make_store([[4, 7, 4, 9, 2, 3]])
    whole = history_matrix(data.log, case(data, 0, 4), NUM_ITEMS).toarray()[0]
    assert {n: whole[n] for n in np.flatnonzero(whole)} == {4: 2, 7: 1, 9: 1}
    faded = history_matrix(data.log, case(data, 0, 4), NUM_ITEMS, decay=0.5).toarray()[0]
    assert {n: faded[n] for n in np.flatnonzero(faded)} == {4: 0.5 + 0.125, 7: 0.25, 9: 1}
    assert history_matrix(data.log, case(data, 2, 2), NUM_ITEMS).nnz == 0


def test_item_knn_by_hand() -> None:
    # In training: users 0 and 1 take 0 and 1, user 2 takes 0 and 2. cos(0, 1) = 2 / sqrt(3 * 2), cos(0, 2) = 1 / sqrt(3).
    data = make_store([[0, 1, 9, 9], [0, 1, 9, 9], [0, 2, 9, 9]])
    asked = case(data, 0, 1)  # history: item 0
    scores = ItemKNN(data, neighbours=NUM_ITEMS).score(asked, None)[0]
    np.testing.assert_allclose(scores[[0, 1, 2, 3]], [1, 2 / 6**0.5, 1 / 3**0.5, 0], rtol=1e-5)
    other = ItemKNN(data, neighbours=NUM_ITEMS, own=0.0).score(asked, None)[0]
    np.testing.assert_allclose(other[[0, 1, 2, 3]], [0, 2 / 6**0.5, 1 / 3**0.5, 0], rtol=1e-5)


def test_item_knn_equals_dense_cosines(store: Dataset) -> None:
    clicks = click_matrix(store).toarray()
    length = np.linalg.norm(clicks, axis=0)
    cosine = clicks.T @ clicks / np.maximum(np.outer(length, length), 1e-9)
    cases = store.cases("recommendation", "test")
    expected = history_matrix(store.log, cases, NUM_ITEMS).toarray() @ cosine
    np.testing.assert_allclose(ItemKNN(store, neighbours=NUM_ITEMS).score(cases, None), expected, atol=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 7.0])
def test_als_folds_histories_in_as_implicit_does(store: Dataset, alpha: float) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    mine = ALS(store, factors=8, alpha=alpha, regularization=0.1)
    theirs = AlternatingLeastSquares(
        factors=8, alpha=alpha, regularization=0.1, iterations=15, random_state=0, num_threads=1
    )
    theirs.fit(click_matrix(store), show_progress=False)
    np.testing.assert_array_equal(mine.items, theirs.item_factors)
    history = history_matrix(store.log, store.cases("recommendation", "test"), NUM_ITEMS)
    assert history.data.max() > 1  # a repeated item counts twice
    expected = theirs.recalculate_user(np.arange(history.shape[0]), history)
    np.testing.assert_allclose(mine.user_vectors(history), expected, atol=1e-4)
    assert not mine.user_vectors(sparse.csr_matrix((2, NUM_ITEMS), dtype=np.float32)).any()


def test_dense_and_bm25_find_the_item_that_the_query_names(store: Dataset, signals: Signals) -> None:
    asked = case(store, 0, 0, "word17")
    for name in ("dense", "bm25"):
        assert fit_baseline(name, store, signals).score(asked, None)[0].argmax() == 17
    taste = fit_baseline("dense", store, signals).score(case(store, 0, 1), None)[0]
    assert taste.argmax() == store.log.item[0]


def test_candidates_score_as_in_the_whole_catalogue(store: Dataset, signals: Signals) -> None:
    rng = np.random.default_rng(0)
    served = set()
    for ranker in build_baselines(store, signals):
        for task in ranker.tasks:
            served.add((ranker.name, task))
            for cases in (store.cases(task, "test"), store.cases(task, "test").without_history()):
                candidates = rng.integers(0, NUM_ITEMS, (len(cases), 6))
                full = ranker.score(cases, None)
                assert full.shape == (len(cases), NUM_ITEMS)
                assert np.isfinite(full).all()
                np.testing.assert_allclose(
                    ranker.score(cases, candidates), np.take_along_axis(full, candidates, 1), atol=1e-4
                )
    assert served == {*((n, "recommendation") for n in NAMES if n != "bm25"), ("bm25", "search"), ("dense", "search")}


def test_every_baseline_can_be_evaluated(store: Dataset, signals: Signals) -> None:
    for ranker in build_baselines(store, signals, names=("popularity", "bm25")):
        ranks = evaluate_ranker(ranker, store)
        assert len(ranks)
        assert (ranks["rank"] >= 1).all()


def test_held_out_events_change_no_fitted_state() -> None:
    sequences = random_sequences()
    one, two = make_store(sequences), make_store([[*s[:-2], 28, 29] for s in sequences])
    assert not np.array_equal(one.log.item, two.log.item)
    signals = make_signals(one)
    everything = np.arange(NUM_ITEMS)[None, :]
    for a, b in zip(build_baselines(one, signals), build_baselines(two, signals), strict=True):
        asked = case(one, 0, 2, "thing word4" if a.name == "bm25" else None)
        np.testing.assert_array_equal(a.score(asked, everything), b.score(asked, everything), err_msg=a.name)


def test_same_seed_same_scores(store: Dataset, signals: Signals) -> None:
    cases = store.cases("recommendation", "test")
    for name in ("als", "sasrec", "sasrec-text"):
        first, again, other = (
            build_baselines(store, signals, seed, [name])[0].score(cases, None) for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


def test_recorded_values_are_taken_by_the_log_and_not_by_the_name(store: Dataset, signals: Signals) -> None:
    content = {
        "default": {"parameters": {"als": {"factors": 4}, "item-knn": {"own": 0.0}}},
        "tiny": {"parameters": {"als": {"factors": 5}}},
        store.info["log_hash"]: {"parameters": {"als": {"factors": 6}}},
    }
    baselines.RECORDED.write_text(json.dumps(content))
    als, knn = build_baselines(store, signals, names=("als", "item-knn"))
    assert als.items.shape == (NUM_ITEMS, 6)
    assert not knn.similarity.diagonal().any()


def test_recorded_file_of_the_package_fits_the_classes(
    store: Dataset, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(baselines.__file__).with_name("baselines.json")
    for entry in json.loads(path.read_text()).values():
        for name, parameters in entry["parameters"].items():
            quicker = {**parameters, "epochs": 1} if "epochs" in parameters else parameters
            assert fit_baseline(name, store, signals, **quicker).name == name


def test_unknown_name_is_said(store: Dataset, signals: Signals) -> None:
    with pytest.raises(ValueError, match="unknown baseline 'bert4rec'"):
        build_baselines(store, signals, names=["bert4rec"])
