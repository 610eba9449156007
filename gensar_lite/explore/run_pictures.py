"""The pictures of one run, with captions and with texts that say the same where a picture cannot be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.explore.codes import (
    Identifiers,
    codes_of,
    perplexity,
    plot_code_categories,
    plot_code_tree,
    plot_code_use,
)
from gensar_lite.explore.curves import PROTOCOL_TEXTS, plot_history, plot_metrics
from gensar_lite.explore.maps import NO_CATEGORY, category_of, plot_map
from gensar_lite.explore.report import Picture
from gensar_lite.explore.style import role_of


def draw_run(
    items: pd.DataFrame,
    table: Identifiers,
    metrics: Mapping[str, Any],
    *,
    name: str = "GenSAR",
    history: Sequence[Mapping[str, float]] = (),
    vectors: Mapping[str, np.ndarray] | None = None,
    ceiling: Mapping[str, float] | None = None,
    method: str = "umap",
    seed: int = 0,
) -> list[Picture]:
    """Draw what a report shows of a run: results, training, maps, the tree, use and meaning of the codes.

    `items` (N rows) and `table` name the catalogue, `metrics` is the content of `metrics.json`, `vectors`
    maps a title ("semantic") to item vectors (N, D), each drawn as a map by `method` (UMAP compiles for
    10 to 20 seconds at first; "pca" takes none). What is not given is not drawn; without categories, maps
    are coloured by the first code.
    """
    pictures = []
    if any(metrics.get(task, {}).get(protocol) for task, (protocol, _) in PRIMARY.items()):
        drawn = plot_metrics(
            metrics, name=name, ceiling=ceiling, title="One model for both tasks, beside its baselines"
        )
        pictures.append(
            Picture(
                _kept(drawn),
                "The primary metric of each task; both panels share one scale.",
                _metrics_text(metrics, name),
            )
        )
    if history:
        last = history[-1]
        told = ", ".join(f"{k} {v:.3f}" for k, v in last.items() if k != "step" and isinstance(v, (int, float)))
        pictures.append(
            Picture(
                _kept(plot_history(history)),
                "Training: the loss, and the metrics on validation cases.",
                f"Curves over {last['step']} training steps; at the end {told}.",
            )
        )
    groups = category_of(items)
    kind = "category"
    if (groups == NO_CATEGORY).all():
        first = next(iter(table.codebook_names))
        groups, kind = np.array([f"<{first}_{c}>" for c in codes_of(table, first)], dtype=object), "first code"
    for title, points in (vectors or {}).items():
        ax = plot_map(points, groups, method=method, title=f"{title.capitalize()} vectors of the items", seed=seed)
        caption = f"Every point is an item, near items with like {title} vectors; distances between far clusters mean nothing."
        pictures.append(
            Picture(
                _kept(ax),
                caption,
                f"Map of {len(points)} items by their {title} vectors, marked by {kind}. Groups that lie apart: {', '.join(t.get_text() for t in ax.texts) or 'none'}.",
            )
        )
    tree = plot_code_tree(table, items["title"].tolist())
    first_codes = "; ".join(t.get_text().replace("\n", " ") for t in tree.texts if t.get_position()[0] < 0.5)
    pictures.append(
        Picture(
            _kept(tree),
            "Items with a common prefix should be alike: the most common ones, with titles of some of their items.",
            f"Tree of identifier prefixes. First level: {first_codes}.",
        )
    )
    pictures.append(
        Picture(
            _kept(plot_code_use(table)),
            "How many items each code names. Equal use would be the dashed line.",
            _use_text(table),
        )
    )
    if kind == "category":
        for codebook in _leading(table):
            ax = plot_code_categories(table, groups, codebook)
            pictures.append(
                Picture(
                    _kept(ax),
                    f"How the items of each code of {codebook} ({role_of(codebook)}) divide among the categories.",
                    f"Heat map. {ax.get_title('left')}.",
                )
            )
    return pictures


def _kept(drawn: Figure | Axes) -> Figure:
    """The figure, closed for pyplot: a notebook would show it at once, and too many open ones bring a warning."""
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    plt.close(figure)  # type: ignore[arg-type]
    return figure  # type: ignore[return-value]


def _leading(table: Identifiers) -> list[str]:
    """The first codebook of every role."""
    found: dict[str, str] = {}
    for codebook in table.codebook_names:
        found.setdefault(role_of(codebook), codebook)
    return list(found.values())


def _metrics_text(metrics: Mapping[str, Any], name: str) -> str:
    parts = []
    for task, (protocol, metric) in PRIMARY.items():
        values = {name: metrics.get(task, {})} | {b: v.get(task, {}) for b, v in metrics.get("baselines", {}).items()}
        bars = sorted(
            ((v[protocol][metric], n) for n, v in values.items() if metric in v.get(protocol, {})), reverse=True
        )
        if bars:
            parts.append(
                f"{task.capitalize()}, {metric} {PROTOCOL_TEXTS[protocol]}: "
                + ", ".join(f"{n} {v:.3f}" for v, n in bars)
                + "."
            )
    return " ".join(parts)


def _use_text(table: Identifiers) -> str:
    parts = []
    for codebook, size in zip(table.codebook_names, table.codebook_sizes, strict=True):
        counts = np.bincount(codes_of(table, codebook), minlength=int(size))
        parts.append(f"{codebook}: {(counts > 0).sum()} of {size} codes in use, perplexity {perplexity(counts):.0f}")
    return "; ".join(parts) + "."
