"""The paper's form on a GPU: examples a second beside the plain page, and decoding checked against the CPU.

    python benchmarks/gpu.py --device cuda [--data FOLDER] [--size large]

Training: preset `paper` (t5-small's sizes) from scratch, in bfloat16 on a GPU, for some minutes; the rival is `notebooks/paper.py`, the same shape
under transformers' own forward pass, with as many examples in a batch. Decoding: random weights of t5-small's sizes, 30 beams, 1, 32
and 256 queries at 4 thousand and 1 million items; `largest difference` is that of the best scores of the first query on a CPU.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import alternate, clock_of, finish, parse
from page import open_page
from worlds import make_world

import gensar_lite as gl
from gensar_lite.config import preset
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.load import load_dataset
from gensar_lite.decoding.beam import beam_search
from gensar_lite.model import GenSAR
from gensar_lite.training.batches import batches
from gensar_lite.training.doc2query import pseudo_queries
from gensar_lite.training.examples import Examples
from gensar_lite.training.initialise import load_or_train_tokenizer
from gensar_lite.training.loop import Objective

BEAMS, LENGTH = 30, 64
SECONDS = {"smoke": 1, "laptop": 60, "large": 240}  # of training, each rival
FORM = {"smoke": "paper-tiny", "laptop": "paper", "large": "paper"}
CASES = {
    "smoke": [("d64", 500, 2)],
    "laptop": [("t5-small", items, queries) for items in (4_000, 1_000_000) for queries in (1, 32)],
    "large": [("t5-small", items, queries) for items in (4_000, 1_000_000) for queries in (1, 32, 256)],
}


def rate_of(step: Callable[[], int], model: torch.nn.Module, seconds: float, device: torch.device) -> float:
    """Examples a second of a training whose `step` computes gradients of some examples and says of how many."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    done, start = 0, 0.0
    for number in range(10**9):
        if number == 2:  # two steps warm up
            start, done = time.perf_counter(), 0
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            done += step()
        optimiser.step()
        optimiser.zero_grad()
        if number > 2 and time.perf_counter() - start > seconds:
            break
    if device.type == "cuda":
        torch.cuda.synchronize()
    return done / (time.perf_counter() - start)


def ours(model: GenSAR, config: Any, seconds: float, device: torch.device) -> float:
    """Examples a second of the package."""
    data = model.data
    examples = Examples(data, model.encoder, pseudo_queries(data, config, 0), config, 0)
    objective = Objective(model.backbone.to(device).train(), model.vocabulary, config)
    feed = batches(examples, range(10**9), range(config.accumulate), config.accumulate, device)

    def step() -> int:
        chunks, _ = next(feed)
        objective(chunks).backward()
        return sum(len(chunk.decoder) for chunk in chunks)

    rate = rate_of(step, model.backbone, seconds, device)
    feed.close()
    return rate


def plain(data: Dataset, folder: Path, codes: np.ndarray, config: Any, seconds: float, device: torch.device) -> float:
    """Examples a second of the plain page: identifiers, texts and templates as it writes them."""
    page, tokenizer, model, found, *_ = open_page(data, folder, codes, config)
    sizes = dict(zip(found, config.epoch_examples.values(), strict=False))
    pool = [
        (task, *row)
        for task, rows in found.items()
        for row in random.sample(rows, min(sizes[task] or len(rows), len(rows)))
    ]
    model.to(device).train()

    def step() -> int:
        rows = random.choices(pool, k=config.batch_size // config.accumulate)
        inputs = [random.choice(page.TEMPLATES[task]).format(**held) for task, held, _ in rows]
        page.loss_of(model, tokenizer, inputs, [target for *_, target in rows]).backward()
        return len(rows)

    return rate_of(step, model, seconds, device)


def train(arguments: Any, device: torch.device) -> list[dict]:
    """Both forms in turn, on one data set and one set of identifiers."""
    small = arguments.size == "smoke"
    data = simulate(BazaarConfig(num_items=200, num_users=100)) if small else load_dataset(arguments.data)
    folder = arguments.out / "store"
    data.save(folder)
    signals = gl.embed(data, collaborative="als")
    run = preset(FORM[arguments.size])
    table = gl.learn_identifiers(data, signals, quantiser="kmeans", num_codes=run.identifiers.num_codes)
    config = run.training
    tokenizer = load_or_train_tokenizer([*data.item_texts, *data.log.queries], config)
    model = GenSAR.untrained(data, signals, table, tokenizer, run)
    rates = {"gensar_lite": ours(model, config, SECONDS[arguments.size], device)}
    rates["notebooks/paper.py"] = plain(data, folder, table.codes_by_codebook, config, SECONDS[arguments.size], device)
    return [
        {"form": name, "examples a second": rate, "times the page": rate / rates["notebooks/paper.py"]}
        for name, rate in rates.items()
    ]


def main() -> None:
    arguments = parse(__doc__, data="bazaar")
    device = torch.device(arguments.device)
    decoded = []
    for shape, items, queries in CASES[arguments.size]:
        world = make_world(shape, items, queries, LENGTH, torch.float32)
        here = beam_search(world.scorer(), BEAMS).scores[:1] if queries < 32 else None
        world = world.to(arguments.device)
        found = beam_search(world.scorer(), BEAMS)
        clock = clock_of(arguments)
        seconds = alternate(
            {"ours": lambda world=world: beam_search(world.scorer(), BEAMS)}, arguments.repeats or 5, clock
        )["ours"]
        row = {
            "model": shape,
            "items": items,
            "queries": queries,
            "seconds": seconds["median"],
            "queries a second": queries / seconds["median"],
        }
        if here is not None:
            row["largest difference"] = float(np.abs(found.scores[:1] - here).max())
        decoded.append(row)
        print(row, flush=True)
    trained = train(arguments, device)
    finish("gpu", arguments, {"Training": trained, "Decoding": decoded})


if __name__ == "__main__":
    main()
