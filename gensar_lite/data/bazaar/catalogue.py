"""The catalogue of the simulated store: believable items, and the two communities each belongs to.

Explained in notebook 01. What an item *is* (category, product, brand, material, colour, style ...) is
written into its text. Who *clicks* it is decided by two hidden traits: its community, one per leaf
category, and its taste. For a share `alignment` of the items the hidden traits are those that the text
tells; for the others they are drawn without looking at the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd

from gensar_lite.data.bazaar import words
from gensar_lite.data.bazaar.config import BazaarConfig

# Attributes that a search may name, in the order in which people type them; the product stands before the feature.
SLOTS = ("brand", "style", "colour", "material", "feature", "use")
STYLE_SHOWN, FAMILY_COLOUR, BRAND_LOYALTY, POPULARITY_EXPONENT, POPULARITY_SHIFT = 0.6, 0.7, 0.6, 0.9, 5.0


@dataclass(frozen=True)
class Vocabulary:
    """The word tables as numbered lists. W leaf categories, P products in all, A values of all attributes.

    `slot_values[slot][product]` numbers the values of an attribute that the product may take;
    `value_words[slot][value]` and `products[product]` hold (word in texts, words in searches).
    """

    leaves: list[str]
    department: np.ndarray
    departments: list[str]
    products: list[tuple[str, list[str]]]
    leaf_products: list[np.ndarray]
    leaf_vague: list[list[str]]
    sizes: list[list[str]]
    leaf_model: np.ndarray
    slot_values: dict[str, list[np.ndarray]]
    value_words: dict[str, list[tuple[str, list[str]]]]
    mission_leaves: np.ndarray
    styles: list[str]
    style_colours: np.ndarray


@dataclass(frozen=True)
class Catalogue:
    """N items: the table that the store shows, the visible attributes and the hidden traits behind the clicks.

    `leaf`, `product`, `size`, `second` and each of `slot` are (N,) numbers into the `Vocabulary` (-1: none);
    `community` (N,) numbers leaves and `taste` (N,) styles: they decide who clicks. `popularity` (N,) sums to 1.
    """

    items: pd.DataFrame
    leaf: np.ndarray
    product: np.ndarray
    slot: dict[str, np.ndarray]
    model_number: np.ndarray
    community: np.ndarray
    taste: np.ndarray
    popularity: np.ndarray


def _pairs(text: str, separator: str) -> list[tuple[str, list[str]]]:
    """Read "word:synonym,synonym; word ..." into (word, synonyms)."""
    found = []
    for part in text.split(separator):
        word, _, synonyms = part.strip().partition(":")
        found.append((word, [s.strip() for s in synonyms.split(",") if s.strip()]))
    return found


def _suited(
    text: str, number: Callable[[str, list[tuple[str, list[str]]]], np.ndarray], slot: str
) -> list[tuple[int, str]]:
    """Number the values of one line and slot; each with the places of the products that it suits."""
    pairs = [(word.partition("@"), synonyms) for word, synonyms in _pairs(text, ", ")]
    numbers = number(slot, [(word, synonyms) for (word, _, _), synonyms in pairs])
    return [(int(value), places) for value, ((_, _, places), _) in zip(numbers, pairs, strict=True)]


@cache
def vocabulary() -> Vocabulary:
    """Number the word tables; raises KeyError where a table names a size or category that another lacks."""
    leaves: list[str] = []
    department: list[int] = []
    products: list[tuple[str, list[str]]] = []
    leaf_products, leaf_vague, sizes = [], [], []
    values: dict[str, list[tuple[str, list[str]]]] = {slot: [] for slot in SLOTS}
    slot_values: dict[str, list[np.ndarray]] = {slot: [] for slot in SLOTS}

    def number(slot: str, new: list[tuple[str, list[str]]]) -> np.ndarray:
        values[slot] += new
        return np.arange(len(values[slot]) - len(new), len(values[slot]))

    style_numbers = number("style", [(name, queries.split(",")) for name, (_, queries, _) in words.STYLES.items()])
    colours = [c for _, _, family in words.STYLES.values() for c in family.split(",")]
    colour_numbers = number(
        "colour", [(c, [words.COLOUR_WORDS[c]] if c in words.COLOUR_WORDS else []) for c in colours]
    )
    for d, (name, text) in enumerate(words.DEPARTMENTS.items()):
        brands = number("brand", [(b, []) for b in words.BRANDS[name].split(",")])
        uses = number("use", _pairs(words.USES[name], ", "))
        for line in text.strip().splitlines():
            leaf, kinds, materials, features, vague, *own_uses = (part.strip() for part in line.split(" | "))
            leaves.append(leaf)
            department.append(d)
            leaf_vague.append([word.strip() for word in vague.split(",")])
            line_uses = number("use", _pairs(own_uses[0], ", ")) if own_uses else uses
            suits = {
                slot: _suited(text, number, slot) for slot, text in (("material", materials), ("feature", features))
            }
            new = _pairs(kinds, ";")
            leaf_products.append(np.arange(len(products), len(products) + len(new)))
            for place, (kind, synonyms) in enumerate(new, start=1):
                kind, _, size = kind.partition("#")
                products.append((kind.removesuffix("!"), synonyms))
                sizes.append(words.SIZES[size].split(","))
                slot_values["brand"].append(brands)
                slot_values["style"].append(style_numbers)
                slot_values["use"].append(line_uses)
                colourless = kind.endswith("!") or name in words.WITHOUT_COLOUR
                slot_values["colour"].append(colour_numbers[:0] if colourless else colour_numbers)
                for slot, allowed in suits.items():
                    slot_values[slot].append(np.array([value for value, places in allowed if str(place) in places]))
    where = {leaf: w for w, leaf in enumerate(leaves)}
    departments = list(words.DEPARTMENTS)
    model = [
        departments[d] in words.WITH_MODEL_NUMBER or leaf in words.WITH_MODEL_NUMBER_TOO
        for leaf, d in zip(leaves, department, strict=True)
    ]
    return Vocabulary(
        leaves=leaves,
        department=np.array(department),
        departments=departments,
        products=products,
        leaf_products=leaf_products,
        leaf_vague=leaf_vague,
        sizes=sizes,
        leaf_model=np.array(model),
        slot_values=slot_values,
        value_words=values,
        mission_leaves=np.array([[where[leaf] for leaf in three] for three in words.MISSIONS.values()]),
        styles=list(words.STYLES),
        style_colours=np.arange(len(colours)).reshape(len(words.STYLES), -1),
    )


def pick(groups: list[np.ndarray], group: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """(n,) one member of each row's group, chosen by a uniform number; -1 where the group is empty."""
    lengths = np.array([len(g) for g in groups])
    flat = np.concatenate([np.asarray(g, np.int64) for g in groups])
    start = np.cumsum(lengths) - lengths
    place = np.minimum((uniform * lengths[group]).astype(np.int64), lengths[group] - 1)
    return np.where(lengths[group] > 0, flat[np.minimum(start[group] + np.maximum(place, 0), len(flat) - 1)], -1)


