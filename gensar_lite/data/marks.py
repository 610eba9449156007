"""What the kit recognises as its own: a mark inside every folder and every file that it writes.

A folder's mark is the file `gensar_lite.json`: its kind and, once it is whole, the SHA-256, size and time of its files.
Folders of version 0.1.0 have none and are recognised by what they hold. Nothing else is ever replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

MARK = "gensar_lite.json"
FILE_MARKS = (
    b'<meta name="generator" content="gensar_lite">',
    b"Written by gensar_lite",
    b"--paper: #fbfbfc; --card: #ffffff; --ink: #1f2430;",  # the style of a report of version 0.1.0
)
"""A file that people name (a report, a page, a table) has one of these in its first or last bytes."""
LOOKED_AT = 8192
LEFT = re.compile(r"\..+\.[0-9a-f]{8}\.gensar-(part|old|gone)|\..+\.gensar-lock")
"""Names of what a killed writer leaves (see `storage`)."""


class DataError(ValueError):
    """Something is wrong with people's data or a stored artefact; the message says what, where, what to do."""


class RefusedError(DataError):
    """The place to write to holds something that the kit may not touch."""


class Kind(NamedTuple):
    """A kind of folder: how version 0.1.0 is recognised, files that may join later, folders inside it that are ours."""

    holds: tuple[str, ...]
    owns: tuple[str, ...]
    parts: tuple[str, ...] = ()


TABLES = ("dataset.json", "items.parquet", "interactions.parquet", "searches.parquet", "candidates.parquet")
STAGES = {"store", "signals", "identifiers", "training", "evidence", "baselines", "evaluation", "examples"}
LOOSE = ("config.json", "stages.json", "ranks.parquet", "metrics.json", "timings.json", "examples.json", "report.html")
KINDS = {
    "data set": Kind(TABLES[:3], TABLES),
    "signals": Kind(
        ("signals.json", "semantic.npy"), ("signals.json", "semantic.npy", "*collaborative.npy", "encoder*")
    ),
    "identifiers": Kind(
        ("identifiers.parquet", "codebooks.safetensors"),
        ("identifiers.parquet", "codebooks.safetensors", "health.json"),
    ),
    "model": Kind(
        ("config.json", "history.json"),
        ("*config.json", "history.json", "model*.safetensors*", "*token*", "spiece.model", "*.jinja"),
    ),
    "evidence": Kind(("evidence.json",), ("evidence.json", "*.json", "*.safetensors")),
    "run": Kind(
        ("stages.json",), LOOSE, ("store", "signals", "identifiers", "evidence", "model", "baselines", "checkpoint/*")
    ),
    "baselines": Kind(("ranks.parquet", "lists.json"), ("ranks.parquet", "lists.json")),
    "checkpoint": Kind(("state.safetensors", "progress.json"), ("state.safetensors", "progress.json")),
    "TREC export": Kind(("*.qrels", "*.topics.tsv", "*.run"), ("*.qrels", "*.topics.tsv", "*.run")),
    "sweep": Kind(
        ("design.json",),
        (
            "design.json",
            "study.journal",
            ".*.lock",
            "*.parquet",
            "summary*.json",
            "figures*.json",
            "signals.json",
            "*.png",
        ),
        ("signals/*", "identifiers/*", "models/*", "checkpoints/*", "runs/*"),
    ),
    "part of a sweep": Kind(("made_from.json", "cost.json"), ("made_from.json", "cost.json"), ("content",)),
    "sweep's run": Kind(("run.json", "ranks.parquet"), ("run.json", "ranks.parquet")),
    "kit": Kind(("kit.json",), ("kit.json",), ("model", "ends/*", "curve", "maps")),
    "curve": Kind(("results.parquet", "runs"), ("results.parquet",), ("runs/line",)),
    "maps": Kind(("semantic.npy", "collaborative.npy"), ("semantic.npy", "collaborative.npy")),
}
"""Every kind of folder that the kit writes."""
GROWS = ("run", "sweep", "kit")
"""Kinds whose files come and go one by one: their JSON is sealed (see `sealed`), their parts have marks of their own."""
SAYS = {
    "data set": ("dataset.json", {"fingerprint"}),
    "run": ("stages.json", set()),
    "sweep": ("design.json", {"fingerprints", "blocks"}),
    "kit": ("kit.json", {"made_from"}),
}
"""What a JSON file of an unmarked folder says, where its name alone would be too common."""


def read_mark(folder: Path) -> dict | None:
    """The content of a folder's mark, None where there is none. Raises DataError where it is broken."""
    path = folder / MARK
    try:
        mark = json.loads(path.read_text(encoding="utf-8"))
        if mark["kind"] not in KINDS:
            raise DataError(f"{folder} was written by another version ({mark['kind']!r} is unknown here); use that one")
        if mark["state"] not in ("begun", "growing", "whole") or (mark["state"] == "whole") != ("files" in mark):
            raise ValueError("its state is unknown")
        for digest, size, time in mark.get("files", {}).values():
            if not (isinstance(digest, str) and isinstance(size, int) and isinstance(time, int)):
                raise TypeError("an entry of files is no hash with a size and a time")
    except FileNotFoundError:
        return None
    except DataError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} was changed or cut off ({error}); make {folder} again, or take a complete copy"
        ) from error
    return mark


