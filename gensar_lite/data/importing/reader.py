"""Read a log of what people did into arrays, in the shapes in which logs are kept.

One row an event; one row an item that was shown, with a mark where it was clicked; lists in a cell
(one line a user, impressions, histories, candidates with labels). What the rows mean is decided in `cleaning`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import (
    MISSING,
    Columns,
    Gather,
    combined,
    is_missing,
    resolve,
    split_lists,
)
from gensar_lite.data.importing.events import Events
from gensar_lite.data.importing.expressions import (
    Comparison,
    Condition,
    as_numbers,
    columns_of,
    evaluate,
    parse_condition,
)
from gensar_lite.data.importing.reading import CELLS_HASH, Source
from gensar_lite.data.importing.times import TimeColumn
from gensar_lite.data.storage import DataError

_TEXTS = ("user_id", "item_id", "session_id", "query", "event_type", "query_id", "grade", "split", "copies")
_SEVERAL_COLUMNS = 20  # distinct values that a report can name


class Reader:
    """Reads one log table; `said` are its words."""

    def __init__(self, source: Source, table: str, said: dict[str, Any]) -> None:
        self.source, self.table, self.said = source, table, said
        self.columns: dict[str, Columns] = {}
        for word in (
            *_TEXTS[:-1],
            "timestamp",
            "rating",
            "weight",
            "history",
            "impressions",
            "items",
            "gaps",
            "shown",
            "labels",
        ):
            if said.get(word):
                self.columns[word] = resolve(said[word], source, table, word)
        if said.get("copies") not in (None, "same", "cells", "keep"):
            self.columns["copies"] = resolve(said["copies"], source, table, "copies")
        self.conditions: dict[str, Condition] = {
            word: self._condition(said[word], word) for word in ("where", "clicks", "taken_back") if said.get(word)
        }
        self.gather, self.time = Gather(), TimeColumn()
        self.parts: dict[str, list[np.ndarray]] = {}
        self.left_out: dict[str, int] = {}
        self.unclicked: dict[str, int] = {}
        self.rows = self.entries = self.left_out_rows = self.empty_lists = self.unclicked_rows = 0
        self.offset: bool | None = None  # whether the second part of the time is a number of milliseconds
        self.offsets: list[np.ndarray] = []

    def _condition(self, text: str, word: str) -> Condition:
        """The condition with each name resolved to a column of the file, or to the column of a word."""

        def resolved(condition: Condition) -> Condition:
            if isinstance(condition, Comparison):
                name = condition.column
                if name not in self.source.columns and name in self.columns:
                    return Comparison(self.columns[name].names[0], condition.sign, condition.values)
                column = resolve(name, self.source, self.table, word).names[0]
                return Comparison(column, condition.sign, condition.values)
            return type(condition)(condition.word, resolved(condition.left), resolved(condition.right))

        return resolved(parse_condition(text))

    @property
    def used(self) -> tuple[str, ...]:
        """The columns of the file that are read."""
        names = [n for c in self.columns.values() for n in c.names]
        names += [n for c in self.conditions.values() for n in columns_of(c)]
        return tuple(dict.fromkeys(n for n in names if n in self.source.columns))

    def read(self) -> Events:
        """All rows. Raises `DataError` where lists that belong together differ in length."""
        native = (
            self.columns["timestamp"].names if "timestamp" in self.columns and not self.columns["timestamp"].how else ()
        )
        wanted = self.said.get("copies") == "cells" or "rating" in self.columns or self.table == "interactions"
        single = not any(w in self.columns for w in ("items", "impressions", "shown"))
        used = self.used or tuple(self.source.columns[:1])
        in_condition = {n for c in self.conditions.values() for n in columns_of(c)}
        for batch in self.source.batches(
            used, native=[n for n in native if n not in in_condition], cells=wanted and single
        ):
            columns = {name: batch[name] for name in batch.column_names}
            columns["line"] = (
                pa.chunked_array([pa.array(np.arange(self.rows + 1, self.rows + 1 + len(batch))).cast(pa.string())])
                if any("line" in c.names for c in self.columns.values())
                else None
            )
            line = np.arange(self.rows, self.rows + len(batch))
            self.rows += len(batch)
            if "where" in self.conditions:
                kept = evaluate(self.conditions["where"], columns)
                self._tally(self.conditions["where"], columns, pc.invert(kept), self.left_out)
                self.left_out_rows += len(batch) - (pc.sum(kept).as_py() or 0)
                columns = {n: c.filter(kept) for n, c in columns.items() if c is not None}
                line = line[np.asarray(kept, dtype=bool)]
            if len(line):
                self._add({n: c for n, c in columns.items() if c is not None}, line)
        return self._events()

    def _tally(self, condition: Condition, columns: dict, rows: pa.ChunkedArray, counts: dict[str, int]) -> None:
        """Which values the left out rows have, where one column decides and they are few."""
        name = next((c for c in columns_of(condition)), None)
        if name is None or len(counts) > _SEVERAL_COLUMNS:
            return
        for entry in pc.value_counts(columns[name].filter(rows)).to_pylist():
            key = entry["values"] if entry["values"] is not None else "empty"
            counts[key] = counts.get(key, 0) + entry["counts"]

    # ------------------------------------------------------------------ one piece
    def _add(self, columns: dict[str, pa.ChunkedArray], line: np.ndarray) -> None:
        texts = {
            w: combined(c, columns)
            for w, c in self.columns.items()
            if w not in ("timestamp", "items", "impressions", "shown", "labels", "gaps", "history")
        }
        if "user_id" in self.columns and self.columns["user_id"].how == "else":
            texts["user_id"] = _marked(self.columns["user_id"], columns)
        clicked = (
            np.asarray(evaluate(self.conditions["clicks"], columns), dtype=bool)
            if "clicks" in self.conditions
            else np.ones(len(line), bool)
        )
        if "clicks" in self.conditions and not clicked.all():
            self._tally(self.conditions["clicks"], columns, pa.array(~clicked), self.unclicked)
            self.unclicked_rows += int((~clicked).sum())
        if "taken_back" in self.conditions:
            self._part("taken_back", np.asarray(evaluate(self.conditions["taken_back"], columns), dtype=bool))
        parents = None
        if (word := next((w for w in ("items", "impressions", "shown") if w in self.columns), None)) is not None:
            separator = self.said.get("list_separator")
            lists = split_lists(combined(self.columns[word], columns), separator)
            parents = lists.value_parent_indices().to_numpy()
            lengths = np.diff(lists.offsets.to_numpy())
            self.empty_lists += int((lengths == 0).sum())
            flat = lists.flatten()
            if word == "impressions":
                flat, clicked_here = _impressions(flat)
                clicked = clicked[parents] & clicked_here
            elif "labels" in self.columns:
                labels = self._beside("labels", columns, lengths)
                clicked = clicked[parents] & np.asarray(
                    pc.fill_null(pc.greater(as_numbers(labels), 0), False), dtype=bool
                )
            else:
                clicked = clicked[parents]
            for name in list(texts):
                beside = texts[name]
                if name in ("query", "event_type", "rating") and word == "items":
                    texts[name] = self._beside(name, columns, lengths)
                else:
                    texts[name] = pc.take(beside, pa.array(parents))
            texts["item_id"] = flat
            line = line[parents]
            self.entries += len(flat)
        self._add_time(columns, parents, lists.offsets.to_numpy() if parents is not None else None)
        for name, column in texts.items():
            if name in ("rating", "weight"):
                self._part(name, pc.fill_null(as_numbers(column), float("nan")).to_numpy().astype(np.float32))
            else:
                self.gather.add(name, column)
        if "history" in self.columns:
            history = combined(self.columns["history"], columns)
            self.gather.add("history", history if parents is None else pc.take(history, pa.array(parents)))
        self._part("clicked", clicked)
        self._part("line", line)
        if CELLS_HASH in columns:
            self._part("cells", columns[CELLS_HASH].to_numpy().astype(np.uint64))

    def _part(self, name: str, values: np.ndarray) -> None:
        self.parts.setdefault(name, []).append(values)

    def _beside(self, word: str, columns: dict, lengths: np.ndarray) -> pa.Array:
        """The entries of a list that stands beside another one, entry by entry; one value counts for all."""
        lists = split_lists(combined(self.columns[word], columns), self.said.get("list_separator"))
        own = np.diff(lists.offsets.to_numpy())
        if not np.array_equal(own, lengths):
            if (own <= 1).all():
                return pc.take(
                    combined(self.columns[word], columns), pa.array(np.repeat(np.arange(len(lengths)), lengths))
                )
            row = int(np.flatnonzero(own != lengths)[0])
            raise DataError(
                f"{self.source.name}: the lists {self.said[word]} and {self.said.get('items') or self.said.get('shown')} differ in length (row {row + 1}: {own[row]} and {lengths[row]} entries); they must go together"
            )
        return lists.flatten()

    def _add_time(self, columns: dict, parents: np.ndarray | None, offsets: np.ndarray | None) -> None:
        if "gaps" in self.columns:
            self._add_gaps(columns, offsets)
            return
        if "timestamp" not in self.columns:
            return
        spec = self.columns["timestamp"]
        if spec.how != "+":
            column = combined(spec, columns)
            if (
                parents is not None
                and "items" in self.columns
                and column.type == pa.string()
                and pc.any(pc.match_substring(column, " ")).as_py()
                and self.said.get("list_separator")
            ):
                assert offsets is not None
                column = self._beside("timestamp", columns, np.diff(offsets))
            elif parents is not None:
                column = pc.take(column, pa.array(parents))
            self.time.add(column)
            return
        first, second = (columns[n] for n in spec.names[:2])
        if self.offset is None:  # 305254 are milliseconds after the date, 10:22 is its hour
            self.offset = not pc.any(pc.fill_null(pc.match_substring(second, ":"), False)).as_py()
        column = first if self.offset else combined(spec, columns)
        if self.offset:
            self.offsets.append(np.nan_to_num(pc.fill_null(as_numbers(second), 0).to_numpy()).astype(np.int64))
        self.time.add(column if parents is None else pc.take(column, pa.array(parents)))

    def _add_gaps(self, columns: dict, offsets: np.ndarray | None) -> None:
        """Seconds since the event before, added up; a gap more than there are items leads to what comes after them."""
        lists = split_lists(combined(self.columns["gaps"], columns), self.said.get("list_separator"))
        gaps = pc.fill_null(as_numbers(lists.flatten()), 0).to_numpy().astype(np.int64)
        own = lists.offsets.to_numpy()
        total = np.concatenate([[0], np.cumsum(gaps)])
        if offsets is None or "shown" in self.columns:
            ends = total[own[1:]] - total[own[:-1]]
            length = np.ones(len(ends), int) if offsets is None else np.diff(offsets)
            self.time.add(pa.array(np.repeat(ends, length)))
            return
        lengths = np.diff(offsets)
        short = np.flatnonzero(np.diff(own) < lengths)
        if len(short):
            raise DataError(f"{self.source.name}: row {short[0] + 1} has fewer gaps than items; they must go together")
        place = np.arange(lengths.sum()) - np.repeat(offsets[:-1] - offsets[0], lengths)
        start = np.repeat(own[:-1], lengths)
        self.time.add(pa.array(total[start + place + 1] - total[start]))

    # ------------------------------------------------------------------ all pieces
    def _events(self) -> Events:
        def whole(name: str, kind: Any) -> np.ndarray:
            return np.concatenate(self.parts.pop(name)) if self.parts.get(name) else np.zeros(0, kind)

        where = f"{self.source.name}, column {self.said.get('timestamp')!r}"
        has_time = "timestamp" in self.columns or "gaps" in self.columns
        time = self.time.times(self.said, where) if has_time else None
        if time is not None and self.offset:
            time = time.at(max(time.exponent or 0, 3))
            added = np.concatenate(self.offsets) if self.offsets else np.zeros(0, np.int64)
            time.values = time.values + added * 10 ** ((time.exponent or 3) - 3)
            time.written += " plus milliseconds"
        line = whole("line", np.int64)
        texts = {w: self.gather.coded(w) for w in _TEXTS if w in self.columns or (w == "item_id" and self.entries)}
        if "history" in self.columns:
            history = self.gather.coded("history")
        return Events(
            texts=texts,
            time=time,
            clicked=whole("clicked", bool),
            line=line,
            numbers={w: whole(w, np.float32) for w in ("rating", "weight") if w in self.columns},
            taken_back=whole("taken_back", bool) if "taken_back" in self.conditions else None,
            cells=whole("cells", np.uint64) if self.parts.get("cells") else None,
            history=history if "history" in self.columns else None,
            rows=self.rows,
            entries=self.entries,
            left_out=self.left_out,
            left_out_rows=self.left_out_rows,
            unclicked=self.unclicked,
            unclicked_rows=self.unclicked_rows,
            in_lists="items" in self.columns,
            shown_lists="impressions" in self.columns or "shown" in self.columns,
            empty_lists=self.empty_lists,
        )


def _impressions(entries: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """ "N7956-1" as the item N7956 and a click; entries without a mark count as clicks."""
    cut = pc.extract_regex(entries, r"^(?P<item>.*?)(?:-(?P<mark>[01]))?$")
    mark = pc.fill_null(pc.struct_field(cut, "mark"), "1")
    return pc.struct_field(cut, "item"), np.asarray(pc.not_equal(mark, "0"), dtype=bool)


def _marked(columns: Columns, batch: dict[str, pa.ChunkedArray]) -> pa.ChunkedArray:
    """The first known of several ids of users; those of later columns are marked, so that user 4 and session 4 stay two."""
    known = [pc.if_else(is_missing(batch[n], MISSING), None, batch[n]) for n in columns.names]
    marked = [known[0]] + [
        pc.binary_join_element_wise(pa.scalar(n), k, " ") for n, k in zip(columns.names[1:], known[1:], strict=True)
    ]
    return pc.coalesce(*marked)
