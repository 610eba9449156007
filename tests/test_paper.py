"""The paper's form: its templates, task sizes and schedule by hand, and the whole of it against the plain page."""

from __future__ import annotations

import importlib.util
import math
import random
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from builders import random_table, tiny_store
from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

from gensar_lite.cli import parser
from gensar_lite.config import PRESETS, preset
from gensar_lite.data.storage import DataError
from gensar_lite.identifiers import learn_identifiers
from gensar_lite.model import GenSAR
from gensar_lite.network import t5
from gensar_lite.network.prompts import PROMPTS, TEXT_TASKS
from gensar_lite.network.templates import TEMPLATES, pieces_of
from gensar_lite.network.vocabulary import TASK_VIEW
from gensar_lite.network.weights import as_transformers
from gensar_lite.signals import Signals, embed
from gensar_lite.training.doc2query import read_pseudo_queries
from gensar_lite.training.examples import CodeChunk, Examples
from gensar_lite.training.loop import Objective, _Run, learning_rate

PAGE_TASK = {"next_item": "recommendation", "next_search_item": "search"}  # the page calls tasks by what they end in
SMALL = {"epochs": 1, "batch_size": 128, "epoch_examples": dict.fromkeys(PROMPTS, 40)}


def page_task(task: str) -> str:
    return PAGE_TASK.get(task, task)


@pytest.fixture(scope="module")
def signals() -> Signals:
    return embed(tiny_store(), collaborative="als")


@pytest.fixture(scope="module")
def model(signals: Signals, tmp_path_factory: pytest.TempPathFactory) -> GenSAR:
    """`paper-tiny` from a small pretrained T5, trained for a moment."""
    folder = tmp_path_factory.mktemp("hub")
    data = tiny_store()
    tokenizer = T5Tokenizer().train_new_from_iterator([*data.item_texts, *data.log.queries], 900)
    torch.manual_seed(0)
    shape = {"d_model": 48, "d_kv": 12, "d_ff": 96, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **shape)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    table = random_table(data.items["item_id"].tolist())
    changes = {**SMALL, "backbone": str(folder), "max_text": 400, "max_query": 100}
    return GenSAR.fit(data, signals, table, preset="paper-tiny", progress=False, **changes)


