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

from gensar_lite.decoding.tree import TreeDecoder
from gensar_lite.network.scorer import Scorer, log_normaliser, token_logprobs

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
def score_items(scorer: Scorer, items: np.ndarray) -> np.ndarray:
    """(B, n) log-probabilities of items (B, n), or of the same items (1, n) for every one of a scorer's B requests.

    They are the scores of `beam_search`, in the scorer's whole trie. Raises ValueError for an empty list or unknown items.
    """
    if scorer.trie.origin is not None:
        raise ValueError(
            "exact scores are those in the whole trie; score the items with a scorer that has no part of it"
        )
    items, vocabulary = np.atleast_2d(np.asarray(items)), scorer.vocabulary
    _check(items, len(vocabulary.view_tokens[scorer.view]))
    encoded, mask = scorer.encoded, scorer.inputs.mask
    order = np.argsort(vocabulary.leaf[scorer.view][items], axis=1)  # neighbours in identifier order share prefixes
    ordered = np.take_along_axis(items, order, axis=1)
    scores = np.empty((len(scorer), items.shape[1]), np.float32)
    for first in range(0, items.shape[1], ITEMS_AT_ONCE):
        columns = slice(first, first + ITEMS_AT_ONCE)
        shared = _levels(scorer, ordered[:, columns]) if len(items) == 1 else None
        size = sum(len(level.node) for level in shared) if shared else (vocabulary.num_levels + 1) * items.shape[1]
        block = max(ROWS_AT_ONCE // size, 1)
        for start in range(0, len(scorer), block):
            rows = slice(start, start + block)
            some = ordered[:1, columns] if shared else ordered[rows, columns]
            decoder = TreeDecoder(scorer.model, encoded[rows], mask[rows], 2 + vocabulary.num_levels)
            total = _score_trees(scorer, decoder, shared or _levels(scorer, some), some, start)
            scores[rows, columns] = total.cpu().numpy()
    return np.take_along_axis(scores, np.broadcast_to(np.argsort(order, axis=1), scores.shape), axis=1)


def _levels(scorer: Scorer, ordered: np.ndarray) -> list[Level]:
    """The trees of Q lists of candidates (Q, n), each in identifier order, from the root down."""
    vocabulary, view = scorer.vocabulary, scorer.view
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
        wanted = np.full(ordered.shape, True)
        if scorer.softmax == "trie":
            wanted = vocabulary.tries[view].has_choice[depth + 1][node]
        new = fresh & wanted
        if not new.any():
            break
        row = np.where(wanted, np.cumsum(new).reshape(new.shape) - 1, -1)
        levels.append(Level(node[new], tokens[..., depth][new], levels[-1].row[new], row))
    return levels


def _score_trees(
    scorer: Scorer, decoder: TreeDecoder, levels: list[Level], ordered: np.ndarray, first_request: int
) -> Tensor:
    """(B, n) scores of the candidates (Q, n) of B requests in trees of their own (Q = B), or in one tree for all (Q = 1); the
    requests are number `first_request` and following of the scorer's."""
    model, vocabulary, view, device = scorer.model, scorer.vocabulary, scorer.view, scorer.device
    copies = decoder.num_queries // len(ordered)
    tokens = vocabulary.view_tokens[view][ordered]
    asked, above = decoder.start(vocabulary.pad, vocabulary.behaviour_of(view)), len(ordered)
    for level in levels[1:]:
        parent = (np.arange(copies)[:, None] * above + level.parent).ravel()
        token = np.tile(level.token, copies)
        asked.append((torch.from_numpy(token).to(device), torch.from_numpy(parent).to(device)))
        above = len(level.node)
    states = decoder.extend(asked)
    total = states[0].new_zeros((decoder.num_queries, tokens.shape[1]), dtype=torch.float32)
    normalisers: list[Tensor] = []
    if scorer.softmax == "full":
        sizes = [len(part) for part in states]
        normalisers = list(log_normaliser(model, torch.cat(states)).split(sizes))
        total += token_logprobs(model, states[0], asked[1][0], normalisers[0])[:, None]
    for depth, level in enumerate(levels):
        nodes = np.tile(level.node, copies)
        normaliser = normalisers[depth + 1] if normalisers else None
        if depth == vocabulary.num_levels:
            end = torch.full((len(nodes),), vocabulary.eos, device=device)
            logprob, place = token_logprobs(model, states[depth + 1], end, normalisers[-1]), level.row
        else:
            first, last = vocabulary.level_slices[view][depth]
            request = decoder.queries[depth + 1].cpu().numpy() + first_request
            logprob = scorer.logprobs(depth, states[depth + 1], nodes, request, normaliser)
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
