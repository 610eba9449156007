"""Pseudo-queries from a doc2query model learned on the training log.

Explained in notebook 05. A query word is written by choosing a field of the item, then a word in it, and then
copying that word or translating it into another: the statistical translation model of retrieval (Berger &
Lafferty, SIGIR 1999) with a copy switch, fitted by expectation-maximisation. It learns which fields people
quote, which words they leave out and which synonyms and misspellings they use, in seconds and from a
few thousand clicks, where a neural doc2query (Nogueira et al. 2019) would need pre-training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.languages import UNSPACED, Pieces
from gensar_lite.data.storage import DataError
from gensar_lite.training.settings import TrainingConfig

WORD = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]+(?:[-./'][^\W_{UNSPACED}]+)*")
UNSPACED_RUN = re.compile(f"[{UNSPACED}]")
FIELDS = ("title", "brand", "categories", "description")
MAX_PAIRS = 100_000
MAX_WORDS = 60
NUM_TRANSLATIONS = 20
NUM_WORDS = 60  # an item's most probable query words, among which is drawn


def split_words(text: str, pieces: Pieces | None = None) -> list[str]:
    """Lower-cased words and numbers of a text; of scripts without spaces, the `pieces` that recur in a catalogue."""
    found = WORD.findall(text.lower())
    if text.isascii() or pieces is None:
        return found
    return [part for word in found for part in (pieces.split(word) if UNSPACED_RUN.match(word) else [word])]


@dataclass
class Doc2Query:
    """A fitted model: field weights (F,), copy probability per word (W,), translations (W, W) sparse rows summing to one,
    and the distribution of query lengths, lengths[n] = P(n + 1 words)."""

    words: list[str]
    field_weight: np.ndarray
    copy: np.ndarray
    translation: sparse.csr_array
    lengths: np.ndarray
    documents: list[sparse.csr_array]
    places: sparse.csr_array

    @classmethod
    def fit(cls, data: Dataset, num_rounds: int = 8, seed: int = 0) -> Doc2Query:
        """Learn from the clicked searches that training may see; without any, words are copied from titles."""
        number: dict[str, int] = {}
        pieces = Pieces(chain.from_iterable(data.items[field] for field in FIELDS))
        documents, places = _read_documents(data, number, pieces)
        log = data.log
        clicked = np.flatnonzero(data.train_mask & log.searched & (log.item >= 0))
        if len(clicked) > MAX_PAIRS:
            clicked = np.sort(np.random.default_rng(seed).choice(clicked, MAX_PAIRS, replace=False))
        asked = [[number.setdefault(w, len(number)) for w in split_words(q, pieces)] for q in log.queries]
        queries = [asked[q] for q in log.query[clicked]]
        size = len(number)
        for matrix in (*documents, places):
            matrix.resize(data.num_items, size)
        lengths = np.bincount([min(max(len(q), 1), 8) for q in queries] or [2, 3, 4], minlength=2)[1:].astype(float)
        model = cls(
            list(number),
            np.array([1.0, 1e-6, 1e-6, 1e-6]),
            np.full(size, 0.9),
            sparse.csr_array((size, size)),
            lengths / lengths.sum(),
            documents,
            places,
        )
        if len(clicked):
            model._maximise(log.item[clicked], queries, num_rounds)
        return model

    def _maximise(self, items: np.ndarray, queries: list[list[int]], num_rounds: int) -> None:
        """Expectation-maximisation over every way a query word can have come from its item."""
        size = len(self.words)
        target = np.array([w for q in queries for w in q], np.int64)
        item = np.repeat(items, [len(q) for q in queries])
        rows, sources, fields, base = [], [], [], []
        for f, document in enumerate(self.documents):
            part = document[item].tocoo()
            rows.append(part.row)
            sources.append(part.col)
            base.append(part.data)
            fields.append(np.full(part.nnz, f))
        row, source, field, prior = (np.concatenate(column) for column in (rows, sources, fields, base))
        same = source == target[row]
        pair, pair_of = np.unique(source.astype(np.int64) * size + target[row], return_inverse=True)
        pair_source = pair // size
        background = np.bincount(target, minlength=size)[target] / len(target)
        translate = np.ones(len(pair)) / np.bincount(pair_source, minlength=size)[pair_source]
        weight = np.array([0.6, 0.1, 0.1, 0.2])
        copy = np.full(size, 0.7)
        for _ in range(num_rounds):
            copied = weight[field] * prior * copy[source] * same
            translated = weight[field] * prior * (1 - copy[source]) * translate[pair_of]
            total = np.bincount(row, copied + translated, len(target)) + 0.05 * background
            copied, translated = copied / total[row], translated / total[row]
            both = copied + translated
            weight = np.bincount(field, both, len(FIELDS)) + 1e-6 * both.sum()  # never zero: matrices keep one pattern
            weight /= weight.sum()
            # a word seen once tells little about itself: its copy rate leans on the average of all words
            by_copy, by_both = np.bincount(source, copied, size), np.bincount(source, both, size)
            copy = (by_copy + 10 * by_copy.sum() / max(by_both.sum(), 1e-9)) / (by_both + 10)
            count = np.bincount(pair_of, translated, len(pair))
            translate = count / np.maximum(np.bincount(pair_source, count, size), 1e-9)[pair_source]
        self.field_weight, self.copy = weight, copy
        order = np.lexsort((-translate, pair_source))
        keep = order[(_places_within(pair_source[order]) < NUM_TRANSLATIONS) & (translate[order] > 1e-3)]
        self.translation = sparse.csr_array(
            (translate[keep], (pair_source[keep], (pair % size)[keep])), shape=(size, size)
        )

    def word_weights(self, items: np.ndarray) -> tuple[sparse.csr_array, sparse.csr_array]:
        """P(word | item) for some items, (n, W) sparse, and where in the text each word stands (n, W)."""
        source = sum(w * document[items] for w, document in zip(self.field_weight, self.documents, strict=True))
        move = sparse.diags_array(self.copy) + sparse.diags_array(1 - self.copy) @ self.translation
        place = source.multiply(self.places[items])
        return _keep_best((source @ move).tocsr(), (place @ move).tocsr())

    def sample(self, items: np.ndarray, num_queries: int, seed: int = 0) -> list[str]:
        """`num_queries` queries for each item, item by item: words drawn without replacement, in the text's order."""
        rng = np.random.default_rng(seed)
        texts: list[str] = []
        for start in range(0, len(items), 10_000):
            weights, places = self.word_weights(items[start : start + 10_000])
            texts += _draw(weights, places, self.lengths, num_queries, self.words, rng)
        return texts


