"""What a pass over the images gives, how precise it is, and the plan of an epoch of passes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from linprobe.engines.dropout import Dropout
from linprobe.shapes import Doubles, Floats

__all__ = ["EpochPlan", "Precision", "SplitSums", "Sums"]


class Precision(IntEnum):
    """Precision of the products of a pass. Products with float64 images are float64 in all four.

    `COARSE`: the fastest that the engine has; if none is faster, that of `SINGLE`. Slopes are rounded to 16 bits, or
    rows and slopes by the share `Engine.coarse_rounding`. Weights from `Engine.coarse` are not rounded.
    `SINGLE`: float32 or better.
    `PROOF`: float64, or faster integer arithmetic whose error bound is returned in `Sums`: for certificates.
    `DOUBLE`: float64.
    """

    COARSE = 0
    SINGLE = 1
    PROOF = 2
    DOUBLE = 3


@dataclass(frozen=True)
class Sums:
    """What one pass over some images gives.

    Attributes:
        loss: sum of weight_i L_i.
        dW: (K, D) float64, sum of weight_i dL_i/dW, in the space of the mapped rows; None if it was not requested.
        db: (K,) float64, likewise.
        correct: images, of weight above 0, whose highest score (the first, on ties) is that of their label; each
            counts once, whatever its weight.
        weight: sum of weight_i.
        counted: images of weight above 0.
        score_error: bound on the error of each score, the rounding of its dtype not included.
        slope_error: bound on sum_i weight_i sum_k |error of dL_i/ds_k| of the slopes behind dW, likewise.
    """

    loss: float
    dW: Floats | None
    db: Floats | None
    correct: float
    weight: float
    counted: float
    score_error: float = 0.0
    slope_error: float = 0.0

    @property
    def accuracy(self) -> float:
        """Share of the images of weight above 0 that are classified correctly; NaN where there are none."""
        return self.correct / self.counted if self.counted else float("nan")


@dataclass(frozen=True)
class SplitSums:
    """What one step of the alternating direction method gives, all sums but `correct` weighted by weight_i.

    Attributes:
        loss, correct, weight: at the scores of (W, b), as in `Sums`.
        conjugate: sum of L*_i(g_i).
        miss: (K, D), sum of (z_i - g_i / rho - s_i) x'_iᵀ, with the new z and g: the residual of the
            next least squares fit of the scores s of (W, b).
        miss_columns: (K,), the same without x'.
        dual: (K, D), sum of g_i x'_iᵀ; None if it was not requested.
        dual_columns: (K,), sum of g_i; None likewise.
    """

    loss: float
    correct: float
    weight: float
    conjugate: float
    miss: Floats
    miss_columns: Floats
    dual: Floats | None
    dual_columns: Floats | None


@dataclass(frozen=True)
class EpochPlan:
    """The mini-batch steps of one epoch, or of a part of it; see `optimizers/updates.py` for the formulas.

    Attributes:
        order: (n,) positions of the images in the order of the visit; batches are consecutive slices of it.
        batch_size: images of a batch; the last may have fewer.
        rates: (n_batches,) learning rate of each step.
        update: plain, momentum, nesterov, adagrad, rmsprop or adam.
        momentum, rho, beta1, beta2, epsilon: of the updates that have them.
        step: updates done before this plan.
        averaged: iterates that are already in the average; -1 for no averaging.
        bias_rate: the learning rate of b, in units of that of W.
        l2, l1: weights of sum W² and of sum |W| in a step of the engine's own loop; the plain loop takes the penalty
            of its objective.
        dropout: the masks of the inputs; None for none.
    """

    order: npt.NDArray[np.int64]
    batch_size: int
    rates: Doubles
    update: str
    momentum: float
    rho: float
    beta1: float
    beta2: float
    epsilon: float
    step: int = 0
    averaged: int = -1
    bias_rate: float = 1.0
    l2: float = 0.0
    l1: float = 0.0
    dropout: Dropout | None = None
