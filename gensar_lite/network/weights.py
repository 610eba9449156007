"""The weights of a model on disk, in Hugging Face layout: our own, and pretrained checkpoints of the T5 family.

T5, T5 1.1, FLAN-T5 and mT5 are one arithmetic: plain or gated feed-forward layers, an output head that is tied to the
embeddings or has weights of its own. The tokenizer is the checkpoint's, whatever its kind (SentencePiece, bytes).
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    MT5ForConditionalGeneration,
    PreTrainedTokenizerBase,
    T5ForConditionalGeneration,
)

from gensar_lite.data.storage import DataError, check_whole, read_json, write_json
from gensar_lite.network import t5

FAMILY = {"t5": T5ForConditionalGeneration, "mt5": MT5ForConditionalGeneration}
UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, SafetensorError)


def write_weights(
    folder: Path, backbone: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, history: list[dict]
) -> None:
    """Weights, tokenizer, and the history of their training."""
    backbone.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "history.json", {"history": history})


def read_weights(folder: Path) -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerBase, list[dict]]:
    """What `write_weights` wrote; raises DataError where that can't be read, or is not all there."""
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} holds no model; train again with `gensar-lite run`, or take a complete copy")
    check_whole(folder, "model")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model_type = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        backbone, info = FAMILY[model_type].from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except UNREADABLE as error:
        raise DataError(f"{folder} cannot be read ({error}); train again with `gensar-lite run`") from error
    if missing := sorted(map(str, set(info["missing_keys"]) | set(info["mismatched_keys"]))):
        raise DataError(f"{folder} lacks weights ({', '.join(missing[:3])}); train again with `gensar-lite run`")
    written = folder / "history.json"
    return backbone, tokenizer, read_json(written, history=list)["history"] if written.is_file() else []


def check_checkpoint(name: str) -> None:
    """Raise DataError unless `name` is a checkpoint of the T5 family, on the Hugging Face hub or in a folder."""
    try:
        config = AutoConfig.from_pretrained(name)
    except UNREADABLE as error:
        raise _unreadable(name, error) from error
    if config.model_type not in FAMILY:
        why = "has a relative bias in every layer" if config.model_type == "umt5" else "is of another family"
        raise DataError(
            f"the checkpoint {name} is a {config.model_type} model, which {why}; T5, T5 1.1, FLAN-T5 and mT5 fit"
        )


def read_checkpoint(name: str) -> tuple[PreTrainedTokenizerBase, T5ForConditionalGeneration]:
    """Tokenizer and weights of a pretrained checkpoint, by its name on the Hugging Face hub or its folder.

    An untied output head stays untied. Raises DataError where the checkpoint is not of the T5 family, cannot be read,
    or its tokenizer does not fit.
    """
    check_checkpoint(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model_class = FAMILY[AutoConfig.from_pretrained(name).model_type]
        backbone, info = model_class.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
    except UNREADABLE as error:
        raise _unreadable(name, error) from error
    if missing := sorted(set(info["missing_keys"]) | set(info["mismatched_keys"])):
        raise DataError(
            f"the checkpoint {name} lacks weights of an encoder-decoder ({', '.join(map(str, missing[:3]))} …); use a whole one"
        )
    if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        raise DataError(f"the tokenizer of {name} has no padding or no end token; use a checkpoint with T5's own")
    if backbone.config.decoder_start_token_id not in (None, tokenizer.pad_token_id):
        raise DataError(
            f"the decoder of {name} does not start with its padding token, as T5's do; use another checkpoint"
        )
    if len(tokenizer) > len(backbone.shared.weight):
        raise DataError(
            f"the tokenizer of {name} has {len(tokenizer)} words, its weights {len(backbone.shared.weight)}: they are not of one checkpoint"
        )
    return tokenizer, backbone


def _unreadable(name: str, error: Exception) -> DataError:
    first = str(error).strip().split("\n")[0] or type(error).__name__
    return DataError(
        f"the checkpoint {name} cannot be read ({first}); give the name of a T5-family checkpoint on the Hugging Face hub, or its folder"
    )


def resize_vocabulary(backbone: T5ForConditionalGeneration, size: int) -> None:
    """Give a model `size` tokens, new ones at random; `transformers` alone would tie an untied head to the embeddings."""
    head = None if t5.is_tied(backbone) else backbone.lm_head.weight.detach().clone()
    backbone.resize_token_embeddings(size, mean_resizing=False)
    if head is not None:
        backbone.lm_head = torch.nn.Linear(head.shape[1], size, bias=False)
        with torch.no_grad():
            backbone.lm_head.weight.normal_(std=float(head.std()))
            kept = min(size, len(head))
            backbone.lm_head.weight[:kept] = head[:kept]
