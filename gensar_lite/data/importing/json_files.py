"""JSON as people keep it: arrays, a record a line, one object of records by their ids, Python dicts that look like JSON."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from gensar_lite.data.importing.places import copy_to, first_lines, opened
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.storage import DataError


def is_array(laid: Path) -> bool:
    """Whether all records stand in one array."""
    return first_lines(laid, 4096).lstrip().startswith("[")


def names_in_lines(laid: Path) -> list[str]:
    """All names in the first records of a file with one record a line."""
    text, names = first_lines(laid, 1 << 20), dict[str, None]()
    for line in text.split("\n")[:2000]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            names |= dict.fromkeys(record)
    return list(names)


def as_json_lines(file: Path, laid: Path, scratch: Path, report: ImportReport) -> Path:
    """Lines that are Python dicts (Amazon 2014, Steam) as lines of JSON; others stay as they are."""
    if not re.match(r"\s*\{u?'", first_lines(laid, 4096)):
        return laid
    target = copy_to(scratch, file.name.removesuffix(".gz") + ".jsonl")
    bad = []
    with opened(laid) as raw, open(target, "w", encoding="utf-8") as out:
        for number, line in enumerate(tqdm(raw, desc=file.name, unit=" rows", disable=None, leave=False)):
            text = line.decode("utf-8", "replace").strip()
            if not text:
                continue
            try:
                record = ast.literal_eval(text)  # literals only: nothing is run
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                record = None
            if isinstance(record, dict):
                out.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
            else:
                bad.append(number + 1)
    shown = ", ".join(map(str, bad[:3]))
    report.say(
        "unreadable_lines",
        len(bad),
        f"{file.name}: {len(bad)} lines are no records and were skipped (first line {shown})",
    )
    report.note(f"{file.name} holds Python dicts, not JSON; they were read as literals")
    return target


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def keyed_objects(file: Path, laid: Path) -> pa.Table | None:
    """One JSON object from ids to records or lists as a table with the column `key`; None for other files of JSON."""
    start = first_lines(laid, 1 << 20).lstrip()
    if not start.startswith("{") or re.match(r"\{u?'", start):
        return None
    first, _, others = start.partition("\n")
    try:
        record = json.loads(first)
        if others.strip() or not record or not all(isinstance(v, (dict, list)) for v in record.values()):
            return None  # one record a line
    except ValueError:
        if re.match(r"\{.*\}\s*$", first):
            return None  # a broken line among lines
    try:
        with opened(laid) as raw:
            whole = json.load(raw)
    except ValueError as error:
        raise DataError(f"{file} is not JSON ({error}); it is broken or cut off") from error
    records = [v if isinstance(v, dict) else {"value": v} for v in whole.values()]
    columns: dict[str, list] = {"key": list(whole)}
    for name in dict.fromkeys(n for r in records for n in r):
        columns[name] = [_text(r.get(name)) for r in records]
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
