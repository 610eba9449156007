"""The arithmetic of T5 equals that of transformers, for plain and gated blocks."""

from __future__ import annotations

import pytest
import torch
from builders import random_model, random_prompts
from transformers import T5Config, T5ForConditionalGeneration

from gensar_lite.network import t5
from gensar_lite.network.inputs import Inputs

V = 90


def gated_model(num_layers: int) -> T5ForConditionalGeneration:
    """T5 1.1: gated feed-forward, an output head of its own."""
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=V, d_model=32, d_kv=8, d_ff=48, num_layers=num_layers, num_decoder_layers=num_layers + 1, num_heads=4,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0, decoder_start_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("kind", ["plain", "gated"])
@torch.no_grad()
def test_forward_equals_transformers(kind: str, num_layers: int) -> None:
    model = random_model(V, num_layers) if kind == "plain" else gated_model(num_layers)
    ids, mask, inputs = random_prompts(6, 9, V, seed=2)
    decoder = torch.randint(2, V, (6, 7), generator=torch.Generator().manual_seed(3))
    theirs = model(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=decoder)
    encoded = t5.encode(model, inputs)
    torch.testing.assert_close(encoded[mask], theirs.encoder_last_hidden_state[mask], rtol=1e-4, atol=1e-5)
    ours = t5.logits(model, t5.decode(model, model.shared(decoder), encoded, mask))
    torch.testing.assert_close(ours, theirs.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        t5.logits(model, t5.decode(model, model.shared(decoder), encoded, mask), slice(10, 20)), ours[..., 10:20]
    )


@torch.no_grad()
def test_padding_changes_nothing() -> None:
    model = random_model(V)
    ids, mask, inputs = random_prompts(4, 9, V, seed=0)
    decoder = torch.randint(2, V, (4, 3), generator=torch.Generator().manual_seed(3))
    together = t5.decode(model, model.shared(decoder), t5.encode(model, inputs), mask)
    for b in range(4):
        own = ids[b][mask[b]]
        alone = Inputs(own, torch.arange(len(own)), torch.ones(len(own)), torch.ones(1, len(own), dtype=torch.bool))
        states = t5.decode(model, model.shared(decoder[b : b + 1]), t5.encode(model, alone), alone.mask)
        torch.testing.assert_close(states[0], together[b], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_positions_are_weighted_sums_of_embeddings() -> None:
    model = random_model(V)
    inputs = Inputs(
        token=torch.tensor([5, 6, 7, 8, 5]),
        place=torch.tensor(
            [0, 0, 1, 3, 3]
        ),  # a grid of 2 x 3 positions: two tokens at (0, 0), one at (0, 1), two at (1, 0)
        weight=torch.tensor([0.5, 2.0, 1.0, -1.0, 0.25]),
        mask=torch.tensor([[True, True, False], [True, False, False]]),
    )
    table = model.shared.weight
    grid = t5.embed(inputs, model.shared(inputs.token))
    assert grid.shape == (2, 3, 32)
    torch.testing.assert_close(grid[0, 0], 0.5 * table[5] + 2 * table[6])
    torch.testing.assert_close(grid[0, 1], table[7])
    torch.testing.assert_close(grid[1, 0], 0.25 * table[5] - table[8])
    assert not grid[0, 2].any()
    assert not grid[1, 1:].any()


def test_gradients_equal_transformers() -> None:
    model = random_model(V)
    ids, mask, inputs = random_prompts(3, 6, V, seed=4)
    decoder = torch.randint(2, V, (3, 4), generator=torch.Generator().manual_seed(5))
    model(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=decoder).logits.square().mean().backward()
    theirs = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    t5.logits(model, t5.decode(model, model.shared(decoder), t5.encode(model, inputs), mask)).square().mean().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name], rtol=1e-3, atol=1e-4, msg=name)


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(7)
    first = t5.new_backbone(V, 16, 1, 2, 32, 0.0, seed=3)
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(1)), "making a model must not touch the global random state"
    second, other = (t5.new_backbone(V, 16, 1, 2, 32, 0.0, seed=seed) for seed in (3, 4))
    assert torch.equal(first.shared.weight, second.shared.weight)
    assert not torch.equal(first.shared.weight, other.shared.weight)


def test_dropout_is_on_only_where_asked() -> None:
    model = random_model(V)
    _, _, inputs = random_prompts(3, 6, V, seed=4)
    assert torch.equal(t5.encode(model, inputs), t5.encode(model, inputs))
    assert not torch.equal(t5.encode(model, inputs, dropout=0.5), t5.encode(model, inputs, dropout=0.5))
