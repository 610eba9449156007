"""Sessions, the two faces of an event, splits by time and by query: against slow and obvious code on small logs."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from builders import build_small
from hypothesis import given, settings
from hypothesis import strategies as st

from gensar_lite.data.build import build_dataset
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.events import merge_events, pair_faces, units_per_second
from gensar_lite.data.splits import decisions
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.metrics import METRICS, add_metrics, case_metrics, judged_metrics
from gensar_lite.evaluation.protocols import EVALUATION_PROTOCOLS, evaluate_ranker

QUICK = settings(max_examples=60)
NUM_ITEMS = 12


def catalogue(num_items: int = NUM_ITEMS) -> pd.DataFrame:
    words = ["red tent", "blue tent", "trail shoe", "espresso cup", "milk jug"]
    titles = [f"{words[i % 5]} {i}" for i in range(num_items)]
    blank = dict.fromkeys(("description", "categories", "brand"), "")
    return pd.DataFrame({"item_id": [f"i{i}" for i in range(num_items)], "title": titles, **blank}, dtype=object)


def tables(clicks: list[tuple], asked: list[tuple]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clicks (user, item, time[, list]) and searches (user, session, query, item or None, time)."""
    interactions = pd.DataFrame(
        [(f"u{c[0]}", f"i{c[1]}", c[2], *c[3:]) for c in clicks],
        columns=["user_id", "item_id", "timestamp", *(["session_id"] if clicks and len(clicks[0]) > 3 else [])],
    ).astype({"timestamp": np.int64})
    searches = pd.DataFrame(
        [(f"u{u}", s, q, None if i is None else f"i{i}", t) for u, s, q, i, t in asked],
        columns=["user_id", "session_id", "query", "item_id", "timestamp"],
    ).astype({"timestamp": np.int64})
    return interactions, searches


def build(clicks: list[tuple], asked: list[tuple], timestamps: str = "clock", **options) -> Dataset:
    interactions, searches = tables(clicks, asked)
    about = {"name": "tiny", "origin": "test", "query_protocol": "log", "data_seed": 0}
    return build_dataset(catalogue(), interactions, searches, **about, timestamps=timestamps, **options)


# sessions -------------------------------------------------------------------------------------------


def test_a_session_is_one_case_with_all_its_items() -> None:
    data = build(
        [(0, 0, 1000), (0, 1, 2000), (0, 2, 900_000)],
        [(0, "s", "tent", 3, 5000), (0, "s", "tent", 4, 5000), (0, "s", "tent", 5, 5020), (0, "s", "tent", 4, 5030)],
    )
    case = data.cases("search", "test")
    assert len(case) == 1
    assert case.relevant.tolist() == [3, 4, 5], "each clicked item once"
    assert data.log.item[case.start[0] : case.stop[0]].tolist() == [0, 1]
    assert not set(case.relevant) & set(case.candidates["bm25_99"][0].tolist())
    events = np.flatnonzero(data.log.session >= 0)
    assert (data.log.before[events] == 2).all(), "the history of every click of the session ends before the session"
    assert any("several clicked items" in note for note in data.info["notes"])


def test_a_shown_list_is_one_decision_of_recommendation() -> None:
    data = build([(0, 0, 1, "a"), (0, 1, 2, "b"), (0, 2, 3, "c"), (0, 3, 3, "c"), (0, 4, 4, "c")], [])
    case = data.cases("recommendation", "test")
    assert case.relevant.tolist() == [2, 3, 4]
    assert (case.start[0], case.stop[0]) == (0, 2)


def test_another_query_of_a_session_is_another_decision() -> None:
    data = build([(0, 0, 1), (0, 1, 2)], [(0, "s", "tent", 2, 1000), (0, "s", "red tent", 3, 1000)])
    case = data.cases("search", "test")
    assert (case.query, case.relevant.tolist()) == (["red tent"], [3])


def test_what_happens_within_a_session_stays_in_the_history_of_others() -> None:
    """A click between two clicks of a session sees the first of them; the session sees neither."""
    data = build([(0, 0, 1), (0, 1, 2), (0, 9, 5000)], [(0, "s", "tent", 2, 4000), (0, "s", "tent", 3, 6000)])
    log = data.log
    assert log.item.tolist() == [0, 1, 2, 9, 3]
    assert log.before.tolist() == [0, 1, 2, 3, 2]


