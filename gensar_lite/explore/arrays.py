"""Named arrays in one run of bytes, as the page's `engine/store.js` reads them."""

from __future__ import annotations

import numpy as np
from scipy import sparse


class Arrays:
    """Named arrays laid one after the other, each at a multiple of four bytes."""

    def __init__(self) -> None:
        self.contents: dict[str, dict] = {}
        self.parts: list[bytes] = []
        self.size = 0

    def add(self, name: str, values: np.ndarray) -> None:
        raw = np.ascontiguousarray(values).tobytes()
        self.contents[name] = {
            "kind": values.dtype.name,
            "shape": list(values.shape),
            "start": self.size,
            "size": len(raw),
        }
        raw += bytes(-len(raw) % 4)
        self.parts.append(raw)
        self.size += len(raw)

    def add_sparse(self, name: str, matrix: sparse.csr_matrix, kind: str = "float32") -> None:
        """A sparse matrix row by row: where each row starts, the gaps between its columns, its values as `kind`."""
        matrix = sparse.csr_matrix(matrix, copy=True)
        matrix.sort_indices()
        gaps = np.diff(matrix.indices, prepend=-1)
        first = matrix.indptr[:-1][np.diff(matrix.indptr) > 0]
        gaps[first] = matrix.indices[first] + 1
        self.add(f"{name}.starts", matrix.indptr.astype(np.int32))
        self.add(f"{name}.gaps", gaps.astype(np.uint16))
        self.add(f"{name}.values", matrix.data.astype(kind))

    def bytes(self) -> bytes:
        return b"".join(self.parts)
