"""Encoder inputs: segments of tokens, laid out as positions.

Explained in notebook 05. An input is a row of *segments*: a prompt, the events of the history, the query; in the paper's form
a sentence around history and query. A segment is either *spread* (each token is a position of its own: the paper's form) or *pooled* (one
position whose embedding is the scaled sum of its tokens' embeddings, and of a vector for the event's age: a history of ten
searches is then ten positions instead of a hundred). Both are the same arithmetic, a weighted sum of token embeddings per
position, so training, decoding and evaluation share one code path.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from gensar_lite.data.events import EventLog
from gensar_lite.network.prompts import PROMPTS
from gensar_lite.network.templates import TEMPLATES, pieces_of
from gensar_lite.network.vocabulary import Sequences, Vocabulary

HISTORY_FORMS = ("pooled", "tokens", "template")


class Inputs(NamedTuple):
    """B encoder inputs of at most S positions: position `place[t]` of the flattened (B * S) grid gets
    `weight[t]` times the embedding of token `token[t]`. `token`, `place`, `weight` are (T,), `mask` (B, S)."""

    token: torch.Tensor
    place: torch.Tensor
    weight: torch.Tensor
    mask: torch.Tensor

    def to(self, device: torch.device | str) -> Inputs:
        return Inputs(*(part.to(device) for part in self))


class Frame(NamedTuple):
    """What a template puts around B histories and tails, as rows of some segments: pieces `between` and `behind` (B,), and the mark
    between events."""

    between: np.ndarray
    behind: np.ndarray
    mark: int


def _with_marks(example: np.ndarray, segment: np.ndarray, mark: int) -> tuple[np.ndarray, np.ndarray]:
    """Events (G,) of ascending examples with a mark between those of one example."""
    both = np.stack([np.full(len(segment), mark), segment], axis=1).ravel()
    follows = np.append(False, example[1:] == example[:-1])[: len(example)]
    kept = np.stack([follows, np.ones(len(segment), bool)], axis=1).ravel()
    return np.repeat(example, 2)[kept], both[kept]


class InputEncoder:
    """Turns events, queries and texts into encoder inputs.

    An input is a list of segment numbers, so a batch is assembled by array arithmetic alone. Training keeps every segment
    that can occur in one flat array, made when it is first read; a question is put together from the few that it needs.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        log: EventLog,
        item_texts: Sequence[str],
        history: str = "pooled",
        max_events: int = 20,
        max_text: int = 40,
        max_query: int | None = None,
    ) -> None:
        if history not in HISTORY_FORMS:
            raise ValueError(f"history must be one of {HISTORY_FORMS}, not {history!r}")
        self.vocabulary = vocabulary
        self.log, self.item_texts = log, item_texts
        self.history = history
        self.max_events = max_events
        self.max_text = max_text
        self.max_query = max_text if max_query is None else max_query
        self.prompts = self._encode_prompts()
        self.marks = vocabulary.encode([",", ";"]) if history == "template" else None
        self.mix_level = 0  # which of its mixes a conditioned model is asked for
        if history == "template":
            searches = np.flatnonzero(log.searched)
            self.kinds = np.flatnonzero(~log.searched), searches

    @cached_property
    def queries(self) -> Sequences:
        """The words of all queries of the log."""
        return self.vocabulary.encode(self.log.queries, self.max_query)

    @cached_property
    def texts(self) -> Sequences:
        """The words of all items' texts."""
        return self.vocabulary.encode(self.item_texts, self.max_text)

    @cached_property
    def event_segments(self) -> Sequences:
        """All events of the log."""
        return self.describe_events(self.log.item, self.log.query, self.log.searched, self.queries)

    def events(self, rows: np.ndarray) -> Sequences:
        """Some events (E,) of the log, as in `event_segments`, of which no other is described."""
        asked, query = np.unique(self.log.query[rows], return_inverse=True)
        typed = [self.log.queries[number] if number >= 0 else "" for number in asked]
        words = self.vocabulary.encode(typed, self.max_query)
        return self.describe_events(self.log.item[rows], query, self.log.searched[rows], words)

    @cached_property
    def _stored(self) -> dict[str, Sequences]:
        mixes = self.vocabulary.mixes
        return {
            "prompt": self.prompts,
            "event": self.event_segments,
            "query": self.with_behaviour("<S_Q>", self.queries),
            "text": self.texts,
            "mix": Sequences(mixes, np.arange(len(mixes) + 1)),
            "mark": Sequences.of([]) if self.marks is None else self.marks,
        }

    @cached_property
    def segments(self) -> Sequences:
        """All segments, kind by kind."""
        return Sequences.stack(list(self._stored.values()))

    @cached_property
    def base(self) -> dict[str, np.int64]:
        """The first row of each kind in `segments`."""
        return dict(zip(self._stored, np.cumsum([0, *map(len, self._stored.values())]), strict=False))

    def _encode_prompts(self) -> Sequences:
        """What is put to the model, task by task; templates as three pieces each: all first ones, all second ones, all third ones."""
        asked = TEMPLATES if self.history == "template" else PROMPTS
        self.num_ways = {task: len(ways) for task, ways in asked.items()}
        first = np.cumsum([0, *self.num_ways.values()]).tolist()
        self.prompt_row = dict(zip(asked, first, strict=False))
        self.num_prompts = first[-1]
        ways = [way for task in asked.values() for way in task]
        if self.history != "template":
            return self.vocabulary.encode(ways)
        pieces = [self.vocabulary.encode(column) for column in zip(*map(pieces_of, ways), strict=True)]
        end = Sequences(np.full(len(ways), self.vocabulary.eos), np.arange(len(ways) + 1))
        return Sequences.stack([*pieces[:2], Sequences.join([pieces[2], end])])

    def at_level(self, level: int) -> InputEncoder:
        """The same encoder, asking a conditioned model for another of its mixes."""
        other = copy.copy(self)
        other.mix_level = level
        return other

    def with_behaviour(self, behaviour: str, texts: Sequences) -> Sequences:
        """Put a behaviour token before every sequence."""
        token = np.full(len(texts), self.vocabulary.behaviours[behaviour], np.int64)
        return Sequences.join([Sequences(token, np.arange(len(texts) + 1)), texts])

    def identifier_segments(self, items: np.ndarray, view: str) -> Sequences:
        """`<R_I>` or `<S_I>` and the identifier of each item; an empty sequence for item -1."""
        tokens = np.insert(self.vocabulary.view_tokens[view][items], 0, self.vocabulary.behaviour_of(view), axis=1)
        there = np.asarray(items) >= 0
        width = tokens.shape[1]
        return Sequences(tokens[there].ravel(), np.concatenate([[0], np.cumsum(there * width)]))

    def click_segments(self, items: np.ndarray, view: str) -> Sequences:
        """Identifier segments of clicked items in a history, each with its item's own token where it is remembered."""
        vocabulary = self.vocabulary
        known = (items >= 0) & (items < vocabulary.num_remembered)
        own = Sequences(vocabulary.num_written + items[known], np.concatenate([[0], np.cumsum(known)]))
        return Sequences.join([self.identifier_segments(items, view), own])

    def describe_events(
        self, item: np.ndarray, query: np.ndarray, searched: np.ndarray, queries: Sequences
    ) -> Sequences:
        """One segment per event (E,): a recommended item, or a search with the item clicked after it."""
        clicked = self.click_segments(np.where(searched, -1, item), "collaborative")
        asked = self.with_behaviour("<S_Q>", queries)
        blank = Sequences.stack([asked, Sequences(np.zeros(0, np.int64), np.zeros(2, np.int64))])
        words = blank.take(np.where(searched, query, len(queries)))
        found = self.click_segments(np.where(searched, item, -1), "semantic")
        if self.marks is None:
            return Sequences.join([clicked, words, found])
        comma = Sequences.stack(
            [self.marks.take(np.array([0])), Sequences(np.zeros(0, np.int64), np.zeros(2, np.int64))]
        )
        return Sequences.join([clicked, words, comma.take(np.where(searched & (item >= 0), 0, 1)), found])

    def assemble(
        self,
        example: np.ndarray,
        segment: np.ndarray,
        pooled: np.ndarray,
        num_examples: int,
        segments: Sequences | None = None,
    ) -> Inputs:
        """Lay G segments out as B inputs. `example` (G,) ascending, `segment` (G,) rows of `segments`, `pooled` (G,)."""
        segments = self.segments if segments is None else segments
        length = segments.lengths[segment]
        total = int(length.sum())
        owner = np.repeat(np.arange(len(segment)), length)
        first = np.cumsum(length) - length
        within = np.arange(total) - first[owner]
        width = np.where(pooled, np.minimum(length, 1), length)
        column = np.cumsum(width) - width
        before = np.concatenate([[0], np.cumsum(np.bincount(example, width, num_examples))])[:-1].astype(np.int64)
        column = column - before[example]
        positions = np.bincount(example, width, num_examples).astype(np.int64)
        size = max(int(positions.max(initial=1)), 1)
        place = example[owner] * size + column[owner] + np.where(pooled[owner], 0, within)
        weight = np.where(pooled, 1 / np.sqrt(np.maximum(length, 1)), 1.0)[owner].astype(np.float32)
        token = segments.tokens[segments.ptr[segment][owner] + within]
        mask = np.arange(size)[None, :] < positions[:, None]
        grid = (torch.from_numpy(part) for part in (token, place, weight, mask))
        return Inputs(*grid)  # type: ignore[arg-type]

    def compose(
        self,
        prompt: np.ndarray,
        history: tuple[np.ndarray, np.ndarray] | None = None,
        tail: tuple[np.ndarray, np.ndarray] | None = None,
        segments: Sequences | None = None,
        mix: np.ndarray | None = None,
        frame: Frame | None = None,
    ) -> Inputs:
        """Inputs of B examples: a prompt, the events of a history, and a tail (query, text or identifier).

        `prompt` (B,), and for a conditioned model `mix` (B,), hold rows of `segments`; `history` and `tail` are
        pairs (example, row of `segments`). With a template the prompt is its first piece, the `frame` the rest of it.
        """
        num = len(prompt)
        every = np.arange(num)
        short = self.history == "pooled"
        parts = [(every, prompt, np.full(num, short))]
        if mix is not None:
            parts.append((every, mix, np.full(num, False)))
        if history is not None:
            events = history if frame is None else _with_marks(*history, frame.mark)
            parts.append((*events, np.full(len(events[0]), short)))
        if frame is not None:
            parts.append((every, frame.between, np.full(num, False)))
        if tail is not None:
            parts.append((*tail, np.full(len(tail[0]), False)))
        if frame is not None:
            parts.append((every, frame.behind, np.full(num, False)))
        example, segment, pooled = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(example, kind="stable")
        inputs = self.assemble(example[order], segment[order], pooled[order], num, segments)
        if history is None or not len(self.vocabulary.ages):
            return inputs
        return self._tell_ages(inputs, history[0], 1 if mix is None else 2)

    def _tell_ages(self, inputs: Inputs, example: np.ndarray, first: int) -> Inputs:
        """Add a token to each event's position that says how many events came after it. `example` (G,) ascending are the
        inputs that G pooled events belong to, `first` the position of an input's first event.

        The decoder's cross-attention has no positions of its own (Raffel et al. 2020): without this it could not tell
        the latest event from an old one.
        """
        count = np.bincount(example, minlength=len(inputs.mask))
        within = np.arange(len(example)) - (np.cumsum(count) - count)[example]
        age = np.minimum(count[example] - 1 - within, len(self.vocabulary.ages) - 1)
        token = torch.from_numpy(self.vocabulary.ages[age])
        place = torch.from_numpy(example * inputs.mask.shape[1] + first + within)
        return inputs._replace(
            token=torch.cat([inputs.token, token]),
            place=torch.cat([inputs.place, place]),
            weight=torch.cat([inputs.weight, torch.ones(len(token))]),
        )

    def ask(self, task: str, events: Sequences, count: np.ndarray, queries: list[str] | None = None) -> Inputs:
        """Inputs that put a task to the model outside training, with the first prompt.

        `events` holds the history segments of all B examples one after the other, `count` (B,) how many each.
        """
        num = len(count)
        first = self.prompt_row[task]
        parts = [Sequences.of([self.prompts[first]]), events]
        if queries is not None:
            parts.append(self.with_behaviour("<S_Q>", self.vocabulary.encode(queries, self.max_query)))
        history = np.repeat(np.arange(num), count), 1 + np.arange(len(events))
        tail = None if queries is None else (np.arange(num), 1 + len(events) + np.arange(num))
        mix = None
        if len(self.vocabulary.mixes):
            mix = np.full(num, sum(map(len, parts)))
            parts.append(Sequences.of([self.vocabulary.mixes[self.mix_level : self.mix_level + 1]]))
        frame = None
        if self.marks is not None:
            between = sum(map(len, parts))
            behind, mark = between + 1, between + 2
            parts.append(Sequences.of([*(self.prompts[first + n * self.num_prompts] for n in (1, 2)), self.marks[1]]))
            frame = Frame(np.full(num, between), np.full(num, behind), mark)
        return self.compose(np.zeros(num, np.int64), history, tail, Sequences.stack(parts), mix, frame)

    def frame_of(self, prompt: np.ndarray) -> Frame | None:
        """The rest of some templates, given the rows (B,) of their first pieces; None in the other forms."""
        if self.marks is None:
            return None
        return Frame(prompt + self.num_prompts, prompt + 2 * self.num_prompts, int(self.base["mark"]) + 1)

    def _latest(self, events: np.ndarray, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The last `max_events` of some events of the log, ascending, in `start:stop` of each example (B,)."""
        first, last = np.searchsorted(events, start), np.searchsorted(events, stop)
        count = np.minimum(last - first, self.max_events)
        example = np.repeat(np.arange(len(start)), count)
        within = np.arange(len(example)) - np.repeat(np.cumsum(count) - count, count)
        return example, events[(last - count)[example] + within]

    def history_rows(self, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The last `max_events` events before `stop` of each example (B,), as (example, event) pairs in time order. In the
        paper's form, the last `max_events` clicks on recommendations and as many searches."""
        if self.history == "template":
            found = [self._latest(kind, start, stop) for kind in self.kinds]
            example, event = (np.concatenate(column) for column in zip(*found, strict=True))
            order = np.lexsort((event, example))
            return example[order], event[order]
        count = np.minimum(stop - start, self.max_events)
        example = np.repeat(np.arange(len(start)), count)
        within = np.arange(len(example)) - np.repeat(np.cumsum(count) - count, count)
        return example, (stop - count)[example] + within
