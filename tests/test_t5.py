"""The arithmetic of T5 equals that of transformers, for plain and gated blocks; so do names, files and random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from builders import random_model, random_prompts
from transformers import T5Config, T5ForConditionalGeneration

from gensar_lite.data.storage import new_folder
from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.inputs import Inputs
from gensar_lite.network.tokenizer import train_tokenizer
from gensar_lite.network.weights import as_transformers, read_weights, write_weights

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
    peer = as_transformers(model) if isinstance(model, T5) else model
    theirs = peer(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=decoder)
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
    peer = as_transformers(model)
    peer(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=decoder).logits.square().mean().backward()
    theirs = {name: p.grad.clone() for name, p in peer.named_parameters()}
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
    assert not torch.equal(t5.encode(model, inputs, F.dropout), t5.encode(model, inputs, F.dropout))


def test_transformers_reads_what_is_written(tmp_path: Path) -> None:
    model = random_model(V)
    write_weights(tmp_path, model, train_tokenizer(["warm tent"] * 5, 300), [])
    theirs, info = T5ForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ours = dict(model.named_parameters())
    assert list(ours) == [name for name, _ in theirs.named_parameters()]
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.named_parameters())


def test_what_transformers_wrote_is_read(tmp_path: Path) -> None:
    model = random_model(V)
    with new_folder(tmp_path / "model", "model") as folder:
        write_weights(folder, model, train_tokenizer(["warm tent"] * 5, 300), [{"step": 1}])
        as_transformers(model).save_pretrained(folder)
    again, tokenizer, history = read_weights(tmp_path / "model")
    assert history == [{"step": 1}]
    assert tokenizer.tokenize("Warm tent") == ["▁warm", "▁tent"]
    assert t5.is_tied(again)
    ours = model.state_dict()
    assert ours.keys() == again.state_dict().keys()
    assert all(torch.equal(ours[name], weight) for name, weight in again.state_dict().items())
    _, mask, inputs = random_prompts(4, 9, V, seed=0)
    assert torch.equal(t5.encode(again, inputs), t5.encode(model, inputs))
    assert mask.any()


def test_relative_biases_equal_transformers() -> None:
    model = t5.new_backbone(V, 32, 1, 4, 64, 0.0, seed=0)
    peer = as_transformers(model)
    for stack in ("encoder", "decoder"):
        ours, theirs = (getattr(m, stack).block[0].layer[0].SelfAttention.compute_bias(300, 300) for m in (model, peer))
        assert torch.equal(ours, theirs)


def test_random_weights_spread_as_in_transformers() -> None:
    model = t5.new_backbone(400, 64, 2, 4, 128, 0.0, seed=0)
    torch.manual_seed(0)
    theirs = dict(T5ForConditionalGeneration(as_transformers(model).config).named_parameters())
    for name, weight in model.named_parameters():
        if weight.dim() == 1:
            assert torch.equal(weight, theirs[name])
        else:
            assert float(weight.std() / theirs[name].std()) == pytest.approx(1, abs=0.3 if "bias" in name else 0.06), (
                name
            )
