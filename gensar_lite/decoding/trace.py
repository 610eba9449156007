"""A beam search kept level by level: which codes were allowed, how probable they were, which beams went on.

Explained in notebook 06. `Recorder` listens to `beam_search` itself (its `watch`), so what it keeps is what the search
did. `search_without_trie` decodes the same model with no trie at all, to see what the trie is for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gensar_lite.decoding.beam import BeamStep
from gensar_lite.decoding.tree import TreeDecoder
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network import t5
from gensar_lite.network.scorer import Scorer


@dataclass(frozen=True)
class TraceLevel:
    """One level of one query's search. M beams stood at `prefixes` (M, l) with `before` (M,) log-probabilities;
    `allowed` (M, K) says which codes lead to an item, `logprob` (M, K) how probable each is after its prefix. M' beams went
    on: `parent`, `code` and `scores` (M',), best first; `real` (M',) is False where no item begins so."""

    prefixes: np.ndarray
    before: np.ndarray
    allowed: np.ndarray
    logprob: np.ndarray
    parent: np.ndarray
    code: np.ndarray
    scores: np.ndarray
    real: np.ndarray

    @property
    def extended(self) -> np.ndarray:
        """(M', l + 1) the prefixes that went on."""
        return np.column_stack([self.prefixes[self.parent], self.code])


@dataclass(frozen=True)
class Trace:
    """The levels of a search, and the items (M,) of its identifiers, best first; -1 where an identifier names no item."""

    levels: list[TraceLevel]
    items: np.ndarray


class Recorder:
    """Keeps the search of a single query: give it to `beam_search` (or `GenSAR.search`) as `watch`."""

    def __init__(self, trie: IdentifierTrie) -> None:
        self.trie = trie
        self.steps: list[BeamStep] = []

    def __call__(self, step: BeamStep) -> None:
        if len(step.nodes) != 1:
            raise ValueError(f"a recorder keeps the search of one query, not of {len(step.nodes)}")
        self.steps.append(step)

    def trace(self) -> Trace:
        """What was kept. With softmax "full" the search ends by sorting anew, after the end token."""
        prefixes, before, levels = np.zeros((1, 0), np.int64), np.zeros(1), []
        alive, nodes = np.zeros(1, np.int64), np.zeros(1, np.int64)  # places among the search's beams; trie nodes
        for step in self.steps:
            following = _children(self.trie, step.level, nodes, step.logprob.shape[2])
            kept = np.flatnonzero(np.isfinite(step.scores[0]))  # fewer beams than asked for: the rest is filling
            parent, code = np.searchsorted(alive, step.parent[0][kept]), step.code[0][kept]
            nodes = following[parent, code]
            logprob, scores = step.logprob[0][alive], step.scores[0][kept]
            levels.append(TraceLevel(prefixes, before, following >= 0, logprob, parent, code, scores, nodes >= 0))
            prefixes, before, alive = levels[-1].extended, scores, kept
        return Trace(levels, self.trie.items[nodes])


@torch.inference_mode()
def search_without_trie(scorer: Scorer, num_beams: int) -> Trace:
    """Beam search for one request (B = 1) in which every code of a level may follow every prefix.

    Codes compete with all of their level: what a model says of a prefix that no item has is its code vectors alone, and
    evidence says nothing of it. Raises ValueError for several requests or no beam.
    """
    if len(scorer) != 1 or num_beams < 1:
        raise ValueError(f"one request and at least one beam, not {len(scorer)} and {num_beams}")
    model, vocabulary, view = scorer.model, scorer.vocabulary, scorer.view
    trie = vocabulary.tries[view]
    decoder = TreeDecoder(model, scorer.encoded, scorer.inputs.mask, 2 + trie.num_levels)
    states = decoder.extend(decoder.start(vocabulary.pad, vocabulary.behaviour_of(view)))[1]
    scores, nodes = states.new_zeros(1), np.zeros(1, np.int64)  # node -1: no item begins so
    prefixes, levels = np.zeros((1, 0), np.int64), []
    for level in range(trie.num_levels):
        logprob = t5.logits(model, states, slice(*vocabulary.level_slices[view][level])).log_softmax(-1)
        size = logprob.shape[1]
        best, place = (scores[:, None] + logprob).flatten().topk(min(num_beams, logprob.numel()))
        parent, code = place // size, place % size
        following = _children(trie, level, nodes, size)
        before, spread, old, new, total = (part.cpu().numpy() for part in (scores, logprob, parent, code, best))
        nodes = following[old, new]
        levels.append(TraceLevel(prefixes, before, following >= 0, spread, old, new, total, nodes >= 0))
        prefixes, scores = levels[-1].extended, best
        if level + 1 < trie.num_levels:
            states = decoder.extend([(vocabulary.level_slices[view][level][0] + code, parent)])[0]
    return Trace(levels, np.where(nodes >= 0, trie.items[nodes], -1))


def _children(trie: IdentifierTrie, level: int, nodes: np.ndarray, size: int) -> np.ndarray:
    """(M, K) the child of each node (M,) by its code; -1 where there is none or the node is none."""
    found = np.full((len(nodes), size), -1, np.int64)
    there = np.flatnonzero(nodes >= 0)
    row, child = trie.children_of(level, nodes[there])
    found[there[row], trie.codes[level][child]] = child
    return found
