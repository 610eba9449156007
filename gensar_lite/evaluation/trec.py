"""Runs and judgements in TREC format, for trec_eval, ir_measures, ranx and whoever wants to check the numbers.

Explained in notebook 07. A run line is `case Q0 item rank score model`, a judgement `case 0 item 1`, one for each true
item. The ranks of tied items are drawn at random, with the same seed each time. Tools of this format know no expected
value under ties: those that sort by score break them by a rule of their own (trec_eval by item id), so their numbers differ
from ours exactly as far as scores are tied.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.storage import DataError, new_folder
from gensar_lite.evaluation.protocols import EVALUATION_PROTOCOLS, Ranker, score_in_chunks


def export_trec(
    folder: str | Path,
    rankers: Iterable[Ranker],
    data: Dataset,
    split: str = "test",
    protocols: Iterable[str] | None = None,
    depth: int = 100,
) -> list[str]:
    """Write a folder of runs and judgements, and return the names of its files.

    `TASK.qrels` holds the judgements, `TASK.topics.tsv` what was asked (case, user, query), and
    `MODEL.TASK.PROTOCOL.run` the `depth` best items of every case; measures that look deeper, such as MRR
    in the whole catalogue, then count the rest as not found. Cases are named by their case_id. Characters of item ids that would break a line (white space) are
    percent-encoded, in runs and judgements alike. Items scored -inf were not retrieved and are left out.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    wanted = None if protocols is None else set(protocols)
    names = np.array(
        [
            quote(i, safe="/:;,.~!@#$&*()=+'?|<>{}[]^`\\\"-_") if any(c.isspace() for c in i) or "%" in i else i
            for i in data.items["item_id"]
        ],
        dtype=object,
    )
    rankers = list(rankers)
    files = [_run_name(r.name, t, p) for r in rankers for t, p in _served(r, wanted)]
    if len(set(files)) < len(files):
        raise DataError(
            "two rankers have the same name, so their runs would overwrite each other; give each a name of its own"
        )
    with new_folder(folder, "TREC export") as temporary:
        for task in EVALUATION_PROTOCOLS:
            if any(task in r.tasks for r in rankers):
                files += _write_judgements(temporary, data, data.cases(task, split), names)
        for ranker in rankers:
            for task, protocol in _served(ranker, wanted):
                path = temporary / _run_name(ranker.name, task, protocol)
                _write_run(path, ranker, data.cases(task, split), protocol, names, depth)
    return sorted(files)


def _served(ranker: Ranker, wanted: set[str] | None) -> list[tuple[str, str]]:
    return [
        (t, p)
        for t, ps in EVALUATION_PROTOCOLS.items()
        if t in ranker.tasks
        for p in ps
        if wanted is None or p in wanted
    ]


def _run_name(model: str, task: str, protocol: str) -> str:
    return f"{quote(model, safe='')}.{task}.{protocol}.run"


def _write_judgements(folder: Path, data: Dataset, cases: Cases, names: np.ndarray) -> list[str]:
    judged = pd.DataFrame({"case": cases.case_id[cases.owner], "zero": 0, "item": names[cases.relevant], "gain": 1})
    judged.to_csv(folder / f"{cases.task}.qrels", sep=" ", header=False, index=False, quoting=3, escapechar="\\")
    users = data.log.user_ids.take(cases.user)
    topics = pd.DataFrame({"case": cases.case_id, "user": users, "query": cases.query or ""})
    topics.to_csv(folder / f"{cases.task}.topics.tsv", sep="\t", index=False)
    return [f"{cases.task}.qrels", f"{cases.task}.topics.tsv"]


def _write_run(path: Path, ranker: Ranker, cases: Cases, protocol: str, names: np.ndarray, depth: int) -> None:
    random = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for rows, items, scores in score_in_chunks(ranker, cases, protocol, len(names)):
            keep = min(depth, scores.shape[1])
            # the true items stand first in a list: without the draw a tie would be theirs
            order = np.lexsort((random.random(scores.shape), -scores), axis=1)[:, :keep]
            top = np.take_along_axis(scores, order, axis=1)
            listed = order if items is None else np.take_along_axis(items, order, axis=1)
            retrieved = top > -np.inf
            case, rank = np.repeat(cases.case_id[rows], keep), np.tile(np.arange(1, keep + 1), len(top))
            table = pd.DataFrame(
                {
                    "case": case,
                    "q0": "Q0",
                    "item": names[listed].ravel(),
                    "rank": rank,
                    "score": top.ravel(),
                    "tag": quote(ranker.name, safe=""),
                }
            )
            table[retrieved.ravel()].to_csv(
                out, sep=" ", header=False, index=False, float_format="%.9g", quoting=3, escapechar="\\"
            )
