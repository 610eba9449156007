"""The words of a mapping: conditions, columns, dirty files; nothing is misread or lost in silence."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gensar_lite.cli import main
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.importing.assemble import Tables, read_tables
from gensar_lite.data.importing.expressions import evaluate, parse_condition
from gensar_lite.data.importing.mapping import Mapping, add_words
from gensar_lite.data.importing.recipes import read_recipe, recipe_forms
from gensar_lite.data.storage import DataError

ITEMS = "sku,name,kind\n007,Red tent,A|B\n7,Blue tent,\nc,Cup,B\n"
LOG = "who,what,when\nu,007,2024-01-01 10:00:00\nu,7,2024-01-01 10:00:05\nv,c,2024-01-02 10:00:00\n"
COLUMNS = {
    "user_id": "who",
    "timestamp": "when",
    "items.item_id": "sku",
    "title": "name",
    "categories": "kind",
    "interactions.item_id": "what",
}


def read(folder: Path, items: str | bytes = ITEMS, log: str | bytes = LOG, name: str = "log.csv", **said) -> Tables:
    for file, content in (("items.csv", items), (name, log)):
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    words = {"columns": COLUMNS, "files": {"items": "items.csv", "interactions": name}, **said}
    return read_tables(add_words(Mapping(), **words), folder)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("a >= 4", [0, 0, 1, 1, 0, 0]),
        ("a = 4", [0, 0, 1, 0, 0, 0]),  # 4.0 is 4
        ("a != 4", [1, 1, 0, 1, 1, 1]),
        ("b in view,'add to cart'", [1, 1, 0, 0, 0, 0]),
        ("b not in (view)", [0, 1, 1, 1, 1, 1]),
        ("a < 5 and b = x or b = view", [1, 0, 1, 0, 0, 0]),
        ("a < 5 and (b = x or b = view)", [1, 0, 1, 0, 0, 0]),
        ("`a` > -1 and b > b", [1, 0, 1, 1, 0, 0]),
    ],
)
def test_conditions(condition: str, rows: list[int]) -> None:
    columns = {
        "a": pa.array(["1", "x", "4.0", "5", "", None]),
        "b": pa.array(["view", "add to cart", "x", "y", "", None]),
    }
    found = evaluate(parse_condition(condition), columns).to_pylist()
    assert found == [bool(r) for r in rows]


@pytest.mark.parametrize(
    "text", ["", "a", "a >", "a = 1 b", "a in", "(a = 1", "a = 1 and", "= 1", "a = 1; drop table x", "a in (1"]
)
def test_conditions_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        parse_condition(text)
    with pytest.raises(DataError, match="too many parentheses"):
        parse_condition("(" * 9_000 + text)


def test_ids_are_text_and_categories_three(tmp_path: Path) -> None:
    tables = read(tmp_path)
    assert tables.items["item_id"].tolist() == ["007", "7", "c"]
    assert tables.items["categories"].tolist() == ["A | B", "", "B"]
    assert tables.interactions["item_id"].tolist() == ["007", "7", "c"]
    assert np.diff(tables.interactions["timestamp"][:2]).tolist() == [5]


def test_whole_numbers_with_a_point_match_and_are_told(tmp_path: Path) -> None:
    tables = read(tmp_path, "sku,name,kind\n12,a,\n13,b,\n", "who,what,when\n1.0,12.0,5\n1.0,13.0,6\n,12.0,7\n")
    assert tables.interactions["item_id"].tolist() == ["12", "13"]
    assert tables.interactions["user_id"].tolist() == ["1", "1"]
    assert tables.report.counts["interactions_without_user"] == 1
    assert sum("end in .0" in s for s in tables.report.sentences) == 2


@pytest.mark.parametrize("word", ["NULL", "NA", "nan", "None", "", "\\N"])
def test_missing_ids_are_missing(tmp_path: Path, word: str) -> None:
    tables = read(tmp_path, log=LOG + f"{word},c,2024-01-03 10:00:00\nu,{word},2024-01-03 10:00:00\n")
    assert set(tables.interactions["user_id"]) == {"u", "v"}
    counts = tables.report.counts
    assert (counts["interactions_without_user"], counts["interactions_without_item"]) == (1, 1)


def test_ids_that_differ_by_zeros_are_refused_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="would without leading zeros"):
        read(tmp_path, "sku,name,kind\n001,a,\n002,b,\n", "who,what,when\nu,1,5\nu,2,6\n")


def test_stray_quotes_do_not_swallow_rows(tmp_path: Path) -> None:
    rows = ["sku,name,kind", 'a,"12 inch tent,x', "b,two,x", "c,three,x", 'd,four",x', "e,five,x"]
    with pytest.raises(DataError, match=r"quote"):
        read(tmp_path, "\n".join(rows) + "\n", "who,what,when\nu,a,5\n")
    tables = read(tmp_path, "\n".join(rows) + "\n", "who,what,when\nu,a,5\n", sets=["items.quoting=no"])
    assert len(tables.items) == 5
    assert tables.items["title"].tolist()[0] == '"12 inch tent'
    real = 'sku,name,kind\na,"a tent\nin two lines",x\nb,cup,x\n'
    tables = read(tmp_path, real, "who,what,when\nu,a,5\n")
    assert tables.items["title"].tolist() == ["a tent in two lines", "cup"]
    assert tables.report.counts["cells_with_line_breaks"] == 1


def test_time_keeps_every_digit(tmp_path: Path) -> None:
    log = "who,what,when\n" + "".join(f"u,c,2024-01-01T10:00:00.{n:06d}\n" for n in range(24))
    tables = read(tmp_path, log=log)
    assert (tables.unit, tables.interactions["timestamp"].nunique()) == ("microseconds", 24)
    log = "who,what,when\n" + "".join(f"u,c,{1704106800000000000 + n}\n" for n in range(23)) + "u,c,\n"
    tables = read(tmp_path, log=log)
    assert (tables.unit, tables.interactions["timestamp"].nunique()) == ("nanoseconds", 23)


def test_day_and_month_are_asked_for_where_the_file_does_not_say(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be told apart.*--time-format \"%d/%m/%Y\""):
        read(tmp_path, log="who,what,when\nu,c,03/04/2021\nu,7,05/04/2021\n")
    tables = read(tmp_path, log="who,what,when\nu,c,03/04/2021\nu,7,25/04/2021\n")
    assert any("dates were read as day/month/year" in s for s in tables.report.sentences)
    assert tables.interactions["session_id"].nunique() == 2  # a day is one basket


def test_one_unit_of_time_for_all_tables(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("who,query,when\nu,tent,17\nu,cup,31\n")
    files = {"items": "items.csv", "interactions": "log.csv", "searches": "s.csv"}
    with pytest.raises(DataError, match=r"numbers of unknown unit.*--set searches.time_unit"):
        read(tmp_path, files=files)
    (tmp_path / "s.csv").write_text("who,query,when\nu,tent,1704103200250\nu,-1,1704103300000\n")
    tables = read(tmp_path, files=files)
    assert tables.unit == "milliseconds"
    assert tables.searches is not None
    assert tables.searches["query"].tolist() == ["tent"]
    assert tables.interactions["timestamp"].min() == 1704103200000
    assert any("1 queries are -1" in s for s in tables.report.sentences)


def test_other_encodings_are_found_or_told(tmp_path: Path) -> None:
    items = "sku,name,kind\n1,帐篷 加厚,户外\n2,不锈钢餐盘,家居\n3,雨伞,户外\n"
    log = "who,what,when\nu,1,5\nu,2,6\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "gb18030"):
        tables = read(tmp_path, items.encode(encoding), log)
        assert tables.items["title"].tolist() == ["帐篷 加厚", "不锈钢餐盘", "雨伞"], encoding
    tables = read(tmp_path, "sku,name,kind\n1,Café Münster,\n2,Tür,\n".encode("latin-1"), log)
    assert tables.items["title"].tolist() == ["Café Münster", "Tür"]
    with pytest.raises(DataError, match="is not in the encoding ascii"):
        read(tmp_path, items, log, short={"encoding": "items=ascii"})


def test_the_record_of_an_import_is_a_recipe(tmp_path: Path) -> None:
    tables = read(tmp_path, clicks="what in 7,c")
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "x", "import": {"mapping": tables.mapping}}))
    again = read_tables(recipe_forms(read_recipe(str(tmp_path / "dataset.json"))), tmp_path)
    assert again.interactions.equals(tables.interactions)
    assert again.mapping == tables.mapping


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2", "zip"])
def test_packed_files_mean_the_same_in_any_encoding_and_broken_ones_are_refused(tmp_path: Path, ending: str) -> None:
    def pack(content: bytes) -> bytes:
        if ending == "zip":
            with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
                archive.writestr("log.csv", content)
            return packed.getvalue()
        how = {"gz": gzip.compress, "bz2": bz2.compress, "zst": lambda c: pa.compress(c, "zstd", asbytes=True)}
        return how[ending](content)

    plain = read(tmp_path)
    log = LOG.replace("u,", "ü,")
    for encoding in ("utf-8", "utf-16", "cp1252"):
        tables = read(tmp_path, log=pack(log.encode(encoding)), name=f"log.csv.{ending}")
        assert tables.interactions["user_id"].tolist() == ["ü", "ü", "v"], encoding
        assert tables.interactions["timestamp"].equals(plain.interactions["timestamp"])
    whole = pack((LOG + "u,7,2024-01-05 00:00:00\n" * 5000).encode())
    with pytest.raises(DataError, match=rf"log\.csv\.{ending}"):
        read(tmp_path, log=whole[: len(whole) // 2], name=f"log.csv.{ending}")


def test_a_dry_run_tells_and_writes_nothing(tmp_path: Path, capsys) -> None:
    read(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    words = ",".join(f"{word}={column}" for word, column in COLUMNS.items())
    line = ["data", "import", str(tmp_path), "--items", "items.csv", "--interactions", "log.csv", "--columns", words]
    assert main([*line, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "would give 3 items, 3 interactions; nothing was written" in told
    assert "interactions from log.csv, 3 rows: " in told
    assert "user_id = who" in told
    assert main([*line, "--dry-run", "--json", "--k-core", "1", "--sample-users", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"]["interactions"] in (1, 2)
    assert told["mapping"]["interactions"]["timestamp"] == "when"
    assert sorted(tmp_path.rglob("*")) == before
    assert main([*line, "--clicks", "nothing", "--dry-run"]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_a_sample_of_users_keeps_all_that_they_did(tmp_path: Path) -> None:
    log = "who,what,when\n" + "".join(f"{u},{i},{t}\n" for u in "abcdef" for t, i in enumerate(("7", "c", "7")))
    tables = read(tmp_path, log=log, options={"sample_users": 2})
    assert tables.interactions["user_id"].value_counts().tolist() == [3, 3]
    assert any("a random sample of 2 of 6 users" in s for s in tables.report.sentences)
    tables = read(tmp_path, log=log + "z,007,3\n", options={"k_core": 2})
    assert tables.items["item_id"].tolist() == ["7", "c"]
    assert "z" not in set(tables.interactions["user_id"])


def test_a_line_that_does_not_fit_is_refused_or_dropped_and_counted(tmp_path: Path) -> None:
    log = LOG + "u,c\nu,7,2024-01-05,x\n"
    with pytest.raises(DataError, match=r"log.csv, line 5.*has 2 cells where the first line has 3"):
        read(tmp_path, log=log)
    tables = read(tmp_path, log=log, sets=["interactions.bad_rows=drop"])
    assert (len(tables.interactions), tables.report.counts["bad_rows"]) == (3, 2)


def test_the_line_of_the_readme_imports_a_shops_export(tmp_path: Path, monkeypatch, capsys) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    found = re.search(r"gensar-lite (data import --items artikel\.csv.*?) --dry-run\n", readme, re.DOTALL)
    assert found
    words = shlex.split(found[1].replace("\\\n", " "))
    articles = "Artikelnummer;Bezeichnung;Hersteller\n007;Küchenwaage grün;Müller\n7;Zelt für zwei;Böhm\n8;Tasse;Böhm\n"
    rows = [f"K{k};{a};{d:02}.03.2024 09:30;Kauf" for k in range(4) for d, a in enumerate(("007", "7", "8"), 14)]
    monkeypatch.chdir(tmp_path)
    Path("artikel.csv").write_bytes(articles.encode("cp1252"))
    log = ["Kunde;Artikelnummer;Zeitpunkt;Vorgang", *rows, "K0;7;20.03.2024 10:00;Retoure"]
    Path("bestellungen.csv").write_text("\n".join(log) + "\n", "utf-8")
    assert main([*words, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "user_id = Kunde" in told
    assert "1 of 13 rows are no clicks" in told
    assert not Path("mydata").exists()
    assert main([*words, "--out", "mydata"]) == 0
    data = Dataset.load("mydata")
    assert data.items["item_id"].tolist() == ["007", "7", "8"]
    assert data.items["title"][0] == "Küchenwaage grün"
    assert len(data.interactions) == 12


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
_CELL = st.one_of(st.sampled_from(["007", "7", "c", "u", "NA", "", "1.0", "2", "2023-01-01", "a|b", '"', "x,y"]), _TEXT)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(_CELL, _CELL, _CELL), max_size=10),
    form=st.sampled_from(["csv", "tsv", "jsonl", "json", "list"]),
    condition=st.sampled_from([None, "what in 7,c", "when > 1", "who != u"]),
)
def test_any_table_through_the_mapping_is_loaded_or_refused(
    tmp_path_factory, rows: list, form: str, condition: str | None
) -> None:
    folder = tmp_path_factory.mktemp("any")
    names = ("who", "what", "when")
    if form in ("csv", "tsv"):
        sign = "," if form == "csv" else "\t"
        quoted = ['"' + sign.join(names).replace(sign, f'"{sign}"') + '"']
        quoted += [sign.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
        text = "\n".join(quoted) + "\n"
    elif form == "jsonl":
        text = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    elif form == "json":
        text = json.dumps([dict(zip(names, row, strict=True)) for row in rows])
    else:
        text = "\n".join(" ".join(cell.replace("\n", "") for cell in row) for row in rows) + "\n"
    said: dict = {"clicks": condition}
    if form == "list":
        said = {"columns": {**COLUMNS, "user_id": "0", "items": "rest"}, "sets": ["interactions.timestamp="]}
        said["columns"] = {k: v for k, v in said["columns"].items() if k not in ("timestamp", "interactions.item_id")}
        said["columns"] = {("interactions.items" if k == "items" else k): v for k, v in said["columns"].items()}
    try:
        tables = read(folder, log=text, name=f"log.{'txt' if form == 'list' else form}", **said)
    except DataError:
        event("refused")
        return
    event("loaded")
    counts = tables.report.counts
    came = counts.get("interactions_entries", counts["interactions_rows"])
    dropped = ("without_user", "without_item", "unknown_items", "unreadable_timestamps", "copies", "not_clicked")
    if form != "list":
        assert came == len(rows) - counts.get("unreadable_lines", 0)
        assert len(tables.interactions) + sum(counts.get(f"interactions_{k}", 0) for k in dropped) == came
    assert set(tables.interactions["item_id"]) <= set(tables.items["item_id"])
