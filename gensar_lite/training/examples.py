"""Training examples of the six tasks, and the batches drawn from them.

Explained in notebook 05. A batch is a pure function of (seed, step): nothing to keep for a resume, and several
processes take their share of the same batch. Every task goes through its examples in shuffled epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from gensar_lite.data.dataset import Dataset
from gensar_lite.network.branches import Branches, branch, path_choices
from gensar_lite.network.inputs import InputEncoder, Inputs
from gensar_lite.network.prompts import PROMPTS, TEXT_TASKS
from gensar_lite.network.vocabulary import Sequences
from gensar_lite.training.settings import TrainingConfig

VIEWS = ("semantic", "collaborative")
MAX_AHEAD = 4
SHORTEST, LENGTH_RATIO = (
    4,
    2.0,
)  # inputs of one chunk differ in length by no more than this ratio, which bounds the padding


class CodeChunk(NamedTuple):
    """B examples whose target is an identifier. `rows[view]` (B_v,) are those of a view, `targets[view]` (B_v, L) its
    tokens. With softmax "trie", `choices[view]` holds per level the examples among B_v that have a choice, and between what. `item` (B,)
    are the targets' numbers."""

    inputs: Inputs
    decoder: torch.Tensor
    rows: dict[str, torch.Tensor]
    targets: dict[str, torch.Tensor]
    choices: dict[str, list[tuple[torch.Tensor, Branches]]]
    item: torch.Tensor


class TextChunk(NamedTuple):
    """B examples whose target is text: decoder inputs (B, T) and labels (B, T), -100 where padded."""

    inputs: Inputs
    decoder: torch.Tensor
    labels: torch.Tensor


Chunk: TypeAlias = CodeChunk | TextChunk


@dataclass(frozen=True)
class TaskExamples:
    """n examples of one task: history `start:stop` of the log, `tail` segment (-1: none), target item, view or text row."""

    start: np.ndarray
    stop: np.ndarray
    tail: np.ndarray
    item: np.ndarray
    view: np.ndarray
    text: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


def _task(
    num: int,
    start: np.ndarray | int = 0,
    stop: np.ndarray | int = 0,
    tail: np.ndarray | int = -1,
    item: np.ndarray | int = -1,
    view: np.ndarray | int = 0,
    text: np.ndarray | int = -1,
) -> TaskExamples:
    return TaskExamples(
        *(np.broadcast_to(part, num).astype(np.int64) for part in (start, stop, tail, item, view, text))
    )


