"""Candidate lists: which 99 items stand beside the true ones.

Explained in notebook 07. The lists belong to the data set: drawn once with `data_seed`, every model
meets the same ones. All lists of a protocol have the same length n = min(99, N − R), R the most relevant
items of a case, and never hold an item that is relevant to their case.

- `uniform99`, `popular99` (recommendation): drawn without replacement among the items that the user
  never touched anywhere in the log, each with the same chance or in proportion to its clicks in
  training. Items without a click come after all others in `popular99`. Where the user left fewer than
  n items untouched (tiny catalogues), all of those are in the list and touched ones fill it up.
- `bm25_99` (search): the best BM25 hits for the query. Where fewer than n items share a term with it,
  `SEARCH_FILLS` says what fills the list up: "near", the default, takes the items nearest to these hits by text
  (BM25 with the 20 strongest terms of the ten best hits: pseudo-relevance feedback, Rocchio 1971), and
  items at random only where that ends, too; "random" is the paper's. Items near the *target* would be
  harder still, and dishonest: whoever looked at the list alone would find the target in its middle.
"""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from gensar_lite.data.events import EventLog
from gensar_lite.data.lexical import LexicalIndex

NUM_CANDIDATES = 99
SEARCH_FILLS = ("near", "random")
FEEDBACK_ITEMS, FEEDBACK_TERMS = 10, 20
_PAIRS = 2_000_000  # entries of one block of draws: bounds the memory to about 100 MB
_ROUNDS = 8  # of quick draws before what is missing is drawn exactly


