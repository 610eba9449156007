"""What the codes of identifiers stand for. Explained in notebook 04."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from sklearn.metrics import adjusted_mutual_info_score

from gensar_lite.explore.style import PAPER, SEQUENTIAL, new_axes, role_of, shorten, style


class Identifiers(Protocol):
    """What is needed of an identifier table: `codes[view]` (N, L), `codebooks_of[view]` (L,) rows of `codebook_names`."""

    @property
    def codes(self) -> Mapping[str, np.ndarray]: ...

    @property
    def codebooks_of(self) -> Mapping[str, np.ndarray]: ...

    @property
    def codebook_names(self) -> Sequence[str]: ...


def codes_of(table: Identifiers, codebook: str) -> np.ndarray:
    """The codes (N,) that one codebook gives to the items."""
    number = list(table.codebook_names).index(codebook)
    for view, books in table.codebooks_of.items():
        level = np.flatnonzero(np.asarray(books) == number)
        if len(level):
            return np.asarray(table.codes[view])[:, level[0]]
    raise ValueError(f"no view of this table uses codebook {codebook!r}")


def plot_code_categories(
    table: Identifiers,
    categories: Sequence[str] | np.ndarray,
    codebook: str,
    num_categories: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """A heat map: how the items of each code divide among categories.

    `categories` (N,). Every column (code) adds up to 100 % over all rows; codes stand beside those with the same largest
    category. The title tells the adjusted mutual information of code and category: 0 as by chance, 1 the same division.
    """
    codes, groups = codes_of(table, codebook), pd.Series(np.asarray(categories, dtype=object)).astype(str)
    common = groups.value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:num_categories]
    shares = pd.crosstab(groups.where(groups.isin(common), "all others"), codes, normalize="columns")
    shares = shares.loc[[name for name in (*common, "all others") if name in shares.index]]
    order = np.lexsort((-shares.to_numpy().max(axis=0), shares.to_numpy().argmax(axis=0)))
    shares = shares.iloc[:, order].rename(index=lambda name: shorten(name, 30))
    with style():
        ax = new_axes(ax, 9.0, 0.34 * len(shares) + 1.9)
        bar = {"pad": 0.015, "fraction": 0.03, "format": lambda value, _: f"{value:.0%}"}
        sns.heatmap(shares, ax=ax, cmap=SEQUENTIAL, vmin=0, vmax=1, linecolor=PAPER, linewidths=0.4, cbar_kws=bar)
        ax.figure.axes[-1].set_ylabel("share of the code's items")
        ax.tick_params(axis="x", labelsize=7, length=0)
        ax.tick_params(axis="y", length=0)
        ax.set(xlabel=f"code of {codebook} ({role_of(codebook)}), sorted by its largest category", ylabel="category")
        agreement = adjusted_mutual_info_score(groups, codes)
        about = "adjusted mutual information with the category"
        ax.set_title(f"What the codes of {codebook} stand for: {about} {agreement:.2f}")
    return ax
