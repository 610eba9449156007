"""Print what the project and some of its extras need, one requirement a line: for `pip download`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main(extras: list[str]) -> int:
    """Requirements of the project, of the extras, and of building it."""
    content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    project = content["project"]
    parts = [project["dependencies"], content["build-system"]["requires"]]
    parts += [project["optional-dependencies"][extra] for extra in extras]
    print("\n".join(requirement for part in parts for requirement in part))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
