"""Curves without a training a mix: weights between two fine-tunes, fused scores, one model that is asked for a mix."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from builders import random_table, tiny_store

from gensar_lite.config import preset
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.baselines import fit_baseline
from gensar_lite.evaluation.protocols import rank_cases
from gensar_lite.model import GenSAR
from gensar_lite.signals import embed
from gensar_lite.tradeoff.fusion import FusedRanker, OtherTask, choose_weight, fuse, rank_fused, scale_scores
from gensar_lite.tradeoff.interpolation import WeightLine
from gensar_lite.training.settings import TrainingConfig

SMALL = {"d_model": 32, "d_ff": 64, "vocab_size": 600, "batch_size": 48, "pseudo_queries_per_item": 2, "steps": 4}


@cache
def signals():
    return embed(tiny_store(), collaborative="als")


@cache
def table():
    return random_table(tiny_store().items["item_id"].tolist())


@cache
def parent() -> GenSAR:
    return GenSAR.fit(tiny_store(), signals(), table(), config=preset("tiny", **SMALL), progress=False)


@cache
def fine_tune(mix: float) -> GenSAR:
    config = preset("tiny", **{**SMALL, "steps": 2, "mix": mix})
    return GenSAR.fit(tiny_store(), signals(), table(), config=config, parent=parent(), progress=False)


@cache
def conditioned() -> GenSAR:
    config = preset("tiny", **SMALL, mix_levels=(0.0, 0.5, 1.0))
    return GenSAR.fit(tiny_store(), signals(), table(), config=config, progress=False)


def weights_of(model: GenSAR) -> dict[str, torch.Tensor]:
    return model.backbone.state_dict()


def cases_of(task: str):
    return tiny_store().cases(task, "test").take(slice(0, 12))


def test_a_fine_tune_starts_from_its_parent():
    config = preset("tiny", **{**SMALL, "steps": 1, "learning_rate": 0.0})
    same = GenSAR.fit(tiny_store(), signals(), table(), config=config, parent=parent(), progress=False)
    assert all(torch.equal(value, weights_of(parent())[name]) for name, value in weights_of(same).items())
    moved = weights_of(fine_tune(0.0))
    assert any(not torch.equal(value, weights_of(parent())[name]) for name, value in moved.items())


def test_a_parent_of_other_sizes_is_refused():
    config = preset("tiny", **{**SMALL, "d_ff": 32})
    with pytest.raises(DataError, match="other identifiers or sizes"):
        GenSAR.fit(tiny_store(), signals(), table(), config=config, parent=parent(), progress=False)
    other = random_table(tiny_store().items["item_id"].tolist(), seed=1)
    with pytest.raises(DataError, match="other identifiers or sizes"):
        GenSAR.fit(tiny_store(), signals(), other, config=preset("tiny", **SMALL), parent=parent(), progress=False)


@pytest.mark.parametrize(("place", "mix"), [(0.0, 0.1), (1.0, 0.9)])
def test_the_ends_of_the_line_are_the_two_fine_tunes(place, mix):
    line = WeightLine(fine_tune(0.1), fine_tune(0.9))
    line.at(0.5)
    model, end = line.at(place), fine_tune(mix)
    assert all(torch.equal(value, weights_of(end)[name]) for name, value in weights_of(model).items())
    for task in ("search", "recommendation"):
        np.testing.assert_array_equal(model.score(cases_of(task), None), end.score(cases_of(task), None))


def test_the_middle_of_the_line_is_the_mean_and_moves_neither_end():
    ends = fine_tune(0.1), fine_tune(0.9)
    before = [{k: v.clone() for k, v in weights_of(end).items()} for end in ends]
    middle = weights_of(WeightLine(*ends).at(0.5))
    for name, value in middle.items():
        torch.testing.assert_close(value, (before[0][name] + before[1][name]) / 2)
    assert all(torch.equal(v, weights_of(e)[k]) for e, b in zip(ends, before, strict=True) for k, v in b.items())


def test_fused_scores_at_the_ends_are_those_of_one_ranker():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 9))
    np.testing.assert_array_equal(fuse(first, second, 0, "z-score"), first)
    np.testing.assert_array_equal(fuse(first, second, 1, "z-score"), second)
    np.testing.assert_allclose(fuse(first, second, 0.25, "logprob"), 0.75 * first + 0.25 * second)
    scaled = scale_scores(first, "z-score")
    np.testing.assert_allclose(scaled.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=1), 1)
    np.testing.assert_array_equal(scale_scores(np.full((2, 3), 7.0), "z-score"), 0)
    with pytest.raises(ValueError, match="scaled by one of"):
        scale_scores(first, "softmax")


@pytest.mark.parametrize("protocol", ["bm25_99", "full", "adhoc_bm25_99"])
def test_ranks_of_fused_scores_are_those_of_the_fused_ranker(protocol):
    data = tiny_store()
    model, partner = parent(), fit_baseline("bm25", data, signals())
    weights = [0.0, 0.3, 1.0]
    better, ties = rank_fused(model, partner, cases_of("search"), protocol, data.num_items, weights)
    for row, weight in enumerate(weights):
        fused = FusedRanker(model, partner, {"search": weight})
        one = rank_cases(fused, cases_of("search"), protocol, data.num_items)
        np.testing.assert_array_equal(np.stack(one), np.stack([better[row], ties[row]]))


def test_a_task_that_the_partner_does_not_serve_is_the_models_own():
    data = tiny_store()
    partner = fit_baseline("bm25", data, signals())
    fused = FusedRanker(parent(), partner, {"search": 0.5, "recommendation": 0.5})
    cases = cases_of("recommendation")
    np.testing.assert_array_equal(fused.score(cases, None), parent().score(cases, None))
    assert choose_weight(parent(), partner, data, "recommendation", [0.0, 0.5]) == 0


class Chance:
    """A ranker that knows nothing."""

    name = "chance"
    tasks = ("search",)

    def score(self, cases, candidates):
        num = tiny_store().num_items if candidates is None else candidates.shape[1]
        return np.random.default_rng(0).random((len(cases), num))


def test_the_weight_that_validation_chooses_is_the_best_one():
    data = tiny_store()
    strong = fit_baseline("bm25", data, signals())
    assert choose_weight(Chance(), strong, data, "search", [0.0, 0.5, 1.0]) > 0
    assert choose_weight(strong, strong, data, "search", [0.0, 0.5, 1.0]) == 0, "the smallest of equal ones"


def test_the_other_task_is_asked_with_the_other_identifier():
    searches = cases_of("search")
    dropped = OtherTask(parent(), "dropped").score(searches, None)
    as_recommendation = parent().score(replace(searches, task="recommendation", query=None), None)
    np.testing.assert_array_equal(dropped, as_recommendation)
    assert not np.allclose(dropped, OtherTask(parent(), "kept").score(searches, None))
    assert OtherTask(parent(), "kept").score(cases_of("recommendation"), None).shape == (12, 100)


def test_levels_are_drawn_so_that_each_has_its_mix():
    config = TrainingConfig(mix_levels=(0.0, 0.25, 1.0))
    assert config.mix == pytest.approx(1.25 / 3)
    shares = config.shares()
    odds = {task: np.array(config.level_odds(task)) for task in shares}
    for number, level in enumerate(config.mix_levels):
        recommendation = shares["next_item"] * odds["next_item"][number]
        search = sum(shares[task] * odds[task][number] for task in ("next_search_item", "query_to_item"))
        assert recommendation / (recommendation + search) == pytest.approx(level)
        assert recommendation + search == pytest.approx((1 - sum(config.aux_shares.values())) / 3)
    with pytest.raises(ValueError, match="mix_levels"):
        TrainingConfig(mix_levels=(0.5,))
    with pytest.raises(ValueError, match=r"mix_levels have the mean 0.5, mix is 0.3"):
        TrainingConfig(mix=0.3, mix_levels=(0.0, 1.0))
    assert preset("small", mix_levels=(0.0, 1.0)).training.mix == 0.5
    with pytest.raises(ValueError, match="exclude each other"):
        preset("tiny", mix=0.3, mix_levels=(0.0, 1.0))


def test_a_conditioned_model_answers_by_the_mix_it_is_asked_for(tmp_path):
    model, cases = conditioned(), cases_of("search")
    answers = {mix: model.for_mix(mix).score(cases, None) for mix in (0.0, 0.5, 1.0)}
    assert not np.allclose(answers[0.0], answers[1.0])
    np.testing.assert_array_equal(model.for_mix(0.1).score(cases, None), answers[0.0])
    model.save(tmp_path / "run")
    loaded = GenSAR.load(tmp_path / "run")
    np.testing.assert_allclose(loaded.score(cases, None), answers[0.5], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loaded.for_mix(1).score(cases, None), answers[1.0], rtol=1e-5, atol=1e-5)


def test_asking_for_a_mix_gives_a_new_model_that_remembers_it(tmp_path):
    model, cases = conditioned(), cases_of("search")
    before = model.score(cases, None)
    asked = model.for_mix(1.0)
    np.testing.assert_array_equal(model.score(cases, None), before)
    np.testing.assert_array_equal(model.score(cases, None, mix=1.0), asked.score(cases, None))
    asked.save(tmp_path / "run")
    loaded = GenSAR.load(tmp_path / "run")
    np.testing.assert_allclose(loaded.score(cases, None), asked.score(cases, None), rtol=1e-5, atol=1e-5)
    user = model.data.log.user_ids[0]
    answers = [table["score"] for table in (asked.recommend(user), model.recommend(user, mix=1.0))]
    np.testing.assert_array_equal(*answers)
    assert not np.allclose(answers[0], model.recommend(user)["score"])


def test_the_mix_asked_for_changes_one_token_of_the_input():
    model, cases = conditioned(), cases_of("recommendation")
    first, second = (model.for_mix(mix).requests.cases(cases).inputs for mix in (0.0, 1.0))
    differing = first.token != second.token
    assert differing.sum() == len(cases)
    assert set(first.token[differing].tolist()) == {int(model.vocabulary.mixes[0])}


def test_models_without_levels_answer_for_one_mix():
    assert len(parent().vocabulary.mixes) == 0
    with pytest.raises(ValueError, match="trained for one mix"):
        parent().for_mix(0.5)
