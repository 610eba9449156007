"""Queries that a user will probably type next: beam search over the queries that a log holds.

Explained in notebook 06. Queries are text of any length, so this is `generate` of `transformers`, held to the log's queries.
"""

from __future__ import annotations

import torch
from transformers import T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from gensar_lite.data.storage import DataError
from gensar_lite.network import t5
from gensar_lite.network.inputs import InputEncoder, Inputs

NO_SEQUENCE = -1e6  # `generate` scores what its constraint forbids at about -1e9


class QueryWriter:
    """The queries of a log as token sequences, and what may follow each beginning."""

    def __init__(self, encoder: InputEncoder, typed: list[str]) -> None:
        first, self.end = encoder.vocabulary.behaviours["<S_Q>"], encoder.vocabulary.eos
        # of queries with the same tokens, the one that was typed first
        rows = reversed(range(len(typed)))
        self.typed = {(first, *encoder.queries[row].tolist(), self.end): typed[row] for row in rows}
        follow: dict[tuple[int, ...], set[int]] = {}
        for tokens in self.typed:
            for i, token in enumerate(tokens):
                follow.setdefault(tokens[:i], set()).add(token)
        self.follow = {beginning: sorted(tokens) for beginning, tokens in follow.items()}

    @torch.inference_mode()
    def suggest(self, model: T5ForConditionalGeneration, inputs: Inputs, k: int) -> list[tuple[str, float]]:
        """The `k` most probable queries for one input and their log-probabilities, best first."""
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if not self.typed:
            raise DataError("the log holds no searches, so there are no queries to suggest")
        k = min(k, len(self.typed))
        inputs = inputs.to(model.device)
        found = model.generate(
            encoder_outputs=BaseModelOutput(t5.encode(model, inputs)),
            attention_mask=inputs.mask.long(),
            num_beams=max(k, 5),
            num_return_sequences=k,
            max_new_tokens=max(map(len, self.typed)),
            length_penalty=0.0,
            return_dict_in_generate=True,
            output_scores=True,
            prefix_allowed_tokens_fn=lambda _, tokens: self.follow.get(tuple(tokens[1:].tolist()), [self.end]),
        )
        rows = [(*row[1:], self.end) for row in found.sequences.tolist()]
        rows = [row[: row.index(self.end) + 1] for row in rows]
        scores = dict(zip(rows, found.sequences_scores.tolist(), strict=True))
        # with fewer queries than beams, rows that are no query fill the place
        return [(self.typed[row], score) for row, score in scores.items() if row in self.typed and score > NO_SEQUENCE]
