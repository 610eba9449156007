"""The flat trie against a trie of dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from builders import unique_codes
from hypothesis import given
from hypothesis import strategies as st

from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.trie import IdentifierTrie


@st.composite
def identifiers(draw: st.DrawFn) -> np.ndarray:
    """Unique identifiers (N, L): few codes or many (more than a byte, more than 64 bits a row)."""
    levels = draw(st.integers(1, 5))
    largest = draw(st.sampled_from([1, 3, 255, 256, 70_000, 2**31 - 1]))
    code = st.one_of(st.integers(0, min(largest, 3)), st.integers(0, largest))
    rows = draw(st.lists(st.tuples(*[code] * levels), min_size=1, max_size=40, unique=True))
    return np.array(rows, np.int64)


def children_of(codes: np.ndarray) -> dict[tuple, set]:
    """Prefix to the codes that may follow."""
    follow: dict[tuple, set] = {}
    for row in codes.tolist():
        for level, code in enumerate(row):
            follow.setdefault(tuple(row[:level]), set()).add(code)
    return follow


def walk(trie: IdentifierTrie) -> tuple[dict[tuple, set], dict[tuple, int], list[dict[int, tuple]]]:
    """Everything a trie says: prefix to next codes, identifier to item, and the prefix of each node per level."""
    follow: dict[tuple, set] = {}
    level_prefixes: list[dict[int, tuple]] = [{0: ()}]
    for level in range(trie.num_levels):
        below = {}
        for node, prefix in level_prefixes[-1].items():
            for child in range(trie.children[level][node], trie.children[level][node + 1]):
                code = int(trie.codes[level][child])
                follow.setdefault(prefix, set()).add(code)
                below[child] = (*prefix, code)
        level_prefixes.append(below)
    leaves = {prefix: int(trie.items[leaf]) for leaf, prefix in level_prefixes[-1].items()}
    return follow, leaves, level_prefixes[1:]


def assert_is_trie_of(trie: IdentifierTrie, codes: np.ndarray, items: np.ndarray) -> None:
    follow, leaves, prefixes = walk(trie)
    assert follow == children_of(codes[items])
    assert leaves == {tuple(codes[item].tolist()): int(item) for item in items}
    assert all(list(level.values()) == sorted(level.values()) for level in prefixes)


@given(identifiers())
def test_equals_dictionaries(codes: np.ndarray) -> None:
    assert_is_trie_of(IdentifierTrie.build(codes), codes, np.arange(len(codes)))


@given(identifiers(), st.data())
def test_restrict_equals_building_anew(codes: np.ndarray, data: st.DataObject) -> None:
    trie = IdentifierTrie.build(codes)
    items = data.draw(st.lists(st.integers(0, len(codes) - 1), min_size=1, unique=True))
    outside = [-1, len(codes), len(codes) + 7]
    small = trie.restrict(np.array(items + outside))
    assert_is_trie_of(small, codes, np.array(sorted(items)))
    again = small.restrict(np.array(items[:1]))
    assert_is_trie_of(again, codes, np.array(items[:1]))


@given(identifiers())
def test_paths_and_leaf_counts(codes: np.ndarray) -> None:
    trie = IdentifierTrie.build(codes)
    _, _, prefixes = walk(trie)
    paths = trie.paths(np.arange(len(codes)))
    assert paths.shape == codes.shape
    for leaf, item in enumerate(trie.items):
        named = [prefixes[level][int(paths[leaf, level])] for level in range(codes.shape[1])]
        assert named == [tuple(codes[item, : level + 1].tolist()) for level in range(codes.shape[1])]
    for level, counts in enumerate(trie.leaf_counts()):
        expected = [
            sum(tuple(row[: level + 1]) == prefix for row in codes.tolist()) for prefix in prefixes[level].values()
        ]
        assert counts.tolist() == expected


def test_two_items_with_one_identifier_are_refused_by_number() -> None:
    codes = np.array([[0, 1], [2, 2], [0, 2], [2, 2]])
    with pytest.raises(DataError, match="items number 1 and 3 share one identifier"):
        IdentifierTrie.build(codes)


@pytest.mark.parametrize("codes", [np.zeros((0, 4), int), np.zeros(3, int)])
def test_no_identifiers_are_refused(codes: np.ndarray) -> None:
    with pytest.raises(DataError, match="shape"):
        IdentifierTrie.build(codes)


@pytest.mark.parametrize("items", [[], [-1], [99]])
def test_restricting_to_nothing_is_refused(items: list[int]) -> None:
    trie = IdentifierTrie.build(np.array([[0], [1]]))
    with pytest.raises(DataError, match="none of the items"):
        trie.restrict(np.array(items))


@pytest.mark.parametrize(
    ("sizes", "kind"), [((256,) * 4, np.uint8), ((257,) * 3, np.uint16), ((70_000,) * 4, np.uint32)]
)
def test_codes_take_as_few_bytes_as_they_need(sizes: tuple[int, ...], kind: type) -> None:
    codes = np.random.default_rng(0).integers(sizes[0], size=(500, len(sizes)))
    codes[0] = sizes[0] - 1
    codes = np.unique(codes, axis=0)
    trie = IdentifierTrie.build(codes)
    assert trie.codes[0].dtype == kind
    assert_is_trie_of(trie, codes, np.arange(len(codes)))


def test_about_ten_bytes_an_item() -> None:
    codes = unique_codes(200_000, (64, 64, 64, 64), np.random.default_rng(0))
    assert IdentifierTrie.build(codes).num_bytes / len(codes) < 16
    packed = np.stack(np.unravel_index(np.arange(200_000), (8, 16, 64, 64)), axis=1)  # many items under each prefix
    assert IdentifierTrie.build(packed).num_bytes / len(packed) < 6
