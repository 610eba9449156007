"""Figures of a sweep: trade-off curves with their fronts, cheap curves beside the sweep.

Explained in notebooks 08 and 09. Curves differ in marker and line as well as in colour. Where there is one seed there
is no interval, and the figure says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gensar_lite.data.splits import TASKS
from gensar_lite.explore.curves import PROTOCOL_TEXTS
from gensar_lite.explore.style import FAINT, GROUPS, INK, MARKERS, MUTED, PAPER, shorten, style
from gensar_lite.tradeoff.curve import GENERATIVE, Goals, describe_choice
from gensar_lite.tradeoff.pareto import pareto_front

LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 3)))
ONE_SEED = "one seed: no intervals"
DATASETS_A_ROW = 3
LEGEND_WIDTH = 26  # characters
TITLE_WIDTH = 44
# where a specialist lies that is out of the frame, by (is it one of recommendation, is it below); names of search are turned by 90 degrees
ARROWS = {
    (True, False): "\N{RIGHTWARDS ARROW}",
    (True, True): "\N{LEFTWARDS ARROW}",
    (False, False): "\N{LEFTWARDS ARROW}",
    (False, True): "\N{RIGHTWARDS ARROW}",
}


def plot_tradeoff(
    points: pd.DataFrame,
    specialists: pd.DataFrame,
    goals: Goals,
    title: str | None = None,
    curves: Sequence[str] = ("sweep",),
) -> Figure:
    """The curves of a sweep, one panel per data set: recommendation to the right, search upward.

    `points` is the table of `points_table` (the kinds of `curves` are drawn), `specialists` that of
    `specialists_table`. Filled markers are on the front of validation, a ring marks the place that validation
    chooses among several, crosses are intervals over users, dotted lines the best specialist of each task.
    """
    points = points[points["curve"].isin(curves)]
    if points.empty:
        raise ValueError(f"there is no curve to draw among {', '.join(curves)}")
    labels = list(pd.unique(points["data"]))
    names = list(dict.fromkeys(describe_choice(row) for row in points.to_dict("records")))
    places = points["place"].unique()
    lines = -(-len(labels) // DATASETS_A_ROW)
    columns = -(-len(labels) // lines)
    with style():
        size = (max(4.4 * columns, 6.4) + 2.4, 4.2 * lines + 0.5)
        figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False)
        for ax in axes.flat[len(labels) :]:
            ax.set_visible(False)
        for label, ax in zip(labels, axes.flat, strict=False):
            own = _with_front(points[points["data"] == label])
            for name, curve in _named_curves(own).items():
                words = fill(name.replace("+", "+ "), LEGEND_WIDTH).replace("+ ", "+")
                _draw_curve(ax, curve, words, names.index(name), choice=len(places) > 1)
            _label_plane(ax, goals)
            ax.set_title(fill(label, TITLE_WIDTH), fontsize=10 if len(label) > TITLE_WIDTH else None, pad=18)
            outside = _look_closer(ax, own)
            _draw_specialists(ax, specialists, label)
            _note(ax, "\n".join([ONE_SEED] * bool((own["num_seeds"] < 2).all()) + outside))
        handles, texts = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside right upper", title="model")
        figure.suptitle(
            title or f"Search against recommendation, {which_mixes(places)}",
            x=0.01,
            ha="left",
            fontweight="bold",
            fontsize=12,
        )
    return figure


def which_mixes(places: np.ndarray) -> str:
    """What a figure of these mixes shows."""
    return "one model at each mix" if len(places) > 1 else f"every model at mix {places[0]:g}"


def plot_cheap(points: pd.DataFrame, volumes: pd.DataFrame, goals: Goals, label: str, strategy: str) -> Figure:
    """One strategy's cheap curves beside its sweep: the curves, and their hypervolume by the CPU minutes they took.

    `points` and `volumes` are the tables of `points_table` and `curves_table`.
    """
    points, volumes = (
        table[(table["data"] == label) & (table["strategy"] == strategy) & (table["variant"] == "")]
        for table in (points, volumes)
    )
    if volumes["curve"].nunique() < 2:
        raise ValueError(f"there is no cheap curve of {strategy} on {label} to draw beside the sweep")
    points, kinds = _with_front(points), list(volumes["curve"])
    with style():
        figure, (plane, cost) = plt.subplots(1, 2, figsize=(11.5, 4.6), layout="constrained", width_ratios=(1.15, 1))
        for place, kind in enumerate(kinds):
            _draw_curve(plane, points[points["curve"] == kind], kind, place, crosses=len(kinds) < 4)
        _label_plane(plane, goals)
        plane.set_title("The curves")
        for place, row in enumerate(volumes.to_dict("records")):
            at, volume = row["cpu_minutes"], row["hypervolume"]
            if np.isfinite(row["low"]):
                cost.plot([at, at], [row["low"], row["high"]], color=GROUPS[place], linewidth=1.4)
            cost.plot(at, volume, MARKERS[place], color=GROUPS[place], markersize=8, markeredgecolor=INK)
        _name_points(cost, volumes)
        cost.set(xlabel="CPU minutes of all trainings", ylabel="hypervolume above (0, 0), test")
        cost.set_xlim(0, volumes["cpu_minutes"].max() * 1.35)
        cost.margins(y=0.15)
        cost.grid()
        cost.set_title("What they cost")
        if (volumes["num_seeds"] < 2).all():
            _note(cost, ONE_SEED)
        handles, texts = plane.get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside lower center", ncols=min(len(kinds), 4))
        figure.suptitle(
            f"{strategy} on {shorten(label, 50)}: cheap curves beside the sweep",
            x=0.01,
            ha="left",
            fontweight="bold",
            fontsize=12,
        )
    return figure


def _with_front(points: pd.DataFrame) -> pd.DataFrame:
    """The points of one panel with the front of validation among them alone."""
    return points.assign(front=pareto_front(points[[f"{task}_valid" for task in TASKS]].to_numpy()))


def _named_curves(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    names = [describe_choice(row) for row in points.to_dict("records")]
    return {str(name): part for name, part in points.groupby(np.array(names), sort=False)}


def _draw_curve(
    ax: Axes, points: pd.DataFrame, name: str, number: int, crosses: bool = True, choice: bool = True
) -> None:
    """A curve with its markers; `choice`: there are places to choose among, so they are named and the chosen one ringed."""
    points = points.sort_values("place")
    # with more curves than colours, a colour comes back with another marker
    colour, marker = GROUPS[number % len(GROUPS)], MARKERS[(number + number // len(GROUPS)) % len(MARKERS)]
    x, y = points["recommendation"].to_numpy(), points["search"].to_numpy()
    ax.plot(*_joined(points), color=colour, linestyle=LINES[number % len(LINES)], linewidth=1.6, zorder=2)
    for row in points.to_dict("records") if crosses else ():
        if np.isfinite(row["recommendation_low"]):
            ends = [row["recommendation_low"], row["recommendation_high"]], [row["search_low"], row["search_high"]]
            ax.plot(ends[0], [row["search"]] * 2, color=colour, linewidth=0.8, alpha=0.45, zorder=1)
            ax.plot([row["recommendation"]] * 2, ends[1], color=colour, linewidth=0.8, alpha=0.45, zorder=1)
    front = points["front"].to_numpy(bool)
    ax.scatter(
        x,
        y,
        s=42,
        marker=marker,
        edgecolors=colour,
        linewidths=1.4,
        zorder=3,
        c=[colour if f else PAPER for f in front],
    )
    line = LINES[number % len(LINES)] if choice else "none"
    ax.plot([], [], color=colour, linestyle=line, marker=marker, label=name)
    if not choice:
        return
    rings = points["recommendation_chosen"].to_numpy(bool) & points["search_chosen"].to_numpy(bool)
    ax.scatter(x[rings], y[rings], s=150, facecolors="none", edgecolors=INK, linewidths=1.1, zorder=4)
    for end in {0, len(points) - 1} if name and points["curve"].iloc[0] == "sweep" else ():
        place = points["place"].iloc[end]
        ax.annotate(
            f"{place:g}", (x[end], y[end]), xytext=(6, 5), textcoords="offset points", fontsize=7.5, color=MUTED
        )


def _joined(points: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """A line through points, broken between neighbours that no interval tells apart: it would go through noise."""
    apart = np.zeros(max(len(points) - 1, 0), bool)
    for task in TASKS:
        low, high = points[f"{task}_low"].to_numpy(float), points[f"{task}_high"].to_numpy(float)
        apart |= (low[1:] > high[:-1]) | (high[1:] < low[:-1])
    gaps = np.flatnonzero(~apart) + 1
    return np.insert(points[TASKS[0]].to_numpy(float), gaps, np.nan), np.insert(
        points[TASKS[1]].to_numpy(float), gaps, np.nan
    )


def _draw_specialists(ax: Axes, specialists: pd.DataFrame, label: str) -> None:
    """Lines at the best specialist of each task, named at the frame; one far away from it is told at the edge it lies beyond."""
    best = specialists[(specialists["data"] == label) & specialists["best"]] if len(specialists) else specialists
    told: dict[str, Any] = {"fontsize": 8, "color": MUTED, "textcoords": "offset points", "annotation_clip": False}
    for row in best.to_dict("records"):
        value, across, text = row["value"], row["task"] == "recommendation", f"{row['specialist']} {row['value']:.3f}"
        low, high = ax.get_xlim() if across else ax.get_ylim()
        room, below = high - low, value < low
        near = low - room / 2 < value < high + room / 2
        if near:
            dots: dict[str, Any] = {"color": MUTED, "linewidth": 1.1, "linestyle": (0, (1, 2)), "zorder": 0}
            (ax.axvline if across else ax.axhline)(value, **dots)
            limits = min(low, value - 0.08 * room), max(high, value + 0.05 * room)
            (ax.set_xlim if across else ax.set_ylim)(limits)
        else:
            text += f" {ARROWS[across, below]}"
        at, frame = (value, "data") if near else (0 if below else 1, "axes fraction")
        if across:
            ends = "center" if near else "left" if below else "right"
            ax.annotate(text, (at, 1), xycoords=(frame, "axes fraction"), xytext=(0, 3), ha=ends, va="bottom", **told)
        else:
            ends = "center" if near else "bottom" if below else "top"
            ax.annotate(
                text,
                (1, at),
                xycoords=("axes fraction", frame),
                xytext=(4, 0),
                ha="left",
                va=ends,
                rotation=270,
                **told,
            )


def _label_plane(ax: Axes, goals: Goals) -> None:
    ax.set_xlabel(f"recommendation, {goals.metric}\n{PROTOCOL_TEXTS.get(goals.recommendation, goals.recommendation)}")
    ax.set_ylabel(f"search, {goals.metric}\n{PROTOCOL_TEXTS.get(goals.search, goals.search)}")
    ax.margins(0.12)
    ax.grid()


def _look_closer(ax: Axes, points: pd.DataFrame) -> list[str]:
    """Leave models of one task out of the frame where they would squash all others; gives them in words."""
    values = points[list(TASKS)].to_numpy()
    both = ~points["place"].isin(GENERATIVE.values()).to_numpy()
    if not both.any():
        return []
    low, high = values[both].min(axis=0), values[both].max(axis=0)
    room = np.maximum((high - low) * 0.6, 0.02)
    outside = (values < low - room) | (values > high + room)
    if not (far := outside.any(axis=1)).any():
        return []
    ax.set_xlim(low[0] - room[0], high[0] + room[0])
    ax.set_ylim(low[1] - room[1], high[1] + room[1])
    told = (f"{describe_choice(row)}, mix {row['place']:g}" for row in points[far].to_dict("records"))
    where = (f"({x:.3f}, {y:.3f})" for x, y in values[far])
    return [f"outside: {name} {place}" for name, place in zip(told, where, strict=True)]


def _note(ax: Axes, text: str) -> None:
    ax.annotate(
        text, (0.01, 0.01), xycoords="axes fraction", ha="left", va="bottom", fontsize=8.5, color=MUTED, style="italic"
    )


def _name_points(ax: Axes, volumes: pd.DataFrame) -> None:
    """Names beside the points, moved apart where points lie close together."""
    span = max(volumes[["hypervolume", "high"]].max().max() - volumes[["hypervolume", "low"]].min().min(), 1e-9)
    below = -np.inf
    for row in volumes.sort_values("hypervolume").to_dict("records"):
        at = max(row["hypervolume"], below + span * 0.07)
        below = at
        ax.annotate(
            row["curve"],
            (row["cpu_minutes"], row["hypervolume"]),
            xytext=(row["cpu_minutes"] + volumes["cpu_minutes"].max() * 0.04, at),
            textcoords="data",
            fontsize=8.5,
            va="center",
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 0.8},
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 1} if at != row["hypervolume"] else None,
        )
