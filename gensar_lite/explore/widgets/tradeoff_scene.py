"""What the trade-off explorer shows: the points of chosen curves, seeds and goals, and the plane they lie in.

Explained in notebook 08. Everything here is data and marks; `tradeoff.py` puts it on a page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.explore.curves import PROTOCOL_TEXTS
from gensar_lite.explore.style import FAINT, GROUPS, INK, MUTED, PAPER
from gensar_lite.explore.tradeoff import ONE_SEED, plot_tradeoff
from gensar_lite.explore.widgets.scene import Mark, dot, line, rect, text
from gensar_lite.tradeoff.comparing import specialists_table
from gensar_lite.tradeoff.pareto import pareto_front
from gensar_lite.tradeoff.reading import Goals, describe_choice, points_table, read_curves
from gensar_lite.tradeoff.results import CURVE, read_ranks, read_results

SHAPES = ("circle", "square", "up", "diamond", "down")
PLANE = (900.0, 560.0)
LEFT, RIGHT, TOP, BOTTOM = 86.0, 24.0, 26.0, 70.0
DASHES = (None, "9 5", "2 5", "12 4 2 4", "5 5", "14 6")
NUM_RESAMPLES = 400
BANDS = [f"{task}_{end}" for task in TASKS for end in ("low", "high")]
KINDS = {
    "sweep": "one training a mix",
    "interpolation": "weights interpolated",
    "ensemble": "scores of both fine-tunes",
}


class Sweep:
    """The tables of a sweep's folder, asked for points by choice. Raises DataError where the folder holds none."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.results = read_results(folder)
        if self.results.empty:
            raise DataError(f"no run of {folder} is done yet; go on with `gensar-lite tradeoff --out {folder}`")
        try:
            self.ranks: pd.DataFrame | None = read_ranks(folder, self.results)
        except DataError:  # a recorded table may come without the ranks behind it: then there are no intervals
            self.ranks = None
        self._known: dict[tuple, pd.DataFrame] = {}

    @property
    def labels(self) -> list[str]:
        """The data sets."""
        return list(pd.unique(self.results["data"]))

    def options(self, label: str) -> dict[str, list]:
        """What can be chosen for a data set: strategies, curves, seeds, metrics, and protocols of each task."""
        own = self.results[(self.results["data"] == label) & (self.results["split"] == "test")]
        curves = own[own["curve"] != "specialist"]
        return {
            "strategies": list(pd.unique(curves["strategy"])),
            "curves": list(pd.unique(curves["curve"])),
            "seeds": sorted(int(seed) for seed in pd.unique(curves["seed"])),
            "metrics": list(pd.unique(curves["metric"])),
            **{task: list(pd.unique(curves.loc[curves["task"] == task, "protocol"])) for task in TASKS},
        }

    def points(self, label: str, goals: Goals, seeds: Sequence[int]) -> pd.DataFrame:
        """All points of a data set for these seeds (see `points_table`)."""
        key = (label, goals, tuple(seeds))
        if key not in self._known:
            chosen = [
                t[(t["data"] == label) & t["seed"].isin(seeds) & (t["curve"] != "specialist")] for t in self._tables
            ]
            if self.ranks is None:
                self._known[key] = points_of_means(chosen[0], goals)
            else:
                self._known[key] = points_table(read_curves(chosen[0], chosen[1], goals), NUM_RESAMPLES)
        return self._known[key]

    @property
    def _tables(self) -> list[pd.DataFrame]:
        return [self.results] if self.ranks is None else [self.results, self.ranks]

    def specialists(self, label: str, goals: Goals) -> pd.DataFrame:
        """The rankers of one signal on a data set."""
        return specialists_table(self.results[self.results["data"] == label], goals)

    def runs(self, point: pd.Series) -> pd.DataFrame:
        """The runs behind a point: seed, run, CPU minutes and the value of each task."""
        own = self.results[
            (self.results[CURVE] == point[CURVE]).all(axis=1) & (self.results["place"] == point["place"])
        ]
        own = own[own["split"] == "test"].drop_duplicates(["seed", "run"])
        return own[["seed", "run", "cpu_seconds", "parameters"]].sort_values("seed")


