"""The weights of a model: made from scratch or from a checkpoint, written and read in Hugging Face layout."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast, T5ForConditionalGeneration

from gensar_lite.data.storage import DataError, read_json, write_json
from gensar_lite.training import t5
from gensar_lite.training.settings import TrainingConfig
from gensar_lite.training.vocabulary import Vocabulary, train_tokenizer


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


def write_weights(
    folder: Path, backbone: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, history: list[dict]
) -> None:
    """Weights, tokenizer, and the history of their training."""
    backbone.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "history.json", {"history": history})


def read_weights(folder: Path) -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast, list[dict]]:
    """What `write_weights` wrote; raises DataError where that can't be read."""
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        backbone = T5ForConditionalGeneration.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{folder} cannot be read ({error}); train again with `gensar-lite run`") from error
    written = folder / "history.json"
    return backbone, tokenizer, read_json(written)["history"] if written.is_file() else []
