"""KuaiSAR (Sun et al., CIKM 2023, arXiv 2306.07705): a real joint log of search and recommendation.

Reads `rec_inter.csv`, `src_inter.csv` and `item_features.csv` from the published zip file or its
folder, in pieces. Texts are lists of anonymised word ids, [20, 34]; they become words: "w20 w34".
Clicks of both services are events; a search session in which nothing was clicked stays as a query
without an item. Times are Unix milliseconds.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from tqdm import tqdm

from gensar_lite.data.cleaning import ImportReport, clean_items
from gensar_lite.data.dataset import ITEM_COLUMNS, Dataset
from gensar_lite.data.public_files import core_filter
from gensar_lite.data.storage import DataError
from gensar_lite.data.tables import clean_interactions, clean_searches, finish_import

FILES = ("rec_inter.csv", "src_inter.csv", "item_features.csv")
LEVELS = ("first", "second", "third", "fourth")
_NO_CATEGORY = {"", "empty", "unknown", "nan"}
_WORD_ID = re.compile(r"\d+")
_ROWS = 500_000  # read at a time


def import_kuaisar(
    path: str | Path, *, k_core: int = 5, data_seed: int = 0, name: str | None = None, case_users: int | None = None
) -> tuple[Dataset, ImportReport]:
    """KuaiSAR or KuaiSAR-small from its zip file or folder.

    Users and items with fewer than `k_core` clicks (both services together) are left out; their
    searches too, and a search that ended in an item left out counts as one without a click. Raises
    `DataError` for a missing or broken file and for a missing column.
    """
    report = ImportReport(with_rows=False)
    clicks = read_recommendations(path, report)
    searches = read_searches(path, report)
    clicked = searches[searches["item_id"] != ""]
    both = pd.concat([clicks, clicked[["user_id", "item_id", "timestamp"]]], ignore_index=True)
    keep = core_filter(both, k_core)
    if not keep[: len(clicks)].any():
        raise DataError(
            f"{path}: there are no users and items with {k_core} or more clicks each; choose a smaller k-core"
        )
    users, wanted = set(both["user_id"][keep]), set(both["item_id"][keep])
    items = clean_items(read_items(path, wanted), "item_features.csv", report)
    order = ["user_id", "timestamp"]
    clicks = clicks[keep[: len(clicks)]].sort_values(order, kind="stable", ignore_index=True)
    searches = searches[searches["user_id"].isin(users)].sort_values(order, kind="stable", ignore_index=True)
    return finish_import(
        items,
        clean_interactions(clicks, items, "rec_inter.csv", report),
        clean_searches(searches, items, "src_inter.csv", report),
        report,
        queries="known-item",
        search_share=0.0,
        data_seed=data_seed,
        name=name or Path(path).stem,
        origin=f"KuaiSAR: {Path(path).name}; {k_core}-core",
        timestamps="clock",
        case_users=case_users,
    )


@contextmanager
def _open(path: str | Path, file: str) -> Iterator[IO[bytes]]:
    """A file of the data set, inside its zip or its folder, at any depth."""
    path = Path(path)
    if path.is_dir():
        found = sorted(path.rglob(file))
        if not found:
            raise DataError(f"{path} does not hold {file}; give the zip file or the folder of KuaiSAR")
        with open(found[0], "rb") as handle:
            yield handle
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.split("/")[-1] == file and "__MACOSX" not in n]
            if not names:
                raise DataError(f"{path} does not hold {file}; give the zip file or the folder of KuaiSAR")
            with archive.open(names[0]) as handle:
                yield handle
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a zip file ({error}); download it again") from error


def _pieces(path: str | Path, file: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Pieces of a table with the named columns as strings."""
    with _open(path, file) as handle:
        try:
            reader = pd.read_csv(
                handle,
                usecols=lambda c: c in columns,
                dtype=str,
                keep_default_na=False,
                chunksize=_ROWS,
                encoding_errors="replace",
            )
            for piece in tqdm(reader, desc=file, unit=" pieces", disable=None):
                if missing := [c for c in columns if c not in piece]:
                    raise DataError(
                        f"{file} of {path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; this is not the published layout of KuaiSAR"
                    )
                yield piece
        except pd.errors.EmptyDataError as error:
            raise DataError(f"{file} of {path} is empty; download it again") from error
        except (pd.errors.ParserError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{file} of {path} is cut off or broken ({str(error).strip()}); download it again"
            ) from error


