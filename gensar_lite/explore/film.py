"""A film of the joint RQ-VAE while it learns: where the codes lie, who takes them, what they leave over.

Shown in notebook 04. A `Recorder` listens to `train_rqvae`; `pack_film` projects what it kept for the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from gensar_lite.explore.arrays import Arrays
from gensar_lite.identifiers.assignment import Layout
from gensar_lite.identifiers.encoder import fit_scaling, standardise
from gensar_lite.identifiers.quantise import decode, encode
from gensar_lite.identifiers.quantisers import balanced_books
from gensar_lite.identifiers.rqvae import RQVAE, RQVAEConfig, train_rqvae
from gensar_lite.identifiers.strategies import codebooks_of, plan
from gensar_lite.model import GenSAR
from gensar_lite.signals import Signals

NUM_POINTS, NUM_FRAMES = 240, 60


class Recorder:
    """Keeps a frame for every call: vectors of some items and of all codes, the use of every code, reconstruction errors.

    `signals` are the standardised tables (N, width) that the RQ-VAE learns from. `grown` is called after each frame.
    """

    def __init__(
        self, signals: Sequence[np.ndarray], layout: Layout, grown: Callable[[Recorder], None] | None = None
    ) -> None:
        self.layout, self.grown = layout, grown
        self.signals = [torch.as_tensor(np.ascontiguousarray(table, dtype=np.float32)) for table in signals]
        chosen = np.random.default_rng(0).permutation(len(self.signals[0]))[:NUM_POINTS]
        self.items = np.sort(chosen)
        self.frames: list[dict] = []

    @torch.no_grad()
    def __call__(self, model: RQVAE, step: int, quantised: bool) -> None:
        """Keep a frame after so many steps; before the codebooks are set (`quantised` False) they have no place."""
        layout, latents = self.layout, model.encode_all(self.signals)
        frame: dict[str, Any] = {"step": step, "plain": model.error_of(latents, self.signals), "quantised": None}
        books = [codebook.detach().clone() for codebook in model.codebooks]
        rest, codes = latents.clone(), None
        if quantised:
            codes = encode(latents, layout.spans, books)
            frame["quantised"] = model.error_of(decode(codes, layout.spans, books, latents.shape[1]), self.signals)
        frame["use"], frame["codes"], frame["points"], frame["books"] = [], [], [], []
        for p, (start, stop) in enumerate(layout.spans):
            frame["points"].append(rest[self.items, start:stop].numpy().copy())
            frame["books"].append(books[p].numpy() if codes is not None else None)
            frame["codes"].append(codes[self.items, p].numpy() if codes is not None else None)
            size = layout.sizes[p]
            frame["use"].append(np.bincount(codes[:, p], minlength=size) if codes is not None else np.zeros(size, int))
            if codes is not None:
                rest[:, start:stop] -= books[p][codes[:, p]]
        self.frames.append(frame)
        if self.grown is not None:
            self.grown(self)


def record_film(model: GenSAR) -> Recorder | None:
    """The training that gave a model its identifiers, once more and watched; None where they come from no RQ-VAE."""
    table, settings = model.table, model.config.identifiers
    used = table.made_from.get("signals", [])
    if table.made_from.get("quantiser") != "rqvae" or not used or not set(used) <= {"semantic", "collaborative"}:
        return None
    signals = [standardise(table.encoder, name, getattr(model.signals, name)) for name in used]
    recorder, config = Recorder(signals, table.layout), RQVAEConfig(**settings.rqvae)
    layout, seed = table.layout, table.made_from["seed"]
    train_rqvae(signals, layout.spans, layout.sizes, config, balanced_books(layout), seed, watch=recorder)
    return recorder


def film_of(
    signals: Signals,
    num_codes: int = 64,
    config: RQVAEConfig | None = None,
    seed: int = 0,
    weight: float = 0.5,
    grown: Callable[[Recorder], None] | None = None,
) -> Recorder:
    """Train GenSAR's codebooks, two shared ones and two of each signal's own, on the signals of a store, watched.

    `weight` is that of the clicks, at 0.5 as that of the texts. `grown` is called after each frame.
    """
    config = config or RQVAEConfig()
    weights = {"semantic": 2 * (1 - weight), "collaborative": 2 * weight}
    layout, names = plan(codebooks_of("gensar", 2, 2), dict.fromkeys(weights, config.latent_dim), num_codes)
    scaled = []
    for name in names:
        table = getattr(signals, name)
        scaled.append(np.float32(weights[name]) * standardise(fit_scaling(name, table), name, table))
    recorder = Recorder(scaled, layout, grown)
    train_rqvae(scaled, layout.spans, layout.sizes, config, balanced_books(layout), seed, watch=recorder)
    return recorder


def pack_film(recorder: Recorder, arrays: Arrays) -> dict:
    """The frames as the page shows them: for each codebook the plane in which its items differ most at the end."""
    frames = _thinned(recorder.frames)
    books = []
    for p, name in enumerate(recorder.layout.names):
        size = recorder.layout.sizes[p]
        plane, middle = _plane(frames[-1]["points"][p])
        places = [(frame["points"][p] - middle) @ plane for frame in frames]
        codes = [None if frame["books"][p] is None else (frame["books"][p] - middle) @ plane for frame in frames]
        known = np.concatenate([*places, *(c for c in codes if c is not None)])
        low, high = known.min(axis=0), known.max(axis=0)

        def scaled(values: np.ndarray | None, num: int, low=low, high=high) -> np.ndarray:
            values = np.zeros((num, 2)) if values is None else (values - low) / np.maximum(high - low, 1e-9)
            return np.rint(255 * values).astype(np.uint8)

        arrays.add(f"film.{p}.points", np.stack([scaled(place, len(recorder.items)) for place in places]))
        arrays.add(f"film.{p}.books", np.stack([scaled(code, size) for code in codes]))
        none = np.zeros(len(recorder.items), np.uint16)
        arrays.add(
            f"film.{p}.codes",
            np.stack([none if f["codes"][p] is None else f["codes"][p] for f in frames]).astype(np.uint16),
        )
        arrays.add(f"film.{p}.use", np.stack([frame["use"][p] for frame in frames]).astype(np.int32))
        books.append({"name": name, "size": size})
    told = [{key: frame[key] for key in ("step", "plain", "quantised")} for frame in frames]
    return {"books": books, "frames": told, "items": recorder.items.tolist(), "num_items": len(recorder.signals[0])}


def _thinned(frames: list[dict]) -> list[dict]:
    """At most `NUM_FRAMES` of the frames, evenly spread; the first in which codes have a place is one of them."""
    if len(frames) <= NUM_FRAMES:
        return frames
    first = next((row for row, frame in enumerate(frames) if frame["quantised"] is not None), 0)
    rows = np.unique([*np.linspace(0, len(frames) - 1, NUM_FRAMES - 1).astype(int), first])
    return [frames[row] for row in rows]


def _plane(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two directions (D, 2) in which points (n, D) differ most, and their middle (D,)."""
    middle = points.mean(axis=0)
    directions = np.linalg.svd(points - middle, full_matrices=False)[2][:2].T
    return np.pad(directions, ((0, 0), (0, 2 - directions.shape[1]))), middle
