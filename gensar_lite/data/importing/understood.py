"""What an import understood of people's files, in sentences: which column is what, what is not used, what stands out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import MISSING, is_missing
from gensar_lite.data.importing.events import Events
from gensar_lite.data.importing.log import Log, both_logs
from gensar_lite.data.importing.mapping import LOGS, WORDS
from gensar_lite.data.importing.opening import DEFAULTS, Opened
from gensar_lite.data.importing.report import ImportReport

_LARGE = 1 << 28  # bytes; columns of larger files are not read for a remark alone


def say_items(table: Opened, report: ImportReport) -> None:
    """Which columns of the items were taken for what; the first sentence."""
    sentence = f"{_read_as(table)}, {report.counts.get('item_rows', 0)} rows: {_words(table)}."
    report.understood.insert(0, sentence)


def say_events(table: Opened, events: Events, alone: bool, report: ImportReport) -> None:
    """Which columns of a log or of judgements were taken for what; `alone`: there is no log."""
    name, said = table.source.name, table.said
    rules = "".join(f"; {w}: {said[w]}" for w in ("where", "clicks") if said.get(w))
    time = "" if table.name == "judgements" else f"; times: {events.time.written if events.time else 'none'}"
    report.understood.append(f"{_read_as(table)}, {events.rows} rows: {_words(table)}{time}{rules}.")
    if table.name == "interactions" and "session" in str(said.get("user_id", "")).lower():
        report.note(f"{name}: sessions stand for users ({said['user_id']})")
    if said.get("gaps"):
        report.note(
            f"{name}: times are gaps in seconds; they were added up from each user's first event, so users cannot be compared in time"
        )
    if table.name == "judgements" and alone:
        report.note(
            f"{name}: no users and no times in this file: it can measure search, with several right answers to a query; there is nothing to recommend"
        )
    if table.name in LOGS:
        _say_other_users(table, report)


def _read_as(table: Opened) -> str:
    places = "" if table.source.header else " (no header: columns by their places, from 0)"
    return f"{table.name} from {table.source.name}{places}"


def _words(table: Opened) -> str:
    words = WORDS if table.name == "items" else table.said
    told = [w for w in words if WORDS[w].kind == "columns" or w == "category_flags"]
    return ", ".join(f"{w} = {table.said[w]}" for w in told if table.said.get(w))


def _say_other_users(table: Opened, report: ImportReport) -> None:
    """Columns that look like users and are not used: how much is missing there."""
    source, spec = table.source, str(table.said.get("user_id"))
    for column in source.columns:
        looks = re.search("user|customer|visitor", column, re.IGNORECASE) and "session" not in column.lower()
        if not looks or column in table.used or column in spec or source.size > _LARGE:
            continue
        lost = sum(pc.sum(is_missing(batch[column], MISSING)).as_py() or 0 for batch in source.batches([column]))
        report.say(
            f"{table.name}_other_users_missing",
            lost,
            f"{source.name}: the column {column} is not used; it is missing (empty, NA) in {lost} rows",
        )


def say_joint_facts(logs: dict[str, Log], file: str | None, report: ImportReport) -> None:
    """What concerns clicks and searches together; `file` is the one that holds both."""
    parts = [log for log in (logs.get("interactions"), logs["searches"]) if log is not None and len(log)]
    if len(parts) == 2 and file is not None and parts[0].time is not None:
        both = both_logs(*(log.take(log.item >= 0) for log in parts))
        order = np.lexsort((both.line, both.user.codes))
        user, time = both.user.codes[order], both.time[order]  # type: ignore[index]
        users = len(np.unique(user[1:][(np.diff(time) < 0) & (user[1:] == user[:-1])]))
        for key, what in (("not_clicked", "are no clicks"), ("copies", "are copies")):
            number = report.counts.get(f"interactions_{key}", 0) + report.counts.get(f"searches_{key}", 0)
            report.say(key, number, f"{file}: {number} rows in all {what}")
        sentence = f"together the rows of {users} users were not in time order and were sorted"
        report.say("users_out_of_order", users, sentence)
    several = 0
    for log in parts:
        if log.session is None:
            continue
        clicked = (log.item >= 0) & (log.session.codes >= 0)
        size = pd.DataFrame({"user": log.user.codes[clicked], "session": log.session.codes[clicked]}).value_counts()
        several += int((size > 1).sum())
    sentence = f"{several} sessions have several clicks; each is one decision with several right answers"
    report.say("sessions_with_several_clicks", several, sentence)


def say_unused(tables: Sequence[Opened], others: Sequence[Path], report: ImportReport) -> None:
    """Every column and every one of the `others` files that is not used is named."""
    if others:
        shown = ", ".join(f.name for f in others[:12])
        report.note(f"files not used: {shown}{' …' if len(others) > 12 else ''}")
    by_files: dict[tuple, list[Opened]] = {}
    for table in tables:
        by_files.setdefault(tuple(table.source.found), []).append(table)
    for sharing in by_files.values():
        source, used = sharing[0].source, {column for table in sharing for column in table.used}
        spare = [c for c in source.columns if c not in used]
        for table in sharing:
            for word in (w for w in DEFAULTS[table.name] if w not in table.said):
                if match := difflib.get_close_matches(word, spare, 1, 0.75):
                    report.note(
                        f"{source.name} has no column {word!r}; did you mean {match[0]!r} by it? Then say --columns {table.name}.{word}={match[0]}"
                    )
        if spare:
            report.note(f"{source.name}: columns not used: {', '.join(spare[:30])}{' …' if len(spare) > 30 else ''}")
            report.counts["unused_columns"] = report.counts.get("unused_columns", 0) + len(spare)
