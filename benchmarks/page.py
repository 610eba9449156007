"""The plain page, `notebooks/paper.py`, as a rival: the same store, identifiers and shape of T5, everything else as it is written there."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from gensar_lite.data.dataset import Dataset
from gensar_lite.training.settings import TrainingConfig


class Page(NamedTuple):
    """The module, and what its `train` and `evaluate` ask for; `examples` and `names` by task, `cases` by (split, task)."""

    module: ModuleType
    tokenizer: Any
    model: Any
    examples: dict[str, list]
    log: dict[str, list]
    names: dict[str, list[str]]
    cases: dict[tuple[str, str], list]

    def quality(self, split: str = "valid") -> dict[str, float]:
        """NDCG@10 of both tasks, and their mean."""
        tasks = self.module.VIEWS
        found = {
            task: self.module.evaluate(self.model, self.tokenizer, self.log, self.names, self.cases[split, task])
            for task in tasks
        }
        values = {task: row["NDCG@10"] for task, row in found.items()}
        return {**values, "primary": sum(values.values()) / len(values)}


def open_page(data: Dataset, folder: Path, codes: np.ndarray, config: TrainingConfig, num_cases: int = 150) -> Page:
    """The page on a store that lies in `folder`, with identifiers of codes (N, 6) and a new T5 of the sizes of `config`."""
    path = Path(__file__).resolve().parents[1] / "notebooks" / "paper.py"
    spec = importlib.util.spec_from_file_location("plain_page", path)
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    page.DATA, page.NUM_CODES, page.NUM_WORDS = folder, int(codes.max()) + 1, config.vocab_size
    page.SHAPE = {
        "d_model": config.d_model, "d_kv": config.d_model // config.num_heads, "num_heads": config.num_heads,
        "d_ff": config.d_ff, "num_layers": config.num_layers,
    }  # fmt: skip
    items, log, closed, cases = page.read_store()
    names = {
        task: [speaker + "".join(f"<{page.BOOKS[book]}_{row[book]}>" for book in books) for row in codes.tolist()]
        for task, (speaker, books) in page.VIEWS.items()
    }
    tokenizer, model = page.new_model([*data.item_texts, *data.log.queries])
    words = tokenizer(list(data.item_texts), add_special_tokens=False).input_ids
    texts = tokenizer.batch_decode([ids[: config.max_text] for ids in words])
    examples = page.training_examples(log, closed, names, texts, items["title"])
    cases = {key: random.sample(rows, min(num_cases, len(rows))) for key, rows in cases.items()}
    return Page(page, tokenizer, model, examples, log, names, cases)
