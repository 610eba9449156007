"""The verbs of `gensar-lite identifiers`."""

from __future__ import annotations

from argparse import Namespace

from gensar_lite.cli.output import print_json, show
from gensar_lite.data.load import load_dataset
from gensar_lite.identifiers import describe_judgement, judge_identifiers


def judge(chosen: Namespace) -> None:
    """Report on one or several identifiers of a data set, side by side."""
    reports = judge_identifiers(chosen.files, load_dataset(chosen.data))
    print_json(reports) if chosen.json else show(describe_judgement(reports))
