"""Where a code is chosen: the children of a trie node, and what the model's states say of each.

Explained in notebooks 05 and 06. With softmax "trie" a code competes with its siblings alone. A sibling is scored by
the embedding of its code, which it has in common with every other place where the code occurs, by a *node
vector* of its own (a hierarchical softmax: Mnih & Hinton, NIPS 2008), and by how probable its items are together when the
state that chooses the first code is compared with the vectors of all items (retrieval by vectors, which LIGER, Yang et al. 2024,
finds to complement the writing of identifiers). A node that holds a single item has that item's vector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gensar_lite.network.linear import linear
from gensar_lite.network.vocabulary import Vocabulary

LEAST = 1e-12  # no node is less probable to the first state


class Branches(NamedTuple):
    """The P children of R nodes of one level: `row` (P,) numbers the node, `code` (P,) is the child's code, `first` and
    `last` (P,) the leaves that it holds, as a half-open range. Pairs `own` (Q,) have a node vector, `token` (Q,)."""

    row: Tensor
    code: Tensor
    first: Tensor
    last: Tensor
    own: Tensor
    token: Tensor

    def to(self, device: torch.device | str) -> Branches:
        return Branches(*(part.to(device) for part in self))


def branch(vocabulary: Vocabulary, view: str, level: int, nodes: np.ndarray) -> tuple[Branches, np.ndarray]:
    """The children of nodes (R,) of a level (0: the root) of a view's whole trie, and their numbers (P,)."""
    trie = vocabulary.tries[view]
    row, child = trie.children_of(level, nodes)
    token = vocabulary.node_tokens[view][level][child]
    own = np.flatnonzero(token >= 0)
    code = trie.codes[level][child].astype(np.int64)
    ends = vocabulary.leaf_starts[view][level]
    parts = row, code, ends[child], ends[child + 1], own, token[own]
    return Branches(*map(torch.from_numpy, parts)), child


def child_logits(states: Tensor, book: Tensor, branches: Branches, vectors: Tensor) -> Tensor:
    """(..., P) logits of the children: `states` (..., R, D), `book` (K, D) the code embeddings of the level, `vectors` (Q, D)
    those of `branches.token`."""
    row = branches.row
    logits = linear(states, book)[..., row, branches.code]
    if len(branches.own):
        own = (states[..., row[branches.own], :] * vectors).sum(-1)
        logits = logits.index_add(-1, branches.own, own)
    return logits


def running_totals(states: Tensor, head: Tensor, tokens: Tensor) -> Tensor:
    """(B, N + 1) float64: how probable the first 0, 1, … leaves are together, given the states (B, D) that choose the first code
    and the tokens (N,) of the leaves' items, -1 for a new one, which counts as the mean of those that have a vector."""
    known = torch.nonzero(tokens >= 0)[:, 0]
    probs = linear(states, F.embedding(tokens[known], head)).softmax(-1).double()
    if len(known) < len(tokens):
        every = probs.new_full((len(states), len(tokens)), 1 / len(tokens))
        probs = every.index_copy(1, known, probs * (len(known) / len(tokens)))
    return F.pad(probs.cumsum(-1), (1, 0))


def node_logprobs(totals: Tensor, request: Tensor, branches: Branches) -> Tensor:
    """(P,) float32 log-probabilities of the items of children together, by the totals (B, N + 1) of their requests (P,)."""
    return (totals[request, branches.last] - totals[request, branches.first]).clamp_min(LEAST).log().float()


def code_logits(children: Tensor, branches: Branches, num_rows: int, size: int) -> Tensor:
    """(..., R, K) logits of the codes after R nodes, -inf where a code leads nowhere, from those of P children (..., P)."""
    full = children.new_full((*children.shape[:-1], num_rows, size), -torch.inf)
    full[..., branches.row, branches.code] = children
    return full


def path_choices(vocabulary: Vocabulary, view: str, items: np.ndarray) -> list[tuple[Tensor, np.ndarray]]:
    """Per level, which of n items (n,) have a choice on their way (m,), and at which node (m,)."""
    nodes = np.insert(vocabulary.nodes[view][items], 0, 0, axis=1)
    choices = []
    for level, children in enumerate(vocabulary.tries[view].children):
        node = nodes[:, level]
        some = np.flatnonzero(children[node + 1] - children[node] > 1)  # an only child is certain
        choices.append((torch.from_numpy(some), node[some]))
    return choices
