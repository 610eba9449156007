"""Whether a store can know what a query speaks of."""

from __future__ import annotations

import re
from functools import lru_cache

from gensar_lite.data.languages import fold_accents
from gensar_lite.data.lexical import CHARACTERS, index_terms
from gensar_lite.model import GenSAR


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
