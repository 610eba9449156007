"""Bazaar, the simulated store whose truth is known: its parameters, and from them a data set.

Explained in notebook 01 and in the data card `data/README.md`. `python -m gensar_lite.data.bazaar --out FOLDER`
writes the default store. The catalogue is made in `bazaar_catalogue`, the clicks in `bazaar_log`, the
queries in `bazaar_queries`; `bazaar_oracle` knows the truth and `bazaar_measures` takes the store's measure.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import numpy as np
import pandas as pd

from gensar_lite.data.bazaar_catalogue import Catalogue, make_catalogue
from gensar_lite.data.bazaar_log import Events, Shoppers, make_events
from gensar_lite.data.bazaar_queries import Queries, write_queries
from gensar_lite.data.build import build_dataset
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError

SHARES = ("alignment", "signal", "vagueness", "search_share", "no_click_share", "typo_share")


@dataclass(frozen=True)
class BazaarConfig:
    """The knobs of the store. The reasons for the defaults are in the data card.

    num_items, num_users: N and U. mean_events: mean events per user (recommendation clicks and searches).
    alignment: share of the items whose co-click community is their category (1: communities follow the
    categories, 0: unrelated). signal: share of clicks led by mission and taste, the others follow
    popularity alone. vagueness: how under-specified queries are. search_share: searches among events.
    no_click_share, typo_share: searches without a click, searches with a slip.

    Raises `DataError` for a value out of range.
    """

    num_items: int = 2000
    num_users: int = 1500
    mean_events: float = 20.0
    alignment: float = 0.5
    signal: float = 0.85
    vagueness: float = 0.5
    search_share: float = 0.4
    no_click_share: float = 0.1
    typo_share: float = 0.08
    seed: int = 0

    def __post_init__(self) -> None:
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"Bazaar: {name} must lie between 0 and 1, not {getattr(self, name)!r}")
        for name, least in (("num_items", 2), ("num_users", 1), ("mean_events", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise DataError(f"Bazaar: {name} must be at least {least}, not {getattr(self, name)!r}")


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


def main(arguments: list[str] | None = None) -> None:
    """Write a store to a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m gensar_lite.data.bazaar", description="Simulate the store Bazaar and write it to a folder."
    )
    parser.add_argument("--out", required=True, help="folder to write")
    for field in fields(BazaarConfig):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            help=f"default {field.default}",
        )
    chosen = vars(parser.parse_args(arguments))
    out = chosen.pop("out")
    try:
        data = simulate(BazaarConfig(**chosen))
    except DataError as error:
        parser.error(str(error))
    data.save(out)
    print(f"{out}: {data.info['counts']}, fingerprint {data.info['fingerprint'][:16]}")


if __name__ == "__main__":
    main()
