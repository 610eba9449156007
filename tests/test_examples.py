"""Training examples: nothing held out is a target, every example is seen, and batches depend on (seed, step) alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from builders import random_table, tiny_encoder, tiny_store

from gensar_lite.data.build import build_dataset
from gensar_lite.network.inputs import InputEncoder
from gensar_lite.network.prompts import PROMPTS
from gensar_lite.network.tokenizer import train_tokenizer
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.training.examples import CodeChunk, Examples, TextChunk
from gensar_lite.training.settings import TrainingConfig

CONFIG = TrainingConfig(batch_size=64, steps=100, look_ahead=0.0)


def make_examples(config: TrainingConfig = CONFIG, seed: int = 0, history: str = "pooled", data=None) -> Examples:
    data = data or tiny_store()
    encoder = tiny_encoder(history)
    pseudo = [f"query number {n}" for n in range(200)]
    return Examples(data, encoder, (pseudo, np.repeat(np.arange(100), 2)), config, seed)


def flat(chunks: list[CodeChunk | TextChunk]) -> list[torch.Tensor]:
    """All tensors of a batch in a fixed order."""
    parts: list[torch.Tensor] = []
    for chunk in chunks:
        parts += [*chunk.inputs[:4], chunk.decoder]
        parts += [*chunk.rows.values(), *chunk.targets.values()] if isinstance(chunk, CodeChunk) else [chunk.labels]
    return parts


def same(first: list[CodeChunk | TextChunk], second: list[CodeChunk | TextChunk]) -> bool:
    a, b = flat(first), flat(second)
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def read(chunks: list[CodeChunk | TextChunk]) -> Counter:
    """Each example of a batch as (its input's tokens with weights, its target), counted."""
    found: Counter = Counter()
    for chunk in chunks:
        size = chunk.inputs.mask.shape[1]
        owner = chunk.inputs.place // size
        for b in range(len(chunk.decoder)):
            mine = owner == b
            tokens = tuple(
                zip(chunk.inputs.token[mine].tolist(), (chunk.inputs.place[mine] % size).tolist(), strict=True)
            )
            found[tokens, tuple(t for t in chunk.decoder[b].tolist() if t > 1)] += 1  # neither padding nor end
    return found


# what is asked --------------------------------------------------------------------------------------


def test_no_target_was_held_out_and_no_target_is_in_its_own_history() -> None:
    data = tiny_store()
    log, tasks = data.log, make_examples().tasks
    for name in ("next_item", "next_search_item", "next_query"):
        examples = tasks[name]
        target = examples.stop  # the event right behind the history is the target
        assert data.train_mask[target].all()
        assert data.train_mask[: len(log)][
            np.concatenate([np.arange(a, z) for a, z in zip(examples.start, examples.stop, strict=True)])
        ].all()
        assert (log.user[target] == log.user[np.minimum(examples.start, target)]).all()
        assert (examples.start == log.user_ptr[log.user[target]]).all()
    assert (tasks["next_item"].item == log.item[tasks["next_item"].stop]).all()
    assert (tasks["next_search_item"].item == log.item[tasks["next_search_item"].stop]).all()
    events = {name: set(tasks[name].stop.tolist()) for name in ("next_item", "next_search_item", "next_query")}
    trained = np.flatnonzero(data.train_mask)
    assert events["next_item"] == {e for e in trained if log.item[e] >= 0}, "every click, also one after a search"
    assert events["next_search_item"] == {e for e in trained if log.searched[e] and log.item[e] >= 0}
    assert events["next_query"] == {e for e in trained if log.searched[e]}
    held_out = set(data.held_out["stop"])  # where the history of a case ends, its event stands
    assert held_out
    assert not held_out & set.union(*events.values())


def test_the_other_face_of_a_target_is_not_in_its_history() -> None:
    """Every click is also a search with the same timestamp: neither face may be read before the other is asked."""
    rng = np.random.default_rng(0)
    items = tiny_store().items
    ids = items["item_id"].to_numpy()
    chosen = np.concatenate([rng.permutation(100)[:8] for _ in range(30)])  # nobody clicks an item twice
    clicks = pd.DataFrame({
        "user_id": np.repeat([f"u{u:02d}" for u in range(30)], 8),
        "item_id": ids[chosen],
        "timestamp": np.tile(np.arange(8) // 2, 30),
    })  # fmt: skip
    searches = clicks.assign(session_id=[f"s{i}" for i in range(240)], query=[f"word{i}" for i in chosen])
    data = build_dataset(
        items,
        clicks,
        searches,
        name="faces",
        origin="test",
        query_protocol="known-item",
        data_seed=0,
        timestamps="steps",
    )
    assert (data.log.recommended & data.log.searched).all()
    vocabulary = Vocabulary(train_tokenizer([*data.item_texts, *data.log.queries], 600), random_table(ids.tolist()))
    encoder = InputEncoder(vocabulary, data.log, data.item_texts, "tokens", 20, 16)
    config = replace(CONFIG, aux_shares={}, pseudo_share=0.0, shorten_history=0.0)
    examples = Examples(data, encoder, (["x"], np.zeros(1, int)), config, 0)
    checked = 0
    for step in range(10):
        for chunk in examples.chunks(step):
            assert isinstance(chunk, CodeChunk)
            size = chunk.inputs.mask.shape[1]
            for view, rows in chunk.rows.items():
                for row, target in zip(rows.tolist(), chunk.targets[view].tolist(), strict=True):
                    item = int(np.flatnonzero((vocabulary.view_tokens[view] == target).all(1))[0])
                    read_tokens = chunk.inputs.token[chunk.inputs.place // size == row].tolist()
                    for face in ("semantic", "collaborative"):
                        path = vocabulary.view_tokens[face][item].tolist()
                        assert not any(read_tokens[i : i + 4] == path for i in range(len(read_tokens)))
                    checked += 1
    assert checked == 10 * 64


# how much of each -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mix", [0.0, 0.35, 1.0])
def test_shares_are_respected(mix: float) -> None:
    examples = make_examples(replace(CONFIG, mix=mix))
    assert sum(examples.shares.values()) == pytest.approx(1)
    main = {name: examples.shares.get(name, 0) for name in ("next_item", "next_search_item", "query_to_item")}
    assert main["next_item"] / sum(main.values()) == pytest.approx(mix)
    drawn = Counter({task: sum(len(examples.draw(task, step, 64)) for step in range(50)) for task in examples.shares})
    for task, share in examples.shares.items():
        assert abs(drawn[task] - 50 * 64 * share) <= 1, "over many steps the shares hold to the example"
    assert set(drawn) == {task for task, share in CONFIG.shares().items() if share > 0} - (
        {"next_item"} if mix == 0 else set()
    ) - ({"next_search_item", "query_to_item"} if mix == 1 else set())


def test_shares_of_the_settings_sum_to_one() -> None:
    for mix in (0.0, 0.3, 1.0):
        shares = TrainingConfig(mix=mix, pseudo_share=0.25).shares()
        assert sum(shares.values()) == pytest.approx(1)
        assert set(shares) == set(PROMPTS)
    with pytest.raises(ValueError, match="mix must lie between 0"):
        TrainingConfig(mix=1.5)
    with pytest.raises(ValueError, match="softmax must be one of"):
        TrainingConfig(softmax="level")


def test_every_example_is_seen_once_an_epoch() -> None:
    examples = make_examples()
    for task, rows in examples.tasks.items():
        drawn = np.concatenate(
            [examples.draw(task, step, 64) for step in range(int(3.2 * len(rows) / (64 * examples.shares[task])))]
        )
        first, second = drawn[: len(rows)], drawn[len(rows) : 2 * len(rows)]
        assert sorted(first) == sorted(second) == list(range(len(rows)))
        assert (first != second).any(), "each epoch has an order of its own"


def test_a_log_without_searches_trains_the_other_tasks() -> None:
    data = tiny_store()
    info = {**data.info, "query_protocol": "log"}
    small = type(data)(data.items, data.interactions, data.searches.iloc[:0], data.candidates, info)
    tokenizer = tiny_encoder().vocabulary.tokenizer
    encoder = InputEncoder(
        Vocabulary(tokenizer, random_table(data.items["item_id"].tolist())), small.log, data.item_texts
    )
    examples = Examples(small, encoder, (["a"] * 100, np.arange(100)), CONFIG, 0)
    assert set(examples.shares) == {"next_item", "query_to_item", "text_to_item", "item_to_text"}
    assert sum(examples.shares.values()) == pytest.approx(1)
    assert sum(len(chunk.decoder) for chunk in examples.chunks(0)) > 60


# batches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", ["pooled", "tokens"])
def test_a_batch_is_a_pure_function_of_seed_and_step(history: str) -> None:
    first, second, other = (make_examples(seed=seed, history=history) for seed in (0, 0, 1))
    later = first.chunks(7)
    for step in (3, 0, 7):  # in any order, whatever was drawn before
        assert same(first.chunks(step), second.chunks(step))
    assert same(later, first.chunks(7))
    assert not same(later, first.chunks(8))
    assert not same(later, other.chunks(7))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_partition_the_batch(world: int) -> None:
    examples = make_examples()
    whole = read(examples.chunks(5))
    parts = [read(examples.chunks(5, rank, world)) for rank in range(world)]
    assert sum(parts, Counter()) == whole
    sizes = [sum(part.values()) for part in parts]
    assert max(sizes) - min(sizes) <= len(examples.shares)


@pytest.mark.parametrize("history", ["pooled", "tokens"])
def test_chunks_hold_inputs_of_like_length(history: str) -> None:
    chunks = make_examples(history=history).chunks(0)
    assert len(chunks) > 2
    for chunk in chunks:
        lengths = chunk.inputs.mask.sum(1)
        assert chunk.inputs.mask[:, -1].any(), "no column is padding alone"
        assert lengths.min() >= 1
    share = sum(int(c.inputs.mask.sum()) for c in chunks) / sum(c.inputs.mask.numel() for c in chunks)
    assert share > 0.6


def test_code_targets_are_identifiers() -> None:
    examples = make_examples()
    vocabulary = examples.vocabulary
    views = Counter()
    for step in range(5):
        for chunk in examples.chunks(step):
            if not isinstance(chunk, CodeChunk):
                continue
            rows = torch.cat(list(chunk.rows.values()))
            assert sorted(rows.tolist()) == list(range(len(chunk.decoder))), "every example belongs to one view"
            assert not chunk.decoder[:, 0].any()
            for view, of_view in chunk.rows.items():
                known = {tuple(row) for row in vocabulary.view_tokens[view].tolist()}
                assert {tuple(row) for row in chunk.targets[view].tolist()} <= known
                assert torch.equal(chunk.decoder[of_view, 2:], chunk.targets[view])
                assert (chunk.decoder[of_view, 1] == vocabulary.behaviour_of(view)).all()
                views[view] += len(of_view)
    assert min(views["semantic"], views["collaborative"]) > 50


def test_text_targets_are_shifted_and_end() -> None:
    examples = make_examples(replace(CONFIG, aux_shares={"next_query": 0.3, "item_to_text": 0.3}))
    vocabulary, data = examples.vocabulary, tiny_store()
    queries = {
        tuple([vocabulary.behaviours["<S_Q>"], *row][: CONFIG.max_target_text])
        for row in map(list, map(examples.encoder.queries.__getitem__, range(len(data.log.queries))))
    }
    texts = {tuple(examples.encoder.texts[n][: CONFIG.max_target_text].tolist()) for n in range(100)}
    seen = 0
    for chunk in examples.chunks(0):
        if isinstance(chunk, CodeChunk):
            continue
        for labels, decoder in zip(chunk.labels.tolist(), chunk.decoder.tolist(), strict=True):
            target = [token for token in labels if token >= 0]
            assert target[-1] == vocabulary.eos
            assert tuple(target[:-1]) in queries | texts
            assert len(target) <= CONFIG.max_target_text + 1
            assert decoder[0] == vocabulary.pad
            assert decoder[1 : len(target)] == target[:-1]
            seen += 1
    assert seen > 20


def test_histories_are_shortened_as_often_as_asked() -> None:
    never, always = (make_examples(replace(CONFIG, shorten_history=chance)) for chance in (0.0, 1.0))
    mean = [np.mean([float(c.inputs.mask.sum()) for s in range(10) for c in e.chunks(s)]) for e in (never, always)]
    assert mean[1] < mean[0]
    long = [c.inputs.mask.sum(1).max() for c in never.chunks(0)]
    assert max(long) <= 1 + 20 + 1 + 16


def test_looking_ahead_stays_among_the_same_users_open_events() -> None:
    examples = make_examples(TrainingConfig(batch_size=64, look_ahead=1.0))
    data, task = tiny_store(), examples.tasks["next_item"]
    rows = np.arange(len(task))
    items = examples._look_ahead(task, rows, np.random.default_rng(0))
    log = data.log
    changed = 0
    for row in rows:
        event, user = task.stop[row], log.user[task.stop[row]]
        ahead = [e for e in range(event, min(event + 5, len(log))) if log.user[e] == user and data.train_mask[e]]
        assert items[row] in log.item[ahead]
        changed += items[row] != task.item[row]
    assert changed > len(rows) / 2
