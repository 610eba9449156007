"""Exact scores of chosen items: the sum of log-probabilities of every identifier, each shared prefix computed once.

Explained in notebook 06. The candidates of a query form a small prefix tree, which is computed level by level. With softmax "trie" a
node below which there is no choice is not computed at all. A beam search, by contrast, leaves every candidate
unranked that falls out of the beam.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import T5ForConditionalGeneration

from gensar_lite.decoding.tree import TreeDecoder, code_logprobs, log_normaliser
from gensar_lite.training import t5
from gensar_lite.training.inputs import Inputs
from gensar_lite.training.vocabulary import Vocabulary


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
    device = model.shared.weight.device
    num_queries, num_lists = len(inputs.mask), len(items)
    order = np.argsort(vocabulary.rank[view][items], axis=1)
    ordered = np.take_along_axis(items, order, axis=1)
    tokens, nodes = vocabulary.view_tokens[view][ordered], vocabulary.nodes[view][ordered]
    full, copies = softmax == "full", num_queries // num_lists

    def everywhere(number: np.ndarray, size: int) -> np.ndarray:
        """Numbers of one list's rows, of which there are `size`, for all queries' rows."""
        return (np.arange(copies)[:, None] * size + number.ravel()).ravel() if copies > 1 else number.ravel()

    behaviour = slice(vocabulary.behaviour_of(view), vocabulary.behaviour_of(view) + 1)
    decoder = TreeDecoder(model, inputs.to(device), 2 + vocabulary.num_levels)
    first_two = decoder.start(vocabulary.pad, behaviour.start)
    states, normaliser = first_two[:, 1], None
    total = states.new_zeros(num_queries, items.shape[1], dtype=torch.float32)
    if full:
        normalisers = log_normaliser(model, first_two, softmax, behaviour)
        total += (t5.logits(model, first_two[:, :1], behaviour) - normalisers[:, :1])[..., 0]
        normaliser = normalisers[:, 1]
    row = np.broadcast_to(np.arange(num_lists)[:, None], items.shape)  # of the state at each candidate's node; -1: none
    asked = np.zeros(num_lists, np.int64)
    fresh = np.zeros(items.shape, bool)
    fresh[:, 0] = True
    for depth, (first, last) in enumerate(vocabulary.level_slices[view]):
        logprob = code_logprobs(
            model, vocabulary, view, depth, states, np.tile(asked, copies), softmax, None, normaliser
        )
        normaliser = None
        code = np.where(row >= 0, row * (last - first) + tokens[..., depth] - first, -1)
        total += _look_up(logprob.view(copies, -1), code).view_as(total)
        # candidates are in identifier order: a node begins where the prefix differs from the neighbour's
        fresh[:, 1:] |= tokens[:, 1:, depth] != tokens[:, :-1, depth]
        wanted = _needed(vocabulary, view, depth + 1, nodes[..., depth], softmax)
        new = fresh & wanted
        above, size = row[new], len(asked)
        row, asked = np.where(wanted, np.cumsum(new).reshape(new.shape) - 1, -1), nodes[..., depth][new]
        if not len(asked):
            break
        token = torch.from_numpy(np.tile(tokens[..., depth][new], copies)).to(device)
        states = decoder.extend(token, torch.from_numpy(everywhere(above, size)).to(device))
    if full:
        end = slice(vocabulary.eos, vocabulary.eos + 1)
        ends = t5.logits(model, states, end) - log_normaliser(model, states, softmax, end)
        total += _look_up(ends.view(copies, -1), row).view_as(total)
    back = np.argsort(order, axis=1)
    return np.take_along_axis(total.float().cpu().numpy(), np.broadcast_to(back, total.shape), axis=1)


def _check(items: np.ndarray, num_items: int) -> None:
    if not items.size:
        raise ValueError("there is no candidate to score: give at least one item")
    if items.min() < 0 or items.max() >= num_items:
        raise ValueError(
            f"candidates must be item numbers between 0 and {num_items - 1}, got {items.min()} to {items.max()}"
        )


def _needed(vocabulary: Vocabulary, view: str, level: int, nodes: np.ndarray, softmax: str) -> np.ndarray:
    """Which nodes need the model's state: with softmax "trie" those with a choice at or below them."""
    if softmax == "trie":
        return vocabulary.tries[view].has_choice[level][nodes]
    return np.full(nodes.shape, softmax == "full" or level < vocabulary.num_levels)


def _look_up(values: torch.Tensor, place: np.ndarray) -> torch.Tensor:
    """(copies, n) entries of values (copies, R) at `place` (n,), 0 where it is -1."""
    place = torch.from_numpy(place.ravel()).to(values.device)
    return values[:, place.clamp_min(0)].masked_fill(place < 0, 0)
