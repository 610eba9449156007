"""The weights of a model on disk, in Hugging Face layout."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, T5ForConditionalGeneration

from gensar_lite.data.storage import DataError, read_json, write_json


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
