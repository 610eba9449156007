"""The whole line: one run on a tiny store, what is skipped and what made again, kill and resume, new items."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

import gensar_lite.pipeline.line as line
from gensar_lite.cli import main
from gensar_lite.config import RunConfig, preset
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.build import build_dataset
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError, read_json, write_json
from gensar_lite.evaluation.baselines import NAMES
from gensar_lite.evaluation.metrics import metrics_of
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.model import GenSAR
from gensar_lite.pipeline import evaluate, run
from gensar_lite.pipeline.estimate import estimate_bytes, estimate_seconds, gigabytes, in_words
from gensar_lite.pipeline.folder import MODEL_LINE, PARTS, replace_catalogue

STORE = BazaarConfig(num_items=120, num_users=60, mean_events=10)


def small(seed: int = 0, **changes: object) -> RunConfig:
    settings = {
        "steps": 6,
        "validate_every": 3,
        "batch_size": 32,
        "d_model": 16,
        "d_ff": 16,
        "vocab_size": 600,
        "num_heads": 2,
        "quantiser": "kmeans",
        "collaborative": "als",
    }
    return preset("tiny", seed, **(settings | changes))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return simulate(STORE)


@pytest.fixture(scope="module")
def finished(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    run(data, small(), out, examples=2, progress=False)
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def again(data: Dataset, config: RunConfig, out: Path, **options: object) -> list[str]:
    """Run, and give the stages that were done."""
    told: list[str] = []
    run(data, config, out, examples=2, progress=False, say=told.append, **options)
    return [sentence.split()[0] for sentence in told if sentence.split()[0] in PARTS and sentence.endswith("…")]


def test_the_folder_is_complete(finished, data):
    assert {p.name for p in finished.iterdir()} == {
        "config.json",
        "gensar_lite.json",
        "stages.json",
        "store",
        "signals",
        "identifiers",
        "model",
        "evidence",
        "baselines",
        "metrics.json",
        "ranks.parquet",
        "timings.json",
        "examples.json",
    }
    metrics = read_json(finished / "metrics.json")
    assert set(metrics["recommendation"]) == {"uniform99", "popular99", "full"}
    assert set(metrics["search"]) == {"bm25_99", "full", "adhoc_bm25_99", "adhoc_full"}
    assert set(metrics["baselines"]) == set(NAMES)
    assert set(metrics["ceiling"]) == {"oracle"}
    assert metrics["provenance"]["fingerprint"] == data.info["fingerprint"]
    ranks = pd.read_parquet(finished / "ranks.parquet")
    heard = "gensar + words + neighbours + content"
    assert set(ranks["model"]) == {heard, "gensar", "oracle", *NAMES}
    assert metrics_of(ranks[ranks["model"] == heard])["search"] == metrics["search"]
    assert metrics_of(ranks[ranks["model"] == "gensar"])["search"] == metrics["generator"]["search"]
    assert metrics["provenance"]["model"] == heard
    assert metrics["provenance"]["evidence"] == ["words", "neighbours", "content"]
    timings = read_json(finished / "timings.json")
    assert timings["model_line"] == pytest.approx(sum(timings[stage] for stage in MODEL_LINE), abs=0.01)


def test_the_folder_is_all_that_loading_needs(finished, data):
    model = GenSAR.load(finished)
    assert model.training_history[-1]["step"] == 6
    found = evaluate(model, model.data, protocols=["uniform99"], lists=False)
    assert found["recommendation"]["uniform99"] == read_json(finished / "metrics.json")["recommendation"]["uniform99"]


def test_examples_never_show_what_came_after(finished, data):
    examples = read_json(finished / "examples.json")["examples"]
    assert [e["task"] for e in examples] == ["search"] * 2 + ["recommendation"] * 2
    for example in examples:
        cases = data.cases(example["task"], "test")
        row = int(np.flatnonzero(np.array(data.log.user_ids, object)[cases.user] == example["user"])[0])
        assert len(example["history"]) == min(5, cases.stop[row] - cases.start[row])
        assert example["target"]["item_id"] == data.items["item_id"].iloc[cases.item[row]]


def test_nothing_is_done_twice(copy, data):
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*") if p.is_file() and p.name != "config.json"}
    assert again(data, small(), copy) == []
    assert before == {p: p.stat().st_mtime_ns for p in copy.rglob("*") if p.is_file() and p.name != "config.json"}


@pytest.mark.parametrize(
    ("config", "done"),
    [
        (small(steps=7), ["training", "evidence", "evaluation", "examples"]),
        (small(strategy="semantic"), ["identifiers", "training", "evidence", "evaluation", "examples"]),
        (replace(small(), evidence=("words",)), ["evidence", "evaluation", "examples"]),
        (small(seed=1), ["signals", "identifiers", "training", "evidence", "baselines", "evaluation", "examples"]),
    ],
)
def test_what_depends_on_a_change_is_made_again(copy, data, config, done):
    assert again(data, config, copy) == done
    GenSAR.load(copy)


def test_signals_given_as_arrays_do_not_depend_on_the_seed(tmp_path, data):
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{name}.npy") for name in "ab"]
    for path in paths:
        np.save(path, rng.normal(size=(data.num_items, 8)).astype(np.float32))
    config = small(text_encoder=paths[0], collaborative=paths[1])
    assert "signals" in again(data, config, tmp_path / "run", baselines=False)
    assert "signals" not in again(data, replace(config, seed=1), tmp_path / "run", baselines=False)
    np.save(paths[1], rng.normal(size=(data.num_items, 8)).astype(np.float32))
    assert "signals" in again(data, replace(config, seed=1), tmp_path / "run", baselines=False)


def test_two_runs_with_one_seed_are_the_same(finished, tmp_path, data):
    run(data, small(), tmp_path / "twin", progress=False)
    for part in ("identifiers/identifiers.parquet", "metrics.json", "ranks.parquet", "model/model.safetensors"):
        assert (finished / part).read_bytes() == (tmp_path / "twin" / part).read_bytes(), part


def test_a_damaged_stage_is_noticed_and_made_again(copy, data):
    path = copy / "signals" / "semantic.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"signals: semantic\.npy was changed"):
        GenSAR.load(copy)
    assert again(data, small(), copy) == ["signals", "evaluation", "examples"]
    GenSAR.load(copy)


KILLED = """
import sys, time
import gensar_lite.training.loop as loop
from tests.test_pipeline import STORE, simulate, small, run
save = loop._Run.save
def slow(self):
    save(self)
    print("saved", flush=True)
    time.sleep(60)
