"""The bias at its own optimum: the last step before a certificate, which an unpenalised bias would else spoil."""

from __future__ import annotations

import numpy as np

from linprobe.objective import DataGradient, Objective
from linprobe.optimizers.asking import Ask, Asking
from linprobe.shapes import Floats

__all__ = ["balance"]

SAMPLE_ROWS = 8192
"""Images from which the curvature in the bias is taken: it is K x K, and Newton's steps need not be exact."""

STEPS = 6
"""Newton steps at most; each takes a pass."""

SHARE = 0.05
"""Share of tol that an unbalanced bias may cost."""


def balance(objective: Objective, W: Floats, b: Floats, tol: float) -> Asking[tuple[Floats, DataGradient, int]]:
    """(b for which sum_i a_i dL_i/ds is nearly 0, W as it is; the data gradient there; passes), for a smooth loss.

    A dual point whose columns do not sum to 0 is mixed with another one (`Loss.balanced`), by a share t that is
    first order in the columns, and the bound suffers in proportion. Newton's method in b alone, from float64
    passes, brings t down to SHARE * tol.
    """
    inverse: Floats | None = None
    shares, _ = objective.class_means()
    shares = np.maximum(shares, 0.0) / np.maximum(shares, 0.0).sum()
    found = yield Ask(W, b, precise=True)
    for passes in range(1, STEPS + 1):
        if objective.loss.balanced(shares, found.db)[0] <= SHARE * tol:
            break
        if inverse is None:
            inverse = _inverse_curvature(objective, W, b)
        moved = b - inverse @ found.db
        following = yield Ask(W, moved, precise=True)
        if not np.abs(following.db).sum() < 0.5 * np.abs(found.db).sum():
            return b, found, passes + 1
        b, found = moved, following
    return b, found, passes


def _inverse_curvature(objective: Objective, W: Floats, b: Floats) -> Floats:
    """Pseudo-inverse of the Hessian (K, K) of the data loss in b, over a sample.

    Adding one number to every score changes no loss: the Hessian is singular along (1, ..., 1).
    """
    positions = objective.sample(SAMPLE_ROWS)
    S = objective.engine.scores(W, b, positions, precise=True)
    y = objective.examples.y[positions]
    shares = objective.shares()[positions]
    shares = shares / shares.sum()
    H = objective.loss.shift_curvature(S, y, shares)
    return np.linalg.pinv(0.5 * (H + H.T), rcond=1e-9, hermitian=True)
