"""SASRec: what a user takes next, from what the user took before, by causal self-attention.

Explained in notebook 02. Kang & McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. Two things
differ from the paper: the loss is a softmax over the catalogue instead of one sampled negative (Klenitskiy &
Vasilev, RecSys 2023, find that this closes the gap to BERT4Rec), and each history starts with a marker, so that
an empty one has an answer too. The item vectors of the trained model are the collaborative signal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from gensar_lite.data.events import EventLog
from gensar_lite.signals.device import without_denormals


@dataclass(frozen=True)
class SequentialConfig:
    """Sizes and training of `SequentialModel`."""

    dim: int = 128  # D, of items and states
    layers: int = 1
    heads: int = 2
    dropout: float = 0.5  # on inputs, attention outputs and feed-forward outputs
    max_length: int = 50  # S, most recent clicks that a state looks at
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    epochs: int = 12
    batch_positions: int = 1024  # training positions in a batch, padding included
    num_negatives: int = 1024  # catalogues above this size meet a uniform sample in the softmax, not every item
    start_length: float = (
        0.2  # of an item vector at the start of training; long random ones would drown what rare items learn
    )


class SequentialModel(nn.Module):
    """Histories (B, S) to states (B, S + 1, D); a state's product with the item vectors scores the next item.

    With `vectors` (N, D_v) an item's vector is a projection of its row, learned, plus a part of its own that
    starts at zero; without, it is a free vector that starts at random.
    """

    def __init__(self, num_items: int, config: SequentialConfig, vectors: np.ndarray | None = None):
        super().__init__()
        self.config = config
        d = config.dim
        self.own = nn.Parameter(torch.randn(num_items, d) * config.start_length * d**-0.5)
        self.vectors: Tensor | None
        self.register_buffer("vectors", None if vectors is None else torch.as_tensor(np.asarray(vectors, np.float32)))
        if self.vectors is not None:
            table = self.vectors
            # Principal axes keep most of the text's cosines; the scale puts the rows where random ones would be.
            axes = torch.linalg.svd(table - table.mean(0), full_matrices=False).Vh[:d].T
            if axes.shape[1] < d:
                axes = F.pad(axes, (0, d - axes.shape[1]))
            made = table @ axes
            self.projection = nn.Parameter(axes * (config.start_length / made.norm(dim=1).mean().clamp_min(1e-6)))
            nn.init.zeros_(self.own)
        self.start = nn.Parameter(torch.randn(d) * config.start_length * d**-0.5)
        self.place = nn.Parameter(torch.randn(config.max_length + 1, d) * 0.1 * config.start_length * d**-0.5)
        self.popularity = nn.Parameter(torch.zeros(num_items))  # keeps popularity out of the vectors
        self.blocks = nn.ModuleList(_Block(d, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def items(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """(N, D) vectors of all items, or of some rows."""
        return self.own[rows] if self.vectors is None else self.vectors[rows] @ self.projection + self.own[rows]

    def forward(self, histories: Tensor, items: Tensor) -> Tensor:
        """(B, S + 1, D) states after nothing, the first click, the second …; `histories` (B, S) is padded with -1 at its end."""
        clicked = F.embedding(histories.clamp_min(0), items)
        x = torch.cat([self.start.expand(len(histories), 1, -1), clicked], dim=1)
        x = x * x.shape[-1] ** 0.5 + self.place[: x.shape[1]] * x.shape[-1] ** 0.5
        x = self.dropout(x)
        for block in self.blocks:  # padding stands behind every real click, so the causal mask hides it
            x = block(x)
        return self.norm(x)


class _Block(nn.Module):
    """Causal self-attention and a feed-forward layer, normalised before each (section III.B)."""

    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.norm_attention, self.norm_forward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.forward_layer = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        b, s, d = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).view(b, s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.dropout(self.out(seen.transpose(1, 2).reshape(b, s, d)))
        return x + self.dropout(self.forward_layer(self.norm_forward(x)))


def clicks_between(log: EventLog, start: np.ndarray, stop: np.ndarray, length: int) -> np.ndarray:
    """(C, S) items clicked in the events `start:stop`, the last `length` of them, padded with -1 at the end.

    S is the longest history among the C, at most `length`.
    """
    clicks = np.flatnonzero(log.item >= 0)
    before = np.concatenate([[0], np.cumsum(log.item >= 0)])
    stop_at = before[stop]
    start_at = np.maximum(before[start], stop_at - length)
    width = int(np.max(stop_at - start_at, initial=0))
    place = start_at[:, None] + np.arange(width)
    inside = place < stop_at[:, None]
    return np.where(inside, log.item[clicks[np.where(inside, place, 0)]] if len(clicks) else -1, -1).astype(np.int64)


def training_histories(log: EventLog, train_mask: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, S) clicked items of the training part, one row per user, in time order, padded with -1, and (H, S) how many of
    its row each may be predicted from: the clicks before its decision. Longer histories are cut into rows of `length`, from the end."""
    rows = np.flatnonzero(train_mask & (log.item >= 0))
    user = log.user[rows]
    count = np.bincount(user, minlength=log.num_users)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    from_end = count[user] - 1 - (np.arange(len(rows)) - first[user])
    chunk = from_end // length
    _, row = np.unique(user.astype(np.int64) * (len(log) + 1) + count[user] - chunk, return_inverse=True)
    size = np.bincount(row)
    place = size[row] - 1 - from_end % length
    table = np.full((len(size), int(size.max(initial=0))), -1, np.int64)
    table[row, place] = log.item[rows]
    sees = np.zeros_like(table)
    sees[row, place] = np.maximum(place - (np.arange(len(rows)) - np.searchsorted(rows, log.before[rows])), 0)
    return table, sees


