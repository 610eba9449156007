"""Do the two tasks pull the weights apart? The angle between their gradients, by layer and by kind of token.

Explained in notebook 08. A cosine below zero means that a step for one task undoes a step for the other (Yu et al.,
NeurIPS 2020, "Gradient surgery"); near zero, that they use other directions of the same weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from gensar_lite.identifiers.table import VIEWS
from gensar_lite.model import GenSAR
from gensar_lite.training.examples import Examples
from gensar_lite.training.loop import Objective

TASKS: dict[str, Any] = {"recommendation": {"mix": 1.0}, "search": {"mix": 0.0, "pseudo_share": 0.0}}


def gradient_conflict(model: GenSAR, num_batches: int = 8, batch_size: int = 256, seed: int = 0) -> pd.DataFrame:
    """Cosines of the gradients of recommendation and of search sessions, at the present weights.

    One row per group of weights and batch: `group`, `kind` ("layer" or "tokens"), `batch`, `cosine`, and the lengths
    `recommendation` and `search` of the two gradients. Groups that one task does not touch have no cosine.
    """
    training = model.config.training
    titles = model.data.items["title"].tolist(), np.arange(model.data.num_items)
    objective = Objective(model.backbone, model.vocabulary, replace(training, dropout=0.0))
    examples = {
        task: Examples(
            model.data,
            model.encoder,
            titles,
            replace(training, aux_shares={}, batch_size=batch_size, mix_levels=(), **changes),
            seed,
        )
        for task, changes in TASKS.items()
    }
    rows = []
    for batch in range(num_batches):
        found = {task: _gradients(objective, model, examples[task], batch) for task in TASKS}
        for (kind, group), first in found["recommendation"].items():
            second = found["search"][kind, group]
            lengths = float(first.norm()), float(second.norm())
            cosine = float(first @ second) / (lengths[0] * lengths[1]) if min(lengths) > 0 else np.nan
            rows.append((kind, group, batch, cosine, *lengths))
    model.backbone.zero_grad()
    return pd.DataFrame(rows, columns=["kind", "group", "batch", "cosine", "recommendation", "search"])


def _gradients(
    objective: Objective, model: GenSAR, examples: Examples, step: int
) -> dict[tuple[str, str], torch.Tensor]:
    """The gradient (n,) of each group of weights for one batch."""
    backbone = model.backbone
    backbone.zero_grad()
    objective(examples.chunks(step)).backward()
    groups: dict[tuple[str, str], list[torch.Tensor]] = {}
    for name, parameter in backbone.named_parameters():
        if parameter.grad is None or name == "shared.weight":
            continue
        parts = name.split(".")
        layer = f"{parts[0]} {int(parts[2]) + 1}" if parts[1] == "block" else f"{parts[0]} norm"
        groups.setdefault(("layer", layer), []).append(parameter.grad.flatten())
    table = backbone.shared.weight.grad
    assert table is not None
    for group, rows in token_groups(model).items():
        groups["tokens", group] = [table[torch.from_numpy(rows)].flatten()]
    return {group: torch.cat(parts).clone() for group, parts in groups.items()}


def token_groups(model: GenSAR) -> dict[str, np.ndarray]:
    """The rows of the embedding table by what they stand for: words, behaviours, each codebook, items, trie nodes."""
    vocabulary = model.vocabulary
    groups = {
        "words": np.arange(vocabulary.num_text),
        "behaviours and ages": np.arange(vocabulary.num_text, vocabulary.num_words),
    }
    names = model.table.layout.names
    for view in VIEWS:
        for book, (first, last) in zip(model.table.layout.views[view], vocabulary.level_slices[view], strict=True):
            groups[f"codes {names[book]}"] = np.arange(first, last)
    items = vocabulary.num_written + np.arange(vocabulary.num_remembered)
    nodes = np.arange(vocabulary.num_written + vocabulary.num_remembered, vocabulary.size)
    groups |= {"items": items, "trie nodes": nodes}
    return {name: rows for name, rows in groups.items() if len(rows)}
