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
from gensar_lite.evidence.evidence import COVERAGE, SPREAD, Evidence, ItemProbs, NodeEvidence
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
    table = np.repeat(probs.rest[:, None], N, axis=1)
    table[probs.row, probs.item] = probs.prob
    np.testing.assert_allclose(table.sum(1), 1)
    return table


NO_CLICKS = np.zeros(0, int), np.zeros(0, int)


def ask(num: int, queries=None, clicks=NO_CLICKS, user=None, names=NAMES) -> ItemProbs:
    return EVIDENCE.ask(
        Question(queries, clicks, np.full(num, -1) if user is None else np.array(user)), names, "semantic"
    )


def spread(table: np.ndarray) -> np.ndarray:
    """What sums to one, or to nothing, with its share on all alike."""
    return np.where(table.sum(1, keepdims=True) > 0, (1 - SPREAD) * table + SPREAD / N, 1 / N)


def test_words_are_the_softmax_of_bm25_over_the_items_that_match() -> None:
    queries = [DATA.log.queries[0], "xyzzy", DATA.log.queries[5]]
    words = ask(3, queries, names=["words"])
    scores = LexicalIndex(DATA.item_texts).scores(queries)
    expected = np.where(scores > 0, np.exp(scores), 0)
    expected /= np.maximum(expected.sum(1, keepdims=True), 1e-9)
    np.testing.assert_allclose(dense(words, 3), spread(expected), atol=1e-5)
    assert words.known.tolist() == (scores > 0).any(1).tolist()
    has = np.zeros((3, N))
    has[words.row, words.item] = words.coverage
    np.testing.assert_allclose(has, LexicalIndex(DATA.item_texts).coverage(queries).toarray(), rtol=1e-6)


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
    near = ask(1, None, (row, items), [user if known else -1], ["neighbours"])
    items = items[items >= 0]
    weights = DECAY ** np.arange(len(items) - 1, -1, -1)
    expected = np.maximum((weights[:, None] * similarity_without(user if known else None)[items]).sum(0), 0)
    np.testing.assert_allclose(dense(near, 1), spread(expected[None] / expected.sum()), atol=2e-5)


def test_content_is_the_sum_of_squared_cosines() -> None:
    centred = SEMANTIC - SEMANTIC.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    like = ask(2, None, (np.array([0, 0, 1]), np.array([3, 8, 5])), [4, -1], ["content"])
    cosines = np.square(np.maximum(centred @ centred.T, 0))
    expected = np.stack([DECAY * cosines[3] + cosines[8], cosines[5]])
    np.testing.assert_allclose(dense(like, 2), spread(expected / expected.sum(1, keepdims=True)), atol=1e-5)


def test_an_item_that_only_this_user_clicked_gets_nothing_from_it() -> None:
    clicks = click_matrix(DATA).toarray() > 0
    lonely = np.flatnonzero(clicks.sum(0) == 1)
    assert len(lonely), "the tiny store has items with one reader"
    item = int(lonely[0])
    user = int(np.flatnonzero(clicks[:, item])[0])
    others = np.flatnonzero(clicks[user])
    others = others[others != item]
    history = np.zeros(len(others), int), others
    known, stranger = (ask(1, None, history, [someone], ["neighbours"]) for someone in (user, -1))
    assert dense(known, 1)[0, item] == known.rest[0]
    assert dense(stranger, 1)[0, item] > 1.01 * stranger.rest[0]


def test_sources_are_multiplied_item_by_item() -> None:
    queries, clicks = [DATA.log.queries[0], "xyzzy"], (np.array([0, 0, 1]), np.array([3, 8, 5]))
    expected = np.prod([dense(ask(2, queries, clicks, [4, -1], [name]), 2) for name in NAMES], axis=0)
    np.testing.assert_allclose(
        dense(ask(2, queries, clicks, [4, -1]), 2), expected / expected.sum(1, keepdims=True), rtol=1e-6
    )


