"""What codes know: mutual information of every codebook and prefix with categories and with co-click communities.

Explained in notebook 08. Search needs codes that say what an item is, recommendation codes that say who takes it; shared codes have
to say both in the same few numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import adjusted_mutual_info_score

from gensar_lite.data.dataset import Dataset
from gensar_lite.identifiers.table import VIEWS, IdentifierTable
from gensar_lite.signals.collaborative import click_matrix
from gensar_lite.signals.text import normalise


def categories(data: Dataset) -> np.ndarray:
    """(N,) the first category of each item."""
    return np.array([text.split("|")[0].strip() for text in data.items["categories"]], object)


def co_click_communities(data: Dataset, num: int = 20, seed: int = 0) -> np.ndarray:
    """(N,) groups of items that the same users clicked in training; -1 for items without clicks.

    k-means on a truncated SVD of the clicks weighted by TF-IDF: made from the log alone, not from the
    vectors that identifiers are learned from.
    """
    clicks = sparse.csr_matrix(click_matrix(data).T)
    warm = np.flatnonzero(np.diff(clicks.indptr) > 0)
    found = np.full(data.num_items, -1)
    if len(warm) > num:
        width = min(32, len(warm) - 1, clicks.shape[1] - 1)
        weighted = TfidfTransformer().fit_transform(clicks[warm])
        vectors = normalise(TruncatedSVD(width, random_state=seed).fit_transform(weighted))
        found[warm] = KMeans(num, n_init=4, random_state=seed).fit_predict(vectors)
    return found


def code_information(table: IdentifierTable, labels: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Adjusted mutual information (0: chance, 1: the one tells the other) of codes with labels (N,) of items.

    One row per label and codebook alone (`what` "code"), and per label and view's prefix of each length ("prefix"). Labels
    below 0 or empty are left out. (Vinh, Epps & Bailey, JMLR 2010: adjusted for the number of codes.)
    """
    rows = []
    names = table.layout.names
    codes = table.codes_by_codebook
    for label, values in labels.items():
        values = np.asarray(values)
        known = values >= 0 if values.dtype.kind in "if" else values != ""
        if not known.any():
            continue
        for number, name in enumerate(names):
            value = adjusted_mutual_info_score(values[known], codes[known, number])
            rows.append((label, "code", name, name, 1, value))
        for view in VIEWS:
            for length in range(1, table.codes[view].shape[1] + 1):
                _, prefix = np.unique(table.codes[view][:, :length], axis=0, return_inverse=True)
                last = names[table.layout.views[view][length - 1]]
                value = adjusted_mutual_info_score(values[known], prefix.ravel()[known])
                rows.append((label, "prefix", view, last, length, value))
    return pd.DataFrame(rows, columns=["label", "what", "of", "codebook", "length", "information"])
