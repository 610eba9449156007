"""What the codebook explorer shows: the tree of codes in columns, the maps of both signals, an item's way down.

Explained in notebook 04. Everything here is data and marks; `codebook.py` puts it on a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex, to_rgb

from gensar_lite.explore.maps import category_of
from gensar_lite.explore.style import FAINT, GROUPS, INK, MUTED, OTHER, role_of, shorten, text_colour
from gensar_lite.explore.widgets.scene import Mark, curve, dot, rect, text
from gensar_lite.identifiers.table import IdentifierTable

TREE = (760.0, 560.0)
MAP = (560.0, 560.0)
TOP, GAP = 44.0, 18.0
SHAPES = ("circle", "square", "up", "diamond", "down")


@dataclass(frozen=True)
class Branch:
    """The items (n,) that begin with a prefix, and what most of them are."""

    prefix: tuple[int, ...]
    items: np.ndarray
    category: str
    share: float


class CodeBrowser:
    """Identifiers, titles and categories of a store, asked by prefix."""

    def __init__(self, table: IdentifierTable, items: pd.DataFrame, num_colours: int = 12) -> None:
        self.table = table
        self.titles = items["title"].astype(str).tolist()
        self.categories = category_of(items)
        common = pd.Series(self.categories).value_counts().sort_index().sort_values(ascending=False, kind="stable")
        named = [str(name) for name in common.index[:num_colours]]
        self.colours = dict(zip(named, GROUPS, strict=False))
        self.shapes = {name: SHAPES[number % len(SHAPES)] for number, name in enumerate(named)}

    def name(self, view: str, level: int) -> str:
        """The codebook of a level (counted from 0)."""
        return self.table.codebook_names[self.table.codebooks_of[view][level]]

    def items_of(self, view: str, prefix: Sequence[int]) -> np.ndarray:
        """The item numbers whose identifier begins with a prefix."""
        codes = self.table.codes[view]
        return np.flatnonzero((codes[:, : len(prefix)] == np.asarray(prefix, codes.dtype)).all(axis=1))

    def branches(self, view: str, prefix: Sequence[int] = ()) -> list[Branch]:
        """What may follow a prefix, those of one category together, the larger ones first."""
        inside = self.items_of(view, prefix)
        if len(prefix) == self.table.num_levels or not len(inside):
            return []
        codes = self.table.codes[view][inside, len(prefix)]
        found = []
        for code in np.unique(codes):
            items = inside[codes == code]
            names, counts = np.unique(self.categories[items].astype(str), return_counts=True)
            best = int(counts.argmax())
            found.append(Branch((*prefix, int(code)), items, str(names[best]), float(counts[best] / len(items))))
        order = list(self.colours)
        place = {name: order.index(name) if name in order else len(order) for name in {b.category for b in found}}
        return sorted(found, key=lambda b: (place[b.category], -len(b.items), b.prefix))

    def describe(self, view: str, prefix: Sequence[int]) -> str:
        """A prefix in words."""
        return " ".join(f"{self.name(view, level)} {code}" for level, code in enumerate(prefix))

    def follow(self, view: str, item: int) -> pd.DataFrame:
        """An item's way through its levels: level, codebook, code, `items left`, their commonest category and its share."""
        codes = self.table.codes[view][item]
        rows = []
        for level in range(self.table.num_levels):
            left = self.items_of(view, codes[: level + 1])
            names, counts = np.unique(self.categories[left].astype(str), return_counts=True)
            rows.append(
                {
                    "level": level + 1,
                    "codebook": f"{self.name(view, level)} ({role_of(self.name(view, level))})",
                    "code": int(codes[level]),
                    "items left": len(left),
                    "mostly": f"{names[counts.argmax()]} ({counts.max() / len(left):.0%})",
                }
            )
        return pd.DataFrame(rows)

    @cached_property
    def _lower(self) -> list[str]:
        return [title.lower() for title in self.titles]

    def find(self, words: str) -> int | None:
        """The first item whose id is given or whose title holds all words; None where there is none."""
        ids = self.table.item_ids.tolist()
        if words.strip() in ids:
            return ids.index(words.strip())
        wanted = words.lower().split()
        return next((n for n, title in enumerate(self._lower) if wanted and all(w in title for w in wanted)), None)


def neighbours(vectors: np.ndarray, item: int, num: int = 5) -> np.ndarray:
    """The items (num,) whose vectors (N, D) point most nearly the same way, nearest first, the item itself left out."""
    length = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
    likeness = vectors @ vectors[item] / length / length[item]
    likeness[item] = -np.inf
    return np.argsort(-likeness, kind="stable")[: min(num, len(vectors) - 1)]


def shared_levels(table: IdentifierTable, view: str, item: int, others: np.ndarray) -> np.ndarray:
    """With how many codes the identifiers of an item and of others (n,) begin alike."""
    same = table.codes[view][others] == table.codes[view][item]
    return np.cumprod(same, axis=1).sum(axis=1)


