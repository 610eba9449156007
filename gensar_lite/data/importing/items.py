"""The catalogue from people's tables: one row an item, clean texts, categories as paths.

Levels of a path are joined by " > ", several paths by " | ". In a flat table, where an item is described
anew with every event, the most frequent text counts; else the first row of an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.categories import item_categories
from gensar_lite.data.importing.columns import (
    MISSING,
    Coded,
    Columns,
    Gather,
    clean_ids,
    combined,
    resolve,
)
from gensar_lite.data.importing.expressions import Condition, as_numbers, columns_of, evaluate, parse_condition
from gensar_lite.data.importing.reading import CELLS_HASH, Source
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.texts import clean_texts, from_lists, spelled, told_missing
from gensar_lite.data.importing.titles import stand_in_titles
from gensar_lite.data.storage import DataError

TEXTS = ("title", "description", "brand")


@dataclass
class Catalogue:
    """N items: the table with the columns of a data set, and which `untitled` ones (N,) got another text as title."""

    table: pd.DataFrame
    untitled: np.ndarray
    used: tuple[str, ...] = ()

    @property
    def ids(self) -> pa.Array:
        return pa.array(self.table["item_id"], pa.string())


def read_items(
    source: Source,
    said: dict[str, Any],
    report: ImportReport,
    extra: dict[str, Source],
    flat: bool = False,
    least: int = 2,
) -> Catalogue:
    """All items of the table. `extra` holds the sources of further files (category_files, …).

    Raises `DataError` where fewer than `least` items are left.
    """
    reading = _ItemRows(source, said, report)
    columns = reading.read()
    if not reading.rows:
        raise DataError(f"{source.name} has no rows; add at least one")
    ids, _, points = clean_ids(columns.pop("item_id"), MISSING)
    name = source.name
    if points:
        report.note(f"{name}: all {points} item ids end in .0 (12.0); they were read as whole numbers (12)")
    blank = ids.missing
    report.counts["item_rows"] = reading.rows
    report.say(
        "items_without_id",
        int(blank.sum()),
        f"{name}: {int(blank.sum())} rows without an item_id were dropped",
        reading.numbers(np.flatnonzero(blank)),
    )
    if reading.property is not None:
        ids, columns = reading.latest(ids, columns)
        blank = ids.missing
    used = np.unique(ids.codes[~blank])
    first = np.full(len(ids.values), -1, np.int64)
    rows = np.flatnonzero(~blank)
    first[ids.codes[rows][::-1]] = rows[::-1]
    order = used[np.argsort(first[used], kind="stable")]  # items in order of first appearance
    if len(order) < least:
        raise DataError(
            f"{name} has {len(order)} usable item(s); {'ranking needs at least two, add items to the catalogue' if least > 1 else 'give items with an item_id and a title'}"
        )
    if not flat and reading.property is None:
        _say_repeats(ids, columns, reading, report, name)
    table: dict[str, pa.Array] = {"item_id": pc.take(ids.values, pa.array(order))}
    for word, column in columns.items():
        chosen, several = _choose(ids, column, first, flat)
        if several and word == "title":
            report.say(
                "items_with_several_titles",
                several,
                f"{name}: {several} items have several titles; the most frequent one was kept, the first of equals",
            )
        table[word] = pc.take(chosen, pa.array(order))
    frame = _texts(table, said, report, name)
    frame["categories"] = item_categories(table, said, report, name, extra, reading.num_flags)
    numbers = None if flat else reading.numbers(np.arange(reading.rows))
    places = None if numbers is None else numbers[first[order]]
    titled = "title" in columns
    return Catalogue(*stand_in_titles(frame, report, name, titled, places), reading.used)


class _ItemRows:
    """The rows of the table as `Coded` columns, one a word (several for levels of categories)."""

    def __init__(self, source: Source, said: dict[str, Any], report: ImportReport) -> None:
        self.source, self.said, self.report = source, said, report
        self.columns: dict[str, Columns] = {
            "item_id": resolve(said.get("item_id") or "item_id", source, "items", "item_id")
        }
        self.property: Columns | None = None
        if said.get("property"):
            self.property = resolve(said["property"], source, "items", "property")
            self.columns["property"] = self.property
            self.columns["value"] = resolve(said.get("value") or "value", source, "items", "value")
            if said.get("latest_by"):
                self.columns["latest_by"] = resolve(said["latest_by"], source, "items", "latest_by")
        else:
            for word in (*TEXTS, "categories"):
                if said.get(word):
                    self.columns[word] = resolve(said[word], source, "items", word)
            if said.get("category_flags"):
                ends = [resolve(str(p), source, "items", "category_flags").names[0] for p in said["category_flags"]]
                places = [source.columns.index(e) for e in (ends[0], ends[-1])]
                self.columns["flags"] = Columns(tuple(source.columns[places[0] : places[1] + 1]), ">")
        self.where: Condition | None = parse_condition(said["where"]) if said.get("where") else None
        if self.where is not None:
            for name in columns_of(self.where):
                resolve(name, source, "items", "where")
        self.rows = 0
        self.cells: np.ndarray | None = None

    @property
    def used(self) -> tuple[str, ...]:
        names = [n for c in self.columns.values() for n in c.names]
        return tuple(dict.fromkeys([*names, *(columns_of(self.where) if self.where else [])]))

    def read(self) -> dict[str, Coded]:
        gather, outside, cells, left = Gather(), Gather(), [], 0
        for batch in self.source.batches([n for n in self.used if n != "line"], cells=True):
            columns = {n: batch[n] for n in batch.column_names}
            self.rows += len(batch)
            if self.where is not None:
                kept = evaluate(self.where, columns)
                outside.add(
                    "id", combined(self.columns["item_id"], {n: c.filter(pc.invert(kept)) for n, c in columns.items()})
                )
                left += len(batch) - (pc.sum(kept).as_py() or 0)
                columns = {n: c.filter(kept) for n, c in columns.items()}
            for word, names in self.columns.items():
                if names.how == ">" or (word == "description" and len(names.names) > 1):
                    for n, column in enumerate(names.names):
                        gather.add(f"{word} {n}", columns[column])
                else:
                    gather.add(word, combined(names, columns))
            if CELLS_HASH in columns:
                cells.append(columns[CELLS_HASH].to_numpy().astype(np.uint64))
        self.cells = np.concatenate(cells) if cells else None
        self.report.say(
            "items_left_out",
            left,
            f"{self.source.name}: {left} of {self.rows} rows are no items by {self.said.get('where')!r}",
        )
        found = {name: gather.coded(name) for name in list(gather.parts)} or {"item_id": gather.coded("item_id")}
        both = pc.sum(pc.is_in(outside.coded("id").values, value_set=found["item_id"].values)).as_py() or 0
        self.report.say(
            "item_ids_also_left_out",
            both,
            f"{self.source.name}: {both} item ids stand in rows that belong to the table and in others that were left out",
        )
        return found

    @property
    def num_flags(self) -> int:
        """Columns that are flags of categories."""
        return len(self.columns["flags"].names) if "flags" in self.columns else 0

    def numbers(self, rows: np.ndarray) -> np.ndarray | None:
        """Rows as a spreadsheet numbers them, where that helps."""
        known = self.source.first_row is not None and self.where is None and self.property is None
        return np.sort(rows) + self.source.first_row if known else None

    def latest(self, ids: Coded, columns: dict[str, Coded]) -> tuple[Coded, dict[str, Coded]]:
        """Rows of properties as one column a word; of several values of one property the latest counts."""
        time = np.zeros(len(ids))
        if "latest_by" in columns:
            stamps = columns["latest_by"]
            numbers = pc.fill_null(as_numbers(stamps.values), 0).to_numpy()
            time = numbers[stamps.codes] if len(numbers) else time
        names = columns["property"].values.to_pylist()
        order = np.lexsort((-np.arange(len(ids)), -time))  # the latest row first
        found: dict[str, Coded] = {}
        for word in (*TEXTS, "categories"):
            wanted = self.said.get(word)
            if not wanted:
                continue
            if wanted not in names:
                raise DataError(
                    f"{self.source.name} has no property {wanted!r} for {word}; it has {', '.join(map(str, names[:12]))}"
                )
            here = columns["property"].codes == names.index(wanted)
            codes = np.where(here, columns["value"].codes, -1).astype(np.int32)
            found[word] = Coded(codes[order], columns["value"].values)
        return ids.take(order), found


def _choose(ids: Coded, column: Coded, first: np.ndarray, flat: bool) -> tuple[pa.Array, int]:
    """One value for each id (by the number of the id), and how many ids have several.

    In a flat table the most frequent value, of equals the first; else that of the first row with the id that has one.
    """
    column = column.map(pc.utf8_trim_whitespace).map(
        lambda v: pc.if_else(pc.is_in(v, value_set=pa.array(MISSING)), None, v)
    )
    rows = np.flatnonzero((ids.codes >= 0) & (column.codes >= 0))
    if not flat and len(rows):
        # only the first row of an id speaks, where it says anything
        rows = rows[np.unique(ids.codes[rows], return_index=True)[1]]
    pair = ids.codes[rows].astype(np.int64) * max(len(column.values), 1) + column.codes[rows]
    pairs, at, count = np.unique(pair, return_index=True, return_counts=True)
    item, value = np.divmod(pairs, max(len(column.values), 1))
    best = np.lexsort((at, -count, item))
    item, value = item[best], value[best]
    start = np.unique(item, return_index=True)[1]
    result = np.full(len(first), -1, np.int64)
    result[item[start]] = value[start]
    several = int((np.bincount(item) > 1).sum()) if len(item) else 0
    return pc.take(column.values, pa.array(result, mask=result < 0)), several


def _say_repeats(ids: Coded, columns: dict[str, Coded], reading: _ItemRows, report: ImportReport, name: str) -> None:
    """Rows that repeat an id: exact copies, and others."""
    said = {"cells": reading.cells} if reading.cells is not None else {w: c.codes for w, c in columns.items()}
    rows = np.flatnonzero(ids.codes >= 0)
    keys = pd.DataFrame({"id": ids.codes, **said}).iloc[rows]
    exact = keys.duplicated().to_numpy()
    again = keys["id"].duplicated().to_numpy() & ~exact
    report.say(
        "duplicate_item_rows",
        int(exact.sum()),
        f"{name}: {exact.sum()} exact copies of other rows were dropped",
        reading.numbers(rows[exact]),
    )
    examples = np.unique(keys["id"].to_numpy()[again])[:3]
    names = ", ".join(pc.take(ids.values, pa.array(examples)).to_pylist())
    report.say(
        "duplicate_item_ids",
        int(again.sum()),
        f'{name}: {again.sum()} rows repeat an item_id with other content ({names}); the first row of each id was kept. If one id stands for several items, say what tells them apart, such as --columns "items.item_id=ID + LOCALE"',
        reading.numbers(rows[again]),
    )


def _texts(table: dict[str, pa.Array], said: dict, report: ImportReport, name: str) -> dict[str, pa.Array]:
    """Title, description and brand, cleaned; description from several columns, lists in cells joined."""
    num = len(table["item_id"])
    nothing = pa.array([""] * num, pa.string()) if num < 2 else pa.repeat(pa.scalar(""), num)
    marked: dict[str, np.ndarray] = {}
    frame: dict[str, pa.Array] = {"item_id": table["item_id"]}
    for word in TEXTS:
        parts = [table[w] for w in table if w == word or w.startswith(f"{word} ")]
        column = nothing
        if parts:
            parts = [pc.fill_null(from_lists(p), "") for p in parts]
            column = parts[0] if len(parts) == 1 else pc.utf8_trim_whitespace(pc.binary_join_element_wise(*parts, " "))
        column = spelled(column, said if word != "brand" else {**said, "word_prefix": None})
        gone = told_missing(column, said, report, name, word)
        column, odd = clean_texts(gone)
        frame[word], marked[word] = column, odd.to_numpy(zero_copy_only=False).astype(bool)
    others = marked["description"] | marked["brand"]
    report.say(
        "texts_with_html",
        int(others.sum()),
        f"{name}: HTML was taken out of the description or brand of {others.sum()} items",
    )
    frame["_marked"] = pa.array(marked["title"])
    return frame
