"""How much the generator and the store's evidence count, fitted to validation cases after training.

Explained in notebook 05. The generator is trained without evidence, or evidence would explain the training clicks away; a
generator is surer of what it has seen than it may be of what it has not, and would drown the evidence. One weight per view,
level and expert (the generator, the evidence) repairs that: a temperature (Guo et al., ICML 2017) for each part of the
product of experts, at the maximum likelihood of the clicks of the validation cases. Before that, the powers of the sources in
their own product are fitted in the same way, over items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F

from gensar_lite.data.dataset import Cases
from gensar_lite.evidence.evidence import Evidence, Weights
from gensar_lite.network import t5
from gensar_lite.network.backbone import T5
from gensar_lite.network.branches import Branches, path_choices
from gensar_lite.network.requests import RequestEncoder
from gensar_lite.network.scorer import Scorer, requests_at_once
from gensar_lite.network.vocabulary import TASK_VIEW, Vocabulary

CASES_AT_ONCE = 256
MAX_CASES = 2_000
FEW_CASES = 500  # are enough for the powers, which are the same at all levels
PULL = 0.01  # weight of the squared distance from 1: what little data says nothing of stays as it was
Level = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@torch.no_grad()
def fit_evidence(
    model: T5,
    vocabulary: Vocabulary,
    requests: RequestEncoder,
    evidence: Evidence,
    cases: Sequence[Cases],
    seed: int = 0,
) -> None:
    """Set the powers (S,) and the weights (L, 2) of each view for every choice among the sources, from the cases of its task; 1
    where there are none."""
    names = list(evidence.sources)
    chosen = [some for size in range(1, len(names) + 1) for some in combinations(names, size)]
    ones = [[1.0, 1.0] for _ in range(vocabulary.num_levels)]
    evidence.weights = {" + ".join(some): dict.fromkeys(vocabulary.tries, ones) for some in chosen}
    evidence.powers = {" + ".join(some): {} for some in chosen}
    for held in cases:
        if not len(held):
            continue
        view, order = TASK_VIEW[held.task], np.random.default_rng(seed).permutation(len(held))
        few = held.take(np.sort(order[:FEW_CASES])).one_each()
        for some in chosen:
            evidence.powers[" + ".join(some)][view] = _fit(*_items(requests, evidence, some, few))
        told = _levels(model, vocabulary, requests, evidence, chosen, held.take(np.sort(order[:MAX_CASES])).one_each())
        for some, levels in zip(chosen, told, strict=True):
            evidence.weights[" + ".join(some)][view] = [_fit(*level) for level in levels]


def fit_balance(
    model: T5, vocabulary: Vocabulary, requests: RequestEncoder, cases: Sequence[Cases], seed: int = 0
) -> Weights:
    """How much the vectors of codes and nodes count (L, 2) in each view and how much those of the items, from the cases of its
    task: what was learned by heart of an identifier is worth less than it seems in training."""
    nothing, found = Evidence([], len(vocabulary.leaf["semantic"])), {}
    for held in cases:
        if len(held):
            rows = np.sort(np.random.default_rng(seed).permutation(len(held))[:MAX_CASES])
            cases_of = held.take(rows).one_each()
            (levels,) = _levels(model, vocabulary, requests, nothing, [()], cases_of, Scorer.own_parts)
            found[TASK_VIEW[held.task]] = [_fit(*level) for level in levels]
    return found


def _levels(
    model: T5,
    vocabulary: Vocabulary,
    requests: RequestEncoder,
    evidence: Evidence,
    chosen: Sequence[tuple[str, ...]],
    cases: Cases,
    parts_of: Callable[..., tuple[torch.Tensor, Branches]] = Scorer.parts,
) -> list[list[Level]]:
    """For each choice of sources and each level: what speaks for all children (P, 3), the last at weight 1, which choice each
    belongs to (P,), the right ones (R,)."""
    view = TASK_VIEW[cases.task]
    found: list[list[list[Level]]] = [[[] for _ in range(vocabulary.num_levels)] for _ in chosen]
    size = requests_at_once(evidence.num_items, CASES_AT_ONCE)
    for first in range(0, len(cases), size):
        chunk = cases.take(slice(first, first + size))
        inputs, question = requests.cases(chunk)
        scorer = Scorer(model, vocabulary, view, inputs)
        start = torch.tensor([vocabulary.pad, vocabulary.behaviour_of(view)]).expand(len(chunk), -1)
        tokens = torch.from_numpy(vocabulary.view_tokens[view][chunk.item])
        written = torch.cat([start, tokens[:, :-1]], dim=1).to(scorer.device)
        vectors = F.embedding(written, model.shared.weight)
        states = t5.decode(model, vectors, scorer.encoded, scorer.inputs.mask)
        choices = path_choices(vocabulary, view, chunk.item)
        for some, levels in zip(chosen, found, strict=True):
            scorer.hear(evidence.ask(question, some, view))
            for level, (rows, nodes) in enumerate(choices):
                parts, branches = parts_of(scorer, level, states[rows, 1 + level], nodes, rows.numpy())
                right = tokens[rows, level].to(scorer.device) - vocabulary.level_slices[view][level][0]
                at = torch.nonzero(branches.code == right[branches.row]).flatten()
                parts = F.pad(parts.float(), (0, 3 - parts.shape[1]))
                levels[level].append((parts, branches.row, at))
    return [[_joined(pieces) for pieces in levels] for levels in found]


def _items(requests: RequestEncoder, evidence: Evidence, names: Sequence[str], cases: Cases) -> Level:
    """As a level whose children are the items that some source names, and all others together as one."""
    key, gains = evidence.gains(requests.cases(cases).question, names)
    row, num = key // evidence.num_items, len(cases)
    others = np.log(np.maximum(evidence.num_items - np.bincount(row, minlength=num), 1))
    parts = np.zeros((len(key) + num, len(names) + 1), np.float32)
    parts[: len(key), :-1], parts[len(key) :, -1] = gains, others
    wanted = np.arange(num) * evidence.num_items + cases.item
    at = np.searchsorted(key, wanted)
    named = np.append(key, -1)[at] == wanted
    right = np.where(named, at, len(key) + np.arange(num))
    return torch.from_numpy(parts), torch.from_numpy(np.append(row, np.arange(num))), torch.from_numpy(right)


def _joined(pieces: list[Level]) -> Level:
    """The pieces of a level one after the other, their choices and children numbered on."""
    num_choices = np.cumsum([0, *(len(at) for _, _, at in pieces)]).tolist()
    num_children = np.cumsum([0, *(len(row) for _, row, _ in pieces)]).tolist()
    return (
        torch.cat([parts for parts, _, _ in pieces]),
        torch.cat([row + more for (_, row, _), more in zip(pieces, num_choices, strict=False)]),
        torch.cat([at + more for (_, _, at), more in zip(pieces, num_children, strict=False)]),
    )


def _fit(parts: torch.Tensor, row: torch.Tensor, right: torch.Tensor) -> list[float]:
    """The weights of all parts but the last at which the right children are most probable among their siblings."""
    weight = torch.ones(parts.shape[1] - 1, device=parts.device, requires_grad=True)
    if not len(right):
        return weight.tolist()
    optimiser = torch.optim.LBFGS([weight], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = parts[:, :-1] @ weight + parts[:, -1]
        top = torch.full((len(right),), -torch.inf, device=parts.device)
        top = top.scatter_reduce(0, row, logits.detach(), "amax")
        mass = torch.zeros_like(top).index_add(0, row, (logits - top[row]).exp())
        loss = (mass.log() + top - logits[right]).mean() + PULL * (weight - 1).square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return [max(float(value), 0.0) for value in weight.detach()]
