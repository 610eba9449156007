"""Explorers for notebooks and for a page: codebooks, beam search, the store, the trade-off. They need the extra `app`."""

from gensar_lite.explore.kit import find_kit, prepare_kit, quick_model
from gensar_lite.explore.widgets.beams import BeamStepper
from gensar_lite.explore.widgets.codebook import CodebookExplorer, signal_maps
from gensar_lite.explore.widgets.console import StoreConsole
from gensar_lite.explore.widgets.page import ExplorersPage, open_page
from gensar_lite.explore.widgets.tradeoff import TradeoffExplorer

__all__ = [
    "BeamStepper",
    "CodebookExplorer",
    "ExplorersPage",
    "StoreConsole",
    "TradeoffExplorer",
    "find_kit",
    "open_page",
    "prepare_kit",
    "quick_model",
    "signal_maps",
]
