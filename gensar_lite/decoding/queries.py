"""Queries that a user will probably type next: beam search over the queries that a log holds.

Explained in notebook 06. A query is scored as it was trained: among words, behaviours and the end of the text, which comes
where training cuts a text; queries that begin alike up to there have one score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gensar_lite.data.storage import DataError
from gensar_lite.decoding.tree import TreeDecoder
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.inputs import InputEncoder, Inputs

MIN_BEAMS = 5


class QueryWriter:
    """The queries of a log as a trie of tokens. `max_tokens` is what training writes of a text, `words` the slice of the
    vocabulary that its softmax is over."""

    def __init__(self, encoder: InputEncoder, typed: Sequence[str], max_tokens: int | None, words: slice) -> None:
        self.encoder, self.max_tokens, self.words = encoder, max_tokens, words
        self.end = encoder.vocabulary.eos
        queries = encoder.with_behaviour("<S_Q>", encoder.queries)
        inside = np.arange(int(queries.lengths.max(initial=0)) + 1)[None, :] < queries.lengths[:, None]
        tokens = np.full(inside.shape, self.end)
        tokens[inside] = queries.tokens
        # of queries with the same tokens, the one that was typed first
        tokens, first = np.unique(tokens, axis=0, return_index=True)
        self.typed = [typed[row] for row in first]
        self.trie = IdentifierTrie.build(tokens) if len(tokens) else None

    @torch.inference_mode()
    def suggest(self, model: T5, inputs: Inputs, k: int) -> list[tuple[str, float]]:
        """The `k` most probable queries for one input and their log-probabilities, best first."""
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if self.trie is None:
            raise DataError("the log holds no searches, so there are no queries to suggest")
        inputs, trie = inputs.to(model.device), self.trie
        decoder = TreeDecoder(model, t5.encode(model, inputs), inputs.mask, 1 + trie.num_levels)
        every = torch.zeros(1, dtype=torch.long, device=model.device)
        states = decoder.extend([(torch.full_like(every, self.encoder.vocabulary.pad), every)])[0]
        nodes, scores, ended = np.zeros(1, np.int64), np.zeros(1, np.float32), np.zeros(1, bool)
        for level in range(trie.num_levels):
            logprob = t5.logits(model, states, self.words).float().log_softmax(-1).cpu().numpy()
            beam, child = trie.children_of(level, nodes)
            code = trie.codes[level][child].astype(np.int64)
            said = np.full_like(code, self.end) if level == self.max_tokens else code
            total = scores[beam] + np.where(ended[beam], 0, logprob[beam, said])  # nothing is said after the end
            best = np.argsort(-total, kind="stable")[: max(k, MIN_BEAMS)]
            parent, nodes, scores = torch.from_numpy(beam[best]).to(model.device), child[best], total[best]
            ended = ended[beam[best]] | (said[best] == self.end)
            if level + 1 < trie.num_levels:
                states = decoder.extend([(torch.from_numpy(code[best]).to(model.device), parent)])[0]
        return [(self.typed[trie.items[node]], float(score)) for node, score in zip(nodes[:k], scores[:k], strict=True)]
