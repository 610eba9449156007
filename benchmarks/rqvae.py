"""The joint RQ-VAE: seconds an epoch, seconds to convergence, peak memory.

    python benchmarks/rqvae.py [--size large]

Two signals of 256 and 64 numbers with structure (mixtures of Gaussians), two shared, two semantic and two collaborative codebooks of
256 codes. Each size runs in a process of its own, so that the peak is its own; the arrays themselves are in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import torch
from harness import finish, parse, peak_memory

from gensar_lite.identifiers.rqvae import RQVAEConfig, reconstruction_error, train_rqvae

ITEMS = {"smoke": (500,), "laptop": (4_000, 100_000), "large": (4_000, 100_000, 1_000_000)}
WIDTHS, NUM_CODES = (256, 64), 256
SPANS = ((0, 64), (0, 64), (0, 32), (0, 32), (32, 64), (32, 64))


def make_signals(items: int) -> list[np.ndarray]:
    """Standardised signals (N, width), clusters within clusters."""
    rng = np.random.default_rng(0)
    signals = []
    for width in WIDTHS:
        x = rng.normal(size=(items, width)).astype(np.float32) * 0.3
        for scale, clusters in ((1.0, 50), (0.6, 1000)):
            x += scale * rng.normal(size=(clusters, width)).astype(np.float32)[rng.integers(clusters, size=items)]
        signals.append((x - x.mean(0)) / x.std(0))
    return signals


def measure(items: int) -> dict:
    """One training, and one of a single epoch more or less, whose difference is an epoch."""
    signals = make_signals(items)
    before = peak_memory()

    def train(config: RQVAEConfig) -> tuple[float, list[float]]:
        start = time.process_time()
        model = train_rqvae(signals, SPANS, (NUM_CODES,) * 6, config, balanced=(3, 5))
        return time.process_time() - start, reconstruction_error(model, signals)

    seconds, error = train(RQVAEConfig())
    epochs = []
    per_epoch = -(-items // RQVAEConfig().batch_size)
    for count in (2, 6):  # at least two epochs are always made
        epochs.append(train(RQVAEConfig(warmup_steps=1, max_steps=count * per_epoch, patience=100))[0])
    return {
        "items": items,
        "epoch s": (epochs[1] - epochs[0]) / 4,
        "to convergence s": seconds,
        "reconstruction error": " and ".join(f"{value:.3f}" for value in error),
        "arrays MiB": before,
        "peak MiB": peak_memory(),
    }


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        torch.set_num_threads(1)
        print(json.dumps(measure(int(sys.argv[2]))))
        return
    arguments = parse(__doc__)
    rows = []
    for items in ITEMS[arguments.size]:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(items)], stdout=subprocess.PIPE, text=True, check=True
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    finish("rqvae", arguments, {"Joint RQ-VAE": rows})


if __name__ == "__main__":
    main()
