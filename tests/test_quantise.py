"""K-means, residual quantisation and balanced assignment against definitions and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gensar_lite.identifiers.quantise import balanced_codes, decode, encode, fit_codebooks, kmeans, nearest_codes


def _vectors(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_nearest_codes_equal_brute_force_at_any_chunk():
    vectors, codebook = _vectors(101, 5), _vectors(7, 5, seed=1)
    brute = torch.cdist(vectors, codebook).square()
    for chunk in (1, 10, 1000):
        codes, distances = nearest_codes(vectors, codebook, chunk)
        assert torch.equal(codes, brute.argmin(1))
        torch.testing.assert_close(distances, brute.min(1).values, rtol=1e-4, atol=1e-4)


def test_kmeans_finds_separated_clusters_far_from_the_origin():
    truth = torch.eye(6) * 50 + 1000
    vectors = truth.repeat(40, 1) + _vectors(240, 6)
    centres = kmeans(vectors, 6, seed=3)
    codes = nearest_codes(vectors - 1000, centres - 1000)[0].reshape(40, 6)
    assert (codes == codes[0]).all()
    assert len(set(codes[0].tolist())) == 6
    torch.testing.assert_close(centres[codes[0]], vectors.reshape(40, 6, 6).mean(0), rtol=0, atol=1e-2)


@pytest.mark.parametrize("num_codes", [2, 16, 64])
def test_every_code_is_used_even_with_heavy_duplicates(num_codes):
    vectors = torch.cat([torch.zeros(3000, 4), _vectors(64, 4)])
    codes, _ = nearest_codes(vectors, kmeans(vectors, num_codes, seed=0))
    assert len(codes.unique()) == num_codes


def test_fewer_distinct_vectors_than_codes_are_all_met():
    vectors = _vectors(5, 3).repeat(20, 1)
    centres = kmeans(vectors, 16)
    assert torch.isfinite(centres).all()
    assert float(nearest_codes(vectors, centres)[1].max()) < 1e-5


def test_lloyd_never_worsens_the_start_and_continues_from_it():
    vectors = _vectors(500, 8)
    rough = kmeans(vectors, 20, seed=1, iterations=1)
    better = kmeans(vectors, 20, seed=1, iterations=20, start=rough)
    assert float(nearest_codes(vectors, better)[1].mean()) < float(nearest_codes(vectors, rough)[1].mean())


def test_same_seed_same_centres_and_other_seed_other_centres():
    vectors = _vectors(400, 6)
    assert torch.equal(kmeans(vectors, 10, seed=5), kmeans(vectors, 10, seed=5))
    assert not torch.equal(kmeans(vectors, 10, seed=5), kmeans(vectors, 10, seed=6))


def test_large_tables_are_sampled():
    vectors = _vectors(5000, 2)
    codes, _ = nearest_codes(vectors, kmeans(vectors, 4))
    assert (torch.bincount(codes, minlength=4) > 500).all()


def test_residual_quantisation_over_spans():
    latents = _vectors(300, 6)
    spans, sizes = [(0, 6), (0, 2), (2, 6)], [8, 4, 4]
    codebooks = fit_codebooks(latents, spans, sizes, seed=2)
    codes = encode(latents, spans, codebooks)
    assert [c.shape for c in codebooks] == [(8, 6), (4, 2), (4, 4)]
    # level by level, item by item
    for i in range(0, 300, 37):
        residual = latents[i].clone()
        for p, (a, b) in enumerate(spans):
            nearest = int((codebooks[p] - residual[a:b]).square().sum(1).argmin())
            assert nearest == codes[i, p]
            residual[a:b] -= codebooks[p][nearest]
        torch.testing.assert_close(decode(codes[i : i + 1], spans, codebooks, 6)[0], latents[i] - residual)
    before = latents.square().sum()
    errors = [(latents - decode(codes[:, :p], spans[:p], codebooks[:p], 6)).square().sum() for p in (1, 2, 3)]
    assert before > errors[0] > errors[1] > errors[2]


def test_codes_of_decoded_codes_come_back_where_codebooks_are_far_apart():
    spans = [(0, 2), (0, 2)]
    codebooks = [torch.tensor([[0.0, 0], [100, 0]]), torch.tensor([[0.0, 1], [0, -1], [1, 0]])]
    codes = torch.cartesian_prod(torch.arange(2), torch.arange(3))
    assert torch.equal(encode(decode(codes, spans, codebooks, 2), spans, codebooks), codes)


def _lopsided() -> torch.Tensor:
    vectors, codebook = _vectors(512, 4), torch.cat([_vectors(1, 4), 3 + _vectors(7, 4, seed=2)])
    return torch.cdist(vectors, codebook).square()


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.003, 3000), (0.01, 50), (0.01, 3000), (0.03, 500)])
def test_balanced_codes_use_a_lopsided_codebook_evenly(epsilon, iterations):
    distances = _lopsided()
    balanced = torch.bincount(balanced_codes(distances, epsilon, iterations), minlength=8)
    assert torch.bincount(distances.argmin(1), minlength=8).max() > 300
    assert balanced.max() < 90
    assert balanced.min() > 40


@pytest.mark.parametrize("epsilon", [0.003, 0.02, 0.3])
def test_balanced_codes_equal_sinkhorn_in_the_log_domain(epsilon):
    distances = _lopsided()
    low, high = distances.min(), distances.max()
    logits = -(distances.double() - (high + low) / 2) / ((high - low) / 2) / epsilon
    for _ in range(50):
        logits = logits - torch.logsumexp(logits, 1, keepdim=True)
        logits = logits - torch.logsumexp(logits, 0, keepdim=True)
    assert (balanced_codes(distances, epsilon, 50) == logits.argmax(1)).float().mean() > 0.99


def test_balanced_codes_stay_finite_and_exact_where_balance_is_given():
    distances = torch.full((4, 4), 1e6).fill_diagonal_(0)
    assert balanced_codes(distances, 1e-4).tolist() == [0, 1, 2, 3]
    assert balanced_codes(torch.zeros(3, 2)).shape == (3,)
    assert np.isin(balanced_codes(_vectors(10, 3).square() * 1e9, 1e-3).numpy(), [0, 1, 2]).all()
