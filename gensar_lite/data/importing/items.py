"""The catalogue from people's tables: one row an item, clean texts, categories as paths.

Levels of a path are joined by " > ", several paths by " | ". In a flat table, where an item is described
anew with every event, the most frequent text counts; else the first row of an id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.dataset import ITEM_COLUMNS
from gensar_lite.data.importing.columns import (
    MISSING,
    Coded,
    Columns,
    Gather,
    clean_ids,
    combined,
    literal_list,
    resolve,
)
from gensar_lite.data.importing.expressions import Condition, as_numbers, columns_of, evaluate, parse_condition
from gensar_lite.data.importing.reading import CELLS_HASH, Source
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.texts import clean_texts
from gensar_lite.data.storage import DataError

TITLE_WORDS = 12  # of the description, where the title says nothing
TEXTS = ("title", "description", "brand")
_NOTHING = ("nan", "none", "null", "n/a", "na", "-", "untitled", "no title")
LEVELS, PATHS = " > ", " | "


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
    ids, words, points = clean_ids(columns.pop("item_id"), MISSING)
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
    del words
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
    frame["categories"] = _categories(table, said, report, name, extra, reading)
    numbers = None if flat else reading.numbers(np.arange(reading.rows))
    places = None if numbers is None else numbers[first[order]]
    return _stand_in(frame, report, name, "title" in columns, used=reading.used, places=places)


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
            parts = [pc.fill_null(_from_lists(p), "") for p in parts]
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


def spelled(column: pa.Array, said: dict) -> pa.Array:
    """Words as words: `word_separator` becomes a blank, numbers get `word_prefix`."""
    if said.get("word_separator"):
        column = pc.replace_substring(column, said["word_separator"], " ")
    if said.get("word_prefix"):
        column = pc.replace_substring_regex(column, r"[^0-9]+", " ")
        column = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"([0-9]+)", said["word_prefix"] + r"\1")
    return column


def _blanks(column: pa.Array, said: dict) -> pa.Array:
    """Words with blanks between them, as they are."""
    return spelled(column, {**said, "word_prefix": None})


def told_missing(column: pa.Array, said: dict, report: ImportReport, name: str, word: str) -> pa.Array:
    """Texts that people called missing are empty, and counted."""
    if not said.get("missing"):
        return column
    gone = pc.fill_null(pc.is_in(column, value_set=pa.array(said["missing"], pa.string())), False)
    number = pc.sum(gone).as_py() or 0
    report.say(
        f"missing_{word}",
        number,
        f"{name}: {number} cells for {word} are {' or '.join(map(repr, said['missing']))}: no {word}",
    )
    return pc.if_else(gone, "", column)


def _from_lists(column: pa.Array) -> pa.Array:
    """Cells that hold lists (JSON or Python) as their entries with blanks between."""
    lists = pc.fill_null(pc.and_(pc.starts_with(column, "["), pc.ends_with(column, "]")), False)
    if not pc.any(lists).as_py():
        return column
    joined = [" ".join(literal_list(t)) for t in column.filter(lists).to_pylist()]
    return pc.replace_with_mask(column, lists, pa.array(joined, column.type))


def _categories(
    table: dict[str, pa.Array],
    said: dict,
    report: ImportReport,
    name: str,
    extra: dict[str, Source],
    reading: _ItemRows,
) -> pa.Array:
    """Category paths of each item: " > " between levels, " | " between paths."""
    num = len(table["item_id"])
    column: pa.Array | None = None
    if "flags" in reading.columns:
        names = _first_two(extra["category_names"])[0]
        flags = [pc.equal(table[f"flags {n}"], "1") for n in range(len(reading.columns["flags"].names))]
        column = _joined([pc.if_else(f, pa.scalar(n), "") for f, n in zip(flags, names, strict=False)], PATHS)
    elif any(w.startswith("categories ") for w in table):
        levels = [_plain_level(table[w], said, report, name) for w in table if w.startswith("categories ")]
        column = _joined(levels, LEVELS)
    elif extra.get("category_files") is not None:
        ids, values = _first_two(extra["category_files"])
        place = pc.index_in(table["item_id"], value_set=pa.array(ids, pa.string()))
        column = _paths(pc.take(pa.array(values, pa.string()), place), said, report, name)
    elif "categories" in table:
        column = _paths(table["categories"], said, report, name)
    if column is None:
        return pa.repeat(pa.scalar(""), num)
    if extra.get("category_parents") is not None:
        column = _with_parents(column, extra["category_parents"])
    column, odd = clean_texts(pc.fill_null(column, ""))
    found = pc.sum(odd).as_py() or 0
    report.say("categories_with_html", found, f"{name}: HTML was taken out of the categories of {found} items")
    return column


def _joined(parts: list[pa.Array], sign: str) -> pa.Array:
    """The parts that are no empty texts, with the sign between them."""
    pieces = [pc.if_else(pc.equal(p, ""), "", pc.binary_join_element_wise(sign, p, "")) for p in parts]
    return pc.utf8_slice_codeunits(pc.binary_join_element_wise(*pieces, ""), len(sign))


def _plain_level(column: pa.Array, said: dict, report: ImportReport, name: str) -> pa.Array:
    column = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    return told_missing(_blanks(column, said), said, report, name, "categories")


def _paths(column: pa.Array, said: dict, report: ImportReport, name: str) -> pa.Array:
    """Cells as paths: lists, or texts cut at the separators; worked out once for each distinct cell."""
    encoded = pc.dictionary_encode(told_missing(pc.utf8_trim_whitespace(column), said, report, name, "categories"))
    distinct = encoded.dictionary.to_pylist()
    several, level = said.get("categories_separator"), said.get("level_separator")
    guessed = several is None and level is None and any(t and "|" in t.replace(PATHS, "") for t in distinct)
    result, lists = [], False
    for text in distinct:
        if text and text.startswith("[") and text.endswith("]"):
            result.append(_listed(text, said.get("categories_list") != "several"))
            lists = True
            continue
        paths = (text or "").split(several or "|") if several or "|" in (text or "") else [text or ""]
        levels = [
            [lev.strip() for lev in p.split(level or ">")] if level or LEVELS in p else [p.strip()] for p in paths
        ]
        result.append(PATHS.join(LEVELS.join(lev for lev in path if lev) for path in levels if any(path)))
    if guessed:
        report.note(
            f"{name}: | in categories was taken to stand between several of them; --set items.categories_separator=SIGN says otherwise"
        )
    if lists and not said.get("categories_list"):
        report.note(
            f"{name}: lists of categories were taken for one path each; --set items.categories_list=several says otherwise"
        )
    return pc.take(_blanks(pa.array(result, pa.string()), said), encoded.indices)


def _listed(text: str, path: bool) -> str:
    """A list of names (one path or several categories), or a list of paths."""
    entries = literal_list(text)
    if entries and entries[0].startswith("["):
        return PATHS.join(filter(None, (LEVELS.join(literal_list(e)) for e in entries)))
    return (LEVELS if path else PATHS).join(e.strip() for e in entries if e.strip())


def _first_two(source: Source) -> tuple[list[str], list[str]]:
    """The first two columns of a small table."""
    first, second = source.columns[0], source.columns[min(1, len(source.columns) - 1)]
    columns: tuple[list[str], list[str]] = ([], [])
    for batch in source.batches(list(dict.fromkeys([first, second]))):
        columns[0].extend(t or "" for t in batch[first].to_pylist())
        columns[1].extend(t or "" for t in batch[second].to_pylist())
    return columns


def _with_parents(column: pa.Array, source: Source) -> pa.Array:
    """Each category with its ancestors before it; a circle ends where it closes."""
    up = dict(zip(*_first_two(source), strict=True))
    encoded = pc.dictionary_encode(column)
    paths = []
    for leaf in encoded.dictionary.to_pylist():
        path = [leaf] if leaf else []
        while path and up.get(path[0]) and up[path[0]] not in path:
            path.insert(0, up[path[0]])
        paths.append(LEVELS.join(path))
    return pc.take(pa.array(paths, pa.string()), encoded.indices)


def _stand_in(
    frame: dict[str, pa.Array],
    report: ImportReport,
    name: str,
    titled: bool,
    used: tuple[str, ...],
    places: np.ndarray | None,
) -> Catalogue:
    """Titles that say nothing are replaced: by the opening of the description, else brand and category, else "untitled ID".

    A title says nothing where it is empty, has no letter or digit, is a word like "nan", or is a scrap of
    HTML that three or more items share. `places` (N,) are the rows of the file.
    """
    title, marked = frame["title"], frame.pop("_marked").to_numpy(zero_copy_only=False).astype(bool)
    encoded = pc.dictionary_encode(title)
    codes, distinct = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary
    scrap = marked & (np.bincount(codes, minlength=1)[codes] >= 3)
    empty = pc.or_(
        pc.invert(pc.match_substring_regex(distinct, r"[\p{L}\p{N}]")),
        pc.is_in(pc.utf8_lower(distinct), value_set=pa.array(_NOTHING)),
    )
    mute = empty.to_numpy(zero_copy_only=False).astype(bool)[codes] & ~scrap

    def say(key: str, rows: np.ndarray, sentence: str) -> None:
        found = np.flatnonzero(rows)
        report.say(key, len(found), f"{name}: {sentence.format(len(found))}", None if places is None else places[found])

    say("titles_with_html", marked & ~scrap & ~mute, "HTML was taken out of {} titles")
    say("html_titles_replaced", scrap, "{} titles are a scrap of HTML shared by several items; other text stands in")
    unknown = pc.equal(pc.utf8_lower(title), "unknown").to_numpy(zero_copy_only=False).astype(bool)
    say("items_called_unknown", unknown, "{} item(s) are called 'unknown'")
    untitled = scrap | mute
    instead, silent = _instead(frame, np.flatnonzero(untitled))
    if titled:
        say("empty_titles_replaced", mute, "{} titles are empty or no text; other text stands in")
    elif silent < int(untitled.sum()) and any(
        re.search(r"[^\W\d_]", t) for t in instead[:1000] if not t.startswith("untitled")
    ):
        report.note(f"{name}: no titles were named; brand and category stand in")
    else:
        report.note(
            f"{name}: no titles were named; items can be named by their number only, and queries made from their texts mean nothing"
        )
    report.say(
        "items_without_any_text",
        silent,
        f"{name}: {silent} items have no text at all; they can be named by their number only",
    )
    letters = pc.match_substring_regex(title.filter(pa.array(~untitled)), r"\p{L}")
    if titled and len(letters) and not pc.any(letters).as_py():
        report.note(f"{name}: titles are numbers, no words that a person could read")
    _say_alike({**frame, "title": pc.if_else(pa.array(untitled), "", title)}, report, name)
    frame["title"] = pc.replace_with_mask(title, pa.array(untitled), pa.array(instead, title.type))
    table = pa.table({c: frame[c] for c in ITEM_COLUMNS}).to_pandas()
    report.counts["items"] = len(table)
    return Catalogue(table, untitled, used)


def _instead(frame: dict[str, pa.Array], rows: np.ndarray) -> tuple[list[str], int]:
    """Titles made of other text for some items, and how many of these have no text at all."""
    texts = [frame[c].take(pa.array(rows)).to_pylist() for c in ("item_id", "description", "categories", "brand")]
    instead, silent = [], 0
    for item_id, description, categories, brand in zip(*texts, strict=True):
        opening = " ".join(description.split()[:TITLE_WORDS])
        known = opening or " ".join(p for p in (brand, categories.replace(LEVELS, " ").replace(PATHS, " ")) if p)
        silent += not known
        instead.append(known or f"untitled {item_id}")
    return instead, silent


def _say_alike(frame: dict[str, pa.Array], report: ImportReport, name: str) -> None:
    """How many items no text can tell apart."""
    codes = [pc.dictionary_encode(frame[c]).indices.to_numpy(zero_copy_only=False) for c in ITEM_COLUMNS[1:]]
    size = pd.DataFrame(dict(enumerate(codes))).groupby(list(range(len(codes))), sort=False)[0].transform("size")
    several = (size > 1).to_numpy()
    report.say(
        "items_with_shared_text",
        int(several.sum()),
        f"{name}: {several.sum()} items have the same text as another one (largest group {size.max()}); no text search can tell them apart",
    )
