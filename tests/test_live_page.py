"""The model in the browser gives Python's answers, and the page does what a person asks of it.

Cases are written by Python and asked in Chromium. Skipped where there is no Chromium.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browsing import changed, check, needs_chromium, open_page
from builders import quick_tiny_model, tiny_store

from gensar_lite.data.lexical import LexicalIndex
from gensar_lite.data.storage import DataError
from gensar_lite.evidence.evidence import Evidence
from gensar_lite.explore.bundle import PAGE, join_modules
from gensar_lite.explore.export import build_page, page_users, renew_page, show_page, write_page
from gensar_lite.explore.packing import rounded
from gensar_lite.explore.recorded import ODD, main, record
from gensar_lite.model import GenSAR

CLOSE = 1e-4
NUM_CASES = 300
COMMITTED = Path(__file__).parents[1] / "docs" / "_static" / "bazaar.html"


@pytest.fixture
def model(live_model) -> GenSAR:
    return live_model


@pytest.fixture
def path(live_page) -> Path:
    return live_page


def compare(cases: list[dict], answers: list[list[dict]]) -> None:
    """Same scores, and the same order but for neighbours that are closer than scores can tell."""
    for case, found in zip(cases, answers, strict=True):
        wanted = case["answers"]
        assert np.allclose([a["score"] for a in found], [a["score"] for a in wanted], rtol=0, atol=CLOSE), case["asked"]
        theirs = {a["item_id"]: a for a in wanted}
        for place, answer in enumerate(found):
            if answer["item_id"] == wanted[place]["item_id"]:
                assert answer == {**wanted[place], "score": answer["score"]}
            else:
                near = theirs.get(
                    answer["item_id"], wanted[-1]
                )  # the last place may be shared with one that is not shown
                assert abs(near["score"] - answer["score"]) < CLOSE, case["asked"]


ASK = "cases => cases.map(({query, asked}) => query === null ? gensar.recommend(asked) : gensar.search(query, asked))"


@needs_chromium
def test_the_page_gives_the_answers_of_python(browser, path, model):
    cases = record(model, NUM_CASES)
    assert sum("user" in c["asked"] or "history" in c["asked"] for c in cases) > NUM_CASES / 2
    assert sum(c["query"] in ODD for c in cases) > 20
    page = open_page(browser, path)
    compare(cases, page.evaluate(ASK, cases))
    check(page)


@needs_chromium
def test_the_parts_of_why_sum_to_the_score(browser, path):
    page = open_page(browser, path)
    worst = page.evaluate(
        """() => Math.max(...["search", "recommendation"].flatMap((task) => {
          const asked = gensar.ask(task, task === "search" ? "tent" : null, { user: gensar.store.about.users[3] });
          return gensar.best(asked, 10).map(({ item, score }) => {
            const steps = gensar.explain(asked, item);
            const parts = steps.map((s) => s.parts.reduce((a, b) => a + b, 0) - s.entropy);
            const sums = [steps.map((s) => s.logprob), parts].map((values) => values.reduce((a, b) => a + b, 0));
            return Math.max(...sums.map((sum) => Math.abs(sum - score)));
          });
        }))"""
    )
    assert worst < CLOSE
    check(page)


@needs_chromium
def test_a_person_clicks_a_history_together(browser, path, model):
    page = open_page(browser, path, "user=&query=tent")
    assert "Empty" in page.inner_text(".past")
    before = page.locator("section[aria-label=Recommended] .title").all_inner_texts()
    page.click("section[aria-label=Recommended] >> text=click >> nth=2")
    page.wait_for_selector(".past .events li")
    after = page.locator("section[aria-label=Recommended] .title").all_inner_texts()
    assert before != after
    item = re.search(r"history=(\w+)", page.evaluate("location.hash"))[1]
    shown = rounded(model).recommend(history=[item], exclude_seen=True)["title"].tolist()
    assert all(text.startswith(title) for text, title in zip(after, shown, strict=True))
    title = model.data.items["title"][model.data.item_number[item]]
    assert title not in page.inner_text("section[aria-label=Recommended]")
    page.uncheck("text=hide what was clicked")
    after = page.locator("section[aria-label=Recommended] .title").all_inner_texts()
    shown = rounded(model).recommend(history=[item])["title"].tolist()
    assert all(text.startswith(title) for text, title in zip(after, shown, strict=True))
    page.click("text=× >> nth=0")
    assert "Empty" in page.inner_text(".past")
    check(page)


@needs_chromium
def test_the_address_holds_what_is_seen(browser, path, model):
    user = model.data.log.user_ids[4]
    page = open_page(browser, path, f"user={user}&query=lamp&compare=1&codes=1")
    assert page.input_value("#query") == "lamp"
    assert page.input_value("#user") == user
    assert "BM25" in page.inner_text("section[aria-label=Search]")
    assert "item-kNN" in page.inner_text("section[aria-label=Recommended]")
    assert page.locator(".code").count() == 80
    page.click("text=why >> nth=0")
    assert "All codes together" in page.inner_text(".why")
    check(page)


@needs_chromium
def test_what_was_held_out_is_marked_beside_the_oracle(browser, path, model):
    cases = model.data.cases("search", "test")
    user = model.data.log.user_ids[cases.user[0]]
    page = open_page(browser, path, f"user={user}&moment=search&compare=1")
    assert page.input_value("#query") == cases.query[0]
    seen = page.inner_text("section[aria-label=Search]")
    assert "oracle" in seen
    assert model.data.items["title"][cases.item[0]] in seen
    check(page)


@needs_chromium
def test_titles_and_queries_stay_text(browser, tmp_path, model):
    evil = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    items = model.data.items.copy()
    items["title"] = [f"{evil} {title}" for title in items["title"]]
    other = GenSAR.__new__(GenSAR)
    other.__dict__.update(model.__dict__, data=changed(model.data, items=items))
    page = open_page(browser, write_page(other, tmp_path / "page.html", method="pca"))
    page.fill("#query", evil)
    page.keyboard.press("Enter")
    page.click("text=why >> nth=0")
    assert page.evaluate("window.hacked === undefined")
    assert evil in page.inner_text("main")
    check(page)


@needs_chromium
@pytest.mark.parametrize("size", [(1366, 768), (1024, 768), (390, 844)])
def test_nothing_is_cut_off(browser, path, size):
    page = open_page(browser, path, "projector=1&codes=1", size)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    check(page)


@needs_chromium
def test_a_damaged_page_says_so(browser, path, tmp_path):
    text = path.read_text(encoding="utf-8")
    first = text.index('id="arrays">') + 2_000
    broken = tmp_path / "broken.html"
    broken.write_text(text[:first] + text[first + 4_000 :], encoding="utf-8")
    page = browser.new_page()
    page.goto(broken.as_uri())
    page.wait_for_selector("[role=alert]")
    assert "cannot be shown" in page.inner_text("[role=alert]")
    page.close()


def test_users_leave_the_house_only_where_they_are_named(model):
    assert page_users(model) == list(model.data.log.user_ids)  # a simulated store
    own = changed(model.data, info={k: v for k, v in model.data.info.items() if k != "bazaar"})
    other = GenSAR.__new__(GenSAR)
    other.__dict__.update(model.__dict__, data=own)
    text = build_page(other, method="pca")
    assert not [user for user in model.data.log.user_ids if user in text]
    typed = [query for query in model.data.log.queries if len(query) > 12 and query not in " ".join(own.item_texts)]
    assert typed
    assert not [query for query in typed if f'"{query}"' in text]
    with pytest.raises(DataError, match="no user 'nobody'"):
        build_page(other, ["nobody"], "pca")


def test_what_no_page_can_hold_is_refused_in_a_sentence(model):
    config = replace(model.config, training=replace(model.config.training, softmax="full"))
    other = GenSAR.__new__(GenSAR)
    other.__dict__.update(model.__dict__, config=config)
    with pytest.raises(DataError, match="presets tiny and small"):
        build_page(other, method="pca")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_joined_script_is_sound(tmp_path):
    script = tmp_path / "page.mjs"
    script.write_text(join_modules("main.js"), encoding="utf-8")
    done = subprocess.run(["node", "--check", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for source in PAGE.rglob("*.js"):
        left = re.findall(r"^(?:import|export) .*$", join_modules(str(source.relative_to(PAGE))), re.MULTILINE)
        assert not left, f"{source.name}: forms of import and export that are not joined: {left}"


@needs_chromium
@pytest.mark.skipif(not COMMITTED.is_file(), reason="the page of the embedded store is not in this copy")
def test_the_committed_page_gives_the_answers_that_were_recorded(browser):
    cases = json.loads(COMMITTED.with_suffix(".answers.json").read_text(encoding="utf-8"))["cases"]
    assert len(cases) >= NUM_CASES
    assert COMMITTED.stat().st_size < 12_000_000
    page = open_page(browser, COMMITTED)
    compare(cases, page.evaluate(ASK, cases))
    check(page)


@pytest.mark.skipif(not COMMITTED.is_file(), reason="the page of the embedded store is not in this copy")
def test_the_committed_page_has_the_scripts_and_the_style_of_today(tmp_path):
    text = COMMITTED.read_text(encoding="utf-8")
    same = renew_page(text) == text  # a difference of ten million letters is nothing to be shown
    assert same, "renew it: python -m gensar_lite.explore.recorded docs/_static/bazaar.html"
    (tmp_path / "page.html").write_text("<p>mine</p>", encoding="utf-8")
    with pytest.raises(DataError, match="no page of a live model"):
        main([str(tmp_path / "page.html")])


@needs_chromium
def test_codes_light_up_and_items_are_followed(browser, path, model):
    page = open_page(browser, path)
    page.click("nav >> text=Codes")
    first = page.locator(".node").first
    count = int(first.locator(".number").inner_text())
    first.click()
    assert page.inner_text("section[aria-label='items of the chosen code'] .note").startswith(f"{count} item")
    page.click("text=follow >> nth=0")
    assert "1 item begins like this" in page.inner_text("section[aria-label='items of the chosen code']")
    assert re.search(r"path=\d+\.\d+\.\d+\.\d+|path=\d+%2E", page.evaluate("location.hash"))
    check(page)


@needs_chromium
def test_beam_search_ends_at_the_answers(browser, path, model):
    user = model.data.log.user_ids[2]
    page = open_page(browser, path, f"user={user}&query=tent")
    page.click("nav >> text=Beam search")
    page.click("text=to the end")
    shown = page.locator(".box[data-key='box 4 0']").get_attribute("aria-label")
    assert rounded(model).search("tent", user=user, num_beams=8)["title"][0] in shown
    page.locator(".box[data-key='box 2 0']").focus()
    page.keyboard.press("Enter")
    assert "codes lead to an item here" in page.inner_text("section[aria-label='what may follow']")
    check(page)


@needs_chromium
@pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="pictures are made where SCREENSHOTS names a folder")
def test_pictures(browser):
    """The pictures of the README, of the committed page."""
    views = {"store": "codes=1", "codes": "", "work": "code=2&network=1", "beam": "step=4", "tradeoff": "mix=0.8"}
    for view, settings in views.items():
        page = open_page(browser, COMMITTED, settings, view=view)
        if view == "store":
            page.click("text=why >> nth=0")
        if view == "codes":
            page.locator(".node").nth(3).click()
        page.wait_for_timeout(500)
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"page-{view}.png")
        check(page)


@needs_chromium
def test_the_tour_sets_what_it_speaks_of(browser, path):
    page = open_page(browser, path)
    page.click("text=Tour")
    for number in range(1, 9):
        assert page.inner_text(".tour").startswith(f"{number} of 8")
        seen, address = page.inner_text("main"), page.evaluate("location.hash")
        told = {
            3: "Empty",
            4: "before the last search",
            5: "codebook m1",
            6: "What it reads",
            7: "Nothing is written yet",
        }
        assert {**told, 8: "Two fine-tunes"}.get(number, "") in seen
        assert address.startswith("#" + ("store", "codes", "work", "beam", "tradeoff")[max(number - 4, 0)])
        page.click(".tour button:last-child")
    assert page.locator(".tour").is_hidden()
    check(page)


@needs_chromium
@pytest.mark.parametrize("language", ["english", "german", "none"])
def test_words_are_read_as_python_reads_them(browser, tmp_path, language):
    """Terms of queries in the browser against those of the index: stems, compounds, accents, scripts without spaces."""
    titles = [
        "Kinderschlafsack grün",
        "Schlafsäcke für Zelte",
        "Wanderschuhe aus Leder",
        "Zeltlampe",
        "Tents & Boxes, 1/2 inch",
        "冬季睡袋",
    ]
    store = tiny_store()
    items = store.items.assign(title=[titles[row % len(titles)] for row in range(len(store.items))])
    data = changed(store, items=items, info={**store.info, "language": language})
    asked = [*titles, "schlafsack", "Zelte", "kinder schlafsäcke", "GRÜN für Zelte", "boxes tents 1/2", "睡袋", *ODD]
    model = quick_tiny_model()
    other = GenSAR.__new__(GenSAR)
    evidence = Evidence.make(data, model.signals.semantic, ["words", "neighbours"])
    other.__dict__.update(model.__dict__, data=data, evidence=evidence)
    page = open_page(browser, write_page(other, tmp_path / "page.html", method="pca"))
    found = page.evaluate("asked => asked.map((query) => gensar.index.terms(query))", asked)
    index = LexicalIndex(data.item_texts, language)
    for query, terms in zip(asked, found, strict=True):
        assert sorted(terms) == sorted(index.known_terms(query)), query
    check(page)


@needs_chromium
def test_lists_are_saved_and_formulas_neutralised(browser, path, model):
    page = open_page(browser, path, "query=%3DSUM(A1)&compare=1")
    with page.expect_download() as waiting:
        page.click("text=save the lists")
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text(encoding="utf-8-sig"))))
    assert {row["ranker"] for row in rows} >= {"gensar", "item-kNN"}
    assert {row["query"] for row in rows if row["task"] == "search"} == {"'=SUM(A1)"}
    assert {row["item_id"] for row in rows} <= set(model.data.items["item_id"])
    check(page)


@needs_chromium
def test_a_notebook_shows_the_page_without_a_kernel(browser, tmp_path, model):
    shown = show_page(model, "beam?query=tent&step=2", method="pca")
    path = tmp_path / "exported.html"
    path.write_text(f"<!DOCTYPE html><title>notebook</title><body>{shown._repr_html_()}", encoding="utf-8")
    page = browser.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(path.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("text=2 of 4 codes are written").wait_for()
    frame.locator("text=write the next code").click()
    frame.locator("text=3 of 4 codes are written").wait_for()
    assert not troubles
    page.close()
