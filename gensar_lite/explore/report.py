"""A report of one or several runs as one HTML file that needs nothing else: no script, no outside request.

All texts (titles, queries, user names) are escaped; figures are PNG data URIs. Maps and answers are the live page's (`export`).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import imread

from gensar_lite.data.storage import new_export
from gensar_lite.evaluation.metrics import METRICS
from gensar_lite.evaluation.protocols import EVALUATION_PROTOCOLS, PRIMARY
from gensar_lite.explore.curves import MINUS, PROTOCOL_TEXTS, plot_history
from gensar_lite.explore.report_page import PAGE, STYLE
from gensar_lite.explore.style import glyphs_missed
from gensar_lite.explore.trees import Tree

MAIN_METRICS = ("HR@10", "NDCG@10")


@dataclass
class Example:
    """One question and its answers: `answers` has title, item_id and, where known, identifier, best first.

    `asked` is the query of a search or the user of a recommendation, `history` holds titles, oldest first,
    `target` is the item_id that was really clicked next.
    """

    task: str
    asked: str
    answers: Sequence[Mapping[str, Any]]
    history: Sequence[str] = ()
    target: str | None = None
    note: str = ""


@dataclass
class Picture:
    """A figure with its caption and the text that stands for it where it cannot be seen."""

    figure: Figure
    caption: str
    alt: str


@dataclass
class RunReport:
    """What a report tells of one run: the contents of metrics.json, health.json and timings.json, examples, the history of the
    training (see `plot_history`), the tree of its identifiers.

    `lists` holds the results of `list_quality`: name of the ranker -> task -> measure; the run's own model stands under `name`.
    """

    name: str
    metrics: Mapping[str, Any]
    health: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    examples: Sequence[Example] = ()
    history: Sequence[Mapping[str, float]] = ()
    tree: Tree | None = None
    lists: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)


def write_report(
    path: str | Path, runs: RunReport | Sequence[RunReport], *, title: str, summary: Sequence[str] = ()
) -> Path:
    """Write one self-contained HTML file about one or several runs, and return its path.

    Runs on one data set (equal `provenance.fingerprint`) share their result tables; runs on different data
    sets have tables of their own, because their numbers cannot be compared. The file appears whole or not at all.
    Raises RefusedError where `path` is a file that is no report.
    """
    runs = [runs] if isinstance(runs, RunReport) else list(runs)
    if not runs:
        raise ValueError("a report needs at least one run")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"the runs of a report need different names, not {names}")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False).from_string(PAGE)
    groups = [_results(part) for part in _by_data(runs)]
    views = [_run_view(run) for run in runs]
    text = page.render(
        title=title,
        style=Markup(STYLE),  # ours, and no text of anyone else
        summary=list(summary),
        facts=_facts(runs[0], groups[0]) if len(runs) == 1 else [],
        sections=_sections(views),
        groups=groups,
        runs=views,
    )
    with new_export(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _by_data(runs: Sequence[RunReport]) -> list[list[RunReport]]:
    groups: dict[str, list[RunReport]] = {}
    for run in runs:
        groups.setdefault(str(run.metrics.get("provenance", {}).get("fingerprint", "")), []).append(run)
    return list(groups.values())


def _results(runs: Sequence[RunReport]) -> dict[str, Any]:
    """The result tables of runs on one data set: their models first, then every baseline once."""
    rankers = {run.name: {task: run.metrics.get(task, {}) for task in EVALUATION_PROTOCOLS} for run in runs}
    for run in runs:
        for baseline, values in run.metrics.get("baselines", {}).items():
            known = rankers.get(baseline)
            if known is None:
                rankers[baseline] = values
            elif any(known.get(task, {}) != values.get(task, {}) for task in EVALUATION_PROTOCOLS):
                rankers[f"{baseline} ({run.name})"] = values  # another seed: shown beside the first, never merged
    own = {run.name for run in runs}
    tasks = [t for t in (_task_table(task, rankers, own) for task in EVALUATION_PROTOCOLS) if t["rows"]]
    lists = [
        {"name": name, "task": task, "own": name in own, **values}
        for run in runs
        for name, by_task in run.lists.items()
        for task, values in by_task.items()
    ]
    return {"name": ", ".join(run.name for run in runs), "tasks": tasks, "lists": lists}


def _task_table(task: str, rankers: Mapping[str, Mapping[str, Any]], own: set[str]) -> dict[str, Any]:
    served = {name: values[task] for name, values in rankers.items() if values.get(task)}
    protocols = [p for p in EVALUATION_PROTOCOLS[task] if any(p in v for v in served.values())]
    primary, metric = PRIMARY[task]
    order = sorted(served, key=lambda n: -served[n].get(primary, {}).get(metric, -1.0))
    rivals = [values for name, values in served.items() if name != "oracle"]  # the ceiling is no competitor
    best = {
        (p, m): max((round(v[p][m], 3) for v in rivals if p in v and m in v[p]), default=None)
        for p in protocols
        for m in METRICS
    }
    rows = []
    for name in order:
        cells: dict[str, dict[str, dict[str, Any]]] = {p: {} for p in protocols}
        for p in protocols:
            for m in METRICS:
                value = served[name].get(p, {}).get(m)
                cells[p][m] = {
                    "value": value,
                    "best": name != "oracle" and value is not None and round(value, 3) == best[p, m],
                }
        rows.append(
            {"name": name, "own": name in own, "primary": served[name].get(primary, {}).get(metric), "cells": cells}
        )
    return {
        "name": task,
        "caption": f"ranked by {metric} of {primary}",
        "protocols": [{"name": p, "text": PROTOCOL_TEXTS[p]} for p in protocols],
        "main": MAIN_METRICS,
        "metrics": METRICS,
        "rows": rows,
    }


def _facts(run: RunReport, group: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The primary number of each task, and how far the best baseline is."""
    facts = []
    for task in group["tasks"]:
        protocol, metric = PRIMARY[task["name"]]
        values = {row["name"]: row["cells"].get(protocol, {}).get(metric, {}).get("value") for row in task["rows"]}
        value = values.pop(run.name, None)
        others = {
            name: v for name, v in values.items() if v is not None and name != "oracle"
        }  # the ceiling is no baseline
        if value is None:
            continue
        text = f"{run.name}, {PROTOCOL_TEXTS[protocol]}"
        if others:
            name = max(others, key=lambda n: others[n])
            text += f"; best baseline {name} {others[name]:.3f} ({_signed(value - others[name])})"
        facts.append({"label": f"{task['name'].capitalize()}, {metric}, {protocol}", "value": value, "text": text})
    return facts


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", MINUS)


