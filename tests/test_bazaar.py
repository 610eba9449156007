"""The simulated store: its words, its knobs, its truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from gensar_lite.data import load
from gensar_lite.data.bazaar import BazaarConfig, simulate, simulate_tables
from gensar_lite.data.bazaar import log as bazaar_log
from gensar_lite.data.bazaar.__main__ import main
from gensar_lite.data.bazaar.catalogue import SLOTS, pick, vocabulary
from gensar_lite.data.bazaar.log import Shelves
from gensar_lite.data.bazaar.measures import ALIGNMENTS, gini, neighbourhood_overlap, overlap_by_alignment, statistics
from gensar_lite.data.bazaar.oracle import BazaarOracle
from gensar_lite.data.bazaar.queries import MODEL, PRODUCT, VAGUE, likelihood
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.lexical import LexicalIndex
from gensar_lite.data.load import load_dataset
from gensar_lite.data.storage import DataError

SMALL = BazaarConfig(num_items=400, num_users=300, mean_events=15)


@pytest.fixture(scope="module")
def tables():
    return simulate_tables(SMALL)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("bazaar")


@pytest.fixture(scope="module")
def again() -> Dataset:
    return simulate(BazaarConfig())


@pytest.fixture(scope="module")
def oracle(data: Dataset) -> BazaarOracle:
    return BazaarOracle(data)


def ndcg(scores: np.ndarray) -> float:
    """Mean NDCG@10 where column 0 is the true item; ties by the middle of their ranks."""
    rank = (scores[:, 1:] > scores[:, :1]).sum(1) + 0.5 * (scores[:, 1:] == scores[:, :1]).sum(1)
    return float(np.where(rank < 10, 1 / np.log2(rank + 2), 0).mean())


# --- words ---


def test_a_query_tells_its_product_and_category():
    v = vocabulary()
    forms = [form for name, synonyms in v.products for form in (name, *synonyms)] + [
        form for words in v.leaf_vague for form in words
    ]
    assert len(forms) == len(set(forms))
    for slot in ("material", "feature"):  # within a category one word names one value
        for products in v.leaf_products:
            values = {a for p in products for a in v.slot_values[slot][p]}
            words = [w for a in values for w in {v.value_words[slot][a][0], *v.value_words[slot][a][1]}]
            assert len(words) == len(set(words))


def test_missions_share_out_all_categories():
    v = vocabulary()
    assert len(v.departments) == 12
    assert len(v.mission_leaves) >= 16
    assert sorted(v.mission_leaves.ravel()) == list(range(len(v.leaves)))
    departments = [len(set(v.department[three])) for three in v.mission_leaves]
    assert np.mean(departments) > 2, "missions cut across departments"


def test_every_product_has_something_to_say_about():
    v = vocabulary()
    for slot in SLOTS:
        assert len(v.slot_values[slot]) == len(v.products)
        if slot != "colour":
            assert all(len(values) >= 2 for values in v.slot_values[slot])


def test_pick_reaches_every_member_and_none_of_an_empty_group():
    groups = [np.array([3, 5]), np.array([], int), np.array([7])]
    group = np.array([0, 0, 1, 2])
    assert pick(groups, group, np.array([0.0, 0.999, 0.5, 0.3])).tolist() == [3, 5, -1, 7]


# --- tables ---


def test_tables_are_clean(tables):
    items, interactions, searches, _ = tables
    assert items["item_id"].is_unique
    assert (items["title"].str.len() > 8).all()
    assert not items["title"].str.contains(r"  |,,| ,|,$|\bnan\b|None", regex=True).any()
    assert not items["description"].str.contains(r"  | \.|\{|\bnan\b|None", regex=True).any()
    known = set(items["item_id"])
    assert set(interactions["item_id"]) <= known
    assert set(searches["item_id"].dropna()) <= known
    assert searches["item_id"].isna().any()
    assert (searches["query"].str.len() > 0).all()
    assert searches["session_id"].is_unique
    times = pd.concat([interactions[["user_id", "timestamp"]], searches[["user_id", "timestamp"]]])
    assert not times.duplicated().any(), "a user does one thing at a time"
    assert times["timestamp"].dtype == np.int64


def test_titles_call_a_product_by_its_name_only(tables):
    v = vocabulary()
    product = tables.truth.catalogue.product
    for title, p in zip(tables.items["title"].str.lower(), product, strict=True):
        assert v.products[p][0] in title
        assert not any(synonym in title for synonym in v.products[p][1])


def test_same_parameters_same_store():
    tiny = BazaarConfig(num_items=150, num_users=60, mean_events=8, seed=3)
    first, second = simulate(tiny), simulate(tiny)
    assert first.info["fingerprint"] == second.info["fingerprint"]
    assert simulate(replace(tiny, seed=4)).info["fingerprint"] != first.info["fingerprint"]


def test_users_do_not_depend_on_how_many_follow(monkeypatch):
    monkeypatch.setattr(bazaar_log, "CHUNK", 100)
    few, many = (simulate_tables(replace(SMALL, num_users=n)).interactions for n in (100, 250))
    common = many[many["user_id"] < "u00100"].reset_index(drop=True)
    pd.testing.assert_frame_equal(few, common)


def test_lengths_and_popularity_are_heavy_tailed(data):
    lengths = np.diff(data.log.user_ptr)
    assert 18 < lengths.mean() < 23
    assert np.quantile(lengths, 0.99) > 3 * np.median(lengths)
    assert gini(data.popularity) > 0.4


def test_shares_of_the_log_follow_the_knobs(data):
    events = len(data.log)
    assert abs(len(data.searches) / events - 0.4) < 0.02
    assert abs(data.searches["item_id"].isna().mean() - 0.1) < 0.02
    words = data.searches["query"].str.split().str.len()
    assert 2.5 < words.mean() < 4
    assert words.between(2, 4).mean() > 0.75


def test_queries_fit_their_target(tables):
    catalogue, _, _, queries = tables.truth
    rows = np.arange(len(queries.text))
    assert (likelihood(catalogue, queries, rows, queries.target[:, None]) > 0).all()
    fitting = (
        likelihood(catalogue, queries, rows[:500], np.broadcast_to(np.arange(SMALL.num_items), (500, SMALL.num_items)))
        > 0
    ).sum(1)
    assert (fitting[queries.level[:500] == MODEL] == 1).all()
    assert fitting[queries.level[:500] == VAGUE].mean() > fitting[queries.level[:500] == PRODUCT].mean()


def test_slips_keep_the_number_of_words():
    loud, silent = (simulate_tables(replace(SMALL, typo_share=t)) for t in (1.0, 0.0))
    assert not silent.truth.queries.typo.any()
    typo = loud.truth.queries.typo
    assert typo.mean() > 0.7
    same = loud.searches["query"].to_numpy() == silent.searches["query"].to_numpy()
    np.testing.assert_array_equal(same, ~typo)
    assert (loud.searches["query"].str.split().str.len() == silent.searches["query"].str.split().str.len()).all()


def test_vague_searches_are_shorter_to_say_and_wider_to_fit():
    clear, vague = (simulate_tables(replace(SMALL, vagueness=v)).truth for v in (0.0, 1.0))
    items = np.broadcast_to(np.arange(SMALL.num_items), (800, SMALL.num_items))
    width = [(likelihood(t.catalogue, t.queries, np.arange(800), items) > 0).sum(1).mean() for t in (clear, vague)]
    assert width[1] > 1.8 * width[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"alignment": 1.5},
        {"signal": -0.1},
        {"num_items": 1},
        {"num_users": 0},
        {"mean_events": 1},
        {"vagueness": float("nan")},
    ],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(DataError, match=next(iter(wrong))):
        BazaarConfig(**wrong)


@pytest.mark.parametrize(
    "config",
    [
        BazaarConfig(num_items=2, num_users=1, mean_events=2),
        BazaarConfig(num_items=30, num_users=20, search_share=0),
        BazaarConfig(num_items=30, num_users=20, search_share=1),
    ],
)
def test_odd_stores_are_stores(config):
    data = simulate(config)
    assert data.num_items == config.num_items
    assert len(data.log) > 0


# --- alignment ---


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_overlap_of_neighbourhoods_grows_with_alignment(seed):
    small = BazaarConfig(num_items=500, num_users=700, mean_events=20)
    table = overlap_by_alignment(small, ALIGNMENTS, (seed,))
    overlap = table["overlap"].to_numpy()
    assert (np.diff(overlap) > 0).all()
    assert (np.diff(table["same_category"]) > 0).all()
    chance = 10 / (small.num_items - 1)
    assert overlap[0] < 1.5 * chance, "at 0 the two signals are unrelated"
    assert overlap[-1] > 4 * chance


def test_overlap_by_hand():
    items = pd.DataFrame(
        {
            "item_id": list("abcd"),
            "title": ["red tent", "red tent big", "blue lamp", "blue lamp big"],
            "description": "",
        }
    )
    asked = pd.DataFrame({"user_id": [], "item_id": []}, dtype=str)
    agree = pd.DataFrame({"user_id": ["u", "u", "v", "v"], "item_id": ["a", "b", "c", "d"]})
    differ = pd.DataFrame({"user_id": ["u", "u", "v", "v"], "item_id": ["a", "c", "b", "d"]})
    assert neighbourhood_overlap(items, agree, asked, k=1, min_users=1) == 1.0
    assert neighbourhood_overlap(items, differ, asked, k=1, min_users=1) == 0.0
    with pytest.raises(DataError, match="Only 0 items"):
        neighbourhood_overlap(items, agree, asked, k=1, min_users=5)


def test_gini_by_hand():
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)


def test_statistics_are_shares(tables):
    found = statistics(tables)
    assert found["items"] == SMALL.num_items
    assert all(0 < value <= 1 for name, value in found.items() if name.endswith(", share"))


# --- the truth ---


def test_shelves_draw_in_proportion():
    truth = simulate_tables(BazaarConfig(num_items=300, num_users=5)).truth
    c, shelves = truth.catalogue, Shelves(truth.catalogue)
    rng = np.random.default_rng(0)
    n, community = 60_000, 7
    tastes = np.tile(truth.shoppers.tastes[:1], (n, 1))
    items = shelves.draw(np.full(n, community), tastes, np.zeros(n, bool), rng.random((n, 2)))
    assert (c.community[items] == community).all()
    want = np.where(c.community == community, c.popularity * truth.shoppers.tastes[0][c.taste], 0)
    np.testing.assert_allclose(np.bincount(items, minlength=300) / n, want / want.sum(), atol=0.01)
    noise = shelves.draw(np.full(n, community), tastes, np.ones(n, bool), rng.random((n, 2)))
    np.testing.assert_allclose(np.bincount(noise, minlength=300) / n, c.popularity, atol=0.01)


def test_oracle_gives_probabilities(data, oracle):
    """Over the whole catalogue they sum to one, and they are calibrated: said and seen frequencies agree."""
    cases = data.cases("recommendation", "test")
    p = np.exp(oracle.score(cases, None))
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
    truth = np.zeros_like(p, dtype=bool)
    truth[np.arange(len(cases)), cases.item] = True
    for low, high in ((1e-4, 1e-3), (1e-3, 1e-2), (1e-2, 0.05), (0.05, 1)):
        band = (p >= low) & (p < high)
        said, seen = p[band].sum(), truth[band].sum()
        assert abs(said - seen) < 4 * np.sqrt(said), (low, said, seen)


def test_oracle_search_is_calibrated(data, oracle):
    cases = data.cases("search", "test")
    p = np.exp(oracle.score(cases, None))
    p /= p.sum(1, keepdims=True)
    own = p[np.arange(len(cases)), cases.item]
    expected, spread = (p**2).sum(1).mean(), own.std() / np.sqrt(len(cases))
    assert abs(own.mean() - expected) < 4 * spread


def test_oracle_scores_candidates_as_the_whole_catalogue(data, oracle):
    for task in ("recommendation", "search"):
        cases = data.cases(task, "valid").take(slice(0, 40))
        lists = next(iter(cases.candidates.values()))
        every = oracle.score(cases, None)
        np.testing.assert_allclose(oracle.score(cases, lists), np.take_along_axis(every, lists, 1))
        anonymous = oracle.score(cases.without_history(), None)
        assert not np.allclose(anonymous, every)
    adhoc = data.cases("recommendation", "test").take(slice(0, 3)).without_history()
    np.testing.assert_allclose(np.exp(oracle.score(adhoc, None)).sum(1), 1, atol=1e-6)


def test_where_the_mission_stands_tells_what_comes_next(data, oracle):
    cases = data.cases("recommendation", "test")
    forgetful = BazaarOracle(data)
    events = forgetful.truth.events
    forgetful.truth = forgetful.truth._replace(
        events=replace(events, last_mission=np.full_like(events.last_mission, -1))
    )
    lists = np.concatenate([cases.item[:, None], cases.candidates["uniform99"]], axis=1)
    assert ndcg(oracle.score(cases, lists)) > ndcg(forgetful.score(cases, lists)) + 0.03


def test_what_can_be_learned(data, oracle):
    """Co-clicks beat popularity by far, BM25 finds much but not all, knowing the shopper helps search."""
    log, train = data.log, data.train_mask & (data.log.item >= 0)
    clicks = sparse.csr_matrix(
        (np.ones(train.sum()), (log.user[train], log.item[train])), shape=(log.num_users, data.num_items)
    )
    scale = sparse.diags(1 / np.sqrt(np.maximum(np.asarray(clicks.sum(0)).ravel(), 1)))
    near = scale @ (clicks.T @ clicks) @ scale
    near.setdiag(0)

    def knn(cases, lists):
        rows = np.repeat(np.arange(len(cases)), cases.stop - cases.start)
        items = np.concatenate([log.item[a:b] for a, b in zip(cases.start, cases.stop, strict=True)])
        history = sparse.csr_matrix(
            (np.ones((items >= 0).sum()), (rows[items >= 0], items[items >= 0])), shape=(len(cases), data.num_items)
        )
        return np.take_along_axis((history @ near).toarray(), lists, 1)

    cases = data.cases("recommendation", "test")
    lists = np.concatenate([cases.item[:, None], cases.candidates["uniform99"]], axis=1)
    popularity, co_clicks, ceiling = (
        ndcg(data.popularity[lists]),
        ndcg(knn(cases, lists)),
        ndcg(oracle.score(cases, lists)),
    )
    assert co_clicks > popularity + 0.15
    assert ceiling > co_clicks + 0.1

    cases = data.cases("search", "test")
    lists = np.concatenate([cases.item[:, None], cases.candidates["bm25_99"]], axis=1)
    bm25 = np.take_along_axis(LexicalIndex(data.item_texts).scores(cases.query), lists, 1)
    assert 0.35 < ndcg(bm25) < 0.7
    assert ndcg(bm25 + 3 * knn(cases, lists)) > ndcg(bm25) + 0.1, "the shopper's past helps"
    personal, anonymous = ndcg(oracle.score(cases, lists)), ndcg(oracle.score(cases.without_history(), lists))
    assert personal > anonymous + 0.05


# --- loading ---


def test_embedded_store_is_what_the_code_makes(data, again):
    assert again.info["fingerprint"] == data.info["fingerprint"] == load.BAZAAR_FINGERPRINT


def test_loading_outside_a_clone(monkeypatch, tmp_path, data, again):
    monkeypatch.setattr(load, "EMBEDDED", tmp_path / "absent")
    monkeypatch.setattr(load, "simulate", lambda config: again if config == BazaarConfig() else None)
    assert load_dataset("bazaar").info == data.info
    monkeypatch.setattr(load, "BAZAAR_FINGERPRINT", "0" * 64)
    with pytest.raises(DataError, match="came out different"):
        load_dataset("bazaar")


def test_loading_by_folder_or_not_at_all(tmp_path, capsys):
    main(["--out", str(tmp_path / "store"), "--num-items", "100", "--num-users", "50", "--mean-events", "8"])
    assert "100" in capsys.readouterr().out
    loaded = load_dataset(tmp_path / "store")
    assert loaded.num_items == 100
    assert len(BazaarOracle(loaded).score(loaded.cases("search", "test"), None)) > 0
    with pytest.raises(DataError, match="no data set"):
        load_dataset("bazar")


def test_oracle_refuses_other_data(data):
    foreign = Dataset(
        data.items,
        data.interactions,
        data.searches,
        data.candidates,
        {k: v for k, v in data.info.items() if k != "bazaar"},
    )
    with pytest.raises(DataError, match="not simulated"):
        BazaarOracle(foreign)
    other = Dataset(
        data.items,
        data.interactions,
        data.searches,
        data.candidates,
        data.info | {"bazaar": data.info["bazaar"] | {"seed": 9}},
    )
    with pytest.raises(DataError, match="does not come out again"):
        BazaarOracle(other)
    strange = Dataset(
        data.items, data.interactions, data.searches, data.candidates, data.info | {"bazaar": {"shelves": 3}}
    )
    with pytest.raises(DataError, match="shelves"):
        BazaarOracle(strange)


def test_wrong_parameters_on_the_command_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path / "store"), "--alignment", "2"])
    assert stop.value.code == 2
    assert "alignment must lie between 0 and 1" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
