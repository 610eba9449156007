"""What the store console asks of a model: both tasks for one person, a place between the tasks, scores fused.

Explained in notebooks 00 and 09. No widget here; `console.py` puts it on a page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from gensar_lite.data.languages import fold_accents
from gensar_lite.data.lexical import CHARACTERS, LexicalIndex, index_terms
from gensar_lite.data.storage import DataError
from gensar_lite.evaluation.baselines import ItemKNN, recorded_parameters
from gensar_lite.model import GenSAR
from gensar_lite.tradeoff.fusion import fuse
from gensar_lite.tradeoff.interpolation import WeightLine

POOL = 100


def check_user(model: GenSAR, user: str) -> None:
    """Raise DataError for a user whom the log does not know."""
    if user not in model.data.user_number:
        some = ", ".join(model.data.log.user_ids[:3])
        raise DataError(
            f"the log has no user {user!r}; known are, for instance, {some}. Leave the field empty for nobody in particular"
        )


def check_query(model: GenSAR, query: str) -> str:
    """Raise DataError for an empty query; a sentence for one with no word that the store knows, otherwise nothing."""
    if not query.strip():
        raise DataError("the query is empty; type at least one word")
    if knows_a_word(model, query):
        return ""
    return f"No word of “{query}” occurs in the store's items or queries; the answers are a guess."


def knows_a_word(model: GenSAR, query: str) -> bool:
    """Whether some word of a query, or its stem, occurs in an item's text or in a query of the log."""
    language = model.data.language
    return any(_has_word(_store_text(model), term, language) for term in index_terms(query, language))


def _has_word(text: str, term: str, language: str) -> bool:
    """Whether a word of the text has this term. Words that begin like it are stemmed, of others there is no need."""
    if re.fullmatch(f"[{CHARACTERS}]", term):
        return term in text
    begins = re.escape(term[: max(3, len(term) - 2)])
    return any(term in index_terms(word, language) for word in set(re.findall(rf"(?<![^\W_]){begins}[^\W_]*", text)))


@lru_cache(maxsize=2)
def _store_text(model: GenSAR) -> str:
    return fold_accents("\n".join([*model.data.item_texts, *model.data.log.queries])).lower()


class Question(NamedTuple):
    """Who asks, and what. `history` (item ids) stands for the user's own events where it is not None."""

    query: str | None
    user: str | None
    history: tuple[str, ...] | None = None


class Shop:
    """A model with its cheap sliders: a line between two fine-tunes, and partners whose scores can be fused with its own."""

    def __init__(self, model: GenSAR, line: WeightLine | None = None) -> None:
        self.model, self.line = model, line
        data = model.data
        self.bm25 = LexicalIndex(data.item_texts, data.language)
        self.knn = ItemKNN(data, **recorded_parameters(data).get("item-knn", {}))
        self.ids = data.items["item_id"].to_numpy(object)

    def at(self, mix: float | None) -> GenSAR:
        """The model itself, or the one at a place of the line: 0 is search-heavy, 1 recommendation-heavy."""
        if mix is None:
            return self.model
        if self.line is None:
            raise DataError("the mix slider needs two short fine-tunes of this model; `gensar-lite app` makes them")
        return self.line.at(mix)

    def answer(self, question: Question, k: int = 10, mix: float | None = None, weight: float = 0.0) -> pd.DataFrame:
        """The best `k` items: item_id, title, score, identifier. `weight` fuses z-scores with a partner: BM25 for
        a search, item-knn for a recommendation, over the best of both."""
        model = self.at(mix)
        if weight == 0:
            return self._ask(model, question, k=k)
        partner = self._partner(question)
        pool = self._ask(model, question, k=min(POOL, model.data.num_items))["item_id"].tolist()
        best = np.argsort(-partner, kind="stable")[:POOL]
        both = dict.fromkeys([*pool, *self.ids[best[partner[best] > 0]].tolist()])
        scored = self._ask(model, question, k=len(both), items=list(both))
        number = [model.data.item_number[item] for item in scored["item_id"]]
        fused = fuse(scored["score"].to_numpy()[None], partner[number][None].astype(np.float64), weight, "z-score")[0]
        order = np.argsort(-fused, kind="stable")[:k]
        return scored.assign(score=fused).iloc[order].reset_index(drop=True)

    def _ask(self, model: GenSAR, question: Question, **options: Any) -> pd.DataFrame:
        who: dict[str, Any] = {"user": question.user, "history": question.history}
        if question.query is None:
            return model.recommend(**who, **options)
        return model.search(question.query, **who, **options)

    def _partner(self, question: Question) -> np.ndarray:
        """(N,) the partner's scores."""
        if question.query is not None:
            return np.asarray(self.bm25.scores([question.query]))[0]
        clicked = self.clicked(question)
        ages = np.arange(len(clicked))[::-1]
        history = np.zeros(len(self.ids), np.float32)
        np.add.at(history, clicked, np.power(self.knn.decay, ages).astype(np.float32))
        return np.asarray(history @ self.knn.similarity).ravel()

    def clicked(self, question: Question) -> np.ndarray:
        """The item numbers that the asker has clicked, oldest first."""
        if question.history is not None:
            return np.array([self.model.data.item_number[item] for item in question.history], np.int64)
        if question.user is None:
            return np.zeros(0, np.int64)
        return clicks_of(self.model, question.user)


def clicks_of(model: GenSAR, user: str) -> np.ndarray:
    """The item numbers that a user of the log has clicked, oldest first."""
    log, number = model.data.log, model.data.user_number[user]
    items = log.item[log.user_ptr[number] : log.user_ptr[number + 1]]
    return items[items >= 0]


def movement(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """How each item of a list stands against the list before: "new", "▲2", "▼1", or nothing where it stayed."""
    place = {item: number for number, item in enumerate(before)}
    if not before:
        return [""] * len(after)
    moves = [place.get(item) for item in after]
    return [
        "new" if old is None else "" if old == now else f"▲{old - now}" if old > now else f"▼{now - old}"
        for now, old in enumerate(moves)
    ]