def points_of_means(results: pd.DataFrame, goals: Goals) -> pd.DataFrame:
    """The points of a tidy table alone: the columns of `points_table`, without intervals."""
    keys = [*CURVE, "place"]
    results = results[results["metric"] == goals.metric]
    table = pd.DataFrame()
    for task in TASKS:
        own = results[results["task"] == task]
        test = own[(own["split"] == "test") & (own["protocol"] == goals.of(task))].groupby(keys, sort=False)
        valid = own[(own["split"] == "valid") & (own["protocol"] == PRIMARY[task][0])].groupby(keys, sort=False)
        values = test["value"]
        part = {task: values.mean(), f"{task}_seed_low": values.min(), f"{task}_seed_high": values.max()}
        part |= {f"{task}_valid": valid["value"].mean(), "num_seeds": test["seed"].nunique()}
        table = pd.DataFrame(part) if table.empty else table.combine_first(pd.DataFrame(part))
    table = table.dropna(subset=list(TASKS)).reset_index().assign(**dict.fromkeys(BANDS, np.nan), front=False)
    valid_columns = [f"{task}_valid" for task in TASKS]
    table["front"] = pareto_front(table[valid_columns].to_numpy())
    best = table[valid_columns].mean(axis=1).groupby([table[c] for c in CURVE]).transform("max")
    return table.assign(**{f"{task}_chosen": table[valid_columns].mean(axis=1) == best for task in TASKS})


def choose_points(
    points: pd.DataFrame, strategies: Sequence[str], curves: Sequence[str], intervals: bool
) -> pd.DataFrame:
    """The points of some strategies and kinds of curves; without intervals where they are not wanted."""
    chosen = points[points["strategy"].isin(strategies) & points["curve"].isin(curves)].reset_index(drop=True)
    return chosen if intervals else chosen.assign(**dict.fromkeys(BANDS, np.nan))


def curve_names(points: pd.DataFrame) -> list[str]:
    """The name of each point's curve."""
    return [describe_choice(row) for row in points.to_dict("records")]


def plane_marks(
    points: pd.DataFrame, specialists: pd.DataFrame, goals: Goals, place: tuple[str, float] | None = None
) -> list[Mark]:
    """Curves in the plane, recommendation to the right and search upward. The key of row n is "point:n"; filled: on the
    front of validation; ring: `place` (a curve's name and a place on it), where the slider stands."""
    if points.empty:
        return [
            text(
                PLANE[0] / 2,
                PLANE[1] / 2,
                "nothing chosen: tick a strategy, a curve and a seed",
                16,
                anchor="middle",
                fill=MUTED,
            )
        ]
    names = curve_names(points)
    axes, marks = _Axes(points, list(dict.fromkeys(names))), []
    marks += axes.frame(goals)
    marks += axes.specialists(specialists)
    for number, name in enumerate(dict.fromkeys(names)):
        rows = points[[n == name for n in names]].sort_values("place")
        colour, shape = GROUPS[number % len(GROUPS)], SHAPES[number % len(SHAPES)]
        at = [axes.at(row) for row in rows.to_dict("records")]
        for row in rows.to_dict("records"):
            marks += axes.cross(row, colour)
        marks.append(line(at, colour, 2.4, dash=DASHES[number % len(DASHES)]))
        for index, (x, y), row in zip(rows.index, at, rows.to_dict("records"), strict=True):
            if place is not None and (name, float(row["place"])) == place:
                marks.append(dot(x, y, 15, "none", stroke=INK, width=2.5, id="slider"))
            fill = colour if row["front"] else PAPER
            marks.append(
                dot(x, y, 7, fill, shape, stroke=colour, width=2.2, key=f"point:{index}", tip=point_text(row, goals))
            )
        y = PLANE[1] - BOTTOM - 38 - 24 * (len(set(names)) - 1 - number)  # below the curves, which fall to the right
        marks.append(line([(LEFT + 12, y), (LEFT + 52, y)], colour, 2.4, dash=DASHES[number % len(DASHES)]))
        marks.append(dot(LEFT + 32, y, 6, colour, shape))
        marks.append(text(LEFT + 62, y + 5, name, 14))
    if points[BANDS].isna().all(axis=None):
        words = ONE_SEED if (points["num_seeds"] < 2).all() else "intervals off"
        marks.append(text(LEFT + 10, PLANE[1] - BOTTOM - 10, words, 13, fill=MUTED))
    return marks


