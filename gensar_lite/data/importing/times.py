"""Times as people write them, as whole numbers of one unit.

Numbers count seconds, milliseconds, microseconds or nanoseconds since 1970 where their size says so;
smaller ones are a clock of unknown unit, or places. Dates are ISO 8601, also with a zone or "UTC" behind, or of
a form with slashes, points or hyphens whose order of day and month the column itself proves. Nothing is cut off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import MISSING, Gather
from gensar_lite.data.storage import DataError

EXPONENTS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
UNITS = {0: "seconds", 3: "milliseconds", 6: "microseconds", 9: "nanoseconds"}
_DATE = re.compile(
    r"^\s*(\d{1,4})([/.\-])(\d{1,2})\2(\d{1,4})(?:[ T,]+(\d{1,2}:\d{2})(:\d{2})?(\.\d+)?\s*([AaPp][Mm])?)?\s*$"
)
_WHOLE = r"^[+-]?[0-9]+$"
_FRACTION = r"^[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?$|^[+-]?[0-9]+\.$"


@dataclass
class Times:
    """(R,) int64 `values` in 10^-`exponent` seconds, or of unknown unit (None); `bad` rows could not be read."""

    values: np.ndarray
    bad: np.ndarray
    exponent: int | None
    written: str  # how people wrote them
    notes: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)  # some values that could not be read
    days: bool = False  # dates without a time of day

    def at(self, exponent: int) -> Times:
        """In another unit."""
        if self.exponent is None or exponent == self.exponent:
            return self
        by = 10 ** abs(exponent - self.exponent)
        if exponent > self.exponent and len(self.values) and np.abs(self.values).max() > (2**63 - 1) // by:
            raise DataError("Times of this length do not fit into one unit with the other table's; say time_unit")
        values = self.values * by if exponent > self.exponent else self.values // by
        return replace(self, values=values, exponent=exponent)


class TimeColumn:
    """Collects pieces of a column of times: whole numbers as they are, all else as distinct texts."""

    def __init__(self) -> None:
        self.numbers: list[np.ndarray] = []
        self.stamps: pa.DataType | None = None
        self.gather = Gather()
        self.text = False

    def add(self, column: pa.Array | pa.ChunkedArray) -> None:
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            if pa.types.is_date(kind):
                column = column.cast(pa.timestamp("s"))
            self.stamps = column.type
            column = column.cast(pa.int64())
        elif pa.types.is_integer(kind):
            column = column.cast(pa.int64())
        elif not self.text:
            trimmed = pc.utf8_trim_whitespace(column)
            whole = pc.all(pc.fill_null(pc.match_substring_regex(trimmed, _WHOLE), True)).as_py()
            if whole:
                try:
                    column = pc.cast(trimmed, pa.int64())
                except pa.ArrowInvalid:
                    whole = False
            if not whole:
                self._to_text()
        if self.text:
            column = column.cast(pa.string())
            self.gather.add("time", column)
        else:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            values = column.fill_null(np.iinfo(np.int64).min).to_numpy()
            self.numbers.append(np.where(missing, np.iinfo(np.int64).min, values))

    def _to_text(self) -> None:
        self.text = True
        for part in self.numbers:
            self.gather.add("time", pa.array(part, mask=part == np.iinfo(np.int64).min).cast(pa.string()))
        self.numbers = []

    def times(self, said: dict, where: str) -> Times:
        """The whole column; `where` names it in messages. Raises `DataError` where day and month cannot be told apart."""
        if not self.text:
            values = np.concatenate(self.numbers) if self.numbers else np.zeros(0, np.int64)
            bad = values == np.iinfo(np.int64).min
            values = np.where(bad, 0, values)
            if self.stamps is not None:
                exponent = EXPONENTS.get(getattr(self.stamps, "unit", "s"), 0)
                zone = getattr(self.stamps, "tz", None)
                return Times(
                    values,
                    bad,
                    exponent,
                    "stored times" + (" with a zone" if zone else " without a zone, taken as UTC"),
                )
            return _unix(values, bad, 0, said, where)
        coded = self.gather.coded("time").map(pc.utf8_trim_whitespace)
        coded = coded.map(lambda v: pc.if_else(pc.is_in(v, value_set=pa.array(MISSING)), None, v))
        found = _read_texts(coded.values, said, where)
        rows = coded.codes
        values = np.where(rows >= 0, found.values[rows] if len(found.values) else 0, 0)
        bad = np.where(rows >= 0, found.bad[rows] if len(found.bad) else True, True)
        odd = [repr(t) for t in coded.values.filter(pa.array(found.bad)).to_pylist()[:3]] if len(found.bad) else []
        return replace(found, values=values, bad=bad, odd=odd or ["empty"])


def _unix(values: np.ndarray, bad: np.ndarray, digits: int, said: dict, where: str) -> Times:
    """Numbers with `digits` decimal places already multiplied in."""
    unit = said.get("time_unit")
    if unit is not None and unit not in EXPONENTS:
        raise DataError(f"{where}: the unit of time {unit!r} is unknown; choose s, ms, us or ns")
    exponent = EXPONENTS[unit] if unit else None
    good = values[~bad]
    if exponent is None and len(good):
        middle = float(np.median(np.abs(good))) / 10**digits
        # 1e8 seconds are March 1973, 1e11 the year 5138: the four units leave no doubt between them
        exponent = next((e for e in (0, 3, 6, 9) if 1e8 * 10**e <= middle < 1e11 * 10**e), None)
    if exponent is None:
        if digits:
            return Times(values, bad, None, f"numbers with {digits} decimals, multiplied by {10**digits}")
        return Times(values, bad, None, "numbers of unknown unit")
    total = exponent + digits
    if total > 9:
        values = np.round(values / 10 ** (total - 9)).astype(np.int64)
        total = 9
    return Times(values, bad, total, f"Unix {UNITS[exponent]}")


def _read_texts(texts: pa.Array, said: dict, where: str) -> Times:
    """Distinct texts: numbers with a decimal point, or dates."""
    fractional = pc.match_substring_regex(texts, _FRACTION).to_numpy(zero_copy_only=False).astype(bool)
    if not len(texts) or (fractional.mean() >= 0.5 and not said.get("time_format")):
        return _decimals(texts.to_pylist(), fractional, said, where)
    values = pd.Series(texts.to_pylist(), dtype=object)
    if said.get("time_format"):
        try:
            dates = pd.to_datetime(values, format=said["time_format"], utc=True, errors="coerce")
        except ValueError as error:
            raise DataError(
                f"{where}: the time format {said['time_format']!r} is unknown ({error}); write it like %d/%m/%Y %H:%M"
            ) from error
        times = _dates(dates, f"dates as {said['time_format']}", fractional & False)
        order = [
            name
            for sign, name in (("d", "day"), ("m", "month"), ("y", "year"))
            if f"%{sign}" in said["time_format"].lower()
        ]
        order.sort(key=lambda name: said["time_format"].lower().index(f"%{name[0]}"))
        times.notes.append(f"dates were read as {'/'.join(order)}")
        return times
    plain = values.str.replace(r"\s*(UTC|GMT|Z)$", "Z", regex=True)
    match = plain.iloc[0:1000].map(lambda v: bool(_DATE.match(v)) and not re.match(r"\d{4}-", v))
    if match.mean() > 0.5:
        return _slashed(values, where)
    zoned = plain.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})$", regex=True) & plain.str.contains(":", regex=False)
    plain = plain.str.replace(r"^(\d{4}-\d{2}-\d{2})Z$", r"\1", regex=True)
    dates = pd.to_datetime(plain, format="ISO8601", utc=True, errors="coerce")
    whole = not plain.str.contains(":", regex=False).any()
    written = (
        "dates without a time of day"
        if whole
        else "dates" + (" with their zone" if zoned.mean() > 0.5 else " without a zone, taken as UTC")
    )
    # eight digits such as 20231129 read as dates by ISO 8601; a lone number among dates does not
    return _dates(dates, written, fractional & (plain.str.len() != 8).to_numpy())


def _dates(dates: pd.Series, written: str, not_dates: np.ndarray) -> Times:
    bad = dates.isna().to_numpy() | not_dates
    stamps = dates.dt.as_unit("ns") if getattr(dates.dt, "unit", "ns") == "ns" else dates.dt.as_unit("us")
    exponent = 9 if str(stamps.dtype).startswith("datetime64[ns") else 6
    values = np.where(bad, 0, stamps.astype("int64").to_numpy())
    days = len(values) > 0 and not (values % (86_400 * 10**exponent)).any()
    return Times(values, bad, exponent, written, days=days)


def _decimals(texts: list[str], good: np.ndarray, said: dict, where: str) -> Times:
    """Exact: no number goes through a float unless it is written with an exponent."""
    digits = 0
    cut: list[tuple[int, str]] = []
    for text, fine in zip(texts, good, strict=True):
        if not fine:
            cut.append((0, ""))
            continue
        if "e" in text.lower():
            text = repr(round(float(text))) if float(text).is_integer() else f"{float(text):.9f}"
        whole, _, part = text.partition(".")
        part = part.rstrip("0")[:9]
        digits = max(digits, len(part))
        cut.append((int(whole or "0") if whole not in ("", "-", "+") else 0, part))
    scale = next(d for d in (0, 3, 6, 9) if d >= digits)
    limit = 9e18 / 10**scale
    bad = ~good | np.array([abs(w) > limit for w, _ in cut], dtype=bool)
    values = np.array(
        [
            0 if b else w * 10**scale + (-1 if t.startswith("-") else 1) * int((p or "0").ljust(scale, "0") or "0")
            for (w, p), b, t in zip(cut, bad, texts, strict=True)
        ],
        dtype=np.int64,
    )
    return _unix(values, bad, scale, said, where)


def _slashed(values: pd.Series, where: str) -> Times:
    """Dates with slashes, points or hyphens: the order of day and month as the column proves it."""
    parts = values.str.extract(_DATE.pattern, expand=True)
    first, second = (pd.to_numeric(parts[n], errors="coerce") for n in (0, 2))
    sign = parts[1].mode().iloc[0]
    clock = ""
    if parts[4].notna().any():
        half = parts[7].notna().any()
        clock = (
            (" %I:%M" if half else " %H:%M")
            + (":%S" if parts[5].notna().any() else "")
            + (".%f" if parts[6].notna().any() else "")
            + (" %p" if half else "")
        )
    if (first > 31).any():
        order, said = ["%Y", "%m", "%d"], "year, month, day"
    else:
        year = "%Y" if (parts[3].str.len() == 4).any() else "%y"
        day_first, month_first = bool((first > 12).any()), bool((second > 12).any())
        if sign == "." and not month_first:
            day_first = True
        if day_first == month_first:
            why = "no number is above 12" if not day_first else "both numbers are above 12 in some"
            guess = sign.join(["%d", "%m", year]) + clock
            raise DataError(
                f'{where}: day and month cannot be told apart ({values.iloc[0]!r}; {why}); if the day comes first say --time-format "{guess}", else --time-format "{sign.join(["%m", "%d", year]) + clock}"'
            )
        order = ["%d", "%m", year] if day_first else ["%m", "%d", year]
        said = "day/month/year" if day_first else "month/day/year"
    layout = sign.join(order) + clock
    tidy = values.str.replace(r"[ T,]+", " ", regex=True).str.strip()
    dates = pd.to_datetime(tidy, format=layout, utc=True, errors="coerce")
    times = _dates(dates, f"dates read as {said} ({layout})", np.zeros(len(values), bool))
    times.notes.append(f"dates were read as {said}")
    return times


def count_steps(user: np.ndarray, timestamp: np.ndarray) -> bool:
    """Whether timestamps are places in each user's own history (0, 1, 2, … or 1, 2, 3, …) and not a clock.

    True where nearly every user (95 %) has consecutive numbers starting at 0 or 1.
    """
    if not len(user):
        return False
    by_user = pd.DataFrame({"user": user, "timestamp": timestamp}).groupby("user")["timestamp"]
    span = by_user.agg(["min", "max", "nunique"])
    consecutive = span["min"].isin([0, 1]) & (span["max"] - span["min"] + 1 == span["nunique"])
    return bool(consecutive.mean() >= 0.95)
