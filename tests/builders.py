"""Small worlds for tests: a store, identifiers without a quantiser, a vocabulary, models with random weights."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from gensar_lite.config import preset
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.build import build_dataset
from gensar_lite.data.dataset import Dataset
from gensar_lite.identifiers.assignment import Layout
from gensar_lite.identifiers.table import IdentifierTable
from gensar_lite.model import GenSAR
from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.inputs import InputEncoder, Inputs
from gensar_lite.network.tokenizer import train_tokenizer
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.signals import embed


@cache
def tiny_store() -> Dataset:
    """100 items, 60 users, some 650 events."""
    return simulate(BazaarConfig(num_items=100, num_users=60, mean_events=12))


def build_small(
    items: pd.DataFrame,
    interactions: pd.DataFrame,
    searches: pd.DataFrame,
    protocol: str = "known-item",
    seed: int = 0,
    **options,
) -> Dataset:
    """A data set of tables whose timestamps are steps."""
    about = {"name": "tiny", "origin": "test", "query_protocol": protocol, "data_seed": seed, "timestamps": "steps"}
    return build_dataset(items, interactions, searches, **about, **options)


def unique_codes(num_items: int, sizes: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(N, L) random identifiers, no two alike."""
    flat = rng.choice(int(np.prod(sizes)), num_items, replace=False)
    return np.stack(np.unravel_index(flat, sizes), axis=1)


def random_table(item_ids: list[str], num_codes: int = 8, seed: int = 0) -> IdentifierTable:
    """Identifiers of two shared and two specific levels, drawn at random."""
    rng = np.random.default_rng(seed)
    layout = Layout(
        names=("m1", "m2", "s1", "s2", "c1", "c2"),
        sizes=(num_codes,) * 6,
        spans=((0, 4), (0, 4), (0, 2), (0, 2), (2, 4), (2, 4)),
        views={"semantic": (0, 1, 2, 3), "collaborative": (0, 1, 4, 5)},
    )
    semantic = unique_codes(len(item_ids), (num_codes,) * 4, rng)
    own = rng.integers(num_codes, size=(len(item_ids), 2))
    collaborative = np.hstack([semantic[:, :2], own])
    while len(np.unique(collaborative, axis=0)) < len(item_ids):
        collaborative[:, 2:] = rng.integers(num_codes, size=(len(item_ids), 2))
    table = IdentifierTable(np.array(item_ids, object), layout, {"semantic": semantic, "collaborative": collaborative})
    table.check()
    return table


@cache
def tiny_encoder(history: str = "pooled", max_events: int = 20) -> InputEncoder:
    """The input encoder of the tiny store."""
    data = tiny_store()
    tokenizer = train_tokenizer([*data.item_texts, *data.log.queries], 600)
    vocabulary = Vocabulary(tokenizer, random_table(data.items["item_id"].tolist()))
    return InputEncoder(vocabulary, data.log, data.item_texts, history, max_events, max_text=16)


class TextTokens:
    """A tokenizer of which only its size matters."""

    pad_token_id, eos_token_id = 0, 1

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def bare_vocabulary(codes: np.ndarray, sizes: tuple[int, ...], num_text: int = 50) -> Vocabulary:
    """A vocabulary in which both views have the same identifiers (N, L)."""
    books = np.arange(len(sizes))
    table = SimpleNamespace(
        codebook_sizes=np.array(sizes),
        codes={"semantic": codes, "collaborative": codes},
        codebooks_of={"semantic": books, "collaborative": books},
    )
    return Vocabulary(TextTokens(num_text), table)


def random_prompts(num: int, length: int, num_text: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, Inputs]:
    """Token ids (B, S) and mask (B, S), padded at the right by up to three, and the same as `Inputs`."""
    ids = torch.randint(2, num_text, (num, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(length)[None, :] < length - torch.arange(num)[:, None] % 4
    inputs = Inputs(ids.flatten(), torch.arange(num * length), torch.ones(num * length), mask)
    return ids, mask, inputs


def random_model(vocab_size: int, num_layers: int = 2, seed: int = 0, sharpness: float = 1.0) -> T5:
    """A small T5 with random weights; a larger `sharpness` makes its distributions peaked."""
    model = t5.new_backbone(vocab_size, 32, num_layers, 4, 64, 0.0, seed).eval()
    with torch.no_grad():
        model.shared.weight.mul_(sharpness)
        for stack in (model.encoder, model.decoder):  # a trained model's biases are not near zero
            bias = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
            bias.copy_(torch.randn(bias.shape, generator=torch.Generator().manual_seed(seed)))
    return model


KIT_SIZES = {"d_model": 32, "d_ff": 64, "vocab_size": 600, "batch_size": 48, "pseudo_queries_per_item": 2, "steps": 8}


def quick_tiny_model(seed: int = 0) -> GenSAR:
    """A model of the tiny store that was trained for a moment; another seed has other identifiers."""
    data = tiny_store()
    table = random_table(data.items["item_id"].tolist(), seed=seed)
    signals = embed(data, collaborative="als")
    return GenSAR.fit(data, signals, table, config=preset("tiny", **KIT_SIZES), progress=False)
