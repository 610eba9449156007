"""A log as arrays of codes: joined, brought to one unit of time, and written as the table of a data set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import Coded
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.times import UNITS
from gensar_lite.data.storage import DataError


@dataclass
class Log:
    """R events in the order of the file: `item` (R,) int32 is a row of the catalogue, -1 for none.

    `time` (R,) is None where the order of the file stands for it; `exponent` is the unit (see `times`).
    `line` (R,) orders events of equal time.
    """

    user: Coded
    item: np.ndarray
    line: np.ndarray
    time: np.ndarray | None
    exponent: int | None = None
    session: Coded | None = None
    query: Coded | None = None
    event: Coded | None = None
    apart: Coded | None = None  # a cell that keeps copies apart
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    cells: np.ndarray | None = None
    days: bool = False  # times are whole days
    written: str = ""

    def __len__(self) -> int:
        return len(self.item)

    def take(self, rows: np.ndarray) -> Log:
        """Some rows, by number or mask."""
        some: dict[str, Any] = {
            name: getattr(self, name).take(rows) if getattr(self, name) is not None else None
            for name in ("user", "session", "query", "event", "apart")
        }
        return replace(
            self,
            **some,
            item=self.item[rows],
            line=self.line[rows],
            time=None if self.time is None else self.time[rows],
            numbers={n: v[rows] for n, v in self.numbers.items()},
            cells=None if self.cells is None else self.cells[rows],
        )

    def key(self, *names: str) -> pd.DataFrame:
        """Columns of numbers that tell events apart."""
        columns: dict[str, Any] = {"user": self.user.codes, "item": self.item}
        if self.time is not None:
            columns["time"] = self.time
        for name in names:
            value = getattr(self, name)
            if value is not None:
                columns[name] = value.codes if isinstance(value, Coded) else value
        return pd.DataFrame(columns)


def joined(first: Log, second: Log) -> Log:
    """Two logs whose columns are numbered alike, one after the other; columns that only one has are missing in the other."""
    logs = (first, second)

    def column(name: str) -> Any:
        parts = [getattr(log, name) for log in logs]
        known = next((part for part in parts if part is not None), None)
        if known is None:
            return None
        codes = [np.full(len(log), -1, np.int32) if p is None else p.codes for log, p in zip(logs, parts, strict=True)]
        return Coded(np.concatenate(codes), known.values)

    return replace(
        second,
        **{name: column(name) for name in ("user", "session", "query", "event", "apart")},
        item=np.concatenate([first.item, second.item]),
        line=np.concatenate([first.line, second.line]),
        time=None if second.time is None else np.concatenate([first.time, second.time]),  # type: ignore[list-item]
        numbers={n: np.concatenate([np.full(len(first), np.nan, np.float32), v]) for n, v in second.numbers.items()},
        cells=None,
    )


def both_logs(first: Log, second: Log) -> Log:
    """Two logs, users, sessions and queries of both in one numbering; all else but item and time is left out."""
    logs = [replace(log, cells=None, event=None, apart=None, numbers={}) for log in (first, second)]
    for name in ("user", "session", "query"):
        there = [log for log in logs if getattr(log, name) is not None]
        if there:
            values = pc.unique(pa.concat_arrays([getattr(log, name).values.cast(pa.string()) for log in there]))
        for log in there:
            setattr(log, name, Coded(getattr(log, name).numbers_in(values), values))
    return joined(*logs)


def coarsest(log: Log) -> int:
    """The smallest unit that loses nothing of a log's times."""
    assert log.time is not None
    assert log.exponent is not None
    return next(e for e in (0, 3, 6, 9) if e >= log.exponent or not (log.time % 10 ** (log.exponent - e)).any())


def in_unit(time: np.ndarray | None, exponent: int | None, target: int) -> np.ndarray:
    """Times in units of 10^-target seconds, from units of 10^-exponent; a coarser unit is rounded down."""
    assert time is not None
    assert exponent is not None
    return time * 10 ** (target - exponent) if target >= exponent else time // 10 ** (exponent - target)


