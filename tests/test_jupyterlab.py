"""JupyterLab opens the first notebook in a browser and runs it, without asking another machine for anything."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, runner

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE = 240_000  # milliseconds

# The application's own commands: whatever dialog or menu stands in front, they reach the notebook.
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
READY = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  return panel?.context?.isReady && panel.sessionContext?.session?.kernel?.status === 'idle';
}"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_jupyterlab_opens_the_first_notebook_and_runs_it(browser, tmp_path):
    """On a copy with small sizes, since JupyterLab saves what it has run."""
    source = NOTEBOOKS / "00_quickstart.ipynb"
    small = runner.shrink(runner.read(source))
    for cell in runner.code_cells(small):
        cell.outputs, cell.execution_count = [], None
    copy = tmp_path / "work" / source.name
    copy.parent.mkdir()
    runner.write(small, copy)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}", "--no-browser", "--ip=127.0.0.1"]
    command += ["--IdentityProvider.token=", "--ServerApp.allow_root=True", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={copy.parent}", "--expose-app-in-browser"]
    folders = {f"JUPYTER_{kind}": str(tmp_path / kind) for kind in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    settings = {**os.environ, **folders, "PYTHONPATH": str(NOTEBOOKS.parent), "IPYTHONDIR": str(tmp_path / "ipython")}
    settings.pop("MPLBACKEND", None)  # of the tests; the kernel draws into the notebook
    with open(tmp_path / "server.log", "wb") as log:
        server = subprocess.Popen(command, env=settings, stdout=log, stderr=log, cwd=tmp_path)
    try:
        wait_until_up(server, f"http://127.0.0.1:{port}/api", tmp_path / "server.log")
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        own = (f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/", "data:", "blob:")
        outside: list[str] = []
        page.on("request", lambda request: None if request.url.startswith(own) else outside.append(request.url))
        page.goto(f"{own[0]}lab/tree/{source.name}", timeout=PATIENCE)
        page.wait_for_function(READY)
        page.evaluate(RUN_ALL)  # ends when the last cell has run
        page.evaluate(SAVE)
        page.close()
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
    done = [cell for cell in runner.code_cells(runner.read(copy)) if cell.source.strip()]
    assert done
    assert all(cell.execution_count for cell in done)
    assert not [output for cell in done for output in cell.outputs if output.output_type == "error"]
    assert any("text/html" in output.get("data", {}) for cell in done for output in cell.outputs)
    assert not outside, f"JupyterLab asked other machines: {outside[:3]}"


def wait_until_up(server: subprocess.Popen, url: str, log: Path, seconds: float = 180) -> None:
    """Wait for the server's first answer; fail with the end of its log."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not come up: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
