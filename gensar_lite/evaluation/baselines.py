"""What a unified model must beat: rankers that know one signal each, fitted on the training events alone.

Explained in notebook 07. Each is a ranker of `evaluation.protocols`: a `name`, the `tasks` it serves, and
`score(cases, candidates)`. At scoring a case's history (events `start:stop`) may be seen, nothing else of the
held-out part. Items of the history keep their scores: people buy again. Hyper-parameters come from
`baselines.json`, which `benchmarks/tune_baselines.py` writes; they are chosen on the validation split.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from threadpoolctl import threadpool_limits

from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.events import EventLog
from gensar_lite.data.lexical import LexicalIndex
from gensar_lite.data.storage import read_json
from gensar_lite.evaluation.protocols import Ranker
from gensar_lite.signals.collaborative import click_matrix
from gensar_lite.signals.sequential import SequentialConfig, clicks_between, fit_sequential, next_item_states
from gensar_lite.signals.signals import Signals
from gensar_lite.signals.text import normalise

NAMES = ("popularity", "item-knn", "als", "sasrec", "sasrec-text", "bm25", "dense")
RECORDED = Path(__file__).with_name("baselines.json")


def history_matrix(log: EventLog, cases: Cases, num_items: int, decay: float = 1.0) -> sparse.csr_matrix:
    """(C, N) float32: how often each item was clicked in a case's history; a click counts `decay` per later click less."""
    clicks = clicks_between(log, cases.start, cases.stop, int(np.max(cases.stop - cases.start, initial=0)))
    row, place = np.nonzero(clicks >= 0)
    age = (clicks >= 0).sum(axis=1)[row] - 1 - place
    weights = np.power(decay, age).astype(np.float32)
    return sparse.csr_matrix((weights, (row, clicks[row, place])), shape=(len(cases), num_items))


def _pick(scores: sparse.csr_matrix, candidates: np.ndarray | None) -> np.ndarray:
    """(C, n) the candidates' entries of (C, N), or all of them; no dense (C, N) is made for a list."""
    if candidates is None:
        return scores.toarray()
    scores.sum_duplicates()  # in order, so that entries are found by bisection
    return scores[np.arange(len(candidates))[:, None], candidates].toarray()


def _products(states: np.ndarray, items: np.ndarray, candidates: np.ndarray | None) -> np.ndarray:
    """(C, n) inner products of states (C, D) with the vectors of candidates, or (C, N) with all `items` (N, D)."""
    return states @ items.T if candidates is None else np.einsum("cd,cnd->cn", states, items[candidates], optimize=True)


class Popularity:
    """Clicks in training, whoever asks."""

    name = "popularity"
    tasks: tuple[str, ...] = ("recommendation",)

    def __init__(self, data: Dataset):
        self.counts = data.popularity.astype(np.float32)

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) or (C, N) counts."""
        return (
            np.broadcast_to(self.counts, (len(cases), len(self.counts)))
            if candidates is None
            else self.counts[candidates]
        )


class ItemKNN:
    """Sum of similarities to the clicked items (Sarwar et al., WWW 2001; Deshpande & Karypis, TOIS 2004).

    `weighting` is what implicit does to the click matrix before the cosine: "cosine" nothing, "tfidf", "bm25".
    `own` weighs an item's similarity to itself, 0 to 1: how far a click speaks for clicking again. `similarity`
    is (N, N) sparse with the `neighbours` nearest of each item.
    """

    name = "item-knn"
    tasks: tuple[str, ...] = ("recommendation",)

    def __init__(
        self, data: Dataset, neighbours: int = 100, weighting: str = "cosine", decay: float = 1.0, own: float = 1.0
    ):
        from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

        kinds = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}
        model = kinds[weighting](K=min(neighbours, data.num_items), num_threads=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # implicit warns of a conversion that it brings about itself
            model.fit(click_matrix(data), show_progress=False)
        similarity = sparse.csr_matrix(model.similarity, dtype=np.float32)
        row = np.repeat(np.arange(similarity.shape[0]), np.diff(similarity.indptr))
        similarity.data *= np.where(row == similarity.indices, np.float32(own), np.float32(1))
        self.similarity, self.decay, self.log = similarity, decay, data.log

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) or (C, N) sums of similarities."""
        history = history_matrix(self.log, cases, self.similarity.shape[0], self.decay)
        return _pick(sparse.csr_matrix(history @ self.similarity), candidates)


