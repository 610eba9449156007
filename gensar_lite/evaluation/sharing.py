"""Processes that run together share a ranker's work: each asks about its part of the cases, and all get the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gensar_lite.data.dataset import Cases
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.protocols import Ranker, rank_cases, top_items


class SharedRanker:
    """The ranks, scores and lists of a ranker, the work done by several processes; all of them must ask the same questions."""

    def __init__(self, ranker: Ranker, num_items: int, process: int, num_processes: int) -> None:
        self.ranker, self.num_items, self.process, self.num_processes = ranker, num_items, process, num_processes
        self.name, self.tasks = ranker.name, ranker.tasks

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """Scores (C, n) of candidates (C, n), or (C, N) of the whole catalogue."""

        def ask(part: slice) -> np.ndarray:
            return self.ranker.score(cases.take(part), None if candidates is None else candidates[part])

        return self._share(len(cases), ask)

    def full_rank(self, cases: Cases) -> tuple[np.ndarray, np.ndarray]:
        """Counts (C,) of the items better than the one true item of each case, and tied with it."""

        def ask(part: slice) -> np.ndarray:
            return np.stack(rank_cases(self.ranker, cases.take(part), "full", self.num_items), axis=1)

        better, ties = self._share(len(cases), ask).T
        return better, ties

    def top_items(self, cases: Cases, k: int) -> np.ndarray:
        """The items (C, k) that cases are answered with."""
        return self._share(len(cases), lambda part: top_items(self.ranker, cases.take(part), self.num_items, k))

    def _share(self, count: int, ask: Callable[[slice], np.ndarray]) -> np.ndarray:
        from accelerate.utils import gather_object

        answer: Any = None
        if count > self.process:
            try:
                answer = np.asarray(ask(slice(self.process, None, self.num_processes)))
            except DataError as error:  # told to all, or the others would wait
                answer = error
        parts = [part for part in gather_object([answer]) if part is not None]
        for part in parts:
            if isinstance(part, DataError):
                raise part
        if not parts:
            return np.asarray(ask(slice(0, 0)))
        whole = np.empty((count, *parts[0].shape[1:]), parts[0].dtype)
        for number, part in enumerate(parts):
            whole[number :: self.num_processes] = part
        return whole


def share(ranker: Ranker, num_items: int) -> Ranker:
    """A ranker whose work is shared by all processes of an `accelerate launch`; itself where there is but one."""
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    return (
        ranker
        if state.num_processes == 1
        else SharedRanker(ranker, num_items, state.process_index, state.num_processes)
    )
