"""From a mapping to a data set: the functions behind `gensar-lite data import`.

Explained in notebook 10. What was understood, assumed, repaired and left out stands in the `ImportReport` and,
under "import", in `dataset.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gensar_lite.data.build import build_dataset
from gensar_lite.data.dataset import INTERACTION_COLUMNS, SEARCH_COLUMNS, Dataset, texts_of
from gensar_lite.data.importing.assemble import Tables, read_tables
from gensar_lite.data.importing.mapping import SHORT, Mapping, add_words
from gensar_lite.data.importing.recipes import read_recipe, recipe_forms
from gensar_lite.data.importing.report import ImportReport
from gensar_lite.data.importing.times import count_steps
from gensar_lite.data.languages import find_language, get_language
from gensar_lite.data.queries import PROTOCOLS, synthesise_searches
from gensar_lite.data.storage import DataError

MIN_EVENTS = 3  # a test case has two events before it


def import_tables(
    items: str | Path,
    interactions: str | Path | None = None,
    searches: str | Path | None = None,
    *,
    judgements: str | Path | None = None,
    columns: str | Dict[str, str] | None = None,
    clicks: str | None = None,
    words: Sequence[str] = (),
    **options: Any,
) -> tuple[Dataset, ImportReport]:
    """Read, clean and join people's tables into a data set, by the words of `gensar-lite data import`.

    `columns` says which column is what ({"user_id": "userId", "items.title": "name"}), `clicks` which rows
    are clicks ("rating >= 4"), `words` anything else ("items.delimiter=;"). Among `options` are `delimiter`, `encoding`,
    `header`, `quoting`, `time_format`, `time_unit` (for all tables), `k_core`, `sample_users`, and those of `finish_import`:
    `queries`, `search_share`, `data_seed`, `name`, `timestamps`, `case_users`, `holdout`, `language`, `search_fill`.

    Raises `DataError` where a file cannot be used: one sentence with the file, the place and what to do.
    """
    files = {"items": items, "interactions": interactions, "searches": searches, "judgements": judgements}
    short = {word: options.pop(word) for word in SHORT if word in options}
    own: dict[str, Any] = {
        option: options.pop(option) for option in ("k_core", "sample_users", "search_clicks") if option in options
    }
    mapping = add_words(Mapping(), files=files, columns=columns, clicks=clicks, sets=words, short=short, options=own)
    return import_mapping(mapping, **options)


def import_recipe(
    name: str,
    folder: str | Path,
    *,
    words: Sequence[str] = (),
    clicks: str | None = None,
    k_core: int | None = None,
    **options: Any,
) -> tuple[Dataset, ImportReport]:
    """Import public files as they were downloaded: `name` is a recipe or a recipe file, `folder` a folder or zip file.

    `options` are those of `finish_import`; see `import_tables` for `words` and `clicks`.
    """
    forms = [
        add_words(f, sets=words, clicks=clicks, options={"k_core": k_core}) for f in recipe_forms(read_recipe(name))
    ]
    return import_mapping(forms, folder, origin=f"recipe {Path(name).stem}", **options)


def import_mapping(
    mapping: Mapping | Sequence[Mapping],
    root: str | Path = ".",
    *,
    origin: str = "tables",
    data_seed: int = 0,
    tell: Callable[[str], None] | None = None,
    **options: Any,
) -> tuple[Dataset, ImportReport]:
    """Read what a mapping names below `root` and make a data set of it (see `read_tables`, `finish_import`)."""
    options = complete_options(mapping if isinstance(mapping, Mapping) else mapping[0], options)
    tables = read_tables(mapping, root, data_seed=data_seed, tell=tell)
    return finish_import(tables, origin=origin, data_seed=data_seed, **options), tables.report


def complete_options(mapping: Mapping, options: Dict[str, Any]) -> dict[str, Any]:
    """Options with those of the mapping where nothing else was said; what makes no sense is refused before anything is read."""
    said = {
        o: mapping.options[o]
        for o in ("queries", "search_share", "timestamps", "holdout", "case_users", "language")
        if mapping.options.get(o)
    }
    options = {**said, **{o: v for o, v in options.items() if v is not None}}
    if "language" in options:
        get_language(options["language"])
    queries, timestamps = options.get("queries"), options.get("timestamps", "auto")
    if timestamps not in ("auto", "clock", "steps"):
        raise ValueError(f"timestamps must be 'auto', 'clock' or 'steps', not {timestamps!r}")
    if queries is not None and queries not in (*PROTOCOLS, "none"):
        raise DataError(f"The query protocol {queries!r} is unknown; choose one of {', '.join(PROTOCOLS)} or none")
    if queries is not None and mapping.tables.get("searches", {}).get("files"):
        raise DataError(
            f"Both a search log ({', '.join(mapping.tables['searches']['files'])}) and the query protocol {queries!r} were given; choose one of them"
        )
    return options


def finish_import(
    tables: Tables,
    *,
    origin: str = "tables",
    queries: str | None = None,
    search_share: float = 0.5,
    data_seed: int = 0,
    name: str | None = None,
    timestamps: str = "auto",
    case_users: int | None = None,
    holdout: str | None = None,
    language: str | None = None,
    search_fill: str | None = None,
) -> Dataset:
    """Clean tables to a data set: kind of timestamps, made queries where there is no search log, cases and candidates.

    `queries` is the protocol of made queries ("known-item" when left out, "none" for a data set of recommendation
    alone), `search_share` the share of interactions that get one, `language` that of the texts (found from them when left out);
    `holdout` and `search_fill` are those of `build_dataset`. Raises `DataError` where nothing can be held out.
    """
    report, interactions = tables.report, tables.interactions
    files = f"{origin}: {', '.join(dict.fromkeys(tables.files))}"
    kind, events = _look_at_log(tables, timestamps)
    extras: dict[str, Any] = {}
    if len(events):
        few = int((events < MIN_EVENTS).sum())
        report.say(
            "users_with_few_events",
            few,
            f"{few} of {len(events)} users have fewer than {MIN_EVENTS} events; they serve training alone",
        )
        if few == len(events) and tables.judgements is None:
            raise DataError(
                f"{files}: no user has {MIN_EVENTS} or more events, so nothing can be held out for testing; give longer histories"
            )
    if language is None:
        language = find_language(texts_of(tables.items))
        if language != "english":
            report.understood.append(
                f"the texts are taken for {language.capitalize()}; another --language changes that"
            )
    searches, protocol = _searches(tables, queries, search_share, data_seed, language)
    if protocol in PROTOCOLS:
        extras["search_share"] = search_share
    more: dict[str, Any] = {"holdout": holdout} if holdout else {}
    more |= {"search_fill": search_fill} if search_fill else {}
    if tables.judgements is not None:
        more["judgements"] = tables.judgements
    extras["import"] = {"mapping": tables.mapping, **report.to_dict()}
    extras["import_notes"] = list(report.sentences)
    data = build_dataset(
        tables.items,
        interactions if len(interactions) else interactions[list(INTERACTION_COLUMNS)],
        searches,
        name=name or tables.name,
        origin=files,
        query_protocol=protocol,
        data_seed=data_seed,
        timestamps=kind,
        case_users=case_users,
        language=language,
        extras=extras,
        **more,
    )
    report.sentences += data.info["notes"]
    report.counts |= {
        "users": len(events),
        "interactions": len(interactions),
        "searches": len(searches),
        "cases": len(data.candidates),
    }
    if not len(data.candidates):
        raise DataError(f"{files}: no event can be held out for testing; give longer histories")
    return data


def _searches(
    tables: Tables, queries: str | None, search_share: float, data_seed: int, language: str
) -> tuple[pd.DataFrame, str]:
    """The search log, or made queries, or none; and how its queries came about."""
    if tables.searches is not None:
        return tables.searches, "log"
    if not len(tables.interactions) or queries == "none":
        none = pd.DataFrame({c: pd.Series(dtype="int64" if c == "timestamp" else "str") for c in SEARCH_COLUMNS})
        return none, "none" if len(tables.interactions) else "log"
    protocol, report = queries or "known-item", tables.report
    searches, fallen_back = synthesise_searches(
        tables.items, tables.interactions, protocol, search_share, data_seed, language
    )
    report.counts["synthesised_searches"] = len(searches)
    lacking = "category" if protocol == "category-path" else "word"
    sentence = f"{fallen_back} queries fell back on another rule, their items had no usable {lacking}"
    report.say("query_fallbacks", fallen_back, sentence)
    return searches, protocol


def _look_at_log(tables: Tables, timestamps: str) -> tuple[str, np.ndarray]:
    """The kind of the timestamps, "clock" or "steps", and (U,) how many events each user has."""
    logs = [tables.interactions, *([] if tables.searches is None else [tables.searches])]
    code = pd.factorize(pd.concat([log["user_id"] for log in logs], ignore_index=True))[0]
    kind = tables.timestamps if timestamps == "auto" else timestamps
    if kind == "auto":
        times = np.concatenate([log["timestamp"].to_numpy(np.int64) for log in logs])
        kind = "steps" if count_steps(code, times) else "clock"
    return kind, np.bincount(code)


def read_new_items(path: str | Path, report: ImportReport) -> pd.DataFrame:
    """The items of one file (CSV, Parquet, JSON), cleaned as in an import; raises `DataError` where there is none."""
    mapping = add_words(Mapping(), files={"items": path})
    tables = read_tables(mapping, items_only=True)
    report.counts |= tables.report.counts
    report.sentences += tables.report.sentences
    return tables.items
