"""Figures of a sweep: trade-off curves with their fronts, cheap curves beside the sweep, who gains and who loses.

Explained in notebooks 08 and 09. Curves differ in marker and line as well as in colour. Where there is one seed there
is no interval, and the figure says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import new_file, write_json
from gensar_lite.explore.curves import MINUS, PROTOCOL_TEXTS
from gensar_lite.explore.report import Picture
from gensar_lite.explore.store_map import describe_store_map, moved_knobs, plot_store_map, store_knobs
from gensar_lite.explore.style import FAINT, GROUPS, INK, MARKERS, MUTED, PAPER, TASK_COLOURS, shorten, style
from gensar_lite.signals import Signals
from gensar_lite.tradeoff.design import Source, load_source
from gensar_lite.tradeoff.gains import FEATURES, case_features, who_gains
from gensar_lite.tradeoff.pareto import pareto_front
from gensar_lite.tradeoff.reading import Goals, describe_choice
from gensar_lite.tradeoff.summary import Reading

LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)), (0, (8, 3)))
ONE_SEED = "one seed: no intervals"
DATASETS_A_ROW = 3


def plot_tradeoff(points: pd.DataFrame, specialists: pd.DataFrame, goals: Goals, title: str | None = None) -> Figure:
    """The curves of a sweep, one panel per data set: recommendation to the right, search upward.

    `points` is the table of `points_table` (only curve "sweep" is drawn), `specialists` that of
    `specialists_table`. Filled markers are on the front of validation, a ring marks the place that validation
    chooses, crosses are intervals over users, dotted lines the best specialist of each task.
    """
    points = points[points["curve"] == "sweep"]
    if points.empty:
        raise ValueError("there is no curve of a sweep to draw")
    labels = list(pd.unique(points["data"]))
    names = list(dict.fromkeys(describe_choice(row) for row in points.to_dict("records")))
    columns = min(len(labels), DATASETS_A_ROW)
    lines = -(-len(labels) // columns)
    with style():
        size = (max(4.4 * columns, 6.4) + 1.6, 4.2 * lines + 0.5)
        figure, axes = plt.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False)
        for ax in axes.flat[len(labels) :]:
            ax.set_visible(False)
        for label, ax in zip(labels, axes.flat, strict=False):
            own = _with_front(points[points["data"] == label])
            _draw_specialists(ax, specialists, label, own)
            for name, curve in _named_curves(own).items():
                _draw_curve(ax, curve, name, names.index(name))
            _label_plane(ax, goals)
            ax.set_title(shorten(label, 44))
            if (own["num_seeds"] < 2).all():
                _note(ax, ONE_SEED)
        handles, texts = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside right upper", title="identifiers")
        figure.suptitle(
            title or "Search against recommendation, one model at each mix",
            x=0.01,
            ha="left",
            fontweight="bold",
            fontsize=12,
        )
    return figure


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


def _with_front(points: pd.DataFrame) -> pd.DataFrame:
    """The points of one panel with the front of validation among them alone."""
    return points.assign(front=pareto_front(points[[f"{task}_valid" for task in TASKS]].to_numpy()))


def _named_curves(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    names = [describe_choice(row) for row in points.to_dict("records")]
    return {str(name): part for name, part in points.groupby(names, sort=False)}


def _draw_curve(ax: Axes, points: pd.DataFrame, name: str, number: int, crosses: bool = True) -> None:
    points = points.sort_values("place")
    colour, marker = GROUPS[number % len(GROUPS)], MARKERS[number % len(MARKERS)]
    x, y = points["recommendation"].to_numpy(), points["search"].to_numpy()
    ax.plot(x, y, color=colour, linestyle=LINES[number % len(LINES)], linewidth=1.6, zorder=2)
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
    ax.plot([], [], color=colour, linestyle=LINES[number % len(LINES)], marker=marker, label=name)
    rings = points["recommendation_chosen"].to_numpy(bool) & points["search_chosen"].to_numpy(bool)
    ax.scatter(x[rings], y[rings], s=150, facecolors="none", edgecolors=INK, linewidths=1.1, zorder=4)
    for end in {0, len(points) - 1} if name and points["curve"].iloc[0] == "sweep" else ():
        place = points["place"].iloc[end]
        ax.annotate(
            f"{place:g}", (x[end], y[end]), xytext=(6, 5), textcoords="offset points", fontsize=7.5, color=MUTED
        )


def _draw_specialists(ax: Axes, specialists: pd.DataFrame, label: str, points: pd.DataFrame) -> None:
    """Lines at the best specialist of each task; one far away from all curves is told at the edge instead."""
    best = specialists[(specialists["data"] == label) & specialists["best"]] if len(specialists) else specialists
    dots: dict[str, Any] = {"color": MUTED, "linewidth": 1.1, "linestyle": (0, (1, 2)), "zorder": 0}
    told: dict[str, Any] = {"fontsize": 8, "color": MUTED, "textcoords": "offset points", "va": "top", "ha": "right"}
    for row in best.to_dict("records"):
        value, across = row["value"], row["task"] == "recommendation"
        low, high = points[row["task"]].min(), points[row["task"]].max()
        near = low - (high - low) < value < high + (high - low)
        arrow = "" if near else (" \N{RIGHTWARDS ARROW}" if across else " \N{UPWARDS ARROW}")
        if near:
            ax.axvline(value, **dots) if across else ax.axhline(value, **dots)
        text = f"{row['specialist']} {value:.3f}{arrow}"
        if across:
            at = (value, 0.98) if near else (0.99, 0.98)
            frame = ("data" if near else "axes fraction", "axes fraction")
            ax.annotate(text, at, xycoords=frame, xytext=(-2, -14), rotation=90, **told)
        else:
            at = (0.99, value) if near else (0.99, 0.995)
            frame = ("axes fraction", "data" if near else "axes fraction")
            ax.annotate(text, at, xycoords=frame, xytext=(0, -2), **told)


def _label_plane(ax: Axes, goals: Goals) -> None:
    ax.set_xlabel(f"recommendation, {goals.metric}\n{PROTOCOL_TEXTS.get(goals.recommendation, goals.recommendation)}")
    ax.set_ylabel(f"search, {goals.metric}\n{PROTOCOL_TEXTS.get(goals.search, goals.search)}")
    ax.margins(0.12)
    ax.grid()


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
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 1} if at != row["hypervolume"] else None,
        )


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


# a sweep's folder --------------------------------------------------------------------------------


def draw_tradeoff(out: Path, reading: Reading, goals: Goals, sources: Mapping[str, Source]) -> list[Path]:
    """Write all figures of a sweep and `figures.json`, their captions and the texts that stand for them.

    `sources` says where the data sets are; the figure of who gains needs them.
    """
    pictures = describe_tradeoff(reading, goals)
    stores = store_knobs(sources)
    if len(reading.strategies) and moved_knobs(stores):
        caption = "Along each knob of the simulated store, the others at their defaults; filled: p < .05 after Holm's correction."
        drawn = plot_store_map(reading.strategies, stores, goals.metric)
        pictures["map"] = Picture(drawn, caption, describe_store_map(reading.strategies, stores))
    for label in reading.volumes["data"].unique() if len(reading.volumes) else ():
        pictures |= _gains_picture(out, reading, goals, label, sources[label])
    paths, texts = [], {}
    for name, picture in pictures.items():
        paths.append(out / f"{name}.png")
        with new_file(paths[-1]) as temporary:
            picture.figure.savefig(temporary, format="png", dpi=150)
        texts[paths[-1].name] = {"caption": picture.caption, "alt": picture.alt}
        plt.close(picture.figure)
    write_json(out / "figures.json", texts)
    return paths


def describe_tradeoff(reading: Reading, goals: Goals) -> dict[str, Picture]:
    """The curves and the cheap curves of a sweep, with captions and texts, by file name."""
    pictures: dict[str, Picture] = {}
    points, volumes = reading.points, reading.volumes
    if len(points) and (points["curve"] == "sweep").any():
        caption = "Filled: on the front of validation; ring: the mix that validation chooses; crosses: 95 % intervals over users; small numbers: mixes."
        alt = " ".join(_curve_text(row) for row in volumes[volumes["curve"] == "sweep"].to_dict("records"))
        pictures["tradeoff"] = Picture(plot_tradeoff(points, reading.specialists, goals), caption, alt)
    for label, strategy in volumes[["data", "strategy"]].drop_duplicates().to_numpy() if len(volumes) else ():
        own = volumes[(volumes["data"] == label) & (volumes["strategy"] == strategy) & (volumes["variant"] == "")]
        if own["curve"].nunique() > 1:
            alt = " ".join(_curve_text(row) for row in own.to_dict("records"))
            caption = (
                "Cheap curves and the sweep of the same identifiers; the cost is that of all trainings from nothing."
            )
            pictures[f"cheap_{file_name(label)}_{strategy}"] = Picture(
                plot_cheap(points, volumes, goals, label, strategy), caption, alt
            )
    return pictures


def _gains_picture(out: Path, reading: Reading, goals: Goals, label: str, source: Source) -> dict[str, Picture]:
    """One model for both tasks against the same identifiers' models of one task, where the sweep holds those."""
    sweeps = [c for c in reading.curves if c.name["curve"] == "sweep" and c.name["data"] == label]
    ends = {"search": 0.0, "recommendation": 1.0}
    curve = next((c for c in sweeps if set(ends.values()) <= set(c.places)), None)
    if curve is None or curve.places[curve.chosen[0]] in ends.values():
        return {}
    asked = reading.ranks["task"].map(goals.of) == reading.ranks["protocol"]
    own = reading.ranks[asked & (reading.ranks["split"] == "test") & (reading.ranks["curve"] == "sweep")]
    own = own[(own[list(curve.name)] == list(curve.name.values())).all(axis=1) & own["seed"].isin(curve.seeds)]
    data = load_source(source)
    signals = _signals_of(out, data)
    if signals is None:
        return {}
    chosen = float(curve.places[curve.chosen[0]])
    features = pd.concat([case_features(data, signals, data.cases(task, "test")) for task in TASKS], ignore_index=True)
    table = who_gains(own[own["place"] == chosen], own[own["place"] == own["task"].map(ends)], features, goals.metric)
    model = f"{describe_choice(curve.name)} at mix {chosen:g}"
    against = {task: f"{task} only (mix {mix:g})" for task, mix in ends.items()}
    figure = plot_gains(table, f"one model for both tasks: {model}", against, goals.metric)
    caption = f"{label}: difference of the chosen model and the models of one task, by group of test cases; bold: p < .05 after Holm's correction."
    return {f"gains_{file_name(label)}": Picture(figure, caption, _gains_text(table))}


