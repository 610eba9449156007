"""The words of `gensar-lite data import` and how they become a mapping."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gensar_lite.data.importing.mapping import Mapping

IMPORT_EXAMPLES = """\
a shop's export by one line:
  gensar-lite data import --items products.csv --interactions orders.csv \\
    --columns user_id=customer,item_id=sku,title=product_name,timestamp=ordered_at --out mine
public files as they were downloaded:
  gensar-lite data import --recipe movielens ml-latest-small --out movies
  gensar-lite data import --recipe list
any other word (--recipe words lists them):
  --set items.categories_separator="|" --set interactions.event_type=action
"""


def add_import_arguments(parser: argparse.ArgumentParser, positive) -> None:
    """Words for files and their meaning."""
    parser.add_argument("folder", nargs="?", help="folder or zip file in which the named files lie")
    files = parser.add_argument_group("files: CSV, TSV, JSON, JSON lines, Parquet, folders, patterns, packed or not")
    files.add_argument("--recipe", help="a recipe by name (list: all names), or a file of yours in TOML or JSON")
    files.add_argument("--items", help="the catalogue: item_id, title, description, categories, brand")
    files.add_argument("--interactions", help="the log: user_id, item_id, timestamp, session_id")
    files.add_argument("--searches", help="the search log: user_id, session_id, query, item_id, timestamp")
    files.add_argument("--judgements", help="judged pairs of query and item: query_id, query, item_id, grade")
    files.add_argument("--reviews", help="Amazon Reviews of any edition, with --metadata (--recipe amazon)")
    files.add_argument("--metadata", help="the metadata of these reviews")
    files.add_argument("--kuaisar", help="zip file or folder of KuaiSAR (--recipe kuaisar)")
    words = parser.add_argument_group("what the files mean ([TABLE=]: for one table only)")
    words.add_argument(
        "--columns",
        action="append",
        default=[],
        help="user_id=userId,items.title=name: which column is what; a else b, a + b, a > b (levels)",
    )
    words.add_argument("--clicks", help='which rows are clicks: "rating >= 4", "event in view,purchase"')
    words.add_argument("--delimiter", help="[TABLE=]sign between cells: tab, ;, |, ::")
    words.add_argument("--encoding", help="[TABLE=]encoding: utf-8, latin-1, gb18030")
    words.add_argument(
        "--no-header",
        nargs="?",
        const="no",
        default=None,
        metavar="TABLE",
        help="no line with names: columns are called 0, 1, 2",
    )
    words.add_argument(
        "--no-quoting", nargs="?", const="no", default=None, metavar="TABLE", help="double quotes are letters"
    )
    words.add_argument("--time-format", help="[TABLE=]how times are written: %%d/%%m/%%Y %%H:%%M")
    words.add_argument("--time-unit", help="[TABLE=]what numbers count: s, ms, us, ns")
    words.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="TABLE.WORD=VALUE", help="any other word"
    )
    parser.add_argument(
        "--k-core", type=positive, default=None, help="keep users and items with at least so many clicks"
    )
    parser.add_argument(
        "--sample-users",
        type=positive,
        default=None,
        help="a random sample of so many users, for a first look at a large log",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what was understood and left out, and write nothing"
    )


def list_recipes() -> str:
    """One line for each recipe."""
    from gensar_lite.data.importing.recipes import read_recipe, recipe_names

    return "\n".join(f"{name:15} {read_recipe(name)['about']}" for name in recipe_names())


def list_words() -> str:
    """One line for each word of a mapping."""
    from gensar_lite.data.importing.mapping import OPTIONS, TABLES, WORDS

    lines = []
    for word, known in WORDS.items():
        tables = "all" if known.tables == TABLES else ", ".join(known.tables)
        lines.append(f"TABLE.{word:22} {known.about} [{tables}]")
    return "\n".join([*lines, *(f"options.{word:20} {about}" for word, about in OPTIONS.items())])


def mappings_of(chosen: Namespace) -> tuple[list[Mapping], Path, str]:
    """The mapping that was typed (or the forms of a recipe with it), the folder of the files, and the origin in words."""
    from gensar_lite.data.importing.mapping import Mapping, add_words
    from gensar_lite.data.importing.recipes import read_recipe, recipe_forms

    files = {table: getattr(chosen, table) for table in ("items", "interactions", "searches", "judgements")}
    folder, recipe = chosen.folder, chosen.recipe
    if chosen.reviews or chosen.metadata:
        recipe, files["interactions"], files["items"] = "amazon", chosen.reviews, chosen.metadata
    if chosen.kuaisar:
        recipe, folder = "kuaisar", chosen.kuaisar
    forms = [Mapping()]
    if recipe:
        forms = recipe_forms(read_recipe(recipe), files)
    short = {
        "delimiter": chosen.delimiter,
        "encoding": chosen.encoding,
        "time_format": chosen.time_format,
        "time_unit": chosen.time_unit,
    }
    sets = list(chosen.sets)
    for word, value in (("header", chosen.no_header), ("quoting", chosen.no_quoting)):
        if value is not None:
            tables = [value] if value != "no" else [t for t in files if files[t] or any(t in f.tables for f in forms)]
            sets = [*(f"{table}.{word}=no" for table in tables), *sets]
    options = {"k_core": chosen.k_core, "sample_users": getattr(chosen, "sample_users", None)}
    said = [
        add_words(f, files=files, columns=chosen.columns, clicks=chosen.clicks, sets=sets, short=short, options=options)
        for f in forms
    ]
    origin = f"recipe {Path(recipe).stem}" if recipe else "tables"
    return said, Path(folder or "."), origin
