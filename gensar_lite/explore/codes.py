"""Pictures of identifiers: how codes branch, how evenly they are used, what they stand for.

Explained in notebooks 03 and 04. All functions take an identifier table: `codes[view]` (N, L),
`codebooks_of[view]` (L,) rows of `codebook_names`, and `codebook_sizes` (P,).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.metrics import adjusted_mutual_info_score

from gensar_lite.explore.style import (
    FAINT,
    INK,
    MUTED,
    PAPER,
    ROLES,
    SEQUENTIAL,
    new_axes,
    role_of,
    shorten,
    style,
    text_colour,
)


class Identifiers(Protocol):
    """What the figures need of an identifier table."""

    @property
    def codes(self) -> Mapping[str, np.ndarray]: ...

    @property
    def codebooks_of(self) -> Mapping[str, np.ndarray]: ...

    @property
    def codebook_names(self) -> Sequence[str]: ...

    @property
    def codebook_sizes(self) -> np.ndarray: ...


def codes_of(table: Identifiers, codebook: str) -> np.ndarray:
    """The codes (N,) that one codebook gives to the items."""
    number = list(table.codebook_names).index(codebook)
    for view, books in table.codebooks_of.items():
        level = np.flatnonzero(np.asarray(books) == number)
        if len(level):
            return np.asarray(table.codes[view])[:, level[0]]
    raise ValueError(f"no view of this table uses codebook {codebook!r}")


def perplexity(counts: np.ndarray) -> float:
    """Effective number of codes in use: 2 to the entropy of their shares; K codes used alike give K."""
    share = counts[counts > 0] / counts.sum()
    return float(np.exp2(-(share * np.log2(share)).sum()))


def plot_code_use(table: Identifiers, title: str = "How evenly codes are used") -> Figure:
    """One panel per codebook: items per code, most used first, beside what equal use would be."""
    names = list(table.codebook_names)
    columns = min(3, len(names)) if len(names) != 4 else 2
    rows = -(-len(names) // columns)
    with style():
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(3.3 * columns + 0.4, 2.3 * rows + 0.7),
            layout="constrained",
            sharey=True,
            squeeze=False,
        )
        for name, ax in zip(names, axes.ravel(), strict=False):
            size = int(np.asarray(table.codebook_sizes)[names.index(name)])
            counts = np.sort(np.bincount(codes_of(table, name), minlength=size))[::-1]
            role = role_of(name)
            ax.fill_between(
                np.arange(size + 1),
                np.append(counts, counts[-1]),
                step="post",
                color=ROLES[role],
                alpha=0.9,
                linewidth=0,
            )
            even = counts.sum() / size
            ax.plot([0, size], [even, even], color=PAPER, linewidth=2.4)
            ax.plot([0, size], [even, even], color=MUTED, linewidth=1.1, linestyle=(0, (4, 2)))
            used, effective = int((counts > 0).sum()), perplexity(counts)
            ax.set_title(f"{name} · {role}", color=INK)
            ax.text(
                0.98,
                0.95,
                f"{used} of {size} in use\nperplexity {effective:.0f} ({effective / size:.0%})",
                transform=ax.transAxes,
                ha="right",
                va="top",
                fontsize=8.5,
                linespacing=1.5,
            )
            ax.set(xlim=(0, size), xlabel="code, by number of items")
            ax.grid(axis="y")
        for ax in axes.ravel()[len(names) :]:
            ax.set_visible(False)
        for ax in axes[:, 0]:
            ax.set_ylabel("items")
        axes[0, 0].set_ylim(0, None)
        axes[0, 0].annotate(
            "equal use",
            (axes[0, 0].get_xlim()[1], even),
            xytext=(-3, 3),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            color=MUTED,
        )
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def plot_code_categories(
    table: Identifiers,
    categories: Sequence[str] | np.ndarray,
    codebook: str | None = None,
    num_categories: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """A heat map: how the items of each code divide among categories.

    `categories` (N,). Every column (code) adds up to 100 % over all rows; codes stand beside those with the same largest
    category. The title tells the adjusted mutual information of code and category: 0 as by chance, 1 the same division.
    """
    codebook = codebook or next(iter(table.codebook_names))
    codes, groups = codes_of(table, codebook), pd.Series(np.asarray(categories, dtype=object)).astype(str)
    common = groups.value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:num_categories]
    shown = groups.where(groups.isin(common), "all others")
    table_of_shares = pd.crosstab(shown, codes, normalize="columns")
    order = [c for c in (*common, "all others") if c in table_of_shares.index]
    shares = table_of_shares.loc[order]
    leading = shares.to_numpy().argmax(axis=0)
    shares = shares.iloc[:, np.lexsort((-shares.to_numpy().max(axis=0), leading))]
    agreement = adjusted_mutual_info_score(groups, codes)
    with style():
        ax = new_axes(ax, 9.0, 0.34 * len(order) + 1.9)
        drawn = ax.pcolormesh(shares.to_numpy(), cmap=SEQUENTIAL, vmin=0, vmax=1, edgecolors=PAPER, linewidth=0.4)
        ax.set_yticks(np.arange(len(order)) + 0.5, [shorten(c, 30) for c in order])
        step = max(1, -(-shares.shape[1] // 32))
        ax.set_xticks(
            np.arange(0, shares.shape[1], step) + 0.5, [str(c) for c in shares.columns[::step]], rotation=90, fontsize=7
        )
        ax.tick_params(length=0)
        ax.invert_yaxis()
        ax.set(xlabel=f"code of {codebook} ({role_of(codebook)}), sorted by its largest category", ylabel="category")
        ax.set_title(
            f"What the codes of {codebook} stand for: adjusted mutual information with the category {agreement:.2f}"
        )
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        bar = ax.figure.colorbar(drawn, ax=ax, pad=0.015, fraction=0.03, format=lambda v, _: f"{v:.0%}")
        bar.set_label("share of the code's items")
        bar.outline.set_visible(False)
    return ax


def plot_code_tree(
    table: Identifiers,
    titles: Sequence[str],
    view: str = "semantic",
    prefix: Sequence[int] = (),
    num_branches: Sequence[int] = (4, 2, 2),
    ax: Axes | None = None,
) -> Axes:
    """An icicle of the most common identifier prefixes, with example titles at the right.

    `titles` (N,). Level by level the `num_branches` most common codes are drawn and the rest is one grey
    row; every row is equally high, and the numbers say how many items stand behind it. `prefix` starts
    the drawing below one branch.
    """
    codes = np.asarray(table.codes[view])
    inside = np.flatnonzero(
        (codes[:, : len(prefix)] == np.asarray(prefix, dtype=codes.dtype).reshape(1, -1)).all(axis=1)
    )
    if not len(inside):
        raise ValueError(f"no {view} identifier starts with {tuple(prefix)}")
    names = [list(table.codebook_names)[b] for b in np.asarray(table.codebooks_of[view])]
    levels = range(len(prefix), min(len(prefix) + len(num_branches), codes.shape[1]))
    boxes: list[tuple[int, float, float, str, bool]] = []
    rows: list[str] = []

    def branch(members: np.ndarray, depth: int) -> float:
        """Draw the branches below `members`; returns how many rows they took."""
        if depth == len(levels):
            rows.append(_examples(titles, members))
            return 1
        level = levels[depth]
        values, counts = np.unique(codes[members, level], return_counts=True)
        order = np.lexsort((values, -counts))
        keep = order[: num_branches[depth]] if len(order) > num_branches[depth] + 1 else order
        taken = 0.0
        for o in keep:
            top, slot = len(rows), len(boxes)
            boxes.append((depth, top, 0, "", False))
            height = branch(members[codes[members, level] == values[o]], depth + 1)
            boxes[slot] = (
                depth,
                top,
                height,
                f"<{names[level]}_{values[o]}>\n{counts[o]:,} item{'s' if counts[o] > 1 else ''}",
                False,
            )
            taken += height
        if len(keep) < len(order):
            rest = counts[order[len(keep) :]]
            boxes.append((depth, len(rows), 1, f"+ {len(rest)} codes, {rest.sum():,} items", True))
            rows.append("")
            taken += 1
        return taken

    total = branch(inside, 0)
    with style():
        ax = new_axes(ax, 11.5, 0.27 * total + 1.3)
        for depth, top, height, text, is_rest in boxes:
            colour = FAINT if is_rest else _tint(ROLES[role_of(names[levels[depth]])], depth / (len(levels) + 1))
            ax.add_patch(Rectangle((depth, top + 0.04), 0.97, height - 0.08, facecolor=colour, edgecolor="none"))
            label = text if height >= 2 else text.replace("\n", " · ")
            ax.text(
                depth + 0.04,
                top + height / 2,
                label,
                va="center",
                fontsize=8 if not is_rest else 7.5,
                color=MUTED if is_rest else text_colour(colour),
                linespacing=1.3,
            )
        for row, text in enumerate(rows):
            ax.text(len(levels) + 0.04, row + 0.5, text, va="center", fontsize=8)
        heads = [f"level {level + 1} · {names[level]} ({role_of(names[level])})" for level in levels]
        ax.set(xlim=(0, len(levels) + 2.9), ylim=(total, 0), yticks=[])
        ax.set_xticks(
            [*(np.arange(len(levels)) + 0.48), len(levels) + 1.4], [*heads, "titles of some items behind the row"]
        )
        ax.xaxis.tick_top()
        ax.tick_params(length=0, labelsize=8.5)
        ax.xaxis.set_label_position("bottom")
        below = " below " + " ".join(f"<{n}_{c}>" for n, c in zip(names, prefix, strict=False)) if len(prefix) else ""
        ax.set_xlabel(
            f"levels of the {view} identifier{below}, {len(inside):,} items; the most common codes of each level, all rows equally high",
            fontsize=8.5,
            color=MUTED,
        )
        ax.set_ylabel("identifier prefixes")
        ax.set_title(f"The {view} identifiers as a tree")
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
    return ax


def _examples(titles: Sequence[str], members: np.ndarray) -> str:
    shown = [shorten(titles[m], 44) for m in members[:2]]
    return " · ".join(shown) + (f"  (+{len(members) - 2})" if len(members) > 2 else "")


def _tint(colour: str, amount: float) -> tuple[float, float, float]:
    red, green, blue = to_rgb(colour)
    return (red + (1 - red) * amount, green + (1 - green) * amount, blue + (1 - blue) * amount)
