"""Clean people's texts and tables: what is repaired or dropped is counted and said in sentences."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gensar_lite.data.dataset import ITEM_COLUMNS
from gensar_lite.data.storage import DataError

TITLE_WORDS = 12  # of the description, where the title says nothing
_TAG = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|</?[a-zA-Z!][^<>]*(>|$)", re.DOTALL | re.IGNORECASE)
_TAIL = re.compile(r"[\"']\s*/?>\s*$")  # the end of a tag whose beginning was cut off: NAME" />
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\ufeff]+")
_NOTHING = {"nan", "none", "null", "n/a", "na", "-", "untitled", "no title"}


@dataclass
class ImportReport:
    """What an import found: `counts` of what was read, repaired and dropped, and the same in `sentences`.

    `with_rows` is False where a table is no longer as it stood in the file, so that row numbers would mislead.
    """

    counts: dict[str, int] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    with_rows: bool = True

    def say(self, key: str, count: int, sentence: str, rows: np.ndarray | None = None) -> None:
        """Count something; where it happened at all, say it, with the first rows (as a spreadsheet numbers them)."""
        self.counts[key] = self.counts.get(key, 0) + int(count)
        if count:
            where = (
                ""
                if rows is None or not len(rows) or not self.with_rows
                else f" (first in row{'s' * (len(rows) > 1)} {name_rows(rows)})"
            )
            self.sentences.append(f"{sentence}{where}.")

    def to_dict(self) -> dict:
        """For JSON."""
        return {"counts": self.counts, "sentences": self.sentences}

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def name_rows(rows: np.ndarray) -> str:
    """The first three data rows as line numbers of a file with a header."""
    return ", ".join(str(int(r) + 2) for r in rows[:3]) + (" …" if len(rows) > 3 else "")


def clean_text(text: str) -> tuple[str, bool]:
    """A text without tags, entities and control characters, and whether HTML was in it."""
    marked = html.unescape(text)
    plain = _TAIL.sub("", _TAG.sub(" ", marked))
    return " ".join(_CONTROL.sub(" ", plain).split()), plain != marked


def clean_items(raw: pd.DataFrame, file: str, report: ImportReport, least: int = 2) -> pd.DataFrame:
    """Items with unique ids and a title each.

    Rows without an id are dropped, of rows with the same id the first stays. A title that says nothing
    (empty, no letter or digit, "nan", or a scrap of HTML shared by three or more items) is replaced by
    the opening words of the description, else by brand and category, else by "untitled" and the id.
    """
    items = raw.copy()
    items["item_id"] = items["item_id"].str.strip()
    blank = (items["item_id"] == "").to_numpy()
    report.say(
        "items_without_id",
        blank.sum(),
        f"{file}: {blank.sum()} rows without an item_id were dropped",
        raw.index[blank].to_numpy(),
    )
    items = items[~blank]
    exact = items.duplicated().to_numpy()
    report.say(
        "duplicate_item_rows",
        exact.sum(),
        f"{file}: {exact.sum()} exact copies of other rows were dropped",
        items.index[exact].to_numpy(),
    )
    items = items[~exact]
    again = items["item_id"].duplicated().to_numpy()
    names = ", ".join(items["item_id"][again].unique()[:3])
    report.say(
        "duplicate_item_ids",
        again.sum(),
        f"{file}: {again.sum()} rows repeat an item_id with other content ({names}); the first row of each id was kept",
        items.index[again].to_numpy(),
    )
    items = items[~again]
    if len(items) < least:
        raise DataError(
            f"{file} has {len(items)} usable item(s); {'ranking needs at least two, add items to the catalogue' if least > 1 else 'give items with an item_id and a title'}"
        )
    marked = {}
    for column in ITEM_COLUMNS[1:]:
        cleaned = [clean_text(text) for text in items[column]]
        items[column] = pd.Series([text for text, _ in cleaned], index=items.index, dtype=object)
        marked[column] = np.array([found for _, found in cleaned], dtype=bool)
    others = marked["description"] | marked["categories"] | marked["brand"]
    report.say(
        "texts_with_html",
        others.sum(),
        f"{file}: HTML was taken out of the description, categories or brand of {others.sum()} items",
    )

    title = items["title"]
    shared = title.groupby(title).transform("size").to_numpy() >= 3
    scrap = marked["title"] & shared
    mute = title.str.lower().isin(_NOTHING).to_numpy() | ~title.str.contains(r"[^\W_]", regex=True).to_numpy(bool)
    kept = marked["title"] & ~scrap & ~mute
    report.say(
        "titles_with_html",
        kept.sum(),
        f"{file}: HTML was taken out of {kept.sum()} titles",
        items.index[kept].to_numpy(),
    )
    report.say(
        "html_titles_replaced",
        scrap.sum(),
        f"{file}: {scrap.sum()} titles are a scrap of HTML shared by several items; other text stands in",
        items.index[scrap].to_numpy(),
    )
    report.say(
        "empty_titles_replaced",
        (mute & ~scrap).sum(),
        f"{file}: {(mute & ~scrap).sum()} titles are empty or no text; other text stands in",
        items.index[mute & ~scrap].to_numpy(),
    )
    rows = np.flatnonzero(scrap | mute)
    instead = []
    for row in items.iloc[rows].itertuples():
        opening = " ".join(str(row.description).split()[:TITLE_WORDS])
        instead.append(
            opening or " ".join(p for p in (str(row.brand), str(row.categories)) if p) or f"untitled {row.item_id}"
        )
    items.loc[items.index[rows], "title"] = np.array(instead, dtype=object)

    texts = items[list(ITEM_COLUMNS[1:])].agg("\x1f".join, axis=1)
    size = texts.groupby(texts).transform("size")
    alike = (size > 1).to_numpy()
    report.say(
        "items_with_shared_text",
        alike.sum(),
        f"{file}: {alike.sum()} items have the same text as another one (largest group {size.max()}); no text search can tell them apart",
    )
    report.counts["items"] = len(items)
    return items.reset_index(drop=True)


def drop_rows(
    frame: pd.DataFrame, bad: np.ndarray, key: str, file: str, what: str, report: ImportReport
) -> pd.DataFrame:
    """Drop rows and say so: `what` completes "N rows …"."""
    report.say(
        key, bad.sum(), f"{file}: {bad.sum()} of {len(frame)} rows {what} and were dropped", frame.index[bad].to_numpy()
    )
    return frame[~bad]
