"""Identifiers that another tool made: read as they are published, made unique, ready for the whole line.

Files: `index.json` as LC-Rec, MiniOneRec, LETTER and GRID write it (item id to a list of tokens such as "<a_12>"), JSON
lines, Parquet, CSV, TSV, or an .npy array with a row per item. One identifier a row serves both tasks; a file with the two
views "semantic" and "collaborative" gives one for search and one for recommendation.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import DataError
from gensar_lite.identifiers.assignment import Layout, assign_unique, group_rows
from gensar_lite.identifiers.encoder import encode_signals, fit_scaling
from gensar_lite.identifiers.health import category_labels, measure_health, num_sharing
from gensar_lite.identifiers.quantisers import shares_lost
from gensar_lite.identifiers.strategies import plan
from gensar_lite.identifiers.table import VIEWS, IdentifierTable
from gensar_lite.signals.signals import Signals, embed

SUFFIXES = (".json", ".jsonl", ".parquet", ".csv", ".tsv", ".npy")
MAX_CODES = 1 << 16  # above it, a number is a hash or an id and no code
_TOKEN = r"^<?([^<>\s]*[^\d<>\s.\-])?(\d+)(?:\.0)?\|?>?$"  # <a_12>, a_12, sid_0_12, 12, but not -1
_FAR = 1e3  # of the vector of a code that no item carries: new items take it last


@dataclass(frozen=True)
class FinishedCodes:
    """What a file holds: `item_ids` (n,) and for each of its views codes (n, L) int64; `views` is {"semantic": …} where
    one identifier serves both tasks. `notes` are sentences about what was understood."""

    path: str
    item_ids: np.ndarray
    views: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()


def is_identifier_file(strategy: str) -> bool:
    """Whether a strategy is the path of a file of identifiers and no name."""
    return "." in strategy or "/" in strategy or "\\" in strategy


def check_identifier_file(path: str | Path) -> None:
    """Raises DataError where a file is missing or of a kind that is not read."""
    path = Path(path)
    if path.suffix.lower() in (".pt", ".pth", ".pkl", ".pickle"):
        raise DataError(
            f"{path} is a pickle, which is not read because it can run code; save the codes as JSON, or with numpy.save as an .npy array with a row for each item"
        )
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a file of finished identifiers ({', '.join(SUFFIXES)})")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path} is of a kind that is not known; give identifiers as {', '.join(SUFFIXES)}")


def read_codes(path: str | Path, data: Dataset) -> FinishedCodes:
    """The codes in a file, in the order of the catalogue; items may share an identifier.

    Raises: DataError for items that the file or the catalogue lacks, identifiers of different lengths, numbers that
    are no codes, and files that cannot be read.
    """
    path = Path(path)
    rows = _read_rows(path, data)
    item_ids = np.array([str(i).strip() for i in rows.pop("item_id")], object)
    notes: list[str] = []
    views = {view: _parse(cells, item_ids, path, notes) for view, cells in rows.items()}
    lengths = {view: codes.shape[1] for view, codes in views.items()}
    if len(set(lengths.values())) > 1:
        told = " and ".join(f"{view} ones of {length}" for view, length in lengths.items())
        raise DataError(f"{path} has {told} codes; give both views identifiers of one length")
    order = _match(item_ids, data, path)
    views = {view: codes[order] for view, codes in views.items()}
    return FinishedCodes(str(path), item_ids[order], views, tuple(dict.fromkeys(notes)))


def read_identifiers(path: str | Path, data: Dataset, signals: Signals | None = None) -> IdentifierTable:
    """The identifiers of a file, unique: where items share one, all but one of them get another last code.

    Levels and numbers of codes are those of the file. A code's vector is the mean of what its items' signals leave over
    after the codes before it; by these vectors the last codes are assigned anew and new items find their
    identifiers. `signals`: as for `learn_identifiers`, made by `embed` where none are given. How many items
    shared an identifier is told by a warning and in `health`.
    Raises: DataError as `read_codes`, and where there are more items than identifiers.
    """
    found = read_codes(path, data)
    signals = signals or embed(data)
    signals.check(data)
    names, columns = _name_codebooks(found.views)
    tables = {view: np.asarray(getattr(signals, view), np.float32) for view in VIEWS}
    layout, used = plan(names, {name: x.shape[1] for name, x in tables.items()}, 1)
    before = np.column_stack([columns[name] for name in layout.names])
    layout = replace(layout, sizes=tuple(int(n) + 1 for n in before.max(0)))
    _check_capacity(layout, len(before), path)
    encoder: dict[str, np.ndarray] = {}
    for name in used:
        encoder |= fit_scaling(name, tables[name], by_row=True)
    latents = encode_signals(encoder, used, tables)
    vectors, rest = fit_code_vectors(latents, layout.spans, layout.sizes, before)
    after = assign_unique(latents, layout, vectors, wanted=before)
    lost = shares_lost(rest, {name: tables[name] for name in used})
    for sentence in (*found.notes, *_collisions(found)):
        warnings.warn(f"{path}: {sentence}", stacklevel=2)
    return IdentifierTable(
        item_ids=data.items["item_id"].to_numpy(object),
        layout=layout,
        codes={view: after[:, list(layout.views[view])] for view in VIEWS},
        vectors=vectors,
        encoder=encoder,
        made_from={
            "data": data.info.get("fingerprint"),
            "strategy": str(path),
            "meant": str(path),
            "quantiser": "none",
            "signals": used,
            "notes": list(found.notes),
        },
        health=measure_health(layout, before, after, category_labels(data), lost),
    )


def fit_code_vectors(
    latents: np.ndarray, spans: Sequence[tuple[int, int]], sizes: Sequence[int], codes: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Vectors of finished codes, level by level: the mean of what the levels before leave of the items that carry the code.

    Args: latents (N, D), spans and sizes of the P codebooks, codes (N, P). Returns: P arrays (K, D_p), and what is left of the latents (N, D) at the end
    (where two views have codes for one span, after those of the first).
    """
    vectors: list[np.ndarray] = []
    rest = np.array(latents, np.float32)
    for p, ((a, b), size) in enumerate(zip(spans, sizes, strict=True)):
        part, code = rest[:, a:b], codes[:, p]
        carried = sparse.csr_array((np.ones(len(code), np.float32), (code, np.arange(len(code)))), (size, len(code)))
        sums = carried @ part
        count = np.bincount(code, minlength=size)[:, None]
        means = np.where(count > 0, sums / np.maximum(count, 1), _FAR).astype(np.float32)
        part -= means[code]
        vectors.append(means)
    return vectors, rest


