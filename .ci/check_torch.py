"""Say whether the installed torch is a CPU build, without importing it (a CUDA build may lack its libraries)."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path


def main() -> int:
    """Exit code 0 for a CPU build of torch; otherwise 1 and one sentence."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        print("torch is not installed: run `make setup`.", file=sys.stderr)
        return 1
    version = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    if version["cuda"] is None:
        return 0
    print(
        f"The torch that was found ({version['__version__']}) is built for CUDA {version['cuda']}, several GB that a "
        "laptop has no use for. Name an index with CPU builds (make setup TORCH_INDEX=https://…), or, if a GPU build is "
        "what you want, say so: make setup CUDA=yes TORCH_INDEX=https://download.pytorch.org/whl/cu130",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
