"""`linprobe assignment`: what it writes, and what it says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linprobe.assignments import ASSIGNMENTS
from linprobe.cli.assignment import NAMES


def test_the_names_are_those_of_the_room() -> None:
    assert list(ASSIGNMENTS) == list(NAMES)


def test_an_exercise_is_written_and_checked(linprobe: Any) -> None:
    made = linprobe("assignment", "make", "softmax", "--out", "exercises")
    assert made.out.splitlines() == ["exercises/softmax.py", "exercises/softmax.ipynb"]
    assert made.code == 0
    checked = linprobe("assignment", "check", "exercises")
    assert checked.code == 1
    assert checked.out.splitlines()[-1] == "0 of 4 blanks are right"
    again = linprobe("assignment", "make", "softmax", "--out", "exercises")
    assert (again.code, again.out) == (2, "")
    assert (
        again.err
        == "error: exercises/softmax.py: is there already, and may hold somebody's work; give another folder.\n"
    )


def test_the_lecturers_copy_is_right(linprobe: Any) -> None:
    assert linprobe("assignment", "make", "all", "--answers", "--out", "full").code == 0
    assert sorted(path.name for path in Path("full").iterdir()) == sorted(
        f"{name}.{kind}" for name in NAMES for kind in ("py", "ipynb")
    )
    for path in Path("full").glob("[st]*.py"):
        path.unlink()
    answer = linprobe("assignment", "check", "full", "--json")
    assert (answer.code, answer.record["ok"], answer.record["n_right"]) == (0, True, 9)


def test_a_folder_without_exercises_is_one_line(linprobe: Any) -> None:
    answer = linprobe("assignment", "check")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: .: holds no assignment; expected one of hinge.py")
