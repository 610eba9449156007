"""The numbered notebooks run from top to bottom and hold the outputs of their cells; and the runner can tell."""

from __future__ import annotations

import base64
import importlib.util
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
spec = importlib.util.spec_from_file_location("notebook_runner", NOTEBOOKS / "run.py")
assert spec is not None
assert spec.loader is not None
runner = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = runner
spec.loader.exec_module(runner)

NUMBERED = runner.numbered()
by_name = pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)


@by_name
def test_the_stored_outputs_are_fresh(path):
    assert not runner.stale(runner.read(path))


@pytest.fixture(scope="module")
def kernel() -> Iterator:
    """One kernel for all notebooks: what they import takes longer than what they do at small sizes."""
    kernel = runner.start_kernel()
    yield kernel
    runner.run_sync(kernel.shutdown_kernel)(now=True)


QUICK = ("01_store", "03_quantisation")
"""Notebooks that take seconds in full: what they show is compared with what is stored, whatever changed in the package."""


@pytest.mark.parametrize("path", [p for p in NUMBERED if p.stem not in QUICK], ids=lambda path: path.stem)
def test_the_notebook_runs_at_small_sizes(path, kernel):
    done = runner.execute(runner.shrink(runner.read(path)), timeout=900, kernel=kernel)
    assert all(cell.execution_count for cell in runner.code_cells(done) if cell.source.strip())


@pytest.mark.parametrize("name", QUICK)
def test_the_stored_outputs_are_those_of_the_present_package(name):
    stored = runner.read(NOTEBOOKS / f"{name}.ipynb")
    assert runner.differences(stored, runner.execute(stored, timeout=900)) == []


def words_of(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


BOX = ("What you will be able to do", "What you need to know", "Time", "The picture you will have made", "Words")


@by_name
def test_every_notebook_has_the_same_form(path):
    notebook = runner.read(path)
    text = "\n".join(words_of(notebook))
    assert all(f"**{row}**" in words_of(notebook)[0] for row in BOX)
    assert text.count("**Predict.**") >= 3
    assert all(f"## {part}" in text for part in ("Recap", "Exercises", "References"))
    exercises = [cell for cell in runner.code_cells(notebook) if "exercise" in runner.tags(cell)]
    assert len(exercises) >= 2
    assert text.count("<summary>Hint") >= 2 * len(exercises)
    assert sum("self-check" in runner.tags(cell) for cell in runner.code_cells(notebook)) == 1


@by_name
def test_every_picture_is_told_in_words(path):
    cells = runner.read(path).cells
    drawn = [
        place
        for place, cell in enumerate(cells)
        if cell.cell_type == "code" and any("image/png" in output.get("data", {}) for output in cell.outputs)
    ]
    assert drawn or path.stem == "00_quickstart", "the first one shows lists"
    for place in drawn:
        after = "\n".join(cell.source for cell in cells[place + 1 : place + 3])
        assert "*The picture in words.*" in after, f"the picture of cell {place} is not told in words below it"


@by_name
def test_files_that_a_notebook_names_are_there(path):
    root, text = NOTEBOOKS.parent, "\n".join(words_of(runner.read(path)))
    named = set(re.findall(r"`((?:gensar_lite|docs|data)/[\w/.]+)`", text))
    assert any(name.startswith("gensar_lite/") for name in named)
    assert not [name for name in named if not (root / name).exists()]
    notebooks = re.findall(r"`((?:solutions/)?\d\d_\w+\.ipynb)`", text)
    assert not [name for name in notebooks if not (NOTEBOOKS / name).is_file()]


def parameters(source: str, **fast: object) -> nbformat.NotebookNode:
    return new_code_cell(source, metadata={"tags": ["parameters"], "fast": fast})


def picture(level: int, size: int = 8) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), level, np.uint8)).save(stream, format="png")
    return base64.b64encode(stream.getvalue()).decode()


@pytest.fixture
def small(tmp_path) -> Path:
    """A notebook with most of what differs between runs."""
    cells = [
        new_markdown_cell("# A title"),
        parameters("num_rows = 1000\nname: str = 'large'", num_rows=2, name="small"),
        new_code_cell("import sys\nprint(num_rows)\nsys.stdout.flush()\nprint(object())\nname"),
        new_code_cell("import pandas as pd\npd.DataFrame({'a': range(2)}).style.set_caption(name)"),
        new_code_cell("import ipywidgets\nipywidgets.IntSlider(3)"),
        new_code_cell("{name} | {'a', 'b', 'c'}"),
    ]
    path = tmp_path / "07_small.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_two_full_runs_leave_the_same_file(small):
    assert runner.stale(runner.read(small)) == ["it was never executed by notebooks/run.py"]
    runner.run(small)
    first = small.read_bytes()
    assert b"1000" in first
    assert b"object object at 0x0" in first
    assert not runner.stale(runner.read(small))
    ids = [cell.id for cell in runner.read(small).cells]
    runner.run(small)
    assert small.read_bytes() == first
    assert [cell.id for cell in runner.read(small).cells] == ids
    assert runner.run(small, "verify").startswith("verify")
    assert runner.run(small, "check").startswith("fresh")
    assert not list(small.parent.glob(".*")), "a temporary file was left behind"


