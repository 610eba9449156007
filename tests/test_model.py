"""The model a user holds: how it is made, what it refuses, and that it comes back from disk as it was."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import random_table, tiny_store

from gensar_lite.config import PRESETS, RunConfig, preset
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.protocols import evaluate_ranker
from gensar_lite.model import GenSAR
from gensar_lite.network.vocabulary import Vocabulary
from gensar_lite.signals.signals import Signals, embed
from gensar_lite.training.initialise import new_weights

SIZES = {
    "d_model": 32,
    "num_heads": 2,
    "d_ff": 32,
    "batch_size": 64,
    "steps": 30,
    "validate_every": 15,
    "vocab_size": 600,
}


@pytest.fixture(scope="module")
def signals() -> Signals:
    return embed(tiny_store(), collaborative="als")


def fit(signals: Signals, **changes) -> GenSAR:
    table = random_table(tiny_store().items["item_id"].tolist())
    return GenSAR.fit(tiny_store(), signals, table, progress=False, **{**SIZES, **changes})


@pytest.fixture(scope="module")
def model(signals: Signals) -> GenSAR:
    return fit(signals)


@pytest.fixture(scope="module")
def saved(model: GenSAR, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    model.save(folder)
    return folder


def user_with_history(model: GenSAR) -> str:
    return model.data.log.user_ids[int(np.diff(model.data.log.user_ptr).argmax())]


def test_another_device_is_another_model(model: GenSAR) -> None:
    other = model.to("cpu")
    with torch.no_grad():
        other.backbone.shared.weight.zero_()
    assert model.backbone.shared.weight.any()


def test_training_leaves_the_random_numbers_of_others_alone(signals: Signals) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    fit(signals, steps=2)
    assert torch.equal(torch.rand(3), expected)


def test_the_model_learns_from_its_training(model: GenSAR, signals: Signals) -> None:
    losses = [row["loss"] for row in model.training_history]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    assert {"search", "recommendation", "primary"} <= set(model.training_history[0])
    trained = fit(signals, steps=250, validate_every=125)
    ranks = evaluate_ranker(trained, model.data, protocols=["uniform99", "bm25_99"]).groupby("task")["rank"].mean()
    assert (ranks < 40).all(), "100 candidates: chance gives 50.5 with a deviation of 4 over some 60 cases"


@pytest.mark.parametrize(("history", "softmax"), [("tokens", "full"), ("tokens", "trie"), ("pooled", "full")])
def test_other_forms_answer_too(signals: Signals, history: str, softmax: str) -> None:
    other = fit(signals, steps=4, validate_every=4, history=history, softmax=softmax)
    assert len(other.search("tent", user=user_with_history(other), k=3)) == 3
    assert len(other.recommend(history=other.data.items["item_id"].tolist()[:2], k=3)) == 3


def test_same_seed_same_model(model: GenSAR, signals: Signals) -> None:
    torch.manual_seed(99)
    again, other = fit(signals), fit(signals, seed=1)
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, again.backbone.state_dict()[name]), name
    assert not torch.equal(model.backbone.shared.weight, other.backbone.shared.weight)


# on disk ------------------------------------------------------------------------------------------------


def test_a_loaded_model_gives_the_same_answers(model: GenSAR, saved: Path) -> None:
    again = GenSAR.load(saved)
    user = user_with_history(model)
    assert again.config == model.config
    assert again.search("tent", user=user, k=20).equals(model.search("tent", user=user, k=20))
    assert again.recommend(user=user, k=20, exclude_seen=True).equals(
        model.recommend(user=user, k=20, exclude_seen=True)
    )
    assert again.suggest_queries(user=user).equals(model.suggest_queries(user=user))
    cases = model.data.cases("recommendation", "test")
    np.testing.assert_array_equal(again.score(cases, None), model.score(cases, None))


def test_the_folder_holds_open_formats_only(saved: Path) -> None:
    kinds = {path.suffix for path in saved.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".parquet", ".npy", ".safetensors", ".txt"}
    assert {"store", "signals", "identifiers", "model", "config.json"} <= {path.name for path in saved.iterdir()}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_answering_loads_nothing_that_only_making_a_model_needs(saved: Path) -> None:
    code = (
        "import sys; from gensar_lite.model import GenSAR; model = GenSAR.load(sys.argv[1]); "
        "model.search('steel pan'); model.recommend(user=model.data.log.user_ids[0]); print(*sys.modules, *vars(model.encoder))"
    )
    done = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "torch" in loaded
    assert not loaded & {"texts", "segments", "event_segments"}, "all texts were read for one question"
    assert not {name for name in loaded if name.startswith("gensar_lite.training.")} - {"gensar_lite.training.settings"}
    assert not loaded & {"transformers", "sklearn", "sympy", "accelerate", "implicit", "scipy.stats", "scipy.optimize"}


@pytest.mark.parametrize(
    "file",
    [
        "config.json", "store/dataset.json", "store/items.parquet", "signals/signals.json", "signals/semantic.npy",
        "identifiers/identifiers.parquet", "identifiers/health.json", "model/model.safetensors", "model/config.json", "model/tokenizer.json",
    ],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_broken_folder_is_refused_in_a_sentence(saved: Path, tmp_path: Path, file: str, damage: str) -> None:
    folder = shutil.copytree(saved, tmp_path / "run")
    if damage == "cut":
        cut(folder / file)
    else:
        (folder / file).unlink()
    with pytest.raises(DataError):
        GenSAR.load(folder)


def test_a_folder_of_other_parts_is_refused(saved: Path, tmp_path: Path, signals: Signals) -> None:
    with pytest.raises(DataError, match="is not a run folder"):
        GenSAR.load(tmp_path)
    folder = shutil.copytree(saved, tmp_path / "run")
    random_table(tiny_store().items["item_id"].tolist(), num_codes=9).save(folder / "identifiers")
    with pytest.raises(DataError):
        GenSAR.load(folder)
    folder = shutil.copytree(saved, tmp_path / "another")
    random_table([f"other{n}" for n in range(100)]).save(folder / "identifiers")
    with pytest.raises(DataError):
        GenSAR.load(folder)


@pytest.mark.parametrize("change", [{"softmax": "level"}, {"colour": "red"}, {"mix": 7}])
def test_an_edited_configuration_is_refused(saved: Path, tmp_path: Path, change: dict) -> None:
    content = json.loads((saved / "config.json").read_text())
    content["training"].update(change)
    with pytest.raises(DataError):
        RunConfig.from_json(content)
    with pytest.raises(DataError):
        RunConfig.from_json([1, 2])


# settings -----------------------------------------------------------------------------------------------


def test_presets_and_changes() -> None:
    config = preset("small", seed=3, mix=0.7, num_codes=32, text_encoder="x.npy")
    assert (config.seed, config.training.mix, config.identifiers.num_codes, config.signals.text_encoder) == (
        3,
        0.7,
        32,
        "x.npy",
    )
    assert PRESETS["small"].identifiers.num_codes == 128
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert [PRESETS[name].identifiers.num_codes for name in ("tiny", "small", "paper")] == [64, 128, 256]
    with pytest.raises(ValueError, match="unknown preset 'huge'"):
        preset("huge")
    with pytest.raises(ValueError, match="unknown settings: colour"):
        preset("tiny", colour="red")


def test_a_t5_checkpoint_serves_as_backbone(model: GenSAR, signals: Signals, saved: Path) -> None:
    """Any T5 by path: its rows stay, behaviours and codes get rows of their own, the same ones for the same seed."""
    config = preset("tiny", backbone=str(saved / "model"))
    table = random_table(tiny_store().items["item_id"].tolist(), num_codes=60)
    vocabulary = Vocabulary(model.vocabulary.tokenizer, table)
    torch.manual_seed(5)
    first = new_weights(vocabulary, config.training, config.seed).shared.weight
    torch.manual_seed(6)
    second = new_weights(vocabulary, config.training, config.seed).shared.weight
    assert len(first) == vocabulary.size > model.vocabulary.size
    assert torch.equal(first, second)
    assert torch.equal(first[: model.vocabulary.size], model.backbone.shared.weight)
    other = GenSAR.fit(
        tiny_store(), signals, table, progress=False, **{**SIZES, "steps": 2, "backbone": str(saved / "model")}
    )
    assert len(other.recommend(k=3)) == 3