def fit_sequential(
    log: EventLog,
    train_mask: np.ndarray,
    num_items: int,
    config: SequentialConfig | None = None,
    vectors: np.ndarray | None = None,
    seed: int = 0,
    validate: Callable[[SequentialModel, int], bool] | None = None,
    device: torch.device | str = "cpu",
) -> SequentialModel:
    """Train on the events of `train_mask` (E,) alone; every click is predicted from the clicks before its decision.

    `validate(model, epoch)` is asked after every epoch and ends training by returning False. Same seed, same
    weights (on one machine and number of threads).
    """
    config = config or SequentialConfig()
    with torch.random.fork_rng(devices=[]), without_denormals():
        torch.manual_seed(seed)  # dropout draws from the global generator; the fork gives it back unchanged
        model = SequentialModel(num_items, config, vectors).to(device)
        table, seen = training_histories(log, train_mask, config.max_length)
        histories, sees = torch.from_numpy(table).to(device), torch.from_numpy(seen).to(device)
        _train(model, histories, sees, (table >= 0).sum(1), config, np.random.default_rng(seed), validate)
    return model.eval()


def _train(
    model: SequentialModel,
    histories: Tensor,
    sees: Tensor,
    sizes: np.ndarray,
    config: SequentialConfig,
    rng: np.random.Generator,
    validate: Callable[[SequentialModel, int], bool] | None,
) -> None:
    if histories.numel() == 0:
        return
    num_items = len(model.own)
    kept = [p for n, p in model.named_parameters() if n not in ("own", "projection")]
    vectors = [p for n, p in model.named_parameters() if n in ("own", "projection")]
    groups = [{"params": vectors, "weight_decay": config.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))
    batches = _batches(sizes, config.batch_positions, rng)
    total = max(1, config.epochs * len(batches))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / (0.05 * total + 1)) * max(0.05, 1 - step / total)
    )
    for epoch in tqdm(range(config.epochs), desc="sequential model", unit="epoch", disable=None):
        model.train()
        for rows in _batches(sizes, config.batch_positions, rng):
            batch = histories[torch.from_numpy(rows)][:, : int(sizes[rows].max())]
            real = batch >= 0
            used: Tensor | slice = slice(None)
            drawn = None
            if config.num_negatives < num_items:  # then only the items of this batch need vectors
                sample = torch.from_numpy(rng.choice(num_items, config.num_negatives, replace=False)).to(batch.device)
                used, place = torch.unique(torch.cat([batch[real], sample]), return_inverse=True)
                batch = batch.masked_scatter(real, place[: -len(sample)])
                drawn = place[-len(sample) :]
            items = model.items(used)
            states = model(batch[:, :-1], items)
            states = states.take_along_dim(sees[torch.from_numpy(rows)][:, : batch.shape[1], None], dim=1)[real]
            loss = _softmax_loss(states, batch[real], items, model.popularity[used], drawn, num_items)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
        if validate is not None and not validate(model.eval(), epoch + 1):
            break


def _softmax_loss(
    states: Tensor, target: Tensor, items: Tensor, popularity: Tensor, drawn: Tensor | None, num_items: int
) -> Tensor:
    """Mean cross-entropy of the target among all items, or among itself and a uniform sample that stands for the rest.

    `target` (B,) and `drawn` (K,) are rows of `items` and `popularity`; `num_items` is the size of the catalogue.
    """
    if drawn is None:
        return F.cross_entropy(torch.addmm(popularity, states, items.T), target)
    others = torch.addmm(popularity[drawn], states, items[drawn].T) + math.log((num_items - 1) / len(drawn))
    others = others.masked_fill(drawn[None, :] == target[:, None], -torch.inf)
    own = (states * items[target]).sum(1) + popularity[target]
    return F.cross_entropy(torch.cat([own[:, None], others], dim=1), torch.zeros_like(target))


def _batches(sizes: np.ndarray, positions: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rows in random order, grouped by size (bucketed with jitter), at most `positions` padded places in a batch."""
    order = np.argsort(sizes * (1 + 0.2 * rng.random(len(sizes))), kind="stable")
    widest = np.maximum.accumulate(sizes[order])
    batches, begin = [], 0
    while begin < len(order):
        end = begin + 1
        # Rows come sorted, so the last one is about the widest: halve the step until the block fits.
        step = max(1, positions // int(widest[begin]))
        end = begin + step
        while end - begin > 1 and (min(end, len(order)) - begin) * int(widest[min(end, len(order)) - 1]) > positions:
            end -= max(1, (end - begin) // 8)
        batches.append(order[begin:end])
        begin = end
    return [batches[i] for i in rng.permutation(len(batches))]


@torch.inference_mode()
def next_item_states(
    model: SequentialModel, histories: np.ndarray, batch_rows: int = 512
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States after whole histories (C, S), padded with -1 at the end: `(states (C, D), items (N, D), popularity (N,))`.

    The score of item n for case c is `states[c] @ items[n] + popularity[n]`.
    """
    model.eval()
    items = model.items()
    states = np.zeros((len(histories), items.shape[1]), np.float32)
    sizes = (histories >= 0).sum(1)
    for rows in np.array_split(np.argsort(sizes, kind="stable"), max(1, -(-len(histories) // batch_rows))):
        if len(rows):
            batch = torch.from_numpy(histories[rows][:, : int(sizes[rows].max())]).to(items.device)
            states[rows] = model(batch, items)[torch.arange(len(rows)), torch.from_numpy(sizes[rows])].numpy(force=True)
    return states, items.numpy(force=True).copy(), model.popularity.numpy(force=True).copy()
