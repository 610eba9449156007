"""Generated tables of every kind through the mapping: loaded or one sentence, and what was dropped adds up to what came in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gensar_lite.data.events import merge_events
from gensar_lite.data.importing.assemble import Tables, read_tables
from gensar_lite.data.importing.mapping import Mapping, add_words
from gensar_lite.data.storage import DataError

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
_ID = st.one_of(st.sampled_from(["a", "b", "c", "007", "7", "1.0", " a", "NA", ""]), _TEXT)
_WORDS = st.one_of(st.sampled_from(["tent", "Tent ", "red tent", "<b>tent</b>", "-1", "nan", ""]), _TEXT)
_TIME = st.sampled_from(["1700000000", "1700000005", "1700000900", "1700100000", "", "x"])
_FORM = st.sampled_from(["csv", "jsonl", "parquet"])
ITEMS = [("a", "Red tent"), ("b", "Blue cup"), ("c", "Cup"), ("007", "Pan"), ("7", "Lid")]


def write(folder: Path, name: str, form: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table of text in one of the usual forms; gives the name of the file."""
    path = folder / f"{name}.{form}"
    if form == "parquet":
        pd.DataFrame(rows, columns=list(columns), dtype="str").to_parquet(path)
    elif form == "jsonl":
        text = "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)
        path.write_text(text, "utf-8")
    else:
        quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in (columns, *rows)]
        path.write_bytes(("\n".join(quoted) + "\n").encode())
    return path.name


def read(folder: Path, files: dict[str, str], **said: object) -> Tables | None:
    """The tables, or None where they were refused; any other error is a failure."""
    if "items" not in files:
        files = {"items": write(folder, "items", "csv", ("item_id", "title"), ITEMS), **files}
    try:
        tables = read_tables(add_words(Mapping(), files=files, **said), folder)  # type: ignore[arg-type]
    except DataError:
        event("refused")
        return None
    event("loaded")
    return tables


def dropped(tables: Tables, table: str, *reasons: str) -> int:
    return sum(tables.report.counts.get(f"{table}_{reason}", 0) for reason in reasons)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(_ID, _WORDS, _WORDS, _WORDS), max_size=8), _FORM)
def test_items_add_up(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], form: str) -> None:
    folder = tmp_path_factory.mktemp("items")
    log = write(folder, "log", "csv", ("user_id", "item_id", "timestamp"), [("u", r[0], "1700000000") for r in rows])
    items = write(folder, "items", form, ("item_id", "title", "description", "categories"), rows)
    tables = read(folder, {"items": items, "interactions": log})
    if tables is None:
        return
    counts = tables.report.counts
    gone = sum(counts.get(k, 0) for k in ("items_without_id", "duplicate_item_rows", "duplicate_item_ids"))
    assert len(tables.items) + gone == counts["item_rows"] == len(rows) - counts.get("unreadable_lines", 0)
    assert tables.items["item_id"].is_unique
    assert (tables.items["title"].str.len() > 0).all()


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(_ID, _ID, _WORDS, _ID, _TIME, st.sampled_from("01")), max_size=10),
    form=_FORM,
    marked=st.booleans(),
    sessions=st.booleans(),
)
def test_searches_add_up(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], form: str, marked: bool, sessions: bool
) -> None:
    folder = tmp_path_factory.mktemp("searches")
    columns = ("user_id", "session_id" if sessions else "other", "query", "item_id", "timestamp", "clicked")
    log = write(folder, "log", form, columns, rows)
    tables = read(folder, {"searches": log}, clicks="clicked = 1" if marked else None)
    if tables is None:
        return
    assert tables.searches is not None
    reasons = ("without_user", "without_query", "shown_rows", "unreadable_timestamps", "copies")
    came = tables.report.counts["searches_rows"]
    assert came == len(rows) - tables.report.counts.get("unreadable_lines", 0)
    assert len(tables.searches) + dropped(tables, "searches", *reasons) == came
    assert set(tables.searches["item_id"].dropna()) <= set(tables.items["item_id"])
    assert (tables.searches["query"].str.len() > 0).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(_ID, _ID, _ID, _TIME), max_size=10), _FORM)
def test_clicks_of_sessions_add_up_and_a_session_is_one_decision(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], form: str
) -> None:
    folder = tmp_path_factory.mktemp("sessions")
    log = write(folder, "log", form, ("user_id", "session_id", "item_id", "timestamp"), rows)
    tables = read(folder, {"interactions": log})
    if tables is None:
        return
    clicks = tables.interactions
    reasons = ("without_user", "without_item", "unknown_items", "unreadable_timestamps", "copies")
    came = tables.report.counts["interactions_rows"]
    assert came == len(rows) - tables.report.counts.get("unreadable_lines", 0)
    assert len(clicks) + dropped(tables, "interactions", *reasons) == came
    none = pd.DataFrame({c: pd.Series(dtype="str") for c in ("user_id", "session_id", "query", "item_id")})
    merged, _ = merge_events(tables.items, clicks, none.assign(timestamp=pd.Series(dtype="int64")))
    named = clicks[clicks["session_id"].notna()]
    assert len(np.unique(merged.shown)) == len(named.drop_duplicates(["user_id", "session_id"])) + len(clicks) - len(
        named
    )
    for decision in np.unique(merged.shown):  # the history of all its clicks ends before the first one
        own = np.flatnonzero(merged.shown == decision)
        assert len(set(merged.before[own].tolist())) == 1
        assert merged.before[own[0]] <= own.min()


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.tuples(_ID, _WORDS, _ID, st.sampled_from(["E", "S", "I", ""])), max_size=10),
    form=_FORM,
    joined=st.booleans(),
    where=st.booleans(),
)
def test_judgements_add_up(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], form: str, joined: bool, where: bool
) -> None:
    folder = tmp_path_factory.mktemp("judgements")
    sets = ["judgements.where=grade != I"] if where else []
    if joined:
        write(folder, "queries", form, ("query_id", "query"), [row[:2] for row in rows])
        rows = [(row[0], *row[2:]) for row in rows]
        sets.append(f"judgements.query_files=queries.{form}")
    columns = ("query_id", "item_id", "grade") if joined else ("query_id", "query", "item_id", "grade")
    tables = read(folder, {"judgements": write(folder, "judged", form, columns, rows)}, sets=sets)
    if tables is None:
        return
    judged = tables.judgements
    assert judged is not None
    came = tables.report.counts["judgements_rows"]
    assert came == len(rows) - tables.report.counts.get("unreadable_lines", 0)
    assert len(judged) + dropped(tables, "judgements", "left_out", "unusable", "copies") == came
    assert set(judged["item_id"]) <= set(tables.items["item_id"])
    assert judged["relevant"].any()
