"""Unique identifiers, guaranteed: capacity repair from the top, the last code by Hungarian assignment.

Greedy residual quantisation gives like items the same codes. A prefix of depth d can hold K^(L-d)
items and no more; where more want in, the ones that lose least by it move to the next best code that
has room. With room for everybody under each prefix, the last code is an optimal one-to-one
assignment inside each prefix. Items in groups without overflow or collision keep their nearest codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gensar_lite.data.storage import DataError


@dataclass(frozen=True)
class Layout:
    """Which codebooks name an item in each view.

    P codebooks: `names`, `sizes` (P,), `spans` (P,) of the latent vector, in the order in which they
    quantise. `views` maps "semantic" and "collaborative" to L codebook numbers each. The views share
    their first codebooks (none, some or all) and no others.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    views: dict[str, tuple[int, ...]]

    def paths(self) -> list[tuple[int, ...]]:
        """The distinct identifiers of an item: one if both views use the same codebooks, else two."""
        return list(dict.fromkeys(self.views.values()))

    def capacity(self) -> int:
        """How many items can have an identifier of their own in every view."""
        return min(math.prod(self.sizes[p] for p in path) for path in self.paths())

    def check(self, num_items: int) -> None:
        """Raises DataError where there are more items than identifiers."""
        if num_items > self.capacity():
            path = min(self.paths(), key=lambda path: math.prod(self.sizes[p] for p in path))
            sizes = " x ".join(str(self.sizes[p]) for p in path)
            raise DataError(
                f"{num_items} items cannot all have identifiers of their own with {sizes} = {self.capacity()} codes; raise num_codes or the number of levels"
            )


