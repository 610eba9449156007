"""The recorded results: each belongs to a design that stands beside it, and its summary says what its table says."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_store_is_the_one_that_is_simulated_now(name):
    design = Design.read(FOLDER / f"{name}.design.json")
    told = read_results(FOLDER / name).groupby("data")["fingerprint"].first()
    simulated = {label: source for label, source in design.sources().items() if isinstance(source, dict)}
    for label, source in list(simulated.items())[:2]:
        assert load_source(source).info["fingerprint"] == told[label]
