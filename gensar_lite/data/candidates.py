"""Candidate lists: which 99 items stand beside the true one.

Explained in notebook 07. The lists belong to the data set: drawn once with `data_seed`, every model
meets the same ones. All lists of a protocol have the same length n = min(99, N − 1), and never hold
the true item.

- `uniform99`, `popular99` (recommendation): drawn without replacement among the items that the user
  never touched anywhere in the log, each with the same chance or in proportion to its clicks in
  training. Items without a click come after all others in `popular99`. Where the user left fewer than
  n items untouched (tiny catalogues), all of those are in the list and touched ones fill it up.
- `bm25_99` (search): the best BM25 hits for the query; where fewer than n items share a term with it,
  the rest is drawn uniformly among the other items.
"""

from __future__ import annotations

import numpy as np

from gensar_lite.data.events import EventLog
from gensar_lite.data.lexical import LexicalIndex

NUM_CANDIDATES = 99
_CELLS = 4_000_000  # entries of one (rows, N) block: bounds the memory to about 100 MB
LAST = 1e-30  # weight of an item that is drawn only when nothing else is left


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
    replacement; what is missing after that is drawn exactly, by the n largest of log weight + Gumbel
    noise (Efraimidis & Spirakis 2006, in the logarithm).
    """
    num_items = len(weights)
    chosen = np.full((num_rows, n), -1, np.int64)
    if not n or not num_rows:
        return np.zeros((num_rows, n), np.int64)
    weights = np.asarray(weights, np.float64)
    positive = weights > 0
    weights = np.where(positive, weights, LAST * 1e10 * max(weights.max(initial=0.0), 1.0))
    cumulative = np.cumsum(weights)
    by_row = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[by_row], np.arange(num_rows + 1))
    draws = 2 * n + 50
    chunk = max(1, _CELLS // max(draws, num_items))
    for begin in range(0, num_rows, chunk):
        size = min(chunk, num_rows - begin)
        picks = np.searchsorted(cumulative, rng.random((size, draws)) * cumulative[-1], side="right").clip(
            max=num_items - 1
        )
        by_item = np.argsort(picks, axis=1, kind="stable")  # stable: the first of equal draws stays the first
        in_order = np.take_along_axis(picks, by_item, 1)
        fresh = np.ones_like(picks, dtype=bool)
        fresh[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
        first = np.empty_like(fresh)
        np.put_along_axis(first, by_item, fresh, 1)
        forbidden = np.zeros((size, num_items), dtype=bool)
        pairs = by_row[starts[begin] : starts[begin + size]]
        forbidden[rows[pairs] - begin, columns[pairs]] = True
        first &= ~np.take_along_axis(forbidden, picks, 1)
        rank = np.cumsum(first, axis=1) - 1
        first &= rank < n
        r, d = np.nonzero(first)
        chosen[begin + r, rank[r, d]] = picks[r, d]

    left = np.flatnonzero(chosen[:, -1] < 0)
    chunk = max(1, _CELLS // num_items)
    log_weight = np.log(weights)
    for begin in range(0, len(left), chunk):
        row = left[begin : begin + chunk]
        score = log_weight - np.log(-np.log1p(-rng.random((len(row), num_items))) + 1e-300)
        place = np.full(num_rows, -1)
        place[row] = np.arange(len(row))
        mine = by_row[place[rows[by_row]] >= 0]
        late = last[mine]
        score[place[rows[mine[late]]], columns[mine[late]]] += np.log(LAST)
        score[place[rows[mine[~late]]], columns[mine[~late]]] = -np.inf
        r, c = np.nonzero(chosen[row] >= 0)
        score[r, chosen[row[r], c]] = -np.inf
        best = np.argsort(-score, axis=1, kind="stable")[:, :n]
        have = (chosen[row] >= 0).sum(axis=1)
        r, c = np.nonzero(np.arange(n)[None, :] < (n - have)[:, None])
        chosen[row[r], have[r] + c] = best[r, c]
    return chosen


def draw_untouched(
    log: EventLog, users: np.ndarray, targets: np.ndarray, weights: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(C, n) items for cases of `users` (C,) with true items `targets` (C,), among what each user never touched.

    `weights` (N,): ones for `uniform99`, training popularity for `popular99`.
    """
    num_items = len(weights)
    n = min(NUM_CANDIDATES, num_items - 1)
    count = np.diff(log.user_ptr)[users]
    rows = np.repeat(np.arange(len(users)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    columns = log.item[np.repeat(log.user_ptr[users], count) + offset].astype(np.int64)
    rows, columns = rows[columns >= 0], columns[columns >= 0]
    is_target = columns == targets[rows]
    rows = np.concatenate([rows[~is_target], np.arange(len(users))])
    columns = np.concatenate([columns[~is_target], targets])
    last = np.arange(len(rows)) < len(rows) - len(users)
    return sample_without(weights, rows, columns, last, len(users), n, rng)


def draw_bm25(index: LexicalIndex, queries: list[str], targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(C, n) best BM25 hits for `queries` without `targets` (C,), best first, then random items where BM25 scores zero."""
    num_items = index.num_items
    n = min(NUM_CANDIDATES, num_items - 1)
    chosen = np.full((len(queries), n), -1, np.int64)
    for begin in range(0, len(queries), 256):
        part = slice(begin, begin + 256)
        hits, _ = index.top(queries[part], n + 1, seed=int(rng.integers(2**32)))
        keep = (hits >= 0) & (hits != targets[part, None])
        rank = np.cumsum(keep, axis=1) - 1
        r, c = np.nonzero(keep & (rank < n))
        chosen[begin + r, rank[r, c]] = hits[r, c]
    have = (chosen >= 0).sum(axis=1)
    short = np.flatnonzero(have < n)
    r, c = np.nonzero(chosen[short] >= 0)
    rows = np.concatenate([r, np.arange(len(short))])
    columns = np.concatenate([chosen[short[r], c], targets[short]])
    # a row may need fewer than n more: draw n among those allowed, touched ones last, and use the first
    random = sample_without(np.ones(num_items), rows, columns, np.arange(len(rows)) < len(r), len(short), n, rng)
    r, c = np.nonzero(np.arange(n)[None, :] < (n - have[short])[:, None])
    chosen[short[r], have[short[r]] + c] = random[r, c]
    return chosen
