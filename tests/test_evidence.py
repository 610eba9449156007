"""Evidence of the store: masses against loops, a user's own clicks taken out, node masses as sums over items."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import TextTokens, random_model, random_prompts, random_table, tiny_store

from gensar_lite.data.lexical import LexicalIndex
from gensar_lite.decoding.beam import beam_search
from gensar_lite.decoding.scoring import score_items
from gensar_lite.evidence.sources import DECAY, SPREAD, Evidence, Masses, NodeMasses
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.signals.collaborative import click_matrix
from gensar_lite.training.settings import TrainingConfig

DATA = tiny_store()
SEMANTIC = np.random.default_rng(0).normal(size=(DATA.num_items, 12)).astype(np.float32)
EVIDENCE = Evidence(DATA, SEMANTIC)
N = DATA.num_items


def dense(masses: Masses, num: int) -> np.ndarray:
    table = np.zeros((num, N))
    table[masses.row, masses.item] = masses.mass
    return table


def nothing(num: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(0, int), np.zeros(0, int)


def test_words_are_the_softmax_of_bm25_over_the_items_that_match() -> None:
    queries = [DATA.log.queries[0], "xyzzy", DATA.log.queries[5]]
    words, *_ = EVIDENCE.ask(3, EVIDENCE.terms(queries), nothing(3))
    scores = LexicalIndex(DATA.item_texts).scores(queries)
    for row, found in zip(scores, dense(words, 3), strict=True):
        expected = np.where(row > 0, np.exp(row), 0)
        if expected.any():
            expected /= expected.sum()
        np.testing.assert_allclose(found, np.where(expected > 1e-6, expected, 0), atol=1e-5)


def similarity_without(user: int | None) -> np.ndarray:
    """(N, N) item-kNN by the book: each item a vector over users, at length 1; one user's coordinate left out at the end."""
    clicks = click_matrix(DATA).toarray()
    num_users = np.bincount(np.nonzero(clicks)[0], minlength=len(clicks))
    weighted = np.sqrt(clicks) * (np.log(N) - np.log1p(num_users))[:, None]
    weighted = weighted / np.maximum(np.linalg.norm(weighted, axis=0), 1e-12)
    if user is not None:
        weighted[user] = 0
    return weighted.T @ weighted


@pytest.mark.parametrize("known", [True, False])
def test_neighbours_are_similarities_without_the_users_own_clicks(known: bool) -> None:
    user = 7
    start, stop = DATA.log.user_ptr[user : user + 2]
    items = DATA.log.item[start : stop - 3]
    row = np.zeros(len(items), int)
    _, near, _ = EVIDENCE.ask(1, None, (row, items), np.array([user if known else -1]))
    items = items[items >= 0]
    weights = DECAY ** np.arange(len(items) - 1, -1, -1)
    expected = np.maximum((weights[:, None] * similarity_without(user if known else None)[items]).sum(0), 0)
    expected /= expected.sum()
    np.testing.assert_allclose(dense(near, 1)[0], expected, atol=2e-5)


def test_likeness_is_the_sum_of_squared_cosines() -> None:
    centred = SEMANTIC - SEMANTIC.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    _, _, like = EVIDENCE.ask(2, None, (np.array([0, 0, 1]), np.array([3, 8, 5])), np.array([4, -1]))
    cosines = np.square(np.maximum(centred @ centred.T, 0))
    expected = np.stack([DECAY * cosines[3] + cosines[8], cosines[5]])
    np.testing.assert_allclose(dense(like, 2), expected / expected.sum(1, keepdims=True), atol=1e-5)


