"""What the kit writes is whole or not there, and what it did not write is never touched."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gensar_lite.data.marks import FILE_MARKS, KINDS, MARK, kind_of
from gensar_lite.data.storage import (
    RefusedError,
    locked,
    new_export,
    new_file,
    new_folder,
    own_folder,
    tidy_folder,
    write_json,
)


def contents(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: bytes of files, targets of links, None for folders."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


def write_signals(folder: Path, text: str) -> None:
    with new_folder(folder, "signals") as temporary:
        (temporary / "signals.json").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_an_empty_one_and_one_of_the_same_kind_are_written(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty", "deep/er"):
        write_signals(tmp_path / name, "1")
        write_signals(tmp_path / name, "2")
        assert names(tmp_path / name) == [MARK, "signals.json"]
        assert (tmp_path / name / "signals.json").read_text() == "2"
    assert names(tmp_path) == ["deep", "empty", "new"], "nothing hidden stays beside them"


def thesis(place: Path) -> None:
    (place / "chapters").mkdir(parents=True)
    (place / "chapters" / "1.tex").write_text("years of work")


def hidden(place: Path) -> None:
    (place / ".ssh").mkdir(parents=True)
    (place / ".ssh" / "id").write_text("key")


def file(place: Path) -> None:
    place.write_text("somebody's")


def link(place: Path) -> None:
    place.with_name("target").mkdir()
    place.symlink_to(place.with_name("target"))


def dangling(place: Path) -> None:
    place.symlink_to(place.with_name("nowhere"))


def pipe(place: Path) -> None:
    os.mkfifo(place)


def other_kind(place: Path) -> None:
    write_signals(place, "another kind")


FOREIGN = [thesis, hidden, file, link, dangling, pipe]


@pytest.mark.parametrize("make", [*FOREIGN, other_kind])
@pytest.mark.parametrize("kind", KINDS)
def test_anything_else_is_refused_in_a_sentence_and_not_touched(make, kind, tmp_path):
    place = tmp_path / "place"
    make(place)
    before = contents(tmp_path)
    if make is other_kind and kind == "signals":
        return
    with pytest.raises(RefusedError, match="nothing was touched") as told, new_folder(place, kind):
        pytest.fail("work was begun")
    with pytest.raises(RefusedError):
        own_folder(place, kind)
    assert "\n" not in str(told.value)
    assert str(place) in str(told.value)
    assert contents(tmp_path) == before


def test_the_home_folder_the_present_one_and_those_above_it_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "b")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for place in (".", "", "..", "../..", "/", tmp_path / "home", tmp_path / "a"):
        with pytest.raises(RefusedError, match="name a new folder"), new_folder(place, "signals"):
            pytest.fail("work was begun")
    with pytest.raises(RefusedError, match="/dev/null is a device"), new_folder("/dev/null", "signals"):
        pytest.fail("work was begun")
    with pytest.raises(RefusedError, match="/dev/null is a device"), new_folder("/dev/null/x", "signals"):
        pytest.fail("work was begun")
    assert contents(tmp_path) == {"a": None, "a/b": None, "home": None}


@pytest.mark.parametrize("make", [*FOREIGN, other_kind])
def test_a_file_that_people_name_is_replaced_only_where_it_has_the_mark(make, tmp_path):
    place = tmp_path / "report.html"
    for text in (FILE_MARKS[0], b"2" + FILE_MARKS[0]):
        with new_export(place) as temporary:
            temporary.write_bytes(text)
    assert place.read_bytes() == b"2" + FILE_MARKS[0]
    assert names(tmp_path) == ["report.html"]
    place.unlink()
    make(place)
    before = contents(tmp_path)
    with pytest.raises(RefusedError, match="nothing was touched"), new_export(place):
        pytest.fail("work was begun")
    assert contents(tmp_path) == before


def test_what_cannot_be_recognised_later_is_not_exported(tmp_path):
    with pytest.raises(ValueError, match="mark"), new_export(tmp_path / "page.html") as temporary:
        temporary.write_text("no mark")
    assert names(tmp_path) == []


def test_files_of_others_inside_survive(tmp_path):
    place = tmp_path / "mine"
    write_signals(place, "1")
    (place / "notes.txt").write_text("notes")
    (place / ".git").mkdir()
    (place / ".git" / "HEAD").write_text("main")
    (place / "empty").mkdir()
    (place / "link").symlink_to("nowhere")
    other = place / "copy"
    write_signals(other, "a folder of the same kind that somebody put here")
    before = contents(place)
    write_signals(place, "2")
    changed = {"signals.json", MARK}
    assert {n: c for n, c in contents(place).items() if n not in changed} == {
        n: c for n, c in before.items() if n not in changed
    }
    assert (place / "signals.json").read_text() == "2"
    assert names(tmp_path) == ["mine"]


def test_a_file_of_others_under_a_name_that_is_needed_stops_the_replacement(tmp_path):
    place = tmp_path / "mine"
    write_signals(place, "1")
    (place / "extra.npy").write_text("somebody's")
    before = contents(tmp_path)
    with pytest.raises(RefusedError, match="move it away"), new_folder(place, "signals") as temporary:
        (temporary / "extra.npy").write_text("ours")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_a_kill_between_any_two_file_operations_is_recovered(exchange, tmp_path):
    """Each child is killed before its n-th operation; then the old or the new content is there, and after the next write
    nothing else is."""
    child = f"""
