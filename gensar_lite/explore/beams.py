"""A beam search, level by level: what was looked at, what survived, what was lost.

Explained in notebook 06; `trees.beam_tree` shows it. The probability of a prefix is the sum of the probabilities of the items below it. So one
list of exact item scores says everything about a beam search over them, with any number of beams.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp


class BeamLevel(NamedTuple):
    """What a beam search looks at on one level, best first: `prefixes` (n, l), their `logprobs` (n,), the row of their
    `parent` among the kept ones of the level above (n,), and whether each was `kept` (n,)."""

    prefixes: np.ndarray
    logprobs: np.ndarray
    parent: np.ndarray
    kept: np.ndarray


def trace_beams(codes: np.ndarray, logprobs: np.ndarray, num_beams: int) -> list[BeamLevel]:
    """The levels of a beam search over identifiers `codes` (N, L) with item log-probabilities `logprobs` (N,).

    Equals the beam search of a model whose probabilities of all items sum to one (softmax "trie").
    """
    if num_beams < 1:
        raise ValueError(f"beam search needs at least one beam, not {num_beams}")
    codes, logprobs = np.asarray(codes), np.asarray(logprobs, np.float64)
    beams = np.zeros((1, 0), codes.dtype)
    levels = []
    for depth in range(1, codes.shape[1] + 1):
        prefixes, group = np.unique(codes[:, :depth], axis=0, return_inverse=True)
        parent = np.full(len(prefixes), -1)
        for row, beam in enumerate(beams):
            parent[(prefixes[:, : depth - 1] == beam).all(axis=1)] = row
        seen = np.flatnonzero(parent >= 0)
        total = np.array([logsumexp(logprobs[group.ravel() == node]) for node in seen])
        order = np.argsort(-total, kind="stable")
        kept = np.arange(len(order)) < num_beams
        levels.append(BeamLevel(prefixes[seen[order]], total[order], parent[seen[order]], kept))
        beams = prefixes[seen[order[:num_beams]]]
    return levels
