"""Which items the true ones are ranked against, and the ranks that come out.

Explained in notebook 07. Sampled protocols rank the true items of a case, one or more, among themselves and the 99 items
of the data set's own lists, so that all models and seeds meet the same ones; `full` ranks them in the whole catalogue, where
items of the user's own history stay in place (people buy again, and a ranker that should leave them
out can score them low itself). `adhoc_` asks a search without its user's history.

Sampled and full metrics may order models differently: Krichene & Rendle, "On Sampled Metrics for Item
Recommendation", KDD 2020. So both are always reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import pandas as pd
from tqdm import tqdm

from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.storage import DataError

ADHOC = "adhoc_"
EVALUATION_PROTOCOLS = {
    "recommendation": ("uniform99", "popular99", "full"),
    "search": ("bm25_99", "full", "adhoc_bm25_99", "adhoc_full"),
}
PRIMARY = {"recommendation": ("uniform99", "NDCG@10"), "search": ("bm25_99", "NDCG@10")}
SCORES_AT_ONCE = 2**24  # 64 MiB of float32 scores in memory at a time
CASES_AT_ONCE = 512


class Ranker(Protocol):
    """Anything that scores items for cases; higher is better.

    A ranker may also offer `full_rank(cases) -> (better (C,), ties (C,))`, the place in the whole catalogue of the
    one true item that each of the cases then has, and `top_items(cases, k) -> (C, k)` item numbers, where it has a faster exact way than scoring
    every item.
    """

    @property
    def name(self) -> str: ...

    @property
    def tasks(self) -> tuple[str, ...]: ...

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        """Scores (C, n) of the item numbers `candidates` (C, n), or (C, N) of the whole catalogue when None."""
        ...


def evaluate_ranker(
    ranker: Ranker,
    data: Dataset,
    split: str = "test",
    tasks: Iterable[str] | None = None,
    protocols: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Rank the true items of every held-out case, for each task that the ranker serves.

    `tasks` and `protocols` narrow the work down (default: all). Returns one row per true item and protocol
    with task, protocol, split, case_id, user_id, item_id, `rank` (expected under a random order of ties:
    1 + better + ties / 2) and `ties` (other items with the target's score); `add_metrics` turns them into
    the expected metrics. Raises `DataError` where a ranker gives NaN or an array of the wrong shape.
    """
    wanted = None if protocols is None else set(protocols)
    known = {p for names in EVALUATION_PROTOCOLS.values() for p in names}
    if wanted is not None and not wanted <= known:
        raise ValueError(f"unknown protocols {sorted(wanted - known)}; known are {sorted(known)}")
    served = [t for t in EVALUATION_PROTOCOLS if t in ranker.tasks and (tasks is None or t in set(tasks))]
    parts = []
    for task in served:
        cases = data.cases(task, split)
        for protocol in EVALUATION_PROTOCOLS[task]:
            if wanted is None or protocol in wanted:
                better, ties = rank_cases(ranker, cases, protocol, data.num_items)
                parts.append(_rows(data, cases, protocol, split, better, ties))
    if not parts:
        return _rows(data, data.cases("search", split).take(slice(0, 0)), "", split, np.zeros(0), np.zeros(0))
    return pd.concat(parts, ignore_index=True)


def _rows(data: Dataset, cases: Cases, protocol: str, split: str, better: np.ndarray, ties: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": cases.task,
            "protocol": protocol,
            "split": split,
            "case_id": cases.case_id[cases.owner],
            "user_id": data.log.user_ids.take(cases.user)[cases.owner],
            "item_id": data.items["item_id"].to_numpy(dtype=object)[cases.relevant],
            "rank": 1 + better + ties / 2,
            "ties": ties.astype(np.int64),
        }
    )


