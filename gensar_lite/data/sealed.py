"""What is read is what was written: hashes of folders, seals of JSON files, and JSON of the right shape.

A folder that is written at once has its files' hashes in its mark (see `marks`). They are compared where size or time of
a file are no longer as recorded, so a copy is hashed once more and a file in its place is not; in `verifying` all are.
JSON files of a folder that grows carry a seal, the hash of their own content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from gensar_lite.data.marks import MARK, DataError, hash_file, read_mark, size_and_time, walk

SEAL = "seal"
AGAIN = "make it again, or take a complete copy"
_verify_all: ContextVar[bool] = ContextVar("verify_all", default=False)


@contextmanager
def verifying() -> Iterator[None]:
    """Hash every file that is loaded in the block, also where its size and time are as recorded."""
    token = _verify_all.set(True)
    try:
        yield
    finally:
        _verify_all.reset(token)


def check_whole(folder: Path, kind: str) -> None:
    """Raise DataError unless a folder is of a kind and holds what was written into it."""
    mark = read_mark(folder)
    if mark is None and not folder.is_dir():
        raise DataError(f"{folder} is missing; {AGAIN}")
    if mark is None:
        raise DataError(
            f"{folder} has no mark ({MARK}), so it was not written by this version; make it again, or take a complete copy"
        )
    if mark["kind"] != kind:
        raise DataError(f"{folder} holds a {mark['kind']}, not a {kind}; name another folder")
    if "files" not in mark:
        if mark["state"] == "growing":
            return
        raise DataError(f"{folder} was not written to its end; {AGAIN}")
    _complain(folder, [name for name in mark["files"] if not (folder / name).is_file()], mark["files"], _is_same)


def _is_same(path: Path, recorded: list) -> bool:
    digest, size, time = recorded
    now = size_and_time(path)
    if now == (size, time) and not _verify_all.get():
        return True
    return now[0] == size and hash_file(path) == digest


def _complain(folder: Path, missing: list[str], recorded: dict, is_same) -> None:
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing[:3])}; {AGAIN}")
    if changed := [name for name, entry in recorded.items() if not is_same(folder / name, entry)]:
        raise DataError(f"{folder}: {', '.join(changed[:3])} was changed or cut off since it was written; {AGAIN}")


def hash_files(folder: Path, parts: Iterable[str]) -> dict[str, str]:
    """SHA-256 of every file of the named parts (files or folders) of a folder, by relative path; marks are left out."""
    paths = [folder / part for part in parts]
    paths = [file for path in paths for file in (walk(path) if path.is_dir() else [path])]
    return {p.relative_to(folder).as_posix(): hash_file(p) for p in paths if p.is_file() and p.name != MARK}


def check_files(folder: Path, recorded: dict[str, str]) -> None:
    """Raise DataError unless the files of a folder are those whose hashes were recorded."""
    missing = [name for name in recorded if not (folder / name).is_file()]
    _complain(folder, missing, recorded, lambda path, digest: hash_file(path) == digest)


def seal_of(content: object) -> str:
    """The SHA-256 of anything that JSON can hold."""
    plain = json.loads(json.dumps(content))  # as it comes back from a file: keys are texts
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_json(path: str | Path, **shape: type | tuple[type, ...]) -> dict:
    """Read a JSON object. `shape` names entries that it must have, and their types. Raises DataError for all else."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); it was cut off or edited, make it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__} where an object was written; make it again")
    for name, kind in shape.items():
        if not isinstance(content.get(name), kind):
            raise DataError(f"{path} has no {name!r}, or one of another type than was written; make it again")
    return content


def read_sealed(path: str | Path, **shape: type | tuple[type, ...]) -> dict:
    """Read a JSON object that `storage.write_sealed` wrote. Raises DataError where it was changed since."""
    content = read_json(path, **shape)
    if content.pop(SEAL, None) != seal_of(content):
        raise DataError(f"{path} was changed since it was written; {AGAIN}")
    return content
