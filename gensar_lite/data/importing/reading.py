"""Read people's files with DuckDB: chosen columns, in pieces, every cell as text.

The engine unpacks, parses and projects; it gets no text of people's as SQL: columns of text files are
called c0, c1, …, all else are parameters or names in its expressions. See `places` for what it
cannot decode.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from gensar_lite.data.importing.dialect import Dialect, find_dialect
from gensar_lite.data.importing.json_files import as_json_lines, is_array, keyed_objects, names_in_lines
from gensar_lite.data.importing.places import Place, estimated_rows, first_lines, suffix
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.storage import DataError

ROWS = 1 << 17  # in a piece
CELLS_HASH = "\x00cells"  # name of the column with a hash over all cells of a row
_HASHED_BYTES = 1 << 28  # larger files are read without that hash
_JSON = (".json", ".jsonl", ".ndjson")
_LONGEST_LINE = 16_000_000


def connect(scratch: Path) -> duckdb.DuckDBPyConnection:
    """An engine of our own that installs nothing, asks no network and spills into the scratch folder."""
    engine = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": str(scratch / "engine"),
            "memory_limit": "1500MB",
        }
    )
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute("SET enable_progress_bar = false")
    return engine


class Source:
    """One table of people's: its `files`, the names of its `columns`, and its rows in pieces."""

    def __init__(
        self, engine: duckdb.DuckDBPyConnection, place: Place, said: dict[str, Any], places: bool, report: ImportReport
    ) -> None:
        self.engine, self.place, self.said, self.report = engine, place, said, report
        self.found = place.find(said["files"])
        self.name = ", ".join(f.name for f in self.found[:3]) + (" …" if len(self.found) > 3 else "")
        encoding = said.get("encoding")
        self.files = [(f, laid) for f in self.found for laid in place.lay_out(f, encoding)]
        if not self.files:
            raise DataError(f"{self.name} holds no file; give a folder with files in it")
        self.format = said.get("format") or self._format(self.files[0][1])
        self.dialects: list[Dialect] = []
        if self.format == "parquet":
            with self._failures(self.files[0][0]):
                self.parquet = engine.read_parquet([str(laid) for _, laid in self.files], union_by_name=True)
                self.columns = list(self.parquet.columns)
        elif self.format == "json":
            self.tables = [keyed_objects(f, laid) for f, laid in self.files]
            if all(t is None for t in self.tables):
                self.files = [(f, as_json_lines(f, laid, place.scratch, report)) for f, laid in self.files]
            self.columns = self._fields()
        elif self.format == "lines":
            self.columns = ["0", "rest"]
        elif self.format == "csv":
            self.dialects = [find_dialect(laid, said, places, report, f.name) for f, laid in self.files]
            self.columns = list(dict.fromkeys(c for d in self.dialects for c in d.columns))
        else:
            raise DataError(f"The format {self.format!r} is unknown; choose csv, json, parquet or lines")
        self.header = not self.dialects or self.dialects[0].header

    def _format(self, laid: Path) -> str:
        if suffix(laid) in (".parquet", ".pq"):
            return "parquet"
        if suffix(laid) in _JSON or first_lines(laid, 4096).lstrip()[:2] in ('{"', "{'", "[{"):
            return "json"
        return "csv"

    @property
    def size(self) -> int:
        """Bytes, as they lie there."""
        return sum(laid.stat().st_size for _, laid in self.files)

    @property
    def first_row(self) -> int | None:
        """The number that a spreadsheet gives the first row, where row numbers help people."""
        if len(self.files) > 1 or self.format != "csv":
            return None
        return self.dialects[0].skip + self.dialects[0].header + 1

    def estimate(self) -> int:
        """About how many rows."""
        if self.format == "parquet":
            return int(self.parquet.count("*").fetchall()[0][0])
        return sum(estimated_rows(laid) for _, laid in self.files)

    def kinds(self, column: str) -> str:
        """The engine's type of a column (Parquet); text elsewhere."""
        return str(self.parquet.types[self.columns.index(column)]) if self.format == "parquet" else "VARCHAR"

    def batches(self, columns: Sequence[str], *, native: Sequence[str] = (), cells: bool = False) -> Iterator[pa.Table]:
        """Pieces of the named columns as text (`native` ones as they are); missing cells are null.

        With `cells` the column `CELLS_HASH` holds a hash over all cells, where the files are small enough.
        """
        cells = cells and self.size <= _HASHED_BYTES
        total = self.estimate() if self.size > 1 << 22 else None
        with tqdm(total=total, desc=self.name, unit=" rows", unit_scale=True, disable=None if total else True) as bar:
            for number in range(len(self.files)):
                rows = 0
                with self._failures(self.files[number][0]):
                    for batch in self._pieces(number, list(columns), set(native), cells):
                        rows += len(batch)
                        bar.update(len(batch))
                        yield batch
                if self.format == "csv":
                    self._check_line_breaks(number, rows)
                if self.format == "parquet":
                    return  # all files at once

    # ------------------------------------------------------------------ one file
    def _pieces(self, number: int, columns: list[str], native: set[str], cells: bool) -> Iterator[pa.Table]:
        if self.format == "csv":
            dialect = self.dialects[number]
            missing = [c for c in columns if c not in dialect.columns]
            if missing:
                raise DataError(
                    f"{self.files[number][0]} lacks the column {missing[0]!r} (it has {', '.join(dialect.columns)}), which {self.files[0][0].name} has"
                )
            picked = [f"c{dialect.columns.index(c)}" for c in columns]
            extra = f", hash({', '.join(f'c{n}' for n in range(len(dialect.columns)))})" if cells else ""
            query = f"SELECT {', '.join(picked)}{extra} FROM {self._csv(dialect)}"
            yield from self._fetched(self.engine.sql(query, params=self._csv_words(number)), columns, cells)
            self._count_rejects(number)
        elif self.format == "lines":
            dialect = Dialect("\x01", "", "", self.said.get("skip") or 0, False, ("line",))
            reader = self.engine.sql(f"SELECT c0 FROM {self._csv(dialect)}", params=self._csv_words(number, dialect))
            for batch in self._fetched(reader, ["line"], False):
                yield self._first_and_rest(batch["line"], columns)
        elif self.format == "json":
            yield from self._json_pieces(number, columns, cells)
        else:
            chosen = [self._cell(c, c in native).alias(f"c{n}") for n, c in enumerate(columns)]
            if cells:
                everything = [duckdb.ColumnExpression(c) for c in self.columns]
                chosen.append(duckdb.FunctionExpression("hash", *everything).alias("h"))
            yield from self._fetched(self.parquet.select(*chosen), columns, cells)

    def _csv(self, dialect: Dialect) -> str:
        names = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(dialect.columns)))
        rejects = ", store_rejects=true" if self.said.get("bad_rows") == "drop" else ""
        return (
            f"read_csv(?, columns={{{names}}}, auto_detect=false, header=false, delim=?, quote=?, escape=?, skip=?,"
            f" new_line='\\n', strict_mode=true, max_line_size={_LONGEST_LINE}{rejects})"
        )

    def _csv_words(self, number: int, dialect: Dialect | None = None) -> list:
        d = dialect or self.dialects[number]
        return [str(self.files[number][1]), d.delimiter, d.quote, d.escape, d.skip + d.header]

    def _cell(self, column: str, native: bool) -> duckdb.Expression:
        """A Parquet column as text: lists and structures as JSON, categories as their names."""
        kind, cell = self.kinds(column), duckdb.ColumnExpression(column)
        if native and kind.startswith(("TIMESTAMP", "DATE", "BIGINT", "INTEGER", "UBIGINT")):
            return cell
        if kind.endswith("]") or kind.startswith(("STRUCT", "MAP")):
            return duckdb.FunctionExpression("to_json", cell).cast("VARCHAR")
        if kind == "BLOB":
            return duckdb.FunctionExpression("decode", cell)
        if kind in ("DOUBLE", "FLOAT"):  # whole numbers beside missing ones: 12.0 is 12
            text = cell.cast("VARCHAR")
            return duckdb.FunctionExpression(
                "regexp_replace", text, duckdb.ConstantExpression(r"\.0$"), duckdb.ConstantExpression("")
            )
        return cell.cast("VARCHAR")

    def _fetched(self, result: Any, columns: list[str], cells: bool) -> Iterator[pa.Table]:
        for batch in result.to_arrow_reader(ROWS):
            if len(batch):
                yield pa.Table.from_batches([batch]).rename_columns([*columns, CELLS_HASH] if cells else columns)

    def _first_and_rest(self, line: pa.ChunkedArray, columns: list[str]) -> pa.Table:
        """First cell and the rest of each line; lines without text are left out."""
        line = pc.utf8_trim_whitespace(line.drop_null())
        line = line.filter(pc.greater(pc.utf8_length(line), 0))
        between = re.escape(self.said["delimiter"]) if (self.said.get("delimiter") or "").strip() else r"\s+"
        cut = pc.extract_regex(line, rf"^(?P<first>.*?)(?:{between}(?P<rest>.*))?$")
        first, rest = pc.struct_field(cut, "first"), pc.struct_field(cut, "rest")
        both = {"0": first, "rest": rest}
        return pa.table({c: both[c] for c in columns} or {"0": first})

    def _count_rejects(self, number: int) -> None:
        if self.said.get("bad_rows") != "drop":
            return
        rows = self.engine.execute("SELECT line FROM reject_errors GROUP BY line ORDER BY line").fetchall()
        self.engine.execute("DROP TABLE reject_errors")
        self.engine.execute("DROP TABLE reject_scans")
        shown = ", ".join(str(r[0]) for r in rows[:3])
        name = self.files[number][0].name
        self.report.say(
            "bad_rows", len(rows), f"{name}: {len(rows)} lines do not fit and were dropped (first line {shown})"
        )

    def _check_line_breaks(self, number: int, rows: int) -> None:
        """Cells that swallow rows: a stray quote opens a cell that another one closes some lines later."""
        file, _ = self.files[number]
        lines = self.place.lines.get(file)
        dialect = self.dialects[number]
        if not lines or not dialect.quote or lines <= rows + dialect.skip + dialect.header:
            return
        width = len(dialect.columns)
        swallowed = broken = 0
        example = ""
        for n in range(width):
            query = f"SELECT c{n} FROM {self._csv(dialect).replace(', store_rejects=true', ', ignore_errors=true')} WHERE contains(c{n}, chr(10))"
            for (cell,) in self.engine.execute(query, self._csv_words(number)).fetchall():
                broken += 1
                inner = cell.split("\n")[1:]
                # from a column of one row to the same column of a later one: as many separators as whole rows have
                if width > 1 and cell.count(dialect.delimiter) == len(inner) * (width - 1):
                    swallowed += len(inner)
                    example = example or inner[0]
        if swallowed and self.said.get("quoting") is None:
            raise DataError(
                f"{file}: {swallowed} lines that look like rows stand inside quotes (such as {example[:60]!r}); mend the stray quote, or say --set TABLE.quoting=no where quotes do not enclose cells, quoting=yes where these lines are text"
            )
        self.report.say("cells_with_line_breaks", broken, f"{file.name}: {broken} cells hold line breaks inside quotes")

    # ------------------------------------------------------------------ JSON
    def _fields(self) -> list[str]:
        """All names in the first records."""
        names: dict[str, None] = {}
        for (file, laid), table in zip(self.files, self.tables, strict=True):
            if table is not None:
                names |= dict.fromkeys(table.column_names)
                continue
            if is_array(laid):
                names |= dict.fromkeys(self._json(laid, None).columns)
            else:
                names |= dict.fromkeys(names_in_lines(laid))
            if not names:
                raise DataError(
                    f"{file}: the first lines are no JSON objects ({first_lines(laid, 60)!r}); this is not a file of the expected layout"
                )
        return list(names)

    def _json(self, laid: Path, columns: list[str] | None) -> duckdb.DuckDBPyRelation:
        array = is_array(laid)
        how: dict[str, Any] = {"columns": dict.fromkeys(columns, "VARCHAR")} if columns else {}
        return self.engine.read_json(
            str(laid),
            format="array" if array else "newline_delimited",
            ignore_errors=not array,
            maximum_object_size=_LONGEST_LINE * 16 if array else _LONGEST_LINE,
            **how,
        )

    def _json_pieces(self, number: int, columns: list[str], cells: bool) -> Iterator[pa.Table]:
        file, laid = self.files[number]
        table = self.tables[number]
        if table is not None:
            yield table.select(columns)
            return
        wanted = list(self.columns) if cells else columns
        relation = self._json(laid, wanted)
        chosen = [duckdb.ColumnExpression(c).alias(f"c{n}") for n, c in enumerate(columns)]
        if cells:
            chosen.append(duckdb.FunctionExpression("hash", *(duckdb.ColumnExpression(c) for c in wanted)).alias("h"))
        rows = bad = 0
        for batch in self._fetched(relation.select(*chosen), columns, cells):
            nothing = None
            for column in columns:
                null = pc.is_null(batch[column])
                nothing = null if nothing is None else pc.and_(nothing, null)
            lost = pc.sum(nothing).as_py() or 0 if nothing is not None else 0
            rows, bad = rows + len(batch), bad + lost
            yield batch.filter(pc.invert(nothing)) if lost else batch
        if rows and bad * 2 > rows:
            raise DataError(
                f"{file}: {bad} of {rows} lines are no JSON objects with {', '.join(columns)}; this is not a file of the expected layout"
            )
        self.report.say(
            "unreadable_lines", bad, f"{file.name}: {bad} lines are no JSON objects of this kind and were skipped"
        )

    @contextmanager
    def _failures(self, file: Path) -> Iterator[None]:
        """The engine's complaints as sentences of ours."""
        try:
            yield
        except duckdb.Error as error:
            text = str(error)
            line = re.search(r"Line: (\d+)\n(?:Original Line: (.*))?", text)
            cells = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
            where = f"{file}, line {line[1]}" if line else str(file)
            shown = f" ({line[2][:60]!r})" if line and line[2] else ""
            if cells:
                raise DataError(
                    f"{where}{shown} has {cells[2]}{' or more' * (int(cells[2]) > int(cells[1]))} cells where the first line has {cells[1]}; look there for a stray quote or separator, or say --set TABLE.bad_rows=drop to leave such lines out"
                ) from error
            if "quote" in text.lower() or "state machine" in text:
                raise DataError(
                    f"{where}{shown} has a stray or unclosed quote; mend it, or say --set TABLE.quoting=no where quotes do not enclose cells"
                ) from error
            if isinstance(error, duckdb.OutOfMemoryException):
                raise DataError(f"{file}: not enough memory to read it; free some, or import a part of it") from error
            reason = text.split("\n")[0].removeprefix("Invalid Input Error: ")
            raise DataError(f"{where} cannot be read ({reason}); it is broken, cut off or of another format") from error
