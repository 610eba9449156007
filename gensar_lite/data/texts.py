"""Columns of text in Arrow's memory, and their numbers: a Python object each would take some 80 bytes and a microsecond."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


class Texts(Sequence[str]):
    """Texts that are read as a list of `str` and lie in Arrow's memory, where each takes its letters and eight bytes."""

    def __init__(self, texts: Iterable[Any]) -> None:
        array = texts if isinstance(texts, (pa.Array, pa.ChunkedArray)) else pa.array(texts, pa.large_string())
        array = array.cast(pa.large_string())
        self.array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, place: Any) -> Any:
        return self.array[place].to_pylist() if isinstance(place, slice) else self.array[int(place)].as_py()

    def __iter__(self) -> Iterator[str]:
        return (text.as_py() for text in self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array.to_numpy(zero_copy_only=False)

    def take(self, numbers: np.ndarray) -> np.ndarray:
        """(n,) objects: the texts of n numbers, None for a negative one."""
        return self.array.take(pa.array(numbers, mask=numbers < 0)).to_numpy(zero_copy_only=False)


def number_texts(columns: Sequence[pd.Series]) -> tuple[np.ndarray, pa.Array]:
    """Columns of text as one: numbers (n,) int32 of the texts (V,), which stand in the order of their first places; -1: missing."""
    whole = pd.concat(columns, ignore_index=True) if len(columns) > 1 else columns[0]
    # in one piece: to unify the dictionaries of many pieces takes memory for each of them
    encoded = Texts(pa.array(whole, pa.large_string(), from_pandas=True)).array.dictionary_encode()
    return pc.fill_null(encoded.indices, -1).to_numpy(), encoded.dictionary


def numbers_of(item_ids: pd.Series, ids: pd.Series) -> np.ndarray:
    """(n,) int32: the place in `item_ids` of each of n ids, -1 where there is none or it is missing."""
    known, asked = (pa.array(values, pa.large_string(), from_pandas=True) for values in (item_ids, ids))
    return pc.fill_null(pc.index_in(asked, value_set=known), -1).to_numpy()