def _name_codebooks(views: dict[str, np.ndarray]) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """The codebook names of both views, and the codes (N,) of each codebook. First levels that are alike in both are shared."""
    semantic = views["semantic"]
    collaborative = views.get("collaborative", semantic)
    alike = [bool((a == b).all()) for a, b in zip(semantic.T, collaborative.T, strict=False)]
    shared = [*alike, False].index(False)
    names = {"semantic": [f"m{p + 1}" for p in range(shared)]}
    names["collaborative"] = list(names["semantic"])
    columns = {name: semantic[:, p].astype(np.int64) for p, name in enumerate(names["semantic"])}
    for view, codes in (("semantic", semantic), ("collaborative", collaborative)):
        for p in range(shared, codes.shape[1]):
            name = f"{view[0]}{p - shared + 1}"
            names[view].append(name)
            columns[name] = codes[:, p]
    return names, columns


def _check_capacity(layout: Layout, num_items: int, path: str | Path) -> None:
    if num_items > layout.capacity():
        raise DataError(
            f"{path}: {num_items} items cannot all have identifiers of their own, its codes allow {layout.capacity()}; give identifiers with more levels or codes"
        )


def _collisions(found: FinishedCodes) -> list[str]:
    """A sentence for each view in which items share an identifier."""
    sentences = []
    for view, codes in found.views.items():
        group, count = group_rows(codes)
        if shared := num_sharing(codes):
            ids = found.item_ids[group == int(np.argmax(count))][:3].tolist()
            sentences.append(
                f"{shared} of {len(codes)} items share their {f'{view} ' if len(found.views) > 1 else ''}identifier with another one (such as {', '.join(map(repr, ids))}); one of each group keeps it, the others get another last code"
            )
    return sentences


