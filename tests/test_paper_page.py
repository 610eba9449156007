"""The paper on one page: it stays one page, asks the package's questions, and answers as a search over all items would."""

from __future__ import annotations

import ast
import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from gensar_lite.data.dataset import Dataset

PAGE = Path(__file__).parents[1] / "notebooks" / "paper.py"
SIZES = {
    "NUM_WORDS": 400, "SIGNAL_DIM": 16, "HIDDEN": (16,), "NUM_CODES": 8, "RQVAE_EPOCHS": 3, "MAX_TEXT": 12,
    "PER_EPOCH": (60, 60, 10, 60, 20, 10), "EPOCHS": 1, "BATCH_SIZE": 40, "NUM_BEAMS": 8, "NUM_CASES": 6,
    "SHAPE": {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1},
}  # fmt: skip


@pytest.fixture
def page(store: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page as a module, shrunk, on the tiny store."""
    spec = importlib.util.spec_from_file_location("paper_page", PAGE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    for name, value in {**SIZES, "DATA": store}.items():
        assert hasattr(module, name)
        setattr(module, name, value)
    return module


def some_names(page: ModuleType, num_items: int) -> dict[str, list[str]]:
    """Random identifiers that differ in every view, as the page writes them."""
    rng = np.random.default_rng(0)
    last = rng.permutation(np.arange(num_items))
    rows = [[*rng.integers(0, 8, 2), n // 8 % 8, n % 8, n // 8 % 8, n % 8] for n in last.tolist()]
    rows = [[n // 64, *row[1:]] for n, row in zip(last.tolist(), rows, strict=True)]
    return {
        task: [speaker + "".join(f"<{page.BOOKS[book]}_{row[book]}>" for book in books) for row in rows]
        for task, (speaker, books) in page.VIEWS.items()
    }


def test_it_is_one_page_of_three_libraries() -> None:
    text = PAGE.read_text()
    assert len(text.splitlines()) <= 300
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported - set(sys.stdlib_module_names) == {"torch", "transformers", "pandas"}


def test_it_runs_from_the_tables_to_both_evaluations(page: ModuleType, capsys: pytest.CaptureFixture) -> None:
    page.main()
    said = capsys.readouterr().out
    assert "epoch 1 of 1: loss" in said
    table = [line.split() for line in said.splitlines()[-3:]]
    assert table[0] == ["HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10"]
    assert {row[0] for row in table[1:]} == {"search", "recommendation"}
    assert all(0 <= float(value) <= 1 for row in table[1:] for value in row[1:])


def test_questions_and_histories_are_those_of_the_package(page: ModuleType, store: Path) -> None:
    data = Dataset.load(store)
    items, log, closed, cases = page.read_store()
    names = {task: [f"{task}{n}" for n in range(len(items))] for task in page.VIEWS}
    for (split, task), asked in cases.items():
        theirs = data.cases(task, split)
        row_of = {data.log.user_ids[user]: row for row, user in enumerate(theirs.user)}
        assert {case.user for case in asked} == set(row_of)
        for case in asked:
            row = row_of[case.user]
            protocol = "uniform99" if task == "recommendation" else "bm25_99"
            assert case.candidates == [theirs.item[row], *theirs.candidates[protocol][row]]
            held = page.situation(case.event, log[case.user], names)
            events = np.arange(theirs.start[row], theirs.stop[row])
            searched = data.log.searched[events]
            kept = sorted([*events[searched][-5:], *events[~searched][-5:]])
            parts = [
                " , ".join(
                    ([f"<S_Q>{data.log.queries[data.log.query[e]]}"] if data.log.searched[e] else [])
                    + ([f"{'search' if data.log.searched[e] else 'recommendation'}{data.log.item[e]}"] if data.log.item[e] >= 0 else [])
                )
                for e in kept
            ]  # fmt: skip
            assert held["history"] == " ; ".join(parts)
            if theirs.query is not None:
                assert held["query"] == f"<S_Q>{theirs.query[row]}"
    learned = sum(event.time < closed[user] for user, events in log.items() for event in events)
    assert learned == data.train_mask.sum()


def test_examples_of_six_tasks(page: ModuleType, store: Path) -> None:
    data = Dataset.load(store)
    items, log, closed, _ = page.read_store()
    names = some_names(page, len(items))
    random.seed(0)
    examples = page.training_examples(log, closed, names, ["a text"] * len(items), items["title"])
    events = data.train_mask & (data.log.item >= 0)
    assert len(examples["recommendation"]) == (events & ~data.log.searched).sum()
    assert len(examples["search"]) == (events & data.log.searched).sum()
    assert len(examples["next_query"]) == (data.train_mask & data.log.searched).sum()
    assert len(examples["query_to_item"]) == data.num_items
    assert len(examples["text_to_item"]) == len(examples["item_to_text"]) == 2 * data.num_items
    for task, rows in examples.items():
        starts = {"recommendation": "<R_I>", "search": "<S_I>", "query_to_item": "<S_I>", "next_query": "<S_Q>"}
        assert all(target.startswith(starts.get(task, "")) for _, target in rows)
        for template in page.TEMPLATES[task]:
            template.format(**rows[0][0])


def test_identifiers_are_unique_even_where_all_items_are_alike(page: ModuleType) -> None:
    torch.manual_seed(0)
    signals = [torch.randn(40, 16), torch.zeros(40, 16)]
    codes = page.learn_identifiers(signals)
    for _, books in page.VIEWS.values():
        assert len({tuple(row[book] for book in books) for row in codes}) == 40


def test_sinkhorn_uses_every_code_about_equally(page: ModuleType) -> None:
    distance = torch.rand(64, 8, generator=torch.Generator().manual_seed(0)) + torch.arange(
        8
    )  # all are nearest to code 0
    count = torch.bincount(page.sinkhorn(distance), minlength=8)
    assert (distance.argmin(1) == 0).float().mean() > 0.8
    assert count.max() <= 12
    assert count.min() >= 4


def test_answers_equal_a_search_over_all_items(page: ModuleType, store: Path) -> None:
    items, log, _, cases = page.read_store()
    names = some_names(page, len(items))
    torch.manual_seed(0)
    page.NUM_BEAMS = len(items)
    tokenizer, model = page.new_model(items["title"].tolist())
    model.eval()
    for task in page.VIEWS:
        rows = cases["test", task][:2]
        asked = [page.TEMPLATES[task][0].format(**page.situation(c.event, log[c.user], names)) for c in rows]
        allowed = [sorted(case.candidates) for case in rows]
        found = page.answer(model, tokenizer, asked, names[task], allowed)
        for question, candidates, answers in zip(asked, allowed, found, strict=True):
            assert sorted(item for item, _ in answers) == candidates, "as many beams as items: none is lost"
            with torch.no_grad():
                exact = {
                    item: -6 * float(page.loss_of(model, tokenizer, [question], [names[task][item]]))
                    for item in candidates[:20]
                }
            scored = dict(answers)
            np.testing.assert_allclose([scored[item] for item in exact], list(exact.values()), rtol=1e-4)
            assert [score for _, score in answers] == sorted(scored.values(), reverse=True)


def test_metrics_by_hand(page: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    event = page.Event("recommendation", 1, 3, None)
    cases = [page.Case("u", event, [3, 4, 5])] * 3
    orders = [[3, 4, 5], [5, 4, 3], [4, 5]]
    monkeypatch.setattr(page, "answer", lambda *_: [[(item, 0.0) for item in order] for order in orders])
    found = page.evaluate(None, None, {"u": []}, {"recommendation": ["x"] * 9}, cases)
    assert found == pytest.approx({"HR@1": 1 / 3, "HR@5": 2 / 3, "HR@10": 2 / 3, "NDCG@5": 0.5, "NDCG@10": 0.5})
