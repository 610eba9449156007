"""What the page tells of a sweep: the points of its curves with their intervals, and the best ranker of each task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gensar_lite.data.sealed import read_json
from gensar_lite.data.splits import TASKS
from gensar_lite.data.storage import DataError
from gensar_lite.tradeoff.curve import describe_choice

DIGITS = 4


def pack_sweep(folder: str | Path) -> dict:
    """The summary of a sweep's folder as a page holds it. Raises DataError where there is none."""
    path = Path(folder) / "summary.json"
    if not path.is_file():
        raise DataError(f"{folder} has no summary.json; make it with `gensar-lite tradeoff --read-only --out {folder}`")
    told = read_json(path, design=dict, goals=dict, points=list, specialists=list)
    return {
        "name": told["design"].get("name", Path(folder).resolve().name),
        "about": told["design"].get("about", ""),
        "goals": told["goals"],
        "points": [_point(row) for row in told["points"]],
        "specialists": [
            {"data": row["data"], "task": row["task"], "name": row["specialist"], "value": round(row["value"], DIGITS)}
            for row in told["specialists"]
            if row["best"]
        ],
    }


def _point(row: dict[str, Any]) -> dict:
    numbers = [f"{task}{end}" for task in TASKS for end in ("", "_low", "_high")]
    values = {name: None if row.get(name) is None else round(row[name], DIGITS) for name in numbers}
    kept = {name: row[name] for name in ("data", "curve", "place", "num_seeds", "front")}
    return {**kept, "name": describe_choice(row), **values}
