"""pyproject.toml, constraints.txt, environment.yml and the set-up files say the same thing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def read_constraints() -> dict[str, Version]:
    """Name -> exact version; fails on any line that is not an exact pin."""
    pins: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        exact = [s for s in requirement.specifier if s.operator == "==" and not s.version.endswith(".*")]
        assert len(exact) == 1, f"constraints.txt: {line!r} is not an exact version"
        assert len(requirement.specifier) == 1, f"constraints.txt: {line!r} is not an exact version"
        name = canonicalize_name(requirement.name)
        assert name not in pins, f"constraints.txt names {name} twice"
        pins[name] = Version(exact[0].version)
    return pins


PINS = read_constraints()


def all_requirements() -> list[Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
    return [r for r in map(Requirement, texts) if canonicalize_name(r.name) != "gensar-lite"]


@pytest.mark.parametrize("requirement", all_requirements(), ids=str)
def test_every_dependency_is_pinned_within_its_range(requirement):
    assert requirement.specifier, f"{requirement} has no lower bound"
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_pins_are_closed_under_what_installed_packages_ask_for():
    """From pyproject.toml down, what each installed package requires is pinned, at a version that suits it."""
    todo = [(r, e) for r in all_requirements() for e in (r.extras or {""})]
    seen: set[str] = set()
    wrong = []
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name not in PINS:
            wrong.append(f"{requirement} is not in constraints.txt")
        elif not requirement.specifier.contains(PINS[name], prereleases=True):
            wrong.append(f"{requirement} does not allow {PINS[name]}")
        if name in seen:
            continue
        seen.add(name)
        try:
            todo += [(Requirement(t), e) for t in metadata.requires(name) or [] for e in (requirement.extras or {""})]
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
    assert "numba" in seen, "the walk reached no dependency of a dependency"
    assert not wrong


def test_torch_is_pinned_by_a_public_version():
    # A local version such as +cpu exists on PyTorch's index alone, so it could not be found on macOS or elsewhere.
    assert PINS["torch"].local is None


def test_no_extra_and_no_dependency_is_named_twice():
    for texts in (PROJECT["dependencies"], *EXTRAS.values()):
        names = [canonicalize_name(Requirement(t).name) for t in texts]
        assert len(names) == len(set(names))
    assert set(EXTRAS) == {"text", "tradeoff", "faiss", "app", "docs", "dev"}


def test_conda_brings_python_and_pip_only():
    conda = [d for d in ENVIRONMENT["dependencies"] if isinstance(d, str)]
    assert [re.split(r"[=<> ]", d)[0] for d in conda] == ["python", "pip"]
    python = re.fullmatch(r"python=(\d+\.\d+)", conda[0])
    assert python
    assert f"{python[1]}.0" in SpecifierSet(PROJECT["requires-python"])
    assert ENVIRONMENT["name"] == PROJECT["name"]


def test_conda_installs_what_make_installs():
    pip = next(d["pip"] for d in ENVIRONMENT["dependencies"] if isinstance(d, dict))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = re.search(r"^EXTRAS \?= (.+)$", makefile, re.MULTILINE)
    index = re.search(r"^TORCH_INDEX \?= (\S+)$", makefile, re.MULTILINE)
    assert extras
    assert index
    assert pip == [f"--extra-index-url {index[1]}", "-c constraints.txt", f"-e .[{extras[1]}]"]
    assert "-c constraints.txt -e" in makefile


def test_one_python_version_everywhere():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert PROJECT["requires-python"] == ">=3.11"
    assert config["ruff"]["target-version"] == "py311"
    assert config["mypy"]["python_version"] == "3.11"


def test_the_environment_that_runs_this_holds_the_pins():
    """Only where `make` installed it: another environment is free to hold other versions within the ranges."""
    if not (Path(sys.prefix) / ".ready").is_file():
        pytest.skip("this environment was not made by `make setup`")
    names = {canonicalize_name(r.name) for r in map(Requirement, PROJECT["dependencies"])}
    installed = {name: Version(metadata.version(name)).public for name in names}
    assert installed == {name: str(PINS[name]) for name in names}


def write_torch(folder: Path, cuda: str | None) -> None:
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text("raise ImportError('libcudart is missing')\n")
    (folder / "torch" / "version.py").write_text(f"__version__ = '9.9'\ncuda = {cuda!r}\n")


@pytest.mark.parametrize(("cuda", "code"), [(None, 0), ("13.0", 1)])
def test_a_cuda_build_of_torch_is_refused_in_words(tmp_path, cuda, code):
    write_torch(tmp_path, cuda)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    script = str(ROOT / ".ci" / "check_torch.py")
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert ("built for CUDA 13.0" in done.stderr) == bool(code)


def run_make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # A `make` around the tests passes its own settings on through the environment.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_without_a_suitable_python_make_says_what_to_do(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    done = run_make("setup", "PYTHON=python-that-is-not-there", folder=tmp_path)
    assert done.returncode != 0
    assert "No Python 3.11 or newer" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_alone_lists_every_target():
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    assert re.findall(r"^  make (\w+) +\S", run_make().stdout, re.MULTILINE) == targets[1].split()


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_starts_with_the_two_commands():
    assert re.findall(r"^make (\w+)", README, re.MULTILINE)[:2] == ["demo", "test"]
    assert README.index("make demo") < 60


def test_the_readme_names_existing_targets_and_files():
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"^make (\w+)|`make (\w+)", README, re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_shell_command_has_the_verbs_of_the_readme():
    verbs = set(re.findall(r"^gensar-lite (\w[\w-]*)", README, re.MULTILINE))
    assert {"run", "search", "recommend"} <= verbs
    done = subprocess.run([sys.executable, "-m", "gensar_lite", "--help"], capture_output=True, text=True, check=True)
    assert not [verb for verb in verbs if not re.search(rf"\b{verb}\b", done.stdout)]


def test_the_hooks_of_pre_commit_are_those_of_make_lint():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    tools = [hook["entry"].split()[0] for hook in hooks]
    assert tools == [".venv/bin/ruff", ".venv/bin/ruff", ".venv/bin/mypy"]


def test_the_citation_names_software_version_and_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert "2504.05730" in citation["preferred-citation"]["url"]