def test_an_item_that_only_this_user_clicked_gets_nothing_from_it() -> None:
    clicks = click_matrix(DATA).toarray() > 0
    lonely = np.flatnonzero(clicks.sum(0) == 1)
    assert len(lonely), "the tiny store has items with one reader"
    item = int(lonely[0])
    user = int(np.flatnonzero(clicks[:, item])[0])
    others = np.flatnonzero(clicks[user])
    others = others[others != item]
    history = np.zeros(len(others), int), others
    _, known, _ = EVIDENCE.ask(1, None, history, np.array([user]))
    _, stranger, _ = EVIDENCE.ask(1, None, history, np.array([-1]))
    assert dense(known, 1)[0, item] < 1e-6 < dense(stranger, 1)[0, item]


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_the_mass_of_a_node_is_the_sum_over_its_items(view: str) -> None:
    vocabulary = Vocabulary(TextTokens(50), random_table([f"i{n}" for n in range(N)]))
    rng = np.random.default_rng(0)
    table = rng.random((3, N)) * (rng.random((3, N)) < 0.2)
    table[1] = 0
    table /= np.maximum(table.sum(1, keepdims=True), 1e-12)
    row, item = np.nonzero(table)
    masses = NodeMasses(
        (Masses(row, item, table[row, item], table.any(1)),), vocabulary.rank[view], vocabulary.leaf_starts[view]
    )
    for level in range(vocabulary.num_levels):
        node = vocabulary.nodes[view][:, level]
        for example in range(3):
            found = masses(level, np.full(N, example), node)[:, 0]
            same = node[:, None] == node[None, :]
            expected = np.log((1 - SPREAD) * (same * table[example]).sum(1) + SPREAD * same.mean(1))
            np.testing.assert_allclose(found, expected if table[example].any() else 0, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_with_evidence_all_items_still_share_one_and_beams_agree_with_scores(view: str) -> None:
    vocabulary = Vocabulary(TextTokens(50), random_table([f"i{n}" for n in range(N)]), N, 0, 3)
    model = random_model(vocabulary.size)
    _, _, inputs = random_prompts(3, 5, 50, 0)
    queries = [DATA.log.queries[0], "xyzzy", DATA.log.queries[5]]
    known = EVIDENCE.ask(3, EVIDENCE.terms(queries), (np.array([0, 0, 2]), np.array([3, 5, 9])))
    asked = inputs._replace(evidence=known)
    scores = score_items(model, vocabulary, asked, view, np.arange(N)[None])
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, rtol=1e-4)
    beams = beam_search(model, vocabulary, asked, vocabulary.tries[view], view, N)
    np.testing.assert_allclose(beams.scores, np.take_along_axis(scores, beams.items, 1), rtol=1e-4, atol=1e-4)
    chosen = np.stack([np.arange(b, b + 9) for b in range(3)])  # lists of their own: another way through the code
    np.testing.assert_allclose(
        score_items(model, vocabulary, asked, view, chosen), np.take_along_axis(scores, chosen, 1), rtol=1e-4, atol=1e-4
    )
    plain = score_items(model, vocabulary, inputs, view, np.arange(N)[None])
    assert (np.abs(plain - scores).max(1) > 0.1).tolist() == [True, False, True], "who knows nothing changes nothing"


def test_a_closed_gate_shuts_a_source_out() -> None:
    vocabulary = Vocabulary(TextTokens(50), random_table([f"i{n}" for n in range(N)]), N, 0, 1)
    model = random_model(vocabulary.size)
    _, _, inputs = random_prompts(1, 5, 50, 0)
    known = Evidence(DATA, SEMANTIC, ("words",)).ask(1, EVIDENCE.terms([DATA.log.queries[0]]), nothing(1))
    plain = score_items(model, vocabulary, inputs, "semantic", np.arange(N)[None])
    with torch.no_grad():
        model.decoder.final_layer_norm.weight.fill_(1.0)
        first = score_items(model, vocabulary, inputs._replace(evidence=known), "semantic", np.arange(N)[None])
        model.shared.weight[vocabulary.gates] = 0  # the gate is then exactly 1
        second = score_items(model, vocabulary, inputs._replace(evidence=known), "semantic", np.arange(N)[None])
    assert np.abs(first - second).max() > 1e-3
    assert np.abs(plain - second).max() > 0.1


def test_unknown_sources_are_refused_and_other_softmaxes_have_none() -> None:
    with pytest.raises(ValueError, match="evidence must be some of"):
        TrainingConfig(evidence=("stars",))
    assert TrainingConfig(softmax="full").evidence == ()
