"""How fast the explorers answer on the embedded store: milliseconds in Python, from a changed control to what is shown.

    python benchmarks/explorers.py [RUN]        default: runs/demo, else a model trained for a moment

The browser adds some tens of milliseconds. Speed does not depend on how long the model was trained.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gensar_lite.explore.answers import Shop
from gensar_lite.explore.kit import find_run, fine_tune, quick_model
from gensar_lite.explore.widgets import BeamStepper, CodebookExplorer, StoreConsole
from gensar_lite.model import GenSAR
from gensar_lite.tradeoff.interpolation import WeightLine

NUM_TIMES = 100
QUERIES = ("gift", "brush", "warm sleeping bag for winter", "coffee", "running shoes")


def measure(what: str, call: Callable[[int], None]) -> None:
    """Time a call `NUM_TIMES` times; it is given the number of the time."""
    call(0)
    spent = []
    for number in range(1, NUM_TIMES + 1):
        started = time.perf_counter()
        call(number)
        spent.append((time.perf_counter() - started) * 1000)
    middle, late = np.quantile(spent, [0.5, 0.95])
    print(f"{what:60}{middle:8.1f}{late:8.1f}{max(spent):8.1f}")


def set_value(widget, value) -> None:
    widget.value = value


def main() -> int:
    torch.set_num_threads(1)
    run = find_run(sys.argv[1] if len(sys.argv) > 1 else None, Path("runs/app"))
    model = GenSAR.load(run) if run else quick_model(20, progress=False)
    # the weights of two fine-tunes lie as far apart as they like here: only the time counts
    line = WeightLine(model, model) if run else WeightLine(model, fine_tune(model, 0.1, progress=False))
    users = model.data.log.user_ids
    console = StoreConsole(model, user=users[0], shop=Shop(model, line))
    stepper = BeamStepper(model, user=users[0])
    browser = CodebookExplorer(model)
    print(f"{model.data.num_items:,} items, {torch.get_num_threads()} thread, {NUM_TIMES} times each: milliseconds")
    print(f"{'':60}{'median':>8}{'95 %':>8}{'most':>8}")
    measure(
        "store console: another query (both lists)", lambda n: set_value(console.query, QUERIES[n % 5] + " " * (n % 2))
    )
    measure("store console: another user", lambda n: set_value(console.user, users[n]))
    measure("store console: a click", lambda n: console.click(console.lists["recommendation"].items[n % 10]))
    console.moved.value = True
    measure("store console: the mix slider", lambda n: set_value(console.mix, (n % 20) / 20))
    for weight in console.weights.values():
        weight.value = 0.5
    measure("store console: another user, mix moved, both lists fused", lambda n: set_value(console.user, users[n]))
    measure("beam stepper: another query, 5 beams", lambda n: set_value(stepper.query, QUERIES[n % 5]))
    measure("beam stepper: the trie on and off", lambda n: set_value(stepper.restricted, n % 2 == 0))
    first = np.unique(model.table.codes["semantic"][:, 0])
    measure("codebook explorer: a code", lambda n: browser.choose((int(first[n % len(first)]),)))
    measure("codebook explorer: an item with its neighbours", lambda n: browser.follow(n))
    return 0


if __name__ == "__main__":
    sys.exit(main())
