"""Training: examples per second and quality over minutes, against `Seq2SeqTrainer` of transformers on text prompts.

    python benchmarks/training.py [--size large]

Bazaar, one shape of model, the same six tasks, batches and prompts for all. `pooled` and `tokens` are this
package's two forms of history, `tokens, full` also has the paper's softmax; `Seq2SeqTrainer` trains a plain T5 on token sequences that were tokenised
beforehand, with the softmax over all tokens. Its batches come from the same generator. Each trains for the same
time, seconds of validation not counted; NDCG@10 on validation is the mean of both tasks' primary metrics.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from harness import clock_of, finish, parse
from torch.utils.data import IterableDataset
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
)

import gensar_lite as gl
from gensar_lite.config import preset
from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.model import GenSAR
from gensar_lite.network.weights import as_transformers
from gensar_lite.training.doc2query import Doc2Query
from gensar_lite.training.examples import CodeChunk, Examples
from gensar_lite.training.initialise import load_or_train_tokenizer

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
    "tokens, full": {"history": "tokens", "softmax": "full"},
}
PEER = "Seq2SeqTrainer"


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


class Prompts(IterableDataset):
    """The examples of all steps as token lists."""

    def __init__(self, examples: Examples, eos: int) -> None:
        self.examples, self.eos = examples, eos

    def __iter__(self) -> Iterator[dict]:
        step = 0
        while True:
            for chunk in self.examples.chunks(step):
                inputs = chunk.inputs
                grid = torch.zeros(inputs.mask.numel(), dtype=torch.long).index_copy(0, inputs.place, inputs.token)
                if isinstance(chunk, CodeChunk):
                    labels = torch.nn.functional.pad(chunk.decoder[:, 1:], (0, 1), value=self.eos)
                else:
                    labels = chunk.labels
                for row, mask, label in zip(grid.view_as(inputs.mask), inputs.mask, labels, strict=True):
                    yield {"input_ids": row[mask].tolist(), "labels": label[label >= 0].tolist()}
            step += 1


class Validate(TrainerCallback):
    def __init__(self, call: Callable, every: int) -> None:
        self.call, self.every = call, every

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.every == 0:
            self.call(kwargs["model"])


def train_peer(data: Dataset, signals: gl.Signals, table: Any, steps: int, every: int) -> Timed:
    """A plain T5 of the same shape by `Seq2SeqTrainer`, with the paper's learning rate and schedule."""
    config = preset("tiny", 0, **SHAPE, **FORMS["tokens, full"])
    model = Timed(
        data,
        signals,
        table,
        load_or_train_tokenizer([*data.item_texts, *data.log.queries], config.training),
        None,
        config,
    )
    items = np.arange(data.num_items)
    num = config.training.pseudo_queries_per_item
    written = Doc2Query.fit(data).sample(items, num, 0)
    pseudo = written, np.repeat(items, num)
    examples = Examples(data, model.encoder, pseudo, config.training, 0)
    model.backbone = as_transformers(model.backbone)
    words = PreTrainedTokenizerFast(
        tokenizer_object=model.vocabulary.tokenizer.backend_tokenizer, pad_token="<pad>", eos_token="</s>"
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = Seq2SeqTrainingArguments(
            folder, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=1e-3, lr_scheduler_type="cosine",
            use_cpu=True, report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = Seq2SeqTrainer(
            model.backbone,
            settings,
            train_dataset=Prompts(examples, model.vocabulary.eos),
            data_collator=DataCollatorForSeq2Seq(words),
            callbacks=[Validate(model.validator(data), every)],
        )
        trainer.train()
    return model


def main() -> None:
    arguments = parse(__doc__)
    Timed.clock = staticmethod(clock_of(arguments))
    small = BazaarConfig(num_items=200, num_users=100) if arguments.size == "smoke" else None
    data = simulate(small) if small else gl.load_dataset("bazaar")
    signals = gl.embed(data, collaborative="als")
    table = gl.learn_identifiers(data, signals, strategy="gensar", quantiser="kmeans")
    budget, probe = SIZES[arguments.size]

    def train(name: str, steps: int, every: int) -> Timed:
        if name == PEER:
            return train_peer(data, signals, table, steps, every)
        changes = {**SHAPE, **FORMS[name], "steps": steps, "validate_every": every, "patience": VALIDATIONS + 1}
        return Timed.fit(data, signals, table, preset="tiny", progress=False, **changes)

    speed, curves = [], []
    for name in (*FORMS, PEER):
        Timed.measured = False
        marks = train(name, probe, probe // 2).marks  # the first half warms up
        rate = BATCH * (probe // 2) / (marks[-1][0] - marks[0][0])
        speed.append({"form": name, "examples per second": rate})
        print(speed[-1], flush=True)
        Timed.measured = True
        steps = max(int(budget * rate / BATCH), VALIDATIONS)
        for seconds, metrics in train(name, steps, -(-steps // VALIDATIONS)).marks:
            curves.append({"form": name, "minutes": seconds / 60, **metrics})
            print(curves[-1], flush=True)
    for row in speed:
        row[f"times {PEER}"] = row["examples per second"] / speed[-1]["examples per second"]
    finish("training", arguments, {"Speed": speed, "Quality over time (NDCG@10, validation)": curves})


if __name__ == "__main__":
    main()
