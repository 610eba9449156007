"""Protocols: toy rankers whose ranks are known by hand, and the ways in which a ranker can be wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.events import build_log
from gensar_lite.data.splits import hold_out
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation import protocols
from gensar_lite.evaluation.metrics import metrics_of
from gensar_lite.evaluation.protocols import evaluate_ranker, list_quality, top_items

NUM_ITEMS, NUM_USERS, NUM_EVENTS = 120, 7, 6


@pytest.fixture(scope="module")
def data() -> Dataset:
    rng = np.random.default_rng(0)
    ids = [f"i{i}" for i in range(NUM_ITEMS)]
    items = pd.DataFrame(dict.fromkeys(("item_id", "title", "description", "categories", "brand"), ids))
    picks = rng.choice(NUM_ITEMS, NUM_USERS * NUM_EVENTS)
    clicks = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{u}" for u in range(NUM_USERS)], NUM_EVENTS),
            "item_id": [ids[i] for i in picks],
            "timestamp": np.tile(np.arange(NUM_EVENTS), NUM_USERS).astype(np.int64),
        }
    )
    searches = clicks.assign(session_id=[f"s{n}" for n in range(len(clicks))], query="a query")[
        ["user_id", "session_id", "query", "item_id", "timestamp"]
    ]
    cases, _ = hold_out(build_log(items, clicks, searches))
    lists = {}
    for protocol, task in (("uniform99", "recommendation"), ("popular99", "recommendation"), ("bm25_99", "search")):
        lists[protocol] = [
            rng.choice(np.delete(np.arange(NUM_ITEMS), i[0]), 99, replace=False).tolist() if t == task else None
            for i, t in zip(cases["items"], cases["task"], strict=True)
        ]
    candidates = cases.assign(**lists)
    return Dataset(items, clicks, searches, candidates, {"name": "toy", "data_seed": 0})


class ByNumber:
    """Scores an item by its number: the target's place can be counted by hand."""

    name, tasks = "by-number", ("recommendation", "search")

    def values(self, cases: Cases, items: np.ndarray) -> np.ndarray:
        return items.astype(np.float32)

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        items = np.tile(np.arange(NUM_ITEMS), (len(cases), 1)) if candidates is None else candidates
        return self.values(cases, items)


class Oracle(ByNumber):
    name = "oracle"

    def values(self, cases, items):
        return (items == cases.item[:, None]).astype(np.float32)


class Constant(ByNumber):
    name = "constant"

    def values(self, cases, items):
        return np.zeros(items.shape, np.float32)


class ReadsHistory(ByNumber):
    """Right when there is a history, wrong when there is none."""

    name, tasks = "reads-history", ("search",)

    def values(self, cases, items):
        return np.where((cases.stop > cases.start)[:, None], 1, -1) * (items == cases.item[:, None])


def test_every_protocol_of_every_task_is_served(data):
    ranks = evaluate_ranker(Oracle(), data)
    assert list(ranks.columns) == ["task", "protocol", "split", "case_id", "user_id", "item_id", "rank", "ties"]
    assert {t: tuple(p) for t, p in metrics_of(ranks).items()} == protocols.EVALUATION_PROTOCOLS
    assert (ranks["rank"] == 1).all()
    assert all(
        value == pytest.approx(1) for task in metrics_of(ranks).values() for p in task.values() for value in p.values()
    )
    assert ranks.groupby(["task", "protocol"]).size().eq(NUM_USERS).all()


def test_ranks_are_those_counted_by_hand(data):
    ranks = evaluate_ranker(ByNumber(), data).set_index(["task", "protocol", "case_id"])
    for task, base in (("recommendation", "uniform99"), ("search", "bm25_99")):
        cases = data.cases(task, "test")
        for c, case_id in enumerate(cases.case_id):
            assert ranks.loc[(task, base, case_id), "rank"] == 1 + sum(
                i > cases.item[c] for i in cases.candidates[base][c]
            )
            assert ranks.loc[(task, "full", case_id), "rank"] == NUM_ITEMS - cases.item[c]
            assert ranks.loc[(task, "full", case_id), "item_id"] == f"i{cases.item[c]}"
            assert ranks.loc[(task, "full", case_id), "user_id"] == data.log.user_ids[cases.user[c]]


def test_a_constant_ranker_gets_what_chance_gets(data):
    found = metrics_of(evaluate_ranker(Constant(), data, tasks=["recommendation"]))
    assert set(found) == {"recommendation"}
    assert found["recommendation"]["uniform99"]["HR@10"] == pytest.approx(10 / 100)
    assert found["recommendation"]["full"]["HR@10"] == pytest.approx(10 / NUM_ITEMS)


def test_adhoc_search_has_no_history(data):
    found = metrics_of(evaluate_ranker(ReadsHistory(), data))
    assert set(found) == {"search"}
    assert found["search"]["bm25_99"]["HR@1"] == found["search"]["full"]["HR@1"] == 1
    assert found["search"]["adhoc_bm25_99"]["HR@10"] == found["search"]["adhoc_full"]["HR@10"] == 0


