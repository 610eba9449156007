"""The identifier table: which codes name each item in each view, and what is needed to name new items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from gensar_lite.data.storage import DataError, check_whole, new_folder, read_json, write_json
from gensar_lite.identifiers.assignment import Layout, group_rows

VIEWS = ("semantic", "collaborative")
FILES = ("identifiers.parquet", "codebooks.safetensors")


@dataclass(frozen=True)
class IdentifierTable:
    """Identifiers of N items: L codes in the semantic view (search) and L in the collaborative view (recommendation).

    `item_ids` (N,); `layout` names the P codebooks, their sizes, the span of the latent vector each of
    them quantises, and which L of them make up each view; `codes[view]` (N, L) int64, no two rows alike;
    `vectors[p]` (K, D_p) float32, or an empty list where the strategy has none; `encoder` the named
    arrays that turn signals into latent vectors (see `encode_signals`); `made_from` says which data set,
    strategy, quantiser and seed made it; `health` see `measure_health`.
    """

    item_ids: np.ndarray
    layout: Layout
    codes: dict[str, np.ndarray]
    vectors: list[np.ndarray] = field(default_factory=list)
    encoder: dict[str, np.ndarray] = field(default_factory=dict)
    made_from: dict = field(default_factory=dict)
    health: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def num_levels(self) -> int:
        """L, the number of codes in an identifier."""
        return len(self.layout.views["semantic"])

    @property
    def codebook_names(self) -> list[str]:
        """P names, such as m1, m2, s1, s2, c1, c2."""
        return list(self.layout.names)

    @property
    def codebook_sizes(self) -> np.ndarray:
        """(P,) number of codes in each codebook."""
        return np.array(self.layout.sizes)

    @property
    def codebooks_of(self) -> dict[str, np.ndarray]:
        """For each view, (L,) codebook numbers."""
        return {view: np.array(self.layout.views[view]) for view in VIEWS}

    @property
    def views_agree(self) -> bool:
        """Whether both views use one identifier."""
        return self.layout.views["semantic"] == self.layout.views["collaborative"]

    @property
    def codes_by_codebook(self) -> np.ndarray:
        """(N, P) the code of each item in every codebook."""
        codes = np.zeros((len(self), len(self.layout.names)), np.int64)
        for view in VIEWS:
            codes[:, list(self.layout.views[view])] = self.codes[view]
        return codes

    @property
    def token_names(self) -> list[str]:
        """The token of every code, codebook by codebook: <m1_0>, <m1_1>, ..."""
        return [
            f"<{name}_{k}>"
            for name, size in zip(self.layout.names, self.layout.sizes, strict=True)
            for k in range(size)
        ]

    def text(self, item: int, view: str) -> str:
        """The identifier of one item number as text: `<m1_17><m2_3><s1_40><s2_8>`."""
        names = [self.layout.names[p] for p in self.layout.views[view]]
        return "".join(f"<{name}_{code}>" for name, code in zip(names, self.codes[view][item].tolist(), strict=True))

    def check(self) -> None:
        """Raises DataError unless codes are in range, unique in both views, and equal on shared codebooks."""
        for view in VIEWS:
            codes, sizes = self.codes[view], np.array([self.layout.sizes[p] for p in self.layout.views[view]])
            if codes.shape != (len(self), len(sizes)) or ((codes < 0) | (codes >= sizes)).any():
                raise DataError(f"the {view} identifiers do not fit their codebooks; learn the identifiers again")
            group, counts = group_rows(codes)
            if (counts > 1).any():
                twins = self.item_ids[np.flatnonzero(counts[group] > 1)[:3]].tolist()
                raise DataError(
                    f"{int((counts > 1).sum())} {view} identifiers name more than one item (first items: {twins}); learn the identifiers again"
                )
        by_codebook = self.codes_by_codebook
        if any((by_codebook[:, list(self.layout.views[view])] != self.codes[view]).any() for view in VIEWS):
            raise DataError("the two views differ on a codebook they share; learn the identifiers again")

    def check_items(self, item_ids: Sequence[str]) -> None:
        """Raises DataError, saying what differs, unless the table names exactly these items in this order."""
        theirs, ours = np.asarray(item_ids, object), np.asarray(self.item_ids, object)
        if len(theirs) != len(ours):
            raise DataError(
                f"the identifiers were made for {len(ours)} items, the catalogue has {len(theirs)}; learn them again or use the catalogue they were made from"
            )
        if len(different := np.flatnonzero(theirs != ours)):
            row = int(different[0])
            raise DataError(
                f"the identifiers were made for another catalogue: {len(different)} of {len(ours)} items differ, first row {row} ({theirs[row]!r} instead of {ours[row]!r}); learn them again"
            )

    def extend(self, item_ids: Sequence[str], codes: dict[str, np.ndarray]) -> IdentifierTable:
        """The table with new items at its end (see `assign_new`); existing identifiers stay as they are."""
        new = np.asarray(item_ids, object)
        known = set(self.item_ids.tolist())
        twice = [i for i in new.tolist() if i in known]
        if twice or len(set(new.tolist())) < len(new):
            raise DataError(
                f"new items must have ids of their own; already there or given twice: {(twice or new.tolist())[:3]}"
            )
        table = replace(
            self,
            item_ids=np.concatenate([np.asarray(self.item_ids, object), new]),
            codes={view: np.concatenate([self.codes[view], codes[view]]) for view in VIEWS},
        )
        table.check()
        return table

    def save(self, folder: str | Path) -> None:
        """Write `identifiers.parquet`, `codebooks.safetensors` and `health.json`, complete or not at all."""
        ends = pa.array(np.arange(len(self) + 1) * self.num_levels, pa.int32())
        codes = {view: pa.array(self.codes[view].ravel(), pa.int32()) for view in VIEWS}
        lists = {view: pa.ListArray.from_arrays(ends, codes[view]) for view in VIEWS}
        rows = pa.table({"item_id": pa.array(self.item_ids.tolist(), pa.string()), **lists})
        tensors = {f"codebook.{self.layout.names[p]}": v for p, v in enumerate(self.vectors)}
        tensors |= {f"encoder.{name}": array for name, array in self.encoder.items()}
        tensors = {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
        with new_folder(folder, "identifiers") as temporary:
            pq.write_table(rows, temporary / FILES[0], compression="zstd")
            (temporary / FILES[1]).write_bytes(save_tensors(tensors))
            content = {"layout": asdict(self.layout), "made_from": self.made_from, "health": self.health}
            write_json(temporary / "health.json", content)

    @classmethod
    def load(cls, folder: str | Path, item_ids: Sequence[str] | None = None) -> IdentifierTable:
        """Read a folder written by `save`.

        Raises: DataError for anything truncated or edited, and for another catalogue than `item_ids`.
        """
        folder = Path(folder)
        missing = [name for name in (*FILES, "health.json") if not (folder / name).is_file()]
        if missing:
            raise DataError(f"{folder} holds no identifiers ({', '.join(missing)} missing); learn them again")
        check_whole(folder, "identifiers")
        content = read_json(folder / "health.json", layout=dict, made_from=dict, health=dict)
        try:
            layout = _layout_from_json(content["layout"])
            rows = pq.read_table(folder / FILES[0]).combine_chunks()
            tensors = load_tensors((folder / FILES[1]).read_bytes())
            table = cls(
                item_ids=rows["item_id"].to_numpy(),
                layout=layout,
                codes={view: _equal_rows(rows[view].combine_chunks()) for view in VIEWS},
                vectors=[tensors[f"codebook.{name}"] for name in layout.names if f"codebook.{name}" in tensors],
                encoder={
                    name.removeprefix("encoder."): array
                    for name, array in tensors.items()
                    if name.startswith("encoder.")
                },
                made_from=content["made_from"],
                health=content["health"],
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise DataError(f"{folder}: the identifiers cannot be read ({error}); learn them again") from error
        table.check()
        if item_ids is not None:
            table.check_items(item_ids)
        return table


def _equal_rows(lists: pa.ListArray) -> np.ndarray:
    """Lists of equal length as rows (N, L) int64. Raises ValueError for others."""
    rows = lists.flatten().to_numpy().reshape(len(lists), -1).astype(np.int64)
    if lists.null_count or (pc.list_value_length(lists).to_numpy() != rows.shape[1]).any():
        raise ValueError("rows of different length")
    return rows


def _layout_from_json(content: dict) -> Layout:
    return Layout(
        names=tuple(content["names"]),
        sizes=tuple(content["sizes"]),
        spans=tuple((a, b) for a, b in content["spans"]),
        views={view: tuple(content["views"][view]) for view in VIEWS},
    )
