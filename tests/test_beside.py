"""Baselines measured by a second process: the same numbers, whatever happens to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from test_pipeline import STORE, small

import gensar_lite.pipeline.beside as beside
import gensar_lite.pipeline.line as line
from gensar_lite.data.bazaar import simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import read_json
from gensar_lite.pipeline import run
from gensar_lite.signals import device, embed


@pytest.fixture(scope="module")
def data() -> Dataset:
    return simulate(STORE)


@pytest.fixture(scope="module")
def plain(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "plain"
    run(data, small(), out, progress=False)
    return out


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training is long enough, and there is a core for the baselines."""
    monkeypatch.setattr(line, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(line, "spare_cores", lambda: 2)


def results(out: Path) -> tuple[pd.DataFrame, dict]:
    return pd.read_parquet(out / "ranks.parquet"), read_json(out / "metrics.json")


@pytest.mark.parametrize("python", [sys.executable, "false"])
def test_the_numbers_are_those_of_one_process(python, plain, data, tmp_path, two_cores, monkeypatch):
    monkeypatch.setattr(beside.sys, "executable", python)  # with "false" it fails, and the work is done here
    done_here = []
    monkeypatch.setattr(line, "measure_baselines", lambda *given: done_here.append(beside.measure_baselines(*given)))
    told: list[str] = []
    run(data, small(), tmp_path / "run", progress=False, say=told.append)
    assert len(done_here) == (python == "false")
    assert "baselines: another process measures them meanwhile" in told
    (ranks, metrics), (expected, metrics_of_one) = results(tmp_path / "run"), results(plain)
    pd.testing.assert_frame_equal(ranks, expected)
    assert metrics == metrics_of_one
    told.clear()
    run(data, small(), tmp_path / "run", progress=False, say=told.append)
    assert all("unchanged" in sentence for sentence in told)


def test_it_ends_when_the_line_fails(data, tmp_path, two_cores, monkeypatch):
    started = []
    monkeypatch.setattr(line, "Beside", lambda *given: started.append(beside.Beside(*given)) or started[0])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(line._Line, "train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(data, small(), tmp_path / "run", progress=False)
    assert started[0].process.poll() is not None


def test_it_ends_with_a_line_that_is_killed(data, tmp_path):
    data.save(tmp_path / "store")
    embed(data, collaborative="als").save(tmp_path / "signals")
    code = (
        "import sys, time; from pathlib import Path; from gensar_lite.pipeline.beside import Beside;"
        "print(Beside(Path(sys.argv[1]), 0).process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        other = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 60
    while other.is_running() and other.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
        time.sleep(0.1)
    assert not other.is_running() or other.status() == psutil.STATUS_ZOMBIE


def test_one_core_is_not_shared(monkeypatch):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda process: {3}, raising=False)
    assert device.spare_cores() == 1
    assert device.workers(device.torch.device("cpu")) is None
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "32")
    assert device.spare_cores() == max(2 // device.torch.get_num_threads(), 1)
