"""Baselines while the model trains: they depend on the signals alone, so a second core measures them in the meantime.

Whatever goes wrong in the other process, the work is done again in this one, where its errors are told.
"""

from __future__ import annotations

import _thread
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

import gensar_lite
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import new_folder, write_json
from gensar_lite.evaluation.baselines import build_baselines
from gensar_lite.pipeline.measure import oracle_of, rank_all
from gensar_lite.signals import Signals

WORTH_SECONDS = 60.0  # of training; starting a process takes some
BESIDE_BYTES = 1.1e9  # of memory, measured
LAST_SECONDS = 5.0  # that a process is given to end


def measure_baselines(out: Path, data: Dataset, seed: int, device: torch.device) -> None:
    """Ranks and lists of all baselines on the signals of a run folder, written into it."""
    signals = Signals.load(out / "signals")
    rankers = [*build_baselines(data, signals, seed, device=device), *oracle_of(data)]
    ranks, lists = rank_all(rankers, data, seed)
    with new_folder(out / "baselines", "baselines") as temporary:
        ranks.to_parquet(temporary / "ranks.parquet", index=False, compression="zstd")
        write_json(temporary / "lists.json", lists)


class Beside:
    """A process that measures the baselines of a run folder; it ends when this one does."""

    def __init__(self, out: Path, seed: int) -> None:
        path = [str(Path(gensar_lite.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from {__name__} import main; main()",
                str(out.resolve()),
                str(seed),
                str(torch.get_num_threads()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        )

    def wait(self) -> float | None:
        """The seconds that it took, once it is done; None where it failed."""
        assert self.process.stdout is not None
        told = self.process.stdout.read().splitlines()  # a library may have said something before
        return float(json.loads(told[-1])["seconds"]) if self.process.wait() == 0 else None

    def stop(self) -> None:
        """End it, if it has not ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def _end_with_parent() -> None:
    sys.stdin.read()  # comes to an end when the other process closes it, or is no more
    _thread.interrupt_main()
    time.sleep(LAST_SECONDS)
    os._exit(1)


def main() -> None:
    """What the other process does: the folder, the seed and the number of threads are its arguments."""
    out, seed, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    start = time.perf_counter()
    measure_baselines(out, Dataset.load(out / "store"), seed, torch.device("cpu"))
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
