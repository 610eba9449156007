"""Ways of naming items: GenSAR's dual identifiers and the alternatives they are compared with.

A strategy says how many codebooks of which kind make up each view, all with the same budget of L codes
of K each. "Shared" codebooks (m) quantise both signals at once, "semantic" (s), "collaborative" (c) and "joint" (b)
ones a single signal. Everything else (training, unique assignment, new items) is common to all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.assignment import Layout
from gensar_lite.identifiers.table import VIEWS
from gensar_lite.signals.signals import Signals
from gensar_lite.signals.text import normalise

SIGNALS = {"s": "semantic", "c": "collaborative", "b": "joint"}
KINDS = "mscbr"

# (num_shared, num_specific) -> codebook names of each view
Strategy = Callable[[int, int], dict[str, list[str]]]
_STRATEGIES: dict[str, Strategy] = {}


def register_strategy(name: str) -> Callable[[Strategy], Strategy]:
    """Make a strategy known by name: a function of (num_shared, num_specific) to the codebook names of each view.

    Names start with m (both signals), s (semantic), c (collaborative), b (the space of a bi-encoder for both tasks) or r
    (no signal); views may share their first codebooks.
    """

    def register(strategy: Strategy) -> Strategy:
        _STRATEGIES[name] = strategy
        return strategy

    return register


def list_strategies() -> list[str]:
    """All names `learn_identifiers` knows."""
    return list(_STRATEGIES)


def codebooks_of(strategy: str, num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """The codebook names of each view."""
    return _STRATEGIES[strategy](num_shared, num_specific)


def _books(kind: str, count: int) -> list[str]:
    return [f"{kind}{level}" for level in range(1, count + 1)]


@register_strategy("gensar")
def gensar(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Shared codes, then codes of the view's own signal (arXiv 2504.05730, section 3.2)."""
    shared = _books("m", num_shared)
    return {"semantic": shared + _books("s", num_specific), "collaborative": shared + _books("c", num_specific)}


