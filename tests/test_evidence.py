"""Evidence of the store: sources against loops, a user's own clicks taken out, node probabilities as sums over items."""

from __future__ import annotations

import numpy as np
import pytest
from builders import TextTokens, quick_tiny_model, random_model, random_prompts, random_table, tiny_store

from gensar_lite.config import preset
from gensar_lite.data.lexical import LexicalIndex
from gensar_lite.data.storage import DataError
from gensar_lite.decoding.beam import beam_search
from gensar_lite.decoding.scoring import score_items
from gensar_lite.evidence import NAMES
from gensar_lite.evidence import nearest as nearest_module
from gensar_lite.evidence.evidence import SPREAD, Evidence, ItemProbs, NodeLogprobs
from gensar_lite.evidence.nearest import nearest, nearest_others
from gensar_lite.evidence.sources import DECAY, SOURCES, Question
from gensar_lite.network.scorer import Scorer
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.signals.collaborative import click_matrix

DATA = tiny_store()
SEMANTIC = np.random.default_rng(0).normal(size=(DATA.num_items, 12)).astype(np.float32)
EVIDENCE = Evidence.make(DATA, SEMANTIC, NAMES)
N = DATA.num_items


def dense(probs: ItemProbs, num: int) -> np.ndarray:
    table = np.zeros((num, N))
    table[probs.row, probs.item] = probs.prob
    return table


NO_CLICKS = np.zeros(0, int), np.zeros(0, int)


def ask(num: int, queries=None, clicks=NO_CLICKS, user=None) -> tuple[ItemProbs, ...]:
    return EVIDENCE.ask(Question(queries, clicks, np.full(num, -1) if user is None else np.array(user)), NAMES)


def test_words_are_the_softmax_of_bm25_over_the_items_that_match() -> None:
    queries = [DATA.log.queries[0], "xyzzy", DATA.log.queries[5]]
    words, *_ = ask(3, queries)
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
    _, near, _ = ask(1, None, (row, items), [user if known else -1])
    items = items[items >= 0]
    weights = DECAY ** np.arange(len(items) - 1, -1, -1)
    expected = np.maximum((weights[:, None] * similarity_without(user if known else None)[items]).sum(0), 0)
    expected /= expected.sum()
    np.testing.assert_allclose(dense(near, 1)[0], expected, atol=2e-5)


def test_content_is_the_sum_of_squared_cosines() -> None:
    centred = SEMANTIC - SEMANTIC.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    _, _, like = ask(2, None, (np.array([0, 0, 1]), np.array([3, 8, 5])), [4, -1])
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
    _, known, _ = ask(1, None, history, [user])
    _, stranger, _ = ask(1, None, history, [-1])
    assert dense(known, 1)[0, item] < 1e-6 < dense(stranger, 1)[0, item]


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_the_probability_of_a_node_is_the_sum_over_its_items(view: str) -> None:
    vocabulary = Vocabulary(TextTokens(50), random_table([f"i{n}" for n in range(N)]))
    rng = np.random.default_rng(0)
    table = rng.random((3, N)) * (rng.random((3, N)) < 0.2)
    table[1] = 0
    table /= np.maximum(table.sum(1, keepdims=True), 1e-12)
    row, item = np.nonzero(table)
    told = ItemProbs(row, item, table[row, item], table.any(1))
    logprobs = NodeLogprobs((told,), vocabulary.leaf[view], vocabulary.leaf_starts[view])
    for level in range(vocabulary.num_levels):
        node = vocabulary.nodes[view][:, level]
        for example in range(3):
            found = logprobs(level, np.full(N, example), node)[:, 0]
            same = node[:, None] == node[None, :]
            expected = np.log((1 - SPREAD) * (same * table[example]).sum(1) + SPREAD * same.mean(1))
            np.testing.assert_allclose(found, expected if table[example].any() else 0, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
@pytest.mark.parametrize("softmax", ["trie", "full"])
def test_with_evidence_all_items_still_share_one_and_beams_agree_with_scores(view: str, softmax: str) -> None:
    vocabulary = Vocabulary(TextTokens(50), random_table([f"i{n}" for n in range(N)]), N)
    model = random_model(vocabulary.size)
    _, _, inputs = random_prompts(3, 5, 50, 0)
    queries = [DATA.log.queries[0], "xyzzy", DATA.log.queries[5]]
    told = ask(3, queries, (np.array([0, 0, 2]), np.array([3, 5, 9])))
    weights = [[1.0, 0.5, 2.0, 0.1 * level] for level in range(4)]
    heard = Scorer(model, vocabulary, view, inputs, softmax, evidence=told, weights=weights)
    scores = score_items(heard, np.arange(N)[None])
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, rtol=1e-4)
    beams = beam_search(heard, N)
    np.testing.assert_allclose(beams.scores, np.take_along_axis(scores, beams.items, 1), rtol=1e-4, atol=1e-4)
    chosen = np.stack([np.arange(b, b + 9) for b in range(3)])  # lists of their own: another way through the code
    np.testing.assert_allclose(score_items(heard, chosen), np.take_along_axis(scores, chosen, 1), rtol=1e-4, atol=1e-4)
    part = vocabulary.tries[view].restrict(
        np.arange(0, N, 3)
    )  # among fewer items: the same scores for those that are left
    some = beam_search(Scorer(model, vocabulary, view, inputs, softmax, part, told, weights), N)
    for row, items in enumerate(some.items):
        left = items[items >= 0]
        assert set(left) == set(range(0, N, 3))
        np.testing.assert_allclose(some.scores[row, : len(left)], scores[row, left], rtol=1e-4, atol=1e-4)
    plain = score_items(Scorer(model, vocabulary, view, inputs), np.arange(N)[None])
    assert (np.abs(plain - scores).max(1) > 0.1).tolist() == [True, False, True], "who knows nothing changes nothing"


