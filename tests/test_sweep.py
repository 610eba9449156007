"""Sweeps: checked before they start, stopped, resumed, shared, and never mixed with other results."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import tiny_store
from test_faults import HARMS, harm

import gensar_lite.tradeoff.runs as units
from gensar_lite.cli import main
from gensar_lite.data.storage import DataError
from gensar_lite.model import GenSAR
from gensar_lite.signals import Signals
from gensar_lite.tradeoff import sweep as sweep_module
from gensar_lite.tradeoff.agreement import measure_signals, signals_table
from gensar_lite.tradeoff.design import Design, read_asked
from gensar_lite.tradeoff.results import LISTS, TIDY, read_ranks, read_results
from gensar_lite.tradeoff.study import TrialState, Work, code_version
from gensar_lite.tradeoff.summary import read_tradeoff
from gensar_lite.tradeoff.sweep import run_sweep
from gensar_lite.tradeoff.workshop import Workshop
from gensar_lite.training.examples import Examples

SETTINGS = {
    "steps": 3,
    "quantiser": "kmeans",
    "collaborative": "als",
    "d_model": 32,
    "d_ff": 64,
    "vocab_size": 600,
    "batch_size": 48,
    "pseudo_queries_per_item": 2,
}
PLAIN = {
    "strategies": ["gensar"],
    "mixes": [0.2, 0.8],
    "seeds": [0],
    "settings": SETTINGS,
    "protocols": ["uniform99", "bm25_99"],
}


@pytest.fixture(scope="module")
def finished(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two runs that nothing disturbed."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    run_sweep(design(store), out, progress=False)
    return out


def design(store: Path, **changes: object) -> Design:
    return Design.from_json({"data": [str(store)], **PLAIN, **changes})


def command(store: Path, out: Path, *more: str) -> list[str]:
    sets = [part for name, value in SETTINGS.items() if name != "steps" for part in ("--set", f"{name}={value}")]
    own = ["--data", str(store), "--out", str(out), "--strategies", "gensar", "--mixes", "0.2,0.8", "--seeds", "0"]
    return ["tradeoff", *own, "--steps", "3", *sets, "--protocols", "uniform99,bm25_99", "--specialists", "none", *more]


def values_of(results: pd.DataFrame) -> pd.DataFrame:
    keys = ["mix", "task", "protocol", "split", "metric"]
    return results.sort_values(keys)[[*keys, "value"]].reset_index(drop=True)


def test_the_table_is_tidy_and_its_ranks_are_there(finished, store):
    results = read_results(finished)
    assert list(results.columns) == TIDY
    ranked, listed = results[results["protocol"] != LISTS], results[results["protocol"] == LISTS]
    assert ranked.groupby("mix").size().tolist() == [24, 24]  # 2 tasks, 2 splits, 6 metrics
    assert set(listed["metric"]) >= {"coverage", "popularity_bias", "novelty", "repeats"}
    assert listed["value"].notna().all()
    assert results["version"].unique().tolist() == [code_version()]
    assert results["fingerprint"].unique().tolist() == [tiny_store().info["fingerprint"]]
    assert json.loads(results["parameters"].iloc[0])["training"]["steps"] == 3
    ranks = read_ranks(finished, results)
    assert len(ranks) == 2 * sum(
        len(tiny_store().cases(t, s)) for t in ("search", "recommendation") for s in ("choose", "test")
    )
    assert (finished / "signals").is_dir()
    assert len(list((finished / "identifiers").iterdir())) == 1, "identifiers are made once"


def test_damaged_files_of_a_sweep_are_refused_in_a_sentence(finished, store, tmp_path):
    out = Path(shutil.copytree(finished, tmp_path / "whole"))
    about, results = read_asked(out), read_results(out)
    measure_signals(out, {"shop": str(store)}, about["fingerprints"])
    plan = design(store)
    readers = {
        "design.json": read_asked,
        "results.parquet": read_results,
        "runs/*/ranks.parquet": lambda folder: read_ranks(folder, results),
        "signals/*/measures.json": lambda folder: signals_table(folder, about["fingerprints"]),
        "signals/*/made_from.json": lambda folder: signals_table(folder, about["fingerprints"]),
        "signals/*/cost.json": lambda folder: Workshop(plan, folder, about["version"], False).signals(
            "shop", plan.config(plan.units()[0])
        ),
    }
    for pattern, read in readers.items():
        expected = read(out)
        made_again = pattern in ("signals/*/measures.json", "signals/*/cost.json")
        for kind in [kind for kind in HARMS if not (made_again and kind == "deleted")]:
            shutil.rmtree(tmp_path / "copy", ignore_errors=True)
            copy = Path(shutil.copytree(out, tmp_path / "copy"))
            if harm(next(copy.glob(pattern)), kind):
                try:
                    found, told = read(copy), ""
                except DataError as error:
                    found, told = None, str(error)
                assert "\n" not in told, (pattern, kind)
                if not told:  # a bit of Parquet that says nothing of the table
                    assert (pattern, kind) == ("results.parquet", "flipped"), (pattern, kind)
                    assert found.equals(expected)


def test_a_damaged_journal_is_refused_or_its_runs_are_done_again(finished, store, tmp_path):
    expected = values_of(read_results(finished))
    size, refused, whole = (finished / "study.journal").stat().st_size, 0, 0
    for point in [None, *range(size // 20, size, size // 10)]:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        copy = Path(shutil.copytree(finished, tmp_path / "copy"))
        content = bytearray((copy / "study.journal").read_bytes())
        if point is None:  # its process is dead, too
            content = bytearray(re.sub(rb'"pid":\d+', b'"pid":0', content))
            content = content[: size // 2]
        else:
            content[point] ^= 1
        (copy / "study.journal").write_bytes(content)
        try:
            done = run_sweep(design(store), copy, progress=False)
        except DataError as error:
            refused += "\n" not in str(error)
        else:
            pd.testing.assert_frame_equal(values_of(done.results), expected)
            whole += 1
    assert refused
    assert refused + whole == 11


def test_what_is_done_is_not_done_again(finished, store, monkeypatch):
    monkeypatch.setattr(sweep_module, "do_unit", lambda *_: pytest.fail("a finished run was done again"))
    said: list[str] = []
    done = run_sweep(design(store), finished, progress=False, say=said.append)
    assert not done.failures
    assert done.open == 0
    assert "2 runs, 2 of them done" in said[0]


def test_what_differs_in_evidence_is_trained_once(finished, store, tmp_path, monkeypatch):
    trained, original = [], GenSAR.fit.__func__
    monkeypatch.setattr(GenSAR, "fit", classmethod(lambda *args, **more: trained.append(0) or original(*args, **more)))
    variants = [{}, {"evidence": []}, {"evidence": ["words"]}]
    done = run_sweep(design(store, mixes=[0.2], variants=variants), tmp_path / "out", progress=False)
    assert not done.failures
    assert len(trained) == 1
    all_of_it, alone, words = [
        done.results[done.results["variant"] == variant] for variant in ("", "evidence=none", "evidence=words")
    ]
    expected = read_results(finished)
    pd.testing.assert_frame_equal(values_of(all_of_it), values_of(expected[expected["mix"] == 0.2]))
    assert not values_of(words).equals(values_of(alone))
    assert words["cpu_seconds"].iloc[0] > alone["cpu_seconds"].iloc[0], "joining costs, too"
    assert not list((tmp_path / "out" / "checkpoints").iterdir())


def test_a_failed_run_is_recorded_and_the_rest_goes_on(store, tmp_path, monkeypatch, finished):
    original = sweep_module.do_unit

    def sometimes(unit, *rest):
        if unit.mix == 0.2:
            raise RuntimeError("out of\nluck")
        return original(unit, *rest)

    monkeypatch.setattr(sweep_module, "do_unit", sometimes)
    done = run_sweep(design(store), tmp_path / "out", progress=False)
    assert list(done.failures.values()) == ["RuntimeError: out of luck"]
    assert done.results["mix"].unique().tolist() == [0.8]
    assert run_sweep(design(store), tmp_path / "out", progress=False).failures, "not tried again unless asked"
    monkeypatch.setattr(sweep_module, "do_unit", original)
    mended = run_sweep(design(store), tmp_path / "out", progress=False, retry_failed=True)
    assert not mended.failures
    pd.testing.assert_frame_equal(values_of(mended.results), values_of(read_results(finished)))


def test_results_of_other_data_or_code_are_not_mixed(finished, store, tmp_path, monkeypatch):
    other = tmp_path / "shop"
    from gensar_lite.data.bazaar import BazaarConfig, simulate

    simulate(BazaarConfig(num_items=100, num_users=60, mean_events=12, seed=1)).save(other)
    monkeypatch.setattr(sweep_module, "do_unit", lambda *_: pytest.fail("a run was started"))
    with pytest.raises(DataError, match="another data set called shop"):
        run_sweep(design(other), finished, progress=False)
    monkeypatch.setattr(sweep_module, "code_version", lambda: "9.9+other")
    with pytest.raises(DataError, match="other code"):
        run_sweep(design(store), finished, progress=False)


def test_what_other_code_made_stays_when_it_may_and_is_not_read(finished, store, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    monkeypatch.setattr(sweep_module, "code_version", lambda: "9.9+other")
    run_sweep(design(store, mixes=[0.2]), out, keep_others=True, progress=False)
    assert set(read_results(out)["version"]) == {code_version(), "9.9+other"}
    about = json.loads((out / "design.json").read_text())
    reading = read_tradeoff(out, version=about["version"], fingerprints=about["fingerprints"], runs=about["runs"])
    assert reading.results["version"].unique().tolist() == ["9.9+other"]
    assert reading.points["place"].tolist() == [0.2]


def test_a_database_serves_as_well(store, tmp_path, finished):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    run_sweep(design(store), tmp_path / "out", storage=url, study="mine", progress=False)
    pd.testing.assert_frame_equal(values_of(read_results(tmp_path / "out")), values_of(read_results(finished)))
    with pytest.raises(DataError, match="cannot be opened"):
        Work(tmp_path, "sqlite:////no/such/folder/study.db", "mine")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ["gensar", "magic"]}, "unknown strategy 'magic'"),
        ({"mixes": [0.5, 1.5]}, "mixes must lie between"),
        ({"settings": {"stepz": 3}}, "unknown settings: stepz"),
        ({"settings": {"softmax": "soft"}}, "softmax must be one of"),
        ({"specialists": ["oracle9"]}, "unknown specialist 'oracle9'"),
        ({"curves": ["sweep", "magic"]}, "unknown curve 'magic'"),
        ({"protocols": ["uniform9"]}, "unknown protocol 'uniform9'"),
        ({"data": ["/no/such/folder"]}, "There is no data set"),
        ({"data": [{"alignmend": 1}]}, "a knob that nobody knows"),
        ({"variants": [{"without": ["next_item"]}]}, "unknown task to leave out"),
        ({"preset": "huge"}, "unknown preset"),
    ],
)
def test_what_cannot_run_stops_before_the_first_training(store, tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr(sweep_module, "do_unit", lambda *_: pytest.fail("a run was started"))
    with pytest.raises(DataError, match=message):
        run_sweep(design(store, **changes), tmp_path / "out", progress=False)


# processes ---------------------------------------------------------------------------------------


# The command, with what happens before each run: the runs of the tiny store are too short to be met by chance.
START = """
import os, sys, time
from pathlib import Path
import gensar_lite.tradeoff.sweep as sweep
from gensar_lite.cli import main
from gensar_lite.config import PRESETS
do_unit, out, count = sweep.do_unit, Path({out!r}), 0
def do(*arguments):
    global count
    count += 1
    {before}
    return do_unit(*arguments)