def group_rows(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct rows of `keys` (N, d) in lexicographic order.

    Returns: group of each row (N,) and group sizes (G,). With d = 0 everything is one group.
    """
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if not keys.shape[1]:
        return np.zeros(len(keys), np.int64), np.array([len(keys)])
    order = np.lexsort(keys.T[::-1])
    ordered = keys[order]
    new = np.ones(len(keys), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(1)
    group = np.empty(len(keys), np.int64)
    group[order] = np.cumsum(new) - 1
    return group, np.bincount(group)


def _place_within(keys: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Position of each entry among the entries with the same key, counted in the given order. (n,) -> (n,)."""
    ordered = order[np.argsort(keys[order], kind="stable")]
    sorted_keys = keys[ordered]
    first = np.ones(len(keys), bool)
    first[1:] = sorted_keys[1:] != sorted_keys[:-1]
    place = np.empty(len(keys), np.int64)
    place[ordered] = np.arange(len(keys)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    return place


def _distances(vectors: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Squared distances (n, K) by matrix product."""
    return np.maximum(np.square(vectors).sum(1)[:, None] - 2 * (vectors @ codebook.T) + np.square(codebook).sum(1), 0)


def _make_room(
    residual: np.ndarray, codebook: np.ndarray, codes: np.ndarray, group: np.ndarray, taken: np.ndarray, capacity: int
) -> np.ndarray:
    """Move as few items as possible so that no (group, code) cell holds more than `capacity` items.

    Args: residual (N, D), codebook (K, D), codes (N,), group (N,) of the prefix above, `taken` (G, K)
    places that are not to be had. Each overflowing cell gives up its surplus, cheapest moves first.
    """
    num_codes = len(codebook)
    codes = codes.copy()
    cell = group * num_codes + codes
    room = capacity - (np.bincount(cell, minlength=taken.size).reshape(taken.shape) + taken)
    surplus = np.maximum(-room, 0).ravel()
    room = np.maximum(room, 0)
    movable = np.flatnonzero(surplus[cell])
    if not len(movable):
        return codes
    cost = _distances(residual[movable], codebook)
    cost -= cost[np.arange(len(movable)), codes[movable]][:, None]
    while len(movable):
        open_cost = np.where(room[group[movable]] > 0, cost, np.inf)
        target = open_cost.argmin(1)
        order = np.argsort(open_cost[np.arange(len(movable)), target], kind="stable")
        leaves = _place_within(cell[movable], order) < surplus[cell[movable]]
        asked = np.where(leaves, group[movable] * num_codes + target, -1)
        moves = leaves & (_place_within(asked, order) < room.ravel()[asked])
        np.subtract.at(surplus, cell[movable[moves]], 1)
        np.subtract.at(room.ravel(), asked[moves], 1)
        codes[movable[moves]] = target[moves]
        stay = ~moves & (surplus[cell[movable]] > 0)
        movable, cost = movable[stay], cost[stay]
    return codes


def _match(
    residual: np.ndarray, codebook: np.ndarray, codes: np.ndarray, group: np.ndarray, taken: np.ndarray, keep: bool
) -> np.ndarray:
    """One item per (group, code): a least-distance matching inside each group that has a collision.

    Args as in `_make_room`; `taken` (G, K) is 1 where an identifier is given away already; `keep`: as many items as
    possible keep their codes, however far.
    """
    from scipy.optimize import linear_sum_assignment

    num_codes = len(codebook)
    codes = codes.copy()
    held = np.bincount(group * num_codes + codes, minlength=taken.size).reshape(taken.shape) + taken
    rows = np.flatnonzero((held > 1).any(1)[group])
    rows = rows[np.argsort(group[rows], kind="stable")]
    bounds = np.flatnonzero(np.diff(group[rows], prepend=-1, append=-1))
    for start, stop in pairwise(bounds.tolist()):
        members = rows[start:stop]
        cost = _distances(residual[members], codebook).astype(np.float64)
        if keep:
            cost[np.arange(len(members)), codes[members]] -= cost.max() * len(members)
        cost[:, taken[group[members[0]]] > 0] = np.inf
        codes[members] = linear_sum_assignment(cost)[1]
    return codes


def _nearest(vectors: np.ndarray, codebook: np.ndarray, chunk: int = 1 << 14) -> np.ndarray:
    half_norms = np.square(codebook).sum(1) / 2
    blocks = [(half_norms - vectors[i : i + chunk] @ codebook.T).argmin(1) for i in range(0, len(vectors), chunk)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int64)


def assign_unique(
    latents: np.ndarray,
    layout: Layout,
    codebooks: Sequence[np.ndarray],
    existing: np.ndarray | None = None,
    wanted: np.ndarray | None = None,
) -> np.ndarray:
    """Codes of N items, no two of them (nor of the M existing ones) alike in any view.

    Args: latents (N, D) float32; codebooks as in `fit_codebooks`; `existing` (M, P) codes that are
    given away already and never change; `wanted` (N, P) codes that items keep where they can, instead of the nearest.
    Returns: codes (N, P) int64.
    Raises: DataError if there are more items than identifiers.
    """
    existing = np.zeros((0, len(layout.names)), np.int64) if existing is None else existing
    layout.check(len(latents) + len(existing))
    residual = np.array(latents, np.float32)
    codes = np.zeros((len(latents), len(layout.names)), np.int64)
    done: set[int] = set()
    for path in layout.paths():
        for depth, p in enumerate(path):
            if p in done:
                continue
            # a shared prefix needs room below it in every view
            capacity = min(_room_below(layout, view, depth) for view in layout.paths() if p in view)
            a, b = layout.spans[p]
            part, codebook = residual[:, a:b], np.asarray(codebooks[p], np.float32)
            above = list(path[:depth])
            group, _ = group_rows(np.concatenate([existing[:, above], codes[:, above]]))
            group_old, group = group[: len(existing)], group[len(existing) :]
            chosen = _nearest(part, codebook) if wanted is None else wanted[:, p]
            chosen = _settle(part, codebook, chosen, group, group_old, existing[:, p], capacity, wanted is not None)
            part -= codebook[chosen]
            codes[:, p] = chosen
            done.add(p)
    return codes


def _room_below(layout: Layout, path: tuple[int, ...], depth: int) -> int:
    # no catalogue comes near 2^62, and numpy counts in 64 bits
    return min(math.prod(layout.sizes[p] for p in path[depth + 1 :]), 1 << 62)


def _settle(
    part: np.ndarray,
    codebook: np.ndarray,
    codes: np.ndarray,
    group: np.ndarray,
    group_old: np.ndarray,
    codes_old: np.ndarray,
    capacity: int,
    keep: bool,
) -> np.ndarray:
    """Repair one level, looking only at groups with a cell above its capacity."""
    num_codes = len(codebook)
    cell = np.concatenate([group_old * num_codes + codes_old, group * num_codes + codes])
    cells, held = np.unique(cell, return_counts=True)
    crowded = np.unique(cells[held > capacity] // num_codes)
    rows = np.flatnonzero(np.isin(group, crowded))
    if not len(rows):
        return codes
    local = np.searchsorted(crowded, group[rows])
    taken = np.zeros((len(crowded), num_codes), np.int64)
    old = np.flatnonzero(np.isin(group_old, crowded))
    np.add.at(taken, (np.searchsorted(crowded, group_old[old]), codes_old[old]), 1)
    codes = codes.copy()
    if capacity == 1:
        codes[rows] = _match(part[rows], codebook, codes[rows], local, taken, keep)
    else:
        codes[rows] = _make_room(part[rows], codebook, codes[rows], local, taken, capacity)
    return codes
