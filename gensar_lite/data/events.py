"""The event log: recommendation clicks and searches of every user, merged in time order.

Explained in notebook 01. One *event* is one thing a user did. Where a table of interactions and a
table of searches describe the same click (same user and item, at the same time or nearly so), the
event has two faces: it is `recommended` and `searched` at once.

One *decision* is what a user was asked once: a recommendation click, the clicks of one shown list, or
the clicks of one search session. The history of an event is everything strictly before its decision
(`before`), so neither the other face nor another click of the same session can leak into it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from gensar_lite.data.texts import Texts, number_texts, numbers_of

NO_QUERY = -1
NO_DECISION = -1
FACE_SECONDS = 600  # search logs and click logs of one click differ by seconds to minutes
DAY = 86_400


@dataclass(frozen=True)
class EventLog:
    """E events of U users, sorted by user, then time; `user_ptr[u]:user_ptr[u + 1]` is user u's part.

    Shapes: `user`, `item`, `query`, `timestamp`, `recommended`, `searched` are (E,); `user_ptr` is (U + 1,).
    `item` numbers rows of the item table (-1: a search without a click); `query` numbers `queries`
    (-1: no search). `before` (E,) is the row at which the history of an event ends: its history is
    `user_ptr[user]:before`. `shown` and `session` (E,) number the decisions of recommendation and of
    search (-1: the event has no such face); events with one number are one decision.
    """

    user_ids: Texts
    queries: Texts
    user_ptr: np.ndarray
    user: np.ndarray
    item: np.ndarray
    query: np.ndarray
    timestamp: np.ndarray
    recommended: np.ndarray
    searched: np.ndarray
    before: np.ndarray
    shown: np.ndarray
    session: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    def hash(self) -> str:
        """SHA-256 of who clicked what in which order: what rankers of clicks depend on, whatever texts and queries say."""
        digest = hashlib.sha256()
        for part in (self.user_ptr, self.item):
            digest.update(np.ascontiguousarray(part, "<i8").data)
        return digest.hexdigest()

    @property
    def position(self) -> np.ndarray:
        """(E,) place of each event in its user's history, counted from 0."""
        return np.arange(len(self)) - self.user_ptr[self.user]


def units_per_second(timestamps: np.ndarray) -> int:
    """How many units of a clock are one second: 1, or 1,000 and more where the numbers are too large for seconds."""
    typical = float(np.median(np.abs(timestamps))) if len(timestamps) else 0.0
    return int(10 ** (3 * np.searchsorted([1e11, 1e14, 1e17], typical)))


def build_log(
    items: pd.DataFrame, interactions: pd.DataFrame, searches: pd.DataFrame, face_tolerance: int = 0
) -> EventLog:
    """Merge the two tables of a data set into one `EventLog` (see `merge_events`)."""
    return merge_events(items, interactions, searches, face_tolerance)[0]


def merge_events(
    items: pd.DataFrame, interactions: pd.DataFrame, searches: pd.DataFrame, face_tolerance: int = 0, day: int = 0
) -> tuple[EventLog, dict[str, int]]:
    """Merge the two tables of a data set, and count the faces of one event that were found.

    A search row joins the nearest interaction of the same user and item within `face_tolerance` (in the
    unit of the timestamps); the n-th of equal ones joins the n-th. The event then stands at the later of the
    two times and its history ends before the earlier. Events with equal timestamps keep the order of their
    table, interactions first. The rows of one (user, session_id, query) are one decision of search,
    interactions of one (user, session_id), where they have this column, one decision of recommendation.

    Returns the log and `{"same_time", "near", "left"}`: faces joined at equal times, at different ones, and
    search clicks left alone though the user clicked the same item elsewhere within `day`.
    """
    user, user_ids = number_texts([interactions["user_id"], searches["user_id"]])
    by_name = pc.sort_indices(user_ids)
    rank = np.empty(len(user_ids), np.int32)
    rank[by_name] = np.arange(len(user_ids), dtype=np.int32)
    user, user_ids = rank[user], user_ids.take(by_name)
    item = np.concatenate([numbers_of(items["item_id"], table["item_id"]) for table in (interactions, searches)])
    time = np.concatenate([interactions["timestamp"].to_numpy(np.int64), searches["timestamp"].to_numpy(np.int64)])
    query, queries = number_texts([searches["query"]])
    clicks, asked = len(interactions), len(searches)

    partner = np.full(asked, -1, np.int64)  # of each search row, an interaction row
    faces = {"same_time": 0, "near": 0, "left": 0}
    if clicks and asked:
        partner = pair_faces(user, item, time, clicks, face_tolerance)
        gap = np.abs(time[clicks:] - time[partner])[partner >= 0]
        faces = {"same_time": int((gap == 0).sum()), "near": int((gap > 0).sum()), "left": 0}
        if day:
            alone = np.concatenate([np.ones(clicks, bool), partner < 0])
            alone[partner[partner >= 0]] = False
            rest = np.flatnonzero(alone)
            wide = pair_faces(user[rest], item[rest], time[rest], int(alone[:clicks].sum()), day)
            faces["left"] = int((wide >= 0).sum())
    joined = np.flatnonzero(partner >= 0)
    with_click = partner[joined]
    row = np.concatenate([np.arange(clicks), clicks + np.flatnonzero(partner < 0)])
    del partner
    start = time.copy()  # when the decision was before the user: the earlier of two faces
    start[with_click] = np.minimum(time[with_click], time[clicks + joined])
    time[with_click] = np.maximum(time[with_click], time[clicks + joined])
    asks = np.concatenate([np.full(clicks, NO_QUERY, np.int32), query])
    asks[with_click] = query[joined]
    session = np.concatenate([np.full(clicks, NO_DECISION, np.int32), _decisions(user[clicks:], searches, query)])
    session[with_click] = session[clicks + joined]
    shown = np.concatenate([_decisions(user[:clicks], interactions), np.full(asked, NO_DECISION, np.int32)])
    del joined, with_click, query

    # each array is put into the log's order at once, so that only one is there twice
    row = row[np.lexsort((time[row], user[row]))]
    user, item, asks, recommended = user[row], item[row], asks[row], row < clicks
    time, start, session, shown = time[row], start[row], session[row], shown[row]
    del row
    user_ptr = np.searchsorted(user, np.arange(len(user_ids) + 1, dtype=np.int32)).astype(np.int64)
    before = _begin(session, start, time, user_ptr[user])
    np.minimum(before, _begin(shown, start, time, user_ptr[user]), out=before)
    del start
    log = EventLog(
        user_ids=Texts(user_ids),
        queries=Texts(queries),
        user_ptr=user_ptr,
        user=user,
        item=item,
        query=asks,
        timestamp=time,
        recommended=recommended,
        searched=session >= 0,
        before=before,
        shown=shown,
        session=session,
    )
    return log, faces


