"""The sources of a store together: asked, summed over the nodes of a trie, weighted, saved.

Explained in notebook 05. What a source says is a distribution over items; the probability of a trie node is the sum over
its items. Whoever decodes adds `weight * log(probability)` to the logits of a node's children, a product of experts (Hinton
2002) joined after training. The probabilities of all items still sum to one, and a beam still sees nothing but codes.
(kNN-LM, Khandelwal et al., ICLR 2020, joins a memory to a trained model in a like manner.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError, check_whole, new_folder, read_json, write_json
from gensar_lite.evidence.sources import SOURCES, Question, Source

SPREAD = 0.1  # share of the probability that lies on all items alike, for what a source misses
Weights = dict[str, list[list[float]]]  # view -> (L, 1 + S): of the generator, then of each source


class ItemProbs(NamedTuple):
    """What one source says of B requests: item `item[i]` has probability `prob[i]` (nnz,) for request `row[i]`, ascending;
    `known` (B,) says of which requests it says anything."""

    row: np.ndarray
    item: np.ndarray
    prob: np.ndarray
    known: np.ndarray


class Evidence:
    """Sources of a store, and for each choice among them how much each counts: `weights["words + neighbours"]`."""

    def __init__(self, sources: Sequence[Source], num_items: int, weights: dict[str, Weights] | None = None) -> None:
        self.sources = {source.name: source for source in sources}
        self.num_items = num_items
        self.weights = weights or {}

    @classmethod
    def make(cls, data: Dataset, vectors: np.ndarray, names: Sequence[str], weights: dict | None = None) -> Evidence:
        """The named sources of a store whose items' texts say `vectors` (N, D)."""
        return cls([SOURCES[name].make(data, vectors) for name in names], data.num_items, weights)

    def ask(self, question: Question, names: Sequence[str]) -> tuple[ItemProbs, ...]:
        """What each of the named sources says of B requests."""
        return tuple(_distribution(self.sources[name].scores(question), len(question.user)) for name in names)

    def save(self, folder: str | Path) -> None:
        """Write the sources and their weights into a folder that appears complete or not at all."""
        about: dict = {"items": self.num_items, "weights": self.weights, "sources": list(self.sources)}
        with new_folder(folder, "evidence") as temporary:
            for name, source in self.sources.items():
                arrays, others = _parts(source)
                save_file(arrays, temporary / f"{name}.safetensors")
                write_json(temporary / f"{name}.json", others)
            write_json(temporary / "evidence.json", about)

    @classmethod
    def load(cls, folder: Path, data: Dataset) -> Evidence:
        """Read what `save` wrote. Raises DataError where it is broken or of another catalogue."""
        check_whole(folder, "evidence")
        about = read_json(folder / "evidence.json", items=int, weights=dict, sources=list)
        try:
            sources = []
            for name in about["sources"]:
                arrays, values = load_file(folder / f"{name}.safetensors"), read_json(folder / f"{name}.json")
                for field in {key.split(".")[0] for key in arrays}:
                    parts = tuple(arrays[f"{field}.{part}"] for part in ("data", "indices", "indptr"))
                    values[field] = sparse.csr_matrix(parts, shape=tuple(arrays[f"{field}.shape"].tolist()))
                sources.append(SOURCES[name](**values))
            found = cls(sources, about["items"], about["weights"])
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise DataError(f"{folder} cannot be read ({error}); run it again with `gensar-lite run`") from error
        if found.num_items != data.num_items:
            raise DataError(f"{folder} is of {found.num_items} items, the store has {data.num_items}; run it again")
        return found


def _parts(source: Source) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """The matrices of a source as arrays, and what else it holds."""
    arrays: dict[str, np.ndarray] = {}
    others: dict[str, object] = {}
    for field in fields(source):  # type: ignore[arg-type]
        value = getattr(source, field.name)
        if not sparse.issparse(value):
            others[field.name] = value
        else:
            arrays |= {f"{field.name}.{part}": getattr(value, part) for part in ("data", "indices", "indptr")}
            arrays[f"{field.name}.shape"] = np.array(value.shape)
    return arrays, others


def _distribution(scores: sparse.csr_matrix | None, num: int) -> ItemProbs:
    """Rows of scores (B, N), not negative, as distributions."""
    if scores is None:
        return ItemProbs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(num, bool))
    row = np.repeat(np.arange(num), np.diff(scores.indptr))
    total = np.bincount(row, scores.data, num)
    there = scores.data > 1e-6 * total[row]
    row, item, mass = row[there], scores.indices[there].astype(np.int64), scores.data[there]
    return ItemProbs(row, item, mass / total[row], total > 0)


class NodeLogprobs:
    """Log-probabilities of the nodes of a trie for B requests, by sums over runs of leaves.

    `leaf` (N,) is each item's leaf; `starts[l]` (n_{l+1} + 1,) the first leaf of each node of level l + 1.
    """

    def __init__(self, told: tuple[ItemProbs, ...], leaf: np.ndarray, starts: list[np.ndarray]) -> None:
        self.num_items, self.starts = len(leaf), starts
        self.parts = []
        for probs in told:
            key = probs.row * self.num_items + leaf[probs.item]
            order = np.argsort(key)
            self.parts.append((key[order], np.append(0.0, np.cumsum(probs.prob[order])), probs.known))

    def __call__(self, level: int, request: np.ndarray, node: np.ndarray) -> np.ndarray:
        """(..., S) float32 of nodes of level `level` + 1 for requests, of like shape; 0 where a source knows nothing."""
        first, last = self.starts[level][node], self.starts[level][node + 1]
        spread = SPREAD * (last - first) / self.num_items
        found = []
        for key, total, known in self.parts:
            inside = total[np.searchsorted(key, request * self.num_items + last)]
            inside = inside - total[np.searchsorted(key, request * self.num_items + first)]
            logprob = np.log((1 - SPREAD) * np.maximum(inside, 0) + spread)
            found.append(np.where(known[request], logprob, 0.0))
        return np.stack(found, axis=-1).astype(np.float32)
