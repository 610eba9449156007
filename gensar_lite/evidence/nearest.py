"""The nearest of many vectors: exact for small catalogues, by cells for large ones."""

from __future__ import annotations

import numpy as np

EXACT_UP_TO = 20_000  # rows; above, a row meets the members of the cells around its own
NUM_PROBES = 16  # cells that are looked into
VALUES_AT_ONCE = 1 << 24


def nearest(vectors: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """The `num` rows of largest inner product with each row of (N, D), itself included: numbers and products (N, num), unsorted.

    Above `EXACT_UP_TO` rows they are looked for in the `NUM_PROBES` nearest of about sqrt(N) cells of a k-means (an
    inverted file: Jégou et al., TPAMI 2011), which costs N^1.5 instead of N^2 and may miss some; a place that found nobody
    holds the row itself, with product 0.
    """
    size = len(vectors)
    num = min(num, size)
    index = np.repeat(np.arange(size, dtype=np.int32)[:, None], num, axis=1)
    product = np.zeros((size, num), np.float32)
    if size <= EXACT_UP_TO:
        every = np.arange(size)
        for start in range(0, size, max(VALUES_AT_ONCE // size, 1)):
            rows = every[start : start + max(VALUES_AT_ONCE // size, 1)]
            _fill(vectors, rows, every, index, product)
        return index, product
    from sklearn.cluster import MiniBatchKMeans

    kmeans = MiniBatchKMeans(round(size**0.5), random_state=0, batch_size=4096, n_init=1, max_iter=10).fit(vectors)
    members = np.split(np.argsort(kmeans.labels_, kind="stable"), np.cumsum(np.bincount(kmeans.labels_))[:-1])
    centres = kmeans.cluster_centers_
    around = np.argsort(-2 * centres @ centres.T + np.square(centres).sum(1), axis=1)[:, :NUM_PROBES]
    for rows, cells in zip(members, around, strict=False):
        candidates = np.concatenate([members[cell] for cell in cells if cell < len(members)])
        for start in range(0, len(rows), max(VALUES_AT_ONCE // len(candidates), 1)):
            part = rows[start : start + max(VALUES_AT_ONCE // len(candidates), 1)]
            _fill(vectors, part, candidates, index, product)
    return index, product


def nearest_others(vectors: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """As `nearest`, without the row itself and the nearest first: numbers and products (N, num), `num` < N."""
    index, product = nearest(vectors, num + 1)
    product = np.where(index == np.arange(len(vectors))[:, None], -np.inf, product)
    order = np.argsort(-product, axis=1, kind="stable")[:, :num]
    return np.take_along_axis(index, order, 1), np.take_along_axis(product, order, 1)


def _fill(
    vectors: np.ndarray, rows: np.ndarray, candidates: np.ndarray, index: np.ndarray, product: np.ndarray
) -> None:
    """Put the best candidates of some rows into their places."""
    found = vectors[rows] @ vectors[candidates].T
    num = min(index.shape[1], len(candidates))
    best = np.argpartition(found, len(candidates) - num, axis=1)[:, len(candidates) - num :]
    index[rows, :num] = candidates[best]
    product[rows, :num] = np.take_along_axis(found, best, 1)
