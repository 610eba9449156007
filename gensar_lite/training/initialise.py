"""What training starts from: tokenizer, weights, and embeddings with words and codes in one space of meanings.

Explained in notebook 05. A word starts at the mean vector of the items whose text contains it, a code at the mean
vector of the items that carry it, an item at its own, a trie node at the mean of its items; so a query and the codes of the items it describes are close before
the first step. The largest single lever for small models trained briefly.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.tokenizer import AnyTokenizer, train_tokenizer
from gensar_lite.network.vocabulary import Sequences, Vocabulary
from gensar_lite.network.weights import read_checkpoint
from gensar_lite.training.settings import TrainingConfig

RARITY = 3.0  # among thousands of items, attention to a word of n items falls like n^-0.4


def load_or_train_tokenizer(texts: list[str], config: TrainingConfig) -> AnyTokenizer:
    """The checkpoint's tokenizer, or one trained on the data."""
    if config.backbone is None:
        return train_tokenizer(texts, config.vocab_size)
    return read_checkpoint(config.backbone)[0]


def new_weights(vocabulary: Vocabulary, config: TrainingConfig, seed: int) -> T5:
    """A T5 from scratch, or a checkpoint with rows added for behaviours and codes (`join_pretrained` gives them a start)."""
    if config.backbone is None:
        sizes = (config.d_model, config.num_layers, config.num_heads, config.d_ff)
        return t5.new_backbone(vocabulary.size, *sizes, config.dropout, seed)
    backbone = read_checkpoint(config.backbone)[1]
    with torch.random.fork_rng(devices=[]):  # new rows are drawn at random
        torch.manual_seed(seed)
        backbone.resize(vocabulary.size)
    return backbone


def place_tokens(
    backbone: T5,
    vocabulary: Vocabulary,
    item_texts: Sequences,
    spaces: list[np.ndarray],
    config: TrainingConfig,
    seed: int,
) -> None:
    """Give tokens their starting vectors from those of the items, semantic and collaborative, (N, D) each.

    A T5 from scratch gets all of them, and open channels for them to pass; a pretrained one only those that it does not know.
    Without `start_vectors` the first starts at random, in the second unknown tokens are drawn from among its words.
    """
    width = backbone.config.d_model
    second = round(width * config.collaborative_dims)
    start = np.zeros((vocabulary.size, width), np.float32)
    if config.start_vectors:
        start = initial_vectors(vocabulary, item_texts, spaces, [width - second, second])
    elif config.backbone is None:
        return
    if config.backbone is None:
        initialise_embeddings(backbone, start, config.embedding_noise)
        open_channels(backbone)
        attend_to_rare_words(backbone, vocabulary, item_texts)
    else:
        join_pretrained(backbone, vocabulary, item_texts, start, config.embedding_noise, seed)


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
def initialise_embeddings(model: T5, start: np.ndarray, noise: float) -> None:
    """Put starting vectors (V, D) of length 1 into the embedding table at mean square 1, plus normal noise of
    deviation `noise`; rows without a starting vector keep their random start, shrunk to `noise`."""
    table = model.shared.weight
    table.mul_(noise).add_(torch.from_numpy(start).to(table) * table.shape[1] ** 0.5)


@torch.no_grad()
def join_pretrained(
    model: T5,
    vocabulary: Vocabulary,
    item_texts: Sequences,
    start: np.ndarray,
    noise: float,
    seed: int,
) -> None:
    """Put the new tokens of a pretrained model among its words, in the embeddings and in a head of its own.

    `start` (V, D) are the vectors of `initial_vectors`. They are turned as a whole (an orthogonal Procrustes rotation), so that
    an item's codes lie towards the words of its text, and then given the mean, the covariance and the mean distance from
    the mean that the pretrained words have. Tokens that no item has are drawn from that distribution.
    """
    first, width = vocabulary.num_text, start.shape[1]
    rng = torch.Generator().manual_seed(seed)
    space = torch.from_numpy(start).double() * width**0.5
    codes = torch.from_numpy(np.concatenate(list(vocabulary.view_tokens.values()), axis=1))  # (N, 2 L)
    owner = torch.from_numpy(np.repeat(np.arange(len(item_texts)), item_texts.lengths))
    count = torch.from_numpy(np.maximum(item_texts.lengths, 1))[:, None]
    drawn = torch.randn(space[first:].shape, generator=rng, dtype=torch.double)
    unknown = ~space[first:].any(1, keepdim=True)
    spread = torch.where(unknown, drawn, space[first:] + noise * drawn)
    for table in {id(table): table for table in (model.shared.weight, t5.head(model))}.values():
        words = table[:first].double().cpu()
        mean = words.mean(0)
        away = words - mean
        energy, basis = torch.linalg.eigh(away.T @ away / len(away))
        energy = energy.clamp_min(float(energy.max()) * 1e-6).sqrt()
        said = torch.zeros(len(item_texts), width, dtype=torch.double)
        said.index_add_(0, owner, (away @ basis / energy)[torch.from_numpy(item_texts.tokens)])
        left, _, right = torch.linalg.svd(space[codes].mean(1).T @ (said / count))
        placed = (torch.where(unknown, spread, spread @ (left @ right)) * energy) @ basis.T
        placed *= away.norm(dim=1).mean() / placed.norm(dim=1).mean()
        table[first:] = (mean + placed).to(table)


@torch.no_grad()
def attend_to_rare_words(model: T5, vocabulary: Vocabulary, item_texts: Sequences) -> None:
    """Let the decoder look at words the more, the fewer items have them: from one item to all, e^RARITY times.

    Layer norms take a token's length away, so one coordinate of the table holds rarity, and one of each head's queries and
    keys compares it with that of what is being written. Starting values only: training changes them like any others.
    """
    table = model.shared.weight
    num_items = len(item_texts)
    owner = np.repeat(np.arange(num_items), item_texts.lengths)
    token = np.unique(item_texts.tokens * num_items + owner) // num_items
    count = np.bincount(token, minlength=len(table))
    share = np.log(np.maximum(count, 1)) / np.log(max(num_items, 2))
    rarity = torch.from_numpy(RARITY * np.where(count > 0, 1 - share, 0)).to(table)
    # what is written starts at 1 after its layer norm; behaviours, which no item has, start as small as their noise
    rarity[list(vocabulary.behaviours.values())] = table[list(vocabulary.behaviours.values())].square().mean().sqrt()
    rarity[vocabulary.num_words : vocabulary.num_written] = 1.0
    table[:, -1] = rarity
    for block in model.decoder.block:
        attention = block.layer[1].EncDecAttention
        heads = torch.arange(attention.n_heads) * attention.key_value_proj_dim
        for part in (attention.q, attention.k):
            part.weight[:, -1] = 0
            part.weight[heads] = 0
            part.weight[heads, -1] = 1


@torch.no_grad()
def open_channels(model: T5, cross: float = 2.0, within: float = 0.3) -> None:
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
