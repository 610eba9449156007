"""From three clean tables to a data set: held-out cases, candidate lists, fingerprint.

Every origin (simulated store, people's tables, public formats) ends here, so that splits and
candidates are drawn in one place and in one way.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from gensar_lite.data.candidates import draw_bm25, draw_untouched
from gensar_lite.data.dataset import INTERACTION_COLUMNS, ITEM_COLUMNS, PROTOCOLS, SEARCH_COLUMNS, Dataset, fingerprint
from gensar_lite.data.lexical import LexicalIndex
from gensar_lite.data.storage import DataError

QUERY_PROTOCOLS = ("simulated", "known-item", "category-path", "log")
TIMESTAMPS = ("clock", "steps")


def build_dataset(
    items: pd.DataFrame,
    interactions: pd.DataFrame,
    searches: pd.DataFrame,
    *,
    name: str,
    origin: str,
    query_protocol: str,
    data_seed: int,
    timestamps: str,
    case_users: int | None = None,
    extras: dict | None = None,
) -> Dataset:
    """Hold out the cases, draw their candidates and seal the data set with its fingerprint.

    The tables are clean: text columns are str, `timestamp` is int64, item ids are unique, every
    `item_id` of a click is in `items`; `searches.item_id` is null where nothing was clicked.
    `case_users` asks the cases of that many randomly chosen users only. `extras` joins `info`
    (`search_share`, for instance).

    Raises `DataError` for a catalogue of fewer than two items, where there is nothing to rank.
    """
    if query_protocol not in QUERY_PROTOCOLS:
        raise ValueError(f"query_protocol must be one of {QUERY_PROTOCOLS}, not {query_protocol!r}")
    if timestamps not in TIMESTAMPS:
        raise ValueError(f"timestamps must be one of {TIMESTAMPS}, not {timestamps!r}")
    if len(items) < 2:
        raise DataError(
            f"The data set {name!r} has {len(items)} item(s); ranking needs at least two, add items to the catalogue"
        )
    items = items[list(ITEM_COLUMNS)].reset_index(drop=True)
    interactions = interactions[list(INTERACTION_COLUMNS)].reset_index(drop=True)
    searches = searches[list(SEARCH_COLUMNS)].reset_index(drop=True)
    users = pd.concat([interactions["user_id"], searches["user_id"]]).nunique()
    info = {
        "name": name,
        "origin": origin,
        "counts": {
            "items": len(items),
            "users": int(users),
            "interactions": len(interactions),
            "searches": len(searches),
        },
        "query_protocol": query_protocol,
        "search_share": None,
        "data_seed": data_seed,
        "timestamps": timestamps,
        "case_users": case_users,
        **(extras or {}),
    }
    data = Dataset(items, interactions, searches, pd.DataFrame(), info)
    data = replace(data, candidates=draw_candidates(data))
    info["fingerprint"] = fingerprint(data)
    return data


def draw_candidates(data: Dataset) -> pd.DataFrame:
    """The candidate table: one row per held-out case, one list of item numbers per protocol of its task, else null."""
    cases, log = data.held_out, data.log
    user, item = cases["user"].to_numpy(np.int64), cases["item"].to_numpy(np.int64)
    table = pd.DataFrame(
        {
            "case_id": cases["case_id"],
            "split": cases["split"],
            "task": cases["task"],
            "user_id": np.array(log.user_ids, dtype=object)[user] if len(cases) else [],
            "event": cases["event"].to_numpy(np.int64),
            "item_id": data.items["item_id"].to_numpy(object)[item],
            "query": cases["query"],
        }
    )
    # one stream of random numbers per protocol: a change in one never moves another
    streams = np.random.default_rng(data.info["data_seed"]).spawn(3)
    recommended = np.flatnonzero(cases["task"] == "recommendation")
    searched = np.flatnonzero(cases["task"] == "search")
    lists = {
        "uniform99": (
            recommended,
            draw_untouched(log, user[recommended], item[recommended], np.ones(data.num_items), streams[0]),
        ),
        "popular99": (
            recommended,
            draw_untouched(log, user[recommended], item[recommended], data.popularity, streams[1]),
        ),
    }
    hits = np.zeros((0, 0), np.int64)
    if len(searched):
        hits = draw_bm25(
            LexicalIndex(data.item_texts), cases["query"].iloc[searched].to_list(), item[searched], streams[2]
        )
    lists["bm25_99"] = (searched, hits)
    for protocol in (p for task in PROTOCOLS.values() for p in task):
        rows, drawn = lists[protocol]
        column = np.full(len(cases), None, dtype=object)
        for row, numbers in zip(rows, drawn.astype(np.int32), strict=True):
            column[row] = numbers
        table[protocol] = pd.Series(column, dtype=object)
    return table