def write_mark(folder: Path, kind: str, state: str) -> None:
    """Mark a folder as one of the kit's. `state`: "begun", "growing" or "whole", with the hashes of all its files but
    those of marked folders in it."""
    mark: dict = {"written_by": "gensar_lite", "kind": kind, "state": state}
    if state == "whole":
        mark["files"] = {name: [hash_file(folder / name), *size_and_time(folder / name)] for name in _unmarked(folder)}
    temporary = folder / f".{MARK}.{os.urandom(4).hex()}.gensar-part"
    temporary.write_text(json.dumps(mark, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(folder / MARK)


def is_begun(folder: Path) -> bool:
    """Whether a folder is one that a writer began and did not end."""
    try:
        return (read_mark(folder) or {}).get("state") == "begun"
    except DataError:
        return False


def hash_file(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def size_and_time(path: Path) -> tuple[int, int]:
    """Bytes, and when a file was changed last (ns)."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def kind_of(folder: Path) -> str | None:
    """The kind of a folder that the kit wrote; None for everything else."""
    try:
        mark = read_mark(folder)
    except DataError:
        mark = None  # a damaged mark: what the folder holds decides
    if mark is not None:
        return mark["kind"]
    for kind, (holds, _, _) in KINDS.items():
        if all(next(folder.glob(name), None) for name in holds) and _says_so(folder, kind):
            return kind
    return None


def _says_so(folder: Path, kind: str) -> bool:
    """Whether the JSON of a folder without a mark is ours."""
    name, keys = SAYS.get(kind, ("", set()))
    if not name:
        return True
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and keys <= content.keys() and (kind != "run" or content.keys() <= STAGES)


def own_files(folder: Path) -> set[str]:
    """Relative paths of the files in a folder of the kit's that the kit wrote."""
    kind = kind_of(folder)
    if kind is None:
        return set()
    _, owns, parts = KINDS[kind]
    try:
        listed = (read_mark(folder) or {}).get("files")
    except DataError:
        listed = None
    names = {MARK}
    if listed is not None:
        names |= set(listed)
    else:
        names |= {path.name for path in folder.iterdir() if any(fnmatchcase(path.name, name) for name in owns)}
    for part in (path for name in parts for path in folder.glob(name) if path.is_dir() and not path.is_symlink()):
        names |= {f"{part.relative_to(folder).as_posix()}/{name}" for name in own_files(part)}
    return names


def walk(folder: Path, deep: bool = True) -> Iterator[Path]:
    """Every file and link below a folder, and every empty folder; what a killed writer left is passed over."""
    for path in sorted(folder.iterdir()):
        if LEFT.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                yield path
            elif deep or not (path / MARK).is_file():
                yield from walk(path, deep)
        else:
            yield path


def _unmarked(folder: Path) -> list[str]:
    files = [path.relative_to(folder).as_posix() for path in walk(folder, deep=False) if path.is_file()]
    return [name for name in files if name != MARK]


def refuse_folder(path: Path, kind: str) -> None:
    """Raise RefusedError unless a folder of this kind may be written at `path`: nothing is there, or an empty folder,
    or one of this kind."""
    advice = "nothing was touched; name a new folder"
    _refuse_odd(path, advice)
    if not path.exists():
        return
    if not path.is_dir():
        raise RefusedError(f"{path} is {_what(path)}, not a folder; {advice}")
    here = Path.cwd()
    if path == Path.home() or here.is_relative_to(path) or here.is_relative_to(path.resolve()):
        what = "your home folder" if path == Path.home() else "the folder you are in, or one above it"
        raise RefusedError(f"{path} is {what}; {advice} inside it")
    held = sorted(entry.name for entry in path.iterdir() if not LEFT.fullmatch(entry.name))
    found = kind_of(path)
    if held and found is None:
        more = f" and {len(held) - 2} more" if len(held) > 2 else ""
        raise RefusedError(f"{path} holds what gensar_lite did not write ({', '.join(held[:2])}{more}); {advice}")
    if held and found != kind:
        raise RefusedError(f"{path} holds a {found}, where a {kind} was to be written; {advice}")


def refuse_file(path: Path, ours: bool) -> None:
    """Raise RefusedError unless a file may be written at `path`: nothing is there, or an empty file, or, where `ours`
    asks for it, one with the kit's mark, else any file."""
    advice = "nothing was touched; give another name"
    _refuse_odd(path, advice)
    if not path.exists():
        return
    if not path.is_file():
        raise RefusedError(f"{path} is {_what(path)}, not a file; {advice}")
    if ours and path.stat().st_size and not has_mark(path):
        raise RefusedError(f"{path} is a file that gensar_lite did not write; {advice}, or move it away")


def _refuse_odd(path: Path, advice: str) -> None:
    if path.is_symlink():
        raise RefusedError(f"{path} is a link to {os.readlink(path)}; {advice}")
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise RefusedError(f"{parent} is {_what(parent)}, so nothing can be written inside it; {advice}")


def _what(path: Path) -> str:
    mode = path.stat().st_mode
    return "a folder" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "a device"


def has_mark(path: Path) -> bool:
    """Whether a file has the kit's mark near its beginning or its end."""
    with open(path, "rb") as handle:
        head = handle.read(LOOKED_AT)
        handle.seek(max(path.stat().st_size - LOOKED_AT, 0))
        text = head + handle.read()
    return any(mark in text for mark in FILE_MARKS)