def point_text(row: dict, goals: Goals) -> str:
    """A point in words."""
    seeds = f"{row['num_seeds']} seed" + ("" if row["num_seeds"] == 1 else "s")
    lines = [f"{describe_choice(row)}, place {row['place']:g} ({seeds})"]
    for task in TASKS:
        band = f" ({row[f'{task}_low']:.3f} to {row[f'{task}_high']:.3f})" if np.isfinite(row[f"{task}_low"]) else ""
        lines.append(f"{task} {goals.metric} {row[task]:.3f}{band}")
    lines.append("on the front of validation" if row["front"] else "not on the front of validation")
    return "\n".join(lines)


class _Axes:
    """From values to places on the plane, with a margin around all points and intervals, and room for the legend of some
    names at the lower left, where points would lie under it."""

    def __init__(self, points: pd.DataFrame, names: Sequence[str]) -> None:
        self.low, self.high = {}, {}
        for task in TASKS:
            values = points[[task, f"{task}_low", f"{task}_high"]].to_numpy(float)
            low, high = np.nanmin(values), np.nanmax(values)
            margin = max((high - low) * 0.15, 0.005)
            self.low[task], self.high[task] = low - margin, high + margin
        legend = min(70 + 7.5 * max(map(len, names)), 0.5 * PLANE[0])
        top = PLANE[1] - BOTTOM - 50 - 24 * len(names)
        if any(x < LEFT + legend and y > top for x, y in map(self.at, points.to_dict("records"))):
            reach = self.high["recommendation"] - self.low["recommendation"]
            self.low["recommendation"] -= reach * legend / (PLANE[0] - LEFT - RIGHT - legend)

    def x(self, value: float) -> float:
        low, high = self.low["recommendation"], self.high["recommendation"]
        return LEFT + (value - low) / (high - low) * (PLANE[0] - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.low["search"], self.high["search"]
        return PLANE[1] - BOTTOM - (value - low) / (high - low) * (PLANE[1] - TOP - BOTTOM)

    def at(self, row: dict) -> tuple[float, float]:
        return self.x(row["recommendation"]), self.y(row["search"])

    def frame(self, goals: Goals) -> list[Mark]:
        """The plane with ticks and the names of its axes."""
        bottom, right = PLANE[1] - BOTTOM, PLANE[0] - RIGHT
        marks = [rect(LEFT, TOP, right - LEFT, bottom - TOP, "#fcfcfd", rx=0)]
        locator = MaxNLocator(6)
        for value in locator.tick_values(self.low["recommendation"], self.high["recommendation"]):
            if self.low["recommendation"] <= value <= self.high["recommendation"]:
                marks.append(line([(self.x(value), TOP), (self.x(value), bottom)], FAINT, 1))
                marks.append(text(self.x(value), bottom + 20, f"{value:.3g}", 13, anchor="middle", fill=MUTED))
        for value in locator.tick_values(self.low["search"], self.high["search"]):
            if self.low["search"] <= value <= self.high["search"]:
                marks.append(line([(LEFT, self.y(value)), (right, self.y(value))], FAINT, 1))
                marks.append(text(LEFT - 8, self.y(value) + 4, f"{value:.3g}", 13, anchor="end", fill=MUTED))
        marks.append(line([(LEFT, TOP), (LEFT, bottom), (right, bottom)], MUTED, 1.2))
        across = f"recommendation, {goals.metric} {PROTOCOL_TEXTS.get(goals.recommendation, goals.recommendation)}  →"
        upward = f"search, {goals.metric} {PROTOCOL_TEXTS.get(goals.search, goals.search)}  →"
        marks.append(text((LEFT + right) / 2, PLANE[1] - 18, across, 15, anchor="middle", weight="bold"))
        marks.append(text(22, (TOP + bottom) / 2, upward, 15, anchor="middle", weight="bold", turn=-90))
        return marks

    def cross(self, row: dict, colour: str) -> list[Mark]:
        """The intervals of a point."""
        if not np.isfinite(row["recommendation_low"]):
            return []
        x, y = self.at(row)
        across = [(self.x(row["recommendation_low"]), y), (self.x(row["recommendation_high"]), y)]
        upward = [(x, self.y(row["search_low"])), (x, self.y(row["search_high"]))]
        return [line(points, colour, 1.4, opacity=0.45) for points in (across, upward)]

    def specialists(self, table: pd.DataFrame) -> list[Mark]:
        """A line at the best ranker of each task that lies within the plane; one outside is told at the edge."""
        marks: list[Mark] = []
        bottom, right = PLANE[1] - BOTTOM, PLANE[0] - RIGHT
        for row in table[table["best"]].to_dict("records") if len(table) else ():
            task, value = row["task"], row["value"]
            inside = self.low[task] <= value <= self.high[task]
            words = f"best ranker of {task}: {row['specialist']} {value:.3f}"
            if task == "recommendation":
                x = self.x(value) if inside else right
                marks += [line([(x, TOP), (x, bottom)], MUTED, 1.3, dash="2 4")] if inside else []
                sign = "" if inside else (" →" if value > self.high[task] else " ←")
                marks.append(text(x - 6, bottom - 10, words + sign, 12.5, anchor="end", fill=MUTED))
            else:
                below = value < self.low[task]  # told at the right, where the legend is not
                y = self.y(value) - 6 if inside else bottom - 30 if below else TOP + 14
                marks += (
                    [line([(LEFT, self.y(value)), (right, self.y(value))], MUTED, 1.3, dash="2 4")] if inside else []
                )
                sign = "" if inside else " ↓" if below else " ↑"
                at = (right - 6, "end") if below else (LEFT + 8, None)
                marks.append(text(at[0], y, words + sign, 12.5, anchor=at[1], fill=MUTED))
        return marks


def draw_figure(points: pd.DataFrame, specialists: pd.DataFrame, goals: Goals) -> Figure:
    """The same points as a figure for print."""
    return plot_tradeoff(points, specialists, goals, curves=tuple(pd.unique(points["curve"])))


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts a spreadsheet reads as texts: an apostrophe stands before what would begin a formula."""
    texts = table.select_dtypes(["object", "string"])
    safe: dict[str, list] = {
        str(name): [
            f"'{v}" if isinstance(v, str) and v.startswith(("=", "+", "-", "@", "\t", "\r")) else v for v in column
        ]
        for name, column in texts.items()
    }
    return table.assign(**safe)


def export_links(points: pd.DataFrame, specialists: pd.DataFrame, goals: Goals) -> dict[str, str]:
    """PNG, SVG and CSV of the chosen points as data links, by file name."""
    figure = draw_figure(points, specialists, goals)
    files = {"csv": without_formulas(points).to_csv(index=False).encode()}
    with plt.rc_context({"svg.hashsalt": "gensar_lite"}):
        for kind in ("png", "svg"):
            stream = io.BytesIO()
            figure.savefig(stream, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
            files[kind] = stream.getvalue()
    plt.close(figure)
    types = {"png": "image/png", "svg": "image/svg+xml", "csv": "text/csv"}
    return {
        f"tradeoff.{kind}": f"data:{types[kind]};base64,{base64.b64encode(files[kind]).decode()}"
        for kind in ("png", "svg", "csv")
    }