loop._Run.save = slow
run(simulate(STORE), small(), sys.argv[1], baselines=False, progress=False)
"""


def test_a_killed_training_goes_on_to_the_same_weights(finished, tmp_path, data):
    out = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(out)], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "saved\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "config.json").exists()
    told: list[str] = []
    run(data, small(), out, baselines=False, progress=False, say=told.append)
    assert "training: going on from the checkpoint" in told
    assert not (out / "checkpoint").exists()
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (out, finished))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_a_checkpoint_of_another_training_is_not_taken(copy, data):
    old = copy / "checkpoint" / "0123"
    old.mkdir(parents=True)
    write_json(old / "progress.json", {"step": 5, "history": []})
    assert "training" in again(data, small(steps=4), copy)


def test_another_data_set_and_other_folders_are_refused(copy, tmp_path):
    with pytest.raises(DataError, match="another data set"):
        run(simulate(replace(STORE, seed=1)), small(), copy, progress=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match="did not write"):
        run(simulate(STORE), small(), tmp_path / "mine", progress=False)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"strategy": "nothing"}, "unknown strategy"),
        ({"quantiser": "none"}, "unknown quantiser"),
        ({"collaborative": "friends"}, "unknown source"),
        ({"text_encoder": "none.npy"}, "does not exist"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(tmp_path, data, changes, sentence):
    with pytest.raises(DataError, match=sentence):
        run(data, small(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_refused_before_any_work(tmp_path, data, monkeypatch):
    monkeypatch.setattr(line.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install"):
        run(data, small(text_encoder="some-model"), tmp_path / "run")


def test_a_full_disk_leaves_nothing_that_looks_whole(copy, data, monkeypatch):
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gensar_lite.model.write_weights", full)
    with pytest.raises(OSError, match="No space"):
        run(data, small(steps=4), copy, progress=False)
    with pytest.raises(DataError, match="not a run folder"):
        GenSAR.load(copy)
    assert not (copy / "metrics.json").exists()
    assert not [p for p in copy.iterdir() if p.name.startswith(".")]


def test_new_items_join_and_can_be_found(copy, data):
    model = GenSAR.load(copy)
    before = {view: codes.copy() for view, codes in model.table.codes.items()}
    new = pd.DataFrame({"item_id": ["new1"], "title": ["Zebra striped xylophone stand"]})
    grown = model.add_items(new)
    assert model.data.num_items == data.num_items, "the model itself stays as it is"
    assert grown.identifiers_of(["new1"])["semantic"].iloc[0] == grown.table.text(data.num_items, "semantic")
    replace_catalogue(copy, grown)
    model = GenSAR.load(copy)
    assert all((model.table.codes[view][:-1] == before[view]).all() for view in before)
    assert "new1" in set(model.search("zebra striped xylophone", k=3)["item_id"])
    assert "new1" not in set(model.search("coffee", k=5)["item_id"])
    assert len(model.search("xylophone stand", items=["new1"])) == 1
    with pytest.raises(DataError, match="already in the catalogue"):
        model.add_items(new)
    with pytest.raises(DataError, match="items were added"):
        run(data, small(), copy, progress=False)


def test_the_guess_of_time_grows_with_the_work(data):
    one, two = (estimate_seconds(data, small(steps=steps, d_model=64, d_ff=128)) for steps in (1_000, 100_000))
    assert 0 < one < two
    assert in_words(20) == "about 20 seconds"
    assert in_words(200) == "about 3 minutes"


def test_the_guess_of_memory_grows_with_batches_and_vectors(data):
    sizes = {"d_model": 64, "d_ff": 128, "batch_size": 64}
    one, more, wide = (estimate_bytes(data, small(**sizes | c)) for c in ({}, {"batch_size": 4096}, {"d_model": 512}))
    assert 1e9 < one < more < 1e10
    assert one < wide
    assert gigabytes(1_430_000_000) == "about 1.4 GB"


def test_evaluation_refuses_another_catalogue(finished):
    with pytest.raises(DataError, match="another data set"):
        evaluate(GenSAR.load(finished), simulate(replace(STORE, seed=1)))


@pytest.mark.parametrize("kind", ["search", "recommendation"])
def test_half_a_data_set_goes_through_the_whole_line(data: Dataset, tmp_path: Path, kind: str, capsys) -> None:
    """Judged queries without users, and a log without searches: trained, measured, and what is not there is said."""
    none, about = data.interactions.iloc[:0], {"name": kind, "origin": "test", "data_seed": 0, "timestamps": "steps"}
    ids = data.items["item_id"].to_numpy()
    rows = [(f"q{q}", data.log.queries[q], ids[(7 * q + k) % 120], k < 1 + q % 3) for q in range(60) for k in range(4)]
    judgements = pd.DataFrame(rows, columns=["query_id", "query", "item_id", "relevant"])
    half = (
        build_dataset(data.items, none, data.searches.iloc[:0], query_protocol="log", judgements=judgements, **about)
        if kind == "search"
        else build_dataset(data.items, data.interactions, data.searches.iloc[:0], query_protocol="none", **about)
    )
    other = {"search": "recommendation", "recommendation": "search"}[kind]
    assert f"there is no case of {other}, so nothing is measured there" in half.info["notes"]
    run(half, small(), tmp_path / "run", examples=1, progress=False)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics[other] == {}
    assert 0 <= metrics[kind][PRIMARY[kind][0]]["NDCG@10"] <= 1
    ranks = pd.read_parquet(tmp_path / "run" / "ranks.parquet")
    assert set(ranks["task"]) == {kind}
    assert len(ranks[(ranks["model"] == "dense") & (ranks["protocol"] == "full")]) == len(
        half.cases(kind, "test").relevant
    )
    assert main(["evaluate", str(tmp_path / "run"), "--no-baselines"]) == 0
    assert f"{other.capitalize()}: the data set holds out no case" in capsys.readouterr().out
    assert main(["search", str(tmp_path / "run"), "tent"]) == 0
