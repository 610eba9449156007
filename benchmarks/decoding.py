"""Constrained beam search against `generate` of transformers with `prefix_allowed_tokens_fn` and a dictionary trie.

    python benchmarks/decoding.py [--size large] [--dtype bfloat16] [--device cuda]

Random weights, 33,000 tokens, 30 beams, 4 codes of 256, inputs of at most 64 tokens; both give the same scores
(the largest difference is a column). `ceiling`: how many times faster than `generate` this would be if it did nothing but its matrix
products, at the rate that is measured beside; `share`: the part of that which is reached.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from harness import alternate, clock_of, finish, matrix_rate, parse
from transformers import PreTrainedModel
from worlds import LEVELS, SHAPES, VOCABULARY, World, make_world

from gensar_lite.decoding.beam import beam_search
from gensar_lite.network.weights import as_transformers

BEAMS, LENGTH = 30, 64
# (shape, items, queries)
CASES = {
    "smoke": [("d64", 500, 2)],
    "laptop": [(shape, 100_000, queries) for shape in SHAPES for queries in (1, 32)],
    "large": [
        (shape, items, queries) for shape in SHAPES for items in (4_000, 100_000, 1_000_000) for queries in (1, 32)
    ],
}


def dictionary_trie(world: World) -> dict:
    """Nested dictionaries of tokens, as `prefix_allowed_tokens_fn` is mostly given."""
    root: dict = {}
    for row in world.vocabulary.view_tokens["semantic"].tolist():
        node = root.setdefault(world.vocabulary.behaviour_of("semantic"), {})
        for token in (*row, world.vocabulary.eos):
            node = node.setdefault(token, {})
    return root


def generate(peer: PreTrainedModel, world: World, root: dict) -> np.ndarray:
    """(B, M) scores of transformers' own beam search."""
    end = [world.vocabulary.eos]

    def allowed(_: int, sequence: torch.Tensor) -> list[int]:
        node = root
        for token in sequence.tolist()[1:]:
            node = node.get(token, {})
        return list(node) or end

    found = peer.generate(
        input_ids=world.tokens,
        attention_mask=world.mask.long(),
        num_beams=BEAMS,
        num_return_sequences=BEAMS,
        max_new_tokens=LEVELS + 2,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        prefix_allowed_tokens_fn=allowed,
    )
    return found.sequences_scores.view(-1, BEAMS).float().cpu().numpy() * (LEVELS + 2)  # divided by the length


def multiplications(shape: str, queries: int) -> float:
    """Multiply-adds that exact beam search cannot do without: encoder, keys of cross-attention, one decoder row per beam
    and code (two per query before the first), and the whole vocabulary after each row."""
    d, layers, _, d_ff = SHAPES[shape]
    read, rows = queries * LENGTH, queries * (2 + BEAMS * LEVELS)
    return (
        layers * (read * (4 * d * d + 2 * d * d_ff + 2 * d * d) + rows * (6 * d * d + 2 * d * d_ff))
        + rows * d * VOCABULARY
    )


def main() -> None:
    arguments = parse(__doc__, dtype=["float32", "bfloat16"])
    dtype = getattr(torch, arguments.dtype)
    rows = []
    for shape, items, queries in CASES[arguments.size]:
        world = make_world(shape, items, queries, LENGTH, dtype).to(arguments.device)
        root, peer = dictionary_trie(world), as_transformers(world.model)
        scores: dict[str, np.ndarray] = {}

        def ours(world: World = world, scores: dict = scores) -> None:
            found = beam_search(world.scorer(), BEAMS)
            scores["ours"] = found.scores

        def theirs(
            peer: PreTrainedModel = peer, world: World = world, root: dict = root, scores: dict = scores
        ) -> None:
            with torch.inference_mode():
                scores["generate"] = generate(peer, world, root)

        repeats = arguments.repeats or (3 if queries > 1 else 7)
        seconds = alternate({"generate": theirs, "ours": ours}, repeats, clock_of(arguments))
        rate = matrix_rate(960, SHAPES[shape][0], 2048, dtype, arguments.device)
        floor = multiplications(shape, queries) / rate
        ratio = seconds["generate"]["median"] / seconds["ours"]["median"]
        ceiling = seconds["generate"]["median"] / floor
        rows.append(
            {
                "model": shape,
                "items": items,
                "queries": queries,
                "generate s": seconds["generate"]["median"],
                "ours s": seconds["ours"]["median"],
                "ratio": ratio,
                "ceiling": ceiling,
                "share": ratio / ceiling,
                "ratio of the best": seconds["generate"]["min"] / seconds["ours"]["min"],
                "G multiply-adds/s": rate / 1e9,
                "by F.linear": matrix_rate(960, SHAPES[shape][0], 2048, dtype, arguments.device, F.linear) / 1e9,
                "largest difference": float(np.abs(scores["generate"] - scores["ours"]).max()),
            }
        )
        print(rows[-1], flush=True)
    finish(
        "decoding" if arguments.dtype == "float32" else f"decoding-{arguments.dtype}", arguments, {"Beam search": rows}
    )


if __name__ == "__main__":
    main()
