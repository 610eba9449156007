"""What the signals of a data set say before any model is trained: how far they agree, and how well each recommends alone.

Explained in notebook 09. Neither number decides by itself which identifiers are best (docs/evidence.md holds what was measured).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import check_whole, read_json, read_sealed, write_sealed
from gensar_lite.identifiers.strategies import recommendation_quality
from gensar_lite.identifiers.table import VIEWS
from gensar_lite.signals import Signals
from gensar_lite.tradeoff.design import Source, load_source
from gensar_lite.tradeoff.gains import NUM_NEIGHBOURS, signal_agreement

MEASURES = "measures.json"


def measure_signals(out: Path, sources: Mapping[str, Source], fingerprints: Mapping[str, str]) -> None:
    """Measure the signals that a sweep has made in its folder `out` and not yet measured; kept beside them.

    `sources` and `fingerprints` by name of the data set. Raises DataError where a data set is gone.
    """
    label_of = {fingerprint: label for label, fingerprint in fingerprints.items()}
    loaded: dict[str, Dataset] = {}
    for path in sorted((out / "signals").glob("*/made_from.json")):
        label = label_of.get(read_json(path, data=str)["data"])
        if label is None or (path.parent / MEASURES).is_file():
            continue
        if label not in loaded:
            loaded[label] = load_source(sources[label])
        data, signals = loaded[label], Signals.load(path.parent / "content")
        measures = {"agreement": float(signal_agreement(signals).mean())}
        measures["by_chance"] = min(1.0, NUM_NEIGHBOURS / (data.num_items - 1))
        measures |= {view: recommendation_quality(data, getattr(signals, view)) for view in VIEWS}
        write_sealed(path.parent / MEASURES, measures)


def signals_table(out: Path, fingerprints: Mapping[str, str]) -> pd.DataFrame:
    """What `measure_signals` kept, a row for each data set, kind of signals and seed: `agreement` is the share of an item's ten nearest by
    text that are among its ten nearest by co-clicks, `by_chance` that of random ones; `semantic` and `collaborative` are
    NDCG@10 (`uniform99`, validation) of recommending what is near to the latest clicks by one signal alone."""
    label_of = {fingerprint: label for label, fingerprint in fingerprints.items()}
    rows = []
    for path in sorted((out / "signals").glob(f"*/{MEASURES}")):
        check_whole(path.parent, "part of a sweep")
        about = read_json(path.parent / "made_from.json", data=str, signals=dict, seed=int)
        if (label := label_of.get(about["data"])) is not None:
            kind = ", ".join(map(str, about["signals"].values()))
            rows.append({"data": label, "signals": kind, "seed": about["seed"], **read_sealed(path)})
    return pd.DataFrame(rows).sort_values(["data", "signals", "seed"], ignore_index=True) if rows else pd.DataFrame()
