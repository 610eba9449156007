"""One table from one file of people's: CSV or Parquet, any of the usual encodings, every cell a string.

Ids stay as typed ("007" is not 7). What could be repaired is said in `notes`; what cannot be read
raises `DataError` with the file, the place and what to do.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gensar_lite.data.storage import DataError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DELIMITERS = (",", "\t", ";", "|")


def read_table(path: str | Path, required: Sequence[str], optional: Sequence[str], notes: list[str]) -> pd.DataFrame:
    """Read the named columns of a CSV (also .tsv, .gz) or Parquet file as strings.

    Optional columns that the file lacks come back empty. The index counts the file's data rows from
    0, so that `index + 2` is the row a spreadsheet shows. Raises `DataError` for a file that is
    missing, empty, broken, in an unknown encoding or without a required column.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist; give the path of a CSV or Parquet file")
    if path.stat().st_size == 0:
        raise DataError(
            f"{path} is empty; it needs a header with the columns {', '.join(required)} and at least one row"
        )
    frame = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path, required, notes)
    columns = match_columns(path, [str(c) for c in frame.columns], required, optional, notes)
    frame = frame.rename(columns=columns)
    if not len(frame):
        raise DataError(f"{path} has a header but no rows; add at least one")
    for column in optional:
        if column not in frame:
            frame[column] = ""
    return frame[[*required, *optional]].apply(_as_text)


def match_columns(
    path: Path, found: list[str], required: Sequence[str], optional: Sequence[str], notes: list[str]
) -> dict[str, str]:
    """Map the columns of a file to the wanted ones, forgiving case, blanks and hyphens; suggest the closest for what is missing."""
    plain: dict[str, str] = {}
    for column in found:
        name = re.sub(r"[\s\-]+", "_", column.strip().lower())
        if name in plain.values() and name in (*required, *optional):
            raise DataError(f"{path} has the column {name!r} twice; keep one of them")
        plain[column] = name
    # pandas numbers repeated headers: item_id, item_id.1
    for column in (*required, *optional):
        if column in found and f"{column}.1" in found:
            raise DataError(f"{path} has the column {column!r} twice; keep one of them")
    wanted = {column: name for column, name in plain.items() if name in (*required, *optional)}
    spare = [column for column in found if column not in wanted]
    missing = [name for name in required if name not in wanted.values()]
    if missing:
        closest = {name: difflib.get_close_matches(name, spare, 1, 0.5) for name in missing}
        hints = "; ".join(f"did you mean {match[0]!r} for {name!r}?" for name, match in closest.items() if match)
        raise DataError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))} (it has {', '.join(map(repr, found[:20]))})"
            + (f": {hints} Rename it" if hints else f"; it needs {', '.join(required)}")
        )
    for name in optional:
        if name not in wanted.values() and (match := difflib.get_close_matches(name, spare, 1, 0.75)):
            notes.append(
                f"{path.name} has no column {name!r} (left empty); did you mean {match[0]!r} by it? Rename it and import again."
            )
    return wanted


