"""The weights of a model on disk, in Hugging Face layout: our own, and pretrained checkpoints of the T5 family.

T5, T5 1.1, FLAN-T5 and mT5 are one arithmetic: plain or gated feed-forward layers, an output head that is tied to the
embeddings or has weights of its own. The tokenizer is the checkpoint's, whatever its kind (SentencePiece, bytes).
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gensar_lite.data.storage import DataError, check_whole, read_json, write_json
from gensar_lite.network import t5
from gensar_lite.network.backbone import ACTIVATIONS, T5
from gensar_lite.network.tokenizer import AnyTokenizer, read_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FAMILY = {"t5": "T5ForConditionalGeneration", "mt5": "MT5ForConditionalGeneration"}
UNREADABLE = (OSError, ValueError, TypeError, RuntimeError, KeyError, AttributeError, SafetensorError)


def write_weights(folder: Path, backbone: T5, tokenizer: AnyTokenizer, history: list[dict]) -> None:
    """Weights, tokenizer, and the history of their training."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in backbone.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", vars(backbone.config))
    tokenizer.save_pretrained(folder)
    write_json(folder / "history.json", {"history": history})


def read_weights(folder: Path) -> tuple[T5, AnyTokenizer, list[dict]]:
    """What `write_weights` wrote; raises DataError where that can't be read, or is not all there."""
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} holds no model; train again with `gensar-lite run`, or take a complete copy")
    check_whole(folder, "model")
    try:
        tokenizer = read_tokenizer(folder)
        weights = load_file(folder / "model.safetensors")
        config = SimpleNamespace(**read_json(folder / "config.json"))
        backbone = T5(config, tied="lm_head.weight" not in weights)
        if missing := sorted(name for name, _ in backbone.named_parameters() if name not in weights):
            raise DataError(f"{folder} lacks weights ({', '.join(missing[:3])}); train again with `gensar-lite run`")
        backbone.assign(weights)
    except UNREADABLE as error:
        why = " ".join(str(error).split())
        raise DataError(f"{folder} cannot be read ({why}); train again with `gensar-lite run`") from error
    written = folder / "history.json"
    return backbone, tokenizer, read_json(written, history=list)["history"] if written.is_file() else []


def as_transformers(backbone: T5) -> PreTrainedModel:
    """The same weights, copied, as a model of `transformers`: to hand over, or to compare with."""
    import transformers

    kind = getattr(transformers, FAMILY[backbone.config.model_type])
    model = kind(kind.config_class.from_dict(vars(backbone.config)))
    if not backbone.tied:
        num_out, num_in = backbone.lm_head.weight.shape
        model.lm_head = torch.nn.Linear(num_in, num_out, bias=False)
    model.load_state_dict(backbone.state_dict(), strict=False)  # it lists the embeddings under two more names
    return model.to(backbone.shared.weight).train(backbone.training)


def check_checkpoint(name: str) -> None:
    """Raise DataError unless `name` is a checkpoint of the T5 family, on the Hugging Face hub or in a folder."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name)
    except UNREADABLE as error:
        raise _unreadable(name, error) from error
    if config.model_type not in FAMILY:
        why = "has a relative bias in every layer" if config.model_type == "umt5" else "is of another family"
        raise DataError(
            f"the checkpoint {name} is a {config.model_type} model, which {why}; T5, T5 1.1, FLAN-T5 and mT5 fit"
        )
    if config.dense_act_fn not in ACTIVATIONS:
        raise DataError(
            f"the checkpoint {name} has feed-forward layers of the kind {config.feed_forward_proj}; {', '.join(ACTIVATIONS)} are known"
        )


def read_checkpoint(name: str) -> tuple[AnyTokenizer, T5]:
    """Tokenizer and weights of a pretrained checkpoint, by its name on the Hugging Face hub or its folder.

    An untied output head stays untied. Raises DataError where the checkpoint is not of the T5 family, cannot be read,
    or its tokenizer does not fit.
    """
    import transformers

    check_checkpoint(name)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        model_class = getattr(transformers, FAMILY[transformers.AutoConfig.from_pretrained(name).model_type])
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
    tied = t5.is_tied(backbone)
    weights = {
        n: w
        for n, w in backbone.state_dict().items()
        if "embed_tokens" not in n and not (tied and n == "lm_head.weight")
    }
    return tokenizer, T5(SimpleNamespace(**json.loads(backbone.config.to_json_string(use_diff=False))), tied).assign(
        weights
    )


def _unreadable(name: str, error: Exception) -> DataError:
    first = str(error).strip().split("\n")[0] or type(error).__name__
    return DataError(
        f"the checkpoint {name} cannot be read ({first}); give the name of a T5-family checkpoint on the Hugging Face hub, or its folder"
    )
