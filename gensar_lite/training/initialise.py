"""Starting values for the embeddings: words and codes in one space of meanings.

Explained in notebook 05. A word starts at the mean vector of the items whose text contains it, a code at the mean
vector of the items that carry it; so a query and the codes of the items it describes are close before
the first step. The largest single lever for small models trained briefly.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from transformers import T5ForConditionalGeneration

from gensar_lite.training.vocabulary import Sequences, Vocabulary


def initial_vectors(vocabulary: Vocabulary, item_texts: Sequences, vectors: np.ndarray, size: int) -> np.ndarray:
    """(V, size) starting vectors from item vectors (N, D); zero rows for tokens that no item has.

    The space is the leading `size` principal directions of the item vectors, each token's mean centred on
    the mean of all items, so that frequent words start near the origin and telling ones far from it.
    """
    num_items = len(item_texts)
    owner = np.repeat(np.arange(num_items), item_texts.lengths)
    token, item = [item_texts.tokens], [owner]
    for tokens in vocabulary.view_tokens.values():
        token.append(tokens.ravel())
        item.append(np.repeat(np.arange(num_items), tokens.shape[1]))
    pairs = np.unique(np.concatenate(token) * num_items + np.concatenate(item))
    token_of, item_of = np.divmod(pairs, num_items)
    count = np.bincount(token_of, minlength=vocabulary.size)
    centred = vectors - vectors.mean(0)
    _, basis = np.linalg.eigh(centred.T @ centred)
    basis = basis[:, ::-1][:, :size]
    contains = sparse.csr_array((np.ones(len(pairs), np.float32), (token_of, item_of)), shape=(vocabulary.size, num_items))
    means = (contains @ (centred @ basis)) / np.maximum(count, 1)[:, None]
    return np.pad(means, ((0, 0), (0, size - means.shape[1]))).astype(np.float32)


@torch.no_grad()
def initialise_embeddings(model: T5ForConditionalGeneration, start: np.ndarray, scale: float, noise: float) -> None:
    """Put starting vectors (V, D) into the embedding table: mean square `scale` over the rows that have one,
    plus normal noise of deviation `noise`; other rows keep their random start, shrunk to `noise`."""
    table = model.shared.weight
    start_vectors = torch.from_numpy(start).to(table)
    known = start_vectors.abs().sum(1) > 0
    start_vectors *= scale / start_vectors[known].pow(2).mean().sqrt().clamp_min(1e-12)
    table.mul_(noise).add_(start_vectors)