def test_chunks_do_not_change_ranks(data, monkeypatch):
    whole = evaluate_ranker(ByNumber(), data)
    monkeypatch.setattr(protocols, "SCORES_AT_ONCE", 3 * NUM_ITEMS)
    pd.testing.assert_frame_equal(evaluate_ranker(ByNumber(), data), whole)


def test_a_faster_full_rank_is_used(data):
    class Fast(ByNumber):
        def full_rank(self, cases):
            return NUM_ITEMS - 1 - cases.item, np.zeros(len(cases), int)

        def score(self, cases, candidates):
            assert candidates is not None, "full was scored although full_rank is there"
            return super().score(cases, candidates)

    pd.testing.assert_frame_equal(evaluate_ranker(Fast(), data), evaluate_ranker(ByNumber(), data))


def test_splits_and_narrowing(data):
    ranks = evaluate_ranker(ByNumber(), data, split="valid", protocols=["full"])
    assert set(ranks["protocol"]) == {"full"}
    assert set(ranks["split"]) == {"valid"}
    assert not set(ranks["case_id"]) & set(evaluate_ranker(ByNumber(), data)["case_id"])
    with pytest.raises(ValueError, match="unknown protocols"):
        evaluate_ranker(ByNumber(), data, protocols=["uniform100"])


def test_a_ranker_of_no_task_gives_an_empty_table(data):
    nobody = ByNumber()
    nobody.tasks = ()
    assert evaluate_ranker(nobody, data).empty
    assert metrics_of(evaluate_ranker(nobody, data)) == {}


def test_nan_scores_are_a_sentence(data):
    class Diverged(ByNumber):
        name = "diverged"

        def values(self, cases, items):
            return np.where(cases.item[:, None] == cases.item[0], np.nan, items)

    with pytest.raises(
        DataError, match=r"diverged gave scores that are not a number \(NaN\) in \d of 7 recommendation cases"
    ):
        evaluate_ranker(Diverged(), data)


def test_wrong_shapes_are_a_sentence(data):
    class Short(ByNumber):
        def values(self, cases, items):
            return items[:, :-1]

    with pytest.raises(DataError, match=r"shape \(7, 99\) where \(7, 100\)"):
        evaluate_ranker(Short(), data)


def test_a_target_among_its_candidates_is_a_sentence(data):
    lists = data.candidates.copy()
    case = data.cases("search", "test")
    row = int(lists.index[lists["case_id"] == case.case_id[0]][0])
    lists.at[row, "bm25_99"] = [int(case.item[0]), *case.candidates["bm25_99"][0][1:].tolist()]
    spoilt = Dataset(data.items, data.interactions, data.searches, lists, data.info)
    with pytest.raises(DataError, match="its own target among the candidates"):
        evaluate_ranker(ByNumber(), spoilt)


def test_list_quality_of_one_list_for_all(data):
    found = list_quality(ByNumber(), data, "recommendation")
    popularity = data.popularity
    listed = np.arange(NUM_ITEMS - 10, NUM_ITEMS)
    percentile = [(np.mean(popularity < popularity[i]) + np.mean(popularity <= popularity[i])) / 2 for i in listed]
    assert found["coverage"] == pytest.approx(10 / NUM_ITEMS)
    assert found["popularity_bias"] == pytest.approx(np.mean(percentile))
    assert found["novelty"] == pytest.approx(
        np.mean(-np.log2((popularity[listed] + 1) / (popularity.sum() + NUM_ITEMS)))
    )


def test_listed_items_that_were_clicked_before(data):
    cases = data.cases("recommendation", "test")
    listed = range(NUM_ITEMS - 10, NUM_ITEMS)
    again = [len(set(listed) & set(data.log.item[a:b].tolist())) for a, b in zip(cases.start, cases.stop, strict=True)]
    assert sum(again) > 0
    assert list_quality(ByNumber(), data, "recommendation")["repeats"] == pytest.approx(np.mean(again) / 10)
    some = list_quality(ByNumber(), data, "recommendation", num_cases=3)
    assert some["coverage"] == pytest.approx(10 / NUM_ITEMS)


def test_the_halves_of_validation_are_all_of_it_and_no_user_is_in_both(data):
    whole = data.cases("search", "valid")
    halves = [data.cases("search", half) for half in ("fit", "choose")]
    assert sorted(np.concatenate([half.case_id for half in halves])) == sorted(whole.case_id)
    assert not set(halves[0].user) & set(halves[1].user)
    assert min(map(len, halves)) > 0.3 * len(whole)


def test_tied_lists_are_drawn_at_random_and_by_seed(data):
    cases = data.cases("recommendation", "test")
    first = top_items(Constant(), cases, NUM_ITEMS, 10, seed=1)
    assert (first == top_items(Constant(), cases, NUM_ITEMS, 10, seed=1)).all()
    assert (first != top_items(Constant(), cases, NUM_ITEMS, 10, seed=2)).any()
    assert len(np.unique(first)) > 30
    assert all(len(set(row)) == 10 for row in first)


def test_lists_longer_than_the_catalogue_are_the_catalogue(data):
    cases = data.cases("search", "test")
    assert (np.sort(top_items(ByNumber(), cases, NUM_ITEMS, 10**6), axis=1) == np.arange(NUM_ITEMS)).all()
