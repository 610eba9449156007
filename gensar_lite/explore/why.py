"""Figures of why tasks help or hurt each other: angles of gradients, and what codes know.

Explained in notebook 08; the numbers come from `tradeoff.conflict` and `tradeoff.information`.
"""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from gensar_lite.explore.style import GROUPS, INK, MARKERS, MUTED, SEQUENTIAL, style

KINDS = {"layer": "Layers", "tokens": "Embeddings, by what they stand for"}


def plot_conflict(conflict: pd.DataFrame, title: str = "Do the two tasks pull the weights apart?") -> Figure:
    """Cosines between the gradients of both tasks, along training where a column `step` is given; one panel per kind.

    The line is the mean over batches, the band their range. A single step is drawn as points with ranges.
    """
    along = "step" in conflict and conflict["step"].nunique() > 1
    with style():
        figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
        for ax, (kind, name) in zip(axes, KINDS.items(), strict=True):
            part = conflict[conflict["kind"] == kind].dropna(subset=["cosine"])
            look: dict[str, Any] = {"data": part, "y": "cosine", "errorbar": ("pi", 100), "ax": ax}
            if along:
                groups = part["group"].unique()
                looks = {"hue": "group", "style": "group", "palette": list(GROUPS[: len(groups)]), "dashes": False}
                marks = dict(zip(groups, MARKERS, strict=False))
                sns.lineplot(x="step", markers=marks, err_kws={"alpha": 0.08, "linewidth": 0}, **looks, **look)
                ax.set_xlabel("training step")
                ax.legend(loc="upper right", ncols=2, fontsize=8)
            else:
                sns.pointplot(x="group", color=GROUPS[0], linestyle="none", capsize=0.1, **look)
                ax.tick_params(axis="x", rotation=40)
                ax.set_xlabel("")
            ax.grid(axis="y")
            ax.axhline(0, color=INK, linewidth=0.8)
            ax.set_title(name)
        axes[0].set_ylabel("cosine of the gradients\n(below 0: they undo each other)")
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
        return figure


def plot_information(information: pd.DataFrame, title: str = "What each code knows") -> Figure:
    """A heat map of `tradeoff.information.code_information`: codes alone at the left, prefixes of both views at the right."""
    with style():
        figure, axes = plt.subplots(
            1, 2, figsize=(10.5, 0.9 + 0.55 * information["label"].nunique() + 1.2), layout="constrained"
        )
        top = max(float(information["information"].max()), 0.05)
        for ax, what in zip(axes, ("code", "prefix"), strict=True):
            part = information[information["what"] == what]
            named = part["of"].where(part["what"] == "code", part["of"] + " " + part["length"].astype(str))
            table = part.assign(column=named).pivot(index="label", columns="column", values="information")
            table = table[list(dict.fromkeys(named))]
            sns.heatmap(
                table, ax=ax, cmap=SEQUENTIAL, vmin=0, vmax=top, annot=True, fmt=".2f", linewidths=1.5, cbar=False
            )
            ax.set_title("One codebook alone" if what == "code" else "The first codes of an identifier")
            ax.set_ylabel("")
            ax.set_xlabel("codebook" if what == "code" else "view and number of codes")
            ax.tick_params(axis="x", rotation=40)
            ax.tick_params(axis="y", rotation=0)
        figure.suptitle(f"{title} (adjusted mutual information: 0 chance, 1 all)", x=0.01, ha="left", weight="bold")
        return figure


def plot_agreement(agreement: np.ndarray, popularity: np.ndarray, title: str = "Do the two signals agree?") -> Figure:
    """Items by the share of their nearest items that both signals name, and the mean share by how often they are clicked.

    `agreement` (N,) is that of `tradeoff.gains.signal_agreement`, `popularity` (N,) the clicks of each item in training.
    """
    with style():
        figure, (items, clicks) = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained")
        shares, counts = np.unique(np.round(agreement, 6), return_counts=True)
        width = np.diff(shares).min() * 0.8 if len(shares) > 1 else 0.08
        items.bar(shares, counts / len(agreement), width=width, color=GROUPS[0], edgecolor=INK, linewidth=0.6)
        items.axvline(agreement.mean(), color=INK, linewidth=1, linestyle=(0, (4, 2)))
        items.annotate(f" mean {agreement.mean():.3f}", (agreement.mean(), 0.97), xycoords=("data", "axes fraction"))
        items.set(xlabel="share of the nearest items that both signals name", ylabel="share of the items")
        groups = pd.qcut(popularity, 5, duplicates="drop")
        table = pd.DataFrame({"group": groups, "agreement": agreement}).groupby("group", observed=True)["agreement"]
        mean, error = table.mean(), 1.96 * table.sem()
        names = [f"{int(np.floor(g.left)) + 1} to {int(g.right)}" for g in mean.index]
        clicks.errorbar(
            range(len(mean)), mean.to_numpy(), yerr=error.to_numpy(), fmt="o", color=GROUPS[0], ecolor=MUTED, capsize=3
        )
        clicks.set_xticks(range(len(mean)), names)
        clicks.set(xlabel="clicks of the item in training", ylabel="mean share")
        clicks.set_ylim(0)
        for ax in (items, clicks):
            ax.grid(axis="y")
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
        return figure
