"""The words in which people say what their files mean.

One mapping has up to four tables (`items`, `interactions`, `searches`, `judgements`), each with words
from `WORDS`, and options that concern all of them. The same words are used on the command line
(`--set TABLE.WORD=VALUE`, with short forms), in Python (a dict of dicts) and in a recipe file (TOML
or JSON).

A word that names a column takes its name, or its place (from 0) where there is no header;
`a else b` is the first of several that has a value, `a + b` joins them, `a > b` are levels of a path.
Some names stand for no column of the file: `line` (the number of the row, from 1), `key` and `value`
(of a JSON object), `rest` (all further cells of a line), `nothing` (after `else`: the word is left out
where none of the columns is there).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping as Dict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gensar_lite.data.storage import DataError

TABLES = ("items", "interactions", "searches", "judgements")
LOGS = ("interactions", "searches")


@dataclass(frozen=True)
class Word:
    """`kind` is one of columns, text, texts, flag, number, condition; `tables` may use it."""

    kind: str
    tables: tuple[str, ...]
    about: str


WORDS: dict[str, Word] = {
    # how the files are read
    "files": Word("texts", TABLES, "files, folders or patterns (*.csv); a leading ! leaves out"),
    "format": Word("text", TABLES, "csv, json, parquet or lines, where the ending does not say it"),
    "delimiter": Word("text", TABLES, "what separates cells (tab, space or the sign itself)"),
    "header": Word("flag", TABLES, "whether the first line names the columns"),
    "quoting": Word("flag", TABLES, "whether double quotes enclose cells"),
    "escape": Word("text", TABLES, "the sign before a quote inside a quoted cell"),
    "encoding": Word("text", TABLES, "such as utf-8, latin-1, gb18030"),
    "skip": Word("number", TABLES, "lines to leave out before the header or the first row"),
    "bad_rows": Word("text", TABLES, "refuse (default) or drop lines that do not fit"),
    "missing": Word("texts", TABLES, "values that mean nothing, beside the empty cell and NA, NULL, nan, None"),
    "where": Word("condition", TABLES, "rows that belong to the table at all"),
    "word_separator": Word("text", TABLES, "a sign between words that stands for a blank"),
    "word_prefix": Word("text", TABLES, "a letter before each word that is a number"),
    # items
    "item_id": Word("columns", TABLES, "the item"),
    "title": Word("columns", ("items",), "its title"),
    "description": Word("columns", ("items",), "its description"),
    "brand": Word("columns", ("items",), "its brand"),
    "categories": Word("columns", ("items",), "its category; a > b are levels"),
    "categories_separator": Word("text", ("items",), "between several categories in one cell"),
    "level_separator": Word("text", ("items",), "between the levels of one category"),
    "categories_list": Word("text", ("items",), "whether a list in a cell is one path (path) or several (several)"),
    "category_names": Word("texts", ("items",), "file with the names of the flag columns"),
    "category_flags": Word("texts", ("items",), "first and last flag column"),
    "category_parents": Word("texts", ("items",), "file with category and parent in its first two columns"),
    "category_files": Word("texts", ("items",), "file with item and category in its first two columns"),
    "property": Word("columns", ("items",), "one row a property: its name"),
    "value": Word("columns", ("items",), "one row a property: its value"),
    "latest_by": Word("columns", ("items",), "one row a property: the time that decides which value counts"),
    "only": Word("text", ("items",), "clicked: leave out items without a click"),
    # what people did
    "user_id": Word("columns", LOGS, "the user"),
    "timestamp": Word("columns", LOGS, "the time; a + b adds milliseconds b to date a; nothing: the order of the file"),
    "time_format": Word("text", LOGS, "such as %d/%m/%Y %H:%M"),
    "time_unit": Word("text", LOGS, "of numbers: s, ms, us or ns"),
    "session_id": Word("columns", LOGS, "one decision: one list shown, one basket"),
    "clicks": Word("condition", LOGS, "rows that count as clicks"),
    "event_type": Word("columns", ("interactions",), "what was done, for the report"),
    "rating": Word("columns", ("interactions",), "a mark, for the report and conditions"),
    "weight": Word("columns", ("interactions",), "a count, for the report and conditions"),
    "taken_back": Word("condition", ("interactions",), "rows that take the user's other events on the item back"),
    "repeats": Word("text", ("interactions",), "keep (default) or drop events on the same item as the one before"),
    "copies": Word(
        "text",
        LOGS,
        "rows dropped as copies: same (default) user, item and time; cells: all cells; a column: its cell, too; keep: none",
    ),
    "history": Word("columns", ("interactions",), "items before a user's first event, in order"),
    "impressions": Word("columns", ("interactions",), "a list of item-1 (clicked) and item-0 (shown)"),
    "items": Word("columns", ("interactions",), "a list of items in order, one line a user"),
    "list_separator": Word("text", LOGS, "between entries of lists in cells"),
    "gaps": Word("columns", LOGS, "seconds since the event before, as a list in a cell"),
    "query": Word("columns", (*LOGS, "judgements"), "what was asked; interactions with a query are searches"),
    "shown": Word("columns", ("searches",), "a list of the items that were shown"),
    "labels": Word("columns", ("searches",), "beside `shown`: a list with numbers above 0 where clicked"),
    "click_files": Word("texts", ("searches",), "file with one row a click: session and item"),
    "click_session": Word("columns", ("searches",), "the column of that file with the session"),
    "click_item": Word("columns", ("searches",), "the column of that file with the item"),
    # judgements
    "query_id": Word("columns", ("judgements",), "the query's id"),
    "query_files": Word(
        "texts", ("judgements",), "file with query_id and query, where the judgements have the id alone"
    ),
    "split": Word("columns", ("judgements",), "the part that the query belongs to: train, valid or test"),
    "grade": Word("columns", ("judgements",), "the judgement"),
    "relevant": Word("texts", ("judgements",), "grades that make a right answer"),
}
OPTIONS = {
    "name": "name of the data set",
    "k_core": "keep users and items with at least so many events",
    "sample_users": "a random sample of so many users",
    "queries": "how queries are made where there is no search log: known-item or category-path",
    "search_share": "share of the interactions that get a query",
    "language": "of the texts, for stop words and stems (default: found from them)",
    "timestamps": "clock, steps or auto",
    "search_clicks": "also interactions: a click after a search is a recommendation click, too",
    "holdout": "leave-one-out or time",
    "case_users": "ask the held-out cases of so many users",
}
_SIGNS = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}


@dataclass
class Mapping:
    """What people said: words of each table, options, and names of columns that hold in every table that has them."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    anywhere: dict[str, Any] = field(default_factory=dict)

    def set(self, table: str, word: str, value: Any) -> None:
        """Say one thing; an empty text or None takes it back."""
        if table not in TABLES:
            raise DataError(f"There is no table {table!r}; the tables are {', '.join(TABLES)}")
        words = self.tables.setdefault(table, {})
        value = _checked(table, word, value)
        words[word] = value

    def say(self, text: str) -> None:
        """TABLE.WORD=VALUE or options.NAME=VALUE, as typed after `--set`."""
        match = re.match(r"\s*(\w+)\.(\w+)\s*=(.*)$", text, re.DOTALL)
        if match is None:
            raise DataError(f"{text!r} cannot be read; write TABLE.WORD=VALUE, such as items.delimiter=tab")
        table, word, value = match[1], match[2], match[3].strip() if match[3].strip() else match[3]
        if table == "options":
            self.set_option(word, value)
        else:
            self.set(table, word, value)

    def say_columns(self, text: str) -> None:
        """user_id=userId,items.title=name, as typed after `--columns`; without a table, for each table that has the column."""
        for part in re.split(r",(?=\s*(?:\w+\.)?\w+\s*=)", text):
            match = re.match(r"\s*(?:(\w+)\.)?(\w+)\s*=(.*)$", part, re.DOTALL)
            if match is None:
                raise DataError(f"{part!r} cannot be read; write WORD=COLUMN, such as user_id=userId,item_id=movieId")
            table, word, spec = match[1], match[2], match[3].strip()
            if word not in WORDS or WORDS[word].kind != "columns":
                columns = [w for w, k in WORDS.items() if k.kind == "columns"]
                raise DataError(f"--columns names no {word!r};{_closest(word, columns)}")
            if table:
                self.set(table, word, spec)
            else:
                self.anywhere[word] = spec

    def say_everywhere(self, word: str, value: str) -> None:
        """VALUE for all tables, or TABLE=VALUE for one."""
        table, sign, rest = value.partition("=")
        if sign and table in TABLES:
            self.set(table, word, rest)
            return
        for table in self.tables:
            if table in WORDS[word].tables:
                self.set(table, word, value)

    def set_option(self, option: str, value: Any) -> None:
        """Say one option; numbers and yes or no may come as text."""
        if option not in OPTIONS:
            raise DataError(f"The option {option!r} is unknown;{_closest(option, OPTIONS)}")
        if option in ("k_core", "sample_users", "case_users") and value is not None:
            if not str(value).isdigit():
                raise DataError(f"options.{option} must be a whole number, not {value!r}")
            value = int(value)
        if option == "search_clicks":
            value = str(value).lower() in ("yes", "true", "1")
        self.options[option] = value

    def to_dict(self) -> dict:
        """For JSON and TOML: the words that were said."""
        anywhere = {"anywhere": self.anywhere} if self.anywhere else {}
        options = {"options": self.options} if self.options else {}
        return {**options, **anywhere, **self.tables}

    @classmethod
    def from_dict(cls, said: Dict[str, Any]) -> Mapping:
        """From the content of a recipe file or a dict in Python; raises `DataError` for unknown words."""
        mapping = cls()
        for key, value in said.items():
            if key in ("about", "source"):
                continue
            if key == "options":
                for option, chosen in value.items():
                    mapping.set_option(option, chosen)
            elif key == "anywhere":
                mapping.say_columns(",".join(f"{word}={spec}" for word, spec in value.items()))
            elif key in TABLES and isinstance(value, Dict):
                for word, chosen in value.items():
                    mapping.set(key, word, chosen)
                mapping.tables.setdefault(key, {})
            else:
                raise DataError(
                    f"{key!r} is no part of a mapping;{_closest(key, (*TABLES, 'options', 'about', 'source'))}"
                )
        return mapping


