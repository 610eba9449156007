"""The recorded results: each belongs to a design that stands beside it, and its summary says what its table says."""

from __future__ import annotations

import json
import re
import sys
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
    runs = results.drop_duplicates("run")[["data", "strategy", "mix", "seed", "variant"]].astype({"mix": object})
    found = {tuple(None if value != value else value for value in row) for row in runs.itertuples(index=False)}
    assert found <= wanted
    assert {u.strategy for u in units} == set(results["strategy"]), "a strategy of the design is missing altogether"


@pytest.mark.parametrize("name", RECORDED)
def test_a_summary_says_what_the_table_says(name):
    results = read_results(FOLDER / name)
    for path in (FOLDER / name).glob("summary*.json"):
        _check_summary(results, json.loads(path.read_text(encoding="utf-8")))
    assert (FOLDER / name / "figures.json").is_file()


def _check_summary(results, summary):
    goals, points = summary["goals"], pd.DataFrame(summary["points"])
    own = results[(results["split"] == "test") & (results["metric"] == goals["metric"])]
    for task in ("recommendation", "search"):
        part = own[(own["task"] == task) & (own["protocol"] == goals[task])]
        keys = ["data", "curve", "strategy", "variant", "place"]
        told = points.set_index(keys)[task]
        means = part.groupby(keys)["value"].mean().reindex(told.index)
        np.testing.assert_allclose(told, means, atol=1e-6)
    assert summary["failures"] == {}


# what the documents quote --------------------------------------------------------------------------

ROOT = FOLDER.parents[1]
sys.path.append(str(ROOT / "docs"))
import records  # noqa: E402

TEXTS = {path.name: path.read_text(encoding="utf-8") for path in records.PAGES}


@pytest.mark.parametrize("page", TEXTS)
def test_tables_are_those_of_the_records(page):
    assert records.TABLE.search(TEXTS[page])
    assert records.filled(TEXTS[page]) == TEXTS[page], "python docs/records.py writes them"


@pytest.mark.parametrize("page", TEXTS)
def test_numbers_in_sentences_are_those_of_the_rows_they_name(page):
    assert list(records.unsaid(TEXTS[page])) == []


@pytest.mark.parametrize("page", TEXTS)
def test_figures_are_of_today_s_records(page):
    for spec, picture in records.DRAWN.findall(TEXTS[page]):
        assert not records.select(f"{spec.split()[0]}/points").empty
        assert (ROOT / ("docs" if page != "README.md" else ".") / picture).is_file()


def test_quoted_records_are_of_today_s_data():
    """A store that is simulated differently now would make what is quoted old."""
    quoted = {name for text in TEXTS.values() for name in re.findall(r"<!-- (?:\w+): (\w+)", text) if name in RECORDED}
    assert quoted
    for name in quoted:
        told = read_results(FOLDER / name).groupby("data")["fingerprint"].first()
        for label, source in list(Design.read(FOLDER / f"{name}.design.json").sources().items())[:2]:
            if label in told and (isinstance(source, dict) or source == "bazaar"):
                assert load_source(source).info["fingerprint"] == told[label]


def test_a_wrong_number_is_found():
    text = TEXTS["evidence.md"]
    table = records.TABLE.search(text)
    assert table is not None
    number = records.NUMBER.search(table[3])
    assert number is not None
    other = f".{(int(number[0][-3:]) + 1) % 1000:03d}"
    broken = text.replace(table[3], table[3].replace(number[0], other, 1))
    assert broken != text
    assert records.filled(broken) == text
    said = "Recommendation reaches .490, search .734. <!-- said: curves/points name=gensar place=0.45 -->"
    assert list(records.unsaid(said)) == []
    assert [number for number, _ in records.unsaid(said.replace(".490", ".777"))] == [".777"]
    assert [number for number, _ in records.unsaid("It reaches .490.")] == [".490"]
    with pytest.raises(ValueError, match="no row"):
        records.select("curves/points data=nowhere")


def test_on_every_store_of_the_map_the_choice_of_validation_is_on_the_front():
    points = records.table_of("map", "points")
    for label, own in points.groupby("data"):
        best = own.loc[own[["recommendation_valid", "search_valid"]].mean(axis=1).idxmax()]
        ahead = own[(own["recommendation"] > best["recommendation"]) & (own["search"] > best["search"])]
        assert ahead.empty, f"{label}: {best['strategy']} is behind {list(ahead['strategy'])}"
