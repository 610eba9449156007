"""The page of a report: a template and a style sheet beside those of the live page, in its colours, without script or outside request."""

from __future__ import annotations

import re

from gensar_lite.explore.bundle import PAGE as FOLDER


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _colours() -> str:
    """The colours of the live page, light and dark as the system asks."""
    light, dark = re.findall(r":root(?:\.dark)? \{(.*?)\}", _read("page.css"), re.DOTALL)[:2]
    return f":root {{{light}}}\n@media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}\n"


STYLE = _colours() + _read("report.css")
HEAD = _read("report_head.html")
"""How every report begins; the mark by which it is known is in it."""
PAGE = HEAD + _read("report.html")
