"""Exact scores of chosen items: the sum of log-probabilities of every identifier, each shared prefix computed once.

Explained in notebook 06. The candidates of a query form a small prefix tree, and one decoder pass computes all its nodes.
With softmax "trie" a node below which there is no choice is not computed at all. A beam search, by contrast, leaves
every candidate unranked that falls out of the beam.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from gensar_lite.decoding.tree import (
    TreeDecoder,
    check_inputs,
    code_logprobs,
    log_normaliser,
    masses_of,
    token_logprobs,
)
from gensar_lite.evidence.sources import NodeMasses
from gensar_lite.network import t5
from gensar_lite.network.inputs import Inputs
from gensar_lite.network.vocabulary import Vocabulary

ROWS_AT_ONCE = 8192
ITEMS_AT_ONCE = 8192


class Level(NamedTuple):
    """The nodes of a level of some prefix trees that need a state, R of them: trie node, token and parent's row, (R,) each;
    and of each candidate (Q, n) the row of its node, -1 where that needs none."""

    node: np.ndarray
    token: np.ndarray
    parent: np.ndarray
    row: np.ndarray


@torch.inference_mode()
def score_items(
    model: T5ForConditionalGeneration,
    vocabulary: Vocabulary,
    inputs: Inputs,
    view: str,
    items: np.ndarray,
    softmax: str = "trie",
) -> np.ndarray:
    """(B, n) log-probabilities of items (B, n), or of the same items (1, n) for every query, given B inputs.

    `softmax` as in `beam_search`, whose scores these are. Raises ValueError for an empty list or unknown items.
    """
    items = np.atleast_2d(np.asarray(items))
    _check(items, len(vocabulary.view_tokens[view]))
    check_inputs(model, inputs)
    inputs = inputs.to(model.shared.weight.device)
    encoded = t5.encode(model, inputs)
    num_queries, masses = len(encoded), masses_of(vocabulary, view, inputs)
    order = np.argsort(vocabulary.rank[view][items], axis=1)  # neighbours in identifier order share prefixes
    ordered = np.take_along_axis(items, order, axis=1)
    scores = np.empty((num_queries, items.shape[1]), np.float32)
    for first in range(0, items.shape[1], ITEMS_AT_ONCE):
        columns = slice(first, first + ITEMS_AT_ONCE)
        shared = _levels(vocabulary, view, ordered[:, columns], softmax) if len(items) == 1 else None
        size = sum(len(level.node) for level in shared) if shared else (vocabulary.num_levels + 1) * items.shape[1]
        block = max(ROWS_AT_ONCE // size, 1)
        for start in range(0, num_queries, block):
            rows = slice(start, start + block)
            levels = shared or _levels(vocabulary, view, ordered[rows, columns], softmax)
            decoder = TreeDecoder(model, encoded[rows], inputs.mask[rows], 2 + vocabulary.num_levels)
            total = _score_trees(
                decoder,
                vocabulary,
                view,
                levels,
                ordered[:1] if shared else ordered[rows],
                columns,
                softmax,
                masses,
                start,
            )
            scores[rows, columns] = total.cpu().numpy()
    return np.take_along_axis(scores, np.broadcast_to(np.argsort(order, axis=1), scores.shape), axis=1)


def _levels(vocabulary: Vocabulary, view: str, ordered: np.ndarray, softmax: str) -> list[Level]:
    """The trees of Q lists of candidates (Q, n), each in identifier order, from the root down."""
    tokens, nodes = vocabulary.view_tokens[view][ordered], vocabulary.nodes[view][ordered]
    every = np.arange(len(ordered))
    root = Level(
        np.zeros(len(ordered), np.int64),
        np.full(len(ordered), vocabulary.behaviour_of(view)),
        every,
        np.broadcast_to(every[:, None], ordered.shape),
    )
    levels = [root]
    fresh = np.zeros(ordered.shape, bool)
    fresh[:, 0] = True
    for depth in range(vocabulary.num_levels):
        node = nodes[..., depth]
        # a node begins where the prefix differs from the neighbour's
        fresh[:, 1:] |= node[:, 1:] != node[:, :-1]
        if softmax == "trie":
            wanted = vocabulary.tries[view].has_choice[depth + 1][node]
        else:
            wanted = np.full(ordered.shape, softmax == "full" or depth + 1 < vocabulary.num_levels)
        new = fresh & wanted
        if not new.any():
            break
        row = np.where(wanted, np.cumsum(new).reshape(new.shape) - 1, -1)
        levels.append(Level(node[new], tokens[..., depth][new], levels[-1].row[new], row))
    return levels


def _score_trees(
    decoder: TreeDecoder,
    vocabulary: Vocabulary,
    view: str,
    levels: list[Level],
    ordered: np.ndarray,
    columns: slice,
    softmax: str,
    masses: NodeMasses | None,
    first_asker: int,
) -> Tensor:
    """(B, n) scores of the candidates of B queries in trees of their own, or in one tree for all. The queries are
    inputs number `first_asker` and following of those that `masses` are of."""
    model, device = decoder.model, decoder.query.device
    copies = decoder.num_queries // len(ordered)
    tokens = vocabulary.view_tokens[view][ordered[:, columns]]
    asked, above = decoder.start(vocabulary.pad, vocabulary.behaviour_of(view)), len(ordered)
    for level in levels[1:]:
        parent = (np.arange(copies)[:, None] * above + level.parent).ravel()
        token = np.tile(level.token, copies)
        asked.append((torch.from_numpy(token).to(device), torch.from_numpy(parent).to(device)))
        above = len(level.node)
    states = decoder.extend(asked)
    total = states[0].new_zeros((decoder.num_queries, tokens.shape[1]), dtype=torch.float32)
    normalisers: list[Tensor] = []
    if softmax == "full":
        sizes = [len(part) for part in states]
        normalisers = list(log_normaliser(model, torch.cat(states), softmax, slice(0)).split(sizes))
        total += token_logprobs(model, states[0], asked[1][0], normalisers[0])[:, None]
    for depth, level in enumerate(levels):
        nodes = np.tile(level.node, copies)
        normaliser = normalisers[depth + 1] if normalisers else None
        if depth == vocabulary.num_levels:
            end = torch.full((len(nodes),), vocabulary.eos, device=device)
            logprob, place = token_logprobs(model, states[depth + 1], end, normalisers[-1]), level.row
        else:
            first, last = vocabulary.level_slices[view][depth]
            asker = decoder.queries[depth + 1].cpu().numpy() + first_asker
            logprob = code_logprobs(
                model, vocabulary, view, depth, states[depth + 1], nodes, softmax, None, normaliser, masses, asker
            )
            place = np.where(level.row >= 0, level.row * (last - first) + tokens[..., depth] - first, -1)
        there = torch.from_numpy(place.ravel()).to(device)
        said = logprob.reshape(copies, -1)[:, there.clamp_min(0)].masked_fill(there < 0, 0)
        total += said.view_as(total)
    return total


def _check(items: np.ndarray, num_items: int) -> None:
    if not items.size:
        raise ValueError("there is no candidate to score: give at least one item")
    if items.min() < 0 or items.max() >= num_items:
        raise ValueError(
            f"candidates must be item numbers between 0 and {num_items - 1}, got {items.min()} to {items.max()}"
        )
