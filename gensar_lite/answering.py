"""What a trained model answers: it searches, recommends and suggests queries, from one set of weights.

Explained in notebook 00. A model carries what it needs to answer: the catalogue and the log, the identifiers, the vocabulary, the
weights, and the evidence of its store. Making, changing and keeping one is the subject of `model`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch

from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.decoding.beam import Beams, beam_search
from gensar_lite.decoding.queries import QueryWriter
from gensar_lite.decoding.scoring import score_items
from gensar_lite.evidence.evidence import Evidence
from gensar_lite.identifiers.table import VIEWS, IdentifierTable
from gensar_lite.identifiers.trie import IdentifierTrie
from gensar_lite.network.backbone import T5
from gensar_lite.network.inputs import InputEncoder
from gensar_lite.network.prompts import TASK_PROMPT
from gensar_lite.network.requests import Request, RequestEncoder
from gensar_lite.network.scorer import Scorer, requests_at_once
from gensar_lite.network.tokenizer import AnyTokenizer
from gensar_lite.network.vocabulary import NUM_AGES, TASK_VIEW, Vocabulary
from gensar_lite.signals.device import choose_device, workers
from gensar_lite.signals.signals import Signals

if TYPE_CHECKING:
    from gensar_lite.config import RunConfig

CASES_AT_ONCE = 64
NUM_BEAMS = 30


class Answering:
    """A model that answers, with its store.

    `heard` names the sources of evidence that its answers are joined with where a question does not choose; () is the
    generator alone. `backbone` may be a function that makes one for a vocabulary in which every item has a token.
    """

    tasks: tuple[str, ...] = ("recommendation", "search")

    def __init__(
        self,
        data: Dataset,
        signals: Signals,
        table: IdentifierTable,
        tokenizer: AnyTokenizer,
        backbone: T5 | Callable[[Vocabulary], T5],
        config: RunConfig,
        evidence: Evidence | None = None,
    ) -> None:
        self.evidence = evidence or Evidence([], data.num_items)
        self.heard = tuple(name for name in config.evidence if name in self.evidence.sources)
        self.data = data
        self.signals = signals
        self.table = table
        self.config = config
        # items that joined after training have no token of their own
        remembered = getattr(backbone.config, "num_remembered", 0) if isinstance(backbone, T5) else len(table)
        remembered *= config.training.remembers_items
        training = config.training
        num_ages = NUM_AGES if training.marks_ages else 0
        self.vocabulary = Vocabulary(tokenizer, table, remembered, len(training.mix_levels), num_ages)
        form = training.history, training.max_events, training.max_text, training.max_query
        self.encoder = InputEncoder(self.vocabulary, data.log, data.item_texts, *form)
        if training.mix_levels:
            asked = training.mix if config.asked_mix is None else config.asked_mix
            self.encoder = self.encoder.at_level(training.nearest_level(asked))
        self.requests = RequestEncoder(data, self.encoder)
        self.tries = self.vocabulary.tries
        if not isinstance(backbone, T5):
            backbone = backbone(self.vocabulary)
            backbone.config.num_remembered = remembered
        self.backbone = backbone.eval()
        self.training_history: list[dict] = []

    @property
    def name(self) -> str:
        """What rows are called: the kind of identifiers, which alone means the generator alone, and what is heard."""
        return " + ".join([self.config.identifiers.strategy, *self.heard])

    def hearing(self, names: Sequence[str]) -> Self:
        """This model, answering with some of its sources of evidence; () is the generator alone. Raises DataError for others."""
        if unknown := set(names) - set(self.evidence.sources):
            there = ", ".join(self.evidence.sources) or "none"
            raise DataError(f"this model has no evidence {', '.join(sorted(unknown))}; it has {there}")
        other = copy.copy(self)
        other.heard = tuple(name for name in self.evidence.sources if name in names)
        return other

    def for_mix(self, mix: float) -> Self:
        """The same weights, asked for the level of `mix_levels` nearest to this mix; saved and loaded with it."""
        level = self.config.training.nearest_level(mix)
        other = copy.copy(self)
        other.config = replace(self.config, asked_mix=mix)
        other.encoder, other.requests = self.encoder.at_level(level), copy.copy(self.requests)
        other.requests.encoder = other.encoder
        return other

    def _asked_for(self, mix: float | None) -> Self:
        return self if mix is None else self.for_mix(mix)

    @property
    def device(self) -> torch.device:
        """Where it answers."""
        return self.backbone.device

    def to(self, device: torch.device | str) -> Self:
        """The same model with its weights on another device, where it answers from then on; this one stays where it is.

        Raises DataError where there is no such device.
        """
        other = copy.copy(self)
        other.backbone = copy.deepcopy(self.backbone).to(choose_device(device))
        return other

    def score(self, cases: Cases, candidates: np.ndarray | None, mix: float | None = None) -> np.ndarray:
        """Exact log-probabilities (C, n) of candidates (C, n), or (C, N) of the whole catalogue; `mix` as in `recommend`."""
        asked, every = self._asked_for(mix), np.arange(self.data.num_items)[None]
        width = self.data.num_items if candidates is None else candidates.shape[1]

        def ask(scorer: Scorer, rows: slice) -> np.ndarray:
            return score_items(scorer, every if candidates is None else candidates[rows])

        return asked._in_pieces(cases, ask, np.zeros((0, width), np.float32))

    def _in_pieces(self, cases: Cases, ask: Callable[[Scorer, slice], np.ndarray], nothing: np.ndarray) -> np.ndarray:
        """What `ask` answers, with a few cases at a time, piece after piece or on several cores; `nothing` where there are none."""
        size = requests_at_once(self.data.num_items, CASES_AT_ONCE)
        pieces = [slice(first, first + size) for first in range(0, len(cases), size)]

        def answer(rows: slice) -> np.ndarray:
            with torch.inference_mode():
                return ask(self.scorer(self.requests.cases(cases.take(rows)), cases.task), rows)

        if len(pieces) < 2 or (pool := workers(self.device)) is None:
            return np.concatenate([nothing, *map(answer, pieces)])
        with pool:
            return np.concatenate([nothing, *pool.map(answer, pieces)])

    def scorer(self, request: Request, task: str, trie: IdentifierTrie | None = None) -> Scorer:
        """What beam search and exact scoring ask about some requests: the generator with what is heard of the store."""
        view = TASK_VIEW[task]
        told = self.evidence.ask(request.question, self.heard, view)
        weights = self.evidence.weights.get(" + ".join(self.heard), {}).get(view)
        softmax = self.config.training.softmax
        return Scorer(self.backbone, self.vocabulary, view, request.inputs, softmax, trie, told, weights)

    def search(
        self,
        query: str | Sequence[str],
        user: str | None = None,
        history: Sequence[str] | None = None,
        k: int = 10,
        mix: float | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """The `k` best items for a query, personalised where a user or a history of item ids is given.

        Gives a DataFrame with item_id, title, score (log-probability) and identifier, best first; a list of
        queries gives one table with the query in front. `mix` and `options` as in `recommend`.
        """
        queries = [query] if isinstance(query, str) else list(query)
        label = None if isinstance(query, str) else ("query", queries)
        return self._asked_for(mix)._answer("search", queries, [user] * len(queries), history, k, label, **options)

    def recommend(
        self,
        user: str | Sequence[str] | None = None,
        history: Sequence[str] | None = None,
        k: int = 10,
        mix: float | None = None,
        **options: Any,
    ) -> pd.DataFrame:
        """The `k` items that a user, or somebody with this history of item ids, will most probably click next.

        Options: `num_beams` (default: the larger of 30 and k), `exclude_seen` (leave out items of the history),
        `items` (choose among these item ids only), `category` (among items whose categories contain this text), `evidence`
        (the sources to hear, () for the generator alone; default: those of `heard`). `mix` is what a model trained with
        `mix_levels` is asked for (see `for_mix`).
        A user the log has never seen gets what suits a new user, with a warning.
        """
        users = [user] if user is None or isinstance(user, str) else list(user)
        label = None if user is None or isinstance(user, str) else ("user", users)
        return self._asked_for(mix)._answer("recommendation", None, users, history, k, label, **options)

    def _answer(
        self,
        task: str,
        queries: list[str] | None,
        users: Sequence[str | None],
        history: Sequence[str] | None,
        k: int,
        label: tuple[str, Sequence[str | None]] | None,
        *,
        num_beams: int = NUM_BEAMS,
        exclude_seen: bool = False,
        items: Sequence[str] | None = None,
        category: str | None = None,
        evidence: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if queries is not None and not all(isinstance(q, str) and q.strip() for q in queries):
            raise ValueError("the query is empty; type at least one word")
        if not users:
            return self._table(Beams(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)), task, k, label)
        request, seen = self.requests.users(TASK_PROMPT[task], users, history, queries)
        trie = self._allowed(TASK_VIEW[task], items, category)
        answering = self if evidence is None else self.hearing(evidence)
        scorer = answering.scorer(request, task, trie)
        width = min(max(num_beams, k), len(trie.items))
        return self._table(beam_search(scorer, width, seen if exclude_seen else None), task, k, label)

    def top_items(self, cases: Cases, k: int = 10) -> np.ndarray:
        """The items (C, k) that held-out cases are answered with, best first (-1: no more); what `search` and `recommend` show."""
        width = min(max(NUM_BEAMS, k), self.data.num_items)

        def ask(scorer: Scorer, rows: slice) -> np.ndarray:
            return beam_search(scorer, width).items[:, :k]

        return self._in_pieces(cases, ask, np.zeros((0, min(k, width)), np.int32))

    def describe(self, items: np.ndarray, task: str) -> pd.DataFrame:
        """item_id, title and identifier of item numbers (n,)."""
        items = np.asarray(items)[np.asarray(items) >= 0]
        return pd.DataFrame(
            {
                "item_id": self.data.items["item_id"].to_numpy()[items],
                "title": self.data.items["title"].to_numpy()[items],
                "identifier": [self.table.text(item, TASK_VIEW[task]) for item in items],
            }
        )

    def identifiers_of(self, item_ids: Sequence[str]) -> pd.DataFrame:
        """item_id, title and both identifiers of some items."""
        rows = [self.data.item_number[item] for item in item_ids]
        names = {view: [self.table.text(row, view) for row in rows] for view in VIEWS}
        return self.data.items.iloc[rows][["item_id", "title"]].assign(**names).reset_index(drop=True)

    def _allowed(self, view: str, items: Sequence[str] | None, category: str | None) -> IdentifierTrie:
        if items is None and category is None:
            return self.tries[view]
        allowed = np.ones(self.data.num_items, bool)
        if category is not None:
            allowed &= self.data.items["categories"].str.contains(category, case=False, regex=False).to_numpy()
            if not allowed.any():
                raise DataError(f"no item has a category that contains {category!r}")
        if items is not None:
            unknown = [item for item in items if item not in self.data.item_number]
            if unknown:
                raise DataError(
                    f"the items to choose from are not all in the catalogue: {', '.join(map(str, unknown[:5]))}"
                )
            chosen = np.zeros_like(allowed)
            chosen[[self.data.item_number[item] for item in items]] = True
            allowed &= chosen
        return self.tries[view].restrict(np.flatnonzero(allowed))

    def _table(self, beams: Beams, task: str, k: int, label: tuple[str, Sequence[str | None]] | None) -> pd.DataFrame:
        row, column = np.nonzero(beams.items[:, :k] >= 0)
        table = self.describe(beams.items[row, column], task)
        table.insert(2, "score", beams.scores[row, column])
        if label is not None:
            table.insert(0, label[0], np.array(label[1], dtype=object)[row])
        return table

    @cached_property
    def _query_writer(self) -> QueryWriter:
        training = self.config.training
        words = slice(None) if training.softmax == "full" else slice(0, self.vocabulary.num_words)
        return QueryWriter(self.encoder, self.data.log.queries, training.max_target_text, words)

    def suggest_queries(
        self, user: str | None = None, history: Sequence[str] | None = None, k: int = 5, mix: float | None = None
    ) -> pd.DataFrame:
        """The `k` queries that this user will most probably type next, among all that the log holds: query and score."""
        request, _ = self._asked_for(mix).requests.users("next_query", [user], history)
        return pd.DataFrame(self._query_writer.suggest(self.backbone, request.inputs, k), columns=["query", "score"])
