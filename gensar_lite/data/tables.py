"""Import people's own tables: items, interactions and, where there are any, searches.

Explained in notebook 01. CSV or Parquet; the columns are those of the data set folder (DESIGN,
"Files on disk"). Everything that is repaired or dropped is told in the `ImportReport`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gensar_lite.data.build import build_dataset
from gensar_lite.data.cleaning import ImportReport, clean_items, clean_text, drop_rows, name_rows
from gensar_lite.data.dataset import INTERACTION_COLUMNS, ITEM_COLUMNS, SEARCH_COLUMNS, Dataset
from gensar_lite.data.files import count_steps, parse_timestamps, read_table
from gensar_lite.data.queries import PROTOCOLS, synthesise_searches
from gensar_lite.data.storage import DataError

MIN_EVENTS = 3  # a test case has two events before it


def import_tables(
    items_path: str | Path,
    interactions_path: str | Path,
    searches_path: str | Path | None = None,
    *,
    queries: str | None = None,
    search_share: float = 0.5,
    data_seed: int = 0,
    name: str | None = None,
    timestamps: str = "auto",
    case_users: int | None = None,
) -> tuple[Dataset, ImportReport]:
    """Read, clean and join the tables into a data set.

    `queries` ("known-item" or "category-path"; "known-item" when left out) makes searches where no
    search log is given. `timestamps` says whether they are a "clock" or "steps" (places in each
    user's history); "auto" finds out. `case_users` asks the held-out cases of that many users only.

    Raises `DataError` where a file cannot be used: one sentence with file, column and first rows.
    """
    if timestamps not in ("auto", "clock", "steps"):
        raise ValueError(f"timestamps must be 'auto', 'clock' or 'steps', not {timestamps!r}")
    if searches_path is not None and queries is not None:
        raise DataError(
            f"Both a search log ({searches_path}) and the query protocol {queries!r} were given; choose one of them"
        )
    if queries is not None and queries not in PROTOCOLS:
        raise DataError(f"The query protocol {queries!r} is unknown; choose one of {', '.join(PROTOCOLS)}")
    report = ImportReport()
    raw_items = read_table(items_path, ("item_id", "title"), ITEM_COLUMNS[2:], report.sentences)
    items = clean_items(raw_items, Path(items_path).name, report)
    raw = read_table(interactions_path, INTERACTION_COLUMNS, (), report.sentences)
    interactions = clean_interactions(raw, items, str(interactions_path), report)
    searches = None
    if searches_path is not None:
        raw = read_table(searches_path, ("user_id", "query", "timestamp"), ("session_id", "item_id"), report.sentences)
        searches = clean_searches(raw, items, str(searches_path), report)
    return finish_import(
        items,
        interactions,
        searches,
        report,
        queries=queries or "known-item",
        search_share=search_share,
        data_seed=data_seed,
        name=name or Path(items_path).absolute().parent.name,
        origin=f"tables: {', '.join(Path(p).name for p in (items_path, interactions_path, searches_path) if p is not None)}",
        timestamps=timestamps,
        case_users=case_users,
    )


def read_items(path: str | Path, report: ImportReport) -> pd.DataFrame:
    """The items of one file (CSV or Parquet), cleaned as in an import; raises `DataError` where there is none."""
    raw = read_table(path, ("item_id", "title"), ITEM_COLUMNS[2:], report.sentences)
    return clean_items(raw, Path(path).name, report, least=1)


def finish_import(
    items: pd.DataFrame,
    interactions: pd.DataFrame,
    searches: pd.DataFrame | None,
    report: ImportReport,
    *,
    queries: str,
    search_share: float,
    data_seed: int,
    name: str,
    origin: str,
    timestamps: str,
    case_users: int | None,
) -> tuple[Dataset, ImportReport]:
    """Clean tables of any origin to a data set: kind of timestamps, synthesised searches, cases and candidates."""
    events = pd.concat(
        [interactions[["user_id", "timestamp"]], *([] if searches is None else [searches[["user_id", "timestamp"]]])]
    )
    if timestamps == "auto":
        timestamps = "steps" if count_steps(events["user_id"].to_numpy(), events["timestamp"].to_numpy()) else "clock"
    per_user = interactions.groupby("user_id").size() if searches is None else events.groupby("user_id").size()
    few = int((per_user < MIN_EVENTS).sum())
    report.say(
        "users_with_few_events",
        few,
        f"{few} of {len(per_user)} users have fewer than {MIN_EVENTS} events; they serve training alone",
    )
    if few == len(per_user):
        raise DataError(
            f"{origin}: no user has {MIN_EVENTS} or more events, so nothing can be held out for testing; give longer histories"
        )
    extras: dict = {}
    if searches is None:
        searches, fallen_back = synthesise_searches(items, interactions, queries, search_share, data_seed)
        report.counts["synthesised_searches"] = len(searches)
        report.say(
            "query_fallbacks",
            fallen_back,
            f"{fallen_back} queries fell back on another rule, their items had no usable {'category' if queries == 'category-path' else 'word'}",
        )
        extras["search_share"] = search_share
    else:
        queries = "log"
    data = build_dataset(
        items,
        interactions,
        searches,
        name=name,
        origin=origin,
        query_protocol=queries,
        data_seed=data_seed,
        timestamps=timestamps,
        case_users=case_users,
        extras={**extras, "import_notes": list(report.sentences)},
    )
    report.counts |= {
        "users": len(per_user),
        "interactions": len(interactions),
        "searches": len(searches),
        "cases": len(data.candidates),
    }
    if not len(data.candidates):
        raise DataError(f"{origin}: no event can be held out for testing; give longer histories")
    return data, report


def _clean_times(frame: pd.DataFrame, file: str, report: ImportReport) -> pd.DataFrame:
    """int64 timestamps; unreadable ones are dropped, or refused where they are more than half."""
    values, bad = parse_timestamps(frame["timestamp"])
    if bad.mean() > 0.5:
        first = np.flatnonzero(bad)[:3]
        shown = ", ".join(repr(v) for v in frame["timestamp"].iloc[first])
        raise DataError(
            f"{file}, column 'timestamp': {bad.sum()} of {len(frame)} values cannot be read (rows {name_rows(frame.index[bad].to_numpy())}: {shown});"
            " use whole numbers, Unix time or ISO dates such as 2023-05-22T15:53:20"
        )
    frame = frame.assign(timestamp=values)
    return drop_rows(frame, bad, "unreadable_timestamps", Path(file).name, "have an unreadable timestamp", report)


def clean_interactions(raw: pd.DataFrame, items: pd.DataFrame, path: str, report: ImportReport) -> pd.DataFrame:
    """Interactions of known items with a user and a time, ordered by user and time, exact copies dropped."""
    file = Path(path).name
    frame = raw.assign(user_id=raw["user_id"].str.strip(), item_id=raw["item_id"].str.strip())
    blank = ((frame["user_id"] == "") | (frame["item_id"] == "")).to_numpy()
    frame = drop_rows(frame, blank, "interactions_without_id", file, "lack a user_id or item_id", report)
    unknown = ~frame["item_id"].isin(items["item_id"]).to_numpy()
    some = ", ".join(map(repr, frame["item_id"][unknown].unique()[:3]))
    if len(frame) and unknown.all():
        raise DataError(
            f"{path}, column 'item_id': none of the {len(frame)} rows names an item of the catalogue ({some}); both files must use the same ids"
        )
    frame = drop_rows(
        frame, unknown, "unknown_items", file, f"name items that are not in the catalogue ({some})", report
    )
    if not len(frame):
        raise DataError(f"{path} has no row with both a user_id and an item_id; fill these columns")
    frame = _clean_times(frame, path, report)
    copy = frame.duplicated().to_numpy()
    frame = drop_rows(
        frame,
        copy,
        "duplicate_interactions",
        file,
        "are exact copies of another row (same user, item and time)",
        report,
    )
    return _in_order(frame, file, report)[list(INTERACTION_COLUMNS)]


def clean_searches(raw: pd.DataFrame, items: pd.DataFrame, path: str, report: ImportReport) -> pd.DataFrame:
    """Searches with a user, a query and a time; a click on an item outside the catalogue becomes no click."""
    file = Path(path).name
    query = pd.Series([clean_text(q)[0] for q in raw["query"]], index=raw.index, dtype=object)
    frame = raw.assign(user_id=raw["user_id"].str.strip(), item_id=raw["item_id"].str.strip(), query=query)
    blank = ((frame["user_id"] == "") | (frame["query"] == "")).to_numpy()
    frame = drop_rows(frame, blank, "searches_without_query", file, "lack a user_id or query", report)
    if not len(frame):
        raise DataError(
            f"{path} has no row with both a user_id and a query; fill these columns, or leave the search log out"
        )
    frame = _clean_times(frame, path, report)
    clicked = (frame["item_id"] != "").to_numpy()
    unknown = clicked & ~frame["item_id"].isin(items["item_id"]).to_numpy()
    report.say(
        "unknown_searched_items",
        unknown.sum(),
        f"{file}: {unknown.sum()} searches end in an item that is not in the catalogue; they count as searches without a click",
        frame.index[unknown].to_numpy(),
    )
    frame["item_id"] = frame["item_id"].where(clicked & ~unknown, None)
    copy = frame.duplicated().to_numpy()
    frame = drop_rows(frame, copy, "duplicate_searches", file, "are exact copies of another row", report)
    unnamed = (frame["session_id"].str.strip() == "").to_numpy()
    if unnamed.any():
        # several clicks on the answers to one query are one session
        session = frame.groupby(["user_id", "query", "timestamp"], sort=False).ngroup()
        frame["session_id"] = frame["session_id"].where(~unnamed, "s" + session.astype(str))
    return _in_order(frame, file, report)[list(SEARCH_COLUMNS)]


def _in_order(frame: pd.DataFrame, file: str, report: ImportReport) -> pd.DataFrame:
    """Rows in time order within each user, users in order of first appearance; equal times keep the file's order."""
    backward = frame.groupby("user_id", sort=False)["timestamp"].diff().lt(0)
    users = frame["user_id"][backward].nunique()
    report.say(
        "users_out_of_order",
        users,
        f"{file}: the rows of {users} users were not in time order and were sorted",
        frame.index[backward.to_numpy()].to_numpy(),
    )
    user = pd.factorize(frame["user_id"])[0]
    return frame.iloc[np.lexsort((frame["timestamp"], user))].reset_index(drop=True)
