"""Random models, identifiers and inputs of any size: for speed, random weights serve."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.inputs import Inputs
from gensar_lite.network.scorer import Scorer
from gensar_lite.network.vocabulary import Vocabulary

LEVELS, NUM_CODES, VOCABULARY = 4, 256, 33_000
# d_model, layers of encoder and decoder, heads, d_ff
SHAPES = {"d64": (64, 1, 4, 128), "d128": (128, 2, 4, 256), "t5-small": (512, 6, 8, 2048)}


class TextTokens:
    """A tokenizer of which only its size matters."""

    pad_token_id, eos_token_id = 0, 1

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


class World(NamedTuple):
    """A model, the vocabulary of a catalogue of N items, its identifiers (N, L), and B queries of S tokens."""

    model: T5
    vocabulary: Vocabulary
    codes: np.ndarray
    tokens: torch.Tensor
    mask: torch.Tensor
    inputs: Inputs

    def to(self, device: str) -> World:
        return self._replace(
            model=self.model.to(device),
            tokens=self.tokens.to(device),
            mask=self.mask.to(device),
            inputs=self.inputs.to(device),
        )

    def scorer(self, trie: IdentifierTrie | None = None) -> Scorer:
        """What decoding asks, with softmax over the whole vocabulary."""
        return Scorer(self.model, self.vocabulary, "semantic", self.inputs, "full", trie)

    @property
    def trie(self) -> IdentifierTrie:
        return self.vocabulary.tries["semantic"]


def random_codes(num_items: int, seed: int = 0) -> np.ndarray:
    """(N, L) random identifiers, no two alike."""
    rng = np.random.default_rng(seed)
    flat = np.unique(rng.integers(NUM_CODES**LEVELS, size=num_items + num_items // 100 + 100))
    flat = rng.permutation(flat)[:num_items]
    return np.stack(np.unravel_index(flat, (NUM_CODES,) * LEVELS), axis=1)


def make_vocabulary(codes: np.ndarray, size: int = VOCABULARY) -> Vocabulary:
    """A vocabulary of `size` tokens with one view's identifiers."""
    books = np.arange(LEVELS)
    table = SimpleNamespace(
        codebook_sizes=np.full(LEVELS, NUM_CODES), codes={"semantic": codes}, codebooks_of={"semantic": books}
    )
    return Vocabulary(TextTokens(size - 3 - LEVELS * NUM_CODES), table)  # three behaviour tokens


def make_inputs(
    num_queries: int, length: int, vocabulary: Vocabulary, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, Inputs]:
    """Tokens (B, S), mask (B, S) and the same as `Inputs`; the shortest of several queries has half the length."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, vocabulary.num_text, (num_queries, length), generator=generator)
    lengths = torch.linspace(length, length // 2 if num_queries > 1 else length, num_queries).long()
    mask = torch.arange(length)[None] < lengths[:, None]
    count = num_queries * length
    return tokens, mask, Inputs(tokens.flatten(), torch.arange(count), torch.ones(count), mask)


def make_world(shape: str, num_items: int, num_queries: int, length: int, dtype: torch.dtype = torch.float32) -> World:
    """Everything that one measurement of decoding needs."""
    codes = random_codes(num_items)
    vocabulary = make_vocabulary(codes)
    d_model, layers, heads, d_ff = SHAPES[shape]
    model = t5.new_backbone(vocabulary.size, d_model, layers, heads, d_ff, 0.0, seed=0).eval().to(dtype)
    return World(model, vocabulary, codes, *make_inputs(num_queries, length, vocabulary))
