"""A trace is the beam search itself, level by level; without the trie, decoding is brute force over all code tuples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from test_beam import World

from gensar_lite.decoding.beam import beam_search
from gensar_lite.decoding.trace import Recorder, search_without_trie
from gensar_lite.network.inputs import Inputs
from gensar_lite.network.scorer import Scorer


def one(world: World, row: int = 0) -> Inputs:
    """A single query of a world."""
    ids = world.ids[row][world.mask[row]]
    import torch

    num = len(ids)
    return Inputs(ids, torch.arange(num), torch.ones(num), torch.ones(1, num, dtype=torch.bool))


@pytest.mark.parametrize("num_beams", [1, 4, 200])
def test_the_trace_is_what_the_search_did(num_beams: int) -> None:
    world = World(50, seed=3, sharpness=2.0)
    recorder = Recorder(world.trie)
    beams = beam_search(Scorer(world.model, world.vocabulary, "semantic", one(world)), num_beams, watch=recorder)
    trace = recorder.trace()
    found = beams.items[0][beams.items[0] >= 0]
    assert trace.items.tolist() == found.tolist()
    np.testing.assert_allclose(trace.levels[-1].scores, beams.scores[0][: len(found)], rtol=1e-6)
    np.testing.assert_array_equal(trace.levels[-1].extended, world.codes[found])
    for level in trace.levels:
        # what is allowed, found again by hand; probabilities of codes; and the sums along the beams
        depth = level.prefixes.shape[1]
        for prefix, allowed in zip(level.prefixes, level.allowed, strict=True):
            below = world.codes[(world.codes[:, :depth] == prefix).all(axis=1), depth]
            assert np.flatnonzero(allowed).tolist() == sorted(set(below.tolist()))
        assert level.allowed[level.parent, level.code].all()
        expected = level.before[level.parent] + level.logprob[level.parent, level.code]
        np.testing.assert_allclose(level.scores, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(np.exp(level.logprob).sum(axis=1), 1, rtol=1e-5)
        assert np.isneginf(level.logprob[~level.allowed]).all()
        assert level.real.all()


def test_watching_changes_nothing_and_a_recorder_takes_one_query() -> None:
    world = World(40, seed=4)
    seen: list[int] = []
    scorer = Scorer(world.model, world.vocabulary, "semantic", world.inputs)
    watched = beam_search(scorer, 6, watch=lambda s: seen.append(s.level))
    plain = world.search(6, "trie")
    np.testing.assert_array_equal(watched.items, plain.items)
    np.testing.assert_array_equal(watched.scores, plain.scores)
    assert seen == [0, 1, 2]
    with pytest.raises(ValueError, match="one query, not of 5"):
        beam_search(scorer, 6, watch=Recorder(world.trie))


def test_without_the_trie_every_tuple_of_codes_competes() -> None:
    sizes = (4, 4, 4)
    world = World(20, sizes=sizes, seed=5, sharpness=2.0)
    trace = search_without_trie(Scorer(world.model, world.vocabulary, "semantic", one(world)), 64)
    every = World(64, sizes=sizes, seed=5, sharpness=2.0)  # a store in which every tuple is an item
    assert len({tuple(c) for c in every.codes.tolist()}) == 64
    scores = dict(zip(map(tuple, every.codes.tolist()), every.score("trie")[0].tolist(), strict=True))
    known = {tuple(codes): item for item, codes in enumerate(world.codes.tolist())}
    assert len(trace.items) == 64
    for codes, score, item, real in zip(
        trace.levels[-1].extended.tolist(), trace.levels[-1].scores, trace.items, trace.levels[-1].real, strict=True
    ):
        assert scores[tuple(codes)] == pytest.approx(float(score), abs=1e-4)
        assert known.get(tuple(codes), -1) == item
        assert real == (item >= 0)
    assert set(itertools.product(range(4), repeat=3)) == set(map(tuple, trace.levels[-1].extended.tolist()))
    assert (trace.items < 0).sum() == 44


def test_without_the_trie_errors() -> None:
    world = World(20)
    with pytest.raises(ValueError, match="one request and at least one beam, not 5 and 3"):
        search_without_trie(Scorer(world.model, world.vocabulary, "semantic", world.inputs), 3)
