"""Several processes train and measure as one does, and none waits for another that failed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from builders import tiny_store

import gensar_lite.pipeline
from gensar_lite.config import preset

SCRIPT = """
import json, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from accelerate import Accelerator
from test_training import CONFIG, Objective, replace, train, world
state = Accelerator(cpu=True)
config = replace(CONFIG, steps=40, validate_every=20, batch_size=96, accumulate=2 // state.num_processes)  # the same draws
model, rows = train(config)
with torch.no_grad():
    examples = world(config)[1]
    loss = Objective(model, examples.vocabulary, config)(examples.chunks(0)).item()
sums = state.gather(model.shared.weight.detach().double().sum().reshape(1)).tolist()
if state.is_main_process:
    print("RESULT", json.dumps({{"world": state.num_processes, "loss": loss, "sums": sums}}))
"""


def launch(script: Path, *launcher: str) -> dict:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *launcher, str(script)], capture_output=True, text=True, timeout=600, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if "RESULT" in line)
    return json.loads(line.split("RESULT")[1])


TOGETHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.mark.slow
def test_two_processes_train_a_model_of_the_same_quality(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    one = launch(script)
    two = launch(script, *TOGETHER)
    assert (one["world"], two["world"]) == (1, 2)
    assert two["sums"][0] == two["sums"][1], "both processes hold the same weights"
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)


SHARED = """
import json, sys
sys.path.insert(0, {tests!r})
import numpy as np
import torch
torch.set_num_threads(1)
from accelerate import Accelerator
from builders import random_table, tiny_store
from gensar_lite.config import preset
from gensar_lite.model import GenSAR
from gensar_lite.signals import embed
state = Accelerator(cpu=True)
data = tiny_store()
config = preset("paper-tiny", d_model=16, d_ff=16, num_layers=1, max_text=8, steps=12, validate_every=3, patience=2, batch_size=16,
                warmup=0.1, learning_rate=3e-3, accumulate=2 // state.num_processes)
watched = []
model = GenSAR.fit(data, embed(data, collaborative="als"), random_table(data.items["item_id"].tolist()), config=config,
                   progress=False, watch=lambda model: watched.append(1))
weights = {{name: weight.double().abs().sum().item() for name, weight in model.backbone.state_dict().items()}}
everywhere = state.gather(torch.tensor([weights["shared.weight"]]).double()).tolist()
if state.is_main_process:
    print("RESULT", json.dumps({{"world": state.num_processes, "history": model.training_history, "weights": weights, "everywhere": everywhere}}))
"""


@pytest.mark.slow
def test_two_processes_train_as_one_that_takes_their_parts_in_turns(tmp_path: Path) -> None:
    """The same weights, the same validation, and the same end."""
    script = tmp_path / "script.py"
    script.write_text(SHARED.format(tests=str(Path(__file__).parent)))
    one, two = launch(script), launch(script, *TOGETHER)
    assert (one["world"], two["world"]) == (1, 2)
    assert two["everywhere"][0] == two["everywhere"][1]
    assert [row["step"] for row in one["history"]] == [row["step"] for row in two["history"]]
    for ours, theirs in zip(one["history"], two["history"], strict=True):
        assert ours["primary"] == pytest.approx(theirs["primary"], abs=0.02)  # ties between items may fall otherwise
        assert ours["recommendation"] == pytest.approx(theirs["recommendation"], abs=0.04)
    for name, value in one["weights"].items():
        assert value == pytest.approx(two["weights"][name], rel=1e-3), name


MEASURED = """
import sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from accelerate import PartialState
from builders import tiny_store
from test_processes import quick_run
from gensar_lite.model import GenSAR
rank = PartialState(cpu=True).process_index
score, asked = GenSAR.score, []
GenSAR.score = lambda self, cases, *rest: asked.append(len(cases)) or score(self, cases, *rest)
metrics = quick_run({out!r})
sys.stdout.write(f"ASKED {{rank}} {{sum(asked)}} {{bool(metrics)}}\\n")  # at once: two processes write
"""


def quick_run(out: str | Path) -> dict:
    sizes = {"d_model": 16, "d_ff": 16, "num_layers": 1, "num_codes": 8, "batch_size": 32, "steps": 4}
    config = preset("tiny", quantiser="kmeans", collaborative="als", evidence=("words",), **sizes)
    return gensar_lite.pipeline.run(tiny_store(), config, out, baselines=False, examples=1, progress=False)


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    out, script = tmp_path / "run", tmp_path / "script.py"
    alone = quick_run(out)
    ranks = pd.read_parquet(out / "ranks.parquet")
    for name in ("ranks.parquet", "metrics.json"):
        (out / name).unlink()
    script.write_text(MEASURED.format(tests=str(Path(__file__).parent), out=str(out)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *TOGETHER, script], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = sorted(
        re.findall(r"ASKED (\d) (\d+) (True|False)", done.stdout)
    )  # lines of two processes may run into each other
    assert [told for *_, told in said] == ["True", "False"], done.stdout
    counts = [int(count) for _, count, _ in said]
    assert min(counts) > 0.4 * sum(counts), "each asks about half of the cases"
    together = pd.read_parquet(out / "ranks.parquet")
    pd.testing.assert_frame_equal(together.drop(columns=["rank", "ties"]), ranks.drop(columns=["rank", "ties"]))
    assert (together["rank"] == ranks["rank"]).mean() > 0.99  # sums of other batches may round otherwise
    metrics = json.loads((out / "metrics.json").read_text())
    for task, protocol in (("recommendation", "uniform99"), ("search", "bm25_99"), ("search", "full")):
        assert metrics[task][protocol] == pytest.approx(alone[task][protocol], abs=0.01)
        assert metrics["generator"][task][protocol] == pytest.approx(alone["generator"][task][protocol], abs=0.01)
    assert metrics["lists"] == {
        name: {task: pytest.approx(values, abs=0.02) for task, values in tasks.items()}
        for name, tasks in alone["lists"].items()
    }


FAILING = """
import sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from accelerate import Accelerator
from test_training import CONFIG, replace, train
rank = Accelerator(cpu=True).process_index
def validate(model):
    if rank == {rank}:
        raise ValueError("this process fails")
    return {{"primary": 0.5}}
train(replace(CONFIG, steps=8, validate_every=2), validate=validate)
"""


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_no_process_waits_for_one_that_failed(tmp_path: Path, rank: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(FAILING.format(tests=str(Path(__file__).parent), rank=rank))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *TOGETHER, script], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 1
    assert "this process fails" in done.stderr
