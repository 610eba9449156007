"""Stream public files: lines of text, plain or gzipped, with a progress bar over the bytes read."""

from __future__ import annotations

import ast
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from gensar_lite.data.cleaning import ImportReport
from gensar_lite.data.storage import DataError


def stream_lines(path: str | Path) -> Iterator[str]:
    """Lines of a text file (UTF-8; also .gz), one at a time. A missing or cut-off file raises `DataError`."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist; download it first or give its path")
    size = path.stat().st_size
    if not size:
        raise DataError(f"{path} is empty; download it again")
    with open(path, "rb") as raw, tqdm(total=size, unit="B", unit_scale=True, desc=path.name, disable=None) as bar:
        packed = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
        text = io.TextIOWrapper(packed, encoding="utf-8", errors="replace")
        try:
            for number, line in enumerate(text):
                if number % 10_000 == 0:
                    bar.update(raw.tell() - bar.n)
                yield line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} is cut off or broken ({error}); download it again") from error
        bar.update(size - bar.n)


def stream_records(path: str | Path, report: ImportReport) -> Iterator[dict]:
    """Records of a file with one JSON object, or one Python-like dict (Amazon 2014 metadata), per line.

    Lines that are neither are skipped and counted; a file that begins with ten such lines is refused.
    """
    name = Path(path).name
    bad: list[int] = []
    good = 0
    for number, line in enumerate(stream_lines(path)):
        line = line.strip()
        if not line:
            continue
        try:
            # json first: a dict that is valid JSON means the same in both notations, but for true/false/null
            record = ast.literal_eval(line) if line.startswith("{'") else json.loads(line)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            record = None
            if not line.startswith("{'"):
                try:
                    record = ast.literal_eval(line)
                except (ValueError, SyntaxError, MemoryError, RecursionError):
                    record = None
        if isinstance(record, dict):
            good += 1
            yield record
        else:
            bad.append(number)
            if not good and len(bad) >= 10:
                raise DataError(
                    f"{path}: the first lines are no JSON objects (line {bad[0] + 1}: {line[:60]!r}); this is not a file of the expected layout"
                )
    if not good:
        raise DataError(f"{path} holds no record; this is not a file of the expected layout")
    lines = ", ".join(str(n + 1) for n in bad[:3])
    report.say(
        "unreadable_lines",
        len(bad),
        f"{name}: {len(bad)} lines are no JSON objects and were skipped (first in line {lines})",
    )


def core_filter(events: pd.DataFrame, k: int, columns: tuple[str, ...] = ("user_id", "item_id")) -> np.ndarray:
    """Mask (E,) of the events in the k-core: the largest part in which every user and item has at least k events."""
    numbers = [pd.factorize(events[c])[0] for c in columns]
    keep = np.ones(len(events), dtype=bool)
    while True:
        before = int(keep.sum())
        for number in numbers:
            keep &= np.bincount(number[keep], minlength=number.max(initial=0) + 1)[number] >= k
        if int(keep.sum()) == before:
            return keep
