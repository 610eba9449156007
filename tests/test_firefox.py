"""The committed page in Firefox: Python's answers, and every view without an error. Skipped where there is no Firefox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from firefox import FIREFOX, Firefox
from test_live_page import ASK, COMMITTED, compare

pytestmark = pytest.mark.skipif(FIREFOX is None, reason="needs Firefox (Debian: apt-get install firefox-esr)")
READY = """new Promise((done) => {
  window.troubles = [];
  window.addEventListener("error", (event) => window.troubles.push(event.message));
  const wait = () => (document.querySelector("footer, [role=alert]") ? done(true) : setTimeout(wait, 50));
  wait();
})"""
WALK = """(async () => {
  const seen = [];
  for (const tab of document.querySelectorAll("nav button")) {
    tab.click();
    await new Promise((done) => setTimeout(done, 100));
    seen.push([tab.textContent, document.documentElement.scrollWidth <= innerWidth]);
  }
  return [seen, window.troubles];
})()"""


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    pytest.importorskip("websocket", reason="needs websocket-client (it comes with jupyterlab)")
    started = Firefox(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.mark.skipif(not COMMITTED.is_file(), reason="the page of the embedded store is not in this copy")
def test_firefox_gives_the_answers_that_were_recorded(firefox):
    cases = json.loads(COMMITTED.with_suffix(".answers.json").read_text(encoding="utf-8"))["cases"]
    firefox.open(COMMITTED.resolve().as_uri())
    firefox.run(READY)
    compare(cases, firefox.run(f"({ASK})({json.dumps(cases)})"))


def test_every_view_is_shown_by_firefox(firefox, live_page: Path):
    firefox.open(live_page.resolve().as_uri())
    firefox.run(READY)
    seen, troubles = firefox.run(WALK)
    assert not troubles
    assert [view for view, fits in seen if fits] == ["Store", "Codes", "At work", "Beam search", "Trade-off"]
