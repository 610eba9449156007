"""The figures of the package, each a function that returns axes or a figure; see the modules they come from."""

from gensar_lite.explore.codes import plot_code_categories
from gensar_lite.explore.curves import plot_history, plot_intervals, plot_lines, plot_metrics
from gensar_lite.explore.gains import plot_gains
from gensar_lite.explore.maps import category_of, map_vectors, plot_map
from gensar_lite.explore.models import plot_models
from gensar_lite.explore.quantising import plot_codes
from gensar_lite.explore.store_map import plot_store_map
from gensar_lite.explore.tradeoff import plot_cheap, plot_tradeoff
from gensar_lite.explore.why import plot_agreement, plot_conflict, plot_information

__all__ = [
    "category_of",
    "map_vectors",
    "plot_agreement",
    "plot_cheap",
    "plot_code_categories",
    "plot_codes",
    "plot_conflict",
    "plot_gains",
    "plot_history",
    "plot_information",
    "plot_intervals",
    "plot_lines",
    "plot_map",
    "plot_metrics",
    "plot_models",
    "plot_store_map",
    "plot_tradeoff",
]
