"""Pictures of quantisation: points in the plane with their codes, and what each level leaves over.

Explained in notebooks 03 and 04.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from gensar_lite.explore.style import FAINT, GROUPS, INK, MARKERS, PAPER, new_axes, style
from gensar_lite.identifiers.encoder import encode_signals
from gensar_lite.identifiers.quantise import decode
from gensar_lite.identifiers.table import IdentifierTable


def plot_codes(
    points: np.ndarray,
    centres: np.ndarray,
    codes: np.ndarray,
    *,
    title: str = "Every point takes the nearest code",
    labels: tuple[str, str] = ("first number", "second number"),
    ax: Axes | None = None,
) -> Axes:
    """Points (N, 2), each tied by a line to the code that it takes, `codes` (N,) of `centres` (K, 2)."""
    points, centres, codes = np.asarray(points), np.asarray(centres), np.asarray(codes)
    if points.shape[1:] != (2,) or centres.shape[1:] != (2,):
        raise ValueError(f"points {points.shape} and centres {centres.shape} must lie in the plane: two numbers each")
    with style():
        ax = new_axes(ax, 5.2, 4.6)
        ax.add_collection(
            LineCollection(list(np.stack([points, centres[codes]], axis=1)), colors=FAINT, linewidths=0.6)
        )
        for code in np.unique(codes):
            own = points[codes == code]
            kind = int(code) % len(GROUPS)
            ax.scatter(
                own[:, 0], own[:, 1], s=13, color=GROUPS[kind], marker=MARKERS[kind], linewidths=0, alpha=0.8, zorder=2
            )
        ax.scatter(
            centres[:, 0], centres[:, 1], s=170, color=PAPER, edgecolors=INK, linewidths=1.4, zorder=3, clip_on=False
        )
        for code, (x, y) in enumerate(centres):
            ax.text(x, y, str(code), ha="center", va="center", fontsize=8, fontweight="bold", zorder=4)
        ax.set(title=title, xlabel=labels[0], ylabel=labels[1])
        ax.set_aspect("equal", adjustable="datalim")
        ax.grid(color=FAINT, linewidth=0.7)
        ax.set_axisbelow(True)
    return ax


def residual_shares(table: IdentifierTable, signals: Any) -> pd.DataFrame:
    """How much of each signal's latent vectors the codes so far leave over: one row per level, 0 to L, a column per signal.

    The share is that of the squared length after subtracting the code vectors of the view's first levels: 1 before
    the first code, 0 where the codes say everything. `signals` has `semantic` (N, D_s) and `collaborative` (N, D_c).
    """
    used = table.made_from["signals"]
    latents = encode_signals(table.encoder, used, {name: getattr(signals, name) for name in used})
    widths = [getattr(signals, name).shape[1] for name in used]
    if sum(widths) != latents.shape[1]:  # a quantiser with an encoder has one width for all
        widths = [latents.shape[1] // len(used)] * len(used)
    ends = np.cumsum([0, *widths])
    books = [torch.from_numpy(np.asarray(book)) for book in table.vectors]
    by_codebook = torch.from_numpy(table.codes_by_codebook)
    shares: dict[str, list[float]] = {}
    for place, name in enumerate(used):
        part = slice(ends[place], ends[place + 1])
        centred = latents[:, part] - latents[:, part].mean(axis=0)
        left = [1.0]
        for level in range(1, table.num_levels + 1):
            chosen = list(table.layout.views[name][:level])
            said = decode(
                by_codebook[:, chosen],
                [table.layout.spans[p] for p in chosen],
                [books[p] for p in chosen],
                latents.shape[1],
            ).numpy()[:, part]
            left.append(float(np.square(latents[:, part] - said).sum() / np.square(centred).sum()))
        shares[name] = left
    return pd.DataFrame(shares, index=pd.Index(range(table.num_levels + 1), name="level"))
