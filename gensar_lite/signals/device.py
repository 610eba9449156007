"""Where a stage computes."""

from __future__ import annotations

import os

import torch

from gensar_lite.data.storage import DataError


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
    """How many pieces of work this process may compute side by side: its cores, shared among the threads of one operation."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores // torch.get_num_threads(), 1)
