"""How the site is built: `make docs`. Notebooks are shown as they were committed; the API pages are written here, one a stage."""

from __future__ import annotations

import html
import json
import os
import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math import latex2mathml

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
myst_enable_extensions = ["substitution", "dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
default_role = "literal"  # one pair of backticks in a docstring means code
viewcode_follow_imported_members = False
nb_ipywidgets_js = {}  # stored pictures stand for widgets
html_math_renderer = "mathml"
myst_update_mathjax = False
html_theme = "furo"
html_title = f"gensar_lite {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# ref.python: stages may each have a class of the same name
suppress_warnings = ["mystnb.unknown_mime_type", "toc.not_included", "ref.python"]

# Where the repository lives, for the buttons that open a notebook elsewhere: make docs REPOSITORY=owner/name
repository = os.environ.get("REPOSITORY") or "OWNER/gensar_lite"
first = "notebooks/00_quickstart.ipynb"
binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath={first.replace('/', '%2F')}"
colab = f"https://colab.research.google.com/github/{repository}/blob/main/{first}"
myst_substitutions = {
    "repository": f"`{repository}`",
    "binder": f"[Open in Binder]({binder}){{.launch}}",
    "colab": f"[Open in Colab]({colab}){{.launch}}",
    "install": f'`!git clone https://github.com/{repository} && pip install -q -c {repository.split("/")[1]}/constraints.txt -e "{repository.split("/")[1]}[app]"`',
}

STAGES = {
    "data": "Data",
    "signals": "Signals",
    "identifiers": "Identifiers",
    "evidence": "Evidence of the store",
    "network": "The network",
    "training": "Training",
    "decoding": "Decoding",
    "evaluation": "Evaluation",
    "answering": "What answers",
    "model": "The model",
    "config": "Sizes and settings",
    "pipeline": "The whole line",
    "tradeoff": "The trade-off",
    "explore": "Pictures and explorers",
    "cli": "The command",
}


def fill_folder(target: Path, files: dict[str, str]) -> None:
    """Make a folder hold these files alone; what is right already stays, so that two builds at once do no harm."""
    target.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        if path.is_file() and path.name not in files:
            path.unlink(missing_ok=True)
    for name, text in files.items():
        path = target / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def copy_notebooks() -> None:
    """The notebooks and their solutions, beside the pages."""
    for folder in ("notebooks", "notebooks/solutions"):
        files = {}
        for path in sorted((ROOT / folder).glob("[0-9][0-9]_*.ipynb")):
            content = json.loads(path.read_text(encoding="utf-8"))
            content["metadata"].setdefault("language_info", {"name": "python"})["pygments_lexer"] = "ipython3"
            files[path.name] = json.dumps(content)
        fill_folder(DOCS / "_made" / folder, files)


def write_api() -> None:
    """A page for each stage with all its modules."""
    files = {}
    for stage, title in STAGES.items():
        lines = [title, "=" * len(title), ""]
        for name in modules_of(stage):
            lines += [name, "-" * len(name), "", f".. automodule:: {name}", "   :members:", ""]
        files[f"{stage}.rst"] = "\n".join(lines)
    fill_folder(DOCS / "_made" / "api", files)


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


def skip_fields(app, what, name, obj, skip, options):
    """Fields of named tuples are explained by their class."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def formula(tex: str, as_block: bool) -> str:
    """A formula as MathML, which browsers draw by themselves; what cannot be translated stays as it was written."""
    try:
        return latex2mathml.tex2mathml(tex, as_block=as_block)
    except Exception:
        return f'<code class="math">{html.escape(tex)}</code>'


def visit_formula(writer, node) -> None:
    writer.body.append(formula(node.astext(), as_block=False))
    raise nodes.SkipNode


def visit_block(writer, node) -> None:
    writer.body.append(f'<div class="math">{formula(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> None:
    app.add_html_math_renderer("mathml", inline_renderers=(visit_formula, None), block_renderers=(visit_block, None))
    copy_notebooks()
    write_api()
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("autodoc-skip-member", skip_fields)
