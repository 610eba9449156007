"""The views of the page, driven in Chromium as a person drives them. Skipped where there is no Chromium."""

from __future__ import annotations

import base64
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browsing import check, needs_chromium, open_page

from gensar_lite.explore.arrays import Arrays
from gensar_lite.explore.export import fill_page, show_sweeps
from gensar_lite.explore.film import pack_film, record_film
from gensar_lite.explore.levers import CodebookLevers
from gensar_lite.explore.packing import rounded_line
from gensar_lite.identifiers import learn_identifiers
from gensar_lite.model import GenSAR

RESULTS = Path(__file__).parents[1] / "data" / "results"


@pytest.fixture
def model(live_model) -> GenSAR:
    return live_model


@pytest.fixture
def path(live_page) -> Path:
    return live_page


@needs_chromium
def test_the_trie_changes_nothing_but_what_may_follow(browser, path, model):
    """At every code of some answers: without the trie, the codes that lead to an item stand to each other as with it."""
    page = open_page(browser, path)
    worst, cut = page.evaluate(
        """() => {
          let [worst, cut] = [0, 0];
          for (const evidence of [undefined, []]) for (const task of ["search", "recommendation"]) {
            const asked = gensar.ask(task, task === "search" ? "lamp" : null, { user: gensar.store.about.users[5], evidence });
            const view = gensar.viewOf(task);
            for (const { item } of gensar.best(asked, 5)) {
              let [node, decoded] = [0, asked.start];
              view.trie.path(item).forEach((next, level) => {
                const all = gensar.everyCode(asked, view, level, node, decoded);
                const there = all.filter((choice) => choice.node !== null);
                const mass = Math.log(there.reduce((total, { logprob }) => total + Math.exp(logprob), 0));
                const kept = new Map(gensar.choices(asked, view, level, node, decoded).map(({ code, logprob }) => [code, logprob]));
                if (kept.size !== there.length) worst = Infinity;
                for (const { code, logprob } of there) worst = Math.max(worst, Math.abs(logprob - mass - kept.get(code)));
                cut += all.length - there.length;
                [decoded] = gensar.step(asked, view, level, [decoded], [view.trie.codes[level][next]]);
                node = next;
              });
            }
          }
          return [worst, cut];
        }"""
    )
    assert worst < 1e-9
    assert cut > 100
    sizes = page.evaluate("gensar.viewOf('search').levels.map(([first, last]) => last - first)")
    found = page.evaluate(f"gensar.free(gensar.ask('search', 'lamp', {{ evidence: [] }}), {np.prod(sizes)})")
    assert np.exp([name["score"] for name in found]).sum() == pytest.approx(
        1
    )  # beams enough for all names there can be
    assert sorted(name["item"] for name in found if name["item"] is not None) == list(range(model.data.num_items))
    check(page)


@needs_chromium
def test_the_model_at_work(browser, path, model):
    user = model.data.log.user_ids[2]
    page = open_page(browser, path, f"user={user}&query=tent&network=1")
    page.click("nav >> text=At work")
    reads, writes = "section[aria-label='what the encoder reads']", "section[aria-label='what the decoder writes']"
    shown = page.locator(f"{reads} small").all_inner_texts()
    events = min(len(page.evaluate(f"gensar.events('{user}', null)")), model.config.training.max_events)
    assert len(shown) == 1 + events + page.evaluate("gensar.words('tent').length") + 1
    assert abs(sum(float(part.split()[0]) for part in shown if "<" not in part) - 100) < 2 + len(shown)
    page.click(f"{reads} .position.event >> nth=0")
    assert "the scaled sum of" in page.inner_text(reads)
    first = page.locator(f"{writes} .follow li").first.inner_text()
    page.click(f"{writes} [data-key='code 2']")
    page.select_option("[data-key=head]", "1.1")
    assert "code=3" in page.evaluate("location.hash")
    assert page.locator(f"{writes} .follow li").first.inner_text() != first
    assert not page.locator(f"{writes} .bars .cut").count()
    page.uncheck("[data-key=trie]")
    assert page.locator(f"{writes} .bars .cut").count() > 0
    page.click("nav >> text=Beam search")
    page.uncheck("[data-key=trie]")
    page.click("text=to the end")
    nowhere = page.locator(".box.nowhere").count()
    assert ("the trie would have cut them" in page.inner_text(".asking")) == (nowhere > 0)
    page.check("[data-key=trie]")
    assert not page.locator(".box.nowhere").count()
    check(page)


