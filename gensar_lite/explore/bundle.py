"""The page's JavaScript modules joined into one script, so that a page is one file and a widget one string.

A module is wrapped in a function that gives what it exports; `import { a, b } from "./other.js"` becomes a look at what the other
gave. Only these two forms of import and export are used, at the beginning of a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parent / "page"
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)


def join_modules(entry: str, exported: Sequence[str] = ()) -> str:
    """One script with a module of the page's folder and all that it imports, each once, after what it needs; a widget's script gives
    its host what is `exported`."""
    parts: dict[Path, str] = {}
    _add(PAGE / entry, parts)
    given = [f"export default {{ {', '.join(f'{name}: {_name(PAGE / entry)}.{name}' for name in exported)} }};"]
    return "\n".join([*parts.values(), *(given if exported else [])])


def _add(path: Path, parts: dict[Path, str]) -> None:
    path = path.resolve()
    if path in parts:
        return
    source = path.read_text(encoding="utf-8")
    for _, other in _IMPORT.findall(source):
        _add(path.parent / other, parts)
    body = _IMPORT.sub(lambda found: f"const {found[1]} = {_name(path.parent / found[2])};\n", source)
    names = [found[2] for found in _EXPORT.finditer(body)]
    body = _EXPORT.sub(r"\1", body)
    parts[path] = f"const {_name(path)} = (() => {{\n{body}return {{ {', '.join(names)} }};\n}})();"


def _name(path: Path) -> str:
    return "_".join(path.resolve().relative_to(PAGE.resolve()).with_suffix("").parts).replace("-", "_") + "_module"
