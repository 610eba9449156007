"""Batches on their way to the device, laid out ahead of time."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from gensar_lite.training.chance import Chance
from gensar_lite.training.examples import Chunk, Examples

Batch = tuple[list[Chunk], Sequence[Chance]]


def batches(
    examples: Examples,
    steps: range,
    share: range,
    parts: int,
    device: torch.device,
    draw: Callable[[list[Chunk], int], Sequence[Chance]] | None = None,
    ahead: int = 2,
) -> Iterator[Batch]:
    """The chunks of a process's `share` of the parts of each step, and what `draw` draws for them from a seed. The next
    ones (`ahead`) are laid out by a thread while these are computed: what is in them depends on step and part alone."""
    wanted = ((step, part) for step in steps for part in share)

    def lay_out(step: int, part: int) -> Batch:
        chunks = [_move(chunk, device) for chunk in examples.chunks(step, part, parts)]
        return chunks, draw(chunks, step * parts + part) if draw else ()

    if not ahead:
        yield from itertools.starmap(lay_out, wanted)
        return
    with ThreadPoolExecutor(1) as pool:
        coming = deque(pool.submit(lay_out, *key) for key in itertools.islice(wanted, ahead))
        while coming:
            ready = coming.popleft().result()
            coming.extend(pool.submit(lay_out, *key) for key in itertools.islice(wanted, 1))
            yield ready


def _move(chunk: Chunk, device: torch.device) -> Chunk:
    if device.type == "cpu":
        return chunk

    def move(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: move(value) for key, value in part.items()}
        if isinstance(part, list):
            return [move(value) for value in part]
        return tuple(map(move, part)) if type(part) is tuple else part.to(device)

    return type(chunk)(*(move(part) for part in chunk))
