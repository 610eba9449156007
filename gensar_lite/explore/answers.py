"""What the explorers ask of a model: both tasks for one person, at a place between the tasks.

Explained in notebooks 00 and 09. No widget here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import pandas as pd

from gensar_lite.data.languages import fold_accents
from gensar_lite.data.lexical import CHARACTERS, index_terms
from gensar_lite.data.storage import DataError
from gensar_lite.model import GenSAR
from gensar_lite.tradeoff.interpolation import WeightLine


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
    """A model, and where there is one a line between two fine-tunes of it."""

    def __init__(self, model: GenSAR, line: WeightLine | None = None) -> None:
        self.model, self.line = model, line

    def at(self, mix: float | None) -> GenSAR:
        """The model itself, or the one at a place of the line: 0 is search-heavy, 1 recommendation-heavy."""
        if mix is None:
            return self.model
        if self.line is None:
            raise DataError("the mix slider needs two short fine-tunes of this model; `prepare_kit` makes them")
        return self.line.at(mix)

    def answer(self, question: Question, k: int = 10, mix: float | None = None) -> pd.DataFrame:
        """The best `k` items: item_id, title, score, identifier."""
        model = self.at(mix)
        if question.query is None:
            return model.recommend(user=question.user, history=question.history, k=k)
        return model.search(question.query, user=question.user, history=question.history, k=k)


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
