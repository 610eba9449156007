"""The data set: items, interactions, searches, held-out cases and candidate lists, in one folder.

On disk: `items.parquet`, `interactions.parquet`, `searches.parquet`, `candidates.parquet` (the held-out
cases with their candidate lists), `log/` (the merged log as arrays) and `dataset.json` (name, origin, counts,
fingerprint, query protocol, data_seed, kind of timestamps); the folder's mark holds the hashes of its files. Loading maps the arrays
and reads a table only when it is asked for; nothing is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gensar_lite.data.events import EventLog, build_log
from gensar_lite.data.splits import TASKS, hold_out
from gensar_lite.data.storage import DataError, check_whole, find_folder, new_folder, read_json, write_json
from gensar_lite.data.texts import Texts

HALVES = ("fit", "choose")
ITEM_COLUMNS = ("item_id", "title", "description", "categories", "brand")
INTERACTION_COLUMNS = ("user_id", "item_id", "timestamp")
SEARCH_COLUMNS = ("user_id", "session_id", "query", "item_id", "timestamp")
TABLES = ("items", "interactions", "searches", "candidates")
PROTOCOLS = {"recommendation": ("uniform99", "popular99"), "search": ("bm25_99",)}
LOG_ARRAYS = (
    "user_ptr", "user", "item", "query", "timestamp", "recommended", "searched", "before", "shown", "session",
)  # fmt: skip
LOG_TEXTS = ("user_ids", "queries")
FORMAT = 2  # of the folder; 1 (version 0.1) kept no cases and no log


@dataclass(frozen=True)
class Cases:
    """C questions for a ranker. The history of case c is events `start[c]:stop[c]` of the log.

    `case_id`, `user`, `start`, `stop` are (C,); the true items of case c, one or more, are
    `relevant[ptr[c]:ptr[c + 1]]` (`relevant` is (R,), `ptr` is (C + 1,); left out, every case has one). `query` holds C texts, or None for
    recommendation; `candidates` maps a protocol to item numbers (C, 99), no true item among them.
    """

    task: str
    case_id: np.ndarray
    user: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    relevant: np.ndarray
    query: list[str] | None
    candidates: dict[str, np.ndarray]
    ptr: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not len(self.ptr):
            object.__setattr__(self, "ptr", np.arange(len(self.case_id) + 1))

    def __len__(self) -> int:
        return len(self.case_id)

    @property
    def item(self) -> np.ndarray:
        """(C,) the first true item of every case; all of them where each case has one."""
        return self.relevant[self.ptr[:-1]]

    @property
    def owner(self) -> np.ndarray:
        """(R,) the row of the case that each true item belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.ptr))

    def take(self, rows: np.ndarray | slice) -> Cases:
        """The cases of some rows."""
        rows = np.arange(len(self))[rows]
        size = np.diff(self.ptr)[rows]
        ptr = np.concatenate([[0], np.cumsum(size)])
        place = np.arange(ptr[-1]) + np.repeat(self.ptr[rows] - ptr[:-1], size)
        return Cases(
            self.task,
            self.case_id[rows],
            self.user[rows],
            self.start[rows],
            self.stop[rows],
            self.relevant[place],
            None if self.query is None else [self.query[r] for r in rows],
            {name: c[rows] for name, c in self.candidates.items()},
            ptr,
        )

    def one_each(self) -> Cases:
        """One row per true item: a case of several is asked once for each of them."""
        each = self.take(self.owner)
        return replace(each, relevant=self.relevant, ptr=np.arange(len(self.relevant) + 1))

    def without_history(self) -> Cases:
        """The same questions, asked by nobody in particular (ad-hoc search)."""
        return replace(self, start=self.stop)