@st.composite
def session_logs(draw) -> Dataset:
    event = st.tuples(st.integers(0, 2), st.integers(0, NUM_ITEMS - 1), st.integers(0, 6))
    clicks = [(*c, draw(st.sampled_from(["a", "b", "c", None]))) for c in draw(st.lists(event, max_size=15))]
    asked = draw(
        st.lists(
            st.tuples(event, st.booleans(), st.sampled_from(["s", "t", None]), st.sampled_from(["tent", "cup"])),
            max_size=15,
        )
    )
    rows = [(u, s, q, i if clicked else None, t) for (u, i, t), clicked, s, q in asked]
    interactions, searches = tables(clicks, rows)
    if not len(interactions):
        interactions["session_id"] = []
    return build_small(catalogue(), interactions, searches, "log")


@QUICK
@given(session_logs())
def test_no_click_of_a_decision_is_in_its_history_or_among_its_negatives(data: Dataset) -> None:
    log = data.log
    for number in (log.shown, log.session):
        for decision in set(number[number >= 0].tolist()):
            events = np.flatnonzero(number == decision)
            assert len(set(log.user[events].tolist())) == 1
            for event in events:
                history = range(log.user_ptr[log.user[event]], log.before[event])
                assert not set(history) & set(events.tolist())
                assert all(log.timestamp[h] <= log.timestamp[events].min() for h in history)
    for task in ("recommendation", "search"):
        whole = decisions(log, task)
        number = log.shown if task == "recommendation" else log.session
        for d in range(len(whole.user)):
            events = np.flatnonzero((number == number[whole.first[d]]) & (log.item >= 0))
            assert set(whole.item[whole.ptr[d] : whole.ptr[d + 1]].tolist()) == set(log.item[events].tolist())
            assert whole.last[d] == events.max()
        for split in ("valid", "test"):
            cases = data.cases(task, split)
            for c in range(len(cases)):
                relevant = set(cases.relevant[cases.ptr[c] : cases.ptr[c + 1]].tolist())
                assert relevant
                assert all(not relevant & set(lists[c].tolist()) for lists in cases.candidates.values())
    asked = data.held_out.groupby(["user", "task", "split"]).size()
    assert (asked == 1).all()
    for user, part in data.held_out.groupby("user"):
        assert not data.train_mask[part["stop"].min() : log.user_ptr[user + 1]].any()


# faces ----------------------------------------------------------------------------------------------


def test_faces_are_found_though_the_clocks_differ() -> None:
    """The search stands 20 s before its click in the other table; the click of tomorrow is another one."""
    data = build(
        [(0, 0, 100_000), (0, 1, 200_000), (0, 2, 300_020), (0, 3, 387_000)],
        [(0, "s", "tent", 2, 300_000), (0, "t", "cup", 3, 350_000)],
    )
    log = data.log
    assert log.item.tolist() == [0, 1, 2, 3, 3]
    assert (log.recommended & log.searched).tolist() == [False, False, True, False, False]
    assert data.info["faces"] == {"same_time": 0, "near": 1, "left": 1}
    assert [n for n in data.info["notes"] if "within a day" in n]
    # what happened between the two clocks is in nobody's way: the history ends before the search
    between = build([(0, 0, 1), (0, 1, 2), (0, 7, 300_010), (0, 2, 300_020)], [(0, "s", "tent", 2, 300_000)])
    face = int(np.flatnonzero(between.log.recommended & between.log.searched)[0])
    assert between.log.item[: between.log.before[face]].tolist() == [0, 1]


def test_steps_have_no_tolerance() -> None:
    data = build([(0, 2, 1), (0, 0, 2), (0, 1, 3)], [(0, "s", "tent", 2, 2)], timestamps="steps")
    assert data.info["faces"] == {"same_time": 0, "near": 0, "left": 0}


def test_milliseconds_are_known_by_their_size() -> None:
    now = np.array([1_700_000_000, 1_700_000_100])
    assert [units_per_second(now * f) for f in (1, 10**3, 10**6, 10**9)] == [1, 10**3, 10**6, 10**9]


@QUICK
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-1, 1), st.integers(0, 12)), max_size=5),
    st.lists(st.tuples(st.integers(0, 1), st.integers(-1, 1), st.integers(0, 12)), max_size=5),
    st.integers(0, 4),
)
def test_pairs_of_faces_fit_and_none_is_left(clicks: list, asked: list, tolerance: int) -> None:
    rows = np.array([*clicks, *asked], np.int64).reshape(-1, 3)
    partner = pair_faces(rows[:, 0], rows[:, 1], rows[:, 2], len(clicks), tolerance)

    def fits(c: int, a: int) -> bool:
        u, i, t = rows[len(clicks) + a]
        return rows[c][0] == u and rows[c][1] == i and i >= 0 and abs(rows[c][2] - t) <= tolerance

    found = [(int(c), a) for a, c in enumerate(partner) if c >= 0]
    assert len({c for c, _ in found}) == len(found)
    assert all(fits(c, a) for c, a in found)
    free = set(range(len(clicks))) - {c for c, _ in found}
    assert not [(c, a) for c in free for a, p in enumerate(partner) if p < 0 and fits(c, a)], "nobody is left who fits"
    exact = sum(
        min(sum(tuple(r) == key for r in map(tuple, clicks)), sum(tuple(r) == key for r in map(tuple, asked)))
        for key in set(map(tuple, clicks))
        if key[1] >= 0
    )
    assert sum(rows[c][2] == rows[len(clicks) + a][2] for c, a in found) == exact, "equal times first"


