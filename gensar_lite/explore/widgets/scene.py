"""A drawing whose parts can be hovered and clicked: marks go in, the key of what was clicked comes out.

One small SVG widget serves all explorers. Marks are plain dictionaries, so that what is drawn can be tested without a
browser; the same marks always give the same picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import traitlets

from gensar_lite.data.storage import DataError

try:
    import anywidget
except ModuleNotFoundError as error:
    raise DataError('the explorers need anywidget: pip install "gensar_lite[app]"') from error

Mark = dict[str, Any]
HERE = Path(__file__).parent


class Scene(anywidget.AnyWidget):
    """Marks on a plane of `size` (width, height) units, scaled to the width at hand; y grows downward.

    `marks` are drawn in their order (see `rect`, `dot`, `line`, `curve`, `text`). Marks with a `key` can be clicked, and
    `lit` names the keys that stand out. `alt` says in words what is to be seen.
    """

    _esm = HERE / "scene.js"
    _css = HERE / "scene.css"
    size = traitlets.List(traitlets.Float()).tag(sync=True)
    marks = traitlets.List(traitlets.Dict()).tag(sync=True)
    lit = traitlets.List(traitlets.Unicode()).tag(sync=True)
    picked = traitlets.Dict().tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)

    def __init__(self, width: float, height: float, **options: Any) -> None:
        super().__init__(size=[float(width), float(height)], **options)

    def draw(self, marks: Iterable[Mark], alt: str, lit: Iterable[str] = ()) -> None:
        """Show other marks."""
        self.alt, self.lit = alt, []
        self.marks = list(marks)
        self.lit = list(lit)

    def on_pick(self, call: Callable[[str], None]) -> None:
        """Call a function with the key of every mark that is clicked."""
        self.observe(lambda change: call(change["new"]["key"]), "picked")

    def pick(self, key: str) -> None:
        """Click a mark, as a reader would."""
        self.picked = {"key": key, "n": self.picked.get("n", 0) + 1}


def rect(x: float, y: float, w: float, h: float, fill: str, **more: Any) -> Mark:
    """A rectangle with its upper left corner at (x, y)."""
    return {"t": "rect", "x": _short(x), "y": _short(y), "w": _short(w), "h": _short(h), "fill": fill, **more}


def dot(x: float, y: float, r: float, fill: str, shape: str = "circle", **more: Any) -> Mark:
    """A point as a circle, square, diamond or triangle ("up", "down")."""
    return {"t": "dot", "x": _short(x), "y": _short(y), "r": _short(r), "fill": fill, "shape": shape, **more}


def line(points: Sequence[Sequence[float]], stroke: str, width: float = 1.5, **more: Any) -> Mark:
    """A line through points."""
    return {"t": "line", "points": [[_short(v) for v in p] for p in points], "stroke": stroke, "width": width, **more}


def curve(start: Sequence[float], end: Sequence[float], stroke: str, width: float = 1.5, **more: Any) -> Mark:
    """A soft line from left to right."""
    points = [[_short(v) for v in p] for p in (start, end)]
    return {"t": "curve", "points": points, "stroke": stroke, "width": _short(width), **more}


def text(x: float, y: float, s: str, size: float = 13, **more: Any) -> Mark:
    """Words with their baseline at y; `anchor` "middle" or "end", `weight`, `turn` in degrees."""
    return {"t": "text", "x": _short(x), "y": _short(y), "s": s, "size": size, **more}


def _short(value: float) -> float:
    return round(float(value), 2)
