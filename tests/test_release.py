"""The version, the Pythons and the tools that several files name are the same in all of them; news has its places."""

from __future__ import annotations

import datetime
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PYPROJECT["project"]["version"]
NEWS = (ROOT / "CHANGELOG.md").read_text()
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


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


@pytest.mark.parametrize(
    ("page", "sentence"), [("docs/limits.md", "What linprobe {} promises"), ("SECURITY.md", "| {} |")]
)
def test_pages_of_promises_are_of_this_minor_version(page: str, sentence: str) -> None:
    assert sentence.format(VERSION.rpartition(".")[0]) in (ROOT / page).read_text()


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


def test_the_changelog_begins_with_what_is_unreleased_and_then_the_version_and_date_of_the_citation() -> None:
    titles = re.findall(r"^## (.*)$", NEWS, re.MULTILINE)
    assert titles[:2] == ["Unreleased", f"{VERSION} ({read_yaml('CITATION.cff')['date-released']})"]


def test_news_notes_are_named_by_room_and_topic_and_say_something() -> None:
    for note in ROOT.joinpath("changelog.d").iterdir():
        assert note.name == "README.md" or re.fullmatch(r"[a-z]+(-[a-z0-9]+)+\.md", note.name), note.name
        assert note.read_text().strip(), f"{note.name} is empty"


@pytest.mark.parametrize(
    "page",
    [*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.md"), *ROOT.glob("changelog.d/*.md")],
    ids=lambda page: page.name,
)
def test_the_links_of_the_pages_at_the_root_lead_to_files(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if not link.startswith("https://")]
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("template", sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.md")), ids=lambda path: path.stem)
def test_a_template_of_an_issue_has_a_name_and_a_purpose(template: Path) -> None:
    _, head, text = template.read_text().split("---\n", 2)
    assert set(yaml.safe_load(head)) >= {"name", "about"}
    assert "**" in text
