"""Every page with code is a notebook as well, made from the page: all of its code is there, and runs in order."""

from __future__ import annotations

import ast
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from blocks import Block

ROOT = Path(__file__).resolve().parents[2]
MADE = runpy.run_path(str(ROOT / "docs" / "make_notebooks.py"), run_name="make_notebooks")
PAGES = MADE["pages"]()


def sources(name: str, kind: str) -> list[str]:
    """The cells of that kind of the notebook of a page."""
    cells = MADE["notebook"](name)[0]["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def test_the_lecture_and_the_first_steps_are_among_the_pages():
    assert {"lecture", "start", "training", "pictures"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_the_page_is_python_without_prompts_or_commands(name):
    for source in sources(name, "code"):
        lines = source.splitlines()
        if all(line.startswith("!linprobe ") for line in lines):
            continue
        assert not [line for line in lines if line.startswith((">>> ", "... ", "$ ", "!"))]
        ast.parse(source)


def test_each_output_of_a_session_ends_a_cell_and_a_saved_picture_is_shown():
    cells = list(MADE["python_cells"](">>> x = 1\n>>> x\n1\n>>> x + 1\n2\n"))
    assert cells == ["x = 1\nx", "x + 1"]
    assert list(MADE["python_cells"]('a.save("b.png")\n')) == ['a.save("b.png")\ndisplay(Image("b.png"))']


def test_commands_are_run_by_the_shell_and_blocks_that_do_not_run_stay_text():
    console = Block(1, "console", "$ linprobe train digits   # words\nsource ...\n", None)
    assert list(MADE["cells"](console)) == [("code", "!linprobe train digits")]
    marked = Block(1, "python", "1 / 0\n", "it fails")
    assert list(MADE["cells"](marked)) == [("markdown", "Not run here: it fails.\n\n```python\n1 / 0\n```")]


def test_pictures_that_no_cell_draws_are_copied_and_links_lead_to_notebooks():
    _, shown = MADE["notebook"]("lecture")
    assert "challenges-digits.png" in shown
    assert "lecture-templates.png" not in shown
    assert MADE["prose"]("[a](lecture.md#x) [b](architecture.md)", set()) == (
        "[a](lecture.ipynb#x) [b](../../docs/architecture.md)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_notebook_runs_from_top_to_bottom(name, reader):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # for `!linprobe`
    command = [sys.executable, ROOT / "docs" / "make_notebooks.py", name, "--out", reader, "--execute"]
    ran = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
