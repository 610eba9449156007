"""Every strategy and quantiser: unique, same budget, reproducible, open to new items; bad requests in one sentence."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from builders import tiny_store

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.identifiers import (
    IdentifierTable,
    RQVAEConfig,
    assign_new,
    learn_identifiers,
    list_strategies,
    quantisers,
    register_quantiser,
    register_strategy,
)
from gensar_lite.identifiers import strategies as module
from gensar_lite.identifiers.biencoder import fit_biencoder
from gensar_lite.identifiers.encoder import encode_signals, fit_scaling
from gensar_lite.identifiers.strategies import resolve
from gensar_lite.signals import embed

NUM_ITEMS, NUM_CODES = 200, 8
NEED_A_LOG = ("bi-encoder", "asymmetric")
FAST = RQVAEConfig(latent_dim=8, hidden=(16,), batch_size=100, warmup_steps=10, max_steps=10)


def _catalogue(n: int = NUM_ITEMS) -> SimpleNamespace:
    items = pd.DataFrame({"item_id": [f"i{r}" for r in range(n)], "categories": [f"cat {r % 5}" for r in range(n)]})
    return SimpleNamespace(items=items, info={"fingerprint": "abc"})


def _signals(n: int = NUM_ITEMS, seed: int = 0) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    rows = {
        "semantic": rng.normal(size=(n, 12)) + 3 * rng.normal(size=(5, 12))[np.arange(n) % 5],
        "collaborative": rng.normal(size=(n, 6)),
    }
    return SimpleNamespace(
        **{name: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for name, x in rows.items()}
    )


def _learn(strategy: str = "gensar", quantiser: str = "kmeans", **changes) -> IdentifierTable:
    arguments = {"num_codes": NUM_CODES, "config": FAST} | changes
    return learn_identifiers(_catalogue(), _signals(), strategy=strategy, quantiser=quantiser, **arguments)


@pytest.mark.parametrize("quantiser", ["rqvae", "kmeans", "faiss"])
@pytest.mark.parametrize("strategy", [name for name in list_strategies() if name not in NEED_A_LOG])
def test_unique_same_budget_reproducible_and_saved_whole(strategy, quantiser, tmp_path):
    table = _learn(strategy, quantiser)
    again = _learn(strategy, quantiser)
    for view in ("semantic", "collaborative"):
        assert table.codes[view].shape == (NUM_ITEMS, 4)
        assert len(np.unique(table.codes[view], axis=0)) == NUM_ITEMS
        assert (table.codes[view] == again.codes[view]).all()
        assert table.health["views"][view]["collisions_after"] == 0
    assert set(table.codebook_sizes) == {NUM_CODES}
    assert all(v.shape == (NUM_CODES, b - a) for v, (a, b) in zip(table.vectors, table.layout.spans, strict=False))
    table.save(tmp_path / "identifiers")
    loaded = IdentifierTable.load(tmp_path / "identifiers", _catalogue().items["item_id"])
    new = _signals(30, seed=9)
    codes, codes_loaded = (assign_new(t, new.semantic, new.collaborative) for t in (table, loaded))
    longer = loaded.extend([f"new{r}" for r in range(30)], codes_loaded)
    for view in ("semantic", "collaborative"):
        assert (codes[view] == codes_loaded[view]).all()
        assert (longer.codes[view][:NUM_ITEMS] == table.codes[view]).all()
        assert len(np.unique(longer.codes[view], axis=0)) == NUM_ITEMS + 30


@pytest.mark.parametrize(
    ("strategy", "semantic", "collaborative"),
    [
        ("gensar", "m1 m2 s1 s2", "m1 m2 c1 c2"),
        ("semantic", "s1 s2 s3 s4", "s1 s2 s3 s4"),
        ("collaborative", "c1 c2 c3 c4", "c1 c2 c3 c4"),
        ("fused", "m1 m2 m3 m4", "m1 m2 m3 m4"),
        ("unshared", "s1 s2 s3 s4", "c1 c2 c3 c4"),
        ("collaborative-prefix", "c1 s1 s2 s3", "c1 c2 c3 c4"),
        ("random", "r1 r2 r3 r4", "r1 r2 r3 r4"),
    ],
)
def test_codebooks_of_each_strategy(strategy, semantic, collaborative):
    table = _learn(strategy)
    names = np.array(table.codebook_names)
    assert " ".join(names[table.codebooks_of["semantic"]]) == semantic
    assert " ".join(names[table.codebooks_of["collaborative"]]) == collaborative
    assert table.views_agree == (semantic == collaborative)


def test_semantic_identifiers_ignore_clicks_and_the_other_way_round():
    data, ours, other = _catalogue(), _signals(), _signals(seed=1)
    for strategy, kept in [("semantic", "semantic"), ("collaborative", "collaborative")]:
        mixed = SimpleNamespace(semantic=other.semantic, collaborative=other.collaborative)
        setattr(mixed, kept, getattr(ours, kept))
        for quantiser in ("kmeans", "rqvae"):
            a, b = (learn_identifiers(data, s, strategy, quantiser, NUM_CODES, config=FAST) for s in (ours, mixed))
            assert (a.codes["semantic"] == b.codes["semantic"]).all()


@pytest.mark.parametrize("quantiser", ["rqvae", "kmeans"])
def test_an_item_of_the_catalogue_given_as_new_lands_beside_itself(quantiser):
    table, signals = _learn("gensar", quantiser, num_codes=16), _signals()
    codes = assign_new(table, signals.semantic, signals.collaborative)
    for view in ("semantic", "collaborative"):
        assert ((codes[view] == table.codes[view]).all(1)).sum() == 0
        assert (codes[view][:, :2] == table.codes[view][:, :2]).all(1).mean() > 0.9


def test_five_thousand_items_with_one_text():
    signals = SimpleNamespace(semantic=np.ones((5000, 12), np.float32), collaborative=np.zeros((5000, 6), np.float32))
    for quantiser in ("kmeans", "rqvae"):
        table = learn_identifiers(_catalogue(5000), signals, quantiser=quantiser, num_codes=16, config=FAST)
        table.check()
        assert any("shared their semantic identifier before repair" in w for w in table.health["warnings"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "gensra"}, "unknown strategy 'gensra'; known are gensar, semantic"),
        ({"quantiser": "pq"}, "unknown quantiser 'pq'; known are rqvae, kmeans"),
        ({"num_codes": 3}, "200 items cannot all have identifiers .* 3 x 3 x 3 x 3 = 81"),
        ({"num_shared": 0, "num_specific": 0}, "at least two codes and one level"),
    ],
)
def test_bad_requests(changes, message):
    with pytest.raises(DataError, match=message):
        _learn(**changes)


def test_bad_signals():
    short, broken = _signals(150), _signals()
    broken.semantic[3, 2] = np.nan
    with pytest.raises(DataError, match="semantic signal has 150 rows, the catalogue 200"):
        learn_identifiers(_catalogue(), short, quantiser="kmeans", num_codes=8)
    with pytest.raises(DataError, match="semantic signal of 1 items is not a number"):
        learn_identifiers(_catalogue(), broken, quantiser="kmeans", num_codes=8)


def test_bad_new_items():
    table = _learn()
    with pytest.raises(DataError, match="need collaborative vectors"):
        assign_new(table, np.ones((2, 12)))
    with pytest.raises(DataError, match="have 5 numbers, the identifiers were learned from 12"):
        assign_new(table, np.ones((2, 5)), np.ones((2, 6)))
    with pytest.raises(DataError, match="4097 items cannot"):
        assign_new(table, np.ones((3897, 12)), np.ones((3897, 6)))


def test_a_registered_strategy_can_be_used_by_name(monkeypatch):
    monkeypatch.setattr(module, "_STRATEGIES", dict(module._STRATEGIES))

    @register_strategy("semantic-first")
    def semantic_first(num_shared: int, num_specific: int) -> dict[str, list[str]]:
        return {"semantic": ["s1", "s2", "s3"], "collaborative": ["s1", "c1", "c2"]}

    table = _learn("semantic-first")
    assert "semantic-first" in list_strategies()
    assert (table.codes["semantic"][:, 0] == table.codes["collaborative"][:, 0]).all()


@pytest.mark.shared
@pytest.mark.parametrize("num_codes", [64, 256])
def test_real_catalogue(shared_data, num_codes):
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    items = pd.read_csv(shared_data / "industrial" / "items.csv", dtype=str, keep_default_na=False)
    semantic = (
        TruncatedSVD(48, random_state=0)
        .fit_transform(TfidfVectorizer(min_df=2).fit_transform(items["title"]))
        .astype(np.float32)
    )
    collaborative = np.random.default_rng(0).normal(size=(len(items), 16)).astype(np.float32)
    signals = SimpleNamespace(semantic=semantic, collaborative=collaborative)
    data = SimpleNamespace(items=items, info={})
    table = learn_identifiers(
        data, signals, num_codes=num_codes, config=replace(RQVAEConfig(), hidden=(64,), warmup_steps=40, max_steps=40)
    )
    table.check()
    assert all(book["use"] >= 0.99 for book in table.health["codebooks"].values())


def test_threads_change_neither_the_identifiers_nor_the_setting():
    before = torch.get_num_threads()
    tables = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            tables.append(_learn("gensar", "rqvae"))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert (tables[0].codes_by_codebook == tables[1].codes_by_codebook).all()


# strategies that look at the log ------------------------------------------------------------------


@pytest.fixture(scope="module")
def store_signals():
    return embed(tiny_store(), collaborative="als")


@pytest.mark.parametrize("strategy", NEED_A_LOG)
def test_strategies_that_learn_from_the_log(strategy, store_signals, tmp_path):
    first, again = (
        learn_identifiers(tiny_store(), store_signals, strategy, "kmeans", num_codes=NUM_CODES) for _ in range(2)
    )
    for view in ("semantic", "collaborative"):
        assert len(np.unique(first.codes[view], axis=0)) == 100
        assert (first.codes[view] == again.codes[view]).all()
    first.save(tmp_path / "identifiers")
    loaded = IdentifierTable.load(tmp_path / "identifiers", tiny_store().items["item_id"])
    new = store_signals.encode_items(["a warm green hat", "a small tent"])
    assert (assign_new(loaded, *new)["semantic"] == assign_new(first, *new)["semantic"]).all()


def test_the_bi_encoder_brings_queries_nearer_to_what_is_clicked(store_signals):
    data = tiny_store()
    joint = fit_biencoder(data, store_signals)
    silent = Dataset(data.items, data.interactions[:0], data.searches[:0], data.candidates, data.info)
    start = fit_biencoder(silent, store_signals)
    asked = np.flatnonzero(data.train_mask & data.log.searched & (data.log.item >= 0))
    queries, clicked = [data.log.queries[q] for q in data.log.query[asked]], data.log.item[asked]
    ranks = []
    for weight in (start, joint):
        items, words = (
            x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
            for x in (store_signals.semantic @ weight, store_signals.encode_texts(queries) @ weight)
        )
        scores = words @ items.T
        ranks.append((scores > scores[np.arange(len(asked)), clicked][:, None]).sum(1).mean())
    assert ranks[1] < 0.9 * ranks[0]


def test_asymmetric_takes_the_prefix_of_the_signal_that_recommends_better(store_signals):
    data = tiny_store()
    noise = np.random.default_rng(0).normal(size=store_signals.semantic.shape).astype(np.float32)
    assert resolve("asymmetric", data, replace(store_signals, semantic=noise)) == "collaborative-prefix"
    noise = np.random.default_rng(0).normal(size=store_signals.collaborative.shape).astype(np.float32)
    swapped = replace(store_signals, semantic=store_signals.collaborative, collaborative=noise)
    assert resolve("asymmetric", data, swapped) == "semantic-prefix"
    assert resolve("gensar", data, store_signals) == "gensar"


def test_faiss_wants_powers_of_two():
    with pytest.raises(DataError, match="powers of two"):
        _learn("semantic", "faiss", num_codes=10)


def test_a_strategy_with_a_strange_codebook_is_refused(monkeypatch):
    monkeypatch.setattr(module, "_STRATEGIES", dict(module._STRATEGIES))
    register_strategy("strange")(
        lambda shared, specific: {view: ["x1", "s1"] for view in ("semantic", "collaborative")}
    )
    with pytest.raises(DataError, match="not 'x1'"):
        _learn("strange")


def test_shared_codes_that_do_not_come_first_are_refused(monkeypatch):
    monkeypatch.setattr(module, "_STRATEGIES", dict(module._STRATEGIES))
    register_strategy("last")(lambda shared, specific: {"semantic": ["s1", "m1"], "collaborative": ["c1", "m1"]})
    register_strategy("swapped")(lambda shared, specific: {"semantic": ["m1", "m2"], "collaborative": ["m2", "m1"]})
    for strategy in ("last", "swapped"):
        with pytest.raises(DataError, match="must come first in both"):
            _learn(strategy)


def test_another_quantiser_is_one_function(monkeypatch):
    monkeypatch.setattr(quantisers, "_QUANTISERS", dict(quantisers._QUANTISERS))

    @register_quantiser("signs", latent_width=lambda width, config: 4)
    def fit_signs(tables, layout, config, seed, device):
        """Every codebook holds the corners of a square around nothing, in the first numbers of a signal."""
        encoder = {}
        for name, table in tables.items():
            encoder |= fit_scaling(name, table)
            encoder |= {f"{name}.0.weight": np.eye(4, table.shape[1], dtype=np.float32), f"{name}.0.bias": np.zeros(4)}
        latents = encode_signals(encoder, list(tables), tables).astype(np.float32)
        books = [torch.sign(torch.randn(k, b - a)) for k, (a, b) in zip(layout.sizes, layout.spans, strict=True)]
        return quantisers.Quantised(latents, books, dict.fromkeys(tables, 0.5), encoder)

    table = _learn(quantiser="signs")
    table.check()
    assert table.made_from["quantiser"] == "signs"
    assert table.vectors[-1].shape == (NUM_CODES, 4)
    fresh = assign_new(table, np.ones((2, 12)), np.ones((2, 6)))
    table.extend(["new1", "new2"], fresh)
    with pytest.raises(DataError, match="unknown quantiser 'lines'; known are rqvae, kmeans, faiss, signs"):
        _learn(quantiser="lines")


def test_a_catalogue_smaller_than_a_codebook_is_no_collapse():
    table = learn_identifiers(_catalogue(20), _signals(20), num_codes=32, config=FAST)
    table.check()
    assert not any("collapsed" in sentence or "lopsided" in sentence for sentence in table.health["warnings"])
