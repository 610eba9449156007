"""The rows of the house: who may import whom, and what `import gensar_lite` brings along."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gensar_lite

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "pyproject.toml"
ROWS = [
    "data",
    "signals",
    "identifiers",
    "evidence",
    "network",
    "training",
    "decoding",
    "evaluation",
    "(answering)",
    "(model) : (config) : (pipeline)",
    "(tradeoff)",
    "(explore)",
    "(cli) : (__main__)",
]
DRAWING = ("matplotlib", "seaborn", "umap", "ipywidgets", "IPython", "jupyterlab")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    arguments = ["--config", str(CONFIG), "--no-cache"]
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_each_stage_imports_only_from_the_stages_before_it():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def make_package(folder: Path, **modules: str) -> Path:
    """A package of the same name with all rows, each a single module; `modules` gives some of them a text."""
    package = folder / "gensar_lite"
    package.mkdir()
    names = ["__init__", *(row for row in ROWS if "(" not in row), *modules]
    for name in names:
        (package / f"{name}.py").write_text(modules.get(name, ""), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("modules", "kept"),
    [
        ({"model": "import gensar_lite.data", "cli": "import gensar_lite.model"}, True),
        ({"config": "", "model": "import gensar_lite.config"}, True),
        ({"answering": "import gensar_lite.decoding", "model": "import gensar_lite.answering"}, True),
        ({"answering": "import gensar_lite.model", "model": ""}, False),
        ({"data": "import gensar_lite.signals"}, False),
        ({"training": "import gensar_lite.evaluation"}, False),
        ({"data": "def late():\n    import gensar_lite.evaluation"}, False),
        ({"model": "import gensar_lite.explore", "explore": ""}, False),
        ({"helpers": ""}, False),
    ],
)
def test_the_contract_holds_the_table_of_rows(tmp_path, modules, kept):
    done = lint_imports(make_package(tmp_path, **modules))
    assert (done.returncode == 0) == kept, done.stdout + done.stderr


def test_the_contract_lists_the_rows_in_their_order():
    contract = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][0]
    assert contract["layers"][::-1] == ROWS
    assert contract["exhaustive"]


def modules_after(code: str) -> set[str]:
    """Top-level names of all modules that are loaded after running `code` in a new interpreter."""
    listing = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{listing}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_after("import gensar_lite; dir(gensar_lite)")
    assert "gensar_lite" in loaded
    assert not loaded & {*DRAWING, "torch", "transformers", "pandas", "numpy", "sklearn", "scipy"}


def test_no_public_name_brings_the_drawing_libraries():
    loaded = modules_after("import gensar_lite\nfor name in gensar_lite.__all__: getattr(gensar_lite, name)")
    assert "torch" in loaded
    assert not loaded & set(DRAWING)


@pytest.mark.parametrize("name", gensar_lite.__all__)
def test_every_public_name_is_there(name):
    assert getattr(gensar_lite, name).__name__ == name
    assert getattr(gensar_lite, name).__doc__


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gensar_lite.nothing


def test_the_version_is_that_of_the_project():
    assert gensar_lite.__version__ == tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["version"]
