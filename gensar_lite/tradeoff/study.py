"""The work of a sweep, shared: an Optuna study in which every piece of work is a trial that one process takes.

Explained in notebook 08. The study lies in a journal file of the sweep's folder, or in a database that several
machines reach. A process takes a waiting trial, writes what came out into it, and goes on. A process that dies
leaves its trial to the next one that looks: on the same machine at once, from another one after ten minutes without
a sign of life.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

import gensar_lite
from gensar_lite.data.storage import DataError
from gensar_lite.tradeoff.design import Unit

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import FrozenTrial, TrialState, create_trial
except ModuleNotFoundError as error:
    raise DataError('sweeps need optuna: pip install "gensar_lite[tradeoff]"') from error

BEAT_SECONDS = 30.0
SILENT_SECONDS = 600.0  # without a sign of life for so long, a process on another machine counts as dead
JOURNAL = "study.journal"
OPENINGS = 5  # tries to open a database
PARTS = (
    *(
        "data",
        "signals",
        "identifiers",
        "evidence",
        "network",
        "training",
        "decoding",
        "evaluation",
        "answering.py",
        "model.py",
        "config.py",
    ),
    *(
        "evaluation/baselines.json",
        *(f"tradeoff/{name}.py" for name in ("runs", "fusion", "interpolation", "workshop")),
    ),
)
"""What decides about results; changes elsewhere in the package leave them comparable."""
READERS = ("data/importing/", "data/download.py")
"""What brings foreign tables in: a data set is known by its fingerprint, whatever read it."""


def code_version() -> str:
    """The package's version and a hash of the code that results depend on."""
    root = Path(gensar_lite.__file__).parent
    digest = hashlib.sha256()
    for part in PARTS:
        for path in sorted((root / part).rglob("*.py") if (root / part).is_dir() else [root / part]):
            name = path.relative_to(root).as_posix()
            if not name.startswith(READERS):
                digest.update(name.encode() + path.read_bytes())
    return f"{gensar_lite.__version__}+{digest.hexdigest()[:12]}"


class _Lock:
    """A lock that the operating system gives back when its holder is killed."""

    def __init__(self, path: Path) -> None:
        self.lock = FileLock(path)

    def acquire(self) -> bool:
        self.lock.acquire()
        return True

    def release(self) -> None:
        self.lock.release()


def _drop_half_line(journal: Path, lock: _Lock) -> None:
    """Cut off what a process wrote last that was killed while it wrote; the next line would be appended to it."""
    with lock.lock:
        if journal.is_file() and not (content := journal.read_bytes()).endswith(b"\n"):
            os.truncate(journal, content.rfind(b"\n") + 1)


