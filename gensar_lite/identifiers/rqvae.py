"""The joint residual-quantised auto-encoder (RQ-VAE) of GenSAR, for any number of signals and any spans.

One encoder and one decoder per signal, one latent vector, codebooks over spans of it. With two signals
and codebooks shared, semantic, collaborative it is the model of arXiv 2504.05730, section 3.2; with one
signal it is the RQ-VAE of TIGER (arXiv 2305.05065); without shared codebooks it is two of them side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss
from tqdm import tqdm

from gensar_lite.identifiers.quantise import Span, balanced_codes, decode, encode, fit_codebooks


@dataclass(frozen=True)
class RQVAEConfig:
    """Sizes and training of the RQ-VAE.

    The paper: hidden (512, 256, 128, 64), lr 1e-3, 500 epochs. A smaller network and a larger step
    reach the same reconstruction in a tenth of the steps.
    """

    latent_dim: int = 32  # numbers per signal
    hidden: tuple[int, ...] = (256, 128)  # widths between input and latent vector; mirrored in the decoder
    commitment: float = 0.25  # alpha: weight of the pull of latents towards their codes
    lr: float = 5e-3  # at the start; falls to zero along a cosine
    weight_decay: float = 1e-5
    clip: float = 1.0  # gradient norm
    batch_size: int = 1024
    warmup_steps: int = 100  # plain auto-encoder, before the codebooks are set by k-means
    max_steps: int = 300  # of joint training; at least two passes over the items
    epochs: int | None = None  # given, joint training takes so many passes, whatever `max_steps` and `patience` say
    patience: int = 10  # epochs (of at least two steps) without `tolerance` relative gain in reconstruction
    tolerance: float = 1e-3
    balance: bool = True  # Sinkhorn at the last codebook of each signal's own
    sinkhorn_epsilon: float = 0.003
    sinkhorn_iterations: int = 50


def _mlp(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(sizes):
        layers += [nn.Linear(width_in, width_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class RQVAE(nn.Module):
    """Encoders, decoders and codebooks of one or more signals.

    Args: `widths` of the signals; `spans` and `sizes` of the P codebooks over the latent vector of
    D = latent_dim * number of signals; `balanced` codebooks get Sinkhorn assignment in training.
    """

    def __init__(
        self,
        widths: Sequence[int],
        spans: Sequence[Span],
        sizes: Sequence[int],
        config: RQVAEConfig,
        balanced: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.config, self.spans, self.balanced = config, list(spans), set(balanced) if config.balance else set()
        d = config.latent_dim
        self.encoders = nn.ModuleList(_mlp([w, *config.hidden, d]) for w in widths)
        self.decoders = nn.ModuleList(_mlp([d, *reversed(config.hidden), w]) for w in widths)
        self.codebooks = nn.ParameterList(
            nn.Parameter(torch.zeros(k, b - a)) for (a, b), k in zip(spans, sizes, strict=True)
        )

    def encode(self, signals: Sequence[torch.Tensor]) -> torch.Tensor:
        """Signals, each (B, width) -> latent vectors (B, D)."""
        return torch.cat([encoder(x) for encoder, x in zip(self.encoders, signals, strict=True)], 1)

    def reconstruction_loss(self, latents: torch.Tensor, signals: Sequence[torch.Tensor]) -> torch.Tensor:
        """Sum over signals of the mean squared error of their decoders."""
        parts = latents.split(self.config.latent_dim, 1)
        return torch.stack(
            [mse_loss(decoder(z), x) for decoder, z, x in zip(self.decoders, parts, signals, strict=True)]
        ).sum()

    def quantise(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Residual quantisation with straight-through gradients.

        Args: latents (B, D). Returns: codes (B, P), quantised latents (B, D), and the mean over
        codebooks of codebook loss + commitment * commitment loss.
        """
        codes, losses = [], []
        quantised = torch.zeros_like(latents)
        for p, ((a, b), codebook) in enumerate(zip(self.spans, self.codebooks, strict=True)):
            residual = latents[:, a:b] - quantised[:, a:b]
            with torch.no_grad():
                distances = (
                    codebook.square().sum(1) - 2 * residual @ codebook.T + residual.square().sum(1, keepdim=True)
                )
                if p in self.balanced and self.training:
                    chosen = balanced_codes(distances, self.config.sinkhorn_epsilon, self.config.sinkhorn_iterations)
                else:
                    chosen = distances.argmin(1)
            vectors = codebook[chosen]
            losses.append(
                mse_loss(vectors, residual.detach()) + self.config.commitment * mse_loss(residual, vectors.detach())
            )
            quantised = torch.cat([quantised[:, :a], quantised[:, a:b] + vectors.detach(), quantised[:, b:]], 1)
            codes.append(chosen)
        straight_through = latents + (quantised - latents).detach()
        return torch.stack(codes, 1), straight_through, torch.stack(losses).mean()

    @torch.no_grad()
    def encode_all(self, signals: Sequence[torch.Tensor], chunk: int = 1 << 14) -> torch.Tensor:
        """Latent vectors (N, D) of whole tables."""
        return torch.cat([self.encode([x[i : i + chunk] for x in signals]) for i in range(0, len(signals[0]), chunk)])

    @torch.no_grad()
    def error_of(self, latents: torch.Tensor, signals: Sequence[torch.Tensor], chunk: int = 1 << 14) -> list[float]:
        """Mean squared error per signal when decoded from `latents` (N, D)."""
        totals = [0.0] * len(signals)
        for i in range(0, len(latents), chunk):
            parts = latents[i : i + chunk].split(self.config.latent_dim, 1)
            for s, (decoder, z) in enumerate(zip(self.decoders, parts, strict=True)):
                totals[s] += float((decoder(z) - signals[s][i : i + chunk]).square().mean(1).sum())
        return [total / len(latents) for total in totals]


