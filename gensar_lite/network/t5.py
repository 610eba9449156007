"""The arithmetic of T5 on the weights of `network.backbone`, in the order that is cheap here.

Explained in notebooks 05 and 06. What it saves: one matrix product for queries, keys and values, inputs given as weighted sums of
embeddings, relative biases once per pass, no cache objects. It equals that of `transformers` (tested).

T5 (Raffel et al. 2020): attention is not scaled; a relative bias, stored in the first block, is added in
every self-attention layer; a tied output head is scaled by d_model^-0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from gensar_lite.network.backbone import T5
from gensar_lite.network.inputs import Inputs
from gensar_lite.network.linear import linear

Drop: TypeAlias = Callable[[Tensor], Tensor]


def keep(x: Tensor) -> Tensor:
    """No dropout."""
    return x


def new_backbone(
    vocab_size: int, d_model: int, num_layers: int, num_heads: int, d_ff: int, dropout: float, seed: int
) -> T5:
    """A T5 with random weights. Token 0 is padding and starts the decoder, token 1 ends a text."""
    config = SimpleNamespace(
        architectures=["T5ForConditionalGeneration"],
        model_type="t5",
        vocab_size=vocab_size,
        d_model=d_model,
        d_kv=d_model // num_heads,
        d_ff=d_ff,
        num_layers=num_layers,
        num_decoder_layers=num_layers,
        num_heads=num_heads,
        dropout_rate=dropout,
        dtype="float32",
        feed_forward_proj="relu",
        dense_act_fn="relu",
        is_gated_act=False,
        layer_norm_epsilon=1e-6,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        scale_decoder_outputs=True,
        tie_word_embeddings=True,
        is_encoder_decoder=True,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return T5(config).initialise()


def norm(x: Tensor, layer_norm: Any) -> Tensor:
    """T5's layer norm: scale by the root mean square, no shift."""
    return F.rms_norm(x, (x.shape[-1],), layer_norm.weight, layer_norm.variance_epsilon)


def heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, S, H * d) to (B, H, S, d)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, dropout: float = 0.0) -> Tensor:
    """(B, H, M, d) queries over (B, H, S, d) keys with an additive bias and dropout of the weights; gives (B, M, H * d)."""
    if bias is not None and (
        dropout or bias.requires_grad
    ):  # a learned bias would send torch's fused kernel to its slow path
        weight = F.dropout((query @ key.transpose(-1, -2) + bias).softmax(-1), dropout, dropout > 0)
        return (weight @ value).transpose(1, 2).flatten(2)
    return F.scaled_dot_product_attention(query, key, value, bias, scale=1.0).transpose(1, 2).flatten(2)


def feed_forward(x: Tensor, layer: Any, drop: Drop = keep) -> Tensor:
    """The feed-forward sublayer with its residual, plain (T5) or gated (T5 1.1)."""
    dense = layer.DenseReluDense
    h = norm(x, layer.layer_norm)
    h = (
        dense.act(linear(h, dense.wi.weight))
        if hasattr(dense, "wi")
        else dense.act(linear(h, dense.wi_0.weight)) * linear(h, dense.wi_1.weight)
    )
    h = linear(drop(h), dense.wo.weight)
    return x + drop(h)


def self_attention(x: Tensor, layer: Any, bias: Tensor, drop: Drop, of_weights: float = 0.0) -> Tensor:
    """A self-attention sublayer over all positions with its residual."""
    attention = layer.SelfAttention
    weight = torch.cat([attention.q.weight, attention.k.weight, attention.v.weight])
    parts = linear(norm(x, layer.layer_norm), weight).chunk(3, dim=-1)
    query, key, value = (heads(part, attention.n_heads) for part in parts)
    h = linear(attend(query, key, value, bias, of_weights), attention.o.weight)
    return x + drop(h)


def embed(inputs: Inputs, vectors: Tensor) -> Tensor:
    """(B, S, D): at each position the weighted sum of its tokens' embeddings (T, D)."""
    parts = vectors * inputs.weight[:, None].to(vectors.dtype)
    flat = parts.new_zeros(inputs.mask.numel(), parts.shape[1]).index_add(0, inputs.place, parts)
    return flat.view(*inputs.mask.shape, -1)


def mask_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, 1, 1, S) additive bias that hides padding."""
    return torch.where(mask, 0.0, torch.finfo(dtype).min).to(dtype)[:, None, None, :]


def encode(
    model: T5,
    inputs: Inputs,
    drop: Drop = keep,
    vectors: Tensor | None = None,
    of_weights: float = 0.0,
) -> Tensor:
    """(B, S, D) encoder output; `vectors` (T, D) are the embeddings of the inputs' tokens, if they are at hand. `drop` is the dropout
    of states, `of_weights` that of attention weights."""
    blocks = model.encoder.block
    vectors = F.embedding(inputs.token, model.shared.weight) if vectors is None else vectors
    x = drop(embed(inputs, vectors))
    size = x.shape[1]
    bias = blocks[0].layer[0].SelfAttention.compute_bias(size, size) + mask_bias(inputs.mask, x.dtype)
    for block in blocks:
        x = feed_forward(self_attention(x, block.layer[0], bias, drop, of_weights), block.layer[1], drop)
    return drop(norm(x, model.encoder.final_layer_norm))


def decode(
    model: T5,
    vectors: Tensor,
    encoded: Tensor,
    mask: Tensor,
    drop: Drop = keep,
    of_weights: float = 0.0,
) -> Tensor:
    """(B, T, D) decoder states for embedded decoder inputs (B, T, D), ready for the output head; `drop` and `of_weights` as in `encode`."""
    blocks = model.decoder.block
    x = drop(vectors)
    size = x.shape[1]
    hidden = torch.full((size, size), torch.finfo(x.dtype).min, dtype=x.dtype, device=x.device).triu(1)
    bias = blocks[0].layer[0].SelfAttention.compute_bias(size, size) + hidden
    cross_bias = mask_bias(mask, x.dtype)
    for block in blocks:
        x = self_attention(x, block.layer[0], bias, drop, of_weights)
        attention = block.layer[1].EncDecAttention
        query = heads(linear(norm(x, block.layer[1].layer_norm), attention.q.weight), attention.n_heads)
        key, value = linear(encoded, torch.cat([attention.k.weight, attention.v.weight])).chunk(2, dim=-1)
        h = attend(query, heads(key, attention.n_heads), heads(value, attention.n_heads), cross_bias, of_weights)
        x = x + drop(linear(h, attention.o.weight))
        x = feed_forward(x, block.layer[2], drop)
    return head_scale(model) * drop(norm(x, model.decoder.final_layer_norm))


def head_scale(model: T5) -> float:
    """What decoder states are multiplied by before the output head: in T5 alone, where it was trained as a tied one."""
    return model.model_dim**-0.5 if getattr(model.config, "scale_decoder_outputs", False) else 1.0


def head(model: T5) -> Tensor:
    """(V, D) the vectors that decoder states are compared with: the embeddings themselves where the head is tied."""
    return model.lm_head.weight


def is_tied(model: T5) -> bool:
    """Whether the output head is the embedding table."""
    return model.lm_head.weight is model.shared.weight


def logits(model: T5, states: Tensor, tokens: slice = slice(None)) -> Tensor:
    """(..., V) logits of a slice of the vocabulary."""
    return linear(states, head(model)[tokens])
