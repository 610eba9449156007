"""Clean the texts of people: markup, entities and control characters go; a bare `<` stays."""

from __future__ import annotations

import html
import re

import pyarrow as pa
import pyarrow.compute as pc

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
