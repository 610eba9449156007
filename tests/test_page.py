"""The slider of two fine-tunes, the curves of sweeps, and the commands that make pages, without a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders import quick_tiny_model
from test_faults import HARMS, harm

from gensar_lite.cli import main
from gensar_lite.data.storage import DataError
from gensar_lite.explore import kit as kits
from gensar_lite.explore.slider import find_slider, prepare_slider
from gensar_lite.explore.sweeps import pack_sweep


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A saved run of the tiny store, and the kit with its slider."""
    folder = tmp_path_factory.mktemp("runs")
    quick_tiny_model().save(folder / "run")
    prepare_slider(folder / "run", folder / "kit", said_nothing, progress=False)
    return folder / "run", folder / "kit"


def said_nothing(words: str) -> None:
    """Who does not want to be told."""


def test_a_slider_is_made_once_and_for_one_run(runs, tmp_path):
    run, kit = runs
    said: list[str] = []
    slider = prepare_slider(run, kit, said.append)
    assert said == []
    assert [point["place"] for point in slider.points] == [None, 0, 0.25, 0.5, 0.75, 1]
    quick_tiny_model(seed=1).save(tmp_path / "other")
    assert find_slider(tmp_path / "other", kit) is None


def test_a_damaged_kit_is_refused_in_a_sentence(runs, tmp_path):
    run, kit = runs
    for kind in (kind for kind in HARMS if kind != "deleted"):
        shutil.rmtree(tmp_path / "kit", ignore_errors=True)
        copy = Path(shutil.copytree(kit, tmp_path / "kit"))
        if harm(copy / "kit.json", kind):
            with pytest.raises(DataError, match=r"kit\.json") as told:
                find_slider(run, copy)
            assert "\n" not in str(told.value)


def test_what_is_no_sweep_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"has no summary\.json; make it with `gensar-lite tradeoff"):
        pack_sweep(tmp_path)


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
