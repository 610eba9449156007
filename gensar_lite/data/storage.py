"""Files that are whole or absent: atomic folders and JSON, and errors told in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class DataError(ValueError):
    """Something is wrong with people's data or a stored artefact; the message says what, where, what to do."""


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """Give a temporary folder to write into; it takes the place of `folder` when the block ends without an error."""
    folder = Path(folder).absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if folder.exists():
            old = temporary.with_name(temporary.name + ".old")
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write a file at; it takes the place of `path` when the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | Path, content: object) -> None:
    """Write JSON atomically: into a temporary file, then rename."""
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict:
    """Read a JSON object; a broken file becomes a sentence."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error}); it was cut off or edited, make it again") from error


def hash_files(folder: Path, parts: Iterable[str]) -> dict[str, str]:
    """SHA-256 of every file of the named parts (files or folders) of a folder, by relative path."""
    paths = [
        path
        for part in parts
        for path in ([folder / part] if (folder / part).is_file() else sorted((folder / part).rglob("*")))
    ]
    found = {}
    for path in paths:
        if path.is_file():
            with open(path, "rb") as handle:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def check_files(folder: Path, recorded: dict[str, str]) -> None:
    """Raise `DataError` unless the files of a folder are those whose hashes were recorded."""
    missing = [name for name in recorded if not (folder / name).is_file()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing[:3])}; run it again, or take a complete copy")
    changed = [name for name, value in hash_files(folder, recorded).items() if value != recorded[name]]
    if changed:
        raise DataError(
            f"{folder}: {', '.join(changed[:3])} was changed or cut off since it was written; run it again, or take a complete copy"
        )
