"""The run that is shown where none is named: that of `make demo`, else a quick model, which is trained once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import transformers

import gensar_lite
from gensar_lite.data.storage import DataError, own_folder
from gensar_lite.model import GenSAR

DEMO, KIT = Path("runs/demo"), Path("runs/app")
QUICK_STEPS = 500


def prepare_run(
    run: str | Path | None = None,
    kit: str | Path = KIT,
    steps: int = QUICK_STEPS,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> Path:
    """The folder of the run to show: the one that is named, else that of `make demo`, else the kit's own quick model, which is
    trained where it is not there or of another version."""
    own_folder(kit, "kit")
    if run is not None:
        return Path(run)
    own = Path(kit) / "model"
    found = next((path for path in (DEMO, own) if (path / "config.json").is_file()), None)
    if found is None or (found == own and not _can_load(own)):
        why = "No trained model yet" if found is None else f"{own} was made by another version"
        say(f"{why} (`make demo` would make a better one): a quick model is trained, some two minutes.")
        quick_model(steps, progress).save(own)
        found = own
    return found


def quick_model(steps: int = QUICK_STEPS, progress: bool = True) -> GenSAR:
    """A model of the embedded store after fewer steps than the preset `tiny` has."""
    store = gensar_lite.load_dataset("bazaar")
    signals = gensar_lite.embed(store)
    table = gensar_lite.learn_identifiers(store, signals)
    return GenSAR.fit(store, signals, table, preset="tiny", steps=steps, progress=progress)


def load_quietly(run: str | Path) -> GenSAR:
    """A model without the bars of its loading."""
    bars = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        return GenSAR.load(run)
    finally:
        if bars:
            transformers.utils.logging.enable_progress_bar()


def _can_load(run: Path) -> bool:
    try:
        load_quietly(run)
    except DataError:
        return False
    return True
