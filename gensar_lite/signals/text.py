"""Semantic signal: vectors of texts, for the items of a catalogue and for every text that comes later.

Explained in notebook 02. An encoder turns B texts into a (B, D) array with rows of length 1 (a text without
a known word gives a row of zeros; vectors that came as an array keep their lengths unless normalising is asked for). `TfidfEncoder` learns from the catalogue alone and needs no download;
`SentenceEncoder` is any sentence-transformers model; `MappedEncoder` reaches a space that came as an array.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from scipy import sparse

from gensar_lite.data.lexical import index_terms
from gensar_lite.data.storage import DataError, read_json, write_json
from gensar_lite.signals.device import choose_device

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer


class TextEncoder(Protocol):
    """Texts to vectors of one space."""

    name: str

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(B, D) float32 of item texts; rows of length 1, or 0 where a text says nothing."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """(B, D) float32 of queries, in the same space."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything that `load_encoder` needs into a folder that exists."""
        ...


def normalise(vectors: np.ndarray) -> np.ndarray:
    """(B, D) rows divided by their length; rows of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32)


def is_unit(vectors: np.ndarray) -> bool:
    """Whether all rows but those of zeros have length 1."""
    length = np.linalg.norm(vectors, axis=1)
    return bool((np.abs(length[length > 0] - 1) < 1e-3).all())


class TfidfEncoder:
    """Latent semantic analysis: sublinear TF-IDF, then a truncated SVD (Deerwester et al. 1990).

    Words are those of the lexical index: stemmed, without stop words of the `language`, with digits and model numbers.
    `vocabulary` lists the V words in the order of the columns; `idf` is (V,), `components` is (D, V).
    """

    name = "tfidf"

    def __init__(self, vocabulary: list[str], idf: np.ndarray, components: np.ndarray, language: str = "english"):
        self.vocabulary = vocabulary
        self.language = language
        self.idf = np.asarray(idf, np.float32)
        self.components = np.asarray(components, np.float32)

    @cached_property
    def _vectoriser(self) -> TfidfVectorizer:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectoriser = TfidfVectorizer(
            vocabulary={word: column for column, word in enumerate(self.vocabulary)},
            analyzer=partial(index_terms, language=self.language),
            sublinear_tf=True,
            dtype=np.float32,
        )
        vectoriser.idf_ = self.idf
        return vectoriser

    @classmethod
    def fit(
        cls, texts: Sequence[str], dim: int = 256, max_words: int = 100_000, seed: int = 0, language: str = "english"
    ) -> TfidfEncoder:
        """Learn words, weights and D = `dim` axes (fewer where the texts don't span so many) from N texts.

        Every word counts, also one of a single text (a model number, most often); above `max_words` words the
        rarest are left out. Raises `DataError` where no text has a word at all.
        """
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectoriser = TfidfVectorizer(
            analyzer=partial(index_terms, language=language),
            sublinear_tf=True,
            max_features=max_words,
            dtype=np.float32,
        )
        try:
            matrix = vectoriser.fit_transform(texts)
        except ValueError as error:
            raise DataError(
                "no item has a word in its title, brand, categories or description; give the items titles"
            ) from error
        dim = min(dim, *matrix.shape)
        if dim == min(matrix.shape):
            components = np.linalg.svd(matrix.toarray(), full_matrices=False)[2]
        else:
            components = TruncatedSVD(dim, n_iter=4, random_state=seed).fit(matrix).components_
        return cls(vectoriser.get_feature_names_out().tolist(), vectoriser.idf_, components, language)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(B, D) float32 with rows of length 1; 0 where no word is known."""
        matrix: sparse.csr_matrix = self._vectoriser.transform(texts)
        return normalise(np.asarray(matrix @ self.components.T))

    encode_queries = encode

    def save(self, folder: Path) -> None:
        """`encoder.json` (kind, vocabulary), `encoder_idf.npy`, `encoder_components.npy`."""
        write_json(folder / "encoder.json", {"kind": "tfidf", "language": self.language, "vocabulary": self.vocabulary})
        np.save(folder / "encoder_idf.npy", self.idf, allow_pickle=False)
        np.save(folder / "encoder_components.npy", self.components, allow_pickle=False)


# before queries and before passages, by what names of models hold: their cards ask for it, their configurations do not say so
PREFIXES = {
    r"bge-(small|base|large)-en": ("Represent this sentence for searching relevant passages: ", ""),
    r"bge-(small|base|large)-zh": ("为这个句子生成表示以用于检索相关文章：", ""),
    r"\be5-(small|base|large)": ("query: ", "passage: "),
}


class SentenceEncoder:
    """A sentence-transformers model, by name or by path; it is loaded at the first `encode`.

    E5, BGE and others expect a prefix before queries or passages ("query: "): `query_prefix` and `passage_prefix` give it.
    Where one is None the model's own is taken, which its configuration may name, or else that of its family (`PREFIXES`). `device` as in `choose_device`.
    """

    def __init__(
        self,
        name: str,
        query_prefix: str | None = None,
        passage_prefix: str | None = None,
        device: torch.device | str | None = None,
    ):
        self.name, self.device = name, device
        self.query_prefix, self.passage_prefix = query_prefix, passage_prefix
        self._model: Any = None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(B, D) float32 with rows of length 1. Raises `DataError` where the library or the model is missing."""
        return self._encode(texts, self.passage_prefix, ("document", "passage", "corpus"))

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """As `encode`, for queries."""
        return self._encode(texts, self.query_prefix, ("query",))

    def _encode(self, texts: Sequence[str], prefix: str | None, names: tuple[str, ...]) -> np.ndarray:
        if self._model is None:
            self._model = _sentence_model(self.name, choose_device(self.device))
        if prefix is None:
            own = getattr(self._model, "prompts", None) or {}
            family = next((two for part, two in PREFIXES.items() if re.search(part, self.name, re.I)), ("", ""))
            prefix = next((own[name] for name in names if own.get(name)), family[names != ("query",)])
        vectors = self._model.encode(
            list(texts),
            prompt=prefix,
            batch_size=64,
            show_progress_bar=len(texts) > 1000 and sys.stderr.isatty(),
            convert_to_numpy=True,
        )
        return normalise(np.asarray(vectors, np.float32).reshape(len(texts), -1))

    def save(self, folder: Path) -> None:
        """`encoder.json` names the model and its prefixes; its weights stay where they are."""
        prefixes = {"query_prefix": self.query_prefix, "passage_prefix": self.passage_prefix}
        write_json(folder / "encoder.json", {"kind": "sentence-transformers", "name": self.name, **prefixes})


class MappedEncoder:
    """Texts to a space that is known by N vectors only: ridge regression from TF-IDF vectors, by `weights` (D_t + 1, D).

    `unit`: the given vectors have length 1, so these have, too.
    """

    name = "pre-computed"

    def __init__(self, base: TfidfEncoder, weights: np.ndarray, unit: bool = True):
        self.base, self.unit = base, unit
        self.weights = np.asarray(weights, np.float32)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """(B, D) float32: what the given space is expected to say of these texts."""
        expected = apply_ridge(self.base.encode(texts), self.weights)
        return normalise(expected) if self.unit else expected.astype(np.float32)

    encode_queries = encode

    def save(self, folder: Path) -> None:
        """The TF-IDF encoder's files, and `encoder_map.npy`."""
        self.base.save(folder)
        write_json(
            folder / "encoder.json",
            {
                "kind": "mapped",
                "unit": self.unit,
                "language": self.base.language,
                "vocabulary": self.base.vocabulary,
            },
        )
        np.save(folder / "encoder_map.npy", self.weights, allow_pickle=False)


def load_encoder(folder: Path) -> TextEncoder:
    """Read what an encoder's `save` wrote."""
    stored = read_json(folder / "encoder.json")
    try:
        if stored["kind"] == "sentence-transformers":
            return SentenceEncoder(stored["name"], stored.get("query_prefix"), stored.get("passage_prefix"))
        base = TfidfEncoder(
            stored["vocabulary"],
            load_array(folder / "encoder_idf.npy"),
            load_array(folder / "encoder_components.npy"),
            stored.get("language", "english"),
        )
        if len(base.vocabulary) != len(base.idf) or base.components.shape[1:] != base.idf.shape:
            raise DataError(f"{folder}: the files of the text encoder do not belong together; make the signals again")
        if stored["kind"] == "tfidf":
            return base
        return MappedEncoder(base, load_array(folder / "encoder_map.npy"), stored.get("unit", True))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder / 'encoder.json'} is not as it was written ({error}); make the signals again"
        ) from error


