"""Run the notebooks, keep their stored outputs stable in git, and tell when an output is out of date.

    python notebooks/run.py [NOTEBOOK …]            execute in place
    python notebooks/run.py --fast [NOTEBOOK …]     execute with small sizes, keep nothing: does it run?
    python notebooks/run.py --check [NOTEBOOK …]    compare hashes: were the outputs made by these cells and this data?
    python notebooks/run.py --verify [NOTEBOOK …]   execute again and compare the outputs with the stored ones

When none is named, all numbered notebooks and their solutions are meant; then `run.py` alone leaves out those that were
executed with the present cells, data and package, so a run that was cut off goes on where it stopped (`--force`: none is left out).

A notebook keeps its sizes in one cell tagged `parameters`. The small sizes stand in that cell's metadata, as
`"fast": {"num_steps": 20}`; fast mode appends them to the cell. A cell tagged `varies` (timings, for instance)
is left out when outputs are compared.
"""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import io
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from PIL import Image

FOLDER = Path(__file__).resolve().parent
KEY = "gensar_lite"  # our own entry in a notebook's metadata
IMAGE_TOLERANCE = 0.02  # mean difference of the pixels, of a full range of 1
NUMBER_TOLERANCE = 0.01  # relative, and one unit of the last digit
DECIMAL = re.compile(r"\d+\.\d+")
STATE_TYPE = "application/vnd.jupyter.widget-state+json"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
VIEW_TYPE = "application/vnd.jupyter.widget-view+json"


class NotebookError(ValueError):
    """A notebook cannot be run or is out of date; the message says which and why."""


def numbered(folder: Path = FOLDER) -> list[Path]:
    """The notebooks of a folder whose names start with two digits, in their order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> NotebookNode:
    """Read a notebook and check that it is well-formed."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise NotebookError(f"{path.name} is not a readable notebook ({str(error).splitlines()[0]})") from error
    return notebook


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook in whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    nbformat.write(notebook, temporary)
    temporary.replace(path)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def shrink(notebook: NotebookNode) -> NotebookNode:
    """A copy whose cell tagged `parameters` ends with its small sizes.

    Raises NotebookError when there is not exactly one such cell, when it holds no `fast` metadata, or when a name
    there is not set by the cell.
    """
    small = copy.deepcopy(notebook)
    found = [cell for cell in code_cells(small) if "parameters" in tags(cell)]
    if len(found) != 1:
        raise NotebookError(f"{len(found)} code cells are tagged `parameters`; there must be exactly one")
    cell = found[0]
    if "fast" not in cell.metadata:
        raise NotebookError(
            'the cell tagged `parameters` has no small sizes; add "fast": {NAME: VALUE} to its metadata'
        )
    for name, value in cell.metadata["fast"].items():
        if not re.search(rf"^{re.escape(name)}\s*(:[^=]+)?=", cell.source, re.MULTILINE):
            raise NotebookError(f"fast mode sets {name!r}, which the cell tagged `parameters` does not set")
        cell.source += f"\n{name} = {value!r}"
    return small


