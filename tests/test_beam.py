"""Beam search against `generate` of transformers, and against scoring every item."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import bare_vocabulary, random_model, random_prompts, unique_codes

from gensar_lite.decoding.beam import beam_search
from gensar_lite.decoding.scoring import score_items
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network.inputs import Inputs
from gensar_lite.network.scorer import Scorer
from gensar_lite.network.weights import as_transformers

V_TEXT, B, S = 50, 5, 9


class World:
    """A random model, random identifiers and B random inputs."""

    def __init__(
        self, num_items: int, sizes: tuple[int, ...] = (6, 6, 6), seed: int = 0, sharpness: float = 1.0
    ) -> None:
        self.codes = unique_codes(num_items, sizes, np.random.default_rng(seed))
        self.vocabulary = bare_vocabulary(self.codes, sizes, V_TEXT)
        self.model = random_model(self.vocabulary.size, seed=seed, sharpness=sharpness)
        self.ids, self.mask, self.inputs = random_prompts(B, S, V_TEXT, seed)
        self.trie = IdentifierTrie.build(self.codes)
        self.every = np.arange(num_items)

    def search(
        self,
        num_beams: int,
        softmax: str = "full",
        view: str = "semantic",
        trie: IdentifierTrie | None = None,
        exclude=None,
    ):
        scorer = Scorer(self.model, self.vocabulary, view, self.inputs, softmax, trie)
        return beam_search(scorer, num_beams, exclude)

    def score(self, softmax: str = "full", view: str = "semantic") -> np.ndarray:
        return score_items(Scorer(self.model, self.vocabulary, view, self.inputs, softmax), self.every[None])

    def generate(
        self, num_beams: int, allowed: list[np.ndarray], view: str = "semantic"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Items (B, M) and scores (B, M) by transformers; each query has its own set of allowed items. -1: padding."""
        tokens, behaviour = self.vocabulary.view_tokens[view], self.vocabulary.behaviour_of(view)
        follow: list[dict[tuple, set]] = [{} for _ in range(B)]
        for b, items in enumerate(allowed):
            for row in tokens[items].tolist():
                path = [behaviour, *row, self.vocabulary.eos]
                for i, token in enumerate(path):
                    follow[b].setdefault((0, *path[:i]), set()).add(token)
        out = as_transformers(self.model).generate(
            input_ids=self.ids, attention_mask=self.mask.long(), num_beams=num_beams, num_return_sequences=num_beams,
            max_new_tokens=self.vocabulary.num_levels + 2, do_sample=False, return_dict_in_generate=True, output_scores=True,
            prefix_allowed_tokens_fn=lambda b, s: sorted(follow[b].get(tuple(s.tolist()), {self.vocabulary.eos})),
        )  # fmt: skip
        number = {tuple(row): item for item, row in enumerate(tokens.tolist())}
        levels = self.vocabulary.num_levels
        items = [number.get(tuple(row[2 : 2 + levels].tolist()), -1) for row in out.sequences]
        scores = out.sequences_scores.view(B, num_beams).numpy() * (levels + 2)  # its scores are divided by the length
        items = np.array(items).reshape(B, num_beams)
        return np.where(scores > -1e6, items, -1), scores


def assert_same(beams, items: np.ndarray, scores: np.ndarray) -> None:
    there = items >= 0
    assert ((beams.items >= 0) == there).all()
    np.testing.assert_allclose(beams.scores[there], scores[there], rtol=1e-5, atol=1e-4)
    differ = there & (beams.items != items)
    for b, m in zip(*np.nonzero(differ), strict=True):  # two items may change places where their scores are equal
        assert items[b, m] in beams.items[b]
        assert abs(scores[b, m] - beams.scores[b, list(beams.items[b]).index(items[b, m])]) < 1e-4
    assert differ.mean() < 0.02


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("sharpness", [1.0, 4.0])
@pytest.mark.parametrize("num_beams", [2, 10])
def test_equals_generate(seed: int, sharpness: float, num_beams: int) -> None:
    world = World(120, seed=seed, sharpness=sharpness)
    for view in ("semantic", "collaborative"):
        assert_same(world.search(num_beams, view=view), *world.generate(num_beams, [world.every] * B, view))


def test_equals_generate_with_fewer_items_than_beams() -> None:
    world = World(7, seed=3)
    beams = world.search(12)
    items, scores = world.generate(12, [world.every] * B)
    assert ((items >= 0).sum(1) == 7).all(), "generate fills up with rows scored about -1e8"
    assert_same(beams, items, scores)
    assert (np.sort(beams.items, axis=1)[:, -7:] == np.arange(7)).all()
    assert np.isneginf(beams.scores[beams.items < 0]).all()


def test_equals_generate_with_excluded_items() -> None:
    world = World(60, seed=4)
    rng = np.random.default_rng(0)
    exclude = [rng.choice(60, size, replace=False) for size in (0, 1, 20, 55, 59)]
    allowed = [np.setdiff1d(world.every, gone) for gone in exclude]
    assert_same(world.search(8, exclude=exclude), *world.generate(8, allowed))


def test_equals_generate_on_a_restricted_trie() -> None:
    world = World(60, seed=5)
    chosen = np.arange(0, 60, 4)
    assert_same(world.search(6, trie=world.trie.restrict(chosen)), *world.generate(6, [chosen] * B))


