"""Ways of naming items: GenSAR's dual identifiers and the alternatives they are compared with.

A strategy says how many codebooks of which kind make up each view, all with the same budget of L codes
of K each. "Shared" codebooks (m) quantise both signals at once, "semantic" (s) and "collaborative" (c)
ones a single signal. Everything else (training, unique assignment, new items) is common to all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.assignment import Layout, assign_unique
from gensar_lite.identifiers.encoder import encode_signals, fit_scaling, standardise
from gensar_lite.identifiers.health import measure_health
from gensar_lite.identifiers.quantise import decode, encode, fit_codebooks, one_thread
from gensar_lite.identifiers.rqvae import RQVAEConfig, reconstruction_error, train_rqvae
from gensar_lite.identifiers.table import VIEWS, IdentifierTable

QUANTISERS = ("rqvae", "kmeans")
SIGNALS = {"s": "semantic", "c": "collaborative"}


class Signals(Protocol):
    """Two vectors per item: semantic (N, D_s) and collaborative (N, D_c)."""

    @property
    def semantic(self) -> np.ndarray: ...

    @property
    def collaborative(self) -> np.ndarray: ...


# (num_shared, num_specific) -> codebook names of each view
Strategy = Callable[[int, int], dict[str, list[str]]]
_STRATEGIES: dict[str, Strategy] = {}


def register_strategy(name: str) -> Callable[[Strategy], Strategy]:
    """Make a strategy known by name: a function of (num_shared, num_specific) to the codebook names of each view.

    Names start with m (both signals), s (semantic), c (collaborative) or r (no signal); views may share
    their first codebooks.
    """

    def register(strategy: Strategy) -> Strategy:
        _STRATEGIES[name] = strategy
        return strategy

    return register


def list_strategies() -> list[str]:
    """All names `learn_identifiers` knows."""
    return list(_STRATEGIES)


def _books(kind: str, count: int) -> list[str]:
    return [f"{kind}{level}" for level in range(1, count + 1)]


@register_strategy("gensar")
def gensar(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Shared codes, then codes of the view's own signal (arXiv 2504.05730, section 3.2)."""
    shared = _books("m", num_shared)
    return {"semantic": shared + _books("s", num_specific), "collaborative": shared + _books("c", num_specific)}


