"""Decoder states of the nodes of a prefix tree: what beam search and exact scoring share.

Explained in notebook 06. The nodes computed so far are the keys of self-attention, and a matrix of distances says
which of them are a node's ancestors and how far above it they lie; nothing is copied when beams are
reordered, and a prefix that many identifiers share is computed once.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import T5ForConditionalGeneration

from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.training import t5
from gensar_lite.training.branches import branch, branch_logits, branch_parts
from gensar_lite.training.evidence import NodeMasses
from gensar_lite.training.inputs import Inputs
from gensar_lite.training.vocabulary import Vocabulary

CHUNK_ELEMENTS = 16_000_000


class TreeDecoder:
    """Decoder states of nodes of a prefix tree, one call a level.

    `extend` takes tokens (B, M) and, for each, which of the nodes computed so far are its ancestors.
    """

    def __init__(self, model: T5ForConditionalGeneration, inputs: Inputs, max_depth: int) -> None:
        self.model = model
        encoded = t5.encode(model, inputs)
        self.cross_bias = t5.mask_bias(inputs.mask, encoded.dtype)
        self.cross: list[tuple[Tensor, Tensor]] = []
        self.past: list[tuple[Tensor, Tensor] | None] = [None] * len(model.decoder.block)
        for block in model.decoder.block:
            attention = block.layer[1].EncDecAttention
            key, value = F.linear(encoded, torch.cat([attention.k.weight, attention.v.weight])).chunk(2, dim=-1)
            self.cross.append(
                (t5.heads(key, attention.n_heads).contiguous(), t5.heads(value, attention.n_heads).contiguous())
            )
        # (H, depth): bias of a key that lies `distance` levels above the query
        bias = model.decoder.block[0].layer[0].SelfAttention.compute_bias(max_depth, max_depth)
        self.distance_bias = bias[0, :, -1].flip(-1)

    def extend(self, tokens: Tensor, distance: Tensor) -> Tensor:
        """States (B, M, D) of new nodes; `distance` (B, M, n) is how many levels above a node each of the n nodes
        computed so far, itself included, lies; -1 where it is no ancestor."""
        x = F.embedding(tokens, self.model.shared.weight)
        bias = self.distance_bias[:, distance.clamp_min(0)].transpose(0, 1)
        bias = bias.masked_fill((distance < 0)[:, None], torch.finfo(x.dtype).min)
        for i, block in enumerate(self.model.decoder.block):
            attention = block.layer[0].SelfAttention
            weight = torch.cat([attention.q.weight, attention.k.weight, attention.v.weight])
            parts = F.linear(t5.norm(x, block.layer[0].layer_norm), weight).chunk(3, dim=-1)
            query, key, value = (t5.heads(part, attention.n_heads) for part in parts)
            past = self.past[i]
            if past is not None:
                key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
            self.past[i] = key, value
            x = x + F.linear(t5.attend(query, key, value, bias), attention.o.weight)
            attention = block.layer[1].EncDecAttention
            query = t5.heads(F.linear(t5.norm(x, block.layer[1].layer_norm), attention.q.weight), attention.n_heads)
            x = x + F.linear(t5.attend(query, *self.cross[i], self.cross_bias), attention.o.weight)
            x = t5.feed_forward(x, block.layer[2])
        return t5.norm(x, self.model.decoder.final_layer_norm) * t5.head_scale(self.model)


def code_logprobs(
    model: T5ForConditionalGeneration,
    vocabulary: Vocabulary,
    view: str,
    level: int,
    states: Tensor,
    nodes: np.ndarray,
    softmax: str,
    trie: IdentifierTrie | None = None,
    masses: NodeMasses | None = None,
) -> Tensor:
    """(B, M, K) log-probabilities of a level's codes for states (B, M, D) at trie nodes, (B * M,) or, where all B
    queries stand at the same ones, (M,). With softmax "trie", -inf where a code leads nowhere."""
    first, last = vocabulary.level_slices[view][level]
    if softmax != "trie":
        return t5.logits(model, states, slice(first, last)) - log_normaliser(model, states, softmax, slice(first, last))
    table = model.shared.weight
    shared = len(nodes) == states.shape[1]
    asker = np.broadcast_to(np.arange(len(states))[:, None], states.shape[:2])
    asker = asker if shared else asker.ravel()
    branches = branch(vocabulary, view, level, nodes, trie, masses, asker).to(states.device)
    vectors = F.embedding(branches.token, table)
    rows = states if shared else states.flatten(0, 1)
    parts = branch_parts(rows, table[first:last], branches, vectors, table[vocabulary.gates])
    if strengths := getattr(model.config, "strengths", None):
        parts = parts * parts.new_tensor(strengths[view][level])
    logits = branch_logits(parts, branches, len(nodes), last - first)
    return logits.log_softmax(-1).view(*states.shape[:-1], -1)


def masses_of(vocabulary: Vocabulary, view: str, inputs: Inputs) -> NodeMasses | None:
    """What the store says of the inputs, for the nodes of a view's trie."""
    if not inputs.evidence:
        return None
    return NodeMasses(inputs.evidence, vocabulary.rank[view], vocabulary.leaf_starts[view])


def log_normaliser(model: T5ForConditionalGeneration, states: Tensor, softmax: str, level: slice) -> Tensor:
    """(..., 1) log of the softmax's denominator: over the vocabulary ("full") or over a codebook ("codebook")."""
    weight = model.lm_head.weight
    if softmax == "codebook":
        return F.linear(states, weight[level]).logsumexp(-1, keepdim=True)
    flat = states.reshape(-1, states.shape[-1])
    rows = max(CHUNK_ELEMENTS // len(weight), 1)
    parts = [F.linear(part, weight).logsumexp(-1, keepdim=True) for part in flat.split(rows)]
    return torch.cat(parts).view(*states.shape[:-1], 1)


def descend(distance: Tensor, parent: Tensor) -> Tensor:
    """Distances (B, M', n + M') of new nodes from those (B, M, n) of their parents' level: a node's ancestors are its
    parent's, one level further up, its parent among them, and itself. `parent` (B, M') numbers the nodes of that level."""
    above = distance.gather(1, parent[..., None].expand(-1, -1, distance.shape[2]))
    own = torch.full((parent.shape[1],) * 2, -1, device=parent.device).fill_diagonal_(0)
    return torch.cat([torch.where(above >= 0, above + 1, -1), own.expand(len(parent), -1, -1)], dim=2)