# splits ---------------------------------------------------------------------------------------------


def timed_log(seed: int, num_users: int = 12) -> Dataset:
    rng = np.random.default_rng(seed)
    clicks = [(u, int(rng.integers(NUM_ITEMS)), int(t)) for u in range(num_users) for t in rng.integers(0, 10**7, 8)]
    asked = []
    for n in range(40):
        user, time = int(rng.integers(num_users)), int(rng.integers(0, 10**7))
        asked += [(user, f"s{n}", "red tent", int(i), time + 400 * k) for k, i in enumerate(rng.choice(NUM_ITEMS, 2))]
    return build(clicks, asked, holdout="time")


@pytest.mark.parametrize("seed", range(5))
def test_a_split_by_time_keeps_the_future_out_of_training(seed: int) -> None:
    data = timed_log(seed)
    log, moments = data.log, data.info["moments"]
    assert (log.timestamp[data.train_mask] < moments["valid"]).all()
    assert (log.timestamp[~data.train_mask] >= moments["valid"]).all(), "nothing before the moment is thrown away"
    assert 0.75 < data.train_mask.mean() < 0.85
    for task, number in (("recommendation", log.shown), ("search", log.session)):
        for split in ("valid", "test"):
            cases = data.cases(task, split)
            assert len(cases)
            expected = set()
            for decision in set(number[number >= 0].tolist()):
                events = np.flatnonzero((number == decision) & (log.item >= 0))
                times = log.timestamp[events]
                history = log.before[events].min() - log.user_ptr[log.user[events[0]]]
                inside = (
                    times.min() >= moments["test"] and history >= 2
                    if split == "test"
                    else moments["valid"] <= times.min() and times.max() < moments["test"] and history >= 1
                )
                if inside:
                    expected.add(
                        (int(log.user[events[0]]), frozenset(log.item[events].tolist()), int(log.before[events].min()))
                    )
            found = {
                (
                    int(cases.user[c]),
                    frozenset(cases.relevant[cases.ptr[c] : cases.ptr[c + 1]].tolist()),
                    int(cases.stop[c]),
                )
                for c in range(len(cases))
            }
            assert found == expected
            for c in range(len(cases)):
                assert all(
                    log.timestamp[e] <= log.timestamp[cases.stop[c]] for e in range(cases.start[c], cases.stop[c])
                )


def test_a_log_of_one_moment_cannot_be_split_by_time() -> None:
    with pytest.raises(DataError, match="too few to split it by time"):
        build([(0, i, 5) for i in range(8)], [], holdout="time")


def judged(split: bool) -> pd.DataFrame:
    rows = [(f"q{q}", f"red tent {q}", f"i{(q + k) % NUM_ITEMS}", k < 1 + q % 3) for q in range(30) for k in range(5)]
    table = pd.DataFrame(rows, columns=["query_id", "query", "item_id", "relevant"])
    return table.assign(split=np.where(table["query_id"].isin(["q3", "q7"]), "test", "train")) if split else table


@pytest.mark.parametrize("split", [False, True])
def test_judged_queries_make_a_data_set_of_search_alone(tmp_path, split: bool) -> None:
    judgements = judged(split)
    judgements.loc[judgements["query_id"] == "q9", "relevant"] = False
    data = build([], [], judgements=judgements)
    data.save(tmp_path / "d")
    data = Dataset.load(tmp_path / "d")
    assert data.info["anonymous"]
    assert data.info["counts"]["users"] == 0
    assert data.info["counts"]["queries_without_answer"] == 1
    assert any("no case of recommendation" in note for note in data.info["notes"])
    right = judgements[judgements["relevant"]].groupby("query")["item_id"].agg(set)
    trained = {data.log.queries[q] for q in data.log.query[data.train_mask]}
    asked = {s: data.cases("search", s) for s in ("valid", "test")}
    for cases in asked.values():
        assert (cases.start == cases.stop).all()
        assert not trained & set(cases.query)
        for c, query in enumerate(cases.query):
            items = data.items["item_id"].to_numpy()[cases.relevant[cases.ptr[c] : cases.ptr[c + 1]]]
            assert set(items) == right[query]
    assert len(trained) + len(asked["valid"]) + len(asked["test"]) == 29
    if split:
        assert sorted(asked["test"].query) == ["red tent 3", "red tent 7"]
    assert not len(data.cases("recommendation", "test"))


