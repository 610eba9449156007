"""From signals to identifiers, and from new items to theirs: what all strategies and quantisers have in common.

Explained in notebooks 03 and 04. Signals are scaled, encoded to latent vectors, quantised level by level, and made unique.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.assignment import Layout, assign_unique
from gensar_lite.identifiers.biencoder import fit_biencoder
from gensar_lite.identifiers.encoder import encode_signals
from gensar_lite.identifiers.health import category_labels, measure_health
from gensar_lite.identifiers.quantise import encode, one_thread
from gensar_lite.identifiers.quantisers import get_quantiser
from gensar_lite.identifiers.rqvae import RQVAEConfig
from gensar_lite.identifiers.strategies import codebooks_of, list_strategies, plan, resolve
from gensar_lite.identifiers.table import VIEWS, IdentifierTable
from gensar_lite.signals.device import choose_device
from gensar_lite.signals.signals import Signals


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
    device: torch.device | str | None = None,
    rqvae: dict[str, Any] | None = None,
) -> IdentifierTable:
    """Give every item of the catalogue a unique identifier in each view.

    Args: `signals` with rows in the order of `data.items`; `strategy` one of `list_strategies()`;
    `quantiser` "rqvae" (the paper's), "kmeans" or "faiss" (residual k-means on the signals themselves, ours or that of
    faiss); `rqvae` changes entries of its settings, or `config` gives them whole; identifiers have num_shared + num_specific codes out of `num_codes` each.
    `device` is where they are fitted (`choose_device`).
    Raises: DataError for unknown names, sizes that cannot work, signals that do not fit the catalogue.
    """
    _check_request(strategy, quantiser, num_codes, num_shared, num_specific)
    config, chosen = config or RQVAEConfig(**(rqvae or {})), choose_device(device)
    meant = resolve(strategy, data, signals)
    encoder: dict[str, np.ndarray] = {}
    views = codebooks_of(meant, num_shared, num_specific)
    if any(name.startswith("b") for name in views["semantic"] + views["collaborative"]):
        encoder["joint.map"] = fit_biencoder(data, signals, seed, chosen)
    tables = _tables(signals, encoder)
    method = get_quantiser(quantiser)
    widths = {name: method.latent_width(x.shape[1], config) for name, x in tables.items()}
    layout, used = plan(views, widths, num_codes)
    item_ids = data.items["item_id"].to_numpy(object)
    layout.check(len(item_ids))
    _check_signals(tables, used, len(item_ids))
    vectors: list[np.ndarray] = []
    lost: dict[str, float] = {}
    if used:
        made = method.fit({name: tables[name] for name in used}, layout, config, seed, chosen)
        encoder, lost = encoder | made.encoder, made.lost
        before = encode(torch.from_numpy(made.latents), layout.spans, made.codebooks).numpy()
        vectors = [c.numpy() for c in made.codebooks]
        after = assign_unique(made.latents, layout, vectors)
    else:
        before = after = _draw_random(layout, len(item_ids), seed)
    return IdentifierTable(
        item_ids=item_ids,
        layout=layout,
        codes={view: after[:, list(layout.views[view])] for view in VIEWS},
        vectors=vectors,
        encoder=encoder,
        made_from={
            "data": data.info.get("fingerprint"),
            "strategy": strategy,
            "meant": meant,
            "quantiser": quantiser,
            "signals": used,
            "num_codes": num_codes,
            "num_shared": num_shared,
            "num_specific": num_specific,
            "seed": seed,
        },
        health=measure_health(layout, before, after, category_labels(data), lost),
    )


def _check_request(strategy: str, quantiser: str, num_codes: int, num_shared: int, num_specific: int) -> None:
    if strategy not in list_strategies():
        raise DataError(f"unknown strategy {strategy!r}; known are {', '.join(list_strategies())}")
    get_quantiser(quantiser)
    if num_codes < 2 or num_shared < 0 or num_specific < 0 or num_shared + num_specific < 1:
        raise DataError(
            f"identifiers need at least two codes and one level, not num_codes={num_codes}, num_shared={num_shared}, num_specific={num_specific}"
        )


def _check_signals(tables: dict[str, np.ndarray], used: list[str], num_items: int) -> None:
    for name in used:
        if len(tables[name]) != num_items:
            raise DataError(
                f"the {name} signal has {len(tables[name])} rows, the catalogue {num_items} items; embed the data set again"
            )
        if bad := int((~np.isfinite(tables[name])).any(1).sum()):
            raise DataError(f"the {name} signal of {bad} items is not a number; embed the data set again")


def _tables(signals: Any, encoder: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The vectors (N, width) of each signal, by name."""
    tables = {name: np.asarray(getattr(signals, name), np.float32) for name in VIEWS}
    if "joint.map" in encoder:
        tables["joint"] = tables["semantic"] @ encoder["joint.map"]
    return tables


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
    joint = table.encoder.get("joint.map")
    mapped = None if joint is None or semantic is None else np.atleast_2d(semantic) @ joint
    given = {"semantic": semantic, "collaborative": collaborative, "joint": mapped}
    used = table.made_from["signals"]
    tables: dict[str, np.ndarray] = {}
    for name in used or ["semantic"]:
        vectors = given[name]
        if vectors is None:
            kind = "semantic" if name == "joint" else name
            raise DataError(
                f"new items need {kind} vectors: the strategy {table.made_from['strategy']!r} names items by them"
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
