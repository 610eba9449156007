"""What can be chosen about training."""

from __future__ import annotations

from dataclasses import dataclass, field

SOFTMAXES = ("trie", "full")


@dataclass(frozen=True)
class TrainingConfig:
    """Sizes, tasks and schedule of one training. The defaults are the `tiny` preset.

    `mix` is the share of recommendation among recommendation and search examples (pseudo-queries count as
    search). `softmax` says what a code competes with: "trie" with the codes that lead to an item after the same
    prefix, so that the probabilities of all items sum to one; "full" with the whole vocabulary (as in the paper, equal to
    `generate` of `transformers`).
    """

    d_model: int = 96
    num_layers: int = 1
    num_heads: int = 4
    d_ff: int = 192
    dropout: float = 0.15
    attention_dropout: float = 0.0  # of attention weights; `transformers` drops them as often as states
    backbone: str | None = None  # name or path of a T5-family checkpoint; None: from scratch
    vocab_size: int = 4_500  # text tokens when the tokenizer is trained here

    # "pooled": one position per event; "tokens": every token a position; "template": as in the paper, sentences around the
    # latest `max_events` clicks and the latest `max_events` searches, every token a position
    history: str = "pooled"
    max_events: int = 50
    # pooled events also hold a vector of the item itself, which codes only approximate; None: where the form allows it
    item_memory: bool | None = None
    max_text: int = 32  # tokens of an item text that the encoder reads
    max_query: int | None = None  # tokens of a query; None: as many
    max_target_text: int | None = 12  # tokens of a text that the decoder is taught to write; None: all that are read

    softmax: str = "trie"
    mix: float = 0.45
    mix_levels: tuple[
        float, ...
    ] = ()  # mixes that one model can be asked for, each a token in its inputs; `mix` is then their mean
    pseudo_share: float = 0.65  # of the search examples
    aux_shares: dict[str, float] = field(
        default_factory=lambda: {"text_to_item": 0.06, "next_query": 0.03, "item_to_text": 0.01}
    )
    # examples of each task in an epoch, None or a task that is not named: all. Not empty, it takes the place of `mix`,
    # `pseudo_share` and `aux_shares`
    epoch_examples: dict[str, int | None] = field(default_factory=dict)
    pseudo_queries_per_item: int = 20
    pseudo_queries: str | None = (
        None  # a table of item_id and query (a neural doc2query's); None: learned from the training log
    )
    recommend_searched: bool = True  # what was clicked after a search is a target of recommendation, too

    # pooled events also hold a vector of their age: how many events came after them; None: where the form allows it
    event_age: bool | None = None
    # weight of a second loss: the target among all items, told from the state that chooses the first code
    item_loss: float = 1.0
    shorten_history: float = 0.2  # chance that a training history is cut to a random length

    start_vectors: bool = True  # embeddings start from item vectors (`training.initialise`), not at random
    embedding_noise: float = 0.1  # deviation of the noise added to embeddings that start from item vectors
    # share of the embedding that starts from collaborative vectors, the rest from semantic ones
    collaborative_dims: float = 0.5

    look_ahead: float = 0.0  # chance that the target of next_item is not the next click but one a few events later

    steps: int = 600
    epochs: int | None = None  # given, training lasts so many passes over the examples, with a validation after each
    batch_size: int = 512
    learning_rate: float = 5e-3
    warmup: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)  # of AdamW
    weight_decay: float = 0.0
    accumulate: int = 1  # parts in which a process computes its share of a batch, one after the other
    validate_every: int = 200
    patience: int = 4  # validations after the warm-up without a better value before training stops

    def __post_init__(self) -> None:
        if self.softmax not in SOFTMAXES:
            raise ValueError(f"softmax must be one of {SOFTMAXES}, not {self.softmax!r}")
        object.__setattr__(self, "betas", tuple(self.betas))
        if self.item_memory and not self.remembers_items:
            raise ValueError(
                'item_memory needs history="pooled" and softmax="trie": the paper\'s forms read and write identifiers alone'
            )
        if self.event_age and not self.marks_ages:
            raise ValueError('event_age needs history="pooled": the paper\'s form has no token for the age of an event')
        object.__setattr__(self, "mix_levels", tuple(float(level) for level in self.mix_levels))  # JSON has lists
        if self.mix_levels:
            if len(set(self.mix_levels)) < 2 or not all(0 <= level <= 1 for level in self.mix_levels):
                raise ValueError(f"mix_levels must be two or more different mixes from 0 to 1, not {self.mix_levels}")
            mean = sum(self.mix_levels) / len(self.mix_levels)
            if self.mix not in (TrainingConfig.mix, mean):
                raise ValueError(f"mix_levels have the mean {mean:g}, mix is {self.mix:g}; leave mix out")
            object.__setattr__(self, "mix", mean)
        if not 0 <= self.mix <= 1:
            raise ValueError(f"mix must lie between 0 (search only) and 1 (recommendation only), not {self.mix}")

    def nearest_level(self, mix: float) -> int:
        """Which of `mix_levels` is nearest to a mix. Raises ValueError where there are none."""
        if not self.mix_levels:
            raise ValueError("this model was trained for one mix; train it with mix_levels to choose among mixes")
        return min(range(len(self.mix_levels)), key=lambda level: abs(self.mix_levels[level] - mix))

    @property
    def remembers_items(self) -> bool:
        """Whether items have vectors of their own."""
        return self.history == "pooled" and self.softmax == "trie" and self.item_memory is not False

    @property
    def marks_ages(self) -> bool:
        """Whether events say how old they are."""
        return self.history == "pooled" and self.event_age is not False

    def level_odds(self, task: str) -> list[float] | None:
        """How probable each of `mix_levels` is for an example of a task, so that the examples of a level have its mix."""
        if not self.mix_levels:
            return None
        if task in self.aux_shares:
            odds = [1.0] * len(self.mix_levels)
        else:
            odds = [level if task == "next_item" else 1 - level for level in self.mix_levels]
        return [value / sum(odds) for value in odds]

    def shares(self) -> dict[str, float]:
        """Share of each of the six tasks in a batch; they sum to one."""
        main = 1 - sum(self.aux_shares.values())
        search = main * (1 - self.mix)
        return {
            "next_item": main * self.mix,
            "next_search_item": search * (1 - self.pseudo_share),
            "query_to_item": search * self.pseudo_share,
            **self.aux_shares,
        }