@pytest.fixture
def page(model: GenSAR, store: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The plain page on the same store, with the package's templates, identifiers and words."""
    spec = importlib.util.spec_from_file_location("plain_page", Path(__file__).parents[1] / "notebooks" / "paper.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    module.DATA = store
    module.TEMPLATES = {page_task(task): ways for task, ways in TEMPLATES.items()}
    module.NUM_CODES = int(model.table.codebook_sizes[0])
    module.tokenizer = T5Tokenizer.from_pretrained(model.config.training.backbone)
    books = [f"<{book}_{n}>" for book in module.BOOKS for n in range(module.NUM_CODES)]
    module.tokenizer.add_tokens(["<R_I>", "<S_Q>", "<S_I>", *books])
    of = {"search": "semantic", "recommendation": "collaborative"}
    names = model.table.layout.names
    assert list(names) == list(module.BOOKS)
    module.names = {
        task: [
            speaker + "".join(f"<{names[book]}_{code}>" for book, code in zip(model.table.codebooks_of[of[task]], row, strict=True))
            for row in model.table.codes[of[task]].tolist()
        ]
        for task, (speaker, _) in module.VIEWS.items()
    }  # fmt: skip
    return module


def rows_of(chunk) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Input and target tokens of each example of a chunk."""
    inputs = chunk.inputs
    grid = torch.zeros(inputs.mask.numel(), dtype=torch.long).index_copy(0, inputs.place, inputs.token)
    grid = grid.view_as(inputs.mask)
    if isinstance(chunk, CodeChunk):
        targets = torch.nn.functional.pad(chunk.decoder[:, 1:], (0, 1), value=1)
    else:
        targets = chunk.labels
    return [
        (tuple(row[mask].tolist()), tuple(target[target >= 0].tolist()))
        for row, mask, target in zip(grid, inputs.mask, targets, strict=True)
    ]


@pytest.fixture
def both(model: GenSAR, page: ModuleType, monkeypatch: pytest.MonkeyPatch) -> tuple[Examples, dict[str, list]]:
    """The examples of both forms, put in the first way, which evaluation takes, too; the plain ones as (input, target) texts."""
    items, log, closed, _ = page.read_store()
    random.seed(0)
    found = page.training_examples(log, closed, page.names, model.data.item_texts, items["title"])
    queries = [held["query"].removeprefix("<S_Q>") for held, _ in found["query_to_item"]]
    monkeypatch.setattr(model.encoder, "num_ways", dict.fromkeys(TEMPLATES, 1))
    config = replace(model.config.training, epoch_examples={})
    examples = Examples(model.data, model.encoder, (queries, np.arange(model.data.num_items)), config, 0)
    plain = {
        task: [(page.TEMPLATES[page_task(task)][0].format(**held), target) for held, target in found[page_task(task)]]
        for task in TEMPLATES
    }
    return examples, plain


def every_example(examples: Examples, tasks: list[str]) -> list:
    """Chunks of one step that draws each example of some tasks once."""
    examples.shares = {task: len(examples.tasks[task]) / examples.config.batch_size for task in tasks}
    return examples.chunks(0)


def test_both_forms_write_the_same_examples(both: tuple, page: ModuleType) -> None:
    """Every example of every task: the same tokens in, the same tokens out."""
    examples, plain = both
    for task, rows in plain.items():
        theirs = zip(*(page.tokenizer(list(column)).input_ids for column in zip(*rows, strict=True)), strict=True)
        ours = [row for chunk in every_example(examples, [task]) for row in rows_of(chunk)]
        assert len(rows) == len(ours) > 0
        assert sorted(ours) == sorted((tuple(read), tuple(write)) for read, write in theirs), task


@pytest.mark.parametrize("tasks", [["next_search_item"], ["text_to_item", "next_query"]])
def test_both_forms_have_the_same_loss(model: GenSAR, both: tuple, page: ModuleType, tasks: list[str]) -> None:
    """On the same weights: the mean over all target tokens of a batch, all tasks together."""
    examples, plain = both
    config = replace(model.config.training, dropout=0.0, attention_dropout=0.0)
    with torch.no_grad():
        ours = Objective(model.backbone, model.vocabulary, config)(every_example(examples, tasks))
        rows = [row for task in tasks for row in plain[task]]
        theirs = page.loss_of(as_transformers(model.backbone), page.tokenizer, *map(list, zip(*rows, strict=True)))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def model_examples(model: GenSAR) -> Examples:
    every = np.arange(model.data.num_items)
    pseudo = [f"query {n}" for n in every], every
    return Examples(model.data, model.encoder, pseudo, model.config.training, 0)


@pytest.mark.parametrize("task", ["recommendation", "search"])
def test_both_forms_give_the_same_answers(model: GenSAR, page: ModuleType, task: str) -> None:
    _, log, _, cases = page.read_store()
    asked = cases["test", task][:4]
    theirs = model.data.cases(task, "test")
    order = [[model.data.log.user_ids[user] for user in theirs.user].index(case.user) for case in asked]
    theirs = theirs.take(np.array(order))
    questions = [
        page.TEMPLATES[task][0].format(**page.situation(case.event, log[case.user], page.names)) for case in asked
    ]
    # among the candidates of evaluation
    found = page.answer(
        as_transformers(model.backbone),
        page.tokenizer,
        questions,
        page.names[task],
        [case.candidates for case in asked],
    )
    exact = model.score(theirs, np.array([case.candidates for case in asked]))
    for case, answers, scores in zip(asked, found, exact, strict=True):
        known = dict(zip(case.candidates, scores, strict=True))
        np.testing.assert_allclose([known[item] for item, _ in answers], [score for _, score in answers], rtol=1e-4)
        assert answers[0][1] == pytest.approx(max(scores), rel=1e-4)
    # in the whole catalogue, by beam search
    every = [list(range(model.data.num_items))] * len(asked)
    found = page.answer(as_transformers(model.backbone), page.tokenizer, questions, page.names[task], every)
    scores = np.take_along_axis(model.score(theirs, None), model.top_items(theirs, page.NUM_BEAMS), 1)
    np.testing.assert_allclose(scores, [[score for _, score in answers] for answers in found], rtol=1e-4)


def test_templates_by_hand() -> None:
    assert set(TEMPLATES) == set(PROMPTS)
    for task, ways in TEMPLATES.items():
        assert len(set(ways)) == 10
        for way in ways:
            slots = {"history": "H", "query": "Q", "text": "T", "item": "I"}
            first, between, behind = pieces_of(way)
            tail = {"next_search_item": "Q", "query_to_item": "Q", "text_to_item": "T", "item_to_text": "I"}.get(
                task, ""
            )
            parts = [first, "H" if "{history}" in way else "", between, tail, behind]
            assert " ".join(part for part in parts if part) == way.format(**slots)
    assert pieces_of("After {history} find the item for {query} .") == ("After", "find the item for", ".")
    assert pieces_of("Describe the item {item} .") == ("", "Describe the item", ".")
    assert pieces_of("Which search follows {history} ?") == ("Which search follows", "", "?")


def test_a_history_is_the_latest_clicks_and_the_latest_searches(model: GenSAR) -> None:
    log, encoder = model.data.log, model.encoder
    start, stop = log.user_ptr[:-1], log.user_ptr[1:]
    example, event = encoder.history_rows(start, stop)
    for user in range(log.num_users):
        events = np.arange(start[user], stop[user])
        latest = [events[log.searched[events] == kind][-5:] for kind in (False, True)]
        assert event[example == user].tolist() == sorted(np.concatenate(latest).tolist())


def test_task_sizes_and_epochs(model: GenSAR) -> None:
    config = replace(
        model.config.training, batch_size=100, epochs=7,
        epoch_examples={"next_item": None, "next_search_item": 50, "next_query": 10, "query_to_item": 0, "text_to_item": 9, "item_to_text": 3},
    )  # fmt: skip
    data = model.data
    every = np.arange(data.num_items)
    examples = Examples(data, model.encoder, (["words"] * data.num_items, every), config, 0)
    clicks = int((data.train_mask & (data.log.item >= 0) & data.log.recommended).sum())
    size = clicks + 50 + 10 + 9 + 3
    schedule = examples.schedule()
    assert schedule.validate_every == math.ceil(size / 100)
    assert schedule.steps == 7 * schedule.validate_every
    drawn = {
        task: sum(len(examples.draw(task, step, 100)) for step in range(schedule.validate_every))
        for task in examples.shares
    }
    rounding = schedule.validate_every * 100 / size
    for task, number in {
        "next_item": clicks,
        "next_search_item": 50,
        "next_query": 10,
        "text_to_item": 9,
        "item_to_text": 3,
    }.items():
        assert drawn[task] == pytest.approx(number * rounding, abs=1)
    assert "query_to_item" not in drawn


def test_the_presets_hold_the_recipe() -> None:
    config = PRESETS["paper"]
    training = config.training
    assert (training.max_events, training.max_text, training.max_query, training.max_target_text) == (5, 256, 64, None)
    assert (training.epochs, training.batch_size, training.learning_rate, training.warmup) == (200, 8192, 1e-3, 0.01)
    assert training.dropout == training.attention_dropout == 0.1
    assert config.identifiers.rqvae == {"hidden": (512, 256, 128, 64), "epochs": 500, "lr": 1e-3}
    tiny = PRESETS["paper-tiny"].training
    same = {"history", "max_events", "softmax", "betas", "weight_decay", "warmup", "dropout", "attention_dropout", "recommend_searched", "start_vectors", "max_target_text"}  # fmt: skip
    assert {name: getattr(tiny, name) for name in same} == {name: getattr(training, name) for name in same}
    assert preset("paper", mix=0.3).training.epoch_examples == {}, "a mix that is asked for is not ignored"
    assert preset("paper", steps=9).training.epochs is None
    with pytest.raises(ValueError, match="unknown settings of the RQ-VAE: colour"):
        preset("paper", rqvae={"colour": 1})


def test_the_shell_offers_every_preset() -> None:
    assert set(parser.PRESETS) == set(PRESETS)


def test_no_stop_before_the_warm_up_is_over(model: GenSAR) -> None:
    config = replace(preset("paper-tiny", steps=1000).training, warmup=0.5, patience=2)
    run = _Run(model.backbone, torch.optim.AdamW(model.backbone.parameters()), None)
    for step in range(100, 1000, 100):  # the first validation stays the best
        run.history.append({"step": step, "primary": 0.5 if step == 100 else 0.1})
        assert run.stopped(config) == (step >= 700), step
    assert learning_rate(499, config) == config.learning_rate


def test_dropout_of_attention_weights(model: GenSAR) -> None:
    inputs = model.requests.cases(model.data.cases("search", "test").take(slice(0, 3))).inputs
    with torch.no_grad():
        plain = t5.encode(model.backbone, inputs)
        torch.manual_seed(0)
        first = t5.encode(model.backbone, inputs, of_weights=0.5)
        second = t5.encode(model.backbone, inputs, of_weights=0.5)
    assert not torch.equal(first, plain)
    assert not torch.equal(first, second)
    query, key = torch.randn(2, 1, 1, 4, 8)
    many = torch.stack([t5.attend(query, key, key, torch.zeros(1, 1, 1, 4), 0.3) for _ in range(3000)])
    torch.testing.assert_close(many.mean(0), t5.attend(query, key, key, torch.zeros(1, 1, 1, 4)), rtol=0.1, atol=0.1)


def test_targets_are_written_whole(model: GenSAR) -> None:
    examples = model_examples(model)
    longest = {row[1] for chunk in examples.chunks(0) if not isinstance(chunk, CodeChunk) for row in rows_of(chunk)}
    texts = {(*row.tolist(), 1) for row in (model.encoder.texts[n] for n in range(model.data.num_items))}
    assert any(row in texts for row in longest)
    assert all(row in texts or row[0] == model.vocabulary.behaviours["<S_Q>"] for row in longest)


def test_identifiers_for_so_many_epochs(signals: Signals) -> None:
    table = learn_identifiers(
        tiny_store(), signals, num_codes=8, rqvae={"epochs": 2, "hidden": [16], "warmup_steps": 2}
    )
    assert len(table) == 100


def test_own_pseudo_queries(tmp_path: Path, signals: Signals) -> None:
    data = tiny_store()
    ids = data.items["item_id"].tolist()
    pd.DataFrame({"item_id": [ids[3], ids[0], ids[3]], "query": ["warm hat", "12", "null"]}).to_csv(
        tmp_path / "own.csv", index=False
    )
    texts, items = read_pseudo_queries(tmp_path / "own.csv", data)
    assert (texts[:2], items.tolist()[:2]) == (["warm hat", "12"], [3, 0])
    (tmp_path / "other.csv").write_text("item_id,query\nnowhere,tent\n")
    with pytest.raises(DataError, match=r"queries of 1 items that are not in the catalogue \(nowhere\)"):
        read_pseudo_queries(tmp_path / "other.csv", data)
    (tmp_path / "bare.csv").write_text("item_id\nx\n")
    with pytest.raises(DataError, match="needs the columns item_id and query; missing: query"):
        read_pseudo_queries(tmp_path / "bare.csv", data)
    with pytest.raises(DataError, match="cannot be read"):
        read_pseudo_queries(tmp_path / "nowhere.csv", data)
    (tmp_path / "none.csv").write_text("item_id,query\n")
    with pytest.raises(DataError, match="holds no pseudo-queries"):
        read_pseudo_queries(tmp_path / "none.csv", data)
    table = random_table(ids)
    changes = {**SMALL, "pseudo_queries": str(tmp_path / "own.csv")}
    model = GenSAR.fit(data, signals, table, preset="paper-tiny", progress=False, **changes)  # from scratch, own words
    assert len(model.search("warm hat", k=3)) == 3
    assert TASK_VIEW["search"] == "semantic"
    assert set(PROMPTS) - set(TEXT_TASKS) < set(TEMPLATES)
