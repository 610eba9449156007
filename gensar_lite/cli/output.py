"""How results are printed: tables, examples in words, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gensar_lite.cli.terminal import printable
from gensar_lite.evaluation.protocols import EVALUATION_PROTOCOLS, PRIMARY

NAMED = "noun_precision@5"
COLUMNS = {
    "recommendation": (
        ("uniform99", "HR@10"),
        ("uniform99", "NDCG@10"),
        ("popular99", "NDCG@10"),
        ("full", "HR@10"),
        ("full", "NDCG@10"),
    ),
    "search": (
        ("bm25_99", "HR@10"),
        ("bm25_99", "NDCG@10"),
        ("adhoc_bm25_99", "NDCG@10"),
        ("full", "HR@10"),
        ("full", "NDCG@10"),
    ),
}


def tell(sentence: str) -> None:
    """Say something on stderr, at once."""
    print(printable(sentence), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result for people on stdout."""
    print(printable(text))


def print_json(content: object) -> None:
    """JSON on stdout."""
    show(json.dumps(content, indent=2, ensure_ascii=False))


def print_answers(table: pd.DataFrame, as_json: bool) -> None:
    """A table of answers, for people or for scripts."""
    if as_json:
        print_json(table.to_dict("records"))
        return
    for place, row in enumerate(table.to_dict("records"), start=1):
        rest = "  ".join(str(row[c]) for c in ("item_id", "identifier") if c in row)
        text = row.get("title", row.get("query"))
        show(f"{place:3d}. {text}  ({rest + ', ' if rest else ''}{row['score']:.2f})")


def row_names(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """What a table calls the model of `metrics.json` with what it hears, and its generator alone."""
    made = metrics.get("provenance", {})
    name = made.get("model", "gensar")
    return name, name.removesuffix("".join(f" + {source}" for source in made.get("evidence", [])))


def results_text(metrics: Mapping[str, Any]) -> str:
    """Both tasks, the model with what it hears and its generator alone beside baselines, best first by the primary metric."""
    made = metrics.get("provenance", {})
    name, alone = row_names(metrics)
    lines: list[str] = []
    for task in EVALUATION_PROTOCOLS:
        rows = {f"{name} *": metrics.get(task, {}), f"{alone} *": metrics.get("generator", metrics).get(task, {})}
        rows |= {
            ranker: values[task]
            for part in ("baselines", "ceiling")
            for ranker, values in metrics.get(part, {}).items()
            if task in values
        }
        rows = {ranker: values for ranker, values in rows.items() if values}
        if not rows:
            if metrics.get("provenance", {}).get("cases", {}).get(task) == 0:
                lines += ["", f"{task.capitalize()}: the data set holds out no case, so nothing is measured"]
            continue
        shown = [(p, m) for p, m in COLUMNS[task] if any(p in values for values in rows.values())]
        protocol, metric = PRIMARY[task]
        order = sorted(rows, key=lambda r: -rows[r].get(protocol, {}).get(metric, -1.0))
        lines += ["", f"{task.capitalize()} ({made.get('cases', {}).get(task, '?')} cases)"]
        width = max(14, *(len(ranker) + 2 for ranker in rows))
        lines.append(" " * width + "".join(f"{p:>15}" for p, _ in shown))
        lines.append(" " * width + "".join(f"{m:>15}" for _, m in shown))
        for ranker in order:
            cells = "".join(f"{rows[ranker][p][m]:15.3f}" if p in rows[ranker] else f"{'':15}" for p, m in shown)
            lines.append(f"{ranker:{width}}{cells}")
    named = {ranker: tasks.get("search", {}).get(NAMED) for ranker, tasks in metrics.get("lists", {}).items()}
    if told := [f"{ranker} {value:.3f}" for ranker, value in named.items() if value is not None]:
        lines += ["", f"A colour and a noun, asked by somebody with a history: {NAMED} {', '.join(told)}"]
    if name != alone:
        heard = name.removeprefix(f"{alone} ")
        lines += ["", f"{alone}: the generator alone; {heard}: joined with what the store says (--evidence)"]
    if metrics.get("ceiling"):
        lines += ["", "oracle: knows the truth of the simulated store, the ceiling for every ranker"]
    return "\n".join(lines)


def examples_text(examples: Sequence[Mapping[str, Any]]) -> str:
    """Examples in words: what was asked, what came before, the answers, and the true item marked."""
    lines: list[str] = []
    for example in examples:
        asked = (
            f"Search “{example['query']}” by {example['user']}"
            if example["task"] == "search"
            else f"Recommendation for {example['user']}"
        )
        lines += ["", asked, f"  before: {'; '.join(example['history']) or 'nothing'}"]
        target = example["target"]
        for place, answer in enumerate(example["answers"], start=1):
            mark = "  <-- clicked" if answer["item_id"] == target["item_id"] else ""
            lines.append(f"  {place}. {answer['title']}{mark}")
        if all(answer["item_id"] != target["item_id"] for answer in example["answers"]):
            lines.append(f"  clicked: {target['title']} (place {example['rank']:g} of the whole catalogue)")
    if examples:
        lines.append("\n(cases drawn at random, not for their success)")
    return "\n".join(lines)
