"""What an import understood, assumed, repaired and left out: counts for programs, sentences for people."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ImportReport:
    """`counts` of what was read, repaired and dropped; `sentences` say the same.

    `understood` says which column was taken for what, one sentence a table.
    """

    counts: dict[str, int] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    understood: list[str] = field(default_factory=list)

    def say(self, key: str, count: int, sentence: str) -> None:
        """Count something; where it happened at all, say it."""
        self.counts[key] = self.counts.get(key, 0) + int(count)
        if count:
            self.note(sentence)

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
