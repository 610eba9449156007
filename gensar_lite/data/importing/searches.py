"""Searches: one row for each clicked item, one without an item where nothing was clicked."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gensar_lite.data.importing.cleaning import Cleaner
from gensar_lite.data.importing.columns import Coded
from gensar_lite.data.importing.events import Events
from gensar_lite.data.importing.log import Log
from gensar_lite.data.storage import DataError


class SearchCleaner(Cleaner):
    """Searches from the rows of a log."""

    def searches(self, events: Events, clicks: tuple[Coded, Coded] | None) -> Log:
        """One row for each clicked item; a search without a click is one row without an item."""
        events = self.begin(events)
        events = self.queries(events)
        asked = ~events.texts["query"].missing
        number = int((~asked).sum())
        self.say("without_query", number, f"{number} of {len(asked)} rows have no query and are no searches")
        events = events.take(asked)
        if not len(events):
            raise DataError(
                f"{self.name} has no row with both a user and a query; fill these columns, or leave the search log out"
            )
        if clicks is not None:
            item, rows = self._joined_clicks(events, *clicks)
            events = events.take(rows)
        elif "item_id" in events.texts:
            item = events.texts["item_id"].numbers_in(self.ids)
            self._check_ids(events, item)
        else:
            item = np.full(len(events), -1, np.int32)
        if self.said.get("clicks") or self.said.get("labels"):
            self.unclicked(events, ~events.clicked)
            lost = events.clicked & (item < 0)
            self.say("unknown_items", lost.sum(), f"{lost.sum()} clicks are on items that are not in the catalogue")
            item = np.where(events.clicked, item, -1).astype(np.int32)
            events, item = self._one_row_without_click(events, item)
        elif clicks is None and "item_id" in events.texts:
            lost = (item < 0) & ~events.texts["item_id"].missing
            self.say(
                "unknown_items",
                lost.sum(),
                f"{lost.sum()} searches end in an item that is not in the catalogue; they count as searches without a click",
            )
        keep = np.ones(len(events), bool)
        if events.time is not None:
            keep = ~events.time.bad
        events = self.times(events)
        return self.to_log(events, item[keep])

    def _check_ids(self, events: Events, item: np.ndarray) -> None:
        clicked = ~events.texts["item_id"].missing
        if clicked.any() and (item[clicked] < 0).all():
            known = ", ".join(map(repr, self.ids[:2].to_pylist()))
            raise DataError(
                f"{self.name}, column {self.said.get('item_id')!r}: none of the {int(clicked.sum())} clicked items is in the catalogue ({self.examples(events, clicked)}; the catalogue has {known}); both files must use the same ids"
            )

    def _joined_clicks(self, events: Events, session: Coded, clicked: Coded) -> tuple[np.ndarray, np.ndarray]:
        """Items and rows after a table of clicks was joined by session: a row for each click, one without an item where there is none."""
        own = events.texts["session_id"]
        place = session.numbers_in(own.values)
        item = clicked.numbers_in(self.ids)
        lost = int((item < 0).sum())
        self.say("unknown_items", lost, f"{lost} clicks are on items that are not in the catalogue")
        good = (place >= 0) & (item >= 0)
        table = pd.DataFrame({"session": place[good], "item": item[good]})
        rows = pd.DataFrame({"session": own.codes, "row": np.arange(len(own))})
        joined = rows.merge(table, on="session", how="left", sort=False).sort_values("row", kind="stable")
        return joined["item"].fillna(-1).to_numpy(np.int32), joined["row"].to_numpy(np.int64)

    def _one_row_without_click(self, events: Events, item: np.ndarray) -> tuple[Events, np.ndarray]:
        """Of each list that was shown: its clicks, or one row where nothing (that is known) was clicked."""
        columns = {"user": events.texts["user_id"].codes, "query": events.texts["query"].codes}
        if "session_id" in events.texts:
            columns["session"] = events.texts["session_id"].codes
        elif events.time is not None:
            columns["time"] = events.time.values
        if events.shown_lists:
            columns["line"] = events.line
        group = pd.DataFrame(columns).groupby(list(columns), sort=False, dropna=False).ngroup().to_numpy()
        with_click = np.zeros(group.max(initial=-1) + 1, bool)
        with_click[group[item >= 0]] = True
        first = ~pd.Series(group).duplicated().to_numpy()
        keep = (item >= 0) | (first & ~with_click[group])
        number = int((~with_click).sum())
        self.say(
            "without_click",
            number,
            f"{number} searches without a click (on a known item) count as searches without an item",
        )
        self.report.counts[f"{self.table}_shown_rows"] = int((~keep).sum())
        return events.take(keep), item[keep]
