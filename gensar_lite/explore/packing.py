"""A model and its store as the page holds them: a table of contents (JSON) and arrays in one run of bytes.

Weights are rounded to half precision, the two ends of a slider to what they add to them, in 255 steps a row. `rounded` and
`rounded_line` give the Python models with the same weights: they answer as the page does.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from scipy import sparse

import gensar_lite
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.languages import COMPOUNDING, get_language
from gensar_lite.data.lexical import STOP_WORDS, accented_words
from gensar_lite.data.storage import DataError
from gensar_lite.evidence.evidence import Evidence
from gensar_lite.evidence.sources import SOURCES
from gensar_lite.explore.arrays import Arrays
from gensar_lite.explore.film import pack_film, record_film
from gensar_lite.explore.maps import map_vectors
from gensar_lite.explore.people import pack_people
from gensar_lite.explore.slider import Slider
from gensar_lite.model import GenSAR
from gensar_lite.network.prompts import TASK_PROMPT
from gensar_lite.network.scorer import balance_of
from gensar_lite.network.t5 import head_scale
from gensar_lite.network.vocabulary import TASK_VIEW, VIEW_BEHAVIOUR
from gensar_lite.tradeoff.interpolation import WeightLine

MAX_ITEMS = 20_000
BIAS = "relative_attention_bias"


def check_fits(model: GenSAR) -> None:
    """Raise DataError for a model that a page cannot hold."""
    training = model.config.training
    elsewhere = "ask it with `gensar-lite search` and `gensar-lite recommend`, or in Python"
    if model.data.num_items > MAX_ITEMS:
        raise DataError(
            f"a page holds stores of up to {MAX_ITEMS:,} items, this one has {model.data.num_items:,}; {elsewhere}"
        )
    if training.backbone is not None or training.softmax != "trie" or training.history != "pooled":
        raise DataError(
            f"a page holds models of the presets tiny and small (softmax “trie”, history “pooled”, no backbone), not this one (softmax “{training.softmax}”, history “{training.history}”); {elsewhere}"
        )


def rounded(model: GenSAR) -> GenSAR:
    """The model with the weights that a page holds: rounded to half precision."""
    twin = copy.copy(model)
    twin.backbone = copy.deepcopy(model.backbone)
    with torch.no_grad():
        for weight in twin.backbone.parameters():
            weight.copy_(weight.half().float())
    sources = [
        replace(source, similarity=_with_values(source.similarity, _half(source.similarity.data)))
        if hasattr(source, "similarity")
        else source
        for source in cast(Iterable[Any], model.evidence.sources.values())
    ]
    twin.evidence = Evidence(sources, model.data.num_items, model.evidence.weights, model.evidence.powers)
    return twin


def _half(values: np.ndarray) -> np.ndarray:
    """Values rounded to half precision."""
    return values.astype(np.float16).astype(np.float32)


def _with_values(matrix: sparse.csr_matrix, values: np.ndarray) -> sparse.csr_matrix:
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def rounded_line(model: GenSAR, slider: Slider) -> WeightLine:
    """The line between the ends of a slider with the weights that a page holds."""
    return WeightLine(*(_rounded_end(model, end) for end in slider.ends))


def _rounded_end(model: GenSAR, end: GenSAR) -> GenSAR:
    twin, own = rounded(model), dict(end.backbone.named_parameters())
    with torch.no_grad():
        for name, weight in twin.backbone.named_parameters():
            codes, scale = _difference(own[name] - weight)
            weight.add_(own[name] - weight if BIAS in name else torch.from_numpy(codes * scale).view_as(weight))
    twin.backbone.config.balance = getattr(end.backbone.config, "balance", {})
    return twin


def _difference(added: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """What an end adds to a matrix as whole numbers from -127 to 127 and a scale for each row (a vector is one row)."""
    rows = np.atleast_2d(added.detach().numpy())
    scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True) / 127, 1e-12).astype(np.float32)
    return np.rint(rows / scale).astype(np.int8), scale


def pack(model: GenSAR, users: Sequence[str], method: str = "umap", slider: Slider | None = None) -> tuple[dict, bytes]:
    """Table of contents and bytes of a model with its catalogue and the histories of `users`; nobody else's.

    `method` draws the maps (see `map_vectors`); with a `slider` the page also holds its two ends.

    Raises DataError where the model does not fit into a page, or the log does not know a user.
    """
    check_fits(model)
    arrays = Arrays()
    _add_weights(model, arrays)
    if slider is not None:
        _add_ends(model, slider, arrays)
    for view in VIEW_BEHAVIOUR:
        arrays.add(f"map.{view}", map_vectors(getattr(model.signals, view), method).astype(np.float32))
    views = {view: _add_view(model, view, arrays) for view in VIEW_BEHAVIOUR}
    film = record_film(model)
    about = {
        "made_by": f"gensar_lite {gensar_lite.__version__}",
        "store": {"name": model.data.name, "origin": model.data.info["origin"], "preset": model.config.preset},
        "model": {**_shape(model), "views": views},
        "items": {
            {"item_id": "id"}.get(name, name): model.data.items[name].tolist() for name in model.data.items.columns
        },
        **pack_people(model, users, arrays),
        **_pack_evidence(model, users, arrays),
        "tokenizer": _tokenizer(model),
        "film": None if film is None else pack_film(film, arrays),
        "slider": None if slider is None else {"points": slider.points, "balance": [_balance(e) for e in slider.ends]},
        "arrays": arrays.contents,
    }
    return about, arrays.bytes()


def _add_weights(model: GenSAR, arrays: Arrays) -> None:
    """Matrices under the names of `transformers`, and what relative positions add, worked out for all distances."""
    for name, weight in model.backbone.named_parameters():
        if BIAS not in name:
            arrays.add(name, weight.detach().numpy().astype(np.float16))
    for name, bias in _biases(rounded(model)).items():
        arrays.add(name, bias)


def _add_ends(model: GenSAR, slider: Slider, arrays: Arrays) -> None:
    """What each end of a slider adds to the weights of the model, under `first.` and `second.`."""
    twin = rounded(model)
    before, biases = dict(twin.backbone.named_parameters()), _biases(twin)
    for place, end in zip(("first", "second"), slider.ends, strict=True):
        for name, weight in end.backbone.named_parameters():
            if BIAS not in name:
                codes, scale = _difference(weight - before[name])
                arrays.add(f"{place}.{name}", codes)
                arrays.add(f"{place}.{name}.scale", scale)
        for name, bias in _biases(end).items():
            arrays.add(f"{place}.{name}", bias - biases[name])


def _biases(model: GenSAR) -> dict[str, np.ndarray]:
    """What the relative position of two tokens adds to their attention, for all distances."""
    twin, training = model.backbone, model.config.training
    length = 2 + training.max_events + 1 + training.max_text  # prompt, mix, events, <S_Q>, words
    with torch.no_grad():
        encoder = twin.encoder.block[0].layer[0].SelfAttention.compute_bias(length, length)[0]
        depth = 2 + model.vocabulary.num_levels
        decoder = twin.decoder.block[0].layer[0].SelfAttention.compute_bias(depth, depth)[0]
    # of the first position to those after it, and of the last to those before it
    after, before = encoder[:, 0], encoder[:, -1]
    return {
        "encoder_bias": torch.cat([before[:, :-1], after], dim=1).numpy(),
        "decoder_bias": decoder[:, -1].flip(-1).numpy(),
    }


def _add_view(model: GenSAR, view: str, arrays: Arrays) -> dict:
    vocabulary, table = model.vocabulary, model.table
    trie = vocabulary.tries[view]
    arrays.add(f"{view}.items", trie.items.astype(np.int32))
    if view in vocabulary.leaf_tokens:
        arrays.add(f"{view}.leaf_tokens", vocabulary.leaf_tokens[view].astype(np.int32))
    for level, nodes in enumerate(vocabulary.node_tokens[view]):
        arrays.add(f"{view}.codes.{level}", trie.codes[level].astype(np.int32))
        arrays.add(f"{view}.children.{level}", trie.children[level].astype(np.int32))
        arrays.add(f"{view}.nodes.{level}", nodes.astype(np.int32))
    return {
        "behaviour": VIEW_BEHAVIOUR[view],
        "names": [table.layout.names[book] for book in table.codebooks_of[view]],
        "levels": vocabulary.level_slices[view],
        "balance": _balance(model)[view],
    }


def _balance(model: GenSAR) -> dict[str, list]:
    """How much a code's own vectors count, and how much those of the items below it, by view and level."""
    levels = range(model.vocabulary.num_levels)
    return {view: [balance_of(model.backbone, view, level) for level in levels] for view in VIEW_BEHAVIOUR}


