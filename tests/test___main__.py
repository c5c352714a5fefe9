"""The program as it is installed: Ctrl-C ends it quietly while the command line loads, too."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LOADS = """
import importlib.abc, runpy, sys

class Stopped(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            {raising}

sys.meta_path.insert(0, Stopped())
sys.argv = ["linprobe", "--version"]
runpy.run_module("linprobe", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "raising", ["raise KeyboardInterrupt", "raise ImportError('cut short') from KeyboardInterrupt()"]
)
@pytest.mark.parametrize("module", ["linprobe.cli", "click", "linprobe.cli.options", "linprobe.errors"])
def test_ctrl_c_while_the_command_line_loads_leaves_no_traceback(module: str, raising: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOADS.format(module=module, raising=raising)], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "stopped by Ctrl-C\n")


def test_the_program_is_the_entry_point_that_catches_ctrl_c() -> None:
    (program,) = (found for found in entry_points(group="console_scripts") if found.name == "linprobe")
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["linprobe"]
    assert named == "linprobe.__main__:main"
    assert program.load() is not None
    ended = subprocess.run([sys.executable, "-m", "linprobe", "--version"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("linprobe ")
