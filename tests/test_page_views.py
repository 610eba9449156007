"""The views of the page, driven in Chromium as a person drives them. Skipped where there is no Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsing import check, needs_chromium, open_page

from gensar_lite.model import GenSAR


@pytest.fixture
def model(live_model) -> GenSAR:
    return live_model


@pytest.fixture
def path(live_page) -> Path:
    return live_page


@needs_chromium
def test_the_trie_changes_nothing_but_what_may_follow(browser, path):
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
    names = page.evaluate(
        """() => {
          const asked = gensar.ask("search", "lamp", { evidence: [] });
          return [gensar.free(asked, 40).filter(({ item }) => item === null).length, gensar.free(asked, 2000).filter(({ item }) => item !== null).map(({ item }) => item)];
        }"""
    )
    assert 0 < names[0] <= 40
    assert len(names[1]) == len(set(names[1]))
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
