"""A named product stays on top: by a ranker that knows, by one that does not, and by BM25."""

from __future__ import annotations

import numpy as np
import pytest
from builders import random_table

from gensar_lite.data.bazaar import BazaarConfig, simulate
from gensar_lite.data.dataset import Cases
from gensar_lite.evaluation.baselines import build_baselines
from gensar_lite.evaluation.named import MEASURE, NamedProducts
from gensar_lite.model import GenSAR
from gensar_lite.pipeline.measure import rank_all
from gensar_lite.signals import embed

DATA = simulate(BazaarConfig(num_items=500, num_users=60, mean_events=8))
NAMED = NamedProducts(DATA, num=40)


class Fixed:
    """A ranker whose scores are a matrix of queries by items."""

    name, tasks = "fixed", ("search",)

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    def score(self, cases: Cases, candidates: np.ndarray | None) -> np.ndarray:
        return self.scores[cases.case_id]


def test_the_share_of_the_first_five_that_are_the_product_by_hand() -> None:
    right = (NAMED.product[None] == NAMED.wanted[:, None]).astype(float)
    assert (right.sum(1) >= 5).all()
    assert NAMED.precision(Fixed(right)) == 1.0
    assert NAMED.precision(Fixed(-right)) == 0.0
    assert NAMED.precision(Fixed(np.where(np.cumsum(right, axis=1) <= 2, 2 * right, -right))) == pytest.approx(0.4)


def test_queries_say_a_colour_and_the_noun_of_the_product() -> None:
    titles = DATA.items["title"].str.lower()
    for query, wanted in zip(NAMED.cases.query, NAMED.wanted, strict=True):
        noun = query.split(" ", 1)[1]
        some = titles[NAMED.product == wanted]
        assert some.map(lambda title, noun=noun: noun.split()[-1].rstrip("s") in title).mean() > 0.9
    assert (NAMED.cases.stop > NAMED.cases.start).mean() > 0.9, "people with a history ask"


def test_it_is_part_of_evaluation_where_the_truth_is_known() -> None:
    signals = embed(DATA, collaborative="als")
    rankers = list(build_baselines(DATA, signals, 0, ["bm25", "popularity"]))
    _, lists = rank_all(rankers, DATA, 0, protocols=["uniform99"])
    assert lists["bm25"]["search"][MEASURE] > 0.9
    assert all(MEASURE not in task for task in lists["popularity"].values())


def test_a_product_that_is_named_stays_on_top_whatever_was_clicked_before() -> None:
    table = random_table(DATA.items["item_id"].tolist(), num_codes=32)
    sizes = {"d_model": 16, "num_heads": 2, "d_ff": 16, "vocab_size": 400, "steps": 10, "batch_size": 64}
    model = GenSAR.fit(DATA, embed(DATA, collaborative="als"), table, progress=False, **sizes)
    assert NAMED.precision(model) > 0.9
    assert NAMED.precision(model.hearing(())) < 0.5, "which this generator does not know"