class Examples:
    """All training examples of a data set and the rule by which steps draw from them.

    `pseudo_queries` holds texts and the item numbers they were written for.
    """

    def __init__(
        self,
        data: Dataset,
        encoder: InputEncoder,
        pseudo_queries: tuple[list[str], np.ndarray],
        config: TrainingConfig,
        seed: int,
    ) -> None:
        self.encoder = encoder
        self.vocabulary = encoder.vocabulary
        self.config = config
        self.seed = seed
        base = encoder.base
        every = np.arange(data.num_items)
        pseudo = encoder.with_behaviour("<S_Q>", self.vocabulary.encode(pseudo_queries[0], encoder.max_query))
        first_pseudo = len(encoder.segments)
        first_identifier = first_pseudo + len(pseudo)
        self.segments = Sequences.stack(
            [encoder.segments, pseudo, *(encoder.identifier_segments(every, view) for view in VIEWS)]
        )
        log = data.log
        clicked = data.train_mask & (log.item >= 0)
        # a history ends before the decision: no other click of a session stands in it
        start, before = log.user_ptr[log.user], np.asarray(log.before, np.int64)
        self.item_of = log.item
        open_events = np.bincount(log.user, data.train_mask, log.num_users).astype(np.int64)
        self.last_open = (log.user_ptr[:-1] + np.maximum(open_events - 1, 0))[
            log.user
        ]  # the user's last event open to training
        # what somebody searched for also says what they want: every click is a target of recommendation
        recommended = np.flatnonzero(clicked & (log.recommended | config.recommend_searched))
        searched = np.flatnonzero(clicked & log.searched)
        asked = np.flatnonzero(data.train_mask & log.searched)
        both = np.concatenate([every, every])
        view = np.repeat([0, 1], data.num_items)
        self.tasks = {
            "next_item": _task(
                len(recommended), start[recommended], before[recommended], item=log.item[recommended], view=1
            ),
            "next_search_item": _task(
                len(searched),
                start[searched],
                before[searched],
                base["query"] + log.query[searched],
                log.item[searched],
            ),
            "query_to_item": _task(len(pseudo), tail=first_pseudo + np.arange(len(pseudo)), item=pseudo_queries[1]),
            "text_to_item": _task(len(both), tail=base["text"] + both, item=both, view=view),
            "next_query": _task(len(asked), start[asked], before[asked], text=base["query"] + log.query[asked]),
            "item_to_text": _task(len(both), tail=first_identifier + np.arange(len(both)), text=base["text"] + both),
        }
        if data.info.get("anonymous"):  # judged queries: nobody clicked or typed anything after anything
            del self.tasks["next_item"], self.tasks["next_query"]
        most = config.epoch_examples
        self.in_epoch = {task: min(most.get(task) or len(rows), len(rows)) for task, rows in self.tasks.items()}
        self.in_epoch |= {task: 0 for task, number in most.items() if number == 0}
        wanted = self.in_epoch if most else config.shares()
        shares = {task: share for task, share in wanted.items() if len(self.tasks.get(task, ())) and share > 0}
        self.shares = {task: share / sum(shares.values()) for task, share in shares.items()}
        self.order = lru_cache(maxsize=2 * len(PROMPTS))(self._order)

    def _order(self, task: str, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, list(PROMPTS).index(task), epoch])
        return rng.permutation(len(self.tasks[task]))

    def schedule(self) -> TrainingConfig:
        """The settings, with steps and validations counted in epochs where those are given."""
        if self.config.epochs is None:
            return self.config
        per_epoch = -(-sum(self.in_epoch[task] for task in self.shares) // self.config.batch_size)
        return replace(self.config, steps=self.config.epochs * per_epoch, validate_every=per_epoch)

    def draw(self, task: str, step: int, batch_size: int) -> np.ndarray:
        """The rows of a task's examples that a step trains on."""
        pace = batch_size * self.shares[task]
        place = np.arange(int(step * pace), int((step + 1) * pace))
        epoch, within = np.divmod(place, len(self.tasks[task]))
        return np.concatenate([self.order(task, int(e))[within[epoch == e]] for e in np.unique(epoch)] or [place])

    def chunks(self, step: int, part: int = 0, num_parts: int = 1) -> list[Chunk]:
        """One of some equal parts of a step's batch, in chunks of like length."""
        config = self.config
        rng = np.random.default_rng([self.seed, step, 1])
        columns: list[list[np.ndarray]] = [[], []]
        for task in self.shares:
            rows = self.draw(task, step, config.batch_size)
            examples = self.tasks[task]
            prompt = self.encoder.prompt_row[task] + rng.integers(self.encoder.num_ways[task], size=len(rows))
            if (odds := config.level_odds(task)) is not None:  # Dosovitskiy & Djolonga 2020, "You Only Train Once"
                prompt = prompt + self.encoder.num_prompts * rng.choice(len(odds), size=len(rows), p=odds)
            history = examples.stop[rows] - examples.start[rows]
            kept = history if self.encoder.history == "template" else np.minimum(history, self.encoder.max_events)
            # a random part of the history is hidden: an old habit must not drown the latest event
            kept = np.where(rng.random(len(rows)) < config.shorten_history, rng.integers(0, kept + 1), kept)
            item = self._look_ahead(examples, rows, rng) if task == "next_item" else examples.item[rows]
            drawn = np.stack(
                [
                    prompt,
                    examples.stop[rows] - kept,
                    examples.stop[rows],
                    examples.tail[rows],
                    item,
                    examples.view[rows],
                    examples.text[rows],
                ]
            )
            columns[task in TEXT_TASKS].append(drawn[:, part::num_parts])
        chunks: list[Chunk] = []
        for kind, tables in enumerate(columns):
            if not tables:
                continue
            table = np.concatenate(tables, axis=1)
            width = np.floor(np.log(np.maximum(self._length(table), SHORTEST)) / np.log(LENGTH_RATIO))
            for length in np.unique(width):
                piece = table[:, width == length]
                chunks.append(self._text_chunk(piece) if kind else self._code_chunk(piece))
        return chunks

    def _look_ahead(self, examples: TaskExamples, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Target items of next-item examples: the next click, or at times one a few events later, which also tells
        what this user wants (Pancha et al. 2022, PinnerFormer) and keeps a small log from being learned by heart."""
        event = examples.stop[rows]
        ahead = rng.integers(1, MAX_AHEAD, size=len(rows), endpoint=True)
        later = np.minimum(event + ahead, self.last_open[event])
        use = (rng.random(len(rows)) < self.config.look_ahead) & (self.item_of[later] >= 0)
        return np.where(use, self.item_of[later], examples.item[rows])

    def _length(self, table: np.ndarray) -> np.ndarray:
        _, start, stop, tail, *_ = table
        lengths = np.append(self.segments.lengths, 0)  # tail -1 reads the appended zero
        if self.encoder.history == "pooled":
            return stop - start + lengths[tail]
        if self.encoder.history == "template":
            example, event = self.encoder.history_rows(start, stop)
            events = lengths[self.encoder.base["event"] + event]
            return np.bincount(example, events, len(start)) + lengths[tail]
        ends = self.segments.ptr[self.encoder.base["event"] + np.stack([start, stop])]
        return ends[1] - ends[0] + lengths[tail]

    def _inputs(self, table: np.ndarray) -> Inputs:
        prompt, start, stop, tail, *_ = table
        example, event = self.encoder.history_rows(start, stop)
        there = np.flatnonzero(tail >= 0)
        mix = None
        if self.config.mix_levels:
            level, prompt = np.divmod(prompt, self.encoder.num_prompts)
            mix = self.encoder.base["mix"] + level
        return self.encoder.compose(
            prompt,
            (example, self.encoder.base["event"] + event),
            (there, tail[there]),
            self.segments,
            mix,
            self.encoder.frame_of(prompt),
        )

    def _code_chunk(self, table: np.ndarray) -> CodeChunk:
        *_, item, view, _ = table
        rows, targets, choices = {}, {}, {}
        decoder = np.zeros((len(item), 2 + self.vocabulary.num_levels), np.int64)
        for v, name in enumerate(VIEWS):
            which = np.flatnonzero(view == v)
            if len(which):
                tokens = self.vocabulary.view_tokens[name][item[which]]
                decoder[which, 1] = self.vocabulary.behaviour_of(name)
                decoder[which, 2:] = tokens
                rows[name], targets[name] = torch.from_numpy(which), torch.from_numpy(tokens)
                if self.config.softmax == "trie":
                    choices[name] = [
                        (some, branch(self.vocabulary, name, level, node)[0])
                        for level, (some, node) in enumerate(path_choices(self.vocabulary, name, item[which]))
                    ]
        return CodeChunk(self._inputs(table), torch.from_numpy(decoder), rows, targets, choices, torch.from_numpy(item))

    def _text_chunk(self, table: np.ndarray) -> TextChunk:
        text = table[-1]
        lengths = self.segments.lengths[text]
        if self.config.max_target_text is not None:
            lengths = np.minimum(lengths, self.config.max_target_text)
        size = int(lengths.max()) + 1
        inside = np.arange(size)[None, :] < lengths[:, None]
        owner, column = np.nonzero(inside)
        labels = np.full((len(text), size), -100, np.int64)
        labels[owner, column] = self.segments.tokens[self.segments.ptr[text][owner] + column]
        labels[np.arange(len(text)), lengths] = self.vocabulary.eos
        decoder = np.zeros_like(labels)
        decoder[:, 1:] = np.where(labels[:, :-1] < 0, self.vocabulary.pad, labels[:, :-1])
        return TextChunk(self._inputs(table), torch.from_numpy(decoder), torch.from_numpy(labels))
