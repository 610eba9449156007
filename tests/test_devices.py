"""Every stage computes where it is told, to the answers that the CPU gives; a device that is not there is refused."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from unittest.mock import patch

import numpy as np
import pytest
import torch
from builders import random_table, tiny_store
from other_device import second_device

from gensar_lite.cli import main
from gensar_lite.config import preset
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.baselines import fit_baseline
from gensar_lite.evaluation.protocols import rank_cases
from gensar_lite.identifiers import learn_identifiers
from gensar_lite.model import GenSAR
from gensar_lite.signals import Signals, embed
from gensar_lite.signals.device import choose_device
from gensar_lite.signals.text import SentenceEncoder
from gensar_lite.training.batches import batches

SMALL = {"d_model": 16, "d_ff": 16, "num_layers": 1, "max_text": 8, "batch_size": 32, "steps": 4, "validate_every": 2}


@pytest.fixture(scope="module", params=["elsewhere", "cuda"])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """A device that is not the CPU: a GPU where there is one, and one that is made up (see `other_device`)."""
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("there is no GPU here")
        yield "cuda"
        return
    with (
        second_device() as name,
        patch("gensar_lite.training.loop.batches", partial(batches, ahead=0)),  # it exists in this thread alone
    ):
        yield name


@pytest.fixture(scope="module")
def signals() -> Signals:
    return embed(tiny_store(), device="cpu")


def test_signals(device: str, signals: Signals) -> None:
    found = embed(tiny_store(), device=device)
    np.testing.assert_allclose(found.collaborative, signals.collaborative, atol=1e-3)


def test_the_text_encoder_is_loaded_there(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Model:
        def encode(self, texts: list[str], **options: object) -> np.ndarray:
            return np.ones((len(texts), 4), np.float32)

    monkeypatch.setattr(
        "sentence_transformers.SentenceTransformer", lambda name, device: asked.append(device) or Model()
    )
    SentenceEncoder("some/model", device=device).encode(["a tent"])
    assert asked == [str(choose_device(device))]


@pytest.mark.parametrize(
    ("strategy", "quantiser"), [("gensar", "rqvae"), ("gensar", "kmeans"), ("bi-encoder", "kmeans")]
)
def test_identifiers(device: str, signals: Signals, strategy: str, quantiser: str) -> None:
    def learn(where: str) -> np.ndarray:
        sizes = {"num_codes": 8, "rqvae": {"hidden": (16,), "epochs": 3, "warmup_steps": 3}}
        table = learn_identifiers(tiny_store(), signals, strategy, quantiser, device=where, **sizes)
        table.check()
        return table.codes["semantic"]

    assert (learn(device) == learn("cpu")).mean() > 0.9


@pytest.mark.parametrize(
    "form",
    [{"name": "tiny"}, {"name": "paper-tiny", "history": "template", "accumulate": 2}],
    ids=["tiny", "paper"],
)
def test_training_calibration_and_answers(device: str, signals: Signals, form: dict, tmp_path) -> None:
    data = tiny_store()
    table = random_table(data.items["item_id"].tolist())
    config = preset(**form, **SMALL, evidence=("words",) if form["name"] == "tiny" else ())

    def fit(where: str, checkpoint=None) -> GenSAR:
        return GenSAR.fit(data, signals, table, config=config, checkpoint=checkpoint, progress=False, device=where)

    there, here = fit(device, tmp_path / "checkpoint"), fit("cpu")
    assert (str(there.device), str(here.device)) == (str(choose_device(device)), "cpu")
    for key in ("loss", "primary"):
        assert [row[key] for row in there.training_history] == pytest.approx(
            [row[key] for row in here.training_history], rel=0.05
        )
    moved = here.to(device)
    assert (str(moved.device), str(here.device)) == (str(choose_device(device)), "cpu")
    user = data.log.user_ids[0]
    for ask in (
        lambda model: model.recommend(user=user, k=5),
        lambda model: model.search("warm tent", user=user, k=5, category="a"),
        lambda model: model.suggest_queries(user=user, k=3),
    ):
        assert ask(moved)["score"].tolist() == pytest.approx(ask(here)["score"].tolist(), abs=1e-3)
    cases = data.cases("search", "test")
    for protocol in ("bm25_99", "full"):
        assert (
            rank_cases(moved, cases, protocol, data.num_items)[0]
            == rank_cases(here, cases, protocol, data.num_items)[0]
        ).mean() > 0.9
    moved.save(tmp_path / "run")
    assert str(GenSAR.load(tmp_path / "run").device) == "cpu"
    again = fit(device, tmp_path / "checkpoint")  # from its last step
    assert again.training_history == there.training_history


def test_baselines(device: str, signals: Signals) -> None:
    data = tiny_store()
    cases = data.cases("recommendation", "test")
    sizes = {"epochs": 2, "num_negatives": 20}
    there, here = (fit_baseline("sasrec-text", data, signals, device=where, **sizes) for where in (device, "cpu"))
    np.testing.assert_allclose(there.score(cases, None), here.score(cases, None), atol=1e-2)


# refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuda:77", "meta", "gpu", "cuda:x", "hpu", ""])
def test_a_device_that_is_not_there_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(DataError, match=r"there is no device '.*' here; torch sees cpu"):
        choose_device(name)


def test_the_command_refuses_it_before_any_work(tmp_path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "run"
    assert main(["run", "--data", "bazaar", "--out", str(out), "--device", "cuda:77"]) == 1
    assert "there is no device 'cuda:77' here" in capsys.readouterr().err
    assert not out.exists()
