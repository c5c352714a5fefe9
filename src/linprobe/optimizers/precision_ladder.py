"""The precision of the passes of a search: coarse while much remains to gain, single, and double at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass

from linprobe.engines.base import Precision

__all__ = ["PrecisionLadder"]

MOST_STALLED = {Precision.COARSE: 5.0, Precision.SINGLE: 25.0, Precision.DOUBLE: math.inf}
"""Iterations without progress that a precision is given before the next one is used. Chosen by argument: a search in
16 bits that rounding holds back needs float32 within a few passes, and has no other cost there; float64 takes twice as
long a pass, so that float32 is left only when ten pairs have been replaced twice without progress. Passes in
benchmarks/constants.py: no change."""

PROGRESS = 0.8
"""Factor by which the predicted gap must fall below the lowest so far to count as progress. Chosen by argument: steps
of L-BFGS that converge at all gain more than a fifth within `MOST_STALLED` iterations; rounding does not."""

COARSE_GAP = 1e-6
"""Predicted gap, as a share of the objective, from which on 16 bits of the slopes are not enough. Chosen by argument:
their rounding, 2^-15 of the greatest of a class, is then a visible share of the gradient. Passes in
benchmarks/constants.py: no change."""


@dataclass
class PrecisionLadder:
    """COARSE, then SINGLE, then DOUBLE: which precision the next pass has. It never goes back.

    A search climbs when its predicted gap stalls, when no step along its direction lowers the objective, and from
    COARSE also when the gap is within the rounding of 16 bits.

    Attributes:
        precision: of the next pass.
        lowest_gap: the lowest predicted gap that counted as progress.
        stalled: iterations since then.
    """

    precision: Precision = Precision.COARSE
    lowest_gap: float = math.inf
    stalled: float = 0.0

    @property
    def has_stalled(self) -> bool:
        """Whether this precision has had its iterations without progress."""
        return self.stalled > MOST_STALLED[self.precision]

    def climb(self, precision: Precision) -> None:
        """Use `precision` from now on, and give it all its iterations."""
        self.precision, self.stalled = precision, 0.0

    def observe(self, gap: float, objective: float | None) -> None:
        """Count the iteration that led to this predicted gap.

        Args:
            gap: the duality gap that a certificate would probably show, or the norm of the gradient.
            objective: where `gap` is of it; None where it is a norm.
        """
        if gap < PROGRESS * self.lowest_gap:
            self.lowest_gap, self.stalled = gap, 0.0
        else:
            self.stalled += 1.0
        if self.precision is Precision.COARSE and objective is not None and gap <= COARSE_GAP * objective:
            self.precision = Precision.SINGLE