def execute(
    notebook: NotebookNode, folder: Path = FOLDER, timeout: int = 1800, kernel: AsyncKernelManager | None = None
) -> NotebookNode:
    """Run all cells of a copy whose working folder is `folder`; `timeout` is in seconds per cell.

    In a new kernel, or in a running one of `start_kernel`, emptied first: its imports are then done once for many
    notebooks.
    """
    fresh = copy.deepcopy(notebook)
    for cell in code_cells(fresh):
        cell.outputs, cell.execution_count = [], None
    if kernel is not None:
        fresh.cells.insert(0, new_code_cell(f"%reset -f\nimport os\nos.chdir({str(folder)!r})"))
    client = NotebookClient(
        fresh,
        km=kernel,
        timeout=timeout,
        startup_timeout=300,
        iopub_timeout=60,  # a busy machine is slow to print, too; what comes later would be lost
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute(env=_environment())
    except (
        CellExecutionError,
        CellTimeoutError,
        RuntimeError,
        AssertionError,
    ) as error:  # the last two: a kernel that did not come up, or died
        raise NotebookError(str(error) or "the kernel died") from error
    if kernel is not None:
        del fresh.cells[0]
    return normalise(fresh)


def start_kernel() -> AsyncKernelManager:
    """A running kernel for `execute`; end it with `shutdown_kernel`."""
    kernel = AsyncKernelManager(kernel_name="python3")
    run_sync(kernel.start_kernel)(env=_environment(), cwd=str(FOLDER))
    return kernel


def _environment() -> dict[str, str]:
    """The order of sets is fixed; and the kernel, not the caller, chooses how figures are drawn."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    environment.pop("MPLBACKEND", None)
    for name in THREADS:  # one thread: the same sums in the same order, and no slower for work this small
        environment.setdefault(name, "1")
    return environment


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Strip or renumber, in place, what differs between two equal runs; returns the notebook."""
    seen: set[str] = set()
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("execution", None)
        if not cell.get("id") or cell.id in seen:
            cell.id = hashlib.sha256(f"{number}:{cell.source}".encode()).hexdigest()[:8]
        seen.add(cell.id)
        if cell.cell_type == "code":
            cell.outputs = _join_streams(cell.outputs)
    notebook.metadata.pop("signature", None)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    _renumber(notebook)
    return notebook


def _join_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of one stream become one: where a stream is cut depends on the clock."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _renumber(notebook: NotebookNode) -> None:
    """Ids of widgets and of styled tables count up in order of appearance; memory addresses disappear."""
    cells = code_cells(notebook)
    text = json.dumps([cell.outputs for cell in cells])
    states = notebook.metadata.get("widgets", {}).get(STATE_TYPE, {}).get("state", {})
    text += json.dumps(states)
    models = dict.fromkeys(re.findall(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", text))
    names = {old: f"{number:032x}" for number, old in enumerate((m for m in models if m in states), start=1)}
    styles = dict.fromkeys(re.findall(r"\bT_([0-9a-f]{5})(?=[_ \"#\\])", text))
    names |= {f"T_{old}": f"T_{number:05x}" for number, old in enumerate(styles, start=1)}
    for cell in cells:
        cell.outputs = [_clean(output, names) for output in cell.outputs]
    if states:
        kept = {names[old]: _clean(state, names) for old, state in states.items() if old in names}
        notebook.metadata["widgets"][STATE_TYPE]["state"] = dict(sorted(kept.items()))


def _clean(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        # Pictures are long and hold nothing to rename.
        return type(value)((k, v if k.startswith("image/") else _clean(v, names)) for k, v in value.items())
    if isinstance(value, list):
        return [_clean(v, names) for v in value]
    if not isinstance(value, str):
        return value
    if names and len(value) < 1_000_000:
        value = re.sub(
            r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])|\bT_[0-9a-f]{5}", lambda match: names.get(match[0], match[0]), value
        )
    return re.sub(r"\bat 0x[0-9a-fA-F]+", "at 0x0", value)


def hashes(notebook: NotebookNode, root: Path = FOLDER.parent) -> dict[str, str]:
    """What the outputs depend on: `sources` (code cells), `data` (embedded data set), `package` (its Python files)."""
    sources = json.dumps([[cell.source, sorted(cell.metadata.get("fast", {}))] for cell in code_cells(notebook)])
    described = root / "data" / "bazaar" / "dataset.json"
    data = json.loads(described.read_text(encoding="utf-8")).get("fingerprint", "") if described.is_file() else ""
    package = hashlib.sha256()
    for path in sorted((root / "gensar_lite").rglob("*.py")):
        package.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "sources": hashlib.sha256(sources.encode()).hexdigest()[:16],
        "data": str(data),
        "package": package.hexdigest()[:16],
    }


def stale(notebook: NotebookNode, root: Path = FOLDER.parent) -> list[str]:
    """Reasons why the stored outputs are not those of these cells and this data; empty when they are.

    A changed package is no reason here, since most changes leave the outputs as they are: `--verify` finds out.
    """
    stored, now = notebook.metadata.get(KEY, {}), hashes(notebook, root)
    if not stored:
        return ["it was never executed by notebooks/run.py"]
    reasons = []
    if stored.get("sources") != now["sources"]:
        reasons.append("its code cells changed after it was executed")
    if stored.get("data") != now["data"]:
        reasons.append("the embedded data set changed after it was executed")
    ran = [cell for cell in code_cells(notebook) if cell.source.strip()]
    if [cell.execution_count for cell in ran] != list(range(1, len(ran) + 1)):
        reasons.append("its cells were not executed once each from top to bottom")
    if any(output.output_type == "error" for cell in ran for output in cell.outputs):
        reasons.append("it holds the output of an error")
    return reasons


def differences(old: NotebookNode, new: NotebookNode) -> list[str]:
    """One line per cell whose outputs differ: words must be equal, numbers and pictures alike; `varies` is left out."""
    found = []
    for number, (before, after) in enumerate(zip(code_cells(old), code_cells(new), strict=True), start=1):
        if "varies" in tags(before):
            continue
        if len(before.outputs) != len(after.outputs):
            found.append(f"code cell {number}: {len(before.outputs)} outputs became {len(after.outputs)}")
        elif not all(map(_alike, before.outputs, after.outputs)):
            found.append(f"code cell {number}: the output differs")
    return found


def _alike(before: NotebookNode, after: NotebookNode) -> bool:
    left, right = dict(before), dict(after)
    texts = left.pop("text", ""), right.pop("text", "")
    forms = dict(left.pop("data", {})), dict(right.pop("data", {}))
    for data in forms:
        data.pop(VIEW_TYPE, None)
    if left != right or forms[0].keys() != forms[1].keys() or not _same_text(*texts):
        return False
    return all(
        (_same_picture if kind == "image/png" else _same_text)(form, forms[1][kind]) for kind, form in forms[0].items()
    )


def _same_text(before: Any, after: Any) -> bool:
    """Whether words are equal and numbers with a decimal point close: the last digits of a sum depend on the machine."""
    if not (isinstance(before, str) and isinstance(after, str)):
        return bool(before == after)
    if DECIMAL.sub("", before) != DECIMAL.sub("", after):
        return False
    pairs = zip(DECIMAL.findall(before), DECIMAL.findall(after), strict=True)
    return all(abs(float(a) - float(b)) <= NUMBER_TOLERANCE * abs(float(a)) + 1.01 * _last_digit(a) for a, b in pairs)


def _last_digit(number: str) -> float:
    return 10.0 ** -len(number.partition(".")[2])


def _same_picture(before: str, after: str) -> bool:
    left, right = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in (before, after)
    )
    if left.shape != right.shape:
        return False
    return float(np.abs(left.astype(float) - right).mean()) / 255 <= IMAGE_TOLERANCE


