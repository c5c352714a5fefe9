"""A student's folder, checked: each blank is tried in a process of its own, with a limit of time."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from linprobe.assignments.handout import ASSIGNMENTS, blanks_of
from linprobe.assignments.verdict import Verdict
from linprobe.errors import FormatError, SourceError

__all__ = ["CheckedAssignment", "check_assignment"]

SECONDS = 20.0
"""That a blank may take. Our answers take less than one; a loop without an end takes any time."""

MARKS = {"right": "right", "wrong": "WRONG", "empty": "empty", "error": "ERROR", "slow": "SLOW"}
"""What the table calls each outcome."""


@dataclass(frozen=True)
class CheckedAssignment:
    """The verdicts on a folder; `str()` of it is a table.

    Attributes:
        folder: what was checked.
        verdicts: one for each blank, in the order of the files.
    """

    folder: Path
    verdicts: tuple[Verdict, ...]

    @property
    def n_right(self) -> int:
        """Blanks that are right."""
        return sum(verdict.outcome == "right" for verdict in self.verdicts)

    @property
    def ok(self) -> bool:
        """Whether every blank is right."""
        return self.n_right == len(self.verdicts)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        verdicts = [asdict(verdict) for verdict in self.verdicts]
        return {"folder": str(self.folder), "ok": self.ok, "n_right": self.n_right, "verdicts": verdicts}

    def __str__(self) -> str:
        named = [f"{verdict.assignment}.{verdict.blank}" for verdict in self.verdicts]
        width = max(map(len, named), default=0)
        lines = [
            f"{name:<{width}}  {MARKS[verdict.outcome]}{': ' if verdict.message else ''}{verdict.message}"
            for name, verdict in zip(named, self.verdicts, strict=True)
        ]
        return "\n".join([*lines, f"{self.n_right} of {len(self.verdicts)} blanks are right"])


def check_assignment(folder: Path | str = ".") -> CheckedAssignment:
    """A verdict on each blank of the assignments in a folder.

    The files are Python, and they are run: check files that you trust, or where they can do no harm.

    Args:
        folder: as `make_assignment` filled it, with the lines of a student.
    Raises:
        SourceError: the folder holds no assignment.
        FormatError: a file cannot be imported: it has a syntax error, or lacks a function.
    """
    folder = Path(folder)
    names = [name for name in ASSIGNMENTS if (folder / f"{name}.py").is_file()]
    if not names:
        raise SourceError(
            f"{folder}: holds no assignment; expected one of {', '.join(f'{name}.py' for name in ASSIGNMENTS)}. "
            "`linprobe assignment make` writes them."
        )
    verdicts = [verdict for name in names for verdict in _verdicts(folder / f"{name}.py", name)]
    return CheckedAssignment(folder, tuple(verdicts))


def _verdicts(path: Path, name: str) -> list[Verdict]:
    """On all blanks of a file: after one that ends its process, or is ended, a new process resumes with the next."""
    blanks = blanks_of(name)
    found: list[Verdict] = []
    while len(found) < len(blanks):
        found += _trial(path, name, blanks[len(found) :])
    return found


def _trial(path: Path, name: str, blanks: list[str]) -> list[Verdict]:
    """The verdicts of one process: on all blanks, or on those up to one that ends it or takes too long."""
    command = [sys.executable, "-m", "linprobe.assignments.trial", str(path.resolve()), name, *blanks]
    found: list[Verdict] = []
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        lines: queue.Queue[bytes] = queue.Queue()
        reader = threading.Thread(target=_read, args=(child, lines), daemon=True)
        reader.start()
        try:
            for blank in blanks:
                line = lines.get(timeout=SECONDS)
                if not line:
                    ended = "the process that ran it ended; look for exit(), or an array that fills the memory"
                    found.append(Verdict(name, blank, "error", ended))
                    break
                record = json.loads(line)
                if "file" in record:
                    raise FormatError(f"{path}: {record['file']}")
                found.append(Verdict(name, **record))
        except queue.Empty:
            late = f"there is no result after {SECONDS:.0f} s; look for a loop that does not end"
            found.append(Verdict(name, blanks[len(found)], "slow", late))
        finally:
            child.kill()
    return found


def _read(child: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
    """Put each line that a process writes into the queue, and an empty one at its end."""
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put(b"")
