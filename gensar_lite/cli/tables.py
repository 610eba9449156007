"""The verbs of `gensar-lite data`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields
from typing import Any

from gensar_lite.cli import UsageError
from gensar_lite.cli.output import print_json, show, tell
from gensar_lite.data.dataset import Dataset
from gensar_lite.data.storage import check_folder


def simulate(chosen: Namespace) -> None:
    """Write a simulated store."""
    from gensar_lite.data.bazaar import BazaarConfig, simulate

    check_folder(chosen.out, "data set")
    knobs = {f.name: getattr(chosen, f.name) for f in fields(BazaarConfig) if f.name != "seed"}
    tell(f"Simulating a store of {chosen.num_items} items and {chosen.num_users} users …")
    data = simulate(BazaarConfig(**knobs, seed=chosen.data_seed), chosen.case_users)
    data.save(chosen.out)
    _print_facts(data, chosen, written=True)


def import_data(chosen: Namespace) -> None:
    """Import people's own tables, or public files that lie here already."""
    from gensar_lite.cli.import_words import list_recipes, list_words, mappings_of

    if chosen.recipe in ("list", "words"):
        show(list_recipes() if chosen.recipe == "list" else list_words())
        return
    if bool(chosen.reviews) != bool(chosen.metadata):
        raise UsageError("--reviews and --metadata go together: give both")
    if not (chosen.items or chosen.recipe or chosen.reviews or chosen.kuaisar):
        raise UsageError(
            "give --items with --interactions, --searches or --judgements, or --recipe NAME FOLDER (--recipe list shows the names)"
        )
    if not (chosen.out or chosen.dry_run):
        raise UsageError("give --out FOLDER, or --dry-run to see what was understood")
    if chosen.out and not chosen.dry_run:
        check_folder(chosen.out, "data set")
    said, folder, origin = mappings_of(chosen)
    if chosen.queries == "log" and not any("searches" in f.tables for f in said):
        raise UsageError(
            "--queries log needs a search log: give --searches, or make queries with known-item or category-path"
        )
    from gensar_lite.data.importing.assemble import read_tables
    from gensar_lite.data.importing.finish import complete_options, finish_import

    options = complete_options(
        said[0], {**_finishing(chosen), "timestamps": chosen.timestamps, "holdout": chosen.holdout}
    )
    tables = read_tables(said, folder, data_seed=chosen.data_seed, tell=tell)
    if chosen.dry_run:
        _print_understood(tables, chosen)
        return
    data = finish_import(tables, origin=origin, **options)
    _print_notes(tables.report)
    data.save(chosen.out)
    _print_facts(data, chosen, written=True, notes=tables.report.to_dict())


def _finishing(chosen: Namespace) -> dict[str, Any]:
    """Options of the steps after the reading."""
    return {
        "queries": None if chosen.queries == "log" else chosen.queries,
        "search_share": chosen.search_share,
        "data_seed": chosen.data_seed,
        "name": chosen.name_of_data,
        "case_users": chosen.case_users,
        "language": chosen.language,
        "search_fill": chosen.search_fill,
    }


def _print_notes(report) -> None:
    for sentence in report.understood:
        tell(sentence)
    for sentence in report.sentences:
        tell(f"note: {sentence}")


def _print_understood(tables, chosen: Namespace) -> None:
    """What a dry run found."""
    counts = {
        "items": len(tables.items),
        "interactions": len(tables.interactions),
        "searches": 0 if tables.searches is None else len(tables.searches),
        "judgements": 0 if tables.judgements is None else len(tables.judgements),
    }
    if chosen.json:
        print_json({"counts": counts, "report": tables.report.to_dict(), "mapping": tables.mapping})
        return
    show("\n".join(tables.report.understood))
    show("\n".join(f"- {sentence}" for sentence in tables.report.sentences))
    show("would give " + ", ".join(f"{n:,} {what}" for what, n in counts.items() if n) + "; nothing was written")
    for row in tables.items.head(3).itertuples():
        show(f"  {row.item_id}: {row.title} [{row.categories}]")


def download(chosen: Namespace) -> None:
    """Download public files and, where a folder is named, import them."""
    from gensar_lite.data.download import download_source, find_source, import_source, known_sources

    if chosen.list:
        names = list(known_sources())
        print_json(names) if chosen.json else show("\n".join(names))
        return
    if not chosen.name:
        raise UsageError("name a public data set; --list shows what is known")
    files = find_source(chosen.name).files
    if chosen.out:
        check_folder(chosen.out, "data set")
    tell(
        f"Downloading {', '.join(f.url for f in files)} to {chosen.files} (a transfer that breaks goes on where it stopped) …"
    )
    if not chosen.out:
        paths = [str(path) for path in download_source(chosen.name, chosen.files)]
        print_json(paths) if chosen.json else show("\n".join(paths))
        return
    options = {k: v for k, v in _finishing(chosen).items() if v is not None}
    data, report = import_source(chosen.name, chosen.files, k_core=chosen.k_core, tell=tell, **options)
    _print_notes(report)
    data.save(chosen.out)
    _print_facts(data, chosen, written=True, notes=report.to_dict())


def describe(chosen: Namespace) -> None:
    """Say what is in a data set."""
    from gensar_lite.data.load import load_dataset

    _print_facts(load_dataset(chosen.data), chosen)


def _print_facts(data: Dataset, chosen: Namespace, written: bool = False, notes: dict | None = None) -> None:
    cases = (data.held_out["task"] + ", " + data.held_out["split"]).value_counts().sort_index()
    facts = {
        **data.info,
        "cases": {str(name): int(n) for name, n in cases.items()},
        "items_without_training_clicks": int((data.popularity == 0).sum()),
    }
    if chosen.json:
        print_json({**facts, **({"out": chosen.out} if written else {}), **({"report": notes} if notes else {})})
        return
    counts = data.info["counts"]
    show(
        f"{data.name}: {counts['items']:,} items, {counts['users']:,} users, {counts['interactions']:,} interactions, {counts['searches']:,} searches ({data.info['origin']})"
    )
    show(
        f"queries: {data.info['query_protocol']}, language: {data.language}, timestamps: {data.info['timestamps']}, data seed: {data.info['data_seed']}, fingerprint: {data.info['fingerprint'][:16]}"
    )
    show("held-out cases: " + ", ".join(f"{name} {n:,}" for name, n in facts["cases"].items()))
    for sentence in [] if written else data.info["notes"]:
        show(f"note: {sentence}")
    show(f"items nobody clicks in the training log: {facts['items_without_training_clicks']:,}")
    for row in data.items.head(0 if written else 3).itertuples():
        show(f"  {row.item_id}: {row.title} [{row.categories}]")
    if written:
        show(f"written to {chosen.out}")
