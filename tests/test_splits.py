"""Held-out cases and candidate lists: nothing leaks, on random logs, against slow and obvious code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from builders import build_small
from hypothesis import given, settings
from hypothesis import strategies as st

from gensar_lite.data.candidates import draw_bm25, sample_without
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.importing import import_tables
from gensar_lite.data.lexical import LexicalIndex, index_terms
from gensar_lite.data.queries import synthesise_searches
from gensar_lite.data.storage import DataError

TITLES = ["red tent", "blue tent", "trail shoe", "espresso cup", "milk jug", "red cup", "tent peg", "coffee mill"]
QUICK = settings(max_examples=40)


def catalogue(num_items: int) -> pd.DataFrame:
    titles = [f"{TITLES[i % len(TITLES)]} {i}" for i in range(num_items)]
    return pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(num_items)],
            "title": titles,
            "description": "",
            "categories": "",
            "brand": "",
        },
        dtype=object,
    )


def interactions_of(rows: list[tuple[int, int, int]]) -> pd.DataFrame:
    frame = pd.DataFrame([(f"u{u}", f"i{i}", t) for u, i, t in rows], columns=["user_id", "item_id", "timestamp"])
    frame["timestamp"] = frame["timestamp"].astype(np.int64)
    return frame.drop_duplicates(ignore_index=True)


@st.composite
def synthesised(draw) -> Dataset:
    num_items = draw(st.integers(2, 8))
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, num_items - 1), st.integers(0, 4)), min_size=1, max_size=25
        )
    )
    items, interactions = catalogue(num_items), interactions_of(rows)
    seed = draw(st.integers(0, 5))
    searches, _ = synthesise_searches(items, interactions, "known-item", draw(st.sampled_from([0.0, 0.5, 1.0])), seed)
    return build_small(items, interactions, searches, "known-item", seed)


@st.composite
def real_logs(draw) -> Dataset:
    num_items = draw(st.integers(2, 8))
    event = st.tuples(st.integers(0, 3), st.integers(0, num_items - 1), st.integers(0, 4))
    interactions = interactions_of(draw(st.lists(event, min_size=1, max_size=20)))
    asked = draw(st.lists(st.tuples(event, st.booleans(), st.sampled_from(["red tent", "cup", "zzz"])), max_size=15))
    searches = pd.DataFrame(
        [(f"u{u}", f"s{n}", q, f"i{i}" if clicked else None, t) for n, ((u, i, t), clicked, q) in enumerate(asked)],
        columns=["user_id", "session_id", "query", "item_id", "timestamp"],
    ).drop_duplicates(["user_id", "item_id", "timestamp"], ignore_index=True)
    searches["timestamp"] = searches["timestamp"].astype(np.int64)
    return build_small(catalogue(num_items), interactions, searches, "log")


def decisions_of(data: Dataset) -> dict[tuple[str, str], list[set[int]]]:
    """The events of every decision, by task and user: one click, or the clicked rows of one session and query."""
    log, found = data.log, {}
    for task, number, mark in (
        ("recommendation", log.shown, log.recommended),
        ("search", log.session, log.searched),
    ):
        groups: dict[int, set[int]] = {}
        for e in np.flatnonzero(mark):
            groups.setdefault(int(number[e]), set()).add(int(e))
        for events in groups.values():
            found.setdefault((task, log.user_ids[log.user[min(events)]]), []).append(events)
    return found


def check_no_leak(data: Dataset) -> None:
    log, held_out = data.log, data.held_out
    decisions = decisions_of(data)
    asked_at: dict[int, list[int]] = {}
    for case in held_out.itertuples():
        history = set(range(case.start, case.stop))
        # the decision that the case asks for: its items are the case's, and none of its events is in the history
        mine = [
            events
            for events in decisions[case.task, case.user_id]
            if {int(log.item[e]) for e in events} - {-1} == set(case.items.tolist()) and not events & history
        ]
        assert mine, case
        first = min(min(events) for events in mine if min(events) >= case.stop)
        assert case.start == log.user_ptr[case.user]
        assert all(log.user[e] == case.user for e in history)
        assert all(log.timestamp[e] <= log.timestamp[first] for e in history)
        if case.task == "search":
            assert case.query in data.searches["query"].to_list()
        asked_at.setdefault(case.user, []).append(case.stop)
    for user, asked in held_out.groupby("user"):
        mine = np.flatnonzero(log.user == user)
        first = asked["stop"].min()
        assert not data.train_mask[mine[mine >= first]].any()  # of either task, at or after any held-out decision
        assert data.train_mask[mine[mine < first]].all()
        test, valid = (asked.loc[asked["split"] == s, "stop"] for s in ("test", "valid"))
        if len(test) and len(valid):
            assert valid.max() < test.min()
    if data.info["case_users"] is None:  # else users who are not asked keep their held-out events closed
        assert data.train_mask[~np.isin(log.user, held_out["user"].unique())].all()


def check_candidates(data: Dataset) -> None:
    log = data.log
    most = {
        t: max([1, *data.held_out.loc[data.held_out["task"] == t, "items"].map(len)])
        for t in ("recommendation", "search")
    }
    for task in ("recommendation", "search"):
        for split in ("valid", "test"):
            cases = data.cases(task, split)
            n = min(99, data.num_items - most[task])
            for protocol, lists in cases.candidates.items():
                if not len(cases):
                    continue
                assert lists.shape == (len(cases), n)
                for c in range(len(cases)):
                    drawn = set(lists[c].tolist())
                    assert len(drawn) == n
                    assert not drawn & set(cases.relevant[cases.ptr[c] : cases.ptr[c + 1]].tolist())
                    assert all(0 <= i < data.num_items for i in drawn)
                    if protocol != "bm25_99":
                        touched = set(log.item[log.user == cases.user[c]].tolist()) - {-1}
                        untouched = set(range(data.num_items)) - touched
                        if len(untouched) >= n:
                            assert not drawn & touched
                        else:  # all untouched ones come first
                            assert untouched <= drawn


@QUICK
@given(synthesised())
def test_synthesised_logs_do_not_leak(data: Dataset) -> None:
    check_no_leak(data)
    check_candidates(data)
    assert len(data.log) == len(data.interactions)  # every search is the second face of an interaction
    cases = {task: data.cases(task, "test") for task in ("recommendation", "search")}
    for field in ("user", "item", "start", "stop"):
        assert np.array_equal(getattr(cases["recommendation"], field), getattr(cases["search"], field))
    sizes = data.interactions.groupby("user_id").size()
    assert len(cases["search"]) == (sizes >= 3).sum()
    ordered = data.interactions.sort_values("timestamp", kind="stable")
    for u, item in zip(cases["search"].user, cases["search"].item, strict=True):
        mine = ordered[ordered["user_id"] == data.log.user_ids[u]]
        assert mine["item_id"].iloc[-1] == data.items["item_id"][item]


@QUICK
@given(real_logs())
def test_real_logs_do_not_leak(data: Dataset) -> None:
    check_no_leak(data)
    check_candidates(data)
    log = data.log
    key = ["user_id", "item_id", "timestamp"]
    twins = data.interactions.merge(data.searches, on=key)
    assert len(log) == len(data.interactions) + len(data.searches) - len(twins)
    assert int((log.recommended & log.searched).sum()) == len(twins)
    for task, mark in (("recommendation", log.recommended), ("search", log.searched)):
        test = data.held_out[(data.held_out["task"] == task) & (data.held_out["split"] == "test")]
        for u, event in zip(test["user"], test["stop"], strict=True):
            later = np.arange(len(log)) > event
            assert not (later & mark & (log.user == u) & (log.item >= 0)).any()  # it is the last of its task


@QUICK
@given(synthesised(), st.integers(0, 3))
def test_cases_of_some_users_open_nothing(data: Dataset, num_users: int) -> None:
    again = build_small(data.items, data.interactions, data.searches, "known-item", case_users=num_users)
    assert again.held_out["user"].nunique() <= num_users
    assert np.array_equal(again.train_mask, data.train_mask)


def test_a_search_and_its_click_are_one_event() -> None:
    interactions = interactions_of([(0, 0, 1), (0, 1, 2), (0, 2, 3), (0, 3, 3)])
    searches = pd.DataFrame(
        {"user_id": ["u0"], "session_id": ["s"], "query": ["cup"], "item_id": ["i3"], "timestamp": [3]}
    )
    data = build_small(catalogue(8), interactions, searches, "log")
    for task in ("recommendation", "search"):
        case = data.cases(task, "test")
        assert case.item.tolist() == [3]
        assert data.log.item[case.start[0] : case.stop[0]].tolist() == [0, 1, 2]


def test_the_same_seed_draws_the_same_lists_and_another_seed_others() -> None:
    rng = np.random.default_rng(0)
    interactions = interactions_of(
        [(u, int(i), t) for u in range(20) for t, i in enumerate(rng.choice(150, 6, replace=False))]
    )
    items = catalogue(150)
    searches, _ = synthesise_searches(items, interactions, "known-item", 0.5, 0)
    first, same, other = (build_small(items, interactions, searches, "known-item", seed) for seed in (0, 0, 1))
    assert first.info["fingerprint"] == same.info["fingerprint"] != other.info["fingerprint"]
    check_no_leak(first)
    check_candidates(first)
    for protocol in ("uniform99", "popular99"):
        a, b = (d.cases("recommendation", "test").candidates[protocol] for d in (first, other))
        assert not np.array_equal(np.sort(a, 1), np.sort(b, 1))
        assert a.shape == (20, 99)


def test_data_set_round_trip_keeps_cases_and_lists(tmp_path) -> None:
    interactions = interactions_of([(u, (u + t) % 9, t) for u in range(4) for t in range(5)])
    searches, _ = synthesise_searches(catalogue(9), interactions, "known-item")
    data = build_small(catalogue(9), interactions, searches, "known-item")
    data.save(tmp_path / "d")
    again = Dataset.load(tmp_path / "d")
    for task in ("recommendation", "search"):
        a, b = data.cases(task, "test"), again.cases(task, "test")
        assert a.query == b.query
        assert np.array_equal(a.stop, b.stop)
        assert all(np.array_equal(a.candidates[p], b.candidates[p]) for p in a.candidates)
    columns = ["case_id", "split", "task", "user", "user_id", "query", "start", "stop", "items"]
    columns += ["uniform99", "popular99", "bm25_99"]
    assert list(again.candidates.columns) == columns
    recommended = (again.candidates["task"] == "recommendation").to_numpy()
    assert again.candidates["bm25_99"][recommended].isna().all()
    assert again.candidates["uniform99"][~recommended].isna().all()


def test_uniform_draws_are_uniform_and_popular_ones_follow_the_clicks() -> None:
    rng = np.random.default_rng(3)
    none = np.zeros(0, np.int64)
    last = np.zeros(0, bool)
    for num_items, n in ((12, 5), (400, 3)):  # mostly the exact part, mostly the quick part
        drawn = sample_without(np.ones(num_items), none, none, last, 20_000, n, rng)
        share = np.bincount(drawn.ravel(), minlength=num_items) / 20_000
        assert np.allclose(share, n / num_items, atol=4 * np.sqrt(n / num_items / 20_000))
    weights = np.array([0.0, 1.0, 2.0, 5.0])
    two = sample_without(weights, none, none, last, 40_000, 2, rng)
    p = weights / weights.sum()
    pairs = {(a, b): p[a] * p[b] / (1 - p[a]) for a in range(4) for b in range(4) if a != b}
    for (a, b), chance in pairs.items():
        seen = ((np.sort(two, 1) == sorted((a, b))).all(1)).mean()
        assert seen == pytest.approx(chance + pairs[b, a], abs=0.012)
    three = sample_without(weights, none, none, last, 50, 4, rng)
    assert (np.sort(three, 1) == np.arange(4)).all()  # nothing clicked comes last, but it comes


def test_forbidden_items_are_never_drawn_and_last_ones_only_at_need() -> None:
    rows, columns = np.array([0, 0, 1]), np.array([0, 1, 2])
    last = np.array([False, True, False])
    drawn = sample_without(np.ones(5), rows, columns, last, 2, 3, np.random.default_rng(0))
    assert set(drawn[0]) == {2, 3, 4}
    assert 2 not in drawn[1]
    drawn = sample_without(np.ones(5), rows, columns, last, 2, 4, np.random.default_rng(0))
    assert set(drawn[0]) == {1, 2, 3, 4}


def brute_bm25(texts: list[str], query: str) -> np.ndarray:
    """BM25 as in Lucene, k1 = 1.5, b = 0.75, term by term."""
    documents = [index_terms(t) for t in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = np.zeros(len(texts))
    for term in index_terms(query):
        having = sum(term in d for d in documents)
        idf = np.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        for i, d in enumerate(documents):
            f = d.count(term)
            scores[i] += idf * f / (f + 1.5 * (0.25 + 0.75 * len(d) / mean)) if f else 0
    return scores


def test_bm25_scores_equal_the_formula() -> None:
    texts = ["red red shoes", "Blue shoe, size 1/2", "DCR-123 drill", "", "red drill bits", "the red"]
    queries = ["red shoe", "drill drill", "unknown words", "", "dcr-123", "1/2", "the"]
    index = LexicalIndex(texts)
    scores = index.scores(queries)
    assert scores.dtype == np.float32
    for q, query in enumerate(queries):
        assert np.allclose(scores[q], brute_bm25(texts, query), atol=1e-5)
    assert not scores[2].any()
    assert not scores[3].any()
    items, best = index.top(queries, 4)
    for q in range(len(queries)):
        hits = np.flatnonzero(scores[q] > 0)
        assert np.allclose(best[q][: len(hits)], np.sort(scores[q])[::-1][: min(4, len(hits))])
        assert (items[q][len(hits) :] == -1).all()


def test_bm25_lists_hold_the_best_hits_then_what_the_fill_says() -> None:
    texts = [f"tent model {i}" if i < 30 else f"cup number {i}" for i in range(300)]
    index = LexicalIndex(texts)
    targets = np.array([3, 200])
    lists, shares = draw_bm25(index, ["tent 7", "cup"], np.arange(3), targets, np.random.default_rng(0), "random")
    assert lists.shape == (2, 99)
    assert shares == {
        "hits": pytest.approx((29 + 99) / 198, abs=1e-4),
        "near": 0,
        "random": pytest.approx(70 / 198, abs=1e-4),
    }
    assert lists[0, 0] == 7
    assert set(lists[0, :29]) == set(range(30)) - {3}  # all other hits, then the rest at random
    assert len(set(lists[0])) == 99
    assert set(lists[0, 29:]) != set(range(30, 100))
    assert (lists[1] >= 30).all()  # every hit ties: broken at random, not in catalogue order
    assert lists[1].max() > 200


def test_one_item_is_refused() -> None:
    with pytest.raises(DataError, match="at least two"):
        build_small(
            catalogue(1),
            interactions_of([(0, 0, 0)]),
            synthesise_searches(catalogue(1), interactions_of([(0, 0, 0)]), "known-item")[0],
            "known-item",
        )


@pytest.mark.shared
def test_real_tables_do_not_leak(shared_data) -> None:
    data, _ = import_tables(
        shared_data / "industrial" / "items.csv",
        shared_data / "industrial" / "interactions.csv",
        queries="known-item",
        case_users=400,
    )
    check_no_leak(data)
    check_candidates(data)
    assert len(data.cases("search", "test")) == 400
