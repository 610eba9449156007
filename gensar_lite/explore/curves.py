"""Results as bars and training as curves.

Explained in notebooks 05 and 07.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.explore.style import FAINT, GROUPS, INK, MARKERS, MUTED, OTHER, ROLES, TASK_COLOURS, new_axes, style

PROTOCOL_TEXTS = {
    "uniform99": "against 99 items drawn uniformly",
    "popular99": "against 99 items drawn by popularity",
    "bm25_99": "against the query's BM25 hits, filled up to 99",
    "full": "in the whole catalogue",
    "adhoc_bm25_99": "without history, against the query's BM25 hits, filled up to 99",
    "adhoc_full": "without history, in the whole catalogue",
}
MINUS = "\N{MINUS SIGN}"
LINE_COLOURS = {**ROLES, **TASK_COLOURS}


def plot_metrics(
    metrics: Mapping[str, Any],
    *,
    metric: str = "NDCG@10",
    protocols: Mapping[str, str] | None = None,
    name: str = "GenSAR",
    ceiling: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Bars of one model beside its baselines, one panel per task, each value written at its bar.

    `metrics` is the content of `metrics.json`. `protocols` maps a task to the protocol shown (default: the
    primary ones, `uniform99` and `bm25_99`); `ceiling` maps a task to the value of an oracle. Both panels
    share one scale.
    """
    chosen = dict(protocols or {task: protocol for task, (protocol, _) in PRIMARY.items()})
    panels: dict[str, list[tuple[float, str]]] = {}
    for task, protocol in chosen.items():
        values = {name: metrics.get(task, {}).get(protocol, {}).get(metric)}
        values |= {
            b: tasks.get(task, {}).get(protocol, {}).get(metric) for b, tasks in metrics.get("baselines", {}).items()
        }
        panels[task] = sorted(((v, b) for b, v in values.items() if v is not None), reverse=True)
    panels = {task: bars for task, bars in panels.items() if bars}
    if not panels:
        raise ValueError(f"no {metric} of {chosen} in these metrics")
    top = max([v for bars in panels.values() for v, _ in bars] + list((ceiling or {}).values()))
    longest = max(len(bars) for bars in panels.values())
    with style():
        figure, axes = plt.subplots(
            1,
            len(panels),
            figsize=(4.9 * len(panels), 0.36 * longest + 1.7),
            layout="constrained",
            sharex=True,
            squeeze=False,
        )
        for (task, bars), ax in zip(panels.items(), axes[0], strict=True):
            at = np.arange(len(bars))
            own = [b == name for _, b in bars]
            ax.barh(at, [v for v, _ in bars], height=0.72, color=[TASK_COLOURS[task] if o else OTHER for o in own])
            for y, (value, _), is_own in zip(at, bars, own, strict=True):
                ax.annotate(
                    f"{value:.3f}",
                    (value, y),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=9,
                    fontweight="bold" if is_own else "normal",
                )
            ax.set_yticks(at, [b for _, b in bars])
            for label, is_own in zip(ax.get_yticklabels(), own, strict=True):
                label.set_fontweight("bold" if is_own else "normal")
            if ceiling and task in ceiling:
                ax.axvline(ceiling[task], color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
                ax.annotate(
                    f"oracle {ceiling[task]:.3f}",
                    (ceiling[task], longest - 0.55),
                    xytext=(4, 0),
                    textcoords="offset points",
                    rotation=90,
                    ha="left",
                    va="bottom",
                    fontsize=8.5,
                )
            ax.set(xlim=(0, top * 1.14), ylim=(longest - 0.4, -0.6), ylabel="ranker")
            ax.set_xlabel(f"{metric}, target ranked\n{PROTOCOL_TEXTS.get(chosen[task], chosen[task])}")
            ax.set_title(task.capitalize(), pad=6)
            ax.tick_params(axis="y", length=0)
            ax.grid(axis="x")
            ax.spines["left"].set_visible(False)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def plot_history(history: Sequence[Mapping[str, float]] | pd.DataFrame, title: str = "Training") -> Figure:
    """The loss and the validation metrics over the training steps, each curve named at its end.

    `history` has one row per validation with `step`, `loss` and any further numbers; names that hold
    "loss" go to the left panel, all others to the right one. The best step by `primary` (what early
    stopping watches) is marked.
    """
    table = pd.DataFrame(list(history) if not isinstance(history, pd.DataFrame) else history)
    if "step" not in table or len(table) == 0:
        raise ValueError("the history of a training has no rows with a `step`")
    names = [
        c for c in table.columns if c != "step" and pd.api.types.is_numeric_dtype(table[c]) and table[c].notna().any()
    ]
    sides = [s for s in ([n for n in names if "loss" in n.lower()], [n for n in names if "loss" not in n.lower()]) if s]
    if not sides:
        raise ValueError("the history of a training has no numbers besides `step`")
    with style():
        figure, axes = plt.subplots(1, len(sides), figsize=(5.2 * len(sides), 3.5), layout="constrained", squeeze=False)
        for shown, ax in zip(sides, axes[0], strict=True):
            ends = []
            for place, name in enumerate(shown):
                curve = table[["step", name]].dropna()
                colour = _curve_colour(name, place)
                marker = "o" if len(curve) <= 25 else None
                ax.plot(
                    curve["step"],
                    curve[name],
                    color=colour,
                    linewidth=2,
                    linestyle=("-", "--", "-.", ":")[place % 4],
                    marker=marker,
                    markersize=3.5,
                )
                ends.append(
                    (float(table["step"].max()), float(curve[name].iloc[-1]), f"{name} {curve[name].iloc[-1]:.3f}")
                )
            losses = "loss" in shown[0].lower()
            ax.set(xlabel="training step", ylabel="loss (nats)" if losses else "validation metric")
            low, high = ax.get_ylim()
            ax.set_ylim(0 if losses and low > 0 and low < high / 2 else low, high)
            ax.set_title("Training loss" if losses else "Validation", pad=6)
            ax.grid(axis="y")
            _name_ends(ax, ends)
            if "primary" in table and table["primary"].notna().any() and not losses:
                best = float(table["step"].iloc[int(np.nanargmax(table["primary"].to_numpy(np.float64)))])
                ax.axvline(best, color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
                ax.annotate(
                    f"best, step {best:,.0f}",
                    (best, ax.get_ylim()[0]),
                    xytext=(-4, 4),
                    textcoords="offset points",
                    fontsize=8.5,
                    color=MUTED,
                    ha="right",
                    va="bottom",
                )
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def plot_lines(
    table: pd.DataFrame,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    log: tuple[str, ...] = (),
    ax: Axes | None = None,
) -> Axes:
    """One line per column over the index of a table, each named at its right end.

    `log` names the axes ("x", "y") drawn in powers of ten. Lines differ in colour, marker and dashes.
    """
    if not len(table) or not len(table.columns):
        raise ValueError("there are no lines to draw: the table is empty")
    with style():
        ax = new_axes(ax, 6.4, 3.8)
        ends = []
        for place, name in enumerate(table.columns):
            line = table[name].dropna()
            colour = LINE_COLOURS.get(str(name), GROUPS[place % len(GROUPS)])
            ax.plot(
                line.index,
                line,
                color=colour,
                linewidth=2,
                linestyle=("-", "--", "-.", ":")[place % 4],
                marker=MARKERS[place % len(MARKERS)] if len(line) <= 25 else None,
                markersize=5,
            )
            ends.append((float(line.index[-1]), float(line.iloc[-1]), str(name)))
        for axis in log:
            getattr(ax, f"set_{axis}scale")("log")
        if pd.api.types.is_integer_dtype(table.index) and len(set(np.diff(table.index))) == 1 and len(table) <= 12:
            ax.set_xticks(table.index)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.set_title(title)
        ax.grid(axis="y", color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
        if len(ends) > 1:
            _name_ends(ax, ends)
    return ax


def _name_ends(ax: Axes, ends: list[tuple[float, float, str]]) -> None:
    """Names beside the last points of lines, moved apart in the height of the axes where they would overlap."""
    ax.get_xlim(), ax.get_ylim()  # the limits are not found before somebody asks
    place = ax.transData.transform([(x, y) for x, y, _ in ends])
    heights = ax.transAxes.inverted().transform(place)[:, 1]
    below = -np.inf
    for row in np.argsort(heights):
        x, y, name = ends[row]
        at = max(float(heights[row]), below + 0.07)
        below = at
        ax.annotate(
            name,
            (x, y),
            xytext=(1.03, at),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 1},
        )


def plot_intervals(
    comparison: pd.DataFrame, title: str = "Differences with their intervals", ax: Axes | None = None
) -> Axes:
    """Differences of one model to others with intervals over users, as `evaluation.significance.compare` gives them.

    A filled point: the interval does not hold zero. One row for each opponent, task and protocol, in the order of the table.
    """
    if comparison.empty:
        raise ValueError("there is no comparison to draw")
    with style():
        ax = new_axes(ax, 7.2, 0.42 * len(comparison) + 1.5)
        ax.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 2)))
        for at, row in enumerate(comparison.to_dict("records")):
            sure = row["low"] > 0 or row["high"] < 0
            colour = TASK_COLOURS.get(row["task"], INK)
            ax.plot([row["low"], row["high"]], [at, at], color=colour, linewidth=2.2, solid_capstyle="butt")
            ax.scatter(row["difference"], at, s=46, color=colour if sure else "white", edgecolors=colour, zorder=3)
        labels = [f"{row['task']}, {row['protocol']}: {row['against']}" for row in comparison.to_dict("records")]
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        first = comparison.iloc[0]
        ax.set(
            xlabel=f"difference in {first['metric']} of {first['model']}, 95 % interval over users",
            ylabel="compared with",
        )
        ax.set_title(title)
        ax.spines["left"].set_visible(False)
    return ax


def _curve_colour(name: str, place: int) -> str:
    for task, colour in TASK_COLOURS.items():
        if task in name.lower():
            return colour
    return INK if name in ("primary", "loss") else GROUPS[(place + 2) % len(GROUPS)]