@needs_chromium
def test_the_slider_answers_as_python_does_on_the_mixed_weights(browser, path, model, live_slider):
    line, users = rounded_line(model, live_slider), model.data.log.user_ids[:12]
    page = open_page(browser, path)
    for share in (0.0, 0.35, 1.0):
        twin = line.at(share).hearing(())
        asked = [{"user": user, "k": 5, "evidence": []} for user in users]
        cases = "(cases, other) => cases.flatMap((asked) => [other.recommend(asked), other.search('lamp', asked)])"
        found = page.evaluate(f"(cases) => ({cases})(cases, gensar.at({share}))", asked)
        wanted = [w for a in asked for w in (twin.recommend(**a), twin.search("lamp", **a))]
        for answers, table in zip(found, wanted, strict=True):
            assert np.allclose([answer["score"] for answer in answers], table["score"], rtol=0, atol=1e-4)
    check(page)


@needs_chromium
def test_the_slider_moves_the_lists_and_the_point(browser, path, model):
    page = open_page(browser, path, f"user={model.data.log.user_ids[2]}&query=tent")
    page.click("nav >> text=Trade-off")
    lists, ring = "section[aria-label='the slider']", ".ring"
    before = [page.inner_text(f"{lists} .beside"), page.get_attribute(ring, "cx"), page.get_attribute(ring, "cy")]
    page.focus("[data-key=mix]")
    page.keyboard.press("End")
    page.wait_for_timeout(200)
    after = [page.inner_text(f"{lists} .beside"), page.get_attribute(ring, "cx"), page.get_attribute(ring, "cy")]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert "100 % that of the one for recommendation" in page.inner_text(lists)
    check(page)


@needs_chromium
def test_curves_of_a_sweep_with_their_intervals(browser, path):
    page = open_page(browser, path, view="tradeoff")
    page.select_option("[data-key=source]", index=1)
    assert page.locator(".interval").count() == page.locator(".point").count() > 10
    page.uncheck("[data-key=bars]")
    assert not page.locator(".interval").count()
    shown = page.locator(".point").count()
    page.click(".curves .chip >> nth=0")
    assert page.locator(".point").count() == shown - 5
    page.locator(".point").first.focus()
    page.keyboard.press("Enter")
    assert "intervals" in page.inner_text("p[role=status]")
    with page.expect_download() as told:
        page.click("[data-key=csv]")
    rows = list(csv.DictReader(io.StringIO(Path(told.value.path()).read_text(encoding="utf-8-sig"))))
    assert len(rows) == 12
    for kind, begins in (("svg", b"<svg"), ("png", b"\x89PNG")):
        with page.expect_download() as told:
            page.click(f"[data-key={kind}]")
        assert Path(told.value.path()).read_bytes().startswith(begins)
    check(page)


@needs_chromium
def test_sweeps_are_shown_without_a_model(browser, tmp_path):
    view = show_sweeps([RESULTS / "curves"])
    (tmp_path / "page.html").write_text(view.page, encoding="utf-8")
    page = open_page(browser, tmp_path / "page.html", view="")
    assert page.locator(".point").count() > 10
    check(page)


@needs_chromium
def test_the_film_of_the_codebooks(browser, tmp_path, model):
    """Of a run whose identifiers come from the RQ-VAE: the last frame uses codes as its table does."""
    settings = {"warmup_steps": 6, "max_steps": 8, "hidden": (8,), "latent_dim": 4}
    config = replace(model.config.identifiers, rqvae=settings)
    other = GenSAR.__new__(GenSAR)
    table = learn_identifiers(model.data, model.signals, num_codes=8, rqvae=settings)
    other.__dict__.update(model.__dict__, table=table, config=replace(model.config, identifiers=config))
    recorder = record_film(other)
    assert [frame["quantised"] is None for frame in recorder.frames[:3]] == [True] * 3
    arrays = Arrays()
    film = pack_film(recorder, arrays)
    about = {"made_by": "", "film": film, "arrays": arrays.contents}
    (tmp_path / "page.html").write_text(fill_page("film", about, arrays.bytes()), encoding="utf-8")
    page = open_page(browser, tmp_path / "page.html", view="film")
    beside = "section[aria-label='what the codes do']"
    use = np.bincount(recorder.frames[-1]["codes"][0], minlength=8)
    assert f"{int((use > 0).sum())} of 8 codes of m1 are in use" in page.inner_text(beside)
    page.focus("[data-key=frame]")
    page.keyboard.press("Home")
    assert "The codebooks are not set yet" in page.inner_text(beside)
    page.click("[data-key=play]")
    page.wait_for_selector("text=❚❚ stop")
    page.wait_for_selector("text=▶ play")
    assert f"frame={len(film['frames']) - 1}" in page.evaluate("location.hash")
    page.click("[data-key='book c2']")
    assert "codes of c2 are in use" in page.inner_text(beside)
    with page.expect_download() as told:
        page.click("[data-key=png]")
    assert Path(told.value.path()).read_bytes().startswith(b"\x89PNG")
    check(page)


