"""How long a run will take and how much memory: a guess from the sizes of model and data and the measured speed of this machine.

Multiplications are counted, a short test says how many this machine does per second on matrices of the model's
shape, and one factor for everything that is no multiplication comes from measured runs. Within a factor of two, no more.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from gensar_lite.config import RunConfig
from gensar_lite.data.dataset import Dataset
from gensar_lite.evidence.sources import neighbours_of
from gensar_lite.signals.device import spare_cores
from gensar_lite.training.chance import MAX_RIVALS

TRAINING_FACTOR = 4.0  # measured seconds by seconds of multiplying, presets tiny and small
GAIN_PER_CORE = 0.7  # one more core does so much of the work of the first
SECONDS_PER_CLICK = 2e-3  # of the sequential model, measured; scaled by the speed test as well
SECONDS_PER_ITEM = 8e-3  # of the RQ-VAE
REFERENCE_SPEED = 2e10  # multiplications per second of the machine on which these were measured
PROBE_ROWS = 2048
BASE_BYTES = (
    1.1e9  # of a process with its libraries, and of fitting to validation cases; measured, presets tiny and small
)


def estimate_seconds(data: Dataset, config: RunConfig) -> float:
    """Seconds of signals, identifiers and training, of which training uses all cores that it may."""
    training = config.training
    speed = measure_speed(training.d_model, training.d_ff)
    clicks = int(data.train_mask.sum())
    positions = positions_of(data, config)
    width, inner = training.d_model, training.d_ff
    encoder = positions * (4 * width**2 + 2 * width * inner)
    decoder = 6 * (8 * width**2 + 2 * width * inner)
    per_example = 3 * training.num_layers * (encoder + decoder)
    learning = TRAINING_FACTOR * num_examples(data, config) * per_example / speed
    before = (SECONDS_PER_CLICK * clicks + SECONDS_PER_ITEM * data.num_items) * REFERENCE_SPEED / measure_speed(64, 128)
    return learning / (1 + GAIN_PER_CORE * (spare_cores() - 1)) + before


def positions_of(data: Dataset, config: RunConfig) -> float:
    """Mean positions of an example's input."""
    training = config.training
    # a case's history is on average half of what its user did
    per_user = int(data.train_mask.sum()) / max(data.log.num_users, 1)
    most = training.max_events * (2 if training.history == "template" else 1)
    return min(most, per_user / 2) * (1 if training.history == "pooled" else 6) + 10


def estimate_bytes(data: Dataset, config: RunConfig) -> float:
    """Memory of a process at its most: weights with gradients and moments, what a batch leaves for the way back, the store."""
    training, num = config.training, data.num_items
    width, inner, layers = training.d_model, training.d_ff, training.num_layers
    codes = config.identifiers.num_codes * (config.identifiers.num_shared + 2 * config.identifiers.num_specific)
    vocabulary = training.vocab_size + codes + (2 * num if training.remembers_items else 0)
    weights = vocabulary * width + layers * (12 * width**2 + 4 * width * inner)
    positions = positions_of(data, config)
    rows = training.batch_size / training.accumulate
    of_a_row = layers * (positions + 6) * (16 * width + 3 * inner + 3 * training.num_heads * positions)
    of_a_row += 3 * (6 * vocabulary if training.softmax == "full" else min(num, MAX_RIVALS))
    store = num * (2 * 256 * 4 + 8 * len(config.evidence) * neighbours_of(num)) + 60 * len(data.log.item)
    return BASE_BYTES + 16 * weights + 8 * rows * of_a_row + store


def num_examples(data: Dataset, config: RunConfig) -> int:
    """Examples that training will see."""
    training, log = config.training, data.log
    if training.epochs is None:
        return training.steps * training.batch_size
    clicked = data.train_mask & (log.item >= 0)
    there = {
        "next_item": int((clicked & (log.recommended | training.recommend_searched)).sum()),
        "next_search_item": int((clicked & log.searched).sum()),
        "next_query": int((data.train_mask & log.searched).sum()),
        "query_to_item": training.pseudo_queries_per_item * data.num_items,
        "text_to_item": 2 * data.num_items,
        "item_to_text": 2 * data.num_items,
    }
    most = training.epoch_examples
    return training.epochs * sum(
        min(number if (n := most.get(task)) is None else n, number) for task, number in there.items()
    )


def measure_speed(width: int, inner: int) -> float:
    """Multiplications per second on matrices of this shape, the best of a few tries."""
    left, right = torch.rand(PROBE_ROWS, width), torch.rand(width, inner)
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(10):
            left @ right
        best = min(best, time.perf_counter() - start)
    return 10 * PROBE_ROWS * width * inner / best


def in_words(seconds: float) -> str:
    """A rough duration: "about 40 seconds", "about 3 minutes", "about 2 hours"."""
    if seconds < 90:
        return f"about {max(10, round(seconds / 10) * 10)} seconds"
    if seconds < 5400:
        return f"about {round(seconds / 60)} minutes"
    return f"about {round(seconds / 3600, 1):g} hours"


def gigabytes(number: float) -> str:
    """An amount of memory: "about 0.9 GB"."""
    return f"about {max(number / 1e9, 0.1):.2g} GB"
