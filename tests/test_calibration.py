"""The weights of the experts: those that make the validation clicks most probable, used by beams and scores alike."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from builders import random_table, tiny_store

from gensar_lite.evidence.evidence import Evidence
from gensar_lite.model import GenSAR
from gensar_lite.signals import embed
from gensar_lite.training.calibration import _fit, fit_evidence

SIZES = {
    "d_model": 16,
    "num_heads": 2,
    "d_ff": 16,
    "vocab_size": 400,
    "batch_size": 64,
    "steps": 30,
    "validate_every": 30,
}


@cache
def trained() -> GenSAR:
    data = tiny_store()
    return GenSAR.fit(
        data, embed(data, collaborative="als"), random_table(data.items["item_id"].tolist()), progress=False, **SIZES
    )


def likelihood(model: GenSAR, task: str, split: str = "fit") -> float:
    cases = model.data.cases(task, split)
    return float(model.score(cases, cases.item[:, None]).mean())


def test_an_expert_that_knows_is_made_strong_and_noise_is_shut_out() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(5, size=400)
    noise, truth, fixed = rng.normal(size=(3, 400, 5))
    truth[np.arange(400), right] += 1.0
    truth -= fixed  # what is fixed counts as it is
    parts = torch.tensor(np.stack([noise, truth, fixed], -1).reshape(-1, 3), dtype=torch.float32)
    row = torch.arange(400).repeat_interleave(5)
    weights = _fit(parts, row, torch.arange(400) * 5 + torch.from_numpy(right))
    assert weights[0] < 0.15
    assert weights[1] == pytest.approx(1, abs=0.25)
    assert _fit(parts[:0], row[:0], row[:0]) == [1.0, 1.0]


@pytest.mark.parametrize("task", ["recommendation", "search"])
def test_validation_clicks_become_more_probable(task: str) -> None:
    model = trained()
    held = [model.data.cases(t, "fit") for t in model.tasks]
    again = Evidence(list(model.evidence.sources.values()), model.data.num_items)
    fit_evidence(model.backbone, model.vocabulary, model.requests, again, held)
    assert (again.weights, again.powers) == (model.evidence.weights, model.evidence.powers), "the same again"
    raw = model.hearing(model.heard)
    raw.evidence = Evidence(list(model.evidence.sources.values()), model.data.num_items)
    for heard in (model.heard, ("words", "neighbours"), ("neighbours",)):
        assert likelihood(model.hearing(heard), task) > likelihood(raw.hearing(heard), task)


def test_what_was_fitted_helps_on_cases_that_it_was_not_fitted_to() -> None:
    model = trained()
    for task in model.tasks:
        assert likelihood(model, task, "test") > likelihood(model.hearing(()), task, "test")


def test_weights_are_saved_with_the_model(tmp_path) -> None:
    model = trained()
    model.save(tmp_path / "run")
    loaded = GenSAR.load(tmp_path / "run")
    assert (loaded.evidence.weights, loaded.evidence.powers) == (model.evidence.weights, model.evidence.powers)
    cases = model.data.cases("search", "test")
    np.testing.assert_allclose(loaded.score(cases, None), model.score(cases, None), rtol=1e-5, atol=1e-5)


def test_all_items_still_share_one() -> None:
    scores = trained().score(tiny_store().cases("search", "test"), None)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, rtol=1e-3)