@register_strategy("semantic")
def semantic(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """One identifier from the semantic signal alone (TIGER, arXiv 2305.05065)."""
    return dict.fromkeys(VIEWS, _books("s", num_shared + num_specific))


@register_strategy("collaborative")
def collaborative(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """One identifier from the collaborative signal alone."""
    return dict.fromkeys(VIEWS, _books("c", num_shared + num_specific))


@register_strategy("fused")
def fused(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """One identifier from both signals at once (arXiv 2508.10478, fused embeddings)."""
    return dict.fromkeys(VIEWS, _books("m", num_shared + num_specific))


@register_strategy("unshared")
def unshared(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Two separate identifiers, one per signal (arXiv 2508.10478, separate identifiers)."""
    return {"semantic": _books("s", num_shared + num_specific), "collaborative": _books("c", num_shared + num_specific)}


@register_strategy("collaborative-prefix")
def collaborative_prefix(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Asymmetric sharing: the collaborative identifier; search takes its first code and goes on with semantic ones."""
    length = num_shared + num_specific
    return {"semantic": ["c1", *_books("s", length - 1)], "collaborative": _books("c", length)}


@register_strategy("random")
def random(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Identifiers that say nothing: the floor."""
    return dict.fromkeys(VIEWS, _books("r", num_shared + num_specific))


def _plan(views: dict[str, list[str]], widths: dict[str, int], num_codes: int) -> tuple[Layout, list[str]]:
    """Lay the codebooks over the latent vector. `widths`: latent numbers per signal.

    Returns: the layout and the signals that it uses, in the order of their spans.
    """
    names = sorted(
        dict.fromkeys(views["semantic"] + views["collaborative"]),
        key=lambda name: ("mscr".index(name[0]), int(name[1:])),
    )
    kinds = {name[0] for name in names}
    signals = [signal for kind, signal in SIGNALS.items() if kinds & {kind, "m"}]
    spans, start = {}, 0
    for signal in signals:
        spans[signal] = (start, start + widths[signal])
        start += widths[signal]
    span_of = {"m": (0, start), "r": (0, 0)} | {
        kind: spans[signal] for kind, signal in SIGNALS.items() if signal in spans
    }
    number = {name: p for p, name in enumerate(names)}
    layout = Layout(
        names=tuple(names),
        sizes=(num_codes,) * len(names),
        spans=tuple(span_of[name[0]] for name in names),
        views={view: tuple(number[name] for name in views[view]) for view in VIEWS},
    )
    return layout, signals


@one_thread()
def learn_identifiers(
    data: Dataset,
    signals: Signals,
    strategy: str = "gensar",
    quantiser: str = "rqvae",
    num_codes: int = 64,
    num_shared: int = 2,
    num_specific: int = 2,
    seed: int = 0,
    config: RQVAEConfig | None = None,
    device: str = "cpu",
) -> IdentifierTable:
    """Give every item of the catalogue a unique identifier in each view.

    Args: `signals` with rows in the order of `data.items`; `strategy` one of `list_strategies()`;
    `quantiser` "rqvae" (the paper's) or "kmeans" (residual k-means on the signals themselves);
    identifiers have num_shared + num_specific codes out of `num_codes` each.
    Raises: DataError for unknown names, sizes that cannot work, signals that do not fit the catalogue.
    """
    if strategy not in _STRATEGIES:
        raise DataError(f"unknown strategy {strategy!r}; known are {', '.join(_STRATEGIES)}")
    if quantiser not in QUANTISERS:
        raise DataError(f"unknown quantiser {quantiser!r}; known are {', '.join(QUANTISERS)}")
    if num_codes < 2 or num_shared < 0 or num_specific < 0 or num_shared + num_specific < 1:
        raise DataError(
            f"identifiers need at least two codes and one level, not num_codes={num_codes}, num_shared={num_shared}, num_specific={num_specific}"
        )
    views = _STRATEGIES[strategy](num_shared, num_specific)
    config = config or RQVAEConfig()
    tables = {name: np.asarray(getattr(signals, name), np.float32) for name in VIEWS}
    widths = (
        dict.fromkeys(VIEWS, config.latent_dim)
        if quantiser == "rqvae"
        else {name: x.shape[1] for name, x in tables.items()}
    )
    layout, used = _plan(views, widths, num_codes)
    item_ids = data.items["item_id"].to_numpy(object)
    layout.check(len(item_ids))
    for name in used:
        if len(tables[name]) != len(item_ids):
            raise DataError(
                f"the {name} signal has {len(tables[name])} rows, the catalogue {len(item_ids)} items; embed the data set again"
            )
        if bad := int((~np.isfinite(tables[name])).any(1).sum()):
            raise DataError(f"the {name} signal of {bad} items is not a number; embed the data set again")
    encoder: dict[str, np.ndarray] = {}
    vectors: list[np.ndarray] = []
    lost: dict[str, float] = {}
    if not used:
        before = after = _draw_random(layout, len(item_ids), seed)
    else:
        for name in used:
            encoder |= fit_scaling(name, tables[name])
            if quantiser == "kmeans":
                # without an encoder of its own, a wider signal would outweigh the other in shared codes
                encoder[f"{name}.scale"] = encoder[f"{name}.scale"] * np.float32(np.sqrt(widths[name]))
        scaled = [standardise(encoder, name, tables[name]) for name in used]
        if quantiser == "rqvae":
            model = train_rqvae(scaled, layout.spans, layout.sizes, config, _last_specific(layout), seed, device)
            for name, network in zip(used, model.encoders, strict=True):
                linear = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
                for i, layer in enumerate(linear):
                    encoder[f"{name}.{i}.weight"] = layer.weight.detach().cpu().numpy()
                    encoder[f"{name}.{i}.bias"] = layer.bias.detach().cpu().numpy()
            codebooks = [c.detach().cpu() for c in model.codebooks]
            lost = dict(zip(used, reconstruction_error(model, scaled), strict=True))
        latents = encode_signals(encoder, used, tables)
        if quantiser == "kmeans":
            codebooks = fit_codebooks(torch.from_numpy(latents), layout.spans, layout.sizes, seed)
        before_codes = encode(torch.from_numpy(latents), layout.spans, codebooks)
        if quantiser == "kmeans":
            rest = (
                (torch.from_numpy(latents) - decode(before_codes, layout.spans, codebooks, latents.shape[1]))
                .square()
                .mean(0)
                .numpy()
            )
            edges = np.cumsum([widths[name] for name in used])[:-1]
            lost = {name: float(part.sum()) for name, part in zip(used, np.split(rest, edges), strict=True)}
        before = before_codes.numpy()
        vectors = [c.numpy() for c in codebooks]
        after = assign_unique(latents, layout, vectors)
    labels = (
        [str(text).split("|")[0].strip() for text in data.items["categories"]] if "categories" in data.items else None
    )
    return IdentifierTable(
        item_ids=item_ids,
        layout=layout,
        codes={view: after[:, list(layout.views[view])] for view in VIEWS},
        vectors=vectors,
        encoder=encoder,
        made_from={
            "data": data.info.get("fingerprint"),
            "strategy": strategy,
            "quantiser": quantiser,
            "signals": used,
            "num_codes": num_codes,
            "num_shared": num_shared,
            "num_specific": num_specific,
            "seed": seed,
        },
        health=measure_health(layout, before, after, labels, lost),
    )


def _last_specific(layout: Layout) -> list[int]:
    """The last codebook of each identifier, if it belongs to one signal."""
    return sorted({path[-1] for path in layout.paths() if layout.names[path[-1]][0] in SIGNALS})


def _draw_random(layout: Layout, count: int, seed: int, existing: np.ndarray | None = None) -> np.ndarray:
    """(count, L) distinct codes, drawn uniformly."""
    rng = np.random.default_rng(seed)
    taken = {tuple(row) for row in (existing if existing is not None else np.zeros((0, 0), np.int64)).tolist()}
    chosen: dict[tuple, None] = {}
    while len(chosen) < count:
        rows = np.column_stack([rng.integers(0, size, count) for size in layout.sizes])
        chosen.update(dict.fromkeys(row for row in map(tuple, rows.tolist()) if row not in taken))
    return np.array(list(chosen)[:count], np.int64).reshape(count, len(layout.sizes))


def assign_new(
    table: IdentifierTable,
    semantic: np.ndarray | None = None,
    collaborative: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Identifiers for M new items from the learned codebooks; existing ones neither change nor collide.

    Args: `semantic` (M, D_s), `collaborative` (M, D_c): both, where the strategy uses both signals. An
    item known by its text alone gets its collaborative vector from the signals' map of semantic to
    collaborative vectors. Join the codes with `table.extend`.
    Returns: codes (M, L) for each view.
    Raises: DataError if a signal is missing or has another width, or if no identifier is free.
    """
    given = {"semantic": semantic, "collaborative": collaborative}
    used = table.made_from["signals"]
    tables: dict[str, np.ndarray] = {}
    for name in used or ["semantic"]:
        vectors = given[name]
        if vectors is None:
            raise DataError(
                f"new items need {name} vectors: the strategy {table.made_from['strategy']!r} names items by them"
            )
        tables[name] = np.atleast_2d(np.asarray(vectors, np.float32))
        if used and tables[name].shape[1] != len(table.encoder[f"{name}.mean"]):
            raise DataError(
                f"the {name} vectors of the new items have {tables[name].shape[1]} numbers, the identifiers were learned from {len(table.encoder[f'{name}.mean'])}"
            )
    count = len(next(iter(tables.values())))
    layout, existing = table.layout, table.codes_by_codebook
    layout.check(len(table) + count)
    if used:
        codes = assign_unique(encode_signals(table.encoder, used, tables), layout, table.vectors, existing)
    else:
        codes = _draw_random(layout, count, seed, existing)
    return {view: codes[:, list(layout.views[view])] for view in VIEWS}
