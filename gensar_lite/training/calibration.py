"""How much the model's own logits and each source of evidence count, fitted to validation cases.

Explained in notebook 05. In training a model is surer of what it has seen than it may be of what it has not, and would drown the
evidence. One factor per view, level and expert (the model, then each source) repairs that: a temperature (Guo et al., ICML
2017) for each part of the product of experts, at the maximum likelihood of the clicks of the validation cases.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import T5ForConditionalGeneration

from gensar_lite.data.dataset import Cases
from gensar_lite.network import t5
from gensar_lite.network.branches import branch_parts, path_choices
from gensar_lite.network.requests import RequestEncoder
from gensar_lite.network.vocabulary import TASK_VIEW, Vocabulary

CASES_AT_ONCE = 256
MAX_CASES = 2_000
PULL = 0.01  # weight of the squared distance from 1: what little data says nothing of stays as it was


@torch.no_grad()
def calibrate(
    backbone: T5ForConditionalGeneration,
    vocabulary: Vocabulary,
    asker: RequestEncoder,
    cases: list[Cases],
    seed: int = 0,
) -> dict[str, list[list[float]]]:
    """The strengths (L, 1 + S) of each view, from its cases; 1 where there are none. They are also set in the model."""
    ones = [[1.0] * (1 + len(asker.evidence.sources)) for _ in range(vocabulary.num_levels)]
    backbone.config.strengths = dict.fromkeys(vocabulary.tries, ones)
    for some in cases:
        if len(some):
            rows = np.sort(np.random.default_rng(seed).permutation(len(some))[:MAX_CASES])
            view = TASK_VIEW[some.task]
            levels = _parts(backbone, vocabulary, asker, some.take(rows).one_each(), view)
            backbone.config.strengths[view] = [_fit(*level) for level in levels]
    return backbone.config.strengths


def _parts(
    backbone: T5ForConditionalGeneration, vocabulary: Vocabulary, asker: RequestEncoder, cases: Cases, view: str
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Per level: the parts of the logits (P, 1 + S) of all children, which choice each belongs to (P,), the right ones (R,)."""
    found: list[list[tuple[torch.Tensor, ...]]] = [[] for _ in range(vocabulary.num_levels)]
    for first in range(0, len(cases), CASES_AT_ONCE):
        chunk = cases.take(slice(first, first + CASES_AT_ONCE))
        inputs = asker.cases(chunk).to(backbone.device)
        start = torch.tensor([vocabulary.pad, vocabulary.behaviour_of(view)]).expand(len(chunk), -1)
        tokens = torch.from_numpy(vocabulary.view_tokens[view][chunk.item])
        written = torch.cat([start, tokens[:, :-1]], dim=1).to(backbone.device)
        vectors = F.embedding(written, backbone.shared.weight)
        states = t5.decode(backbone, vectors, t5.encode(backbone, inputs), inputs.mask)
        choices = path_choices(vocabulary, view, chunk.item, inputs.evidence)
        for level, (rows, branches) in enumerate(choices):
            begin, end = vocabulary.level_slices[view][level]
            branches = branches.to(states.device)
            table = backbone.shared.weight
            own = F.embedding(branches.token, table)
            parts = branch_parts(states[rows, 1 + level], table[begin:end], branches, own, table[vocabulary.gates])
            right = tokens[rows, level].to(states.device) - begin
            at = torch.nonzero(branches.code == right[branches.row]).flatten()
            found[level].append((parts.float(), branches.row, at))
    levels = []
    for pieces in found:
        num_choices = np.cumsum([0, *(len(at) for _, _, at in pieces)]).tolist()
        num_children = np.cumsum([0, *(len(row) for _, row, _ in pieces)]).tolist()
        levels.append(
            (
                torch.cat([parts for parts, _, _ in pieces]),
                torch.cat([row + more for (_, row, _), more in zip(pieces, num_choices, strict=False)]),
                torch.cat([at + more for (_, _, at), more in zip(pieces, num_children, strict=False)]),
            )
        )
    return levels


def _fit(parts: torch.Tensor, row: torch.Tensor, right: torch.Tensor) -> list[float]:
    """The strengths (1 + S,) at which the right children are most probable among their siblings."""
    strength = torch.ones(parts.shape[1], device=parts.device, requires_grad=True)
    if not len(right):
        return strength.tolist()
    optimiser = torch.optim.LBFGS([strength], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = parts @ strength
        top = torch.full((len(right),), -torch.inf, device=parts.device)
        top = top.scatter_reduce(0, row, logits.detach(), "amax")
        mass = torch.zeros_like(top).index_add(0, row, (logits - top[row]).exp())
        loss = (mass.log() + top - logits[right]).mean() + PULL * (strength - 1).square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return [max(float(value), 0.0) for value in strength.detach()]
