"""Who and what the page speaks of besides the model: users' histories, what was held out, examples to begin with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gensar_lite.data.bazaar.oracle import BazaarOracle
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import DataError
from gensar_lite.explore.arrays import Arrays
from gensar_lite.model import GenSAR

SHOWN = 10
NUM_EXAMPLES = 5
NUM_PEOPLE, FEWEST_CLICKS = 3, 10


def pack_people(model: GenSAR, users: Sequence[str], arrays: Arrays) -> dict:
    """The events of some users and what was held out of them; examples to begin with. Raises DataError for unknown users."""
    data, log = model.data, model.data.log
    unknown = [user for user in users if user not in data.user_number]
    if unknown:
        raise DataError(f"the log has no user {', '.join(map(repr, unknown[:5]))}; name users of the log")
    number = np.array([data.user_number[user] for user in users], np.int64)
    start, stop = log.user_ptr[number], log.user_ptr[number + 1]
    pointers = np.concatenate([[0], np.cumsum(stop - start)])
    rows = np.arange(pointers[-1]) + np.repeat(start - pointers[:-1], stop - start)
    asked = np.where(log.searched[rows], log.query[rows], -1)
    typed = np.unique(asked[asked >= 0])
    arrays.add("log.users", pointers.astype(np.int32))
    arrays.add("log.item", log.item[rows].astype(np.int32))
    arrays.add("log.query", np.where(asked >= 0, np.searchsorted(typed, asked), -1).astype(np.int32))
    _pack_held_out(data, number, start, arrays)
    return {
        "users": list(users),
        "queries": [log.queries[query] for query in typed],
        "people": _people(data, number),
        "examples": _examples(data, typed),
    }


def _pack_held_out(data: Dataset, number: np.ndarray, start: np.ndarray, arrays: Arrays) -> None:
    """Per task and user: after how many events the test case asks (-1: no case), what was clicked, the oracle's best items."""
    oracle = BazaarOracle(data) if "bazaar" in data.info else None
    place = np.full(len(data.log.user_ids), -1)
    place[number] = np.arange(len(number))
    for task in TASKS:
        cases = data.cases(task, "test")
        cases = cases.take(np.flatnonzero(place[cases.user] >= 0))
        row = place[cases.user]
        found = np.full((len(number), 2), -1, np.int32)
        found[row] = np.stack([cases.stop - start[row], cases.item], axis=1)
        arrays.add(f"held_out.{task}", found)
        if oracle is None or not len(cases):
            continue
        best = np.zeros((len(number), SHOWN), np.uint16)
        for first in range(0, len(cases), 256):
            scores = oracle.score(cases.take(slice(first, first + 256)), None)
            best[row[first : first + 256]] = np.argsort(-scores, axis=1, kind="stable")[:, :SHOWN]
        arrays.add(f"oracle.{task}", best)


def _examples(data: Dataset, typed: np.ndarray) -> list[str]:
    """Queries to begin with: the commonest that were typed, or where none may be shown the largest categories."""
    if len(typed):
        searches = data.searches["query"].dropna()
        common = searches.value_counts()
        return [str(query) for query in common.index[:NUM_EXAMPLES]]
    leaves = _leaves(data)
    named = pd.Series(leaves[leaves != ""]).value_counts()
    return [str(name) for name in named.index[:NUM_EXAMPLES]]


def _people(data: Dataset, number: np.ndarray) -> list[dict]:
    """Users who are easy to know: those with the largest share of their clicks in one category, each of another one."""
    log, leaf = data.log, _leaves(data)
    clicks = pd.DataFrame({"user": log.user, "leaf": leaf[log.item]})[(log.item >= 0) & np.isin(log.user, number)]
    counts = clicks[clicks["leaf"] != ""].value_counts(["user", "leaf"]).rename("n").reset_index()
    total = clicks["user"].value_counts()
    counts["share"] = counts["n"] / counts["user"].map(total)
    best = counts[counts["user"].map(total) >= FEWEST_CLICKS].sort_values(["share", "user"], ascending=[False, True])
    best = best.drop_duplicates("leaf").drop_duplicates("user")
    return [
        {"user": log.user_ids[user], "about": f"{log.user_ids[user]}: {leaf}"}
        for user, leaf in zip(best["user"][:NUM_PEOPLE], best["leaf"][:NUM_PEOPLE], strict=True)
    ]


def _leaves(data: Dataset) -> np.ndarray:
    """(N,) the last part of each item's category path."""
    return data.items["categories"].str.split(">").str[-1].str.strip().to_numpy(object)
