"""The verbs that make, measure and show runs."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from gensar_lite.cli import UsageError
from gensar_lite.cli.output import examples_text, print_json, results_text, row_names, show, tell
from gensar_lite.cli.tradeoff import read_setting, write_sweeps
from gensar_lite.config import preset
from gensar_lite.data.load import load_dataset
from gensar_lite.data.storage import DataError, check_export, check_folder, read_json
from gensar_lite.identifiers import list_strategies
from gensar_lite.identifiers.quantisers import list_quantisers
from gensar_lite.model import GenSAR
from gensar_lite.pipeline.folder import read_result
from gensar_lite.signals.device import choose_device
from gensar_lite.tradeoff.design import ASKED


def run(chosen: Namespace) -> None:
    """Go through all stages, print the table of both tasks, write the report."""
    import gensar_lite.pipeline

    if chosen.identifiers and chosen.quantiser:
        raise UsageError("--quantiser makes identifiers anew; leave it out beside --identifiers")
    if chosen.quantiser not in (None, *list_quantisers()):
        raise UsageError(f"unknown quantiser {chosen.quantiser!r}; known are {', '.join(list_quantisers())}")
    if chosen.strategy not in (None, *list_strategies()):
        raise UsageError(f"unknown strategy {chosen.strategy!r}; known are {', '.join(list_strategies())}")
    if chosen.examples < 0:
        raise UsageError(f"--examples must not be negative, not {chosen.examples}")
    changes = {
        name: getattr(chosen, name)
        for name in ("history", "mix", "evidence", "steps", "backbone", "quantiser", "pseudo_queries")
        if getattr(chosen, name) is not None
    } | dict(read_setting(text) for text in chosen.set)
    try:
        config = preset(
            chosen.preset,
            chosen.seed,
            strategy=chosen.identifiers or chosen.strategy or "gensar",
            text_encoder=chosen.text_encoder,
            collaborative=chosen.collaborative,
            normalise=chosen.normalise,
            query_prefix=chosen.query_prefix,
            passage_prefix=chosen.passage_prefix,
            **changes,
        )
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error
    metrics = gensar_lite.pipeline.run(
        load_dataset(chosen.data),
        config,
        chosen.out,
        baselines=not chosen.no_baselines,
        examples=chosen.examples,
        say=tell,
        device=chosen.device,
    )
    if not metrics:  # another process of several tells the result
        return
    out = Path(chosen.out)
    page = out / "report.html"
    if not page.is_file():
        tell("report …")
        write_runs([out], page)
    if chosen.json:
        print_json(metrics)
        return
    show(examples_text(read_result(out, "examples")["examples"]))
    show(results_text(metrics))
    show(f"\nThe model's own line took {_minutes(read_result(out, 'timings')['model_line'])}. The report: {page}")


def evaluate(chosen: Namespace) -> None:
    """Measure the model of a run."""
    from gensar_lite.evaluation.baselines import build_baselines
    from gensar_lite.evaluation.trec import export_trec
    from gensar_lite.pipeline.measure import evaluate, oracle_of

    if chosen.export_trec:
        check_folder(chosen.export_trec, "TREC export")
    device = choose_device(chosen.device)
    model = GenSAR.load(chosen.run).to(device)
    data = model.data
    if chosen.data:
        data = load_dataset(chosen.data)
        if data.info["fingerprint"] != model.data.info["fingerprint"]:
            raise DataError(
                f"{chosen.run} was made from another data set ({model.data.name}, fingerprint {model.data.info['fingerprint'][:16]}) than {chosen.data} ({data.name}, {data.info['fingerprint'][:16]}); give the one it was made from, or none"
            )
    tell(f"Measuring {chosen.run} on the {chosen.split} cases of {data.name} …")
    metrics = evaluate(model, data, split=chosen.split, baselines=not chosen.no_baselines)
    if chosen.export_trec:
        others = (
            []
            if chosen.no_baselines
            else [*build_baselines(data, model.signals, model.config.seed, device=device), *oracle_of(data)]
        )
        files = export_trec(chosen.export_trec, [model, *others], data, chosen.split)
        tell(f"{len(files)} files of runs and judgements: {chosen.export_trec}")
    print_json(metrics) if chosen.json else show(results_text(metrics))


def report(chosen: Namespace) -> None:
    """Write one HTML file about one or several runs, or about one or several sweeps."""
    folders, out = [Path(folder) for folder in chosen.runs], Path(chosen.out)
    sweeps = [folder for folder in folders if (folder / ASKED).is_file()]
    if sweeps and len(sweeps) < len(folders):
        raise UsageError("a report is about runs or about sweeps, not about both; write two")
    show(str(write_sweeps(folders, out) if sweeps else write_runs(folders, out)))


def write_runs(folders: list[Path], page: Path) -> Path:
    """A report from what run folders hold. Raises DataError where one is not complete."""
    from gensar_lite.explore.report import write_report

    check_export(page)
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise UsageError("a run is named twice")
    views = [_read_run(folder, name if len(folders) > 1 else None) for folder, name in zip(folders, names, strict=True)]
    title = f"gensar_lite: {', '.join(names)}"
    return write_report(page, views, title=title, summary=_summary(folders))


def _read_run(folder: Path, title: str | None) -> Any:
    from gensar_lite.data.dataset import Dataset
    from gensar_lite.explore.report import Example, RunReport
    from gensar_lite.explore.trees import code_tree
    from gensar_lite.identifiers import IdentifierTable

    metrics = read_result(folder, "metrics")
    data = Dataset.load(folder / "store")
    table = IdentifierTable.load(folder / "identifiers", data.items["item_id"].tolist())
    timings = read_result(folder, "timings")
    lists = dict(metrics.get("lists", {}))
    told, told_alone = row_names(metrics)
    alone = title or told_alone
    name = alone + told.removeprefix(told_alone)
    lists = {{told: name, told_alone: alone}.get(ranker, ranker): values for ranker, values in lists.items()}
    if "generator" in metrics:
        metrics["baselines"] = {alone: metrics["generator"], **metrics["baselines"]}
    oracle = metrics.get("ceiling", {})
    examples = [
        Example(
            task=e["task"],
            asked=f"{e['query']}” by “{e['user']}" if e["query"] else e["user"],
            answers=e["answers"],
            history=e["history"],
            target=e["target"]["item_id"],
            note=""
            if any(a["item_id"] == e["target"]["item_id"] for a in e["answers"])
            else f"Really clicked: {e['target']['title']} (place {e['rank']:g} of the whole catalogue).",
        )
        for e in read_result(folder, "examples")["examples"]
    ]
    shown = {**metrics, "baselines": {**metrics["baselines"], **oracle}}
    return RunReport(
        name,
        shown,
        table.health,
        {stage: seconds for stage, seconds in timings.items() if stage != "model_line"},
        examples,
        read_json(folder / "model" / "history.json", history=list)["history"],
        code_tree(table, data.items["title"].tolist()),
        lists,
    )


def _summary(folders: list[Path]) -> list[str]:
    sentences = []
    for folder in folders:
        metrics, line = read_result(folder, "metrics"), read_result(folder, "timings")["model_line"]
        made = metrics["provenance"]
        sentences.append(
            f"{folder.resolve().name}: preset {made['config']['preset']}, strategy {made['config']['identifiers']['strategy']}, seed {made['seed']}, "
            f"on {made['data']} ({made['counts']['items']:,} items, {made['counts']['users']:,} users). Signals, identifiers and training took {_minutes(line)}."
        )
    if any(read_result(folder, "metrics").get("ceiling") for folder in folders):
        sentences.append("“oracle” knows the truth of the simulated store: it is the ceiling, not a baseline.")
    return sentences


def _minutes(seconds: float) -> str:
    from gensar_lite.explore.report import duration

    return duration(seconds)
