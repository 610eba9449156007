"""The verb that sweeps strategies, mixes and seeds, and reads the curves."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from gensar_lite.cli import UsageError
from gensar_lite.cli.output import print_json, show, tell
from gensar_lite.cli.parser import build_parser
from gensar_lite.data.storage import DataError, check_export, check_folder, read_sealed
from gensar_lite.evaluation.metrics import METRICS
from gensar_lite.evaluation.protocols import EVALUATION_PROTOCOLS
from gensar_lite.identifiers import list_strategies
from gensar_lite.tradeoff.curve import Goals
from gensar_lite.tradeoff.design import (
    ASKED,
    CURVES,
    TASK_SETTING,
    Design,
    Source,
    asked_units,
    name_source,
    read_asked,
)

# what a design file says instead
WHAT = ["data", "strategies", "mixes", "seeds", "preset", "steps", "set", "axis", "cheap", "specialists", "protocols"]


def tradeoff(chosen: Namespace) -> None:
    """Run what is left of a sweep, write tables and figures, print what they say."""
    from gensar_lite.tradeoff.agreement import measure_signals
    from gensar_lite.tradeoff.decision import decide, decision_text, measure_gains
    from gensar_lite.tradeoff.summary import records, summary_text, write_reading

    goals = _goals(chosen)
    out = check_folder(chosen.out, "sweep")
    failures: dict[str, str] = {}
    still_open = 0
    if not chosen.read_only:
        design = _design(chosen)
        from gensar_lite.tradeoff.sweep import run_sweep

        done = run_sweep(
            design,
            out,
            storage=chosen.storage,
            study=chosen.study,
            retry_failed=chosen.retry_failed,
            keep_others=chosen.keep_others,
            say=tell,
        )
        failures, still_open = done.failures, done.open
    if not (out / ASKED).is_file():
        raise DataError(f"{out} is no sweep (no {ASKED}); make one with `gensar-lite tradeoff --data … --out {out}`")
    about = read_asked(out)
    if chosen.read_only and (out / "summary.json").is_file():
        earlier = read_sealed(out / "summary.json", failures=dict, open=int)
        failures, still_open = earlier["failures"], earlier["open"]
    if not chosen.read_only:
        measure_signals(out, _sources(about), about["fingerprints"])
    reading = _read(out, goals, about)
    told = {"design": about, "failures": failures, "open": still_open}
    written = write_reading(out, reading, goals, told)
    if reading.results.empty:
        raise DataError(_failed(failures) if failures else f"no run of {out} is done yet")
    gains = measure_gains(out, reading, goals, _sources(about))
    figures = _draw(out, reading, goals, about, gains)
    decision = decide(reading, goals, gains)
    if still_open:
        tell(f"{still_open} runs are still under way in other processes; the one that ends last writes all results")
    if chosen.json:
        tables = {name: records(getattr(reading, name)) for name in ("volumes", "specialists", "distances")}
        print_json({**told, "decision": decision, "figures": [str(path) for path in figures], **tables})
    else:
        show(decision_text(decision))
        show(summary_text(reading, goals))
        show(f"\nTables: {out / 'results.parquet'}, {written}. Figures: {', '.join(map(str, figures))}")
    if failures and not chosen.read_only:
        raise DataError(_failed(failures))


def write_sweeps(folders: list[Path], page: Path) -> Path:
    """A page for a decision from what the folders of sweeps hold. Raises DataError where no run of one is done."""
    from gensar_lite.explore.decision_page import write_decision
    from gensar_lite.tradeoff.decision import measure_gains

    check_export(page)
    goals, sweeps = Goals(), {}
    for folder in folders:
        about = read_asked(folder)
        reading = _read(folder, goals, about)
        if reading.results.empty:
            raise DataError(f"no run of {folder} is done yet")
        sweeps[folder.resolve().name] = reading, measure_gains(folder, reading, goals, _sources(about))
    if len(sweeps) < len(folders):
        raise UsageError("two of the sweeps have the same name; rename one of the folders")
    return write_decision(page, sweeps, goals, f"gensar_lite: {', '.join(sweeps)}")


def _read(out: Path, goals: Goals, about: dict[str, Any]) -> Any:
    from gensar_lite.tradeoff.summary import read_tradeoff

    return read_tradeoff(out, goals, about["version"], about["fingerprints"], asked_units(about), about["runs"])


def _failed(failures: dict[str, str]) -> str:
    label, error = next(iter(failures.items()))
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    return f"these runs failed: {label} ({error}){more}; summary.json names all, --retry-failed tries them again"


def _draw(out: Path, reading: Any, goals: Goals, about: dict[str, Any], gains: Any) -> list[Path]:
    from gensar_lite.explore.tradeoff_pictures import draw_tradeoff

    return draw_tradeoff(out, reading, goals, _sources(about), gains)


def _sources(about: dict[str, Any]) -> dict[str, Source]:
    """Where the data sets of a sweep are, by name."""
    return {name_source(s): s for block in about["blocks"] for s in block["data"]}


def _goals(chosen: Namespace) -> Goals:
    names = _words(chosen.goals)
    if len(names) != 2 or any(
        name not in EVALUATION_PROTOCOLS[task] for task, name in zip(EVALUATION_PROTOCOLS, names, strict=False)
    ):
        raise UsageError("--goals takes a protocol of recommendation and one of search, such as uniform99,bm25_99")
    if chosen.metric not in METRICS:
        raise UsageError(f"--metric is one of {', '.join(METRICS)}, not {chosen.metric!r}")
    return Goals(names[0], names[1], chosen.metric)


def _design(chosen: Namespace) -> Design:
    if chosen.design:
        plain = build_parser().parse_args(["tradeoff", "--out", chosen.out])
        if given := [name for name in WHAT if getattr(chosen, name) != getattr(plain, name)]:
            raise UsageError(f"--design says all that is to be run; leave out --{', --'.join(given)}")
        return Design.read(chosen.design)
    if not chosen.data:
        raise UsageError("give --data (a folder, or bazaar), or a --design file")
    if unknown := [name for name in _words(chosen.strategies) if name not in list_strategies()]:
        raise UsageError(f"unknown strategy {', '.join(map(repr, unknown))}; known are {', '.join(list_strategies())}")
    cheap = _words(chosen.cheap)
    if cheap in (["none"], ["all"]):
        cheap = [] if cheap == ["none"] else [curve for curve in CURVES if curve != "sweep"]
    settings = dict(read_setting(text) for text in chosen.set)
    if chosen.steps is not None:
        settings["steps"] = chosen.steps
    variants: list[dict[str, Any]] = [{}]
    for axis in chosen.axis:
        name, values = _named(axis, "--axis num_shared=0,1")
        variants += [{name: _value(name, value)} for value in _words(values)]
    try:
        mixes = [float(mix) for mix in _words(chosen.mixes)]
        seeds = [int(seed) for seed in _words(chosen.seeds)]
    except ValueError as error:
        raise UsageError(f"--mixes are numbers and --seeds whole numbers with commas between them ({error})") from error
    return Design.from_json(
        {
            "data": _words(chosen.data),
            "strategies": _words(chosen.strategies),
            "mixes": list(dict.fromkeys(mixes)),
            "seeds": list(dict.fromkeys(seeds)),
            "variants": variants,
            "curves": ["sweep", *cheap],
            "specialists": [] if chosen.specialists == "none" else _words(chosen.specialists),
            "preset": chosen.preset,
            "settings": settings,
            "protocols": _words(chosen.protocols),
        }
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _named(text: str, example: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name.strip() or not value.strip():
        raise UsageError(f"{text!r} is no setting; write it as in {example}")
    return name.strip().replace("-", "_"), value.strip()


def read_setting(text: str) -> tuple[str, Any]:
    """Name and value of what somebody wrote after --set."""
    name, value = _named(text, "--set learning_rate=0.002")
    return name, _value(name, value)


def _value(name: str, text: str) -> Any:
    """A number or true or false where it is one, else the text; tasks to leave out and evidence are lists."""
    if name in (TASK_SETTING, "evidence") and not text.startswith("["):
        return [] if text == "none" else text.split("+")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
