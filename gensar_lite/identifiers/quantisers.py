"""The quantisers that `learn_identifiers` knows by name. Another one is one function here, and its name in the command's help.

Explained in notebook 03. Whatever a quantiser does to find them, it ends with latent vectors, codebooks over spans of them, and the
named arrays that make latent vectors of new items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.assignment import Layout
from gensar_lite.identifiers.encoder import encode_signals, fit_scaling, standardise
from gensar_lite.identifiers.quantise import Span, decode, encode, fit_codebooks, fit_faiss_codebooks
from gensar_lite.identifiers.rqvae import RQVAEConfig, reconstruction_error, train_rqvae
from gensar_lite.identifiers.strategies import SIGNALS


class Quantised(NamedTuple):
    """`latents` (N, D); P `codebooks` (K, D_p); `lost`, the share of each signal's variance that quantising loses; the `encoder`
    that `encode_signals` reads."""

    latents: np.ndarray
    codebooks: list[torch.Tensor]
    lost: dict[str, float]
    encoder: dict[str, np.ndarray]


# (signals by name (N, width), layout, config, seed, device) -> Quantised
Fit = Callable[[dict[str, np.ndarray], Layout, RQVAEConfig, int, torch.device], Quantised]


class Quantiser(NamedTuple):
    """`fit`, and the number of latent numbers that it makes of a signal of some width."""

    fit: Fit
    latent_width: Callable[[int, RQVAEConfig], int]


_QUANTISERS: dict[str, Quantiser] = {}


def register_quantiser(
    name: str, latent_width: Callable[[int, RQVAEConfig], int] = lambda width, config: width
) -> Callable[[Fit], Fit]:
    """Make a quantiser known by name; its latent vectors are as wide as the signals unless `latent_width` says otherwise."""

    def register(fit: Fit) -> Fit:
        _QUANTISERS[name] = Quantiser(fit, latent_width)
        return fit

    return register


def list_quantisers() -> list[str]:
    """All names `learn_identifiers` knows."""
    return list(_QUANTISERS)


def get_quantiser(name: str) -> Quantiser:
    """Raises DataError for a name that is not known."""
    if name not in _QUANTISERS:
        raise DataError(f"unknown quantiser {name!r}; known are {', '.join(_QUANTISERS)}")
    return _QUANTISERS[name]


@register_quantiser("rqvae", latent_width=lambda width, config: config.latent_dim)
def fit_rqvae(
    tables: dict[str, np.ndarray], layout: Layout, config: RQVAEConfig, seed: int, device: torch.device
) -> Quantised:
    """The joint RQ-VAE of the paper."""
    encoder: dict[str, np.ndarray] = {}
    for name, table in tables.items():
        encoder |= fit_scaling(name, table)
    scaled = [standardise(encoder, name, table) for name, table in tables.items()]
    model = train_rqvae(scaled, layout.spans, layout.sizes, config, balanced_books(layout), seed, device)
    for name, network in zip(tables, model.encoders, strict=True):
        linear = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
        for i, layer in enumerate(linear):
            encoder[f"{name}.{i}.weight"] = layer.weight.detach().cpu().numpy()
            encoder[f"{name}.{i}.bias"] = layer.bias.detach().cpu().numpy()
    lost = dict(zip(tables, reconstruction_error(model, scaled), strict=True))
    codebooks = [c.detach().cpu() for c in model.codebooks]
    return Quantised(encode_signals(encoder, list(tables), tables), codebooks, lost, encoder)


def balanced_books(layout: Layout) -> list[int]:
    """The last codebook of each signal's own, which Sinkhorn assignment keeps in even use."""
    return sorted({path[-1] for path in layout.paths() if layout.names[path[-1]][0] in SIGNALS})


@register_quantiser("kmeans")
def fit_kmeans(
    tables: dict[str, np.ndarray], layout: Layout, config: RQVAEConfig, seed: int, device: torch.device
) -> Quantised:
    """Residual k-means on the signals themselves."""
    return _fit_residual(fit_codebooks, tables, layout, seed, device)


@register_quantiser("faiss")
def fit_faiss(
    tables: dict[str, np.ndarray], layout: Layout, config: RQVAEConfig, seed: int, device: torch.device
) -> Quantised:
    """The residual quantiser of faiss: an outside reference."""
    return _fit_residual(fit_faiss_codebooks, tables, layout, seed, torch.device("cpu"))


def _fit_residual(
    fit: Callable[[torch.Tensor, Sequence[Span], Sequence[int], int], list[torch.Tensor]],
    tables: dict[str, np.ndarray],
    layout: Layout,
    seed: int,
    device: torch.device,
) -> Quantised:
    encoder: dict[str, np.ndarray] = {}
    for name, table in tables.items():
        encoder |= fit_scaling(name, table, by_row=True)
    latents = encode_signals(encoder, list(tables), tables)
    fitted = fit(torch.from_numpy(latents).to(device), layout.spans, layout.sizes, seed)
    codebooks = [codebook.cpu() for codebook in fitted]
    codes = encode(torch.from_numpy(latents), layout.spans, codebooks)
    rest = (torch.from_numpy(latents) - decode(codes, layout.spans, codebooks, latents.shape[1])).numpy()
    return Quantised(latents, codebooks, shares_lost(rest, tables), encoder)


def shares_lost(rest: np.ndarray, tables: dict[str, np.ndarray]) -> dict[str, float]:
    """The share of each signal's variance that stands in what is left (N, D) of latents scaled by row."""
    edges = np.cumsum([table.shape[1] for table in tables.values()])[:-1]
    parts = np.split(np.square(rest).mean(0), edges)
    return {name: float(part.sum()) for name, part in zip(tables, parts, strict=True)}
