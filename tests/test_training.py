"""The training loop: it learns, it resumes to the same weights, it stops early, and it says what went wrong."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import random_table, tiny_encoder, tiny_store

from gensar_lite.data.storage import DataError
from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.training import loop
from gensar_lite.training.batches import batches
from gensar_lite.training.chance import draw
from gensar_lite.training.examples import CodeChunk, Examples, TextChunk
from gensar_lite.training.initialise import initial_vectors, initialise_embeddings
from gensar_lite.training.loop import Objective, fit_generator, learning_rate
from gensar_lite.training.settings import TrainingConfig

CONFIG = TrainingConfig(
    d_model=32, num_heads=2, d_ff=32, dropout=0.0, mix=0.6, pseudo_share=0.5, batch_size=48, steps=12, validate_every=4,
    learning_rate=5e-3,
)  # fmt: skip


def world(config: TrainingConfig = CONFIG, remembered: int = 0) -> tuple[T5, Examples]:
    """A fresh model and the examples of the tiny store, some of whose items have vectors of their own."""
    encoder = tiny_encoder(config.history)
    table = random_table(tiny_store().items["item_id"].tolist())
    encoder.vocabulary = Vocabulary(encoder.vocabulary.tokenizer, table, remembered)
    pseudo = [text.split(",")[0] for text in tiny_store().items["title"]]
    examples = Examples(tiny_store(), encoder, (pseudo, np.arange(100)), config, seed=0)
    return t5.new_backbone(
        encoder.vocabulary.size, config.d_model, 1, config.num_heads, config.d_ff, 0.0, seed=0
    ), examples


def train(config: TrainingConfig = CONFIG, **options) -> tuple[T5, list[dict]]:
    model, examples = world(config)
    history = fit_generator(model, examples.vocabulary, examples, config, progress=False, **options)
    return model, history


def weights(model: T5) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_same_weights(first: T5, second: T5) -> None:
    theirs = weights(second)
    for name, value in weights(first).items():
        assert torch.equal(value, theirs[name]), name


# learning -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("softmax", ["trie", "full"])
@pytest.mark.parametrize("history", ["pooled", "tokens"])
def test_the_loss_goes_down(softmax: str, history: str) -> None:
    config = replace(CONFIG, softmax=softmax, history=history, steps=60, validate_every=20)
    model, rows = train(config)
    losses = [row["loss"] for row in rows]
    assert [row["step"] for row in rows] == [20, 40, 60]
    assert losses[2] < 0.9 * losses[0]
    assert not model.training


def test_it_can_learn_by_heart() -> None:
    config = replace(CONFIG, steps=250, validate_every=50, mix=0.0, pseudo_share=1.0, aux_shares={}, d_model=64)
    _, rows = train(config)
    assert rows[0]["loss"] > 0.3
    assert rows[-1]["loss"] < 0.01, "100 titles, each with one identifier: nothing is left to guess"


@pytest.mark.parametrize("softmax", ["trie", "full"])
@torch.no_grad()
def test_the_objective_is_the_cross_entropy_of_the_targets(softmax: str) -> None:
    config = replace(CONFIG, softmax=softmax, aux_shares={"next_query": 0.3, "text_to_item": 0.2})
    model, examples = world(config)
    vocabulary = examples.vocabulary
    objective = Objective(model, vocabulary, config)
    chunks = examples.chunks(0)
    assert {type(chunk) for chunk in chunks} == {CodeChunk, TextChunk}
    expected, num = 0.0, 0
    for chunk in chunks:
        encoded = t5.encode(model, chunk.inputs)
        logits = t5.logits(model, t5.decode(model, model.shared(chunk.decoder), encoded, chunk.inputs.mask)).double()
        losses = []
        for b in range(len(chunk.decoder)):
            if isinstance(chunk, TextChunk):
                wide = logits.shape[-1] if softmax == "full" else vocabulary.num_words
                losses += [
                    -logits[b, t, :wide].log_softmax(-1)[y] for t, y in enumerate(chunk.labels[b].tolist()) if y >= 0
                ]
                continue
            view = next(v for v, rows in chunk.rows.items() if b in rows.tolist())
            path = [*chunk.decoder[b, 1:].tolist(), vocabulary.eos]
            if softmax == "full":
                losses += [-logits[b, t].log_softmax(-1)[y] for t, y in enumerate(path)]
                continue
            every = torch.from_numpy(vocabulary.view_tokens[view])
            for level in range(vocabulary.num_levels):  # a code among the codes that items with the same prefix have
                target = path[1 + level]
                siblings = every[(every[:, :level] == every.new_tensor(path[1 : 1 + level])).all(1), level].unique()
                losses.append(-logits[b, 1 + level, siblings].log_softmax(-1)[siblings == target][0])
        size = (
            len(losses) if softmax == "full" else len(chunk.decoder)
        )  # the paper's: the mean over all tokens of a batch
        expected += float(torch.stack(losses).mean()) * size
        num += size
    assert objective(chunks).item() == pytest.approx(expected / num, rel=1e-4)


def test_schedule_warms_up_and_ends_near_zero() -> None:
    config = replace(CONFIG, steps=100, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert rates[10] == 1.0
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[55] == pytest.approx(0.5, abs=0.01)
    assert 0 < rates[-1] < 0.01


def test_two_trainings_are_alike_and_no_global_seed_matters() -> None:
    torch.manual_seed(1)
    first, rows = train()
    torch.manual_seed(2)
    second, again = train()
    assert rows == again
    assert_same_weights(first, second)


# starting values --------------------------------------------------------------------------------------


def test_tokens_start_at_the_mean_of_their_items() -> None:
    encoder = tiny_encoder()
    vocabulary = encoder.vocabulary
    spaces = [np.random.default_rng(n).normal(size=(100, dim)) for n, dim in enumerate((24, 6))]
    start = initial_vectors(vocabulary, encoder.texts, spaces, [24, 8])
    assert start.shape == (vocabulary.size, 32)
    assert not start[:, 30:].any(), "six directions have no seventh and eighth"
    carriers: dict[int, list[int]] = {}
    for item in range(100):
        codes = np.concatenate([vocabulary.view_tokens[view][item] for view in vocabulary.view_tokens])
        for token in {*encoder.texts[item].tolist(), *codes.tolist()}:
            carriers.setdefault(token, []).append(item)
    without = [t for t in range(vocabulary.size) if t not in carriers]
    assert without
    assert not start[without].any()
    known = sorted(carriers)
    centred = [space - space.mean(0) for space in spaces]
    both = np.hstack([space / np.sqrt(np.square(space).mean()) for space in centred])
    means = np.stack([both[carriers[t]].mean(0) for t in known])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(start[known] @ start[known].T, means @ means.T, atol=1e-4)  # equal up to a rotation
    narrow = initial_vectors(vocabulary, encoder.texts, spaces[:1], [10])
    leading = np.linalg.svd(centred[0], full_matrices=False)[2][:10]
    means = np.stack([centred[0][carriers[t]].mean(0) @ leading.T for t in known])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(narrow[known] @ narrow[known].T, means @ means.T, atol=1e-4)


def test_starting_vectors_have_mean_square_one_and_others_stay_random() -> None:
    model, examples = world()
    random = model.shared.weight.detach().clone()
    start = np.random.default_rng(0).normal(size=random.shape).astype(np.float32)
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    start[:5] = 0
    initialise_embeddings(model, start, noise=0.1)
    table = model.shared.weight.detach()
    torch.testing.assert_close(table[:5], 0.1 * random[:5])
    square = (table - 0.1 * random)[5:].square().mean(1)
    torch.testing.assert_close(square, torch.ones_like(square), rtol=1e-4, atol=1e-4)
    assert len(table) == examples.vocabulary.size


# resuming ---------------------------------------------------------------------------------------------


class Killed(Exception):
    """The training was stopped from outside."""


def metric_of(values: list[float], killed_at: int | None = None):
    """A `validate` that gives `values` one after the other."""
    left = iter(values)
    count = iter(range(len(values)))

    def validate(model: T5) -> dict[str, float]:
        if next(count) == killed_at:
            raise Killed
        model.eval()
        return {"primary": next(left)}

    return validate


def test_resuming_gives_identical_weights_and_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, rows = train(validate=metric_of([0.1, 0.3, 0.2]))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)  # after every step
    with pytest.raises(Killed):
        train(validate=metric_of([0.1, 0.3], killed_at=1), checkpoint=tmp_path / "state")
    assert json.loads((tmp_path / "state" / "progress.json").read_text())["step"] == 7, "between two validations"
    resumed, again = train(validate=metric_of([0.3, 0.2]), checkpoint=tmp_path / "state")
    assert again == rows
    assert_same_weights(whole, resumed)


def test_resuming_with_dropout_gives_identical_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, dropout=0.2)
    whole, _ = train(config)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1)
    with pytest.raises(Killed):
        train(config, validate=metric_of([0.1], killed_at=0), checkpoint=tmp_path / "state")
    resumed, _ = train(config, checkpoint=tmp_path / "state")
    assert_same_weights(whole, resumed)
    assert not torch.equal(whole.shared.weight, train()[0].shared.weight), "dropout does something"


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    first, rows = train(validate=metric_of([0.1, 0.3, 0.2]), checkpoint=tmp_path / "state")
    second, again = train(validate=metric_of([], killed_at=0), checkpoint=tmp_path / "state")
    assert again == rows
    assert_same_weights(first, second)


@pytest.mark.parametrize("damage", ["cut", "edited", "other", "weights", "empty"])
def test_a_broken_checkpoint_is_told_in_a_sentence(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "state"
    train(replace(CONFIG, steps=2), checkpoint=folder)
    state, progress = folder / "state.safetensors", folder / "progress.json"
    if damage == "cut":
        state.write_bytes(state.read_bytes()[:1000])
    elif damage == "edited":
        progress.write_text(progress.read_text()[:20])
    elif damage == "empty":
        progress.write_text("{}")
    elif damage == "weights":
        state.unlink()
    config = replace(CONFIG, d_model=16) if damage == "other" else CONFIG
    with pytest.raises(DataError, match=r"delete the folder|make it again"):
        train(config, checkpoint=folder)


# stopping ---------------------------------------------------------------------------------------------


def test_early_stopping_keeps_the_best_weights() -> None:
    config = replace(CONFIG, steps=40, validate_every=2, patience=3)
    seen: list[dict[str, torch.Tensor]] = []
    scores = iter([0.1, 0.5, 0.2, 0.3, 0.4, 0.9])

    def validate(model: T5) -> dict[str, float]:
        seen.append(weights(model))
        return {"primary": next(scores)}

    model, rows = train(config, validate=validate)
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10], "three validations without a better one end it"
    assert [row["primary"] for row in rows] == [0.1, 0.5, 0.2, 0.3, 0.4]
    for name, value in weights(model).items():
        assert torch.equal(value, seen[1][name])


def test_patience_counts_validations_after_the_best() -> None:
    scores = iter([0.5, 0.1, 0.2, 0.3, 0.9])
    _, rows = train(
        replace(CONFIG, steps=40, validate_every=2, patience=3), validate=lambda model: {"primary": next(scores)}
    )
    assert [row["step"] for row in rows] == [2, 4, 6, 8]


def test_without_validation_the_last_weights_stay() -> None:
    _, rows = train()
    assert [set(row) for row in rows] == [{"step", "loss"}] * 3


def test_divergence_is_told_in_a_sentence() -> None:
    with pytest.raises(DataError, match=r"training diverged at step \d+ .* lower the learning rate"):
        train(replace(CONFIG, learning_rate=math.inf, warmup=0.0))


def test_batches_laid_out_ahead_are_the_same() -> None:
    _, examples = world()
    order = examples, range(1, 4), range(2), 2, torch.device("cpu")
    plain, ahead = list(batches(*order, ahead=0)), list(batches(*order))
    assert len(plain) == len(ahead) == 6
    for one, other in zip(plain, ahead, strict=True):
        assert all(
            torch.equal(a.decoder, b.decoder) and torch.equal(a.inputs.token, b.inputs.token)
            for a, b in zip(one[0], other[0], strict=True)
        )
    assert not torch.equal(plain[0][0][0].inputs.token, plain[1][0][0].inputs.token)


@pytest.mark.parametrize(("history", "remembered"), [("pooled", 100), ("tokens", 0)])
def test_what_is_drawn_ahead_and_computed_side_by_side_is_the_same_to_the_bit(
    history: str, remembered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gensar_lite.training.chance.MAX_RIVALS", 20)  # fewer than there are items
    config = replace(CONFIG, history=history, dropout=0.3, accumulate=3)
    model, examples = world(config, remembered)
    chunks = examples.chunks(0)
    assert len(chunks) > 2
    found = []
    with ThreadPoolExecutor(3) as pool:
        for ahead, workers in ((False, None), (True, None), (True, pool)):
            torch.manual_seed(5)
            drawn = draw(chunks, 5, config, model.config, examples.vocabulary.num_remembered) if ahead else ()
            loss = Objective(model, examples.vocabulary, config, workers)(chunks, drawn)
            (loss / 3).backward()
            found.append([loss.detach(), *(p.grad for p in model.parameters())])
            model.zero_grad()
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_gradients_known_beforehand_are_those_of_any_function_of_the_loss() -> None:
    config = replace(CONFIG, accumulate=4)
    model, examples = world(config)
    objective = Objective(model, examples.vocabulary, config)
    gradients = []
    for factor in (1.0, 3.0):
        (factor * objective(examples.chunks(0))).backward()
        gradients.append(model.shared.weight.grad.clone())
        model.zero_grad()
    torch.testing.assert_close(3 * gradients[0], gradients[1])