def _signals_of(out: Path, data: Dataset) -> Signals | None:
    """The first signals of a data set that the sweep made, if it has any here."""
    for folder in sorted((out / "signals").glob("*/content")):
        signals = Signals.load(folder)
        if list(signals.item_ids) == data.items["item_id"].tolist():
            return signals
    return None


def file_name(label: str) -> str:
    """A data set's name as part of a file name."""
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in label).strip("_")


def _curve_text(row: Mapping[Any, Any]) -> str:
    interval = ONE_SEED if row["num_seeds"] < 2 else f"{row['low']:.4f} to {row['high']:.4f}, {row['num_seeds']} seeds"
    return (
        f"{row['data']}, {describe_choice(row)}: recommendation {row['recommendation']:.3f} and search {row['search']:.3f} "
        f"at the chosen place, hypervolume {row['hypervolume']:.4f} ({interval}), {row['cpu_minutes']:.1f} CPU minutes."
    )


def _gains_text(table: pd.DataFrame) -> str:
    def text(row: Mapping[Any, Any]) -> str:
        return f"{row['task']}, {FEATURES[row['feature']]} {row['group']}: {row['difference']:+.3f}".replace("-", MINUS)

    ordered = table.sort_values("difference").to_dict("records")
    return f"Most lost: {'; '.join(text(r) for r in ordered[:3])}. Most gained: {'; '.join(text(r) for r in ordered[:-4:-1])}."
