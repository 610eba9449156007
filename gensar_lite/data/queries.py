"""Queries for logs without searches: `known-item` and `category-path`.

Explained in notebook 01. A share of the interactions, and always the last two of every user (the
held-out ones), gets a search with the same user, item and timestamp: the event's second face.

- `known-item` (Azzopardi, de Rijke & Balog, SIGIR 2007, section 3): someone recalls an item and types
  words of it. Each word is drawn from the item's language model with probability 1 − λ, else from the
  whole catalogue (λ = `NOISE`; never all words of a query). The item's model is their "popular" one
  (a word's share of the text) mixed over the fields (`FIELD_WEIGHTS`: mostly the title). Differences:
  no word twice in a query, no stop words, words in the order of the item's text. Such queries are made
  of title words, which favours lexical rankers: read results with that in mind.
- `category-path` (Ai et al., SIGIR 2017, section 5.1; after Van Gysel et al. 2016): the words of the
  item's category path from the root to the leaf, without stop words and repeated words. An item with
  several paths (separated by " | ") gets one of them at random.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from bm25s.stopwords import STOPWORDS_EN_PLUS
from tqdm import tqdm

from gensar_lite.data.languages import Pieces, fold_accents, get_language
from gensar_lite.data.lexical import typed_words, words
from gensar_lite.data.storage import DataError
from gensar_lite.data.texts import numbers_of

PROTOCOLS = ("known-item", "category-path")
FIELD_WEIGHTS = {"title": 0.75, "brand": 0.05, "categories": 0.1, "description": 0.1}
NOISE = 0.1  # λ of Azzopardi et al., eq. 2: words that come from elsewhere in the catalogue
MEAN_EXTRA_WORDS = 2.0  # query length: 1 + Poisson(2), three words on average
MAX_WORDS = 8
PATH_SEPARATOR = " | "
NOT_TYPED = frozenset(word.replace("'", "") for word in STOPWORDS_EN_PLUS)
_CHUNK = 20_000  # queries sampled at a time
_ITEMS = 50_000  # items whose words are counted at a time


@dataclass(frozen=True)
class ItemWords:
    """The words of N items in flat arrays: item i owns `ptr[i]:ptr[i + 1]`, in the order in which they stand there.

    `term` numbers `vocabulary`, `weight` is its probability in the item's language model (up to a factor).
    `frequency` (V,) counts each word in the whole catalogue.
    """

    vocabulary: np.ndarray
    ptr: np.ndarray
    term: np.ndarray
    weight: np.ndarray
    frequency: np.ndarray


def usable_words(text: str, pieces: Pieces, not_typed: frozenset[str] = NOT_TYPED) -> list[str]:
    """Words that someone would type: no stop words, no single letters (characters of other scripts stay)."""
    return [w for w in typed_words(text, pieces) if w not in not_typed and (len(w) > 1 or ord(w) > 0x2FF)]


def _reader(items: pd.DataFrame, language: str) -> Callable[[str], list[str]]:
    """What splits a text of this catalogue into usable words."""
    pieces = Pieces(chain.from_iterable(items[name] for name in FIELD_WEIGHTS))
    if language == "english":
        return lambda text: usable_words(text, pieces)
    not_typed = frozenset(map(fold_accents, get_language(language).stop_words))
    return lambda text: usable_words(text, pieces, not_typed)


def count_words(items: pd.DataFrame, language: str = "english") -> ItemWords:
    """The language model of every item (see the module's text)."""
    read = _reader(items, language)
    number: dict[str, int] = {}
    term = array("i")
    size = np.zeros((len(FIELD_WEIGHTS), len(items)), np.int64)
    for f, name in enumerate(FIELD_WEIGHTS):
        texts = tqdm(items[name], desc=f"words of {name}", disable=None, leave=False, delay=2, unit=" texts")
        for i, text in enumerate(texts):
            found = [number.setdefault(w, len(number)) for w in read(text)]
            term.extend(found)
            size[f, i] = len(found)
    terms = np.frombuffer(term, np.int32) if term else np.zeros(0, np.int32)
    begin = np.concatenate([np.zeros((len(size), 1), np.int64), np.cumsum(size, axis=1)], axis=1)
    begin += np.concatenate([[0], np.cumsum(size.sum(axis=1))[:-1]])[:, None]  # fields stand one after the other
    starts = range(0, len(items), _ITEMS)
    parts = [_weigh(terms, begin[:, at : at + _ITEMS + 1]) for at in starts]
    count, word, weight = (np.concatenate([np.zeros(0, p.dtype), *ps]) for p, *ps in zip(parts[0], *parts, strict=True))
    frequency = np.bincount(terms, minlength=len(number))
    return ItemWords(
        np.array(list(number), dtype=object), np.concatenate([[0], np.cumsum(count)]), word, weight, frequency
    )


def _weigh(terms: np.ndarray, begin: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of n items, whose words in field f are `terms[begin[f, i]:begin[f, i + 1]]`: how many different ones (n,), which, and their weights."""
    size = np.diff(begin, axis=1)
    own = np.concatenate([terms[field[0] : field[-1]] for field in begin])
    share = np.array(list(FIELD_WEIGHTS.values()))[:, None] / np.maximum(size, 1)
    key = np.repeat(np.tile(np.arange(size.shape[1]), len(size)), size.ravel()) << 32 | own
    unique, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    weight = np.bincount(inverse, np.repeat(share.ravel(), size.ravel()))
    owner = unique >> 32
    in_text = np.lexsort(
        (first, owner)
    )  # fields stand one after the other: a word's first place is where the text has it first
    word = (unique & 0xFFFFFFFF).astype(np.int32)
    return np.bincount(owner, minlength=size.shape[1]), word[in_text], weight[in_text]


def known_item_queries(
    items: pd.DataFrame, asked: np.ndarray, rng: np.random.Generator, language: str = "english"
) -> tuple[pd.Series, int]:
    """One query for each item number in `asked` (Q,).

    An item without a usable word (no text, or stop words only) is asked for by its title as it stands,
    or by its id where it has none. Returns the queries and how many fell back on that. Shows progress.
    """
    model = count_words(items, language)
    cumulative = np.cumsum(model.frequency)
    vocabulary = pa.array(model.vocabulary, pa.string())
    joined: list[pa.Array] = []
    starts = range(0, len(asked), _CHUNK)
    for begin in tqdm(starts, desc="made queries", disable=None, leave=False, unit_scale=_CHUNK, unit=" queries"):
        item = asked[begin : begin + _CHUNK]
        length = np.minimum(1 + rng.poisson(MEAN_EXTRA_WORDS, len(item)), MAX_WORDS)
        count = model.ptr[item + 1] - model.ptr[item]
        row = np.repeat(np.arange(len(item)), count)
        slot = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        place = np.repeat(model.ptr[item], count) + slot
        # the largest of log weight + Gumbel noise: drawn one after the other, no word twice
        score = np.log(model.weight[place]) + rng.gumbel(size=len(place))
        best = np.lexsort((-score, row))
        rank = slot  # row by row, the sorted draws stand in the same cells
        chosen, drawn = best[rank < length[row]], rank[rank < length[row]]
        in_text = np.argsort(chosen)
        taken, drawn = chosen[in_text], drawn[in_text]
        row, term = row[taken], model.term[place[taken]]
        noisy = (rng.random(len(term)) < NOISE) & (drawn > 0)  # one word at least is the item's own
        if noisy.any():
            term = term.copy()
            term[noisy] = np.searchsorted(cumulative, rng.integers(cumulative[-1], size=int(noisy.sum())), side="right")
        _, first = np.unique(row * len(model.vocabulary) + term, return_index=True)
        first.sort()
        row, term = row[first], term[first]
        ends = np.searchsorted(row, np.arange(len(item) + 1))
        typed = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), vocabulary.take(pa.array(term)))
        joined.append(pc.binary_join(typed, " "))  # in Arrow's memory: millions of Python strings would be gigabytes
    queries = pd.Series(pa.chunked_array(joined, pa.string()), dtype="str")
    empty = np.flatnonzero(queries == "")
    if len(empty):
        which, again = np.unique(asked[empty], return_inverse=True)
        typed_titles = [" ".join(words(title)) for title in items["title"].iloc[which]]
        named = zip(typed_titles, items["item_id"].iloc[which], strict=True)
        queries.iloc[empty] = np.array([title or str(item_id) for title, item_id in named], dtype=object)[again]
    return queries, len(empty)


def category_queries(
    items: pd.DataFrame, asked: np.ndarray, rng: np.random.Generator, language: str = "english"
) -> tuple[pd.Series, int]:
    """One query for each item number in `asked` (Q,): the words of one of its category paths.

    An item without a usable category is asked for as in `known-item`. Returns the queries and how many
    fell back on that. Raises `DataError` where no item at all has categories.
    """
    paths: list[list[str]] = []
    read = _reader(items, language)
    for text in items["categories"]:
        found = (" ".join(dict.fromkeys(read(path))) for path in text.split(PATH_SEPARATOR))
        paths.append([path for path in found if path])
    count = np.array([len(p) for p in paths])
    if not count.any():
        raise DataError(
            "No item has categories, so there are no category paths to make queries from; use the query protocol 'known-item'"
        )
    pick = (rng.random(len(asked)) * count[asked]).astype(np.int64)
    empty = np.flatnonzero(count[asked] == 0)
    place = (np.cumsum(count) - count)[asked] + pick
    place[empty] = 0  # any path, replaced below
    queries = pd.Series([*chain.from_iterable(paths)], dtype="str").take(place).reset_index(drop=True)
    if len(empty):
        queries.iloc[empty] = known_item_queries(items, asked[empty], rng, language)[0].array
    return queries, len(empty)


def synthesise_searches(
    items: pd.DataFrame,
    interactions: pd.DataFrame,
    protocol: str,
    search_share: float = 0.5,
    data_seed: int = 0,
    language: str = "english",
) -> tuple[pd.DataFrame, int]:
    """Searches for a share of the interactions and for every held-out one.

    `interactions` are clean (see `build_dataset`). Returns the table of searches (user_id, session_id,
    query, item_id, timestamp) and how many queries fell back on another rule. Raises `DataError` for a
    share outside 0 to 1 and where the protocol finds nothing to work with.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"queries must be one of {PROTOCOLS}, not {protocol!r}")
    if not 0 <= search_share <= 1:
        raise DataError(f"search_share must lie between 0 and 1, not {search_share}")
    choose, write = np.random.default_rng([data_seed, 2007]).spawn(2)
    user = pd.factorize(interactions["user_id"], sort=True)[0].astype(np.int32)
    order = np.lexsort((interactions["timestamp"].to_numpy(), user))
    user = user[order]
    last = np.searchsorted(user, np.arange(user.max(initial=-1) + 1), side="right")  # where each user's part ends
    held_out = np.arange(len(user)) >= last[user] - 2
    rows = order[held_out | (choose.random(len(order)) < search_share)]
    del user, order, last, held_out
    item_id = interactions["item_id"].take(rows).reset_index(drop=True)
    make = known_item_queries if protocol == "known-item" else category_queries
    queries, fallen_back = make(items, numbers_of(items["item_id"], item_id), write, language)
    sessions = pc.binary_join_element_wise("s", pa.array(np.arange(len(rows))).cast(pa.string()), "")
    searches = pd.DataFrame(
        {
            "user_id": interactions["user_id"].take(rows).reset_index(drop=True),
            "session_id": pd.Series(sessions, dtype="str"),
            "query": queries,
            "item_id": item_id,
            "timestamp": interactions["timestamp"].to_numpy(np.int64)[rows],
        }
    )
    return searches, fallen_back