class Dataset:
    """A store: its catalogue (N items), its log, and the questions held out from it.

    `items` has N rows, and an item's number everywhere in the package is its row there. `info` is the
    content of `dataset.json`. `candidates` has one row per held-out case: case_id, split, task, user (number),
    user_id, query, start and stop (rows of the log that are its history), items (its true ones, by number), and one list
    column per sampled protocol (`uniform99`, `popular99`, `bm25_99`), null where it does not apply.
    `log` has all events in time order, `train_mask` (E,) says which of them training may see.
    """

    def __init__(
        self,
        items: pd.DataFrame,
        interactions: pd.DataFrame,
        searches: pd.DataFrame,
        candidates: pd.DataFrame,
        info: dict,
        log: EventLog | None = None,
        train_mask: np.ndarray | None = None,
    ) -> None:
        self.info = info
        self.folder: Path | None = None
        given = {"items": items, "interactions": interactions, "searches": searches, "candidates": candidates}
        self.__dict__.update(given)  # in the place of the tables that would be read from a folder
        if log is not None:
            self.__dict__["log"] = log
        if train_mask is not None:
            self.__dict__["train_mask"] = train_mask

    @cached_property
    def items(self) -> pd.DataFrame:
        """The catalogue: item_id, title, description, categories, brand."""
        return self._read("items")

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """Recommendation clicks: user_id, item_id, timestamp."""
        return self._read("interactions")

    @cached_property
    def searches(self) -> pd.DataFrame:
        """Searches: user_id, session_id, query, item_id (null: nothing was clicked), timestamp."""
        return self._read("searches")

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """The held-out cases and their lists."""
        return self._read("candidates")

    def _read(self, table: str) -> pd.DataFrame:
        path = self.folder / f"{table}.parquet"  # type: ignore[operator]
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}); import or simulate the data set again") from error

    @property
    def name(self) -> str:
        return self.info["name"]

    @property
    def num_items(self) -> int:
        return len(self.items) if self.folder is None else self.info["counts"]["items"]

    @property
    def language(self) -> str:
        """The language of the texts, which decides on stop words and stems (see `data.languages`)."""
        return self.info.get("language", "english")

    @cached_property
    def log(self) -> EventLog:
        """All events in time order."""
        if self.folder is None:
            return build_log(self.items, self.interactions, self.searches)
        return _read_log(self.folder / "log")

    @cached_property
    def train_mask(self) -> np.ndarray:
        """(E,) events that training may see."""
        if self.folder is None:
            return hold_out(self.log)[1]
        return np.load(self.folder / "log" / "train.npy", mmap_mode="r")

    @property
    def held_out(self) -> pd.DataFrame:
        """The cases of both tasks and splits (see `hold_out`), without their candidate lists."""
        return self.candidates.drop(columns=[p for names in PROTOCOLS.values() for p in names], errors="ignore")

    @cached_property
    def popularity(self) -> np.ndarray:
        """(N,) clicks of each item in the training part of the log."""
        clicked = self.train_mask & (self.log.item >= 0)
        return np.bincount(self.log.item[clicked], minlength=self.num_items)

    @cached_property
    def item_texts(self) -> Texts:
        """One text per item: title, brand, categories, description."""
        return texts_of(self.items)

    @cached_property
    def item_number(self) -> dict[str, int]:
        """Item id to item number."""
        return {item_id: row for row, item_id in enumerate(self.items["item_id"])}

    @cached_property
    def user_number(self) -> dict[str, int]:
        """User id to the user's number in the log."""
        return {user_id: u for u, user_id in enumerate(self.log.user_ids)}

    def cases(self, task: str, split: str) -> Cases:
        """The held-out cases of one task ("recommendation" or "search") and split ("valid" or "test").

        "fit" and "choose" are the halves of "valid", by user: what is fitted to one (when to stop, how much evidence counts) is
        chosen between on the other. Where a half would be empty, it is the whole.
        """
        if task not in TASKS:
            raise ValueError(f"task must be one of {TASKS}, not {task!r}")
        if split in HALVES:
            whole = self.cases(task, "valid")
            own = np.flatnonzero(whole.user % 2 == HALVES.index(split))
            return whole.take(own) if len(own) else whole
        table = self.candidates
        table = table[(table["task"] == task) & (table["split"] == split)]
        lists = {
            protocol: np.stack(table[protocol].to_list()).astype(np.int64)
            if len(table)
            else np.zeros((0, 99), np.int64)
            for protocol in PROTOCOLS[task]
        }
        sizes = table["items"].map(len).to_numpy(np.int64)
        return Cases(
            task=task,
            case_id=table["case_id"].to_numpy(),
            user=table["user"].to_numpy(np.int64),
            start=table["start"].to_numpy(np.int64),
            stop=table["stop"].to_numpy(np.int64),
            relevant=np.concatenate([np.zeros(0, np.int64), *table["items"]]).astype(np.int64),
            ptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            query=table["query"].to_list() if task == "search" else None,
            candidates=lists,
        )

    def save(self, folder: str | Path) -> None:
        """Write the folder as a whole: it appears complete or not at all."""
        with new_folder(folder, "data set") as temporary:
            for table in TABLES:
                getattr(self, table).to_parquet(temporary / f"{table}.parquet", index=False, compression="zstd")
            (temporary / "log").mkdir()
            for name in LOG_ARRAYS:
                np.save(temporary / "log" / f"{name}.npy", getattr(self.log, name))
            np.save(temporary / "log" / "train.npy", self.train_mask)
            for name in LOG_TEXTS:
                texts: Texts = getattr(self.log, name)
                pq.write_table(pa.table({name: texts.array}), temporary / "log" / f"{name}.parquet", compression="zstd")
            write_json(temporary / "dataset.json", {**self.info, "format": FORMAT})

    @classmethod
    def load(cls, folder: str | Path) -> Dataset:
        """Open a folder written by `save`; a changed or broken file is refused by its hash.

        Hashes are computed where a file's size or time is not that of its writing.
        Raises `DataError` for what is no data set, is damaged, or was written by version 0.1.
        """
        folder = find_folder(folder)
        if not (folder / "dataset.json").is_file():
            raise DataError(
                f"{folder} is not a data set (no dataset.json); make one with `gensar-lite data import` or `data simulate`"
            )
        info = read_json(folder / "dataset.json")
        if info.pop("format", 1) != FORMAT:
            raise DataError(
                f"{folder} was written by another version of gensar_lite, whose cases were drawn in another way; make it again with `gensar-lite data import` or `data simulate` (for a run: `gensar-lite run` again)"
            )
        check_whole(folder, "data set")
        data = cls.__new__(cls)
        data.info, data.folder = info, folder
        return data


