"""The normal equations of a least squares fit to the scores: exact, factored once, for any number of right sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

from linprobe.cores import by_threads
from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers.obstacles import SQUARES_TOO_LARGE
from linprobe.shapes import Floats, mirror_lower, slices

__all__ = ["ExactMoment", "NormalEquations", "exact_moment"]

MAX_ROWS = 16_384
"""Rows of the largest matrix that is factored: 2 GB of float64, and minutes."""

MIN_RIDGE = 1e-10
"""Smallest ridge, as a share of the trace: below it rounding could make the matrix indefinite. Chosen by argument."""

FLOAT32_RANGE = 1e15
"""Trace of rho M, and its inverse, within which the float32 inverse stays in the range of float32. Chosen by
argument."""

BLOCK_COLUMNS = 768
"""Columns of the inverse that a thread takes at a time; the bits depend on it."""

FLOAT32_RIDGE = 1e-6
"""Ridge, as a share of the trace of rho M, from which on the system is solved in float32: its condition number is then
small enough. Chosen by argument."""

CONSTANT_SPREAD = 4.0 * float(np.finfo(np.float32).eps)
"""Spread of the features, relative to their mean, below which a moment from float32 products is only rounding. Chosen
by argument: a few roundings of float32."""


@dataclass(frozen=True)
class ExactMoment:
    """sum_i a_i (x'_i - mean)(x'_i - mean)ᵀ over all images, a_i their shares of the weight.

    Attributes:
        mean: (D,), sum_i a_i x'_i.
        matrix: (D, D), or, where there are fewer images than features, the matrix (N, N) of the products
            sqrt(a_i a_j) (x'_i - mean)·(x'_j - mean), which has the same eigenvalues but for zeros.
        of_features: whether it is the first.
        weight: total weight of the images.
    """

    mean: Floats
    matrix: Floats
    of_features: bool
    weight: float

    @property
    def trace(self) -> float:
        """Total variance of the features."""
        return max(0.0, float(np.trace(self.matrix)))  # `without` may leave a rounding below 0

    def without(self, part: ExactMoment) -> ExactMoment:
        """That of the other images, when `part` is of some of them: folds share one reading of the images.

        w_a C_a = w C - w_b C_b - (w_a w_b / w) (m_a - m_b)(m_a - m_b)ᵀ, for the moments about the means m.
        """
        if not (self.of_features and part.of_features):
            raise ValueError("only moments of the features can be taken from one another")
        left = self.weight - part.weight
        mean = (self.weight * self.mean - part.weight * part.mean) / left
        apart = mean - part.mean
        matrix = (self.weight / left) * self.matrix - (part.weight / left) * part.matrix
        matrix -= (part.weight / self.weight) * apart[:, None] * apart
        return ExactMoment(mean, matrix, True, left)


def exact_moment(objective: Objective) -> ExactMoment:
    """The moment of all images, by one pass of D / 2 multiplications a number.

    Raises:
        IncompatibleError: there are more than 16,384 images and as many features; or features too large to square.
    """
    N, D = objective.n_images, objective.n_features
    if min(N, D) > MAX_ROWS:
        raise IncompatibleError(
            f"optimizer='exact' with a kinked loss or penalty factors a matrix of min(N, D) = {min(N, D)} rows, and "
            f"{MAX_ROWS} at most; use fewer features (image_size), or a smooth loss with penalty='l2', "
            "or optimizer='sgd'."
        )
    mean = objective.statistics.class_means.sums.sum(axis=0)
    if D <= N:
        # About 0, float32 products would lose a variance that is small compared with the squared mean.
        matrix = objective.engine.about(mean).second_moment() / objective.examples.total_weight
        return ExactMoment(mean, _cleaned(matrix, mean), True, objective.examples.total_weight)
    roots = np.sqrt(objective.shares())
    gram = np.zeros((N, N))
    size = max(1, 2**23 // D)
    blocks = slices(N, size)
    for i, block in enumerate(blocks):
        left = (objective.examples.mapped(block) - mean) * roots[block, None]
        for other in blocks[: i + 1]:
            right = left if other == block else (objective.examples.mapped(other) - mean) * roots[other, None]
            gram[block, other] = left @ right.T
            gram[other, block] = gram[block, other].T
    return ExactMoment(mean, _cleaned(gram, mean), False, objective.examples.total_weight)


def _cleaned(matrix: Floats, mean: Floats) -> Floats:
    """`matrix`, whose squares must not have overflowed; all zeros where it holds nothing but rounding.

    No ridge makes an infinite matrix positive definite. Features that are all constant leave the rounding of their
    mean: weights fitted to it grow without end, and the bias that must cancel them with it.
    """
    if not np.isfinite(matrix).all():
        raise IncompatibleError(SQUARES_TOO_LARGE)
    return matrix if np.trace(matrix) > CONSTANT_SPREAD**2 * float(mean @ mean) else np.zeros_like(matrix)


class NormalEquations:
    """Solves V (rho M + diag(ridge)) = R for V (K, D), with M the moment about the mean.

    In float64 by the factor. Where float32 still gives a solution that is right to a few hundredths, by an inverse in
    float32, which is applied in a third of the time: what is solved for are corrections, each from what the last left
    over, and they still vanish at the same place.

    By a Cholesky factor of the (D, D) matrix; or, with fewer images than features, by Woodbury's identity with one
    of the (N, N) matrix, the rows being read anew.

    Args:
        objective: whose images they are.
        moment: of them.
        rho: > 0.
        ridge: >= 0, one number, or with a moment of the features one for each of them; raised to `MIN_RIDGE` times the
            trace where it is less, and to the rounding of a squared mean (`ridge` holds what is used).
    """

    def __init__(self, objective: Objective, moment: ExactMoment, rho: float, ridge: Floats | float) -> None:
        self._objective, self._moment, self._rho = objective, moment, rho
        rounding = CONSTANT_SPREAD**2 * float(moment.mean @ moment.mean)
        least = rho * max(MIN_RIDGE * moment.trace, rounding)
        self.ridge: Floats = np.maximum(np.atleast_1d(ridge), least)
        self.ridge[self.ridge == 0.0] = 1.0
        n = len(moment.matrix)
        size = rho * moment.trace
        single = (
            moment.of_features
            and float(self.ridge.min()) >= FLOAT32_RIDGE * size
            and 1.0 / FLOAT32_RANGE < size < FLOAT32_RANGE
        )
        while True:
            # symmetric: as LAPACK wants it, without a transposition
            M: npt.NDArray[Any] = moment.matrix.astype(np.float32 if single else np.float64, order="C").T
            M *= rho
            M[np.diag_indices(n)] += self.ridge.astype(M.dtype)
            try:
                self._factor = scipy.linalg.cho_factor(M, lower=True, overwrite_a=True, check_finite=False)
                self._inverse = _inverse(self._factor[0]) if single else None  # in the place of the factor
                return
            except scipy.linalg.LinAlgError:  # the moment's own rounding, of a float32 product, was larger
                if not single:
                    self.ridge = self.ridge * 10.0
                single = False

    def solve(self, R: Floats) -> Floats:
        """V (K, D)."""
        moment = self._moment
        if moment.of_features:
            inverse = self._inverse
            if inverse is None:
                return np.ascontiguousarray(scipy.linalg.cho_solve(self._factor, R.T, check_finite=False).T)
            rows, blocks = R.astype(np.float32), slices(len(inverse), BLOCK_COLUMNS)
            parts = by_threads(lambda block: rows @ inverse[:, block], blocks, self._objective.engine.n_threads)
            return np.concatenate(list(parts), axis=1).astype(np.float64)
        engine, roots = self._objective.engine, np.sqrt(self._objective.shares())[:, None]
        across = roots * engine.scores(R, -R @ moment.mean, precise=True)
        inner = roots * scipy.linalg.cho_solve(self._factor, across, check_finite=False)
        back, sums = engine.gradient_of_scores(inner, precise=True)
        return (R - self._rho * (back - sums[:, None] * moment.mean)) / self.ridge


def _inverse(factor: Floats) -> npt.NDArray[np.float32]:
    """The symmetric inverse of the float32 matrix whose lower Cholesky factor this is; the factor is overwritten."""
    inverse, _ = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    mirror_lower(inverse)
    rows: npt.NDArray[np.float32] = inverse.T  # LAPACK's columns, read as rows
    return rows
