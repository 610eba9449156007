"""The explorers without a browser: what they show is what the model and the tables say, and bad input is told in place."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gensar_lite.data.storage import DataError
from gensar_lite.explore.answers import Question, Shop, clicks_of, knows_a_word, movement
from gensar_lite.explore.widgets import BeamStepper, CodebookExplorer, StoreConsole
from gensar_lite.explore.widgets.beams import trace_question
from gensar_lite.explore.widgets.codebook_scene import CodeBrowser, neighbours, prefix_of, tree_marks
from gensar_lite.model import GenSAR
from gensar_lite.network.vocabulary import TASK_VIEW


@pytest.fixture(scope="module")
def model(kit) -> GenSAR:
    return kit.model


@pytest.fixture
def user(model) -> str:
    return model.data.log.user_ids[int(np.diff(model.data.log.user_ptr).argmax())]


def warning(explorer) -> str:
    """What an explorer complains about; an empty text where it does not."""
    found = re.search(r'class="gl-warn" role="alert">(.*?)</div>', explorer.message.value, re.DOTALL)
    return found[1] if found else ""


# codebook explorer -----------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["semantic", "collaborative"])
def test_branches_account_for_every_item(model, view):
    browser = CodeBrowser(model.table, model.data.items)
    for prefix in [(), tuple(model.table.codes[view][3][:1].tolist()), tuple(model.table.codes[view][3][:3].tolist())]:
        inside = browser.items_of(view, prefix)
        branches = browser.branches(view, prefix)
        assert sorted(np.concatenate([b.items for b in branches]).tolist()) == inside.tolist()
        for b in branches:
            assert (model.table.codes[view][b.items][:, : len(b.prefix)] == b.prefix).all()
            assert b.share == pytest.approx((browser.categories[b.items] == b.category).mean())
    assert browser.branches(view, tuple(model.table.codes[view][3].tolist())) == []


def test_the_way_of_an_item_ends_at_itself(model):
    browser = CodeBrowser(model.table, model.data.items)
    way = browser.follow("collaborative", 5)
    assert way["code"].tolist() == model.table.codes["collaborative"][5].tolist()
    assert way["items left"].is_monotonic_decreasing
    assert way["items left"].iloc[-1] == 1


def test_boxes_are_as_high_as_their_items_are_many(model):
    browser = CodeBrowser(model.table, model.data.items)
    marks = [m for m in tree_marks(browser, "semantic", ()) if "key" in m]
    heights = np.array([m["h"] for m in marks])
    counts = np.array([len(browser.items_of("semantic", prefix_of(m["key"]))) for m in marks])
    np.testing.assert_allclose(heights / heights.sum(), counts / counts.sum(), atol=1e-3)


def test_neighbours_by_brute_force():
    vectors = np.random.default_rng(0).normal(size=(30, 5))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = [j for j in np.argsort(-(unit @ unit[4])) if j != 4][:6]
    assert neighbours(vectors, 4, 6).tolist() == expected


def test_a_click_on_a_code_lights_up_its_items(model):
    explorer = CodebookExplorer(model)
    assert explorer.map.lit == []
    code = int(model.table.codes["semantic"][7, 0])
    explorer.tree.pick(f"code:{code}")
    members = np.flatnonzero(model.table.codes["semantic"][:, 0] == code)
    assert sorted(explorer.map.lit) == sorted(f"item:{n}" for n in members)
    assert f"m1 {code}: {len(members)} item" in explorer.items_table.value
    explorer.code.value = explorer.code.options[1][1]  # the picker does the same, one level down
    assert len(explorer.prefix) == 2
    explorer.back.click()
    assert explorer.prefix == ()
    assert explorer.map.lit == []


def test_an_item_is_followed_down_and_up_again(model):
    explorer = CodebookExplorer(model)
    explorer.map.pick("item:11")
    assert explorer.prefix == tuple(model.table.codes["semantic"][11].tolist())
    assert explorer.map.lit == ["item:11"]
    title = model.data.items["title"][11].replace("&", "&amp;")
    assert title in explorer.item_table.value
    explorer.level.value = 1
    assert explorer.prefix == (int(model.table.codes["semantic"][11, 0]),)
    explorer.view.value = "collaborative"
    assert explorer.prefix == tuple(model.table.codes["collaborative"][11].tolist())
    explorer.find.value = model.data.items["title"][20]
    assert explorer.item is not None
    assert model.data.items["title"][explorer.item] == model.data.items["title"][20]
    assert not warning(explorer)


def test_a_title_that_is_not_there_is_told_in_place(model):
    explorer = CodebookExplorer(model)
    explorer.find.value = "zzzz qqqq"
    assert "No item has the words “zzzz qqqq”" in warning(explorer)
    explorer.back.click()
    explorer.level.value = 2
    assert "Choose an item or a code first" in warning(explorer)


# beam stepper ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("query", "task"), [("coffee", "search"), (None, "recommendation")])
def test_the_stepper_shows_what_the_model_answers(model, user, query, task):
    trace = trace_question(model, query, user, 5)
    answers = (
        model.recommend(user=user, k=5, num_beams=5)
        if query is None
        else model.search(query, user=user, k=5, num_beams=5)
    )
    assert model.data.items["item_id"].to_numpy()[trace.items].tolist() == answers["item_id"].tolist()
    np.testing.assert_allclose(trace.levels[-1].scores, answers["score"], rtol=1e-5)
    free = trace_question(model, query, user, 5, restricted=False)
    # without the trie all codes of a level share the probability, with it those that lead to an item
    assert np.exp(free.levels[0].logprob).sum() == pytest.approx(1, rel=1e-4)
    assert np.exp(trace.levels[0].logprob)[trace.levels[0].allowed].sum() == pytest.approx(1, rel=1e-4)
    codes = model.table.codes[TASK_VIEW[task]]
    for item, prefix in zip(free.items, free.levels[-1].extended, strict=True):
        assert (item >= 0) == bool((codes == prefix).all(axis=1).any())


def test_stepping_shows_one_level_more_and_a_box_its_codes(model, user):
    explorer = BeamStepper(model, query="coffee", user=user)
    levels = model.table.num_levels

    def boxes() -> int:
        return sum(m.get("key", "").startswith("beam:") for m in explorer.tree.marks)

    whole = boxes()
    assert f"{len(explorer.trace.items)} beams" in explorer.message.value
    for _ in range(levels):
        explorer.backward.click()
    assert boxes() == 1
    for _ in range(levels):
        explorer.forward.click()
    assert boxes() == whole == 1 + sum(len(level.code) for level in explorer.trace.levels)
    explorer.tree.pick("beam:1:2")
    bars = [m for m in explorer.codes.marks if m["t"] == "rect" and "tip" in m]
    assert len(bars) == explorer.trace.levels[1].logprob.shape[1]
    first = explorer.trace.levels[0].code[2]
    assert f"after m1 {first}" in explorer.codes.marks[0]["s"]


def test_without_the_trie_the_stepper_counts_what_names_no_item(model, user):
    explorer = BeamStepper(model, query="coffee", user=user)
    explorer.restricted.value = False
    lost = int((explorer.trace.items < 0).sum())
    assert (f"{lost} of 5 identifiers name no item" in warning(explorer)) == (lost > 0)
    assert sum(m.get("s") == "names no item" for m in explorer.tree.marks) == lost


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"user": "stranger"}, "The log has no user &#x27;stranger&#x27;"),
        ({"query": "   "}, "The query is empty"),
        ({"query": "xqzzv"}, "No word of “xqzzv” occurs"),
        ({"task": "recommendation", "user": ""}, "Pick a user"),
    ],
)
def test_bad_input_of_the_stepper_is_told_in_place(model, user, fields, words):
    explorer = BeamStepper(model, query="coffee", user=user)
    for name, value in fields.items():
        getattr(explorer, name).value = value
    assert words in warning(explorer)


# store console ---------------------------------------------------------------------------------


def test_the_console_shows_the_answers_of_the_model(model, user):
    console = StoreConsole(model, user=user, query="coffee")
    assert console.lists["search"].items == model.search("coffee", user=user, k=10)["item_id"].tolist()
    assert console.lists["recommendation"].items == model.recommend(user=user, k=10)["item_id"].tolist()
    item = console.lists["recommendation"].items[3]
    console.click(item)
    history = [*model.data.items["item_id"].to_numpy()[clicks_of(model, user)], item]
    assert console.history == history
    assert console.lists["recommendation"].items == model.recommend(history=history, k=10)["item_id"].tolist()
    moves = console.lists["recommendation"].moves
    assert any(moves)
    console.codes.value = True  # shows the same answers otherwise
    assert console.lists["recommendation"].moves == moves
    assert "gl-code" in console.lists["search"].children[1].children[0].value
    console.forget(len(history) - 1)
    assert console.history == history[:-1]
    console.reset()
    assert console.lists["recommendation"].items == model.recommend(user=user, k=10)["item_id"].tolist()


def test_buttons_of_the_console_click_and_forget(model, user):
    console = StoreConsole(model, user=user, query="coffee")
    item = console.lists["search"].items[0]
    console.lists["search"].children[1].children[1].click()
    assert console.history[-1] == item
    console.past.children[1].children[0].click()  # the latest click
    ids = model.data.items["item_id"].to_numpy()
    assert console.history == ids[clicks_of(model, user)].tolist()


def test_fused_scores_at_both_ends(model, user):
    shop = Shop(model)
    question = Question("coffee", user)
    own = shop.answer(question, 10, weight=1e-9)
    assert own["item_id"].tolist() == shop.answer(question, 10)["item_id"].tolist()
    words = shop.answer(question, 5, weight=1.0)
    best = np.asarray(shop.bm25.scores(["coffee"]))[0]
    rows = [model.data.item_number[item] for item in words["item_id"]]
    np.testing.assert_allclose(best[rows], np.sort(best)[::-1][:5], rtol=1e-6)


def test_the_partner_of_recommendation_is_item_knn_itself(kit, user):
    """The console's item-knn for a history of item ids against the baseline's own score of the same events."""
    from gensar_lite.data.dataset import Cases

    shop, log = Shop(kit.model), kit.model.data.log
    number = kit.model.data.user_number[user]
    none = np.full(1, -1)
    case = Cases(
        "recommendation", none, np.array([number]), log.user_ptr[[number]], log.user_ptr[[number + 1]], none, None, {}
    )
    np.testing.assert_allclose(shop._partner(Question(None, user)), shop.knn.score(case, None)[0], rtol=1e-5, atol=1e-6)


def test_the_mix_slider_moves_along_the_line(kit, user):
    model = kit.model
    console = StoreConsole(model, user=user, query="coffee", shop=Shop(model, kit.line))
    console.moved.value = True
    for mix in (0.0, 1.0):
        console.mix.value = mix
        expected = kit.line.at(mix).recommend(user=user, k=10)["item_id"].tolist()
        assert console.lists["recommendation"].items == expected
    assert not warning(console)
    without = StoreConsole(model, user=user)
    assert without.moved.disabled
    with pytest.raises(DataError, match="two short fine-tunes"):
        without.shop.answer(Question(None, user), mix=0.5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"user": "stranger"}, "The log has no user &#x27;stranger&#x27;"),
        ({"query": ""}, "The query is empty"),
        ({"query": "xqzzv"}, "No word of “xqzzv” occurs"),
    ],
)
def test_bad_input_of_the_console_is_told_in_place(model, user, fields, words):
    console = StoreConsole(model, user=user, query="coffee")
    for name, value in fields.items():
        getattr(console, name).value = value
    assert words in warning(console)
    console.user.value, console.query.value = "", "coffee"
    assert not warning(console)
    assert console.lists["search"].items == model.search("coffee", k=10)["item_id"].tolist()


def test_whatever_goes_wrong_is_no_traceback(model, user, monkeypatch):
    console = StoreConsole(model, user=user, query="coffee")

    def fail(*args, **kwargs):
        raise KeyError("inside")

    monkeypatch.setattr(console.shop, "answer", fail)
    console.query.value = "tea"
    assert "That did not work (KeyError" in warning(console)


def test_movement_by_hand():
    assert movement([], ["a", "b"]) == ["", ""]
    assert movement(["a", "b", "c"], ["c", "d", "b"]) == ["▲2", "new", "▼1"]
    assert movement(["a"], ["a"]) == [""]


def test_words_that_the_store_knows(model):
    assert knows_a_word(model, model.data.items["title"][0].split()[0])
    assert not knows_a_word(model, "xqzzv")
    assert not knows_a_word(model, "the of")
