"""The trade-off explorer, the kit behind it, and the commands that make pages, without a browser."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pandas as pd
import pytest
from builders import quick_tiny_model
from test_faults import HARMS, harm

from gensar_lite.cli import main
from gensar_lite.data.storage import DataError, new_folder
from gensar_lite.explore import kit as kits
from gensar_lite.explore.answers import Shop
from gensar_lite.explore.kit import find_kit, prepare_kit
from gensar_lite.explore.widgets import TradeoffExplorer
from gensar_lite.explore.widgets.tradeoff_scene import Sweep, curve_names, plane_marks
from gensar_lite.tradeoff.reading import PRIMARY_GOALS


def warning(explorer) -> str:
    """What an explorer complains about; an empty text where it does not."""
    found = re.search(r'class="gl-warn" role="alert">(.*?)</div>', explorer.message.value, re.DOTALL)
    return found[1] if found else ""


# trade-off explorer ----------------------------------------------------------------------------


def test_the_line_that_a_kit_measured_is_a_sweep(kit):
    sweep = Sweep(kit.curve)
    options = sweep.options(sweep.labels[0])
    assert sorted(options["curves"]) == ["interpolation", "sweep"]
    assert options["seeds"] == [0]
    assert (options["recommendation"], options["search"]) == (["uniform99"], ["bm25_99"])


def test_what_is_chosen_is_drawn(kit):
    explorer = TradeoffExplorer({"line": kit.curve}, Shop(kit.model, kit.line), "line")
    assert not warning(explorer), explorer.message.value

    def points() -> list[dict]:
        return [m for m in explorer.plane.marks if m.get("key", "").startswith("point:")]

    assert len(points()) == 5 + 1  # the line, and the model itself
    values = explorer.sweep.results
    chosen = values[(values["split"] == "test") & (values["metric"] == "MRR") & (values["place"] == 0)]
    explorer.metric.value = "MRR"
    row = explorer.shown[explorer.shown["place"] == 0].iloc[0]
    for task, protocol in (("recommendation", "uniform99"), ("search", "bm25_99")):
        expected = chosen[(chosen["task"] == task) & (chosen["protocol"] == protocol)]["value"].iloc[0]
        assert row[task] == pytest.approx(expected, abs=0.02)  # a mean over users, not over cases
    explorer.plane.pick("point:0")
    assert "The point clicked" in explorer.point.value
    assert "8 steps" in explorer.point.value
    assert any(m.get("s") == "one seed: no intervals" for m in explorer.plane.marks)
    explorer.curves.tick("interpolation", False)
    assert len(points()) == 1
    explorer.curves.tick("sweep", False)
    assert points() == []
    assert "Nothing is chosen" in warning(explorer)
    explorer.export.click()
    assert "nothing to export" in warning(explorer)


def test_the_slider_marks_a_measured_point_and_shows_its_answers(kit):
    explorer = TradeoffExplorer({"line": kit.curve}, Shop(kit.model, kit.line), "line")
    explorer.place.value = 1.0
    ring = next(m for m in explorer.plane.marks if m.get("id") == "slider")
    last = explorer.shown.index[explorer.shown["place"] == 1.0][0]
    point = next(m for m in explorer.plane.marks if m.get("key") == f"point:{last}")
    assert (ring["x"], ring["y"]) == (point["x"], point["y"])
    _, user = explorer.example.value
    title = kit.line.at(1.0).recommend(user=user, k=1)["title"][0]
    assert title.replace("&", "&amp;") in explorer.answers.value


def test_exports_hold_the_chosen_points(kit):
    explorer = TradeoffExplorer({"line": kit.curve})
    explorer.export.click()
    links = dict(re.findall(r'download="(\S+)" href="data:[^,]+,([^"]+)"', explorer.links.value))
    assert set(links) == {"tradeoff.png", "tradeoff.svg", "tradeoff.csv"}
    rows = list(csv.DictReader(io.StringIO(b64decode(links["tradeoff.csv"]).decode())))
    assert [float(row["place"]) for row in rows if row["curve"] == "interpolation"] == [0, 0.25, 0.5, 0.75, 1]
    assert b64decode(links["tradeoff.png"]).startswith(b"\x89PNG")
    assert b"<svg" in b64decode(links["tradeoff.svg"])
    assert "no fine-tunes are here" in explorer.answers.value


def test_a_damaged_kit_is_refused_in_a_sentence(runs, tmp_path):
    run, kit = runs
    for name, kind in [
        (n, k) for n in ("kit.json", "curve/results.parquet") for k in HARMS if (n, k) != ("kit.json", "deleted")
    ]:
        shutil.rmtree(tmp_path / "kit", ignore_errors=True)
        copy = Path(shutil.copytree(kit, tmp_path / "kit"))
        if harm(copy / name, kind):
            with pytest.raises(DataError, match=Path(name).name) as told:
                find_kit(run, copy)
            assert "\n" not in str(told.value)


def test_intervals_can_be_taken_off(kit, tmp_path):
    """Two seeds give intervals: the kit's line once more, under another seed."""
    from gensar_lite.tradeoff.results import read_ranks, read_results, write_results

    results = read_results(kit.curve)
    ranks = pd.read_parquet(kit.curve / "runs" / "line" / "ranks.parquet")
    assert len(read_ranks(kit.curve, results))
    (tmp_path / "runs").mkdir()
    for run in ("line", "again"):
        with new_folder(tmp_path / "runs" / run, "sweep's run") as folder:
            ranks.to_parquet(folder / "ranks.parquet")
    write_results(tmp_path, pd.concat([results, results.assign(seed=1, run="again")], ignore_index=True))
    explorer = TradeoffExplorer({"two seeds": tmp_path})

    def crosses() -> int:
        return sum(m.get("opacity") == 0.45 for m in explorer.plane.marks)

    assert crosses() == 2 * 6
    explorer.intervals.value = False
    assert crosses() == 0
    explorer.intervals.value = True
    assert crosses() == 2 * 6
    explorer.seeds.tick(1, False)
    assert crosses() == 0
    assert explorer.shown["num_seeds"].tolist() == [1] * 6


