"""Every kind of curve and every strategy, from the design to the figures, on a tiny store."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_sweep import SETTINGS

from gensar_lite.cli import main
from gensar_lite.data.storage import DataError, read_json, write_json
from gensar_lite.identifiers import list_strategies
from gensar_lite.tradeoff import sweep as sweep_module
from gensar_lite.tradeoff.design import CURVES, Design
from gensar_lite.tradeoff.results import LISTS, read_results
from gensar_lite.tradeoff.sweep import run_sweep
from gensar_lite.tradeoff.workshop import Cost, _noted

DESIGN = {
    "strategies": ["gensar"],
    "mixes": [0, 0.5, 1],
    "seeds": [0],
    "settings": SETTINGS,
    "protocols": ["uniform99", "popular99", "bm25_99"],
    "num_places": 3,
    "levels": [0, 0.5, 1],
    "partners": ["bm25", "als"],
    "blocks": [
        {"curves": list(CURVES), "specialists": ["bm25", "als"]},
        {"strategies": list_strategies(), "mixes": [0.5]},
    ],
}


@pytest.fixture(scope="module")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep that holds everything a sweep can hold, run and read by the command."""
    folder = tmp_path_factory.mktemp("sweep")
    write_json(folder / "design.json", {**DESIGN, "data": [str(store)]})
    assert main(["tradeoff", "--design", str(folder / "design.json"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_every_curve_and_every_strategy_is_there(whole):
    results = read_results(whole)
    assert set(results[results["curve"] == "sweep"]["strategy"]) == set(list_strategies())
    own = results[results["strategy"] == "gensar"]
    fusions = {f"fusion with {name}" for name in ("identifiers", "tasks", "bm25", "als")}
    assert set(own["curve"]) == {"sweep", "interpolation", "ensemble", "conditioned", *fusions}
    assert own.groupby("curve")["place"].nunique().eq(3).all()
    assert set(results[results["curve"] == "specialist"]["strategy"]) == {"bm25", "als"}
    assert results[results["protocol"] != LISTS]["value"].between(0, 1).all()


def test_a_fusion_pays_for_its_own_partner(whole):
    spent = read_results(whole).query("strategy == 'gensar'").groupby("curve")["cpu_seconds"].first()
    assert spent["fusion with identifiers"] == spent["fusion with tasks"]
    assert spent["fusion with als"] > spent["fusion with tasks"]
    assert spent["interpolation"] == spent["ensemble"] > spent["fusion with tasks"]


def test_specialists_tell_their_tuning_and_are_validated_as_they_are_reported(whole):
    results = read_results(whole).query("strategy == 'als' and curve == 'specialist' and protocol != @LISTS")
    assert set(results["protocol"]) == {"uniform99", "popular99"}
    assert results.groupby("split")["protocol"].nunique().tolist() == [2, 2]
    assert '"factors"' in results["parameters"].iloc[0]


def test_figures_of_the_whole_sweep(whole):
    assert {path.name for path in whole.glob("*.png")} == {
        "tradeoff.png",
        "cheap_shop_gensar.png",
        "gains_shop_with_evidence.png",
    }
    assert (whole / "gains_shop_with_evidence.parquet").is_file()


def test_other_goals_are_written_beside(whole, capsys):
    before = (whole / "summary.json").read_bytes()
    main(["tradeoff", "--out", str(whole), "--read-only", "--goals", "popular99,bm25_99"])
    assert (whole / "summary.json").read_bytes() == before
    other = read_json(whole / "summary_popular99_bm25_99_NDCG10.json")
    assert other["goals"]["recommendation"] == "popular99"
    assert "recommendation popular99" in capsys.readouterr().out


def test_a_variant_that_repeats_the_settings_is_none(store):
    design = Design.from_json(
        {
            **DESIGN,
            "blocks": [{}],
            "mixes": [0.5],
            "data": [str(store)],
            "variants": [{}, {"num_shared": 2}, {"num_shared": 1}],
        }
    )
    assert [unit.variant for unit in design.units()] == ["", "num_shared=1"]


def test_a_strategy_that_means_something_else_is_another_run(store, monkeypatch):
    from gensar_lite.identifiers import strategies

    design = Design.from_json({**DESIGN, "blocks": [{}], "mixes": [0.5], "data": [str(store)]})
    before = sweep_module.unit_key(design.units()[0], design, "f", "v")
    assert sweep_module.unit_key(design.units()[0], design, "f", "v") == before
    monkeypatch.setitem(strategies._STRATEGIES, "gensar", strategies._STRATEGIES["fused"])
    assert sweep_module.unit_key(design.units()[0], design, "f", "v") != before


def test_cheap_curves_start_from_a_model_of_both_tasks(store):
    design = Design.from_json({**DESIGN, "blocks": [{"curves": ["fusion"]}], "mixes": [0, 1], "data": [str(store)]})
    assert [unit.mix for unit in design.units()] == [0.5]


@pytest.mark.parametrize("changes", [{"settings": {**SETTINGS, "steps": 4}}, {"num_places": 5}])
def test_other_settings_are_refused_in_the_same_folder(whole, store, changes):
    other = Design.from_json({**DESIGN, "data": [str(store)], **changes})
    with pytest.raises(DataError, match="holds runs with other settings"):
        run_sweep(other, whole, progress=False)


def test_failures_are_written_and_reading_keeps_them(store, tmp_path, monkeypatch, capsys):
    def never(*_):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(sweep_module, "do_unit", never)
    write_json(tmp_path / "design.json", {**DESIGN, "data": [str(store)], "blocks": [{}], "mixes": [0.5]})
    assert main(["tradeoff", "--design", str(tmp_path / "design.json"), "--out", str(tmp_path / "out")]) == 1
    assert "out of luck" in capsys.readouterr().err
    recorded = read_json(tmp_path / "out" / "summary.json")["failures"]
    assert list(recorded.values()) == ["RuntimeError: out of luck"]
    assert main(["tradeoff", "--out", str(tmp_path / "out"), "--read-only"]) == 1, "there is nothing to read"
    assert read_json(tmp_path / "out" / "summary.json")["failures"] == recorded


def test_the_cost_of_a_killed_training_goes_on(tmp_path):
    path = tmp_path / "spent.json"
    write_json(path, Cost(100.0, 50.0)._asdict())
    with _noted(path) as clock:
        assert clock.cost.wall >= 100
        assert 50 <= clock.cost.cpu < 100
    assert Cost(**read_json(path)).wall >= 100
    with _noted(tmp_path / "new" / "spent.json"):
        pass
    assert (tmp_path / "new" / "spent.json").is_file()
