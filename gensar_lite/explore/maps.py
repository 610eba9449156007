"""Maps: items as points in the plane, near where their vectors are alike.

Explained in notebook 02. UMAP: McInnes, Healy & Melville 2018. PCA is the fast alternative; it keeps
directions and loses neighbourhoods, UMAP the other way round.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from gensar_lite.evidence.nearest import nearest_others
from gensar_lite.explore.style import GROUPS, MARKERS, OTHER, PAPER, new_axes, shorten, style

METHODS = ("pca", "umap")
NO_CATEGORY = "(none)"


def category_of(items: pd.DataFrame, level: int = 0) -> np.ndarray:
    """The category (N,) of every item at one level of its first path ("Kitchen > Coffee Makers": level 0 is Kitchen)."""
    paths = items["categories"].astype(str).str.split(" | ", regex=False).str[0].str.split(" > ", regex=False)
    return paths.str[level].fillna("").str.strip().replace("", NO_CATEGORY).to_numpy(object)


def map_vectors(vectors: np.ndarray, method: str = "umap", seed: int = 0, num_neighbours: int = 30) -> np.ndarray:
    """Places (N, 2) for vectors (N, D). The same seed gives the same map (to the last bit
    where the number of threads is the same).

    `method` "umap" (neighbours by cosine) or "pca". Fewer than six items always take PCA.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, not {method!r}")
    vectors = np.asarray(vectors, np.float32)
    if method == "pca" or len(vectors) < 6:
        size = min(2, *vectors.shape)
        places = (
            PCA(size, random_state=seed).fit_transform(vectors) if len(vectors) > 1 else np.zeros((len(vectors), size))
        )
        return np.pad(places, ((0, 0), (0, 2 - size)))
    from umap import UMAP  # imported here: it compiles for seconds, and most figures do without

    k = min(num_neighbours, len(vectors) - 1)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    # Neighbours, exact up to the size that `nearest` tells, are found faster than UMAP's own search is compiled. It expects
    # every point as its own first one.
    near, cosine = nearest_others(unit, k)
    distance = np.sqrt(np.maximum(2 - 2 * np.maximum(cosine, -1), 0))
    own = np.arange(len(unit), dtype=near.dtype)[:, None]
    known = np.hstack([own, near]), np.hstack([np.zeros((len(unit), 1)), distance]).astype(np.float32), None
    start = PCA(2, random_state=seed).fit_transform(unit)
    start = (start / np.abs(start).max() * 10).astype(np.float32)
    mapper = UMAP(
        n_neighbors=k + 1, precomputed_knn=known, init=start, random_state=seed, n_jobs=1, min_dist=0.8, spread=2.5
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "precomputed_knn", UserWarning
        )  # says that new points cannot join the map; none do
        return mapper.fit_transform(unit)


def plot_map(
    places: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    *,
    method: str = "umap",
    title: str = "Items by their vectors",
    legend: bool = True,
    order: Sequence[str] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw items as points, coloured and marked by group, each group named where it lies densest and is in
    the majority; a group that is mixed with others everywhere is named by the legend alone.

    `places` (N, 2) are those of `map_vectors` by this `method`. `labels` (N,) are group names, such as
    `category_of` gives; the twelve largest groups are told apart, the others are grey. Groups named in `order` take the
    first colours, so that two maps can be compared.
    """
    groups = np.asarray(labels, dtype=object)
    if len(places) != len(groups):
        raise ValueError(f"{len(places)} places and {len(groups)} labels; give one label per place")
    counts = pd.Series(groups).value_counts().sort_index().sort_values(ascending=False, kind="stable")
    ordered = [g for g in order if g in counts.index] + [g for g in counts.index if g not in set(order)]
    shown = [g for g in ordered if g != NO_CATEGORY][: len(MARKERS)]
    size = float(np.clip(16_000 / max(len(places), 1), 5, 40))
    halo = [patheffects.withStroke(linewidth=3, foreground=PAPER)]
    with style():
        ax = new_axes(ax, 7.6, 6.0)
        rest = ~np.isin(groups.astype(str), [str(g) for g in shown])
        for group, colour, marker in [("other", OTHER, "o"), *zip(shown, GROUPS, MARKERS, strict=False)]:
            own = places[rest if group == "other" and colour == OTHER else groups == group]
            if len(own):
                label = f"{shorten(group, 28)} ({len(own):,})"
                look: dict[str, Any] = {"marker": marker, "edgecolors": PAPER, "linewidths": 0.25, "alpha": 0.85}
                ax.scatter(own[:, 0], own[:, 1], s=size, color=colour, label=label, **look)
        for group, at in _spots(places, groups, shown if len(shown) > 1 else []).items():
            bold: dict[str, Any] = {
                "fontsize": 9,
                "fontweight": "bold",
                "ha": "center",
                "va": "bottom",
                "path_effects": halo,
            }
            ax.annotate(shorten(group, 28), at, xytext=(0, 7), textcoords="offset points", zorder=5, **bold)
        name = method.upper()
        ax.set(title=title, xticks=[], yticks=[], xlabel=f"{name} axis 1 (no unit)", ylabel=f"{name} axis 2 (no unit)")
        for side in ("left", "bottom"):
            ax.spines[side].set_color(OTHER)
        if legend:
            beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0}
            ax.legend(title="items", alignment="left", markerscale=max(1.0, 4.5 / size**0.5), **beside)
    return ax


def _spots(places: np.ndarray, groups: np.ndarray, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Where to write a group's name: its densest point, if half of the points around it are its own."""
    around = NearestNeighbors(radius=max(0.06 * float(np.ptp(places, axis=0).max()), 1e-9)).fit(places)
    found = {}
    for name in names:
        own = np.flatnonzero(groups == name)
        own = own[:: -(-len(own) // 500)]
        near = around.radius_neighbors(places[own], return_distance=False)
        count = np.array([(groups[n] == name).sum() for n in near])
        best = int(np.argmax(count))
        if count[best] >= len(near[best]) / 2:
            found[name] = (float(places[own[best], 0]), float(places[own[best], 1]))
    return found
