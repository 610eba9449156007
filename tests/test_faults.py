"""Faults survived, by count: kills before every file operation, and damage to every file.

The file operations of a command are found by an audit hook in a process that is forked from this one, which has all
libraries loaded. `make test` takes a sample; `pytest -m faults -s tests/test_faults.py` takes all and prints the counts.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

import gensar_lite.training.loop as loop
from gensar_lite.cli import main
from gensar_lite.config import preset
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.marks import LEFT, MARK
from gensar_lite.data.storage import DataError, RefusedError, locked
from gensar_lite.evidence.evidence import Evidence
from gensar_lite.model import GenSAR
from gensar_lite.pipeline import run
from gensar_lite.pipeline.folder import SHAPES, RunFolder, read_result

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
SIZES = {"batch_size": 16, "d_model": 16, "d_ff": 16, "num_heads": 2, "vocab_size": 300, "num_codes": 16}
CONFIG = preset("tiny", steps=2, validate_every=1, quantiser="kmeans", collaborative="als", **SIZES)
HARMS = ("truncated", "emptied", "deleted", "flipped", "another shape")


def is_change(event: str, arguments: tuple, below: str) -> bool:
    """Whether an audit event is a change of files below a folder."""
    if event == "gensar_lite.exchange":
        return True
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return bool(writes or event in CHANGES) and str(arguments[0]).startswith(below)


def fork(task: Callable[[], object], below: Path, kill_before: int | None) -> int:
    """Do a task in a child, which counts its file operations and is killed before one of them; gives the number that
    were done, or -1 where it was killed. Fails where the task raises."""
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:
        try:
            seen = 0

            def hook(event: str, arguments: tuple) -> None:
                nonlocal seen
                if is_change(event, arguments, str(below)):
                    if seen == kill_before:
                        os.kill(os.getpid(), signal.SIGKILL)
                    seen += 1

            with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
                sys.addaudithook(hook)
                task()
            os.write(writes, str(seen).encode())
            os._exit(0)
        except BaseException as error:
            os.write(writes, f"{type(error).__name__}: {error}".encode())
            os._exit(1)
    os.close(writes)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reads, "rb") as pipe:
        told = pipe.read().decode()
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), told
    return int(told) if code == 0 else -1


def points(task: Callable[[], object], below: Path, sample: int | None) -> list[int]:
    """Before which operations to kill: all, or a sample spread over them; the task is done once to count them."""
    total = fork(task, below, None)
    assert total > 10, f"the audit hook saw {total} file operations; it no longer sees what is written"
    return list(range(total)) if sample is None else sorted({round(p) for p in np.linspace(0, total - 1, sample)})


def litter(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob(".*") if LEFT.fullmatch(path.name)]


def call(*arguments: object) -> None:
    if code := main([str(argument) for argument in arguments]):
        raise SystemExit(f"exit code {code}")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return simulate(BazaarConfig(num_items=80, num_users=30, mean_events=8))


@pytest.fixture(scope="module")
def finished(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("faults") / "run"
    run(data, CONFIG, out, baselines=False, examples=1, progress=False)
    return out


@pytest.fixture(params=[pytest.param(6, id="sample"), pytest.param(None, id="all", marks=pytest.mark.faults)])
def sample(request: pytest.FixtureRequest) -> int | None:
    return request.param


def new_items(folder: Path, name: str = "new") -> Path:
    path = folder / f"{name}.csv"
    pd.DataFrame({"item_id": [name], "title": [f"Zebra striped {name} stand"]}).to_csv(path, index=False)
    return path


def test_add_items_is_killed(finished: Path, sample: int | None, tmp_path: Path) -> None:
    items, place = new_items(tmp_path), tmp_path / "runs"
    out, before = place / "run", GenSAR.load(finished).data.num_items

    def add() -> None:
        call("add-items", out, "--items", items)

    def start() -> None:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(finished, out)
        (out / "notes.txt").write_text("mine")

    start()
    found: Counter = Counter()
    for point in points(add, place, sample):
        start()
        assert fork(add, place, point) == -1
        num = GenSAR.load(out).data.num_items
        assert num in (before, before + 1)
        found["old" if num == before else "new"] += 1
        if num == before:
            assert fork(add, place, None) > 0
        else:  # it has joined, so what the killed one left goes with the next item
            assert fork(lambda: call("add-items", out, "--items", new_items(tmp_path, "next")), place, None) > 0
        assert GenSAR.load(out).data.num_items == num + 1
        assert litter(place) == []
        assert (out / "notes.txt").read_text() == "mine"
    print(f"\nadd-items: killed before {sum(found.values())} operations, then {dict(found)}")


def test_data_import_is_killed(data: Dataset, sample: int | None, tmp_path: Path) -> None:
    place = tmp_path / "data"
    data.items.to_csv(tmp_path / "items.csv", index=False)
    data.interactions.to_csv(tmp_path / "clicks.csv", index=False)

    def bring() -> None:
        tables = ("--items", tmp_path / "items.csv", "--interactions", tmp_path / "clicks.csv")
        call("data", "import", *tables, "--queries", "known-item", "--out", place / "mine")

    found: Counter = Counter()
    for point in points(bring, place, sample):
        shutil.rmtree(place)
        if point % 2:  # every second one replaces
            data.save(place / "mine")
        assert fork(bring, place, point) in (-1, point)
        if point % 2:
            Dataset.load(place / "mine")
        found["there" if (place / "mine").exists() else "not there"] += 1
        assert fork(bring, place, None) > 0
        assert Dataset.load(place / "mine").info["query_protocol"] == "known-item"
        assert litter(place) == []
    print(f"\ndata import: killed before {sum(found.values())} operations, then {dict(found)}")


def test_run_is_killed(finished: Path, data: Dataset, sample: int | None, tmp_path: Path) -> None:
    place = tmp_path / "runs"
    out = place / "run"
    expected = load_file(finished / "model" / "model.safetensors")

    def go() -> None:
        run(data, CONFIG, out, baselines=False, examples=1, progress=False)

    killed = 0
    for point in points(go, place, sample):
        shutil.rmtree(place)
        assert fork(go, place, point) == -1
        assert fork(go, place, None) > 0
        weights = load_file(out / "model" / "model.safetensors")
        assert all(np.array_equal(weights[name], expected[name]) for name in expected)
        assert (out / "metrics.json").read_text() == (finished / "metrics.json").read_text()
        assert litter(place) == []
        assert not (out / "checkpoint").exists()
        killed += 1
    print(f"\nrun: killed before {killed} operations, resumed to the same weights and metrics")


def harm(path: Path, kind: str) -> bool:
    """Damage a file; gives whether this kind of damage makes sense for it."""
    content = path.read_bytes()
    if kind == "deleted":
        path.unlink()
    elif kind == "emptied":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif path.suffix == ".json":
        path.write_text(json.dumps([{"other": 1}, None]) if len(content) % 2 else json.dumps({"kind": [], "seal": 3}))
    else:
        return False
    return True


def damage(folder: Path, ask: Callable[[Path], object], sample: int | None, tmp_path: Path, name: str) -> None:
    """Harm every file of a folder in every way; what is asked of it then must be refused in a sentence, or be as before."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    ways = [(file, kind) for file in files for kind in HARMS]
    if sample is not None:
        ways = ways[:: max(len(ways) // (4 * sample), 1)]
    expected = ask(folder)
    found: Counter = Counter()
    for file, kind in ways:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        if not harm(copy / file, kind):
            continue
        try:
            answer = ask(copy)
        except DataError as error:
            found["refused" if "\n" not in str(error) else f"{file} {kind}: more than a line"] += 1
        else:
            assert answer == expected, f"{file} {kind} is believed"
            assert file.name == MARK or kind != "flipped", f"{file} flipped is not noticed"
            found["as before"] += 1
    print(f"\n{name}: {len(files)} files, {sum(found.values())} kinds of damage: {dict(found)}")
    assert set(found) <= {"refused", "as before"}
    assert found["refused"] > 0.8 * sum(found.values())


def test_files_of_a_run_are_damaged(finished: Path, sample: int | None, tmp_path: Path) -> None:
    def ask(out: Path) -> object:
        model = GenSAR.load(out)
        results = [read_result(out, name) for name in SHAPES]
        folder = RunFolder(out)
        if not folder.stages:
            raise DataError("nothing is recorded, so the next run makes everything again")
        for stage in folder.stages:
            folder.check(stage)
        return model.search("sleeping bag", k=5).to_json(), results

    damage(finished, ask, sample, tmp_path, "a run")


@pytest.mark.parametrize("part", ["store", "signals", "identifiers", "model", "evidence"])
def test_a_run_without_one_of_its_parts_answers_nothing(finished: Path, part: str, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    shutil.rmtree(out / part)
    with pytest.raises(DataError, match=rf"run/{part} ") as told:
        GenSAR.load(out)
    assert "\n" not in str(told.value)


def test_evidence_of_fewer_sources_than_the_configuration_names_is_refused(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    model = GenSAR.load(out)
    assert model.heard == model.config.evidence != ()
    Evidence([model.evidence.sources["words"]], model.data.num_items).save(out / "evidence")
    with pytest.raises(DataError, match="evidence lacks content, neighbours, which the run's configuration names"):
        GenSAR.load(out)


def test_files_of_a_data_set_are_damaged(data: Dataset, sample: int | None, tmp_path: Path) -> None:
    data.save(tmp_path / "data")

    def ask(folder: Path) -> object:
        found = Dataset.load(folder)
        return found.info, found.items.to_json(), found.interactions.to_json(), found.searches.to_json()

    damage(tmp_path / "data", ask, sample, tmp_path, "a data set")


def test_files_of_a_checkpoint_are_damaged(
    finished: Path, data: Dataset, sample: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = GenSAR.load(finished)

    def fit(folder: Path) -> object:
        fitted = GenSAR.fit(data, model.signals, model.table, config=CONFIG, checkpoint=folder, progress=False)
        return fitted.backbone.shared.weight.sum().item()

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "restore_best", lambda self: None)
        fit(tmp_path / "checkpoint")  # its last step is saved
    damage(tmp_path / "checkpoint", fit, sample, tmp_path, "a checkpoint")


def command(prepare: Callable[[], object], *arguments: object) -> tuple[int, str]:
    """A command in a forked process in which something was prepared: its exit code and what it said."""
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:
        code = 99
        try:
            with os.fdopen(writes, "w") as pipe, redirect_stdout(pipe), redirect_stderr(pipe):
                prepare()
                code = main([str(argument) for argument in arguments])
        finally:
            os._exit(code)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        told = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("limit", [0, 3000, 20_000])
def test_no_room_for_a_file_leaves_all_as_it_was(finished: Path, limit: int, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    out, items = Path(shutil.copytree(finished, tmp_path / "run")), new_items(tmp_path)
    before = contents(out)

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    code, told = command(no_room, "add-items", out, "--items", items)
    assert code == 1, told
    last = told.splitlines()[-1]  # bars of loading stand above it
    assert last.startswith(
        "gensar-lite: a file grew over the limit that is set for files (ulimit -f); nothing half-written"
    )
    assert contents(out) == before
    assert litter(tmp_path) == []


def test_no_memory_between_stages_ends_in_a_sentence_and_is_gone_on_from(
    finished: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    data.save(tmp_path / "store")
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    (out / "evidence" / "words.safetensors").unlink()  # so this stage is made again
    sizes = [part for name, value in SIZES.items() for part in ("--set", f"{name}={value}")]
    more = ("--set", "validate_every=1", "--set", "quantiser=kmeans", "--collaborative", "als", "--no-baselines")
    asked = ["run", "--data", str(tmp_path / "store"), "--out", str(out), "--steps", "2", *sizes, *more]

    def no_memory(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(GenSAR, "join_evidence", no_memory)
        assert main(asked) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("gensar-lite: the memory is full; nothing half-written is left")
    assert litter(tmp_path) == []
    with pytest.raises(DataError, match="not a run folder"):
        GenSAR.load(out)
    assert main(asked) == 0
    assert "training: unchanged" in capsys.readouterr().err
    assert GenSAR.load(out).heard


def test_sigterm_ends_with_143_and_nothing_is_half_written(finished: Path, tmp_path: Path) -> None:
    items, place = new_items(tmp_path), tmp_path / "runs"
    out, before = place / "run", GenSAR.load(finished).data.num_items
    shutil.copytree(finished, out)
    as_it_was = contents(out)

    def told_to_end(at: int) -> None:
        seen = 0

        def hook(event: str, arguments: tuple) -> None:
            nonlocal seen
            if is_change(event, arguments, str(place)):
                if seen == at:
                    os.kill(os.getpid(), signal.SIGTERM)
                seen += 1

        sys.addaudithook(hook)

    for at in (0, 5, 20, 40):
        code, told = command(lambda at=at: told_to_end(at), "add-items", out, "--items", items)
        assert code == 143, told
        assert told.endswith("\ngensar-lite: ended by SIGTERM\n"), told
        assert contents(out) == as_it_was
    assert command(lambda: None, "add-items", out, "--items", items)[0] == 0
    assert litter(place) == []
    assert GenSAR.load(out).data.num_items == before + 1


def test_two_who_add_at_once_lose_nothing(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    children = []
    for name in ("one", "other"):
        items = new_items(tmp_path, name)
        if (child := os.fork()) == 0:
            with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
                os._exit(main(["add-items", str(out), "--items", str(items)]))
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert {"one", "other"} <= set(GenSAR.load(out).data.items["item_id"])
    assert litter(tmp_path) == []


def test_a_second_run_in_the_same_folder_is_refused(finished: Path, data: Dataset) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(finished):
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        with pytest.raises(RefusedError, match="another process is writing"):
            run(data, CONFIG, finished, progress=False)
    finally:
        done.set()
        thread.join()


def test_damage_under_the_same_size_and_time_is_found_by_verify(finished: Path, tmp_path: Path, capsys) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    path = out / "model" / "model.safetensors"
    state = path.stat()
    harm(path, "flipped")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert main(["search", str(out), "sleeping bag"]) == 0
    assert main(["search", str(out), "sleeping bag", "--verify"]) == 1
    assert "model.safetensors was changed" in capsys.readouterr().err
