"""The measure of a simulated store: statistics for its data card, and how far co-clicks follow the text.

`python -m gensar_lite.data.bazaar.measures` prints the numbers of the data card.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from gensar_lite.data.bazaar.config import BazaarConfig
from gensar_lite.data.bazaar.queries import MODEL, VAGUE
from gensar_lite.data.bazaar.store import Tables, simulate_tables
from gensar_lite.data.lexical import index_terms
from gensar_lite.data.storage import DataError

ALIGNMENTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def neighbours(vectors: sparse.csr_matrix, rows: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """(R, k) nearest items by cosine among all N for the items `rows`; `vectors` is (N, D). Ties are broken at random."""
    vectors = sparse.csr_matrix(normalize(vectors))
    rng = np.random.default_rng(seed)
    found = np.empty((len(rows), k), np.int64)
    step = max(1, 20_000_000 // vectors.shape[0])
    for first in range(0, len(rows), step):
        block = rows[first : first + step]
        similarity = (vectors[block] @ vectors.T).toarray() + 1e-9 * rng.random((len(block), vectors.shape[0]))
        similarity[np.arange(len(block)), block] = -1
        found[first : first + step] = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
    return found


class Neighbourhoods(NamedTuple):
    """Numbers of the R items asked (R,), and their k nearest by text and by co-clicks (R, k)."""

    asked: np.ndarray
    by_text: np.ndarray
    by_clicks: np.ndarray

    @property
    def overlap(self) -> float:
        """Mean share of an item's nearest by text that are among its nearest by co-clicks."""
        return float((self.by_text[:, :, None] == self.by_clicks[:, None, :]).any(axis=2).mean())


def neighbourhoods(
    items: pd.DataFrame,
    interactions: pd.DataFrame,
    searches: pd.DataFrame,
    k: int = 10,
    min_users: int = 5,
    max_items: int = 2000,
    seed: int = 0,
) -> Neighbourhoods:
    """The nearest items by text and by co-clicks.

    By text: cosine of TF-IDF over title and description. By co-clicks: cosine between the sets of
    users who clicked (in recommendations and searches). Only items that `min_users` users clicked are
    asked and offered, at most `max_items` of them asked.

    Raises `DataError` where no more than k items have enough users.
    """
    clicks = pd.concat(
        [interactions[["user_id", "item_id"]], searches[["user_id", "item_id"]].dropna()], ignore_index=True
    ).drop_duplicates()
    number = pd.Series(np.arange(len(items)), index=items["item_id"].to_numpy())
    user, user_ids = pd.factorize(clicks["user_id"])
    item = clicks["item_id"].map(number).to_numpy()
    who = sparse.csr_matrix((np.ones(len(item)), (item, user)), shape=(len(items), max(len(user_ids), 1)))
    known = np.flatnonzero(np.bincount(item, minlength=len(items)) >= min_users)
    if len(known) <= k:
        raise DataError(
            f"Only {len(known)} items were clicked by {min_users} users or more, too few for {k} neighbours; ask for fewer neighbours or take a longer log"
        )
    text = TfidfVectorizer(tokenizer=index_terms, lowercase=False, token_pattern=None).fit_transform(
        (items["title"] + " " + items["description"]).iloc[known]
    )
    asked = np.arange(len(known))
    if len(known) > max_items:
        asked = np.sort(np.random.default_rng(seed).choice(len(known), max_items, replace=False))
    return Neighbourhoods(
        known[asked], known[neighbours(text, asked, k, seed)], known[neighbours(who[known], asked, k, seed)]
    )


def neighbourhood_overlap(
    items: pd.DataFrame, interactions: pd.DataFrame, searches: pd.DataFrame, k: int = 10, **options: int
) -> float:
    """Mean share of an item's k nearest items by text that are also among its k nearest by co-clicks (see `neighbourhoods`).

    By chance the share would be k / (number of items with enough users - 1).
    """
    return neighbourhoods(items, interactions, searches, k, **options).overlap


def overlap_by_alignment(
    config: BazaarConfig, alignments: tuple[float, ...] = ALIGNMENTS, seeds: tuple[int, ...] = (0, 1, 2)
) -> pd.DataFrame:
    """The same store built with each alignment: columns alignment, seed, overlap, and same_category, the share of
    an item's nearest by co-clicks that are of its own category (by chance about 1 / 72)."""
    rows = []
    for seed in seeds:
        for alignment in alignments:
            tables = simulate_tables(replace(config, alignment=alignment, seed=seed))
            near, leaf = neighbourhoods(*tables[:3]), tables.truth.catalogue.leaf
            same = float((leaf[near.by_clicks] == leaf[near.asked][:, None]).mean())
            rows.append({"alignment": alignment, "seed": seed, "overlap": near.overlap, "same_category": same})
    return pd.DataFrame(rows)


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of (N,) counts: 0, all equal; towards 1, one item has all."""
    counts = np.sort(counts).astype(np.float64)
    place = np.arange(1, len(counts) + 1)
    return float(((2 * place - len(counts) - 1) * counts).sum() / (len(counts) * counts.sum()))


def statistics(tables: Tables) -> dict:
    """The numbers of the data card."""
    items, interactions, searches, truth = tables
    events, queries = truth.events, truth.queries
    clicked = events.item[events.clicked]
    counts = np.bincount(clicked, minlength=len(items))
    lengths = np.bincount(events.user)
    words = searches["query"].str.count(" ") + 1
    found = searches.dropna(subset=["item_id"])
    title = items.set_index("item_id")["title"].map(lambda t: set(index_terms(t)))
    missing = [not title[i] & set(index_terms(q)) for q, i in zip(found["query"], found["item_id"], strict=True)]
    pairs = pd.DataFrame({"user": events.user[events.clicked], "item": clicked})
    return {
        "items": len(items),
        "users": len(lengths),
        "recommendation clicks": len(interactions),
        "searches": len(searches),
        "searches with a click": len(found),
        "distinct queries": int(searches["query"].nunique()),
        "events per user: median, mean, 95th percentile, most": [
            float(np.median(lengths)),
            round(float(lengths.mean()), 1),
            float(np.quantile(lengths, 0.95)),
            int(lengths.max()),
        ],
        "words per query: mean, share of 2 to 4": [
            round(float(words.mean()), 2),
            round(float(words.between(2, 4).mean()), 3),
        ],
        "clicks per item: median, most, share of items without": [
            float(np.median(counts)),
            int(counts.max()),
            round(float((counts == 0).mean()), 4),
        ],
        "Gini of clicks over items": round(gini(counts), 3),
        "repeated clicks, share": round(float(pairs.duplicated().mean()), 4),
        "searches without a click, share": round(1 - len(found) / len(searches), 3),
        "queries with a slip, share": round(float(queries.typo.mean()), 3),
        "vague queries, share": round(float((queries.level == VAGUE).mean()), 3),
        "queries by model number, share": round(float((queries.level == MODEL).mean()), 3),
        "clicked searches that share no word with the clicked title": round(float(np.mean(missing)), 3),
        "distinct titles, share": round(items["title"].nunique() / len(items), 4),
    }


def main() -> None:
    """Print the numbers of the data card."""
    parser = argparse.ArgumentParser(
        prog="python -m gensar_lite.data.bazaar.measures",
        description="Statistics of the default store and overlap of neighbourhoods by alignment.",
    )
    parser.parse_args()
    print(json.dumps(statistics(simulate_tables(BazaarConfig())), indent=2))
    print(overlap_by_alignment(BazaarConfig()).pivot(index="alignment", columns="seed").round(3).to_string())


if __name__ == "__main__":
    main()
