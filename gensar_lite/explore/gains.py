"""Who gains and who loses by one model for both tasks: the differences by group of cases.

Explained in notebook 08; the table is that of `tradeoff.gains`.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gensar_lite.data.splits import TASKS
from gensar_lite.explore.style import INK, MUTED, TASK_COLOURS, style
from gensar_lite.explore.tradeoff import ONE_SEED
from gensar_lite.tradeoff.gains import FEATURES


def plot_gains(gains: pd.DataFrame, model: str, against: dict[str, str], metric: str = "NDCG@10") -> Figure:
    """Who gains and who loses: the difference of two models by group of cases, one column per task.

    `gains` is the table of `who_gains`; `against` names, per task, what the model is compared with. Bold groups
    differ after Holm's correction (p < .05).
    """
    tasks = [task for task in TASKS if (gains["task"] == task).any()]
    features = [feature for feature in FEATURES if (gains["feature"] == feature).any()]
    if not tasks:
        raise ValueError("there is no group of cases to draw")
    rows = {f: max(len(gains[(gains["task"] == t) & (gains["feature"] == f)]) for t in tasks) for f in features}
    with style():
        figure, axes = plt.subplots(
            len(features),
            len(tasks),
            figsize=(5.2 * len(tasks) + 0.6, 0.34 * sum(rows.values()) + 0.55 * len(features) + 1.5),
            height_ratios=list(rows.values()),
            layout="constrained",
            sharex=True,
            squeeze=False,
        )
        for column, task in enumerate(tasks):
            for line, feature in enumerate(features):
                ax = axes[line, column]
                part = gains[(gains["task"] == task) & (gains["feature"] == feature)]
                _draw_groups(ax, part, task)
                ax.set_title(FEATURES[feature], fontsize=9.5, fontweight="normal", pad=4)
                ax.set_visible(len(part) > 0)
            shown = [ax for ax in axes[:, column] if ax.get_visible()]
            shown[0].set_title(
                f"{task.capitalize()}, against {against[task]}\n\n{shown[0].get_title('left')}", fontsize=9.5
            )
            shown[-1].set_xlabel(f"difference in {metric}")
            shown[-1].tick_params(labelbottom=True)
        note = f" ({ONE_SEED})" if gains["low"].isna().all() else ""
        figure.suptitle(f"Who gains and who loses by {model}{note}", x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw_groups(ax: Axes, part: pd.DataFrame, task: str) -> None:
    at = np.arange(len(part))
    ax.axvline(0, color=MUTED, linewidth=1)
    for y, row in zip(at, part.to_dict("records"), strict=True):
        if np.isfinite(row["low"]):
            ax.plot([row["low"], row["high"]], [y, y], color=INK, linewidth=1.3, zorder=2)
    ax.scatter(part["difference"], at, s=34, color=TASK_COLOURS[task], edgecolors=INK, linewidths=0.8, zorder=3)
    ax.set_yticks(at, [f"{row['group']}  ({row['cases']:,})" for row in part.to_dict("records")])
    for text, sure in zip(ax.get_yticklabels(), part["p_holm"] < 0.05, strict=True):
        text.set_fontweight("bold" if sure else "normal")
    ax.set_ylim(len(part) - 0.4, -0.6)
    ax.set_ylabel("group (cases)")
    ax.grid(axis="x")
