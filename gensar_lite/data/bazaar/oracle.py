"""The oracle of the simulated store: a ranker that knows the true probabilities, the ceiling for every other.

Explained in notebook 01. For each case it knows all that was settled before the event: the shopper's missions
and taste, the mission and stage of the event before, which items were clicked, and, in search, what the
query means. It does not know what the dice of the event itself showed. Asked without history it ranks
by the probability averaged over all shoppers.
"""

from __future__ import annotations

import numpy as np

from gensar_lite.data.bazaar import log as bazaar_log
from gensar_lite.data.bazaar.catalogue import vocabulary
from gensar_lite.data.bazaar.config import BazaarConfig
from gensar_lite.data.bazaar.log import FIRST_STAGE, NEW_VISIT, NEXT_STAGE, TRIES, Shelves
from gensar_lite.data.bazaar.queries import likelihood
from gensar_lite.data.bazaar.store import simulate_tables
from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.storage import DataError

UNFIT = 1e-9  # keeps the items that do not fit a query in the order of preference, below all that do


class BazaarOracle:
    """Ranks by the simulator's true click probabilities; made from the data set, which is simulated again.

    Raises `DataError` where the data set was not simulated or its tables are not those of its parameters.
    """

    name = "oracle"
    tasks: tuple[str, ...] = ("recommendation", "search")

    def __init__(self, data: Dataset) -> None:
        if "bazaar" not in data.info:
            raise DataError(
                f"The data set {data.name!r} was not simulated (no `bazaar` in dataset.json), so nobody knows its truth; use the oracle with `load_dataset('bazaar')`"
            )
        try:
            self.config = BazaarConfig(**data.info["bazaar"])
        except TypeError as error:
            raise DataError(
                f"`bazaar` in dataset.json does not hold the parameters of a simulated store ({error}); simulate it again"
            ) from error
        _, _, _, truth = simulate_tables(self.config)
        self.truth, self.log = truth, data.log
        same = (
            len(data.log) == len(truth.events.user)
            and np.array_equal(data.log.timestamp, truth.events.timestamp)
            and data.num_items == len(truth.catalogue.leaf)
        )
        if not same:
            raise DataError(
                "The simulated store does not come out again from the parameters in dataset.json; simulate it again with this version"
            )
        self.weight = Shelves(truth.catalogue).weight
        events = truth.events
        self.query_row = np.full(len(events.user), -1)
        self.query_row[events.searched] = np.arange(int(events.searched.sum()))
        v = vocabulary()
        self.mission_of, self.stage_of = np.zeros(len(v.leaves), np.int64), np.zeros(len(v.leaves), np.int64)
        for stage, leaves in enumerate(v.mission_leaves.T):
            self.mission_of[leaves], self.stage_of[leaves] = np.arange(len(leaves)), stage
        self._average = self._averaged()

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) log-probabilities of the items `candidates` (C, n), or (C, N) of all items when None."""
        if candidates is None:
            candidates = np.broadcast_to(
                np.arange(len(self.truth.catalogue.leaf)), (len(cases), len(self.truth.catalogue.leaf))
            )
        anonymous = (cases.start == cases.stop)[:, None]
        probability = np.where(anonymous, self._of_anyone(candidates), self._of_user(cases, candidates))
        if cases.query is not None:
            probability = probability * np.maximum(
                likelihood(self.truth.catalogue, self.truth.queries, self.query_row[cases.stop], candidates), UNFIT
            )
        return np.log(np.maximum(probability, 1e-300))

    def _communities(self, user: np.ndarray, event: np.ndarray) -> np.ndarray:
        """(C, W) chance of each community at an event, given the state before it."""
        t = self.truth.events
        fresh = self.truth.shoppers.missions[user][:, self.mission_of] * FIRST_STAGE[self.stage_of]
        mission, stage = t.last_mission[event].astype(np.int64)[:, None], t.last_stage[event].astype(np.int64)[:, None]
        stays = (mission == self.mission_of) * NEXT_STAGE[np.maximum(stage, 0), self.stage_of]
        return np.where(mission < 0, fresh, NEW_VISIT * fresh + (1 - NEW_VISIT) * stays)

    def _preference(self, user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(C, W) signal share (0 where a community has no item) and (C, W) 1 / sum of popularity x taste in the community."""
        total = self.truth.shoppers.tastes[user].astype(np.float64) @ self.weight.T
        return np.where(total > 0, self.config.signal, 0.0), 1 / np.where(total > 0, total, 1.0)

    def _of_user(self, cases: Cases, items: np.ndarray) -> np.ndarray:
        c, user = self.truth.catalogue, self.truth.events.user[cases.stop]
        chance = self._communities(user, cases.stop)
        signal, scale = self._preference(user)
        tastes = self.truth.shoppers.tastes[user]
        row = np.repeat(np.arange(len(cases)), cases.stop - cases.start)
        event = np.arange(len(row)) - np.repeat(
            np.cumsum(cases.stop - cases.start) - cases.stop, cases.stop - cases.start
        )
        touched = self.log.item[event]
        pairs = np.unique(row[touched >= 0] * len(c.leaf) + touched[touched >= 0])
        row, touched = pairs // len(c.leaf), pairs % len(c.leaf)
        # Chance that a draw hits an item clicked before, per community: such a draw is repeated up to TRIES times.
        seen = np.zeros_like(chance)
        np.add.at(seen, row, (1 - signal[row]) * c.popularity[touched, None])
        own = c.community[touched]
        np.add.at(
            seen, (row, own), signal[row, own] * scale[row, own] * tastes[row, c.taste[touched]] * c.popularity[touched]
        )
        again = seen ** (TRIES - 1)
        unseen = np.sum([seen**k for k in range(TRIES)], axis=0)
        is_seen = np.isin(np.arange(len(cases))[:, None] * len(c.leaf) + items, pairs)
        rows, community = np.arange(len(cases))[:, None], c.community[items]
        noise = np.where(
            is_seen, (chance * (1 - signal) * again).sum(1)[:, None], (chance * (1 - signal) * unseen).sum(1)[:, None]
        )
        factor = np.where(is_seen, again[rows, community], unseen[rows, community])
        wanted = (
            chance[rows, community] * signal[rows, community] * scale[rows, community] * tastes[rows, c.taste[items]]
        )
        return c.popularity[items] * (noise + wanted * factor)

    def _averaged(self) -> tuple[np.ndarray, float]:
        """(W, 6) mean over all shoppers of what multiplies popularity at a fresh visit, and the mean share of noise."""
        shoppers = self.truth.shoppers
        total, noise = np.zeros_like(self.weight), 0.0
        num_users = len(shoppers.length)
        for first in range(0, num_users, bazaar_log.CHUNK):
            user = np.arange(first, min(first + bazaar_log.CHUNK, num_users))
            chance = shoppers.missions[user][:, self.mission_of] * FIRST_STAGE[self.stage_of]
            signal, scale = self._preference(user)
            total += (chance * signal * scale).T @ shoppers.tastes[user]
            noise += float((chance * (1 - signal)).sum())
        return total / num_users, noise / num_users

    def _of_anyone(self, items: np.ndarray) -> np.ndarray:
        c = self.truth.catalogue
        table, noise = self._average
        return c.popularity[items] * (noise + table[c.community[items], c.taste[items]])
