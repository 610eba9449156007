"""Pretrained T5-family checkpoints of every kind: read, given new words, trained, saved, loaded, decoded as `generate` does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import random_table, tiny_store
from transformers import (
    BertConfig,
    BertModel,
    ByT5Tokenizer,
    MT5Config,
    MT5ForConditionalGeneration,
    PreTrainedTokenizerBase,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5Tokenizer,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from gensar_lite.answering import NUM_BEAMS
from gensar_lite.data.storage import DataError
from gensar_lite.decoding.scoring import score_items
from gensar_lite.model import GenSAR
from gensar_lite.network import t5
from gensar_lite.network.scorer import Scorer
from gensar_lite.network.vocabulary import TASK_VIEW
from gensar_lite.network.weights import as_transformers, read_checkpoint
from gensar_lite.signals import Signals, embed
from gensar_lite.training.examples import Examples
from gensar_lite.training.loop import Objective

SHAPE = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
KINDS = {  # family, feed-forward, tied head, bytes instead of SentencePiece
    "t5": ("t5", "relu", True, False),
    "t5 1.1": ("t5", "gated-gelu", False, False),
    "gated and tied": ("t5", "gated-gelu", True, False),
    "plain and untied": ("t5", "relu", False, False),
    "mt5": ("mt5", "gated-gelu", False, False),
    "byt5": ("t5", "gated-gelu", False, True),
}
FORM: dict = {
    "evidence": (),
    "history": "tokens",
    "max_events": 4,
    "softmax": "full",
    "max_text": 12,
    "max_target_text": 6,
}
SIZES = {"steps": 6, "batch_size": 24, "validate_every": 6, "learning_rate": 1e-3, "pseudo_queries_per_item": 2}


def make_checkpoint(folder: Path, kind: str) -> Path:
    """A small checkpoint as they lie on the hub: an untied head of its own says so in `config.json`, some rows are spare."""
    family, feed_forward, tied, by_bytes = KINDS[kind]
    tokenizer: PreTrainedTokenizerBase
    tokenizer = ByT5Tokenizer() if by_bytes else T5Tokenizer().train_new_from_iterator(tiny_store().item_texts, 400)
    config, model = (
        (T5Config, T5ForConditionalGeneration) if family == "t5" else (MT5Config, MT5ForConditionalGeneration)
    )
    torch.manual_seed(3)
    made = model(
        config(vocab_size=len(tokenizer) + 28, feed_forward_proj=feed_forward, tie_word_embeddings=tied, **SHAPE)
    )
    with torch.no_grad():
        made.shared.weight.mul_(torch.linspace(0.2, 1.5, 32)).add_(
            0.3
        )  # words of a trained model lie in no ball around zero
    if not tied:
        made.lm_head = torch.nn.Linear(32, len(tokenizer) + 28, bias=False)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    content = json.loads((folder / "config.json").read_text())
    content["tie_word_embeddings"] = tied
    content.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def signals() -> Signals:
    return embed(tiny_store(), collaborative="als")


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, signals: Signals, tmp_path_factory: pytest.TempPathFactory) -> GenSAR:
    folder = make_checkpoint(tmp_path_factory.mktemp("hub"), request.param)
    table = random_table(tiny_store().items["item_id"].tolist())
    return GenSAR.fit(tiny_store(), signals, table, progress=False, backbone=str(folder), **FORM, **SIZES)


def generate(model: GenSAR, task: str, num_beams: int) -> tuple[np.ndarray, np.ndarray]:
    """Items and scores (C, M) of some test cases by `generate`, from the same encoder inputs."""
    vocabulary, view = model.vocabulary, TASK_VIEW[task]
    inputs = model.requests.cases(model.data.cases(task, "test").take(slice(0, 3))).inputs
    ids = torch.zeros(inputs.mask.numel(), dtype=torch.long).index_copy(0, inputs.place, inputs.token)
    paths = [(0, vocabulary.behaviour_of(view), *row, vocabulary.eos) for row in vocabulary.view_tokens[view].tolist()]
    follow: dict[tuple, set] = {}
    for path in paths:
        for n in range(1, len(path)):
            follow.setdefault(path[:n], set()).add(path[n])
    out = as_transformers(model.backbone).generate(
        input_ids=ids.view_as(inputs.mask), attention_mask=inputs.mask.long(), do_sample=False, num_beams=num_beams,
        num_return_sequences=num_beams, max_new_tokens=vocabulary.num_levels + 2, return_dict_in_generate=True, output_scores=True,
        prefix_allowed_tokens_fn=lambda _, path: sorted(follow.get(tuple(path.tolist()), {vocabulary.eos})),
    )  # fmt: skip
    number = {path: item for item, path in enumerate(paths)}
    items = np.array([number[tuple(path)] for path in out.sequences.tolist()]).reshape(3, num_beams)
    return items, out.sequences_scores.numpy().reshape(3, num_beams) * (vocabulary.num_levels + 2)


@pytest.mark.parametrize("task", ["recommendation", "search"])
def test_answers_are_those_of_generate(trained: GenSAR, task: str) -> None:
    items, scores = generate(trained, task, NUM_BEAMS)
    cases = trained.data.cases(task, "test").take(slice(0, 3))
    exact = trained.score(cases, None)
    np.testing.assert_allclose(np.take_along_axis(exact, items, 1), scores, rtol=1e-4, atol=1e-3)
    found = trained.top_items(cases, NUM_BEAMS)  # may change places where scores are equal
    np.testing.assert_allclose(np.take_along_axis(exact, found, 1), scores, rtol=1e-4, atol=1e-3)
    assert all(len(set(row)) == NUM_BEAMS for row in found.tolist())


def test_a_saved_model_answers_alike_and_keeps_its_head(trained: GenSAR, tmp_path: Path) -> None:
    trained.save(tmp_path / "run")
    loaded = GenSAR.load(tmp_path / "run")
    assert t5.is_tied(loaded.backbone) == t5.is_tied(trained.backbone)
    assert type(loaded.vocabulary.tokenizer) is type(trained.vocabulary.tokenizer)
    for ask in (lambda model: model.search("steel pan", k=8), lambda model: model.recommend(k=8), lambda model: model.suggest_queries(k=3)):  # fmt: skip
        theirs, ours = ask(loaded), ask(trained)
        assert theirs.drop(columns="score").equals(ours.drop(columns="score"))
        np.testing.assert_allclose(theirs["score"], ours["score"], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_new_words_stand_among_the_pretrained(kind: str, signals: Signals, tmp_path: Path) -> None:
    """The pretrained rows stay; new ones have the mean, the mean norm and the directions of the pretrained, and items of one
    meaning are near each other."""
    folder = make_checkpoint(tmp_path, kind)
    tokenizer, before = read_checkpoint(str(folder))
    assert t5.is_tied(before) == KINDS[kind][2]
    table = random_table(tiny_store().items["item_id"].tolist(), num_codes=24)
    model = GenSAR.fit(
        tiny_store(), signals, table, progress=False, backbone=str(folder), **FORM, **{**SIZES, "steps": 0}
    )
    first = len(tokenizer)
    for rows, old in ((model.backbone.shared.weight, before.shared.weight), (t5.head(model.backbone), t5.head(before))):
        words, new = rows[:first].detach(), rows[first:].detach()
        assert torch.equal(words, old[:first])
        assert float(new.norm(dim=1).mean() / words.norm(dim=1).mean()) == pytest.approx(1, abs=0.15)
        spread = words.std(0)
        assert torch.corrcoef(torch.stack([spread, new.std(0)]))[0, 1] > (
            0.8 if spread.max() > 3 * spread.min() else -1
        )
        apart = torch.nn.functional.normalize(new - new.mean(0))
        assert (apart @ apart.T).abs().mean() < 0.5, "new words differ"


@pytest.mark.parametrize("kind", ["t5", "t5 1.1"])
def test_siblings_compete_in_the_same_head_in_training_and_in_answers(
    kind: str, signals: Signals, tmp_path: Path
) -> None:
    table = random_table(tiny_store().items["item_id"].tolist())
    backbone = str(make_checkpoint(tmp_path, kind))
    model = GenSAR.fit(tiny_store(), signals, table, progress=False, backbone=backbone, evidence=(), **SIZES)
    data, config = (
        model.data,
        replace(model.config.training, shorten_history=0.0, epoch_examples={"next_search_item": None}),
    )
    examples = Examples(data, model.encoder, (["words"], np.zeros(1, np.int64)), config, 0)
    examples.shares = {"next_search_item": 8 / config.batch_size}
    chunk = examples.chunks(0)[0]
    model.backbone.config.balance = {"semantic": [[1.0, 0.0]] * model.vocabulary.num_levels}  # as the first loss has it
    with torch.no_grad():
        loss = Objective(model.backbone, model.vocabulary, replace(config, dropout=0.0, item_loss=0.0))([chunk])
    number = {tuple(row): item for item, row in enumerate(model.vocabulary.view_tokens["semantic"].tolist())}
    items = np.array([number[tuple(row)] for row in chunk.targets["semantic"].tolist()])
    scores = score_items(Scorer(model.backbone, model.vocabulary, "semantic", chunk.inputs), items[:, None])
    assert float(loss) == pytest.approx(-float(scores.mean()) / model.vocabulary.num_levels, rel=1e-4)
    every = score_items(
        Scorer(model.backbone, model.vocabulary, "semantic", chunk.inputs), np.arange(data.num_items)[None]
    )
    np.testing.assert_allclose(np.exp(every).sum(1), 1, rtol=1e-4)


def test_resizing_an_untied_head_keeps_it(tmp_path: Path) -> None:
    _, model = read_checkpoint(str(make_checkpoint(tmp_path, "t5 1.1")))
    head, words = t5.head(model).detach().clone(), model.shared.weight.detach().clone()
    model.resize(len(words) + 40)
    assert not t5.is_tied(model)
    assert torch.equal(t5.head(model)[: len(head)], head)
    assert torch.equal(model.shared.weight[: len(words)], words)
    assert len(t5.head(model)) == len(model.shared.weight) == len(words) + 40


def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path) -> None:
    def save(name: str, model, tokenizer=None) -> str:
        model.save_pretrained(tmp_path / name)
        if tokenizer is not None:
            tokenizer.save_pretrained(tmp_path / name)
        return str(tmp_path / name)

    words = T5Tokenizer().train_new_from_iterator(["some words"] * 9, 150)
    shape = {**SHAPE, "vocab_size": len(words)}
    with pytest.raises(DataError, match=r"is a umt5 model, which has a relative bias in every layer; T5, T5 1\.1"):
        read_checkpoint(save("umt5", UMT5ForConditionalGeneration(UMT5Config(**shape)), words))
    with pytest.raises(DataError, match="is a bert model, which is of another family"):
        read_checkpoint(save("bert", BertModel(BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16))))  # fmt: skip
    with pytest.raises(DataError, match="lacks weights of an encoder-decoder"):
        read_checkpoint(save("half", T5EncoderModel(T5Config(**shape)), words))
    with pytest.raises(DataError, match="they are not of one checkpoint"):
        read_checkpoint(save("other", T5ForConditionalGeneration(T5Config(**{**shape, "vocab_size": 20})), words))
    with pytest.raises(DataError, match=r"nowhere cannot be read \(.*\); give the name of a T5-family checkpoint"):
        read_checkpoint(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_checkpoint(str(tmp_path / "empty"))
