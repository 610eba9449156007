"""The whole line on simulated stores that grow: seconds of computing, of all threads, and peak memory of each stage.

    python benchmarks/line.py [--size large]

Each stage runs in a process of its own (`gensar-lite run` skips what is made already), so that a peak is that of the stage.
Users are as many as items, with 20 events each; preset tiny with 256 codes a level, 300 steps, 2,000 held-out cases.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from harness import finish, parse, peak_memory

import gensar_lite as gl
from gensar_lite.config import preset
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.identifiers import IdentifierTable
from gensar_lite.pipeline.measure import evaluate
from gensar_lite.signals import Signals

ITEMS = {"smoke": (300,), "laptop": (10_000,), "large": (10_000, 100_000)}
STAGES = ("store", "signals", "identifiers", "training", "evaluation", "answering")
CONFIG = preset("tiny", 0, num_codes=256, steps=300, validate_every=300)


def do(stage: str, items: int, folder: Path) -> float:
    """Do one stage in `folder` on what the stages before it left there; gives seconds of computing."""
    if stage == "store":
        start = time.process_time()
        simulate(BazaarConfig(num_items=items, num_users=items), case_users=2_000).save(folder / "store")
        return time.process_time() - start
    data = gl.Dataset.load(folder / "store")
    start = time.process_time()
    if stage == "signals":
        gl.embed(data).save(folder / "signals")
    elif stage == "identifiers":
        gl.learn_identifiers(data, Signals.load(folder / "signals"), num_codes=256).save(folder / "identifiers")
    elif stage == "training":
        table = IdentifierTable.load(folder / "identifiers", data.items["item_id"].tolist())
        gl.GenSAR.fit(data, Signals.load(folder / "signals"), table, config=CONFIG, progress=False).save(folder / "run")
    elif stage == "evaluation":
        evaluate(gl.GenSAR.load(folder / "run"), data, protocols=["uniform99", "bm25_99", "full"], lists=False)
    else:
        model = gl.GenSAR.load(folder / "run")
        start = time.process_time()
        model.recommend(user=list(np.array(data.log.user_ids)[:1_000]))
    return time.process_time() - start


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] == "--one":
        torch.set_num_threads(1)
        seconds = do(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
        print(
            json.dumps({"stage": sys.argv[2], "items": int(sys.argv[3]), "seconds": seconds, "peak MiB": peak_memory()})
        )
        return
    arguments = parse(__doc__)
    rows = []
    for items in ITEMS[arguments.size]:
        with tempfile.TemporaryDirectory() as folder:
            for stage in STAGES:
                command = [sys.executable, __file__, "--one", stage, str(items), folder]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                print(rows[-1], flush=True)
    finish("line", arguments, {"The whole line": rows})


if __name__ == "__main__":
    main()
