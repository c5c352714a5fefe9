"""The version, the Pythons and the tools that several files name are the same in all of them."""

from __future__ import annotations

import datetime
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PYPROJECT["project"]["version"]


def read_yaml(name: str) -> Any:
    """The content of a YAML file of the repository."""
    return yaml.safe_load((ROOT / name).read_text())


def promised_pythons() -> list[str]:
    """The versions of Python that the classifiers of `pyproject.toml` name."""
    start = "Programming Language :: Python :: "
    named = [line.removeprefix(start) for line in PYPROJECT["project"]["classifiers"] if line.startswith(start)]
    return [version for version in named if "." in version]


def test_the_citation_names_the_version_and_the_licence_of_pyproject() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["version"] == VERSION
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert isinstance(citation["date-released"], datetime.date)


def test_the_first_promised_python_is_the_oldest_that_installs() -> None:
    assert PYPROJECT["project"]["requires-python"] == f">={promised_pythons()[0]}"


def test_the_workflow_runs_make_test_for_every_python_that_is_promised() -> None:
    job = read_yaml(".github/workflows/test.yml")["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == promised_pythons()
    assert "make test" in [step.get("run") for step in job["steps"]]


def test_wheels_are_built_for_every_python_that_is_promised() -> None:
    wheels = PYPROJECT["tool"]["cibuildwheel"]["build"]
    assert wheels == [f"cp{version.replace('.', '')}-*" for version in promised_pythons()]


def test_pre_commit_runs_what_make_lint_runs_with_the_same_ruff() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    hooks = read_yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert [f"$(BIN)/{hook['entry']}" for hook in hooks] == [line.strip() for line in recipe[1].splitlines()]
    pinned = [line for line in PYPROJECT["project"]["optional-dependencies"]["test"] if line.startswith("ruff")]
    assert pinned == hooks[0]["additional_dependencies"] == hooks[1]["additional_dependencies"]
    assert pinned[0].startswith("ruff==")
