"""Products by oneDNN equal torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gensar_lite.network.linear import linear


@pytest.mark.parametrize("shape", [(7,), (1, 7), (5, 7), (2, 3, 7), (0, 7), (33, 7), (3, 111, 7), (1000, 7)])
def test_equals_torch(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(shape, generator=generator), torch.randn(4, 7, generator=generator)
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))


def test_slices_and_transposes() -> None:
    table = torch.randn(20, 8)
    x = torch.randn(3, 2, 8)[:, 1:]
    torch.testing.assert_close(linear(x, table[5:9]), F.linear(x, table[5:9]))
    x, weight = x.transpose(0, 1), table.t()[:, 2:10].t()
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight))


@pytest.mark.parametrize("needed", ["x", "weight"])
def test_gradients_where_something_is_learned(needed: str) -> None:
    x, weight = torch.randn(3, 5, requires_grad=needed == "x"), torch.randn(2, 5, requires_grad=needed == "weight")
    linear(x, weight).sum().backward()
    assert (x.grad is not None, weight.grad is not None) == (needed == "x", needed == "weight")
    with torch.no_grad():
        assert not linear(x, weight).requires_grad


@pytest.mark.parametrize("shape", [(7,), (1, 7), (33, 7), (3, 111, 7), (1000, 7)])
def test_gradients_equal_torch(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(shape, generator=generator), torch.randn(4, 7, generator=generator)
    after = torch.randn(*shape[:-1], 4, generator=generator)
    x.requires_grad_(), weight.requires_grad_()
    ours = torch.autograd.grad(linear(x, weight), (x, weight), after)
    torchs = torch.autograd.grad(F.linear(x, weight), (x, weight), after)
    for one, other in zip(ours, torchs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_half_precision_and_autocast() -> None:
    x, weight = torch.randn(4, 8), torch.randn(3, 8)
    assert linear(x.bfloat16(), weight.bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