class ALS:
    """Implicit matrix factorisation (Hu, Koren & Volinsky, ICDM 2008); a case's user vector is solved from its history."""

    name = "als"
    tasks: tuple[str, ...] = ("recommendation",)

    def __init__(
        self,
        data: Dataset,
        factors: int = 64,
        regularization: float = 0.05,
        alpha: float = 10.0,
        iterations: int = 15,
        seed: int = 0,
    ):
        from implicit.cpu.als import AlternatingLeastSquares

        factors = min(factors, data.num_items)
        with threadpool_limits(1, "blas"):  # implicit has threads of its own and warns of a second layer
            model = AlternatingLeastSquares(
                factors=factors,
                regularization=regularization,
                alpha=alpha,
                iterations=iterations,
                random_state=seed,
                num_threads=1,
            )
            model.fit(click_matrix(data), show_progress=False)
        self.items = np.asarray(model.item_factors, np.float32)  # (N, D)
        self.regularization, self.alpha, self.log = regularization, alpha, data.log

    def user_vectors(self, history: sparse.csr_matrix) -> np.ndarray:
        """(C, D) least-squares user vectors for histories (C, N) of click counts: equation 4 of the paper."""
        width = int(np.max(np.diff(history.indptr), initial=0))
        place = history.indptr[:-1, None] + np.arange(width)
        inside = place < history.indptr[1:, None]
        place = np.where(inside, place, 0)
        item = np.where(inside, history.indices[place], 0) if history.nnz else np.zeros(place.shape, np.int64)
        confidence = np.where(inside, self.alpha * history.data[place], 0) if history.nnz else np.zeros(place.shape)
        taken = self.items[item]  # (C, S, D)
        gram = self.items.T @ self.items + self.regularization * np.eye(self.items.shape[1], dtype=np.float32)
        extra = np.where(inside, confidence - 1, 0)
        left = gram + np.einsum("csd,cs,cse->cde", taken, extra, taken, optimize=True)
        right = np.einsum("csd,cs->cd", taken, confidence)
        return np.linalg.solve(left, right[:, :, None])[:, :, 0].astype(np.float32)

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) or (C, N) inner products."""
        users = self.user_vectors(history_matrix(self.log, cases, len(self.items)))
        return _products(users, self.items, candidates)


class SASRec:
    """`signals.sequential` as a ranker; with `vectors` (N, D_v) its item vectors start from text ("sasrec-text")."""

    tasks: tuple[str, ...] = ("recommendation",)

    def __init__(
        self,
        data: Dataset,
        config: SequentialConfig,
        vectors: np.ndarray | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ):
        self.name = "sasrec" if vectors is None else "sasrec-text"
        self.model = fit_sequential(data.log, data.train_mask, data.num_items, config, vectors, seed, device=device)
        self.log = data.log

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) or (C, N) logits of the next click."""
        clicks = clicks_between(self.log, cases.start, cases.stop, self.model.config.max_length)
        states, items, popularity = next_item_states(self.model, clicks)
        return _products(states, items, candidates) + (popularity if candidates is None else popularity[candidates])


class BM25:
    """Words of the query in the text of the item (`data.lexical.LexicalIndex`)."""

    name = "bm25"
    tasks: tuple[str, ...] = ("search",)

    def __init__(self, data: Dataset):
        self.index = LexicalIndex(data.item_texts, data.language)

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) or (C, N) BM25 scores."""
        queries = cases.query or []
        return self.index.scores(queries) if candidates is None else self.index.scores_of(queries, candidates)


class Dense:
    """Semantic vectors alone: cosine with the query in search, with the mean of the history in recommendation.

    For recommendation the vectors are centred first: what all items of a store say is no sign of taste.
    """

    name = "dense"
    tasks: tuple[str, ...] = ("search", "recommendation")

    def __init__(self, data: Dataset, signals: Signals):
        self.signals, self.log = signals, data.log
        self.centred = normalise(signals.semantic - signals.semantic.mean(axis=0))

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """(C, n) or (C, N) inner products; an unknown query or an empty history scores 0 everywhere."""
        if cases.query is not None:
            return _products(self.signals.encode_queries(cases.query), self.signals.semantic, candidates)
        taken = history_matrix(self.log, cases, len(self.centred)) @ self.centred
        return _products(taken, self.centred, candidates)


def recorded_parameters(data: Dataset) -> dict[str, dict]:
    """Hyper-parameters per baseline, as tuned on a data set with this log, or else the defaults."""
    return {**read_json(RECORDED)["default"]["parameters"], **recorded_tuning(data).get("parameters", {})}


def recorded_tuning(data: Dataset) -> dict:
    """What was recorded when the baselines were tuned on this log, whatever the data set is called; empty where they were not."""
    return read_json(RECORDED).get(data.info.get("log_hash", ""), {})


def fit_baseline(
    name: str,
    data: Dataset,
    signals: Signals,
    seed: int = 0,
    device: torch.device | str = "cpu",
    **parameters: object,
) -> Ranker:
    """One baseline by its name, fitted with the given hyper-parameters (those left out have the class's values)."""
    given: dict = parameters
    if name == "popularity":
        return Popularity(data)
    if name == "item-knn":
        return ItemKNN(data, **given)
    if name == "als":
        return ALS(data, seed=seed, **given)
    if name in ("sasrec", "sasrec-text"):
        vectors = signals.semantic if name == "sasrec-text" else None
        return SASRec(data, replace(SequentialConfig(), **given), vectors, seed, device)
    if name == "bm25":
        return BM25(data)
    if name == "dense":
        return Dense(data, signals)
    raise ValueError(f"unknown baseline {name!r}; known are {', '.join(NAMES)}")


def build_baselines(
    data: Dataset,
    signals: Signals,
    seed: int = 0,
    names: Iterable[str] | None = None,
    device: torch.device | str = "cpu",
) -> list[Ranker]:
    """Fit the named baselines (default: all of `NAMES`) with their recorded hyper-parameters; SASRec computes on `device`."""
    parameters = recorded_parameters(data)
    return [
        fit_baseline(name, data, signals, seed, device, **parameters.get(name, {}))
        for name in (NAMES if names is None else names)
    ]
