"""Calibration: the strengths that make the validation clicks most probable, used by beams and scores alike."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from builders import random_table, tiny_store

from gensar_lite.model import GenSAR
from gensar_lite.signals import embed
from gensar_lite.training.calibration import _fit, calibrate

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


def likelihood(model: GenSAR, task: str, split: str = "valid") -> float:
    cases = model.data.cases(task, split)
    return float(model.score(cases, cases.item[:, None]).mean())


def test_an_expert_that_knows_is_made_strong_and_noise_is_shut_out() -> None:
    rng = np.random.default_rng(0)
    right = rng.integers(5, size=400)
    noise, truth = rng.normal(size=(2, 400, 5))
    truth[np.arange(400), right] += 1.0
    parts = torch.tensor(np.stack([noise, truth], -1).reshape(-1, 2), dtype=torch.float32)
    row = torch.arange(400).repeat_interleave(5)
    strengths = _fit(parts, row, torch.arange(400) * 5 + torch.from_numpy(right))
    assert strengths[0] < 0.15
    assert strengths[1] == pytest.approx(1, abs=0.25)
    assert _fit(parts[:0], row[:0], row[:0]) == [1.0, 1.0]


@pytest.mark.parametrize("task", ["recommendation", "search"])
def test_validation_clicks_become_more_probable(task: str) -> None:
    model = trained()
    found = model.backbone.config.strengths
    after = likelihood(model, task)
    model.backbone.config.strengths = None
    before = likelihood(model, task)
    again = calibrate(
        model.backbone, model.vocabulary, model.requests, [model.data.cases(t, "valid") for t in model.tasks]
    )
    assert after > before
    assert again == found, "the same cases, the same strengths"


def test_strengths_are_saved_with_the_weights(tmp_path) -> None:
    model = trained()
    model.save(tmp_path / "run")
    loaded = GenSAR.load(tmp_path / "run")
    assert loaded.backbone.config.strengths == model.backbone.config.strengths
    cases = model.data.cases("search", "test")
    np.testing.assert_allclose(loaded.score(cases, None), model.score(cases, None), rtol=1e-5, atol=1e-5)


def test_all_items_still_share_one() -> None:
    scores = trained().score(tiny_store().cases("search", "test"), None)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, rtol=1e-3)
