"""The pictures of a sweep's folder, with captions and with texts that say the same where a picture cannot be seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from gensar_lite.data.storage import new_file, write_json
from gensar_lite.explore.curves import MINUS
from gensar_lite.explore.gains import plot_gains
from gensar_lite.explore.report import Picture
from gensar_lite.explore.store_map import describe_store_map, moved_knobs, plot_store_map, store_knobs
from gensar_lite.explore.tradeoff import ONE_SEED, plot_cheap, plot_tradeoff
from gensar_lite.tradeoff.curve import GENERATIVE, Goals, describe_choice
from gensar_lite.tradeoff.decision import Gains
from gensar_lite.tradeoff.design import Source
from gensar_lite.tradeoff.gains import FEATURES
from gensar_lite.tradeoff.summary import Reading, named

MOST_CURVES = 8  # in one figure


def draw_tradeoff(
    out: Path, reading: Reading, goals: Goals, sources: Mapping[str, Source], gains: Mapping[str, Gains]
) -> list[Path]:
    """Write all figures of a sweep and `figures.json`, their captions and the texts that stand for them.

    `sources` says where the data sets are, `gains` who gains in each (`measure_gains`).
    """
    pictures = describe_tradeoff(reading, goals)
    stores = store_knobs(sources)
    if len(reading.strategies) and moved_knobs(stores):
        caption = "Along each knob of the simulated store, the others as in the first one; filled: p < .05 after Holm's correction."
        drawn = plot_store_map(reading.strategies, stores, goals.metric)
        pictures["map"] = Picture(drawn, caption, describe_store_map(reading.strategies, stores))
    pictures |= gains_pictures(gains, goals)
    for label, found in gains.items():
        with new_file(out / f"{named(f'gains_{file_name(label)}', goals)}.parquet") as temporary:
            found.table.to_parquet(temporary, index=False)
    paths, texts = [], {}
    for name, picture in pictures.items():
        paths.append(out / f"{named(name, goals)}.png")
        with new_file(paths[-1]) as temporary:
            picture.figure.savefig(temporary, format="png", dpi=150)
        texts[paths[-1].name] = {"caption": picture.caption, "alt": picture.alt}
        plt.close(picture.figure)
    write_json(out / f"{named('figures', goals)}.json", texts)
    return paths


def describe_tradeoff(reading: Reading, goals: Goals) -> dict[str, Picture]:
    """The curves and the cheap curves of a sweep, with captions and texts, by file name."""
    pictures: dict[str, Picture] = {}
    points, volumes = reading.points, reading.volumes
    sweeps = points[points["curve"] == "sweep"] if len(points) else points
    for variant, part in _readable(sweeps).items():
        caption = "Filled: on the front of validation; crosses: 95 % intervals over users; a line joins neighbours that an interval tells apart."
        if part["place"].nunique() > 1:
            caption += " Ring: the mix that validation chooses; small numbers: mixes."
        told = volumes[(volumes["curve"] == "sweep") & volumes["variant"].isin(part["variant"])]
        alt = " ".join(_curve_text(row) for row in told.to_dict("records"))
        title = f"Search against recommendation, {variant}" if variant else None
        drawn = plot_tradeoff(part, reading.specialists, goals, title)
        pictures["_".join(filter(None, ["tradeoff", file_name(variant)]))] = Picture(drawn, caption, alt)
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


def _readable(points: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The points of a figure, or, of more curves than can be told apart, those of a figure for each variant."""
    if not len(points):
        return {}
    names = points[["strategy", "variant"]].drop_duplicates()
    if len(names) <= MOST_CURVES or names["variant"].nunique() < 2:
        return {"": points}
    return {str(variant): part for variant, part in points.groupby("variant")}


def gains_pictures(gains: Mapping[str, Gains], goals: Goals) -> dict[str, Picture]:
    """For each data set one model for both tasks against the same identifiers' models of one task, by file name."""
    found = {}
    for label, own in gains.items():
        model = f"{describe_choice(own.curve.name)} at mix {own.place:g}"
        against = {task: f"{task} only (mix {mix:g})" for task, mix in GENERATIVE.items()}
        figure = plot_gains(own.table, f"one model for both tasks: {model}", against, goals.metric)
        caption = f"{label}: difference of the chosen model and the models of one task, by group of test cases; bold: p < .05 after Holm's correction."
        found[f"gains_{file_name(label)}"] = Picture(figure, caption, _gains_text(own.table))
    return found


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
