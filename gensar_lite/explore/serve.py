"""The explorers as one page: a notebook of one cell, served by Voila on loopback.

Explained in `docs/workshop.md`. The page asks nothing of the network: scripts, fonts and styles come from the packages.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gensar_lite.data.storage import DataError

TEMPLATES = Path(__file__).parent / "widgets" / "page"
EXTENSIONS = ("@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8", "anywidget")
NEEDED = ("voila", "anywidget")


def check_packages() -> None:
    """Raise DataError where a package of the page is missing."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise DataError(f'the page needs {" and ".join(missing)}: pip install "gensar_lite[app]"')


def page_notebook(call: str) -> str:
    """The notebook of the page, as JSON: one cell with `call`."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = new_notebook(cells=[new_code_cell(call)])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["title"] = "gensar_lite"
    return nbformat.writes(notebook)


@contextmanager
def serving(
    call: str, port: int = 8866, ip: str = "127.0.0.1", open_browser: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Serve a page whose cell is `call`, in the present working folder, until the block ends.

    Raises DataError where a package is missing or the port is taken.
    """
    check_packages()
    check_port(ip, port)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "explorers.ipynb"
        path.write_text(page_notebook(f"import os\nos.chdir({str(Path.cwd())!r})\n{call}"), encoding="utf-8")
        command = [sys.executable, "-m", "voila", str(path), f"--port={port}", f"--Voila.ip={ip}", "--template=gensar"]
        command += ["--Voila.port_retries=0"]  # at another port than the one that was told nobody would find it
        command += [f"--VoilaConfiguration.extension_allowlist={name}" for name in EXTENSIONS]
        command += [] if open_browser else ["--no-browser"]
        # templates are looked for in Jupyter's folders
        paths = os.pathsep.join(filter(None, [str(TEMPLATES), os.environ.get("JUPYTER_PATH")]))
        # the kernel draws by itself, and its libraries stay silent
        quiet = {"MPLBACKEND": "Agg", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        with open(Path(folder) / "server.log", "wb") as log:
            environment = {**os.environ, **quiet, "JUPYTER_PATH": paths}
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                yield server
            finally:
                server.terminate()
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()


def wait_until_up(server: subprocess.Popen[bytes], ip: str, port: int, seconds: float = 180) -> None:
    """Return when the server listens. Raises DataError where it ended, or does not listen in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.poll() is not None:
            raise DataError(f"the page's server ended at once (exit code {server.returncode}); try another --port")
        with socket.socket() as probe:
            if probe.connect_ex((ip, port)) == 0:
                return
        time.sleep(0.2)
    raise DataError(f"the page's server did not come up within {seconds:.0f} seconds; try again")


def check_port(ip: str, port: int) -> None:
    """Raise DataError where a port cannot be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError as error:
            raise DataError(
                f"port {port} of {ip} cannot be had ({error.strerror}); choose another with --port"
            ) from error
