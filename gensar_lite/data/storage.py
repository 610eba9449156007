"""The one way to write: whole or not at all, and never over what the kit did not write.

`new_folder` and `new_file` give a temporary place that takes its name at the end; `own_folder` opens a folder that grows
(a run, a sweep); `new_export` writes a file whose name people chose. Whoever is killed leaves at most a hidden
neighbour, which the next writer of the same name removes. `locked` keeps a second writer away.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from gensar_lite.data.marks import (
    GROWS,
    LEFT,
    MARK,
    RefusedError,
    has_mark,
    is_begun,
    own_files,
    refuse_file,
    refuse_folder,
    walk,
    write_mark,
)
from gensar_lite.data.marks import DataError as DataError
from gensar_lite.data.sealed import AGAIN as AGAIN
from gensar_lite.data.sealed import SEAL as SEAL
from gensar_lite.data.sealed import check_files as check_files
from gensar_lite.data.sealed import check_whole as check_whole
from gensar_lite.data.sealed import hash_files as hash_files
from gensar_lite.data.sealed import read_json as read_json
from gensar_lite.data.sealed import read_sealed as read_sealed
from gensar_lite.data.sealed import seal_of

WAIT_SECONDS = 60.0
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux's renameat2


def check_folder(path: str | Path, kind: str) -> Path:
    """The absolute path of a folder to write. Raises RefusedError, before any work, where something else is there."""
    path = Path(os.path.abspath(path))
    refuse_folder(path, kind)
    return path


def check_export(path: str | Path) -> Path:
    """The absolute path of a file to write. Raises RefusedError, before any work, where something else is there."""
    path = Path(os.path.abspath(path))
    refuse_file(path, ours=True)
    return path


@contextmanager
def new_folder(path: str | Path, kind: str) -> Iterator[Path]:
    """Give a temporary folder to write into; it takes the place of `path` when the block ends without an error.

    `kind` is one of `marks.KINDS`. A folder of the same kind is replaced, and what it holds of other people's files
    goes on; an empty one is taken. Raises RefusedError for anything else.
    """
    path = check_folder(path, kind)
    with locked(path):
        _tidy(path)
        path = check_folder(path, kind)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.gensar-part")
        try:
            temporary.mkdir()
            write_mark(temporary, kind, "begun")
            yield temporary
            write_mark(temporary, kind, "growing" if kind in GROWS else "whole")
            if path.exists() and any(path.iterdir()):
                shutil.copymode(path, temporary)
                _carry(path, temporary)
        except BaseException:
            if temporary.exists():
                _remove(temporary)
            raise
        _put(temporary, path)


def own_folder(path: str | Path, kind: str) -> Path:
    """Open a folder that grows while it is worked in, or make it. Raises RefusedError where something else is there."""
    path = check_folder(path, kind)
    path.mkdir(parents=True, exist_ok=True)
    if not (path / MARK).is_file():
        write_mark(path, kind, "growing")
    return path


def tidy_folder(path: Path) -> None:
    """Finish or remove what killed writers left inside a folder; nobody else may be writing in it."""
    for left in sorted(left for left in path.iterdir() if LEFT.fullmatch(left.name)):
        if left.name.endswith(".gensar-lock"):
            with suppress(RefusedError), locked(path / left.name[1:].rsplit(".", 1)[0], wait=0):
                pass  # the last one who holds it removes it
        elif left.is_dir():
            _tidy(path / left.name[1:].rsplit(".", 2)[0])
        else:
            left.unlink(missing_ok=True)


@contextmanager
def new_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write at, for a file in a folder of the kit's; it takes the place of `path` at the end."""
    path = Path(os.path.abspath(path))
    refuse_file(path, ours=False)
    _tidy_file(path)
    here = f"{socket.gethostname()}-{os.getpid()}"
    temporary = path.with_name(f".{path.name}.{here}.{secrets.token_hex(4)}.gensar-part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_export(path: str | Path) -> Iterator[Path]:
    """As `new_file`, for a file whose name people chose: only a file with the kit's mark is replaced.

    What is written must hold one of `marks.FILE_MARKS` near its beginning or its end.
    """
    path = check_export(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as temporary:
        yield temporary
        if not has_mark(temporary):
            raise ValueError(f"{path.name} lacks the kit's mark, so it could never be written again")
        refuse_file(path, ours=True)


@contextmanager
def locked(path: str | Path, wait: float = WAIT_SECONDS) -> Iterator[None]:
    """Keep other writers of a folder away until the block ends; the same thread may enter again.

    The lock lies beside the folder and is the operating system's: a killed holder gives it back. Where a file system
    has no locks (some network drives) it is the lock file's existence. Windows may leave the empty file behind.
    Raises RefusedError where another writer has not ended after `wait` seconds.
    """
    path = Path(os.path.abspath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.gensar-lock"), is_singleton=True)
    try:
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise RefusedError(
            f"another process is writing {path}; wait until it has ended, or name another folder"
        ) from error
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):
                Path(lock.lock_file).unlink()  # whoever waits at the old file sees that it is gone and opens a new one
        lock.release()


def _put(new: Path, path: Path) -> None:
    """Let a whole folder take a name; a folder that has it now is removed."""
    try:
        if not path.exists() or not any(path.iterdir()):
            with suppress(FileNotFoundError):
                path.rmdir()
            new.rename(path)
            return
        old = _exchange(new, path)
    except OSError as error:
        _remove(new)
        raise RefusedError(
            f"{path} cannot be replaced ({error.strerror}); it is as it was, name a new folder or one inside it"
        ) from error
    _retire(old, path)


def _exchange(new: Path, path: Path) -> Path:
    """Exchange two folders; gives the place of the old one.

    On Linux in one step. Elsewhere, and on file systems that cannot, by two renames: whoever is killed between them
    leaves the old folder under a hidden name, from which `_tidy` brings it back.
    """
    sys.audit("gensar_lite.exchange", str(new), str(path))
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename and not rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE):
        return new
    old = new.with_suffix(".gensar-old")
    path.rename(old)
    new.rename(path)
    return old


def _retire(old: Path, path: Path) -> None:
    """Remove a folder whose successor is in place, once it holds nothing of other people's that this one lacks."""
    _carry(old, path, again=True)
    _remove(old)


def _tidy(path: Path) -> None:
    """Bring back or remove what killed writers of a folder left beside it. Its lock must be held."""
    lefts = [
        left for left in path.parent.glob(f".{glob.escape(path.name)}.????????.gensar-*") if LEFT.fullmatch(left.name)
    ]
    for left in sorted(lefts, key=lambda left: left.suffix):  # old ones first
        if left.suffix == ".gensar-old" and not path.exists():
            left.rename(path)
        elif left.suffix == ".gensar-gone" or not path.exists() or is_begun(left):
            _remove(left)
        else:
            _retire(left, path)


def _tidy_file(path: Path) -> None:
    """Remove what killed writers of a file left beside it; those of other machines may be alive."""
    name = re.compile(rf"\.{re.escape(path.name)}\.{re.escape(socket.gethostname())}-(\d+)\.[0-9a-f]{{8}}\.gensar-part")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.gensar-part"):
        if (match := name.fullmatch(left.name)) and not psutil.pid_exists(int(match[1])):
            left.unlink(missing_ok=True)


def _carry(source: Path, target: Path, again: bool = False) -> None:
    """Give `target` what `source` holds of other people's. Raises RefusedError where names meet (not if done `again`)."""
    own = own_files(source)
    for path in walk(source):
        name = path.relative_to(source).as_posix()
        goal = target / name
        folder = path.is_dir() and not path.is_symlink()
        if name in own or (os.path.lexists(goal) and (again or (folder and goal.is_dir()))):
            continue
        if os.path.lexists(goal):
            raise RefusedError(f"{path} is a file that gensar_lite did not write, but needs to; move it away first")
        goal.parent.mkdir(parents=True, exist_ok=True)
        if folder:
            goal.mkdir()
            continue
        try:
            os.link(path, goal, follow_symlinks=False)
        except (OSError, NotImplementedError):  # a file system without links
            temporary = goal.with_name(f".{goal.name}.{secrets.token_hex(4)}.gensar-part")
            shutil.copy2(path, temporary, follow_symlinks=False)
            temporary.rename(goal)


def copy_own(source: Path, target: Path) -> None:
    """Copy what the kit wrote in a folder into another one; times of files are kept."""
    for name in sorted(own_files(source)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if name != MARK and (source / name).is_file():
            shutil.copy2(source / name, target / name)


def _remove(folder: Path) -> None:
    """Remove a temporary folder; what is left of it after a kill is known by its name."""
    gone = folder.with_suffix(".gensar-gone")
    folder.rename(gone)
    shutil.rmtree(gone)


def write_json(path: str | Path, content: object) -> None:
    """Write JSON, whole or not at all, in a folder of the kit's."""
    with new_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_sealed(path: str | Path, content: dict) -> None:
    """Write JSON with a seal, for a folder that grows: `read_sealed` refuses it once it was changed."""
    write_json(path, {**content, SEAL: seal_of(content)})


def find_folder(path: str | Path) -> Path:
    """The path of a folder to read; one that a killed writer left under a hidden name is brought back (see `_exchange`)."""
    path = Path(path)
    if not path.exists() and any(path.parent.glob(f".{glob.escape(path.name)}.????????.gensar-old")):
        with locked(path):
            _tidy(Path(os.path.abspath(path)))
    return path
