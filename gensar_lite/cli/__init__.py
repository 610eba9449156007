"""The shell command `gensar-lite`: parses, calls, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed on the data or the run, 2 wrong usage or an output that may not be replaced, 130 interrupted. Results go to stdout, everything
else to stderr. What a verb needs is imported when it is called, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence

from gensar_lite.cli.parser import build_parser

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
RESUMABLE = ("runs:run", "tradeoff:tradeoff")
DISK_FULL = "No space left on device"


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
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            warnings.simplefilter("always", UserWarning)
            importlib.import_module(f"gensar_lite.cli.{module}").__dict__[name](chosen)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        again = "; what is done is kept, run the same command again to go on" if chosen.verb in RESUMABLE else ""
        print(f"\ngensar-lite: interrupted{again}", file=sys.stderr)
        return 130
    except UsageError as error:
        return _tell(error, chosen, 2)
    except Exception as error:
        from gensar_lite.data.storage import RefusedError

        return _tell(error, chosen, 2 if isinstance(error, RefusedError) else 1)
    return 0


def _tell(error: Exception, chosen: argparse.Namespace, code: int) -> int:
    from gensar_lite.data.storage import DataError

    if chosen.debug:
        traceback.print_exc()
    message = " ".join(str(error).split()) or type(error).__name__
    if getattr(error, "errno", None) == errno.ENOSPC or DISK_FULL in message:
        message = "the disk is full; nothing half-written is left, free some room and run the same command again"
    elif not isinstance(error, (DataError, UsageError, OSError)):
        message = f"{type(error).__name__}: {message} (this should not happen; --debug shows where)"
    print(f"gensar-lite: {message}", file=sys.stderr)
    return code


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
        print(f"note: {message}", file=sys.stderr)