def _decisions(user: np.ndarray, table: pd.DataFrame, query: np.ndarray | None = None) -> np.ndarray:
    """Number the decisions of a table's rows: one per (user, session_id, query); a row without a session is its own."""
    every = np.arange(len(table), dtype=np.int32)
    if "session_id" not in table or not len(table):
        return every
    code, names = pd.factorize(table["session_id"], use_na_sentinel=True)
    own = code < 0
    if own.sum() + len(names) == len(code):
        return every
    code = np.where(own, len(names) + every, code)
    parts = [user, code] if query is None else [user, code, query]
    groups = pd.DataFrame(dict(enumerate(parts))).groupby(list(range(len(parts))), sort=False)
    return groups.ngroup().to_numpy(np.int32)


def _begin(decision: np.ndarray, start: np.ndarray, time: np.ndarray, first_of_user: np.ndarray) -> np.ndarray:
    """(E,) row before which the decision of each event began: its first event, or earlier where it was asked earlier."""
    every = np.arange(len(decision), dtype=np.int32)
    mine = np.flatnonzero(decision >= 0)
    if not len(mine):
        return every
    group = decision[mine]
    begin = np.full(int(group.max()) + 1, len(decision) - 1)
    begin[group[::-1]] = mine[::-1]  # the last assignment wins: the first event
    asked = np.full(len(begin), np.iinfo(np.int64).max)
    np.minimum.at(asked, group, start[mine])
    earlier = np.flatnonzero(asked < time[begin])
    while len(earlier):  # a few events lie between the two clocks of one click
        at = begin[earlier]
        earlier = earlier[(at > first_of_user[at]) & (time[at - 1] >= asked[earlier])]
        begin[earlier] -= 1
    every[mine] = begin[group]
    return every


def pair_faces(user: np.ndarray, item: np.ndarray, time: np.ndarray, clicks: int, tolerance: int) -> np.ndarray:
    """For each row from `clicks` on (searches) the row below `clicks` (an interaction) that is the same click, or -1.

    Same user, same item, times no further apart than `tolerance`; nearest first, each row in one pair at most.
    """
    partner = np.full(len(user) - clicks, -1, np.int64)
    rows = np.flatnonzero(item >= 0)
    searched = rows >= clicks
    rows = rows[np.lexsort((searched, time[rows], item[rows], user[rows]))]
    key = (user, item, time)
    again = np.all([part[rows[1:]] == part[rows[:-1]] for part in key], axis=0)
    again &= (rows[1:] >= clicks) == (rows[:-1] >= clicks)
    if again.any():  # the n-th of equal searches stands beside the n-th of equal clicks
        first = np.flatnonzero(np.concatenate([[True], ~again]))
        nth = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))
        rows = rows[np.lexsort((rows >= clicks, nth, *(part[rows] for part in key[::-1])))]
    far = np.iinfo(np.int64).max
    while len(rows) > 1:
        a, b = rows[:-1], rows[1:]
        close = (user[a] == user[b]) & (item[a] == item[b]) & (time[b] - time[a] <= tolerance)
        gap = np.where(close & ((a < clicks) != (b < clicks)), time[b] - time[a], far)
        if (gap == far).all():
            break
        padded = np.concatenate([[far], gap, [far]])
        chosen = np.flatnonzero((gap < far) & (gap < padded[:-2]) & (gap <= padded[2:]))
        left, right = a[chosen], b[chosen]
        partner[np.maximum(left, right) - clicks] = np.minimum(left, right)
        kept = np.concatenate([[False], close]) | np.concatenate([close, [False]])  # else nothing is within reach
        kept[chosen] = kept[chosen + 1] = False
        rows = rows[kept]
    return partner
