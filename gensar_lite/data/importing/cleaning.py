"""What the rows of a log mean: which are events, in which order, and what is dropped and why.

Every row that came in is an event of the result, or is counted in the report under one reason.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import MISSING, clean_ids
from gensar_lite.data.importing.events import Events
from gensar_lite.data.importing.log import Log
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.texts import clean_texts, spelled
from gensar_lite.data.storage import DataError

NO_QUERY = ("-1",)


class Cleaner:
    """What the two kinds of log share: drops and repairs rows and says so."""

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

    def examples(self, events: Events, rows: np.ndarray) -> str:
        codes = np.unique(events.texts["item_id"].codes[rows])[:3]
        return ", ".join(
            repr(v) for v in pc.take(events.texts["item_id"].values, pa.array(codes[codes >= 0])).to_pylist()
        )

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
        return self.finish(log)

    def finish(self, log: Log) -> Log:
        """What is left to say of events in order."""
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
