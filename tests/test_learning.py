"""What a model learns: a pattern that is in the log, and nothing from a log in which there is none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from builders import build_small, random_table, tiny_encoder, tiny_store

from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Dataset
from gensar_lite.evaluation.metrics import case_metrics
from gensar_lite.evaluation.protocols import rank_cases
from gensar_lite.identifiers import learn_identifiers
from gensar_lite.model import GenSAR
from gensar_lite.network import t5
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.signals import embed
from gensar_lite.training.chance import Chance
from gensar_lite.training.initialise import place_tokens
from gensar_lite.training.loop import Objective
from gensar_lite.training.settings import TrainingConfig

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
    assert quality(walks(shuffled=False)) > 3 * chance
    assert quality(walks(shuffled=True)) < 1.5 * chance


SHORT = {
    "tiny": {"steps": 120, "batch_size": 128, "d_model": 48, "validate_every": 60},
    "paper-tiny": {"epochs": 2, "batch_size": 32, "d_model": 32, "d_ff": 48, "max_text": 16, "num_layers": 1},
}


@pytest.mark.parametrize("form", SHORT)
def test_ten_steps_are_clearly_worse_than_the_whole_training(form: str) -> None:
    data = simulate(BazaarConfig(num_items=200, num_users=200, mean_events=10))
    signals = embed(data, collaborative="als")
    table = learn_identifiers(data, signals, quantiser="kmeans", num_codes=12)
    few = {name: value for name, value in SHORT[form].items() if name != "epochs"} | {"steps": 10, "validate_every": 10}
    cases = data.cases("search", "test")
    whole, ten = (
        GenSAR.fit(data, signals, table, preset=form, evidence=(), vocab_size=800, progress=False, **changes).score(
            cases, cases.item[:, None]
        )
        for changes in (SHORT[form], few)
    )
    gain = whole - ten  # of log-probability of what was clicked
    assert gain.mean() > 0.5
    assert gain.mean() > 4 * gain.std() / len(gain) ** 0.5, "not by chance"


def test_rare_words_start_with_more_attention() -> None:
    data = tiny_store()
    vocabulary = tiny_encoder().vocabulary
    model = t5.new_backbone(vocabulary.size, 64, 1, 4, 64, 0.0, seed=0)
    texts = vocabulary.encode(data.item_texts)
    space = np.random.default_rng(0).normal(size=(data.num_items, 16)).astype(np.float32)
    place_tokens(model, vocabulary, texts, [space, space], TrainingConfig(d_model=64), seed=0)
    attention, table = model.decoder.block[0].layer[1].EncDecAttention, model.shared.weight
    read = [
        F.rms_norm(table[part], (64,)) for part in (torch.tensor([vocabulary.behaviour_of("semantic")]), slice(None))
    ]
    query, key = (
        F.linear(x, part.weight).unflatten(-1, (4, -1))
        for x, part in zip(read, (attention.q, attention.k), strict=True)
    )
    score = (query * key).sum(-1).mean(-1).detach().numpy()
    items = [set(row) for row in (texts[n].tolist() for n in range(len(texts)))]
    count = np.array([sum(word in row for row in items) for word in range(vocabulary.num_text)])
    rare, common = np.flatnonzero(count == 1), np.flatnonzero(count > 30)
    assert len(rare) > 10
    assert len(common) > 3
    assert score[rare].mean() > score[common].mean() + 1


def test_the_item_loss_tells_the_target_from_all_items_or_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_store()
    table = random_table(data.items["item_id"].tolist())
    vocabulary = Vocabulary(tiny_encoder().vocabulary.tokenizer, table, num_remembered=data.num_items)
    model = t5.new_backbone(vocabulary.size, 16, 1, 2, 16, 0.0, seed=0)
    config = TrainingConfig(d_model=16)
    objective, chance = Objective(model, vocabulary, config), Chance(config)
    states, items = torch.randn(7, 16), torch.tensor([3, 99, 0, 3, 41, 7, 8])
    chunk = SimpleNamespace(item=items)
    own = model.shared.weight[vocabulary.num_written :][: data.num_items]
    everything = objective.item_loss(chunk, states, SimpleNamespace(items=own), chance)
    torch.testing.assert_close(everything, F.cross_entropy(states @ own.T, items))
    monkeypatch.setattr("gensar_lite.training.chance.MAX_RIVALS", 5)
    few = objective.item_loss(chunk, states, SimpleNamespace(items=own), chance)
    assert few < everything, "fewer rivals, and the target among them"