def test_coverage_is_the_share_of_what_a_query_says_that_an_item_has() -> None:
    texts = ["green tent", "green tents, green", "tent lamp", "boots"]
    index = LexicalIndex(texts)
    idf = {n: np.log1p((4 - n + 0.5) / (n + 0.5)) for n in range(4)}  # by the number of items with a word
    found = index.coverage(["green tent", "tent TENTS", "tent xyzzy", "xyzzy", ""]).toarray()
    green, tent = idf[2], idf[3]
    np.testing.assert_allclose(found[0], [1, 1, tent / (green + tent), 0], rtol=1e-6)
    np.testing.assert_allclose(found[1], [1, 1, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(found[2], [tent / (tent + idf[0])] * 3 + [0], rtol=1e-6)
    assert not found[3:].any()


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_a_node_has_the_sum_of_the_probabilities_of_its_items_and_their_best_coverage(view: str) -> None:
    vocabulary = Vocabulary(TextTokens(50), random_table([f"i{n}" for n in range(N)]))
    rng = np.random.default_rng(0)
    named = rng.random((3, N)) < 0.2
    named[1] = False
    row, item = np.nonzero(named)
    rest = np.array([0.2, 1.0, 0.5]) / N
    table = np.where(named, rest[:, None] + rng.random((3, N)), rest[:, None])
    has = np.where(named, rng.random((3, N)), 0)
    told = ItemProbs(row, item, table[row, item], has[row, item], rest, named.any(1))
    nodes = NodeEvidence(told, vocabulary.leaf[view], vocabulary.leaf_starts[view])
    for level in range(vocabulary.num_levels):
        node = vocabulary.nodes[view][:, level]
        same = node[:, None] == node[None, :]
        for example in range(3):
            found = nodes(level, np.full(N, example), node)
            expected = np.log((same * table[example]).sum(1)) if named[example].any() else 0
            np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(found[:, 1], COVERAGE * (same * has[example] ** 2).max(1), rtol=1e-4, atol=1e-5)
    assert nodes(0, np.zeros(0, int), np.zeros(0, int)).shape == (0, 2)


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
@pytest.mark.parametrize("softmax", ["trie", "full"])
def test_with_evidence_all_items_still_share_one_and_beams_agree_with_scores(view: str, softmax: str) -> None:
    vocabulary = Vocabulary(TextTokens(50), random_table([f"i{n}" for n in range(N)]), N)
    model = random_model(vocabulary.size)
    _, _, inputs = random_prompts(3, 5, 50, 0)
    queries = [DATA.log.queries[0], "xyzzy", DATA.log.queries[5]]
    told = ask(3, queries, (np.array([0, 0, 2]), np.array([3, 5, 9])))
    weights = [[1.0, 0.1 * level] for level in range(4)]
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
    weights = [[0.5, 0.25]] + [[1.0, 0.0]] * 3
    found = score_items(Scorer(model, vocabulary, "semantic", inputs, evidence=told, weights=weights), np.arange(N))[0]
    plain = score_items(Scorer(model, vocabulary, "semantic", inputs), np.arange(N))[0]
    covers = np.zeros(N)
    covers[told.item] = COVERAGE * told.coverage**2
    nodes = np.insert(vocabulary.nodes["semantic"], 0, 0, axis=1)
    for item in range(0, N, 7):
        expected = 0.0
        for level in range(4):  # by the book: a softmax over the children of each node on the way
            inside = nodes[:, level] == nodes[item, level]
            children = np.unique(nodes[inside, level + 1])
            below = nodes[:, level + 1][None] == children[:, None]
            own = np.log([np.exp(plain[some & inside]).sum() for some in below])
            says = np.log([dense(told, 1)[0][some & inside].sum() for some in below])
            best = np.array([covers[some & inside].max() for some in below])
            logits = weights[level][0] * own + weights[level][1] * says + best
            expected += (logits - np.log(np.exp(logits).sum()))[children == nodes[item, level + 1]].item()
        assert found[item] == pytest.approx(expected, abs=1e-3)


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
    for part, same in zip(
        EVIDENCE.ask(question, NAMES, "semantic"), again.ask(question, NAMES, "semantic"), strict=True
    ):
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
