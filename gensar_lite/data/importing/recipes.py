"""Recipes: mappings for the formats that everyone has, kept as data (`recipes/*.toml`).

A recipe has `about`, `source` (where the format is described), perhaps `options`, and its tables; or several
`form`s with tables each, of which the first one counts whose files and columns are there.
`[download.NAME]` lists the files of a public data set that the recipe reads.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any

from gensar_lite.data.importing.mapping import TABLES, Mapping
from gensar_lite.data.importing.places import PACKED
from gensar_lite.data.storage import DataError

_SHIPPED = files("gensar_lite.data.importing") / "recipes"


def recipe_names() -> list[str]:
    """The recipes that ship with the kit."""
    return sorted(entry.name.removesuffix(".toml") for entry in _SHIPPED.iterdir() if entry.name.endswith(".toml"))


def read_recipe(name: str) -> dict[str, Any]:
    """The content of a recipe: one that ships with the kit, or a file."""
    if Path(name).suffix.lower() in (".toml", ".json"):
        return _read_file(Path(name))
    if name not in recipe_names():
        close = difflib.get_close_matches(name.lower(), recipe_names(), 3, 0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(recipe_names())}"
        raise DataError(f"The recipe {name!r} is unknown; {hint} A file of your own ends in .toml or .json")
    return tomllib.loads((_SHIPPED / f"{name}.toml").read_text("utf-8"))


def _read_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        said = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give a recipe file in TOML or JSON") from error
    except (ValueError, UnicodeError) as error:
        raise DataError(f"{path} is no recipe file in TOML or JSON ({error})") from error
    if not isinstance(said, dict):
        raise DataError(f"{path} holds no tables of words; see `gensar-lite data import --recipe list`")
    return said


def recipe_forms(said: dict[str, Any], paths: dict[str, Any] | None = None) -> list[Mapping]:
    """The mappings of a recipe: one, or one for each of its forms.

    `paths` are files that people name for its tables: then those forms count that would take a file of such a name.
    """
    said = said.get("import", said)  # as it stands in dataset.json
    said = said.get("mapping", said)
    shared = {key: value for key, value in said.items() if key not in ("form", "download")}
    forms = said.get("form") or [{}]
    if not isinstance(forms, list) or not all(isinstance(form, dict) for form in forms):
        raise DataError("`form` of a recipe is a list of tables of words: [[form]], then [form.items], …")
    merged = []
    for form in forms:
        whole = dict(shared)
        for key, value in form.items():
            both = key in (*TABLES, "options") and isinstance(value, dict)
            whole[key] = {**shared.get(key, {}), **value} if both else value
        merged.append(Mapping.from_dict(whole))
    given = {table: Path(path).name for table, path in (paths or {}).items() if path}
    fitting = [f for f in merged if all(_takes(f.tables.get(t, {}).get("files") or [], n) for t, n in given.items())]
    return fitting or merged


def _takes(patterns: list[str], name: str) -> bool:
    """Whether one of the patterns names such a file, packed or not."""
    while Path(name).suffix in PACKED:
        name = Path(name).stem
    out = [p[1:] for p in patterns if p.startswith("!")]
    return any(fnmatch(name, Path(p).name) for p in patterns) and not any(fnmatch(name, p) for p in out)
