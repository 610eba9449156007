"""The shell command: help, exit codes, every verb, and one clear line for what goes wrong."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gensar_lite.cli import main
from gensar_lite.cli.parser import KNOBS
from gensar_lite.cli.parser import PRESETS as TYPED_PRESETS

VERBS = [
    "data simulate",
    "data import",
    "data download",
    "data describe",
    "run",
    "search",
    "recommend",
    "suggest",
    "add-items",
    "identifiers judge",
    "evaluate",
    "report",
    "tradeoff",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "store"
    assert (
        main(
            ["data", "simulate", "--out", str(folder), "--num-items", "120", "--num-users", "60", "--mean-events", "10"]
        )
        == 0
    )
    return folder


def run_command(store: Path, out: Path) -> list[str]:
    sizes = "--steps 2 --quantiser kmeans --collaborative als --examples 1"
    return ["run", "--data", str(store), "--out", str(out), *sizes.split()]


@pytest.fixture(scope="module")
def finished(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(run_command(store, out)) == 0
    return out


def failed(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 1) -> str:
    """The one line of a command that fails."""
    capsys.readouterr()
    assert main(arguments) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gensar-lite: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_verb_has_help(capsys, verb):
    with pytest.raises(SystemExit) as stopped:
        main([*verb.split(), "--help"])
    assert stopped.value.code == 0
    assert "usage: gensar-lite" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    code = "import sys\nfrom gensar_lite.cli import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass\nassert not {'numpy', 'pandas', 'torch'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


def test_what_help_says_is_so():
    from gensar_lite.config import PRESETS
    from gensar_lite.data.bazaar import BazaarConfig
    from gensar_lite.identifiers import list_strategies

    assert set(TYPED_PRESETS) == set(PRESETS)
    assert {(n.replace("-", "_"), d) for n, _, d, _ in KNOBS} == {
        (f.name, f.default) for f in dataclasses.fields(BazaarConfig) if f.name != "seed"
    }
    done = subprocess.run(
        [sys.executable, "-m", "gensar_lite", "run", "--help"], check=True, capture_output=True, text=True
    )
    told = re.sub(r"-\n\s+", "-", done.stdout)  # lines are broken at hyphens
    assert all(strategy in told for strategy in list_strategies())


def test_the_run_ends_with_both_tasks_beside_the_baselines(finished, store, capsys):
    assert main(run_command(store, finished)) == 0
    captured = capsys.readouterr()
    for word in (
        "Recommendation for",
        "Search “",
        "before:",
        "gensar *",
        "bm25",
        "sasrec-text",
        "oracle",
        "uniform99",
        "bm25_99",
        "report.html",
    ):
        assert word in captured.out
    assert "training: unchanged" in captured.err
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "<img" in page
    assert "http://" not in re.sub(r'data:[^"]*', "", page)


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "RUN", "camera strap", "-k", "3"],
        ["search", "RUN", "camera strap", "--user", "u00001", "-k", "3", "--exclude-seen"],
        ["recommend", "RUN", "--user", "u00001", "-k", "3"],
        ["recommend", "RUN", "--history", "B0000001, B0000002", "-k", "3"],
        ["suggest", "RUN", "--user", "u00001", "-k", "3"],
    ],
)
def test_answers_for_people_and_for_scripts(finished, capsys, arguments):
    arguments = [str(finished) if a == "RUN" else a for a in arguments]
    assert main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main([*arguments, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 3


def test_strangers_large_k_and_unknown_words_are_answered_with_a_note(finished, capsys):
    assert main(["recommend", str(finished), "--user", "nobody", "-k", "500"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 120
    assert "note: the catalogue has 120 items" in captured.err
    assert "note: the log has no user 'nobody'" in captured.err
    for query in ("寝袋", "qqqq zzzzz", "!?"):
        assert main(["search", str(finished), query, "-k", "2"]) == 0
        captured = capsys.readouterr()
        assert len(captured.out.splitlines()) == 2
        assert "note: no word of" in captured.err


def test_wrong_usage_is_2(finished, store, capsys, tmp_path):
    assert "empty" in failed(capsys, ["search", str(finished), "  "], 2)
    assert "evidence must be some of" in failed(
        capsys, ["run", "--data", str(store), "--out", str(tmp_path / "x"), "--evidence", "stars"], 2
    )
    assert "unknown strategy 'none'" in failed(
        capsys, ["run", "--data", str(store), "--out", str(tmp_path / "x"), "--strategy", "none"], 2
    )
    assert "search log" in failed(
        capsys, ["data", "import", "--items", "a", "--interactions", "b", "--queries", "log", "--out", "c"], 2
    )
    assert "give --items with" in failed(capsys, ["data", "import", "--out", "c"], 2)
    assert "go together" in failed(capsys, ["data", "import", "--reviews", "a", "--out", "c"], 2)
    assert "give --out" in failed(capsys, ["data", "import", "--items", "a", "--interactions", "b"], 2)
    for arguments in (
        ["search", str(finished)],
        ["search", str(finished), "tent", "-k", "0"],
        ["recommend", str(finished)],
        ["run", "--data", "bazaar", "--out", "x", "--mix", "2"],
        ["fly"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    assert not (tmp_path / "x").exists()


def test_what_is_not_there_is_said(finished, capsys, tmp_path):
    assert "not a run folder" in failed(capsys, ["search", str(tmp_path), "tent"])
    assert "no data set" in failed(capsys, ["run", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "x")])
    assert "not in the catalogue: B9" in failed(capsys, ["recommend", str(finished), "--history", "B9"])
    assert "unknown" in failed(capsys, ["data", "download", "amazon-2014/Beuty"])
    assert "no metrics.json" in failed(capsys, ["report", str(tmp_path), "--out", str(tmp_path / "r.html")])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "name",
    [
        "model/model.safetensors",
        "identifiers/identifiers.parquet",
        "signals/semantic.npy",
        "store/items.parquet",
        "store/dataset.json",
        "config.json",
    ],
)
def test_a_truncated_part_is_one_sentence(finished, tmp_path, capsys, name):
    import shutil

    run = Path(shutil.copytree(finished, tmp_path / "run"))
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 2])
    sentence = failed(capsys, ["search", str(run), "tent"])
    assert "should not happen" not in sentence
    assert str(run) in sentence


def test_import_describe_and_run_of_own_tables(tmp_path, capsys):
    (tmp_path / "items.csv").write_text(
        "item_id,title\n" + "".join(f"i{n},thing number{n} {'red' if n % 2 else 'blue'}\n" for n in range(30))
    )
    rows = [f"u{u},i{(u * 7 + t * 3) % 30},{1_500_000_000 + t * 90_000}" for u in range(20) for t in range(6)]
    (tmp_path / "clicks.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows))
    own = [
        "data",
        "import",
        "--items",
        str(tmp_path / "items.csv"),
        "--interactions",
        str(tmp_path / "clicks.csv"),
        "--queries",
        "known-item",
        "--out",
        str(tmp_path / "own"),
    ]
    assert main(own) == 0
    assert "30 items, 20 users" in capsys.readouterr().out
    assert main(["data", "describe", str(tmp_path / "own"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["query_protocol"] == "known-item"
    (tmp_path / "items.csv").write_text("id,title\na,b\n")
    assert "no column 'item_id' (it has id, title); did you mean 'id'?" in failed(capsys, own)


def test_evaluate_export_and_another_data_set(finished, store, capsys, tmp_path):
    assert (
        main(
            [
                "evaluate",
                str(finished),
                "--data",
                str(store),
                "--no-baselines",
                "--json",
                "--export-trec",
                str(tmp_path / "trec"),
            ]
        )
        == 0
    )
    measured = json.loads(capsys.readouterr().out)
    kept = json.loads((finished / "metrics.json").read_text())
    assert measured["search"] == kept["search"]
    assert (tmp_path / "trec" / "search.qrels").is_file()
    assert (
        main(
            [
                "data",
                "simulate",
                "--out",
                str(tmp_path / "other"),
                "--num-items",
                "50",
                "--num-users",
                "30",
                "--data-seed",
                "5",
            ]
        )
        == 0
    )
    assert "another data set" in failed(capsys, ["evaluate", str(finished), "--data", str(tmp_path / "other")])
    assert "another data set" in failed(capsys, ["run", "--data", str(tmp_path / "other"), "--out", str(finished)])


def test_items_are_added_and_found(finished, tmp_path, capsys):
    import shutil

    run = str(shutil.copytree(finished, tmp_path / "run"))
    (tmp_path / "new.csv").write_text("item_id,title\nnew1,Zebra striped xylophone stand\n")
    assert main(["add-items", run, "--items", str(tmp_path / "new.csv")]) == 0
    assert "now has 121" in capsys.readouterr().out
    assert main(["search", run, "xylophone", "-k", "121", "--beams", "121", "--json"]) == 0
    assert "new1" in {row["item_id"] for row in json.loads(capsys.readouterr().out)}
    assert "already in the catalogue" in failed(capsys, ["add-items", run, "--items", str(tmp_path / "new.csv")])
    (tmp_path / "bad.csv").write_text("name\nx\n")
    assert "no columns 'item_id', 'title'" in failed(capsys, ["add-items", run, "--items", str(tmp_path / "bad.csv")])


def test_report_of_several_runs(finished, tmp_path, capsys):
    import shutil

    twin = shutil.copytree(finished, tmp_path / "twin")
    page = tmp_path / "page.html"
    assert main(["report", str(finished), str(twin), "--out", str(page)]) == 0
    assert "twin" in page.read_text(encoding="utf-8")
    assert "named twice" in failed(capsys, ["report", str(twin), str(twin), "--out", str(page)], 2)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "the disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), 1, "Permission denied"),
        (RuntimeError("odd"), 1, "should not happen"),
        (KeyboardInterrupt(), 130, "run the same command again"),
    ],
)
def test_what_goes_wrong_inside_is_one_line(monkeypatch, capsys, tmp_path, store, error, code, words):
    import gensar_lite.pipeline

    def broken(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(gensar_lite.pipeline, "run", broken)
    assert words in failed(capsys, ["run", "--data", str(store), "--out", str(tmp_path / "x")], code)


def test_the_traceback_comes_when_asked_for(capsys, tmp_path):
    assert main(["search", str(tmp_path), "tent", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_command_as_a_process(finished):
    command = [sys.executable, "-m", "gensar_lite", "search", str(finished), "camera strap", "-k", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)) == 2
    assert done.stderr == ""
