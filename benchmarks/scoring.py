"""Exact scores of 100 candidates against a beam search of 30 beams that is restricted to them.

    python benchmarks/scoring.py [--size large] [--device cuda]

Random weights, 33,000 tokens, softmax over all of them. Beam search leaves 70 of the 100 unranked; `found` is the share of
the exact ten best that it gives. Third column: `generate` of transformers, restricted to the candidates.
"""

from __future__ import annotations

import numpy as np
import torch
from decoding import BEAMS, LENGTH, dictionary_trie, generate
from harness import alternate, clock_of, finish, parse
from transformers import PreTrainedModel
from worlds import SHAPES, World, make_vocabulary, make_world

from gensar_lite.decoding.beam import beam_search
from gensar_lite.decoding.scoring import score_items
from gensar_lite.network.weights import as_transformers

CANDIDATES = 100
CASES = {
    "smoke": [("d64", 500, 1)],
    "laptop": [(shape, 100_000, queries) for shape in SHAPES for queries in (1, 16)],
    "large": [(shape, 1_000_000, queries) for shape in SHAPES for queries in (1, 64)],
}


def main() -> None:
    arguments = parse(__doc__)
    rows = []
    for shape, items, queries in CASES[arguments.size]:
        world = make_world(shape, items, queries, LENGTH).to(arguments.device)
        chosen = np.random.default_rng(0).choice(items, CANDIDATES, replace=False)
        part = world.trie.restrict(chosen)
        small = world._replace(vocabulary=make_vocabulary(world.codes[np.sort(chosen)]))
        root, peer = dictionary_trie(small), as_transformers(small.model)
        answers: dict = {}

        def exact(world: World = world, chosen: np.ndarray = chosen, answers: dict = answers) -> None:
            answers["exact"] = score_items(world.scorer(), chosen[None])

        def own_lists(world: World = world, chosen: np.ndarray = chosen) -> None:
            lists = np.tile(chosen, (len(world.tokens), 1))
            score_items(world.scorer(), lists)

        def beams(world: World = world, part: object = part, answers: dict = answers) -> None:
            answers["beams"] = beam_search(world.scorer(part), BEAMS).items

        def theirs(peer: PreTrainedModel = peer, small: World = small, root: dict = root) -> None:
            with torch.inference_mode():
                generate(peer, small, root)

        rivals = {"exact": exact, "own lists": own_lists, "30 beams": beams, "generate": theirs}
        seconds = alternate(rivals, arguments.repeats or 5, clock_of(arguments))
        best = chosen[np.argsort(-answers["exact"], axis=1)[:, :10]]
        found = [np.isin(row, beam[:10]).mean() for row, beam in zip(best, answers["beams"], strict=True)]
        middle = {name: value["median"] for name, value in seconds.items()}
        rows.append(
            {
                "model": shape,
                "queries": queries,
                "exact s": middle["exact"],
                "exact, a list for each query s": middle["own lists"],
                "30 beams s": middle["30 beams"],
                "generate s": middle["generate"],
                "30 beams / exact": middle["30 beams"] / middle["own lists"],
                "generate / exact": middle["generate"] / middle["own lists"],
                "found": float(np.mean(found)),
            }
        )
        print(rows[-1], flush=True)
    finish("scoring", arguments, {f"{CANDIDATES} candidates": rows})


if __name__ == "__main__":
    main()
