"""Beam search over the identifier trie.

Explained in notebook 06. Gives the items and scores of `transformers`' `generate` with `prefix_allowed_tokens_fn`
(tested), faster: the encoder and the keys of cross-attention are computed once a query, nothing is copied when beams
are reordered, only codes that the trie allows are looked at, and with softmax "trie" the model is not asked
where there is nothing left to choose.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gensar_lite.decoding.tree import TreeDecoder
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network.backbone import T5
from gensar_lite.network.scorer import Scorer, log_normaliser, token_logprobs
from gensar_lite.network.vocabulary import Vocabulary


class Beams(NamedTuple):
    """The best items of B queries, best first: `items` (B, M) item numbers, -1 where fewer than M exist; `scores` (B, M),
    sums of log-probabilities (of behaviour, codes and end token with softmax "full"; of codes with the others)."""

    items: np.ndarray
    scores: np.ndarray


@torch.inference_mode()
def beam_search(
    scorer: Scorer,
    num_beams: int = 30,
    exclude: list[np.ndarray] | None = None,
) -> Beams:
    """The `num_beams` most probable identifiers for each of a scorer's B requests.

    `exclude` lists, per request, item numbers that must not come back.
    Raises ValueError for fewer than one beam.
    """
    if num_beams < 1:
        raise ValueError(f"beam search needs at least one beam, not {num_beams}")
    model, vocabulary, view, trie, device = scorer.model, scorer.vocabulary, scorer.view, scorer.trie, scorer.device
    num_queries, full = len(scorer), scorer.softmax == "full"
    banned = _banned_nodes(trie, exclude)
    decoder = TreeDecoder(model, scorer.encoded, scorer.inputs.mask, 2 + trie.num_levels)
    behaviour = vocabulary.behaviour_of(view)
    first_two = decoder.extend(decoder.start(vocabulary.pad, behaviour))
    states, normaliser = first_two[1], None
    scores = states.new_zeros(num_queries, 1, dtype=torch.float32)
    if full:
        normalisers = log_normaliser(model, torch.cat(first_two)).split(num_queries)
        said = torch.full((num_queries,), behaviour, device=device)
        scores, normaliser = token_logprobs(model, first_two[0], said, normalisers[0])[:, None], normalisers[1]
    nodes = np.zeros((num_queries, 1), np.int64)
    rows = np.arange(num_queries)[:, None]  # of the beams' states; -1: no state
    for depth in range(trie.num_levels):
        first = vocabulary.level_slices[view][depth][0]
        logprob = scorer.logprobs(depth, states, nodes[rows >= 0], decoder.query.cpu().numpy(), normaliser)
        scores, parent, nodes, code = _best_children(trie, depth, nodes, scores, rows, logprob, num_beams, banned)
        normaliser = None
        alive = torch.isfinite(scores).cpu().numpy()
        choice = alive & scorer.has_choice(depth + 1, nodes)
        wanted = alive if full else choice
        above = torch.from_numpy(np.take_along_axis(rows, parent, 1)[wanted]).to(device)
        level = torch.from_numpy(first + code[wanted]).to(device), above
        if not choice.any():
            ends, leaves = _follow(vocabulary, view, trie, depth + 1, nodes)
            if full and alive.any():
                scores[torch.from_numpy(alive).to(device)] += _spell(model, decoder, level, ends[alive])
            scores, order = scores.sort(dim=1, descending=True, stable=True)
            nodes = np.take_along_axis(leaves, order.cpu().numpy(), 1)
            break
        rows = np.where(wanted, np.cumsum(wanted).reshape(wanted.shape) - 1, -1)
        states = decoder.extend([level])[0]
    found = np.where(torch.isfinite(scores).cpu().numpy(), trie.items[nodes], -1)
    missing = ((0, 0), (0, num_beams - found.shape[1]))  # there are fewer items than beams
    return Beams(
        np.pad(found, missing, constant_values=-1),
        np.pad(scores.float().cpu().numpy(), missing, constant_values=-np.inf),
    )


def _follow(
    vocabulary: Vocabulary, view: str, trie: IdentifierTrie, level: int, nodes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """From nodes (B, M) of a level down to the only item below each: the tokens on the way, the end token the last
    (B, M, T), and the leaves (B, M)."""
    tokens = []
    for depth in range(level, trie.num_levels):
        nodes = trie.children[depth][nodes].astype(np.int64)
        tokens.append(vocabulary.level_slices[view][depth][0] + trie.codes[depth][nodes].astype(np.int64))
    return np.stack([*tokens, np.full(nodes.shape, vocabulary.eos)], axis=-1), nodes


def _spell(model: T5, decoder: TreeDecoder, level: tuple[Tensor, Tensor], tokens: np.ndarray) -> Tensor:
    """(R,) log-probabilities of the tokens (R, T) that must follow the rows of a level, all levels in one pass."""
    following = torch.from_numpy(tokens).to(level[0].device)
    every = torch.arange(len(following), device=following.device)
    states = torch.cat(decoder.extend([level, *((column, every) for column in following.t()[:-1])]))
    normaliser = log_normaliser(model, states)
    return token_logprobs(model, states, following.t().flatten(), normaliser).view(-1, len(every)).sum(0)


def _best_children(
    trie: IdentifierTrie,
    depth: int,
    nodes: np.ndarray,
    scores: Tensor,
    rows: np.ndarray,
    logprob: Tensor,
    num_beams: int,
    banned: list[np.ndarray] | None,
) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """The best children of the beams' nodes (B, M): score, parent beam, node and code, each (B, M').

    `rows` (B, M) are the beams' rows in `logprob` (R, K); a beam without a row has an only child, which is certain.
    """
    num_queries, width = nodes.shape
    beam, child = trie.children_of(depth, nodes.ravel())
    if banned is not None and len(banned[depth]):
        keep = ~np.isin(beam // width * len(trie.codes[depth]) + child, banned[depth])
        beam, child = beam[keep], child[keep]
    code, row = trie.codes[depth][child].astype(np.int64), rows.ravel()[beam]
    place = torch.from_numpy(np.stack([beam, np.maximum(row, 0), code])).to(scores.device)
    total = scores.flatten()[place[0]]
    if len(logprob):
        total = total + logprob[place[1], place[2]].masked_fill(torch.from_numpy(row < 0).to(scores.device), 0)
    # the children of a query side by side
    query = beam // width
    start = np.searchsorted(query, np.arange(num_queries + 1))
    columns = np.arange(len(beam)) - start[query]
    size = max(int(np.diff(start).max()), 1)
    grid = total.new_full((num_queries * size,), -torch.inf)
    grid[torch.from_numpy(query * size + columns).to(scores.device)] = total
    grid = grid.view(num_queries, size)
    column = grid.topk(min(num_beams, size), dim=1).indices.sort(dim=1).values
    best, order = grid.gather(1, column).sort(dim=1, descending=True, stable=True)  # equals in the order of the trie
    column = column.gather(1, order)
    pair = np.minimum(start[:-1, None] + column.cpu().numpy(), max(len(beam) - 1, 0))
    if not len(beam):
        nothing = np.zeros(pair.shape, np.int64)
        return best, nothing, nothing, nothing
    return best, beam[pair] % width, child[pair], code[pair]


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
