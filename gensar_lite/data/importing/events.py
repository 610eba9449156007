"""The rows of a log as arrays, before it is decided what they mean (see `cleaning`)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from gensar_lite.data.importing.columns import Coded
from gensar_lite.data.importing.times import Times


@dataclass
class Events:
    """R rows of a log as arrays. `line` (R,) is the row of the file; `time` is None where there is none.

    `clicked` (R,) says which rows are clicks by what was said; `texts` holds the columns of ids and words.
    `rows` counts the rows of the files, `left_out` those that `where` left out, by their value.
    """

    texts: dict[str, Coded]
    time: Times | None
    clicked: np.ndarray
    line: np.ndarray
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    taken_back: np.ndarray | None = None
    cells: np.ndarray | None = None
    history: Coded | None = None
    rows: int = 0
    entries: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    left_out_rows: int = 0
    unclicked: dict[str, int] = field(default_factory=dict)
    unclicked_rows: int = 0
    in_lists: bool = False
    shown_lists: bool = False
    empty_lists: int = 0

    def __len__(self) -> int:
        return len(self.line)

    def take(self, rows: np.ndarray) -> Events:
        """Some rows, by number or mask."""
        time = self.time
        if time is not None:
            time = replace(time, values=time.values[rows], bad=time.bad[rows])
        return replace(
            self,
            texts={name: column.take(rows) for name, column in self.texts.items()},
            time=time,
            clicked=self.clicked[rows],
            line=self.line[rows],
            numbers={name: n[rows] for name, n in self.numbers.items()},
            taken_back=None if self.taken_back is None else self.taken_back[rows],
            cells=None if self.cells is None else self.cells[rows],
            history=None if self.history is None else self.history.take(rows),
        )
