"""Identifiers of other tools: every form gives the same codes, sharing items are told and parted, the whole line runs on them."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from builders import KIT_SIZES, build_small, tiny_store, unique_codes

import gensar_lite as gl
from gensar_lite import pipeline
from gensar_lite.cli import main
from gensar_lite.config import preset
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.identifiers import describe_judgement, judge_identifiers, read_identifiers
from gensar_lite.identifiers.assignment import group_rows
from gensar_lite.identifiers.foreign import fit_code_vectors, read_codes
from gensar_lite.identifiers.judge import co_click_communities, pair_agreement
from gensar_lite.signals import Signals, embed

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"
NUM_ITEMS, NUM_LEVELS = 100, 3


@cache
def _signals() -> Signals:
    return embed(tiny_store(), collaborative="als")


def _ids() -> list[str]:
    return tiny_store().items["item_id"].tolist()


def _codes(seed: int = 0) -> np.ndarray:
    return unique_codes(NUM_ITEMS, (5, 6, 7), np.random.default_rng(seed))


def _tokens(row: np.ndarray) -> list[str]:
    return [f"<{letter}_{code}>" for letter, code in zip("abc", row.tolist(), strict=True)]


def _write(path: Path, codes: np.ndarray, ids: list[str] | None = None) -> Path:
    path.write_text(json.dumps({i: _tokens(row) for i, row in zip(ids or _ids(), codes, strict=True)}))
    return path


def _forms(codes: np.ndarray) -> dict[str, object]:
    """A way to write the same identifiers, by file name."""
    levels = pd.DataFrame(codes, columns=["first", "second", "third"])
    items = pd.DataFrame({"item_id": _ids()})
    offset = codes + np.array([0, 5, 11])
    texts = {
        "joined.csv": ["".join(_tokens(row)) for row in codes],
        "dashed.tsv": ["-".join(map(str, row)) for row in codes],
        "spaced.csv": [" ".join(map(str, row)) for row in codes],
        "listed.csv": [str(row.tolist()) for row in codes],
    }
    frames = {name: items.assign(identifier=cells) for name, cells in texts.items()}
    frames |= {"levels.csv": items.join(levels), "levels.parquet": items.join(levels)}
    frames |= {
        "list.parquet": items.assign(codes=codes.tolist()),
        "offset.parquet": items.assign(codes=offset.tolist()),
    }
    rows = [{"item_id": i, "codes": row} for i, row in zip(_ids(), codes.tolist(), strict=True)]
    return {
        **frames,
        "tokens.json": {i: _tokens(row) for i, row in zip(_ids(), codes, strict=True)},
        "numbers.json": dict(zip(_ids(), codes.tolist(), strict=True)),
        "grid.json": {i: [f"<|sid_{p}_{c}|>" for p, c in enumerate(row)] for i, row in zip(_ids(), codes, strict=True)},
        "records.json": rows,
        "lines.jsonl": "\n".join(map(json.dumps, rows)),
        "codes.npy": codes,
    }


def _save(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    if isinstance(content, pd.DataFrame):
        if path.suffix == ".parquet":
            content.to_parquet(path)
        else:
            content.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    elif isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("name", list(_forms(_codes())))
def test_every_form_gives_the_same_codes(name, tmp_path):
    found = read_codes(_save(tmp_path, name, _forms(_codes())[name]), tiny_store())
    assert list(found.views) == ["semantic"]
    assert np.array_equal(found.views["semantic"], _codes())
    assert bool(found.notes) == (name == "offset.parquet")


def test_rows_are_matched_by_item_and_not_by_place(tmp_path):
    order = np.random.default_rng(1).permutation(NUM_ITEMS)
    path = _write(tmp_path / "index.json", _codes()[order], [_ids()[n] for n in order])
    assert np.array_equal(read_codes(path, tiny_store()).views["semantic"], _codes())


def test_sharing_items_are_counted_and_parted_by_as_few_moves_as_possible(tmp_path):
    codes = _codes()
    codes[:30:2] = codes[1:30:2]  # fifteen pairs
    path = _write(tmp_path / "index.json", codes)
    sharing = group_rows(codes)[1]
    sharing = int(sharing[sharing > 1].sum())
    with pytest.warns(UserWarning, match=f"{sharing} of 100 items share their identifier"):
        table = read_identifiers(path, tiny_store(), _signals())
    table.check()
    assert table.views_agree
    assert table.health["views"]["semantic"]["items_sharing_before"] == sharing
    after = table.codes["semantic"]
    assert (after != codes).any(1).sum() == NUM_ITEMS - len(group_rows(codes)[1])
    assert (after[:, :-1] == codes[:, :-1]).all()  # there is room under every prefix: last codes alone change
    assert table.codebook_sizes.tolist() == (codes.max(0) + 1).tolist()
    assert table.vectors[0].shape == (codes[:, 0].max() + 1, table.layout.spans[0][1])


def test_one_identifier_or_two_and_levels_that_views_share(tmp_path):
    first = _codes()
    second = np.column_stack([first[:, 0], np.arange(NUM_ITEMS) // 10, np.arange(NUM_ITEMS) % 10])
    frame = pd.DataFrame({"item_id": _ids(), "semantic": first.tolist(), "collaborative": second.tolist()})
    nested = {
        view: dict(zip(_ids(), map(_tokens, codes), strict=True))
        for view, codes in (("semantic", first), ("collaborative", second))
    }
    flat = pd.DataFrame({"item_id": _ids()})
    for view, codes in (("semantic", first), ("collaborative", second)):
        flat[[f"{view}_{p}" for p in range(NUM_LEVELS)]] = codes
    for name, content in {"a.parquet": frame, "b.json": nested, "c.csv": flat}.items():
        table = read_identifiers(_save(tmp_path, name, content), tiny_store(), _signals())
        assert table.codebook_names == ["m1", "s1", "s2", "c1", "c2"]
        assert np.array_equal(table.codes["semantic"], first)
        assert np.array_equal(table.codes["collaborative"], second)


def test_code_vectors_are_means_of_what_is_left():
    rng = np.random.default_rng(0)
    latents, codes = rng.normal(size=(40, 4)), rng.integers(3, size=(40, 2))
    vectors, rest = fit_code_vectors(latents, [(0, 4), (0, 2)], [3, 4], codes)
    left = latents.copy()
    for k in range(3):
        np.testing.assert_allclose(vectors[0][k], latents[codes[:, 0] == k].mean(0), atol=1e-5)
        left[codes[:, 0] == k] -= latents[codes[:, 0] == k].mean(0)
    for k in range(3):
        np.testing.assert_allclose(vectors[1][k], left[codes[:, 1] == k, :2].mean(0), atol=1e-5)
        left[codes[:, 1] == k, :2] -= left[codes[:, 1] == k, :2].mean(0)
    np.testing.assert_allclose(rest, left, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.pop("i3") and t, "lacks 1 of the catalogue's 6 items .*'i3'"),
        (lambda t: t | {"stranger": ["<a_1>", "<b_1>"]}, "1 items that the catalogue has not .*'stranger'"),
        (lambda t: {f"x{i}": row for i, row in t.items()}, "none of the catalogue's items: its first is 'xi0'"),
        (lambda t: t | {"i2": ["<a_1>"]}, "another length .*'i2' has 1 codes, most have 2"),
        (lambda t: t | {"i2": ["<b_1>", "<a_1>"]}, "'i2' is of kind 'b_'"),
        (lambda t: t | {"i2": ["<a_1>", "-1"]}, "'-1' of item 'i2' is no code"),
        (lambda t: t | {"i2": ["<a_1>", "1.5"]}, "'1.5' of item 'i2' is no code"),
        (lambda t: t | {"i2": ["<a_1>", "<b_99999999>"]}, "has the code 99999999"),
        (lambda t: t | {"i2": None}, "'i2' is no list of codes"),
        (lambda t: t | {"i2": []}, "'i2' has 0 codes"),
        (lambda t: {}, "holds no identifiers"),
        (lambda t: [1, 2], "holds no identifiers"),
        (lambda t: {i: [0, 0] for i in t}, "6 items cannot all have identifiers of their own, its codes allow 1"),
        (lambda t: {"semantic": t, "collaborative": {i: [*r, "<c_1>"] for i, r in t.items()}}, "ones of 2 and .* of 3"),
        (lambda t: {"semantic": t, "collaborative": dict(list(t.items())[1:])}, "one of the two views only .*i0"),
    ],
)
def test_bad_files_end_in_one_sentence(change, sentence, tmp_path):
    data = SimpleNamespace(
        items=pd.DataFrame({"item_id": [f"i{n}" for n in range(6)]}), num_items=6, info={"fingerprint": ""}
    )
    tokens = {f"i{n}": [f"<a_{n}>", f"<b_{n % 2}>"] for n in range(6)}
    signals = SimpleNamespace(semantic=np.eye(6), collaborative=np.eye(6), check=lambda data: None)
    path = tmp_path / "index.json"
    path.write_text(json.dumps(change(tokens)))
    with pytest.raises(DataError, match=sentence) as error:
        read_identifiers(path, data, signals)
    assert "index.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_none_end_in_one_sentence(tmp_path):
    data = tiny_store()
    np.save(tmp_path / "short.npy", _codes()[:5])
    (tmp_path / "codes.pt").write_bytes(b"\x80\x04")
    (tmp_path / "cut.json").write_text('{"i1": ["<a_')
    (tmp_path / "twice.json").write_text('{"i1": [1], "i1": [2]}')
    (tmp_path / "noid.csv").write_text("sku,codes\n1,2\n")
    for name, sentence in {
        "absent.json": "does not exist",
        "codes.pt": "is a pickle",
        "cut.json": "cannot be read",
        "twice.json": "names 'i1' twice",
        "short.npy": r"has shape \(5, 3\)",
        "noid.csv": "no column item_id",
    }.items():
        with pytest.raises(DataError, match=sentence):
            read_codes(tmp_path / name, data)


def test_the_whole_line_runs_on_them_and_new_items_join(tmp_path):
    codes = _codes()
    codes[:10] = codes[10:20]
    path, out = _write(tmp_path / "index.json", codes), tmp_path / "run"
    config = preset("tiny", strategy=str(path), collaborative="als", **KIT_SIZES)
    said: list[str] = []
    with pytest.warns(UserWarning, match="items share their identifier"):
        metrics = pipeline.run(tiny_store(), config, out, baselines=False, progress=False, say=said.append)
    assert 0 < metrics["search"]["bm25_99"]["NDCG@10"] <= 1
    model = gl.GenSAR.load(out)
    assert (model.table.codes["semantic"][20:] == codes[20:]).all()
    answers = model.search("tent", k=5)
    assert answers["identifier"].str.fullmatch(r"<m1_\d+><m2_\d+><m3_\d+>").all()
    cases = model.data.cases("search", "test").take(slice(0, 4))
    assert np.isfinite(model.score(cases, None)).all()
    new = pd.DataFrame({"item_id": ["new"], "title": [model.data.items["title"][50]]})
    joined = model.add_items(new)
    assert joined is not None
    # the same file again: nothing is made anew; another file: identifiers and what follows
    said.clear()
    pipeline.run(tiny_store(), config, out, baselines=False, progress=False, say=said.append)
    assert "identifiers: unchanged" in said
    _write(path, _codes(3))
    said.clear()
    pipeline.run(tiny_store(), config, out, baselines=False, progress=False, say=said.append)
    assert "signals: unchanged" in said
    assert "identifiers …" in said


def test_the_command_refuses_before_any_work(tmp_path, capsys):
    store = tmp_path / "store"
    tiny_store().save(store)
    path = _write(tmp_path / "index.json", _codes()[:5], _ids()[:5])
    run = ["run", "--data", str(store), "--out", str(tmp_path / "run"), "--identifiers"]
    assert main([*run, str(path)]) == 1
    assert "lacks 95 of the catalogue's 100 items" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main([*run, str(tmp_path / "no.json")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert main([*run, str(path), "--quantiser", "kmeans"]) == 2
    with pytest.raises(SystemExit):
        main([*run, str(path), "--strategy", "gensar"])


# judging ------------------------------------------------------------------------------------------


def test_pair_agreement_equals_brute_force():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=(30, 3))
    labels = [["", "x", "y", "z"][n] for n in rng.integers(4, size=30)]
    for depth, share in enumerate(pair_agreement(codes, labels)):
        pairs = [
            labels[i] == labels[j]
            for i, j in combinations(range(30), 2)
            if labels[i] and labels[j] and (codes[i, :depth] == codes[j, :depth]).all()
        ]
        assert share == pytest.approx(np.mean(pairs)) if pairs else share is None


def _two_crowds() -> Dataset:
    """Forty items, clicked by two crowds: the even ones by one, the odd ones by the other; item 39 by nobody."""
    rng = np.random.default_rng(0)
    items = pd.DataFrame({"item_id": [f"i{n}" for n in range(40)], "title": "thing", "description": "", "brand": ""})
    items["categories"] = [f"shelf {n // 10}" for n in range(40)]
    rows = [
        (f"u{u}", f"i{i}", t)
        for u in range(60)
        for t, i in enumerate(rng.choice(np.arange(u % 2, 39, 2), 8, replace=False))
    ]
    clicks = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    searches = pd.DataFrame([], columns=["user_id", "session_id", "query", "item_id", "timestamp"])
    return build_small(items, clicks, searches)


def test_communities_are_those_of_the_crowds():
    labels = co_click_communities(_two_crowds())
    assert labels[39] == ""
    even, odd = set(labels[0:39:2]), set(labels[1:39:2])
    assert not even & odd
    assert max(len(even), len(odd)) <= 3


def test_judgement_of_several_side_by_side(tmp_path, capsys):
    data = _two_crowds()
    number = np.arange(40)
    by_crowd = np.column_stack([number % 2, number // 2])
    by_shelf = np.column_stack([number // 10, number % 10])
    by_shelf[1] = by_shelf[0]
    np.save(tmp_path / "crowd.npy", by_crowd)
    np.save(tmp_path / "shelf.npy", by_shelf)
    reports = judge_identifiers([tmp_path / "crowd.npy", tmp_path / "shelf.npy"], data)
    crowd, shelf = (report["views"]["both tasks"] for report in reports.values())
    assert (crowd["items_sharing"], shelf["items_sharing"]) == (0, 2)
    assert shelf["collision_rate"] == pytest.approx(1 / 40)
    assert shelf["levels"][0] == {"size": 4, "use": 1.0, "perplexity": pytest.approx(4.0)}
    assert shelf["purity"]["category"][0] == 1.0 > crowd["purity"]["category"][0]
    assert crowd["pairs_alike"]["community"][1] > 1.5 * shelf["pairs_alike"]["community"][1]
    assert any("share their identifier" in sentence for sentence in reports["shelf.npy"]["warnings"])
    text = describe_judgement(reports)
    assert "crowd.npy" in text.splitlines()[0]
    data.save(tmp_path / "data")
    files = [str(tmp_path / name) for name in ("crowd.npy", "shelf.npy")]
    assert main(["identifiers", "judge", *files, "--data", str(tmp_path / "data"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(reports))


def test_a_table_and_its_folder_are_judged_with_what_they_lose(tmp_path):
    data = tiny_store()
    table = gl.learn_identifiers(data, _signals(), quantiser="kmeans", num_codes=8)
    table.save(tmp_path / "identifiers")
    _signals().save(tmp_path / "signals")
    reports = gl.judge_identifiers([tmp_path, table], data)
    first, second = reports.values()
    assert first == second
    lost = first["reconstruction"]
    assert set(lost) == {"semantic", "collaborative"}
    assert 0 < lost["semantic"]["semantic"] < lost["collaborative"]["semantic"] < 1
    with pytest.raises(DataError, match="given twice"):
        gl.judge_identifiers([tmp_path, tmp_path], data)


@pytest.mark.parametrize(("folder", "name"), [("minionerec", "Workshop"), ("letter_json", "Homeware")])
def test_published_forms_are_read_as_their_case_says(folder, name):
    if not (FORMATS / folder).is_dir():
        pytest.skip("the cases of published formats are not here")
    expected = json.loads((FORMATS / folder / "case.json").read_text())["expected"]["identifiers"]
    ids = list(json.loads((FORMATS / folder / f"{name}.item.json").read_text()))
    data = SimpleNamespace(items=pd.DataFrame({"item_id": ids}), num_items=len(ids))
    codes = read_codes(FORMATS / folder / f"{name}.index.json", data).views["semantic"]
    assert codes.shape == (expected["items"], expected["levels"])
    group, count = group_rows(codes)
    assert len(count) == expected["different"]
    shared = [sorted(ids[i] for i in np.flatnonzero(group == g)) for g in np.flatnonzero(count > 1)]
    assert shared == [sorted(twins) for twins in expected["shared"].values()]
