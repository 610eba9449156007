"""Identifiers: from two vectors per item to unique tuples of codes, one for search and one for recommendation."""

from gensar_lite.identifiers.foreign import is_identifier_file, read_identifiers
from gensar_lite.identifiers.health import describe
from gensar_lite.identifiers.judge import describe_judgement, judge_identifiers
from gensar_lite.identifiers.learning import assign_new, learn_identifiers
from gensar_lite.identifiers.quantisers import list_quantisers, register_quantiser
from gensar_lite.identifiers.rqvae import RQVAEConfig
from gensar_lite.identifiers.strategies import list_strategies, register_strategy
from gensar_lite.identifiers.table import VIEWS, IdentifierTable

__all__ = [
    "VIEWS",
    "IdentifierTable",
    "RQVAEConfig",
    "assign_new",
    "describe",
    "describe_judgement",
    "is_identifier_file",
    "judge_identifiers",
    "learn_identifiers",
    "list_quantisers",
    "list_strategies",
    "read_identifiers",
    "register_quantiser",
    "register_strategy",
]
