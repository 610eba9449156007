"""The vocabulary: text tokens, the three behaviour tokens, and one token per code.

Explained in notebook 05. Token ids are laid out as [text | behaviours | codebook 0 | codebook 1 | ...], so the
codes of a codebook are a slice of the embedding matrix, and the softmax over a codebook a slice of the
softmax over the vocabulary. Text tokens come from a byte-pair encoding with byte fallback trained on
the data (nothing is ever unknown), or from the tokenizer of a T5 checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gensar_lite.identifiers.table import IdentifierTable
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network.tokenizer import AnyTokenizer

BEHAVIOURS = ("<R_I>", "<S_Q>", "<S_I>")
VIEW_BEHAVIOUR = {"collaborative": "<R_I>", "semantic": "<S_I>"}
NUM_AGES = 64  # events that are older than this all count as that old
TASK_VIEW = {"recommendation": "collaborative", "search": "semantic"}


@dataclass(frozen=True)
class Sequences:
    """n token sequences laid end to end: sequence i is `tokens[ptr[i]:ptr[i + 1]]`. Shapes (T,) and (n + 1,)."""

    tokens: np.ndarray
    ptr: np.ndarray

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.tokens[self.ptr[row] : self.ptr[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.ptr)

    def take(self, rows: np.ndarray) -> Sequences:
        """The sequences of `rows`, in that order."""
        lengths = self.lengths[rows]
        ptr = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(ptr[-1]) - np.repeat(ptr[:-1], lengths)
        return Sequences(self.tokens[np.repeat(self.ptr[rows], lengths) + within], ptr)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | np.ndarray]) -> Sequences:
        """Lay a list of sequences end to end."""
        ptr = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        tokens = np.concatenate([np.asarray(row, np.int64) for row in rows]) if ptr[-1] else np.zeros(0, np.int64)
        return cls(tokens, ptr)

    @classmethod
    def join(cls, parts: Sequence[Sequences]) -> Sequences:
        """Row-wise concatenation: sequence i of the result is sequence i of every part, one after the other."""
        count = len(parts[0])
        stacked = cls.stack(parts)
        rows = (np.arange(len(parts))[None, :] * count + np.arange(count)[:, None]).ravel()
        flat = stacked.take(rows)
        return cls(flat.tokens, flat.ptr[:: len(parts)])

    @classmethod
    def stack(cls, parts: Sequence[Sequences]) -> Sequences:
        """All sequences of the first part, then all of the second, and so on."""
        ends = np.cumsum([0, *(part.ptr[-1] for part in parts)])
        ptr = np.concatenate([[0], *(part.ptr[1:] + end for part, end in zip(parts, ends, strict=False))])
        return cls(np.concatenate([part.tokens for part in parts]), ptr.astype(np.int64))


class Vocabulary:
    """Token ids of texts, behaviours and identifiers.

    `view_tokens[view]` is (N, L): the tokens of each item's identifier in that view.
    `level_slices[view]` gives, per level, the half-open range of token ids of the level's codebook.
    `tries[view]` holds the identifiers as a trie, `leaf[view]` (N,) each item's leaf in it, `nodes[view]` (N, L) the
    nodes on the way there, `leaf_starts[view][l]` (n_{l+1} + 1,) the first leaf of each node of level l + 1. The first `num_written` tokens are words, behaviours and codes. The tokens after
    them are no words of any text: vectors of the first `num_remembered` items (item n is token `num_written + n`), and of the
    trie nodes that hold several of those. `node_tokens[view][l]` (n_{l+1},) is the token of each node of level l + 1; -1 for
    nodes of the first level, which their code describes in full, and for nodes of new items. `leaf_tokens[view]` (N,) is the
    token of each leaf's item, -1 for a new item; there are none where no item is remembered.
    """

    def __init__(
        self,
        tokenizer: AnyTokenizer,
        table: IdentifierTable,
        num_remembered: int = 0,
        num_mixes: int = 0,
        num_ages: int = 0,
    ) -> None:
        self.tokenizer = tokenizer
        self.pad = int(tokenizer.pad_token_id)
        self.eos = int(tokenizer.eos_token_id)
        self.num_text = len(tokenizer)
        self.behaviours = {name: self.num_text + i for i, name in enumerate(BEHAVIOURS)}
        # one token for each mix that a conditioned model can be asked for; in inputs only
        self.mixes = self.num_text + len(BEHAVIOURS) + np.arange(num_mixes)
        # one token for each age of an event, the number of events after it; the last for all older ones; in inputs only
        self.ages = self.num_text + len(BEHAVIOURS) + num_mixes + np.arange(num_ages)
        self.num_words = self.num_text + len(BEHAVIOURS) + num_mixes + num_ages
        starts = self.num_words + np.concatenate([[0], np.cumsum(table.codebook_sizes)])
        self.num_written = int(starts[-1])
        self.num_remembered = num_remembered
        self.num_levels = len(table.codebooks_of["semantic"])
        self.view_tokens: dict[str, np.ndarray] = {}
        self.level_slices: dict[str, list[tuple[int, int]]] = {}
        self.tries: dict[str, IdentifierTrie] = {}
        self.leaf: dict[str, np.ndarray] = {}
        self.nodes: dict[str, np.ndarray] = {}
        self.leaf_starts: dict[str, list[np.ndarray]] = {}
        for view, codes in table.codes.items():
            books = np.asarray(table.codebooks_of[view])
            self.view_tokens[view] = (starts[books] + codes).astype(np.int64)
            self.level_slices[view] = [(int(starts[book]), int(starts[book + 1])) for book in books]
            trie = self.tries[view] = IdentifierTrie.build(codes)
            self.leaf[view] = np.argsort(trie.items)
            self.nodes[view] = trie.paths(self.leaf[view])
            self.leaf_starts[view] = [np.append(0, np.cumsum(counts)) for counts in trie.leaf_counts()]
        self.node_tokens, self.size = self._number_nodes(table)
        self.leaf_tokens: dict[str, np.ndarray] = {}
        if num_remembered:
            for view, trie in self.tries.items():
                items = trie.items.astype(np.int64)
                self.leaf_tokens[view] = np.where(items < num_remembered, self.num_written + items, -1)

    def _number_nodes(self, table: IdentifierTable) -> tuple[dict[str, list[np.ndarray]], int]:
        """Tokens of the trie nodes of both views; prefixes that the views share have one token."""
        known, size = self.num_remembered, self.num_written + self.num_remembered
        found: dict[str, list[np.ndarray]] = {}
        books: dict[tuple[int, ...], np.ndarray] = {}
        for view, codes in table.codes.items():
            found[view] = [np.full(len(level), -1) for level in self.tries[view].codes]
            if not known:
                continue
            then = self.tries[view] if known == len(codes) else IdentifierTrie.build(codes[:known])
            paths = then.paths(np.argsort(then.items))
            for level, counts in enumerate(then.leaf_counts()):
                path = tuple(table.codebooks_of[view][: level + 1])
                if level == 0:
                    continue
                if path not in books:
                    several = counts > 1
                    tokens = size + np.cumsum(several) - 1
                    size += int(several.sum())
                    alone = ~several[paths[:, level]]
                    tokens[paths[alone, level]] = self.num_written + np.flatnonzero(alone)
                    books[path] = tokens
                found[view][level][self.nodes[view][:known, level]] = books[path][paths[:, level]]
        return found, size

    def behaviour_of(self, view: str) -> int:
        """Token that announces an identifier of this view: `<R_I>` or `<S_I>`."""
        return self.behaviours[VIEW_BEHAVIOUR[view]]

    def encode(self, texts: Sequence[str], max_tokens: int | None = None) -> Sequences:
        """Text tokens of each text, without an end token, cut after `max_tokens`."""
        if not len(texts):
            return Sequences.of([])
        plain = self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)
        return Sequences.of([row[:max_tokens] for row in plain["input_ids"]])

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of some text tokens; behaviours and codes are left out."""
        return self.tokenizer.decode([t for t in tokens if t < self.num_text], skip_special_tokens=True).strip()
