"""How good identifiers are, told without any generator: use, collisions, repair, reconstruction, purity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gensar_lite.data.dataset import Dataset
from gensar_lite.identifiers.assignment import Layout, group_rows


def codebook_use(codes: np.ndarray, size: int) -> dict:
    """Share of the codes in use, and perplexity (the number of codes if all were used evenly). codes (N,)."""
    share = np.bincount(codes, minlength=size) / len(codes)
    used = share[share > 0]
    return {"size": size, "use": len(used) / size, "perplexity": float(np.exp(-(used * np.log(used)).sum()))}


def collision_rate(codes: np.ndarray) -> float:
    """Share of the items beyond the first with an identifier: 1 - distinct identifiers / items. codes (N, L)."""
    return 1 - len(group_rows(codes)[1]) / len(codes)


def num_sharing(codes: np.ndarray) -> int:
    """How many items have an identifier that another one has, too. codes (N, L)."""
    count = group_rows(codes)[1]
    return int(count[count > 1].sum())


def category_labels(data: Dataset) -> list[str] | None:
    """The first category path of every item, where there are categories."""
    if "categories" not in data.items:
        return None
    return [str(text).split("|")[0].strip() for text in data.items["categories"]]


def prefix_purity(codes: np.ndarray, labels: Sequence[str]) -> list[float]:
    """For each depth 1..L, the share of items whose label is the commonest among items with the same prefix.

    Groups of one item are always pure: read it beside the number of groups. Items without a label do not count.
    """
    known = np.array([bool(label) for label in labels])
    if not known.any():
        return []
    codes = codes[known]
    label = np.unique(np.asarray(labels, object)[known].astype(str), return_inverse=True)[1]
    purity = []
    for depth in range(1, codes.shape[1] + 1):
        pairs, counts = np.unique(np.column_stack([group_rows(codes[:, :depth])[0], label]), axis=0, return_counts=True)
        commonest = np.zeros(pairs[:, 0].max() + 1, np.int64)
        np.maximum.at(commonest, pairs[:, 0], counts)
        purity.append(float(commonest.sum() / len(codes)))
    return purity


def measure_health(
    layout: Layout,
    before: np.ndarray,
    after: np.ndarray,
    labels: Sequence[str] | None = None,
    reconstruction: dict[str, float] | None = None,
) -> dict:
    """The report of one table.

    Args: `before` (N, P) greedy codes, `after` (N, P) unique ones; `labels` such as categories;
    `reconstruction`: share of each signal's variance lost by quantising (0 perfect, 1 nothing kept).
    """
    report: dict = {"num_items": len(after), "codebooks": {}, "views": {}, "reconstruction": reconstruction or {}}
    for p, name in enumerate(layout.names):
        report["codebooks"][name] = codebook_use(before[:, p], layout.sizes[p])
    for view, path in layout.views.items():
        columns = list(path)
        report["views"][view] = {
            "collisions_before": collision_rate(before[:, columns]),
            "items_sharing_before": num_sharing(before[:, columns]),
            "collisions_after": collision_rate(after[:, columns]),
            "items_moved": int((before[:, columns] != after[:, columns]).any(1).sum()),
            "num_prefixes": [len(group_rows(after[:, columns[:d]])[1]) for d in range(1, len(columns) + 1)],
            "largest_group_before": int(group_rows(before[:, columns])[1].max()),
            "largest_prefix_group": int(group_rows(after[:, columns[:-1]])[1].max()),
            "purity": prefix_purity(after[:, columns], labels) if labels is not None else [],
        }
    report["warnings"] = find_warnings(report)
    return report


def find_warnings(report: dict) -> list[str]:
    """Plain sentences about what looks wrong."""
    sentences = []
    for name, book in report["codebooks"].items():
        if report["num_items"] <= book["size"]:
            continue  # one code tells all items apart, so that later ones have nothing to say
        if book["use"] < 0.5:
            sentences.append(
                f"Codebook {name} collapsed: {book['use']:.0%} of its {book['size']} codes are in use; use fewer codes or train longer."
            )
        elif book["perplexity"] < 0.25 * book["use"] * book["size"]:
            sentences.append(
                f"Codebook {name} is lopsided: it is worth {book['perplexity']:.0f} evenly used codes of {book['size']}; a few codes hold most items."
            )
    for view, numbers in report["views"].items():
        if numbers["collisions_before"] > 0.2:
            sentences.append(
                f"{numbers['collisions_before']:.0%} of the items shared their {view} identifier before repair (up to {numbers['largest_group_before']} one identifier): "
                "many items have the same vectors, or the codebooks are too small."
            )
    for signal, lost in report["reconstruction"].items():
        if lost > 0.9:
            sentences.append(f"The codes keep only {1 - lost:.0%} of the {signal} signal.")
    return sentences


def describe(report: dict) -> str:
    """The report as a few lines of text."""
    lines = [f"{report['num_items']} items"]
    lines += [
        f"codebook {n}: {b['use']:.1%} of {b['size']} codes in use, perplexity {b['perplexity']:.1f}"
        for n, b in report["codebooks"].items()
    ]
    for view, v in report["views"].items():
        purity = ", purity by depth " + " ".join(f"{x:.2f}" for x in v["purity"]) if v["purity"] else ""
        lines.append(
            f"{view} view: {v['collisions_before']:.1%} collisions before repair, {v['collisions_after']:.1%} after, {v['items_moved']} items moved, "
            f"largest group under one prefix {v['largest_prefix_group']}{purity}"
        )
    lines += [f"{signal} signal: {lost:.1%} of its variance lost" for signal, lost in report["reconstruction"].items()]
    return "\n".join(lines + [f"Warning: {w}" for w in report["warnings"]])
