"""The benchmarks run and write what they measured; how fast is never a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("name", ["decoding", "gpu", "scale", "scoring", "trie"])
def test_smallest_size(name: str, tmp_path: Path) -> None:
    command = [sys.executable, FOLDER / f"{name}.py", "--size", "smoke", "--repeats", "1", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / f"{name}.json").read_text())
    assert {"command", "threads", "processor", "versions", "seconds"} <= set(content["circumstances"])
    assert all(rows for rows in content["tables"].values())
    if name in ("decoding", "gpu"):
        rows = content["tables"]["Beam search" if name == "decoding" else "Decoding"]
        assert all(row["largest difference"] < 1e-3 for row in rows)
