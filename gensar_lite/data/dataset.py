"""The data set: items, interactions, searches, held-out cases and candidate lists, in one folder.

On disk: `items.parquet`, `interactions.parquet`, `searches.parquet`, `candidates.parquet` and
`dataset.json` (name, origin, counts, fingerprint, query protocol, data_seed, kind of timestamps).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from gensar_lite.data.events import EventLog, build_log
from gensar_lite.data.splits import TASKS, hold_out
from gensar_lite.data.storage import DataError, new_folder, read_json, write_json

ITEM_COLUMNS = ("item_id", "title", "description", "categories", "brand")
INTERACTION_COLUMNS = ("user_id", "item_id", "timestamp")
SEARCH_COLUMNS = ("user_id", "session_id", "query", "item_id", "timestamp")
TABLES = ("items", "interactions", "searches", "candidates")
PROTOCOLS = {"recommendation": ("uniform99", "popular99"), "search": ("bm25_99",)}


@dataclass(frozen=True)
class Cases:
    """C questions for a ranker. The history of case c is events `start[c]:stop[c]` of the log.

    `case_id`, `start`, `stop`, `item` (the true item) are (C,); `query` holds C texts, or None for
    recommendation; `candidates` maps a protocol to item numbers (C, 99), the true item not among them.
    """

    task: str
    case_id: np.ndarray
    user: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    item: np.ndarray
    query: list[str] | None
    candidates: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.case_id)

    def take(self, rows: np.ndarray | slice) -> Cases:
        """The cases of some rows."""
        rows = np.arange(len(self))[rows]
        query = None if self.query is None else [self.query[r] for r in rows]
        lists = {name: c[rows] for name, c in self.candidates.items()}
        return Cases(
            self.task,
            self.case_id[rows],
            self.user[rows],
            self.start[rows],
            self.stop[rows],
            self.item[rows],
            query,
            lists,
        )

    def without_history(self) -> Cases:
        """The same questions, asked by nobody in particular (ad-hoc search)."""
        return Cases(self.task, self.case_id, self.user, self.stop, self.stop, self.item, self.query, self.candidates)


@dataclass(frozen=True)
class Dataset:
    """A store: its catalogue (N items), its log, and the questions held out from it.

    `items` has N rows, and an item's number everywhere in the package is its row there. `info` is the
    content of `dataset.json`. `candidates` has one row per held-out case and one list column per
    sampled protocol (`uniform99`, `popular99`, `bm25_99`), null where it does not apply.
    """

    items: pd.DataFrame
    interactions: pd.DataFrame
    searches: pd.DataFrame
    candidates: pd.DataFrame
    info: dict

    @property
    def name(self) -> str:
        return self.info["name"]

    @property
    def num_items(self) -> int:
        return len(self.items)

    @cached_property
    def log(self) -> EventLog:
        """All events in time order."""
        return build_log(self.items, self.interactions, self.searches)

    @cached_property
    def _held_out(self) -> tuple[pd.DataFrame, np.ndarray]:
        return hold_out(self.log, self.info.get("case_users"), self.info["data_seed"])

    @property
    def held_out(self) -> pd.DataFrame:
        """The cases of both tasks and splits (see `hold_out`)."""
        return self._held_out[0]

    @property
    def train_mask(self) -> np.ndarray:
        """(E,) events that training may see."""
        return self._held_out[1]

    @cached_property
    def popularity(self) -> np.ndarray:
        """(N,) clicks of each item in the training part of the log."""
        clicked = self.train_mask & (self.log.item >= 0)
        return np.bincount(self.log.item[clicked], minlength=self.num_items)

    @cached_property
    def item_texts(self) -> list[str]:
        """One text per item: title, brand, categories, description."""
        columns = ("title", "brand", "categories", "description")
        return [" ".join(part for part in row if part) for row in zip(*(self.items[c] for c in columns), strict=True)]

    @cached_property
    def item_number(self) -> dict[str, int]:
        """Item id to item number."""
        return {item_id: row for row, item_id in enumerate(self.items["item_id"])}

    @cached_property
    def user_number(self) -> dict[str, int]:
        """User id to the user's number in the log."""
        return {user_id: u for u, user_id in enumerate(self.log.user_ids)}

    def cases(self, task: str, split: str) -> Cases:
        """The held-out cases of one task ("recommendation" or "search") and split ("valid" or "test")."""
        if task not in TASKS:
            raise ValueError(f"task must be one of {TASKS}, not {task!r}")
        table = self.held_out
        rows = np.flatnonzero((table["task"] == task) & (table["split"] == split))
        table = table.iloc[rows]
        event = table["event"].to_numpy(np.int64)
        lists = {}
        for protocol in PROTOCOLS[task]:
            stored = self.candidates[protocol].iloc[rows]
            lists[protocol] = (
                np.stack(stored.to_list()).astype(np.int64) if len(stored) else np.zeros((0, 99), np.int64)
            )
        return Cases(
            task=task,
            case_id=table["case_id"].to_numpy(),
            user=table["user"].to_numpy(),
            start=self.log.user_ptr[table["user"].to_numpy()],
            stop=event,
            item=table["item"].to_numpy(np.int64),
            query=table["query"].to_list() if task == "search" else None,
            candidates=lists,
        )

    def save(self, folder: str | Path) -> None:
        """Write the folder as a whole: it appears complete or not at all."""
        with new_folder(folder, "data set") as temporary:
            for table in TABLES:
                getattr(self, table).to_parquet(temporary / f"{table}.parquet", index=False, compression="zstd")
            write_json(temporary / "dataset.json", self.info)

    @classmethod
    def load(cls, folder: str | Path) -> Dataset:
        """Read a folder written by `save`; a changed or broken table is refused by its fingerprint."""
        folder = Path(folder)
        if not (folder / "dataset.json").is_file():
            raise DataError(
                f"{folder} is not a data set (no dataset.json); make one with `gensar-lite data import` or `data simulate`"
            )
        info = read_json(folder / "dataset.json")
        tables = {}
        for table in TABLES:
            try:
                tables[table] = pd.read_parquet(folder / f"{table}.parquet")
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{folder / table}.parquet cannot be read ({error}); import or simulate the data set again"
                ) from error
        data = cls(**tables, info=info)
        if fingerprint(data) != info.get("fingerprint"):
            raise DataError(
                f"{folder}: the tables do not match the fingerprint in dataset.json; they were changed or cut off. Import or simulate the data set again"
            )
        return data


