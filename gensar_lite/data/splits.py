"""Held-out cases: which events are asked in validation and test, and which may be learned from.

Explained in notebook 07. Of each user the last recommendation click and the last clicked search are
test cases. Everything from the earlier of the two onward is closed to training; before it, the last
event of each task is a validation case, and training ends before the earlier of those. In a
synthesised log the last interaction has both faces, so both tasks ask for the same item with the same
history before it. Leave-one-out: Kang & McAuley 2018 (SASRec), section IV.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gensar_lite.data.events import NO_QUERY, EventLog

TASKS = ("recommendation", "search")
SPLITS = ("valid", "test")
MIN_HISTORY = {"valid": 1, "test": 2}


def hold_out(log: EventLog, num_users: int | None = None, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Choose the held-out cases of a log and the events that training may see.

    A task's last event is held out only where enough events precede it (`MIN_HISTORY`); users with
    fewer serve training alone. `num_users` asks the cases of a random part of the users (all users'
    held-out events stay closed to training).

    Returns `cases` with columns case_id, split, task, user, event (row of the log), item, query
    (text, None for recommendation), and a boolean mask (E,) of the events open to training.
    """
    position = log.position
    faces = {"recommendation": log.recommended & (log.item >= 0), "search": log.searched & (log.item >= 0)}
    limit = np.diff(log.user_ptr)
    chosen = []
    for split in reversed(SPLITS):
        found = {}
        for task in TASKS:
            open_events = np.flatnonzero(faces[task] & (position < limit[log.user]) & (position >= MIN_HISTORY[split]))
            last = np.full(log.num_users, -1, dtype=np.int64)
            last[log.user[open_events]] = open_events  # events are in time order: the last assignment wins
            found[task] = last
            users = np.flatnonzero(last >= 0)
            chosen.append(pd.DataFrame({"split": split, "task": task, "user": users, "event": last[users]}))
        for last in found.values():  # only now: both tasks are held out against the same limit
            users = np.flatnonzero(last >= 0)
            limit[users] = np.minimum(limit[users], position[last[users]])
    cases = pd.concat(chosen, ignore_index=True)
    if num_users is not None and num_users < log.num_users:
        asked = np.random.default_rng(seed).choice(log.num_users, num_users, replace=False)
        cases = cases[cases["user"].isin(asked)]
    cases["split"] = pd.Categorical(cases["split"], SPLITS)
    cases = cases.sort_values(["split", "task", "user"], ignore_index=True)
    cases["split"] = cases["split"].astype(str)
    cases.insert(0, "case_id", np.arange(len(cases)))
    event = cases["event"].to_numpy()
    cases["item"] = log.item[event]
    text = np.array([*log.queries, None], dtype=object)
    cases["query"] = text[np.where(cases["task"].to_numpy() == "search", log.query[event], NO_QUERY)]
    return cases, position < limit[log.user]
