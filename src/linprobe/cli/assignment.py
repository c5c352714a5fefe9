"""`linprobe assignment`: files with blanks for students, and what is right and wrong about their lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from linprobe.cli.options import debug, json_output
from linprobe.cli.terminal import write

if TYPE_CHECKING:
    from linprobe.assignments import CheckedAssignment

NAMES = ("hinge", "softmax", "training", "neighbors")
"""As `linprobe.assignments.ASSIGNMENTS`, whose room is not imported for `--help`."""


@click.group(short_help="Exercises with blanks to fill, and their check.")
def assignment() -> None:
    """Exercises of a course: losses, gradients, SGD and nearest neighbours, with blanks to fill, and their check."""


@assignment.command(short_help="Write an exercise: a Python file with blanks, and a notebook.")
@click.argument("name", type=click.Choice([*NAMES, "all"]))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path(), show_default="this folder", metavar="FOLDER",
    help="Where NAME.py and NAME.ipynb are written; a file that is there already is not replaced.",
)  # fmt: skip
@click.option("--answers", is_flag=True, help="Leave the answers in: the lecturer's copy.")
@debug
def make(name: str, out: Path, answers: bool) -> None:
    """Write NAME.py, a Python file with blanks to fill, and NAME.ipynb, a notebook that leads through them.

    \b
    hinge      the multiclass SVM loss by loops and without, and its gradient
    softmax    probabilities, the cross-entropy loss, and its gradient
    training   stochastic gradient descent, and reg chosen by validation
    neighbors  nearest neighbours: distances without loops, the vote, k by folds
    all        all four
    """
    from linprobe.assignments import make_assignment

    for one in NAMES if name == "all" else (name,):
        for path in make_assignment(one, out, answers):
            write(str(path))


@assignment.command(short_help="Say which blanks are right, with a hint for each that is not.")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@json_output
@debug
@click.pass_context
def check(ctx: click.Context, /, folder: Path, as_json: bool) -> None:
    """Say which blanks of the exercises in FOLDER are right, with a hint for each that is not.

    Gradients are compared with the formula and with the numeric gradient, whose kinks are left out. The files are
    Python, and they are run: check files that you trust. Exit code 1 unless all blanks are right.
    """
    from linprobe.assignments import check_assignment
    from linprobe.cli.output import print_json

    found: CheckedAssignment = check_assignment(folder)
    if as_json:
        print_json(found.as_dict())
    else:
        write(str(found))
    ctx.exit(0 if found.ok else 1)
