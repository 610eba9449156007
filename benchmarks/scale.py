"""Import and loading of logs that grow: seconds of computing and peak memory of each step.

    python benchmarks/scale.py [--size large]

A simulated log of a tenth as many items and users as interactions (Zipf popularity, titles of 6 words and descriptions of 12
from a vocabulary of 20,000) lies there as Parquet. `import` is `gensar-lite data import` with made queries for half of the clicks and the
cases of 2,500 users. `load` opens the folder, the log and the cases of both tasks; `texts` reads the texts of all items. Each
step runs in a process of its own, so that a peak is that of the step; `start` is a process that imports the package and
does nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from harness import finish, parse, peak_memory

from gensar_lite.cli import main as gensar_lite
from gensar_lite.data.dataset import Dataset

INTERACTIONS = {"smoke": (10_000,), "laptop": (100_000, 1_000_000), "large": (100_000, 1_000_000, 10_000_000)}
STEPS = ("start", "import", "load", "texts")


def write_log(folder: Path, num: int, seed: int = 0) -> None:
    """items.parquet and interactions.parquet of a store of num / 10 items and users."""
    rng, size = np.random.default_rng(seed), num // 10
    syllables = np.array([c + v for c in "bcdfghklmnprstvz" for v in "aeiou"], dtype=object)
    words = np.array(["".join(row) for row in syllables[rng.integers(80, size=(20_000, 3))]], dtype=object)

    def zipf(num_values: int, shape: int | tuple[int, ...], start: int) -> np.ndarray:
        heights = np.cumsum(1 / (np.arange(num_values) + start))
        return np.searchsorted(heights, rng.random(shape) * heights[-1]).clip(max=num_values - 1)

    def texts(length: int) -> list[str]:
        return [" ".join(row) for row in words[zipf(len(words), (size, length), 10)]]

    ids = np.array([f"B{n:08d}" for n in range(size)], dtype=object)
    groups = [f"part {a} > shelf {b}" for a, b in rng.integers((30, 400), size=(size, 2))]
    items = {
        "item_id": ids,
        "title": texts(6),
        "description": texts(12),
        "categories": groups,
        "brand": words[rng.integers(2_000, size=size)],
    }
    pd.DataFrame(items, dtype="str").to_parquet(folder / "items.parquet", index=False)
    user, time = rng.integers(size, size=num), 1_600_000_000 + rng.integers(10**8, size=num)
    order = np.lexsort((time, user))
    clicked = rng.permutation(size)[zipf(size, num, 20)]
    users = np.array([f"u{n:08d}" for n in range(size)], dtype=object)
    log = {"user_id": pd.array(users[user[order]], dtype="str"), "item_id": pd.array(ids[clicked], dtype="str")}
    pd.DataFrame({**log, "timestamp": time[order]}).to_parquet(folder / "interactions.parquet", index=False)


def do(step: str, folder: Path) -> None:
    """Do one step in `folder` on what the steps before it left there."""
    if step == "import":
        tables = ["--items", str(folder / "items.parquet"), "--interactions", str(folder / "interactions.parquet")]
        code = gensar_lite(["data", "import", *tables, "--case-users", "2500", "--out", str(folder / "data")])
        if code:
            raise SystemExit(code)
    elif step == "load":
        data = Dataset.load(folder / "data")
        for task in ("recommendation", "search"):
            data.cases(task, "test")
        data.log, data.train_mask  # noqa: B018
    elif step == "texts":
        Dataset.load(folder / "data").item_texts  # noqa: B018


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--one":
        begin, wall = time.process_time(), time.perf_counter()
        do(sys.argv[2], Path(sys.argv[3]))
        seconds = {"CPU s": time.process_time() - begin, "s": time.perf_counter() - wall}
        print("RESULT" + json.dumps({"step": sys.argv[2], **seconds, "peak MiB": peak_memory()}))
        return
    arguments = parse(__doc__)
    rows = []
    for num in INTERACTIONS[arguments.size]:
        with tempfile.TemporaryDirectory() as folder:
            write_log(Path(folder), num)
            for step in STEPS:
                command = [sys.executable, __file__, "--one", step, folder]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows.append({"interactions": num, **json.loads(done.stdout.split("RESULT")[1])})
                print(rows[-1], flush=True)
    finish("scale", arguments, {"Import and loading": rows})


if __name__ == "__main__":
    main()
