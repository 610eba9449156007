"""The tables of the simulated store, and from them a data set."""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import pandas as pd

from gensar_lite.data.bazaar.catalogue import Catalogue, make_catalogue
from gensar_lite.data.bazaar.config import BazaarConfig
from gensar_lite.data.bazaar.log import Events, Shoppers, make_events
from gensar_lite.data.bazaar.queries import Queries, write_queries
from gensar_lite.data.build import build_dataset
from gensar_lite.data.dataset import Dataset


class Truth(NamedTuple):
    """What the tables do not say."""

    catalogue: Catalogue
    shoppers: Shoppers
    events: Events
    queries: Queries


class Tables(NamedTuple):
    """The three tables of the store, and the truth behind them."""

    items: pd.DataFrame
    interactions: pd.DataFrame
    searches: pd.DataFrame
    truth: Truth


def simulate_tables(config: BazaarConfig) -> Tables:
    """Simulate the store; the same parameters always give the same tables."""
    catalogue = make_catalogue(config)
    shoppers, events = make_events(config, catalogue)
    asked = np.flatnonzero(events.searched)
    queries = write_queries(config, catalogue, events.item[asked])
    digits = max(5, len(str(config.num_users)))
    user_ids = np.array([f"u{u:0{digits}d}" for u in range(config.num_users)], dtype=object)
    item_ids = catalogue.items["item_id"].to_numpy(object)
    clicks = np.flatnonzero(~events.searched)
    interactions = pd.DataFrame(
        {
            "user_id": pd.Series(user_ids[events.user[clicks]], dtype=str),
            "item_id": pd.Series(item_ids[events.item[clicks]], dtype=str),
            "timestamp": events.timestamp[clicks],
        }
    )
    found = np.where(events.clicked[asked], item_ids[events.item[asked]], None)
    searches = pd.DataFrame(
        {
            "user_id": pd.Series(user_ids[events.user[asked]], dtype=str),
            "session_id": pd.Series([f"s{q:08d}" for q in range(len(asked))], dtype=str),
            "query": pd.Series(queries.text, dtype=str),
            "item_id": pd.Series(found, dtype=object).astype(interactions["item_id"].dtype),
            "timestamp": events.timestamp[asked],
        }
    )
    return Tables(catalogue.items, interactions, searches, Truth(catalogue, shoppers, events, queries))


def simulate(config: BazaarConfig | None = None, case_users: int | None = None) -> Dataset:
    """The store as a data set; `info["bazaar"]` holds the parameters. `case_users` bounds the held-out users."""
    config = config or BazaarConfig()
    items, interactions, searches, _ = simulate_tables(config)
    return build_dataset(
        items,
        interactions,
        searches,
        name="bazaar",
        origin="simulated store Bazaar",
        query_protocol="simulated",
        data_seed=config.seed,
        timestamps="clock",
        case_users=case_users,
        extras={"search_share": config.search_share, "bazaar": asdict(config)},
    )
