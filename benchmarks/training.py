"""Training: examples per second and quality over minutes, against the plain page, `notebooks/paper.py`.

    python benchmarks/training.py [--size large]

Bazaar, one shape of model, the same identifiers, tasks and size of batches for all. `pooled` and `tokens` are this
package's forms of history, `template, full` is the paper's: its history, its softmax. The rival is the paper by transformers alone,
with its own texts, tokenizer and learning rate. Each trains for the same time, seconds of validation not counted; NDCG@10
on validation is the mean of both tasks, of the page over 150 cases each that it answers by `generate`, of the others over 500.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import clock_of, finish, parse
from page import open_page

import gensar_lite as gl
from gensar_lite.config import preset
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.model import GenSAR

# seconds of training, and steps by which the speed is found
SIZES = {"smoke": (1, 2), "laptop": (30, 8), "large": (900, 30)}
BATCH, VALIDATIONS = 256, 4
SHAPE = {
    "d_model": 64,
    "num_layers": 1,
    "num_heads": 4,
    "d_ff": 128,
    "dropout": 0.0,
    "batch_size": BATCH,
    "max_events": 20,
}
FORMS = {
    "pooled": {"history": "pooled", "softmax": "trie"},
    "tokens": {"history": "tokens", "softmax": "trie"},
    "template, full": {"history": "template", "softmax": "full", "max_events": 5},
}
RIVAL = "notebooks/paper.py"


# what the page calls them, in its order
PAGE_TASKS = ("next_item", "next_search_item", "next_query", "query_to_item", "text_to_item", "item_to_text")


class Timed(GenSAR):
    """A model that writes down when it is validated; `marks` are (seconds, metrics), the first when training begins."""

    clock: Callable[[], float]
    measured = True

    def validator(self, data: Dataset, *options: Any) -> Callable:
        validate = super().validator(data, *options)
        self.away = 0.0
        self.marks: list[tuple[float, dict]] = []
        begin = self.clock()

        def timed(backbone: Any) -> dict:
            start = self.clock()
            metrics = validate(backbone) if self.measured else {}
            self.marks.append((start - begin - self.away, metrics))
            self.away += self.clock() - start
            backbone.train()
            return metrics

        return timed


def train_page(
    data: Dataset,
    folder: Path,
    table: gl.IdentifierTable,
    steps: int,
    epochs: int,
    clock: Callable[[], float],
    measured: bool,
) -> list[tuple[float, dict]]:
    """Seconds and metrics of the page, when training begins and after each epoch."""
    config = preset("tiny", **SHAPE).training
    page = open_page(data, folder, table.codes_by_codebook, config)
    page.module.BATCH_SIZE, page.module.EPOCHS = BATCH, epochs
    shares = config.shares()  # in the page's order of tasks, which is the package's
    page.module.PER_EPOCH = [round(shares[task] * BATCH * steps / epochs) for task in PAGE_TASKS]
    begin, away, marks = clock(), 0.0, [(0.0, {})]

    def validate() -> float:
        nonlocal away
        start = clock()
        metrics = page.quality() if measured else {}
        marks.append((start - begin - away, metrics))
        away += clock() - start
        return metrics.get("primary", 0.0)

    page.module.train(page.model, page.tokenizer, page.examples, validate)
    return marks


def main() -> None:
    arguments = parse(__doc__)
    Timed.clock = staticmethod(clock_of(arguments))
    small = BazaarConfig(num_items=200, num_users=100) if arguments.size == "smoke" else None
    data = simulate(small) if small else gl.load_dataset("bazaar")
    signals = gl.embed(data, collaborative="als")
    table = gl.learn_identifiers(data, signals, strategy="gensar", quantiser="kmeans")
    budget, probe = SIZES[arguments.size]

    scratch = tempfile.TemporaryDirectory()
    folder = Path(scratch.name) / "store"
    data.save(folder)

    def train(name: str, steps: int, epochs: int, measured: bool) -> list[tuple[float, dict]]:
        if name == RIVAL:
            return train_page(data, folder, table, steps, epochs, Timed.clock, measured)
        Timed.measured = measured
        changes = {
            **SHAPE,
            **FORMS[name],
            "steps": steps,
            "validate_every": -(-steps // epochs),
            "patience": epochs + 1,
        }
        return Timed.fit(data, signals, table, preset="tiny", evidence=(), progress=False, **changes).marks

    speed, curves = [], []
    for name in (*FORMS, RIVAL):
        marks = train(name, probe, 2, measured=False)  # the first half warms up
        rate = BATCH * (probe // 2) / (marks[-1][0] - marks[-2][0])
        speed.append({"form": name, "examples per second": rate})
        print(speed[-1], flush=True)
        steps = max(int(budget * rate / BATCH), VALIDATIONS)
        for seconds, metrics in train(name, steps, VALIDATIONS, measured=True):
            curves.append({"form": name, "minutes": seconds / 60, **metrics})
            print(curves[-1], flush=True)
    for row in speed:
        row[f"times {RIVAL}"] = row["examples per second"] / speed[-1]["examples per second"]
    finish("training", arguments, {"Speed": speed, "Quality over time (NDCG@10, validation)": curves})


if __name__ == "__main__":
    main()
