"""A sweep of several machines over a real PostgreSQL: killed, sleeping and double workers. Skipped where there is none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gensar_lite.tradeoff.study import TrialState, Work

NUM_RUNS = 24
# A machine of its own: another name, another folder, and little patience.
WORKER = """
import sys, time
from pathlib import Path
from gensar_lite.tradeoff import study
from gensar_lite.tradeoff.design import Unit
study.BEAT_SECONDS, study.SILENT_SECONDS = 0.3, 3.0
name, url, out, slow = sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])
units = {f"run-{n}": Unit("sweep", "shop", "gensar", n / 100, 0) for n in range(int(sys.argv[5]))}
work = study.Work(out, url, "shared")
work.worker["host"] = name
(out / "ready").touch()
while not (out.parent / "go").exists():
    time.sleep(0.01)
work.add(units)
began = 0
while True:
    trial = work.take(set(units))
    if trial is None:
        if units.keys() <= {done.user_attrs["key"] for done in work.trials(study.TrialState.COMPLETE)}:
            break
        time.sleep(0.1)
        continue
    began += 1
    (out / f"began-{began}").touch()
    with work.alive(trial):
        time.sleep(slow if began == 2 else 0.1)
        metrics = {"value": [0.123456] * 2000, "metric": ["NDCG@10"] * 2000}
        work.finish(trial, (0.5, 0.5), {"metrics": metrics, "about": {"by": name}, "variant": ""})
"""


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's programs: Debian keeps them out of the path."""
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = shutil.which("pg_ctl") or (known[-1] if known else None)
    return None if found is None else Path(found).resolve().parent


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a PostgreSQL of this test's own, in a temporary folder, on a socket there and nowhere else."""
    programs = find_postgres()
    if programs is None:
        pytest.skip("there is no PostgreSQL here (Debian: postgresql)")
    pytest.importorskip("psycopg")
    as_whom = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    if as_whom:
        shutil.chown(folder, **as_whom)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [programs / program, *arguments], capture_output=True, text=True, timeout=120, cwd=folder, **as_whom
        )
        assert done.returncode == 0, done.stderr + done.stdout

    try:
        run("initdb", "-D", "data", "-U", "sweeper", "-A", "trust", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://sweeper@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(path: Path, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


@pytest.mark.slow
def test_machines_share_runs_though_one_is_killed_and_one_sleeps(database: str, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    workers = {}
    for name, slow in (("killed", 60.0), ("sleeping", 5.0), ("steady", 0.1)):
        (tmp_path / name).mkdir()
        arguments = [sys.executable, str(script), name, database, str(tmp_path / name), str(slow), str(NUM_RUNS)]
        workers[name] = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    try:
        for name in workers:
            wait_for(tmp_path / name / "ready")
        (tmp_path / "go").touch()  # all add the same runs at the same moment
        for name in ("killed", "sleeping"):
            wait_for(tmp_path / name / "began-2")  # its long run
        workers["killed"].send_signal(signal.SIGKILL)
        workers["sleeping"].send_signal(signal.SIGSTOP)
        assert workers["steady"].wait(timeout=900) == 0, workers["steady"].stderr.read()
        workers["sleeping"].send_signal(signal.SIGCONT)  # its run was done by another one
        assert workers["sleeping"].wait(timeout=300) == 0, workers["sleeping"].stderr.read()
    finally:
        for process in workers.values():
            process.kill()
            process.wait()
    work = Work(tmp_path / "reader", database, "shared")
    done = Counter(trial.user_attrs["key"] for trial in work.trials(TrialState.COMPLETE))
    assert set(done) == {f"run-{number}" for number in range(NUM_RUNS)}
    assert max(done.values()) == 1, "no run was recorded twice"
    assert not work.trials(TrialState.RUNNING, TrialState.FAIL)
    assert len(work.trials(TrialState.COMPLETE)[0].user_attrs["metrics"]["value"]) == 2000
