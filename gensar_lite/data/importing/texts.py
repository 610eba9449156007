"""Clean the texts of people: markup, entities and control characters go; a bare `<` stays."""

from __future__ import annotations

import html
import re

import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import literal_list
from gensar_lite.data.importing.report import ImportReport

_TAG = re.compile(
    r"<(script|style)\b.*?(</\1\s*>|$)|<!--.*?(-->|$)|<!doctype[^<>]*>|</?[a-z][a-z0-9]*(\s[^<>]*)?/?>"
    r"|<[a-z][a-z0-9]*\s+[a-z-]+\s*=[^<>]*$",  # a tag that was cut off has an attribute; "price <usd 50" has none
    re.DOTALL | re.IGNORECASE,
)
_TAIL = re.compile(r"[\"']\s*/?>\s*$")  # the end of a tag whose beginning was cut off: NAME" />
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\ufeff]+")
_ODD = r"[<>&\x00-\x1f\x7f-\x{9f}\x{200b}\x{feff}\x{a0}]|  |^\s|\s$"  # texts without any of these are clean


def clean_text(text: str) -> tuple[str, bool]:
    """A text without tags, entities and control characters, and whether HTML was in it."""
    marked = html.unescape(text)
    plain = _TAIL.sub("", _TAG.sub(" ", marked))
    return " ".join(_CONTROL.sub(" ", plain).split()), plain != marked


def clean_texts(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """`clean_text` of each, and where HTML was. Only texts with something to clean are touched; null stays null."""
    odd = pc.fill_null(pc.match_substring_regex(texts, _ODD), False)
    if not pc.any(odd).as_py():
        return texts, pa.array([False] * len(texts), pa.bool_()) if len(texts) else pa.array([], pa.bool_())
    cleaned = [clean_text(t) for t in texts.filter(odd).to_pylist()]
    new = pc.replace_with_mask(texts, odd, pa.array([t for t, _ in cleaned], texts.type))
    flags = pa.array([False] * len(texts), pa.bool_())
    return new, pc.replace_with_mask(flags, odd, pa.array([m for _, m in cleaned], pa.bool_()))


def spelled(column: pa.Array, said: dict) -> pa.Array:
    """Words as words: `word_separator` becomes a blank, numbers get `word_prefix`."""
    if said.get("word_separator"):
        column = pc.replace_substring(column, said["word_separator"], " ")
    if said.get("word_prefix"):
        column = pc.replace_substring_regex(column, r"[^0-9]+", " ")
        column = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"([0-9]+)", said["word_prefix"] + r"\1")
    return column


def with_blanks(column: pa.Array, said: dict) -> pa.Array:
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


def from_lists(column: pa.Array) -> pa.Array:
    """Cells that hold lists (JSON or Python) as their entries with blanks between."""
    lists = pc.fill_null(pc.and_(pc.starts_with(column, "["), pc.ends_with(column, "]")), False)
    if not pc.any(lists).as_py():
        return column
    joined = [" ".join(literal_list(t)) for t in column.filter(lists).to_pylist()]
    return pc.replace_with_mask(column, lists, pa.array(joined, column.type))
