"""Titles that say nothing, and items that no text can tell apart."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.dataset import ITEM_COLUMNS
from gensar_lite.data.importing.categories import LEVELS, PATHS
from gensar_lite.data.importing.report import ImportReport

TITLE_WORDS = 12  # of the description, where the title says nothing
_NOTHING = ("nan", "none", "null", "n/a", "na", "-", "untitled", "no title")


def stand_in_titles(
    frame: dict[str, pa.Array],
    report: ImportReport,
    name: str,
    titled: bool,
    places: np.ndarray | None,
) -> tuple[pd.DataFrame, np.ndarray]:
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
    return table, untitled


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