def _as_text(values: pd.Series) -> pd.Series:
    """Strings from whatever a Parquet column holds; missing values become empty strings, lists are joined by ' > '."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.Series(np.where(values.isna(), "", values.astype(str)), index=values.index, dtype=object)
    if pd.api.types.is_float_dtype(values):
        whole = values.notna() & (values == np.floor(values)) & np.isfinite(values) & (values.abs() < 2**53)
        text = values.astype(object).map(repr, na_action="ignore")
        text[whole] = values[whole].astype(np.int64).astype(str)
        return pd.Series(np.where(values.isna(), "", text), index=values.index, dtype=object)

    def one(value: object) -> str:
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, (list, tuple, np.ndarray)):
            return " > ".join(one(v) for v in value)
        return "" if value is None or value is pd.NA or value is pd.NaT or value != value else str(value)

    return values.astype(object).map(one).astype(object)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}); it is cut off or of another format, write it again"
        ) from error


def _read_csv(path: Path, required: Sequence[str], notes: list[str]) -> pd.DataFrame:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rb") as raw:
            head = raw.read(1 << 16)
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    encoding = next((name for bom, name in _BOMS if head.startswith(bom)), "utf-8")
    if encoding == "utf-8" and b"\x00" in head:
        raise DataError(
            f"{path} is not a text file (it holds zero bytes); save it as CSV in UTF-8, or as Parquet with the ending .parquet"
        )
    handler, wrong = _latin_fallback()
    if not head.decode(encoding, "ignore").strip():
        raise DataError(
            f"{path} is empty; it needs a header with the columns {', '.join(required)} and at least one row"
        )
    header = head.decode(encoding, "replace").lstrip("\r\n").splitlines()[0]
    delimiter = max(_DELIMITERS, key=lambda d: len(next(csv.reader([header], delimiter=d), [])))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=delimiter,
                dtype=str,
                keep_default_na=False,
                encoding=encoding,
                encoding_errors=handler,
                index_col=False,
                compression="infer",
            )
    except pd.errors.EmptyDataError as error:
        raise DataError(
            f"{path} is empty; it needs a header with the columns {', '.join(required)} and at least one row"
        ) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().splitlines()[0].removeprefix("Error tokenizing data. C error: ")
        raise DataError(
            f"{path} is not a clean CSV ({reason}); look there for a missing or stray quote or separator"
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{path} is neither UTF-8 nor Windows-1252 ({error}); save it as UTF-8 and try again"
        ) from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}); it is cut off, copy it again") from error
    if wrong:
        shown = frame.map(lambda cell: isinstance(cell, str) and any(c in cell for c in set(wrong))).any(axis=1)
        rows = ", ".join(str(r + 2) for r in np.flatnonzero(shown)[:3])
        notes.append(
            f"{path.name} is not valid UTF-8: {len(wrong)} characters were read as Windows-1252 (first in row {rows}); check them, or save the file as UTF-8."
        )
    return frame


def _latin_fallback() -> tuple[str, list[str]]:
    """A codec error handler that reads bytes which are no UTF-8 as Windows-1252, and the list of what it read."""
    wrong: list[str] = []

    def handle(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError) or error.encoding.lower().replace("_", "-") not in (
            "utf-8",
            "utf8",
        ):
            raise error
        text = error.object[error.start : error.end].decode("cp1252")  # five bytes have no character there: refused
        wrong.extend(text)
        return text, error.end

    name = "gensar-windows-1252"
    codecs.register_error(name, handle)
    return name, wrong


def parse_timestamps(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Integers, floats or ISO 8601 dates to int64 (R,), and a mask (R,) of the rows that are none of these.

    Dates become Unix seconds (milliseconds where some have parts of a second); dates without a zone
    count as UTC. Numbers keep their unit; where some have fractions all are multiplied by 1,000 (or
    1,000,000). Where numbers and dates are mixed, the rarer kind is marked as bad.
    """
    if pd.api.types.is_integer_dtype(values.dtype):
        return values.to_numpy(np.int64), np.zeros(len(values), dtype=bool)
    text = values.astype(str).str.strip()
    number = pd.to_numeric(text, errors="coerce")
    is_number = np.isfinite(number.to_numpy(np.float64)) & (np.abs(number.to_numpy(np.float64)) < 9e18)
    result = np.zeros(len(text), np.int64)
    if len(text) and is_number.mean() < 0.5:
        date = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
        good = date.notna().to_numpy() & ~is_number
        if good.sum() > is_number.sum():
            ms = date[good].astype("datetime64[ms, UTC]").astype(np.int64).to_numpy()
            result[good] = ms // 1000 if (ms % 1000 == 0).all() else ms
            return result, ~good
    if pd.api.types.is_integer_dtype(number):
        return number.to_numpy(np.int64), ~is_number
    found = number.to_numpy(np.float64)[is_number]
    scale = 1
    for scale in (1, 1_000, 1_000_000):
        scaled = found * scale
        if np.abs(scaled).max(initial=0) > 9e18:
            scale //= 1_000
            break
        if np.allclose(scaled, np.round(scaled), rtol=0, atol=1e-3):
            break
    result[is_number] = np.round(found * scale).astype(np.int64)
    return result, ~is_number


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