def train_rqvae(
    signals: Sequence[np.ndarray],
    spans: Sequence[Span],
    sizes: Sequence[int],
    config: RQVAEConfig | None = None,
    balanced: Sequence[int] = (),
    seed: int = 0,
    device: torch.device | str = "cpu",
    watch: Callable[[RQVAE, int, bool], None] | None = None,
) -> RQVAE:
    """Train the RQ-VAE: auto-encoder warm-up, k-means of all latents level by level, joint training.

    The codebooks are settled at the end by a few more Lloyd iterations over all items with the encoders
    fixed, which leaves no code unused.

    Args: signals (N, width) each, already standardised; `watch` is called after every epoch, and at the end, with the model, the
    steps so far, and whether the codebooks are set. Returns: the model, in evaluation mode.
    """
    config = config or RQVAEConfig()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RQVAE([x.shape[1] for x in signals], spans, sizes, config, balanced).to(device)
    tables = [torch.as_tensor(np.ascontiguousarray(x, dtype=np.float32), device=device) for x in signals]
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    num_items = len(tables[0])
    per_epoch = math.ceil(num_items / config.batch_size)
    max_steps = config.epochs * per_epoch if config.epochs else max(config.max_steps, 2 * per_epoch)
    patience = math.inf if config.epochs else config.patience * (2 if per_epoch == 1 else 1)
    usable = [0] * len(sizes)  # codes that k-means found items for: a small catalogue leaves some without

    def epoch(limit: int, quantised: bool) -> tuple[float, int]:
        """One pass over the items (at most `limit` steps); gives the mean loss and how many codes went out of use."""
        order = torch.randperm(num_items, generator=generator).to(device)
        total, seen = 0.0, 0
        counts = [torch.zeros(k, device=device) for k in sizes]
        for rows in order.split(config.batch_size)[:limit]:
            batch = [x[rows] for x in tables]
            latents = model.encode(batch)
            extra = torch.zeros((), device=device)
            if quantised:
                codes, latents, extra = model.quantise(latents)
                for p, count in enumerate(counts):
                    count += torch.bincount(codes[:, p], minlength=len(count))
            loss = model.reconstruction_loss(latents, batch)
            optimiser.zero_grad(set_to_none=True)
            (loss + extra).backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
            seen += len(rows)
        lost = sum(max(0, most - int((count > 0).sum())) for most, count in zip(usable, counts, strict=True))
        return total / seen, lost if quantised else 0

    def set_codebooks(start: bool, iterations: int) -> None:
        latents = model.encode_all(tables)
        fitted = fit_codebooks(
            latents, spans, sizes, seed, iterations, [c.data for c in model.codebooks] if start else None
        )
        codes = encode(latents, spans, fitted)
        for p, (codebook, values) in enumerate(zip(model.codebooks, fitted, strict=True)):
            codebook.data.copy_(values)
            usable[p] = len(codes[:, p].unique())

    def cosine(step: int) -> float:
        done = min(step / (config.warmup_steps + max_steps), 1)
        return (1 + math.cos(math.pi * done)) / 2

    def tell(step: int, quantised: bool) -> None:
        if watch is not None:
            watch(model, step, quantised)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, cosine)
    steps = 0
    tell(0, False)
    with tqdm(total=config.warmup_steps, desc="auto-encoder", unit="step", disable=None) as bar:
        while steps < config.warmup_steps:
            limit = min(per_epoch, config.warmup_steps - steps)
            loss, _ = epoch(limit, quantised=False)
            steps += limit
            bar.update(limit)
            bar.set_postfix(loss=f"{loss:.4f}")
            tell(steps, False)
    set_codebooks(start=False, iterations=25)
    tell(steps, True)
    before = steps
    best, waited, steps = float("inf"), 0, 0
    with tqdm(total=max_steps, desc="RQ-VAE", unit="step", disable=None) as bar:
        while steps < max_steps and waited < patience:
            limit = min(per_epoch, max_steps - steps)
            loss, lost = epoch(limit, quantised=True)
            steps += limit
            bar.update(limit)
            bar.set_postfix(loss=f"{loss:.4f}")
            waited = 0 if loss < best * (1 - config.tolerance) else waited + 1
            best = min(best, loss)
            if limit == per_epoch and lost and steps < max_steps:
                set_codebooks(start=True, iterations=1)
            tell(before + steps, True)
    set_codebooks(start=True, iterations=10)
    tell(before + steps, True)
    return model.eval()


@torch.no_grad()
def reconstruction_error(model: RQVAE, signals: Sequence[np.ndarray]) -> list[float]:
    """Mean squared error of each signal (N, width) after encoding, quantising and decoding."""
    device = model.codebooks[0].device
    tables = [torch.as_tensor(np.ascontiguousarray(x, dtype=np.float32), device=device) for x in signals]
    latents = model.encode_all(tables)
    codebooks = [c.data for c in model.codebooks]
    return model.error_of(
        decode(encode(latents, model.spans, codebooks), model.spans, codebooks, latents.shape[1]), tables
    )
