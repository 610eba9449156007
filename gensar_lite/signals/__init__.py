"""Semantic and collaborative item vectors (notebook 02)."""

from gensar_lite.signals.signals import Signals, embed

__all__ = ["Signals", "embed"]
