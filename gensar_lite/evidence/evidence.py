"""What the sources of a store say together: asked, joined, summed over the nodes of a trie, saved.

Explained in notebook 05. Each source is a distribution over items, with a share of its probability on all alike for what it
misses. Their product over items, each to a power, is one distribution (a product of experts: Hinton 2002), so that clicks choose
among the items that match a query and lend nothing to others. The probability of a trie node is the sum over its items. Whoever decodes
adds its logarithm, times a weight, to the logits of a node's children. The probabilities of all items still sum to one,
and a beam still sees nothing but codes. (kNN-LM, Khandelwal et al., ICLR 2020, joins a memory to a trained model alike.)

Clicks on answers to vague queries teach a model to follow the history, away from a product that a query names. So a child gains
`COVERAGE` times the squared coverage of the query by the item below it that covers the most: what has all words of the
query comes first, what has nearly all of them next, and a query of which no item has much gains nothing.
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
COVERAGE = 8.0  # validation clicks rank best with 5 to 10; below 8 products that a query names lose their place
Weights = dict[str, list[list[float]]]  # view -> (L, 2): of the generator, then of the evidence
Powers = dict[str, list[float]]  # view -> (S,): of the sources


class ItemProbs(NamedTuple):
    """What a store says of B requests: item `item[i]` has probability `prob[i]` (nnz,) for request `row[i]`, ascending, and any
    other item `rest` (B,). `coverage` (nnz,) is how much of the query an item has. `known` (B,): where anything is said."""

    row: np.ndarray
    item: np.ndarray
    prob: np.ndarray
    coverage: np.ndarray
    rest: np.ndarray
    known: np.ndarray


class Evidence:
    """Sources of a store, and for each choice among them how they are joined: `weights["words + neighbours"]`, and `powers`."""

    def __init__(
        self,
        sources: Sequence[Source],
        num_items: int,
        weights: dict[str, Weights] | None = None,
        powers: dict[str, Powers] | None = None,
    ) -> None:
        self.sources = {source.name: source for source in sources}
        self.num_items = num_items
        self.weights, self.powers = weights or {}, powers or {}

    @classmethod
    def make(cls, data: Dataset, vectors: np.ndarray, names: Sequence[str]) -> Evidence:
        """The named sources of a store whose items' texts say `vectors` (N, D)."""
        return cls([SOURCES[name].make(data, vectors) for name in names], data.num_items)

    def gains(self, question: Question, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """How much more probable than others each source makes the items that it names, as logarithms (nnz, S); `key` (nnz,) is
        request * N + item, ascending."""
        found = []
        for name in names:
            scores = self.sources[name].scores(question)
            found.append(_distribution(scores) if scores is not None else (np.zeros(0, np.int64), np.zeros(0)))
        key, place = np.unique(np.concatenate([key for key, _ in found]), return_inverse=True)
        gains = np.zeros((len(key), len(names)))
        for column, (own, there) in enumerate(
            zip(found, np.split(place, np.cumsum([len(k) for k, _ in found])[:-1]), strict=True)
        ):
            gains[there, column] = np.log1p((1 - SPREAD) / SPREAD * self.num_items * own[1])
        return key, gains

    def ask(self, question: Question, names: Sequence[str], view: str) -> ItemProbs | None:
        """What the named sources together say of B requests for a view's identifiers; None where there are none."""
        if not names:
            return None
        size, num = self.num_items, len(question.user)
        key, gains = self.gains(question, names)
        powers = self.powers.get(" + ".join(names), {}).get(view, [1.0] * len(names))
        gain = np.expm1(gains @ np.array(powers))  # against an item that no source names
        row, item = key // size, key % size
        total = np.bincount(row, gain, num) + size
        coverage = np.zeros(len(key), np.float32)
        if "words" in names and question.queries is not None:
            has = self.sources["words"].index.coverage(question.queries)  # type: ignore[attr-defined]
            covered = np.repeat(np.arange(num), np.diff(has.indptr)) * size + has.indices
            _, place, found = np.intersect1d(key, covered, assume_unique=True, return_indices=True)
            coverage[place] = has.data[found]
        return ItemProbs(row, item, (1 + gain) / total[row], coverage, 1 / total, np.bincount(row, minlength=num) > 0)

    def save(self, folder: str | Path) -> None:
        """Write the sources and their weights into a folder that appears complete or not at all."""
        about: dict = {"items": self.num_items, "sources": list(self.sources)}
        about |= {"weights": self.weights, "powers": self.powers}
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
        about = read_json(folder / "evidence.json", items=int, weights=dict, powers=dict, sources=list)
        try:
            sources = []
            for name in about["sources"]:
                arrays, values = load_file(folder / f"{name}.safetensors"), read_json(folder / f"{name}.json")
                for field in {key.split(".")[0] for key in arrays}:
                    parts = tuple(arrays[f"{field}.{part}"] for part in ("data", "indices", "indptr"))
                    values[field] = sparse.csr_matrix(parts, shape=tuple(arrays[f"{field}.shape"].tolist()))
                sources.append(SOURCES[name](**values))
            found = cls(sources, about["items"], about["weights"], about["powers"])
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


def _distribution(scores: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Rows of scores (B, N), not negative, as distributions: places in the flattened matrix, and probabilities."""
    row = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    total = np.bincount(row, scores.data, scores.shape[0])
    there = scores.data > 1e-6 * total[row]
    row = row[there]
    return row * scores.shape[1] + scores.indices[there], scores.data[there] / total[row]


class NodeEvidence:
    """What a store says of the nodes of a trie for B requests, from runs of leaves.

    `leaf` (N,) is each item's leaf; `starts[l]` (n_{l+1} + 1,) the first leaf of each node of level l + 1.
    """

    def __init__(self, told: ItemProbs, leaf: np.ndarray, starts: list[np.ndarray]) -> None:
        self.num_items, self.starts, self.told = len(leaf), starts, told
        key = told.row * self.num_items + leaf[told.item]
        order = np.argsort(key)
        self.key = key[order]
        # one more at the end: a run may begin there
        self.more = np.append((told.prob - told.rest[told.row])[order], 0.0)
        self.coverage = np.append(np.square(told.coverage[order]), 0.0)

    def __call__(self, level: int, request: np.ndarray, node: np.ndarray) -> np.ndarray:
        """(P, 2) float32 of nodes (P,) of level `level` + 1 for requests (P,): the log-probability, 0 where nothing is known, and
        what the best coverage below adds."""
        leaf, end = self.starts[level][node], self.starts[level][node + 1]
        first = np.searchsorted(self.key, request * self.num_items + leaf)
        last = np.searchsorted(self.key, request * self.num_items + end)
        order = np.argsort(first, kind="stable")  # runs side by side: each value is looked at once
        runs = np.stack([first, last], axis=1)[order].ravel()
        more, coverage = np.zeros((2, len(node)))
        more[order] = np.add.reduceat(self.more, runs)[::2] if len(runs) else 0
        coverage[order] = np.maximum.reduceat(self.coverage, runs)[::2] if len(runs) else 0
        named = last > first
        prob = np.where(named, more, 0) + self.told.rest[request] * (end - leaf)
        logprob = np.where(self.told.known[request], np.log(prob), 0.0)
        return np.stack([logprob, COVERAGE * np.where(named, coverage, 0)], axis=-1).astype(np.float32)
