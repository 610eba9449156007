"""Many models side by side: one row for each, a panel for each task.

Explained in notebook 09.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gensar_lite.data.splits import TASKS
from gensar_lite.explore.curves import PROTOCOL_TEXTS
from gensar_lite.explore.style import GROUPS, MARKERS, style
from gensar_lite.tradeoff.curve import Goals


def plot_models(
    points: pd.DataFrame,
    goals: Goals,
    *,
    rows: Sequence[str],
    hues: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """The points of a sweep in both tasks, with their intervals over users.

    `points` is the table of `points_table`. Points with the same name in `rows` stand in one row; those with the same
    name in `hues` share a colour and a marker.
    """
    if points.empty:
        raise ValueError("there are no models to draw")
    names = list(dict.fromkeys(rows))
    kinds = list(dict.fromkeys(hues)) if hues is not None else [""]
    at = np.array([names.index(row) for row in rows], float)
    number = np.array([kinds.index(hue) for hue in hues]) if hues is not None else np.zeros(len(points), int)
    at += (number - (len(kinds) - 1) / 2) * 0.7 / len(kinds)  # side by side within a row
    with style():
        size = (10.4, 0.3 * max(len(names) * (1 + len(kinds)) / 2, 3) + 1.9)
        figure, axes = plt.subplots(1, 2, figsize=size, layout="constrained", sharey=True)
        for task, ax in zip(TASKS, axes, strict=True):
            for kind, colour, marker in zip(range(len(kinds)), GROUPS, MARKERS, strict=False):
                own = points[number == kind]
                ends = own[[f"{task}_low", f"{task}_high"]].to_numpy(float)
                ax.hlines(at[number == kind], ends[:, 0], ends[:, 1], color=colour, linewidth=1.6)
                ax.scatter(
                    own[task], at[number == kind], s=38, color=colour, marker=marker, zorder=3, label=kinds[kind]
                )
            protocol = goals.of(task)
            ax.set_xlabel(f"{task}, {goals.metric}\n{PROTOCOL_TEXTS.get(protocol, protocol)}")
            ax.grid(axis="x")
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.4, -0.6)
        if hues is not None:
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(len(kinds), 4))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure
