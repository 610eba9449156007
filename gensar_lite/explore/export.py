"""The live model as one file: `gensar-lite export` writes it, a browser opens it, nothing else is needed.

The page holds its scripts, its style and the packed model; its content security policy forbids it to ask anything of a network.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gensar_lite
from gensar_lite.data.storage import DataError, hash_files, new_export
from gensar_lite.explore.arrays import Arrays
from gensar_lite.explore.bundle import PAGE, join_modules
from gensar_lite.explore.film import Recorder, pack_film
from gensar_lite.explore.packing import pack
from gensar_lite.explore.slider import Slider
from gensar_lite.explore.sweeps import pack_sweep
from gensar_lite.model import GenSAR
from gensar_lite.pipeline.folder import digest_of

MAX_BYTES = 30_000_000


def page_users(model: GenSAR, users: Sequence[str] | None = None) -> list[str]:
    """The users whose histories go into a page: those that are named; of a simulated store all, of any other nobody."""
    if users is not None:
        return list(users)
    return list(model.data.log.user_ids) if "bazaar" in model.data.info else []


def build_page(
    model: GenSAR,
    users: Sequence[str] | None = None,
    method: str = "umap",
    slider: Slider | None = None,
    sweeps: Sequence[str | Path] = (),
) -> str:
    """The HTML of a page: a model, with the `slider` of two fine-tunes and the curves of `sweeps` where they are given. Raises
    DataError where the model does not fit into one, or a folder is no sweep."""
    about, raw = pack(model, page_users(model, users), method, slider)
    title = f"{model.data.name}: search and recommend with one model"
    return fill_page(title, {**about, "sweeps": [pack_sweep(folder) for folder in sweeps]}, raw)


def fill_page(title: str, about: dict, raw: bytes = b"") -> str:
    """The page's HTML for a table of contents and the arrays that it speaks of."""
    packed = base64.b64encode(gzip.compress(raw, mtime=0)).decode("ascii")
    return _fill({"title": html.escape(title), "about": _told(about), "arrays": packed})


def _told(about: dict) -> str:
    return json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def renew_page(text: str, sweeps: Sequence[str | Path] = ()) -> str:
    """A page with the model that it holds, the scripts and the style of this version, and the curves of `sweeps` where some are given."""
    held = {
        part: re.search(rf"<[^>]*{part}[^>]*>(.*?)</(?:title|script)>", text) for part in ("title", "about", "arrays")
    }
    if None in held.values() or 'content="gensar_lite"' not in text:
        raise DataError("this is no page of a live model; make one with `gensar-lite export`")
    parts = {part: found[1] for part, found in held.items() if found}
    if sweeps:
        parts["about"] = _told({**json.loads(parts["about"]), "sweeps": [pack_sweep(folder) for folder in sweeps]})
    return _fill(parts)


def _fill(parts: dict[str, str]) -> str:
    parts = {**parts, "style": (PAGE / "page.css").read_text(encoding="utf-8"), "script": join_modules("main.js")}
    before, *rest = (PAGE / "page.html").read_text(encoding="utf-8").split("{{")
    for piece in rest:  # one pass: what is put in is never looked at again
        name, after = piece.split("}}", 1)
        before += parts[name] + after
    return before


def prepare_page(
    run: Path, folder: Path, users: Sequence[str] | None, method: str, say: Callable[[str], None], **more: Any
) -> Path:
    """The page of a run in a folder of pages; it is made where it is not there, or the run or this version has changed. `more`:
    see `build_page`."""
    slider, sweeps = more.get("slider"), more.get("sweeps", ())
    made_of = {
        "run": hash_files(run, ("config.json", "store", "signals", "identifiers", "model", "evidence")),
        "page": hash_files(PAGE, (".",)),
        "how": [gensar_lite.__version__, users, method, slider and slider.points, [pack_sweep(s) for s in sweeps]],
    }
    path = folder / f"{run.resolve().name}-{digest_of(made_of)[:12]}.html"
    if not path.is_file():
        say(f"The page of {run} …")
        write_page(GenSAR.load(run), path, users, method, **more)
    return path


def write_page(
    model: GenSAR, path: str | Path, users: Sequence[str] | None = None, method: str = "umap", **more: Any
) -> Path:
    """Write the page of a model; arguments as `build_page`. Raises DataError where it does not fit into one, or a file of another
    kind is in the way."""
    page = build_page(model, users, method, **more)
    size = len(page.encode("utf-8"))
    if size > MAX_BYTES:
        raise DataError(
            f"the page would have {size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}; name fewer --users, or ask it with `gensar-lite search` and `gensar-lite recommend`"
        )
    path = Path(path)
    with new_export(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


class PageView:
    """A page in a notebook: it answers without a kernel, also in the notebook's exported HTML, and weighs what the file does."""

    def __init__(self, page: str, address: str, height: int) -> None:
        self.page, self.height = page.replace("<html", f'<html data-address="{html.escape(address)}"', 1), height

    def _repr_html_(self) -> str:
        frame = f'width="100%" height="{self.height}" style="border:0" title="live model"'
        return f'<iframe {frame} srcdoc="{html.escape(self.page)}"></iframe>'


def show_page(
    model: GenSAR,
    address: str = "store",
    users: Sequence[str] | None = None,
    height: int = 760,
    method: str = "umap",
    **more: Any,
) -> PageView:
    """The page of a model as an output of a notebook. `address` is what follows # in a page's address, such as
    "beam?query=tent" or "codes"; other arguments as `build_page`."""
    return PageView(build_page(model, users, method, **more), address, height)


def show_film(recorder: Recorder, height: int = 720) -> PageView:
    """A film of codebooks that learn (see `film_of`) as an output of a notebook."""
    arrays = Arrays()
    about = {"made_by": f"gensar_lite {gensar_lite.__version__}", "film": pack_film(recorder, arrays)}
    return PageView(
        fill_page("Codebooks learning", {**about, "arrays": arrays.contents}, arrays.bytes()), "film", height
    )


def show_sweeps(folders: Sequence[str | Path], height: int = 640) -> PageView:
    """The curves of sweeps (folders of `gensar-lite tradeoff`) as an output of a notebook, without a model."""
    about = {"made_by": f"gensar_lite {gensar_lite.__version__}", "sweeps": [pack_sweep(folder) for folder in folders]}
    return PageView(fill_page("Search against recommendation", about), "tradeoff", height)
