"""Download public data sets: progress, resume after a break, size and hash checks, whole files or none.

A download grows in `NAME.part`; only when it is complete and its checks pass does it become `NAME`. `NAME.part.json`
holds the hash of what has arrived: run again after a break, it goes on where it stopped, provided that the server still
has the same file; a `NAME.part` of somebody else is left alone.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.importing.finish import import_mapping
from gensar_lite.data.importing.mapping import add_words
from gensar_lite.data.importing.recipes import read_recipe, recipe_forms, recipe_names
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.storage import DataError, RefusedError, locked, read_sealed, write_sealed

_BLOCK = 1 << 16  # bytes; a broken connection loses at most one block
_NOTE = 1 << 26  # bytes between two notes of the hash; a kill loses at most these


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server. `size` in bytes, `sha256` and `md5` in hexadecimal where they are known."""

    url: str
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class RemoteData:
    """A public data set: its files, the recipe that reads them, and which table each file holds (none: the recipe finds out)."""

    files: tuple[RemoteFile, ...]
    recipe: str
    tables: tuple[str, ...] = ()


def known_sources() -> dict[str, RemoteData]:
    """Names of public data sets that can be downloaded, as the recipes list them: `amazon-2018/Books`, `kuaisar-small`, …"""
    sources: dict[str, RemoteData] = {}
    for recipe in recipe_names():
        for name, said in read_recipe(recipe).get("download", {}).items():
            hashes = said.get("md5", [None] * len(said["urls"]))
            for part in said.get("names", [""]):
                files = tuple(RemoteFile(u.format(part), md5=md5) for u, md5 in zip(said["urls"], hashes, strict=True))
                sources[f"{name}/{part}" if part else name] = RemoteData(files, recipe, tuple(said.get("tables", ())))
    return sources


def find_source(name: str) -> RemoteData:
    """A public data set; an unknown name gets the closest known ones as a hint."""
    sources = known_sources()
    by_lower = {known.lower(): known for known in sources}
    if name.lower() not in by_lower:
        close = [by_lower[c] for c in difflib.get_close_matches(name.lower(), by_lower, 3, 0.4)]
        families = dict.fromkeys(known.split("/")[0] + "/…" * ("/" in known) for known in sources)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(families)}"
        raise DataError(f"The public data set {name!r} is unknown; {hint}")
    return sources[by_lower[name.lower()]]


def download_source(name: str, folder: str | Path) -> list[Path]:
    """Download all files of a public data set (see `known_sources`) into a folder; files already there are kept."""
    return [download_file(file, Path(folder) / file.name) for file in find_source(name).files]


def import_source(
    name: str, folder: str | Path, *, k_core: int | None = None, **options
) -> tuple[Dataset, ImportReport]:
    """Download where needed and import by the recipe; `options` go to `import_mapping`."""
    source = find_source(name)
    paths = [path.absolute() for path in download_source(name, folder)]
    files = dict(zip(source.tables, paths, strict=False))
    forms = recipe_forms(read_recipe(source.recipe), files)
    said = [add_words(form, files=files, options={"k_core": k_core}) for form in forms]
    options = {"name": name.replace("/", "-").lower(), "origin": f"recipe {source.recipe}", **options}
    return import_mapping(said, folder if files else paths[0], **options)


def download_file(
    file: RemoteFile, path: str | Path, *, attempts: int = 5, wait: float = 2.0, timeout: float = 60.0
) -> Path:
    """Download one file to `path`, in several attempts if the connection breaks, and check it.

    `wait` seconds before the second attempt, twice as long before each further one. Of two processes that want one
    file, one brings it and the other waits a minute for that. Raises `DataError`
    when the server cannot be reached or refuses, when the disk is full, and when size or hash differ
    (the broken download is then removed).
    """
    path = Path(path)
    if not path.is_file():
        with locked(path):
            if not path.is_file():  # else another process has brought it meanwhile
                return _download(file, path, attempts, wait, timeout)
    _check(file, path, path)
    return path


