"""The site is built without a warning, its links lead somewhere, and it asks nothing of the network."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("myst_nb", reason="needs the extra docs")

ROOT = Path(__file__).parents[1]
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src"}


class Page(HTMLParser):
    """The links, the anchors, and what a page loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and (target := given.get("href")):
            self.links.append(target)
        if tag in LOADED and (target := given.get(LOADED[tag])) and given.get("rel") not in ("canonical", "search"):
            self.loaded.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    out = tmp_path_factory.mktemp("site").resolve()
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(out / ".doctrees")]
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {path: Page(path) for path in out.rglob("*.html")}


def test_every_page_of_the_folder_is_there(site):
    made = {path.name for path in site}
    assert {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} <= made
    assert {f"{path.stem}.html" for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")} <= made
    stages = {
        path.stem
        for path in (ROOT / "gensar_lite").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert {f"{stage}.html" for stage in stages if not stage.startswith("_")} <= made


def test_links_lead_somewhere(site):
    broken = []
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append(f"{path.name}: {link}")
            elif parts.fragment and target in site and unquote(parts.fragment) not in site[target].anchors:
                broken.append(f"{path.name}: {link} (no such place)")
    assert not broken, broken[:10]


def test_nothing_is_loaded_from_elsewhere(site):
    outside = {target for page in site.values() for target in page.loaded if urlsplit(target).netloc}
    assert not outside


def test_formulas_are_drawn_without_a_script(site, tmp_path):
    import importlib.util

    spec = importlib.util.spec_from_file_location("site_conf", ROOT / "docs" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    drawn = conf.formula(r"z = \sum_{l=1}^{L} e_l^{(c_l)} + r_L", as_block=True)
    assert drawn.startswith("<math")
    assert "<code" not in drawn
    assert conf.formula(r"\nosuchthing{x", as_block=False).startswith("<code")


def test_the_buttons_name_the_repository(site):
    page = next(page for path, page in site.items() if path.name == "workshop.html")
    launch = [link for link in page.links if "mybinder.org" in link or "colab.research" in link]
    assert len(launch) == 2
    assert all("OWNER/gensar_lite" in link and "00_quickstart.ipynb" in link for link in launch)


def test_pictures_have_a_text(site):
    texts = [
        text
        for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for text in re.findall(r"!\[(.*?)\]\(", path.read_text(encoding="utf-8"))
    ]
    assert texts
    assert all(len(text) > 20 for text in texts)
