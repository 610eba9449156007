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
    DataError,
    check_files,
    copy_own,
    has_mark,
    hash_files,
    new_folder,
    own_folder,
    read_sealed,
    tidy_folder,
    write_sealed,
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


SHAPES: dict[str, dict] = {
    "metrics": {"recommendation": dict, "search": dict, "baselines": dict, "provenance": dict},
    "timings": {"model_line": (int, float)},
    "examples": {"examples": list},
}
"""What the JSON files of results must have."""


class RunFolder:
    """The book-keeping of one run folder."""

    def __init__(self, path: str | Path, sweep: bool = True) -> None:
        """Open a folder, or make it; `sweep` removes what a killed run left half-written. Raises RefusedError where it holds something else than a run."""
        self.path = own_folder(path, "run") if sweep else Path(path)
        if sweep:
            tidy_folder(self.path)
        self.record = self.path / "stages.json"
        self.stages: dict[str, dict] = self._read() if self.record.is_file() else {}

    def _read(self) -> dict[str, dict]:
        stages = read_sealed(self.record)
        shape = {"files": dict, "seconds": float, "made_from": dict}
        for stage, entry in stages.items():
            if not isinstance(entry, dict) or any(not isinstance(entry[k], shape.get(k, object)) for k in entry):
                raise DataError(
                    f"{self.record}: the entry {stage!r} is not as it was written; delete the file and run again"
                )
        return stages

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
        write_sealed(self.record, self.stages)
        if stage in ("store", *MODEL_LINE):
            for name in RESULTS:
                if name != "report.html" or ((self.path / name).is_file() and has_mark(self.path / name)):
                    (self.path / name).unlink(missing_ok=True)

    def finish(self, stage: str, made_from: dict, seconds: float) -> None:
        """Record a stage whose files are all in place."""
        files = hash_files(self.path, PARTS[stage])
        self.stages[stage] = {"made_from": _plain(made_from), "files": files, "seconds": round(seconds, 3)}
        write_sealed(self.record, self.stages)

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
        stages = read_sealed(folder / "stages.json") if (folder / "stages.json").is_file() else {}
        for stage in ("store", "signals", "identifiers", "evidence"):
            stages.setdefault(stage, {})["files"] = hash_files(folder, PARTS[stage])
        stages["store"]["made_from"] = {"data": model.data.info["fingerprint"]}
        write_sealed(folder / "stages.json", stages)


def read_result(folder: str | Path, name: str) -> dict:
    """What a run folder's `metrics`, `timings` or `examples` hold. Raises DataError where it is missing or was changed."""
    path = Path(folder) / f"{name}.json"
    if not path.is_file():
        raise DataError(
            f"{folder} has no {path.name}; make a run with `gensar-lite run`, or finish this one with the same command"
        )
    return read_sealed(path, **SHAPES[name])


def digest_of(content: object) -> str:
    """A short hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _plain(content: dict) -> dict:
    """As it comes back from a JSON file."""
    return json.loads(json.dumps(content))
