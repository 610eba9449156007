"""Everything that can be chosen about a run, and the three presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from gensar_lite.data.storage import DataError
from gensar_lite.evidence import NAMES
from gensar_lite.identifiers.rqvae import RQVAEConfig
from gensar_lite.training.settings import TrainingConfig


@dataclass(frozen=True)
class IdentifierConfig:
    """Which identifiers are learned. The paper: 2 shared and 2 specific levels of 256 codes.

    `strategy` may be the path of a file of finished identifiers (`read_identifiers`); the file then decides on all else.
    """

    strategy: str = "gensar"
    quantiser: str = "rqvae"
    num_codes: int = 64
    num_shared: int = 2
    num_specific: int = 2
    rqvae: dict[str, Any] = field(default_factory=dict)  # entries of `RQVAEConfig` that differ from its own

    def __post_init__(self) -> None:
        if unknown := set(self.rqvae) - {entry.name for entry in fields(RQVAEConfig)}:
            raise ValueError(f"unknown settings of the RQ-VAE: {', '.join(sorted(unknown))}")


@dataclass(frozen=True)
class SignalConfig:
    """Where the two signals come from: a method, a model name, or the path of a pre-computed (N, D) array."""

    text_encoder: str = "tfidf"
    collaborative: str = "sequential"
    normalise: bool = False  # rows of given arrays are made 1 long, not taken as they are
    query_prefix: str | None = None  # before what a sentence-transformers model reads; None: what the model names
    passage_prefix: str | None = None


@dataclass(frozen=True)
class RunConfig:
    """One run: signals, identifiers, training, the model's seed, and the evidence of the store that its answers hear.

    `evidence` names sources (`evidence.sources`) that are joined to the trained generator; (): the generator alone.
    """

    preset: str = "tiny"
    seed: int = 0
    evidence: tuple[str, ...] = NAMES
    signals: SignalConfig = field(default_factory=SignalConfig)
    identifiers: IdentifierConfig = field(default_factory=IdentifierConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    # what a model with `mix_levels` is asked for where a question names no mix; None: their mean
    asked_mix: float | None = None

    def __post_init__(self) -> None:
        if unknown := set(self.evidence) - set(NAMES):
            raise ValueError(
                f"evidence must be some of {', '.join(NAMES)}, or none; not {', '.join(map(str, unknown))}"
            )
        object.__setattr__(self, "evidence", tuple(name for name in NAMES if name in self.evidence))

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict) -> RunConfig:
        """Read what `to_json` wrote; raises DataError for entries that this version does not know."""
        parts = {"signals": SignalConfig, "identifiers": IdentifierConfig, "training": TrainingConfig}
        try:
            return cls(**{key: parts[key](**value) if key in parts else value for key, value in content.items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise DataError(
                f"the run's config.json was edited or written by another version of gensar_lite ({error}); run it again with this one"
            ) from error


# The recipe of the paper and of its research code, section by section in docs/paper.md.
PAPER = RunConfig(
    "paper",
    evidence=(),
    identifiers=IdentifierConfig(num_codes=256, rqvae={"hidden": (512, 256, 128, 64), "epochs": 500, "lr": 1e-3}),
    training=TrainingConfig(
        d_model=512,
        num_layers=6,
        num_heads=8,
        d_ff=2048,
        dropout=0.1,
        attention_dropout=0.1,
        vocab_size=32_000,
        history="template",
        max_events=5,
        max_text=256,
        max_query=64,
        max_target_text=None,
        softmax="full",
        epoch_examples={
            "next_item": None,
            "next_search_item": 100_000,
            "next_query": 1_000,
            "query_to_item": 1_000,
            "text_to_item": 2_000,
            "item_to_text": 2_000,
        },
        pseudo_queries_per_item=1,
        recommend_searched=False,
        shorten_history=0.0,
        look_ahead=0.0,
        start_vectors=False,
        epochs=200,
        patience=200,
        batch_size=8_192,
        accumulate=16,
        learning_rate=1e-3,
        warmup=0.01,
        betas=(0.9, 0.999),
        weight_decay=1e-7,
    ),
)

PRESETS = {
    "tiny": RunConfig("tiny"),
    "small": RunConfig(
        "small",
        identifiers=IdentifierConfig(num_codes=128),
        training=TrainingConfig(
            d_model=128,
            d_ff=256,
            vocab_size=30_000,
            dropout=0.2,
            mix=0.4,
            collaborative_dims=0.25,
            pseudo_queries_per_item=40,
            learning_rate=4e-3,
            steps=800,
            validate_every=400,
        ),
    ),
    "paper": PAPER,
    "paper-tiny": replace(
        PAPER,
        preset="paper-tiny",
        identifiers=replace(PAPER.identifiers, num_codes=32, rqvae={"hidden": (64, 32), "epochs": 20}),
        training=replace(
            PAPER.training,
            d_model=48,
            num_layers=2,
            num_heads=4,
            d_ff=96,
            vocab_size=2_000,
            max_text=48,
            max_query=16,
            epoch_examples={
                **PAPER.training.epoch_examples,
                "next_item": 1_000,
                "next_search_item": 1_000,
                "query_to_item": 500,
            },
            epochs=3,
            batch_size=64,
            learning_rate=5e-3,
            accumulate=1,
        ),
    ),
}
"""Forms by name: `tiny` for minutes on a laptop, `small` for real tables, `paper` for the paper's recipe with t5-small's sizes
on GPUs, `paper-tiny` for that recipe in miniature."""


INSTEAD: tuple[tuple[str, str, object], ...] = (("mix", "epoch_examples", {}), ("steps", "epochs", None))


def preset(name: str, seed: int = 0, **changes: Any) -> RunConfig:
    """A preset with some entries changed; each name of `changes` is `evidence` or belongs to signals, identifiers or training.

    A mix that is asked for takes the place of the preset's sizes of tasks (`epoch_examples`), steps that of its epochs.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
    if "mix" in changes and changes.get("mix_levels"):
        raise ValueError("mix and mix_levels exclude each other: with levels the mix is their mean; leave mix out")
    changes = {**{old: new for given, old, new in INSTEAD if given in changes}, **changes}
    if levels := changes.get("mix_levels"):
        changes["mix"] = sum(levels) / len(levels)  # in place of the preset's
    config = replace(PRESETS[name], seed=seed, **{k: changes.pop(k) for k in ("evidence",) if k in changes})
    for part in ("signals", "identifiers", "training"):
        section = getattr(config, part)
        known = {f.name for f in fields(section)}
        config = replace(config, **{part: replace(section, **{k: v for k, v in changes.items() if k in known})})
        changes = {k: v for k, v in changes.items() if k not in known}
    if changes:
        raise ValueError(f"unknown settings: {', '.join(changes)}")
    return config
