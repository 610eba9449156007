"""Held-out cases: which decisions are asked in validation and test, and which events may be learned from.

Explained in notebook 07. Three ways:

- `leave-one-out` (Kang & McAuley 2018, SASRec, section IV): of each user the last decision of
  recommendation and the last clicked search are test cases. Everything from the earlier of the two
  onward is closed to training; before it, the last decision of each task is a validation case, and
  training ends before the earlier of those. In a synthesised log the last interaction has both faces,
  so both tasks ask for the same item with the same history before it.
- `time`: one moment for everybody. Training sees the events before it, decisions of the tenth of the
  events after it are validation cases, those of the last tenth are test cases (Ji et al., TOIS 2023:
  leave-one-out lets a model learn from what happened after the question).
- `queries`: without users there is no history. A query is in one split as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gensar_lite.data.events import NO_QUERY, EventLog
from gensar_lite.data.storage import DataError

TASKS = ("recommendation", "search")
SPLITS = ("valid", "test")
HOLDOUTS = ("leave-one-out", "time", "queries")
MIN_HISTORY = {"valid": 1, "test": 2}
TIME_SHARES = (0.8, 0.9)  # where validation and test begin, as shares of the events


@dataclass(frozen=True)
class Decisions:
    """D decisions of one task with at least one click.

    `user`, `begin` (where the history ends), `first` and `last` (rows of the log) are (D,); decision d's R_d
    relevant items, each once, are `item[ptr[d]:ptr[d + 1]]`.
    """

    user: np.ndarray
    begin: np.ndarray
    first: np.ndarray
    last: np.ndarray
    ptr: np.ndarray
    item: np.ndarray


def decisions(log: EventLog, task: str) -> Decisions:
    """The decisions of a task, in the order of their first events."""
    number = log.shown if task == "recommendation" else log.session
    events = np.flatnonzero((np.asarray(number) >= 0) & (np.asarray(log.item) >= 0))
    if (np.bincount(number[events]) <= 1).all():  # a decision each, as in most logs: nothing to gather
        rows, ptr = events.astype(np.int32), np.arange(len(events) + 1, dtype=np.int32)
        return Decisions(log.user[rows], log.before[rows], rows, rows, ptr, log.item[rows])
    _, first, group = np.unique(number[events], return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    group = rank[group]
    by_group = np.argsort(group, kind="stable")
    events, group = events[by_group], group[by_group]
    edges = np.searchsorted(group, np.arange(len(first) + 1))
    item = log.item[events].astype(np.int64)
    begin = (
        np.minimum.reduceat(log.before[events].astype(np.int64), edges[:-1]) if len(first) else np.zeros(0, np.int64)
    )
    seen = np.lexsort((np.arange(len(item)), item, group))
    again = np.zeros(len(item), bool)
    again[seen[1:]] = (group[seen[1:]] == group[seen[:-1]]) & (item[seen[1:]] == item[seen[:-1]])
    ptr = np.concatenate([[0], np.cumsum(np.bincount(group[~again], minlength=len(first)))]).astype(np.int64)
    return Decisions(log.user[events[edges[:-1]]], begin, events[edges[:-1]], events[edges[1:] - 1], ptr, item[~again])


def hold_out(
    log: EventLog,
    num_users: int | None = None,
    seed: int = 0,
    holdout: str = "leave-one-out",
    assigned: np.ndarray | None = None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Choose the held-out cases of a log and the events that training may see.

    A decision is held out only where enough events precede it (`MIN_HISTORY`; with `holdout` "queries"
    none has to). `num_users` asks the cases of a random part of the users that have any (all users'
    held-out events stay closed to training). `assigned` (U,) gives a split to each user ("train", "valid",
    "test") for "queries"; without it eight tenths train and one tenth each validates and tests.

    Returns `cases` with columns case_id, split, task, user, start, stop (the history is these rows of the
    log), query (text, None for recommendation), items (list of relevant item numbers), and a boolean
    mask (E,) of the events open to training. Raises `DataError` for a time split of a single moment.
    """
    if holdout not in HOLDOUTS:
        raise ValueError(f"holdout must be one of {HOLDOUTS}, not {holdout!r}")
    found = {task: decisions(log, task) for task in TASKS}
    choose = {"leave-one-out": _last_of_users, "time": _after_moments, "queries": _by_query}[holdout]
    chosen, train = choose(log, found, np.random.default_rng([seed, 1]), assigned)
    if num_users is not None:
        asked = np.unique(np.concatenate([found[task].user[rows] for _, task, rows in chosen]))
        if num_users < len(asked):
            asked = np.random.default_rng(seed).choice(asked, num_users, replace=False)
            chosen = [(split, task, rows[np.isin(found[task].user[rows], asked)]) for split, task, rows in chosen]
    parts = []
    for split, task, rows in sorted(chosen, key=lambda part: (SPLITS.index(part[0]), TASKS.index(part[1]))):
        d = found[task]
        rows = rows[np.lexsort((d.begin[rows], d.user[rows]))]
        query = log.query[d.first[rows]] if task == "search" else np.full(len(rows), NO_QUERY)
        parts.append(
            pd.DataFrame(
                {
                    "split": split,
                    "task": task,
                    "user": d.user[rows].astype(np.int64),
                    "start": log.user_ptr[d.user[rows]],
                    "stop": d.begin[rows].astype(np.int64),
                    "query": pd.Series(log.queries.take(query), dtype=object),
                    "items": pd.Series([d.item[d.ptr[r] : d.ptr[r + 1]] for r in rows], dtype=object),
                }
            )
        )
    cases = pd.concat(parts, ignore_index=True)
    cases.insert(0, "case_id", np.arange(len(cases)))
    return cases, train


