"""What a step leaves to chance: dropout, and the items that a target is told from in a large catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

from gensar_lite.training.examples import Chunk, CodeChunk
from gensar_lite.training.settings import TrainingConfig

MAX_RIVALS = 8_192  # items that a target is told from at once


class Chance:
    """Drawn from torch's own generator when it is asked for."""

    def __init__(self, config: TrainingConfig) -> None:
        self.rate, self.of_weights = config.dropout, config.attention_dropout

    def drop(self, x: Tensor) -> Tensor:
        """Dropout of states."""
        return F.dropout(x, self.rate, self.rate > 0)

    def rivals(self, num_items: int, device: torch.device) -> Tensor | None:
        """(MAX_RIVALS,) of the items; None: all."""
        return torch.randint(num_items, (MAX_RIVALS,), device=device) if num_items > MAX_RIVALS else None


class Drawn(Chance):
    """The same, drawn ahead: `masks` in the order in which a chunk's states are dropped, and its rivals."""

    def __init__(self, config: TrainingConfig, masks: Iterator[Tensor], others: Tensor | None) -> None:
        super().__init__(config)
        self.masks, self.others = masks, others

    def drop(self, x: Tensor) -> Tensor:
        return x * next(self.masks) if self.rate > 0 else x

    def rivals(self, num_items: int, device: torch.device) -> Tensor | None:
        return self.others


def can_draw_ahead(config: TrainingConfig, device: torch.device) -> bool:
    """A GPU draws faster than it is sent to; what is dropped of attention weights is too large to be kept."""
    return device.type == "cpu" and not config.attention_dropout


def draw(
    chunks: Sequence[Chunk], seed: int, config: TrainingConfig, sizes: SimpleNamespace, num_items: int
) -> list[Drawn]:
    """What `Chance` would draw for some chunks, one after the other, on a CPU after `torch.manual_seed(seed)`.

    `sizes` is the configuration of the T5, `num_items` the number of items that have vectors.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for chunk in chunks:
        rows, length = chunk.inputs.mask.shape
        written = chunk.decoder.shape[1]
        has_rivals = isinstance(chunk, CodeChunk) and config.softmax != "full"
        width, inner = sizes.d_model, sizes.d_ff
        # as in `t5.encode` and `t5.decode`: embeddings; attention, inner and outer layer of each block; the last norm
        shapes = [(rows, length, wide) for wide in [width, *[width, inner, width] * sizes.num_layers, width]]
        blocks = [width, width, inner, width] * sizes.num_decoder_layers
        shapes += [(rows, written - has_rivals, wide) for wide in [width, *blocks, width]]
        masks = [_mask(shape, config.dropout, generator) for shape in shapes] if config.dropout else []
        others = None
        if has_rivals and config.item_loss and num_items > MAX_RIVALS:
            others = torch.randint(num_items, (MAX_RIVALS,), generator=generator)
        found.append(Drawn(config, iter(masks), others))
    return found


def _mask(shape: tuple[int, ...], rate: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).bernoulli_(1 - rate, generator=generator).div_(1 - rate)