import os, sys
from pathlib import Path
from gensar_lite.data import storage
if not {exchange}:
    storage.ctypes.CDLL = lambda *a, **k: None
def write(text):
    with storage.new_folder("mine", "signals") as t:
        (t / "signals.json").write_text(text)
        (t / "part").mkdir(); (t / "part" / "x").write_text(text)
os.chdir(sys.argv[1])
WATCHED = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.chmod", "gensar_lite.exchange")
total = 10**9
def count(limit):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        if event in WATCHED and os.getpid() != PARENT:
            seen += 1
            if seen > limit:
                os._exit(9)
    sys.addaudithook(hook)
PARENT, n, codes = os.getpid(), 0, []
while not codes or codes[-1] == 9:
    os.system("rm -rf mine .mine*")
    write("old"); Path("mine/notes").write_text("notes")
    if (pid := os.fork()) == 0:
        count(n)
        write("new")
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    if not Path("mine").exists():  # only between two renames
        assert not {exchange} and any(Path(".").glob(".mine.*.gensar-old")), os.listdir(".")
    else:
        text = Path("mine/signals.json").read_text()
        assert text in ("old", "new") and Path("mine/part/x").read_text() == text, text
    write("next")
    assert os.listdir(".") == ["mine"], (n, os.listdir("."))
    assert sorted(p.name for p in Path("mine").iterdir()) == ["gensar_lite.json", "notes", "part", "signals.json"], n
    assert Path("mine/notes").read_text() == "notes" and Path("mine/part/x").read_text() == "next"
    n += 1
print(len(codes))
"""
    told = subprocess.run([sys.executable, "-c", child, str(tmp_path)], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) > 20, "the hook saw too few operations"


def test_a_folder_lost_between_two_renames_comes_back(tmp_path):
    write_signals(tmp_path / "mine", "1")
    (tmp_path / "mine").rename(tmp_path / ".mine.01234567.gensar-old")
    write_signals(tmp_path / "mine", "2")
    assert names(tmp_path) == ["mine"]


def test_litter_of_a_dead_writer_of_a_file_is_removed_and_that_of_a_living_one_is_not(tmp_path):
    with new_file(tmp_path / "a.json") as alive:
        alive.write_text("mine")
        dead = tmp_path / alive.name.replace(f"-{os.getpid()}.", "-999999999.")
        dead.write_text("left")
        write_json(tmp_path / "a.json", {})
        assert alive.exists()
        assert not dead.exists()


def test_a_growing_folder_is_tidied_without_touching_hidden_files_of_others(tmp_path):
    run = own_folder(tmp_path / "run", "run")
    write_signals(run / "signals", "1")
    for name in (".git", ".signals.01234567.gensar-part", ".01234567.part"):
        (run / name).mkdir()
    (run / ".env").write_text("secret")
    (run / ".signals.gensar-lock").touch()
    (run / ".metrics.json.host-1.01234567.gensar-part").write_text("{")
    tidy_folder(run)
    assert names(run) == [".01234567.part", ".env", ".git", MARK, "signals"]


def test_folders_of_the_first_version_are_recognised_by_what_they_hold(tmp_path):
    held = {
        "data set": {"dataset.json": '{"fingerprint": "x"}', "items.parquet": "", "interactions.parquet": ""},
        "run": {"stages.json": '{"store": {}, "training": {}}', "config.json": "{}"},
        "signals": {"signals.json": "{}", "semantic.npy": ""},
        "identifiers": {"identifiers.parquet": "", "codebooks.safetensors": "", "health.json": "{}"},
        "TREC export": {"search.qrels": "", "search.topics.tsv": "", "gensar.search.full.run": ""},
        "sweep": {"design.json": '{"fingerprints": {}, "blocks": []}'},
    }
    for kind, files in held.items():
        folder = tmp_path / kind.replace(" ", "_")
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        (folder / "notes.md").write_text("kept")
        assert kind_of(folder) == kind
        with new_folder(folder, kind) as temporary:
            (temporary / "new").write_text("")
        assert names(folder) == sorted([MARK, "new", "notes.md"])
    for name, text in (("dataset.json", "{}"), ("stages.json", '{"build": 1}'), ("design.json", '{"data": []}')):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text(text)
        for other in ("items.parquet", "interactions.parquet"):
            (folder / other).write_text("somebody's")
        assert kind_of(folder) is None


def test_a_lock_keeps_others_away_and_leaves_nothing(tmp_path):
    def other() -> None:
        try:
            with locked(tmp_path / "run", wait=0):
                told.append("entered")
        except RefusedError as error:
            told.append(str(error))

    told: list[str] = []
    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    other()
    assert "another process is writing" in told[0]
    assert told[1] == "entered"
    assert names(tmp_path) == []


def test_many_writers_of_one_folder_take_turns(tmp_path):
    threads = [threading.Thread(target=write_signals, args=(tmp_path / "mine", str(n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == [MARK, "signals.json"]


def test_an_error_leaves_the_old_folder_and_no_litter(tmp_path):
    write_signals(tmp_path / "mine", "1")
    before = contents(tmp_path)

    def fail() -> None:
        with new_folder(tmp_path / "mine", "signals") as temporary:
            (temporary / "half").write_text("")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert contents(tmp_path) == before