def _sections(views: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    found = [("results", "Results")]
    for place, view in enumerate(views, start=1):
        suffix, of_run = ("", "") if len(views) == 1 else (f"-{place}", f" of {view['name']}")
        for anchor, key, text in (
            ("examples", "examples", "Examples"),
            ("training", "training", "Training"),
            ("identifiers", "identifiers", "Identifiers"),
            ("time", "timings", "Time"),
            ("provenance", "provenance", "Provenance"),
        ):
            if view[key]:
                found.append((anchor + suffix, text + of_run))
    return found


def _run_view(run: RunReport) -> dict[str, Any]:
    total = sum(run.timings.values())
    shares = {stage: 100 * spent / max(total, 1e-9) for stage, spent in run.timings.items()}
    return {
        "name": run.name,
        "examples": run.examples,
        "training": _history_view(run.history) if run.history else None,
        "identifiers": run.health or run.tree is not None,
        "health": run.health,
        "tree": run.tree and Markup(run.tree._repr_html_()),  # it has escaped all texts
        "timings": [(stage, duration(spent), f"{shares[stage]:.1f}") for stage, spent in run.timings.items()],
        "total_time": duration(total),
        "provenance": _flat(run.metrics.get("provenance", {})),
    }


def picture_view(picture: Picture) -> dict[str, Any]:
    """A picture as a template shows it: its PNG as a data URI, texts, width and height in pixels of the page."""
    buffer = io.BytesIO()
    with glyphs_missed() as note:
        picture.figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    buffer.seek(0)
    height, width = imread(buffer).shape[:2]
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return {
        "source": source,
        "alt": picture.alt,
        "caption": " ".join([picture.caption, *note]),
        "width": round(width * 0.6),
        "height": round(height * 0.6),
    }


def _history_view(history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    last = history[-1]
    told = ", ".join(f"{k} {v:.3f}" for k, v in last.items() if k != "step" and isinstance(v, (int, float)))
    alt = f"Curves over {last['step']} training steps; at the end {told}."
    picture = Picture(plot_history(history), "The loss, and the metrics on validation cases.", alt)
    plt.close(picture.figure)
    return picture_view(picture)


def _flat(content: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in content.items():
        name = f"{before}{key}".replace("_", " ")
        rows += (
            _flat(value, f"{name}: ")
            if isinstance(value, Mapping)
            else [(name, ", ".join(map(str, value)) if isinstance(value, (list, tuple, np.ndarray)) else str(value))]
        )
    return rows


def duration(seconds: float) -> str:
    """Seconds in words: "0.4 s", "51 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
