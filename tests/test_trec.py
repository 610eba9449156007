"""TREC export: ranx reads the files and computes the same metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.events import build_log
from gensar_lite.data.marks import MARK
from gensar_lite.data.splits import hold_out
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.metrics import metrics_of
from gensar_lite.evaluation.protocols import evaluate_ranker
from gensar_lite.evaluation.trec import export_trec

NUM_ITEMS = 130
PAIRS = {"HR@1": "hit_rate@1", "HR@10": "hit_rate@10", "NDCG@5": "ndcg@5", "NDCG@10": "ndcg@10", "MRR": "mrr"}


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(0)
    ids = [f'odd "id" 100% {i}' if i % 7 == 0 else f"i{i}" for i in range(NUM_ITEMS)]
    items = pd.DataFrame(dict.fromkeys(("item_id", "title", "description", "categories", "brand"), ids))
    clicks = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{u}" for u in range(20)], 5),
            "item_id": [ids[i] for i in rng.choice(NUM_ITEMS, 100)],
            "timestamp": np.tile(np.arange(5), 20).astype(np.int64),
        }
    )
    searches = clicks.assign(session_id=[f"s{n}" for n in range(len(clicks))], query="a query")[
        ["user_id", "session_id", "query", "item_id", "timestamp"]
    ]
    cases, _ = hold_out(build_log(items, clicks, searches))
    draws = [rng.choice(np.delete(np.arange(NUM_ITEMS), i[0]), 99, replace=False).tolist() for i in cases["items"]]
    own = {
        p: [d if t == task else None for d, t in zip(draws, cases["task"], strict=True)]
        for p, task in (("uniform99", "recommendation"), ("popular99", "recommendation"), ("bm25_99", "search"))
    }
    return Dataset(items, clicks, searches, cases.assign(**own), {"name": "toy", "data_seed": 0})


class Shuffled:
    """Scores without ties, different in every case."""

    name, tasks = "a model/1", ("recommendation", "search")

    def score(self, cases, candidates):
        items = np.tile(np.arange(NUM_ITEMS), (len(cases), 1)) if candidates is None else candidates
        mixed = (items * 37 + 11 * cases.case_id[:, None]) % 131 - 200.0
        return np.where(items == cases.item[:, None], mixed + 60.25, mixed)


class Partial(Shuffled):
    """Retrieves even items only, as a beam search leaves most of the catalogue unranked."""

    name, tasks = "partial", ("search",)

    def score(self, cases, candidates):
        items = np.tile(np.arange(NUM_ITEMS), (len(cases), 1)) if candidates is None else candidates
        return np.where(items % 2 == 0, super().score(cases, candidates), -np.inf)


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trec") / "out"
    files = export_trec(folder, [Shuffled(), Partial()], data, depth=1000)
    assert sorted(p.name for p in folder.iterdir() if p.name != MARK) == files
    return folder


def test_ranx_reads_the_files_and_agrees(data, folder, ranx):
    ours = metrics_of(evaluate_ranker(Shuffled(), data))
    checked = 0
    for task, protocols in ours.items():
        judged = ranx.Qrels.from_file(str(folder / f"{task}.qrels"), kind="trec")
        for protocol, values in protocols.items():
            run = ranx.Run.from_file(str(folder / f"a%20model%2F1.{task}.{protocol}.run"), kind="trec")
            theirs = ranx.evaluate(judged, run, list(PAIRS.values()))
            assert {n: values[n] for n in PAIRS} == pytest.approx({n: theirs[t] for n, t in PAIRS.items()}), (
                task,
                protocol,
            )
            checked += 1
    assert checked == 7
    assert 0.05 < ours["search"]["full"]["MRR"] < 0.95  # a comparison of zeros or ones would show nothing


def test_run_lines_are_whole_and_in_order(data, folder):
    lines = [line.split(" ") for line in (folder / "a%20model%2F1.search.full.run").read_text().splitlines()]
    assert {len(line) for line in lines} == {6}
    table = pd.DataFrame(lines, columns=["case", "q0", "item", "rank", "score", "tag"]).astype(
        {"rank": int, "score": float}
    )
    assert table.groupby("case").size().eq(NUM_ITEMS).all()
    assert all(
        g["score"].is_monotonic_decreasing and g["rank"].tolist() == list(range(1, NUM_ITEMS + 1))
        for _, g in table.groupby("case")
    )
    assert table.groupby("case")["item"].nunique().eq(NUM_ITEMS).all()


def test_unretrieved_items_are_left_out(folder):
    lines = (folder / "partial.search.full.run").read_text().splitlines()
    assert len(lines) == 20 * NUM_ITEMS / 2


def test_topics_say_what_was_asked(data, folder):
    topics = pd.read_csv(folder / "search.topics.tsv", sep="\t")
    assert topics["query"].eq("a query").all()
    assert topics["case"].tolist() == data.cases("search", "test").case_id.tolist()


def test_depth_and_choice_of_protocols(data, tmp_path):
    files = export_trec(tmp_path / "out", [Partial()], data, protocols=["full"], depth=5)
    assert files == ["partial.search.full.run", "search.qrels", "search.topics.tsv"]
    assert len((tmp_path / "out" / "partial.search.full.run").read_text().splitlines()) == 20 * 5


def test_two_rankers_of_one_name_are_refused(data, tmp_path):
    with pytest.raises(DataError, match="same name"):
        export_trec(tmp_path / "out", [Shuffled(), Shuffled()], data)
    assert not (tmp_path / "out").exists()
