"""Exact scores of chosen items: the sum of log-probabilities of every identifier, each shared prefix computed once.

Explained in notebook 06. The candidates of a query form a small prefix tree. One decoder pass computes all its nodes:
they are positions of one sequence that attend to their ancestors alone. A beam search, by contrast,
leaves every candidate unranked that falls out of the beam.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import T5ForConditionalGeneration

from gensar_lite.decoding.tree import TreeDecoder, code_logprobs, descend, log_normaliser, masses_of
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
    table = vocabulary.view_tokens[view]
    if not items.size:
        raise ValueError("there is no candidate to score: give at least one item")
    if items.min() < 0 or items.max() >= len(table):
        raise ValueError(
            f"candidates must be item numbers between 0 and {len(table) - 1}, got {items.min()} to {items.max()}"
        )
    device = model.shared.weight.device
    num_queries = len(inputs.mask)
    order = np.argsort(vocabulary.rank[view][items], axis=1)
    ordered = np.take_along_axis(items, order, axis=1)
    tokens, nodes = table[ordered], vocabulary.nodes[view][ordered]
    place_in_trie = np.zeros((len(items), 1), np.int64)
    full = softmax == "full"
    masses = masses_of(vocabulary, view, inputs)
    behaviour = slice(vocabulary.behaviour_of(view), vocabulary.behaviour_of(view) + 1)
    decoder = TreeDecoder(model, inputs.to(device), 2 + vocabulary.num_levels)
    start = torch.tensor([[vocabulary.pad, behaviour.start]], device=device)
    states = decoder.extend(start.expand(num_queries, -1), torch.tensor([[[0, -1], [1, 0]]], device=device))
    total = states.new_zeros(num_queries, items.shape[1])
    if full:
        total += (
            t5.logits(model, states[:, :1], behaviour) - log_normaliser(model, states[:, :1], softmax, behaviour)
        )[..., 0]
    states, distance = states[:, 1:], torch.tensor([[[1, 0]]], device=device)
    node = np.zeros(items.shape, np.int64)
    fresh = np.zeros(items.shape, bool)
    fresh[:, 0] = True
    for depth, (first, last) in enumerate(vocabulary.level_slices[view]):
        logprob = code_logprobs(model, vocabulary, view, depth, states, place_in_trie.ravel(), softmax, masses=masses)
        place = torch.from_numpy(node * (last - first) + tokens[..., depth] - first).to(device)
        total += logprob.flatten(1).gather(1, place.expand(num_queries, -1))
        if depth + 1 == vocabulary.num_levels and not full:
            break
        # candidates are in identifier order: a node begins where the prefix differs from the neighbour's
        fresh[:, 1:] |= tokens[:, 1:, depth] != tokens[:, :-1, depth]
        above, node = node, np.cumsum(fresh, axis=1) - 1
        row, column = np.nonzero(fresh)
        token, parent, place_in_trie = np.zeros((3, len(items), node.max() + 1), np.int64)
        token[...] = first
        token[row, node[row, column]] = tokens[row, column, depth]
        parent[row, node[row, column]] = above[row, column]
        place_in_trie[row, node[row, column]] = nodes[row, column, depth]
        token, parent = (torch.from_numpy(part).to(device) for part in (token, parent))
        distance = descend(distance.expand(len(items), -1, -1), parent)
        states = decoder.extend(token.expand(num_queries, -1), distance)
    if full:
        end = slice(vocabulary.eos, vocabulary.eos + 1)
        ends = (t5.logits(model, states, end) - log_normaliser(model, states, softmax, end))[..., 0]
        total += ends.gather(1, torch.from_numpy(node).to(device).expand(num_queries, -1))
    back = np.argsort(order, axis=1)
    return np.take_along_axis(total.float().cpu().numpy(), np.broadcast_to(back, total.shape), axis=1)
