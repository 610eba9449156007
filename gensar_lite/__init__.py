"""Unified generative search and recommendation, small enough for a laptop.

The public names load their modules when first used, so that `import gensar_lite` itself costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gensar_lite.data.build import build_dataset
    from gensar_lite.data.dataset import Cases, Dataset
    from gensar_lite.data.load import load_dataset
    from gensar_lite.data.storage import DataError
    from gensar_lite.identifiers import IdentifierTable, judge_identifiers, learn_identifiers, read_identifiers
    from gensar_lite.model import GenSAR
    from gensar_lite.pipeline import evaluate
    from gensar_lite.signals import Signals, embed

__version__ = "0.2.1"

_HOME = {
    "Cases": "gensar_lite.data.dataset",
    "DataError": "gensar_lite.data.storage",
    "Dataset": "gensar_lite.data.dataset",
    "GenSAR": "gensar_lite.model",
    "IdentifierTable": "gensar_lite.identifiers",
    "Signals": "gensar_lite.signals",
    "build_dataset": "gensar_lite.data.build",
    "embed": "gensar_lite.signals",
    "evaluate": "gensar_lite.pipeline",
    "judge_identifiers": "gensar_lite.identifiers",
    "learn_identifiers": "gensar_lite.identifiers",
    "load_dataset": "gensar_lite.data.load",
    "read_identifiers": "gensar_lite.identifiers",
}

__all__ = [
    "Cases",
    "DataError",
    "Dataset",
    "GenSAR",
    "IdentifierTable",
    "Signals",
    "build_dataset",
    "embed",
    "evaluate",
    "judge_identifiers",
    "learn_identifiers",
    "load_dataset",
    "read_identifiers",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gensar_lite' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