Chosen = list[tuple[str, str, np.ndarray]]


def _last_of_users(
    log: EventLog, found: dict[str, Decisions], rng: np.random.Generator, assigned: np.ndarray | None
) -> tuple[Chosen, np.ndarray]:
    limit = log.user_ptr[1:].copy()  # rows from here on are closed
    chosen: Chosen = []
    for split in reversed(SPLITS):
        last = {}
        for task, d in found.items():
            history = d.begin - log.user_ptr[d.user]
            open_ones = np.flatnonzero((d.last < limit[d.user]) & (history >= MIN_HISTORY[split]))
            open_ones = open_ones[np.lexsort((d.last[open_ones], d.begin[open_ones]))]
            latest = np.full(log.num_users, -1, np.int64)
            latest[d.user[open_ones]] = open_ones  # in time order: the last assignment wins
            last[task] = latest[latest >= 0]
            chosen.append((split, task, last[task]))
        for task, rows in last.items():  # only now: both tasks are held out against the same limit
            users = found[task].user[rows]
            limit[users] = np.minimum(limit[users], found[task].begin[rows])
    return chosen, np.arange(len(log)) < limit[log.user]


def _after_moments(
    log: EventLog, found: dict[str, Decisions], rng: np.random.Generator, assigned: np.ndarray | None
) -> tuple[Chosen, np.ndarray]:
    valid, test = moments(log)
    chosen: Chosen = []
    for task, d in found.items():
        first, last, history = log.timestamp[d.first], log.timestamp[d.last], d.begin - log.user_ptr[d.user]
        chosen.append(("test", task, np.flatnonzero((first >= test) & (history >= MIN_HISTORY["test"]))))
        between = (first >= valid) & (last < test) & (history >= MIN_HISTORY["valid"])
        chosen.append(("valid", task, np.flatnonzero(between)))
    return chosen, np.asarray(log.timestamp) < valid


def moments(log: EventLog) -> tuple[int, int]:
    """When validation and test begin in a split by time."""
    if not len(log):
        raise DataError("The log has no event, so it cannot be split by time")
    valid, test = (int(t) for t in np.quantile(log.timestamp, TIME_SHARES, method="higher"))
    if not log.timestamp.min() < valid < test:
        raise DataError(
            "The times of the log are too few to split it by time (training, validation and test need moments of their own); use --holdout leave-one-out"
        )
    return valid, test


def _by_query(
    log: EventLog, found: dict[str, Decisions], rng: np.random.Generator, assigned: np.ndarray | None
) -> tuple[Chosen, np.ndarray]:
    if assigned is None:
        shares = (TIME_SHARES[0], TIME_SHARES[1] - TIME_SHARES[0], 1 - TIME_SHARES[1])
        assigned = np.repeat(["train", *SPLITS], np.diff(np.round(np.cumsum([0, *shares]) * log.num_users).astype(int)))
        assigned = rng.permutation(assigned)
    elif not (assigned == "valid").any():  # a tenth of the training queries: test cases choose nothing
        assigned = assigned.copy()
        open_ones = np.flatnonzero(assigned == "train")
        assigned[rng.choice(open_ones, max(1, len(open_ones) // 10), replace=False)] = "valid"
    chosen: Chosen = [
        (split, task, np.flatnonzero(assigned[d.user] == split)) for split in SPLITS for task, d in found.items()
    ]
    return chosen, assigned[log.user] == "train"