def current(path: Path) -> bool:
    """Whether a notebook was executed with the present cells, data and package."""
    notebook = read(path)
    return not stale(notebook) and notebook.metadata[KEY] == hashes(notebook)


def run(path: Path, mode: str = "full") -> str:
    """Do one thing with one notebook and return a line about it; NotebookError when it failed.

    `mode` is "full" (execute in place), "fast", "check" or "verify".
    """
    started, worked = time.perf_counter(), _processor_seconds()
    notebook = read(path)
    if mode == "check":
        if reasons := stale(notebook):
            raise NotebookError(f"{'; '.join(reasons)}: run `python notebooks/run.py {path.name}`")
        older = notebook.metadata[KEY].get("package") != hashes(notebook)["package"]
        return "fresh" + (" (the package changed since; --verify compares)" if older else "")
    done = execute(shrink(notebook) if mode == "fast" else notebook, path.resolve().parent)
    if mode == "verify" and (changed := differences(notebook, done)):
        raise NotebookError("; ".join(changed))
    if mode == "full":
        done.metadata[KEY] = hashes(done)
        write(done, path)
    return f"{mode}: {time.perf_counter() - started:.0f} s, {_processor_seconds() - worked:.0f} s of a processor"


def _processor_seconds() -> float:
    """Processor time of all kernels that have ended; the number that tells on a busy machine."""
    spent = os.times()
    return spent.children_user + spent.children_system


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all numbered notebooks and their solutions")
    modes = parser.add_mutually_exclusive_group()
    for mode in ("fast", "check", "verify"):
        modes.add_argument(f"--{mode}", dest="mode", action="store_const", const=mode, default="full")
    parser.add_argument("--force", action="store_true", help="execute also what is up to date")
    options = parser.parse_args(arguments)
    failed = 0
    skip = options.mode == "full" and not options.notebooks and not options.force
    for path in options.notebooks or [*numbered(), *numbered(FOLDER / "solutions")]:
        name = f"{path.resolve().parent.name}/{path.name}"
        try:
            print(f"{name}: {'up to date' if skip and current(path) else run(path, options.mode)}", flush=True)
        except NotebookError as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