class Work:
    """The trials of a sweep and who does them."""

    def __init__(self, out: Path, storage: str | None, name: str) -> None:
        """Open the study or make it. Raises DataError where the storage cannot be reached."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        out.mkdir(parents=True, exist_ok=True)
        self.lock, self.place = FileLock(out / ".study.lock"), storage or out / JOURNAL
        for left in reversed(range(OPENINGS if storage else 1)):
            try:
                self.storage, study, study_id = self._open(out, storage, name)
                break
            except Exception as error:  # whatever a database's driver raises
                if not left:
                    raise DataError(f"the study {name!r} in {self.place} cannot be opened ({error})") from error
                # machines that make its tables at the same moment get into each other's way
                time.sleep(random.random())
        self.study, self.study_id = study, study_id
        process = psutil.Process()
        self.worker = {"host": socket.gethostname(), "pid": process.pid, "born": process.create_time()}

    def _open(self, out: Path, storage: str | None, name: str) -> tuple[Any, optuna.Study, int]:
        if storage is None:
            lock = _Lock(out / ".journal.lock")
            _drop_half_line(out / JOURNAL, lock)
            backend = JournalFileBackend(str(out / JOURNAL), lock_obj=lock)  # type: ignore[arg-type]
            found: Any = optuna.storages.JournalStorage(backend)
        else:
            found = optuna.storages.get_storage(storage)
        with self.lock:
            study = optuna.create_study(
                storage=found, study_name=name, directions=["maximize", "maximize"], load_if_exists=True
            )
        return found, study, found.get_study_id_from_name(name)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in some states (all, where none is named)."""
        try:
            return self.storage.get_all_trials(self.study_id, deepcopy=False, states=states or None)
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # a journal that was damaged
            raise DataError(f"the study in {self.place} cannot be read ({error!r}); choose another --out") from error

    def add(self, units: dict[str, Unit]) -> int:
        """Put units (by their keys) into the study where they are not there yet; gives how many were new."""
        with self.lock:
            known = {trial.user_attrs.get("key") for trial in self.trials()}
            new = {key: unit for key, unit in units.items() if key not in known}
            for key, unit in new.items():
                attributes = {"key": key, "unit": vars(unit), "label": str(unit)}
                self.study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=attributes))
        return len(new)

    def add_again(self, trial: FrozenTrial) -> None:
        """Let a failed piece of work be tried once more; the failure stays on record (a finished trial cannot change)."""
        with self.lock:
            attributes = {name: trial.user_attrs[name] for name in ("key", "unit", "label")}
            self.study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=attributes))

    def take(self, keys: set[str]) -> FrozenTrial | None:
        """Take a waiting trial among these keys, first those of processes that died; None where none is left."""
        with self.lock:
            for trial in self.trials(TrialState.RUNNING):
                if self._is_orphan(trial):
                    self.give_back(trial)
            # machines that began at the same moment may have added the same work twice
            busy = {t.user_attrs.get("key") for t in self.trials(TrialState.RUNNING, TrialState.COMPLETE)}
            for trial in sorted(self.trials(TrialState.WAITING), key=lambda t: t.number):
                if trial.user_attrs.get("key") not in keys - busy:
                    continue
                try:
                    self._sign(trial)  # before, or for a moment it would look left behind
                    if not self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                        continue
                except (optuna.exceptions.UpdateFinishedTrialError, optuna.exceptions.StorageInternalError):
                    continue  # another machine was faster
                if not self._has_twin(trial):
                    return trial
                self.give_back(trial)
        return None

    def _has_twin(self, trial: FrozenTrial) -> bool:
        """Whether another machine has done the same work, or took it from an earlier trial at the same moment."""
        return any(
            other.user_attrs.get("key") == trial.user_attrs["key"]
            and (other.number < trial.number or other.state == TrialState.COMPLETE)
            for other in self.trials(TrialState.RUNNING, TrialState.COMPLETE)
            if other.number != trial.number
        )

    def give_back(self, trial: FrozenTrial) -> None:
        """Let another process take a trial that was begun."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    @contextmanager
    def alive(self, trial: FrozenTrial) -> Iterator[None]:
        """Show signs of life while a trial is worked on; give it back when the work is interrupted."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT_SECONDS):
                # a database that cannot be reached for a moment, a run that others have ended
                with suppress(Exception):
                    self._sign(trial)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C, the end of the process
                done.set()
                thread.join()
                self.give_back(trial)
            raise
        finally:
            done.set()
            thread.join()

    def finish(self, trial: FrozenTrial, values: tuple[float, float], results: dict[str, Any]) -> None:
        """Record what came out; `values` are the primary metrics of validation, recommendation and search.

        Whoever slept for so long that another process did the same work finds it recorded: it came to the same.
        """
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            for name, value in results.items():
                self.storage.set_trial_user_attr(trial._trial_id, name, value)
            self.storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, values)

    def fail(self, trial: FrozenTrial, error: str, trace: str) -> None:
        """Record a failure, unless another process has done the same work meanwhile."""
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial._trial_id, "error", error)
            self.storage.set_trial_user_attr(trial._trial_id, "traceback", trace)
            self.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _sign(self, trial: FrozenTrial) -> None:
        self.storage.set_trial_user_attr(trial._trial_id, "worker", {**self.worker, "seen": time.time()})

    def _is_orphan(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker is None:
            return True  # killed between taking and signing
        # our own sign on a run that we do not do: another one was faster to take it, and signs again soon if it lives
        ours = all(worker[name] == value for name, value in self.worker.items())
        if ours or worker["host"] != self.worker["host"]:
            return time.time() - worker["seen"] > SILENT_SECONDS
        try:
            process = psutil.Process(worker["pid"])
            return abs(process.create_time() - worker["born"]) > 1 or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