@pytest.mark.parametrize("softmax", ["full", "trie"])
@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_with_a_beam_for_every_item_it_is_exact(softmax: str, sharpness: float) -> None:
    world = World(90, sizes=(3, 70, 2, 5), seed=6, sharpness=sharpness)
    beams, exact = world.search(90, softmax), world.score(softmax)
    assert (np.sort(beams.items, axis=1) == world.every).all(), "every item once, none twice"
    np.testing.assert_allclose(beams.scores, np.take_along_axis(exact, beams.items, 1), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(beams.scores, -np.sort(-exact, axis=1), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("softmax", ["full", "trie"])
@pytest.mark.parametrize("num_beams", [1, 4, 15, 200])
def test_no_item_comes_twice_and_scores_fall(softmax: str, num_beams: int) -> None:
    world = World(50, seed=7)
    beams, exact = world.search(num_beams, softmax), world.score(softmax)
    assert beams.items.shape == beams.scores.shape
    for items, scores, expected in zip(beams.items, beams.scores, exact, strict=True):
        found = items[items >= 0]
        assert len(found) == len(set(found.tolist())) == min(num_beams, 50)
        assert (np.diff(scores[: len(found)]) <= 0).all()
        np.testing.assert_allclose(scores[: len(found)], expected[found], rtol=1e-5, atol=1e-4)


def test_excluding_leaves_the_rest_in_its_order() -> None:
    world = World(80, seed=8)
    whole = world.search(80, "trie")
    exclude = [row[: 10 * (b + 1)] for b, row in enumerate(whole.items)]
    rest = world.search(80, "trie", exclude=exclude)
    for b in range(B):
        left = rest.items[b][rest.items[b] >= 0]
        assert left.tolist() == whole.items[b, 10 * (b + 1) :].tolist()


def test_excluding_unknown_items_or_every_item() -> None:
    world = World(20, seed=9)
    same = world.search(5, exclude=[np.array([-1, 20, 999])] * B)
    assert (same.items == world.search(5).items).all()
    none = world.search(5, exclude=[world.every, *[np.zeros(0, int)] * (B - 1)])
    assert (none.items[0] == -1).all()
    assert (none.items[1:] == world.search(5).items[1:]).all()


def test_a_query_does_not_depend_on_its_neighbours() -> None:
    world = World(60, seed=10)
    together = world.search(10)
    for b in range(B):
        own = world.ids[b][world.mask[b]]
        alone = Inputs(own, torch.arange(len(own)), torch.ones(len(own)), torch.ones(1, len(own), dtype=torch.bool))
        beams = beam_search(Scorer(world.model, world.vocabulary, "semantic", alone, "full"), 10)
        np.testing.assert_allclose(beams.scores[0], together.scores[b], rtol=1e-5, atol=1e-4)


def test_large_vocabularies_are_normalised_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(60, seed=11)
    whole = world.search(10)
    monkeypatch.setattr("gensar_lite.network.scorer.ROWS_AT_ONCE", 3)
    monkeypatch.setattr("gensar_lite.network.scorer.LOGITS_AT_ONCE", {"cpu": 60})
    parts = world.search(10)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-5, atol=1e-5)


def test_one_level_and_one_item() -> None:
    world = World(1, sizes=(3,), seed=12)
    beams = world.search(4)
    assert [row[row >= 0].tolist() for row in beams.items] == [[0]] * B


def test_errors() -> None:
    world = World(20)
    with pytest.raises(ValueError, match="at least one beam"):
        world.search(0)
    shallow = IdentifierTrie.build(np.arange(6)[:, None])
    with pytest.raises(ValueError, match="the trie has 1 levels, the vocabulary 3"):
        world.search(3, trie=shallow)
    others = World(20, seed=1)
    for trie in (others.trie, others.trie.restrict(np.arange(5)), World(30).trie):
        with pytest.raises(ValueError, match="other identifiers than the vocabulary's semantic ones"):
            world.search(3, trie=trie)
    for token in (-1, world.vocabulary.size):
        world.inputs.token[3] = token
        for ask in (lambda: world.search(3), world.score):
            with pytest.raises(ValueError, match="they come from another vocabulary"):
                ask()


def test_a_copy_of_the_trie_serves_as_well() -> None:
    world = World(30)
    whole = world.vocabulary.tries["semantic"]
    assert world.trie is not whole
    assert world.trie.is_part_of(whole)
    assert whole.restrict(np.arange(9)).restrict(np.arange(4)).is_part_of(whole)


@pytest.mark.parametrize("chosen", [np.arange(80), np.arange(0, 80, 7)])
def test_softmax_trie_gives_the_probabilities_of_the_whole_trie_also_when_items_are_restricted(chosen) -> None:
    world = World(80, sharpness=2.0)
    beams = world.search(len(chosen), "trie", trie=world.trie.restrict(chosen))
    scores = world.score("trie")[:, chosen]
    order = np.argsort(-scores, axis=1)
    np.testing.assert_array_equal(beams.items, chosen[order])
    np.testing.assert_allclose(beams.scores, np.take_along_axis(scores, order, 1), atol=1e-5)


@pytest.mark.parametrize("num_items", [5, 40])
def test_equals_generate_where_long_chains_are_certain(num_items: int) -> None:
    world = World(num_items, sizes=(40, 40, 40, 40), seed=13, sharpness=3.0)  # few items share a prefix
    assert not world.trie.has_choice[3].any()
    assert_same(world.search(6), *world.generate(6, [world.every] * B))


def test_a_part_of_a_part_of_the_trie_has_the_same_probabilities() -> None:
    world = World(80, sharpness=2.0)
    chosen = np.arange(0, 80, 9)
    once, twice = world.trie.restrict(chosen), world.trie.restrict(np.arange(0, 80, 3)).restrict(chosen)
    for softmax in ("trie", "full"):
        one, other = world.search(4, softmax, trie=once), world.search(4, softmax, trie=twice.restrict(chosen))
        np.testing.assert_array_equal(one.items[:, :3], other.items[:, :3])
        np.testing.assert_allclose(one.scores[:, :3], other.scores[:, :3], atol=1e-5)
