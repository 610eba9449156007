"""Columns of people's tables as codes: each distinct text is held once, each row is a number."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.reading import Source
from gensar_lite.data.storage import DataError

MISSING = ("", "NA", "N/A", "NULL", "null", "nan", "NaN", "NAN", "None", "<NA>", "NaT", "\\N")
_DECIMAL = r"^[0-9]+\.0+$"


@dataclass(frozen=True)
class Columns:
    """What a word names: the columns of a file, and how they become one ("else", "+", ">", or "" for one)."""

    names: tuple[str, ...]
    how: str = ""


def resolve(spec: str, source: Source, table: str, word: str) -> Columns:
    """The columns that `spec` names; raises `DataError` with the closest names where the file lacks one."""
    for how in (" else ", " > ", " + "):
        if how in spec:
            parts = [resolve(p.strip(), source, table, word) for p in spec.split(how)] if how != " else " else []
            if how == " else ":
                # "nothing" at the end: the word is left out where no column is there
                found = [p.strip() for p in spec.split(how) if find_column(p.strip(), source) is not None]
                if found:
                    return Columns(tuple(str(find_column(f, source)) for f in found), "else" if len(found) > 1 else "")
                break
            return Columns(tuple(n for p in parts for n in p.names), how.strip())
    name = find_column(spec, source)
    if name is None:
        raise DataError(lacking(source, table, {word: spec}))
    return Columns((name,))


USUAL = {  # names that such columns often have
    "user_id": (
        "user",
        "userid",
        "uid",
        "customer",
        "client",
        "visitor",
        "member",
        "reviewer",
        "account",
        "kunde",
        "nutzer",
        "用户",
        "session",
    ),
    "item_id": (
        "item",
        "itemid",
        "iid",
        "sku",
        "product",
        "article",
        "movie",
        "asin",
        "book",
        "isbn",
        "stockcode",
        "id",
    ),
    "timestamp": ("time", "ts", "date", "datetime", "created", "at", "when", "unix", "zeit", "datum", "时间"),
    "title": ("name", "label", "headline", "bezeichnung", "名称", "标题"),
    "query": ("keyword", "search", "q", "term", "phrase"),
    "grade": ("label", "relevance", "rating", "judgement"),
}


def guess_column(word: str, columns: Sequence[str], taken: Sequence[str] = ()) -> str | None:
    """The column that is probably meant by a word: of a similar name, or of a name that such columns often have."""
    spare = {_plain(c): c for c in reversed(columns) if c not in taken}
    close = difflib.get_close_matches(word, list(spare), 1, 0.6)
    if close:
        return spare[close[0]]
    for usual in USUAL.get(word, ()):
        found = [c for c in spare if c == usual or usual in c.split("_") or (len(usual) > 3 and usual in c)]
        if found:
            return spare[min(found, key=len)]
    return None


def lacking(source: Source, table: str, words: dict[str, str], taken: Sequence[str] = ()) -> str:
    """The sentence for columns that are not there (word: the name it was given), with guesses that can be pasted."""
    guesses = {w: guess_column(w if _plain(n) == w else _plain(n), source.columns, taken) for w, n in words.items()}
    for word in [w for w, g in guesses.items() if g is None]:
        guesses[word] = guess_column(word, source.columns, [*taken, *filter(None, guesses.values())])
    named = ", ".join(repr(n) if _plain(n) == w else f"{n!r} for {w}" for w, n in words.items())
    shown = ", ".join(source.columns[:20]) + (" …" if len(source.columns) > 20 else "")
    hints = [f"did you mean {g!r}?" for g in guesses.values() if g]
    said = _quoted(",".join(f"{table}.{w}={g or 'NAME'}" for w, g in guesses.items()))
    return f"{source.name} has no column{'s' * (len(words) > 1)} {named} (it has {shown}); {' '.join(hints) + ' Then say' if hints else 'say which ' + ('they are' if len(words) > 1 else 'it is') + ' with'} --columns {said}"


def _quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"[\s|&;<>()$]", text) else text


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip().lower())


def find_column(name: str, source: Source) -> str | None:
    """The column of that name or place, forgiving case, blanks and hyphens; "line" where no column is called so."""
    if name in source.columns:
        return name
    same = [c for c in source.columns if _plain(c) == _plain(name)]
    if len(same) == 1:
        return same[0]
    if name.isdigit() and int(name) < len(source.columns):
        return source.columns[int(name)]
    return "line" if name == "line" else None


def combined(columns: Columns, batch: dict[str, pa.ChunkedArray]) -> pa.ChunkedArray:
    """One column of text: the first with a value, or all joined by a blank."""
    parts = [batch[n] for n in columns.names]
    if len(parts) == 1:
        return parts[0]
    if columns.how == "else":
        known = [pc.if_else(is_missing(p, MISSING), None, p) for p in parts]
        return pc.coalesce(*known)
    return pc.binary_join_element_wise(*[pc.fill_null(p, "") for p in parts], " ")


def is_missing(column: pa.ChunkedArray, missing: Sequence[str]) -> pa.ChunkedArray:
    """Which cells are null, blank, or one of the words that mean "missing"."""
    empty = pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(missing, pa.string()))
    return pc.or_(pc.is_null(column), empty)


@dataclass
class Coded:
    """A column of R rows: `codes` (R,) int32 number `values`; -1 is a missing cell."""

    codes: np.ndarray
    values: pa.Array

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def missing(self) -> np.ndarray:
        """(R,) cells without a value."""
        return self.codes < 0

    def take(self, rows: np.ndarray) -> Coded:
        """Some rows, by number or mask."""
        return Coded(self.codes[rows], self.values)

    def map(self, change: Callable[[pa.Array], pa.Array]) -> Coded:
        """Each distinct value changed; null makes its rows missing, equal results become one value."""
        new = change(self.values)
        encoded = pc.dictionary_encode(new)
        to = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
        codes = np.where(self.codes >= 0, to[self.codes], -1).astype(np.int32) if len(to) else self.codes
        return Coded(codes, encoded.dictionary)

    def numbers_in(self, ids: pa.Array) -> np.ndarray:
        """(R,) int32: the place of each row's value among `ids`, -1 where it is not there."""
        to = pc.fill_null(pc.index_in(self.values, value_set=ids.cast(self.values.type)), -1)
        to = to.to_numpy(zero_copy_only=False).astype(np.int32)
        return np.where(self.codes >= 0, to[self.codes], -1).astype(np.int32) if len(to) else self.codes

    def tally(self, rows: np.ndarray | None = None) -> dict[str, int]:
        """How often each value occurs, most frequent first."""
        codes = self.codes if rows is None else self.codes[rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.values))
        order = np.argsort(-counts, kind="stable")
        names = self.values.to_pylist()
        return {names[n]: int(counts[n]) for n in order if counts[n]}

    def texts(self) -> pa.Array:
        """(R,) the values of the rows, null where missing."""
        return pc.take(self.values, pa.array(self.codes, mask=self.codes < 0))