def make_catalogue(config: BazaarConfig) -> Catalogue:
    """Draw N items. With one seed, the aligned items of a smaller `alignment` are aligned in a larger one too."""
    v = vocabulary()
    n, rng = config.num_items, np.random.default_rng([config.seed, 1])
    leaf = rng.permutation(np.arange(n) % len(v.leaves))
    product = pick(v.leaf_products, leaf, rng.random(n))
    style = rng.integers(len(v.styles), size=n)
    # A brand leans towards one style, so a name tells something of the taste behind it.
    house_brand = style + len(v.styles) * rng.integers(2, size=n)
    loyal = (rng.random(n) < BRAND_LOYALTY) & (house_brand < 10)
    brand = np.where(loyal, 10 * v.department[leaf] + house_brand, pick(v.slot_values["brand"], product, rng.random(n)))
    family = v.style_colours[style, rng.integers(v.style_colours.shape[1], size=n)]
    colour = pick(v.slot_values["colour"], product, rng.random(n))
    colour = np.where((colour >= 0) & (rng.random(n) < FAMILY_COLOUR), family, colour)
    slot = {"brand": brand, "style": style, "colour": colour} | {
        s: pick(v.slot_values[s], product, rng.random(n)) for s in ("material", "feature", "use")
    }
    letters = np.array(list("ABCDEFGHKLMNPRSTVXZ"))
    serial = rng.permutation(n) + 100
    first, second = letters[rng.integers(len(letters), size=n)], letters[rng.integers(len(letters), size=n)]
    model = np.where(v.leaf_model[leaf], [f"{a}{b}-{s}" for a, b, s in zip(first, second, serial, strict=True)], "")

    aligned = rng.random(n) < config.alignment
    community = np.where(aligned, leaf, rng.permutation(leaf))
    taste = np.where(aligned, style, rng.permutation(style))
    popularity = (rng.permutation(n) + POPULARITY_SHIFT) ** -POPULARITY_EXPONENT
    items = _write_items(v, leaf, product, slot, model, np.random.default_rng([config.seed, 2]))
    return Catalogue(items, leaf, product, slot, model, community, taste, popularity / popularity.sum())


