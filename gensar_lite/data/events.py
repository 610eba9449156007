"""The event log: recommendation clicks and searches of every user, merged in time order.

Explained in notebook 01. One *event* is one thing a user did. Where a table of interactions and a
table of searches describe the same click (same user, item and timestamp), the event has two faces:
it is `recommended` and `searched` at once. Merging the faces is what keeps targets out of their own
histories: the history of an event is everything strictly before it, so neither face can leak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

NO_ITEM = -1
NO_QUERY = -1


@dataclass(frozen=True)
class EventLog:
    """E events of U users, sorted by user, then time; `user_ptr[u]:user_ptr[u + 1]` is user u's part.

    Shapes: `user`, `item`, `query`, `timestamp`, `recommended`, `searched` are (E,); `user_ptr` is (U + 1,).
    `item` numbers rows of the item table (-1: a search without a click); `query` numbers `queries`
    (-1: no search).
    """

    user_ids: list[str]
    queries: list[str]
    user_ptr: np.ndarray
    user: np.ndarray
    item: np.ndarray
    query: np.ndarray
    timestamp: np.ndarray
    recommended: np.ndarray
    searched: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def position(self) -> np.ndarray:
        """(E,) place of each event in its user's history, counted from 0."""
        return np.arange(len(self)) - self.user_ptr[self.user]


def build_log(items: pd.DataFrame, interactions: pd.DataFrame, searches: pd.DataFrame) -> EventLog:
    """Merge the two tables of a data set into one `EventLog`.

    Events with equal timestamps keep the order of their table, interactions first. A search row whose
    (user, item, timestamp) equals an interaction's becomes that event's second face; the n-th such
    search joins the n-th such interaction.
    """
    item_number = pd.Series(np.arange(len(items)), index=items["item_id"].to_numpy())
    clicks = interactions[["user_id", "item_id", "timestamp"]].assign(query=None, recommended=True, searched=False)
    asked = searches[["user_id", "item_id", "timestamp", "query"]].assign(recommended=False, searched=True)

    key = ["user_id", "item_id", "timestamp"]
    clicks["nth"] = clicks.groupby(key, sort=False).cumcount()
    asked["nth"] = asked.groupby(key, sort=False, dropna=False).cumcount()
    faces = clicks.reset_index(names="row").merge(
        asked[[*key, "nth", "query"]], on=[*key, "nth"], suffixes=("", "_face")
    )
    clicks.loc[faces["row"], "query"] = faces["query_face"].to_numpy()
    clicks.loc[faces["row"], "searched"] = True
    twins = pd.MultiIndex.from_frame(faces[[*key, "nth"]])
    own = asked[~pd.MultiIndex.from_frame(asked[[*key, "nth"]]).isin(twins)]

    parts = [part for part in (clicks, own) if len(part)]
    events = pd.concat(parts, ignore_index=True) if parts else clicks
    user_ids = sorted(events["user_id"].unique())
    events["user"] = pd.Categorical(events["user_id"], categories=user_ids).codes
    events = events.sort_values(["user", "timestamp"], kind="stable", ignore_index=True)
    query, queries = pd.factorize(events["query"], use_na_sentinel=True)
    user = events["user"].to_numpy(np.int32)
    return EventLog(
        user_ids=list(user_ids),
        queries=[str(q) for q in queries],
        user_ptr=np.searchsorted(user, np.arange(len(user_ids) + 1)).astype(np.int64),
        user=user,
        item=events["item_id"].map(item_number).fillna(NO_ITEM).to_numpy(np.int32),
        query=query.astype(np.int32),
        timestamp=events["timestamp"].to_numpy(),
        recommended=events["recommended"].to_numpy(bool),
        searched=events["searched"].to_numpy(bool),
    )