def rank_cases(ranker: Ranker, cases: Cases, protocol: str, num_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (R,) of the items better than each true item and tied with it, in one protocol; other true ones count, too."""
    if protocol.removeprefix(ADHOC) == "full" and hasattr(ranker, "full_rank"):
        asked = cases.one_each()
        better, ties = ranker.full_rank(asked.without_history() if protocol.startswith(ADHOC) else asked)
        return np.asarray(better, np.int64), np.asarray(ties, np.int64)
    better, ties = np.zeros(len(cases.relevant), np.int64), np.zeros(len(cases.relevant), np.int64)
    for rows, items, scores in score_in_chunks(ranker, cases, protocol, num_items):
        place = places_of(cases, rows)
        better[place], ties[place] = count_places(scores, items, cases.relevant[place])
    return better, ties


def places_of(cases: Cases, rows: np.ndarray) -> np.ndarray:
    """(n, M) where the M true items of the cases in `rows`, as `score_in_chunks` gives them, stand in `cases.relevant`."""
    size = int(cases.ptr[rows[0] + 1] - cases.ptr[rows[0]])
    return cases.ptr[rows][:, None] + np.arange(size)


def count_places(scores: np.ndarray, items: np.ndarray | None, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts (n, M) of the items better than each of the M true ones and tied with it, in `score_in_chunks`' scores."""
    target = np.take_along_axis(scores, relevant, axis=1) if items is None else scores[:, : relevant.shape[1]]
    better = np.stack([(scores > target[:, [m]]).sum(axis=1) for m in range(target.shape[1])], axis=1)
    ties = np.stack([(scores == target[:, [m]]).sum(axis=1) - 1 for m in range(target.shape[1])], axis=1)
    return better, ties


def score_in_chunks(
    ranker: Ranker, cases: Cases, protocol: str, num_items: int
) -> Iterator[tuple[np.ndarray, np.ndarray | None, np.ndarray]]:
    """Yield the rows of a chunk of cases, its items (the true ones first; None: the whole catalogue) and their scores.

    The cases of a chunk have the same number of true items. Chunks bound the memory of the scores
    (`SCORES_AT_ONCE`). Raises `DataError` on NaN and on a wrong shape.
    """
    if protocol.startswith(ADHOC):
        cases = cases.without_history()
    base = protocol.removeprefix(ADHOC)
    lists = None if base == "full" else cases.candidates[base]
    if lists is not None:
        found = (lists[cases.owner] == cases.relevant[:, None]).any(axis=1)
        if found.any():
            case = cases.case_id[cases.owner[np.flatnonzero(found)[0]]]
            raise DataError(
                f"case {case} has its own target among the candidates of {base}; import or simulate the data set again"
            )
    sizes = np.diff(cases.ptr)
    for size in np.unique(sizes).tolist():
        same = np.flatnonzero(sizes == size)
        width = num_items if lists is None else size + lists.shape[1]
        for part in _chunks(len(same), width, f"{ranker.name}: {cases.task}, {protocol}"):
            rows = same[part]
            items = None if lists is None else np.hstack([cases.relevant[places_of(cases, rows)], lists[rows]])
            yield rows, items, _checked(ranker, cases.take(rows), items, width)


def _chunks(num_cases: int, width: int, label: str) -> Iterable[slice]:
    size = int(np.clip(SCORES_AT_ONCE // max(width, 1), 1, CASES_AT_ONCE))
    slices = [slice(start, min(start + size, num_cases)) for start in range(0, num_cases, size)]
    return tqdm(slices, desc=label, disable=None, leave=False)


def _checked(ranker: Ranker, cases: Cases, candidates: np.ndarray | None, width: int) -> np.ndarray:
    scores = np.asarray(ranker.score(cases, candidates))
    if scores.shape != (len(cases), width):
        raise DataError(
            f"{ranker.name} gave {cases.task} scores of shape {scores.shape} where {(len(cases), width)} was asked for"
        )
    bad = np.isnan(scores).any(axis=1)
    if bad.any():
        first = ", ".join(str(c) for c in cases.case_id[bad][:3])
        raise DataError(
            f"{ranker.name} gave scores that are not a number (NaN) in {bad.sum()} of {len(cases)} {cases.task} cases (first case_id: {first}); a NaN has no rank, so look for a division by zero or a diverged training"
        )
    return scores


def top_items(ranker: Ranker, cases: Cases, num_items: int, k: int = 10, seed: int = 0) -> np.ndarray:
    """The k best items (C, min(k, N)) of the whole catalogue, in no particular order, ties drawn at random by `seed`."""
    k = min(k, num_items)
    if hasattr(ranker, "top_items"):
        return np.asarray(ranker.top_items(cases, k))
    random = np.random.default_rng(seed)
    found = np.zeros((len(cases), k), np.int64)
    for rows, _, scores in score_in_chunks(ranker, cases, "full", num_items):
        last = np.partition(scores, num_items - k, axis=1)[:, [num_items - k]]
        draw = np.where(scores > last, 2, np.where(scores == last, random.random(scores.shape, np.float32), -1))
        found[rows] = np.argpartition(draw, num_items - k, axis=1)[:, num_items - k :]
    return found


def list_quality(
    ranker: Ranker,
    data: Dataset,
    task: str,
    split: str = "test",
    k: int = 10,
    seed: int = 0,
    num_cases: int | None = None,
) -> dict[str, float]:
    """What the top-k lists of a ranker look like, apart from being right.

    `coverage`: share of the catalogue that is in somebody's list. `popularity_bias`: mean popularity
    percentile of the listed items (0 to 1, equal counts share their mean; .5 is what a uniform draw gets).
    `novelty`: mean self-information -log2(share of all training clicks) in bits, with one click added to
    every item (Zhou et al., PNAS 2010, without the logarithm's bounds at zero clicks). `repeats`: share of the listed items
    that the user had clicked before. `num_cases` of the cases are looked at, drawn once for all (default: all).
    """
    if task not in ranker.tasks:
        raise ValueError(f"{ranker.name} does not serve {task}")
    cases = data.cases(task, split)
    if num_cases is not None:
        cases = cases.take(np.sort(np.random.default_rng(seed).permutation(len(cases))[:num_cases]))
    listed = top_items(ranker, cases, data.num_items, k, seed)
    there = listed >= 0
    again = _clicked_before(data, cases, listed)[there]
    listed = listed[there]
    if not listed.size:
        return {"coverage": 0.0} | dict.fromkeys(("popularity_bias", "novelty", "repeats"), float("nan"))
    from scipy.stats import rankdata

    popularity = data.popularity
    percentile = (rankdata(popularity) - 0.5) / data.num_items
    share = (popularity + 1) / (popularity.sum() + data.num_items)
    return {
        "coverage": float(len(np.unique(listed)) / data.num_items),
        "popularity_bias": float(percentile[listed].mean()),
        "novelty": float(-np.log2(share[listed]).mean()),
        "repeats": float(again.mean()),
    }


def _clicked_before(data: Dataset, cases: Cases, listed: np.ndarray) -> np.ndarray:
    """(C, k) whether each listed item is in the history of its case."""
    size = cases.stop - cases.start
    case = np.repeat(np.arange(len(cases)), size)
    event = np.arange(len(case)) + np.repeat(cases.stop - np.cumsum(size), size)
    clicked = case * (data.num_items + 1) + data.log.item[event]  # an event without a click is item -1
    asked = np.arange(len(cases))[:, None] * (data.num_items + 1) + listed
    return np.isin(asked, clicked[data.log.item[event] >= 0])
