"""Decoder states of the nodes of a prefix tree: what beam search and exact scoring share.

Explained in notebook 06. The nodes of a level are rows, each with the number of its parent's row. A row attends to its
ancestors alone, which are looked up where they were computed; nothing is copied when beams are reordered, and a prefix that
many identifiers share is computed once. The encoder and the keys of cross-attention are computed once a query.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.linear import linear


class TreeDecoder:
    """Decoder states of the prefix trees of B queries, computed in one or more passes from the top down.

    A level is a list of rows: tokens (R,) and parents (R,), the numbers of rows of the level above, or of the queries
    at the first. `query` (R,) numbers the query of each row of the lowest level.
    """

    def __init__(self, model: T5, encoded: Tensor, mask: Tensor, max_depth: int) -> None:
        self.model = model
        self.num_queries = len(encoded)
        self.cross_bias = t5.mask_bias(mask, encoded.dtype)
        self.cross: list[tuple[Tensor, Tensor]] = []
        for block in model.decoder.block:
            attention = block.layer[1].EncDecAttention
            parts = (linear(encoded, part.weight) for part in (attention.k, attention.v))
            key, value = (t5.heads(part, attention.n_heads).contiguous() for part in parts)
            self.cross.append((key, value))
        # (depth, H): bias of a key that lies `distance` levels above the query
        bias = model.decoder.block[0].layer[0].SelfAttention.compute_bias(max_depth, max_depth)
        self.distance_bias = bias[0, :, -1].flip(-1).t()
        self.seen: list[list[tuple[Tensor, Tensor]]] = [[] for _ in self.cross]  # per layer and level keys and values
        self.ancestors: list[Tensor] = []  # for each level above the lowest, the row that each lowest row descends from
        self.query = torch.arange(self.num_queries, device=encoded.device)
        self.queries: list[Tensor] = []  # the query of each row of each level

    def extend(self, levels: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """States (R, D) of the rows of the next levels, given as (tokens, parents), in one pass."""
        before, queries, above = len(self.seen[0]), [], []
        for number, (_, parent) in enumerate(levels):
            self.query = self.query[parent]
            if before + number:
                self.ancestors = [*(row[parent] for row in self.ancestors), parent]
            queries.append(self.query)
            above.append(self.ancestors)
        self.queries += queries
        sizes = [len(tokens) for tokens, _ in levels]
        x = F.embedding(torch.cat([tokens for tokens, _ in levels]), self.model.shared.weight)
        grid = _grid(torch.cat(queries), self.num_queries)
        for i, block in enumerate(self.model.decoder.block):
            attention = block.layer[0].SelfAttention
            h = t5.norm(x, block.layer[0].layer_norm)
            parts = [linear(h, part.weight).split(sizes) for part in (attention.q, attention.k, attention.v)]
            self.seen[i] += zip(*parts[1:], strict=True)
            seen = [
                self._attend(query, self.seen[i][: before + number + 1], rows, attention.n_heads)
                for number, (query, rows) in enumerate(zip(parts[0], above, strict=True))
            ]
            x = x + linear(torch.cat(seen), attention.o.weight)
            attention = block.layer[1].EncDecAttention
            query = linear(t5.norm(x, block.layer[1].layer_norm), attention.q.weight)
            x = x + linear(self._cross_attend(query, i, attention.n_heads, grid), attention.o.weight)
            x = t5.feed_forward(x, block.layer[2])
        x = t5.norm(x, self.model.decoder.final_layer_norm) * t5.head_scale(self.model)
        return list(x.split(sizes))

    def start(self, pad: int, behaviour: int) -> list[tuple[Tensor, Tensor]]:
        """The first two levels: what the identifiers of every query have in common."""
        every = torch.arange(self.num_queries, device=self.query.device)
        return [(torch.full_like(every, token), every) for token in (pad, behaviour)]

    def _attend(self, query: Tensor, levels: list[tuple[Tensor, Tensor]], rows: list[Tensor], num_heads: int) -> Tensor:
        """Rows (R, H * d) of the last of some levels over themselves and their ancestors, `rows` (R,) of each level above."""
        split = len(query), num_heads, -1
        key, value = levels[-1]
        scores = [(query * keys[row]).view(split).sum(-1) for (keys, _), row in zip(levels, rows, strict=False)]
        scores.append((query * key).view(split).sum(-1))
        bias = self.distance_bias[: len(scores)].flip(0)[:, None]
        weight = (torch.stack(scores) + bias).softmax(0)[..., None]
        seen = value.view(split) * weight[-1]
        for (_, values), row, share in zip(levels, rows, weight, strict=False):
            seen.addcmul_(values[row].view(split), share)
        return seen.flatten(1)

    def _cross_attend(self, query: Tensor, layer: int, num_heads: int, grid: tuple[Tensor | None, int]) -> Tensor:
        """Rows (R, H * d) over the encoded input of their query, all rows of a query at once."""
        place, width = grid
        laid = query
        if place is not None:
            laid = query.new_zeros(self.num_queries * width, query.shape[1])
            laid[place] = query
        queries = t5.heads(laid.view(self.num_queries, width, -1), num_heads)
        seen = t5.attend(queries, *self.cross[layer], self.cross_bias).flatten(0, 1)
        return seen if place is None else seen[place]


def _grid(query_of: Tensor, num_queries: int) -> tuple[Tensor | None, int]:
    """Where rows (R,) of B queries lie in a grid (B, M), flattened, and M; None where they fill it in order."""
    count = torch.bincount(query_of, minlength=num_queries)
    width = int(count.max())
    order = query_of.argsort(stable=True)
    column = torch.empty_like(order)
    column[order] = torch.arange(len(order), device=order.device) - (count.cumsum(0) - count)[query_of[order]]
    place = query_of * width + column
    in_order = len(place) == num_queries * width and bool((place[1:] > place[:-1]).all())
    return None if in_order else place, width
