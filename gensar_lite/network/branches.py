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

from gensar_lite.evidence.sources import Masses, NodeMasses
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network.linear import linear
from gensar_lite.network.vocabulary import Vocabulary


class Branches(NamedTuple):
    """The P children of R nodes of one level: `row` (P,) numbers the node, `code` (P,) is the child's code. Pairs `own`
    (Q,) have a node vector, `token` (Q,). `evidence` (P, S) are the log-masses that
    S sources give the children."""

    row: Tensor
    code: Tensor
    own: Tensor
    token: Tensor
    evidence: Tensor

    def to(self, device: torch.device | str) -> Branches:
        return Branches(*(part.to(device) for part in self))


def branch(
    vocabulary: Vocabulary,
    view: str,
    level: int,
    nodes: np.ndarray,
    trie: IdentifierTrie | None = None,
    masses: NodeMasses | None = None,
    asker: np.ndarray | None = None,
) -> Branches:
    """The children of nodes (R,) of a level (0: the root). `trie` is the one that numbers the nodes, if it is a part of the
    view's. `asker` (R,) are the inputs whose `masses` count at each node."""
    whole = vocabulary.tries[view]
    if trie is not None and trie.origin is not None:
        nodes = trie.origin[level][nodes]
    row, child = whole.children_of(level, nodes)
    token = vocabulary.node_tokens[view][level][child]
    own = np.flatnonzero(token >= 0)
    code = whole.codes[level][child].astype(np.int64)
    known = np.zeros((len(row), 0), np.float32)
    if masses is not None and asker is not None:
        known = masses(level, asker[row], child)
    return Branches(*(torch.from_numpy(part) for part in (row, code, own, token[own], known)))


def branch_parts(states: Tensor, book: Tensor, branches: Branches, vectors: Tensor, gates: Tensor) -> Tensor:
    """(..., P, 1 + S) what the model, and each source of evidence through its gate, adds to the logits of P children.

    `states` (..., R, D), `book` (K, D) the code embeddings of the level, `vectors` (Q, D) those of `branches.token`,
    `gates` (S, D) the vectors of the sources.
    """
    row = branches.row
    logits = linear(states, book)[..., row, branches.code]
    if len(branches.own):
        own = (states[..., row[branches.own], :] * vectors).sum(-1)
        logits = logits.index_add(-1, branches.own, own)
    if not branches.evidence.shape[-1]:
        return logits[..., None]
    gate = 1 + linear(states, gates)
    return torch.cat([logits[..., None], gate[..., row, :] * branches.evidence], dim=-1)


def branch_logits(parts: Tensor, branches: Branches, num_rows: int, size: int) -> Tensor:
    """(..., R, K) logits of the children of R nodes, -inf where a code leads nowhere, from `parts` (..., P, 1 + S)."""
    full = parts.new_full((*parts.shape[:-2], num_rows, size), -torch.inf)
    full[..., branches.row, branches.code] = parts.sum(-1)
    return full


def path_choices(
    vocabulary: Vocabulary, view: str, items: np.ndarray, evidence: tuple[Masses, ...], asker: np.ndarray | None = None
) -> list[tuple[Tensor, Branches]]:
    """Per level, which of n items (n,) have a choice on their way, and between what.

    `asker` (n,) are the inputs that the items answer; default: one input an item.
    """
    asker = np.arange(len(items)) if asker is None else asker
    masses = NodeMasses(evidence, vocabulary.rank[view], vocabulary.leaf_starts[view]) if evidence else None
    nodes = np.insert(vocabulary.nodes[view][items], 0, 0, axis=1)
    choices = []
    for level, children in enumerate(vocabulary.tries[view].children):
        node = nodes[:, level]
        some = np.flatnonzero(children[node + 1] - children[node] > 1)  # an only child is certain
        branches = branch(vocabulary, view, level, node[some], None, masses, asker[some])
        choices.append((torch.from_numpy(some), branches))
    return choices
