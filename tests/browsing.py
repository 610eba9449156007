"""Pages in a real browser: how they are opened and what must never happen in them. Fixtures: `conftest.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gensar_lite.data.dataset import Dataset

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")


def open_page(
    browser, path: Path, settings: str = "", size: tuple[int, int] = (1366, 768), view: str = "store", **options
):
    """The page, opened from its file; an error of its scripts or a request to anywhere fails the test at `check`."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **options)
    page.troubles = []
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else page.troubles.append(r.url))
    page.goto(f"{path.resolve().as_uri()}#{view}?{settings}")
    page.wait_for_selector("footer")
    return page


def check(page) -> None:
    """Nothing went wrong in the page, and it asked nobody."""
    assert not page.troubles
    page.close()


def changed(data: Dataset, items=None, info=None) -> Dataset:
    """The store with other items or another description, and the same log."""
    tables = (data.interactions, data.searches, data.candidates)
    return Dataset(
        data.items if items is None else items, *tables, data.info if info is None else info, data.log, data.train_mask
    )
