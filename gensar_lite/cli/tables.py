"""The verbs of `gensar-lite data`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields
from typing import Any

from gensar_lite.cli import UsageError
from gensar_lite.cli.output import print_json, tell
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
    kinds = {
        "--items and --interactions": (chosen.items, chosen.interactions),
        "--reviews and --metadata": (chosen.reviews, chosen.metadata),
        "--kuaisar": (chosen.kuaisar,),
    }
    given = [names for names, paths in kinds.items() if any(paths)]
    if len(given) != 1 or not all(kinds[given[0]]):
        raise UsageError(f"give one of {'; '.join(kinds)}")
    check_folder(chosen.out, "data set")
    common: dict[str, Any] = {
        "data_seed": chosen.data_seed,
        "name": chosen.name_of_data,
        "case_users": chosen.case_users,
    }
    if chosen.queries == "log" and not (chosen.searches or chosen.kuaisar):
        raise UsageError(
            "--queries log needs a search log: give --searches, or make queries with known-item or category-path"
        )
    if chosen.items:
        from gensar_lite.data.tables import import_tables

        queries = None if chosen.queries == "log" else chosen.queries
        data, report = import_tables(
            chosen.items,
            chosen.interactions,
            chosen.searches,
            queries=queries,
            search_share=chosen.search_share,
            timestamps=chosen.timestamps,
            **common,
        )
    elif chosen.reviews:
        from gensar_lite.data.amazon import import_amazon

        data, report = import_amazon(
            chosen.reviews,
            chosen.metadata,
            k_core=chosen.k_core,
            queries=chosen.queries or "category-path",
            search_share=chosen.search_share,
            **common,
        )
    else:
        from gensar_lite.data.kuaisar import import_kuaisar

        data, report = import_kuaisar(chosen.kuaisar, k_core=chosen.k_core, **common)
    for sentence in report.sentences:
        tell(f"note: {sentence}")
    data.save(chosen.out)
    _print_facts(data, chosen, written=True, notes=report.to_dict())


def download(chosen: Namespace) -> None:
    """Download public files and, where a folder is named, import them."""
    from gensar_lite.data.download import download_source, find_source, import_source, known_sources

    if chosen.list:
        names = list(known_sources())
        print_json(names) if chosen.json else print("\n".join(names))
        return
    if not chosen.name:
        raise UsageError("name a public data set; --list shows what is known")
    files = find_source(chosen.name)
    if chosen.out:
        check_folder(chosen.out, "data set")
    tell(
        f"Downloading {', '.join(f.url for f in files)} to {chosen.files} (a transfer that breaks goes on where it stopped) …"
    )
    if not chosen.out:
        paths = [str(path) for path in download_source(chosen.name, chosen.files)]
        print_json(paths) if chosen.json else print("\n".join(paths))
        return
    options: dict[str, Any] = {"k_core": chosen.k_core, "data_seed": chosen.data_seed, "case_users": chosen.case_users}
    if len(files) == 2:
        if chosen.queries == "log":
            raise UsageError(f"{chosen.name} has no search log; make queries with known-item or category-path")
        options |= {"queries": chosen.queries or "category-path", "search_share": chosen.search_share}
    if chosen.name_of_data:
        options["name"] = chosen.name_of_data
    data, report = import_source(chosen.name, chosen.files, **options)
    for sentence in report.sentences:
        tell(f"note: {sentence}")
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
    print(
        f"{data.name}: {counts['items']:,} items, {counts['users']:,} users, {counts['interactions']:,} interactions, {counts['searches']:,} searches ({data.info['origin']})"
    )
    print(
        f"queries: {data.info['query_protocol']}, timestamps: {data.info['timestamps']}, data seed: {data.info['data_seed']}, fingerprint: {data.info['fingerprint'][:16]}"
    )
    print("held-out cases: " + ", ".join(f"{name} {n:,}" for name, n in facts["cases"].items()))
    print(f"items nobody clicks in the training log: {facts['items_without_training_clicks']:,}")
    for row in data.items.head(0 if written else 3).itertuples():
        print(f"  {row.item_id}: {row.title} [{row.categories}]")
    if written:
        print(f"written to {chosen.out}")
