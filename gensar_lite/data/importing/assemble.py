"""From a mapping to clean tables: read, join, one unit of time, cores and samples.

Explained in notebook 10. `read_tables` needs nothing but a `Mapping` and a folder; what was understood,
assumed and left out stands in the report.
"""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from gensar_lite.data.importing.cleaning import Cleaner
from gensar_lite.data.importing.columns import (
    MISSING,
    Coded,
    Gather,
    clean_ids,
    find_column,
    is_missing,
    lacking,
    resolve,
)
from gensar_lite.data.importing.events import Events, Reader
from gensar_lite.data.importing.interactions import InteractionCleaner
from gensar_lite.data.importing.items import Catalogue, read_items
from gensar_lite.data.importing.judgements import read_judgements
from gensar_lite.data.importing.log import Log, both_logs, coarsest, in_unit, log_table
from gensar_lite.data.importing.mapping import LOGS, TABLES, WORDS, Mapping
from gensar_lite.data.importing.places import Place
from gensar_lite.data.importing.reading import Source, connect
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.searches import SearchCleaner
from gensar_lite.data.importing.selection import Selection
from gensar_lite.data.importing.times import UNITS
from gensar_lite.data.storage import DataError

LARGE = 2_000_000  # rows from which the cost is said first
_DEFAULTS = {
    "items": ("item_id", "title", "description", "categories", "brand"),
    "interactions": ("user_id", "item_id", "timestamp", "session_id"),
    "searches": ("user_id", "session_id", "query", "item_id", "timestamp"),
    "judgements": ("query_id", "query", "item_id", "grade", "split"),
}
_NEEDED = {
    "items": ("item_id", "title"),
    "interactions": ("user_id", "item_id"),
    "searches": ("user_id", "query"),
    "judgements": ("query", "item_id"),
}
_LISTS = ("items", "impressions", "shown", "gaps")
_FURTHER = ("category_names", "category_files", "category_parents")


@dataclass
class Tables:
    """Clean tables: columns of a data set, text columns `str`, times int64 of one unit; `searches` is None without a search log.

    `timestamps` is "clock" or "steps". `untitled` (N,) are items whose title another text stands in for.
    """

    items: pd.DataFrame
    interactions: pd.DataFrame
    searches: pd.DataFrame | None
    judgements: pd.DataFrame | None
    timestamps: str
    report: ImportReport
    untitled: np.ndarray
    name: str = "tables"
    files: list[str] = field(default_factory=list)
    unit: str | None = None
    mapping: dict = field(default_factory=dict)  # what was said and understood, as a recipe


