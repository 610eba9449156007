"""How a text file is laid out: what separates its cells, whether quotes enclose them, what its header says."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensar_lite.data.importing.places import first_lines, suffix
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.storage import DataError

_TABBED = (".tsv", ".tab", ".inter", ".item", ".user", ".kg", ".net", ".link")
_DELIMITERS = (",", "\t", ";", "|", "::")
_TYPED = re.compile(r"^(.+):(token|token_seq|float|float_seq)$")


@dataclass(frozen=True)
class Dialect:
    """`quote` is empty where quotes are letters. `columns` are names, or "0", "1", … without a header."""

    delimiter: str
    quote: str
    escape: str
    skip: int
    header: bool
    columns: tuple[str, ...]


def find_dialect(path: Path, said: dict[str, Any], places: bool, report: ImportReport, name: str) -> Dialect:
    """The dialect of a text file from what was said, else from its beginning.

    `places` is True where columns are named by their places, so that there is no header unless that was
    said. Raises `DataError` for a file without a row.
    """
    skip = said.get("skip") or 0
    lines = first_lines(path).split("\n")[skip:]
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise DataError(f"{path} is empty; it needs at least one row")
    delimiter = said.get("delimiter") or _find_delimiter(path, lines)
    quoting = said.get("quoting")
    if quoting is None:
        quoting = delimiter == "," or _is_quoted(lines, delimiter)
    quote = '"' if quoting else ""
    escape = (said.get("escape") or quote) if quoting else ""
    header = said.get("header")
    if header is None:
        header = not places
    first = cells(lines[0], delimiter, quote, escape)
    if not header:
        return Dialect(delimiter, quote, escape, skip, False, tuple(str(n) for n in range(len(first))))
    columns = [c.strip().lstrip("\ufeff") for c in first]
    typed = [_TYPED.match(c) for c in columns]
    if all(typed):  # RecBole's headers hold the type of each column
        columns = [t[1] for t in typed if t]
    for n, column in enumerate(columns):
        if not column:
            columns[n] = f"unnamed {n}"
    twice = [c for c in dict.fromkeys(columns) if columns.count(c) > 1]
    if twice:
        raise DataError(f"{name} has the column {twice[0]!r} twice; keep one of them")
    return Dialect(delimiter, quote, escape, skip, True, tuple(columns))


def cells(line: str, delimiter: str, quote: str, escape: str) -> list[str]:
    """The cells of one line."""
    if len(delimiter) > 1 or not quote:
        return line.split(delimiter)
    how: dict[str, Any] = (
        {"doublequote": True} if escape in ("", quote) else {"escapechar": escape, "doublequote": False}
    )
    return next(csv.reader([line], delimiter=delimiter, quotechar=quote, **how), [])


def _find_delimiter(path: Path, lines: Sequence[str]) -> str:
    """By the ending, else the sign that cuts the first lines most often into equally many cells."""
    if suffix(path) in _TABBED:
        return "\t"
    head = lines[:20]

    def score(delimiter: str) -> tuple[bool, int]:
        counts = [len(cells(line, delimiter, '"' if len(delimiter) == 1 else "", '"')) for line in head]
        return min(counts) == max(counts) and counts[0] > 1, counts[0]

    best = max(_DELIMITERS, key=score)
    return best if score(best)[1] > 1 else ","


def _is_quoted(lines: Sequence[str], delimiter: str) -> bool:
    """Whether quotes enclose cells: most cells that begin with one end with one, and the first line has such cells or none at all."""
    whole = begun = 0
    for line in lines[:200]:
        for cell in line.split(delimiter):
            if cell.startswith('"'):
                begun += 1
                whole += len(cell) > 1 and cell.endswith('"')
    if delimiter == "\t":  # usually written without quoting; a title may begin with a quote
        return begun > 0 and lines[0].startswith('"') and whole == begun
    first = lines[0].split(delimiter)
    return begun > 0 and (whole * 10 >= begun * 9 or all(c[:1] == c[-1:] == '"' for c in first))