def test_a_table_without_ranks_has_points_without_intervals(kit, tmp_path):
    """What a recorded table says by itself is what it says with its ranks, up to means over cases or over users."""
    shutil.copy(kit.curve / "results.parquet", tmp_path)
    bare, whole = Sweep(tmp_path), Sweep(kit.curve)
    keys = ["curve", "place"]
    one, two = (sweep.points("bazaar", PRIMARY_GOALS, [0]).sort_values(keys).reset_index() for sweep in (bare, whole))
    assert set(two.columns) <= set(one.columns)
    pd.testing.assert_frame_equal(
        one[[*keys, "front", "num_seeds"]], two[[*keys, "front", "num_seeds"]], check_dtype=False
    )
    for task in ("search", "recommendation"):
        assert one[task].to_numpy() == pytest.approx(two[task].to_numpy(), abs=0.03)
        assert one[f"{task}_valid"].to_numpy() == pytest.approx(two[f"{task}_valid"].to_numpy(), abs=1e-9)
        assert one[f"{task}_low"].isna().all()
    explorer = TradeoffExplorer({"recorded": tmp_path})
    explorer.export.click()
    assert "tradeoff.svg" in explorer.links.value


def test_a_folder_that_is_no_sweep_is_told_in_place(tmp_path):
    explorer = TradeoffExplorer({"nothing": tmp_path})
    assert "has no results.parquet; make one with `gensar-lite tradeoff" in warning(explorer)
    with pytest.raises(DataError, match="there is no sweep to show"):
        TradeoffExplorer({})


# the kit and the command -----------------------------------------------------------------------


def test_a_kit_of_other_weights_is_not_used(runs, tmp_path):
    other = quick_tiny_model(seed=1)
    other.save(tmp_path / "other")
    kit = find_kit(tmp_path / "other", runs[1])
    assert kit.line is None


def test_the_kit_is_made_once(runs):
    run, folder = runs
    said: list[str] = []
    assert prepare_kit(run, folder, say=said.append) == run
    assert said == []


def test_without_a_run_a_quick_model_is_trained_once(tmp_path, monkeypatch, capsys):
    trained: list[int] = []

    def quick(steps: int, progress: bool):
        trained.append(steps)
        return quick_tiny_model()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kits, "quick_model", quick)
    show = ["app", "--steps", "7", "--map", "pca", "--no-browser"]
    assert main(show) == 0
    page = Path(capsys.readouterr().out.strip())
    assert "gensar_lite" in page.read_text(encoding="utf-8")[:2_000]
    made = page.stat().st_mtime_ns
    assert main(show) == 0
    assert page.stat().st_mtime_ns == made, "a page that is there is opened as it is"
    config = Path("runs/app/model/config.json")  # a quick model of another version is no obstacle
    config.write_text(config.read_text().replace('"seed"', '"seed_of_tomorrow"', 1))
    assert main(show) == 0
    assert trained == [7, 7]
    assert "runs/app/model was made by another version" in capsys.readouterr().err
    quick_tiny_model(seed=1).save("runs/demo")  # what `make demo` leaves is preferred
    assert main(show) == 0
    assert Path(capsys.readouterr().out.strip()).name.startswith("demo-")
    assert trained == [7, 7]


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["app", "nothing", "--no-browser"]) == 1
    assert "nothing is not a run folder (no config.json)" in capsys.readouterr().err
    assert main(["export", "nothing", "--out", "page.html"]) == 1
    assert "nothing is not a run folder (no config.json)" in capsys.readouterr().err


def test_a_file_of_other_people_is_not_replaced(tmp_path, runs, capsys):
    (tmp_path / "page.html").write_text("mine")
    assert main(["export", str(runs[0]), "--out", str(tmp_path / "page.html"), "--map", "pca"]) == 2
    assert (tmp_path / "page.html").read_text() == "mine"
    assert "page.html" in capsys.readouterr().err


def test_a_missing_package_names_its_extra(tmp_path):
    """Explorers imported where anywidget is not installed."""

    (tmp_path / "anywidget.py").write_text("raise ModuleNotFoundError('No module named anywidget')")
    code = "import sys; sys.path.insert(0, sys.argv[1])\nimport gensar_lite.explore.widgets"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'the explorers need anywidget: pip install "gensar_lite[app]"' in done.stderr


def test_no_point_lies_under_the_legend():
    """With the nine curves of the recorded comparison, whose points reach into the lower left."""
    sweep = Sweep(Path(__file__).parents[1] / "data" / "results" / "bazaar_identifiers")
    points = sweep.points(sweep.labels[0], PRIMARY_GOALS, [0])
    marks = plane_marks(points, pd.DataFrame(), PRIMARY_GOALS)
    names = {mark["s"]: mark for mark in marks if mark["t"] == "text" and mark["s"] in set(curve_names(points))}
    assert len(names) == 9
    for mark in marks:
        if mark.get("key", "").startswith("point:"):
            for name, label in names.items():
                beside = label["x"] - 70 < mark["x"] < label["x"] + 7 * min(len(name), 30)
                assert not (beside and abs(mark["y"] - label["y"]) < 12), (name, mark)
