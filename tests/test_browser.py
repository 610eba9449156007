"""A browser drives the page of explorers and JupyterLab, as a workshop would.

With SCREENSHOTS=FOLDER the pictures of the README are written there, and RUN=… KIT=… name the run they show; without,
the page shows a tiny model made here. Skipped where there is no Chromium.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import make_kit

from gensar_lite.explore.kit import find_kit
from gensar_lite.explore.serve import serving, wait_until_up
from gensar_lite.model import GenSAR

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (the extra dev)")
pytest.importorskip("voila", reason="needs voila (the extra app)")

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
SIZE = {"width": 1440, "height": 900}  # a projector
PATIENCE = 180_000  # milliseconds

# the tests of this file go on from each other, in one process (make test keeps files whole)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)"),
    pytest.mark.slow,
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run and the kit that the page shows."""
    if "RUN" in os.environ:
        return Path(os.environ["RUN"]).resolve(), Path(os.environ["KIT"]).resolve()
    return make_kit(tmp_path_factory.mktemp("runs"))[:2]


@pytest.fixture(scope="module")
def model(runs) -> GenSAR:
    return find_kit(*runs).model


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(runs, browser) -> Iterator:
    """The page, opened once; whatever it asks of other machines, and every error of its scripts, fails the tests."""
    call = f"from gensar_lite.explore.widgets import open_page\nopen_page({str(runs[0])!r}, {str(runs[1])!r})"
    port = free_port()
    with serving(call, port) as server:
        wait_until_up(server, "127.0.0.1", port)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        outside: list[str] = []
        errors: list[str] = []
        own = (f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/", "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(own) else outside.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        visit(page, own[0], "text=Recommended")
        errors.clear()  # of a first load that was given up
        yield page
        assert not outside, f"the page asked other machines: {outside[:3]}"
        assert not errors, f"scripts of the page failed: {errors[:3]}"
        page.close()


def visit(page, url: str, selector: str) -> None:
    """Open a page and wait for what it shows; a kernel that starts slowly is given a second chance."""
    for attempt in range(2):
        try:
            page.goto(url, timeout=PATIENCE, wait_until="commit")  # the page comes in pieces, as its cell runs
            page.wait_for_selector(selector, timeout=PATIENCE)
            return
        except playwright.TimeoutError:
            if attempt:
                raise


def turn_to(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def fill(page, label: str, words: str) -> None:
    """Type into the field with this label, and press Enter."""
    field = page.get_by_label(label, exact=True)
    field.fill(words)
    field.press("Enter")


def snapshot(page, name: str) -> None:
    """Keep a picture, where the pictures of the README are wanted."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.mouse.move(5, 5)
        tall = page.evaluate("() => document.getElementById('rendered_cells').scrollHeight")
        page.set_viewport_size({**SIZE, "height": max(min(tall + 30, 1400), 700)})
        page.wait_for_timeout(900)
        page.screenshot(path=Path(folder) / f"{name}.png")
        page.set_viewport_size(SIZE)


def rows(page, head: str) -> list[str]:
    """The titles of one list of the console, as the page shows them."""
    column = page.locator(".widget-vbox", has=page.locator(f'.gl-head:text-is("{head}")')).last
    texts = column.locator(".gl-row").all_inner_texts()
    return [
        re.sub(r"\s*(new|[▲▼]\d+)?\s*(click|×)?\s*$", "", re.sub(r"^\s*(\d+ |×\s*)", "", text)).strip()
        for text in texts
    ]


def user_of(model: GenSAR) -> str:
    return "u00116" if "u00116" in model.data.user_number else model.data.log.user_ids[0]


def eventually(page, head: str, expected: list[str]) -> None:
    """Wait until a list of the console shows these titles."""
    until = time.monotonic() + PATIENCE / 1000
    while rows(page, head) != expected and time.monotonic() < until:
        page.wait_for_timeout(200)
    assert rows(page, head) == expected


def test_a_query_is_typed_and_answered(page, model):
    user, query = user_of(model), "gift" if len(model.data.items) > 1000 else "coffee"
    fill(page, "query", query)
    eventually(page, "Search results", model.search(query, user=user, k=10)["title"].tolist())
    eventually(page, "Recommended", model.recommend(user=user, k=10)["title"].tolist())
    assert "Both lists answered in" in page.inner_text("[role=status]")


def test_a_click_joins_the_history_and_moves_the_lists(page, model):
    before = rows(page, "Recommended")
    page.get_by_role("button", name="click", exact=True).nth(12).click()  # the third of the recommended ones
    page.wait_for_selector("text=History: changed here")
    user = user_of(model)
    number = model.data.user_number[user]
    log = model.data.log
    clicked = log.item[log.user_ptr[number] : log.user_ptr[number + 1]]
    ids = model.data.items["item_id"].to_numpy()
    third = model.recommend(user=user, k=10)["item_id"][2]
    assert model.data.items["title"][model.data.item_number[third]] == before[2]
    expected = model.recommend(history=[*ids[clicked[clicked >= 0]], third], k=10)["title"].tolist()
    eventually(page, "Recommended", expected)
    page.get_by_label("show identifiers").check()
    page.wait_for_selector(".gl-row .gl-code")
    snapshot(page, "store-console")


def test_the_mix_slider_is_moved(page):
    page.get_by_label("move the mix").check()
    page.wait_for_selector("text=weights 50% of the way")
    handle = page.locator(".widget-hslider:not(.jupyter-widgets-disabled) .noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    page.wait_for_selector("text=weights 55% of the way")
    page.get_by_label("move the mix").uncheck()
    page.wait_for_selector("text=weights 55% of the way", state="detached")
    assert "Both lists answered" in page.inner_text("[role=status]")


def test_bad_input_is_told_in_place(page, model):
    fill(page, "user", "stranger")
    page.wait_for_selector("[role=alert]:has-text(\"The log has no user 'stranger'\")")
    fill(page, "user", user_of(model))
    fill(page, "query", "xqzzv")
    page.wait_for_selector("[role=alert]:has-text('No word of “xqzzv” occurs')")
    assert "Traceback" not in page.inner_text("body")
    fill(page, "query", "coffee")
    page.wait_for_selector("[role=status]:has-text('Both lists answered')")


def test_a_code_is_clicked_and_the_map_lights_up(page, model):
    turn_to(page, "Codebooks")
    page.wait_for_selector("[data-key^='code:']")
    codes = model.table.codes["semantic"][:, 0]
    code = 34 if len(model.data.items) > 1000 and (codes == 34).any() else int(codes[0])
    page.locator(f"[data-key='code:{code}']").click()
    num = int((codes == code).sum())
    page.wait_for_selector(f".gl-head:has-text('m1 {code}: {num} item')")
    page.wait_for_function(f"() => document.querySelectorAll('[data-key^=\"item:\"].gl-lit').length == {num}")
    assert page.locator("[data-key^='item:']").count() == len(codes)
    # the picker leads down, too, and the keyboard opens a box
    page.locator(f"[data-key^='code:{code}.']").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f'.gl-head:text-matches("m1 {code} m2 [0-9]+: [0-9]+ item")')
    words = "sleeping bag" if len(codes) > 1000 else model.data.items["title"][8]
    fill(page, "follow an item", words)
    page.wait_for_selector("text=nearest by the collaborative signal")
    handle = page.locator(".widget-hslider .noUi-handle").first
    handle.focus()
    for _ in range(3):
        handle.press("ArrowLeft")
    page.wait_for_selector('.gl-head:text-matches("^m1 [0-9]+: [0-9]+ item")')
    snapshot(page, "codebook-explorer")


def test_the_decoder_is_walked_and_the_trie_taken_away(page, model):
    turn_to(page, "Beam search")
    page.wait_for_selector("[data-key='beam:4:0']")
    answers = model.search("warm sleeping bag for winter", user=user_of(model), k=5, num_beams=5)
    assert answers["title"][0][:12] in page.locator(".gl-scene").first.inner_text()
    page.locator("[data-key='beam:1:0']").click()
    page.wait_for_selector("text=/Level 2: the codes of m2 after m1/")
    snapshot(page, "beam-stepper")
    page.get_by_role("button", name="one level back").click()
    page.wait_for_selector("[data-key='beam:4:0']", state="detached")
    page.get_by_role("button", name="write one code").click()
    page.wait_for_selector("[data-key='beam:4:0']")
    page.get_by_role("button", name="trie: on").click()
    page.wait_for_selector("text=/Without the trie/")
    snapshot(page, "beam-stepper-without-trie")


def test_the_plane_is_hovered_clicked_and_exported(page):
    turn_to(page, "Trade-off")
    page.wait_for_selector("[data-key^='point:']")
    if len(page.get_by_label("results", exact=True).locator("option").all()) > 1:
        page.get_by_label("results", exact=True).select_option(index=1)
        page.wait_for_selector("text=choose the results")  # of a sweep whose models are not here
        snapshot(page, "tradeoff-explorer")
        page.get_by_label("results", exact=True).select_option(index=0)
        page.wait_for_selector("text=as trained")
    page.locator("[data-key='point:2']").hover()
    page.wait_for_selector(".gl-tip:has-text('recommendation NDCG@10')")
    page.locator("[data-key='point:2']").click()
    page.wait_for_selector("text=The point clicked")
    ring = page.locator("[data-id='slider']")
    at = ring.get_attribute("cx")
    handle = page.locator(".widget-hslider .noUi-handle").first
    handle.focus()
    handle.press("ArrowRight")
    page.wait_for_selector("text=at 0.75")
    page.wait_for_function(f"() => document.querySelector(\"[data-id='slider']\").getAttribute('cx') != '{at}'")
    page.get_by_role("button", name="export").click()
    page.wait_for_selector("a.gl-download")
    with page.expect_download() as waiting:
        page.locator("a[download='tradeoff.svg']").click()
    assert "<svg" in Path(waiting.value.path()).read_text(encoding="utf-8")
    snapshot(page, "tradeoff-slider")


def test_the_tour_leads_through_all_explorers(page):
    page.get_by_role("button", name="guided tour").click()
    page.wait_for_selector("text=1 of 7")
    snapshot(page, "tour")
    for number in range(2, 8):
        page.get_by_role("button", name="next").click()
        page.wait_for_selector(f"text={number} of 7")
    page.get_by_role("button", name="finish").click()
    page.wait_for_selector("text=7 of 7", state="hidden")
    page.wait_for_selector("[data-key^='point:']")
    assert page.locator("[data-key^='point:']").count() > 0, "the tour ends at the trade-off"


def test_a_missing_run_is_told_on_the_page(browser, tmp_path):
    port = free_port()
    call = f"from gensar_lite.explore.widgets import open_page\nopen_page({str(tmp_path / 'nothing')!r})"
    with serving(call, port) as server:
        wait_until_up(server, "127.0.0.1", port)
        page = browser.new_page()
        visit(page, f"http://127.0.0.1:{port}/", "[role=alert]:has-text('is not a run folder')")
        assert "Traceback" not in page.inner_text("body")
        page.close()
