"""How probable each code is: the generator and the evidence of the store, put together in one place.

Explained in notebook 06. Beam search, exact scoring and the fitting of weights all ask a `Scorer`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gensar_lite.evidence.evidence import ItemProbs, NodeEvidence
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.branches import (
    Branches,
    branch,
    child_logits,
    code_logits,
    node_logprobs,
    running_totals,
)
from gensar_lite.network.inputs import Inputs
from gensar_lite.network.linear import linear
from gensar_lite.network.vocabulary import Vocabulary

# blocks of logits: on a CPU as large as its cache
ROWS_AT_ONCE = 256
LOGITS_AT_ONCE = {"cpu": 1 << 19, "other": 1 << 26}
TOTALS_AT_ONCE = 1 << 25  # pairs of a request and an item


class Scorer:
    """Log-probabilities of a view's codes for B requests.

    `trie` holds the items to choose from: the vocabulary's, or a part of it. `evidence` is what the store says of the
    requests; its log-probabilities and the generator's logits are added among siblings, each times its weight, `weights`
    (L, 2), 1 by default. With evidence codes always compete with their siblings alone, whatever `softmax` says.
    Raises ValueError where inputs or trie are of another vocabulary.
    """

    def __init__(
        self,
        model: T5,
        vocabulary: Vocabulary,
        view: str,
        inputs: Inputs,
        softmax: str = "trie",
        trie: IdentifierTrie | None = None,
        evidence: ItemProbs | None = None,
        weights: list[list[float]] | None = None,
    ) -> None:
        self.model, self.vocabulary, self.view = model, vocabulary, view
        self.device = model.shared.weight.device
        self.trie = vocabulary.tries[view] if trie is None else trie
        self.softmax = softmax if evidence is None else "trie"
        self.weights = weights
        self.hear(evidence)
        self._check(inputs)
        self.inputs = inputs.to(self.device)

    def __len__(self) -> int:
        return len(self.inputs.mask)

    def hear(self, evidence: ItemProbs | None) -> None:
        """Join other evidence, or none."""
        leaf, starts = self.vocabulary.leaf[self.view], self.vocabulary.leaf_starts[self.view]
        self.known = None if evidence is None else NodeEvidence(evidence, leaf, starts)

    @cached_property
    def encoded(self) -> Tensor:
        """(B, S, D) the encoded inputs."""
        return t5.encode(self.model, self.inputs)

    @cached_property
    def totals(self) -> Tensor | None:
        """(B, N + 1) how probable the items of the first 0, 1, … leaves are to the state that chooses the first code."""
        if not self.vocabulary.num_remembered:
            return None
        start = [self.vocabulary.pad, self.vocabulary.behaviour_of(self.view)]
        written = torch.tensor(start).to(self.device).expand(len(self), -1)
        states = t5.decode(self.model, F.embedding(written, self.model.shared.weight), self.encoded, self.inputs.mask)
        tokens = torch.from_numpy(self.vocabulary.leaf_tokens[self.view]).to(self.device)
        return running_totals(states[:, 1], t5.head(self.model), tokens)

    def has_choice(self, level: int, nodes: np.ndarray) -> np.ndarray:
        """Which nodes of the trie need a state: those with a choice at or below them, with softmax "trie" in the whole trie."""
        if self.softmax == "trie" and self.trie.origin is not None:
            return self.vocabulary.tries[self.view].has_choice[level][self.trie.origin[level][nodes]]
        return self.trie.has_choice[level][nodes]

    def logprobs(
        self, level: int, states: Tensor, nodes: np.ndarray, request: np.ndarray, normaliser: Tensor | None = None
    ) -> Tensor:
        """(R, K) log-probabilities of a level's codes for states (R, D) at trie nodes (R,) of requests (R,).

        With softmax "trie", -inf where a code leads nowhere; `normaliser` (R, 1) is that of the states with softmax
        "full", if it is at hand.
        """
        first, last = self.vocabulary.level_slices[self.view][level]
        if self.softmax == "full":
            normaliser = log_normaliser(self.model, states) if normaliser is None else normaliser
            return t5.logits(self.model, states, slice(first, last)) - normaliser
        if self.trie.origin is not None:
            nodes = self.trie.origin[level][nodes]
        parts, branches = self.parts(level, states, nodes, request)
        if self.weights is not None and self.known is not None:
            parts = parts * parts.new_tensor([*self.weights[level], 1.0])
        return code_logits(parts.sum(-1), branches, len(nodes), last - first).log_softmax(-1)

    def parts(self, level: int, states: Tensor, nodes: np.ndarray, request: np.ndarray) -> tuple[Tensor, Branches]:
        """What speaks for the P children of nodes (R,) of the whole trie: the generator's logits (P, 1); with evidence (P, 3)
        also its log-probabilities, and what the coverage of the query adds."""
        own, branches, child = self._own(level, states, nodes, request)
        if self.totals is not None:
            own = (own * own.new_tensor(balance_of(self.model, self.view, level))).sum(-1, keepdim=True)
        if self.known is None:
            return own, branches
        known = self.known(level, request[branches.row.cpu().numpy()], child)
        return torch.cat([own, torch.from_numpy(known).to(own)], dim=1), branches

    def own_parts(self, level: int, states: Tensor, nodes: np.ndarray, request: np.ndarray) -> tuple[Tensor, Branches]:
        """(P, 2) what the vectors of codes and nodes say of the children, and what those of their items do; like `parts`."""
        return self._own(level, states, nodes, request)[:2]

    def _own(
        self, level: int, states: Tensor, nodes: np.ndarray, request: np.ndarray
    ) -> tuple[Tensor, Branches, np.ndarray]:
        first, last = self.vocabulary.level_slices[self.view][level]
        head = t5.head(self.model)
        branches, child = branch(self.vocabulary, self.view, level, nodes)
        branches = branches.to(states.device)
        own = child_logits(states, head[first:last], branches, F.embedding(branches.token, head))[:, None]
        if self.totals is not None:
            asked = torch.from_numpy(request).to(states.device)[branches.row]
            own = torch.cat([own, node_logprobs(self.totals, asked, branches)[:, None]], dim=1)
        return own, branches, child

    def _check(self, inputs: Inputs) -> None:
        size, trie, whole = len(self.model.shared.weight), self.trie, self.vocabulary.tries[self.view]
        if len(inputs.token) and not (int(inputs.token.min()) >= 0 and int(inputs.token.max()) < size):
            raise ValueError(
                f"the inputs hold tokens from {int(inputs.token.min())} to {int(inputs.token.max())}, the model has 0 to {size - 1}: they come from another vocabulary"
            )
        if trie.num_levels != self.vocabulary.num_levels:
            raise ValueError(
                f"the trie has {trie.num_levels} levels, the vocabulary {self.vocabulary.num_levels}: they belong to different identifiers"
            )
        if not trie.is_part_of(whole):
            raise ValueError(
                f"the trie holds other identifiers than the vocabulary's {self.view} ones; take vocabulary.tries[{self.view!r}] or a part of it by `restrict`"
            )


def requests_at_once(num_items: int, most: int) -> int:
    """How many requests a scorer may have, at most `most`, so that what it holds of all items fits into memory."""
    return min(max(TOTALS_AT_ONCE // num_items, 1), most)


def balance_of(model: T5, view: str, level: int) -> list[float]:
    """How much the vectors of codes and nodes count at a level, and how much those of the items, as fitted after training."""
    fitted: dict[str, list[list[float]]] = getattr(model.config, "balance", {})
    return fitted[view][level] if view in fitted else [0.5, 0.5]


def log_normaliser(model: T5, states: Tensor) -> Tensor:
    """(..., 1) log of the softmax's denominator over the whole vocabulary."""
    weight, sums = t5.head(model), []
    for part in states.reshape(-1, states.shape[-1]).split(ROWS_AT_ONCE):
        words = max(LOGITS_AT_ONCE["cpu" if states.device.type == "cpu" else "other"] // len(part), 1)
        logits = (linear(part, block).float() for block in weight.split(words))
        # torch's log_softmax is fused and twice as fast as its logsumexp
        sums.append(torch.stack([block[:, 0] - block.log_softmax(-1)[:, 0] for block in logits]).logsumexp(0))
    return torch.cat(sums).view(*states.shape[:-1], 1)


def token_logprobs(model: T5, states: Tensor, tokens: Tensor, normaliser: Tensor) -> Tensor:
    """(R,) log-probability, in the whole vocabulary, of one token (R,) after each state (R, D), given `normaliser` (R, 1)."""
    return (states * t5.head(model)[tokens]).sum(-1).float() - normaliser[:, 0]
