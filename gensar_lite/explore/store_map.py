"""The map of a simulated store: under which data which strategy wins.

Explained in notebook 08. The knobs of the store (how far co-clicks follow the categories, how strong the collaborative
signal is, how vague queries are) change one at a time; what is drawn is the paired difference of one strategy and
each other, so that what all have in common drops out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gensar_lite.data.bazaar import BazaarConfig
from gensar_lite.data.splits import TASKS
from gensar_lite.explore.curves import MINUS
from gensar_lite.explore.style import GROUPS, MARKERS, MUTED, style
from gensar_lite.tradeoff.design import Source

KNOB_TEXTS = {
    "alignment": "alignment of co-clicks and categories",
    "signal": "share of clicks led by taste",
    "vagueness": "vagueness of queries",
}


def store_knobs(sources: Mapping[str, Source]) -> pd.DataFrame:
    """One row per simulated store: its name and the value of every knob; "bazaar" has the defaults."""
    default = asdict(BazaarConfig())
    rows = [
        {"data": label, **default, **(source if isinstance(source, dict) else {})}
        for label, source in sources.items()
        if source == "bazaar" or isinstance(source, dict)
    ]
    return pd.DataFrame(rows, columns=["data", *default])


def moved_knobs(stores: pd.DataFrame) -> list[str]:
    """The knobs that take several values while all others are as in the first store."""
    return [knob for knob in stores.columns[1:] if len(stores) > 1 and len(_along(stores, knob)) > 1]


def _along(stores: pd.DataFrame, knob: str) -> pd.DataFrame:
    """The stores that differ from the first one in this knob alone, and the first one."""
    others = stores.columns.drop(["data", knob])
    return stores[(stores[others] == stores[others].iloc[0]).all(axis=1)].sort_values(knob)


def plot_store_map(strategies: pd.DataFrame, stores: pd.DataFrame, metric: str = "NDCG@10") -> Figure:
    """Differences of the reference strategy and each other along every knob: one row per task, one column per knob.

    `strategies` is the table of `compare_strategies`, `stores` that of `store_knobs`. Above zero the reference is
    better; bars are intervals over users, filled markers differ from zero after Holm's correction (p < .05). No lines:
    most neighbours along a knob are not told apart.
    """
    knobs = moved_knobs(stores)
    strategies = strategies[strategies["data"].isin(stores["data"])]
    if not knobs or strategies.empty:
        raise ValueError("there are no differences of strategies on two stores that differ in one knob alone")
    reference = str(strategies["model"].iloc[0])
    others = list(pd.unique(strategies["against"]))
    with style():
        figure, axes = plt.subplots(
            len(TASKS),
            len(knobs),
            figsize=(3.6 * len(knobs) + 1.8, 6.2),
            layout="constrained",
            sharex="col",
            sharey="row",
            squeeze=False,
        )
        for line, task in enumerate(TASKS):
            for column, knob in enumerate(knobs):
                ax = axes[line, column]
                ax.axhline(0, color=MUTED, linewidth=1)
                along = _along(stores, knob)
                for number, other in enumerate(others):
                    part = strategies[(strategies["task"] == task) & (strategies["against"] == other)]
                    part = along[["data", knob]].merge(part, on="data")
                    _draw_points(ax, part, knob, number, other, len(others))
                ax.set_xticks(along[knob].tolist())
                ax.grid(axis="y")
                ax.set_xlabel(KNOB_TEXTS.get(knob, knob))
            axes[line, 0].set_ylabel(f"{task}\ndifference in {metric}")
        handles, texts = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside right upper", title=f"{reference} against")
        note = " (one seed: no intervals)" if strategies["low"].isna().all() else ""
        title = f"Where {reference} wins (above the line) and where it does not{note}"
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw_points(ax: plt.Axes, part: pd.DataFrame, knob: str, number: int, name: str, num: int) -> None:
    colour, marker = GROUPS[number % len(GROUPS)], MARKERS[number % len(MARKERS)]
    span = float(part[knob].max() - part[knob].min()) if len(part) else 0.0
    x = part[knob].to_numpy(float) + (number - (num - 1) / 2) * 0.02 * span  # bars side by side
    y = part["difference"].to_numpy(float)
    for place, row in zip(x, part.to_dict("records"), strict=True):
        if np.isfinite(row["low"]):
            ax.plot([place, place], [row["low"], row["high"]], color=colour, linewidth=1.1, zorder=2)
    sure = (part["p_holm"] < 0.05).to_numpy(bool)
    faces = [colour if s else "white" for s in sure]
    ax.scatter(x, y, s=40, marker=marker, edgecolors=colour, linewidths=1.3, c=faces, zorder=3)
    ax.plot([], [], color=colour, linestyle="none", marker=marker, label=name)


def describe_store_map(strategies: pd.DataFrame, stores: pd.DataFrame) -> str:
    """The figure in words: the differences that hold after the correction, store by store, corners too."""
    sure = strategies[(strategies["p_holm"] < 0.05) & strategies["data"].isin(stores["data"])]
    parts = [
        f"{row['data']}, {row['task']}: {row['model']} {row['difference']:+.3f} against {row['against']}"
        for row in sure.to_dict("records")
    ]
    return ("; ".join(parts) or "No difference holds after the correction").replace("-", MINUS) + "."
