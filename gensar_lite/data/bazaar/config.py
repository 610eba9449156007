"""The parameters of the simulated store."""

from __future__ import annotations

from dataclasses import dataclass

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
