"""Amazon Reviews with metadata, editions 2014, 2018 and 2023, as the authors publish them.

The edition is read off the records themselves:

| | reviews | metadata |
|---|---|---|
| 2014 (McAuley et al., SIGIR 2015) | `reviews_C_5.json.gz`: reviewerID, asin, unixReviewTime; or `ratings_C.csv`: user, item, rating, time | `meta_C.json.gz`: one Python dict a line; asin, title, description, brand, categories (list of paths) |
| 2018 (Ni et al., EMNLP 2019) | `C_5.json.gz`: as 2014; or `C.csv`: item, user, rating, time | `meta_C.json.gz`: JSON; asin, title, description and feature (lists), brand, category (one path) |
| 2023 (Hou et al., 2403.03952) | `C.jsonl.gz`: user_id, parent_asin, timestamp in ms; or CSV with a header | `meta_C.jsonl.gz`: JSON; parent_asin, title, description and features (lists), store, categories (one path) |

Files are streamed; only ids, times and the texts of items that stay are kept.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from gensar_lite.data.cleaning import ImportReport, clean_items
from gensar_lite.data.dataset import INTERACTION_COLUMNS, ITEM_COLUMNS, Dataset
from gensar_lite.data.public_files import core_filter, stream_lines, stream_records
from gensar_lite.data.queries import PATH_SEPARATOR
from gensar_lite.data.storage import DataError
from gensar_lite.data.tables import clean_interactions, finish_import

_ASIN = re.compile(r"^(B[0-9A-Z]{9}|[0-9]{9}[0-9X])$")


def import_amazon(
    reviews_path: str | Path,
    metadata_path: str | Path,
    *,
    k_core: int = 5,
    queries: str = "category-path",
    search_share: float = 0.5,
    data_seed: int = 0,
    name: str | None = None,
    case_users: int | None = None,
) -> tuple[Dataset, ImportReport]:
    """Reviews as interactions, metadata as items, queries synthesised.

    Only users and items with at least `k_core` reviews stay (1 keeps all), counted after reviews of
    items without metadata are dropped. Raises `DataError` for files that are missing, cut off or of
    another layout, and where nothing is left.
    """
    report = ImportReport(with_rows=False)
    interactions = read_reviews(reviews_path, report)
    interactions = _core(interactions, k_core, reviews_path)
    raw = read_metadata(metadata_path, set(interactions["item_id"]), report)
    if not len(raw):
        raise DataError(
            f"{metadata_path} describes none of the {interactions['item_id'].nunique()} items with {k_core} or more reviews in {reviews_path}; give the metadata of the same edition and category"
        )
    missing = ~interactions["item_id"].isin(raw["item_id"]).to_numpy()
    report.say(
        "reviews_without_metadata",
        missing.sum(),
        f"{Path(metadata_path).name}: {missing.sum()} reviews are of items without metadata and were dropped",
    )
    interactions = interactions[~missing]
    interactions = _core(interactions, k_core, reviews_path)
    report.counts["reviews_in_core"] = len(interactions)
    raw = raw[raw["item_id"].isin(interactions["item_id"])].reset_index(drop=True)
    items = clean_items(raw, Path(metadata_path).name, report)
    return finish_import(
        items,
        clean_interactions(interactions, items, str(reviews_path), report),
        None,
        report,
        queries=queries,
        search_share=search_share,
        data_seed=data_seed,
        name=name or Path(reviews_path).name.split(".")[0].removeprefix("reviews_"),
        origin=f"Amazon Reviews: {Path(reviews_path).name}, {Path(metadata_path).name}; {k_core}-core",
        timestamps="clock",
        case_users=case_users,
    )


def _core(interactions: pd.DataFrame, k_core: int, path: str | Path) -> pd.DataFrame:
    left = interactions[core_filter(interactions, k_core)].reset_index(drop=True)
    if not len(left):
        raise DataError(
            f"{path}: there are no users and items with {k_core} or more reviews each; choose a smaller k-core"
        )
    return left.sort_values(["user_id", "timestamp"], kind="stable", ignore_index=True)


def read_reviews(path: str | Path, report: ImportReport) -> pd.DataFrame:
    """Interactions (user_id, item_id, timestamp) of a file of reviews or ratings, exact copies dropped.

    `timestamp` is int64 in the unit of the edition: seconds (2014, 2018; always at midnight) or
    milliseconds (2023).
    """
    name = Path(path).name
    rows = _ratings(path) if name.removesuffix(".gz").endswith(".csv") else _reviews(path, report)
    # ids repeat a lot: numbered as they come, so that each is held once
    numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})
    users, items, times, bad = [], [], [], 0
    for user, item, time in rows:
        if user and item and time is not None:
            users.append(numbers[0].setdefault(user, len(numbers[0])))
            items.append(numbers[1].setdefault(item, len(numbers[1])))
            times.append(time)
        else:
            bad += 1
    report.say(
        "incomplete_reviews",
        bad,
        f"{name}: {bad} of {bad + len(users)} reviews lack a user, an item or a time and were dropped",
    )
    if not users:
        raise DataError(
            f"{path} holds no review with user, item and time; this is not a file of reviews or ratings of a known layout"
        )
    frame = pd.DataFrame({"user": users, "item": items, "timestamp": times})
    copies = frame.duplicated().to_numpy()
    report.say(
        "duplicate_reviews",
        copies.sum(),
        f"{name}: {copies.sum()} reviews are exact copies (same user, item and time) and were dropped",
    )
    frame = frame[~copies]
    ids = [pd.Series(list(number), dtype=object).to_numpy() for number in numbers]
    return pd.DataFrame(
        {"user_id": ids[0][frame["user"]], "item_id": ids[1][frame["item"]], "timestamp": frame["timestamp"].to_numpy()}
    )[list(INTERACTION_COLUMNS)]


def _whole(value: object) -> int | None:
    try:
        return int(float(str(value)))
    except (ValueError, OverflowError):
        return None


def _reviews(path: str | Path, report: ImportReport) -> Iterator[tuple[str, str, int | None]]:
    for record in stream_records(path, report):
        user = record.get("user_id") or record.get("reviewerID")
        item = record.get("parent_asin") or record.get("asin")
        time = record.get("timestamp", record.get("unixReviewTime", record.get("sort_timestamp")))
        yield str(user or ""), str(item or ""), _whole(time)


def _ratings(path: str | Path) -> Iterator[tuple[str, str, int | None]]:
    """Ratings only: with a header (2023) or without one (2014: user first; 2018: item first)."""
    rows = csv.reader(stream_lines(path))
    first = next(rows, [])
    if "user_id" in first and "timestamp" in first:
        item = "parent_asin" if "parent_asin" in first else "asin"
        if item not in first:
            raise DataError(f"{path} lacks the column 'parent_asin' (it has {', '.join(first)})")
        places = (first.index("user_id"), first.index(item), first.index("timestamp"))
    elif len(first) == 4:
        places = (1, 0, 3) if _ASIN.match(first[0]) and not _ASIN.match(first[1]) else (0, 1, 3)
        yield first[places[0]], first[places[1]], _whole(first[3])
    else:
        raise DataError(
            f"{path} has {len(first)} columns; ratings of Amazon Reviews have four: user, item, rating and time"
        )
    for row in rows:
        yield (row[places[0]], row[places[1]], _whole(row[places[2]])) if len(row) > max(places) else ("", "", None)


def _joined(value: object, separator: str = " ") -> str:
    """A text from a text or a list of texts; anything else is empty."""
    if isinstance(value, str):
        return value
    return separator.join(v for v in value if isinstance(v, str)) if isinstance(value, list) else ""


def _paths(record: dict) -> str:
    """Category paths: levels joined by ' > ', several paths by ' | '."""
    value = record.get("categories") or record.get("category") or []
    if not isinstance(value, list):
        return _joined(value)
    paths = value if value and isinstance(value[0], list) else [value]
    return PATH_SEPARATOR.join(filter(None, (_joined(path, " > ") for path in paths)))


def read_metadata(path: str | Path, wanted: set[str], report: ImportReport) -> pd.DataFrame:
    """Items (item_id, title, description, categories, brand) for the ids in `wanted`; the first record of an id counts."""
    rows = {}
    repeated = 0
    for record in stream_records(path, report):
        item = str(record.get("parent_asin") or record.get("asin") or "")
        if item not in wanted:
            continue
        if item in rows:
            repeated += 1
            continue
        description = " ".join(filter(None, (_joined(record.get(c)) for c in ("description", "feature", "features"))))
        brand = record.get("brand") or record.get("store")
        rows[item] = (item, _joined(record.get("title")), description, _paths(record), _joined(brand))
    report.say(
        "repeated_metadata", repeated, f"{Path(path).name}: {repeated} records repeat an item; the first one was kept"
    )
    return pd.DataFrame(list(rows.values()), columns=list(ITEM_COLUMNS), dtype=object)