def _pack_evidence(model: GenSAR, users: Sequence[str], arrays: Arrays) -> dict:
    """The sources of evidence. BM25 and item-knn are there in any case: they also stand beside the model."""
    data = model.data
    sources: dict[str, Any] = dict(model.evidence.sources)
    for name in ("words", "neighbours"):
        sources.setdefault(name, SOURCES[name].make(data, model.signals.semantic))
    arrays.add_sparse("words", sources["words"].matrix)
    for name in sources.keys() - {"words"}:
        arrays.add_sparse(name, sources[name].similarity, "float16")
    number = [data.user_number[user] for user in users]
    arrays.add_sparse("clicks", sources["neighbours"].clicks[number])
    return {"lexicon": {"terms": list(sources["words"].terms), **_language(data)}}


def _language(data: Dataset) -> dict:
    """What a browser needs to read a query in the store's language: outside English the stems of the words of the store."""
    about = {"language": data.language, "compounds": data.language in COMPOUNDING}
    if data.language == "english":
        return {**about, "stop_words": sorted(STOP_WORDS), "stems": []}
    spoken = get_language(data.language)
    known = sorted({word for text in data.item_texts for word in accented_words(text)})
    stems = [[word, spoken.stem(word)] for word in known if spoken.stem(word) != word]
    return {**about, "stop_words": sorted(spoken.stop_words), "stems": stems}


def _shape(model: GenSAR) -> dict:
    vocabulary, training, config = model.vocabulary, model.config.training, model.backbone.config
    encoder = model.encoder
    prompts = {task: encoder.prompts[encoder.prompt_row[prompt]].tolist() for task, prompt in TASK_PROMPT.items()}
    return {
        "tasks": {task: {"view": view, "prompt": prompts[task]} for task, view in TASK_VIEW.items()},
        "sources": list(model.evidence.sources),
        "heard": list(model.heard),
        "weights": model.evidence.weights,
        "powers": model.evidence.powers,
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "epsilon": config.layer_norm_epsilon,
        "head_scale": head_scale(model.backbone),
        "max_events": training.max_events,
        "max_text": training.max_text,
        "pad": vocabulary.pad,
        "behaviours": vocabulary.behaviours,
        "mix": int(vocabulary.mixes[encoder.mix_level]) if len(vocabulary.mixes) else None,
        "ages": vocabulary.ages.tolist(),
        "num_written": vocabulary.num_written,
        "num_remembered": vocabulary.num_remembered,
    }


def _tokenizer(model: GenSAR) -> dict:
    content = json.loads(model.vocabulary.tokenizer.backend_tokenizer.to_str())
    return {"model": {name: content["model"][name] for name in ("vocab", "merges")}}
