"""Exercises as students get them: blanks where the answers were, and notebooks whose cells run."""

from __future__ import annotations

import ast
import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest

from linprobe.assignments import ASSIGNMENTS, make_assignment
from linprobe.assignments.handout import blanks_of, notebook, python_file, solved_text
from linprobe.assignments.trial import CHECKS
from linprobe.errors import ParameterError, SourceError


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_every_function_is_a_blank_with_a_check(name: str) -> None:
    blanks = blanks_of(name)
    assert list(CHECKS[name]) == blanks
    assert solved_text(name).count("# answer\n") == solved_text(name).count("# end\n") == len(blanks)
    student = python_file(name)
    for node in ast.parse(student).body:
        if isinstance(node, ast.FunctionDef):
            docstring, raised = node.body
            assert isinstance(docstring, ast.Expr)
            assert isinstance(raised, ast.Raise)
    assert "# answer" not in student + python_file(name, answers=True)
    assert "NotImplementedError" not in python_file(name, answers=True)


def test_files_that_are_there_are_never_replaced(tmp_path: Path) -> None:
    python, _ = make_assignment("hinge", tmp_path / "new" / "folder")
    python.write_text("somebody's work")
    with pytest.raises(SourceError, match=r"hinge\.py: is there already, .*give another folder"):
        make_assignment("hinge", python.parent)
    assert python.read_text() == "somebody's work"
    python.unlink()
    with pytest.raises(SourceError, match=r"hinge\.ipynb: is there already"):
        make_assignment("hinge", python.parent)
    assert not python.exists()


def test_bad_arguments_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"assignment = 'svm'; expected one of hinge, softmax, "):
        make_assignment("svm", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"below: cannot be written \(.*\); give another folder"):
        make_assignment("hinge", tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_the_cells_of_a_notebook_run_with_the_answers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_assignment(name, tmp_path, answers=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for cell in notebook(name)["cells"]:
            code = "".join(line for line in cell["source"] if not line.startswith("%"))
            if cell["cell_type"] == "code":
                exec(code, names)
    sys.modules.pop(name, None)
    n = len(blanks_of(name))
    assert f"{n} of {n} blanks are right" in said.getvalue()
    if name == "training":
        assert 1e-4 <= names["best"] <= 1e-2
        assert (names["training"].predict(names["W"], names["b"], names["X_test"]) == names["y_test"]).mean() > 0.93


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_a_notebook_is_one_as_jupyter_reads_it(name: str) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbformat.validate(nbformat.from_dict(notebook(name)))
