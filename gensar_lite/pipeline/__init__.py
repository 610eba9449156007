"""The whole line, stage by stage, with its run folder; and the measurement of a model beside its baselines."""

from gensar_lite.pipeline.line import run
from gensar_lite.pipeline.measure import evaluate

__all__ = ["evaluate", "run"]
