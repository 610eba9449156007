"""What an import understood, assumed, repaired and left out: counts for programs, sentences for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class ImportReport:
    """`counts` of what was read, repaired and dropped; `sentences` say the same.

    `understood` says which column was taken for what, one sentence a table.
    """

    counts: dict[str, int] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    understood: list[str] = field(default_factory=list)

    def say(self, key: str, count: int, sentence: str, rows: Sequence[int] | np.ndarray | None = None) -> None:
        """Count something; where it happened at all, say it, with the first of the `rows` of the file."""
        self.counts[key] = self.counts.get(key, 0) + int(count)
        if count:
            where = ""
            if rows is not None and len(rows):
                where = f" (first in row{'s' * (len(rows) > 1)} {', '.join(str(int(r)) for r in rows[:3])}{' …' * (len(rows) > 3)})"
            self.note(sentence + where)

    def note(self, sentence: str) -> None:
        """Say something that has no count, once."""
        sentence = sentence.rstrip(".") + "."
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    def to_dict(self) -> dict:
        """For JSON."""
        return {"understood": self.understood, "counts": self.counts, "sentences": self.sentences}

    def __str__(self) -> str:
        return "\n".join([*self.understood, *self.sentences])
