"""Texts in Arrow's memory are read as lists; their numbers are those of first places."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from gensar_lite.data.dataset import texts_of
from gensar_lite.data.texts import Texts, number_texts, numbers_of

WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=12)


@given(WORDS)
def test_texts_are_a_list(words: list[str]) -> None:
    texts = Texts(words)
    assert (list(texts), len(texts), bool(texts)) == (words, len(words), bool(words))
    assert (texts[1:], texts[::2], texts[:0]) == (words[1:], words[::2], [])
    assert [texts[n] for n in np.arange(-len(words), len(words))] == words * 2
    assert np.array(texts, dtype=object).tolist() == words
    numbers = np.append(np.arange(len(words))[::-1], -1)
    assert texts.take(numbers).tolist() == [*words[::-1], None]


@given(WORDS, WORDS, st.integers(1, 4))
def test_columns_are_numbered_as_one(first: list[str], second: list[str], size: int) -> None:
    def column(words: list[str]) -> pd.Series:  # in pieces, as files give it
        pieces = [pa.array(words[k : k + size], pa.large_string()) for k in range(0, len(words), size)]
        return pd.Series(pa.chunked_array(pieces, pa.large_string()), dtype="str")

    numbers, texts = number_texts([column(first), column(second)])
    assert texts.to_pylist() == list(dict.fromkeys([*first, *second]))
    assert [texts[n].as_py() for n in numbers] == [*first, *second]
    known = pd.Series(["b", "a"], dtype="str")
    assert numbers_of(known, column([*first, "a"])).tolist() == [{"b": 0, "a": 1}.get(w, -1) for w in [*first, "a"]]


def test_a_missing_text_has_no_number() -> None:
    numbers, texts = number_texts([pd.Series(["a", None, "b", "a"], dtype="str")])
    assert (numbers.tolist(), texts.to_pylist()) == ([0, -1, 1, 0], ["a", "b"])


@given(st.lists(st.tuples(*[st.sampled_from(["", "x", "é y"])] * 4), min_size=1, max_size=6))
def test_an_item_s_text_joins_what_is_there(rows: list[tuple[str, ...]]) -> None:
    items = pd.DataFrame(rows, columns=["title", "brand", "categories", "description"], dtype="str")
    assert list(texts_of(items)) == [" ".join(part for part in row if part) for row in rows]
