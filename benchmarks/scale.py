"""Import and loading of logs and models that grow: seconds of computing and peak memory of each step.

    python benchmarks/scale.py [--size large]

A simulated log of a tenth as many items and users as interactions (Zipf popularity, titles of 6 words and descriptions of 12
from a vocabulary of 20,000) lies there as Parquet. `import` is `gensar-lite data import` with made queries for half of the clicks and the
cases of 2,500 users. `load` opens the folder, the log and the cases of both tasks; `texts` reads the texts of all items. Each
step runs in a process of its own, so that a peak is that of the step; `start` is a process that imports the package and
does nothing else. `load model` reads a run folder of the preset tiny with random weights, codes, vectors and evidence for a
catalogue of the log's size; `answer` loads it, too, and answers a user and a query.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from harness import finish, parse, peak_memory
from scipy import sparse

from gensar_lite.cli import main as gensar_lite
from gensar_lite.config import preset
from gensar_lite.data.build import build_dataset
from gensar_lite.data.dataset import SEARCH_COLUMNS, Dataset
from gensar_lite.evidence.evidence import Evidence
from gensar_lite.evidence.sources import Content, Neighbours, Words, neighbours_of
from gensar_lite.identifiers.assignment import Layout
from gensar_lite.identifiers.table import IdentifierTable
from gensar_lite.model import GenSAR
from gensar_lite.network.tokenizer import train_tokenizer
from gensar_lite.signals.collaborative import click_matrix
from gensar_lite.signals.signals import Signals
from gensar_lite.signals.text import TfidfEncoder

INTERACTIONS = {"smoke": (10_000,), "laptop": (100_000, 1_000_000), "large": (100_000, 1_000_000, 10_000_000)}
STEPS = ("start", "import", "load", "texts", "load model", "answer")
NUM_WORDS = 20_000


def write_log(folder: Path, num: int, seed: int = 0) -> None:
    """items.parquet and interactions.parquet of a store of num / 10 items and users."""
    rng, size = np.random.default_rng(seed), num // 10
    syllables = np.array([c + v for c in "bcdfghklmnprstvz" for v in "aeiou"], dtype=object)
    words = np.array(["".join(row) for row in syllables[rng.integers(80, size=(NUM_WORDS, 3))]], dtype=object)

    def zipf(num_values: int, shape: int | tuple[int, ...], start: int) -> np.ndarray:
        heights = np.cumsum(1 / (np.arange(num_values) + start))
        return np.searchsorted(heights, rng.random(shape) * heights[-1]).clip(max=num_values - 1)

    def texts(length: int) -> list[str]:
        return [" ".join(row) for row in words[zipf(len(words), (size, length), 10)]]

    ids = np.array([f"B{n:08d}" for n in range(size)], dtype=object)
    groups = [f"part {a} > shelf {b}" for a, b in rng.integers((30, 400), size=(size, 2))]
    items = {
        "item_id": ids,
        "title": texts(6),
        "description": texts(12),
        "categories": groups,
        "brand": words[rng.integers(2_000, size=size)],
    }
    pd.DataFrame(items, dtype="str").to_parquet(folder / "items.parquet", index=False)
    user, time = rng.integers(size, size=num), 1_600_000_000 + rng.integers(10**8, size=num)
    order = np.lexsort((time, user))
    clicked = rng.permutation(size)[zipf(size, num, 20)]
    users = np.array([f"u{n:08d}" for n in range(size)], dtype=object)
    log = {"user_id": pd.array(users[user[order]], dtype="str"), "item_id": pd.array(ids[clicked], dtype="str")}
    pd.DataFrame({**log, "timestamp": time[order]}).to_parquet(folder / "interactions.parquet", index=False)


def write_model(folder: Path, seed: int = 0) -> None:
    """model/: a run of the catalogue in items.parquet with two clicks an item, in which all that is learned is random."""
    rng = np.random.default_rng(seed)
    items = pd.read_parquet(folder / "items.parquet")
    num, ids = len(items), items["item_id"].tolist()
    time = np.arange(2 * num)
    clicked = items["item_id"].take(rng.integers(num, size=2 * num))
    log = pd.DataFrame({"user_id": pd.array((time // 10).astype(str), "str"), "item_id": clicked, "timestamp": time})
    none = pd.DataFrame({c: pd.Series(dtype="int64" if c == "timestamp" else "str") for c in SEARCH_COLUMNS})
    about = {"name": "scale", "origin": "random", "query_protocol": "none", "data_seed": seed, "timestamps": "steps"}
    data = build_dataset(items, log, none, case_users=100, language="english", **about)

    words = [f"w{n}" for n in range(NUM_WORDS)]
    encoder = TfidfEncoder(words, np.ones(NUM_WORDS), rng.standard_normal((256, NUM_WORDS), np.float32))
    vectors = [rng.standard_normal((num, size), np.float32) for size in (256, 64)]
    signals = Signals(ids, *vectors, encoder, np.zeros((257, 64), np.float32))

    sizes, layout = (256,) * 6, {"semantic": (0, 1, 2, 3), "collaborative": (0, 1, 4, 5)}
    number = np.unique(rng.integers(1 << 32, size=num + num // 100 + 100))
    number = rng.permutation(number)[:num]
    codes = np.stack([number >> shift & 255 for shift in (24, 16, 8, 0)], axis=1)
    views = {"semantic": codes, "collaborative": np.hstack([codes[:, :2], 255 - codes[:, 2:]])}
    names = ("m1", "m2", "s1", "s2", "c1", "c2")
    table = IdentifierTable(
        np.array(ids, object), Layout(names, sizes, tuple((p, p + 1) for p in range(6)), layout), views
    )

    def near(num_rows: int, width: int, num_columns: int) -> sparse.csr_matrix:
        column = rng.integers(num_columns, size=num_rows * width, dtype=np.int32)
        value, ends = rng.random(len(column), np.float32), np.arange(num_rows + 1) * width
        return sparse.csr_matrix((value, column, ends), shape=(num_rows, num_columns))

    width = neighbours_of(num)
    clicks = sparse.csr_matrix(click_matrix(data), dtype=np.float32)
    sources = [
        Words(words, "english", near(num, 15, NUM_WORDS).T.tocsr()),
        Neighbours(clicks, near(num, width, num)),
        Content(near(num, width, num)),
    ]
    tokenizer = train_tokenizer(data.item_texts[:20_000], preset("tiny").training.vocab_size)
    GenSAR.untrained(data, signals, table, tokenizer, preset("tiny"), Evidence(sources, num)).save(folder / "model")


def do(step: str, folder: Path) -> None:
    """Do one step in `folder` on what the steps before it left there."""
    if step == "import":
        tables = ["--items", str(folder / "items.parquet"), "--interactions", str(folder / "interactions.parquet")]
        code = gensar_lite(["data", "import", *tables, "--case-users", "2500", "--out", str(folder / "data")])
        if code:
            raise SystemExit(code)
    elif step == "load":
        data = Dataset.load(folder / "data")
        for task in ("recommendation", "search"):
            data.cases(task, "test")
        data.log, data.train_mask  # noqa: B018
    elif step == "texts":
        Dataset.load(folder / "data").item_texts  # noqa: B018
    elif step == "load model":
        GenSAR.load(folder / "model")
    elif step == "answer":
        model = GenSAR.load(folder / "model")
        model.recommend(user="1")
        model.search(model.data.items["title"][0], user="1")


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--one":
        begin, wall = time.process_time(), time.perf_counter()
        do(sys.argv[2], Path(sys.argv[3]))
        seconds = {"CPU s": time.process_time() - begin, "s": time.perf_counter() - wall}
        print("RESULT" + json.dumps({"step": sys.argv[2], **seconds, "peak MiB": peak_memory()}))
        return
    arguments = parse(__doc__)
    rows = []
    for num in INTERACTIONS[arguments.size]:
        with tempfile.TemporaryDirectory() as folder:
            write_log(Path(folder), num)
            write_model(Path(folder))
            for step in STEPS:
                command = [sys.executable, __file__, "--one", step, folder]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows.append({"interactions": num, **json.loads(done.stdout.split("RESULT")[1])})
                print(rows[-1], flush=True)
    finish("scale", arguments, {"Import and loading": rows})


if __name__ == "__main__":
    main()
