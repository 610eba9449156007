"""One space for both tasks: a bi-encoder fine-tuned on queries with their clicks, and on clicks with the clicks after them.

Explained in notebook 09. Penha et al., "Semantic IDs for Joint Generative Search and Recommendation" (arXiv
2508.10478): identifiers from such a space are their best compromise. Here the text encoder stays as it is, and a linear
map on top of it is fine-tuned; items, queries and earlier clicks go through the same one.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from gensar_lite.data.dataset import Dataset
from gensar_lite.signals.signals import Signals

DIM = 64
TEMPERATURE = 0.05
EPOCHS = 8
BATCH = 512
LEARNING_RATE = 2e-3


def fit_biencoder(data: Dataset, signals: Signals, seed: int = 0, device: torch.device | str = "cpu") -> np.ndarray:
    """The map (D_s, D) from semantic vectors to the joint space.

    It starts as the leading principal directions of the items and is trained with in-batch negatives: as many pairs
    of (query, clicked item) as of (click, next click of the same user), of training events alone.
    """
    semantic = torch.from_numpy(np.ascontiguousarray(signals.semantic)).to(device)
    dim = min(DIM, semantic.shape[1])
    _, _, directions = torch.linalg.svd(semantic - semantic.mean(0), full_matrices=False)
    weight = torch.zeros(semantic.shape[1], dim, device=device)
    weight[:, : len(directions[:dim])] = directions[:dim].T
    weight.requires_grad_(True)
    tasks = [(sources.to(device), target) for sources, target in _pairs(data, signals) if len(target)]
    if not tasks:
        return weight.numpy(force=True)
    rng = np.random.default_rng(seed)
    steps = EPOCHS * -(-max(len(target) for _, target in tasks) // BATCH)
    optimiser = torch.optim.Adam([weight], lr=LEARNING_RATE)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps)
        loss = torch.zeros((), device=device)
        for sources, target in tasks:
            rows = rng.choice(len(target), min(BATCH, len(target)), replace=False)
            asked = F.normalize(sources[rows] @ weight, dim=1)
            found = F.normalize(semantic[target[rows]] @ weight, dim=1)
            scores = asked @ found.T / TEMPERATURE
            # another example's target may be this one's, too: then it is no negative
            twin = (target[rows][:, None] == target[rows]) & ~np.eye(len(rows), dtype=bool)
            scores = scores.masked_fill(torch.from_numpy(twin).to(device), -torch.inf)
            loss = loss + F.cross_entropy(scores, torch.arange(len(rows), device=device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weight.numpy(force=True)


def _pairs(data: Dataset, signals: Signals) -> list[tuple[torch.Tensor, np.ndarray]]:
    """Vectors (n, D_s) of queries, and of clicks, with the item (n,) that was clicked then."""
    log = data.log
    clicks = np.flatnonzero(data.train_mask & (log.item >= 0))
    asked = clicks[log.searched[clicks]]
    same = log.user[clicks[1:]] == log.user[clicks[:-1]]
    before, after = log.item[clicks[:-1][same]], log.item[clicks[1:][same]]
    different = before != after
    typed, query = np.unique(log.query[asked], return_inverse=True)
    words = signals.encode_queries([log.queries[q] for q in typed]) if len(typed) else np.zeros((0, 1), np.float32)
    queries = torch.from_numpy(np.ascontiguousarray(words, np.float32))[torch.from_numpy(query)]
    steps = torch.from_numpy(np.ascontiguousarray(signals.semantic))[torch.from_numpy(before[different])]
    return [(queries, log.item[asked].astype(np.int64)), (steps, after[different].astype(np.int64))]
