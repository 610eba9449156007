"""SASRec: histories, causality, the loss against brute force, learning, determinism."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from gensar_lite.data.events import EventLog, build_log
from gensar_lite.signals.sequential import (
    SequentialConfig,
    SequentialModel,
    _batches,
    _softmax_loss,
    clicks_between,
    fit_sequential,
    next_item_states,
    training_histories,
)

SMALL = SequentialConfig(dim=8, heads=2, max_length=6, epochs=2, batch_positions=64)


def make_log(sequences: list[list[int | None]]) -> EventLog:
    """One user per sequence; None is a search without a click."""
    items = pd.DataFrame({"item_id": [str(n) for n in range(10)]})
    rows = [
        (f"u{u:03}", None if n is None else str(n), step) for u, s in enumerate(sequences) for step, n in enumerate(s)
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    clicks = table.dropna()
    searches = table[table["item_id"].isna()].assign(session_id=None, query="q")
    return build_log(items, clicks, searches)


def test_histories_are_the_last_clicks_and_skip_searches_without_one() -> None:
    log = make_log([[1, None, 2, 3, 4], [5, 6], [None, 7]])
    start, stop = log.user_ptr[:-1], log.user_ptr[1:] - 1
    assert clicks_between(log, start, stop, 2).tolist() == [[2, 3], [5, -1], [-1, -1]]
    assert clicks_between(log, start, stop, 9).tolist() == [[1, 2, 3], [5, -1, -1], [-1, -1, -1]]
    assert clicks_between(log, stop, stop, 9).shape == (3, 0)


def test_no_click_is_predicted_from_its_own_session() -> None:
    items = pd.DataFrame({"item_id": [str(n) for n in range(10)]})
    clicks = pd.DataFrame({"user_id": "u", "item_id": ["0", "1", "8"], "timestamp": [0, 1, 9]})
    asked = pd.DataFrame({"user_id": "u", "session_id": "s", "query": "q", "item_id": ["2", "3", "4"], "timestamp": 5})
    log = build_log(items, clicks, asked)
    for length, wanted in ((9, [[0, 1, 2, 2, 2, 5]]), (3, [[0, 1, 2], [0, 0, 2]])):
        rows, sees = training_histories(log, np.ones(6, bool), length)
        assert rows[rows >= 0].tolist() == [0, 1, 2, 3, 4, 8]
        assert sees.tolist() == wanted


def test_training_rows_hold_every_training_click_once_in_order() -> None:
    rng = np.random.default_rng(0)
    sequences = [
        [None if rng.random() < 0.2 else int(rng.integers(10)) for _ in range(rng.integers(1, 12))] for _ in range(30)
    ]
    log = make_log(sequences)
    mask = np.random.default_rng(1).random(len(log)) < 0.8
    rows, sees = training_histories(log, mask, 4)
    assert (sees == np.arange(4))[rows >= 0].all()
    flat = [n for row in rows.tolist() for n in row if n >= 0]
    assert flat == log.item[mask & (log.item >= 0)].tolist()
    full = (rows >= 0).sum(1)
    assert full.max() == 4
    assert all((row[:size] >= 0).all() and (row[size:] < 0).all() for row, size in zip(rows, full, strict=True))


def test_states_see_the_past_only_and_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = SequentialModel(10, SMALL).eval()
    items = model.items()
    short, long = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2, 3, 9, -1]])
    a, b = model(short, items), model(long, items)
    torch.testing.assert_close(a[0], b[0, :4])
    assert not torch.allclose(b[0, 3], b[0, 4])


@pytest.mark.parametrize("with_text", [False, True])
def test_states_in_batches_equal_one_by_one(with_text: bool) -> None:
    torch.manual_seed(0)
    vectors = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32) if with_text else None
    model = SequentialModel(10, SMALL, vectors).eval()
    histories = np.array([[1, 2, 3], [4, -1, -1], [-1, -1, -1], [5, 6, -1]])
    states, items, popularity = next_item_states(model, histories, batch_rows=2)
    for row, size in enumerate([3, 1, 0, 2]):
        alone = model(torch.tensor(histories[[row], :size]), model.items())[0, -1]
        np.testing.assert_allclose(states[row], alone.detach().numpy(), atol=1e-5)
    assert items.shape == (10, 8)
    assert popularity.shape == (10,)


def test_text_projection_keeps_cosines_when_wide_enough() -> None:
    vectors = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32)
    vectors -= vectors.mean(0)
    items = SequentialModel(10, SMALL, vectors).items().detach().numpy()

    def cosine(x: np.ndarray) -> np.ndarray:
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        return x @ x.T

    np.testing.assert_allclose(cosine(items), cosine(vectors), atol=1e-4)


def test_full_softmax_is_cross_entropy_and_the_sample_estimates_it() -> None:
    generator = torch.Generator().manual_seed(0)
    states, items = torch.randn(6, 4, generator=generator), torch.randn(50, 4, generator=generator)
    popularity, target = torch.randn(50, generator=generator), torch.tensor([0, 3, 7, 7, 20, 49])
    exact = F.cross_entropy(states @ items.T + popularity, target)
    rng = np.random.default_rng(0)
    torch.testing.assert_close(_softmax_loss(states, target, items, popularity, None, 50), exact)
    drawn = [torch.from_numpy(rng.choice(50, 25, replace=False)) for _ in range(400)]
    sampled = [float(_softmax_loss(states, target, items, popularity, d, 50)) for d in drawn]
    assert np.mean(sampled) == pytest.approx(float(exact), rel=0.1)
    assert np.std(sampled) > 0


def test_batches_hold_every_row_once_within_the_limit() -> None:
    sizes = np.random.default_rng(0).integers(1, 40, 500)
    batches = _batches(sizes, 128, np.random.default_rng(1))
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(500))
    assert all(len(b) * sizes[b].max() <= 128 or len(b) == 1 for b in batches)
    assert sum(len(b) * sizes[b].max() for b in batches) < 1.35 * sizes.sum()


def cycle_log(last: int | None = None) -> EventLog:
    """Item n is followed by item n + 1 (mod 10); `last` replaces every user's last click."""
    sequences: list[list[int | None]] = [[(u + s) % 10 for s in range(5)] for u in range(40)]
    if last is not None:
        for s in sequences:
            s[-1] = last
    return make_log(sequences)


