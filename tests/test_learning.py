"""What a model learns: a pattern that is in the log, and nothing from a log in which there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
from builders import build_small, random_table

from gensar_lite.data.dataset import Dataset
from gensar_lite.evaluation.metrics import case_metrics
from gensar_lite.evaluation.protocols import rank_cases
from gensar_lite.model import GenSAR
from gensar_lite.signals import embed

NUM_ITEMS, NUM_USERS, LENGTH = 40, 120, 9
SIZES = {
    "d_model": 32,
    "num_heads": 2,
    "d_ff": 32,
    "vocab_size": 400,
    "batch_size": 64,
    "steps": 120,
    "validate_every": 120,
    "mix": 0.9,
}


def walks(shuffled: bool) -> Dataset:
    """Users who go on from item to item, each always followed by the same one; or the same clicks in random order."""
    rng = np.random.default_rng(0)
    follows = rng.permutation(NUM_ITEMS)
    item = [rng.integers(NUM_ITEMS, size=NUM_USERS)]
    for _ in range(LENGTH - 1):
        # now and then somebody starts anew: what comes next depends on the latest click alone
        item.append(np.where(rng.random(NUM_USERS) < 0.2, rng.integers(NUM_ITEMS, size=NUM_USERS), follows[item[-1]]))
    clicks = np.stack(item, axis=1).ravel()
    if shuffled:
        clicks = rng.permutation(clicks)
    ids = np.array([f"i{n}" for n in range(NUM_ITEMS)], object)
    items = pd.DataFrame({"item_id": ids, "title": [f"thing {n}" for n in range(NUM_ITEMS)]})
    for column in ("description", "categories", "brand"):
        items[column] = ""
    users = [f"u{n}" for n in range(NUM_USERS)]
    steps = np.tile(np.arange(LENGTH), NUM_USERS)
    table = {"user_id": np.repeat(users, LENGTH), "item_id": ids[clicks], "timestamp": steps}
    searches = pd.DataFrame({c: [] for c in ("user_id", "session_id", "query", "item_id", "timestamp")})
    return build_small(items, pd.DataFrame(table), searches, "log")


def quality(data: Dataset) -> float:
    """Test NDCG@10 in the whole catalogue, after a short training."""
    table = random_table(data.items["item_id"].tolist())
    model = GenSAR.fit(data, embed(data, collaborative="als"), table, progress=False, **SIZES)
    cases = data.cases("recommendation", "test")
    ranks = rank_cases(model, cases, "full", data.num_items)
    return float(case_metrics(*ranks, ("NDCG@10",))["NDCG@10"].mean())


def test_a_pattern_is_learned_and_noise_is_not() -> None:
    chance = float(np.sum(1 / np.log2(np.arange(2, 12))) / NUM_ITEMS)
    assert quality(walks(shuffled=False)) > 4 * chance
    assert quality(walks(shuffled=True)) < 1.5 * chance
