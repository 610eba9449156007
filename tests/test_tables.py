"""People's tables as they come: each fault is repaired and counted, or refused in one sentence."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.importing import import_tables
from gensar_lite.data.importing.texts import clean_text
from gensar_lite.data.importing.times import TimeColumn, Times, count_steps
from gensar_lite.data.storage import DataError

ITEMS = "item_id,title,description,categories,brand\n007,Red tent,sleeps two,Outdoor > Tents,Acme\n7,Blue tent,,,\nc,Espresso cup,,,\nd,Milk jug,,,\n"
CLICKS = "user_id,item_id,timestamp\n" + "".join(
    f"{u},{i},{t}\n" for u in ("u1", "01") for t, i in enumerate(("007", "7", "c", "d"))
)


@pytest.fixture
def store(tmp_path: Path):
    """Write the two tables, changed or not, and import them."""

    def write(items: str | bytes = ITEMS, clicks: str | bytes = CLICKS, searches: str | None = None, **options):
        for name, content in (("items.csv", items), ("clicks.csv", clicks), ("searches.csv", searches)):
            if content is not None:
                (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        log = tmp_path / "searches.csv" if searches is not None else None
        return import_tables(tmp_path / "items.csv", tmp_path / "clicks.csv", log, **options)

    return write


def complaints(report) -> list[str]:
    """What a report says beside what its search candidates are made of, which every import tells."""
    return [sentence for sentence in report.sentences if not sentence.startswith("search candidates")]


def test_clean_tables_give_a_data_set_without_a_word_of_complaint(store, tmp_path: Path) -> None:
    data, report = store(name="shop", search_share=0.25, data_seed=3)
    assert complaints(report) == []
    assert data.items["item_id"].tolist() == ["007", "7", "c", "d"]  # as typed
    assert set(data.interactions["user_id"]) == {"u1", "01"}
    assert data.info["counts"] == {"items": 4, "users": 2, "interactions": 8, "searches": len(data.searches)}
    expected = {
        "name": "shop",
        "query_protocol": "known-item",
        "search_share": 0.25,
        "data_seed": 3,
        "timestamps": "steps",
        "case_users": None,
    }
    assert {k: data.info[k] for k in expected} == expected
    assert report.counts["cases"] == 8  # two tasks, two splits, two users
    data.save(tmp_path / "saved")
    assert Dataset.load(tmp_path / "saved").info == data.info


def test_every_text_column_is_a_string_and_every_time_an_integer(store) -> None:
    data, _ = store()
    for frame in (data.items, data.interactions.drop(columns="timestamp"), data.searches.drop(columns="timestamp")):
        assert frame.map(lambda v: isinstance(v, str)).all().all()
    assert data.interactions["timestamp"].dtype == data.searches["timestamp"].dtype == np.int64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"items": ITEMS.replace("title", "tilte")},
            "items.csv has no column 'title'.*did you mean 'tilte'.*--columns items.title=tilte",
        ),
        (
            {"clicks": CLICKS.replace("timestamp", "time_stamp_")},
            "clicks.csv has no column 'timestamp'.*--columns interactions.timestamp=time_stamp_",
        ),
        (
            {"clicks": CLICKS.replace("user_id", "kunde")},
            "clicks.csv has no column 'user_id'.*it has kunde, item_id, timestamp.*--columns interactions.user_id=",
        ),
        ({"items": ""}, "items.csv is empty"),
        ({"items": "  \n"}, "items.csv is empty"),
        ({"clicks": "user_id,item_id,timestamp\n"}, "clicks.csv has no rows"),
        (
            {"items": "item_id,title\na,Only one\n", "clicks": "user_id,item_id,timestamp\nu,a,1\n"},
            "items.csv has 1 usable item.*at least two",
        ),
        ({"clicks": "user_id,item_id,timestamp\nu,x,1\nu,y,2\n"}, "column 'item_id': none of the 2 rows.*'x', 'y'"),
        (
            {
                "clicks": CLICKS.replace("\nu1,007,0", "\nu1,007,soon")
                .replace(",1\n", ",late\n")
                .replace(",2\n", ",x\n")
                .replace(",3\n", ",?\n")
            },
            r"'timestamp': 8 of 8 times.*rows 2, 3, 4: 'soon'.*--time-format",
        ),
        ({"clicks": "user_id,item_id,timestamp\nu,007,1\nv,7,2\n"}, "no user has 3 or more events"),
        ({"items": ITEMS + 'e,"never closed,,,\n'}, "items.csv, line 6.*stray or unclosed quote"),
        (
            {"items": ITEMS + "e,too,many,cells,in,this,row\n"},
            "items.csv, line 6.*has 6 or more cells where the first line has 5",
        ),
        ({"items": ITEMS.replace("item_id,title", "item_id,item_id")}, "'item_id' twice"),
        ({"items": b"PK\x03\x04\x00\x00\x00item_id"}, "not a text file"),
        ({"queries": "magic"}, "query protocol 'magic' is unknown; choose one of known-item, category-path"),
        ({"searches": "user_id,query,timestamp\nu1,tent,3\n", "queries": "known-item"}, "choose one of them"),
        (
            {"searches": "user_id,qery,timestamp\nu1,tent,3\n"},
            "searches.csv has no column 'query'.*did you mean 'qery'",
        ),
        ({"searches": "user_id,query,timestamp\nu1,,3\n"}, "searches.csv has no row with both"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(store, change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        store(**change)
    assert "\n" not in str(caught.value)


def test_missing_files_and_broken_parquet_are_refused(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(ITEMS)
    with pytest.raises(DataError, match=r"clicks\.csv does not exist"):
        import_tables(tmp_path / "items.csv", tmp_path / "clicks.csv")
    (tmp_path / "items.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match="cannot be read"):
        import_tables(tmp_path / "items.parquet", tmp_path / "clicks.csv")


@pytest.mark.parametrize(
    ("change", "key", "count", "sentence"),
    [
        (
            {"items": ITEMS + "c,Another cup,,,\n"},
            "duplicate_item_ids",
            1,
            r"repeat an item_id with other content \(c\).*first in row 6",
        ),
        ({"items": ITEMS + "d,Milk jug,,,\n"}, "duplicate_item_rows", 1, "exact copies"),
        ({"items": ITEMS + ",nameless,,,\n"}, "items_without_id", 1, r"without an item_id.*row 6"),
        ({"items": ITEMS.replace("Milk jug", "")}, "empty_titles_replaced", 1, "row 5"),
        ({"items": ITEMS.replace("Milk jug", "NaN")}, "empty_titles_replaced", 1, "row 5"),
        ({"items": ITEMS.replace("Milk jug", "???")}, "empty_titles_replaced", 1, "row 5"),
        (
            {"items": ITEMS.replace("Milk jug", "Milk<br/> jug")},
            "titles_with_html",
            1,
            "HTML was taken out of 1 titles",
        ),
        (
            {
                "items": ITEMS
                + 'e,"Store"" />",A fine kettle,,\n' * 1
                + 'f,"Store"" />",,,\n'
                + 'g,"Store"" />",,,Acme\n'
            },
            "html_titles_replaced",
            3,
            "scrap of HTML",
        ),
        ({"items": ITEMS + "e,Milk jug,,,\nf,Milk jug,,,\n"}, "items_with_shared_text", 3, "largest group 3"),
        (
            {"clicks": CLICKS + "u1,nowhere,9\n"},
            "interactions_unknown_items",
            1,
            r"1 of 9 rows name items that are not in the catalogue \('nowhere'\).*row 10",
        ),
        ({"clicks": CLICKS + "u1,7,soon\n"}, "interactions_unreadable_timestamps", 1, "row 10"),
        ({"clicks": CLICKS + "u1,d,3\n"}, "interactions_copies", 1, "exact copies"),
        ({"clicks": CLICKS + ",d,3\n"}, "interactions_without_user", 1, "have no user_id"),
        ({"clicks": CLICKS + "u1,c,1\n"}, "interactions_users_out_of_order", 1, "1 users were not in time order"),
        ({"clicks": CLICKS + "u2,c,0\n"}, "users_with_few_events", 1, "1 of 3 users have fewer than 3"),
    ],
)
def test_what_can_be_repaired_is_counted_and_said(store, change: dict, key: str, count: int, sentence: str) -> None:
    data, report = store(**change)
    assert report.counts[key] == count
    assert any(re.search(sentence, s) for s in report.sentences), report.sentences
    assert data.items["item_id"].is_unique
    assert (data.items["title"] != "").all()
    assert data.info["import_notes"] + data.info["notes"] == report.sentences


def test_titles_that_say_nothing_borrow_other_text(store) -> None:
    data, _ = store(items=ITEMS + 'e,"Store"" />",A fine kettle,,\nf,"Store"" />",,,\ng,"Store"" />",,Kitchen,Acme\n')
    titles = dict(zip(data.items["item_id"], data.items["title"], strict=True))
    assert (titles["e"], titles["f"], titles["g"]) == ("A fine kettle", "untitled f", "Acme Kitchen")


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("A&amp;B <b>bold</b> T&uuml;rlen", "A&B bold Türlen"),
        ('Rapid,RFX7" />', "Rapid,RFX7"),
        ("<script>alert(1)</script>Mug", "Mug"),
        ("size < 5 and > 3", "size < 5 and > 3"),
        ("a\x00b\tc\u200b", "a b c"),
        ('cut <img src="x', "cut"),
    ],
)
def test_html_leaves_texts_and_signs_stay(dirty: str, clean: str) -> None:
    assert clean_text(dirty)[0] == clean


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le-bom", "cp1252"])
def test_encodings(store, encoding: str) -> None:
    text = ITEMS.replace("Espresso cup", "Café “crème”")
    raw = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
    data, report = store(items=raw)
    assert data.items["title"].tolist()[2] == "Café “crème”"
    assert len(complaints(report)) == (encoding == "cp1252")
    if encoding == "cp1252":
        assert "not UTF-8: 4 letters were read as Windows-1252" in complaints(report)[0]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_separators(store, delimiter: str) -> None:
    data, _ = store(items=ITEMS.replace(",", delimiter), clicks=CLICKS.replace(",", delimiter))
    assert len(data.items) == 4


def test_column_names_are_read_kindly_and_a_misspelt_optional_one_is_pointed_out(store) -> None:
    data, report = store(items=ITEMS.replace("item_id,title,description", "Item ID, Title ,descripton"))
    assert data.items["title"].tolist()[0] == "Red tent"
    assert any("did you mean 'descripton'" in s for s in report.sentences)


def test_gzip_and_parquet_mean_the_same_as_csv(store, tmp_path: Path) -> None:
    data, _ = store()
    items = pd.read_csv(tmp_path / "items.csv", dtype=str, keep_default_na=False)
    clicks = pd.read_csv(tmp_path / "clicks.csv", dtype={"user_id": str, "item_id": str})
    items.to_parquet(tmp_path / "i.parquet")
    clicks.to_parquet(tmp_path / "c.parquet")
    with gzip.open(tmp_path / "i.csv.gz", "wt") as out:
        out.write(ITEMS)
    for path in ("i.parquet", "i.csv.gz"):
        again, _ = import_tables(tmp_path / path, tmp_path / "c.parquet")
        assert again.info["fingerprint"] == data.info["fingerprint"]


def test_parquet_of_numbers_lists_and_dates(tmp_path: Path) -> None:
    pd.DataFrame(
        {
            "item_id": [1, 2, 3],
            "title": ["tent", None, "cup"],
            "categories": [["Outdoor", "Tents"], None, []],
            "brand": [1.0, np.nan, 2.5],
        }
    ).to_parquet(tmp_path / "i.parquet")
    when = pd.to_datetime(["2023-05-22", "2023-05-23", "2023-05-24"], utc=True)
    pd.DataFrame({"user_id": [9.0, 9.0, 9.0], "item_id": [1, 2, 3], "timestamp": when}).to_parquet(
        tmp_path / "c.parquet"
    )
    data, report = import_tables(tmp_path / "i.parquet", tmp_path / "c.parquet")
    assert data.items["item_id"].tolist() == ["1", "2", "3"]
    assert data.items["categories"].tolist() == ["Outdoor > Tents", "", ""]
    assert data.items["brand"].tolist() == ["1", "", "2.5"]
    assert data.interactions["user_id"].unique().tolist() == ["9"]
    assert np.diff(data.interactions["timestamp"]).tolist() == [86400, 86400]
    assert data.info["timestamps"] == "clock"
    assert report.counts["empty_titles_replaced"] == 1


def test_a_search_log_keeps_queries_without_a_click(store) -> None:
    log = "user_id,query,item_id,timestamp\nu1,tent,7,1\nu1,  cups &amp; mugs ,,2\nu1,cup,c,2\nu1,cup,d,2\nu1,jug,elsewhere,3\nu1,jug,elsewhere,3\n"
    data, report = store(searches=log)
    assert data.info["query_protocol"] == "log"
    assert data.info["search_share"] is None
    assert data.searches["query"].tolist() == ["tent", "cups & mugs", "cup", "cup", "jug"]
    assert data.searches["item_id"].isna().tolist() == [False, True, False, False, True]
    assert report.counts["searches_unknown_items"] == 2
    assert report.counts["searches_copies"] == 1
    session = data.searches["session_id"].tolist()
    assert session[2] == session[3]
    assert len(set(session)) == 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["3", "1", "2"], [3, 1, 2]),
        (["1684763932919", "1684763932920"], [1684763932919, 1684763932920]),
        (["1.684742e+12", "1684742000001.0"], [1684742000000, 1684742000001]),
        (["1.5", "2"], [1500, 2000]),
        (["2023-05-22T15:53:20Z", "2023-05-22 17:53:20+02:00", "2023-05-22"], [1684770800, 1684770800, 1684713600]),
        (["2023-05-22T00:00:00.250", "2023-05-22"], [1684713600250, 1684713600000]),
        (["-5", " 7 "], [-5, 7]),
    ],
)
def test_timestamps(values: list[str], expected: list[int]) -> None:
    found = read_times(values)
    assert not found.bad.any()
    assert found.values.dtype == np.int64
    unit = found.exponent if found.exponent is None else 10**found.exponent
    assert (found.values.tolist(), unit) == (expected, None) or [v / unit for v in found.values] == [
        v / (1000 if max(expected) > 1e11 else 1) for v in expected
    ]


def read_times(values: list[str]) -> Times:
    column = TimeColumn()
    column.add(pa.array(values))
    return column.times({}, "a column")


def test_timestamps_of_the_rarer_kind_are_bad() -> None:
    bad = read_times(["2023-05-22", "2023-05-23", "17", "", "nan", "inf"]).bad
    assert bad.tolist() == [False, False, True, True, True, True]
    times = read_times(["1", "2", "22/05/2023", "4"])
    assert times.bad.tolist() == [False, False, True, False]
    assert times.values[~times.bad].tolist() == [1, 2, 4]


@pytest.mark.parametrize(
    ("times", "steps"),
    [
        ([0, 1, 2, 0, 1], True),
        ([1, 2, 3, 1, 2], True),
        ([2, 0, 1, 1, 0], True),
        ([5, 6, 7, 0, 1], False),
        ([0, 1, 9, 0, 1], False),
        ([100, 200, 300, 1, 2], False),
    ],
)
def test_steps_are_told_from_a_clock(times: list[int], steps: bool) -> None:
    assert count_steps(np.array(["a", "a", "a", "b", "b"]), np.array(times)) is steps


def test_the_kind_of_timestamps_can_be_said(store) -> None:
    assert store(timestamps="clock")[0].info["timestamps"] == "clock"
    with pytest.raises(ValueError, match="must be 'auto'"):
        store(timestamps="years")


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "007", "7", " a", ""]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        ),
        max_size=8,
    ),
    st.lists(
        st.tuples(
            st.sampled_from(["u", "v", ""]),
            st.sampled_from(["a", "b", "7", "zz", ""]),
            st.sampled_from(["1", "2", "3.5", "x", "", "2023-01-01"]),
        ),
        max_size=14,
    ),
)
def test_any_table_is_imported_or_refused(tmp_path_factory, items: list, clicks: list) -> None:
    folder = tmp_path_factory.mktemp("any")
    items = [*items, ("a", "tent"), ("b", "cup")]  # often enough to go on with
    clicks = [*clicks, *(("w", "a", str(t)) for t in range(6))]
    # quoted, since a bare carriage return in a title would end its row
    pd.DataFrame(items, columns=["item_id", "title"]).to_csv(folder / "i.csv", index=False, quoting=csv.QUOTE_ALL)
    pd.DataFrame(clicks, columns=["user_id", "item_id", "timestamp"]).to_csv(folder / "c.csv", index=False)
    try:
        data, report = import_tables(folder / "i.csv", folder / "c.csv")
    except DataError:
        event("refused")
        return
    event("imported")
    assert data.items["item_id"].is_unique
    assert set(data.interactions["item_id"]) <= set(data.items["item_id"])
    dropped = ("without_user", "without_item", "unknown_items", "unreadable_timestamps", "copies")
    assert len(data.interactions) + sum(report.counts[f"interactions_{k}"] for k in dropped) == len(clicks)
    dropped = ("items_without_id", "duplicate_item_rows", "duplicate_item_ids")
    assert len(data.items) + sum(report.counts[k] for k in dropped) == len(items)


@pytest.mark.shared
def test_real_tables(shared_data: Path) -> None:
    folder = shared_data / "industrial"
    data, report = import_tables(folder / "items.csv", folder / "interactions.csv", queries="known-item", data_seed=0)
    assert data.info["counts"] == {"items": 3686, "users": 3285, "interactions": 22743, "searches": len(data.searches)}
    assert report.counts["html_titles_replaced"] == 27
    assert data.info["timestamps"] == "steps"
    assert not data.items["title"].str.contains("/>", regex=False).any()
    with pytest.raises(DataError, match="No item has categories"):
        import_tables(folder / "items.csv", folder / "interactions.csv", queries="category-path")