@pytest.mark.parametrize("negatives", [4096, 5])
def test_learns_a_cycle(negatives: int) -> None:
    log = cycle_log()
    config = SequentialConfig(
        dim=16, epochs=60, learning_rate=1e-2, dropout=0.0, batch_positions=64, num_negatives=negatives
    )
    model = fit_sequential(log, np.ones(len(log), bool), 10, config)
    states, items, popularity = next_item_states(model, np.array([[3, 4, 5], [8, 9, -1]]))
    assert (states @ items.T + popularity).argmax(1).tolist() == [6, 0]


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    log, mask = cycle_log(), np.ones(len(cycle_log()), bool)
    before = torch.random.get_rng_state()
    a, b, c = (fit_sequential(log, mask, 10, SMALL, seed=s).items() for s in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_tiny_numbers_are_flushed_in_training_only() -> None:
    log, seen = cycle_log(), []
    tiny = torch.full((1,), 1e-40)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush denormal numbers")
    torch.set_flush_denormal(False)

    def validate(model: SequentialModel, epoch: int) -> bool:
        seen.append(bool((tiny * 1).any()))
        return False

    fit_sequential(log, np.ones(len(log), bool), 10, SMALL, validate=validate)
    assert seen == [False]
    assert bool((tiny * 1).any())


def test_masked_events_change_nothing() -> None:
    one, two = cycle_log(), cycle_log(last=9)
    mask = one.position < 4
    assert not np.array_equal(one.item, two.item)
    assert torch.equal(fit_sequential(one, mask, 10, SMALL).items(), fit_sequential(two, mask, 10, SMALL).items())
    everything = np.ones(len(one), bool)
    assert not torch.equal(
        fit_sequential(one, everything, 10, SMALL).items(), fit_sequential(two, everything, 10, SMALL).items()
    )


def test_validation_ends_training() -> None:
    log, seen = cycle_log(), []

    def validate(model: SequentialModel, epoch: int) -> bool:
        seen.append((epoch, model.training))
        return epoch < 3

    fit_sequential(log, np.ones(len(log), bool), 10, SequentialConfig(dim=8, epochs=9), validate=validate)
    assert seen == [(1, False), (2, False), (3, False)]


def test_nothing_to_train_on_still_gives_a_model() -> None:
    log = cycle_log()
    model = fit_sequential(log, np.zeros(len(log), bool), 10, SMALL)
    assert np.isfinite(next_item_states(model, np.array([[1]]))[0]).all()
