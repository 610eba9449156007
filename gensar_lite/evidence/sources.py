"""What the store says about a request before any training: words that match, items clicked together, items alike.

Explained in notebook 05. Each source of evidence scores the N items:

- "words": exponentials of the query's BM25 scores;
- "neighbours": the sum of similarities to the clicked items, as in item-kNN (Sarwar et al., WWW 2001). A user's own
  clicks are taken out of the similarities, or the cases that weights are fitted on would find their answers in them;
- "content": the same sum of the squared cosines of what the items' texts say (content-based recommendation).

A new source is a class with these methods and an entry in `SOURCES` and in the package's `NAMES`. What only making one needs
is imported there: who answers loads what was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, Self

import numpy as np
from scipy import sparse

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.lexical import LexicalIndex

DECAY = 0.9  # weight of a click per later click
NUM_NEIGHBOURS = 500
MAX_PAIRS = 1 << 26  # of items and their neighbours; large catalogues keep fewer an item


class Question(NamedTuple):
    """What B requests let the store know: their queries, if they have any, their clicked items as pairs (request, item) in
    time order, and who asks, `user` (B,): -1 for somebody who is not in the log."""

    queries: list[str] | None
    clicks: tuple[np.ndarray, np.ndarray]
    user: np.ndarray


class Source(Protocol):
    """Something that scores items; its fields are sparse matrices and what JSON holds, which is what is saved of it."""

    name: ClassVar[str]

    @classmethod
    def make(cls, data: Dataset, vectors: np.ndarray) -> Self:
        """From a store and what its items' texts say, `vectors` (N, D)."""
        ...

    def scores(self, question: Question) -> sparse.csr_matrix | None:
        """(B, N) scores, not negative; None where this source has nothing to say of any request."""
        ...


@dataclass(frozen=True)
class Words:
    """`terms` (V,) of a language and the score (V, N) that one occurrence of each in a query adds to an item."""

    name: ClassVar[str] = "words"
    terms: list[str]
    language: str
    matrix: sparse.csr_matrix

    @classmethod
    def make(cls, data: Dataset, vectors: np.ndarray) -> Words:
        index = LexicalIndex(data.item_texts, data.language)
        return cls(list(index.vocabulary), index.language, index.matrix)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", LexicalIndex.of(self.terms, self.matrix, self.language))

    def scores(self, question: Question) -> sparse.csr_matrix | None:
        if question.queries is None:
            return None
        scores = self.index.match(question.queries)  # type: ignore[attr-defined]
        best = scores.max(axis=1).toarray().ravel()
        scores.data = np.exp(scores.data - np.repeat(best, np.diff(scores.indptr)))  # the best at 1
        return scores


@dataclass(frozen=True)
class Neighbours:
    """`clicks` (U, N) weighted clicks, columns of length 1, and the cosines (N, N) of columns."""

    name: ClassVar[str] = "neighbours"
    clicks: sparse.csr_matrix
    similarity: sparse.csr_matrix

    @classmethod
    def make(cls, data: Dataset, vectors: np.ndarray) -> Neighbours:
        from implicit.nearest_neighbours import all_pairs_knn, normalize, tfidf_weight

        from gensar_lite.signals.collaborative import click_matrix

        clicks = sparse.csr_matrix(sparse.coo_matrix(normalize(tfidf_weight(click_matrix(data).T)).T))
        near = all_pairs_knn(clicks, neighbours_of(data.num_items), show_progress=False, num_threads=1)
        return cls(clicks, sparse.csr_matrix(near, dtype=np.float32))

    def scores(self, question: Question) -> sparse.csr_matrix:
        history = weigh_clicks(question, self.similarity.shape[0])
        known = np.where((question.user >= 0) & (question.user < self.clicks.shape[0]), question.user, 0)
        own = self.clicks[known]
        weight = np.asarray(history.multiply(own).sum(axis=1)).ravel() * (question.user >= 0)
        scores = sparse.csr_matrix(history @ self.similarity - sparse.diags(weight.astype(np.float32)) @ own)
        scores.data = np.maximum(scores.data, 0)
        return scores


@dataclass(frozen=True)
class Content:
    """Squared cosines (N, N) of centred text vectors, 0 where they point apart."""

    name: ClassVar[str] = "content"
    similarity: sparse.csr_matrix

    @classmethod
    def make(cls, data: Dataset, vectors: np.ndarray) -> Content:
        from gensar_lite.evidence.nearest import nearest
        from gensar_lite.signals.text import normalise

        index, cosine = nearest(normalise(vectors - vectors.mean(0)), neighbours_of(len(vectors)))
        ends = np.arange(len(index) + 1) * index.shape[1]
        squared = np.square(np.maximum(cosine, 0)).ravel()
        return cls(sparse.csr_matrix((squared, index.ravel(), ends), shape=(len(index), len(index))))

    def scores(self, question: Question) -> sparse.csr_matrix:
        return sparse.csr_matrix(weigh_clicks(question, self.similarity.shape[0]) @ self.similarity)


SOURCES: dict[str, type[Source]] = {source.name: source for source in (Words, Neighbours, Content)}


def neighbours_of(num_items: int) -> int:
    """How many neighbours an item keeps."""
    return min(NUM_NEIGHBOURS, num_items, max(MAX_PAIRS // max(num_items, 1), 1))


def weigh_clicks(question: Question, num_items: int) -> sparse.csr_matrix:
    """(B, N) weights of the clicked items, the latest at 1."""
    row, item = question.clicks
    clicked = item >= 0
    row, item, num = row[clicked], item[clicked], len(question.user)
    count = np.bincount(row, minlength=num)
    age = np.repeat(np.cumsum(count), count) - 1 - np.arange(len(row))
    return sparse.csr_matrix((np.power(DECAY, age, dtype=np.float32), (row, item)), shape=(num, num_items))
