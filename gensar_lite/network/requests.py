"""From questions to encoder inputs, and to what the store is asked: held-out cases, users of the log, histories of item ids.

Explained in notebook 05. Training lays its own inputs out (`training.examples`); whoever asks a trained model comes through here, so
that evaluation and use see the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.evidence.sources import Question
from gensar_lite.network.inputs import InputEncoder, Inputs
from gensar_lite.network.prompts import TASK_PROMPT
from gensar_lite.network.vocabulary import Sequences


class Request(NamedTuple):
    """B requests: as the model reads them, and as the store is asked."""

    inputs: Inputs
    question: Question


class RequestEncoder:
    """Puts what people ask into the words of a model's encoder."""

    def __init__(self, data: Dataset, encoder: InputEncoder) -> None:
        self.data, self.encoder = data, encoder

    def cases(self, cases: Cases) -> Request:
        """Held-out cases: their histories, and in search their queries."""
        example, event = self.encoder.history_rows(cases.start, cases.stop)
        clicks = example, self.data.log.item[event]
        events = self.encoder.events(event)
        return self._ask(TASK_PROMPT[cases.task], events, clicks, cases.query, cases.user)

    def users(
        self,
        prompt: str,
        users: Sequence[str | None],
        history: Sequence[str] | None = None,
        queries: list[str] | None = None,
    ) -> tuple[Request, list[np.ndarray]]:
        """Requests of users of the log, or of anybody with a history of item ids; and the items each has clicked.

        A user the log has never seen is asked for as somebody new, with a warning. Raises DataError for a history
        with unknown items.
        """
        if history is not None:
            return self._strangers(prompt, len(users), history, queries)
        strangers = [user for user in users if user is not None and user not in self.data.user_number]
        if strangers:
            warnings.warn(
                f"the log has no user {', '.join(map(repr, strangers[:5]))}; answered as for a new user", stacklevel=5
            )
        number = np.array([self.data.user_number.get(user, -1) if user is not None else -1 for user in users])
        log = self.data.log
        start = np.where(number >= 0, log.user_ptr[number], 0)
        stop = np.where(number >= 0, log.user_ptr[number + 1], 0)
        example, event = self.encoder.history_rows(start, stop)
        seen = [log.item[a:b] for a, b in zip(start, stop, strict=True)]
        events = self.encoder.events(event)
        return self._ask(prompt, events, (example, log.item[event]), queries, number), seen

    def _strangers(
        self, prompt: str, num: int, history: Sequence[str], queries: list[str] | None
    ) -> tuple[Request, list[np.ndarray]]:
        """`num` requests with the same history of item ids."""
        unknown = [item for item in history if item not in self.data.item_number]
        if unknown:
            raise DataError(
                f"the history names items that are not in the catalogue: {', '.join(map(str, unknown[:5]))}"
            )
        clicked = np.array([self.data.item_number[item] for item in history], np.int64)
        latest = clicked[-self.encoder.max_events :]
        clicks = np.repeat(np.arange(num), len(latest)), np.tile(latest, num)
        events = self.encoder.click_segments(clicks[1], "collaborative")
        return self._ask(prompt, events, clicks, queries, np.full(num, -1)), [clicked] * num

    def _ask(
        self,
        prompt: str,
        events: Sequences,
        clicks: tuple[np.ndarray, np.ndarray],
        queries: list[str] | None,
        user: np.ndarray,
    ) -> Request:
        num = len(user)
        inputs = self.encoder.ask(prompt, events, np.bincount(clicks[0], minlength=num), queries)
        return Request(inputs, Question(queries, clicks, user))
