"""Matrix products: oneDNN where torch would take MKL.

Explained in notebook 06. MKL, torch's default for float32 on x86, reaches half of the speed of processors that Intel did not make;
oneDNN, which torch carries as well, runs at full speed on all of them. Same numbers up to rounding. On other devices and
processors, and under autocast this is `F.linear`.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ONEDNN = platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available()
FEW_ROWS = 32


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """(..., D) by (E, D): (..., E)."""
    if not (ONEDNN and x.numel() and x.device.type == "cpu") or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight)
    rows = x.reshape(-1, x.shape[-1])
    learning = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    product = _Product.apply(rows, weight) if learning else _multiply(_pad(rows), weight)[: len(rows)]
    return product.view(*x.shape[:-1], len(weight))


class _Product(torch.autograd.Function):
    """(R, D) by (E, D): (R, E), with its gradients by oneDNN, too."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        padded = _pad(rows)
        ctx.save_for_backward(padded, weight)
        return _multiply(padded, weight)[: len(rows)]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        padded, weight = ctx.saved_tensors
        gradient = _pad(gradients[0])
        rows = _multiply(gradient, weight.t())[: len(gradients[0])] if ctx.needs_input_grad[0] else None
        return rows, _outer(gradient, padded) if ctx.needs_input_grad[1] else None


def _multiply(rows: Tensor, weight: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], "")
    return product


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """(R, E) by (R, D): (E, D), the sum over rows. The first factor of a product is copied: here the narrower one."""
    if left.shape[1] <= right.shape[1]:
        return _multiply(left.t(), right.t())
    return _multiply(right.t(), left.t()).t().contiguous()


def _pad(rows: Tensor) -> Tensor:
    """(R, D) to (R', D), where R' is one of a few numbers at least R: oneDNN compiles code for each shape that it meets."""
    count = len(rows)
    step = 1 if count <= FEW_ROWS else 1 << count.bit_length() - 4  # eight numbers an octave
    if not (more := -count % step):
        return rows.contiguous()
    padded = rows.new_empty(count + more, rows.shape[1])
    padded[:count], padded[count:] = rows, 0
    return padded
