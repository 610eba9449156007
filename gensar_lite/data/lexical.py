"""Lexical matching: BM25 over the item texts, for candidate lists and for the `bm25` baseline.

Explained in notebook 07. Scores come from `bm25s` (variant "lucene", k1 = 1.5, b = 0.75: Kamphuis et
al. 2020), which computes every (term, item) score when the index is built. A batch of queries is then
one product of two sparse matrices.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN
from scipy import sparse

STOP_WORDS = frozenset(STOPWORDS_EN)
_CELLS = 4_000_000  # entries of one (B, N) block of scores: bounds the memory to about 50 MB
_APOSTROPHE = re.compile(r"(?<=[^\W\d_])['’](?=[^\W\d_])")
_ACCENT = re.compile("[\u0300-\u036f]")
# Sizes such as 1/2 and 1.5 stay one token; scripts written without spaces give one token a character.
_TOKEN = re.compile(
    r"\d+(?:[./]\d+)+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def words(text: str) -> list[str]:
    """Lower-case words of a text in their order; digits, sizes and model numbers stay, accents go."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFKD", text)))
    return _TOKEN.findall(_APOSTROPHE.sub("", text.lower()))


def stem(word: str) -> str:
    """Plural to singular (after Harman 1991, the S-stemmer); words with digits are left as they are."""
    if len(word) < 4 or word[-1] != "s" or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 and word[-4] not in "ae" else word[:-1]
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word if word.endswith(("us", "ss", "is")) else word[:-1]


def index_terms(text: str) -> list[str]:
    """The terms that a text is found by: its words, stemmed, without English stop words."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


class LexicalIndex:
    """BM25 scores of N item texts for any query.

    `matrix` is (V, N): the score that one occurrence of a term in a query adds to an item.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.vocabulary: dict[str, int] = {}
        ids = [[self.vocabulary.setdefault(term, len(self.vocabulary)) for term in index_terms(text)] for text in texts]
        shape = (len(self.vocabulary), len(ids))
        if not self.vocabulary:
            self.matrix = sparse.csr_matrix(shape, dtype=np.float32)
            return
        index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        index.index((ids, self.vocabulary), create_empty_token=False, show_progress=False)
        parts = index.scores
        # bm25s stores one column per term over the items (CSC): read as rows per term, that is CSR of (V, N)
        self.matrix = sparse.csr_matrix((parts["data"], parts["indices"], parts["indptr"][: shape[0] + 1]), shape=shape)

    @property
    def num_items(self) -> int:
        return self.matrix.shape[1]

    def terms(self, queries: Iterable[str]) -> sparse.csr_matrix:
        """(B, V) how often each query has each term of the index."""
        terms = [[self.vocabulary[t] for t in index_terms(query) if t in self.vocabulary] for query in queries]
        ends = np.cumsum([0, *map(len, terms)])
        columns = np.array([t for row in terms for t in row], dtype=np.int64)
        shape = (len(terms), len(self.vocabulary))
        return sparse.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=shape)

    def match(self, queries: Iterable[str]) -> sparse.csr_matrix:
        """(B, N) scores as a sparse matrix; items that share no term with the query are absent."""
        return sparse.csr_matrix(self.terms(queries) @ self.matrix)

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """(B, N) float32 BM25 scores; a query without a known term scores zero everywhere."""
        return self.match(queries).toarray().astype(np.float32, copy=False)

    def top(self, queries: Sequence[str], k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Item numbers (B, k) of the best hits, best first, and their scores (B, k) float32.

        Only items with a score above zero are hits; where there are fewer than k, the rest of the row
        is item −1 with score 0. Ties are broken at random with `seed`, never by the order of the catalogue.
        """
        if not len(queries) or not self.num_items:
            return np.full((len(queries), k), -1, np.int64), np.zeros((len(queries), k), np.float32)
        rows_at_once = max(1, _CELLS // self.num_items)
        rng = np.random.default_rng(seed)
        parts = [self._top(queries[b : b + rows_at_once], k, rng) for b in range(0, len(queries), rows_at_once)]
        return np.concatenate([items for items, _ in parts]), np.concatenate([scores for _, scores in parts])

    def _top(self, queries: Sequence[str], k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        scores = self.scores(queries)
        if k < self.num_items:
            # Only what reaches the k-th best score is sorted: a common word hits most of a catalogue.
            least = np.partition(scores, self.num_items - k, axis=1)[:, self.num_items - k, None]
            row, item = np.nonzero((scores >= least) & (scores > 0))
        else:
            row, item = np.nonzero(scores > 0)
        score = scores[row, item]
        order = np.lexsort((rng.random(len(row)), -score, row))
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        order, rank = order[rank < k], rank[rank < k]
        items = np.full((len(queries), k), -1, np.int64)
        best = np.zeros((len(queries), k), np.float32)
        items[row[order], rank] = item[order]
        best[row[order], rank] = score[order]
        return items, best
