"""What depends on a text's language: stop words, stems, parts of compounds, and words in scripts without spaces.

Stop words are those of `bm25s`, stems those of Snowball (`snowballstemmer`). Where a script writes no spaces, words are the
pieces that recur in the catalogue: byte-pair encoding learned on it (Sennrich et al. 2016), which needs no dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

import bm25s.stopwords
import snowballstemmer
from tokenizers import Tokenizer, models, trainers

from gensar_lite.data.storage import DataError

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"  # Thai, Lao, Burmese, Khmer, kana, Han
COMPOUNDING = ("german", "dutch", "swedish", "norwegian", "danish", "finnish")
_WITH_STOP_WORDS = [
    "german",
    "dutch",
    "french",
    "spanish",
    "portuguese",
    "italian",
    "russian",
    "swedish",
    "norwegian",
    "danish",
    "turkish",
    "chinese",
    "korean",
]
_BY_SCRIPT = {
    "chinese": "\u3400-\u9fff",
    "japanese": "\u3040-\u30ff",
    "korean": "\uac00-\ud7af",
    "thai": "\u0e00-\u0e7f",
}
LANGUAGES = ("english", "none", *sorted({*snowballstemmer.algorithms(), *_WITH_STOP_WORDS, *_BY_SCRIPT} - {"english"}))
_LINKS = ("", "s", "es", "n", "en", "e", "er")  # between the parts of a compound
_LEAST_PART = 4  # letters of a part
_PIECES, _PIECE_LENGTH = 30_000, 4
_LETTERS = re.compile(r"[^\W\d_]+")
_ACCENT = re.compile("[\u0300-\u036f]")


class Language(NamedTuple):
    """`stop_words` (in lower case, with their accents) and `stem`, which gives the stem of a lower-case word."""

    name: str
    stop_words: frozenset[str]
    stem: Callable[[str], str]


@lru_cache
def get_language(name: str) -> Language:
    """A language other than English by name; "none" has neither stop words nor stems. Raises DataError for an unknown one."""
    if name not in LANGUAGES:
        raise DataError(f"unknown language {name!r}; known are {', '.join(LANGUAGES)}")
    stop_words = frozenset(getattr(bm25s.stopwords, f"STOPWORDS_{name.upper()}", ()))
    if name not in snowballstemmer.algorithms():
        return Language(name, stop_words, lambda word: word)
    stem = snowballstemmer.stemmer(name).stemWord
    return Language(name, stop_words, lru_cache(1 << 17)(lambda word: stem(word) if word.isalpha() else word))


def fold_accents(text: str) -> str:
    """The text without accents and umlauts."""
    return (
        text if text.isascii() else unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFKD", text)))
    )


def find_language(texts: Iterable[str], most: int = 2000) -> str:
    """The language of a catalogue by its script, else by which language's stop words it uses most; English where few are used."""
    sample = " ".join(text for _, text in zip(range(most), texts, strict=False)).lower()
    letters = max(len("".join(_LETTERS.findall(sample))), 1)
    for name in ("japanese", "thai", "korean", "chinese"):  # Japanese is told by its kana, Han alone is Chinese
        if len(re.findall(f"[{_BY_SCRIPT[name]}]", sample)) > (0.1 if name == "japanese" else 0.3) * letters:
            return name
    counts = Counter(_LETTERS.findall(sample))
    stop_words = {"english": frozenset(bm25s.stopwords.STOPWORDS_EN)}
    stop_words |= {name: get_language(name).stop_words for name in _WITH_STOP_WORDS}
    used = {name: sum(counts[word] for word in words) for name, words in stop_words.items()}
    best = max(used, key=lambda name: used[name])
    return best if used[best] > max(1.2 * used["english"], 0.02 * counts.total()) else "english"


def split_compound(word: str, known: Collection[str], stem: Callable[[str], str]) -> tuple[str, ...]:
    """The known parts of a compound ("kinderschlafsack": schlafsack and, where known, kind): the longest known word that it
    ends with, and what stands before it. Nothing where it ends with no known word."""
    for cut in range(_LEAST_PART, len(word) - _LEAST_PART + 1):
        if (head := word[cut:]) in known:
            first = (word[: cut - len(link)] for link in _LINKS if word[:cut].endswith(link))
            stems = (fold_accents(stem(part)) for part in first if len(part) >= _LEAST_PART)
            return (head, *[part for part in stems if part in known][:1])
    return ()


def compounds_with(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known words that begin or end with a word of some length."""
    if len(word) < _LEAST_PART:
        return ()
    return tuple(other for other in known if other.endswith(word) or other.startswith(word))


class Pieces:
    """Words of text that is written without spaces: the pieces that recur in the texts it was learned from."""

    def __init__(self, texts: Iterable[str]) -> None:
        runs = [run for text in texts if not text.isascii() for run in re.findall(f"[{UNSPACED}]+", text)]
        self._model: Tokenizer | None = None
        if runs:
            self._model = Tokenizer(models.BPE())
            trainer = trainers.BpeTrainer(
                vocab_size=_PIECES, min_frequency=2, max_token_length=_PIECE_LENGTH, show_progress=False
            )
            self._model.train_from_iterator(runs, trainer)

    def split(self, run: str) -> list[str]:
        """The pieces of a run; single characters that are left over go together in pairs, a last one to its neighbour."""
        known = self._model.encode(run).tokens if self._model is not None else []
        pieces = known if "".join(known) == run else list(run)  # a character that was not seen before
        joined: list[str] = []
        open_end = False  # whether the last piece is a single character that takes the next one
        for piece in pieces:
            if open_end and (len(piece) == 1 or not _is_letter(joined[-1])):
                joined[-1] += piece
                open_end = False
            else:
                joined.append(piece)
                open_end = len(piece) == 1
        if open_end and len(joined) > 1:
            last = joined.pop()
            joined[-1] += last
        return joined


def _is_letter(character: str) -> bool:
    return unicodedata.category(character[0])[0] == "L"