# reading ------------------------------------------------------------------------------------------


def _read_rows(path: Path, data: Dataset) -> dict[str, list]:
    """`item_id` and, for each view, one cell per item with its identifier."""
    check_identifier_file(path)
    suffix = path.suffix.lower()
    try:
        if suffix in (".json", ".jsonl"):
            return _read_json(path)
        if suffix == ".npy":
            return _read_array(np.load(path, allow_pickle=False), path, data)
        if suffix == ".parquet":
            return _columns(pd.read_parquet(path), path)
        return _columns(pd.read_csv(path, sep="\t" if suffix == ".tsv" else ",", dtype=str), path)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({' '.join(str(error).split())}); save it again") from error


def _read_json(path: Path) -> dict[str, list]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".jsonl":
        content = [json.loads(line) for line in text.splitlines() if line.strip()]
    else:
        content = json.loads(text, object_pairs_hook=_no_key_twice)
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        return _columns(pd.DataFrame(content), path)
    if isinstance(content, dict) and set(content) == set(VIEWS) and all(isinstance(v, dict) for v in content.values()):
        first, second = content["semantic"], content["collaborative"]
        if set(first) != set(second):
            odd = sorted(set(first) ^ set(second))[:3]
            raise DataError(f"{path}: some items have one of the two views only (such as {', '.join(odd)})")
        return {"item_id": list(first), "semantic": list(first.values()), "collaborative": [second[i] for i in first]}
    if isinstance(content, dict) and content:
        return {"item_id": list(content), "semantic": list(content.values())}
    raise DataError(
        f'{path} holds no identifiers; it should be an object from item ids to lists of codes, such as {{"17": ["<a_3>", "<b_21>"]}}'
    )


def _no_key_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = pd.Series([key for key, _ in pairs])
        raise ValueError(f"it names {keys[keys.duplicated()].iloc[0]!r} twice")
    return content


def _read_array(codes: np.ndarray, path: Path, data: Dataset) -> dict[str, list]:
    if codes.ndim != 2 or len(codes) != data.num_items or not np.issubdtype(codes.dtype, np.integer):
        raise DataError(
            f"{path} has shape {codes.shape} of {codes.dtype}; identifiers are whole numbers of shape ({data.num_items}, L), a row for each item in the order of the item table"
        )
    return {"item_id": data.items["item_id"].tolist(), "semantic": codes.tolist()}


def _columns(frame: pd.DataFrame, path: Path) -> dict[str, list]:
    """The identifiers of a table: two columns named by the views, or one column, or one column a level."""
    if "item_id" not in frame.columns:
        raise DataError(f"{path} has no column item_id (it has {', '.join(map(str, frame.columns[:8]))}); rename it")
    ids = frame["item_id"].tolist()
    rest = [column for column in frame.columns if column != "item_id"]
    if set(VIEWS) <= set(rest):
        return {"item_id": ids, **{view: frame[view].tolist() for view in VIEWS}}
    levels = {view: [c for c in rest if str(c).removeprefix(view).strip("_").isdigit()] for view in VIEWS}
    if not all(levels.values()):
        levels = {"semantic": rest}
    if not rest:
        raise DataError(f"{path} has no codes beside item_id; give them in one column, or a column for each level")
    for column in chain.from_iterable(levels.values()):
        if missing := int(frame[column].isna().sum()):
            raise DataError(
                f"{path}: {missing} items have nothing in the column {column}; give every item all its codes"
            )
    return {
        "item_id": ids,
        **{
            view: frame[cs[0]].tolist() if len(cs) == 1 else frame[cs].to_numpy().tolist()
            for view, cs in levels.items()
        },
    }


