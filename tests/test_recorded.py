"""The recorded results: each belongs to a design that stands beside it, and its summary says what its table says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gensar_lite.tradeoff.design import Design, load_source
from gensar_lite.tradeoff.results import TIDY, read_results

FOLDER = Path(__file__).parents[1] / "data" / "results"
DESIGNS = sorted(path.name.removesuffix(".design.json") for path in FOLDER.glob("*.design.json"))
RECORDED = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


@pytest.mark.parametrize("name", DESIGNS)
def test_designs_can_be_run(name):
    design = Design.read(FOLDER / f"{name}.design.json")
    design.check()
    assert json.loads((FOLDER / f"{name}.design.json").read_text(encoding="utf-8"))["name"] == name


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_table_holds_runs_of_its_design_alone(name):
    units = Design.read(FOLDER / f"{name}.design.json").units()
    results = read_results(FOLDER / name)
    assert list(results.columns) == TIDY
    assert results.groupby("data")[["fingerprint", "version"]].nunique().eq(1).all(axis=None)
    wanted = {(u.data, u.strategy, u.mix, u.seed, u.variant) for u in units}
    renamed = results["variant"].str.replace("likeness", "content")  # its name in version 0.1
    runs = (
        results.assign(variant=renamed)
        .drop_duplicates("run")[["data", "strategy", "mix", "seed", "variant"]]
        .astype({"mix": object})
    )
    found = {tuple(None if value != value else value for value in row) for row in runs.itertuples(index=False)}
    assert found <= wanted
    assert {u.strategy for u in units} == set(results["strategy"]), "a strategy of the design is missing altogether"


@pytest.mark.parametrize("name", RECORDED)
def test_a_summary_says_what_the_table_says(name):
    results = read_results(FOLDER / name)
    summary = json.loads((FOLDER / name / "summary.json").read_text(encoding="utf-8"))
    goals, points = summary["goals"], pd.DataFrame(summary["points"])
    own = results[(results["split"] == "test") & (results["metric"] == goals["metric"])]
    for task in ("recommendation", "search"):
        part = own[(own["task"] == task) & (own["protocol"] == goals[task])]
        keys = ["data", "curve", "strategy", "variant", "place"]
        told = points.set_index(keys)[task]
        means = part.groupby(keys)["value"].mean().reindex(told.index)
        np.testing.assert_allclose(told, means, atol=1e-6)
    assert summary["failures"] == {}
    assert (FOLDER / name / "figures.json").is_file()


def test_records_of_older_data_are_called_so():
    """The head of the evidence says whether any record is of a store that comes out differently now."""
    aged = []
    for name in RECORDED:
        design = Design.read(FOLDER / f"{name}.design.json")
        told = read_results(FOLDER / name).groupby("data")["fingerprint"].first()
        simulated = {label: source for label, source in design.sources().items() if isinstance(source, dict)}
        for label, source in list(simulated.items())[:2]:
            aged += [name] * (load_source(source).info["fingerprint"] != told[label])
    head = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")[:1000]
    assert ("of older data" in head) == bool(aged), sorted(set(aged))


# what the documents quote --------------------------------------------------------------------------

ROOT = FOLDER.parents[1]
QUOTED = re.compile(r"<!-- (measured|distances): (.+?) -->\n((?:\|.*\n)+)")
COLUMN = re.compile(r"(rec|search)\.? `(\w+)`")
CELL = re.compile(r"(\.\d{3})(?: <sub>(\.\d{3})–(\.\d{3})</sub>)?")


def quoted_tables(kind: str) -> list:
    """Tables of the documents that stand below a comment saying where they come from: source, rows of cells."""
    found = []
    for path in (ROOT / "README.md", ROOT / "docs" / "evidence.md"):
        for what, source, table in QUOTED.findall(path.read_text(encoding="utf-8")):
            rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()]
            if what == kind:
                found.append(pytest.param(source, [rows[0], *rows[2:]], id=f"{path.stem}: {source}"))
    return found


def short(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}".replace("0.", ".", 1).replace("-", "−")


@pytest.mark.parametrize(("source", "table"), quoted_tables("measured"))
def test_quoted_means_and_ranges_are_those_of_the_recorded_seeds(source, table):
    name, _, mix = source.partition(", mix ")
    name, _, data = name.partition("/")
    results = read_results(FOLDER / name)
    own = results[(results["split"] == "test") & (results["metric"] == "NDCG@10")]
    own = own[own["data"] == data] if data else own
    variant = np.where(own["variant"] == "", "", " (" + own["variant"] + ")")
    end = own["mix"].map({0.0: " search-only", 1.0: " recommendation-only"}).fillna("")
    own = own.assign(model=own["strategy"] + variant + end)
    if mix:
        own = own[own["mix"].isna() | own["mix"].isin([0, float(mix), 1])]
    for label, *cells in table[1:]:
        if (named := re.search(r"`(.+?)`", label)) is None:
            continue  # the oracle: of the data card
        model = named[1]
        for head, cell in zip(table[0][1:], cells, strict=True):
            if column := COLUMN.fullmatch(head):
                task = {"rec": "recommendation", "search": "search"}[column[1]]
                values = own[(own["model"] == model) & (own["task"] == task) & (own["protocol"] == column[2])]["value"]
                if not cell:
                    assert values.empty, (model, head)
                    continue
                told = CELL.fullmatch(cell)
                assert told, cell
                assert told[1] == short(values.mean()), (model, head)
                assert told[2] is None or told.groups()[1:] == (short(values.min()), short(values.max())), (model, head)
            elif head == "seeds":
                assert int(cell) == own[own["model"] == model]["seed"].nunique(), model


@pytest.mark.parametrize(("source", "table"), quoted_tables("distances"))
def test_quoted_differences_are_those_of_the_summaries(source, table):
    told = []
    for name in source.split(", "):
        summary = json.loads((FOLDER / name / "summary.json").read_text(encoding="utf-8"))
        told += summary["distances"]
    assert table[0] == ["data", "model", "task", "against", "difference", "p"]
    for data, model, task, against, difference, p in table[1:]:
        name, value = re.fullmatch(r"`(.+)` (\S+)", against).groups()  # type: ignore[union-attr]
        keys = {"data": data, "model": model.strip("`"), "task": task, "against": name}
        row = next(row for row in told if all(row[key] == wanted for key, wanted in keys.items()))
        low, high = short(row["low"], "+"), short(row["high"], "+")
        assert value == short(row["against_value"]), keys
        assert difference == f"{short(row['difference'], '+')} ({low} to {high})", keys
        assert p == f"{row['p_holm']:.3f}", keys
