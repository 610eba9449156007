"""Encoder inputs against a version that appends token by token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import random_table, tiny_encoder, tiny_store
from hypothesis import given
from hypothesis import strategies as st

from gensar_lite.network.inputs import InputEncoder, Inputs
from gensar_lite.network.prompts import PROMPTS, TEXT_TASKS
from gensar_lite.network.vocabulary import Sequences, Vocabulary
from gensar_lite.training.settings import TrainingConfig

Positions = list[list[list[tuple[int, float]]]]


def grid(inputs: Inputs) -> Positions:
    """Per example and position, the (token, weight) pairs in it."""
    size = inputs.mask.shape[1]
    cells: Positions = [[[] for _ in range(size)] for _ in inputs.mask]
    for token, place, weight in zip(inputs.token.tolist(), inputs.place.tolist(), inputs.weight.tolist(), strict=True):
        cells[place // size][place % size].append((token, round(weight, 6)))
    for row, mask in zip(cells, inputs.mask.tolist(), strict=True):
        assert [bool(cell) for cell in row] == mask, "every position that counts holds a token, and no other"
    return [[cell for cell in row if cell] for row in cells]


def lay_out(segments: list[tuple[list[int], bool]]) -> list[list[tuple[int, float]]]:
    """The slow obvious version for one example: (tokens, pooled) segments to positions."""
    positions = []
    for tokens, pooled in segments:
        if pooled and tokens:
            positions.append([(token, round(len(tokens) ** -0.5, 6)) for token in tokens])
        elif not pooled:
            positions += [[(token, 1.0)] for token in tokens]
    return positions


def describe(encoder: InputEncoder, e: int) -> list[int]:
    """The tokens of event `e` of the log, by its definition."""
    log, vocabulary = tiny_store().log, encoder.vocabulary
    item = int(log.item[e])
    if not log.searched[e]:
        return [vocabulary.behaviours["<R_I>"], *vocabulary.view_tokens["collaborative"][item].tolist()]
    words = vocabulary.encode([log.queries[log.query[e]]], encoder.max_text)[0].tolist()
    found = [vocabulary.behaviours["<S_I>"], *vocabulary.view_tokens["semantic"][item].tolist()] if item >= 0 else []
    return [vocabulary.behaviours["<S_Q>"], *words, *found]


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=4), min_size=1, max_size=5))
def test_assemble_equals_the_slow_version(examples: list[list[tuple[int, bool]]]) -> None:
    rows = [[], [3], [4, 5], [6, 7, 8], [9, 9]]
    owner = np.array([b for b, segments in enumerate(examples) for _ in segments], np.int64)
    segment = np.array([s for segments in examples for s, _ in segments], np.int64)
    pooled = np.array([p for segments in examples for _, p in segments], bool)
    inputs = tiny_encoder().assemble(owner, segment, pooled, len(examples), Sequences.of(rows))
    assert inputs.mask.shape[0] == len(examples)
    assert grid(inputs) == [lay_out([(rows[s], p) for s, p in segments]) for segments in examples]


def test_events_are_described_as_the_paper_says() -> None:
    encoder, log = tiny_encoder(), tiny_store().log
    kinds = {(bool(log.searched[e]), bool(log.item[e] >= 0)) for e in range(len(log))}
    assert kinds == {(False, True), (True, True), (True, False)}, "the store has every kind of event"
    for e in range(len(log)):
        assert encoder.event_segments[e].tolist() == describe(encoder, e)
    for rows in (np.arange(len(log))[::-1], np.array([3, 3, 0]), np.zeros(0, np.int64)):
        some, every = encoder.events(rows), encoder.event_segments.take(rows)
        assert some.ptr.tolist() == every.ptr.tolist()
        assert some.tokens.tolist() == every.tokens.tolist()


def test_an_item_of_minus_one_is_an_empty_segment() -> None:
    encoder = tiny_encoder()
    segments = encoder.identifier_segments(np.array([-1, 3, -1]), "semantic")
    assert segments.lengths.tolist() == [0, 5, 0]
    assert segments[1].tolist() == [
        encoder.vocabulary.behaviours["<S_I>"],
        *encoder.vocabulary.view_tokens["semantic"][3],
    ]
    assert len(encoder.identifier_segments(np.zeros(0, np.int64), "semantic")) == 0


@pytest.mark.parametrize("max_events", [1, 3, 20])
def test_history_rows_are_the_latest_events(max_events: int) -> None:
    encoder = tiny_encoder(max_events=max_events)
    start, stop = np.array([0, 5, 7, 10]), np.array([4, 5, 30, 12])
    example, event = encoder.history_rows(start, stop)
    expected = [(b, e) for b, (a, z) in enumerate(zip(start, stop, strict=True)) for e in range(a, z)[-max_events:]]
    assert list(zip(example.tolist(), event.tolist(), strict=True)) == expected


@pytest.mark.parametrize("history", ["pooled", "tokens"])
@pytest.mark.parametrize("queries", [None, ["warm tent", "", "été 🎉"]])
def test_ask_equals_the_slow_version(history: str, queries: list[str] | None) -> None:
    encoder, log = tiny_encoder(history), tiny_store().log
    histories = [[0, 1, 2], [], [9]]
    events = np.array([e for h in histories for e in h])
    task = "next_item" if queries is None else "next_search_item"
    inputs = encoder.ask(task, encoder.event_segments.take(events), np.array([3, 0, 1]), queries)
    pooled = history == "pooled"
    prompt = encoder.vocabulary.encode([PROMPTS[task][0]])[0].tolist()
    expected = []
    for b, rows in enumerate(histories):
        segments = [(prompt, pooled), *((describe(encoder, e), pooled) for e in rows)]
        if queries is not None:
            words = encoder.vocabulary.encode([queries[b]], encoder.max_text)[0].tolist()
            segments.append(([encoder.vocabulary.behaviours["<S_Q>"], *words], False))
        expected.append(lay_out(segments))
    assert grid(inputs) == expected
    assert len(log.queries) > 0


def test_asking_again_about_an_event_gives_what_training_saw() -> None:
    """One code path: the input of a stored search equals the one that a live query makes."""
    encoder, log = tiny_encoder(), tiny_store().log
    e = int(np.flatnonzero(log.searched & (log.position > 2))[0])
    example, event = encoder.history_rows(log.user_ptr[log.user[[e]]], np.array([e]))
    stored = encoder.compose(
        np.array([encoder.prompt_row["next_search_item"]]),
        (example, encoder.base["event"] + event),
        (np.array([0]), encoder.base["query"] + log.query[[e]].astype(np.int64)),
    )
    live = encoder.ask(
        "next_search_item", encoder.event_segments.take(event), np.array([len(event)]), [log.queries[log.query[e]]]
    )
    assert all(torch.equal(a, b) for a, b in zip(stored[:4], live[:4], strict=True))


def test_the_pooled_form_is_shorter_and_holds_the_same_tokens() -> None:
    events, count = np.arange(8), np.array([8])
    forms = [tiny_encoder(form) for form in ("tokens", "pooled")]
    spread, pooled = (f.ask("next_item", f.event_segments.take(events), count) for f in forms)
    assert pooled.mask.shape[1] == 9
    assert spread.mask.shape[1] == len(spread.token) > 30
    assert torch.equal(spread.token, pooled.token)


def test_every_task_has_its_prompts_where_the_encoder_looks() -> None:
    encoder = tiny_encoder()
    assert len(PROMPTS) == 6
    assert set(TEXT_TASKS) < set(PROMPTS)
    for task, ways in PROMPTS.items():
        assert len(ways) == len(set(ways)) == 10
        for i, way in enumerate(ways):
            assert (
                encoder.segments[encoder.prompt_row[task] + i].tolist() == encoder.vocabulary.encode([way])[0].tolist()
            )


def test_unknown_history_form_is_refused() -> None:
    encoder = tiny_encoder()
    with pytest.raises(ValueError, match="history must be one of"):
        InputEncoder(encoder.vocabulary, tiny_store().log, tiny_store().item_texts, "mean")


def test_events_are_told_their_age_by_hand() -> None:
    plain, data = tiny_encoder(), tiny_store()
    table = random_table(data.items["item_id"].tolist())
    vocabulary = Vocabulary(plain.vocabulary.tokenizer, table, num_mixes=2, num_ages=3)
    encoder = InputEncoder(vocabulary, data.log, data.item_texts, max_text=16)
    newest, second, old = vocabulary.ages.tolist()
    # histories of five events, of none and of one; a query behind the first and the last
    history = np.array([0, 0, 0, 0, 0, 2]), encoder.base["event"] + np.array([4, 5, 6, 7, 8, 1])
    query = np.array([0, 2]), encoder.base["query"] + np.array([0, 1])
    for first, mix in ((1, None), (2, encoder.base["mix"] + np.array([0, 1, 1]))):
        inputs = encoder.compose(np.zeros(3, np.int64), history, query, mix=mix)
        told = [[[t for t, _ in cell if t in vocabulary.ages] for cell in row] for row in grid(inputs)]
        assert told[0][first : first + 5] == [[old], [old], [old], [second], [newest]]
        assert told[2][first] == [newest]
        assert [sum(map(len, row)) for row in told] == [5, 0, 1], "nothing but events has an age"
        assert {w for row in grid(inputs) for cell in row for t, w in cell if t in vocabulary.ages} == {1.0}


def test_the_papers_form_has_no_ages() -> None:
    assert not TrainingConfig(history="tokens").marks_ages
