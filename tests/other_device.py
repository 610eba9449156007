"""A second device where there is none: tensors that say they are elsewhere, computed on the CPU.

What mixes them with tensors of the CPU, or reads them without fetching them, fails as it does on a GPU. This shows that a
stage keeps its tensors together on the device it is given; it says nothing of a GPU's own kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "elsewhere"
FETCHING = {"aten._to_copy.default", "aten.copy_.default"}
# indices may stand on the CPU
MIXING = {"aten.index.Tensor", "aten.index_put_.default", "aten._index_put_impl_.default"}


class Elsewhere(torch.Tensor):
    """A tensor of the device; `held` is the one that computes."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Elsewhere:
        return torch.Tensor._make_wrapper_subclass(
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, layout=held.layout, device="cpu"
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device(NAME, 0)

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"can't convert a tensor of {NAME} to numpy; copy it to host memory first")
        return self.detach().held.numpy(force=True)

    def __format__(self, spec: str) -> str:
        return format(self.item() if not self.dim() else repr(self), spec)

    def __repr__(self, **options: Any) -> str:
        return f"{NAME}: {self.held!r}"

    def new_tensor(self, data: Any, **options: Any) -> torch.Tensor:
        return torch.tensor(data, dtype=self.dtype).to(NAME)

    def tolist(self) -> Any:
        return self.detach().held.tolist()

    def cpu(self) -> torch.Tensor:
        return self.detach().held.clone()

    def to(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        device, dtype, _, _ = torch._C._nn._parse_to(*args, **{k: v for k, v in kwargs.items() if k != "copy"})
        found = self if dtype is None else super().to(dtype)
        if kwargs.get("copy"):
            found = found.clone()
        return found.cpu() if device is not None and device.type == "cpu" else found

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.to and isinstance(args[1], Elsewhere):
            return args[0].to(args[1].device, args[1].dtype)
        return torch._C._disabled_torch_function_impl(func, types, args, kwargs or {})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: dict) -> Any:
    """What an operation gives, on the device that its tensors and its arguments say."""
    name, tensors = str(func), []
    tree_map(lambda x: tensors.append(x) if isinstance(x, torch.Tensor) else None, (args, kwargs))
    there = [x for x in tensors if isinstance(x, Elsewhere)]
    wanted = kwargs.get("device")
    if there and name not in FETCHING:
        left = [x for x in tensors if not isinstance(x, Elsewhere) and x.dim()]
        # torch itself believes all of them on the CPU, and makes the zeros of a backward pass there
        backward = torch._C._current_graph_task_id() != -1
        if left and not backward and not (name in MIXING and isinstance(args[0], Elsewhere)):
            raise RuntimeError(f"{name}: found tensors on {NAME} and on the CPU, {[tuple(x.shape) for x in left]}")
    if wanted is not None and torch.device(wanted).type == NAME:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    held = {id(x.held): x for x in there}
    found = func(*tree_map(_open, args), **tree_map(_open, kwargs))
    stays = bool(there) if wanted is None else torch.device(wanted).type == NAME
    if name == "aten.copy_.default":
        stays = isinstance(args[0], Elsewhere)

    def close(x: Any) -> Any:
        if not stays or not isinstance(x, torch.Tensor):
            return x
        return held[id(x)] if id(x) in held else Elsewhere(x)

    return tree_map(close, found)


def _open(x: Any) -> Any:
    return x.held if isinstance(x, Elsewhere) else x


def _begin(mode: Any) -> None:
    """Tensors like these know no inference mode: in its place, no gradients."""
    mode.instead = torch.no_grad()
    mode.instead.__enter__()


def _end(mode: Any, *error: Any) -> None:
    mode.instead.__exit__(*error)


class _Making(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


@contextmanager
def second_device() -> Iterator[str]:
    """The name of a device that exists inside the block."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME)
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with (
            _Making(),
            patch.object(torch.inference_mode, "__enter__", _begin),
            patch.object(torch.inference_mode, "__exit__", _end),
        ):
            yield NAME
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