def as_words(ids: pd.Series) -> pd.Series:
    """ "[20, 34]" to "w20 w34"."""
    return ids.map(lambda text: " ".join(f"w{number}" for number in _WORD_ID.findall(text))).astype(object)


def _times(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds (R,) int64 and a mask (R,) of the readable ones; the files hold them as floats."""
    number = pd.to_numeric(values, errors="coerce")
    good = np.isfinite(number.to_numpy(np.float64))
    return number.where(good, 0).to_numpy(np.float64).astype(np.int64), good


def read_recommendations(path: str | Path, report: ImportReport) -> pd.DataFrame:
    """Clicks (user_id, item_id, timestamp) of the recommendation service."""
    parts = []
    unreadable = 0
    for piece in _pieces(path, "rec_inter.csv", ("user_id", "item_id", "timestamp", "click")):
        clicked = piece[pd.to_numeric(piece["click"], errors="coerce").gt(0)]
        time, good = _times(clicked["timestamp"])
        unreadable += int((~good).sum())
        parts.append(clicked[["user_id", "item_id"]].assign(timestamp=time)[good])
    report.say(
        "clicks_without_time",
        unreadable,
        f"rec_inter.csv: {unreadable} clicks have no readable timestamp and were dropped",
    )
    if not sum(map(len, parts)):
        raise DataError(f"rec_inter.csv of {path} holds no click; this is not the published layout of KuaiSAR")
    return pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)


def read_searches(path: str | Path, report: ImportReport) -> pd.DataFrame:
    """Searches (user_id, session_id, query, item_id, timestamp): one row per clicked item, or one without an item per session."""
    columns = ("user_id", "search_session_id", "search_session_timestamp", "keyword", "item_id", "click_cnt")
    parts = []
    unreadable = 0
    for piece in _pieces(path, "src_inter.csv", columns):
        time, good = _times(piece["search_session_timestamp"])
        unreadable += int((~good).sum())
        clicked = pd.to_numeric(piece["click_cnt"], errors="coerce").gt(0)
        frame = pd.DataFrame(
            {
                "user_id": piece["user_id"],
                "session_id": piece["search_session_id"],
                "query": piece["keyword"],
                "item_id": piece["item_id"].where(clicked, ""),
                "timestamp": time,
            }
        )
        parts.append(frame[good].drop_duplicates())
    report.say(
        "searches_without_time",
        unreadable,
        f"src_inter.csv: {unreadable} rows have no readable timestamp and were dropped",
    )
    if not sum(map(len, parts)):
        raise DataError(f"src_inter.csv of {path} holds no search; this is not the published layout of KuaiSAR")
    rows = pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)
    with_click = rows.groupby(["user_id", "session_id"])["item_id"].transform("max") != ""
    rows = rows[(rows["item_id"] != "") | ~with_click].reset_index(drop=True)
    return rows.assign(query=as_words(rows["query"]))


def read_items(path: str | Path, wanted: set[str]) -> pd.DataFrame:
    """Items (item_id, title, description, categories, brand) for the ids in `wanted`; the author stands for the brand."""
    names = [f"{level}_level_category_name_en" for level in LEVELS]
    parts = []
    for piece in _pieces(path, "item_features.csv", ("item_id", "caption", "author_id", *names)):
        piece = piece[piece["item_id"].isin(wanted)]
        path_of = [
            " > ".join(v for v in row if v.strip().lower() not in _NO_CATEGORY)
            for row in zip(*(piece[n] for n in names), strict=True)
        ]
        author = piece["author_id"].where(~piece["author_id"].isin(["", "0"]), "")
        parts.append(
            pd.DataFrame(
                {
                    "item_id": piece["item_id"],
                    "title": as_words(piece["caption"]),
                    "description": "",
                    "categories": pd.Series(path_of, index=piece.index, dtype=object),
                    "brand": ("author" + author).where(author != "", ""),
                }
            ).astype(object)
        )
    return pd.concat(parts, ignore_index=True)[list(ITEM_COLUMNS)]
