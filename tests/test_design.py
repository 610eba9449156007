"""Designs: what a sweep runs, crossed in blocks, each run once."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from test_sweep import PLAIN, design

from gensar_lite.config import PRESETS
from gensar_lite.data.storage import DataError
from gensar_lite.tradeoff.design import Design, Unit, asked_units, leave_out, name_source
from gensar_lite.training.settings import TrainingConfig


def test_a_design_crosses_within_blocks_and_holds_each_run_once(store):
    plan = Design.from_json(
        {
            **PLAIN,
            "data": ["bazaar"],
            "blocks": [
                {},
                {"data": [{"alignment": 0.0}, {"alignment": 1.0}], "seeds": [0, 1]},
                {"mixes": [0.2], "variants": [{}, {"num_shared": 1}]},
                {"specialists": ["bm25", "als"], "seeds": [0, 1], "curves": ["conditioned"]},
            ],
        }
    )
    units = plan.units()
    kinds = pd.Series([unit.kind for unit in units]).value_counts().to_dict()
    assert kinds == {"sweep": 2 + 8 + 1, "specialist": 3, "conditioned": 2}
    assert [unit.variant for unit in units if unit.settings] == ["num_shared=1"]
    assert plan.config(next(u for u in units if u.settings)).identifiers.num_shared == 1
    assert list(plan.sources()) == ["bazaar", "bazaar(alignment=0)", "bazaar(alignment=1)"]
    assert Design.from_json(json.loads(json.dumps(plan.to_json()))).units() == units
    noted = {"fingerprints": {}, "version": "0", "runs": [], "seal": "0"}
    assert asked_units({**plan.to_json(), **noted}) == units


def test_the_order_of_a_design_is_kept():
    changes = [{"num_codes": 16}, {"num_codes": 32}, {"num_codes": 128}]
    plan = Design.from_json({**PLAIN, "data": ["bazaar"], "strategies": ["semantic", "gensar"], "variants": changes})
    units = plan.units()
    assert list(dict.fromkeys(u.variant for u in units)) == ["num_codes=16", "num_codes=32", "num_codes=128"]
    assert list(dict.fromkeys(u.strategy for u in units)) == ["semantic", "gensar"]


def test_tasks_are_left_out():
    training = TrainingConfig()
    assert leave_out(training, ["next_query"]).shares().keys() == training.shares().keys() - {"next_query"}
    assert leave_out(training, "query_to_item").shares()["query_to_item"] == 0
    with pytest.raises(DataError, match="mix 1"):
        leave_out(training, ["query_to_item", "next_search_item"])


def test_two_folders_of_one_name_are_refused(tmp_path):
    with pytest.raises(DataError, match="two different data sets"):
        design(tmp_path / "a" / "shop", data=[str(tmp_path / "a" / "shop"), str(tmp_path / "b" / "shop")]).units()
    assert name_source({"signal": 0.5, "alignment": 0.25}) == "bazaar(alignment=0.25, signal=0.5)"


def test_the_ladder_pulls_one_lever_a_rung() -> None:
    ladder = Design.read(Path(__file__).parents[1] / "data" / "results" / "ladder.design.json")
    ladder.check()
    rungs = []
    for variant in ladder.blocks[0].variants:
        config = ladder.config(Unit("sweep", "bazaar", "gensar", 0.5, 0, variant))
        form = config.training
        rungs.append(
            {
                "starting vectors": form.start_vectors,
                "siblings": form.softmax,
                "pooled": form.history,
                "items": form.remembers_items,
                "age": form.marks_ages,
                "searched": form.recommend_searched,
                "pseudo-queries": form.pseudo_queries_per_item,
                "evidence": config.evidence,
            }
        )
    levers = list(rungs[0])
    assert len(rungs) == 1 + len(levers)
    for number, lever in enumerate(levers):
        below, above = rungs[number], rungs[number + 1]
        assert [name for name in levers if below[name] != above[name]] == [lever]
    assert not rungs[0]["evidence"]
    paper = PRESETS["paper"].training
    low = ladder.config(Unit("sweep", "bazaar", "gensar", 0.5, 0)).training
    for name in ("history", "max_events", "softmax", "start_vectors", "recommend_searched", "attention_dropout"):
        assert getattr(low, name) == getattr(paper, name), name
