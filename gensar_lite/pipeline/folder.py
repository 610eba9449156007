"""What a run folder knows about itself: which stage made which files from what.

`stages.json` holds, per stage, `made_from` (everything that decides about the result), the SHA-256 of the files
and the seconds it took. A stage is skipped only where both are still as recorded. The entry of a stage is removed
before its files change, so a run that is killed in between does the stage again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from gensar_lite.data.storage import (
    check_files,
    copy_own,
    hash_files,
    new_folder,
    own_folder,
    read_json,
    tidy_folder,
    write_json,
)
from gensar_lite.model import GenSAR

PARTS = {
    "store": ("store",),
    "signals": ("signals",),
    "identifiers": ("identifiers",),
    "training": ("model",),
    "evidence": ("evidence",),
    "baselines": ("baselines",),
    "evaluation": ("ranks.parquet", "metrics.json"),
    "examples": ("examples.json",),
}
"""The stages, in order, and the parts of the folder that each of them writes."""
MODEL_LINE = ("signals", "identifiers", "training", "evidence")
RESULTS = ("config.json", "ranks.parquet", "metrics.json", "examples.json", "report.html")
"""What makes a folder look whole: gone from the moment a part of the model changes until all is new."""


class RunFolder:
    """The book-keeping of one run folder."""

    def __init__(self, path: str | Path, sweep: bool = True) -> None:
        """Open a folder, or make it; `sweep` removes what a killed run left half-written. Raises RefusedError where it holds something else than a run."""
        self.path = own_folder(path, "run") if sweep else Path(path)
        if sweep:
            tidy_folder(self.path)
        self.record = self.path / "stages.json"
        self.stages: dict[str, dict] = read_json(self.record) if self.record.is_file() else {}

    def is_current(self, stage: str, made_from: dict) -> bool:
        """Whether a stage's files were made from exactly this."""
        return self.stages.get(stage, {}).get("made_from") == _plain(made_from)

    def check(self, stage: str) -> None:
        """Raise DataError where a file of a stage is not as it was written."""
        check_files(self.path, self.stages[stage]["files"])

    def digest(self, stage: str) -> str:
        """One hash for all files of a stage."""
        return digest_of(self.stages[stage]["files"])

    def begin(self, stage: str) -> None:
        """Forget a stage before its files change."""
        self.stages.pop(stage, None)
        write_json(self.record, self.stages)
        if stage in ("store", *MODEL_LINE):
            for name in RESULTS:
                (self.path / name).unlink(missing_ok=True)

    def finish(self, stage: str, made_from: dict, seconds: float) -> None:
        """Record a stage whose files are all in place."""
        files = hash_files(self.path, PARTS[stage])
        self.stages[stage] = {"made_from": _plain(made_from), "files": files, "seconds": round(seconds, 3)}
        write_json(self.record, self.stages)

    def timings(self) -> dict[str, float]:
        """Seconds of each stage, and of the model's own line (signals, identifiers, training) together."""
        seconds = {stage: self.stages[stage].get("seconds", 0.0) for stage in PARTS if stage in self.stages}
        return {**seconds, "model_line": round(sum(seconds.get(stage, 0.0) for stage in MODEL_LINE), 3)}


def replace_catalogue(path: str | Path, model: GenSAR) -> None:
    """Write a run folder anew for a model whose catalogue has grown; it is replaced as a whole or not at all.

    Results stay: they are those of the catalogue before. `run` does not go on with such a folder.
    """
    old = Path(path)
    with new_folder(old, "run") as folder:
        copy_own(old, folder)
        model.data.save(folder / "store")
        model.signals.save(folder / "signals")
        model.table.save(folder / "identifiers")
        model.evidence.save(folder / "evidence")
        stages = read_json(folder / "stages.json")
        for stage in ("store", "signals", "identifiers", "evidence"):
            stages.setdefault(stage, {})["files"] = hash_files(folder, PARTS[stage])
        stages["store"]["made_from"] = {"data": model.data.info["fingerprint"]}
        write_json(folder / "stages.json", stages)


def digest_of(content: object) -> str:
    """A short hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _plain(content: dict) -> dict:
    """As it comes back from a JSON file."""
    return json.loads(json.dumps(content))