def read_tables(
    mapping: Mapping | Sequence[Mapping],
    root: str | Path = ".",
    *,
    data_seed: int = 0,
    items_only: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Tables:
    """Read everything that a mapping names, below `root` (a folder or zip file), into clean tables.

    Of several mappings (the forms of a recipe) the first one counts whose files and columns are there.
    With `items_only` there is no log, and one item is enough.
    `tell` is called with sentences about the cost before a long import begins. Raises `DataError` with
    one sentence where something is missing or cannot be sure, mostly with a guess that can be pasted.
    """
    forms = [mapping] if isinstance(mapping, Mapping) else list(mapping)
    with tempfile.TemporaryDirectory(prefix="gensar-import-") as scratch:
        report = ImportReport()
        (Path(scratch) / "files").mkdir()
        place = Place(root, Path(scratch) / "files", report)
        engine = connect(Path(scratch))
        try:
            failures = []
            for form in forms:
                work = _Import(form, place, engine, data_seed, report, items_only)
                try:
                    work.open()
                except DataError as error:
                    failures.append((len(work.sources), error))
                    report.sentences.clear()
                    continue
                return work.run(tell)
            raise max(failures, key=lambda f: f[0])[1]
        finally:
            engine.close()


class _Import:
    def __init__(
        self, mapping: Mapping, place: Place, engine, data_seed: int, report: ImportReport, items_only: bool
    ) -> None:
        self.items_only = items_only
        self.mapping, self.data_seed, self.report = mapping, data_seed, report
        self.place, self.engine = place, engine
        self.said: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, Source] = {}
        self.used: dict[str, list[str]] = {}
        self.further: list[Source] = []  # of small files beside the tables

    def open(self) -> None:
        """Find and look at all files."""
        unused = set(self.mapping.anywhere)
        for table in TABLES:
            if table in self.mapping.tables:
                self._open(table, unused)
        if unused:
            word = sorted(unused)[0]
            source = next(iter(self.sources.values()))
            raise DataError(lacking(source, next(iter(self.sources)), {word: self.mapping.anywhere[word]}))
        if "items" not in self.sources:
            raise DataError(
                "The items are missing: say which files hold them with --items FILE or --set items.files=FILE"
            )
        if not self.items_only and not any(t in self.sources for t in (*LOGS, "judgements")):
            raise DataError(
                "The log is missing: say which files hold it with --interactions FILE, --searches FILE or --judgements FILE"
            )

    def run(self, tell: Callable[[str], None] | None) -> Tables:
        """Read, clean and join."""
        self._announce(tell)
        catalogue = self._items()
        logs, cleaners = self._logs(catalogue)
        judgements = self._judgements(catalogue)
        return self._tables(catalogue, logs, cleaners, judgements)

    # ------------------------------------------------------------------ what was said, completed
    def _open(self, table: str, unused: set[str]) -> None:
        said = dict(self.mapping.tables[table])
        if not said.get("files"):
            raise DataError(f"The table {table} has no file; say --set {table}.files=FILE")
        places = any(str(said.get(w) or "").split(" ")[0].isdigit() for w in _DEFAULTS[table])
        if any(said.get(w) == "rest" for w in said):
            said.setdefault("format", "lines")
        source = Source(self.engine, self.place, said, places, self.report)
        for word, spec in self.mapping.anywhere.items():
            first = re.split(r" else | [+>] ", spec)[0].strip()
            if table not in WORDS[word].tables or (word == "item_id" and any(said.get(w) for w in _LISTS)):
                if table in WORDS[word].tables:
                    unused.discard(word)
                continue
            if word not in said and find_column(first, source) is not None:
                said[word] = spec
            if word in said:
                unused.discard(word)
        for word, spec in list(said.items()):
            names = str(spec).split(" else ")
            if WORDS[word].kind == "columns" and names[1:] and names[-1].strip() == "nothing":
                there = [n.strip() for n in names[:-1] if find_column(n.strip(), source) is not None]
                said[word] = " else ".join(there) or None
        taken = {
            find_column(n, source) for v in said.values() if isinstance(v, str) for n in re.split(r" else | [+>] ", v)
        }
        for word in _DEFAULTS[table]:
            column = find_column(word, source)
            if word not in said and column not in (None, *taken) and not (word == "item_id" and said.get("items")):
                said[word] = word
        needed = [*_NEEDED[table], *(["timestamp"] if table in LOGS and not said.get("gaps") else [])]
        lost = {}
        for word in needed:
            listed = word == "item_id" and any(said.get(w) for w in (*_LISTS, "click_files"))
            listed |= word == "query" and bool(said.get("query_files"))
            if not (
                said.get(word) or listed or (word in ("title", "timestamp") and (word in said or said.get("property")))
            ):
                lost[word] = word
        if lost:
            none = {"title": "no titles at all", "timestamp": "no time, only the order of the file"}
            others = "".join(f" ({about}: --set {table}.{w}=)" for w, about in none.items() if w in lost)
            raise DataError(lacking(source, table, lost, [t for t in taken if t]) + others)
        for word, spec in said.items():
            own = word in WORDS and WORDS[word].kind == "columns" and not word.startswith("click_")
            own &= word != "query" or not said.get("query_files")
            if own and spec and not (table == "items" and said.get("property") and word not in ("item_id", "property")):
                resolve(spec, source, table, word)
        self.said[table], self.sources[table] = said, source

    def _announce(self, tell) -> None:
        """How long and how much memory a large import takes."""
        rows = sum(s.estimate() for t, s in self.sources.items() if t in LOGS)
        if tell is None or rows < LARGE:
            return
        minutes, memory = rows / 4e6, 0.5 + rows * 4.5e-7
        tell(
            f"About {rows / 1e6:.0f} million rows of a log: expect {minutes:.0f} to {minutes * 3:.0f} minutes and up to {memory:.1f} GB of memory"
            + (
                "."
                if self.mapping.options.get("sample_users")
                else "; --sample-users 10000 imports the log of 10,000 random users first."
            )
        )

    # ------------------------------------------------------------------ tables
    def _further(self, table: str, word: str) -> Source | None:
        said = self.said[table]
        if not said.get(word):
            return None
        how: dict[str, Any] = {
            "files": said[word],
            **{w: said[w] for w in ("delimiter", "encoding", "quoting") if w in said and word != "category_names"},
        }
        if word == "category_names":
            how |= {"header": False}
        self.further.append(Source(self.engine, self.place, how, False, self.report))
        return self.further[-1]

    def _items(self) -> Catalogue:
        said = self.said["items"]
        logs = [self.sources[t].found for t in LOGS if t in self.sources]
        flat = self.sources["items"].found in logs
        if flat:
            self.report.note(f"items and events come from one file ({self.sources['items'].name})")
        extra = {w: s for w in _FURTHER if (s := self._further("items", w)) is not None}
        catalogue = read_items(self.sources["items"], said, self.report, extra, flat, 1 if self.items_only else 2)
        self.used["items"] = list(catalogue.used)
        return catalogue

    def _events(self, table: str) -> tuple[Events, Cleaner]:
        reader = Reader(self.sources[table], table, self.said[table])
        events = reader.read()
        self.used[table] = list(reader.used)
        return events, reader  # type: ignore[return-value]

    def _logs(self, catalogue: Catalogue) -> tuple[dict[str, Log], dict[str, Cleaner]]:
        ids = catalogue.ids
        logs: dict[str, Log] = {}
        cleaners: dict[str, Cleaner] = {}
        for table in LOGS:
            if table not in self.sources:
                continue
            said = self.said[table]
            events, _ = self._events(table)
            kind = InteractionCleaner if table == "interactions" else SearchCleaner
            cleaner = kind(table, self.sources[table].name, said, ids, self.report, self.sources[table].first_row)
            cleaners[table] = cleaner
            self._understood(table, events)
            self._other_users(table)
            if isinstance(cleaner, InteractionCleaner):
                log, asked = cleaner.interactions(events)
                logs[table] = log
                if asked is not None:
                    logs["asked"] = asked
            else:
                clicks = self._clicks(table) if said.get("click_files") else None
                logs[table] = cleaner.searches(events, clicks)
        if "asked" in logs:  # searches that a log of interactions holds
            asked = logs.pop("asked")
            logs["searches"] = both_logs(asked, logs["searches"]) if "searches" in logs else asked
        self._one_unit(logs)
        if "searches" in logs:
            asking = cleaners.get("searches") or Cleaner(
                "searches", self.sources["interactions"].name, {}, ids, self.report
            )
            logs["searches"] = asking.copies(logs["searches"])
            if "query" in self.said.get("interactions", {}):
                self.report.note(f"{len(logs['interactions'])} events have no query, {len(logs['searches'])} have one")
            if self.mapping.options.get("search_clicks"):
                self._search_clicks(logs)
            if not len(logs.get("interactions", ())):
                self.report.note(
                    "there are no recommendation clicks in this log, so recommendation cannot be measured; --set options.search_clicks=yes counts clicks after searches as such, too"
                )
            self._joint_facts(logs)
        return logs, cleaners

    def _search_clicks(self, logs: dict[str, Log]) -> None:
        """Clicks after searches as interactions, too: two faces of one event."""
        asked = logs["searches"]
        clicked = asked.take(asked.item >= 0)
        clicked.query = None
        both = both_logs(logs["interactions"], clicked) if "interactions" in logs else clicked
        both = both.take(~both.key().duplicated().to_numpy())
        self.report.note("clicks after searches count as recommendation clicks, too")
        logs["interactions"] = both

    def _clicks(self, table: str) -> tuple[Coded, Coded]:
        """Session and item of each click of a file of its own."""
        said = self.said[table]
        session = said.get("click_session") or said.get("session_id") or "session_id"
        pair = {"click_session": session, "click_item": said.get("click_item") or "item_id"}
        sessions, items = self._two_columns(table, "click_files", pair)
        return clean_ids(sessions, MISSING)[0], clean_ids(items, MISSING)[0]

    def _queries(self, query_id: Coded) -> Coded:
        """The texts of queries (R,), which a file of its own has by their ids."""
        said = self.said["judgements"]
        pair = {"query_id": said["query_id"], "query": said.get("query") or "query"}
        ids, texts = self._two_columns("judgements", "query_files", pair)
        row = clean_ids(query_id, MISSING)[0].numbers_in(clean_ids(ids, MISSING)[0].texts())
        return Coded(np.where(row >= 0, texts.codes[row], -1).astype(np.int32), texts.values)

    def _two_columns(self, table: str, word: str, pair: dict[str, str]) -> tuple[Coded, Coded]:
        """Two columns of a file beside a table: the words that they are for, and their names."""
        source = self._further(table, word)
        assert source is not None
        names = [resolve(spec, source, table, w).names[0] for w, spec in pair.items()]
        gather = Gather()
        for batch in source.batches(names):
            for name in names:
                gather.add(name, batch[name])
        return gather.coded(names[0]), gather.coded(names[1])

    def _judgements(self, catalogue: Catalogue) -> pd.DataFrame | None:
        if "judgements" not in self.sources:
            return None
        said = dict(self.said["judgements"])
        if said.get("query_files"):
            said["query"] = None
        reader = Reader(self.sources["judgements"], "judgements", said)
        events = reader.read()
        if said.get("query_files"):
            events.texts["query"] = self._queries(events.texts["query_id"])
        self.used["judgements"] = list(reader.used)
        self._understood("judgements", events)
        return read_judgements(
            events, self.said["judgements"], self.sources["judgements"].name, catalogue.ids, self.report
        )

    # ------------------------------------------------------------------ time
    def _one_unit(self, logs: dict[str, Log]) -> None:
        """All tables in the finest unit that one of them needs. Raises `DataError` where one has a unit and the other none."""
        clocks = {t: log for t, log in logs.items() if len(log)}
        kinds = {
            t: "none" if log.time is None else "unknown" if log.exponent is None else "known"
            for t, log in clocks.items()
        }
        if len(set(kinds.values())) > 1:
            first, second = list(clocks)[:2]
            for table, other in ((first, second), (second, first)):
                if kinds[table] == "unknown":
                    raise DataError(
                        f"The times of {other} are {clocks[other].written or 'missing'}, those of {table} numbers of unknown unit (such as {clocks[table].time[0]}); say which with --set {table}.time_unit=s (or ms, us, ns)"  # type: ignore[index]
                    )
            missing = first if kinds[first] == "none" else second
            raise DataError(
                f"The table {missing} has no time and the other one has, so their events cannot be put in order; say the column with --columns {missing}.timestamp=NAME"
            )
        known = [log for log in clocks.values() if log.exponent is not None and log.time is not None]
        if not known:
            return
        target = max(coarsest(log) for log in known)
        written = {t: log.written for t, log in clocks.items()}
        exponents = {coarsest(log) for log in known}
        if len(known) > 1 and (len(exponents) > 1 or len(set(written.values())) > 1):
            told = "; ".join(f"{t}: {w}, in {UNITS[coarsest(clocks[t])]}" for t, w in written.items())
            self.report.note(f"the tables write time differently ({told}); {UNITS[target]} were taken for all")
        spans = {}
        for table, log in clocks.items():
            log.time, log.exponent = in_unit(log.time, log.exponent, target), target
            spans[table] = (log.time.min(), log.time.max())
        if len(spans) == 2:
            (a, b), (c, d) = spans.values()
            if b < c or d < a:
                days = [str(np.datetime64(int(v // 10**target), "s"))[:10] for v in (a, b, c, d)]
                self.report.note(
                    f"the tables share no time: {next(iter(spans))} are from {days[0]} to {days[1]}, {list(spans)[1]} from {days[2]} to {days[3]}; check --set TABLE.time_unit"
                )

    def _joint_facts(self, logs: dict[str, Log]) -> None:
        """What concerns clicks and searches together, where both stand in one file."""
        clicks, asked = logs.get("interactions"), logs["searches"]
        parts = [log for log in (clicks, asked) if log is not None and len(log)]
        if (
            len(parts) == 2
            and clicks is not None
            and self.said.get("searches", {}).get("files") == self.said.get("interactions", {}).get("files")
            and clicks.time is not None
        ):
            both = both_logs(*(log.take(log.item >= 0) for log in parts))
            order = np.lexsort((both.line, both.user.codes))
            user, time = both.user.codes[order], both.time[order]  # type: ignore[index]
            users = len(np.unique(user[1:][(np.diff(time) < 0) & (user[1:] == user[:-1])]))
            counts, name = self.report.counts, self.sources["interactions"].name
            for key, what in (("not_clicked", "are no clicks"), ("copies", "are copies")):
                number = counts.get(f"interactions_{key}", 0) + counts.get(f"searches_{key}", 0)
                self.report.say(key, number, f"{name}: {number} rows in all {what}")
            self.report.say(
                "users_out_of_order",
                users,
                f"together the rows of {users} users were not in time order and were sorted",
            )
        several = 0
        for log in parts:
            if log.session is None:
                continue
            clicked = (log.item >= 0) & (log.session.codes >= 0)
            size = pd.DataFrame({"user": log.user.codes[clicked], "session": log.session.codes[clicked]}).value_counts()
            several += int((size > 1).sum())
        self.report.say(
            "sessions_with_several_clicks",
            several,
            f"{several} sessions have several clicks; each is one decision with several right answers",
        )

    # ------------------------------------------------------------------ the result
    def _tables(
        self, catalogue: Catalogue, logs: dict[str, Log], cleaners: dict[str, Cleaner], judgements: pd.DataFrame | None
    ) -> Tables:
        self._unused()
        keep = Selection(logs, len(catalogue.table))
        options = self.mapping.options
        if options.get("k_core") and int(options["k_core"]) > 1:
            keep.core(int(options["k_core"]), self.report)
        if options.get("sample_users"):
            keep.sample(int(options["sample_users"]), self.data_seed, self.report)
        if self.said["items"].get("only") == "clicked" or (options.get("k_core") and int(options["k_core"]) > 1):
            rows = keep.clicked()
            dropped = int((~rows).sum())
            self.report.say(
                "items_without_clicks", dropped, f"{dropped} items without a click that stays were left out"
            )
            catalogue.table = catalogue.table[rows].reset_index(drop=True)
            catalogue.untitled = catalogue.untitled[rows]
            keep.renumber(rows)
            if len(catalogue.table) < 2:
                raise DataError("Fewer than two items are left; choose a smaller --k-core")
        clicks, asked = keep.logs.get("interactions"), keep.logs.get("searches")
        ids = catalogue.ids
        steps = all(log.time is None for log in keep.logs.values())
        unit = next((log.exponent for log in keep.logs.values() if log.exponent is not None), None)
        return Tables(
            items=catalogue.table,
            interactions=log_table(clicks, ids, "interactions"),
            searches=None if asked is None else log_table(asked, ids, "searches"),
            judgements=judgements,
            timestamps="steps" if steps else "clock" if unit is not None else "auto",
            report=self.report,
            untitled=catalogue.untitled,
            name=str(options.get("name") or Path(self.sources["items"].found[0]).absolute().parent.name),
            files=[f.name for s in self.sources.values() for f in s.found[:4]],
            unit=UNITS.get(unit) if unit is not None else None,
            mapping=self._as_recipe(),
        )

    def _as_recipe(self) -> dict:
        """The words that were said or found, in the form of a recipe file."""
        said = {
            t: {w: v for w, v in words.items() if v is not None or w in ("title", "timestamp")}
            for t, words in self.said.items()
        }
        said = {t: {w: "" if v is None else v for w, v in words.items()} for t, words in said.items()}
        return {**({"options": self.mapping.options} if self.mapping.options else {}), **said}

    # ------------------------------------------------------------------ the report
    def _understood(self, table: str, events: Events) -> None:
        said, source = self.said[table], self.sources[table]
        words = ", ".join(
            f"{w} = {said[w]}"
            for w in said
            if w
            in (
                "user_id",
                "session_id",
                "item_id",
                "items",
                "impressions",
                "shown",
                "labels",
                "history",
                "query",
                "query_id",
                "grade",
                "timestamp",
                "gaps",
                "event_type",
                "rating",
                "weight",
            )
            and said[w]
        )
        how = "" if source.header else " (no header: columns by their places, from 0)"
        rules = "; ".join(f"{w}: {said[w]}" for w in ("where", "clicks") if said.get(w))
        time = "" if table == "judgements" else f"; times: {events.time.written if events.time else 'none'}"
        self.report.understood.append(
            f"{table} from {source.name}{how}, {events.rows} rows: {words}{time}{'; ' + rules if rules else ''}."
        )
        if table == "interactions" and "session" in str(said.get("user_id", "")).lower():
            self.report.note(f"{source.name}: sessions stand for users ({said['user_id']})")
        if table in LOGS and said.get("gaps"):
            self.report.note(
                f"{source.name}: times are gaps in seconds; they were added up from each user's first event, so users cannot be compared in time"
            )
        if table == "judgements" and not any(t in self.sources for t in LOGS):
            self.report.note(
                f"{source.name}: no users and no times in this file: it can measure search, with several right answers to a query; there is nothing to recommend"
            )

    def _other_users(self, table: str) -> None:
        """Columns that look like users and are not used: how much is missing there."""
        source, spec = self.sources[table], str(self.said[table].get("user_id"))
        used = set(self.used[table])
        for column in source.columns:
            if (
                column in used
                or column in spec
                or not re.search("user|customer|visitor", column, re.IGNORECASE)
                or "session" in column.lower()
            ):
                continue
            if source.size > 1 << 28:
                continue
            lost = sum(pc.sum(is_missing(batch[column], MISSING)).as_py() or 0 for batch in source.batches([column]))
            self.report.say(
                f"{table}_other_users_missing",
                lost,
                f"{source.name}: the column {column} is not used; it is missing (empty, NA) in {lost} rows",
            )

    def _unused(self) -> None:
        """Every column that is not used is named."""
        said = self.said["items"]
        source = self.sources["items"]
        words = ", ".join(
            f"{w} = {said[w]}"
            for w in ("item_id", "title", "description", "brand", "categories", "category_flags")
            if said.get(w)
        )
        how = "" if source.header else " (no header: columns by their places, from 0)"
        self.report.understood.insert(
            0, f"items from {source.name}{how}, {self.report.counts.get('item_rows', 0)} rows: {words}."
        )
        taken = {f for s in (*self.sources.values(), *self.further) for f in s.found}
        spare = [f.name for f in self.place.others(taken)]
        if spare:
            self.report.note(f"files not used: {', '.join(spare[:12])}{' …' if len(spare) > 12 else ''}")
        by_files: dict[tuple, set[str]] = {}
        for table, source in self.sources.items():
            by_files.setdefault(tuple(source.found), set()).update(self.used.get(table, []))
        for files, used in by_files.items():
            source = next(s for s in self.sources.values() if tuple(s.found) == files)
            spare = [c for c in source.columns if c not in used]
            for table in (t for t, s in self.sources.items() if tuple(s.found) == files):
                for word in (w for w in _DEFAULTS[table] if w not in self.said[table]):
                    if match := difflib.get_close_matches(word, spare, 1, 0.75):
                        self.report.note(
                            f"{source.name} has no column {word!r}; did you mean {match[0]!r} by it? Then say --columns {table}.{word}={match[0]}"
                        )
            if spare:
                self.report.note(
                    f"{source.name}: columns not used: {', '.join(spare[:30])}{' …' if len(spare) > 30 else ''}"
                )
                self.report.counts["unused_columns"] = self.report.counts.get("unused_columns", 0) + len(spare)
