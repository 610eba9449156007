"""Tables, figures and numbers of the documents, from the records in data/results.

    python docs/records.py

writes every table and figure of README.md and docs/evidence.md anew that a comment above it asks for:

    <!-- protocols: RECORD filters -->              a row for each model, a column for each task and protocol: mean and range of the seeds
    <!-- datasets: RECORD filters -->               the same, a column for each data set and task, by the primary protocols
    <!-- rows: RECORD/TABLE filters | columns -->   rows of a table of the record's summary, with their intervals; a column is
                                                    COLUMN, COLUMN: head, or COLUMN: head: names of its values, as below
    <!-- drawn: RECORD filters -->                  the curves of a record, into the picture that follows
    <!-- drawn: RECORD filters | rows COLUMN: names | hues COLUMN: names -->    a row for each model instead; the names of the
                                                    column's values, with ; between them, are in the order of the record
    <!-- drawn: RECORD filters | cheap -->          the cheap curves of a record beside its sweep, by quality and cost
    <!-- drawn: RECORD filters | map -->            its strategies along every knob of the simulated stores

RECORD+GOALS/TABLE is a table of the reading by other goals, `summary_GOALS.json`. Filters are COLUMN=VALUE (several values with |
between them, COLUMN!=VALUE for all others). A paragraph with numbers names the rows that hold them, `<!-- said: RECORD/TABLE filters -->`; tests/test_recorded.py holds them against the record.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from gensar_lite.evaluation.baselines import NAMES
from gensar_lite.evaluation.protocols import PRIMARY
from gensar_lite.explore.models import plot_models
from gensar_lite.explore.store_map import plot_store_map, store_knobs
from gensar_lite.explore.tradeoff import plot_cheap, plot_tradeoff
from gensar_lite.tradeoff.comparing import GENERATIVE
from gensar_lite.tradeoff.curve import Goals, describe_choice, evidence_of
from gensar_lite.tradeoff.design import Design
from gensar_lite.tradeoff.results import read_results

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "data" / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "evidence.md")
TABLE = re.compile(r"<!-- (protocols|datasets|rows): (.+?) -->\n((?:\|.*\n)*)")
DRAWN = re.compile(r"<!-- drawn: (.+?) -->\n!\[.*?\]\((.+?)\)")
SAID = re.compile(r"<!-- said: (.+?) -->")
NUMBER = re.compile(r"(?<![\d.\w])[+−]?\.\d{3}(?!\d)")
SHORT = {"recommendation": "rec.", "search": "search"}
PROTOCOLS = {
    "recommendation": ("uniform99", "popular99", "full"),
    "search": ("bm25_99", "adhoc_bm25_99", "full"),
}


def short(value: float, sign: str = "") -> str:
    """A number as the documents write it: .491, +.017, −.059."""
    return f"{value:{sign}.3f}".replace("0.", ".", 1).replace("-", "−")


@cache
def table_of(record: str, name: str) -> pd.DataFrame:
    """A table of a record: one of its summary (of `RECORD+GOALS` that by other goals), or `means`, the test values of all models by task and protocol (with `low` and `high`
    of the seeds)."""
    if name != "means":
        folder, goals = re.fullmatch(r"(\w+)(?:\+(\w+))?", record).groups()  # type: ignore[union-attr]
        summary = RECORDS / folder / f"summary{'_' + goals if goals else ''}.json"
        rows = pd.DataFrame(json.loads(summary.read_text(encoding="utf-8"))[name])
        rows = rows.astype(dict.fromkeys(rows.columns[rows.isna().all()], float))  # of one seed there are no intervals
        if "strategy" in rows:
            rows["name"] = [_name(row) for row in rows.to_dict("records")]
        return rows
    results = read_results(RECORDS / record)
    results = results[(results["split"] == "test") & results["metric"].isin(["NDCG@10", *LISTED])]
    heard = {text: evidence_of(text) for text in results["parameters"].unique()}
    results = results.assign(evidence=results["parameters"].map(heard).where(results["curve"] != "specialist", ""))
    keys = ["data", "curve", "strategy", "variant", "evidence", "mix", "place", "task", "protocol", "metric"]
    seeds = results.groupby(keys, dropna=False, sort=False)["value"]
    rows = seeds.agg(value="mean", low="min", high="max", seeds="size").reset_index()
    only = rows["mix"].map({mix: f" {task}-only" for task, mix in GENERATIVE.items()}).fillna("")
    rows["name"] = [_name(row) + end for row, end in zip(rows.to_dict("records"), only, strict=True)]
    return rows


def _name(row: dict) -> str:
    return row["strategy"] if row["curve"] == "specialist" else describe_choice(row)


LISTED = ("coverage", "popularity_bias", "novelty", "repeats", "noun_precision@5")


def select(spec: str) -> pd.DataFrame:
    """The rows that a comment speaks of: RECORD/TABLE and filters."""
    source, *filters = shlex.split(spec)
    record, _, name = source.partition("/")
    rows = table_of(record, name or "means").copy()
    for text in filters:
        column, different, wanted = re.fullmatch(r"(\w+)(!?)=(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        told = rows[column].map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))
        same = told.isin(wanted.split("|"))
        rows = rows[~same if different else same]
    if rows.empty:
        raise ValueError(f"no row of the records is meant by {spec!r}")
    return rows


def made_table(kind: str, spec: str) -> str:
    """The lines of a table."""
    if kind == "rows":
        source, _, columns = spec.partition(" | ")
        asked = [text.strip().partition(":") for text in columns.split(",")]
        rows = select(source)
        heads = []
        for name, _, title in asked:
            head, _, names = title.partition(":")
            heads.append(head.strip() or name)
            if names:
                rows[name] = _named(rows, f"{name}:{names}")
        lines = [[_cell(row, name) for name, _, _ in asked] for row in rows.to_dict("records")]
        return _lines(heads, lines)
    rows = select(spec)
    rows = rows[rows["metric"] == "NDCG@10"]
    if kind == "protocols":
        pairs = [(task, name) for task, names in PROTOCOLS.items() for name in names]
        columns = {f"{SHORT[t]} `{p}`": rows[(rows["task"] == t) & (rows["protocol"] == p)] for t, p in pairs}
    else:
        columns = {
            f"{label}, {SHORT[t]}": rows[(rows["data"] == label) & (rows["task"] == t) & (rows["protocol"] == p)]
            for label in pd.unique(rows["data"])
            for t, (p, _) in PRIMARY.items()
        }
    columns = {title: part.set_index("name") for title, part in columns.items() if len(part)}
    curve_of = dict(zip(rows["name"], rows["curve"], strict=True))
    generators = [name for name, curve in curve_of.items() if curve != "specialist"]
    names = [*generators, *(name for name in NAMES if name in curve_of)]
    lines = [
        [
            f"**`{name}`**" if name in generators else f"`{name}`",
            *(_seeds(part, name, curve_of[name]) for part in columns.values()),
        ]
        for name in names
    ]
    return _lines(["NDCG@10, test", *columns], lines)


def _seeds(part: pd.DataFrame, name: str, curve: str) -> str:
    if name not in part.index:
        return ""
    row = part.loc[name]
    ranges = f" <sub>{short(row['low'])}–{short(row['high'])}</sub>" if curve != "specialist" else ""
    return short(row["value"]) + ranges


def _cell(row: dict, name: str) -> str:
    """A value with its interval where it has one; differences with their sign."""
    value = row[name]
    if not isinstance(value, float):
        return f"`{value}`" if name in ("name", "model", "against", "specialist") else str(value)
    if name.startswith("p_"):
        return "" if np.isnan(value) else f"{value:.3f}"
    if name in ("place", "mix", "against_place", "cpu_minutes", "num_places"):
        return f"{value:.3g}"
    own = name in ("value", "against_value")
    low, high = (np.nan, np.nan) if own else (row.get(_end(name, end)) for end in ("low", "high"))
    sign = "+" if name == "difference" else ""
    if low is None or high is None or np.isnan(low):
        return short(value, sign)
    return f"{short(value, sign)} ({short(low, sign)} to {short(high, sign)})"


def _end(name: str, end: str) -> str:
    return f"{name}_{end}" if name in PRIMARY else end


def _lines(head: list[str], rows: list[list[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *rows])


def filled(text: str) -> str:
    """A page with its tables as the records tell them."""
    return TABLE.sub(lambda m: f"<!-- {m[1]}: {m[2]} -->\n{made_table(m[1], m[2])}", text)


def unsaid(text: str) -> Iterator[tuple[str, str]]:
    """Numbers of a page that the rows named beside them do not hold, with their paragraph."""
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", TABLE.sub("", text)):
        known: set[str] = set()
        for spec in SAID.findall(block):
            numbers = select(spec).select_dtypes("number").to_numpy().ravel()
            known |= {short(value, sign) for value in numbers[np.isfinite(numbers)] for sign in ("", "+")}
            known |= {short(abs(value)) for value in numbers[np.isfinite(numbers)]}
        for number in NUMBER.findall(re.sub(r"<!--.*?-->", "", block, flags=re.DOTALL)):
            if number not in known:
                yield number, block


def draw(spec: str, path: Path) -> None:
    """The curves of a record, or a row for each of its models, in the order of their table, or one of its other figures."""
    asked, *axes = (part.strip() for part in spec.split(" | "))
    source, *filters = shlex.split(asked)

    def rows_of(name: str) -> pd.DataFrame:
        return select(" ".join([f"{source}/{name}", *map(shlex.quote, filters)]))

    if axes == ["map"]:
        stores = store_knobs(Design.read(RECORDS / f"{source}.design.json").sources())
        figure = plot_store_map(rows_of("strategies"), stores)
    else:
        goals = Goals(**json.loads((RECORDS / source / "summary.json").read_text(encoding="utf-8"))["goals"])
        points = rows_of("points")
        if axes == ["cheap"]:
            label, strategy = points[["data", "strategy"]].iloc[0]
            figure = plot_cheap(points, rows_of("volumes"), goals, label, strategy)
        elif axes:
            named = {axis.split()[0]: _named(points, axis.split(maxsplit=1)[1]) for axis in axes}
            figure = plot_models(points, goals, **named)
        else:
            specialists = table_of(source, "specialists")
            figure = plot_tradeoff(points, specialists[specialists["data"].isin(points["data"])], goals)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _named(points: pd.DataFrame, axis: str) -> list[str]:
    """The values of a column, COLUMN or COLUMN: names."""
    column, _, names = axis.partition(":")
    values = list(dict.fromkeys(points[column]))
    told = [name.strip() for name in names.split(";")] if names else values
    return list(points[column].map(dict(zip(values, told, strict=True))))


def main() -> None:
    """Fill all tables and draw all figures."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(filled(text), encoding="utf-8")
        for spec, picture in DRAWN.findall(text):
            draw(spec, page.parent / picture)
        for number, block in unsaid(text):
            print(f"{page.name}: {number} is in no row that is named in: {block.strip()[:120]}")


if __name__ == "__main__":
    main()
