"""Pages of odd stores, and addresses that somebody damaged: every view is opened in Chromium, and nothing goes wrong in it."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import pytest
from browsing import changed, check, needs_chromium, open_page
from builders import KIT_SIZES, build_small, random_table

from gensar_lite.config import preset
from gensar_lite.data.dataset import Dataset
from gensar_lite.explore.export import write_page
from gensar_lite.model import GenSAR
from gensar_lite.signals import embed

TITLES = (
    "خيمة تخييم لأربعة أشخاص، مقاومة للماء",
    "冬季睡袋 加厚保暖 户外露营",
    "Tent 😀👩‍👩‍👧 for \N{RIGHT-TO-LEFT OVERRIDE}everybody",
    "<script>window.hacked = 1</script>",
    "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 4,
    "=HYPERLINK(1)",
)


def odd_store(num_items: int, clicks: bool, searches: bool) -> Dataset:
    """Twelve users who click six times, search six times, or both."""
    ids = [f"i{number}" for number in range(num_items)]
    items = pd.DataFrame({"item_id": ids, "title": [f"red thing number {number}" for number in range(num_items)]})
    items = items.assign(brand="", categories="", description="")
    rows = [(f"u{user}", ids[(user + time) % num_items], time) for user in range(12) for time in range(6)]
    events = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    asked = events.assign(session_id=[f"s{row}" for row in range(len(events))], query="red thing")
    return build_small(items, events if clicks else events[:0], asked if searches else asked[:0])


def walk(page) -> None:
    """Open every view; nothing is wider than the screen."""
    for view in page.locator("nav button").all_inner_texts():
        page.click(f"nav >> text='{view}'")
        page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


@needs_chromium
@pytest.mark.parametrize(
    ("num_items", "clicks", "searches"),
    [(3, True, True), (30, True, False), (30, False, True)],
    ids=["three items", "no searches", "no clicks"],
)
def test_odd_stores(browser, tmp_path, num_items, clicks, searches):
    data = odd_store(num_items, clicks, searches)
    table = random_table(data.items["item_id"].tolist())
    config = preset("tiny", **{**KIT_SIZES, "steps": 2})
    model = GenSAR.fit(data, embed(data, collaborative="als"), table, config=config, progress=False)
    path = write_page(model, tmp_path / "page.html", users=data.log.user_ids[:3], method="pca")
    page = open_page(browser, path, view="")
    assert ("Type a query" in page.inner_text(".status")) == (not searches)
    assert page.locator("section[aria-label=Recommended] .title").count() == (0 if num_items == 3 else 10)
    page.uncheck("[data-key=hide]")
    assert page.locator("section[aria-label=Recommended] .title").count() == min(num_items, 10)
    walk(page)
    check(page)


@needs_chromium
def test_titles_of_all_kinds_stay_text_and_in_their_boxes(browser, live_model, tmp_path):
    """Written from right to left, without spaces, markup, formulas; nobody's history is in the page."""
    items = live_model.data.items.copy()
    items["title"] = list(islice(cycle(TITLES), len(items)))
    other = GenSAR.__new__(GenSAR)
    other.__dict__.update(live_model.__dict__, data=changed(live_model.data, items=items))
    path = write_page(other, tmp_path / "page.html", users=[], method="pca")
    for size in ((1366, 768), (360, 740)):
        page = open_page(browser, path, "query=x", size)
        page.click("text=click >> nth=0")
        page.click("text=why >> nth=0")
        arabic = page.locator(".title", has_text="خيمة").first
        assert arabic.evaluate("title => getComputedStyle(title).direction") == "rtl"
        walk(page)
        for address in ("work?answer=0", "work?answer=1", "work?answer=2", "beam?step=4", "beam?step=3"):
            page.evaluate("address => { location.hash = address; }", f"{address}&query=mütze")
            page.wait_for_selector("footer")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        assert page.evaluate("window.hacked === undefined")
        check(page)


@needs_chromium
@pytest.mark.parametrize(
    "address",
    [
        "%%%?&&=",
        "nothing?x",
        "store?history=a,b,,%20&moment=x&user=<b>&query=%F0%9F%98%80%E4",
        f"store?query={'x' * 5_000}",
        "codes?path=9999.x.3&view=no&map=no&words=%E4",
        "work?answer=abc&code=x&head=9.9&task=no",
        "work?answer=1.5&code=-3&query=",
        "beam?step=abc&trie=no",
        "tradeoff?mix=x&source=%00",
    ],
)
def test_a_damaged_address_shows_what_can_be_shown(browser, live_page, address):
    page = open_page(browser, Path(live_page), view="store")
    page.goto("about:blank")
    page.goto(f"{Path(live_page).resolve().as_uri()}#{address}")
    page.wait_for_selector("footer")
    assert not page.locator("[role=alert]").count()
    if "history" in address:
        assert "3 of the items in the address's history are not in this store" in page.inner_text(".status")
    check(page)
