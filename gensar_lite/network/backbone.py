"""The weights of a T5 under the names that `transformers` gives them, without loading `transformers`.

Explained in notebook 05. The modules below only hold parameters; `network.t5` computes with them. Names and shapes are those
of `T5ForConditionalGeneration` (tested), so files are read by either; `network.weights` turns one into the other.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


def _linear(inner: int, outer: int) -> nn.Linear:
    return nn.Linear(inner, outer, bias=False)


def _embedding(count: int, width: int) -> nn.Embedding:
    """An empty table; `nn.Embedding(...)` would draw it, and load a compiler of torch's for that where there is no memory yet."""
    return nn.Embedding.from_pretrained(torch.empty(count, width), freeze=False)


class Attention(nn.Module):
    """Four matrices; the first block of a stack also has a bias for each head and bucket of relative positions."""

    def __init__(self, config: SimpleNamespace, is_decoder: bool, has_bias: bool = False) -> None:
        super().__init__()
        inner = config.num_heads * config.d_kv
        self.n_heads, self.key_value_proj_dim, self.is_decoder = config.num_heads, config.d_kv, is_decoder
        self.max_distance = config.relative_attention_max_distance
        self.q, self.k, self.v = (_linear(config.d_model, inner) for _ in range(3))
        self.o = _linear(inner, config.d_model)
        if has_bias:
            self.relative_attention_bias = _embedding(config.relative_attention_num_buckets, config.num_heads)

    def compute_bias(self, num_queries: int, num_keys: int) -> Tensor:
        """(1, H, M, S) bias of each head for M query and S key positions that begin together (Raffel et al. 2020, 2.1).

        Half of the buckets are for one distance each, the others grow with the logarithm of the distance. An encoder has
        buckets for both directions; in a decoder what comes later shares the bucket of distance 0.
        """
        weight = self.relative_attention_bias.weight
        ahead = torch.arange(num_keys, device=weight.device) - torch.arange(num_queries, device=weight.device)[:, None]
        count, first = len(weight), torch.zeros_like(ahead)
        if self.is_decoder:
            distance = (-ahead).clamp(min=0)
        else:
            count //= 2
            first, distance = count * (ahead > 0), ahead.abs()
        exact = count // 2
        growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(self.max_distance / exact)
        far = (exact + (growth * (count - exact)).long()).clamp(max=count - 1)
        bucket = first + torch.where(distance < exact, distance, far)
        return F.embedding(bucket, weight).permute(2, 0, 1)[None]


class Norm(nn.Module):
    """The scale of a layer norm."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.d_model))
        self.variance_epsilon = config.layer_norm_epsilon


class FeedForward(nn.Module):
    """Two matrices, or three where the inner layer is gated (T5 1.1)."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        for name in ("wi_0", "wi_1") if config.is_gated_act else ("wi",):
            setattr(self, name, _linear(config.d_model, config.d_ff))
        self.wo = _linear(config.d_ff, config.d_model)
        self.act = ACTIVATIONS[config.dense_act_fn]


class Sublayer(nn.Module):
    """One of the parts of a block, under the name that T5 gives it, and the norm before it."""

    def __init__(self, config: SimpleNamespace, name: str, part: nn.Module) -> None:
        super().__init__()
        setattr(self, name, part)
        self.layer_norm = Norm(config)


class Block(nn.Module):
    """Self-attention, in a decoder attention to the encoder, feed-forward."""

    layer: Any

    def __init__(self, config: SimpleNamespace, is_decoder: bool, is_first: bool) -> None:
        super().__init__()
        parts: list[tuple[str, nn.Module]] = [("SelfAttention", Attention(config, is_decoder, is_first))]
        if is_decoder:
            parts.append(("EncDecAttention", Attention(config, is_decoder)))
        parts.append(("DenseReluDense", FeedForward(config)))
        self.layer = nn.ModuleList(Sublayer(config, *part) for part in parts)


class Stack(nn.Module):
    """The blocks of the encoder or the decoder, and the last norm."""

    block: Any

    def __init__(self, config: SimpleNamespace, is_decoder: bool) -> None:
        super().__init__()
        count = config.num_decoder_layers if is_decoder else config.num_layers
        self.block = nn.ModuleList(Block(config, is_decoder, n == 0) for n in range(count))
        self.final_layer_norm = Norm(config)


class T5(nn.Module):
    """The weights of a T5. `config` holds what Hugging Face's `config.json` does.

    The output head is the embedding table unless `tied` is false. Weights are empty until `initialise` or `assign`.
    """

    def __init__(self, config: SimpleNamespace, tied: bool = True) -> None:
        super().__init__()
        self.config, self.model_dim, self.tied = config, config.d_model, tied
        with torch.device("meta"):
            self.shared = _embedding(config.vocab_size, config.d_model)
            self.encoder = Stack(config, is_decoder=False)
            self.decoder = Stack(config, is_decoder=True)
            self.lm_head = _linear(config.d_model, config.vocab_size)
        self._tie()

    def _tie(self) -> None:
        if self.tied:
            self.lm_head.weight = self.shared.weight

    @property
    def device(self) -> torch.device:
        return self.shared.weight.device

    @torch.no_grad()
    def initialise(self) -> T5:
        """Draw all weights as T5 does; a stack's outputs then keep their size."""
        self.to_empty(device="cpu")
        self._tie()
        config = self.config
        inner = config.num_heads * config.d_kv
        spread = {
            "shared": 1.0,
            "q": (config.d_model * config.d_kv) ** -0.5,
            "o": inner**-0.5,
            "wo": config.d_ff**-0.5,
        }
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                weight.fill_(1.0)
            else:
                weight.normal_(std=spread.get(name.split(".")[-2], config.d_model**-0.5))
        return self

    def assign(self, weights: dict[str, Tensor]) -> T5:
        """Take tensors as the weights, by their names; a tied head needs none. Raises RuntimeError where names or shapes differ."""
        if self.tied:
            weights = {**weights, "lm_head.weight": weights["shared.weight"]}
        self.load_state_dict(weights, assign=True)
        self._tie()
        return self

    def resize(self, size: int) -> None:
        """Give the model `size` tokens; new ones are drawn at random, as widely as the old ones spread."""
        for module in (self.shared,) if self.tied else (self.shared, self.lm_head):
            old = module.weight.detach()
            new = torch.empty(size, old.shape[1]).normal_(std=float(old.std()))
            kept = min(size, len(old))
            new[:kept] = old[:kept]
            module.weight = nn.Parameter(new)
        self._tie()
        self.config.vocab_size = size
