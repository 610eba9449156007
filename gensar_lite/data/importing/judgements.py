"""Judgements of items for queries, as shopping-query data have them: no users, no times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import MISSING, Coded, clean_ids
from gensar_lite.data.importing.events import Events
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.texts import clean_texts
from gensar_lite.data.storage import DataError


def read_judgements(
    events: Events, said: dict[str, Any], name: str, ids: pa.Array, report: ImportReport
) -> pd.DataFrame:
    """The table (query_id, query, item_id, grade, relevant); `relevant` marks right answers.

    Which grades count is said with the word `relevant`; else it is E of E, S, C, I (ESCI), Exact of
    WANDS, or, of numbers, the highest. `split` is there where the file says which queries train and which test. Judgements of unknown items and those without a query are dropped.
    """
    counts = report.counts
    counts["judgements_rows"] = events.rows
    values = ", ".join(f"{k} {n}" for k, n in sorted(events.left_out.items())[:12])
    report.say(
        "judgements_left_out",
        events.left_out_rows,
        f"{name}: {events.left_out_rows} of {events.rows} judgements are left out by {said.get('where')!r} ({values})",
    )
    item_column, _, _ = clean_ids(events.texts["item_id"], MISSING)
    query = (
        events.texts["query"]
        .map(lambda v: clean_texts(pc.utf8_trim_whitespace(v))[0])
        .map(lambda v: pc.if_else(pc.is_in(v, value_set=pa.array(MISSING)), None, v))
    )
    query_id = clean_ids(events.texts["query_id"], MISSING)[0] if "query_id" in events.texts else query
    grade = events.texts.get("grade")
    item = item_column.numbers_in(ids)
    lost = (item < 0) | query.missing | query_id.missing
    report.say(
        "judgements_unusable",
        int(lost.sum()),
        f"{name}: {lost.sum()} judgements lack a query or name an item that is not in the catalogue and were dropped",
    )
    if lost.all():
        raise DataError(
            f"{name} has no judgement with a query and an item of the catalogue; both files must use the same ids"
        )
    grades = grade.tally(~lost) if grade is not None else {"1": int((~lost).sum())}
    right = said.get("relevant") or _default(list(grades))
    unknown = [g for g in right if g not in grades]
    if len(unknown) == len(right):
        raise DataError(
            f"{name} has no grade {', '.join(map(repr, unknown))}; it has {', '.join(f'{g} ({n})' for g, n in grades.items())}. Say which are right answers with --set judgements.relevant=GRADE,GRADE"
        )
    wrong = {g: n for g, n in grades.items() if g not in right}
    report.say(
        "judgements_not_relevant",
        sum(wrong.values()),
        f"{name}: right answers are the judgements {', '.join(right)}; {', '.join(f'{g} {n}' for g, n in wrong.items())} are none ({sum(wrong.values())} judgements); --set judgements.relevant=GRADES says otherwise",
    )
    counts |= {f"grade_{g}": n for g, n in grades.items()}
    rows = np.flatnonzero(~lost)
    parts = _parts(events.texts["split"].take(rows), name, report) if "split" in events.texts else {}
    table = pa.table(
        {
            "query_id": query_id.take(rows).texts(),
            "query": query.take(rows).texts(),
            "item_id": pc.take(ids, pa.array(item[rows])),
            "grade": grade.take(rows).texts() if grade is not None else pa.repeat(pa.scalar("1"), len(rows)),
            **parts,
        }
    ).to_pandas()
    table["relevant"] = table["grade"].isin(right).to_numpy(bool)
    copies = table.duplicated(["query_id", "item_id"]).to_numpy()
    report.say(
        "judgements_copies",
        int(copies.sum()),
        f"{name}: {copies.sum()} judgements repeat query and item and were dropped",
    )
    return table[~copies].reset_index(drop=True)


def _parts(split: Coded, name: str, report: ImportReport) -> dict[str, pa.Array]:
    """The column of published parts, where it says what is tested; else the parts are drawn."""
    known = {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}
    part = split.map(lambda v: pa.array([known.get(text.strip().lower()) for text in v.to_pylist()], pa.string()))
    found = part.tally()
    if not found.get("test") or not found.get("train"):
        report.note(f"{name}: the column of parts names no queries to train on and to test; parts are drawn at random")
        return {}
    told = ", ".join(f"{n} {text}" for text, n in found.items())
    report.note(
        f"{name}: the published parts are kept ({told} judgements); --set judgements.split= draws parts at random"
    )
    unknown = int(part.missing.sum())
    report.say("judgements_without_part", unknown, f"{name}: {unknown} judgements name no part; their queries train")
    return {"split": pc.fill_null(part.texts(), "train")}


def _default(grades: list[str]) -> list[str]:
    """Grades that make a right answer where nobody said so."""
    for known in ("E", "Exact", "exact"):
        if known in grades:
            return [known]
    try:
        return [max(grades, key=float)]
    except ValueError:
        return grades