def load_array(path: str | Path, mapped: bool = False) -> np.ndarray:
    """An .npy array, of the file itself (`mapped`; who writes into it changes a copy) or read; a missing or broken file becomes a sentence."""
    try:
        return np.load(path, "c" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as an .npy array ({error}); make or save it again with numpy.save"
        ) from error


def load_vectors(path: str | Path, num_items: int, unit: bool = False) -> np.ndarray:
    """(N, D) float32 vectors that somebody computed, one row per item in the order of the item table.

    They are taken as they are, which a warning says where their lengths differ, or all at length 1 (`unit`). Raises `DataError` unless the array is two-dimensional, numeric and finite with N rows.
    """
    vectors = load_array(path)
    if vectors.ndim != 2 or len(vectors) != num_items or vectors.shape[1] == 0:
        raise DataError(
            f"{path} has shape {vectors.shape}, but the catalogue needs ({num_items}, D): one row per item, in the order of the item table"
        )
    if not np.issubdtype(vectors.dtype, np.number) or np.issubdtype(vectors.dtype, np.complexfloating):
        raise DataError(f"{path} holds {vectors.dtype} values, not real numbers; save it as float32")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(
            f"{path} has NaN or infinite values in {len(bad)} rows (first: {bad[:5].tolist()}); compute these rows again"
        )
    if unit:
        return normalise(vectors.astype(np.float32))
    length = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if (np.abs(length[length > 0] - 1) > 1e-3).any():
        warnings.warn(
            f"{path} is taken as it is, with vectors of length {length[length > 0].min():.3g} to {length.max():.3g}; normalising makes all 1 long",
            stacklevel=3,
        )
    return vectors.astype(np.float32)


