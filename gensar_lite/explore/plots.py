"""The figures of the package, each a function that returns axes or a figure; see `maps`, `codes` and `curves`."""

from gensar_lite.explore.codes import plot_code_categories, plot_code_tree, plot_code_use
from gensar_lite.explore.curves import plot_history, plot_metrics
from gensar_lite.explore.maps import category_of, map_vectors, plot_map

__all__ = [
    "category_of",
    "map_vectors",
    "plot_code_categories",
    "plot_code_tree",
    "plot_code_use",
    "plot_history",
    "plot_map",
    "plot_metrics",
]
