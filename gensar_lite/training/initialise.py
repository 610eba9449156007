"""What training starts from: tokenizer, weights, and embeddings with words and codes in one space of meanings.

Explained in notebook 05. A word starts at the mean vector of the items whose text contains it, a code at the mean
vector of the items that carry it, an item at its own, a trie node at the mean of its items; so a query and the codes of the items it describes are close before
the first step. The largest single lever for small models trained briefly.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5ForConditionalGeneration

from gensar_lite.network import t5
from gensar_lite.network.vocabulary import Sequences, Vocabulary, train_tokenizer
from gensar_lite.training.settings import TrainingConfig


def load_or_train_tokenizer(texts: list[str], config: TrainingConfig) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, or one trained on the data."""
    if config.backbone is None:
        return train_tokenizer(texts, config.vocab_size)
    return AutoTokenizer.from_pretrained(config.backbone)


def new_weights(vocabulary: Vocabulary, config: TrainingConfig, seed: int) -> T5ForConditionalGeneration:
    """A T5 from scratch, or a checkpoint with rows added for behaviours and codes."""
    if config.backbone is None:
        sizes = (config.d_model, config.num_layers, config.num_heads, config.d_ff)
        return t5.new_backbone(vocabulary.size, *sizes, config.dropout, seed)
    backbone = T5ForConditionalGeneration.from_pretrained(config.backbone)
    with torch.random.fork_rng(devices=[]):  # new rows are drawn at random
        torch.manual_seed(seed)
        backbone.resize_token_embeddings(vocabulary.size)
    return backbone


def initial_vectors(
    vocabulary: Vocabulary, item_texts: Sequences, spaces: list[np.ndarray], widths: list[int]
) -> np.ndarray:
    """(V, sum of widths) starting vectors, of length 1 or, for tokens that no item has, 0.

    `spaces` are item vectors (N, D) each, of which the leading `widths` principal directions are taken, at
    equal energy per direction. A token's mean is centred on the mean of all items, so that what is told
    by a frequent word is small beside what is told by a rare one.
    """
    num_items = len(item_texts)
    owner = np.repeat(np.arange(num_items), item_texts.lengths)
    token, item = [item_texts.tokens], [owner]
    for tokens in vocabulary.view_tokens.values():
        token.append(tokens.ravel())
        item.append(np.repeat(np.arange(num_items), tokens.shape[1]))
    remembered = np.arange(vocabulary.num_remembered)
    token.append(vocabulary.num_written + remembered)
    item.append(remembered)
    for view, levels in vocabulary.node_tokens.items():
        for level, tokens in enumerate(levels):
            carried = tokens[vocabulary.nodes[view][:, level]]
            token.append(carried[carried >= 0])
            item.append(np.flatnonzero(carried >= 0))
    pairs = np.unique(np.concatenate(token) * num_items + np.concatenate(item))
    token_of, item_of = np.divmod(pairs, num_items)
    count = np.bincount(token_of, minlength=vocabulary.size)
    contains = sparse.csr_array(
        (np.ones(len(pairs), np.float32), (token_of, item_of)), shape=(vocabulary.size, num_items)
    )
    parts = [_principal(space, width) for space, width in zip(spaces, widths, strict=True)]
    means = (contains @ np.hstack(parts)) / np.maximum(count, 1)[:, None]
    length = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.maximum(length, 1e-12)).astype(np.float32)


def _principal(vectors: np.ndarray, width: int) -> np.ndarray:
    """(N, width) leading principal components, scaled to mean square one; padded with zeros where D < width."""
    centred = vectors - vectors.mean(0)
    _, basis = np.linalg.eigh(centred.T @ centred)
    scores = centred @ basis[:, ::-1][:, :width]
    scores = scores / max(float(np.sqrt(np.square(scores).mean())), 1e-12)
    return np.pad(scores, ((0, 0), (0, width - scores.shape[1])))


@torch.no_grad()
def initialise_embeddings(model: T5ForConditionalGeneration, start: np.ndarray, noise: float) -> None:
    """Put starting vectors (V, D) of length 1 into the embedding table at mean square 1, plus normal noise of
    deviation `noise`; rows without a starting vector keep their random start, shrunk to `noise`."""
    table = model.shared.weight
    table.mul_(noise).add_(torch.from_numpy(start).to(table) * table.shape[1] ** 0.5)


@torch.no_grad()
def open_channels(model: T5ForConditionalGeneration, cross: float = 2.0, within: float = 0.3) -> None:
    """Let the meanings pass: values and outputs of attention start as the identity, other sublayers start small.

    With T5's random start the decoder sees a random rotation of what the encoder read; like this its first state is
    the mean of the input's embeddings, and the tied head compares it with the codes' in the same space.
    """
    for stack in (model.encoder, model.decoder):
        for block in stack.block:
            scales = {"SelfAttention": within, "EncDecAttention": cross / len(stack.block)}
            for name, scale in scales.items():
                for layer in block.layer:
                    attention = getattr(layer, name, None)
                    if attention is not None:
                        torch.nn.init.eye_(attention.v.weight)
                        torch.nn.init.eye_(attention.o.weight).mul_(scale)
            block.layer[-1].DenseReluDense.wo.weight.mul_(within)