def _closest(word: str, known) -> str:
    match = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f" did you mean {match[0]!r}?" if match else f" known are {', '.join(known)}"


def _checked(table: str, word: str, value: Any) -> Any:
    """The value in its normal form, or `DataError`."""
    known = WORDS.get(word)
    if known is None or table not in known.tables:
        usable = [w for w, k in WORDS.items() if table in k.tables]
        raise DataError(f"The table {table!r} has no word {word!r};{_closest(word, usable)}")
    if value is None or value == "":
        return None
    if known.kind == "flag":
        if isinstance(value, str) and value.lower() in ("yes", "true", "no", "false", "1", "0"):
            value = value.lower() in ("yes", "true", "1")
        if not isinstance(value, bool):
            raise DataError(f"{table}.{word} must be yes or no, not {value!r}")
        return value
    if known.kind == "number":
        if not str(value).isdigit():
            raise DataError(f"{table}.{word} must be a whole number, not {value!r}")
        return int(value)
    if known.kind == "texts":
        return [str(v) for v in value] if isinstance(value, (list, tuple)) else _split(str(value))
    if known.kind == "columns":
        if isinstance(value, (list, tuple)):
            return (" > " if word == "categories" else " + ").join(str(v) for v in value)
        return str(value)
    if isinstance(value, (dict, list, tuple)):
        raise DataError(f"{table}.{word} must be one value, not {value!r}")
    value = str(value)
    if known.kind == "text":
        value = _SIGNS.get(value.lower(), value)
        if "\\" in value and value != "\\":
            value = value.encode("latin-1", "backslashreplace").decode("unicode_escape")
    return value


