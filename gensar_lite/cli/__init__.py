"""The shell command `gensar-lite`: parses, calls, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed on the data or the run, 2 wrong usage or an output that may not be replaced, 130
interrupted, 143 ended by SIGTERM. Results go to stdout, everything else to stderr. What a verb needs is imported when
it is called, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gensar_lite.cli.parser import build_parser
from gensar_lite.cli.terminal import printable

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
RESUMABLE = ("runs:run", "tradeoff:tradeoff")
# numpy, safetensors and torch hide the number of an error in their texts
DISK_FULL = re.compile(r"No space left on device|os error 28|os error 122|Disk quota exceeded")
FILE_LIMIT = re.compile(r"File too large|os error 27|\d+ requested and \d+ written")
NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory", re.IGNORECASE)


class UsageError(Exception):
    """The command was given something that makes no sense, found out only after parsing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    parser = build_parser()
    chosen = parser.parse_args(arguments)
    if not hasattr(chosen, "verb"):
        parser.print_help()
        return 2
    _quiet_start()
    module, _, name = chosen.verb.partition(":")
    try:
        with _told_to_end(), _warnings_as_notes(), _verifying(chosen):
            importlib.import_module(f"gensar_lite.cli.{module}").__dict__[name](chosen)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return _tell_end("interrupted", chosen, 130)
    except Terminated:
        return _tell_end("ended by SIGTERM", chosen, 143)
    except UsageError as error:
        return _tell(error, chosen, 2)
    except Exception as error:
        from gensar_lite.data.storage import RefusedError

        return _tell(error, chosen, 2 if isinstance(error, RefusedError) else 1)
    return 0


class Terminated(BaseException):
    """The process was told to end: like Ctrl-C, everything on the way out is tidied."""


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Turn SIGTERM into `Terminated` while a verb runs."""

    def end(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        warnings.simplefilter("always", UserWarning)
        yield


@contextmanager
def _verifying(chosen: argparse.Namespace) -> Iterator[None]:
    if not getattr(chosen, "verify", False):
        yield
        return
    from gensar_lite.data.sealed import verifying

    with verifying():
        yield


def _tell_end(what: str, chosen: argparse.Namespace, code: int) -> int:
    again = "; what is done is kept, run the same command again to go on" if chosen.verb in RESUMABLE else ""
    print(f"\ngensar-lite: {what}{again}", file=sys.stderr)
    return code


def _tell(error: Exception, chosen: argparse.Namespace, code: int) -> int:
    from gensar_lite.data.storage import DataError

    if chosen.debug:
        traceback.print_exc()
    message = " ".join(str(error).split()) or type(error).__name__
    if machine := _machine_fault(error, message):
        message = machine
    elif not isinstance(error, (DataError, UsageError, OSError)):
        message = f"{type(error).__name__}: {message} (this should not happen; --debug shows where)"
    print(f"gensar-lite: {printable(message)}", file=sys.stderr)
    return code


def _machine_fault(error: Exception, message: str) -> str | None:
    """What to say where the machine is at its end, whichever library found out."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT) or DISK_FULL.search(message):
        return "the disk is full; nothing half-written is left, free some room and run the same command again"
    if number == errno.EFBIG or FILE_LIMIT.search(message):
        return "a file grew over the limit that is set for files (ulimit -f); nothing half-written is left, raise the limit and run the same command again"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and NO_MEMORY.search(message)):
        return "the memory is full; nothing half-written is left, close other programs or choose smaller sizes (--preset, --set batch_size=…) and run the same command again"
    return None


def _quiet_start() -> None:
    """One thread unless the environment says otherwise: small matrices gain nothing from more, and sums keep their order."""
    for name in THREADS:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0" if sys.stderr.isatty() else "1")


def _show_warning(message: Warning | str, category: type[Warning], filename: str, *rest: object) -> None:
    if category is UserWarning:  # ours; libraries' own kinds of warnings are no business of the reader
        print(f"note: {printable(str(message))}", file=sys.stderr)
