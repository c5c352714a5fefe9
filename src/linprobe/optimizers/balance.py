"""The bias at its own optimum: the last step before a certificate, which an unpenalised bias would otherwise spoil."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from linprobe.engines.base import Precision
from linprobe.objective import DataGradient, Objective
from linprobe.optimizers.requests import GradientRequest, Search
from linprobe.shapes import Floats

__all__ = ["SINGLE_TOL", "balance", "balanced_bias", "bias_curvature", "bias_inverse", "bias_step", "nearly_balance"]

SAMPLE_ROWS = 4096
"""Images from which the (K, K) curvature in the bias is estimated. Chosen by argument: an error of a few hundredths in
it makes a Newton step a few hundredths too long, and two such steps do the work of an exact one. Passes in
benchmarks/constants.py: no change."""

NEWTON_STEPS = 12
"""Newton steps, at most, each over the scores alone. Chosen by argument: each at least halves the column sums, or is
the last; a converging one squares their error. Passes in benchmarks/constants.py: no change."""

BALANCED, ROUNDING = 1e-4, 1e-13
"""Sum of the sizes of the column sums that counts as 0: as a share of tol, and at least. Chosen by argument: the share
of another dual point that is mixed in is of the same order, so that the bound loses a ten-thousandth of tol; and the
rounding of the sums in float64. Passes in benchmarks/constants.py: no change."""

SINGLE_TOL = 1e-5
"""Smallest tol for which float32 scores give the column sums precisely enough: `BALANCED` times it is their rounding
over some thousand images, 1e-9. Chosen by argument."""

SINGULAR = 1e-9
"""Eigenvalue of the curvature in the bias, as a share of the largest, that counts as 0. Chosen by argument: along
(1, ..., 1) the rounding of float64 leaves about 1e-15."""

HELD_SCORES = 2**25
"""Scores, N times K, that are kept between the steps: 256 MB of float64. More are computed again in each step."""

BLOCK_SCORES = 2**16
"""Scores of a block of rows: 512 kB of float64, so that the intermediate results of a loss stay in the cache."""


def nearly_balance(objective: Objective, W: Floats, b: Floats, columns: Floats) -> Search[tuple[Floats, DataGradient]]:
    """(b after one Newton step, with W unchanged; the data gradient there): the images are read once.

    Args:
        columns: (K,) the data gradient in the bias at (W, b), in float32 or better.
    """
    b = b - bias_step(bias_curvature(objective, W, b), columns)
    # with |W| the dual point is scaled, and the sums of a pass do not give its value then
    gradient = yield GradientRequest(W, b, Precision.DOUBLE if objective.l1_weight > 0.0 else Precision.PROOF)
    return b, gradient


def balance(objective: Objective, W: Floats, b: Floats, tol: float) -> Search[tuple[Floats, DataGradient]]:
    """(b at which the columns of the dual point, sum_i a_i dL_i/ds, vanish; the data gradient there), W unchanged.

    For a smooth loss. Without this, a certificate mixes in another dual point to make the columns sum to 0
    (`Loss.balanced`), in proportion to the sums, and the bound loses in proportion. A Newton step in b only shifts the
    scores: the images are read twice, once for the scores and once for the gradient, in float64.
    """
    curvature = cache(lambda: bias_curvature(objective, W, b))  # at the given bias, and only if a step is taken
    balanced = balanced_bias(
        _columns(objective, W, b, precise=tol < SINGLE_TOL),
        lambda _, columns: bias_step(curvature(), columns),
        b,
        max(BALANCED * tol, ROUNDING),
        NEWTON_STEPS,
    )
    gradient = yield GradientRequest(W, balanced, Precision.DOUBLE)
    return balanced, gradient


def balanced_bias(
    columns_at: Callable[[Floats], Floats],
    step_at: Callable[[Floats, Floats], Floats],
    b: Floats,
    settled: float,
    steps: int,
    may_grow: bool = False,
) -> Floats:
    """The bias (K,) with the smallest column sums that Newton's method meets; their size is the sum of the |c_k|.

    Args:
        columns_at: the column sums (K,) at a bias.
        step_at: the Newton step (K,) at a bias with these column sums, which is subtracted.
        b: (K,) where the method begins.
        settled: the size of the column sums that counts as 0.
        steps: Newton steps, at most.
        may_grow: continue after a step that makes the sums larger. If False, the last step is the first one that does
            not halve them, and it is not taken.
    """
    best, smallest = b, np.inf
    for step in range(steps + 1):
        columns = columns_at(b)
        size = np.abs(columns).sum()
        if size < (1.0 if may_grow else 0.5) * smallest:
            best, smallest = b, size
        elif not may_grow:
            break
        if size <= settled or step == steps:
            break
        b = b - step_at(b, columns)
    return best


def _columns(objective: Objective, W: Floats, b: Floats, precise: bool) -> Callable[[Floats], Floats]:
    """The gradient (K,) of the data loss in the bias as a function of the bias; W is fixed, and `b` a first guess."""
    engine, loss, y, shares = objective.engine, objective.loss, objective.examples.y, objective.shares()
    n, K = len(y), len(b)
    size = max(1, BLOCK_SCORES // K)
    held = engine.scores(W, b, precise=precise) if n * K <= HELD_SCORES else None

    def at(bias: Floats) -> Floats:
        columns = np.zeros(K)
        for start in range(0, n, size):
            rows = np.arange(start, min(start + size, n))
            S = engine.scores(W, b, rows, precise=precise) if held is None else held[rows[0] : rows[-1] + 1]
            columns += shares[rows] @ loss.value_and_gradient(S + (bias - b), y[rows])[1]
        return columns

    return at


def bias_curvature(objective: Objective, W: Floats, b: Floats, n_rows: int = SAMPLE_ROWS) -> Floats:
    """The Hessian (K, K) of the data loss in b, over a sample of images, from float32 scores."""
    positions = objective.statistics.sample(n_rows)
    S = objective.engine.scores(W, b, positions)
    y = objective.examples.y[positions]
    shares = objective.shares()[positions]
    shares = shares / shares.sum()
    H = objective.loss.shift_curvature(S, y, shares)
    return 0.5 * (H + H.T)


def bias_inverse(curvature: Floats) -> Floats:
    """The pseudo-inverse (K, K) of the curvature in the bias, which is singular along (1, ..., 1): adding one number to
    every score changes no loss."""
    inverse: Floats = np.linalg.pinv(curvature, rcond=SINGULAR, hermitian=True)
    return inverse


def bias_step(curvature: Floats, columns: Floats) -> Floats:
    """The Newton step (K,) in the bias, at which the gradient in the bias is `columns`; it is to be subtracted."""
    step: Floats = bias_inverse(curvature) @ columns
    return step