def test_levers_train_and_refuse(model):
    levers = CodebookLevers(model.signals)
    levers.num_codes.value, levers.warmup_steps.value, levers.max_steps.value = 4, 10, 20
    recorder = levers.learn()
    assert f"{len(recorder.frames)} moments recorded" in levers.message.value
    assert levers.film.about["film"]["books"][0] == {"name": "m1", "size": 4}
    assert len(levers.film.arrays) == sum(-(-part["size"] // 4) * 4 for part in levers.film.about["arrays"].values())
    assert "export default { render:" in levers.film._esm


@needs_chromium
def test_the_film_as_a_widget(browser, tmp_path, model):
    """What anywidget does with it, done by hand: `render` with a model, which gets more frames later."""
    levers = CodebookLevers(model.signals)
    levers.num_codes.value, levers.warmup_steps.value, levers.max_steps.value = 4, 10, 20
    levers.learn()
    state = json.dumps({"about": levers.film.about, "style": levers.film.style})
    packed = base64.b64encode(levers.film.arrays).decode()
    script = levers.film._esm.replace("export default", "const widget =")
    (tmp_path / "page.html").write_text(
        f"""<body><div id="here"></div><footer>.</footer><script type="module">{script}
        const state = {{ ...{state.replace("<", chr(92) + "u003c")}, arrays: new DataView(Uint8Array.from(atob("{packed}"), (c) => c.charCodeAt(0)).buffer) }};
        widget.render({{ model: {{ get: (name) => state[name], on: () => {{}} }}, el: document.getElementById("here") }});</script>""",
        encoding="utf-8",
    )
    page = open_page(browser, tmp_path / "page.html")
    assert "4 of 4 codes of m1 are in use" in page.inner_text("section[aria-label='what the codes do']")
    check(page)


@needs_chromium
def test_a_lasso_catches_what_lies_inside(browser, path, model):
    page = open_page(browser, path, view="codes")
    page.click("[data-key=lasso]")
    box = page.locator(".map canvas").bounding_box()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()
    shown = "section[aria-label='items of the chosen code']"
    assert f"{model.data.num_items} items inside the lasso" in page.inner_text(shown)
    with page.expect_download() as told:
        page.click(f"{shown} [data-key=csv]")
    rows = list(csv.DictReader(io.StringIO(Path(told.value.path()).read_text(encoding="utf-8-sig"))))
    assert [row["item_id"] for row in rows] == model.data.items["item_id"].tolist()
    page.click(".node >> nth=0")
    assert "inside" not in page.inner_text(shown)
    check(page)


VIEWS = ("Store", "Codes", "At work", "Beam search", "Trade-off")


@needs_chromium
@pytest.mark.parametrize(
    ("size", "settings"),
    [((1366, 768), ""), ((1024, 768), "projector=1"), ((911, 512), "dark=1"), ((390, 844), "compare=1&codes=1")],
    ids=["laptop", "projector", "zoom of 150 %", "phone"],
)
def test_each_view_fits_and_names_its_controls(browser, path, size, settings):
    page = open_page(browser, path, settings, size)
    for view in VIEWS:
        page.click(f"nav >> text={view}")
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, canvas, [role=button], [role=img]")]
            .filter((part) => !(part.getAttribute("aria-label") || part.labels?.length || part.textContent.trim()))
            .map((part) => part.outerHTML.slice(0, 80))"""
        )
        assert not nameless, view
    check(page)


@needs_chromium
def test_the_page_is_worked_by_keyboard_and_follows_the_system(browser, path, model):
    page = open_page(browser, path, f"user={model.data.log.user_ids[2]}", color_scheme="dark")
    assert page.evaluate("document.documentElement.classList.contains('dark')")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 30)"
    page.keyboard.press("/")
    page.keyboard.press("Control+A")
    page.keyboard.type("lamp")
    page.keyboard.press("Enter")
    assert "query=lamp" in page.evaluate("location.hash")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.dataset.key ?? document.activeElement.textContent"))
    assert {"compare", "hide", "save", "search why 0", "search click 0", "recommendation why 9"} <= seen
    page.focus("[data-key='search why 0']")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.key") == "search why 0"
    assert "All codes together" in page.inner_text(".why")
    check(page)