def one_unit(logs: dict[str, Log], report: ImportReport) -> None:
    """All tables in the finest unit that one of them needs. Raises `DataError` where one has a unit and the other none."""
    clocks = {t: log for t, log in logs.items() if len(log)}
    kinds = {
        t: "none" if log.time is None else "unknown" if log.exponent is None else "known" for t, log in clocks.items()
    }
    if len(set(kinds.values())) > 1:
        first, second = list(clocks)[:2]
        for table, other in ((first, second), (second, first)):
            if kinds[table] == "unknown":
                raise DataError(
                    f"The times of {other} are {clocks[other].written or 'missing'}, those of {table} numbers of unknown unit (such as {clocks[table].time[0]}); say which with --set {table}.time_unit=s (or ms, us, ns)"  # type: ignore[index]
                )
        missing = first if kinds[first] == "none" else second
        raise DataError(
            f"The table {missing} has no time and the other one has, so their events cannot be put in order; say the column with --columns {missing}.timestamp=NAME"
        )
    known = [log for log in clocks.values() if log.exponent is not None and log.time is not None]
    if not known:
        return
    target = max(coarsest(log) for log in known)
    written = {t: log.written for t, log in clocks.items()}
    exponents = {coarsest(log) for log in known}
    if len(known) > 1 and (len(exponents) > 1 or len(set(written.values())) > 1):
        told = "; ".join(f"{t}: {w}, in {UNITS[coarsest(clocks[t])]}" for t, w in written.items())
        report.note(f"the tables write time differently ({told}); {UNITS[target]} were taken for all")
    spans = {}
    for table, log in clocks.items():
        log.time, log.exponent = in_unit(log.time, log.exponent, target), target
        spans[table] = (log.time.min(), log.time.max())
    if len(spans) == 2:
        (a, b), (c, d) = spans.values()
        if b < c or d < a:
            days = [str(np.datetime64(int(v // 10**target), "s"))[:10] for v in (a, b, c, d)]
            report.note(
                f"the tables share no time: {next(iter(spans))} are from {days[0]} to {days[1]}, {list(spans)[1]} from {days[2]} to {days[3]}; check --set TABLE.time_unit"
            )


def log_table(log: Log | None, ids: pa.Array, table: str) -> pd.DataFrame:
    """A log as the table of a data set; without times the places within each user."""
    columns: dict[str, Any] = {}
    if log is None:
        columns = {c: pa.array([], pa.string()) for c in ("user_id", "item_id")} | {
            "timestamp": pa.array([], pa.int64())
        }
        return pa.table(columns).to_pandas()
    time = log.time
    if time is None:
        user = log.user.codes
        begin = np.flatnonzero(np.concatenate([[True], user[1:] != user[:-1]])) if len(user) else np.zeros(0, int)
        time = np.arange(len(user)) - np.repeat(begin, np.diff(np.append(begin, len(user))))
    columns["user_id"] = log.user.texts()
    session = log.session.texts() if log.session is not None else None
    if log.days and session is None:  # what was bought on one day is one basket
        session = pc.utf8_slice_codeunits(pa.array(time // (86_400 * 10 ** (log.exponent or 0))).cast(pa.string()), 0)
    if table == "searches":
        if log.query is None:
            raise DataError(
                "The search log has no queries; say which column they are in with --columns searches.query=NAME"
            )
        lost = np.ones(len(log), bool) if log.session is None else log.session.missing
        if lost.any():  # several clicks on the answers to one query are one session
            made = (
                pd.DataFrame({"user": log.user.codes, "query": log.query.codes, "time": time})
                .groupby(["user", "query", "time"], sort=False)
                .ngroup()
                .to_numpy()
            )
            named = pc.binary_join_element_wise("s", pa.array(made).cast(pa.string()), "")
            session = named if session is None else pc.if_else(pa.array(lost), named, session)
        columns |= {"session_id": session, "query": log.query.texts()}
    columns["item_id"] = pc.take(ids, pa.array(log.item, mask=log.item < 0))
    columns["timestamp"] = pa.array(time.astype(np.int64))
    if table == "interactions" and session is not None:
        columns["session_id"] = session
    return pa.table(columns).to_pandas()
