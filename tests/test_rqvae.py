"""The joint RQ-VAE: the loss written out by hand, gradients, use of the codebooks, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gensar_lite.identifiers import quantise
from gensar_lite.identifiers.quantise import decode, encode
from gensar_lite.identifiers.rqvae import RQVAE, RQVAEConfig, reconstruction_error, train_rqvae

SMALL = RQVAEConfig(latent_dim=4, hidden=(16,), batch_size=128, warmup_steps=40, max_steps=60)
SPANS = [(0, 8), (0, 4), (4, 8)]


def _signals(n: int = 400, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, 6)), rng.normal(size=(9, 5))
    return [
        (c[rng.integers(0, len(c), n)] + 0.2 * rng.normal(size=(n, c.shape[1]))).astype(np.float32) for c in centres
    ]


def _model(sizes: tuple[int, ...] = (6, 5, 4)) -> RQVAE:
    torch.manual_seed(0)
    model = RQVAE([6, 5], SPANS, sizes, SMALL).eval()
    for codebook in model.codebooks:
        torch.nn.init.normal_(codebook)
    return model


def test_quantisation_and_loss_are_those_of_the_paper():
    model = _model()
    latents = torch.randn(30, 8)
    codes, quantised, loss = model.quantise(latents)
    books = [c.detach() for c in model.codebooks]
    assert torch.equal(codes, encode(latents, SPANS, books))
    torch.testing.assert_close(quantised, decode(codes, SPANS, books, 8))
    residual, losses = latents.clone(), []
    for p, (a, b) in enumerate(SPANS):
        vectors = books[p][codes[:, p]]
        error = (residual[:, a:b] - vectors).square().mean()
        losses.append(error + 0.25 * error)
        residual[:, a:b] -= vectors
    torch.testing.assert_close(loss.detach(), torch.stack(losses).mean())


def test_gradients_pass_straight_through_and_reach_chosen_codes_only():
    model = _model()
    latents = torch.randn(3, 8, requires_grad=True)
    codes, quantised, loss = model.quantise(latents)
    weight = torch.randn(3, 8)
    (straight,) = torch.autograd.grad((quantised * weight).sum(), latents, retain_graph=True)
    torch.testing.assert_close(straight, weight)
    for p, grad in enumerate(torch.autograd.grad(loss, list(model.codebooks))):
        touched = torch.zeros(len(grad), dtype=torch.bool)
        touched[codes[:, p]] = True
        assert torch.equal(grad.abs().sum(1) > 0, touched)


@pytest.mark.parametrize("sizes", [(8, 8, 8), (32, 16, 16)])
def test_every_code_is_used_and_the_signals_survive(sizes):
    signals = [(x - x.mean(0)) / np.sqrt(np.square(x - x.mean(0)).mean()) for x in _signals()]
    model = train_rqvae(signals, SPANS, sizes, SMALL, balanced=(1, 2), seed=1)
    with torch.no_grad():
        codes = encode(
            model.encode_all([torch.from_numpy(x) for x in signals]), SPANS, [c.data for c in model.codebooks]
        )
    for p, size in enumerate(sizes):
        assert len(codes[:, p].unique()) == size
    # 1 is what the mean alone would reach
    assert max(reconstruction_error(model, signals)) < 0.6


def test_same_seed_same_model_and_global_randomness_untouched():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (train_rqvae(_signals(), SPANS, (8, 8, 8), SMALL, seed=2) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    other = train_rqvae(_signals(), SPANS, (8, 8, 8), SMALL, seed=3)
    for (name, a), b, c in zip(
        first.state_dict().items(), second.state_dict().values(), other.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
        assert not torch.equal(a, c), name


def test_one_signal_is_a_plain_rqvae_and_fewer_items_than_codes_work():
    signal = _signals(5)[:1]
    model = train_rqvae(signal, [(0, 4), (0, 4)], [16, 16], SMALL)
    assert np.isfinite(reconstruction_error(model, signal)).all()


@pytest.mark.parametrize("num_items", [2, 8, 40, 63])
def test_a_small_catalogue_costs_no_more_k_means_than_a_large_one(num_items, monkeypatch):
    """Codes that no item is left for are not looked for again at every step."""
    spans, sizes = [(0, 64), (0, 64), (0, 32), (0, 32), (32, 64), (32, 64)], [64] * 6
    fits, draws = [], []
    kmeans, spread = quantise.kmeans, quantise._spread
    monkeypatch.setattr(quantise, "kmeans", lambda *a, **k: fits.append(1) or kmeans(*a, **k))
    monkeypatch.setattr(quantise, "_spread", lambda v, d, n, g: draws.append(n) or spread(v, d, n, g))
    rng = np.random.default_rng(0)
    signals = [rng.normal(size=(num_items, width)).astype(np.float32) for width in (32, 16)]
    model = train_rqvae(signals, spans, sizes, balanced=(3, 5))
    assert len(sizes) * 2 <= len(fits) <= len(sizes) * 4
    assert sum(draws) <= 64 * len(fits) * 2
    # every item has a first code of its own, and hardly anything is lost
    first = encode(model.encode_all([torch.from_numpy(x) for x in signals]), spans[:1], [model.codebooks[0].data])
    assert len(first.unique()) == num_items
    assert max(reconstruction_error(model, signals)) < 0.05