def test_logits_and_log_probabilities_are_summed_by_their_weights() -> None:
    vocabulary = Vocabulary(TextTokens(50), random_table([f"i{n}" for n in range(N)]))
    model = random_model(vocabulary.size)
    _, _, inputs = random_prompts(1, 5, 50, 0)
    told = ask(1, [DATA.log.queries[0]])
    weights = [[0.5, 0.25, 0.0, 0.0]] + [[1.0, 0.0, 0.0, 0.0]] * 3
    found = score_items(Scorer(model, vocabulary, "semantic", inputs, evidence=told, weights=weights), np.arange(N))[0]
    plain = score_items(Scorer(model, vocabulary, "semantic", inputs), np.arange(N))[0]
    first = vocabulary.nodes["semantic"][:, 0]
    table = dense(told[0], 1)[0]
    number = np.unique(first)
    own = np.log([np.exp(plain)[first == node].sum() for node in number])
    says = np.log([(1 - SPREAD) * table[first == node].sum() + SPREAD * (first == node).mean() for node in number])
    joined = 0.5 * own + 0.25 * says
    joined -= np.log(np.exp(joined).sum())
    np.testing.assert_allclose(found, plain + (joined - own)[np.searchsorted(number, first)], atol=1e-4)


def test_the_generator_alone_does_not_change_where_the_store_is_broken() -> None:
    model = quick_tiny_model()
    cases = {task: DATA.cases(task, "test") for task in model.tasks}
    alone = {task: model.hearing(()).score(some, None) for task, some in cases.items()}
    heard = {task: model.score(some, None) for task, some in cases.items()}
    for source in model.evidence.sources.values():
        matrix = source.matrix if source.name == "words" else source.similarity
        matrix.data[:] = np.random.default_rng(0).random(len(matrix.data))
    for task, some in cases.items():
        np.testing.assert_array_equal(model.hearing(()).score(some, None), alone[task])
        assert np.abs(model.score(some, None) - heard[task]).max() > 0.1
    user = DATA.log.user_ids[0]
    assert model.search("lamp", user, evidence=()).equals(model.hearing(()).search("lamp", user))
    with pytest.raises(DataError, match="this model has no evidence stars; it has words, neighbours, content"):
        model.search("lamp", evidence=("stars",))


def test_what_is_saved_says_the_same(tmp_path) -> None:
    folder = tmp_path / "evidence"
    EVIDENCE.save(folder)
    again = Evidence.load(folder, DATA)
    assert list(again.sources) == list(NAMES) == list(SOURCES)
    question = Question([DATA.log.queries[0]], (np.array([0, 0]), np.array([3, 5])), np.array([4]))
    for one, other in zip(EVIDENCE.ask(question, NAMES), again.ask(question, NAMES), strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)
    (folder / "words.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match=r"words\.safetensors was changed"):
        Evidence.load(folder, DATA)


def test_above_some_size_nearly_all_of_the_nearest_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(40, 16))[rng.integers(40, size=3000)] + 0.5 * rng.normal(size=(3000, 16))).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact, cosine = nearest(vectors, 10)
    np.testing.assert_allclose(np.sort(cosine), np.sort(vectors @ vectors.T)[:, -10:], atol=1e-5)
    monkeypatch.setattr(nearest_module, "EXACT_UP_TO", 1000)
    found, close = nearest(vectors, 10)
    np.testing.assert_allclose(close, np.einsum("nd,nkd->nk", vectors, vectors[found]), atol=1e-5)
    assert np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(exact, found, strict=True)]) > 0.9


def test_unknown_sources_are_refused_and_known_ones_stand_in_their_order() -> None:
    with pytest.raises(ValueError, match="evidence must be some of"):
        preset("tiny", evidence=("stars",))
    assert preset("tiny", evidence=("content", "words")).evidence == ("words", "content")
    assert preset("paper").evidence == ()


def test_the_nearest_others_are_those_of_brute_force_in_order() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 5))
    vectors[7] = vectors[8]  # twins are each other's nearest, not themselves
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    found, cosine = nearest_others(vectors, 10)
    np.testing.assert_allclose(cosine, -np.sort(-products, axis=1)[:, :10], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(products, found, 1), cosine, atol=1e-6)
    assert (found[7, 0], found[8, 0]) == (8, 7)
