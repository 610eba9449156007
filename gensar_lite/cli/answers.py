"""The verbs that ask a trained model, and the one that adds items to it."""

from __future__ import annotations

import re
from argparse import Namespace
from functools import lru_cache
from typing import Any

from gensar_lite.cli import UsageError
from gensar_lite.cli.output import print_answers, print_json, show, tell
from gensar_lite.data.languages import fold_accents
from gensar_lite.data.lexical import CHARACTERS, index_terms
from gensar_lite.data.storage import locked
from gensar_lite.model import GenSAR


def search(chosen: Namespace) -> None:
    """Search the store of a run."""
    if not chosen.query.strip():
        raise UsageError("the query is empty; type at least one word")
    model = GenSAR.load(chosen.run)
    if not knows_a_word(model, chosen.query):
        tell(f"note: no word of {chosen.query!r} occurs in the store's items or queries; the answers are a guess")
    print_answers(model.search(chosen.query, user=chosen.user, **_options(chosen, model)), chosen.json)


def recommend(chosen: Namespace) -> None:
    """Recommend to a user or for a history."""
    model = GenSAR.load(chosen.run)
    history = None if chosen.history is None else [item.strip() for item in chosen.history.split(",") if item.strip()]
    print_answers(model.recommend(user=chosen.user, history=history, **_options(chosen, model)), chosen.json)


def suggest(chosen: Namespace) -> None:
    """Suggest queries to a user."""
    print_answers(GenSAR.load(chosen.run).suggest_queries(chosen.user, k=chosen.k), chosen.json)


def add_items(chosen: Namespace) -> None:
    """Let new items join a run, which is written anew as a whole."""
    from gensar_lite.data.importing.finish import read_new_items
    from gensar_lite.data.importing.report import ImportReport
    from gensar_lite.pipeline.folder import replace_catalogue

    report = ImportReport()
    items = read_new_items(chosen.items, report)
    for sentence in report.sentences:
        tell(f"note: {sentence}")
    with locked(chosen.run):  # two who add at once would each write the catalogue that they have read
        model = GenSAR.load(chosen.run).add_items(items)
        replace_catalogue(chosen.run, model)
    new = model.identifiers_of(items["item_id"].tolist())
    if chosen.json:
        print_json(new.to_dict("records"))
        return
    show(f"{len(new)} items joined {chosen.run}, which now has {model.data.num_items:,}:")
    for row in new.head(10).to_dict("records"):
        show(f"  {row['item_id']}: {row['title']}  {row['semantic']}  {row['collaborative']}")
    if len(new) > 10:
        show(f"  and {len(new) - 10:,} more")


def _options(chosen: Namespace, model: GenSAR) -> dict[str, Any]:
    if chosen.k > model.data.num_items:
        tell(f"note: the catalogue has {model.data.num_items} items, fewer than the {chosen.k} asked for")
    return {
        "k": min(chosen.k, model.data.num_items),
        "num_beams": chosen.beams,
        "evidence": chosen.evidence,
        "category": chosen.category,
        "exclude_seen": chosen.exclude_seen,
    }


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
