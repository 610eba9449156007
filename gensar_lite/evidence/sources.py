"""What the store says about an input before any training: words that match, items clicked together, items alike.

Explained in notebook 05. A small model cannot learn by heart which rare word belongs to which item, nor every pair of items
that the same people clicked; the store can be asked. Each source of evidence is a distribution over the N items:

- "words": the softmax of the query's BM25 scores;
- "neighbours": the sum of similarities to the clicked items, as in item-kNN (Sarwar et al., WWW 2001). A user's own
  clicks are taken out of the similarities, or training would find every answer in them;
- "likeness": the same sum of the squared cosines of what the items' texts say.

The mass of a trie node is the sum over its items. At each level the model adds `gate * log(mass)` to the logits of a node's
children, a product of experts (Hinton 2002) with a gate that its state opens and closes. The probabilities of
all items still sum to one, and a beam still sees nothing but codes. (kNN-LM, Khandelwal et al., ICLR 2020, and pointer
networks copy from a memory in a like manner.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from implicit.nearest_neighbours import all_pairs_knn, normalize, tfidf_weight
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.lexical import LexicalIndex
from gensar_lite.evidence import SOURCES
from gensar_lite.signals.collaborative import click_matrix
from gensar_lite.signals.text import normalise

SPREAD = 0.1  # share of the mass that lies on all items alike, for what a source misses
DECAY = 0.9  # weight of a click per later click
NUM_NEIGHBOURS = 500


class Masses(NamedTuple):
    """What one source says of B inputs: item `item[i]` has mass `mass[i]` (nnz,) for input `row[i]`, ascending. `known` (B,)
    says of which inputs it says anything."""

    row: np.ndarray
    item: np.ndarray
    mass: np.ndarray
    known: np.ndarray


class Evidence:
    """The sources of a store; `sources` names those that are asked, in this order. `semantic` (N, D_s) are vectors of the texts."""

    def __init__(self, data: Dataset, semantic: np.ndarray, sources: tuple[str, ...] = SOURCES) -> None:
        self.sources = sources
        self.num_items = data.num_items
        if "words" in sources:
            self.index = LexicalIndex(data.item_texts, data.language)
        if "neighbours" in sources:
            clicks = sparse.coo_matrix(normalize(tfidf_weight(click_matrix(data).T)).T)
            self.clicks = sparse.csr_matrix(clicks)  # (U, N), columns of length 1
            near = all_pairs_knn(self.clicks, min(NUM_NEIGHBOURS, data.num_items), show_progress=False, num_threads=1)
            self.similarity = sparse.csr_matrix(near, dtype=np.float32)
        if "likeness" in sources:
            self.likeness = _nearest(semantic, NUM_NEIGHBOURS)

    def terms(self, queries: list[str]) -> sparse.csr_matrix:
        """(B, V) the queries as the source of words reads them, to be kept and asked for often."""
        return self.index.terms(queries) if "words" in self.sources else sparse.csr_matrix((len(queries), 0))

    def ask(
        self,
        num: int,
        terms: sparse.csr_matrix | None,
        history: tuple[np.ndarray, np.ndarray],
        user: np.ndarray | None = None,
    ) -> tuple[Masses, ...]:
        """The masses of each source for `num` inputs.

        `terms` (B, V) are their queries, `history` their clicked items as pairs (input, item) in time order, `user`
        (B,) who asks: -1 for somebody who is not in the log.
        """
        found = {}
        if "words" in self.sources:
            found["words"] = _masses(self._match(terms)) if terms is not None else _nothing(num)
        if "neighbours" in self.sources:
            found["neighbours"] = _masses(self._near(self._history(num, *history), user))
        if "likeness" in self.sources:
            found["likeness"] = _masses(self._history(num, *history) @ self.likeness)
        return tuple(found[source] for source in self.sources)

    def _match(self, terms: sparse.csr_matrix) -> sparse.csr_matrix:
        """(B, N) exponentials of BM25 scores, the best at 1."""
        scores = sparse.csr_matrix(terms @ self.index.matrix)
        best = scores.max(axis=1).toarray().ravel()
        scores.data = np.exp(scores.data - np.repeat(best, np.diff(scores.indptr)))
        return scores

    def _history(self, num: int, row: np.ndarray, item: np.ndarray) -> sparse.csr_matrix:
        """(B, N) weights of the clicked items, the latest at 1."""
        clicked = item >= 0
        row, item = row[clicked], item[clicked]
        count = np.bincount(row, minlength=num)
        age = np.repeat(np.cumsum(count), count) - 1 - np.arange(len(row))
        return sparse.csr_matrix((np.power(DECAY, age, dtype=np.float32), (row, item)), shape=(num, self.num_items))

    def _near(self, history: sparse.csr_matrix, user: np.ndarray | None) -> sparse.csr_matrix:
        """(B, N) sums of similarities to the clicked items, without what the user's own clicks contribute."""
        scores = history @ self.similarity
        if user is not None:
            known = np.where((user >= 0) & (user < self.clicks.shape[0]), user, 0)
            own = self.clicks[known]
            weight = np.asarray(history.multiply(own).sum(axis=1)).ravel() * (user >= 0)
            scores = scores - sparse.diags(weight.astype(np.float32)) @ own
        scores = sparse.csr_matrix(scores)
        scores.data = np.maximum(scores.data, 0)
        return scores