def _split(value: str) -> list[str]:
    """A list typed as one text: JSON, or values with commas between them."""
    if value.lstrip().startswith("["):
        try:
            return [str(v) for v in json.loads(value)]
        except ValueError:
            pass
    return [part.strip() for part in value.split(",")]


SHORT = ("delimiter", "encoding", "header", "quoting", "time_format", "time_unit")  # words said for all tables at once


def add_words(
    mapping: Mapping,
    *,
    files: Dict[str, Any] | None = None,
    columns: str | Dict[str, str] | Sequence[str] | None = None,
    clicks: str | None = None,
    sets: Sequence[str] = (),
    short: Dict[str, Any] | None = None,
    options: Dict[str, Any] | None = None,
) -> Mapping:
    """The mapping with what else was said, in the words of the command line; later words win.

    `files` has the files of each table, `columns` is "user_id=userId,items.item_id=movieId" or a dict,
    `clicks` the condition for clicks, `sets` holds TABLE.WORD=VALUE, `short` words of `SHORT`, `options` those of `OPTIONS`.
    """
    mapping = Mapping({t: dict(w) for t, w in mapping.tables.items()}, dict(mapping.options), dict(mapping.anywhere))
    for table, paths in (files or {}).items():
        if paths:
            named: list[Any] = [paths] if isinstance(paths, (str, Path)) else list(paths)
            if len(named) == 1 and "," in str(named[0]) and not Path(named[0]).exists():
                named = str(named[0]).split(",")
            mapping.set(table, "files", [str(p).strip() for p in named])
    for table in (text.split(".")[0].strip() for text in sets):  # tables that only --set names
        if table in TABLES:
            mapping.tables.setdefault(table, {})
    for word, value in (short or {}).items():
        if value is not None:
            mapping.say_everywhere(word, str(value))
    if isinstance(columns, Dict):
        columns = ",".join(f"{word}={spec}" for word, spec in columns.items())
    for text in [columns] if isinstance(columns, str) else columns or []:
        mapping.say_columns(text)
        for words in mapping.tables.values():  # said now: a recipe's own column gives way
            for word in mapping.anywhere:
                words.pop(word, None)
    if clicks is not None:
        mapping.set("interactions" if "interactions" in mapping.tables else "searches", "clicks", clicks)
    for text in sets:
        mapping.say(text)
    for option, value in (options or {}).items():
        if value is not None:
            mapping.set_option(option, value)
    return mapping
