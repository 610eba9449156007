"""The tidy table of a sweep, the ranks behind it, and the failures.

Explained in notebook 08. A *curve* of the table is told by data set, fingerprint, version, kind of curve, strategy and
variant of the settings: rows that differ in one of these are never points of one curve.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from gensar_lite.data.marks import MARK
from gensar_lite.data.storage import AGAIN, SEAL, DataError, check_whole, new_file
from gensar_lite.pipeline.folder import digest_of

RESULTS = "results.parquet"
TIDY = [
    "data",
    "fingerprint",
    "version",
    "curve",
    "strategy",
    "variant",
    "mix",
    "place",
    "seed",
    "task",
    "protocol",
    "split",
    "metric",
    "value",
    "cases",
    "seconds",
    "cpu_seconds",
    "parameters",
    "run",
]
"""Columns. `mix` is that of training (NaN where there is none), `place` where the point lies on its curve, from search
to recommendation; `seconds` and `cpu_seconds` are those of all trainings that `run`, a row's piece of work, needs."""
LISTS = "lists"
"""The protocol of rows that say what lists of ten look like (`evaluation.protocols.list_quality`)."""
CURVE = ["data", "fingerprint", "version", "curve", "strategy", "variant"]
"""What tells a curve from others."""


def tidy(finished: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The table from the attributes of finished trials. Raises DataError where one was changed since it was written."""
    parts = []
    for attributes in finished:
        sealed = {name: attributes.get(name) for name in ("metrics", "about", "variant")}
        if attributes.get(SEAL) != digest_of(sealed):
            raise DataError(f"the study's record of {attributes['label']} was changed; choose another --out or --study")
        unit, about = attributes["unit"], attributes["about"]
        rows = pd.DataFrame(attributes["metrics"])
        rows["place"] = rows["place"].astype(float)  # None where a ranker has no place
        added = pd.DataFrame(
            about.get("added", {}), index=["wall", "cpu"], dtype=float
        )  # by curve, beside the training
        added = added.T.reindex(rows["curve"]).fillna(0.0).set_index(rows.index)
        parts.append(
            rows.assign(
                data=unit["data"],
                fingerprint=about["fingerprint"],
                version=about["version"],
                strategy=unit["strategy"],
                variant=attributes["variant"],
                mix=float("nan") if unit["mix"] is None else float(unit["mix"]),
                seed=unit["seed"],
                seconds=about["seconds"] + added["wall"],
                cpu_seconds=about["cpu_seconds"] + added["cpu"],
                parameters=json.dumps(about["parameters"], sort_keys=True),
                run=attributes["key"],
            )[TIDY]
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=TIDY)


def write_results(out: Path, table: pd.DataFrame) -> None:
    """Write the table with its seal, whole or not at all."""
    sealed = table.copy()
    sealed.attrs = {SEAL: _seal_of(table)}
    with new_file(out / RESULTS) as temporary:
        sealed.to_parquet(temporary, index=False, compression="zstd")


def read_results(folder: str | Path) -> pd.DataFrame:
    """The tidy table of a sweep's folder. Raises DataError where there is none, or it was changed."""
    path = Path(folder) / RESULTS
    if not path.is_file():
        raise DataError(f"{folder} has no {RESULTS}; make one with `gensar-lite tradeoff --out {folder}`")
    table = _read_table(path)
    seal = table.attrs.pop(SEAL, None)
    if (seal is not None or (path.parent / MARK).is_file()) and seal != _seal_of(table):  # records have no mark
        raise DataError(f"{path} was changed since it was written; run the sweep again, what is done is kept")
    if missing := [column for column in TIDY if column not in table]:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; it was written by another version, run again")
    return table


def ranks_of_runs(
    folder: str | Path, results: pd.DataFrame, split: str | None = None, protocols: Sequence[str] | None = None
) -> Iterator[pd.DataFrame]:
    """The ranks behind a table, a run at a time: the columns of `CURVE`, place, seed, and those of `evaluate_ranker`.

    `split` and `protocols` leave out what is not asked for as it is read. Raises DataError where a run's ranks are not in the
    folder (another machine has them).
    """
    filters: list[tuple[str, str, Any]] = [("split", "==", split)] if split else []
    filters += [("protocol", "in", list(protocols))] if protocols else []
    curves = results.groupby("run")["curve"].agg(set)
    for row in results.drop_duplicates("run")[[*CURVE, "mix", "seed", "run"]].to_dict("records"):
        path = Path(folder) / "runs" / row["run"] / "ranks.parquet"
        if not path.is_file():
            raise DataError(f"{path} is missing; copy the runs of the other machines into {Path(folder) / 'runs'}")
        check_whole(path.parent, "sweep's run")
        ranks = _read_table(path, filters or None)
        same = {str(name): value for name, value in row.items() if name not in ("curve", "run")}
        yield ranks[ranks["curve"].isin(curves[row["run"]])].assign(**same, run=row["run"])


def read_ranks(folder: str | Path, results: pd.DataFrame) -> pd.DataFrame:
    """All that `ranks_of_runs` gives, in one table."""
    parts = list(ranks_of_runs(folder, results))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _read_table(path: Path, filters: list | None = None) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, filters=filters)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as Parquet; {AGAIN}") from error


def _seal_of(table: pd.DataFrame) -> str:
    """The SHA-256 of what a table says."""
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
