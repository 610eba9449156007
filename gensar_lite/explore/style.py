"""How the figures look: one palette that holds for colour-blind readers and in greyscale, one set of fonts and lines.

The first colours are those of Okabe & Ito, "Color Universal Design" (2008). The roles differ in lightness as
well as in hue, and groups on a map differ in their marker as well, so that a grey print can be read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib import font_manager
from matplotlib.axes import Axes

INK = "#1f2430"
MUTED = "#6a7080"
FAINT = "#d9dce3"
PAPER = "#ffffff"

ROLES = {
    "shared": "#33363d",
    "semantic": "#0072b2",
    "collaborative": "#e69f00",
    "joint": "#9be3c4",
    "random": "#7d7d7d",
}
TASK_COLOURS = {"search": ROLES["semantic"], "recommendation": ROLES["collaborative"]}

GROUPS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#5b4b8a",
    "#b8a800",
    "#33363d",
    "#8c3b0c",
    "#8fd6b4",
    "#c6a6f0",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "*", "h", "<", ">")
OTHER = "#c3c7d0"

SEQUENTIAL = sns.light_palette(
    "#0b3358", as_cmap=True
)  # lightness falls steadily from paper: equal steps in greyscale too

LOOK = Path(__file__).with_name("figures.mplstyle")
EAST_ASIAN = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
    "Droid Sans Fallback",
)


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the package inside this block, and leave the caller's settings as they were."""
    # a notebook's backend turns itself on at first use; inside the block its settings would be undone at the end
    plt.draw_if_interactive()
    with plt.style.context([LOOK, {"font.family": _fonts()}]):
        yield


def font_names(installed: Iterable[str]) -> list[str]:
    """DejaVu Sans, which comes with matplotlib and makes the same figure on every machine, and for titles in Chinese, Japanese or
    Korean the first font that is there."""
    there = set(installed)
    return ["DejaVu Sans", *[name for name in EAST_ASIAN if name in there][:1]]


@cache
def _fonts() -> list[str]:
    return font_names(font.name for font in font_manager.fontManager.ttflist)


@contextmanager
def glyphs_missed() -> Iterator[list[str]]:
    """Draw inside this block: letters that no font has are boxes, and one note, not a warning for each of them, is in the list."""
    note: list[str] = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield note
    missed = [warning for warning in told if "missing from font" in str(warning.message)]
    if missed:
        note.append("Some letters are shown as boxes: no font here has them (Debian: apt-get install fonts-noto-cjk).")
    for warning in told:
        if warning not in missed:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def new_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """The given axes, or those of a new figure of this size in inches."""
    if ax is not None:
        ax.spines[["top", "right"]].set_visible(False)  # the caller made it in another style
        return ax
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def role_of(codebook: str) -> str:
    """Role of a codebook by its name: "s2" is semantic, "c1" collaborative, "r1" random, "m1" shared."""
    return {"s": "semantic", "c": "collaborative", "b": "joint", "r": "random"}.get(codebook[:1], "shared")


def shorten(text: str, width: int) -> str:
    """A text of at most `width` characters, cut at a word."""
    text = " ".join(str(text).split())
    if len(text) <= width:
        return text
    cut = text[: width - 1].rsplit(" ", 1)[0]
    return (cut if len(cut) > width // 2 else text[: width - 1]).rstrip(" ,;:-") + "…"


def text_colour(colour: Any) -> str:
    """Ink or paper, whichever is easier to read on this colour (WCAG relative luminance)."""
    channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(colour)]
    luminance = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    return INK if luminance > 0.3 else PAPER
