"""Vector quantisers: k-means, residual quantisation over spans of a latent vector, balanced assignment.

Every identifier strategy is the same residual quantiser with other *spans*. An item has one latent
vector of D numbers; codebook p quantises the numbers `spans[p] = (start, stop)` of what earlier
codebooks left over. In GenSAR the latent vector is `[z_s ; z_c]`: shared codebooks span all of it,
semantic ones its first half, collaborative ones its second half (arXiv 2504.05730, section 3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch

from gensar_lite.data.storage import DataError

Span = tuple[int, int]

# FAISS's rule of thumb: more rows than this per code do not move the centres of k-means
ROWS_PER_CODE = 256


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside the block.

    The matrices here are small: threads spend their time waiting for one another (ten times slower on
    shared cores), and the order of their sums changes from run to run, which changes identifiers.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def nearest_codes(
    vectors: torch.Tensor, codebook: torch.Tensor, chunk: int = 1 << 14
) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest code of each vector, and how far it is.

    Args: vectors (N, D), codebook (K, D), both float32; `chunk` rows are compared at a time.
    Returns: codes (N,) int64 and squared Euclidean distances (N,).
    """
    half_norms = codebook.square().sum(1) / 2
    codes = torch.empty(len(vectors), dtype=torch.int64, device=vectors.device)
    distances = torch.empty(len(vectors), dtype=vectors.dtype, device=vectors.device)
    for start in range(0, len(vectors), chunk):
        block = vectors[start : start + chunk]
        best = torch.addmm(half_norms, block, codebook.T, alpha=-1).min(1)
        codes[start : start + chunk] = best.indices
        distances[start : start + chunk] = best.values * 2 + block.square().sum(1)
    return codes, distances.clamp_(min=0)


def _rounding(vectors: torch.Tensor) -> torch.Tensor:
    """The squared distance below which a matrix product cannot tell two of the vectors (N, D) apart."""
    return 1e-6 * (vectors.square().sum(1).max() + 1e-30)


