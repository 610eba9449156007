"""Searches of the simulated store, as people type them.

Explained in notebook 01. A query names the product (by its name in titles or by what people call it), the
category in vague words, or a model number, and up to two attributes. Everything in it fits the item that
the shopper is after. So, given the query, the click is distributed as the shopper's own preference times
the likelihood of the query (Bayes), which `BazaarOracle` uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gensar_lite.data.bazaar.catalogue import SLOTS, Catalogue, vocabulary
from gensar_lite.data.bazaar.config import BazaarConfig

PRODUCT, VAGUE, MODEL = 0, 1, 2
CHUNK = 200_000
SYNONYM_SHARE = 0.4
MODEL_SHARE = 0.12
SLOT_WEIGHTS = {"brand": 0.08, "style": 0.12, "colour": 0.15, "material": 0.22, "feature": 0.26, "use": 0.17}
KEYBOARD = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuioioasdfghjkkzxcvbn", strict=False))


@dataclass(frozen=True)
class Queries:
    """Q queries and what they mean. `level` (Q,): PRODUCT, VAGUE or MODEL; `slots` (Q, 6): attribute values named (-1: none);
    `target` (Q,): the item they were written for; `typo` (Q,): whether a word is misspelt."""

    text: np.ndarray
    level: np.ndarray
    slots: np.ndarray
    target: np.ndarray
    typo: np.ndarray


def write_queries(config: BazaarConfig, catalogue: Catalogue, target: np.ndarray) -> Queries:
    """One query for each of the Q items in `target` (the same item gets a new query each time)."""
    parts = [
        _write(config, catalogue, target[a : a + CHUNK], np.random.default_rng([config.seed, 4, a // CHUNK]))
        for a in range(0, max(len(target), 1), CHUNK)
    ]
    return Queries(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in Queries.__dataclass_fields__})


def likelihood(catalogue: Catalogue, queries: Queries, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
    """(B, n) chance of queries `rows` (B,) given the items (B, n), up to a factor per query; 0 where an item does not fit."""
    target, level = queries.target[rows][:, None], queries.level[rows][:, None]
    fit = np.where(
        level == PRODUCT,
        catalogue.product[items] == catalogue.product[target],
        catalogue.leaf[items] == catalogue.leaf[target],
    )
    fit = np.where(level == MODEL, items == target, fit)
    for s, slot in enumerate(SLOTS):
        value = queries.slots[rows, s][:, None]
        fit &= (value < 0) | (catalogue.slot[slot][items] == value)
    # In a category where only some products come in colours, the others name their remaining attributes more often.
    weight = SLOT_WEIGHTS["colour"] / sum(SLOT_WEIGHTS.values())
    named = (queries.slots[rows] >= 0).any(axis=1)[:, None]
    return fit * np.where((level == VAGUE) & named & (catalogue.slot["colour"][items] < 0), 1 / (1 - weight), 1.0)


def _write(config: BazaarConfig, catalogue: Catalogue, target: np.ndarray, rng: np.random.Generator) -> Queries:
    v = vocabulary()
    num, vague = len(target), config.vagueness
    leaf, product = catalogue.leaf[target], catalogue.product[target]
    chance = rng.random(num)
    has_model = v.leaf_model[leaf]
    level = np.where(chance < 0.4 * vague, VAGUE, np.where(has_model & (chance > 1 - MODEL_SHARE), MODEL, PRODUCT))

    # How many attributes: none more often where people are vague; then which, at random among those the category has.
    count = (rng.random(num) >= 0.15 + 0.5 * vague).astype(int) + (rng.random(num) >= 0.6 + 0.4 * vague)
    count = np.where(level == MODEL, 0, np.where(level == VAGUE, np.minimum(count, 1), count))
    values = np.stack([catalogue.slot[slot][target] for slot in SLOTS], axis=1)
    weight = np.array([SLOT_WEIGHTS[slot] for slot in SLOTS])
    order = np.argsort(
        np.argsort(-(np.log(weight) + rng.gumbel(size=values.shape) - 1e9 * (values < 0)), axis=1), axis=1
    )
    slots = np.where((order < count[:, None]) & (values >= 0), values, -1)

    synonym, which = rng.random(num) < SYNONYM_SHARE, rng.random((num, len(SLOTS) + 1))
    misspelt = rng.random(num) < config.typo_share
    slip = rng.random((num, 3))
    noun = [
        _noun(v.products[p], v.leaf_vague[w] if lv == VAGUE else [], s, u)
        for p, w, lv, s, u in zip(product, leaf, level, synonym, which[:, -1], strict=True)
    ]
    text = []
    for row, (name, said, w) in enumerate(zip(noun, slots.tolist(), which.tolist(), strict=True)):
        if level[row] == MODEL:
            brand = v.value_words["brand"][values[row, 0]][0]
            text.append(
                f"{brand if w[0] < 0.6 else v.products[product[row]][0]} {catalogue.model_number[target[row]]}".lower()
            )
            continue
        spoken = [
            _say(slot, v.value_words[slot][said[s]], w[s]) if said[s] >= 0 else "" for s, slot in enumerate(SLOTS)
        ]
        text.append(" ".join(part for part in (*spoken[:4], name, *spoken[4:]) if part).lower())
    typo = np.zeros(num, bool)
    for row in map(int, np.flatnonzero(misspelt)):
        wrong = _misspell(text[row], slip[row])
        typo[row], text[row] = wrong != text[row], wrong
    return Queries(np.array(text, dtype=object), level, slots, target, typo)


def _noun(product: tuple[str, list[str]], vague: list[str], use_synonym: bool, uniform: float) -> str:
    name, synonyms = product
    if vague:
        return vague[int(uniform * len(vague))]
    return synonyms[int(uniform * len(synonyms))] if use_synonym else name


def _say(slot: str, value: tuple[str, list[str]], uniform: float) -> str:
    """An attribute as typed: half of the time by its name in the texts, else by a synonym."""
    word, synonyms = value
    if synonyms and (slot == "style" or uniform < 0.5):
        return synonyms[int(uniform * 1.999 * len(synonyms)) % len(synonyms)]
    return f"for {word}" if slot == "use" else word


def _misspell(query: str, uniform: np.ndarray) -> str:
    """One slip in one longer word: two letters swapped, one left out, one doubled or the neighbouring key hit."""
    words = query.split()
    long = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not long:
        return query
    chosen = long[int(uniform[0] * len(long))]
    word = words[chosen]
    at = 1 + int(uniform[1] * (len(word) - 2))
    slips = (
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
        word[:at] + KEYBOARD.get(word[at], word[at]) + word[at + 1 :],
    )
    words[chosen] = slips[int(uniform[2] * len(slips))]
    return " ".join(words)
