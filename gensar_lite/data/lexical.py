"""Lexical matching: BM25 over the item texts, for candidate lists and for the `bm25` baseline.

Explained in notebook 07. Scores come from `bm25s` (variant "lucene", k1 = 1.5, b = 0.75: Kamphuis et
al. 2020), which computes every (term, item) score when the index is built. A batch of queries is then
one product of two sparse matrices.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN
from scipy import sparse
from tqdm import tqdm

from gensar_lite.data.languages import (
    COMPOUNDING,
    UNSPACED,
    Pieces,
    compounds_with,
    fold_accents,
    get_language,
    split_compound,
)

STOP_WORDS = frozenset(STOPWORDS_EN)
_APOSTROPHE = re.compile(r"(?<=[^\W\d_])['’](?=[^\W\d_])")
# Sizes such as 1/2 and 1.5 stay one token; scripts written without spaces give one token a character.
_NUMBER = r"\d+(?:[./]\d+)+"
CHARACTERS = UNSPACED + r"\uac00-\ud7af"
_TOKEN = re.compile(rf"{_NUMBER}|[{CHARACTERS}]|[^\W_{CHARACTERS}]+")
_TYPED = re.compile(rf"{_NUMBER}|[{UNSPACED}]+|[^\W_{UNSPACED}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def words(text: str) -> list[str]:
    """Lower-case words of a text in their order; digits, sizes and model numbers stay, accents go."""
    return _TOKEN.findall(_APOSTROPHE.sub("", fold_accents(text).lower()))


def typed_words(text: str, pieces: Pieces) -> list[str]:
    """Words as people type them: as `words`, but of scripts without spaces the pieces that recur instead of characters."""
    found = _TYPED.findall(_APOSTROPHE.sub("", fold_accents(text).lower()))
    if text.isascii():
        return found
    return [part for word in found for part in (pieces.split(word) if _UNSPACED.match(word) else [word])]


def stem(word: str) -> str:
    """Plural to singular (after Harman 1991, the S-stemmer); words with digits are left as they are."""
    if len(word) < 4 or word[-1] != "s" or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 and word[-4] not in "ae" else word[:-1]
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word if word.endswith(("us", "ss", "is")) else word[:-1]


def index_terms(text: str, language: str = "english") -> list[str]:
    """The terms that a text is found by: its words, stemmed, without stop words of the language."""
    if language == "english":
        return [stem(word) for word in words(text) if word not in STOP_WORDS]
    spoken = get_language(language)
    # stems first, accents after: Snowball's German takes "ae" for "ä" and "ss" for "ß"
    return [fold_accents(spoken.stem(word)) for word in accented_words(text) if word not in spoken.stop_words]


def accented_words(text: str) -> list[str]:
    """As `words`, with their accents."""
    return _TOKEN.findall(_APOSTROPHE.sub("", unicodedata.normalize("NFC", text).lower()))


class _Rows:
    """Rows of term numbers in one flat array, given out as lists one after the other: a million lists would be gigabytes."""

    def __init__(self) -> None:
        self.terms, self.ends = array("i"), array("q", [0])

    def add(self, row: list[int]) -> None:
        self.terms.extend(row)
        self.ends.append(len(self.terms))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __iter__(self) -> Iterator[list[int]]:
        return (self.terms[begin:end].tolist() for begin, end in pairwise(self.ends))


class LexicalIndex:
    """BM25 scores of N item texts for any query.

    `matrix` is (V, N): the score that one occurrence of a term in a query adds to an item. In languages that write
    compounds as one word, their parts are terms, too, where the catalogue knows them. Texts are read once, one after the
    other; long catalogues show progress.
    """

    def __init__(self, texts: Iterable[str], language: str = "english") -> None:
        self.language = language
        self.vocabulary: dict[str, int] = {}
        rows = _Rows()
        for text in tqdm(texts, desc="lexical index", disable=None, leave=False, delay=2, unit=" texts"):
            rows.add([self.vocabulary.setdefault(term, len(self.vocabulary)) for term in index_terms(text, language)])
        if language in COMPOUNDING:
            stem, whole = get_language(language).stem, rows
            parts = [[self.vocabulary[p] for p in split_compound(t, self.vocabulary, stem)] for t in self.vocabulary]
            rows = _Rows()
            for row in whole:
                rows.add([n for term in row for n in (term, *parts[term])])
        shape = (len(self.vocabulary), len(rows))
        if not self.vocabulary:
            self.matrix = sparse.csr_matrix(shape, dtype=np.float32)
            return
        index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        scores = index.build_index_from_ids(range(shape[0]), rows, show_progress=False)  # type: ignore[arg-type]
        # bm25s stores one column per term over the items (CSC): read as rows per term, that is CSR of (V, N)
        self.matrix = sparse.csr_matrix((scores["data"], scores["indices"], scores["indptr"]), shape=shape)

    @classmethod
    def of(cls, terms: Sequence[str], matrix: sparse.csr_matrix, language: str = "english") -> LexicalIndex:
        """An index that was made before: its terms (V,) in order, and its matrix."""
        index = cls([], language)
        index.vocabulary, index.matrix = {term: number for number, term in enumerate(terms)}, matrix
        return index

    @property
    def num_items(self) -> int:
        return self.matrix.shape[1]

    def known_terms(self, text: str) -> list[str]:
        """The terms of a text that some item has; where words are compounds, their parts, and what holds a word that none has."""
        terms = index_terms(text, self.language)
        known = [term for term in terms if term in self.vocabulary]
        if self.language in COMPOUNDING:
            stem = get_language(self.language).stem
            for term in terms:
                known += split_compound(term, self.vocabulary, stem)
                known += compounds_with(term, self.vocabulary) if term not in self.vocabulary else ()
        return known

    def terms(self, queries: Iterable[str]) -> sparse.csr_matrix:
        """(B, V) how often each query has each term of the index."""
        terms = [[self.vocabulary[term] for term in self.known_terms(query)] for query in queries]
        ends = np.cumsum([0, *map(len, terms)])
        columns = np.array([t for row in terms for t in row], dtype=np.int64)
        shape = (len(terms), len(self.vocabulary))
        return sparse.csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=shape)

    def match(self, queries: Iterable[str]) -> sparse.csr_matrix:
        """(B, N) scores as a sparse matrix; items that share no term with the query are absent."""
        return sparse.csr_matrix(self.terms(queries) @ self.matrix)

    def coverage(self, queries: Sequence[str]) -> sparse.csr_matrix:
        """(B, N) how much of what a query says an item has, 0 to 1: terms count by their inverse document frequency.

        A word that no item has counts as the rarest.
        """
        num_texts = np.append(np.diff(self.matrix.indptr), 0)  # per term, and of a term that is nowhere
        idf = np.log1p((self.num_items - num_texts + 0.5) / (num_texts + 0.5)).astype(np.float32)
        asked, there = self.terms(queries), self.matrix.copy()
        asked.sum_duplicates()
        asked.data, there.data = idf[asked.indices], np.ones_like(there.data)
        missing = [len(set(index_terms(query, self.language)) - self.vocabulary.keys()) for query in queries]
        total = np.asarray(asked.sum(axis=1)).ravel() + idf[-1] * np.array(missing, np.float32)
        found = sparse.csr_matrix(asked @ there)
        found.data /= np.repeat(total, np.diff(found.indptr))
        return found

    def scores(self, queries: Sequence[str]) -> np.ndarray:
        """(B, N) float32 BM25 scores; a query without a known term scores zero everywhere."""
        return self.match(queries).toarray().astype(np.float32, copy=False)

    def scores_of(self, queries: Sequence[str], items: np.ndarray) -> np.ndarray:
        """(B, n) float32 BM25 scores of the item numbers `items` (B, n), each row for its own query."""
        asked = self.terms(queries)[np.repeat(np.arange(len(items)), items.shape[1])]
        scores = self.by_item[items.ravel()].multiply(asked).sum(axis=1)
        return np.asarray(scores, np.float32).reshape(items.shape)

    def top(self, queries: Sequence[str], k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Item numbers (B, k) of the best hits, best first, and their scores (B, k) float32.

        Only items with a score above zero are hits; where there are fewer than k, the rest of the row
        is item −1 with score 0. Ties are broken at random with `seed`, never by the order of the catalogue.
        """
        return self.top_of_terms(self.terms(queries), k, np.random.default_rng(seed))

    def top_of_terms(self, terms: sparse.csr_matrix, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`top` for queries that are given as weighted terms (B, V). Only the postings of a query's terms are touched."""
        items = np.full((terms.shape[0], k), -1, np.int64)
        best = np.zeros((terms.shape[0], k), np.float32)
        for row in range(terms.shape[0]):
            hits = terms[[row]] @ self.matrix
            item, score = hits.indices, hits.data
            if len(score) > k:
                # Only what reaches the k-th best score is sorted: a common word hits most of a catalogue.
                reached = score >= np.partition(score, len(score) - k)[len(score) - k]
                item, score = item[reached], score[reached]
            order = np.lexsort((rng.random(len(score)), -score))[:k]
            order = order[score[order] > 0]
            items[row, : len(order)], best[row, : len(order)] = item[order], score[order]
        return items, best

    @cached_property
    def by_item(self) -> sparse.csr_matrix:
        """`matrix` by items, (N, V)."""
        return self.matrix.T.tocsr()

    def feedback(self, items: np.ndarray, terms: sparse.csr_matrix, num_terms: int) -> sparse.csr_matrix:
        """(B, V) the `num_terms` terms with the largest sums of scores in the found `items` (B, k; -1: none).

        An item counts as much as it scores for the query's `terms` (B, V): Rocchio 1971, with the answers found in
        place of answers judged.
        """
        rows = []
        for row in range(len(items)):
            found = items[row][items[row] >= 0]
            weight = (self.by_item[found] @ terms[[row]].T).toarray().ravel()
            words = sparse.csr_matrix(weight[None, :]) @ self.by_item[found]
            strongest = np.argsort(-words.data, kind="stable")[:num_terms]
            rows.append((words.indices[strongest], words.data[strongest]))
        ends = np.cumsum([0, *(len(word) for word, _ in rows)])
        parts = [np.concatenate([part[p] for part in rows]) if rows else np.zeros(0) for p in (0, 1)]
        return sparse.csr_matrix((parts[1], parts[0].astype(np.int64), ends), shape=terms.shape)
