"""Find people's files in a folder or zip file, and lay them out so that the engine reads them.

The engine reads UTF-8 with plain line ends, as text or compressed with gzip or zstandard. What is
in another encoding, has other line ends, or is packed with bzip2 or zip, is copied into a scratch folder first.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import difflib
import fnmatch
import gzip
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa
from charset_normalizer import from_bytes
from tqdm import tqdm

from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.storage import DataError

PACKED = (".gz", ".zst", ".bz2", ".zip")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK = 1 << 22
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, pa.ArrowInvalid)
_GLOB = re.compile(r"[*?\[]")


class Place:
    """Where the files of one import lie: `root` is a folder or zip file; `scratch` takes copies."""

    def __init__(self, root: str | Path, scratch: Path, report: ImportReport) -> None:
        self.root, self.scratch, self.report = Path(root), scratch, report
        self._laid: dict[Path, Path] = {}
        self.lines: dict[Path, int | None] = {}  # of text files with quotes in them: how many line ends
        if not self.root.exists():
            raise DataError(f"{self.root} does not exist; give the folder (or zip file) as it was downloaded")
        if self.root.is_file():
            if not zipfile.is_zipfile(self.root) and self.root.suffix.lower() != ".zip":
                raise DataError(f"{self.root} is neither a folder nor a zip file; give the folder as it was downloaded")
            self.root = self._unzip(self.root)

    def find(self, patterns: Sequence[str]) -> list[Path]:
        """The files that the patterns name, in the order of the patterns, then of their names.

        A pattern is a path, a folder (all its files), or has wildcards; one with `!` leaves out. What is
        not in the folder itself is looked for below it, and packed (.gz, .zst, .bz2, .zip).
        """
        out = [p[1:] for p in patterns if p.startswith("!")]
        found: list[Path] = []
        for pattern in (p for p in patterns if not p.startswith("!")):
            hits = [f for f in self._matches(pattern) if not any(fnmatch.fnmatch(f.name, o) for o in out)]
            if not hits:
                raise DataError(self._missing(pattern))
            found += [f for f in hits if f not in found]
        return found

    def others(self, taken: set[Path]) -> list[Path]:
        """Files that lie in the folder itself beside those that were taken."""
        if self.root == Path():
            return []
        return sorted(
            f for f in self.root.iterdir() if f.is_file() and f not in taken and not f.name.startswith((".", "_"))
        )

    def _matches(self, pattern: str) -> list[Path]:
        path = self.root / Path(pattern).expanduser()
        if path.is_dir():
            return sorted(
                f
                for f in path.rglob("*")
                if f.is_file() and not any(part.startswith((".", "_")) for part in f.relative_to(path).parts)
            )
        if path.is_file():
            return [path]
        absolute = Path(pattern).expanduser().is_absolute()
        base, name = (Path(path.anchor), str(path.relative_to(path.anchor))) if absolute else (self.root, pattern)
        deep = not absolute and self.root != Path()  # the working folder is not searched through
        for search in (name, f"**/{name}") if deep else (name,):
            for end in ("", *PACKED):
                hits = sorted(f for f in base.glob(search + end) if f.is_file() and "__MACOSX" not in f.parts)
                hits = [f for f in hits if not f.name.startswith(".")]
                if len(hits) > 1 and not _GLOB.search(name):
                    raise DataError(
                        f"{self.root} holds {pattern} more than once ({', '.join(str(h.relative_to(self.root)) for h in hits[:3])}); give the folder that is meant"
                    )
                if hits:
                    return hits
        return []

    def _missing(self, pattern: str) -> str:
        if Path(pattern).is_absolute() or self.root == Path():
            return f"{pattern} does not exist; give the path of a file or folder"
        names = sorted(f.name for f in self.root.rglob("*") if f.is_file() and not f.name.startswith("."))
        close = difflib.get_close_matches(pattern, names, 1, 0.6)
        hint = f"did you mean {close[0]!r}?" if close else f"it holds {', '.join(names[:8]) or 'nothing'}"
        return f"{self.root} has no file {pattern}; {hint}"

    def _unzip(self, archive: Path) -> Path:
        """All members of a zip file, in the scratch folder."""
        target = self.scratch / f"{len(list(self.scratch.iterdir()))}-{archive.stem}"
        try:
            with zipfile.ZipFile(archive) as packed:
                for member in tqdm(packed.infolist(), desc=f"unpacking {archive.name}", disable=None, leave=False):
                    packed.extract(member, target)  # names that lead outside are cut by zipfile itself
        except _BROKEN as error:
            raise DataError(f"{archive} cannot be read as a zip file ({error}); copy or download it again") from error
        except RuntimeError as error:
            raise DataError(f"{archive} is locked with a password ({error}); unpack it yourself") from error
        return target

    def lay_out(self, path: Path, encoding: str | None) -> list[Path]:
        """The file (or the files of a zip) as the engine takes it; says which encoding was found."""
        if path in self._laid:
            return [self._laid[path]]
        if path.suffix.lower() == ".zip":
            inside = sorted(f for f in self._unzip(path).rglob("*") if f.is_file() and "__MACOSX" not in f.parts)
            return [laid for f in inside for laid in self.lay_out(f, encoding)]
        laid = self._plain(path, encoding)
        if _GLOB.search(str(laid)):  # the engine would take the name for a pattern
            alias = self.scratch / f"{len(list(self.scratch.iterdir()))}{''.join(laid.suffixes)}"
            os.symlink(laid.absolute(), alias)
            laid = alias
        self._laid[path] = laid
        return [laid]

    def _plain(self, path: Path, encoding: str | None) -> Path:
        if suffix(path) in (".parquet", ".pq"):
            return path
        if suffix(path) in (".xlsx", ".xls", ".ods"):
            raise DataError(f"{path} is a workbook; save its sheet as CSV in UTF-8 and give that")
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty; it needs at least one row")
        look = _Look(path)
        self.lines[path] = look.lines if look.quotes else None
        if encoding is None:
            encoding = look.encoding()
            if encoding != "utf-8" and look.bom is None:
                self.report.say(
                    "letters_in_other_encodings",
                    look.letters(encoding),
                    f"{path.name} is not UTF-8: {look.letters(encoding)} letters were read as {NAMES.get(encoding, encoding)} (such as {look.examples(encoding)}); check them, or say --set TABLE.encoding=NAME",
                )
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise DataError(
                f"The encoding {encoding!r} is unknown; known are utf-8, utf-16, latin-1, cp1252, gb18030, big5, shift_jis, euc_kr and others"
            ) from error
        plain = encoding.lower().replace("_", "-") in ("utf-8", "utf8") and not look.returns
        if plain and look.zero:
            raise DataError(
                f"{path} is not a text file (it holds zero bytes); save it as CSV in UTF-8, or as Parquet with the ending .parquet"
            )
        if plain and path.suffix.lower() != ".bz2":
            return path
        return self._copy(path, encoding)

    def _copy(self, path: Path, encoding: str) -> Path:
        """A copy in UTF-8 whose lines end in a line feed; a carriage return alone inside a line is a blank."""
        stem = path.name.removesuffix(path.suffix) if path.suffix.lower() in PACKED else path.name
        target = self.scratch / f"{len(list(self.scratch.iterdir()))}-{stem}"
        returns_only = None
        with opened(path) as raw, open(target, "w", encoding="utf-8", newline="") as out:
            text = codecs.getreader("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)(raw)
            held = ""
            try:
                while block := text.read(_BLOCK):
                    block = held + block
                    held = "\r" if block.endswith("\r") else ""
                    block = block[: -len(held)] if held else block
                    if returns_only is None:
                        returns_only = "\r" in block and "\n" not in block
                    block = block.replace("\r\n", "\n").replace("\r", "\n" if returns_only else " ")
                    if "\x00" in block:
                        raise DataError(f"{path} is not a text file (it holds zero bytes); save it as CSV in UTF-8")
                    out.write(block)
            except UnicodeError as error:
                raise DataError(
                    f"{path} is not in the encoding {encoding} ({error}); say another one with --set TABLE.encoding=NAME, or save the file as UTF-8"
                ) from error
        return target


NAMES = {"cp1252": "Windows-1252 (Latin-1)", "latin-1": "Latin-1", "gb18030": "GB18030 (Chinese)"}


class _Look:
    """One pass over the bytes of a text file: is it UTF-8, and has it carriage returns or zero bytes?"""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.valid = True
        self.returns = self.zero = self.quotes = False
        self.lines = 0
        self.odd = b""  # lines with other than ASCII, for telling encodings apart
        decoder = codecs.getincrementaldecoder("utf-8")()
        with opened(path) as raw:
            self.head = raw.read(_BLOCK)
            self.bom = next((name for bom, name in _BOMS if self.head.startswith(bom)), None)
            block = self.head
            while block:
                self.returns |= b"\r" in block
                self.zero |= b"\x00" in block
                self.quotes |= b'"' in block
                self.lines += block.count(b"\n")
                if not block.isascii():
                    if len(self.odd) < 1 << 18:
                        self.odd += b"\n".join(line for line in block.split(b"\n")[:20_000] if not line.isascii())
                    if self.valid and self.bom is None:
                        try:
                            decoder.decode(block)
                        except UnicodeDecodeError:
                            self.valid = False
                elif self.valid and decoder.getstate()[0]:
                    self.valid = False
                block = raw.read(_BLOCK)
        if self.valid and self.bom is None and decoder.getstate()[0]:
            self.valid = False

    def encoding(self) -> str:
        if self.bom is not None:
            return self.bom
        if self.valid:
            return "utf-8"
        runs = [len(r) for r in re.findall(rb"[\x80-\xff]+", self.odd)]
        alone = sum(r == 1 for r in runs)
        if alone * 2 >= len(runs):  # letters with accents stand alone between plain ones
            try:
                self.odd.decode("cp1252")
                return "cp1252"
            except UnicodeDecodeError:
                return "latin-1"
        best = from_bytes(
            self.odd, cp_isolation=["gb18030", "big5", "shift_jis", "euc_kr", "euc_jp", "cp1251", "koi8_r", "cp1252"]
        ).best()
        found = best.encoding if best else "gb18030"
        return "gb18030" if found in ("gb2312", "gbk") else found

    def letters(self, encoding: str) -> int:
        """How many letters are not ASCII."""
        return sum(ord(c) > 127 for c in self.odd.decode(encoding, "replace"))

    def examples(self, encoding: str) -> str:
        words = re.findall(r"[\w£€]*[^\s\x00-\x7f]\w*", self.odd.decode(encoding, "replace"))
        return ", ".join(dict.fromkeys(words[:3])) or "?"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file; a broken or cut-off one raises `DataError`."""
    try:
        end = path.suffix.lower()
        with contextlib.ExitStack() as stack:
            raw: IO[bytes] = stack.enter_context(open(path, "rb"))
            if end == ".gz" or (end not in PACKED and raw.peek(2)[:2] == b"\x1f\x8b"):  # type: ignore[attr-defined]
                yield gzip.GzipFile(fileobj=raw)  # type: ignore[misc]
            elif end == ".bz2":
                yield bz2.BZ2File(raw)  # type: ignore[misc]
            elif end == ".zst":
                yield pa.CompressedInputStream(raw, "zstd")  # type: ignore[misc]
            else:
                yield raw
    except _BROKEN as error:
        raise DataError(
            f"{path} cannot be read ({error}); it is cut off or broken, copy or download it again"
        ) from error


def suffix(path: Path) -> str:
    """The ending of a file, without that of its packing."""
    ends = [s.lower() for s in path.suffixes]
    while ends and ends[-1] in PACKED:
        ends.pop()
    return ends[-1] if ends else ""


def first_lines(path: Path, size: int = 1 << 16) -> str:
    """The beginning of a text file that is laid out, whole lines only where there are several."""
    with opened(path) as raw:
        head = raw.read(size)
    text = bytes(head).decode("utf-8-sig", "ignore")
    return text if len(head) < size or "\n" not in text else text[: text.rindex("\n") + 1]


def estimated_rows(path: Path) -> int:
    """About how many lines a file has, from its size and its beginning."""
    text = first_lines(path)
    lines = max(text.count("\n"), 1)
    packing = 4 if path.suffix.lower() in PACKED else 1
    return int(path.stat().st_size * packing / max(len(text.encode()) / lines, 1))


def copy_to(scratch: Path, name: str) -> Path:
    """A path for a new file in the scratch folder."""
    return scratch / f"{len(list(scratch.iterdir()))}-{name}"