def _spread(vectors: torch.Tensor, distances: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw `count` vectors, each with a chance proportional to its squared distance from all before (k-means++).

    `distances` (N,) to the centres that exist already is updated in place.
    Once all vectors lie on a centre (fewer distinct vectors than codes), the rest are drawn uniformly.
    """
    norms = vectors.square().sum(1)
    floor = _rounding(vectors)
    picks = torch.empty(count, dtype=torch.int64, device=vectors.device)
    draws = torch.rand(count, generator=generator, dtype=torch.float64)
    for k, draw in enumerate(draws.tolist()):
        mass = torch.where(distances > floor, distances, 0).double().cumsum(0)
        if not mass[-1] > 0:
            picks[k:] = (draws[k:] * len(vectors)).long()
            break
        pick = torch.searchsorted(mass, mass[-1] * draw, right=True).clamp_(max=len(vectors) - 1)
        picks[k] = pick
        centre = vectors[pick]
        torch.minimum(distances, (norms - 2 * (vectors @ centre) + norms[pick]).clamp_(min=0), out=distances)
    return vectors[picks]


def kmeans(
    vectors: torch.Tensor,
    num_codes: int,
    seed: int = 0,
    iterations: int = 25,
    start: torch.Tensor | None = None,
) -> torch.Tensor:
    """Centres of k-means: k-means++ start, Lloyd's iterations, empty clusters drawn again.

    Every centre is the nearest of at least one vector wherever there are `num_codes` distinct vectors.
    At most 256 rows per code are looked at, drawn without replacement.

    Args: vectors (N, D) float32; `start` (K, D) continues from given centres.
    Returns: centres (K, D) float32.
    Source: Lloyd 1982; Arthur and Vassilvitskii 2007.
    """
    generator = torch.Generator().manual_seed(seed)
    if len(vectors) > ROWS_PER_CODE * num_codes:
        rows = torch.randperm(len(vectors), generator=generator)[: ROWS_PER_CODE * num_codes]
        vectors = vectors[rows.to(vectors.device)]
    # distances by matrix product lose digits far from the origin
    shift = vectors.mean(0)
    vectors = vectors - shift
    if start is None:
        centres = (
            _spread(vectors, torch.ones(len(vectors), device=vectors.device), num_codes, generator)
            if len(vectors)
            else None
        )
        if centres is None:
            raise ValueError("k-means needs at least one vector")
    else:
        centres = start - shift
    before, floor = float("inf"), _rounding(vectors)
    for step in range(iterations + 10):
        codes, distances = nearest_codes(vectors, centres)
        counts = torch.bincount(codes, minlength=num_codes)
        empty = torch.nonzero(counts == 0)[:, 0]
        after = float(distances.double().sum())
        settled = step >= iterations or after >= before * (1 - 1e-4)
        if settled and (not len(empty) or not bool((distances > floor).any())):  # nothing to draw empty ones from
            break
        before = after
        if not settled:
            sums = torch.zeros_like(centres).index_add_(0, codes, vectors)
            centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
        if len(empty):
            centres[empty] = _spread(vectors, distances, len(empty), generator)
    return centres + shift


def fit_codebooks(
    latents: torch.Tensor,
    spans: Sequence[Span],
    sizes: Sequence[int],
    seed: int = 0,
    iterations: int = 25,
    start: Sequence[torch.Tensor] | None = None,
) -> list[torch.Tensor]:
    """Residual k-means: each codebook is fitted to what the ones before it left of its span.

    Args: latents (N, D); spans and sizes of the P codebooks, in the order in which they quantise.
    Returns: P codebooks, (sizes[p], stop - start) each.
    """
    residual = latents.clone()
    codebooks = []
    for p, ((a, b), size) in enumerate(zip(spans, sizes, strict=True)):
        part = residual[:, a:b]
        codebook = kmeans(part.contiguous(), size, seed + p, iterations, None if start is None else start[p])
        part -= codebook[nearest_codes(part, codebook)[0]]
        if bool(part.square().sum(1).max() <= _rounding(latents[:, a:b])):  # every item has a code of its own by now
            part.zero_()
        codebooks.append(codebook)
    return codebooks


def fit_faiss_codebooks(
    latents: torch.Tensor, spans: Sequence[Span], sizes: Sequence[int], seed: int = 0
) -> list[torch.Tensor]:
    """The same as `fit_codebooks` by the residual quantiser of faiss: an outside reference.

    Codebooks that follow each other on one span are trained together, as faiss does it. Sizes must be powers of two.
    Raises: DataError without faiss, for other sizes, and for fewer items than codes.
    """
    try:
        import faiss
    except ImportError as error:
        raise DataError('the quantiser "faiss" needs faiss: pip install "gensar_lite[faiss]"') from error
    if any(size & (size - 1) for size in sizes) or max(sizes) > len(latents):
        raise DataError(
            f"faiss wants codebooks whose sizes are powers of two and at most the number of items ({len(latents)}), not {max(sizes)}"
        )
    residual = latents.clone()
    codebooks: list[torch.Tensor] = []
    for ((a, b), size), group in groupby(zip(spans, sizes, strict=True)):
        quantiser = faiss.ResidualQuantizer(b - a, len(list(group)), int(size).bit_length() - 1)
        quantiser.verbose, quantiser.cp.seed = False, seed + 1
        quantiser.cp.min_points_per_centroid = 1  # small catalogues are meant: no warning for each codebook
        quantiser.train(residual[:, a:b].numpy(force=True).copy())
        found = torch.from_numpy(faiss.vector_to_array(quantiser.codebooks).reshape(-1, size, b - a).copy())
        codebooks += list(found)
        for codebook in found:
            residual[:, a:b] -= codebook[nearest_codes(residual[:, a:b].contiguous(), codebook)[0]]
    return codebooks


def encode(latents: torch.Tensor, spans: Sequence[Span], codebooks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Greedy residual quantisation: the nearest code of every codebook in turn.

    Args: latents (N, D). Returns: codes (N, P) int64; duplicates are possible (see `assignment`).
    """
    residual = latents.clone()
    codes = torch.empty((len(latents), len(codebooks)), dtype=torch.int64, device=latents.device)
    for p, ((a, b), codebook) in enumerate(zip(spans, codebooks, strict=True)):
        part = residual[:, a:b]
        codes[:, p] = nearest_codes(part, codebook)[0]
        part -= codebook[codes[:, p]]
    return codes


def decode(codes: torch.Tensor, spans: Sequence[Span], codebooks: Sequence[torch.Tensor], dim: int) -> torch.Tensor:
    """Latent vectors of codes: the sum of the code vectors, each on its span. codes (N, P) -> (N, D)."""
    latents = torch.zeros((len(codes), dim), device=codes.device)
    for p, ((a, b), codebook) in enumerate(zip(spans, codebooks, strict=True)):
        latents[:, a:b] += codebook[codes[:, p]]
    return latents


def balanced_codes(distances: torch.Tensor, epsilon: float = 0.003, iterations: int = 50) -> torch.Tensor:
    """Codes that use the codebook evenly: entropic optimal transport between a batch and its codes.

    Distances are centred and scaled to [-1, 1] first, which gives epsilon a meaning of its own.
    Sinkhorn's iterations run in float64 on a kernel whose rows have a maximum of 1: at epsilon 0.003
    its smallest entry is 1e-290, so nothing under- or overflows and no logarithms are needed.

    Args: distances (B, K) squared distances. Returns: codes (B,) int64, about B / K of each.
    Source: Cuturi 2013; used at the last level in arXiv 2311.09049, section 3.1.2.
    """
    nearest = distances.min(1, keepdim=True).values.double()
    scale = ((distances.max() - distances.min()) / 2).double().clamp(min=1e-12)
    kernel = torch.exp((nearest - distances) / (scale * epsilon))
    # both sides must carry the same mass, or the scalings drift out of range
    share = kernel.shape[0] / kernel.shape[1]
    per_code = torch.ones(kernel.shape[1], dtype=torch.float64, device=kernel.device)
    for _ in range(iterations):
        per_item = 1 / (kernel @ per_code).clamp(min=1e-300)
        per_code = share / (per_item @ kernel).clamp(min=1e-300)
    return (kernel * per_code).argmax(1)
