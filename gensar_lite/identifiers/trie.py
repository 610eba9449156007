"""The identifier trie in flat arrays: which codes may follow a prefix, and which item a full identifier names.

Explained in notebook 06. Items are sorted by identifier once; a node is then a run of the sorted order, the nodes of
a level lie side by side, and the children of a node are a range. About 10 bytes an item for one view of
a million items with 256 codes a level. (STATIC, arXiv 2602.22647, stores the same tree as a sparse matrix.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from gensar_lite.data.storage import DataError


@dataclass(frozen=True)
class IdentifierTrie:
    """Level l = 1..L has n_l nodes, in the order of their prefixes; the root is level 0.

    `codes[l]` (n_{l+1},) is the last code of each node of level l + 1. `children[l]` (n_l + 1,): the children
    of node i of level l are nodes `children[l][i]:children[l][i + 1]` of level l + 1. `items` (n_L,)
    is the item number of each leaf. A trie cut down by `restrict` knows in `origin[l]` the number that each of its
    nodes of level l has in the whole one.
    """

    codes: list[np.ndarray]
    children: list[np.ndarray]
    items: np.ndarray
    origin: list[np.ndarray] | None = None

    @property
    def num_levels(self) -> int:
        return len(self.codes)

    @property
    def num_bytes(self) -> int:
        return sum(part.nbytes for part in (*self.codes, *self.children, self.items))

    @classmethod
    def build(cls, codes: np.ndarray) -> IdentifierTrie:
        """Build from unique identifiers (N, L); raises DataError if two items share one."""
        codes = np.asarray(codes)
        if codes.ndim != 2 or not len(codes):
            raise DataError(f"a trie needs identifiers of shape (items, levels), got {codes.shape}")
        size = int(codes.max()) + 1
        kind = np.uint8 if size <= 1 << 8 else np.uint16 if size <= 1 << 16 else np.uint32
        order = _sort_rows(codes, size)
        return cls._from_sorted(
            [codes[:, level].astype(kind)[order] for level in range(codes.shape[1])], order.astype(np.int32)
        )

    @classmethod
    def _from_sorted(cls, columns: list[np.ndarray], items: np.ndarray) -> IdentifierTrie:
        """`columns[l]` (N,) are the codes of level l + 1, rows in lexicographic order."""
        starts = [np.zeros(1, np.int64)]
        new = np.zeros(len(items), bool)
        new[0] = True
        for column in columns:
            new[1:] |= column[1:] != column[:-1]
            starts.append(np.flatnonzero(new))
        if len(starts[-1]) != len(items):
            twins = items[np.flatnonzero(~new)[0] - 1 :][:2]
            raise DataError(
                f"items number {twins[0]} and {twins[1]} share one identifier; make identifiers unique first"
            )
        codes = [column[start] for column, start in zip(columns, starts[1:], strict=True)]
        children = [
            np.append(np.searchsorted(below, above), len(below)).astype(np.int32)
            for above, below in pairwise(starts[:-1])
        ]
        children.append(np.append(starts[-2], len(items)).astype(np.int32))
        return cls(codes, children, items)

    def restrict(self, items: np.ndarray) -> IdentifierTrie:
        """The trie of a set of item numbers alone."""
        allowed = np.zeros(int(self.items.max()) + 1, bool)
        items = np.asarray(items, np.int64)
        allowed[items[(items >= 0) & (items < len(allowed))]] = True
        keep = np.flatnonzero(allowed[self.items])
        if not len(keep):
            raise DataError(
                "none of the items to choose from has an identifier; give at least one item of the catalogue"
            )
        leaf_of = [keep]
        for children in reversed(self.children[1:]):
            leaf_of.append(np.searchsorted(children, leaf_of[-1], side="right") - 1)
        leaf_of.reverse()
        columns = [codes[node] for codes, node in zip(self.codes, leaf_of, strict=True)]
        small = self._from_sorted(columns, self.items[keep])
        origin = [np.zeros(1, np.int64), *(np.unique(node) for node in leaf_of)]
        if self.origin is not None:
            origin = [whole[part] for whole, part in zip(self.origin, origin, strict=True)]
        return replace(small, origin=origin)

    @cached_property
    def has_choice(self) -> list[np.ndarray]:
        """Per level 0..L, whether at a node or anywhere below it there is more than one way to go on."""
        found = [np.zeros(len(self.items), bool)]
        for children in reversed(self.children):
            below = np.logical_or.reduceat(found[-1], children[:-1])
            found.append(below | (np.diff(children) > 1))
        return found[::-1]

    def is_part_of(self, whole: IdentifierTrie) -> bool:
        """Whether this is a trie itself, a copy of it, or what `restrict` made of it."""
        if self is whole:
            return True
        origin = self.origin or [np.arange(len(codes)) for codes in (np.zeros(1), *self.codes)]
        pairs = [*zip(whole.codes, self.codes, origin[1:], strict=False), (whole.items, self.items, origin[-1])]
        return whole.num_levels == self.num_levels and all(
            node.max() < len(theirs) and np.array_equal(theirs[node], own) for theirs, own, node in pairs
        )

    def children_of(self, level: int, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (row, child) (P,) of nodes (n,) of a level (0: the root) and their children in the level below, in order."""
        first = self.children[level][nodes].astype(np.int64)
        count = self.children[level][nodes + 1] - first
        row = np.repeat(np.arange(len(nodes)), count)
        return row, np.arange(len(row)) + np.repeat(first - (np.cumsum(count) - count), count)

    def paths(self, leaves: np.ndarray) -> np.ndarray:
        """(n, L) the nodes, one a level, on the way to each leaf (n,)."""
        nodes = [np.asarray(leaves)]
        for children in reversed(self.children[1:]):
            nodes.append(np.searchsorted(children, nodes[-1], side="right") - 1)
        return np.stack(nodes[::-1], axis=-1)

    def leaf_counts(self) -> list[np.ndarray]:
        """Per level 1..L, how many items lie under each node."""
        first = np.arange(len(self.items) + 1)
        counts = [np.ones(len(self.items), np.int64)]
        for children in reversed(self.children[1:]):
            first = first[children]
            counts.append(np.diff(first))
        return counts[::-1]


def _sort_rows(codes: np.ndarray, size: int) -> np.ndarray:
    """The order (N,) that sorts rows lexicographically; one sort of packed numbers where they fit into 64 bits."""
    bits = max(int(size - 1).bit_length(), 1)
    levels = codes.shape[1]
    if bits * levels > 64:
        return np.lexsort(codes.T[::-1])
    kind = np.dtype(np.uint32 if bits * levels <= 32 else np.uint64)
    shifts = np.arange(levels - 1, -1, -1, dtype=kind) * kind.type(bits)
    return np.argsort(np.bitwise_or.reduce(codes.astype(kind) << shifts, axis=1))
