"""Category paths from people's cells: levels in columns, lists, separators, flags, files of their own.

Levels of a path are joined by " > ", several paths by " | ".
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from gensar_lite.data.importing.columns import literal_list
from gensar_lite.data.importing.reading import Source
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.texts import clean_texts, told_missing, with_blanks

LEVELS, PATHS = " > ", " | "


def item_categories(
    table: dict[str, pa.Array],
    said: dict,
    report: ImportReport,
    name: str,
    extra: dict[str, Source],
    num_flags: int,
) -> pa.Array:
    """Category paths of each item: " > " between levels, " | " between paths."""
    num = len(table["item_id"])
    column: pa.Array | None = None
    if num_flags:
        names = _first_two(extra["category_names"])[0]
        flags = [pc.equal(table[f"flags {n}"], "1") for n in range(num_flags)]
        column = _joined([pc.if_else(f, pa.scalar(n), "") for f, n in zip(flags, names, strict=False)], PATHS)
    elif any(w.startswith("categories ") for w in table):
        levels = [_plain_level(table[w], said, report, name) for w in table if w.startswith("categories ")]
        column = _joined(levels, LEVELS)
    elif extra.get("category_files") is not None:
        ids, values = _first_two(extra["category_files"])
        place = pc.index_in(table["item_id"], value_set=pa.array(ids, pa.string()))
        column = _paths(pc.take(pa.array(values, pa.string()), place), said, report, name)
    elif "categories" in table:
        column = _paths(table["categories"], said, report, name)
    if column is None:
        return pa.repeat(pa.scalar(""), num)
    if extra.get("category_parents") is not None:
        column = _with_parents(column, extra["category_parents"])
    column, odd = clean_texts(pc.fill_null(column, ""))
    found = pc.sum(odd).as_py() or 0
    report.say("categories_with_html", found, f"{name}: HTML was taken out of the categories of {found} items")
    return column


def _joined(parts: list[pa.Array], sign: str) -> pa.Array:
    """The parts that are no empty texts, with the sign between them."""
    pieces = [pc.if_else(pc.equal(p, ""), "", pc.binary_join_element_wise(sign, p, "")) for p in parts]
    return pc.utf8_slice_codeunits(pc.binary_join_element_wise(*pieces, ""), len(sign))


def _plain_level(column: pa.Array, said: dict, report: ImportReport, name: str) -> pa.Array:
    column = pc.fill_null(pc.utf8_trim_whitespace(column), "")
    return told_missing(with_blanks(column, said), said, report, name, "categories")


def _paths(column: pa.Array, said: dict, report: ImportReport, name: str) -> pa.Array:
    """Cells as paths: lists, or texts cut at the separators; worked out once for each distinct cell."""
    encoded = pc.dictionary_encode(told_missing(pc.utf8_trim_whitespace(column), said, report, name, "categories"))
    distinct = encoded.dictionary.to_pylist()
    several, level = said.get("categories_separator"), said.get("level_separator")
    guessed = several is None and level is None and any(t and "|" in t.replace(PATHS, "") for t in distinct)
    result, lists = [], False
    for text in distinct:
        if text and text.startswith("[") and text.endswith("]"):
            result.append(_listed(text, said.get("categories_list") != "several"))
            lists = True
            continue
        paths = (text or "").split(several or "|") if several or "|" in (text or "") else [text or ""]
        levels = [
            [lev.strip() for lev in p.split(level or ">")] if level or LEVELS in p else [p.strip()] for p in paths
        ]
        result.append(PATHS.join(LEVELS.join(lev for lev in path if lev) for path in levels if any(path)))
    if guessed:
        report.note(
            f"{name}: | in categories was taken to stand between several of them; --set items.categories_separator=SIGN says otherwise"
        )
    if lists and not said.get("categories_list"):
        report.note(
            f"{name}: lists of categories were taken for one path each; --set items.categories_list=several says otherwise"
        )
    return pc.take(with_blanks(pa.array(result, pa.string()), said), encoded.indices)


def _listed(text: str, path: bool) -> str:
    """A list of names (one path or several categories), or a list of paths."""
    entries = literal_list(text)
    if entries and entries[0].startswith("["):
        return PATHS.join(filter(None, (LEVELS.join(literal_list(e)) for e in entries)))
    return (LEVELS if path else PATHS).join(e.strip() for e in entries if e.strip())


def _first_two(source: Source) -> tuple[list[str], list[str]]:
    """The first two columns of a small table."""
    first, second = source.columns[0], source.columns[min(1, len(source.columns) - 1)]
    columns: tuple[list[str], list[str]] = ([], [])
    for batch in source.batches(list(dict.fromkeys([first, second]))):
        columns[0].extend(t or "" for t in batch[first].to_pylist())
        columns[1].extend(t or "" for t in batch[second].to_pylist())
    return columns


def _with_parents(column: pa.Array, source: Source) -> pa.Array:
    """Each category with its ancestors before it; a circle ends where it closes."""
    up = dict(zip(*_first_two(source), strict=True))
    encoded = pc.dictionary_encode(column)
    paths = []
    for leaf in encoded.dictionary.to_pylist():
        path = [leaf] if leaf else []
        while path and up.get(path[0]) and up[path[0]] not in path:
            path.insert(0, up[path[0]])
        paths.append(LEVELS.join(path))
    return pc.take(pa.array(paths, pa.string()), encoded.indices)
