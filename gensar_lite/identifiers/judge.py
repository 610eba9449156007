"""Anybody's identifiers, side by side: how codes are used, what a prefix says, what is lost.

Explained in notebook 04. The identifiers are judged as they stand, before anything is made unique. What a prefix says is told
for categories (from the item table) and for communities of co-clicks (from the training log): the share of pairs of items with
the same prefix that have the same label. Unlike purity this does not grow by itself where groups get small.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.assignment import group_rows
from gensar_lite.identifiers.encoder import encode_signals, fit_scaling
from gensar_lite.identifiers.foreign import fit_code_vectors, read_codes
from gensar_lite.identifiers.health import category_labels, codebook_use, collision_rate, num_sharing, prefix_purity
from gensar_lite.identifiers.table import VIEWS, IdentifierTable
from gensar_lite.signals.collaborative import click_matrix
from gensar_lite.signals.signals import Signals

NUM_NEIGHBOURS = 20  # of each item in the graph of co-clicks
MAX_ITEMS = 50_000  # in that graph: above, communities are those of the most clicked items


def judge_identifiers(
    given: Sequence[str | Path | IdentifierTable], data: Dataset, signals: Signals | None = None
) -> dict[str, dict]:
    """A health report for each of several identifiers of one catalogue, by name.

    Args: files (see `read_codes`), folders of identifiers, run folders, or tables; `signals` whose loss is told (without
    them those of the first run folder among the given, if there is one).
    Raises: DataError for identifiers of another catalogue and files that cannot be read.
    """
    labels = {"category": category_labels(data) or [""] * data.num_items, "community": co_click_communities(data)}
    for path in given:
        folder = None if isinstance(path, IdentifierTable) else Path(path) / "signals"
        if signals is None and folder is not None and folder.is_dir():
            signals = Signals.load(folder)
            signals.check(data)
    names = _names(given)
    return {name: _judge(_views(one, data), data, labels, signals) for name, one in zip(names, given, strict=True)}


def co_click_communities(data: Dataset, seed: int = 0) -> list[str]:
    """A community for each item (N), "" for items without co-clicks: modularity is maximised on the graph of each item's
    nearest by co-clicks in the training log (Blondel et al. 2008, as in networkx)."""
    order = np.argsort(-data.popularity, kind="stable")[:MAX_ITEMS]
    asked = np.sort(order[data.popularity[order] > 0])
    labels = [""] * data.num_items
    if not len(asked):
        return labels
    import networkx as nx
    from implicit.nearest_neighbours import all_pairs_knn, normalize, tfidf_weight

    clicks = sparse.csr_matrix(normalize(tfidf_weight(click_matrix(data)[:, asked].T)).T)
    near = all_pairs_knn(clicks, min(NUM_NEIGHBOURS + 1, len(asked)), show_progress=False, num_threads=1)
    graph = sparse.csr_matrix(near - sparse.diags(near.diagonal()))
    graph.eliminate_zeros()
    found = nx.community.louvain_communities(nx.from_scipy_sparse_array(graph.maximum(graph.T)), seed=seed)
    for number, members in enumerate(found):
        for row in members if len(members) > 1 else ():
            labels[asked[row]] = str(number)
    return labels


def pair_agreement(codes: np.ndarray, labels: Sequence[str]) -> list[float | None]:
    """For each depth 0..L, the share of pairs of items with the same prefix that have the same label.

    Depth 0 is the share among all pairs; None where no two labelled items share a prefix. codes (N, L).
    """
    known = np.array([bool(label) for label in labels])
    label = np.unique(np.asarray(labels, object)[known].astype(str), return_inverse=True)[1]
    codes = codes[known]
    shares: list[float | None] = []
    for depth in range(codes.shape[1] + 1):
        group = group_rows(codes[:, :depth])[0]
        together = _num_pairs(group_rows(np.column_stack([group, label]))[1])
        pairs = _num_pairs(np.bincount(group))
        shares.append(together / pairs if pairs else None)
    return shares


def describe_judgement(reports: dict[str, dict]) -> str:
    """The reports as text, one column for each of the identifiers."""
    rows: dict[str, list[str]] = {}
    for place, report in enumerate(reports.values()):
        for name, cell in _rows(report):
            rows.setdefault(name, [""] * len(reports))[place] = cell
    width = max(len(name) for name in rows) + 2
    columns = [
        max(len(cell) for cell in (head, *(row[c] for row in rows.values()))) + 2 for c, head in enumerate(reports)
    ]
    lines = ["".join([" " * width, *(head.rjust(w) for head, w in zip(reports, columns, strict=True))])]
    lines += [
        "".join([name.ljust(width), *(c.rjust(w) for c, w in zip(cells, columns, strict=True))])
        for name, cells in rows.items()
    ]
    lines += [f"Warning: {name}: {sentence}" for name, report in reports.items() for sentence in report["warnings"]]
    return "\n".join(lines)


def _num_pairs(counts: np.ndarray) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _names(given: Sequence[str | Path | IdentifierTable]) -> list[str]:
    """A short name for each, its whole path where short ones are alike."""
    short = [
        f"table {n + 1}" if isinstance(one, IdentifierTable) else Path(one).resolve().name
        for n, one in enumerate(given)
    ]
    names = [s if short.count(s) == 1 else str(one) for s, one in zip(short, given, strict=True)]
    if len(set(names)) < len(names):
        raise DataError("the same identifiers are given twice; name each once")
    return names


def _views(given: str | Path | IdentifierTable, data: Dataset) -> dict[str, np.ndarray]:
    """The codes (N, L) of each view; one view where both tasks have one identifier."""
    if isinstance(given, IdentifierTable):
        table = given
    elif (path := Path(given)).is_dir():
        folder = path / "identifiers" if (path / "identifiers").is_dir() else path
        table = IdentifierTable.load(folder, data.items["item_id"].tolist())
    else:
        return read_codes(path, data).views
    table.check_items(data.items["item_id"].tolist())
    return {"semantic": table.codes["semantic"]} if table.views_agree else dict(table.codes)


def _judge(views: dict[str, np.ndarray], data: Dataset, labels: dict[str, list[str]], signals: Signals | None) -> dict:
    report: dict = {"num_items": data.num_items, "views": {}, "reconstruction": {}, "warnings": []}
    for view, codes in views.items():
        name = view if len(views) > 1 else "both tasks"
        levels = [codebook_use(column, int(column.max()) + 1) for column in codes.T]
        groups = [group_rows(codes[:, : d + 1])[1] for d in range(codes.shape[1])]
        report["views"][name] = {
            "levels": levels,
            "collision_rate": collision_rate(codes),
            "items_sharing": num_sharing(codes),
            "largest_group": int(groups[-1].max()),
            "num_prefixes": [len(group) for group in groups],
            "purity": {kind: prefix_purity(codes, each) for kind, each in labels.items()},
            "pairs_alike": {kind: pair_agreement(codes, each) for kind, each in labels.items() if any(each)},
        }
        if num_sharing(codes):
            report["warnings"].append(
                f"{num_sharing(codes)} of {len(codes)} items share their identifier ({name}); nothing tells them apart until it is made unique."
            )
        for depth, use in enumerate(levels):
            if use["use"] < 0.5:
                report["warnings"].append(
                    f"Level {depth + 1} ({name}) uses {use['use']:.0%} of its {use['size']} codes."
                )
    if signals is not None:
        report["reconstruction"] = _losses(views, signals)
    return report


def _losses(views: dict[str, np.ndarray], signals: Signals) -> dict[str, dict[str, float]]:
    """For each view and signal, the share of the signal's variance that the best vectors for its codes lose (0 nothing, 1 all)."""
    lost: dict[str, dict[str, float]] = {}
    for view, codes in views.items():
        for name in VIEWS:
            table = np.asarray(getattr(signals, name), np.float32)
            latents = encode_signals(fit_scaling(name, table), [name], {name: table})
            spans = [(0, latents.shape[1])] * codes.shape[1]
            rest = fit_code_vectors(latents, spans, (codes.max(0) + 1).tolist(), codes)[1]
            lost.setdefault(view if len(views) > 1 else "both tasks", {})[name] = float(np.square(rest).mean())
    return lost


