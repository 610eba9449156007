"""Every public writer, tried against what is not the kit's: it refuses in a sentence and touches nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from builders import quick_tiny_model, tiny_store

from gensar_lite.cli import main
from gensar_lite.data.storage import RefusedError
from gensar_lite.evaluation.trec import export_trec
from gensar_lite.explore.decision_page import write_decision
from gensar_lite.explore.export import write_page
from gensar_lite.explore.report import RunReport, write_report
from gensar_lite.explore.slider import prepare_slider
from gensar_lite.model import GenSAR
from gensar_lite.pipeline import run
from gensar_lite.tradeoff.curve import Goals
from gensar_lite.tradeoff.design import Design
from gensar_lite.tradeoff.sweep import run_sweep


@pytest.fixture(scope="module")
def model() -> GenSAR:
    return quick_tiny_model()


@pytest.fixture(scope="module")
def source(model: GenSAR, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a run, and CSV files to write from."""
    folder = tmp_path_factory.mktemp("source")
    tiny_store().save(folder / "store")
    model.save(folder / "run")
    tiny_store().items.to_csv(folder / "items.csv", index=False)
    tiny_store().interactions.to_csv(folder / "clicks.csv", index=False)
    return folder


def thesis(place: Path) -> None:
    (place / "chapters").mkdir(parents=True)
    (place / "chapters" / "1.tex").write_text("years of work")
    (place / "metrics.json").write_text("{}")


def hidden(place: Path) -> None:
    (place / ".ssh").mkdir(parents=True)
    (place / ".ssh" / "id").write_text("key")


def file(place: Path) -> None:
    place.write_text("<title>gensar_lite</title> somebody's")


def link(place: Path) -> None:
    place.with_name("elsewhere").mkdir()
    place.symlink_to(place.with_name("elsewhere"))


WRITERS: dict[str, Callable[[GenSAR, Path, Path], object]] = {
    "Dataset.save": lambda model, source, out: model.data.save(out),
    "Signals.save": lambda model, source, out: model.signals.save(out),
    "IdentifierTable.save": lambda model, source, out: model.table.save(out),
    "Evidence.save": lambda model, source, out: model.evidence.save(out),
    "GenSAR.save": lambda model, source, out: model.save(out),
    "checkpoint": lambda model, source, out: GenSAR.fit(
        model.data, model.signals, model.table, config=model.config, checkpoint=out, progress=False
    ),
    "run": lambda model, source, out: run(model.data, model.config, out, progress=False),
    "export_trec": lambda model, source, out: export_trec(out, [model], model.data),
    "prepare_slider": lambda model, source, out: prepare_slider(source / "run", out, print, progress=False),
    "run_sweep": lambda model, source, out: run_sweep(
        Design.from_json({"data": [str(source / "store")], "strategies": ["gensar"], "mixes": [0.5], "seeds": [0]}), out
    ),
    "write_report": lambda model, source, out: write_report(out, RunReport("gensar", {}), title="", summary=[]),
    "write_decision": lambda model, source, out: write_decision(out, {}, Goals(), title=""),
    "write_page": lambda model, source, out: write_page(model, out, method="pca"),
}
COMMANDS: dict[str, list[str]] = {
    "data simulate": ["data", "simulate", "--num-items", "60", "--num-users", "30"],
    "data import": [
        "data",
        "import",
        "--items",
        "{}/items.csv",
        "--interactions",
        "{}/clicks.csv",
        "--queries",
        "known-item",
    ],
    "run": ["run", "--data", "{}/store"],
    "report": ["report", "{}/run"],
    "tradeoff": ["tradeoff", "--data", "{}/store"],
}


def contents(folder: Path) -> dict[str, object]:
    return {
        str(path): os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("make", [thesis, hidden, file, link])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_refuses_what_is_not_ours(writer: str, make, model: GenSAR, source: Path, tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = contents(tmp_path)
    with pytest.raises(RefusedError, match="nothing was touched") as told:
        WRITERS[writer](model, source, tmp_path / "out")
    assert "\n" not in str(told.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("make", [thesis, hidden, file, link])
@pytest.mark.parametrize("verb", COMMANDS)
def test_a_command_refuses_what_is_not_ours(verb: str, make, source: Path, tmp_path: Path, capsys) -> None:
    make(tmp_path / "out")
    before = contents(tmp_path)
    arguments = [part.format(source) for part in COMMANDS[verb]]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "nothing was touched" in told
    assert contents(tmp_path) == before


def test_control_characters_never_reach_the_terminal(capsys) -> None:
    from gensar_lite.cli.output import print_answers

    title = "red\x1b]0;title\x07 \x9b31mtent\u202e"
    answers = pd.DataFrame({"item_id": ["a\x1b[2J"], "title": [title], "score": [-1.0], "identifier": ["<m1_0>"]})
    for as_json in (False, True):
        print_answers(answers, as_json)
        told = capsys.readouterr().out
        assert "tent" in told
        assert not any((c < " " and c != "\n") or "\x7f" <= c <= "\x9f" or c == "\u202e" for c in told)
