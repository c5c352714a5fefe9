"""Assignments of a course: files with blanks to fill, and what is right and wrong about a student's lines.

    make_assignment("hinge", folder)      hinge.py with blanks, and hinge.ipynb
    check_assignment(folder)              a verdict on each blank, with a hint

`solved/` holds the files with their answers, of which the others are made.
"""

from __future__ import annotations

from linprobe.assignments.checking import CheckedAssignment, check_assignment
from linprobe.assignments.handout import ASSIGNMENTS, make_assignment
from linprobe.assignments.verdict import Verdict

__all__ = ["ASSIGNMENTS", "CheckedAssignment", "Verdict", "check_assignment", "make_assignment"]
