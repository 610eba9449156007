"""Where a code is chosen: the children of a trie node, and what the model's states say of each.

Explained in notebooks 05 and 06. With softmax "trie" a code competes with its siblings alone. A sibling is scored by
the embedding of its code, which it has in common with every other place where the code occurs, and by a *node
vector* of its own (a hierarchical softmax: Mnih & Hinton, NIPS 2008). A node that holds a single item has that item's vector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.training.linear import linear
from gensar_lite.training.vocabulary import Vocabulary


class Branches(NamedTuple):
    """The P children of R nodes of one level: `row` (P,) numbers the node, `code` (P,) is the child's code. Pairs `own`
    (Q,) have a node vector, `token` (Q,)."""

    row: Tensor
    code: Tensor
    own: Tensor
    token: Tensor

    def to(self, device: torch.device | str) -> Branches:
        return Branches(*(part.to(device) for part in self))


def branch(
    vocabulary: Vocabulary, view: str, level: int, nodes: np.ndarray, trie: IdentifierTrie | None = None
) -> Branches:
    """The children of nodes (R,) of a level (0: the root). `trie` is the one that numbers the nodes, if it is a part of the view's."""
    whole = vocabulary.tries[view]
    if trie is not None and trie.origin is not None:
        nodes = trie.origin[level][nodes]
    row, child = whole.children_of(level, nodes)
    token = vocabulary.node_tokens[view][level][child]
    own = np.flatnonzero(token >= 0)
    code = whole.codes[level][child].astype(np.int64)
    return Branches(*(torch.from_numpy(part) for part in (row, code, own, token[own])))


def branch_logits(states: Tensor, book: Tensor, branches: Branches, vectors: Tensor) -> Tensor:
    """(..., R, K) logits of the children of R nodes, -inf where a code leads nowhere.

    `states` (..., R, D), `book` (K, D) the code embeddings of the level, `vectors` (Q, D) those of `branches.token`.
    """
    row, code = branches.row, branches.code
    logits = linear(states, book)[..., row, code]
    if len(branches.own):
        own = (states[..., row[branches.own], :] * vectors).sum(-1)
        logits = logits.index_add(-1, branches.own, own)
    full = states.new_full((*states.shape[:-1], len(book)), -torch.inf)
    full[..., row, code] = logits
    return full
