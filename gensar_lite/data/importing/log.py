"""What the rows of a log mean: which are events, in which order, and what is dropped and why.

Every row that came in is an event of the result, or is counted in the report under one reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import MISSING, Coded, clean_ids, split_lists
from gensar_lite.data.importing.events import Events
from gensar_lite.data.importing.items import spelled
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.texts import clean_texts
from gensar_lite.data.storage import DataError

NO_QUERY = ("-1",)


@dataclass
class Log:
    """R events in the order of the file: `item` (R,) int32 is a row of the catalogue, -1 for none.

    `time` (R,) is None where the order of the file stands for it; `exponent` is the unit (see `times`).
    `line` (R,) orders events of equal time.
    """

    user: Coded
    item: np.ndarray
    line: np.ndarray
    time: np.ndarray | None
    exponent: int | None = None
    session: Coded | None = None
    query: Coded | None = None
    event: Coded | None = None
    apart: Coded | None = None  # a cell that keeps copies apart
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    cells: np.ndarray | None = None
    days: bool = False  # times are whole days
    files: tuple = ()
    written: str = ""

    def __len__(self) -> int:
        return len(self.item)

    def take(self, rows: np.ndarray) -> Log:
        """Some rows, by number or mask."""
        some: dict[str, Any] = {
            name: getattr(self, name).take(rows) if getattr(self, name) is not None else None
            for name in ("user", "session", "query", "event", "apart")
        }
        return replace(
            self,
            **some,
            item=self.item[rows],
            line=self.line[rows],
            time=None if self.time is None else self.time[rows],
            numbers={n: v[rows] for n, v in self.numbers.items()},
            cells=None if self.cells is None else self.cells[rows],
        )

    def key(self, *names: str) -> pd.DataFrame:
        """Columns of numbers that tell events apart."""
        columns: dict[str, Any] = {"user": self.user.codes, "item": self.item}
        if self.time is not None:
            columns["time"] = self.time
        for name in names:
            value = getattr(self, name)
            if value is not None:
                columns[name] = value.codes if isinstance(value, Coded) else value
        return pd.DataFrame(columns)


class Cleaner:
    """Drops and repairs the rows of one log table and says so. `table` is "interactions" or "searches"."""

    def __init__(
        self,
        table: str,
        name: str,
        said: dict[str, Any],
        ids: pa.Array,
        report: ImportReport,
        first_row: int | None = None,
    ) -> None:
        self.table, self.name, self.said, self.ids, self.report = table, name, said, ids, report
        self.first_row = first_row
        self.missing = (*MISSING, *said.get("missing", ()))

    def say(self, key: str, count: int, sentence: str, line: np.ndarray | None = None) -> None:
        """Count and say, with the name of the file and the numbers of the first rows."""
        rows = None if line is None or self.first_row is None else np.unique(line) + self.first_row
        self.report.say(f"{self.table}_{key}", int(count), f"{self.name}: {sentence}", rows)

    def drop(self, events: Events, bad: np.ndarray, key: str, what: str) -> Events:
        """Drop rows: `what` completes "N of M rows …"."""
        self.say(key, bad.sum(), f"{bad.sum()} of {len(bad)} rows {what} and were dropped", events.line[bad])
        return events.take(~bad) if bad.any() else events

    # ------------------------------------------------------------------ steps that both tables share
    def begin(self, events: Events) -> Events:
        """Counts, ids without blanks, rows without a user dropped."""
        if not events.rows:
            raise DataError(f"{self.name} has no rows; add at least one")
        counts = self.report.counts
        counts[f"{self.table}_rows"] = events.rows
        if events.entries:
            counts[f"{self.table}_entries"] = events.entries
        if events.left_out_rows:
            values = ", ".join(f"{k} {n}" for k, n in sorted(events.left_out.items())[:12])
            self.say(
                "left_out",
                events.left_out_rows,
                f"{events.left_out_rows} of {events.rows} rows are left out by {self.said['where']!r} ({values})",
            )
        self.say("empty_lists", events.empty_lists, f"{events.empty_lists} users have an empty list")
        for word in ("user_id", "item_id", "session_id"):
            if word not in events.texts:
                continue
            events.texts[word], words, points = clean_ids(events.texts[word], self.missing)
            column = self.said.get(word, word)
            for value, number in words.items():
                self.say(f"missing_{word}", number, f"{number} cells of {column} are {value}: missing values")
            if points and word != "session_id":
                self.report.note(
                    f"{self.name}: all {points} different values of {column} end in .0 (12.0); they were read as whole numbers (12)"
                )
        if self.said.get("user_id") == "line":
            self.report.note(f"{self.name} names no users: each line is one, called by its number from 1")
        user = events.texts["user_id"]
        events = self.drop(events, user.missing, "without_user", f"have no {self.said['user_id']} (the user)")
        if not len(events) and events.rows:
            raise DataError(
                f"{self.name} has no row with a user; fill the column {self.said['user_id']!r}, or say which one it is with --columns {self.table}.user_id=NAME"
            )
        return events

    def unclicked(self, events: Events, bad: np.ndarray) -> None:
        """Say which rows are no clicks."""
        if not bad.any():
            return
        number = int(bad.sum())
        if self.said.get("impressions") or self.said.get("labels"):
            key = pd.DataFrame(
                {
                    "line": events.texts["session_id"].codes if "session_id" in events.texts else events.line,
                    "user": events.texts["user_id"].codes,
                    "item": events.texts["item_id"].codes,
                }
            )
            number = int((~key[bad].duplicated()).sum())
            self.say("shown_only", number, f"{number} entries were shown and not clicked: no events")
            self.report.counts[f"{self.table}_not_clicked"] = int(bad.sum())
            return
        rows = f" ({events.unclicked_rows} with those that have no user)" if events.unclicked_rows > number else ""
        values = ", ".join(f"{k} {n}" for k, n in sorted(events.unclicked.items())[:12])
        few = f" ({values})" if len(events.unclicked) <= 12 else ""
        self.say(
            "not_clicked", number, f"{number} of {len(bad)} rows{rows} are no clicks by {self.said['clicks']!r}{few}"
        )
        if "session_id" in events.texts and self.table == "interactions":
            session = events.texts["session_id"].codes
            silent = len(np.unique(session[session >= 0])) - len(np.unique(session[events.clicked & (session >= 0)]))
            self.say("sessions_without_click", silent, f"{silent} sessions without a click leave no event")

    def times(self, events: Events) -> Events:
        """Rows with an unreadable time are dropped, or refused where they are more than half."""
        time = events.time
        if time is None:
            return events
        bad = time.bad
        if len(bad) and bad.mean() > 0.5:
            rows = ""
            if self.first_row is not None:
                rows = f"rows {', '.join(map(str, events.line[bad][:3] + self.first_row))}: "
            raise DataError(
                f'{self.name}, column {self.said.get("timestamp")!r}: {bad.sum()} of {len(bad)} times cannot be read ({rows}{", ".join(time.odd)}); use Unix time or ISO dates such as 2023-05-22T15:53:20, or say how they are written with --time-format, such as "%d/%m/%Y %H:%M"'
            )
        events = self.drop(events, bad, "unreadable_timestamps", "have an unreadable timestamp")
        for note in time.notes:
            self.report.note(f"{self.name}: {note}")
        return events

    def to_log(self, events: Events, item: np.ndarray) -> Log:
        time = events.time
        return Log(
            user=events.texts["user_id"],
            item=item,
            line=events.line,
            time=None if time is None else time.values,
            exponent=None if time is None else time.exponent,
            session=events.texts.get("session_id"),
            query=events.texts.get("query"),
            event=events.texts.get("event_type"),
            apart=events.texts.get("copies"),
            numbers=events.numbers,
            cells=events.cells,
            days=time is not None and time.days,
            written="" if time is None else time.written,
        )

    def queries(self, events: Events) -> Events:
        """Queries as clean words; what means nothing is missing."""
        query = events.texts["query"]
        prepared = query.map(lambda v: pc.utf8_trim_whitespace(spelled(v, self.said)))
        gone = (*self.missing, *NO_QUERY)
        number = sum(n for w, n in prepared.tally().items() if w in gone and w)
        self.say(
            "queries_that_mean_none",
            number,
            f"{number} queries are {' or '.join(sorted({w for w in prepared.values.to_pylist() if w in gone and w}))}: no query",
        )
        marked = 0

        def clean(values: pa.Array) -> pa.Array:
            nonlocal marked
            texts, odd = clean_texts(values)
            marked = pc.sum(odd).as_py() or 0
            return pc.if_else(pc.is_in(texts, value_set=pa.array(gone, pa.string())), None, texts)

        events.texts["query"] = prepared.map(clean)
        self.say("queries_with_html", marked, f"HTML was taken out of {marked} different queries")
        letters = pc.match_substring_regex(events.texts["query"].values, r"[\p{L}]")
        if len(letters) and not pc.any(letters).as_py():
            self.report.note(f"{self.name}: queries are numbers, no words that a person could read")
        return events

    # ------------------------------------------------------------------ interactions
    def interactions(self, events: Events) -> tuple[Log, Log | None]:
        """Clicks, and, where the table has queries, the searches among them."""
        events = self.begin(events)
        searches = None
        if "query" in events.texts:
            events = self.queries(events)
            asked = ~events.texts["query"].missing
            found = events.take(asked)
            item = found.texts["item_id"].numbers_in(self.ids)
            lost = int((item < 0).sum())
            self.report.say(
                "searches_unknown_items",
                lost,
                f"{self.name}: {lost} searches end in an item that is not in the catalogue; they count as searches without a click",
            )
            self.report.say(
                "searches_from_interactions",
                int(asked.sum()),
                f"{self.name}: {int(asked.sum())} events have a query and are searches",
            )
            searches = self.to_log(found, item)
            events = events.take(~asked)
            del events.texts["query"]
        taken_back = None
        if events.taken_back is not None:
            pair = events.take(events.taken_back)
            taken_back = pd.MultiIndex.from_arrays([pair.texts["user_id"].codes, pair.texts["item_id"].codes])
        bad = ~events.clicked
        self.unclicked(events, bad)
        events = events.take(~bad) if bad.any() else events
        if taken_back is not None:
            codes = pd.MultiIndex.from_arrays([events.texts["user_id"].codes, events.texts["item_id"].codes])
            events = self.drop(
                events, codes.isin(taken_back), "taken_back", f"were taken back ({self.said['taken_back']})"
            )
        events = self.drop(
            events,
            events.texts["item_id"].missing,
            "without_item",
            f"have no {self.said.get('item_id', 'item')} (the item)",
        )
        item = self.known(events)
        events, item = (
            self.drop(
                events,
                item < 0,
                "unknown_items",
                f"name items that are not in the catalogue ({self.examples(events, item < 0)})",
            ),
            item[item >= 0],
        )
        rows = len(events)
        events = self.times(events)
        if len(events) < rows:
            item = events.texts["item_id"].numbers_in(self.ids)
        log = self.to_log(events, item)
        if events.history is not None:
            log = self.with_history(log, events)
        return self.copies(log, events), searches

    def known(self, events: Events) -> np.ndarray:
        """(R,) the items' numbers; ids of another spelling are refused with a guess, not dropped."""
        column = events.texts["item_id"]
        item = column.numbers_in(self.ids)
        unknown = item < 0
        if not len(item) or unknown.mean() < 0.5:
            return item
        for change, what in (
            (_no_zeros, "leading zeros"),
            (_no_point, "a decimal point (12.0)"),
            (pc.utf8_lower, "capital letters"),
        ):
            again = column.map(change).numbers_in(pc.unique(change(self.ids)))
            if (again >= 0).mean() > 0.5:
                raise DataError(
                    f"{self.name}, column {self.said.get('item_id')!r}: {int(unknown.sum())} of {len(item)} rows name no item of the catalogue ({self.examples(events, unknown)}), but would without {what}; write the ids alike in both files"
                )
        if unknown.all():
            known = ", ".join(map(repr, self.ids[:2].to_pylist()))
            raise DataError(
                f"{self.name}, column {self.said.get('item_id')!r}: none of the {len(item)} rows names an item of the catalogue ({self.examples(events, unknown)}; the catalogue has {known}); both files must use the same ids"
            )
        return item

    def examples(self, events: Events, rows: np.ndarray) -> str:
        codes = np.unique(events.texts["item_id"].codes[rows])[:3]
        return ", ".join(
            repr(v) for v in pc.take(events.texts["item_id"].values, pa.array(codes[codes >= 0])).to_pylist()
        )

    def with_history(self, log: Log, events: Events) -> Log:
        """What a user did before the first row, from the list that this row holds; such events have no time of their own."""
        history = events.history
        if history is None or not len(log):
            return log
        time = log.time if log.time is not None else log.line
        first = (
            pd.Series(np.lexsort((log.line, time)))
            .groupby(log.user.codes[np.lexsort((log.line, time))], sort=False)
            .first()
        )
        user, row = first.index.to_numpy(), first.to_numpy()
        lists = split_lists(pa.chunked_array([history.take(row).texts()]), self.said.get("list_separator"))
        lengths = np.diff(lists.offsets.to_numpy())
        flat = lists.flatten()
        item = (
            pc.fill_null(pc.index_in(flat, value_set=self.ids.cast(flat.type)), -1)
            .to_numpy(zero_copy_only=False)
            .astype(np.int32)
        )
        place = np.repeat(lengths, lengths) - (np.arange(len(flat)) - np.repeat(np.cumsum(lengths) - lengths, lengths))
        owner, lost = np.repeat(user, lengths).astype(np.int32), item < 0
        names = ", ".join(map(repr, flat.filter(pa.array(lost)).to_pylist()[:3]))
        self.say(
            "unknown_history_items",
            lost.sum(),
            f"{lost.sum()} entries of history lists name items that are not in the catalogue ({names}) and were dropped",
        )
        start = np.repeat(time[row], lengths)
        kept = ~lost
        place = place[kept]
        second = 10 ** (log.exponent or 0)
        count = int(kept.sum())
        self.say(
            "history_events",
            count,
            f"{count} events come from the history lists and have no time of their own; they stand before the user's first event",
        )
        self.report.counts[f"{self.table}_entries"] = len(events) + len(flat)
        before = Log(
            user=Coded(owner[kept], log.user.values),
            item=item[kept],
            line=-place.astype(np.int64),
            time=None if log.time is None else start[kept] - place * second,
        )
        return _joined(before, log)

    def copies(self, log: Log, events: Events | None = None) -> Log:
        """Exact copies dropped (unless places in a list are the time), what remains in order; what stands out is said."""
        self.report.counts[f"{self.table}_before_copies"] = len(log)
        how = self.said.get("copies") or "same"
        listed = log.time is None and events is not None and (events.in_lists or events.history is not None)
        names = ["query", "session"] if self.table == "searches" else []
        if not listed and how != "keep":
            key = log.key(*names)
            if log.time is None and "rating" in log.numbers:
                key["rating"] = log.numbers["rating"]
            if log.apart is not None:
                key["apart"] = log.apart.codes
            equal = key.assign(cells=log.cells) if log.cells is not None else key
            if log.event is not None and log.cells is None:
                equal = key.assign(event=log.event.codes)
            exact = equal.duplicated().to_numpy()
            other = key.duplicated().to_numpy() & ~exact if how != "cells" else np.zeros(len(key), bool)
            self.say("copies", (exact | other).sum(), self._copy_sentence(exact, other, log), log.line[exact | other])
            self.report.counts[f"{self.table}_exact_copies"] = int(exact.sum())
            self.report.counts[f"{self.table}_repeats_with_other_cells"] = int(other.sum())
            if log.event is not None:
                kinds = log.event.tally(~exact)
                self.report.note(
                    f"{self.name}: events by type: {', '.join(f'{k} {n}' for k, n in sorted(kinds.items()))}; all of these count"
                )
                self.report.counts |= {f"{self.table}_type_{k}": n for k, n in kinds.items()}
            log = log.take(~(exact | other))
        log = self.in_order(log)
        if self.table == "interactions":
            self._say_marks(log)
            log = self._repeats(log)
        return log

    def _copy_sentence(self, exact: np.ndarray, other: np.ndarray, log: Log) -> str:
        what = "user, item and time" if log.time is not None else "user and item"
        if self.table == "searches":
            what += ", query and session"
        if not other.any():
            return f"{exact.sum()} rows are exact copies of another row (same {what}) and were dropped"
        detail = (
            f"{exact.sum()} of them to the last cell, {other.sum()} with another cell that differs"
            if log.cells is not None
            else f"{other.sum()} of them with another type of event"
        )
        return f"{exact.sum() + other.sum()} rows repeat {what} ({detail}) and were dropped; --set {self.table}.copies=cells keeps those that differ"

    def in_order(self, log: Log) -> Log:
        """Events in time order within each user, users in order of first appearance; equal times keep the file's order."""
        user, time = log.user.codes, log.time
        if time is None:
            order = np.lexsort((log.line, user))
            return log.take(order)
        by_user = np.lexsort((log.line, user))
        same = user[by_user][1:] == user[by_user][:-1]
        backward = same & (np.diff(time[by_user]) < 0)
        users = len(np.unique(user[by_user][1:][backward]))
        self.say("users_out_of_order", users, f"the rows of {users} users were not in time order and were sorted")
        log = log.take(np.lexsort((log.line, time, user)))
        user, time = log.user.codes, log.time
        assert time is not None
        tie = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
        tied = int((np.concatenate([[False], tie]) | np.concatenate([tie, [False]])).sum())
        span = "day" if log.days else "time"
        kept = (
            "they keep the order of the file"
            if not log.days
            else "they are one basket: none stands in another's history"
        )
        self.say("tied_events", tied, f"{tied} events share user and {span} with another one; {kept}")
        if len(time) > 1 and time.min() == time.max():
            self.report.note(f"{self.name}: all {len(time)} rows have the same time; it says nothing about the order")
        return log

    def _repeats(self, log: Log) -> Log:
        """Events on the same item as the user's event before."""
        user = log.user.codes
        again = (
            np.concatenate([[False], (user[1:] == user[:-1]) & (log.item[1:] == log.item[:-1])])
            if len(log)
            else np.zeros(0, bool)
        )
        drop = self.said.get("repeats") == "drop"
        if drop:
            self.say(
                "repeats_dropped",
                again.sum(),
                f"{again.sum()} events are on the same item as the user's event before and were dropped",
            )
            return log.take(~again)
        self.say(
            "repeats",
            again.sum(),
            f"{again.sum()} events are on the same item as the user's event before; they can be guessed without learning anything. --set interactions.repeats=drop leaves them out",
        )
        return log

    def _say_marks(self, log: Log) -> None:
        """Ratings that count although they are low; an order of the file that is an order of weights."""
        rating = log.numbers.get("rating")
        if rating is not None and np.isfinite(rating).any() and not self.said.get("clicks"):
            good = rating[np.isfinite(rating)]
            middle = 3 if good.max() <= 5 else round(good.max() / 2)
            zero = int((good == 0).sum())
            name = self.said["rating"]
            if zero and good.max() > 5:
                low = int(((good > 0) & (good < middle)).sum())
                said = f"{zero} of {len(log)} ratings are 0; {low} are 1 to {middle - 1}; all count"
            else:
                low = int((good < middle).sum())
                said = f"{low} of {len(log)} ratings are below {middle} and count"
            self.report.counts["low_ratings"] = low
            if low or zero:
                self.report.note(f'{self.name}: {said}; --clicks "{_name(name)} >= {middle}" leaves them out')
        weight = log.numbers.get("weight")
        if weight is not None:
            self.report.note(f"{self.name}: the column {self.said['weight']} is not used: every row counts once")
        if log.time is not None:
            return
        self.report.note(
            f"{self.name}: no column of time: {'places in each list stand for it' if self.said.get('items') or self.said.get('history') else 'the order of the file was taken'}"
        )
        for word in ("weight", "rating"):
            marks = log.numbers.get(word)
            if marks is None or len(marks) < 3:
                continue
            same = log.user.codes[1:] == log.user.codes[:-1]
            if same.any() and (np.diff(marks)[same] <= 0).mean() > 0.99 and (np.diff(marks)[same] < 0).any():
                self.report.note(
                    f"{self.name}: in the order of the file the column {self.said[word]} falls within every user, so it is no order of events; the held-out event is the one with the lowest {self.said[word]}"
                )

    # ------------------------------------------------------------------ searches
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


def _joined(first: Log, second: Log) -> Log:
    """Two logs of the same users, one after the other; columns that only the second has are missing in the first."""

    def column(name: str) -> Coded | None:
        later = getattr(second, name)
        if later is None:
            return None
        return Coded(np.concatenate([np.full(len(first), -1, np.int32), later.codes]), later.values)

    return replace(
        second,
        user=Coded(np.concatenate([first.user.codes, second.user.codes]), second.user.values),
        item=np.concatenate([first.item, second.item]),
        line=np.concatenate([first.line, second.line]),
        time=None if second.time is None else np.concatenate([first.time, second.time]),  # type: ignore[list-item]
        session=column("session"),
        query=column("query"),
        event=column("event"),
        apart=column("apart"),
        numbers={n: np.concatenate([np.full(len(first), np.nan, np.float32), v]) for n, v in second.numbers.items()},
        cells=None,
    )


def _no_zeros(values: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(values, r"^0+([0-9])", r"\1")


def _no_point(values: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(values, r"\.0+$", "")


def _name(column: str) -> str:
    return column if column.replace("_", "").isalnum() else f"'{column}'"