def pseudo_queries(data: Dataset, config: TrainingConfig, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts and the item numbers (n,) they were written for: from `config.pseudo_queries`, or learned from the training log."""
    if config.pseudo_queries is None:
        every, num = np.arange(data.num_items), config.pseudo_queries_per_item
        return Doc2Query.fit(data, seed=seed).sample(every, num, seed), np.repeat(every, num)
    return read_pseudo_queries(config.pseudo_queries, data)


def read_pseudo_queries(path: str | Path, data: Dataset) -> tuple[list[str], np.ndarray]:
    """Pseudo-queries from a CSV or Parquet table with the columns item_id and query, those of another doc2query model, say.

    Raises DataError where it cannot be read or names items that the catalogue does not have.
    """
    try:
        table = pd.read_parquet(path) if str(path).endswith(".parquet") else pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise DataError(
            f"the pseudo-queries in {path} cannot be read ({error}); give a CSV or Parquet table"
        ) from error
    if missing := {"item_id", "query"} - set(table.columns):
        raise DataError(f"{path} needs the columns item_id and query; missing: {', '.join(sorted(missing))}")
    table = table.dropna(subset=["item_id", "query"])
    number = table["item_id"].astype(str).map(data.item_number)
    if unknown := table["item_id"][number.isna()].astype(str).unique().tolist():
        raise DataError(
            f"{path} has queries of {len(unknown)} items that are not in the catalogue ({', '.join(unknown[:3])}); leave them out"
        )
    if table.empty:
        raise DataError(f"{path} holds no pseudo-queries; give at least one, or leave the file out")
    return table["query"].astype(str).tolist(), number.to_numpy(np.int64)


def _read_documents(
    data: Dataset, number: dict[str, int], pieces: Pieces
) -> tuple[list[sparse.csr_array], sparse.csr_array]:
    """Per field an (N, W) matrix of word shares, and the (N, W) place of a word's first occurrence, counted from 1."""
    documents, seen = [], []
    offset = 1
    for field in FIELDS:
        rows = [
            [number.setdefault(w, len(number)) for w in split_words(text, pieces)[:MAX_WORDS]]
            for text in data.items[field]
        ]
        count = np.array([len(row) for row in rows])
        row = np.repeat(np.arange(len(rows)), count)
        column = np.array([w for words in rows for w in words], np.int64)
        share = 1 / np.maximum(count, 1)[row]
        documents.append(sparse.coo_array((share, (row, column)), shape=(len(rows), len(number))).tocsr())
        seen.append((row, column, offset + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)))
        offset += MAX_WORDS
    row, column, place = (np.concatenate(part) for part in zip(*seen, strict=True))
    first = np.lexsort((place, column, row))
    fresh = np.ones(len(first), bool)
    fresh[1:] = (np.diff(row[first]) != 0) | (np.diff(column[first]) != 0)
    first = first[fresh]
    shape = (data.num_items, len(number))
    return documents, sparse.coo_array((place[first].astype(float), (row[first], column[first])), shape=shape).tocsr()