def key_of(prefix: Sequence[int]) -> str:
    """The key of a prefix's mark."""
    return "code:" + ".".join(map(str, prefix))


def prefix_of(key: str) -> tuple[int, ...]:
    """The prefix that a mark's key stands for."""
    return tuple(int(code) for code in key.removeprefix("code:").split(".") if code)


def tree_marks(browser: CodeBrowser, view: str, prefix: Sequence[int], item: int | None = None) -> list[Mark]:
    """The tree in columns: all first codes, what follows the chosen one, what follows that, and so on.

    A box is as high as its items are many and has the colour of their commonest category, paler where it is mixed.
    """
    levels = browser.table.num_levels
    wide = (TREE[0] - GAP * (levels - 1)) / levels
    marks: list[Mark] = []
    mine = tuple(browser.table.codes[view][item].tolist()) if item is not None else ()
    for level in range(levels):
        left = level * (wide + GAP)
        name = browser.name(view, level)
        marks.append(text(left, 14, f"level {level + 1} · {name}", 14, weight="bold", fill=INK))
        marks.append(text(left, 32, f"{role_of(name)} codes", 12, fill=MUTED))
        if level > len(prefix):
            marks.append(rect(left, TOP, wide, TREE[1] - TOP, "#f6f7f9"))
            marks.append(
                text(left + wide / 2, TREE[1] / 2, "click a code on the left", 12, anchor="middle", fill=MUTED)
            )
            continue
        column = browser.branches(view, prefix[:level])
        total, place = sum(len(b.items) for b in column), TOP
        space = 0.8 if len(column) > 30 else 2.0
        scale = (TREE[1] - TOP - space * (len(column) - 1)) / total
        for branch in column:
            high = len(branch.items) * scale
            chosen = branch.prefix == tuple(prefix[: level + 1])
            fill = browser.colours.get(branch.category, OTHER)
            tip = f"{browser.describe(view, branch.prefix)}: {count_items(len(branch.items))}, {branch.share:.0%} {branch.category}"
            if len(branch.items) == 1:
                tip = f"{browser.describe(view, branch.prefix)}: {browser.titles[branch.items[0]]}"
            way = branch.prefix == mine[: level + 1]
            fill = fade(fill, 1 - branch.share)
            marks.append(rect(left, place, wide, high, fill, key=key_of(branch.prefix), tip=tip, rx=1.5))
            if high >= 12:
                marks.append(_box_label(browser, view, branch, left, place, high, wide, text_colour(fill)))
            if way:
                marks.append(dot(left + wide - 9, place + high / 2, min(5.0, max(high / 2, 2)), INK))
            if chosen and level + 1 < levels:
                for end in (TOP, TREE[1]):
                    edge = place if end == TOP else place + high
                    marks.append(curve((left + wide, edge), (left + wide + GAP, end), MUTED, 1))
            place += high + space
    return marks


def _box_label(
    browser: CodeBrowser, view: str, branch: Branch, left: float, top: float, high: float, wide: float, ink: str
) -> Mark:
    level = len(branch.prefix) - 1
    size = min(13.0, max(9.5, high * 0.7))
    fits = int(wide / (size * 0.62))
    words = f"{browser.name(view, level)} {branch.prefix[-1]} · {len(branch.items)}"
    if len(branch.items) == 1:
        words = browser.titles[branch.items[0]]
    elif high >= 26:
        words += f" · {branch.category}"
    return text(left + 6, top + high / 2 + size * 0.36, shorten(words, fits), size, fill=ink)


def map_marks(browser: CodeBrowser, places: np.ndarray, title: str) -> list[Mark]:
    """All items as points at places (N, 2), coloured and shaped by category; the key of item n is "item:n"."""
    low, high = places.min(axis=0), places.max(axis=0)
    inner = np.array(MAP) - [24, TOP + 16]
    at = (places - low) / np.maximum(high - low, 1e-9) * inner + [12, TOP + 4]
    radius = float(np.clip(150 / len(places) ** 0.5, 2.4, 6))
    marks = [text(0, 14, title, 14, weight="bold"), text(0, 32, "near: alike; axes have no unit", 12, fill=MUTED)]
    marks.append(rect(0, TOP, MAP[0], MAP[1] - TOP, "#fbfbfc", stroke=FAINT, width=1))
    for item, (x, y) in enumerate(at.tolist()):
        category = str(browser.categories[item])
        fill = browser.colours.get(category, OTHER)
        tip = f"{browser.titles[item]}\n{category}"
        marks.append(dot(x, y, radius, fill, browser.shapes.get(category, "circle"), key=f"item:{item}", tip=tip))
    return marks


def fade(colour: str, amount: float) -> str:
    """A colour that turns to paper by up to two thirds as `amount` goes from 0 to 1."""
    channels = np.array(to_rgb(colour))
    red, green, blue = channels + (1 - channels) * amount * 0.65
    return to_hex((red, green, blue))


def count_items(num: int) -> str:
    """A number of items in words."""
    return f"{num:,} item" + ("" if num == 1 else "s")
