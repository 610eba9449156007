"""How the site is built: `make docs`. Notebooks are shown as they were committed; the API pages are written here, one a stage."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

import gensar_lite  # noqa: E402

project, author = "gensar_lite", "The gensar_lite authors"
copyright = author
release = version = gensar_lite.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
nb_execution_mode = "off"
nb_output_stderr = "remove-warn"
myst_enable_extensions = ["substitution", "dollarmath", "colon_fence"]
myst_heading_anchors = 3
default_role = "literal"  # one pair of backticks in a docstring means code
html_theme = "furo"
html_title = f"gensar_lite {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
suppress_warnings = ["mystnb.unknown_mime_type", "toc.not_included"]

# Where the repository lives, for the buttons that open a notebook elsewhere: make docs REPOSITORY=owner/name
repository = os.environ.get("REPOSITORY") or "OWNER/gensar_lite"
first = "notebooks/00_quickstart.ipynb"
myst_substitutions = {
    "repository": repository,
    "binder": f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath={first.replace('/', '%2F')}",
    "colab": f"https://colab.research.google.com/github/{repository}/blob/main/{first}",
}

STAGES = {
    "data": "Data",
    "signals": "Signals",
    "identifiers": "Identifiers",
    "training": "Training",
    "decoding": "Decoding",
    "evaluation": "Evaluation",
    "model": "The model",
    "config": "Sizes and settings",
    "pipeline": "The whole line",
    "tradeoff": "The trade-off",
    "explore": "Pictures and explorers",
    "cli": "The command",
}


def copy_notebooks() -> None:
    """The notebooks and their solutions, beside the pages."""
    for folder in ("notebooks", "notebooks/solutions"):
        target = DOCS / "_made" / folder
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in sorted((ROOT / folder).glob("[0-9][0-9]_*.ipynb")):
            shutil.copy(path, target)


def write_api() -> None:
    """A page for each stage with all its modules."""
    target = DOCS / "_made" / "api"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for stage, title in STAGES.items():
        lines = [title, "=" * len(title), ""]
        for name in modules_of(stage):
            lines += [name, "-" * len(name), "", f".. automodule:: {name}", "   :members:", ""]
        (target / f"{stage}.rst").write_text("\n".join(lines), encoding="utf-8")


def modules_of(stage: str) -> list[str]:
    """The modules of a stage that say anything, by name."""
    home = ROOT / "gensar_lite"
    paths = [home / f"{stage}.py"] if (home / f"{stage}.py").is_file() else sorted((home / stage).rglob("*.py"))
    found = []
    for path in paths:
        if path.read_text(encoding="utf-8").strip():
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def plain_docstring(app, what, name, obj, options, lines) -> None:
    """Docstrings are written to be read in the code: what reST would take for markup is text here, backticks apart."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`[^`]+`)", line)
        parts = [p if p.startswith("`") else re.sub(r"([*_|\\])", r"\\\1", p) for p in parts]
        lines[number] = "".join(parts)


def setup(app) -> None:
    copy_notebooks()
    write_api()
    app.connect("autodoc-process-docstring", plain_docstring)
