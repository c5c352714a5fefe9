"""The precision of the passes of a search: coarse while the gap is large, then single, and double at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from linprobe.engines.base import Precision
from linprobe.objective import Objective

__all__ = ["PrecisionLadder", "rounding_gap"]

MAX_STALLED = {Precision.COARSE: 5.0, Precision.SINGLE: 25.0, Precision.DOUBLE: math.inf}
"""Iterations without progress after which the next precision is used. Chosen by argument: if 16 bits are too coarse,
float32 is needed soon, and costs little more. A float64 pass takes twice as long, so float32 is kept until all ten
pairs have been replaced twice. Passes in benchmarks/constants.py: no change."""

PROGRESS = 0.8
"""Factor of the lowest predicted gap so far that counts as progress. Chosen by argument: steps of L-BFGS that converge
gain more than a fifth within `MAX_STALLED` iterations; rounding does not."""

COARSE_GAP = 1e-6
"""Predicted gap, as a share of the objective, below which 16 bits of the slopes are not enough. Chosen by argument:
their rounding, 2^-15 of the largest of a class, is then a visible share of the gradient. Passes in
benchmarks/constants.py: no change."""

ROUNDED_GAP = 4.0
"""Predicted gap, as a multiple of `rounding_gap`, below which coarse passes that round the rows are no longer used.
Measured on 50,000 x 768 float16, 100 classes, reg 1e-3: with 4, 16 and 64 a search takes 144, 143 and 142 passes, 111,
92 and 76 of them coarse."""


@dataclass
class PrecisionLadder:
    """COARSE, then SINGLE, then DOUBLE: which precision the next pass has. It never goes back.

    A search climbs when its predicted gap stalls, when no step along its direction lowers the objective, and from
    COARSE also when the gap is within the rounding of 16 bits.

    Attributes:
        precision: of the next pass.
        lowest_gap: the lowest predicted gap that counted as progress.
        stalled: iterations since then.
        rounding: `rounding_gap` of the objective.
    """

    precision: Precision = Precision.COARSE
    lowest_gap: float = math.inf
    stalled: float = 0.0
    rounding: float = 0.0

    @property
    def has_stalled(self) -> bool:
        """Whether this precision has used up its iterations without progress."""
        known = self.precision is Precision.COARSE and self.rounding > 0.0  # then the gap alone decides
        return self.stalled > MAX_STALLED[Precision.SINGLE if known else self.precision]

    def climb(self, precision: Precision) -> None:
        """Use `precision` from now on, and restart the count of iterations without progress."""
        self.precision, self.stalled = precision, 0.0

    def observe(self, gap: float, objective: float | None) -> None:
        """Count the iteration that led to this predicted gap.

        Args:
            gap: the predicted duality gap, or the norm of the gradient.
            objective: at the same point; None if `gap` is a norm.
        """
        if gap < PROGRESS * self.lowest_gap:
            self.lowest_gap, self.stalled = gap, 0.0
        else:
            self.stalled += 1.0
        fine = objective is not None and gap <= COARSE_GAP * objective
        if self.precision is Precision.COARSE and (fine or gap <= ROUNDED_GAP * self.rounding):
            self.precision = Precision.SINGLE


def rounding_gap(objective: Objective) -> float:
    """Estimate of how much the rounding of rows in coarse passes adds to a predicted gap; 0 if rows are not rounded.

    Without a penalty the predicted gap is the norm of the gradient.
    """
    moved = objective.engine.coarse_noise
    if not objective.penalised or moved == 0.0:
        return moved
    if objective.l1_weight == 0.0:
        return moved**2 / (4.0 * objective.l2_weight)
    # the penalty scales a dual point by the largest of K D numbers: about four times their mean size
    largest = 4.0 * moved / math.sqrt(objective.n_classes * objective.n_features)
    return largest / objective.l1_weight * objective.gradient_at_zero(np.zeros(objective.n_classes)).loss
