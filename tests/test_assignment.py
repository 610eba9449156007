"""Unique assignment: uniqueness for every table, optimality inside a prefix, untouched neighbours, new items."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.assignment import Layout, assign_unique, group_rows

VIEWS = {
    "gensar": {"semantic": ("m1", "m2", "s1", "s2"), "collaborative": ("m1", "m2", "c1", "c2")},
    "one": {"semantic": ("m1", "m2"), "collaborative": ("m1", "m2")},
    "unshared": {"semantic": ("s1", "s2"), "collaborative": ("c1", "c2")},
    "prefix": {"semantic": ("c1", "s1", "s2"), "collaborative": ("c1", "c2", "c3")},
}


def _layout(kind: str, size: int, half: int = 2) -> Layout:
    names = tuple(dict.fromkeys(VIEWS[kind]["semantic"] + VIEWS[kind]["collaborative"]))
    span = {"m": (0, 2 * half), "s": (0, half), "c": (half, 2 * half)}
    views = {view: tuple(names.index(n) for n in path) for view, path in VIEWS[kind].items()}
    return Layout(names, (size,) * len(names), tuple(span[n[0]] for n in names), views)


def _codebooks(layout: Layout, rng: np.random.Generator) -> list[np.ndarray]:
    return [
        rng.normal(size=(k, b - a)).astype(np.float32) for (a, b), k in zip(layout.spans, layout.sizes, strict=True)
    ]


def _greedy(latents: np.ndarray, layout: Layout, codebooks: list[np.ndarray]) -> np.ndarray:
    residual, codes = latents.copy(), np.zeros((len(latents), len(codebooks)), int)
    for p, (a, b) in enumerate(layout.spans):
        codes[:, p] = np.square(residual[:, None, a:b] - codebooks[p]).sum(2).argmin(1)
        residual[:, a:b] -= codebooks[p][codes[:, p]]
    return codes


def _assert_unique(codes: np.ndarray, layout: Layout) -> None:
    for path in layout.paths():
        assert len(np.unique(codes[:, list(path)], axis=0)) == len(codes)
    assert (codes >= 0).all()
    assert (codes < np.array(layout.sizes)).all()


@settings(max_examples=120)
@given(st.sampled_from(list(VIEWS)), st.integers(2, 4), st.floats(0, 1), st.integers(1, 5), st.integers(0, 10_000))
def test_unique_for_every_table_that_can_be(kind, size, fill, distinct, seed):
    rng = np.random.default_rng(seed)
    layout = _layout(kind, size)
    num_items = max(1, round(fill * layout.capacity()))
    latents = rng.normal(size=(distinct, 4)).astype(np.float32)[rng.integers(0, distinct, num_items)]
    _assert_unique(assign_unique(latents, layout, _codebooks(layout, rng)), layout)


@settings(max_examples=60)
@given(st.sampled_from(list(VIEWS)), st.integers(2, 3), st.floats(0, 1), st.integers(0, 10_000))
def test_new_items_fill_the_space_to_the_last_identifier(kind, size, share, seed):
    rng = np.random.default_rng(seed)
    layout = _layout(kind, size)
    num_items = layout.capacity()
    latents = np.repeat(rng.normal(size=(2, 4)), num_items, 0)[rng.permutation(2 * num_items)[:num_items]].astype(
        np.float32
    )
    codebooks = _codebooks(layout, rng)
    old = int(share * num_items)
    existing = assign_unique(latents[:old], layout, codebooks)
    new = assign_unique(latents[old:], layout, codebooks, existing)
    _assert_unique(np.concatenate([existing, new]), layout)


def test_more_items_than_identifiers_is_refused_with_the_numbers():
    layout = _layout("one", 3)
    codebooks = _codebooks(layout, np.random.default_rng(0))
    with pytest.raises(DataError, match=r"10 items .* 3 x 3 = 9"):
        assign_unique(np.zeros((10, 4), np.float32), layout, codebooks)
    with pytest.raises(DataError, match="10 items"):
        assign_unique(np.zeros((1, 4), np.float32), layout, codebooks, np.zeros((9, 2), np.int64))


@pytest.mark.parametrize("seed", range(8))
def test_last_code_is_the_cheapest_matching_inside_each_prefix(seed):
    rng = np.random.default_rng(seed)
    layout = _layout("one", 5)
    codebooks = _codebooks(layout, rng)
    codebooks[0][1:] += 100  # everybody under one prefix
    latents = rng.normal(size=(4, 4)).astype(np.float32) * 0.1
    codes = assign_unique(latents, layout, codebooks)
    cost = np.square(latents[:, None] - codebooks[0][0] - codebooks[1]).sum(2)
    best = min(cost[range(4), list(choice)].sum() for choice in permutations(range(5), 4))
    np.testing.assert_allclose(cost[range(4), codes[:, 1]].sum(), best, rtol=1e-5)


def test_items_without_collision_or_overflow_keep_their_nearest_codes():
    rng = np.random.default_rng(1)
    layout = _layout("gensar", 10)
    codebooks = _codebooks(layout, rng)
    latents = rng.normal(size=(300, 4)).astype(np.float32)
    greedy, codes = _greedy(latents, layout, codebooks), assign_unique(latents, layout, codebooks)
    assert (greedy[:, :2] == codes[:, :2]).all()
    for path in layout.paths():
        prefix, _ = group_rows(greedy[:, list(path[:-1])])
        whole, counts = group_rows(greedy[:, list(path)])
        collided = np.zeros(prefix.max() + 1, bool)
        collided[prefix[counts[whole] > 1]] = True
        calm = ~collided[prefix]
        assert 0 < calm.sum() < 300
        assert (greedy[calm][:, list(path)] == codes[calm][:, list(path)]).all()


def test_overflow_moves_only_the_surplus_and_the_cheapest():
    # two prefixes of two places each; three items want the first one, the middle one is nearest to the second
    layout = Layout(("m1", "m2"), (2, 2), ((0, 1), (0, 1)), {"semantic": (0, 1), "collaborative": (0, 1)})
    codebooks = [np.array([[0.0], [1.0]], np.float32), np.array([[-0.1], [0.1]], np.float32)]
    codes = assign_unique(np.array([[0.0], [0.4], [-0.2]], np.float32), layout, codebooks)
    assert codes[:, 0].tolist() == [0, 1, 0]


@pytest.mark.parametrize(("kind", "size"), [("gensar", 64), ("gensar", 16), ("prefix", 32)])
def test_five_thousand_items_with_one_vector(kind, size):
    rng = np.random.default_rng(0)
    layout = _layout(kind, size)
    latents = np.ones((5000, 4), np.float32)
    latents[:50] = rng.normal(size=(50, 4))
    _assert_unique(assign_unique(latents, layout, _codebooks(layout, rng)), layout)


def test_different_sizes_per_level():
    layout = Layout(
        ("m1", "s1", "c1"), (3, 4, 2), ((0, 4), (0, 2), (2, 4)), {"semantic": (0, 1), "collaborative": (0, 2)}
    )
    assert layout.capacity() == 6
    codes = assign_unique(np.zeros((6, 4), np.float32), layout, _codebooks(layout, np.random.default_rng(0)))
    _assert_unique(codes, layout)


def test_same_input_same_codes_and_no_items_no_codes():
    rng = np.random.default_rng(3)
    layout = _layout("gensar", 4)
    codebooks = _codebooks(layout, rng)
    latents = rng.normal(size=(200, 4)).astype(np.float32)
    assert (assign_unique(latents, layout, codebooks) == assign_unique(latents, layout, codebooks)).all()
    assert assign_unique(latents[:0], layout, codebooks).shape == (0, 6)


def test_group_rows_matches_numpy_unique():
    keys = np.random.default_rng(0).integers(0, 3, (50, 3))
    _, group, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    ours, sizes = group_rows(keys)
    assert (ours == group.ravel()).all()
    assert (sizes == counts).all()
