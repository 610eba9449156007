"""The exact place of an item in the whole catalogue, without scoring the whole catalogue.

Explained in notebook 06. Log-probabilities only fall along an identifier, so a prefix that is less probable than the whole
identifier of the target can hold no item above it: branch and bound. The better the model, the less is left.
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import T5ForConditionalGeneration

from gensar_lite.decoding.beam import best_children
from gensar_lite.decoding.scoring import score_items
from gensar_lite.decoding.tree import TreeDecoder, descend
from gensar_lite.decoding.trie import IdentifierTrie
from gensar_lite.training import t5
from gensar_lite.training.inputs import Inputs
from gensar_lite.training.vocabulary import Vocabulary

SLACK = 1e-3  # the bound comes from another pass, whose last bits may differ
CELLS_AT_ONCE = 2_000_000  # attention cells (cases x nodes x nodes) of one pass


@torch.inference_mode()
def count_above(
    model: T5ForConditionalGeneration,
    vocabulary: Vocabulary,
    inputs: Inputs,
    trie: IdentifierTrie,
    view: str,
    target: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Of B cases with targets (B,), how many items of the trie score higher than the target (B,), and how many the same (B,).

    For scores of softmax "codebook"; the target itself is not counted. None where so many prefixes are left that fewer
    cases must be asked at once.
    """
    inputs = inputs.to(model.shared.weight.device)
    bound = (
        torch.from_numpy(score_items(model, vocabulary, inputs, view, target[:, None])[:, 0]).to(inputs.mask.device)
        - SLACK
    )
    leaf = np.empty(int(trie.items.max()) + 1, np.int64)
    leaf[trie.items] = np.arange(len(trie.items))
    num = len(target)
    decoder = TreeDecoder(model, inputs, 2 + trie.num_levels)
    start = torch.tensor([[vocabulary.pad, vocabulary.behaviour_of(view)]], device=inputs.mask.device).expand(num, -1)
    states = decoder.extend(start, torch.tensor([[[0, -1], [1, 0]]], device=start.device))[:, 1:]
    distance = torch.tensor([[[1, 0]]], device=start.device).expand(num, -1, -1)
    scores, nodes = states.new_zeros(num, 1), torch.zeros(num, 1, dtype=torch.long, device=start.device)
    for depth in range(trie.num_levels):
        first, last = vocabulary.level_slices[view][depth]
        total = scores[..., None] + t5.logits(model, states, slice(first, last)).log_softmax(-1)
        alive = total >= bound[:, None, None]
        width = min(int(alive.flatten(1).sum(1).max()), len(trie.codes[depth]))
        best = best_children(trie, depth, nodes, total.masked_fill(~alive, -torch.inf), width, None)
        width = int(torch.isfinite(best[0]).sum(1).max())  # codes that no item has are not counted
        scores, parent, nodes, code = (part[:, :width] for part in best)
        if depth + 1 < trie.num_levels:
            if num > 1 and num * (distance.shape[2] + scores.shape[1]) ** 2 > CELLS_AT_ONCE:
                return None
            distance = descend(distance, parent)
            states = decoder.extend(first + code, distance)
    wanted = torch.from_numpy(leaf[target]).to(nodes.device)[:, None]
    there = torch.isfinite(scores)
    own = scores.masked_fill(~(there & (nodes == wanted)), -torch.inf).amax(1, keepdim=True)
    return (scores > own).sum(1).cpu().numpy(), (there & (scores == own)).sum(1).cpu().numpy() - 1
