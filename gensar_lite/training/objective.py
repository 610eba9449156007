"""The loss of a batch and its gradients, chunk by chunk.

Explained in notebook 05. The chunks of a batch meet in the weights alone. Each goes forwards and backwards by itself, so one at a
time is in memory and several cores take one each; gradients are added in one order, and the bits are the same for any number of cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.branches import child_logits, code_logits
from gensar_lite.network.linear import linear
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.training.chance import Chance
from gensar_lite.training.examples import Chunk, CodeChunk, TextChunk
from gensar_lite.training.settings import TrainingConfig


class Shared(NamedTuple):
    """What a chunk reads of the tables of tokens: vectors of its inputs (T, D), of what its decoder has written (B * T, D), of
    the nodes that it chooses between (Q, D); and the rows of the head for words (with softmax "full" for all tokens), for the codes in
    each view, and for items."""

    read: Tensor
    written: Tensor
    nodes: Tensor
    words: Tensor
    collaborative: Tensor
    semantic: Tensor
    items: Tensor


class Objective(torch.nn.Module):
    """The mean loss per target token of a list of chunks; a module, so that several processes can share its gradients.

    `workers` computes chunks side by side; None: one after the other.
    """

    def __init__(
        self, backbone: T5, vocabulary: Vocabulary, config: TrainingConfig, workers: Executor | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.vocabulary, self.config = backbone, vocabulary, config
        self.full, self.workers = config.softmax == "full", workers
        self.item_weight = config.item_loss if vocabulary.num_remembered else 0.0

    def forward(self, chunks: Sequence[Chunk], chances: Sequence[Chance] = ()) -> Tensor:
        """`chances` are those of the chunks, if they are drawn already."""
        shared = self._look_up(chunks)
        sizes = [self.size_of(chunk) for chunk in chunks]
        tables = {id(self.backbone.shared.weight), id(t5.head(self.backbone))}
        weights = [p for p in self.backbone.parameters() if p.requires_grad and id(p) not in tables]
        learning = torch.is_grad_enabled()
        factor = self.backbone.shared.weight.new_tensor(1 / self.config.accumulate)

        def compute(number: int) -> tuple[Tensor, Sequence[Tensor | None]]:
            chance = chances[number] if chances else Chance(self.config)
            leaves = Shared(*(part.detach().requires_grad_(learning) for part in shared[number]))
            with torch.set_grad_enabled(learning):
                loss = self.loss_of(chunks[number], leaves, chance) * (sizes[number] / sum(sizes))
            wanted = [*leaves, *weights]
            return loss.detach(), torch.autograd.grad(loss, wanted, factor, allow_unused=True) if learning else ()

        if self.workers is None:
            found = list(map(compute, range(len(chunks))))
        else:  # the largest first, and the cores end together
            order = sorted(range(len(chunks)), key=lambda number: -chunks[number].inputs.mask.numel())
            at_work = {number: self.workers.submit(compute, number) for number in order}
            found = [at_work[number].result() for number in range(len(chunks))]
        parts = [
            _Known.apply(loss, factor, gradients, *inputs, *weights) if learning else loss
            for (loss, gradients), inputs in zip(found, shared, strict=True)
        ]
        return torch.stack(parts).sum()

    def _look_up(self, chunks: Sequence[Chunk]) -> list[Shared]:
        # every look-up in a table has a gradient as large as the table: one for all tokens, one for all codes
        table, head = self.backbone.shared.weight, t5.head(self.backbone)
        tokens = [part for chunk in chunks for part in (chunk.inputs.token, chunk.decoder.flatten())]
        nodes = [_node_tokens(chunk) for chunk in chunks]
        vectors = _rows(table, [*tokens, *nodes]) if head is table else (*_rows(table, tokens), *_rows(head, nodes))
        if self.full:
            parts = head, head[:0], head[:0], head[:0]
        else:
            first, last = self.vocabulary.num_words, self.vocabulary.num_written
            rivals = last + self.vocabulary.num_remembered
            words, codes, items, _ = head.split([first, last - first, rivals - last, len(head) - rivals])
            parts = words, codes, codes, items
        words_of = vectors[: len(tokens)]
        return [
            Shared(*three, *parts) for three in zip(words_of[::2], words_of[1::2], vectors[len(tokens) :], strict=True)
        ]

    def size_of(self, chunk: Chunk) -> int:
        """What a chunk weighs: its examples; with softmax "full", as in the paper, its target tokens."""
        if not self.full:
            return len(chunk.decoder)
        return chunk.decoder.numel() if isinstance(chunk, CodeChunk) else int((chunk.labels >= 0).sum())

    def loss_of(self, chunk: Chunk, shared: Shared, chance: Chance) -> Tensor:
        """The mean loss of a chunk."""
        encoded = t5.encode(self.backbone, chunk.inputs, chance.drop, shared.read, chance.of_weights)
        decoder = shared.written.view(*chunk.decoder.shape, -1)
        if isinstance(chunk, CodeChunk) and not self.full:
            decoder = decoder[:, :-1]  # nothing follows the last code
        states = t5.decode(self.backbone, decoder, encoded, chunk.inputs.mask, chance.drop, chance.of_weights)
        if isinstance(chunk, TextChunk):
            there = chunk.labels >= 0
            return F.cross_entropy(linear(states[there], shared.words), chunk.labels[there])
        loss = self.code_loss(chunk, states, shared)
        return (
            loss + self.item_weight * self.item_loss(chunk, states[:, 1], shared, chance) if self.item_weight else loss
        )

    def code_loss(self, chunk: CodeChunk, states: Tensor, shared: Shared) -> Tensor:
        """The codes of the targets, each among its siblings, or among all tokens."""
        if self.full:
            labels = F.pad(chunk.decoder[:, 1:], (0, 1), value=self.vocabulary.eos)
            return F.cross_entropy(linear(states, shared.words).flatten(0, 1), labels.flatten())
        losses, used = [], 0
        for view, rows in chunk.rows.items():
            codes = getattr(shared, view)
            for level, (start, stop) in enumerate(self.vocabulary.level_slices[view]):
                book = codes[start - self.vocabulary.num_words : stop - self.vocabulary.num_words]
                here, target = states[rows, 1 + level], chunk.targets[view][:, level] - start
                some, branches = chunk.choices[view][level]
                first, used = used, used + len(branches.token)
                children = child_logits(here[some], book, branches, shared.nodes[first:used])
                scores, target = code_logits(children, branches, len(some), len(book)), target[some]
                losses.append(F.cross_entropy(scores, target, reduction="sum"))
        return torch.stack(losses).sum() / (len(chunk.decoder) * self.vocabulary.num_levels)

    def item_loss(self, chunk: CodeChunk, states: Tensor, shared: Shared, chance: Chance) -> Tensor:
        """The target among all items, or among a sample of a large catalogue, by the states (B, D) that choose the first code.

        Siblings alone would never tell an item's vector from those of items elsewhere in the trie; in histories it is read
        beside all of them.
        """
        rivals, target = shared.items, chunk.item
        if (drawn := chance.rivals(len(rivals), target.device)) is not None:
            rows, places = torch.unique(torch.cat([target, drawn]), return_inverse=True)
            rivals, target = F.embedding(rows, rivals), places[: len(target)]
        return F.cross_entropy(linear(states, rivals), target)


class _Known(torch.autograd.Function):
    """A loss whose gradients are known already, times `factor`: what a part of an accumulated batch counts."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, factor: Tensor, gradients: Sequence[Tensor | None], *inputs: Tensor) -> Tensor:
        ctx.factor, ctx.gradients = factor, gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        more, gradients, ctx.gradients = given[0] / ctx.factor, ctx.gradients, ()
        if more.device.type != "cpu" or more != 1:  # a GPU is not waited for
            gradients = [part if part is None else part * more for part in gradients]
        return None, None, None, *gradients


def _rows(table: Tensor, tokens: list[Tensor]) -> tuple[Tensor, ...]:
    """Rows of a table for some lists of tokens, in one look-up."""
    return F.embedding(torch.cat(tokens), table).split([len(part) for part in tokens])


def _node_tokens(chunk: Chunk) -> Tensor:
    """Tokens of the node vectors that a chunk chooses between, in the order of `Objective.code_loss`."""
    choices = chunk.choices.values() if isinstance(chunk, CodeChunk) else ()
    tokens = [branches.token for levels in choices for _, branches in levels]
    return torch.cat(tokens) if tokens else torch.zeros(0, dtype=torch.long, device=chunk.decoder.device)
