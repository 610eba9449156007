"""The two signals of a catalogue: what items say (semantic) and who clicks them (collaborative).

Explained in notebook 02. Identifiers are learned from these vectors (Shi et al. 2025, section on dual-purpose
identifiers: `e_s` and `e_c`). Only the training part of the log is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError, check_whole, new_folder, read_json, write_json
from gensar_lite.signals.collaborative import SOURCES, collaborative_vectors
from gensar_lite.signals.device import choose_device
from gensar_lite.signals.text import (
    TextEncoder,
    apply_ridge,
    is_unit,
    load_array,
    load_encoder,
    make_encoder,
    normalise,
)


@dataclass(frozen=True)
class Signals:
    """Vectors of N items, and all that is needed to make them for new items from text.

    `semantic` (N, D_s) and `collaborative` (N, D_c) are float32 with rows of length 1 (a row of zeros: a text
    without a known word), or as long as they came in an array. `to_collaborative` (D_s + 1, D_c) maps semantic vectors to collaborative ones.
    `report` counts the items without clicks and says how they were filled.
    """

    item_ids: list[str]
    semantic: np.ndarray
    collaborative: np.ndarray
    text_encoder: TextEncoder
    to_collaborative: np.ndarray
    report: dict = field(default_factory=dict)
    sources: dict = field(default_factory=dict)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(B, D_s) semantic vectors of item texts."""
        return self.text_encoder.encode(list(texts))

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """(B, D_s) semantic vectors of queries."""
        return self.text_encoder.encode_queries(list(texts))

    def encode_items(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(B, D_s) semantic and (B, D_c) expected collaborative vectors of items that nobody has clicked yet."""
        semantic = self.encode_texts(texts)
        expected = apply_ridge(semantic, self.to_collaborative).astype(np.float32)
        return semantic, normalise(expected) if is_unit(self.collaborative) else expected

    def check(self, data: Dataset) -> None:
        """Raise `DataError` unless these signals were made from this catalogue."""
        ids = data.items["item_id"].tolist()
        if ids != self.item_ids:
            differ = next(
                (n for n, (a, b) in enumerate(zip(ids, self.item_ids, strict=False)) if a != b),
                min(len(ids), len(self.item_ids)),
            )
            raise DataError(
                f"the signals belong to another catalogue ({len(self.item_ids)} items, this one has {len(ids)}; "
                f"first difference at item {differ}); make them again with embed()"
            )

    def save(self, folder: str | Path) -> None:
        """Write `signals.json`, `semantic.npy`, `collaborative.npy`, `to_collaborative.npy` and the encoder's files."""
        with new_folder(folder, "signals") as temporary:
            for name in ("semantic", "collaborative", "to_collaborative"):
                np.save(temporary / f"{name}.npy", getattr(self, name), allow_pickle=False)
            self.text_encoder.save(temporary)
            write_json(
                temporary / "signals.json", {"sources": self.sources, "report": self.report, "item_ids": self.item_ids}
            )

    @classmethod
    def load(cls, folder: str | Path) -> Signals:
        """Read a folder written by `save`. Raises `DataError` where a file is missing, broken or of another size."""
        folder = Path(folder)
        check_whole(folder, "signals")
        stored = read_json(folder / "signals.json", item_ids=list, sources=dict, report=dict)
        arrays = {
            name: load_array(folder / f"{name}.npy", mapped=True)
            for name in ("semantic", "collaborative", "to_collaborative")
        }
        ids = stored.get("item_ids", [])
        shape = (arrays["semantic"].shape[-1] + 1, arrays["collaborative"].shape[-1])
        whole = all(arrays[n].ndim == 2 and len(arrays[n]) == len(ids) for n in ("semantic", "collaborative"))
        if not whole or arrays["to_collaborative"].shape != shape:
            raise DataError(
                f"{folder}: the arrays do not fit each other or signals.json; make the signals again with embed()"
            )
        return cls(
            ids,
            text_encoder=load_encoder(folder),
            report=stored.get("report", {}),
            sources=stored.get("sources", {}),
            **arrays,
        )


def embed(
    data: Dataset,
    text_encoder: str = "tfidf",
    collaborative: str = "sequential",
    seed: int = 0,
    *,
    normalise: bool = False,
    query_prefix: str | None = None,
    passage_prefix: str | None = None,
    device: torch.device | str | None = None,
) -> Signals:
    """Make both signals of a data set.

    `text_encoder`: "tfidf", a sentence-transformers name or path, or the path of an (N, D) .npy array.
    `collaborative`: "sequential", "als", "sequential-text", or the path of an (N, D) .npy array.
    Arrays are taken as they are, or with rows of length 1 (`normalise`). `query_prefix` and `passage_prefix` stand before the
    texts that a sentence-transformers model reads (default: what the model itself names). `device` is where that model and the
    sequential one compute (`choose_device`).
    Raises `DataError` on arrays that don't fit the catalogue and on models that can't be loaded.
    """
    if collaborative not in SOURCES and not str(collaborative).endswith(".npy"):
        raise DataError(
            f"unknown source of collaborative vectors {collaborative!r}; use one of {', '.join(SOURCES)} or the path of an .npy file"
        )
    chosen = choose_device(device)
    given = {"query_prefix": query_prefix, "passage_prefix": passage_prefix}
    encoder, semantic = make_encoder(
        str(text_encoder), data.item_texts, seed, language=data.language, unit=normalise, device=chosen, **given
    )
    vectors, weights, report = collaborative_vectors(data, semantic, str(collaborative), seed, normalise, chosen)
    report = {
        "num_items": data.num_items,
        "num_wordless": int((np.abs(semantic).sum(axis=1) == 0).sum()),
        "num_cold": report["num_cold"],
        "collaborative": report,
    }
    sources = {
        "text_encoder": encoder.name,
        "collaborative": str(collaborative),
        "seed": seed,
        "normalised": normalise,
        **given,
        "data": data.info.get("fingerprint"),
    }
    return Signals(data.items["item_id"].tolist(), semantic, vectors, encoder, weights, report, sources)
