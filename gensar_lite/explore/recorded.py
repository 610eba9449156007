"""Questions with Python's answers, against which a page is held; and the committed page of the embedded store.

    python -m gensar_lite.explore.recorded RUN docs/_static/bazaar.html

writes the page of a run and beside it `bazaar.answers.json`: what Python answers on the weights that the page holds.
Without a run the page keeps its model, and its scripts and style become those of this version, its curves those of each `--sweep`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from gensar_lite.data.storage import new_export, read_json, write_json
from gensar_lite.explore.export import renew_page, write_page
from gensar_lite.explore.kit import KIT
from gensar_lite.explore.packing import rounded
from gensar_lite.explore.slider import prepare_slider
from gensar_lite.model import GenSAR

ODD = (
    "睡袋 冬季",
    "Спальный мешок",
    "zzxqy blorf",
    "tent 😀",
    "</s> <R_I> ▁ <0x41>",
    "<script>alert(1)</script>",
    "x" * 5_000,
    "ΟΔΟΣ ﬁne ½ straße İ",
    "don't… “quote”, 1/2!!",
)
"""Queries of no use: other scripts, unknown words, markup, signs that a tokenizer or an index may stumble over."""


def record(model: GenSAR, num: int = 300, seed: int = 0) -> list[dict]:
    """`num` questions, of both tasks in turn, and Python's answers to them: {"query", "asked", "answers"}.

    Four of five have a history, of a user or clicked together; every fifth query is an odd one; where evidence is heard,
    every fifth question is for the generator alone.
    """
    twin, rng, data = rounded(model), random.Random(seed), model.data
    ids, cases = data.items["item_id"].tolist(), []
    for number in range(num):
        asked: dict = {"k": rng.choice((1, 5, 10)), "exclude_seen": rng.random() < 0.2}
        if rng.random() < 0.2:
            asked["evidence"] = []
        who = rng.random()
        if who < 0.4:
            asked["user"] = rng.choice(data.log.user_ids)
        elif who < 0.8:
            asked["history"] = [rng.choice(ids) for _ in range(rng.randint(1, 60))]
        query = rng.choice(ODD) if rng.random() < 0.2 or not data.log.queries else rng.choice(data.log.queries)
        found = twin.recommend(**asked) if number % 2 else twin.search(query, **asked)
        answers = found[["item_id", "title", "score", "identifier"]].to_dict("records")
        cases.append({"query": None if number % 2 else query, "asked": asked, "answers": answers})
    return cases


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="write the page of a run, and what Python answers on its weights")
    parser.add_argument("run", nargs="?", help="run folder (without: the page keeps its model)")
    parser.add_argument("page", type=Path, help="the HTML file")
    parser.add_argument("--kit", default=KIT, help="folder for the two fine-tunes of the slider, made once")
    parser.add_argument("--sweep", action="append", default=[], help="a sweep whose curves the page shows")
    chosen = parser.parse_args(arguments)
    if chosen.run is None:
        page = renew_page(chosen.page.read_text(encoding="utf-8"), chosen.sweep)
        with new_export(chosen.page) as temporary:
            temporary.write_text(page, encoding="utf-8")
        return 0
    answers = chosen.page.with_suffix(".answers.json")
    if answers.exists():
        read_json(answers, cases=list)  # a file of somebody else is not written over
    model = GenSAR.load(chosen.run)
    slider = prepare_slider(chosen.run, chosen.kit, print)
    write_page(model, chosen.page, slider=slider, sweeps=chosen.sweep)
    write_json(answers, {"cases": record(model)})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