def texts_of(items: pd.DataFrame) -> Texts:
    """One text per item: title, brand, categories, description."""
    nothing, blank = (pa.scalar(text, pa.large_string()) for text in ("", " "))
    led = []
    for name in ("title", "brand", "categories", "description"):
        part = pc.fill_null(pa.array(items[name], pa.large_string(), from_pandas=True), nothing)
        led.append(pc.if_else(pc.equal(part, nothing), nothing, pc.binary_join_element_wise(blank, part, nothing)))
    return Texts(pc.utf8_slice_codeunits(pc.binary_join_element_wise(*led, nothing), 1))


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
    extended = Dataset(items, data.interactions, data.searches, data.candidates, info, data.log, data.train_mask)
    info["fingerprint"] = fingerprint(extended)
    return extended


def fingerprint(data: Dataset) -> str:
    """SHA-256 over the content of the four tables and the training mask (not over files, which depend on library versions)."""
    digest = hashlib.sha256()
    for table in TABLES:
        frame: pd.DataFrame = getattr(data, table)
        for column in frame.columns:
            digest.update(f"\x1e{table}.{column}\x1e".encode())
            for part in _content(frame[column]):
                digest.update(np.ascontiguousarray(part).data)
    digest.update(np.packbits(data.train_mask).tobytes())
    return digest.hexdigest()


def _content(values: pd.Series) -> Iterable[np.ndarray]:
    """The values of a column as arrays of bytes: numbers; lengths (-1: null) and contents of lists and texts."""
    if pd.api.types.is_integer_dtype(values):
        return [values.to_numpy("<i8")]
    if pd.api.types.is_float_dtype(values):
        return [values.to_numpy("<f8")]
    first = values.first_valid_index()
    if first is not None and isinstance(values[first], (list, np.ndarray)):
        sizes = [-1 if v is None else len(v) for v in values]
        return [np.array(sizes, "<i8"), np.concatenate([np.zeros(0, "<i8"), *(v for v in values if v is not None)])]
    texts = pa.array(values, pa.large_string(), from_pandas=True)
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    sizes = pc.fill_null(pc.binary_length(texts), -1).to_numpy().astype("<i8")
    texts = texts.drop_null()
    _, places, letters = texts.buffers()
    ends = np.frombuffer(places, np.int64)[texts.offset :][: len(texts) + 1]
    if not len(texts) or letters is None:
        return [sizes]
    return [sizes, np.frombuffer(letters, np.uint8)[ends[0] : ends[-1]]]


def _read_log(folder: Path) -> EventLog:
    """The log of a data set's folder: arrays mapped into memory, texts read."""
    try:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in LOG_ARRAYS}
        user_ids, queries = (Texts(pq.read_table(folder / f"{name}.parquet")[name]) for name in LOG_TEXTS)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{folder} cannot be read ({error}); import or simulate the data set again") from error
    return EventLog(user_ids, queries, **arrays)
