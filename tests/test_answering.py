"""What a model answers: searches, recommendations, suggested queries and scores."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from builders import tiny_store
from test_model import SIZES, fit, user_with_history

import gensar_lite.answering as answering
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.decoding.scoring import score_items
from gensar_lite.identifiers import learn_identifiers
from gensar_lite.model import GenSAR
from gensar_lite.network import t5
from gensar_lite.signals import device
from gensar_lite.signals.signals import Signals, embed

COLUMNS = ["item_id", "title", "score", "identifier"]


@pytest.fixture(scope="module")
def signals() -> Signals:
    return embed(tiny_store(), collaborative="als")


@pytest.fixture(scope="module")
def model(signals: Signals) -> GenSAR:
    return fit(signals)


# answers ----------------------------------------------------------------------------------------------


def test_search_gives_the_best_items_in_order(model: GenSAR) -> None:
    found = model.search("sleeping bag", user=user_with_history(model), k=7)
    assert list(found.columns) == COLUMNS
    assert len(found) == 7
    assert found["item_id"].is_unique
    assert found["score"].is_monotonic_decreasing
    numbers = [model.data.item_number[i] for i in found["item_id"]]
    assert found["title"].tolist() == model.data.items["title"].iloc[numbers].tolist()
    assert found["identifier"].tolist() == [model.table.text(n, "semantic") for n in numbers]


def test_search_with_a_beam_for_every_item_equals_exact_scores(model: GenSAR) -> None:
    found = model.search("sleeping bag", k=100, num_beams=100)
    request, _ = model.requests.users("next_search_item", [None], queries=["sleeping bag"])
    exact = score_items(model.scorer(request, "search"), np.arange(100)[None])[0]
    numbers = [model.data.item_number[i] for i in found["item_id"]]
    assert sorted(numbers) == list(range(100))
    np.testing.assert_allclose(found["score"], exact[numbers], rtol=1e-4, atol=1e-4)


def test_recommend_for_users_histories_and_strangers(model: GenSAR) -> None:
    user = user_with_history(model)
    known = model.recommend(user=user, k=5)
    assert list(known.columns) == COLUMNS
    assert len(known) == 5
    assert known["identifier"].str.startswith("<m1_").all()
    history = model.recommend(history=model.data.items["item_id"].tolist()[:3], k=5)
    nobody = model.recommend(k=5)
    assert len(history) == len(nobody) == 5
    assert not np.allclose(known["score"], nobody["score"])
    assert not np.allclose(history["score"], nobody["score"])


def test_an_empty_history_is_that_of_a_new_user(model: GenSAR) -> None:
    assert model.recommend(history=[], k=5).equals(model.recommend(k=5))


def test_a_history_is_read_up_to_its_latest_events(model: GenSAR) -> None:
    items = model.data.items["item_id"].tolist()
    longest = model.encoder.max_events
    assert model.recommend(history=items[: longest + 5], k=5).equals(
        model.recommend(history=items[5 : longest + 5], k=5)
    )


def test_an_unknown_user_is_answered_with_a_warning(model: GenSAR) -> None:
    with pytest.warns(UserWarning, match="the log has no user 'nobody'"):
        answer = model.recommend(user="nobody", k=5)
    assert answer.equals(model.recommend(k=5))
    with pytest.warns(UserWarning, match="nobody"):
        assert model.search("tent", user="nobody", k=3).equals(model.search("tent", k=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.recommend(user=user_with_history(model))


def test_lists_give_one_table(model: GenSAR) -> None:
    queries = ["tent", "coffee grinder", "tent"]
    table = model.search(queries, k=4)
    assert list(table.columns) == ["query", *COLUMNS]
    assert table["query"].tolist() == [q for q in queries for _ in range(4)]
    for part, query in ((table.iloc[:4], "tent"), (table.iloc[4:8], "coffee grinder"), (table.iloc[8:], "tent")):
        alone = model.search(query, k=4)
        assert part["item_id"].tolist() == alone["item_id"].tolist()
        np.testing.assert_allclose(part["score"], alone["score"], rtol=1e-4, atol=1e-5)
    users = model.data.log.user_ids[:3]
    table = model.recommend(users, k=2)
    assert list(table.columns) == ["user", *COLUMNS]
    assert table["user"].tolist() == [u for u in users for _ in range(2)]
    assert table["item_id"].tolist()[2:4] == model.recommend(users[1], k=2)["item_id"].tolist()


def test_no_question_no_answer(model: GenSAR) -> None:
    assert list(model.search([]).columns) == ["query", *COLUMNS]
    assert list(model.recommend([]).columns) == ["user", *COLUMNS]
    assert len(model.search([])) == len(model.recommend([])) == 0


@pytest.mark.parametrize("k", [100, 101, 5000])
def test_k_beyond_the_catalogue_gives_every_item_once(model: GenSAR, k: int) -> None:
    assert sorted(model.recommend(k=k)["item_id"]) == sorted(model.data.items["item_id"])


def test_options_leave_items_out(model: GenSAR) -> None:
    user = user_with_history(model)
    log = model.data.log
    u = model.data.user_number[user]
    clicked = log.item[log.user_ptr[u] : log.user_ptr[u + 1]]
    seen = {model.data.items["item_id"][i] for i in clicked[clicked >= 0]}
    whole = model.recommend(user=user, k=100)
    fresh = model.recommend(user=user, k=100, exclude_seen=True)
    assert seen & set(whole["item_id"])
    assert fresh["item_id"].tolist() == [i for i in whole["item_id"] if i not in seen]
    chosen = model.data.items["item_id"].tolist()[10:20]
    assert model.recommend(user=user, items=chosen)["item_id"].tolist() == [i for i in whole["item_id"] if i in chosen]
    category = model.data.items["categories"][0].split(" > ")[0]
    inside = set(model.data.items["item_id"][model.data.items["categories"].str.contains(category, regex=False)])
    assert 0 < len(inside) < 100
    assert set(model.search("tent", k=100, category=category.upper())["item_id"]) == inside
    both = model.search("tent", k=100, category=category, items=[*chosen, min(inside)])
    assert set(both["item_id"]) == inside & {*chosen, min(inside)}
    history = chosen[:3]
    assert not set(history) & set(model.recommend(history=history, k=100, exclude_seen=True)["item_id"])


@pytest.mark.parametrize("query", ["テント", "zzzqqqxx", "🎉", "a" * 2000, "</s>", "12345"])
def test_any_query_gets_an_answer(model: GenSAR, query: str) -> None:
    found = model.search(query, k=3)
    assert len(found) == 3
    assert np.isfinite(found["score"]).all()


def test_wrong_questions_are_refused_in_a_sentence(model: GenSAR) -> None:
    for query in ("", "   ", ["tent", ""]):
        with pytest.raises(ValueError, match="the query is empty"):
            model.search(query)
    for k in (0, -3):
        with pytest.raises(ValueError, match="k must be at least 1"):
            model.recommend(k=k)
    with pytest.raises(DataError, match="not in the catalogue: XYZ"):
        model.recommend(history=["XYZ"])
    with pytest.raises(DataError, match="not all in the catalogue: XYZ"):
        model.recommend(items=["XYZ"])
    with pytest.raises(DataError, match="no item has a category that contains 'spaceships'"):
        model.recommend(category="spaceships")
    with pytest.raises(DataError, match="give at least one item"):
        model.recommend(items=[])
    with pytest.raises(TypeError):
        model.recommend(bogus=1)


def as_typed(model: GenSAR, prefix: str) -> GenSAR:
    """The same model on a log whose every query begins with a prefix."""
    data = model.data
    searches = data.searches.assign(query=prefix + data.searches["query"])
    store = Dataset(data.items, data.interactions, searches, data.candidates, data.info)
    return GenSAR(store, model.signals, model.table, model.vocabulary.tokenizer, model.backbone, model.config)


def test_suggested_queries_are_queries_that_somebody_typed(model: GenSAR) -> None:
    for asked in (model, as_typed(model, "T-Shirt, Été & ")):
        table = asked.suggest_queries(user=user_with_history(model), k=6)
        assert list(table.columns) == ["query", "score"]
        assert len(table) == 6
        assert table["query"].is_unique
        assert table["score"].is_monotonic_decreasing
        assert set(table["query"]) <= set(asked.data.log.queries), "as it was typed: spaces, capitals and all"


def test_suggestion_scores_are_log_probabilities_as_they_were_trained(model: GenSAR) -> None:
    """Among words, behaviours and the end, cut where training cuts."""
    cut = model.config.training.max_target_text
    table = model.suggest_queries(k=3)
    empty = model.encoder.ask("next_query", model.encoder.event_segments.take(np.zeros(0, int)), np.array([0]))
    with torch.no_grad():
        encoded = t5.encode(model.backbone, empty)
        for query, score in table.itertuples(index=False):
            tokens = model.encoder.queries[model.data.log.queries.index(query)].tolist()
            path = torch.tensor([[*[model.vocabulary.behaviours["<S_Q>"], *tokens][:cut], model.vocabulary.eos]])
            decoder = torch.cat([torch.zeros(1, 1, dtype=torch.long), path[:, :-1]], dim=1)
            states = t5.decode(model.backbone, model.backbone.shared(decoder), encoded, empty.mask)
            logits = t5.logits(model.backbone, states, slice(0, model.vocabulary.num_words))
            assert score == pytest.approx(logits.log_softmax(-1).gather(2, path[..., None]).sum().item(), rel=1e-3)


def test_suggestions_beyond_the_log_stop_at_its_end(model: GenSAR) -> None:
    data = model.data
    searches = data.searches[data.searches["query"].isin(data.log.queries[:3])]
    store = Dataset(data.items, data.interactions, searches, data.candidates, data.info)
    small = GenSAR(store, model.signals, model.table, model.vocabulary.tokenizer, model.backbone, model.config)
    for k in (3, 5, 50):
        table = small.suggest_queries(k=k)
        assert sorted(table["query"]) == sorted(data.log.queries[:3])
        assert (table["score"] > -1000).all()
    silent = Dataset(data.items, data.interactions, searches.iloc[:0], data.candidates, data.info)
    with pytest.raises(DataError, match="no searches"):
        GenSAR(
            silent, model.signals, model.table, model.vocabulary.tokenizer, model.backbone, model.config
        ).suggest_queries()
    with pytest.raises(ValueError, match="k must be at least 1"):
        model.suggest_queries(k=0)


# scores -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["recommendation", "search"])
def test_scores_of_candidates_equal_those_of_the_whole_catalogue(model: GenSAR, task: str) -> None:
    cases = model.data.cases(task, "test")
    candidates = np.concatenate([cases.item[:, None], next(iter(cases.candidates.values()))[:, :20]], axis=1)
    some, whole = model.score(cases, candidates), model.score(cases, None)
    assert some.shape == (len(cases), 21)
    assert whole.shape == (len(cases), 100)
    np.testing.assert_allclose(some, np.take_along_axis(whole, candidates, 1), rtol=1e-4, atol=1e-4)
    assert model.score(cases.take(slice(0, 0)), None).shape == (0, 100)


def test_a_case_is_asked_as_training_asked(model: GenSAR) -> None:
    cases = model.data.cases("search", "test").take(slice(0, 5))
    own = model.requests.cases(cases).inputs
    without = model.requests.cases(cases.without_history()).inputs
    assert (without.mask.sum(1) < own.mask.sum(1)).all()
    for c in range(5):
        alone = model.score(cases.take(slice(c, c + 1)), None)
        np.testing.assert_allclose(alone[0], model.score(cases, None)[c], rtol=1e-4, atol=1e-4)


def test_a_catalogue_of_many_chunks_is_scored_as_one(model: GenSAR, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = model.data.cases("search", "test").take(slice(0, 5))
    whole = model.score(cases, None)
    monkeypatch.setattr("gensar_lite.decoding.scoring.ITEMS_AT_ONCE", 16)
    monkeypatch.setattr("gensar_lite.decoding.scoring.ROWS_AT_ONCE", 30)
    np.testing.assert_allclose(model.score(cases, None), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", ["recommendation", "search"])
def test_any_number_of_cores_gives_the_same_answers(model: GenSAR, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setattr(answering, "CASES_AT_ONCE", 7)
    cases, found = model.data.cases(task, "test"), []
    for cores in (1, 3):
        monkeypatch.setattr(device, "spare_cores", lambda cores=cores: cores)
        found.append((model.score(cases, None), model.top_items(cases, 5)))
    assert len(cases) > 14
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one, three)
    assert model.score(cases.take(slice(0, 0)), None).shape == (0, 100)
    assert model.top_items(cases.take(slice(0, 0)), 5).shape == (0, 5)


# one model, many at once -------------------------------------------------------------------------------


def test_threads_get_serial_answers_while_items_are_added(signals: Signals) -> None:
    table = learn_identifiers(tiny_store(), signals, quantiser="kmeans", num_codes=16)
    model = GenSAR.fit(tiny_store(), signals, table, progress=False, **{**SIZES, "steps": 2})
    users = model.data.log.user_ids[:16]
    serial = {user: model.search("sleeping bag", user=user, k=5) for user in users}
    found: dict[str, list] = {user: [] for user in users}

    def ask(user: str) -> None:
        try:
            for _ in range(3):
                found[user].append(model.search("sleeping bag", user=user, k=5))
        except Exception as error:
            found[user].append(error)

    threads = [threading.Thread(target=ask, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    grown = model
    for number in range(3):
        grown = grown.add_items(pd.DataFrame({"item_id": [f"new{number}"], "title": ["Zebra xylophone stand"]}))
    for thread in threads:
        thread.join()
    assert model.data.num_items == 100
    assert grown.data.num_items == 103
    assert len(grown.search("xylophone", items=["new0", "new2"])) == 2
    for user in users:
        assert len(found[user]) == 3
        assert all(answer.equals(serial[user]) for answer in found[user])
