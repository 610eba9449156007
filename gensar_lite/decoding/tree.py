"""Decoder states of the nodes of a prefix tree: what beam search and exact scoring share.

Explained in notebook 06. The nodes of a level are rows, each with the row of its parent. A row attends to its ancestors alone,
which are looked up where they were computed; nothing is copied when beams are reordered, and a prefix that many
identifiers share is computed once. The encoder and the keys of cross-attention are computed once a query.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import T5ForConditionalGeneration

from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.training import t5
from gensar_lite.training.branches import branch, branch_logits
from gensar_lite.training.inputs import Inputs
from gensar_lite.training.linear import linear
from gensar_lite.training.vocabulary import Vocabulary

# a block of logits that stays in the processor's cache
ROWS_AT_ONCE, TOKENS_AT_ONCE = 256, 2048
GPU_ROWS = 4096


class TreeDecoder:
    """Decoder states of B queries' prefix trees: `start` once, then `extend` for each level.

    `query` (R,) numbers the query of each row of the latest level; rows come in the order of their queries.
    """

    def __init__(self, model: T5ForConditionalGeneration, inputs: Inputs, max_depth: int) -> None:
        self.model = model
        encoded = t5.encode(model, inputs)
        self.num_queries = len(encoded)
        self.cross_bias = t5.mask_bias(inputs.mask, encoded.dtype)
        self.cross: list[tuple[Tensor, Tensor]] = []
        for block in model.decoder.block:
            attention = block.layer[1].EncDecAttention
            parts = (linear(encoded, part.weight) for part in (attention.k, attention.v))
            key, value = (t5.heads(part, attention.n_heads).contiguous() for part in parts)
            self.cross.append((key, value))
        # (depth, H): bias of a key that lies `distance` levels above the query
        bias = model.decoder.block[0].layer[0].SelfAttention.compute_bias(max_depth, max_depth)
        self.distance_bias = bias[0, :, -1].flip(-1).t()
        # keys and values of a level's rows, per layer; and for each ancestor of the latest rows its level and row
        self.levels: list[list[tuple[Tensor, Tensor]]] = []
        self.ancestors: list[tuple[int, Tensor]] = []
        self.query = torch.arange(self.num_queries, device=encoded.device)

    def start(self, pad: int, behaviour: int) -> Tensor:
        """States (B, 2, D) of the first two tokens, which all identifiers of a query have in common."""
        every = torch.arange(self.num_queries, device=self.query.device)
        tokens = torch.tensor([pad, behaviour], device=every.device).repeat(self.num_queries)

        def attend(query: Tensor, key: Tensor, value: Tensor, layer: int, num_heads: int) -> Tensor:
            seen = value.clone()  # the first token sees itself alone
            above = [(key[::2], value[::2], every)]
            seen[1::2] = self._attend(query[1::2], key[1::2], value[1::2], above, num_heads)
            return seen

        states = self._layers(tokens, attend, every.repeat_interleave(2))
        self.ancestors = [(0, 2 * every), (0, 2 * every + 1)]
        return states.view(self.num_queries, 2, -1)

    def extend(self, tokens: Tensor, parent: Tensor) -> Tensor:
        """States (R, D) of new rows; `parent` (R,) numbers rows of the level before, the queries at first."""
        self.query = self.query[parent]
        self.ancestors = [(level, row[parent]) for level, row in self.ancestors]

        def attend(query: Tensor, key: Tensor, value: Tensor, layer: int, num_heads: int) -> Tensor:
            above = [(*self.levels[level][layer], row) for level, row in self.ancestors]
            return self._attend(query, key, value, above, num_heads)

        states = self._layers(tokens, attend, self.query)
        self.ancestors.append((len(self.levels) - 1, torch.arange(len(tokens), device=tokens.device)))
        return states

    def _layers(self, tokens: Tensor, attend: Any, query_of: Tensor) -> Tensor:
        x = F.embedding(tokens, self.model.shared.weight)
        grid = _grid(query_of, self.num_queries)
        computed = []
        for i, block in enumerate(self.model.decoder.block):
            attention = block.layer[0].SelfAttention
            h = t5.norm(x, block.layer[0].layer_norm)
            query, key, value = (linear(h, part.weight) for part in (attention.q, attention.k, attention.v))
            computed.append((key, value))
            x = x + linear(attend(query, key, value, i, attention.n_heads), attention.o.weight)
            attention = block.layer[1].EncDecAttention
            query = linear(t5.norm(x, block.layer[1].layer_norm), attention.q.weight)
            x = x + linear(self._cross_attend(query, i, attention.n_heads, grid), attention.o.weight)
            x = t5.feed_forward(x, block.layer[2])
        self.levels.append(computed)
        return t5.norm(x, self.model.decoder.final_layer_norm) * t5.head_scale(self.model)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, above: list, num_heads: int) -> Tensor:
        """Rows (R, H * d) over themselves and `above`: per ancestor the keys and values of its level, and its row (R,)."""
        rows, split = len(query), (len(query), num_heads, -1)
        scores = [(query * keys[row]).view(split).sum(-1) for keys, _, row in above]
        scores.append((query * key).view(split).sum(-1))
        bias = self.distance_bias[: len(scores)].flip(0)[:, None].to(query.dtype)
        weight = (torch.stack(scores) + bias).softmax(0)[..., None]
        seen = value.view(split) * weight[-1]
        for (_, values, row), share in zip(above, weight, strict=False):
            seen.addcmul_(values[row].view(split), share)
        return seen.view(rows, -1)

    def _cross_attend(self, query: Tensor, layer: int, num_heads: int, grid: tuple[Tensor | None, int]) -> Tensor:
        """Rows (R, H * d) over the encoded input of their query, all rows of a query at once."""
        place, width = grid
        laid = query
        if place is not None:
            laid = query.new_zeros(self.num_queries * width, query.shape[1])
            laid[place] = query
        queries = t5.heads(laid.view(self.num_queries, width, -1), num_heads)
        seen = t5.attend(queries, *self.cross[layer], self.cross_bias).flatten(0, 1)
        return seen if place is None else seen[place]


def _grid(query_of: Tensor, num_queries: int) -> tuple[Tensor | None, int]:
    """Where rows (R,) of B queries lie in a grid (B, M), flattened, and M; None where they fill it in order."""
    count = torch.bincount(query_of, minlength=num_queries)
    width = int(count.max()) if len(query_of) else 0
    if len(query_of) == num_queries * width:
        return None, width
    first = count.cumsum(0) - count
    return query_of * width + torch.arange(len(query_of), device=query_of.device) - first[query_of], width


def code_logprobs(
    model: T5ForConditionalGeneration,
    vocabulary: Vocabulary,
    view: str,
    level: int,
    states: Tensor,
    nodes: np.ndarray,
    softmax: str,
    trie: IdentifierTrie | None = None,
    normaliser: Tensor | None = None,
) -> Tensor:
    """(R, K) log-probabilities of a level's codes for states (R, D) at trie nodes (R,). With softmax "trie", -inf
    where a code leads nowhere; otherwise `normaliser` (R, 1) is that of the states, if it is at hand."""
    first, last = vocabulary.level_slices[view][level]
    if softmax != "trie":
        if normaliser is None:
            normaliser = log_normaliser(model, states, softmax, slice(first, last))
        return t5.logits(model, states, slice(first, last)) - normaliser
    table = model.shared.weight
    branches = branch(vocabulary, view, level, nodes, trie).to(states.device)
    vectors = F.embedding(branches.token, table)
    return branch_logits(states, table[first:last], branches, vectors).log_softmax(-1)


def log_normaliser(model: T5ForConditionalGeneration, states: Tensor, softmax: str, level: slice) -> Tensor:
    """(..., 1) log of the softmax's denominator: over the vocabulary ("full") or over a codebook ("codebook")."""
    weight = model.lm_head.weight
    if softmax == "codebook":
        return linear(states, weight[level]).logsumexp(-1, keepdim=True)
    flat = states.reshape(-1, states.shape[-1])
    rows, tokens = (ROWS_AT_ONCE, TOKENS_AT_ONCE) if states.device.type == "cpu" else (GPU_ROWS, len(weight))
    sums = [
        torch.stack([linear(part, words).float().logsumexp(-1) for words in weight.split(tokens)], dim=-1)
        for part in flat.split(rows)
    ]
    return torch.cat(sums).logsumexp(-1).view(*states.shape[:-1], 1)
