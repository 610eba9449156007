"""From three clean tables to a data set: held-out cases, candidate lists, fingerprint.

Every origin (simulated store, people's tables, public formats) ends here, so that splits and
candidates are drawn in one place and in one way.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gensar_lite.data.candidates import draw_bm25, draw_untouched
from gensar_lite.data.dataset import (
    INTERACTION_COLUMNS,
    ITEM_COLUMNS,
    PROTOCOLS,
    SEARCH_COLUMNS,
    Dataset,
    fingerprint,
    texts_of,
)
from gensar_lite.data.events import DAY, FACE_SECONDS, EventLog, merge_events, units_per_second
from gensar_lite.data.languages import find_language, get_language
from gensar_lite.data.lexical import LexicalIndex
from gensar_lite.data.splits import SPLITS, TASKS, hold_out, moments
from gensar_lite.data.storage import DataError

QUERY_PROTOCOLS = ("simulated", "known-item", "category-path", "log", "none")
TIMESTAMPS = ("clock", "steps")


def build_dataset(
    items: pd.DataFrame,
    interactions: pd.DataFrame,
    searches: pd.DataFrame,
    *,
    name: str,
    origin: str,
    query_protocol: str,
    data_seed: int,
    timestamps: str,
    case_users: int | None = None,
    holdout: str = "leave-one-out",
    judgements: pd.DataFrame | None = None,
    search_fill: str = "near",
    extras: dict | None = None,
    language: str | None = None,
) -> Dataset:
    """Hold out the cases, draw their candidates and seal the data set with its fingerprint.

    The tables are clean: text columns are str, `timestamp` is int64, item ids are unique, every
    `item_id` of a click is in `items`; `searches.item_id` is null where nothing was clicked.
    A column `session_id` of `interactions` says which clicks were made in one shown list. In a search log with a clock, a
    search and a click of one user on one item up to `FACE_SECONDS` apart are one event.
    `case_users` asks the cases of that many randomly chosen users only; `holdout` is that of `splits.hold_out`,
    `search_fill` that of `candidates.draw_bm25`. `extras` joins `info` (`search_share`, for instance).
    `language` is found from the texts where it is not said (`find_language`).

    `judgements` (query_id, query, item_id, relevant; `split`, where queries are assigned already) make a data set of search
    alone: there are no users and no times, each query is a decision of its own whose right answers are all relevant,
    and whole queries are held out. `info["anonymous"]` says so.

    Raises `DataError` for a catalogue of fewer than two items, where there is nothing to rank, and for judgements
    beside a log.
    """
    _check(query_protocol, timestamps)
    if len(items) < 2:
        raise DataError(
            f"The data set {name!r} has {len(items)} item(s); ranking needs at least two, add items to the catalogue"
        )
    assigned, counts = None, dict[str, int]()
    if judgements is not None:
        searches, assigned, counts = _judged_searches(judgements, len(interactions) + len(searches))
        holdout = "queries"
    items = items[list(ITEM_COLUMNS)].reset_index(drop=True)
    columns = [*INTERACTION_COLUMNS, *(c for c in ("session_id",) if c in interactions)]
    interactions = interactions[columns].reset_index(drop=True)
    searches = searches[list(SEARCH_COLUMNS)].reset_index(drop=True)
    reach = _reach(interactions, searches) if query_protocol == "log" and timestamps == "clock" else (0, 0)
    log, faces = merge_events(items, interactions, searches, *reach)
    cases, train_mask = hold_out(log, case_users, data_seed, holdout, assigned)
    language = get_language(language).name if language else find_language(texts_of(items))
    candidates, fill_shares = draw_candidates(items, log, cases, train_mask, data_seed, search_fill, language)
    info = {
        "name": name,
        "origin": origin,
        "counts": {
            "items": len(items),
            "users": 0 if judgements is not None else log.num_users,
            "interactions": len(interactions),
            "searches": len(searches),
            **counts,
        },
        "query_protocol": query_protocol,
        "search_share": None,
        "data_seed": data_seed,
        "timestamps": timestamps,
        "holdout": holdout,
        "case_users": case_users,
        "language": language,
        "log_hash": log.hash(),
        "faces": faces,
        "candidates": {"search_fill": search_fill, **fill_shares},
        **(extras or {}),
    }
    info |= {"anonymous": True} if judgements is not None else {}
    info |= {"moments": dict(zip(SPLITS, moments(log), strict=True))} if holdout == "time" else {}
    data = Dataset(items, interactions, searches, candidates, info, log, train_mask)
    info["notes"] = notes_of(data)
    info["fingerprint"] = fingerprint(data)
    return data


def _check(query_protocol: str, timestamps: str) -> None:
    for what, said, known in (
        ("query_protocol", query_protocol, QUERY_PROTOCOLS),
        ("timestamps", timestamps, TIMESTAMPS),
    ):
        if said not in known:
            raise ValueError(f"{what} must be one of {known}, not {said!r}")


def _reach(interactions: pd.DataFrame, searches: pd.DataFrame) -> tuple[int, int]:
    """How far apart two faces of one event may be, and a day, in the unit of the timestamps."""
    unit = units_per_second(np.concatenate([interactions["timestamp"], searches["timestamp"]]))
    return FACE_SECONDS * unit, DAY * unit


def _judged_searches(
    judgements: pd.DataFrame, num_events: int
) -> tuple[pd.DataFrame, np.ndarray | None, dict[str, int]]:
    """Judged queries as searches, one "user" for each query with a right answer; the split of each, and counts."""
    if num_events:
        raise DataError(
            "Judgements beside a log cannot be held out together; import the judged queries as a data set of their own"
        )
    asked = judgements["query_id"].astype(str) if "query_id" in judgements else judgements["query"]
    right = judgements["relevant"].to_numpy(bool)
    counts = {
        "judgements": len(judgements),
        "queries": int(asked.nunique()),
        "queries_without_answer": int(asked.nunique() - asked[right].nunique()),
    }
    if not right.any():
        raise DataError(
            "No judged pair is a right answer, so there is nothing to learn or to ask; say which grades are"
        )
    table = judgements[right].assign(user_id=asked[right], session_id=asked[right], timestamp=0)
    table["query"] = table.groupby("user_id", sort=False)["query"].transform("first")
    assigned = None
    if "split" in table:
        first = table.groupby("user_id")["split"].first()  # sorted by id, as the users of the log are
        assigned = np.where(first.isin(SPLITS), first, "train").astype(object)
    return table[list(SEARCH_COLUMNS)].astype({"timestamp": np.int64}), assigned, counts


def notes_of(data: Dataset) -> list[str]:
    """What a reader of the data set must know and would not guess, in sentences."""
    info, notes = data.info, []
    faces, shares = info["faces"], info["candidates"]
    if faces["near"]:
        notes.append(
            f"{faces['near']:,} searches were joined with a click of the same user on the same item up to {FACE_SECONDS} s apart: one event with two faces"
        )
    if faces["left"]:
        notes.append(
            f"{faces['left']:,} clicked searches have a click of the same user on the same item within a day, but more than {FACE_SECONDS} s apart; they count as two events, and one may stand in the history of the other"
        )
    sizes = data.candidates["items"].map(len)
    if (sizes > 1).any():
        what = "have several right answers" if info.get("anonymous") else "are sessions with several clicked items"
        notes.append(f"{int((sizes > 1).sum()):,} of {len(sizes):,} cases {what}; all of them are relevant")
    if missing := info["counts"].get("queries_without_answer"):
        notes.append(f"{missing:,} judged queries have no right answer and are left out")
    for task in TASKS:
        if not (data.candidates["task"] == task).any():
            notes.append(f"there is no case of {task}, so nothing is measured there")
    if shares["hits"] < 1 and (data.candidates["task"] == "search").any():
        notes.append(
            f"search candidates (bm25_99): {shares['hits']:.0%} are BM25 hits of the query, {shares['near']:.0%} the items nearest to these hits by text, {shares['random']:.0%} random"
        )
    return notes


def draw_candidates(
    items: pd.DataFrame,
    log: EventLog,
    cases: pd.DataFrame,
    train_mask: np.ndarray,
    data_seed: int,
    search_fill: str = "near",
    language: str = "english",
) -> tuple[pd.DataFrame, dict[str, float]]:
    """The candidate table: the held-out cases, one list of item numbers per protocol of their task, else null.

    Also returns the shares of the search lists that are hits, near them and random (see `draw_bm25`).
    """
    # one stream of random numbers per protocol: a change in one never moves another
    streams = dict(zip(("uniform99", "popular99", "bm25_99"), np.random.default_rng(data_seed).spawn(3), strict=True))
    sizes = cases["items"].map(len).to_numpy(np.int64)
    table = cases.assign(user_id=log.user_ids.take(cases["user"].to_numpy(np.int64)))
    table = table[["case_id", "split", "task", "user", "user_id", "query", "start", "stop", "items"]]
    table["items"] = pd.Series([np.asarray(i, np.int32) for i in table["items"]], dtype=object)
    clicked = train_mask & (log.item >= 0)
    weights = {
        "uniform99": np.ones(len(items)),
        "popular99": np.bincount(log.item[clicked], minlength=len(items)),
    }
    shares = {"hits": 1.0, "near": 0.0, "random": 0.0}
    for task, protocols in PROTOCOLS.items():
        rows = np.flatnonzero(cases["task"] == task)
        ptr = np.concatenate([[0], np.cumsum(sizes[rows])])
        targets = np.concatenate([np.zeros(0, np.int64), *table["items"].iloc[rows]]).astype(np.int64)
        for protocol in protocols:
            if task == "recommendation":
                users = cases["user"].to_numpy(np.int64)[rows]
                drawn = draw_untouched(log, users, ptr, targets, weights[protocol], streams[protocol])
            elif len(rows):
                index = LexicalIndex(texts_of(items), language)
                queries = cases["query"].iloc[rows].to_list()
                drawn, shares = draw_bm25(index, queries, ptr, targets, streams[protocol], search_fill)
            else:
                drawn = np.zeros((0, 0), np.int64)
            column = np.full(len(cases), None, dtype=object)
            for row, numbers in zip(rows, drawn.astype(np.int32), strict=True):
                column[row] = numbers
            table[protocol] = pd.Series(column, dtype=object)
    return table, shares