def _rows(report: dict) -> list[tuple[str, str]]:
    rows = [("items", f"{report['num_items']:,}")]
    for view, numbers in report["views"].items():
        per_level = numbers["levels"]
        rows += [
            (f"{view}: codes a level", " ".join(str(x["size"]) for x in per_level)),
            (f"{view}: in use", " ".join(f"{x['use']:.0%}" for x in per_level)),
            (f"{view}: perplexity", " ".join(f"{x['perplexity']:.0f}" for x in per_level)),
            (f"{view}: prefixes by depth", " ".join(f"{n}" for n in numbers["num_prefixes"])),
            (
                f"{view}: items that share one",
                f"{numbers['items_sharing']:,} ({numbers['items_sharing'] / report['num_items']:.1%})",
            ),
            (f"{view}: most items on one", f"{numbers['largest_group']}"),
        ]
        for kind, shares in numbers["pairs_alike"].items():
            rows.append((f"{view}: purity, {kind}", " ".join(f"{x:.2f}" for x in numbers["purity"][kind])))
            told = ["-" if x is None else f"{x:.2f}" for x in shares]
            rows.append((f"{view}: pairs alike, {kind} (of all, by depth)", f"{told[0]}, {' '.join(told[1:])}"))
        for signal, lost in report["reconstruction"].get(view, {}).items():
            rows.append((f"{view}: {signal} signal lost", f"{lost:.0%}"))
    return rows