def _parse(cells: list, item_ids: np.ndarray, path: Path, notes: list[str]) -> np.ndarray:
    """(n, L) int64 codes of identifiers given as lists of numbers or tokens, or as one text."""
    series = pd.Series(cells, dtype=object)
    texts = series.map(lambda cell: isinstance(cell, str))
    if texts.any():
        plain = series[texts].str.replace(r"[\[\]()\"']", "", regex=True).str.replace(">", "> ").str.strip()
        numbers = plain.str.fullmatch(r"\d+(?:[_\-]\d+)+")
        plain[numbers] = plain[numbers].str.replace(r"[_\-]", " ", regex=True)
        series[texts] = plain.str.split(r"[\s,;]+", regex=True)
    if odd := [i for i, cell in zip(item_ids, series, strict=True) if not isinstance(cell, (list, tuple, np.ndarray))]:
        raise DataError(f"{path}: the identifier of item {odd[0]!r} is no list of codes and no text")
    lengths = series.map(len).to_numpy()
    usual = int(np.bincount(lengths).argmax()) if len(lengths) else 0
    if not usual or (lengths != usual).any():
        other = np.flatnonzero(lengths != usual) if usual else np.arange(len(lengths))
        first = f"item {item_ids[other[0]]!r} has {lengths[other[0]]} codes" if len(other) else "it names no item"
        raise DataError(
            f"{path}: {len(other)} of {len(lengths)} identifiers are of another length than the others ({first}, most have {usual}); give every item as many codes"
        )
    tokens = pd.Series(list(chain.from_iterable(series)), dtype=object).astype(str)
    parts = tokens.str.strip().str.extract(_TOKEN)
    if (bad := parts[1].isna().to_numpy()).any():
        place = int(np.flatnonzero(bad)[0])
        raise DataError(
            f'{path}: {tokens[place]!r} of item {item_ids[place // usual]!r} is no code; codes are whole numbers from 0, alone or in tokens such as "<a_12>"'
        )
    letters = parts[0].fillna("").to_numpy(object).reshape(-1, usual)
    if (mixed := letters != letters[0]).any():
        row, level = (int(i[0]) for i in np.nonzero(mixed))
        raise DataError(
            f"{path}: level {level + 1} of item {item_ids[row]!r} is of kind {letters[row, level]!r}, that of {item_ids[0]!r} of kind {letters[0, level]!r}; give the levels of all items in one order"
        )
    codes = parts[1].astype(float).to_numpy().reshape(-1, usual)
    low, high = codes.min(0), codes.max(0)
    if usual > 1 and len(set(letters[0])) == 1 and (low[1:] > high[:-1]).all():  # 0–255, 256–511, …
        codes = codes - np.append(0, high[:-1] + 1)
        notes.append("its codes count on from level to level; here each level counts from 0")
    if codes.max() >= MAX_CODES:
        row = int(codes.max(1).argmax())
        raise DataError(
            f"{path}: item {item_ids[row]!r} has the code {codes[row].max():.0f}; codes are counted from 0 and stay below {MAX_CODES}"
        )
    return codes.astype(np.int64)


def _match(item_ids: np.ndarray, data: Dataset, path: Path) -> np.ndarray:
    """(N,) the row of the file for every item of the catalogue."""
    place = pd.Series(np.arange(len(item_ids)), index=item_ids)
    if len(twice := place.index[place.index.duplicated()].unique()):
        raise DataError(f"{path} names {len(twice)} items twice (such as {twice[0]!r}); give each item one row")
    ours = data.items["item_id"].to_numpy(object)
    missing = ours[~np.isin(ours.astype(str), item_ids.astype(str))]
    unknown = item_ids[~np.isin(item_ids.astype(str), ours.astype(str))]
    if len(missing) == len(ours):
        raise DataError(
            f"{path} names none of the catalogue's items: its first is {str(item_ids[0])!r}, the catalogue's {str(ours[0])!r}; import the data set with the item ids that the identifiers were made for"
        )
    if len(missing):
        raise DataError(
            f"{path} lacks {len(missing)} of the catalogue's {len(ours)} items (such as {', '.join(map(repr, missing[:3]))}); every item needs an identifier"
        )
    if len(unknown):
        raise DataError(
            f"{path} names {len(unknown)} items that the catalogue has not (such as {', '.join(map(repr, unknown[:3]))}); leave them out, or import the data set that they belong to"
        )
    return place[ours].to_numpy()
