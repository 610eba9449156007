"""Products by oneDNN equal torch's own, with their gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gensar_lite.signals.linear import Linear, linear


@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 7), (0, 7)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_torch(shape: tuple[int, ...], with_bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(size, generator=generator) for size in (shape, (4, 7), (4,))]
    if not with_bias:
        parts[2] = None
    results = []
    for product in (F.linear, linear):
        leaves = [None if part is None else part.clone().requires_grad_() for part in parts]
        out = product(*leaves)
        out.square().sum().backward()
        with torch.no_grad():
            torch.testing.assert_close(product(*leaves), out)
        results.append([out.detach(), *(leaf.grad for leaf in leaves if leaf is not None)])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_slices_and_transposes() -> None:
    table = torch.randn(20, 8)
    x = torch.randn(3, 2, 8)[:, 1:]
    torch.testing.assert_close(linear(x, table[5:9]), F.linear(x, table[5:9]))
    torch.testing.assert_close(linear(x.transpose(0, 1), table.t()[:, 2:10].t()), F.linear(x.transpose(0, 1), table.t()[:, 2:10].t()))


@pytest.mark.parametrize("needed", ["x", "weight", "neither"])
def test_gradients_only_where_asked(needed: str) -> None:
    x, weight = torch.randn(3, 5, requires_grad=needed == "x"), torch.randn(2, 5, requires_grad=needed == "weight")
    out = linear(x, weight)
    assert out.requires_grad == (needed != "neither")
    if out.requires_grad:
        out.sum().backward()
        assert (x.grad is not None, weight.grad is not None) == (needed == "x", needed == "weight")


def test_the_layer_keeps_the_names_of_torch() -> None:
    ours, theirs = Linear(6, 3), torch.nn.Linear(6, 3)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 6)
    torch.testing.assert_close(ours(x), theirs(x))


def test_half_precision_and_autocast() -> None:
    x, weight = torch.randn(4, 8), torch.randn(3, 8)
    assert linear(x.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