def _download(file: RemoteFile, path: Path, attempts: int, wait: float, timeout: float) -> Path:
    part = path.with_name(path.name + ".part")
    host = urlsplit(file.url).netloc
    problem: Exception | None = None
    for attempt in range(attempts):
        if attempt:
            time.sleep(wait * 2 ** (attempt - 1))
        try:
            expected = _transfer(file, part, timeout)
        except requests.HTTPError as error:
            status = error.response.status_code
            if status < 500 and status not in (408, 429):
                raise DataError(
                    f"{host} answers {status} {error.response.reason} for {file.url}; the file may have moved, look for it on the data set's page and put it at {path}"
                ) from error
            problem = error
            continue
        except requests.RequestException as error:
            problem = error
            continue
        except OSError as error:
            kept = "the part that arrived is kept"
            if error.errno == errno.ENOSPC:
                raise DataError(
                    f"The disk of {path.parent} is full; {kept}, free some room and run this again"
                ) from error
            raise DataError(f"{part} cannot be written ({error}); {kept}") from error
        if expected is not None and part.stat().st_size != expected:
            problem = DataError(f"{part.stat().st_size} of {expected} bytes arrived")
            continue
        _check(file, part, path)
        part.replace(path)
        _state(part).unlink(missing_ok=True)
        return path
    arrived = part.stat().st_size if part.exists() else 0
    reason = (
        "the connection cannot be made; are you offline?"
        if isinstance(problem, requests.ConnectionError) and not arrived
        else f"{type(problem).__name__}, {problem}."
    )
    kept = f"{arrived} bytes are kept in {part}; run this again to go on" if arrived else "run this again later"
    raise DataError(
        f"{file.url} could not be downloaded in {attempts} attempt(s): {reason} {kept[0].upper()}{kept[1:]}, or put the file at {path} yourself"
    )


def _state(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _transfer(file: RemoteFile, part: Path, timeout: float) -> int | None:
    """Append what is missing to `part`; returns the size that the whole file should have, where the server says it."""
    have, digest, mark = _kept(file, part)
    # identity: the bytes of the file itself are counted, never a compressed transfer of them
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if mark:
            headers["If-Range"] = mark  # another version of the file is sent from its beginning
    with requests.get(file.url, headers=headers, stream=True, timeout=timeout) as answer:
        if answer.status_code == 416:
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if total.isdigit() and int(total) == have:
                return have
            part.unlink()
            raise requests.ConnectionError("the partial download does not fit the file on the server and was removed")
        answer.raise_for_status()
        if answer.status_code != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have, digest = 0, hashlib.sha256()
        length = answer.headers.get("Content-Length")
        expected = have + int(length) if length and length.isdigit() else None
        etag = answer.headers.get("ETag", "")
        mark = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")

        def note(size: int) -> None:
            told = {"url": file.url, "mark": mark, "size": size, "sha256": digest.hexdigest()}
            write_sealed(_state(part), told)

        note(have)
        with (
            open(part, "r+b" if have else "wb") as out,
            tqdm(total=expected, initial=have, unit="B", unit_scale=True, desc=file.name, disable=None) as bar,
        ):
            out.truncate(have)
            out.seek(have)
            noted = have
            try:
                for block in answer.iter_content(_BLOCK):
                    out.write(block)
                    digest.update(block)
                    have += len(block)
                    bar.update(len(block))
                    if have - noted >= _NOTE:
                        out.flush()
                        note(noted := have)
            finally:
                out.flush()
                note(have)
    return expected


def _kept(file: RemoteFile, part: Path) -> tuple[int, Any, str | None]:
    """Of an earlier download of the file: how many bytes of `part` are as they arrived, their hash so far, and the
    server's mark of the file. Raises RefusedError where `part` is not what the kit left."""
    state, digest = _state(part), hashlib.sha256()
    if not state.exists() and not part.exists():
        return 0, digest, None
    try:
        told = read_sealed(state, url=str, mark=(str, type(None)), size=int, sha256=str)
        with open(part, "rb") as handle:
            left = told["size"]
            while block := handle.read(min(left, 1 << 20)):
                digest.update(block)
                left -= len(block)
        if digest.hexdigest() != told["sha256"]:
            raise DataError("changed")
    except FileNotFoundError:
        return 0, hashlib.sha256(), None  # its state was noted, nothing more
    except DataError as error:
        raise RefusedError(
            f"{part} is not a download that gensar_lite began, or was changed since; nothing was touched, move it and {state.name} away, then try again"
        ) from error
    if told["url"] != file.url:
        return 0, hashlib.sha256(), None
    return told["size"], digest, told["mark"]


def _check(file: RemoteFile, found: Path, path: Path) -> None:
    """Size and hash of `found`; a download that fails is removed, a file that people put there is left alone."""
    problem = None
    size = found.stat().st_size
    if file.size is not None and size != file.size:
        problem = f"has {size} bytes instead of {file.size}"
    for algorithm, wanted in (("sha256", file.sha256), ("md5", file.md5)):
        if wanted and not problem:
            with open(found, "rb") as handle:
                digest = hashlib.file_digest(handle, algorithm).hexdigest()
            if digest != wanted.lower():
                problem = f"has {algorithm} {digest} instead of {wanted}"
    if problem and found != path:
        found.unlink()
        _state(found).unlink(missing_ok=True)
        raise DataError(f"{file.url} {problem}; what arrived was removed, try again or check the source")
    if problem:
        raise DataError(f"{path} {problem}; it is not the file of {file.url}, move it away and try again")