sweep.do_unit = do
sys.exit(main(sys.argv[1:]))
"""
STOP_IN_THE_SECOND = "count == 2 and (print('second', flush=True), time.sleep(600))"
WAIT_FOR_EACH_OTHER = """(out / f"here.{os.getpid()}").touch()
    while len(list(out.glob("here.*"))) < 2: time.sleep(0.05)"""


def start(out: Path, before: str, arguments: list[str]) -> subprocess.Popen[str]:
    code = START.format(out=str(out), before=before)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def trials(out: Path) -> list:
    return Work(out, None, "tradeoff").trials()


@pytest.mark.slow
def test_killed_and_resumed_it_ends_as_an_undisturbed_one(store, tmp_path, finished):
    out = tmp_path / "out"
    process = start(out, STOP_IN_THE_SECOND, command(store, out))
    assert process.stdout is not None
    assert process.stdout.readline() == "second\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {t.number: t.datetime_complete for t in trials(out) if t.state == TrialState.COMPLETE}
    assert len(before) == 1
    assert main(command(store, out)) == 0
    after = trials(out)
    assert [t.state for t in after] == [TrialState.COMPLETE] * 2
    assert all(after[number].datetime_complete == when for number, when in before.items()), (
        "a finished run was done again"
    )
    pd.testing.assert_frame_equal(values_of(read_results(out)), values_of(read_results(finished)))


@pytest.mark.slow
def test_two_processes_share_a_sweep(store, tmp_path, finished):
    out = tmp_path / "out"
    processes = [start(out, WAIT_FOR_EACH_OTHER, command(store, out, "--seeds", "0,1")) for _ in range(2)]
    try:
        said = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    done = trials(out)
    assert [t.state for t in done] == [TrialState.COMPLETE] * 4
    assert len({t.user_attrs["worker"]["pid"] for t in done}) == 2, "one process did all the work"
    assert len(list((out / "signals").iterdir())) == 2, "signals once per seed"
    results = read_results(out)
    pd.testing.assert_frame_equal(values_of(results[results["seed"] == 0]), values_of(read_results(finished)))


def test_the_command_reads_what_it_ran(store, finished, capsys):
    assert main(command(store, finished)) == 0
    printed = capsys.readouterr()
    assert "one seed" in printed.out
    assert "What shop says" in printed.out
    assert "Validation takes gensar + evidence at mix" in printed.out
    assert "one training, so nothing is sure" in printed.out
    assert main(["report", str(finished), "--out", str(finished.parent / "page.html")]) == 0
    page = (finished.parent / "page.html").read_text()
    assert "Validation takes gensar + evidence at mix" in page
    capsys.readouterr()
    assert "2 runs, 2 of them done" in printed.err
    assert (finished / "tradeoff.png").stat().st_size > 10_000
    assert "hypervolume" in json.loads((finished / "figures.json").read_text())["tradeoff.png"]["alt"]
    assert main([*command(store, finished), "--read-only", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["volumes"][0]["strategy"] == "gensar"
    assert told["volumes"][0]["low"] is None
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["reference_point"] == [0, 0]
    assert len(summary["points"]) == 2
    assert "by chance" in printed.out
    (told,) = summary["signals"]
    signals = Signals.load(next(finished.glob("signals/*/content")))
    near = [
        np.argsort(-(v @ v.T) + 9 * np.eye(len(v)), axis=1)[:, :10] for v in (signals.semantic, signals.collaborative)
    ]
    shared = np.mean([len({*a} & {*b}) / 10 for a, b in zip(*near, strict=True)])
    assert told["agreement"] == pytest.approx(shared, abs=0.02), "ties may fall otherwise"
    assert told["by_chance"] == pytest.approx(10 / (len(signals.semantic) - 1))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--data", "/no/such/data"], 1, "There is no data set"),
        (["--strategies", "magic"], 2, "unknown strategy 'magic'"),
        (["--mixes", "half"], 2, "--mixes are numbers"),
        (["--mixes", "0.5,2"], 1, "mixes must lie between"),
        (["--set", "quantiser"], 2, "is no setting"),
        (["--goals", "bm25_99"], 2, "--goals takes"),
        (["--metric", "loss"], 2, "--metric is one of"),
        (["--cheap", "magic"], 1, "unknown curve 'magic'"),
        (["--design", "x.json"], 2, "leave out --data, --strategies, --mixes, --seeds"),
        (["--set", "mix=0.3"], 1, "mix is an axis of the sweep"),
    ],
)
def test_wrong_use_is_told_in_one_line(store, tmp_path, capsys, arguments, code, message):
    assert main(command(store, tmp_path / "out", *arguments)) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gensar-lite: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out" / "study.journal").exists()


def test_an_empty_folder_has_nothing_to_read(tmp_path, capsys):
    assert main(["tradeoff", "--out", str(tmp_path), "--read-only"]) == 1
    assert "is no sweep" in capsys.readouterr().err
    assert main(["tradeoff", "--out", str(tmp_path)]) == 2
    assert main(["tradeoff", "--out", str(tmp_path), "--design", str(tmp_path / "none.json")]) == 1
    assert "there is no design file" in capsys.readouterr().err


def test_a_kill_while_measuring_costs_no_training(finished, store, tmp_path, monkeypatch):
    """What was trained stays until it is measured: the second call trains no step, and finds the same numbers."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(units, "_measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(design(store), tmp_path / "out", progress=False)
    assert list((tmp_path / "out" / "checkpoints").glob("*/state.safetensors"))
    trained: list[int] = []
    chunks = Examples.chunks

    def counted(self: Examples, step: int, *arguments: object):
        trained.append(step)
        return chunks(self, step, *arguments)

    monkeypatch.setattr(Examples, "chunks", counted)
    run_sweep(design(store), tmp_path / "out", progress=False)
    assert len(trained) == 3, "the other run alone is trained, in its three steps"
    results = read_results(tmp_path / "out")
    pd.testing.assert_frame_equal(values_of(results), values_of(read_results(finished)))
    assert not list((tmp_path / "out" / "checkpoints").iterdir())