def test_judgements_beside_a_log_are_refused() -> None:
    with pytest.raises(DataError, match="beside a log"):
        build([(0, 0, 1), (0, 1, 2), (0, 2, 3)], [], judgements=judged(False))


# metrics --------------------------------------------------------------------------------------------


@QUICK
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.data())
def test_metrics_of_several_items_are_the_mean_over_all_orders(scores: list[int], draw) -> None:
    n = len(scores)
    relevant = draw.draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any))
    better = np.array([sum(s > scores[i] for s in scores) for i in range(n) if relevant[i]])
    ties = np.array([sum(s == scores[i] for s in scores) - 1 for i in range(n) if relevant[i]])
    names = ("HR@1", "HR@3", "NDCG@2", "NDCG@5", "MRR", "Recall@3")
    found = case_metrics(better, ties, names, np.array([0, len(better)]))
    orders = [o for o in permutations(range(n)) if all(scores[a] >= scores[b] for a, b in pairwise(o))]
    place = [[o.index(i) + 1 for i in range(n) if relevant[i]] for o in orders]

    def ndcg(ranks: list[int], k: int) -> float:
        ideal = sum(1 / np.log2(r + 1) for r in range(1, min(len(ranks), k) + 1))
        return sum(1 / np.log2(r + 1) for r in ranks if r <= k) / ideal

    for name, by_hand in (
        ("HR@1", lambda r: min(r) <= 1),
        ("HR@3", lambda r: min(r) <= 3),
        ("NDCG@2", lambda r: ndcg(r, 2)),
        ("NDCG@5", lambda r: ndcg(r, 5)),
        ("MRR", lambda r: 1 / min(r)),
        ("Recall@3", lambda r: np.mean([p <= 3 for p in r])),
    ):
        assert found[name][0] == pytest.approx(np.mean([by_hand(r) for r in place])), name
    judged = judged_metrics(np.array([scores]), np.array([relevant], float), names)
    assert {k: v[0] for k, v in judged.items()} == pytest.approx({k: v[0] for k, v in found.items()})


class Halves:
    """Scores with many ties."""

    name, tasks = "halves", ("recommendation", "search")

    def score(self, cases, candidates):
        items = np.tile(np.arange(NUM_ITEMS), (len(cases), 1)) if candidates is None else candidates
        return (items * 7 % 5).astype(np.float32)


def test_ranks_have_one_row_per_relevant_item() -> None:
    data = timed_log(1)
    ranks = evaluate_ranker(Halves(), data)
    table = add_metrics(ranks)
    for task, protocols in EVALUATION_PROTOCOLS.items():
        cases = data.cases(task, "test")
        for protocol in protocols:
            part = ranks[(ranks["task"] == task) & (ranks["protocol"] == protocol)]
            assert len(part) == len(cases.relevant)
            base = protocol.removeprefix("adhoc_")
            for c, case_id in enumerate(cases.case_id):
                relevant = cases.relevant[cases.ptr[c] : cases.ptr[c + 1]]
                own = part[part["case_id"] == case_id]
                assert own["item_id"].tolist() == [f"i{i}" for i in relevant]
                listed = (
                    np.arange(NUM_ITEMS) if base == "full" else np.concatenate([relevant, cases.candidates[base][c]])
                )
                scores = listed * 7 % 5
                for item, rank, ties in zip(relevant, own["rank"], own["ties"], strict=True):
                    assert ties == (scores == item * 7 % 5).sum() - 1
                    assert rank == 1 + (scores > item * 7 % 5).sum() + ties / 2
                expected = judged_metrics(scores[None, :], np.isin(listed, relevant)[None, :].astype(float))
                row = table[(table["task"] == task) & (table["protocol"] == protocol) & (table["case_id"] == case_id)]
                assert len(row) == 1
                assert row[list(METRICS)].iloc[0].tolist() == pytest.approx([expected[m][0] for m in METRICS])


def test_merging_counts_every_row_once() -> None:
    interactions, searches = tables([(0, 1, 5), (0, 1, 5)], [(0, "s", "tent", 1, 5), (0, "t", "cup", None, 6)])
    log, faces = merge_events(catalogue(), interactions, searches)
    assert len(log) == 3
    assert faces == {"same_time": 1, "near": 0, "left": 0}