def fit_ridge(inputs: np.ndarray, targets: np.ndarray, max_rows: int = 50_000) -> np.ndarray:
    """(D_in + 1, D_out) weights with the intercept in the last row; strength by leave-one-out (generalised) error.

    Above `max_rows` rows, evenly spaced ones are used: the fit needs no more, and its cost grows with them.
    """
    from sklearn.linear_model import RidgeCV

    if len(inputs) > max_rows:
        rows = np.linspace(0, len(inputs) - 1, max_rows).astype(np.int64)
        inputs, targets = inputs[rows], targets[rows]
    if len(inputs) < 2:  # nothing to regress on: the mean is all that is known
        mean = targets.mean(axis=0) if len(targets) else np.zeros(targets.shape[1])
        return np.vstack([np.zeros((inputs.shape[1], targets.shape[1])), mean]).astype(np.float32)
    ridge = RidgeCV(alphas=np.logspace(-2, 2, 9)).fit(inputs.astype(np.float64), targets.astype(np.float64))
    coefficients = np.reshape(ridge.coef_, (targets.shape[1], inputs.shape[1]))
    return np.vstack([coefficients.T, np.reshape(ridge.intercept_, (1, -1))]).astype(np.float32)


def apply_ridge(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, D_out) predictions of `fit_ridge` weights for (B, D_in) inputs."""
    return inputs @ weights[:-1] + weights[-1]


def make_encoder(
    source: str,
    texts: Sequence[str],
    seed: int = 0,
    *,
    language: str = "english",
    unit: bool = False,
    query_prefix: str | None = None,
    passage_prefix: str | None = None,
    device: torch.device | str | None = None,
) -> tuple[TextEncoder, np.ndarray]:
    """The encoder that `source` names, and the (N, D) vectors of the catalogue's texts.

    `source`: "tfidf", the path of an .npy array, or the name or path of a sentence-transformers model.
    `language` is that of TF-IDF's stop words and stems, `unit` normalises an array, the prefixes are those of `SentenceEncoder`.
    """
    if source == "tfidf":
        encoder = TfidfEncoder.fit(texts, seed=seed, language=language)
        return encoder, encoder.encode(texts)
    if str(source).endswith(".npy"):
        vectors = load_vectors(source, len(texts), unit)
        base = TfidfEncoder.fit(texts, seed=seed, language=language)
        return MappedEncoder(base, fit_ridge(base.encode(texts), vectors), is_unit(vectors)), vectors
    model = SentenceEncoder(str(source), query_prefix, passage_prefix, device)
    return model, model.encode(texts)


def _sentence_model(name: str, device: torch.device) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise DataError(
            f'the text encoder {name!r} needs sentence-transformers: pip install "gensar_lite[text]", or use "tfidf", which needs nothing'
        ) from error
    try:
        return SentenceTransformer(name, device=str(device))
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f'the text encoder {name!r} cannot be loaded ({reason}); give the name of a sentence-transformers model, the path of a downloaded one, an .npy file, or "tfidf"'
        ) from error
