"""Where a stage computes: on which device, and on how many cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from gensar_lite.data.storage import DataError

MOST_AT_ONCE = 4  # pieces of work; each needs memory of its own


def choose_device(name: torch.device | str | None = None) -> torch.device:
    """The device of that name; None: this process' GPU where there is one, else the CPU.

    Raises DataError where there is no such device.
    """
    if name is None:
        here = torch.cuda.is_available()
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if here else torch.device("cpu")
    try:
        return torch.empty(0, device=name).cpu().new_empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        raise DataError(f"there is no device {str(name)!r} here; torch sees {there}") from error


def spare_cores() -> int:
    """How many pieces of work this process may compute side by side: its cores, shared among the threads of one operation and
    the processes of one training."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    taken = torch.get_num_threads() * int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return min(max(cores // taken, 1), MOST_AT_ONCE)


def workers(device: torch.device) -> ThreadPoolExecutor | None:
    """Threads for pieces of work, one a core, which compute as this one does; None where there is one core, or another device."""
    if device.type != "cpu" or (cores := spare_cores()) < 2:
        return None
    return ThreadPoolExecutor(cores, "piece", torch.set_flush_denormal, (zeroes_denormals(),))


def zeroes_denormals() -> bool:
    """Whether numbers below 1e-38 count as zero in this thread: torch has a setter but no getter."""
    return not bool((torch.full((1,), 1e-40) * 1).any())


@contextmanager
def without_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as zero: moments of rarely drawn items decay into them, where a CPU is 30 times slower."""
    already = zeroes_denormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(already)
