"""Explorers for notebooks that need Python: beam search without the trie, the trade-off. They need the extra `app`.

The store, the codes and the beam search of a model are on its page (`gensar_lite.explore.export.show_page`).
"""

from gensar_lite.explore.kit import find_kit, prepare_kit, quick_model
from gensar_lite.explore.widgets.beams import BeamStepper
from gensar_lite.explore.widgets.tradeoff import TradeoffExplorer

__all__ = [
    "BeamStepper",
    "TradeoffExplorer",
    "find_kit",
    "prepare_kit",
    "quick_model",
]