def _nearest(vectors: np.ndarray, num: int) -> sparse.csr_matrix:
    """(N, N) squared cosines of centred vectors (N, D), the `num` largest of each row; 0 where they point apart."""
    centred = normalise(vectors - vectors.mean(0))
    near = NearestNeighbors(n_neighbors=min(num, len(centred)), metric="cosine", algorithm="brute").fit(centred)
    graph = sparse.csr_matrix(near.kneighbors_graph(centred, mode="distance"), dtype=np.float32)
    graph.data = np.square(np.maximum(1 - graph.data, 0))
    return graph


def _nothing(num: int) -> Masses:
    return Masses(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(num, bool))


def _masses(scores: sparse.csr_matrix) -> Masses:
    """Rows of scores (B, N), not negative, as distributions."""
    row = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    total = np.bincount(row, scores.data, scores.shape[0])
    there = scores.data > 1e-6 * total[row]
    row, item, mass = row[there], scores.indices[there].astype(np.int64), scores.data[there]
    return Masses(row, item, mass / total[row], total > 0)


class NodeMasses:
    """Log-masses of the nodes of a trie for B inputs, by sums over runs of leaves.

    `rank` (N,) is each item's leaf; `starts[l]` (n_{l+1} + 1,) the first leaf of each node of level l + 1.
    """

    def __init__(self, evidence: tuple[Masses, ...], rank: np.ndarray, starts: list[np.ndarray]) -> None:
        self.num_items, self.starts = len(rank), starts
        self.parts = []
        for masses in evidence:
            key = masses.row * self.num_items + rank[masses.item]
            order = np.argsort(key)
            self.parts.append((key[order], np.append(0.0, np.cumsum(masses.mass[order])), masses.known))

    def __call__(self, level: int, row: np.ndarray, node: np.ndarray) -> np.ndarray:
        """(..., S) float32 log-mass of nodes of level `level` + 1 for inputs `row`, of like shape; 0 where a source knows nothing."""
        first, last = self.starts[level][node], self.starts[level][node + 1]
        spread = SPREAD * (last - first) / self.num_items
        found = []
        for key, total, known in self.parts:
            inside = total[np.searchsorted(key, row * self.num_items + last)]
            inside = inside - total[np.searchsorted(key, row * self.num_items + first)]
            log_mass = np.log((1 - SPREAD) * np.maximum(inside, 0) + spread)
            found.append(np.where(known[row], log_mass, 0.0))
        return np.stack(found, axis=-1).astype(np.float32)