class Gather:
    """Collects pieces of text columns and makes one `Coded` of each."""

    def __init__(self) -> None:
        self.parts: dict[str, list[pa.Array]] = {}

    def add(self, name: str, column: pa.Array | pa.ChunkedArray) -> None:
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        self.parts.setdefault(name, []).extend(pc.dictionary_encode(chunk) for chunk in chunks if len(chunk))

    def coded(self, name: str) -> Coded:
        parts = self.parts.pop(name, [])
        if not parts:
            return Coded(np.zeros(0, np.int32), pa.array([], pa.string()))
        whole = pa.chunked_array(parts).unify_dictionaries()
        codes = [pc.fill_null(c.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32) for c in whole.chunks]
        return Coded(np.concatenate(codes), whole.chunk(0).dictionary.cast(pa.string()))


def clean_ids(column: Coded, missing: Sequence[str]) -> tuple[Coded, dict[str, int], int]:
    """Ids without blanks around them; what means nothing is missing.

    Also returns how many rows were missing by which word (the empty cell left out), and how many ids were
    whole numbers written with a decimal point ("12.0"): where all are, the point goes.
    """
    trimmed = column.map(pc.utf8_trim_whitespace)
    words = {w: n for w, n in trimmed.tally().items() if w in missing and w} if len(trimmed.values) else {}
    trimmed = trimmed.map(lambda v: pc.if_else(pc.is_in(v, value_set=pa.array(missing, pa.string())), None, v))
    points = 0
    if len(trimmed.values) and pc.all(pc.match_substring_regex(trimmed.values, _DECIMAL)).as_py():
        points = len(trimmed.values)
        trimmed = trimmed.map(lambda v: pc.replace_substring_regex(v, r"\.0+$", ""))
    return trimmed, words, points


def split_lists(column: pa.ChunkedArray, separator: str | None) -> pa.Array:
    """Lists in cells as an Arrow list column: with a separator, as JSON or a Python literal, or with blanks, commas or bars."""
    text = pc.fill_null(column, "")
    text = text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
    text = pc.utf8_trim_whitespace(text)
    if separator and separator.strip():
        return _without_blanks(pc.split_pattern(text, separator))
    if pc.any(pc.starts_with(text, "[")).as_py():
        if not pc.any(pc.match_substring_regex(text, "[\"']")).as_py():
            return _without_blanks(pc.split_pattern(pc.utf8_trim(text, "[] "), ","))
        encoded = pc.dictionary_encode(text)
        lists = pa.array([literal_list(v) for v in encoded.dictionary.to_pylist()], pa.list_(pa.string()))
        return pc.take(lists, encoded.indices)
    for sign in (" ", ",", "|") if not separator else (" ",):
        if pc.any(pc.match_substring(text, sign)).as_py():
            return _without_blanks(pc.utf8_split_whitespace(text) if sign == " " else pc.split_pattern(text, sign))
    return _without_blanks(pc.split_pattern(text, "\x00"))


def _without_blanks(lists: pa.ListArray) -> pa.ListArray:
    """Entries without blanks around them; an empty text is an empty list."""
    flat = pc.utf8_trim_whitespace(lists.flatten())
    offsets = lists.offsets.to_numpy()
    begin, length = offsets[:-1] - offsets[0], np.diff(offsets)
    alone = length == 1
    alone[alone] = pc.equal(flat, "").to_numpy(zero_copy_only=False)[begin[alone]]
    keep = np.ones(len(flat), bool)
    keep[begin[alone]] = False
    ends = np.concatenate([[0], np.cumsum(length - alone)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat.filter(pa.array(keep)))


def literal_list(text: str) -> list[str]:
    """The entries of a list written as JSON or as a Python literal (which is parsed, never run); [] where it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return [text] if text.strip() not in ("", "[]") else []
    if not isinstance(value, (list, tuple)):
        return [] if value is None else [str(value)]
    return [str(v) for v in value if v is not None]