def extend_catalogue(data: Dataset, new: pd.DataFrame) -> Dataset:
    """The data set with new items at the end of its catalogue; log, cases and candidate lists stay as they are.

    `info["changed"]` says so, because results on both cannot be compared. Raises `DataError` for ids that are not new.
    """
    known = set(data.items["item_id"])
    twice = new["item_id"][new["item_id"].isin(known) | new["item_id"].duplicated()].tolist()
    if twice:
        raise DataError(
            f"{len(twice)} of {len(new)} new items have an item_id that is already in the catalogue or given twice ({', '.join(map(repr, twice[:3]))}); give each an id of its own"
        )
    items = pd.concat([data.items, new[list(ITEM_COLUMNS)].astype(data.items["item_id"].dtype)], ignore_index=True)
    before = data.info.get("changed", {})
    changed = {
        "from": before.get("from", data.info["fingerprint"]),
        "added_items": before.get("added_items", 0) + len(new),
    }
    info = {**data.info, "counts": {**data.info["counts"], "items": len(items)}, "changed": changed}
    extended = replace(data, items=items, info=info)
    info["fingerprint"] = fingerprint(extended)
    return extended


def fingerprint(data: Dataset) -> str:
    """SHA-256 over the content of the four tables (not over their files, which depend on library versions)."""
    digest = hashlib.sha256()
    for table in TABLES:
        frame: pd.DataFrame = getattr(data, table)
        for column in frame.columns:
            digest.update(f"\x1e{table}.{column}\x1e".encode())
            values = frame[column]
            if pd.api.types.is_integer_dtype(values):
                digest.update(values.to_numpy(np.int64).tobytes())
            elif pd.api.types.is_float_dtype(values):
                digest.update(values.to_numpy(np.float64).tobytes())
            elif len(values) and any(isinstance(v, (list, np.ndarray)) for v in values):
                for v in values:
                    digest.update(b"\x00" if v is None else np.asarray(v, np.int64).tobytes())
            else:
                digest.update("\x1f".join("\x00" if pd.isna(v) else str(v) for v in values).encode())
    return digest.hexdigest()
