"""Which events stay: cores and samples of users."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.log import Log
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.storage import DataError


class Selection:
    """Which events stay, with one number for each user in all tables."""

    def __init__(self, logs: dict[str, Log], num_items: int) -> None:
        self.logs, self.num_items = logs, num_items
        values = [log.user.values for log in logs.values()]
        self.users = (
            pc.unique(pa.concat_arrays([v.cast(pa.string()) for v in values])) if values else pa.array([], pa.string())
        )

    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        user = [log.user.numbers_in(self.users) for log in self.logs.values()]
        item = [log.item for log in self.logs.values()]
        return np.concatenate([*user, np.zeros(0, np.int32)]), np.concatenate([*item, np.zeros(0, np.int32)])

    def _keep(self, users: np.ndarray, items: np.ndarray | None) -> None:
        """Keep events of some users; those on other items are dropped, searches lose their click."""
        for table, log in list(self.logs.items()):
            rows = users[log.user.numbers_in(self.users)]
            if items is not None:
                known = items[log.item] | (log.item < 0)
                if table == "searches":
                    log.item = np.where(known, log.item, -1).astype(np.int32)
                else:
                    rows = rows & known
            self.logs[table] = log.take(rows)

    def core(self, k: int, report: ImportReport) -> None:
        """The k-core: the largest part in which every user and item has at least k clicks of both tables together."""
        user, item = self._numbers()
        clicked = item >= 0
        stay = core_mask(user[clicked], item[clicked], k)
        users = np.zeros(max(len(self.users), 1), bool)
        users[user[clicked][stay]] = True
        items = np.zeros(self.num_items + 1, bool)
        items[item[clicked][stay]] = True
        self._keep(users, items)
        report.counts |= {"core": k, "events_in_core": int(stay.sum())}
        report.note(
            f"the {k}-core was taken: {int(users.sum())} users and {int(items.sum())} items with at least {k} clicks each, {int(stay.sum())} of {int(clicked.sum())} clicks"
        )
        if not stay.any():
            raise DataError(f"There are no users and items with {k} or more clicks each; choose a smaller --k-core")

    def sample(self, num_users: int, seed: int, report: ImportReport) -> None:
        """A random sample of users, with all their events."""
        user, _ = self._numbers()
        there = np.unique(user)
        if len(there) <= num_users:
            return
        chosen = np.random.default_rng(seed).choice(there, num_users, replace=False)
        users = np.zeros(len(self.users), bool)
        users[chosen] = True
        self._keep(users, None)
        report.counts["sampled_users"] = num_users
        report.note(f"a random sample of {num_users} of {len(there)} users was taken")

    def clicked(self) -> np.ndarray:
        """(N,) items with a click."""
        _, item = self._numbers()
        return np.bincount(item[item >= 0], minlength=self.num_items) > 0

    def renumber(self, rows: np.ndarray) -> None:
        """Items that were left out lose their number."""
        to = np.where(rows, np.cumsum(rows) - 1, -1).astype(np.int32)
        for log in self.logs.values():
            log.item = np.where(log.item >= 0, to[log.item], -1).astype(np.int32)


def core_mask(user: np.ndarray, item: np.ndarray, k: int) -> np.ndarray:
    """Mask (E,) of the events in the k-core: the largest part in which every user and item has at least k events."""
    keep = np.ones(len(user), dtype=bool)
    while True:
        before = int(keep.sum())
        for number in (user, item):
            keep &= np.bincount(number[keep], minlength=number.max(initial=0) + 1)[number] >= k
        if int(keep.sum()) == before:
            return keep
