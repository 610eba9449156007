"""Does a named product stay on top? Asked where the truth is known: in the simulated store.

Explained in notebook 07. A query such as "green sleeping bag", asked by somebody with a history, names what must come; a model
that follows the history away from it is wrong, however well it ranks on average.
"""

from __future__ import annotations

import numpy as np

from gensar_lite.data.bazaar.catalogue import make_catalogue, vocabulary
from gensar_lite.data.bazaar.config import BazaarConfig
from gensar_lite.data.dataset import Cases, Dataset
from gensar_lite.evaluation.protocols import Ranker, top_items

NUM_QUERIES = 300
PLACES = 5
MEASURE = f"noun_precision@{PLACES}"


class NamedProducts:
    """Queries of a colour and a noun, each asked by a user of the log; `product` (N,) numbers what the items are.

    A product is asked for in a colour that some item of it has, and only where `PLACES` items are this product.
    """

    def __init__(self, data: Dataset, num: int = NUM_QUERIES, seed: int = 0) -> None:
        catalogue, words = make_catalogue(BazaarConfig(**data.info["bazaar"])), vocabulary()
        self.product = catalogue.product
        pairs = np.unique(np.stack([catalogue.product, catalogue.slot["colour"]]), axis=1)
        enough = np.bincount(catalogue.product, minlength=len(words.products)) >= PLACES
        pairs = pairs[:, (pairs[1] >= 0) & enough[pairs[0]]]
        rng = np.random.default_rng(seed)
        self.wanted, colour = pairs[:, np.sort(rng.permutation(pairs.shape[1])[:num])]
        queries = [
            f"{words.value_words['colour'][c][0]} {words.products[p][0]}"
            for p, c in zip(self.wanted, colour, strict=True)
        ]
        user = rng.integers(data.log.num_users, size=len(queries))
        start, stop = data.log.user_ptr[user], data.log.user_ptr[user + 1]
        none = np.full(len(queries), -1)
        self.cases = Cases("search", np.arange(len(queries)), user, start, stop, none, queries, {})

    def precision(self, ranker: Ranker) -> float:
        """The share of the first `PLACES` items that are the product named, over all queries."""
        items = top_items(ranker, self.cases, len(self.product), PLACES)
        return float((self.product[items] == self.wanted[:, None]).mean())
