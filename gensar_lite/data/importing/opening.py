"""The tables that people named, opened: their files found, what was said completed by the names of columns, what is lacking said."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import duckdb

from gensar_lite.data.importing.columns import Coded, Gather, find_column, lacking, resolve
from gensar_lite.data.importing.mapping import LOGS, WORDS, Mapping
from gensar_lite.data.importing.places import Place
from gensar_lite.data.importing.reading import Source
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.storage import DataError

DEFAULTS = {
    "items": ("item_id", "title", "description", "categories", "brand"),
    "interactions": ("user_id", "item_id", "timestamp", "session_id"),
    "searches": ("user_id", "session_id", "query", "item_id", "timestamp"),
    "judgements": ("query_id", "query", "item_id", "grade", "split"),
}
_NEEDED = {
    "items": ("item_id", "title"),
    "interactions": ("user_id", "item_id"),
    "searches": ("user_id", "query"),
    "judgements": ("query", "item_id"),
}
_LISTS = ("items", "impressions", "shown", "gaps")


@dataclass
class Opened:
    """One table: its words, those that were found included, its files, small files `beside` it, and the columns that were read."""

    name: str
    said: dict[str, Any]
    source: Source
    beside: list[Source] = field(default_factory=list)
    used: tuple[str, ...] = ()


class Opener:
    """Opens tables of one mapping."""

    def __init__(self, mapping: Mapping, engine: duckdb.DuckDBPyConnection, place: Place, report: ImportReport) -> None:
        self.mapping, self.engine, self.place, self.report = mapping, engine, place, report

    def open(self, table: str) -> Opened:
        """Find and look at the files of a table. Raises `DataError` where a column is lacking, with a guess."""
        said = dict(self.mapping.tables[table])
        if not said.get("files"):
            raise DataError(f"The table {table} has no file; say --set {table}.files=FILE")
        places = any(str(said.get(w) or "").split(" ")[0].isdigit() for w in DEFAULTS[table])
        if "rest" in said.values():
            said.setdefault("format", "lines")
        source = Source(self.engine, self.place, said, places, self.report)
        _complete(said, table, self.mapping.anywhere, source)
        for word, spec in said.items():
            if spec and _is_read(said, table, word):
                resolve(spec, source, table, word)
        return Opened(table, said, source)

    def check_anywhere(self, opened: list[Opened]) -> None:
        """Raise `DataError` for a column that was named for all tables and is in none."""
        for word, spec in sorted(self.mapping.anywhere.items()):
            if not any(word in t.said or (t.name in WORDS[word].tables and _is_listed(t.said, word)) for t in opened):
                raise DataError(lacking(opened[0].source, opened[0].name, {word: spec}))

    def beside(self, table: Opened, word: str, **how: Any) -> Source | None:
        """The small file that a word of the table names, read as the table is where nothing else is said."""
        if not table.said.get(word):
            return None
        like = how or {w: table.said[w] for w in ("delimiter", "encoding", "quoting") if w in table.said}
        table.beside.append(Source(self.engine, self.place, {"files": table.said[word], **like}, False, self.report))
        return table.beside[-1]

    def two_columns(self, table: Opened, word: str, pair: dict[str, str]) -> tuple[Coded, Coded]:
        """Two columns of such a file: the words that they are for, and their names."""
        source = self.beside(table, word)
        assert source is not None
        names = [resolve(spec, source, table.name, w).names[0] for w, spec in pair.items()]
        gather = Gather()
        for batch in source.batches(names):
            for name in names:
                gather.add(name, batch[name])
        return gather.coded(names[0]), gather.coded(names[1])


def _is_listed(said: dict[str, Any], word: str) -> bool:
    return word == "item_id" and any(said.get(w) for w in _LISTS)


def _is_read(said: dict[str, Any], table: str, word: str) -> bool:
    """Whether a word names a column of the table itself, not of a file beside it or of a property."""
    if WORDS[word].kind != "columns" or word.startswith("click_") or (word == "query" and said.get("query_files")):
        return False
    return not (table == "items" and said.get("property")) or word in ("item_id", "property")


def _columns_in(spec: Any) -> list[str]:
    """The names in a specification such as "a else b"."""
    return [name.strip() for name in re.split(r" else | [+>] ", spec)] if isinstance(spec, str) else []


def _complete(said: dict[str, Any], table: str, anywhere: dict[str, Any], source: Source) -> None:
    """Add what holds in all tables and columns that are called as their words; raise `DataError` for what is lacking."""
    for word, spec in anywhere.items():
        possible = table in WORDS[word].tables and word not in said and not _is_listed(said, word)
        if possible and find_column(_columns_in(spec)[0], source) is not None:
            said[word] = spec
    for word, spec in list(said.items()):
        names = str(spec).split(" else ")
        if WORDS[word].kind == "columns" and names[1:] and names[-1].strip() == "nothing":
            there = [n.strip() for n in names[:-1] if find_column(n.strip(), source) is not None]
            said[word] = " else ".join(there) or None
    taken = {find_column(name, source) for spec in said.values() for name in _columns_in(spec)} - {None}
    for word in DEFAULTS[table]:
        column = find_column(word, source)
        if word not in said and column not in (None, *taken) and not (word == "item_id" and said.get("items")):
            said[word] = word
    lost = {}
    for word in (*_NEEDED[table], *(["timestamp"] if table in LOGS and not said.get("gaps") else [])):
        elsewhere = _is_listed(said, word) or (word == "item_id" and bool(said.get("click_files")))
        elsewhere |= word == "query" and bool(said.get("query_files"))
        refused = word in ("title", "timestamp") and (word in said or bool(said.get("property")))
        if not (said.get(word) or elsewhere or refused):
            lost[word] = word
    if lost:
        none = {"title": "no titles at all", "timestamp": "no time, only the order of the file"}
        others = "".join(f" ({about}: --set {table}.{w}=)" for w, about in none.items() if w in lost)
        raise DataError(lacking(source, table, lost, [t for t in taken if t]) + others)
