"""From a mapping to clean tables: read, join, one unit of time, cores and samples.

Explained in notebook 10. `read_tables` needs nothing but a `Mapping` and a folder; what was understood,
assumed and left out stands in the report.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from gensar_lite.data.importing.cleaning import Cleaner
from gensar_lite.data.importing.columns import MISSING, Coded, clean_ids
from gensar_lite.data.importing.events import Events
from gensar_lite.data.importing.interactions import InteractionCleaner
from gensar_lite.data.importing.items import Catalogue, read_items
from gensar_lite.data.importing.judgements import read_judgements
from gensar_lite.data.importing.log import Log, both_logs, log_table, one_unit
from gensar_lite.data.importing.mapping import LOGS, TABLES, Mapping
from gensar_lite.data.importing.opening import Opened, Opener
from gensar_lite.data.importing.places import Place
from gensar_lite.data.importing.reader import Reader
from gensar_lite.data.importing.reading import connect
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.searches import SearchCleaner
from gensar_lite.data.importing.selection import Selection
from gensar_lite.data.importing.times import UNITS
from gensar_lite.data.importing.understood import say_events, say_items, say_joint_facts, say_unused
from gensar_lite.data.storage import DataError

LARGE = 2_000_000  # rows from which the cost is said first


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
                work = _Import(form, Opener(form, engine, place, report), data_seed, items_only)
                try:
                    work.open()
                except DataError as error:
                    failures.append((len(work.opened), error))
                    report.sentences.clear()
                    continue
                return work.run(tell)
            raise max(failures, key=lambda f: f[0])[1]
        finally:
            engine.close()


class _Import:
    def __init__(self, mapping: Mapping, opener: Opener, data_seed: int, items_only: bool) -> None:
        self.mapping, self.opener, self.report = mapping, opener, opener.report
        self.data_seed, self.items_only = data_seed, items_only
        self.opened: dict[str, Opened] = {}

    def open(self) -> None:
        """Find and look at all files."""
        for table in TABLES:
            if table in self.mapping.tables:
                self.opened[table] = self.opener.open(table)
        if self.opened:
            self.opener.check_anywhere(list(self.opened.values()))
        if "items" not in self.opened:
            raise DataError(
                "The items are missing: say which files hold them with --items FILE or --set items.files=FILE"
            )
        if not self.items_only and self.opened.keys() == {"items"}:
            raise DataError(
                "The log is missing: say which files hold it with --interactions FILE, --searches FILE or --judgements FILE"
            )

    def run(self, tell: Callable[[str], None] | None) -> Tables:
        """Read, clean and join."""
        self._announce(tell)
        catalogue = self._items()
        logs = self._logs(catalogue)
        judgements = self._judgements(catalogue)
        say_items(self.opened["items"], self.report)
        tables = list(self.opened.values())
        sources = [source for table in tables for source in (table.source, *table.beside)]
        others = self.opener.place.others({file for source in sources for file in source.found})
        say_unused(tables, others, self.report)
        return self._tables(catalogue, logs, judgements)

    def _announce(self, tell: Callable[[str], None] | None) -> None:
        """How long and how much memory a large import takes."""
        rows = sum(table.source.estimate() for name, table in self.opened.items() if name in LOGS)
        if tell is None or rows < LARGE:
            return
        minutes, memory = rows / 4e6, 0.5 + rows * 3.2e-7
        sampled = self.mapping.options.get("sample_users")
        less = "." if sampled else "; --sample-users 10000 imports the log of 10,000 random users first."
        tell(
            f"About {rows / 1e6:.0f} million rows of a log: expect {minutes:.0f} to {minutes * 3:.0f} minutes and up to {memory:.1f} GB of memory{less}"
        )

    # ------------------------------------------------------------------ tables
    def _items(self) -> Catalogue:
        table = self.opened["items"]
        flat = any(self.opened[t].source.found == table.source.found for t in LOGS if t in self.opened)
        if flat:
            self.report.note(f"items and events come from one file ({table.source.name})")
        beside = {
            "category_names": self.opener.beside(table, "category_names", header=False),
            "category_files": self.opener.beside(table, "category_files"),
            "category_parents": self.opener.beside(table, "category_parents"),
        }
        extra = {word: source for word, source in beside.items() if source is not None}
        catalogue = read_items(table.source, table.said, self.report, extra, flat, 1 if self.items_only else 2)
        table.used = tuple(catalogue.used)
        return catalogue

    def _events(self, table: Opened) -> Events:
        said = table.said
        if said.get("query_files"):
            said = {**said, "query": None}
        reader = Reader(table.source, table.name, said)
        events = reader.read()
        table.used = reader.used
        say_events(table, events, not any(t in self.opened for t in LOGS), self.report)
        return events

    def _logs(self, catalogue: Catalogue) -> dict[str, Log]:
        logs: dict[str, Log] = {}
        asked: Log | None = None  # searches that a log of interactions holds
        cleaners: dict[str, Cleaner] = {}
        for table in (self.opened[t] for t in LOGS if t in self.opened):
            events = self._events(table)
            kind = InteractionCleaner if table.name == "interactions" else SearchCleaner
            cleaner = cleaners[table.name] = kind(
                table.name, table.source.name, table.said, catalogue.ids, self.report, table.source.first_row
            )
            if isinstance(cleaner, InteractionCleaner):
                logs[table.name], asked = cleaner.interactions(events)
            else:
                clicks = self._clicks(table) if table.said.get("click_files") else None
                logs[table.name] = cleaner.searches(events, clicks)
        if asked is not None:
            logs["searches"] = both_logs(asked, logs["searches"]) if "searches" in logs else asked
        one_unit(logs, self.report)
        if "searches" not in logs:
            return logs
        asking = cleaners.get("searches") or Cleaner(
            "searches", cleaners["interactions"].name, {}, catalogue.ids, self.report
        )
        logs["searches"] = asking.copies(logs["searches"])
        if asked is not None:
            self.report.note(f"{len(logs['interactions'])} events have no query, {len(logs['searches'])} have one")
        if self.mapping.options.get("search_clicks"):
            self._search_clicks(logs)
        if not len(logs.get("interactions", ())):
            self.report.note(
                "there are no recommendation clicks in this log, so recommendation cannot be measured; --set options.search_clicks=yes counts clicks after searches as such, too"
            )
        files = [self.opened[t].said["files"] for t in LOGS if t in self.opened]
        file = cleaners["interactions"].name if len(files) == 2 and files[0] == files[1] else None
        say_joint_facts(logs, file, self.report)
        return logs

    def _search_clicks(self, logs: dict[str, Log]) -> None:
        """Clicks after searches as interactions, too: two faces of one event."""
        asked = logs["searches"]
        clicked = asked.take(asked.item >= 0)
        clicked.query = None
        both = both_logs(logs["interactions"], clicked) if "interactions" in logs else clicked
        both = both.take(~both.key().duplicated().to_numpy())
        self.report.note("clicks after searches count as recommendation clicks, too")
        logs["interactions"] = both

    def _clicks(self, table: Opened) -> tuple[Coded, Coded]:
        """Session and item of each click of a file of its own."""
        said = table.said
        session = said.get("click_session") or said.get("session_id") or "session_id"
        pair = {"click_session": session, "click_item": said.get("click_item") or "item_id"}
        sessions, items = self.opener.two_columns(table, "click_files", pair)
        return clean_ids(sessions, MISSING)[0], clean_ids(items, MISSING)[0]

    def _judgements(self, catalogue: Catalogue) -> pd.DataFrame | None:
        if (table := self.opened.get("judgements")) is None:
            return None
        events = self._events(table)
        if table.said.get("query_files"):
            events.texts["query"] = self._queries(table, events.texts["query_id"])
        return read_judgements(events, table.said, table.source.name, catalogue.ids, self.report)

    def _queries(self, table: Opened, query_id: Coded) -> Coded:
        """The texts of queries (R,), which a file of its own has by their ids."""
        pair = {"query_id": table.said["query_id"], "query": table.said.get("query") or "query"}
        ids, texts = self.opener.two_columns(table, "query_files", pair)
        row = clean_ids(query_id, MISSING)[0].numbers_in(clean_ids(ids, MISSING)[0].texts())
        return Coded(np.where(row >= 0, texts.codes[row], -1).astype(np.int32), texts.values)

    # ------------------------------------------------------------------ the result
    def _tables(self, catalogue: Catalogue, logs: dict[str, Log], judgements: pd.DataFrame | None) -> Tables:
        keep = Selection(logs, len(catalogue.table))
        options = self.mapping.options
        k_core = int(options.get("k_core") or 1)
        if k_core > 1:
            keep.core(k_core, self.report)
        if options.get("sample_users"):
            keep.sample(int(options["sample_users"]), self.data_seed, self.report)
        if self.opened["items"].said.get("only") == "clicked" or k_core > 1:
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
        steps = all(log.time is None for log in keep.logs.values())
        unit = next((log.exponent for log in keep.logs.values() if log.exponent is not None), None)
        sources = [table.source for table in self.opened.values()]
        return Tables(
            items=catalogue.table,
            interactions=log_table(clicks, catalogue.ids, "interactions"),
            searches=None if asked is None else log_table(asked, catalogue.ids, "searches"),
            judgements=judgements,
            timestamps="steps" if steps else "clock" if unit is not None else "auto",
            report=self.report,
            untitled=catalogue.untitled,
            name=str(options.get("name") or Path(sources[0].found[0]).absolute().parent.name),
            files=[f.name for s in sources for f in s.found[:4]],
            unit=UNITS.get(unit) if unit is not None else None,
            mapping=self._as_recipe(),
        )

    def _as_recipe(self) -> dict:
        """The words that were said or found, in the form of a recipe file; "" says that there is no such column."""
        said = {
            name: {
                w: "" if v is None else v for w, v in table.said.items() if v is not None or w in ("title", "timestamp")
            }
            for name, table in self.opened.items()
        }
        return {**({"options": self.mapping.options} if self.mapping.options else {}), **said}