def _places_within(group: np.ndarray) -> np.ndarray:
    """Counts 0, 1, 2 ... within each run of equal values of an ascending array."""
    start = np.flatnonzero(np.diff(group, prepend=-1))
    return np.arange(len(group)) - np.repeat(start, np.diff(start, append=len(group)))


def _keep_best(weights: sparse.csr_array, places: sparse.csr_array) -> tuple[sparse.csr_array, sparse.csr_array]:
    """The `NUM_WORDS` largest weights of each row, and the places of the same words."""
    weights.sort_indices()
    places.sort_indices()  # both come from the same products: the same words in the same order
    row = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    order = np.lexsort((-weights.data, row))
    keep = np.sort(order[_places_within(row[order]) < NUM_WORDS])
    ptr = np.searchsorted(row[keep], np.arange(weights.shape[0] + 1))
    best = [
        sparse.csr_array((part.data[keep], part.indices[keep], ptr), shape=part.shape) for part in (weights, places)
    ]
    return best[0], best[1]


def _draw(
    weights: sparse.csr_array,
    places: sparse.csr_array,
    lengths: np.ndarray,
    num_queries: int,
    words: Sequence[str],
    rng: np.random.Generator,
) -> list[str]:
    """Gumbel top-k over the words of each row: sampling without replacement, all rows at once."""
    num = weights.shape[0] * num_queries
    copies = np.repeat(np.arange(weights.shape[0]), num_queries)
    count = np.diff(weights.indptr)[copies]
    query = np.repeat(np.arange(num), count)
    entry = np.repeat(weights.indptr[:-1][copies] - (np.cumsum(count) - count), count) + np.arange(len(query))
    key = np.log(np.maximum(weights.data[entry], 1e-30)) + rng.gumbel(size=len(entry))
    order = np.lexsort((-key, query))
    place_in_query = _places_within(query)
    length = 1 + rng.choice(len(lengths), size=num, p=lengths)
    chosen = order[place_in_query < length[query]]
    place = places.data[entry[chosen]] / weights.data[entry[chosen]]
    chosen = chosen[np.lexsort((place, query[chosen]))]
    written: list[list[str]] = [[] for _ in range(num)]
    for q, w in zip(query[chosen].tolist(), weights.indices[entry[chosen]].tolist(), strict=True):
        written[q].append(words[w])
    return [" ".join(row) for row in written]
