"""The solutions of the notebooks' exercises run, and pass the very check that the reader runs."""

from __future__ import annotations

import pytest
from test_notebooks import NOTEBOOKS, kernel, runner  # noqa: F401 (a fixture)

SOLVED = runner.numbered(NOTEBOOKS / "solutions")
by_name = pytest.mark.parametrize("path", SOLVED, ids=lambda path: path.stem)


def tagged(notebook, tag: str) -> list[str]:
    return [cell.source for cell in runner.code_cells(notebook) if tag in runner.tags(cell)]


def printed(notebook, tag: str) -> str:
    cells = [cell for cell in runner.code_cells(notebook) if tag in runner.tags(cell)]
    return "".join(output.text for cell in cells for output in cell.outputs if output.output_type == "stream")


@pytest.mark.parametrize("path", runner.numbered(), ids=lambda path: path.stem)
def test_every_notebook_has_its_solutions_and_leaves_the_answers_to_the_reader(path):
    assert path.name in {solved.name for solved in SOLVED}
    assert "right" not in printed(runner.read(path), "self-check")


@by_name
def test_the_check_is_the_one_of_the_notebook(path):
    checks = tagged(runner.read(path), "self-check")
    assert checks
    assert checks == tagged(runner.read(NOTEBOOKS / path.name), "self-check")


@by_name
def test_the_stored_outputs_of_the_solutions_are_fresh(path):
    assert not runner.stale(runner.read(path))


@by_name
def test_the_solutions_are_right_at_small_sizes(path, kernel):  # noqa: F811
    done = runner.execute(runner.shrink(runner.read(path)), folder=path.parent, timeout=900, kernel=kernel)
    told = printed(done, "self-check")
    assert "right" in told
    assert "wrong" not in told
    assert "not answered" not in told
