"""A design whose runs all train for the same CPU time: each variant's steps, from how fast it learns here.

    python benchmarks/ladder.py --minutes 5 [--design data/results/ladder.design.json] [--data FOLDER] > ladder.json
    gensar-lite tradeoff --design ladder.json --out FOLDER

The speed is that of some steps of each variant, for the first data set, strategy and mix of the design, on one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from gensar_lite.data.storage import DataError, read_json
from gensar_lite.identifiers import learn_identifiers
from gensar_lite.model import GenSAR
from gensar_lite.signals import embed
from gensar_lite.tradeoff.design import Block, Design, Unit, load_source, name_source

STEPS = 4, 24  # of two short trainings; what they have in common, to make the model and its examples, falls away


def steps_for(design: Design, minutes: float) -> list[int]:
    """The steps of each variant of the first block that take so many CPU minutes."""
    block: Block = design.blocks[0]
    source, found = block.data[0], []
    data = load_source(source)
    first = design.config(Unit("sweep", name_source(source), block.strategies[0], block.mixes[0], 0))
    signals = embed(data, first.signals.text_encoder, first.signals.collaborative, device="cpu")
    chosen = first.identifiers
    table = learn_identifiers(data, signals, chosen.strategy, "kmeans", chosen.num_codes, device="cpu")
    for variant in block.variants:
        config = design.config(Unit("sweep", name_source(source), block.strategies[0], block.mixes[0], 0, variant))
        spent = []
        for steps in STEPS:
            training = replace(config.training, steps=steps, validate_every=10**6)
            start = time.process_time()
            GenSAR.fit(
                data,
                signals,
                table,
                config=replace(config, training=training, evidence=()),
                progress=False,
                device="cpu",
            )
            spent.append(time.process_time() - start)
        each = max(spent[1] - spent[0], 1e-3) / (STEPS[1] - STEPS[0])
        found.append(max(round(60 * minutes / each), 1))
        print(f"{variant}: {each:.3f} CPU seconds a step, {found[-1]} steps", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--design", type=Path, default=Path("data/results/ladder.design.json"))
    parser.add_argument("--data", default=None, help="another data set than the design's")
    parser.add_argument("--minutes", type=float, required=True, help="CPU minutes of training, each run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    content = read_json(arguments.design)
    if arguments.data:
        content["data"] = [arguments.data]
    if "blocks" in content:
        raise DataError("the design has several blocks; write one design for each")
    design = Design.from_json(content)
    design.check()
    pairs = zip(content["variants"], steps_for(design, arguments.minutes), strict=True)
    content["variants"] = [{**variant, "steps": steps} for variant, steps in pairs]
    print(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
