"""The command that installs an extra names the libraries themselves: linprobe is not on PyPI."""

from __future__ import annotations

import importlib.metadata
import shlex
import tomllib
from pathlib import Path

import pytest

from linprobe.extras import install_command

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", ["lab", "onnx", "parquet"])
def test_the_command_installs_what_the_extra_lists(extra: str) -> None:
    assert shlex.split(install_command(extra)) == ["pip", "install", *EXTRAS[extra]]


def test_without_metadata_the_command_is_that_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("linprobe.extras.requires", none)
    assert install_command("lab") == 'pip install ".[lab]" in the folder of the repository'


def test_no_message_installs_linprobe_by_name() -> None:
    for path in (ROOT / "src" / "linprobe").rglob("*.py"):
        assert "pip install 'linprobe" not in path.read_text(), path
