"""Progress on stderr, where that is a terminal: what is done, how many of how many, and for how long."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from linprobe.cli.terminal import Lossy, is_terminal
from linprobe.optimizers.registry import OPTIMIZERS
from linprobe.plain import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from linprobe.classifiers.rate_selection import CellProgress
    from linprobe.data.base import ProgressCallback
    from linprobe.optimizers.base import Epoch, Glimpse, Watch
    from linprobe.optimizers.path import Progress as PathProgress

__all__ = ["TrainingTeller", "busy", "cell_teller", "path_teller", "progress"]

BAR_WIDTH = 24
"""Letters of a bar: with the words of a training beside it a terminal of 100 letters is not full."""


@contextmanager
def progress(quiet: bool = False, first: str = "reading the source") -> Iterator[ProgressCallback]:
    """A callback (what, done, total) that draws a bar on stderr; it does nothing where that is no terminal.

    A total of 0 means that nobody knows it: then the bar only moves, and the time goes on. So does it between two
    activities. The bar goes away when it is done: what stays on the screen is the result.

    Args:
        quiet: draw nothing.
        first: the activity before the first call.
    """
    if quiet or not is_terminal(sys.stderr):
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=BAR_WIDTH),
        TextColumn("{task.fields[count]}", markup=False, table_column=Column(no_wrap=True)),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=cast("IO[str]", Lossy(sys.stderr))), transient=True) as bars:
        display = _Display(bars)
        display(first, 0, 0)
        yield display


class _Display:
    """One line for the activity that runs; another total, or a smaller number done, is another activity."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.task: TaskID | None = None
        self.done, self.total = 0.0, -1

    def __call__(self, what: str, done: float, total: int) -> None:
        """Show `what`, with `done` of `total`; what comes after the last one is not known here."""
        if total and done >= total and self.total == total:
            what, done, total = f"{what.partition(':')[0]}: done; preparing what follows", 0, 0
        if self.task is None or total != self.total or done < self.done:
            if self.task is not None:
                self.bars.remove_task(self.task)
            self.task = self.bars.add_task(printable(what), total=total or None, count="")
        self.done, self.total = done, total
        count = f"{int(done):,} of {total:,}" if total else ""
        self.bars.update(self.task, description=printable(what), completed=done, count=count)


@contextmanager
def busy(what: str, quiet: bool = False) -> Iterator[None]:
    """A line on stderr while something runs, where that is a terminal. No thread draws it, so that forks are safe."""
    shown = not quiet and is_terminal(sys.stderr)
    if shown:
        Lossy(sys.stderr).write(f"{what} ...")
    try:
        yield
    finally:
        if shown:
            Lossy(sys.stderr).write("\r\x1b[2K")


class TrainingTeller:
    """Shows each row of a training's trace, and what a long epoch has done so far.

    Args:
        report: of `progress`.
        optimizer: its name.
        planned: epochs or iterations; 0 where the search ends by itself.
        tol: what an exact search has to prove; None for no such goal.
    """

    def __init__(self, report: ProgressCallback, optimizer: str, planned: int, tol: float | None) -> None:
        self.report, self.planned, self.tol = report, planned, tol
        self.unit = OPTIMIZERS[optimizer].unit
        self.row = ""

    @property
    def watch(self) -> Watch | None:
        """`glimpse`, where anybody sees it."""
        return self.glimpse if is_terminal(sys.stderr) else None

    def epoch(self, epoch: Epoch) -> None:
        """A row of the trace."""
        held_out = "" if math.isnan(epoch.validation_accuracy) else f", validation {epoch.validation_accuracy:.3f}"
        self.row = f"objective {epoch.objective:.4g}{self._gap(epoch)}, accuracy {epoch.train_accuracy:.3f}{held_out}"
        self.report(f"{self.unit} {epoch.epoch}: {self.row}", epoch.epoch, self.planned)

    def glimpse(self, glimpse: Glimpse) -> None:
        """A moment between two rows."""
        now = f"{self.unit} {int(glimpse.epoch) + 1}: loss {glimpse.data_loss:.4g} so far"
        self.report(now + (f"; before, {self.row}" if self.row else ""), int(glimpse.epoch), self.planned)

    def _gap(self, epoch: Epoch) -> str:
        """The estimate of the relative gap, and the goal."""
        return "" if self.tol is None else f"{close_to_least(epoch)} (goal {100 * self.tol:g}%)"


def path_teller(report: ProgressCallback) -> Callable[[str, PathProgress], None]:
    """What shows how far a sweep is: members are counted, and one of those that run is named."""

    def tell(part: str, progress: PathProgress) -> None:
        now = f"reg {progress.reg:.3g}: objective {progress.epoch.objective:.4g}{close_to_least(progress.epoch)}"
        report(f"{part}: reg values solved; {now}", progress.n_done, progress.n_members)

    return tell


def cell_teller(report: ProgressCallback) -> Callable[[CellProgress], None]:
    """What shows how far a sweep over learning rates is: the runs are counted, and the one that runs is named."""

    def tell(progress: CellProgress) -> None:
        cell, epoch = progress.cell, progress.epoch
        now = f"rate {cell.learning_rate:.3g}, reg {cell.reg:.3g}: epoch {epoch.epoch}, objective {epoch.objective:.4g}"
        report(f"runs of SGD done; {now}", progress.number - 1, progress.n_cells)

    return tell


def close_to_least(epoch: Epoch) -> str:
    """The estimated gap, in percent of the objective, to follow that; nothing where there is no estimate."""
    gap = estimated_gap(epoch)
    if gap is None:
        return ""
    return ", gap over 100%" if gap > 1 else f", gap about {100 * gap:.2g}%"


def estimated_gap(epoch: Epoch) -> float | None:
    """The share by which the objective may be above the least possible, as the search estimates it; None if it does
    not, or where the estimate is no number."""
    numbers = epoch.state.numbers
    relative = numbers.get("relative_gap", math.nan)
    if math.isnan(relative) and epoch.objective > 0:
        relative = numbers.get("predicted_gap", numbers.get("left", math.nan)) / epoch.objective
    return relative if math.isfinite(relative) and relative >= 0 else None
