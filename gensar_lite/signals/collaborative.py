"""Collaborative signal: vectors of items from who clicks what after what, never from what the items say.

Explained in notebook 02. Sources: "sequential" (the item vectors of SASRec over the mixed log), "als" (implicit
matrix factorisation, Hu, Koren & Volinsky 2008), "sequential-text" (SASRec that starts from the semantic vectors;
both signals in one), or the path of an .npy array.

An item's raw vector also says how often it was clicked: in factorisations by its length, in softmax models by a
common direction. Rows are therefore centred, cleared of their covariance with log popularity, and
normalised, so that neighbours are items of the same users and not items of the same fame.

What few clicks say of an item is mostly chance. Rows are therefore drawn towards what their text lets expect
(ridge regression from the semantic vectors), as much as `PRIOR_CLICKS` clicks would weigh; an item without
clicks is all expectation.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from gensar_lite.data.dataset import Dataset
from gensar_lite.signals.sequential import SequentialConfig, fit_sequential
from gensar_lite.signals.text import apply_ridge, fit_ridge, is_unit, load_vectors, normalise

SOURCES = ("sequential", "als", "sequential-text")
SEQUENTIAL = SequentialConfig()
PRIOR_CLICKS = 1.0


def collaborative_vectors(
    data: Dataset,
    semantic: np.ndarray,
    source: str = "sequential",
    seed: int = 0,
    unit: bool = False,
    device: torch.device | str = "cpu",
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Vectors of all N items and the map that makes them for items without clicks.

    A given array is taken as it is, or at length 1 (`unit`).
    Returns `vectors` (N, D_c) float32, rows of length 1 where they are learned here, the ridge weights (D_s + 1, D_c) from semantic
    vectors to them, and a report: `num_cold` items nobody clicked in training; `num_filled` rows that come from
    text alone, and how; `ridge_cosine`, the mean cosine of expectation and vector over the other rows; and
    `popularity_r2`, the share of the variance of log popularity that a linear map of the learned vectors
    explains, `popularity_r2_raw` before it was taken out.
    """
    warm = data.popularity > 0
    report: dict = {"source": source, "num_cold": int((~warm).sum())}
    if source in SOURCES:
        raw = _learn(data, semantic, source, seed, device)[warm]
        learned = normalise(without_popularity(raw, data.popularity[warm])) if len(raw) else raw
        known, evidence = warm, data.popularity[warm, None] / (data.popularity[warm, None] + PRIOR_CLICKS)
        report |= {
            "popularity_r2_raw": _popularity_r2(raw, data.popularity[warm]),
            "popularity_r2": _popularity_r2(learned, data.popularity[warm]),
        }
        report["prior_clicks"] = PRIOR_CLICKS
    else:
        given = load_vectors(source, data.num_items, unit)
        known = np.abs(given).sum(axis=1) > 0  # a row of zeros is how other tools say "unknown"
        learned, evidence = given[known], np.ones((int(known.sum()), 1))
    weights = fit_ridge(semantic[known], learned)
    scale = normalise if is_unit(learned) else np.asarray
    vectors = scale(apply_ridge(semantic, weights)).astype(np.float32)
    report["ridge_cosine"] = round(float((vectors[known] * learned).sum(axis=1).mean()), 4) if known.any() else None
    vectors[known] = scale(evidence * learned + (1 - evidence) * vectors[known])
    report |= {"num_filled": int((~known).sum()), "cold_filled": "ridge regression from the semantic vectors"}
    return vectors, weights, report


def without_popularity(vectors: np.ndarray, popularity: np.ndarray) -> np.ndarray:
    """(W, D) vectors, centred, without their covariance with log popularity (W,).

    What is left has no linear trace of log popularity (Shao, Ziser & Cohen, EACL 2023: spectral attribute removal).
    """
    centred = vectors - vectors.mean(axis=0)
    wanted = np.log1p(popularity) - np.log1p(popularity).mean()
    direction = centred.T @ wanted
    direction /= max(float(np.linalg.norm(direction)), 1e-12)
    return (centred - np.outer(centred @ direction, direction)).astype(np.float32)


def click_matrix(data: Dataset) -> sparse.csr_matrix:
    """(U, N) float32 counts of training clicks."""
    rows = np.flatnonzero(data.train_mask & (data.log.item >= 0))
    shape = (data.log.num_users, data.num_items)
    ones = np.ones(len(rows), np.float32)
    return sparse.csr_matrix((ones, (data.log.user[rows], data.log.item[rows])), shape=shape)


def _learn(data: Dataset, semantic: np.ndarray, source: str, seed: int, device: torch.device | str) -> np.ndarray:
    """(N, D_c) raw item vectors of one of `SOURCES`."""
    if source == "als":
        from implicit.cpu.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            factors=64, regularization=0.05, alpha=10.0, iterations=15, random_state=seed, num_threads=1
        )
        model.fit(click_matrix(data), show_progress=False)
        return np.asarray(model.item_factors, np.float32)
    start = semantic if source == "sequential-text" else None
    model = fit_sequential(data.log, data.train_mask, data.num_items, SEQUENTIAL, start, seed, device=device)
    return model.items().numpy(force=True)


def _popularity_r2(vectors: np.ndarray, popularity: np.ndarray) -> float:
    """Share of the variance of log popularity that a linear map of the vectors explains, adjusted for D."""
    wanted = np.log1p(popularity)
    rows, dim = vectors.shape
    if rows <= dim + 2 or np.ptp(wanted) == 0:
        return 0.0
    inputs = np.column_stack([vectors, np.ones(rows)]).astype(np.float64)
    rest = wanted - inputs @ np.linalg.lstsq(inputs, wanted, rcond=None)[0]
    return round(float(1 - rest.var() / wanted.var() * (rows - 1) / (rows - dim - 1)), 4)
