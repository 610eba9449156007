"""What every benchmark shares: timing in turns, medians and ratios, a table, and a JSON file with the circumstances.

Rivals are timed alternately in one process, so that whatever else the machine does meets all of them. Nothing here
passes or fails.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from gensar_lite.network.linear import linear

SIZES = ("smoke", "laptop", "large")
PACKAGES = ("gensar_lite", "torch", "transformers", "accelerate", "numpy")


def parse(doc: str, **choices: list[str] | str) -> argparse.Namespace:
    """The options of every benchmark and `choices` of this one, the first of each its default, or any text with a default; sets
    the number of threads."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="laptop", help="laptop: some minutes; large: up to hours")
    parser.add_argument("--repeats", type=int, help="measurements per rival (default: as many as suit the case)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda where there is a GPU")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="folder of the JSON files")
    for name, values in choices.items():
        if isinstance(values, str):
            parser.add_argument(f"--{name}", default=values)
        else:
            parser.add_argument(f"--{name}", choices=values, default=values[0])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    return arguments


def clock_of(arguments: argparse.Namespace) -> Callable[[], float]:
    """On one thread of a CPU the seconds that this process computed, which other work on the machine does not lengthen;
    else those on the clock."""
    if arguments.device != "cpu":

        def wait() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return wait
    return time.process_time if arguments.threads == 1 else time.perf_counter


def alternate(
    rivals: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float]
) -> dict[str, dict[str, float]]:
    """Call the rivals in turns, once to warm up and then `repeats` times; gives median, least and largest seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(repeats + 1):
        for name, call in rivals.items():
            start = clock()
            call()
            if turn:
                seconds[name].append(clock() - start)
    return {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for name, values in seconds.items()
    }


def matrix_rate(
    rows: int, width: int, inner: int, dtype: torch.dtype, device: str, product: Callable = linear
) -> float:
    """Multiply-adds per second of matrix products (rows, width) x (width, inner), the best of ten tries."""
    left = torch.rand(rows, width, dtype=dtype, device=device)
    right = torch.rand(inner, width, dtype=dtype, device=device)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(10):
            start = time.process_time() if device == "cpu" else time.perf_counter()
            for _ in range(10):
                product(left, right)
            if device != "cpu":
                torch.cuda.synchronize()
            best = min(best, (time.process_time() if device == "cpu" else time.perf_counter()) - start)
    return 10 * rows * width * inner / best


def peak_memory() -> float:
    """Largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def processor() -> str:
    """Name of the processor, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def circumstances(arguments: argparse.Namespace) -> dict:
    """Machine, versions and options of a measurement."""
    return {
        "command": " ".join(["python", *sys.argv]),
        "size": arguments.size,
        "threads": torch.get_num_threads(),
        "seconds": "of computing" if clock_of(arguments) is time.process_time else "on the clock",
        "device": arguments.device if arguments.device == "cpu" else torch.cuda.get_device_name(),
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "time": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }


def show(rows: Sequence[dict], title: str) -> None:
    """Print rows as a Markdown table."""
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print(f"\n{title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(_cell(row.get(column, "")) for column in columns) + " |")


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def finish(name: str, arguments: argparse.Namespace, tables: dict[str, list[dict]]) -> None:
    """Print the tables and write them, with the circumstances, to `<out>/<name>.json`."""
    for title, rows in tables.items():
        show(rows, title)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{name}.json"
    path.write_text(json.dumps({"circumstances": circumstances(arguments), "tables": tables}, indent=1) + "\n")
    print(f"\n{path}")
