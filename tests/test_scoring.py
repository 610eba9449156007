"""Exact scores against teacher forcing with transformers' own forward pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import bare_vocabulary, random_model, random_prompts, unique_codes

from gensar_lite.decoding.beam import beam_search
from gensar_lite.decoding.scoring import score_items
from gensar_lite.network import t5
from gensar_lite.network.scorer import Scorer
from gensar_lite.network.weights import as_transformers

B, N, SIZES = 4, 60, (4, 7, 5)


class World:
    """A random model, random identifiers and B random inputs."""

    def __init__(self, seed: int = 0, sharpness: float = 2.0) -> None:
        self.vocabulary = bare_vocabulary(unique_codes(N, SIZES, np.random.default_rng(seed)), SIZES)
        self.model = random_model(self.vocabulary.size, seed=seed, sharpness=sharpness)
        self.ids, self.mask, self.inputs = random_prompts(B, 8, 50, seed)

    def score(self, items: np.ndarray, softmax: str, view: str = "semantic") -> np.ndarray:
        return score_items(Scorer(self.model, self.vocabulary, view, self.inputs, softmax), items)

    @torch.no_grad()
    def teacher_forced(self, view: str, softmax: str) -> np.ndarray:
        """(B, N) by transformers: one full decoder input per item."""
        tokens = torch.from_numpy(self.vocabulary.view_tokens[view])
        behaviour = self.vocabulary.behaviour_of(view)
        path = torch.cat([torch.full((N, 1), behaviour), tokens, torch.full((N, 1), self.vocabulary.eos)], dim=1)
        decoder = torch.cat([torch.zeros(N, 1, dtype=torch.long), path[:, :-1]], dim=1)
        scores, peer = np.empty((B, N)), as_transformers(self.model)
        for b in range(B):
            inputs = {
                "input_ids": self.ids[b : b + 1].expand(N, -1),
                "attention_mask": self.mask[b : b + 1].expand(N, -1).long(),
            }
            logits = peer(**inputs, decoder_input_ids=decoder).logits.double()
            if softmax == "full":
                scores[b] = logits.log_softmax(-1).gather(2, path[..., None]).sum((1, 2)).numpy()
                continue
            scores[b] = 0  # each code among the codes that items with the same prefix have
            for level in range(self.vocabulary.num_levels):
                same = (tokens[:, None, :level] == tokens[None, :, :level]).all(2)  # (N, N)
                siblings = torch.zeros_like(logits[:, 1 + level], dtype=torch.bool)
                siblings[torch.nonzero(same)[:, 0], tokens[torch.nonzero(same)[:, 1], level]] = True
                chance = logits[:, 1 + level].masked_fill(~siblings, -torch.inf).log_softmax(-1)
                scores[b] += chance.gather(1, tokens[:, level, None])[:, 0].numpy()
        return scores


@pytest.mark.parametrize("softmax", ["full", "trie"])
@pytest.mark.parametrize("view", ["semantic", "collaborative"])
@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_equals_teacher_forcing(softmax: str, view: str, sharpness: float) -> None:
    world = World(seed=1, sharpness=sharpness)
    expected = world.teacher_forced(view, softmax)
    np.testing.assert_allclose(world.score(np.arange(N)[None], softmax, view), expected, rtol=1e-4, atol=1e-4)
    items = np.random.default_rng(0).integers(N, size=(B, 20))  # another list for each query, with repeats
    np.testing.assert_allclose(
        world.score(items, softmax, view), np.take_along_axis(expected, items, 1), rtol=1e-4, atol=1e-4
    )


def test_views_are_told_apart_by_their_behaviour_token() -> None:
    world = World()
    views = [world.score(np.arange(N)[None], "trie", view) for view in ("semantic", "collaborative")]
    assert np.abs(views[0] - views[1]).max() > 1e-3


@pytest.mark.parametrize("softmax", ["full", "trie"])
def test_one_list_for_all_queries_in_any_form(softmax: str) -> None:
    world = World()
    items = np.array([7, 3, 59, 0])
    flat, row, repeated = (world.score(form, softmax) for form in (items, items[None], np.tile(items, (B, 1))))
    assert flat.shape == (B, 4)
    np.testing.assert_array_equal(flat, row)
    np.testing.assert_allclose(flat, repeated, rtol=1e-5, atol=1e-5)


def test_order_and_company_change_nothing() -> None:
    world = World()
    whole = world.score(np.arange(N)[None], "trie")
    shuffled = np.random.default_rng(1).permutation(N)
    np.testing.assert_allclose(world.score(shuffled, "trie"), whole[:, shuffled], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(world.score(np.array([[42]]), "trie"), whole[:, [42]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("items", [[[0, N]], [[-1, 3]]])
def test_unknown_items_are_refused(items: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=f"between 0 and {N - 1}"):
        World().score(np.array(items), "trie")


def test_exact_scores_are_those_of_the_whole_trie() -> None:
    world = World()
    part = world.vocabulary.tries["semantic"].restrict(np.arange(5))
    with pytest.raises(ValueError, match="in the whole trie"):
        score_items(Scorer(world.model, world.vocabulary, "semantic", world.inputs, trie=part), np.arange(5))


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        World().score(np.zeros((B, 0), int), "trie")


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_with_softmax_trie_the_probabilities_of_all_items_sum_to_one(view: str) -> None:
    world = World(seed=3, sharpness=3.0)
    scores = world.score(np.arange(N)[None], "trie", view)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, rtol=1e-5)
    some = np.random.default_rng(0).integers(N, size=(B, 20))
    np.testing.assert_allclose(world.score(some, "trie", view), np.take_along_axis(scores, some, 1), atol=1e-5)


@pytest.mark.parametrize("softmax", ["full", "trie"])
def test_large_trees_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch, softmax: str) -> None:
    world = World(seed=4)
    own = np.random.default_rng(0).integers(N, size=(B, 25))
    whole = [world.score(items, softmax) for items in (np.arange(N)[None], own)]
    monkeypatch.setattr("gensar_lite.decoding.scoring.ITEMS_AT_ONCE", 7)
    monkeypatch.setattr("gensar_lite.decoding.scoring.ROWS_AT_ONCE", 30)
    parts = [world.score(items, softmax) for items in (np.arange(N)[None], own)]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_an_only_child_is_certain_and_not_asked_for() -> None:
    codes = np.array([[0, 1, 2], [1, 0, 0], [1, 0, 1], [2, 3, 3], [2, 4, 0]])
    vocabulary = bare_vocabulary(codes, (3, 5, 4))
    model = random_model(vocabulary.size, sharpness=3.0)
    _, _, inputs = random_prompts(B, 8, 50, 0)
    trie = vocabulary.tries["semantic"]
    assert [level.tolist() for level in trie.has_choice] == [
        [True],
        [False, True, True],
        [False, True, False, False],
        [False] * 5,
    ]
    scores = np.exp(score_items(Scorer(model, vocabulary, "semantic", inputs), np.arange(5)[None]))
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    beams = beam_search(Scorer(model, vocabulary, "semantic", inputs), 5)
    np.testing.assert_allclose(np.exp(beams.scores), np.take_along_axis(scores, beams.items, 1), rtol=1e-4)
    with torch.no_grad():  # the first level by hand: three codes compete, one of them alone leads to item 0
        first, last = vocabulary.level_slices["semantic"][0]
        decoder = torch.tensor([[0, vocabulary.behaviour_of("semantic")]]).expand(B, -1)
        encoded = t5.encode(model, inputs)
        states = t5.decode(model, model.shared(decoder), encoded, inputs.mask)[:, 1]
        chance = t5.logits(model, states, slice(first, last)).softmax(-1)
    np.testing.assert_allclose(scores[:, 0], chance[:, 0].numpy(), rtol=1e-4)