@register_strategy("semantic")
def semantic(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """One identifier from the semantic signal alone (TIGER, arXiv 2305.05065)."""
    return dict.fromkeys(VIEWS, _books("s", num_shared + num_specific))


@register_strategy("collaborative")
def collaborative(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """One identifier from the collaborative signal alone."""
    return dict.fromkeys(VIEWS, _books("c", num_shared + num_specific))


@register_strategy("fused")
def fused(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """One identifier from both signals at once (arXiv 2508.10478, fused embeddings)."""
    return dict.fromkeys(VIEWS, _books("m", num_shared + num_specific))


@register_strategy("unshared")
def unshared(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Two separate identifiers, one per signal (arXiv 2508.10478, separate identifiers)."""
    return {"semantic": _books("s", num_shared + num_specific), "collaborative": _books("c", num_shared + num_specific)}


@register_strategy("bi-encoder")
def bi_encoder(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """One identifier from a space fine-tuned on both tasks (arXiv 2508.10478; see `identifiers.biencoder`)."""
    return dict.fromkeys(VIEWS, _books("b", num_shared + num_specific))


@register_strategy("collaborative-prefix")
def collaborative_prefix(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Asymmetric sharing: the collaborative identifier; search takes its first code and goes on with semantic ones."""
    length = num_shared + num_specific
    return {"semantic": ["c1", *_books("s", length - 1)], "collaborative": _books("c", length)}


@register_strategy("semantic-prefix")
def semantic_prefix(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Asymmetric sharing: the semantic identifier; recommendation takes its first code and goes on with collaborative ones."""
    length = num_shared + num_specific
    return {"semantic": _books("s", length), "collaborative": ["s1", *_books("c", length - 1)]}


@register_strategy("asymmetric")
def asymmetric(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """The semantic or the collaborative prefix, whichever signal recommends better on validation cases (`resolve`)."""
    return collaborative_prefix(num_shared, num_specific)


@register_strategy("random")
def random(num_shared: int, num_specific: int) -> dict[str, list[str]]:
    """Identifiers that say nothing: the floor."""
    return dict.fromkeys(VIEWS, _books("r", num_shared + num_specific))


def resolve(strategy: str, data: Dataset, signals: Signals) -> str:
    """The strategy that is meant: for "asymmetric", the prefix of the signal that recommends better on validation cases."""
    if strategy != "asymmetric":
        return strategy
    quality = {view: recommendation_quality(data, getattr(signals, view)) for view in VIEWS}
    return f"{max(VIEWS, key=lambda view: quality[view])}-prefix"


def recommendation_quality(data: Dataset, vectors: np.ndarray, num_cases: int = 2_000, num_clicks: int = 10) -> float:
    """NDCG@10 (`uniform99`) on validation cases of ranking by cosine with the mean of the latest clicks' vectors (N, D)."""
    cases = data.cases("recommendation", "fit")
    cases = cases.take(np.sort(np.random.default_rng(0).permutation(len(cases))[:num_cases])).one_each()
    if not len(cases):
        return 0.0
    centred = normalise(vectors - vectors.mean(0))
    start = np.maximum(cases.start, cases.stop - num_clicks)
    row = np.repeat(np.arange(len(cases)), cases.stop - start)
    event = np.arange(len(row)) - np.repeat(np.cumsum(cases.stop - start) - cases.stop, cases.stop - start)
    item = data.log.item[event]
    taken = np.zeros((len(cases), centred.shape[1]), np.float32)
    np.add.at(taken, row[item >= 0], centred[item[item >= 0]])
    offered = np.column_stack([cases.item, cases.candidates["uniform99"]])
    scores = np.einsum("cd,cnd->cn", taken, centred[offered])
    above = (scores[:, 1:] > scores[:, :1]).sum(1) + (scores[:, 1:] == scores[:, :1]).sum(1) / 2
    return float(np.where(above < 10, 1 / np.log2(2 + above), 0).mean())


def plan(views: dict[str, list[str]], widths: dict[str, int], num_codes: int) -> tuple[Layout, list[str]]:
    """Lay the codebooks over the latent vector. `widths`: latent numbers per signal.

    Returns: the layout and the signals that it uses, in the order of their spans.
    """
    given = views["semantic"] + views["collaborative"]
    if strange := [name for name in given if name[:1] not in KINDS or not name[1:].isdigit()]:
        raise DataError(
            f"a codebook is named by one of the letters {', '.join(KINDS)} and a number, not {strange[0]!r}; repair the strategy"
        )
    for place, (first, second) in enumerate(zip(views["semantic"], views["collaborative"], strict=False)):
        shared = set(views["semantic"]) & set(views["collaborative"])
        if {first, second} & shared and views["semantic"][: place + 1] != views["collaborative"][: place + 1]:
            raise DataError(
                f"codebooks that both views share must come first in both, in one order; {first!r} and {second!r} stand at place {place + 1}: identifiers could not all be unique"
            )
    names = sorted(
        dict.fromkeys(given),
        key=lambda name: (KINDS.index(name[0]), int(name[1:])),
    )
    kinds = {name[0] for name in names}
    signals = [signal for kind, signal in SIGNALS.items() if kind in kinds or ("m" in kinds and kind in "sc")]
    spans, start = {}, 0
    for signal in signals:
        spans[signal] = (start, start + widths[signal])
        start += widths[signal]
    span_of = {"m": (0, start), "r": (0, 0)} | {
        kind: spans[signal] for kind, signal in SIGNALS.items() if signal in spans
    }
    number = {name: p for p, name in enumerate(names)}
    layout = Layout(
        names=tuple(names),
        sizes=(num_codes,) * len(names),
        spans=tuple(span_of[name[0]] for name in names),
        views={view: tuple(number[name] for name in views[view]) for view in VIEWS},
    )
    return layout, signals
