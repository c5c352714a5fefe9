"""A student's copy of an assignment: the answers cut out, and a notebook that leads through the blanks."""

from __future__ import annotations

import ast
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from linprobe.assignments.texts import CELLS
from linprobe.errors import ParameterError, SourceError
from linprobe.files import write_whole

__all__ = ["ASSIGNMENTS", "blanks_of", "make_assignment", "notebook", "python_file", "solved_text"]

ASSIGNMENTS = {
    "hinge": "the multiclass SVM loss by loops and without, and its gradient",
    "softmax": "probabilities, the cross-entropy loss, and its gradient",
    "training": "stochastic gradient descent, and reg chosen by validation",
    "neighbors": "nearest neighbours: distances without loops, the vote, k by folds",
}
"""Each assignment and what it is about, in the order of the lecture."""

_ANSWER = re.compile(r"(?P<indent> +)# answer\n(?P<lines>.*?)\1# end\n", re.DOTALL)


def make_assignment(name: str, out: Path, answers: bool = False) -> tuple[Path, Path]:
    """The paths of NAME.py, with blanks to fill, and NAME.ipynb, both written into the folder `out`.

    Args:
        name: one of `ASSIGNMENTS`.
        out: the folder; it is made where it is missing.
        answers: whether the lines that a student is to write stay: the lecturer's copy.
    Raises:
        ParameterError: there is no such assignment.
        SourceError: one of the files is there already, or the folder cannot be written.
    """
    if name not in ASSIGNMENTS:
        raise ParameterError(f"assignment = {name!r}; expected one of {', '.join(ASSIGNMENTS)}.")
    paths = (out / f"{name}.py", out / f"{name}.ipynb")
    for path in paths:
        if path.exists():
            raise SourceError(f"{path}: is there already, and may hold somebody's work; give another folder.")
    page = json.dumps(notebook(name), indent=1, ensure_ascii=False) + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (python_file(name, answers), page), strict=True):
            write_whole(path, text.encode())
    except OSError as error:
        raise SourceError(f"{out}: cannot be written ({error.strerror}); give another folder.") from error
    return paths


def solved_text(name: str) -> str:
    """The file of an assignment with its answers and their marks."""
    return (files("linprobe.assignments") / "solved" / f"{name}.py").read_text(encoding="utf-8")


def blanks_of(name: str) -> list[str]:
    """The functions of an assignment that have a blank, in order."""
    tree = ast.parse(solved_text(name))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def python_file(name: str, answers: bool = False) -> str:
    """The file of an assignment, its answers replaced with blanks or left in."""

    def blank(found: re.Match[str]) -> str:
        n_lines = found["lines"].count("\n")
        count = "1 line" if n_lines == 1 else f"{n_lines} lines"
        indent = found["indent"]
        return f"{indent}# Your lines, in place of the next one. Ours are {count}.\n{indent}raise NotImplementedError\n"

    if answers:
        return _ANSWER.sub(lambda found: found["lines"], solved_text(name))
    return _ANSWER.sub(blank, solved_text(name))


def notebook(name: str) -> dict[str, Any]:
    """The notebook of an assignment in format 4.5."""
    cells = []
    for number, (kind, text) in enumerate(CELLS[name]):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"{name}-{number}", "metadata": {}}
        cell["source"] = text.strip().splitlines(keepends=True)
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
