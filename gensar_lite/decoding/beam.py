"""Beam search over the identifier trie.

Explained in notebook 06. Gives the items and scores of `transformers`' `generate` with `prefix_allowed_tokens_fn`
(tested), faster: the encoder and the keys of cross-attention are computed once a query, the beams are
extra query positions; the beams of all levels share one cache of keys, and an ancestor mask says which of them
a beam descends from, so nothing is copied when beams are reordered; codes are masked by array arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from gensar_lite.decoding.tree import TreeDecoder, code_logprobs, descend, log_normaliser, masses_of
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.training import t5
from gensar_lite.training.inputs import Inputs
from gensar_lite.training.vocabulary import Vocabulary


class Beams(NamedTuple):
    """The best items of B queries, best first: `items` (B, M) item numbers, -1 where fewer than M exist; `scores` (B, M),
    sums of log-probabilities (of behaviour, codes and end token with softmax "full"; of codes with "codebook")."""

    items: np.ndarray
    scores: np.ndarray


@torch.inference_mode()
def beam_search(
    model: T5ForConditionalGeneration,
    vocabulary: Vocabulary,
    inputs: Inputs,
    trie: IdentifierTrie,
    view: str,
    num_beams: int = 30,
    softmax: str = "trie",
    exclude: list[np.ndarray] | None = None,
) -> Beams:
    """The `num_beams` most probable identifiers of a view for each of B queries.

    `exclude` lists, per query, item numbers that must not come back. Raises ValueError for fewer than one beam
    or a trie whose depth is not the vocabulary's.
    """
    if num_beams < 1:
        raise ValueError(f"beam search needs at least one beam, not {num_beams}")
    if trie.num_levels != vocabulary.num_levels:
        raise ValueError(
            f"the trie has {trie.num_levels} levels, the vocabulary {vocabulary.num_levels}: they belong to different identifiers"
        )
    device = model.shared.weight.device
    inputs = inputs.to(device)
    num_queries = len(inputs.mask)
    decoder = TreeDecoder(model, inputs, 2 + trie.num_levels)
    banned = _banned_nodes(trie, exclude)
    full = softmax == "full"
    masses = masses_of(vocabulary, view, inputs)
    behaviour = vocabulary.behaviour_of(view)
    start = torch.tensor([[vocabulary.pad, behaviour]], device=device).expand(num_queries, -1)
    states = decoder.extend(start, torch.tensor([[[0, -1], [1, 0]]], device=device))
    distance = torch.tensor([[[1, 0]]], device=device).expand(num_queries, -1, -1)
    scores = states.new_zeros(num_queries, 1)
    if full:
        scores = (
            t5.logits(model, states[:, :1], slice(behaviour, behaviour + 1))
            - log_normaliser(model, states[:, :1], softmax, slice(0))
        )[..., 0]
    states = states[:, 1:]
    nodes = torch.zeros(num_queries, 1, dtype=torch.long, device=device)
    for depth in range(trie.num_levels):
        first = vocabulary.level_slices[view][depth][0]
        logprob = code_logprobs(
            model, vocabulary, view, depth, states, nodes.flatten().cpu().numpy(), softmax, trie, masses
        )
        total = scores[..., None] + logprob
        scores, parent, nodes, code = _best_children(trie, depth, nodes, total, num_beams, banned)
        if depth + 1 < trie.num_levels or full:
            distance = descend(distance, parent)
            states = decoder.extend(first + code, distance)
    if full:
        end = slice(vocabulary.eos, vocabulary.eos + 1)
        scores = scores + (t5.logits(model, states, end) - log_normaliser(model, states, softmax, end))[..., 0]
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        nodes = nodes.gather(1, order)
    found = np.where(torch.isfinite(scores).cpu().numpy(), trie.items[nodes.cpu().numpy()], -1)
    return Beams(found, scores.float().cpu().numpy())


def _best_children(
    trie: IdentifierTrie, depth: int, nodes: Tensor, total: Tensor, num_beams: int, banned: list[np.ndarray] | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The best children of the beams' nodes (B, M) under scores (B, M, K): score, parent beam, node and code, each (B, M')."""
    num_queries, width, size = total.shape
    device = total.device
    ranges = trie.children[depth]
    flat = nodes.flatten().cpu().numpy()
    first = ranges[flat].astype(np.int64)
    count = ranges[flat + 1] - first
    beam = np.repeat(np.arange(len(flat)), count)
    child = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(len(beam))
    code = trie.codes[depth][child].astype(np.int64)
    if banned is not None and len(banned[depth]):
        keep = ~np.isin(beam // width * len(trie.codes[depth]) + child, banned[depth])
        beam, child, code = beam[keep], child[keep], code[keep]
    place = torch.from_numpy(beam * size + code).to(device)
    allowed = torch.full((total.numel(),), -torch.inf, dtype=total.dtype, device=device)
    allowed[place] = total.flatten()[place]
    number = torch.zeros(total.numel(), dtype=torch.long, device=device)
    number[place] = torch.from_numpy(child).to(device)
    scores, best = allowed.view(num_queries, -1).topk(min(num_beams, width * size), dim=1)
    return scores, best // size, number.view(num_queries, -1).gather(1, best), best % size


def _banned_nodes(trie: IdentifierTrie, exclude: list[np.ndarray] | None) -> list[np.ndarray] | None:
    """Per level, the (query, node) pairs, as query * n_l + node, whose items are all excluded."""
    if exclude is None or not sum(map(len, exclude)):
        return None
    leaf = np.full(int(trie.items.max()) + 1, -1)
    leaf[trie.items] = np.arange(len(trie.items))
    query = np.repeat(np.arange(len(exclude)), [len(items) for items in exclude])
    items = np.concatenate([np.asarray(items, np.int64) for items in exclude])
    pairs = np.unique(
        np.stack([query, np.where((items >= 0) & (items < len(leaf)), leaf[np.clip(items, 0, len(leaf) - 1)], -1)]),
        axis=1,
    )
    query, leaves = pairs[:, pairs[1] >= 0]
    paths = trie.paths(leaves)
    banned = []
    for level, counts in enumerate(trie.leaf_counts()):
        key, gone = np.unique(query * len(counts) + paths[:, level], return_counts=True)
        banned.append(key[gone == counts[key % len(counts)]])
    return banned