def test_without_names_only_what_is_not_up_to_date_is_executed(small, monkeypatch, capsys):
    other = small.with_name("08_other.ipynb")
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), other)
    runner.run(other)
    monkeypatch.setattr(runner, "FOLDER", small.parent)
    monkeypatch.setattr(runner, "numbered", lambda folder=small.parent: sorted(folder.glob("[0-9][0-9]_*.ipynb")))
    assert runner.main([]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "07_small.ipynb: full" in first
    assert second.endswith("08_other.ipynb: up to date")
    assert runner.current(small)
    assert runner.main([]) == 0
    assert capsys.readouterr().out.count("up to date") == 2
    assert runner.main(["--force"]) == 0
    assert "up to date" not in capsys.readouterr().out


def test_fast_mode_sets_the_small_sizes_and_keeps_nothing(small):
    before = small.read_bytes()
    done = runner.execute(runner.shrink(runner.read(small)))
    assert runner.code_cells(done)[1].outputs[0].text.startswith("2\n")
    assert runner.code_cells(done)[1].outputs[-1].data["text/plain"] == "'small'"
    runner.run(small, "fast")
    assert small.read_bytes() == before


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([new_code_cell("a = 1")], "0 code cells are tagged"),
        ([parameters("a = 1", a=2), parameters("b = 1", b=2)], "2 code cells are tagged"),
        ([new_code_cell("a = 1", metadata={"tags": ["parameters"]})], "no small sizes"),
        ([parameters("a = 1\nlong_b = 3", b=2)], "sets 'b', which"),
    ],
)
def test_fast_mode_says_what_is_missing(cells, words):
    with pytest.raises(runner.NotebookError, match=words):
        runner.shrink(new_notebook(cells=cells))


def test_a_failing_cell_fails_the_run_and_leaves_the_file(tmp_path, capsys):
    path = tmp_path / "03_broken.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    assert runner.main([str(path)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_file_that_is_no_notebook_gets_a_sentence(tmp_path, capsys):
    path = tmp_path / "03_broken.ipynb"
    path.write_text("{", encoding="utf-8")
    assert runner.main(["--check", str(path)]) == 1
    assert "03_broken.ipynb is not a readable notebook" in capsys.readouterr().err


def executed(*sources: str) -> nbformat.NotebookNode:
    cells = [new_code_cell(s, execution_count=n) for n, s in enumerate(sources, start=1)]
    notebook = new_notebook(cells=[new_markdown_cell("words"), *cells])
    notebook.metadata[runner.KEY] = runner.hashes(notebook)
    return notebook


def test_freshness_sees_code_and_order_but_not_words():
    notebook = executed("a = 1", "a")
    assert not runner.stale(notebook)
    notebook.cells[0].source = "better words"
    assert not runner.stale(notebook)
    notebook.cells[2].execution_count = 5
    assert runner.stale(notebook) == ["its cells were not executed once each from top to bottom"]
    notebook = executed("a = 1", "a")
    notebook.cells[1].source = "a = 2"
    assert runner.stale(notebook) == ["its code cells changed after it was executed"]
    notebook = executed("a")
    notebook.cells[1].outputs = [new_output("error", ename="E", evalue="e", traceback=[])]
    assert runner.stale(notebook) == ["it holds the output of an error"]


def test_freshness_sees_another_data_set(tmp_path):
    notebook = executed("a")
    (tmp_path / "data" / "bazaar").mkdir(parents=True)
    (tmp_path / "data" / "bazaar" / "dataset.json").write_text('{"fingerprint": "another"}', encoding="utf-8")
    assert runner.stale(notebook, tmp_path) == ["the embedded data set changed after it was executed"]


def with_output(**data: str) -> nbformat.NotebookNode:
    output = new_output("display_data", data={kind.replace("_", "/"): value for kind, value in data.items()})
    return new_notebook(cells=[new_code_cell("show()", outputs=[output])])


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"text_plain": "0.5"}, {"text_plain": "0.5"}, True),
        ({"text_plain": "0.5"}, {"text_plain": "0.7"}, False),
        ({"text_plain": "0.512 of 80"}, {"text_plain": "0.513 of 80"}, True),
        ({"text_plain": "0.512 of 80"}, {"text_plain": "0.532 of 80"}, False),
        ({"text_plain": "0.512 of 80"}, {"text_plain": "0.512 of 81"}, False),
        ({"text_plain": "0.512 of 80"}, {"text_plain": "0.512 of 80.0"}, False),
        ({"text_plain": "1520.25"}, {"text_plain": "1521.75"}, True),
        ({"image_png": picture(100)}, {"image_png": picture(101)}, True),
        ({"image_png": picture(100)}, {"image_png": picture(140)}, False),
        ({"image_png": picture(100)}, {"image_png": picture(100, 9)}, False),
        ({"image_png": picture(100)}, {"text_plain": "0.5"}, False),
    ],
)
def test_outputs_are_compared_as_text_and_as_pictures(before, after, same):
    left, right = with_output(**before), with_output(**after)
    assert bool(runner.differences(left, right)) != same
    left.cells[0].metadata["tags"] = ["varies"]
    assert not runner.differences(left, right)


def test_a_missing_output_is_a_difference():
    left, right = with_output(text_plain="a"), with_output(text_plain="a")
    right.cells[0].outputs = []
    assert runner.differences(left, right) == ["code cell 1: 1 outputs became 0"]