def sample_without(
    weights: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    last: np.ndarray,
    num_rows: int,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw n different items for each of `num_rows` rows, one after the other, in proportion to `weights` (N,).

    Pairs (`rows`, `columns`) are not drawn (where `last` is False) or only when nothing else is left
    (where it is True). Zero weights likewise wait until the positive ones are used up. Returns
    (num_rows, n) item numbers in random order.

    Drawing with replacement and ignoring what was drawn before is the same as drawing without
    replacement. What is missing after some rounds of that is drawn exactly, by the n largest of log weight + Gumbel
    noise (Efraimidis & Spirakis 2006, in the logarithm): the items of positive weight first, then the others, then `last`.
    """
    weights = np.asarray(weights, np.float64)
    chosen = np.full((num_rows, n), -1, np.int64)
    if not n or not num_rows:
        return np.zeros((num_rows, n), np.int64)
    positive = np.flatnonzero(weights > 0)
    cumulative = np.cumsum(weights[positive])
    pairs = np.unique(rows * len(weights) + columns)
    left = np.arange(num_rows if len(positive) else 0)
    for _ in range(_ROUNDS):
        if not len(left):
            break
        step = max(1, _PAIRS // (3 * n + 50))
        for begin in range(0, len(left), step):
            part = left[begin : begin + step]
            draws = positive[
                np.searchsorted(cumulative, rng.random((len(part), 2 * n + 50)) * cumulative[-1], side="right").clip(
                    max=len(positive) - 1
                )
            ]
            chosen[part] = _first_different(np.hstack([chosen[part], draws]), part, pairs, len(weights), n)
        left = left[chosen[left, -1] < 0]
    rest = np.flatnonzero(weights <= 0)
    for row in np.flatnonzero(chosen[:, -1] < 0):
        mine, late = columns[rows == row], np.unique(columns[(rows == row) & last])
        taken = chosen[row][chosen[row] >= 0]
        for pool, closed in ((positive, mine), (rest, mine), (late, mine[~np.isin(mine, late)])):
            free = pool[~np.isin(pool, np.concatenate([taken, closed]))]
            score = np.log(np.maximum(weights[free], 1e-300)) + rng.gumbel(size=len(free))
            taken = np.concatenate([taken, free[np.argsort(-score, kind="stable")[: n - len(taken)]]])
            if len(taken) == n:
                break
        chosen[row, : len(taken)] = taken
    return chosen


def _first_different(items: np.ndarray, rows: np.ndarray, pairs: np.ndarray, num_items: int, n: int) -> np.ndarray:
    """(B, n) the first n different items of each row (B, M) in their order, without -1 and forbidden `pairs`; then -1."""
    by_item = np.argsort(items, axis=1, kind="stable")  # stable: the first of equal draws stays the first
    in_order = np.take_along_axis(items, by_item, 1)
    fresh = np.ones_like(items, dtype=bool)
    fresh[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    first = np.empty_like(fresh)
    np.put_along_axis(first, by_item, fresh, 1)
    key = rows[:, None] * num_items + items
    place = np.searchsorted(pairs, key).clip(max=max(len(pairs) - 1, 0))
    first &= (items >= 0) & ((pairs[place] != key) if len(pairs) else True)
    rank = np.cumsum(first, axis=1) - 1
    row, column = np.nonzero(first & (rank < n))
    found = np.full((len(items), n), -1, np.int64)
    found[row, rank[row, column]] = items[row, column]
    return found


def draw_untouched(
    log: EventLog,
    users: np.ndarray,
    ptr: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """(C, n) items for cases of `users` (C,), among what each user never touched.

    Case c's true items are `targets[ptr[c]:ptr[c + 1]]`. `weights` (N,): ones for `uniform99`, training
    popularity for `popular99`.
    """
    num_items = len(weights)
    n = _length(num_items, ptr)
    count = np.diff(log.user_ptr)[users]
    rows = np.repeat(np.arange(len(users)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    columns = log.item[np.repeat(log.user_ptr[users], count) + offset].astype(np.int64)
    rows, columns = rows[columns >= 0], columns[columns >= 0]
    own = np.repeat(np.arange(len(users)), np.diff(ptr))
    is_target = np.isin(rows * num_items + columns, own * num_items + targets)
    rows = np.concatenate([rows[~is_target], own])
    columns = np.concatenate([columns[~is_target], targets])
    last = np.arange(len(rows)) < len(rows) - len(own)
    return sample_without(weights, rows, columns, last, len(users), n, rng)


def _length(num_items: int, ptr: np.ndarray) -> int:
    return max(0, min(NUM_CANDIDATES, num_items - int(np.diff(ptr).max(initial=1))))


def draw_bm25(
    index: LexicalIndex,
    queries: list[str],
    ptr: np.ndarray,
    targets: np.ndarray,
    rng: np.random.Generator,
    fill: str = "near",
) -> tuple[np.ndarray, dict[str, float]]:
    """(C, n) best BM25 hits for `queries` without their true items, best first, then what `fill` says; best first, too.

    Case c's true items are `targets[ptr[c]:ptr[c + 1]]`. Also returns the shares of the lists that are "hits",
    "near" them and "random". Shows progress. Raises ValueError for another fill.
    """
    if fill not in SEARCH_FILLS:
        raise ValueError(f"the search fill must be one of {SEARCH_FILLS}, not {fill!r}")
    n, most = _length(index.num_items, ptr), int(np.diff(ptr).max(initial=0))
    chosen = np.full((len(queries), n), -1, np.int64)
    num_hits = np.zeros(len(queries), np.int64)
    own = np.repeat(np.arange(len(queries)), np.diff(ptr))
    pairs = np.unique(own * index.num_items + targets)
    starts = range(0, len(queries), 256)
    for begin in tqdm(starts, desc="search candidates", disable=None, leave=False, unit_scale=256, unit=" cases"):
        part = np.arange(begin, min(begin + 256, len(queries)))
        terms = index.terms(queries[begin : begin + 256])
        hits = index.top_of_terms(terms, n + most, rng)[0]
        chosen[part] = _first_different(hits, part, pairs, index.num_items, n)
        num_hits[part] = (chosen[part] >= 0).sum(axis=1)
        short = part[(num_hits[part] < n) & (num_hits[part] > 0)]
        if fill == "near" and len(short):
            wider = index.feedback(hits[short - begin, :FEEDBACK_ITEMS], terms[short - begin], FEEDBACK_TERMS)
            near = index.top_of_terms(wider, 2 * n + most, rng)[0]  # the hits are among them
            chosen[short] = _first_different(np.hstack([chosen[short], near]), short, pairs, index.num_items, n)
    have = (chosen >= 0).sum(axis=1)
    shares = _shares(num_hits, have, n)
    short = np.flatnonzero(have < n)
    row, column = np.nonzero(chosen[short] >= 0)
    inside = np.isin(own, short)
    rows = np.concatenate([row, np.searchsorted(short, own[inside])])
    columns = np.concatenate([chosen[short[row], column], targets[inside]])
    # a row may need fewer than n more: draw n among those allowed, those in the list last, and use the first
    random = sample_without(
        np.ones(index.num_items), rows, columns, np.arange(len(rows)) < len(row), len(short), n, rng
    )
    row, column = np.nonzero(np.arange(n)[None, :] < (n - have[short])[:, None])
    chosen[short[row], have[short[row]] + column] = random[row, column]
    return chosen, shares


def _shares(num_hits: np.ndarray, have: np.ndarray, n: int) -> dict[str, float]:
    total = max(n * len(have), 1)
    parts = {"hits": num_hits.sum(), "near": (have - num_hits).sum(), "random": (n - have).sum()}
    return {name: round(float(value) / total, 4) for name, value in parts.items()}
