"""The log of the simulated store: who clicks what, when, in which state of mind.

Explained in notebook 01. A shopper is on a *mission* (home barista, trail runner ...), which goes through
three communities of items in order. From event to event the mission mostly goes on; else a new visit
starts, with a mission drawn from the shopper's own. The item is drawn from the community of the moment
by popularity x the shopper's taste, or, with probability 1 - `signal`, by popularity alone. A drawn item
that was clicked before is drawn again, up to `TRIES` times. Whether the event is a recommendation click
or a search is independent of the item: searches differ by the query, which is written for the item.

All of it is arrays over users, event by event, in chunks of `CHUNK` users with a random stream each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from gensar_lite.data.bazaar.catalogue import Catalogue, vocabulary
from gensar_lite.data.bazaar.config import BazaarConfig

CHUNK = 20_000
TRIES = 4
MAX_LENGTH = 300
LENGTH_SIGMA = 0.75
NUM_MISSIONS = np.array([0.25, 0.4, 0.25, 0.1])  # chance of one, two, three, four missions per shopper
WANDER = 0.04  # share of visits on a mission that is not one's own
TASTE, TASTE_FLOOR = 0.25, 0.02
NEW_VISIT = 0.25
FIRST_STAGE = np.array([0.5, 0.3, 0.2])
NEXT_STAGE = np.array([[0.55, 0.35, 0.10], [0.10, 0.55, 0.35], [0.25, 0.15, 0.60]])
OPENING, SEASON_DAYS, DAY = 1_704_067_200, 240, 86_400  # first day of 2024, UTC


@dataclass(frozen=True)
class Shoppers:
    """U users. `missions` (U, 24) and `tastes` (U, 6) are probabilities, `search_share` (U,) their habit, `length` (U,) events."""

    missions: np.ndarray
    tastes: np.ndarray
    search_share: np.ndarray
    length: np.ndarray


@dataclass(frozen=True)
class Events:
    """E events in order of users, then time, with their hidden side.

    `item` (E,) is what the shopper is after, `searched` whether they asked for it, `clicked` whether they
    found it. `last_mission` and `last_stage` (E,) are the state before the event (-1: the first event).
    """

    user: np.ndarray
    item: np.ndarray
    timestamp: np.ndarray
    searched: np.ndarray
    clicked: np.ndarray
    last_mission: np.ndarray
    last_stage: np.ndarray


class Shelves:
    """The items sorted by community and taste, so that one is drawn from a cell by one binary search.

    `weight` (W, 6): summed popularity of a cell.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        v = vocabulary()
        shape = (len(v.leaves), len(v.styles))
        cell = catalogue.community * shape[1] + catalogue.taste
        self.order = np.argsort(cell, kind="stable")
        self.cumulative = np.cumsum(catalogue.popularity[self.order])
        ends = np.searchsorted(cell[self.order], np.arange(shape[0] * shape[1]), side="right")
        reached = np.concatenate([[0.0], self.cumulative])
        self.stop = ends.reshape(shape)
        self.start = np.concatenate([[0], ends[:-1]]).reshape(shape)
        self.weight = np.where(self.stop > self.start, reached[self.stop] - reached[self.start], 0.0)

    def draw(self, community: np.ndarray, tastes: np.ndarray, noise: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """(n,) items for n shoppers: `community` and `noise` are (n,), `tastes` (n, 6), `uniform` (n, 2)."""
        weight = np.cumsum(tastes * self.weight[community], axis=1)
        taste = np.minimum((uniform[:, :1] * weight[:, -1:] >= weight).sum(axis=1), weight.shape[1] - 1)
        noise = noise | (weight[:, -1] <= 0)
        start, stop = self.start[community, taste], self.stop[community, taste]
        below = np.where(start > 0, self.cumulative[start - 1], 0.0)
        target = np.where(
            noise, uniform[:, 1] * self.cumulative[-1], below + uniform[:, 1] * self.weight[community, taste]
        )
        place = np.searchsorted(self.cumulative, target, side="right")
        place = np.where(noise, np.minimum(place, len(self.order) - 1), np.clip(place, start, stop - 1))
        return self.order[place]


def make_shoppers(config: BazaarConfig, chunk: int, num_users: int) -> tuple[Shoppers, np.random.Generator]:
    """Draw a chunk of users; the generator goes on to draw their events."""
    v = vocabulary()
    rng = np.random.default_rng([config.seed, 3, chunk])
    num_missions = len(v.mission_leaves)
    own = rng.choice(len(NUM_MISSIONS), size=num_users, p=NUM_MISSIONS) + 1
    rank = np.argsort(rng.random((num_users, num_missions)), axis=1)
    share = rng.exponential(size=(num_users, num_missions)) * (rank < own[:, None])
    missions = (1 - WANDER) * share / share.sum(axis=1, keepdims=True) + WANDER / num_missions
    tastes = rng.dirichlet(np.full(len(v.styles), TASTE), size=num_users) + TASTE_FLOOR
    fewest = min(4.0, config.mean_events / 2)
    spread = rng.lognormal(np.log(config.mean_events - fewest) - LENGTH_SIGMA**2 / 2, LENGTH_SIGMA, size=num_users)
    length = np.clip(np.floor(fewest + spread + 0.5), 1, MAX_LENGTH).astype(np.int64)
    habit = rng.beta(6 * config.search_share + 1e-6, 6 * (1 - config.search_share) + 1e-6, size=num_users)
    return Shoppers(
        missions.astype(np.float32), (tastes / tastes.sum(axis=1, keepdims=True)).astype(np.float32), habit, length
    ), rng


def make_events(config: BazaarConfig, catalogue: Catalogue) -> tuple[Shoppers, Events]:
    """Simulate all users; the memory beyond the log itself is that of one chunk."""
    shelves = Shelves(catalogue)
    sizes = [min(CHUNK, config.num_users - first) for first in range(0, config.num_users, CHUNK)]
    shoppers, events = [], []
    for chunk, size in enumerate(tqdm(sizes, desc="shoppers", disable=None if len(sizes) > 1 else True)):
        people, rng = make_shoppers(config, chunk, size)
        part = _walk(config, shelves, people, rng)
        shoppers.append(people)
        events.append(
            Events(part.user + chunk * CHUNK, *(getattr(part, name) for name in list(Events.__dataclass_fields__)[1:]))
        )
    joined = {name: np.concatenate([getattr(s, name) for s in shoppers]) for name in Shoppers.__dataclass_fields__}
    return Shoppers(**joined), Events(
        **{name: np.concatenate([getattr(e, name) for e in events]) for name in Events.__dataclass_fields__}
    )


def _walk(config: BazaarConfig, shelves: Shelves, people: Shoppers, rng: np.random.Generator) -> Events:
    """All events of a chunk: step t is drawn at once for all users who have one."""
    v = vocabulary()
    num_users, longest = len(people.length), int(people.length.max())
    longest_first = np.argsort(-people.length, kind="stable")
    length, tastes = people.length[longest_first], people.tastes[longest_first]
    mission_cdf = np.cumsum(people.missions[longest_first], axis=1)
    item = np.full((num_users, longest), -1, np.int32)
    seen = np.full((num_users, longest), -1, np.int32)
    state = np.full((2, num_users, longest + 1), -1, np.int8)
    gap = np.zeros((num_users, longest), np.int64)
    searched = rng.random((num_users, longest)) < people.search_share[longest_first, None]
    clicked = ~searched | (rng.random((num_users, longest)) >= config.no_click_share)
    for t in range(longest):
        n = int(np.searchsorted(-length, -t, side="left"))  # users with more than t events
        mission, stage = state[0, :n, t].astype(np.int64), state[1, :n, t].astype(np.int64)
        fresh = (rng.random(n) < NEW_VISIT) | (mission < 0)
        drawn = np.minimum(
            (rng.random((n, 1)) * mission_cdf[:n, -1:] >= mission_cdf[:n]).sum(axis=1), mission_cdf.shape[1] - 1
        )
        chance = np.where(fresh[:, None], FIRST_STAGE, NEXT_STAGE[np.maximum(stage, 0)])
        stage = np.minimum((rng.random((n, 1)) >= np.cumsum(chance, axis=1)).sum(axis=1), 2)
        mission = np.where(fresh, drawn, mission)
        state[0, :n, t + 1], state[1, :n, t + 1] = mission, stage
        community = v.mission_leaves[mission, stage]
        open_users = np.arange(n)
        for _ in range(TRIES):
            noise = rng.random(len(open_users)) >= config.signal
            item[open_users, t] = shelves.draw(
                community[open_users], tastes[open_users], noise, rng.random((len(open_users), 2))
            )
            open_users = open_users[(seen[open_users, :t] == item[open_users, t, None]).any(axis=1)]
        seen[:n, t] = np.where(clicked[:n, t], item[:n, t], -1)
        pause = np.where(fresh, rng.exponential(5 * DAY, n) + 1800, rng.exponential(150, n) + 8)
        gap[:n, t] = np.where(t == 0, rng.random(n) * SEASON_DAYS * DAY, pause).astype(np.int64)
    back = np.argsort(longest_first, kind="stable")
    real = np.arange(longest) < people.length[:, None]
    timestamp = OPENING + np.cumsum(gap, axis=1)[back]
    return Events(
        user=np.repeat(np.arange(num_users), people.length),
        item=item[back][real],
        timestamp=timestamp[real],
        searched=searched[back][real],
        clicked=clicked[back][real],
        last_mission=state[0, :, :longest][back][real],
        last_stage=state[1, :, :longest][back][real],
    )
