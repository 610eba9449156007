"""The explorers without a browser: what they show is what the model and the tables say, and bad input is told in place."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gensar_lite.data.storage import DataError
from gensar_lite.explore.answers import Question, Shop, knows_a_word, movement
from gensar_lite.explore.widgets import BeamStepper
from gensar_lite.explore.widgets.beams import trace_question
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


# answers ---------------------------------------------------------------------------------------


def test_answers_move_along_the_line(kit, user):
    shop = Shop(kit.model, kit.line)
    for mix in (0.0, 1.0):
        found = shop.answer(Question(None, user), mix=mix)
        assert found["item_id"].tolist() == kit.line.at(mix).recommend(user=user, k=10)["item_id"].tolist()
    with pytest.raises(DataError, match="two short fine-tunes"):
        Shop(kit.model).answer(Question("coffee", user), mix=0.5)


def test_movement_by_hand():
    assert movement([], ["a", "b"]) == ["", ""]
    assert movement(["a", "b", "c"], ["c", "d", "b"]) == ["▲2", "new", "▼1"]
    assert movement(["a"], ["a"]) == [""]


def test_words_that_the_store_knows(model):
    assert knows_a_word(model, model.data.items["title"][0].split()[0])
    assert not knows_a_word(model, "xqzzv")
    assert not knows_a_word(model, "the of")
