"""The vocabulary: round trips of text and items, and the algebra of sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import random_table, tiny_encoder, tiny_store
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from gensar_lite.network.tokenizer import train_tokenizer
from gensar_lite.network.vocabulary import BEHAVIOURS, Sequences, Vocabulary

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return tiny_encoder().vocabulary


def as_lists(sequences: Sequences) -> list[list[int]]:
    return [sequences[i].tolist() for i in range(len(sequences))]


def without_spaces(text: str) -> str:
    return "".join(c for c in text if not c.isspace() and c != "▁")


@given(st.text())
@settings(max_examples=300)
def test_any_text_comes_back(text: str) -> None:
    vocabulary = tiny_encoder().vocabulary
    tokens = vocabulary.encode([text])[0]
    assert vocabulary.tokenizer.unk_token_id not in tokens
    assert tokens.max(initial=0) < vocabulary.num_text
    normal = vocabulary.tokenizer.backend_tokenizer.normalizer.normalize_str(text)
    # punctuation marks are words of their own, so spaces around them are not kept
    assert without_spaces(vocabulary.decode(tokens.tolist())) == without_spaces(normal)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Warm Sleeping Bag", "warm sleeping bag"),
        ("été à la plage", "été à la plage"),
        ("テント 🎉", "テント 🎉"),
        ("ﬁne", "fine"),  # a ligature is two letters
    ],
)
def test_words_in_any_script_come_back_exactly(vocabulary: Vocabulary, text: str, expected: str) -> None:
    assert vocabulary.decode(vocabulary.encode([text])[0].tolist()) == expected


@pytest.mark.parametrize("text", ["old </s> new", "<pad>", "<unk>", "<0x41>", "<R_I>"])
def test_special_tokens_in_peoples_text_are_text(vocabulary: Vocabulary, text: str) -> None:
    tokens = vocabulary.encode([text])[0].tolist()
    assert not {vocabulary.pad, vocabulary.eos, vocabulary.tokenizer.unk_token_id} & set(tokens)
    assert without_spaces(vocabulary.decode(tokens)) == without_spaces(text.lower())


def test_texts_are_cut_after_max_tokens(vocabulary: Vocabulary) -> None:
    text = "warm sleeping bag for winter nights"
    whole, cut = vocabulary.encode([text])[0], vocabulary.encode([text], 3)[0]
    assert len(whole) > 3
    assert cut.tolist() == whole[:3].tolist()
    assert len(vocabulary.encode([])) == 0
    assert as_lists(vocabulary.encode(["", "warm", ""]))[::2] == [[], []]


def test_frequent_words_are_one_token() -> None:
    tokenizer = train_tokenizer(["warm tent"] * 5 + ["tent pole"] * 5, 400)
    assert tokenizer.tokenize("Warm tent") == ["▁warm", "▁tent"]
    assert [tokenizer.pad_token_id, tokenizer.eos_token_id] == [0, 1]


def test_a_saved_tokenizer_gives_the_same_tokens(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vocabulary.tokenizer.save_pretrained(tmp_path)
    table = random_table(tiny_store().items["item_id"].tolist())
    again = Vocabulary(PreTrainedTokenizerFast.from_pretrained(tmp_path), table)
    texts = [*tiny_store().item_texts[:20], "été </s> 🎉"]
    assert as_lists(again.encode(texts)) == as_lists(vocabulary.encode(texts))
    assert again.size == vocabulary.size


# items ----------------------------------------------------------------------------------------------


def test_item_to_tokens_and_back(vocabulary: Vocabulary) -> None:
    table = random_table(tiny_store().items["item_id"].tolist())
    for view, tokens in vocabulary.view_tokens.items():
        starts = np.array([first for first, _ in vocabulary.level_slices[view]])
        ends = np.array([last for _, last in vocabulary.level_slices[view]])
        assert ((tokens >= starts) & (tokens < ends)).all()
        np.testing.assert_array_equal(tokens - starts, table.codes[view])


def test_token_ids_are_laid_out_without_gap_or_overlap(vocabulary: Vocabulary) -> None:
    table = random_table(tiny_store().items["item_id"].tolist())
    behaviours = [vocabulary.behaviours[name] for name in BEHAVIOURS]
    assert behaviours == list(range(vocabulary.num_text, vocabulary.num_words))
    names = {name: number for number, name in enumerate(table.token_names)}
    for view, tokens in vocabulary.view_tokens.items():
        for item in (0, 57, 99):
            named = table.text(item, view).replace("><", "> <").split()
            assert tokens[item].tolist() == [vocabulary.num_words + names[name] for name in named]
    assert vocabulary.size == vocabulary.num_words + len(names)
    shared = [vocabulary.level_slices[view][:2] for view in ("semantic", "collaborative")]
    assert shared[0] == shared[1]


def test_the_leaf_is_the_place_among_sorted_identifiers(vocabulary: Vocabulary) -> None:
    for view, leaf in vocabulary.leaf.items():
        rows = [tuple(row) for row in vocabulary.view_tokens[view].tolist()]
        assert leaf.tolist() == [sorted(rows).index(row) for row in rows]


# sequences ------------------------------------------------------------------------------------------


@given(ROWS, st.data())
def test_take_and_lengths(rows: list[list[int]], data: st.DataObject) -> None:
    sequences = Sequences.of(rows)
    assert as_lists(sequences) == rows
    assert sequences.lengths.tolist() == [len(row) for row in rows]
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1))) if rows else []
    assert as_lists(sequences.take(np.array(wanted, np.int64))) == [rows[i] for i in wanted]


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_stack_lays_parts_one_after_the_other(parts: list[list[list[int]]]) -> None:
    assert as_lists(Sequences.stack([Sequences.of(part) for part in parts])) == [row for part in parts for row in part]


@given(st.lists(st.tuples(*[st.lists(st.integers(0, 9), max_size=3)] * 3), max_size=6))
def test_join_concatenates_rows(rows: list[tuple[list[int], ...]]) -> None:
    parts = [Sequences.of([row[i] for row in rows]) for i in range(3)]
    assert as_lists(Sequences.join(parts)) == [[token for part in row for token in part] for row in rows]
