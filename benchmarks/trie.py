"""The trie: seconds to build, bytes per item, and what a larger catalogue costs decoding.

    python benchmarks/trie.py [--size large]

One view, 4 codes of 256, item numbers included. Decoding: 30 beams, d_model 128, softmax over all tokens, 8 queries; the
catalogues are asked in turns, so that their times compare.
"""

from __future__ import annotations

import time

from decoding import BEAMS, LENGTH
from harness import alternate, clock_of, finish, parse
from worlds import make_world, random_codes

from gensar_lite.decoding.beam import beam_search
from gensar_lite.identifiers.trie import IdentifierTrie

BUILT = {"smoke": (1_000,), "laptop": (1_000_000, 10_000_000), "large": (1_000_000, 10_000_000, 50_000_000)}
SEARCHED = {
    "smoke": (500, 1_000),
    "laptop": (4_000, 100_000, 1_000_000),
    "large": (4_000, 100_000, 1_000_000, 10_000_000),
}


def main() -> None:
    arguments = parse(__doc__)
    built = []
    for items in BUILT[arguments.size]:
        codes = random_codes(items)
        seconds = []
        for _ in range(3):
            start = time.process_time()
            trie = IdentifierTrie.build(codes)
            seconds.append(time.process_time() - start)
        built.append({"items": items, "build s": sorted(seconds)[1], "bytes an item": trie.num_bytes / items})
        print(built[-1], flush=True)
    searches = {}
    for items in SEARCHED[arguments.size]:
        world = make_world("d128", items, 8, LENGTH).to(arguments.device)
        searches[f"{items:,}"] = lambda world=world: beam_search(world.scorer(), BEAMS)
    seconds = alternate(searches, arguments.repeats or 9, clock_of(arguments))
    first = next(iter(seconds.values()))["median"]
    searched = [
        {"items": name, "beam search s": value["median"], "against the smallest": value["median"] / first}
        for name, value in seconds.items()
    ]
    finish("trie", arguments, {"Building": built, "Decoding as the catalogue grows": searched})


if __name__ == "__main__":
    main()
