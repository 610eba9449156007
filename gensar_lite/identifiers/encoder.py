"""From signals to latent vectors, with named arrays alone: what a saved table needs to name new items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def fit_scaling(name: str, signal: np.ndarray, by_row: bool = False) -> dict[str, np.ndarray]:
    """Mean (width,) and one scale for the whole signal, so that its numbers have variance 1 on average.

    One scale, not one per column: the directions of a signal keep their relative weight, and a
    reconstruction error then reads as the share of the signal's variance that is lost. `by_row`: rows, not numbers, have
    variance 1; without an encoder of its own, a wider signal would else outweigh another in shared codes.
    """
    mean = signal.mean(0, dtype=np.float64)
    scale = np.array([max(np.sqrt(np.square(signal - mean).mean()), 1e-8)], np.float32)
    if by_row:
        scale = scale * np.float32(np.sqrt(signal.shape[1]))
    return {f"{name}.mean": mean.astype(np.float32), f"{name}.scale": scale}


def standardise(encoder: dict[str, np.ndarray], name: str, signal: np.ndarray) -> np.ndarray:
    """(N, width) -> (N, width)."""
    return (np.asarray(signal, np.float32) - encoder[f"{name}.mean"]) / encoder[f"{name}.scale"]


def encode_signals(encoder: dict[str, np.ndarray], names: Sequence[str], signals: dict[str, np.ndarray]) -> np.ndarray:
    """Latent vectors (N, D): standardised, through the layers of each signal's network (none for k-means), side by side."""
    parts = []
    for name in names:
        x = standardise(encoder, name, signals[name])
        layer = 0
        while f"{name}.{layer}.weight" in encoder:
            x = np.maximum(x, 0) if layer else x
            x = x @ encoder[f"{name}.{layer}.weight"].T + encoder[f"{name}.{layer}.bias"]
            layer += 1
        parts.append(x)
    return np.concatenate(parts, 1)
