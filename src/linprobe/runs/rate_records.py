"""What the files of a sweep over learning rates hold of its cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

from linprobe.classifiers.rate_selection import CellScores, RateChoice
from linprobe.errors import ParameterError
from linprobe.optimizers.base import Status
from linprobe.runs.json_numbers import Count, NotNegative, Positive, Share

__all__ = ["CellRow", "CellRunRecord", "RungRecord", "cell_rows"]


@dataclass(frozen=True)
class CellRow:
    """A run of SGD in the metrics of a sweep over learning rates.

    Attributes:
        learning_rate, reg, schedule, update: its parameters.
        epochs: done.
        status: completed, diverged, or stopped by successive halving.
        validation_accuracy, validation_loss: on the images held out; None where it diverged.
        objective: over the images trained on; None where it diverged.
        above_optimum: how far that is above the least possible objective of its reg, at most, in units of that; None
            where it diverged or no bound above 0 is proved.
        chosen: whether its parameters are those of the model.
    """

    learning_rate: Positive
    reg: NotNegative
    schedule: str
    update: str
    epochs: Count
    status: Status
    validation_accuracy: Share | None = None
    validation_loss: float | None = None
    objective: float | None = None
    above_optimum: NotNegative | None = None
    chosen: bool = False


@dataclass(frozen=True)
class RungRecord:
    """The scores of a cell at a rung, as `CellScores` has them; None where a number is not finite."""

    epochs: Count
    status: Status
    seconds: NotNegative
    accuracy: Share | None = None
    loss: float | None = None
    objective: float | None = None

    def __post_init__(self) -> None:
        if self.accuracy is None and self.status is not Status.DIVERGED:
            raise ParameterError(f"accuracy is null, and the run {self.status.short}; expected a share 0..1")

    @classmethod
    def of(cls, scores: CellScores) -> RungRecord:
        """The record of scores."""
        figures = (_finite(value) for value in (scores.accuracy, scores.loss, scores.objective))
        return cls(scores.epochs, scores.status, scores.seconds, *figures)

    @property
    def scores(self) -> CellScores:
        """The scores; NaN where a number was not finite."""
        accuracy, loss, objective = (
            math.nan if value is None else value for value in (self.accuracy, self.loss, self.objective)
        )
        return CellScores(self.epochs, accuracy, loss, objective, self.status, self.seconds)


@dataclass(frozen=True)
class CellRunRecord:
    """What cell-N.json of a sweep over learning rates holds: the scores at each rung that is done."""

    rungs: tuple[RungRecord, ...]


def cell_rows(choice: RateChoice) -> tuple[CellRow, ...]:
    """A row for each cell."""
    best, above = choice.best, choice.above_optimum
    return tuple(
        CellRow(
            **cell.parameters,
            epochs=scores.epochs,
            status=scores.status,
            validation_accuracy=_finite(scores.accuracy),
            validation_loss=_finite(scores.loss),
            objective=_finite(scores.objective),
            above_optimum=_finite(float(above[number])),
            chosen=number == best,
        )
        for number, (cell, scores) in enumerate(zip(choice.grid.cells, choice.scores, strict=True))
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
