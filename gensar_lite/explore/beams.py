"""A beam search drawn as a tree: what was looked at on every level, what survived, what was lost.

Explained in notebook 06. The probability of a prefix is the sum of the probabilities of the items below it. So one
list of exact item scores says everything about a beam search over them, with any number of beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from scipy.special import logsumexp

from gensar_lite.explore.style import FAINT, INK, MUTED, ROLES, new_axes, role_of, shorten, style, text_colour


class BeamLevel(NamedTuple):
    """What a beam search looks at on one level, best first: `prefixes` (n, l), their `logprobs` (n,), the row of their
    `parent` among the kept ones of the level above (n,), and whether each was `kept` (n,)."""

    prefixes: np.ndarray
    logprobs: np.ndarray
    parent: np.ndarray
    kept: np.ndarray


def trace_beams(codes: np.ndarray, logprobs: np.ndarray, num_beams: int) -> list[BeamLevel]:
    """The levels of a beam search over identifiers `codes` (N, L) with item log-probabilities `logprobs` (N,).

    Equals the beam search of a model whose probabilities of all items sum to one (softmax "trie").
    """
    if num_beams < 1:
        raise ValueError(f"beam search needs at least one beam, not {num_beams}")
    codes, logprobs = np.asarray(codes), np.asarray(logprobs, np.float64)
    beams = np.zeros((1, 0), codes.dtype)
    levels = []
    for depth in range(1, codes.shape[1] + 1):
        prefixes, group = np.unique(codes[:, :depth], axis=0, return_inverse=True)
        parent = np.full(len(prefixes), -1)
        for row, beam in enumerate(beams):
            parent[(prefixes[:, : depth - 1] == beam).all(axis=1)] = row
        seen = np.flatnonzero(parent >= 0)
        total = np.array([logsumexp(logprobs[group.ravel() == node]) for node in seen])
        order = np.argsort(-total, kind="stable")
        kept = np.arange(len(order)) < num_beams
        levels.append(BeamLevel(prefixes[seen[order]], total[order], parent[seen[order]], kept))
        beams = prefixes[seen[order[:num_beams]]]
    return levels


def plot_beam_tree(
    codes: np.ndarray,
    logprobs: np.ndarray,
    titles: Sequence[str],
    names: Sequence[str],
    num_beams: int = 4,
    num_lost: int = 2,
    ax: Axes | None = None,
) -> Axes:
    """Draw a beam search: a column for each level, filled boxes for the beams, outlined ones for the best of what was lost.

    `codes` (N, L), `logprobs` (N,) and `titles` (N,) of all items, `names` (L,) of the codebooks ("m1"). A box tells
    the code and the probability of the prefix that ends with it; the titles of the found items stand at the right.
    """
    levels = trace_beams(codes, logprobs, num_beams)
    shown = [np.flatnonzero(np.cumsum(~level.kept) <= num_lost) for level in levels]
    shown = [rows[: int(level.kept.sum()) + num_lost] for rows, level in zip(shown, levels, strict=True)]
    height = max(map(len, shown))
    with style():
        ax = new_axes(ax, 2.3 * len(levels) + 4.0, 0.52 * height + 1.4)
        above = [(0.0, height / 2 - 0.5)]
        for depth, (level, rows) in enumerate(zip(levels, shown, strict=True), start=1):
            colour = ROLES[role_of(names[depth - 1])]
            spots = []
            for place, row in enumerate(rows):
                kept = bool(level.kept[row])
                at = (float(depth), place + (0 if kept else 0.25))
                spots.append(at)
                start = above[int(level.parent[row])]
                width = 0.8 + 4.2 * float(np.exp(level.logprobs[row]))
                ax.plot(
                    [start[0] + (0.32 if depth > 1 else 0.1), at[0] - 0.32],
                    [start[1], at[1]],
                    color=MUTED if kept else FAINT,
                    linewidth=width,
                    linestyle="-" if kept else (0, (2, 2)),
                    solid_capstyle="round",
                    zorder=1,
                )
                _box(ax, at, f"<{names[depth - 1]}_{level.prefixes[row, -1]}>", level.logprobs[row], colour, kept)
            above = [spot for spot, row in zip(spots, rows, strict=True) if level.kept[row]]
        number = {tuple(row): item for item, row in enumerate(np.asarray(codes).tolist())}
        for place, row in enumerate(rows):
            kept = bool(level.kept[row])
            title = shorten(titles[number[tuple(level.prefixes[row].tolist())]], 46)
            ax.text(
                depth + 0.4,
                place + (0 if kept else 0.25),
                title if kept else f"(lost) {title}",
                va="center",
                fontsize=8.5,
                color=INK if kept else MUTED,
            )
        ax.text(0, height / 2 - 0.5, "start", ha="center", va="center", fontsize=8.5)
        ax.set(xlim=(-0.3, depth + 2.6), ylim=(height - 0.1, -0.6), yticks=[])
        ax.set_xticks(
            range(1, depth + 1), [f"level {level} · {name} ({role_of(name)})" for level, name in enumerate(names, 1)]
        )
        ax.tick_params(length=0, labelsize=8.5)
        ax.set(xlabel="levels of the identifier; in each box: code, probability of the prefix", ylabel="best first")
        ax.set_title(f"A beam search with {num_beams} beams: filled boxes go on, outlined ones are dropped")
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
    return ax


def _box(ax: Axes, at: tuple[float, float], code: str, logprob: float, colour: str, kept: bool) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (at[0] - 0.3, at[1] - 0.28),
            0.6,
            0.56,
            boxstyle="round,pad=0.0,rounding_size=0.06",
            facecolor=colour if kept else "white",
            edgecolor=colour if kept else MUTED,
            linestyle="-" if kept else (0, (2, 2)),
            linewidth=1,
            zorder=2,
        )
    )
    ax.text(
        *at,
        f"{code}\n{np.exp(logprob):.1%}",
        ha="center",
        va="center",
        fontsize=8,
        color=text_colour(colour) if kept else MUTED,
        zorder=3,
    )