def _write_items(
    v: Vocabulary,
    leaf: np.ndarray,
    product: np.ndarray,
    slot: dict[str, np.ndarray],
    model: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The item table: titles name some of the attributes, descriptions name nearly all."""
    n = len(leaf)
    names = {
        name: np.array([_display(w) for w, _ in v.value_words[name]] + [""], dtype=object)[slot[name]] for name in SLOTS
    }
    shown = np.array([words.STYLES[s][0].split(",") for s in v.styles], dtype=object)
    style = np.where(rng.random(n) < STYLE_SHOWN, shown[slot["style"], rng.integers(shown.shape[1], size=n)], "")
    kind = np.array([_display(name) for name, _ in v.products], dtype=object)[product]
    ends = np.cumsum([0] + [len(sizes) for sizes in v.sizes])
    flat_sizes = np.array([s for sizes in v.sizes for s in sizes], dtype=object)
    size = flat_sizes[pick([np.arange(a, b) for a, b in pairwise(ends)], product, rng.random(n))]
    extra = np.array([_display(w) for w, _ in v.value_words["feature"]], dtype=object)[
        pick(v.slot_values["feature"], product, rng.random(n))
    ]
    used_up = np.isin(np.array(v.leaves)[leaf], words.USED_UP) | np.isin(
        np.array(v.departments)[v.department[leaf]], words.USED_UP
    )
    care = pick([np.arange(len(CARE)), len(CARE) + np.arange(len(CARE_USED_UP))], used_up.astype(int), rng.random(n))
    title_form, opening, middle, closing = (
        rng.integers(k, size=n) for k in (len(TITLES), len(OPENINGS), len(MIDDLES), len(CLOSINGS))
    )
    columns = {
        "brand": names["brand"],
        "look": style,
        "colour": names["colour"],
        "material": names["material"],
        "kind": kind,
        "feature": names["feature"],
        "use": names["use"],
        "size": size,
        "model": model,
        "extra": extra,
    }
    items = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    titles = [_title_case(TITLES[form].format(**item)) for item, form in zip(items, title_form, strict=True)]
    forms = zip(opening, middle, closing, care, strict=True)
    descriptions = [_describe(item, *form) for item, form in zip(items, forms, strict=True)]
    departments = np.array(v.departments, dtype=object)[v.department[leaf]]
    return pd.DataFrame(
        {
            "item_id": [f"B{i:07d}" for i in range(n)],
            "title": titles,
            "description": descriptions,
            "categories": departments + " > " + np.array(v.leaves, dtype=object)[leaf],
            "brand": names["brand"],
        }
    ).astype(str)


def _describe(item: dict[str, str], opening: int, middle: int, closing: int, care: int) -> str:
    """The sentences of a description, by their numbers."""
    kind, colour, size = item["kind"], item["colour"], item["size"]
    sentences = (
        OPENINGS[opening].format(
            brand=item["brand"],
            kind=kind,
            a=_article(kind, care >= len(CARE)),
            material=item["material"],
            tint=f" in {colour}" if colour else "",
            size=f", {size}" if size else "",
        ),
        MIDDLES[middle].format(
            feature=item["feature"],
            also=f" and {item['extra']}" if item["extra"] != item["feature"] else "",
            kind=kind,
            this="these" if _plural(kind) else "this",
        ),
        CLOSINGS[closing].format(use=item["use"]),
        (*CARE, *CARE_USED_UP)[care],
    )
    return " ".join(s[0].upper() + s[1:] for s in sentences if s)


TITLES = (
    "{brand} {look} {kind} with {feature}, {colour}",
    "{brand} {model} {material} {kind}, {size}",
    "{brand} {look} {material} {kind} for {use}",
    "{brand} {kind} {model} with {feature}, {size}, {colour}",
    "{look} {kind} by {brand}, {material}, {colour}",
    "{brand} {look} {kind} {model}, {colour}, {size}",
)
OPENINGS = (
    "{a} {kind} made of {material}{tint}.",
    "{material}{tint}, made with care by {brand}.",
    "{material} and nothing superfluous: our {kind}{tint}{size}.",
    "The {kind} our customers keep coming back to, in {material}.",
    "By {brand}: {material}{tint}{size}.",
    "A new take on the {kind}: {material}{size}.",
)
MIDDLES = (
    "Comes with {feature}{also}.",
    "Features {feature}{also}.",
    "With {feature}{also}, it does one job and does it well.",
    "Thanks to {feature}{also} you will reach for it again and again.",
    "What sets {this} {kind} apart: {feature}{also}.",
)
CLOSINGS = ("Great for {use}.", "Made with {use} in mind.", "Good for {use}, too.", "", "Ideal for {use}.")
CARE = (
    "Two-year warranty.",
    "Ships in plastic-free packaging.",
    "Free returns within 30 days.",
    "",
    "Tested by our own team.",
    "",
    "Designed to be repaired, not replaced.",
)
CARE_USED_UP = (
    "Made in small batches.",
    "Packed in recyclable paper.",
    "",
    "Best before date on the pack.",
    "Free returns of unopened packs.",
)
SMALL_WORDS = {"x", "with", "for", "by", "and", "of", "to", "l", "kg", "g", "cm", "m", "mm", "ml", "h", "mAh"}


def _display(word: str) -> str:
    return " ".join(words.ACRONYMS.get(part, part) for part in word.split())


def _plural(kind: str) -> bool:
    return kind.endswith("s") and not kind.endswith(("ss", "us"))


def _article(kind: str, used_up: bool) -> str:
    return "Our" if used_up or _plural(kind) else "An" if kind[0] in "aeio" else "A"


def _title_case(title: str) -> str:
    """Capital letters, and no gaps or commas where an attribute is missing."""
    title = re.sub(r",[, ]*,", ",", " ".join(title.split()).replace(" ,", ",").strip(" ,"))
    return " ".join(
        w if w.rstrip(",") in SMALL_WORDS or not w[0].islower() else w[0].upper() + w[1:] for w in title.split()
    )
