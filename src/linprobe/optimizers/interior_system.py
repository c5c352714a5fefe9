"""The linear system of a step of the interior point method: formed where it is small, else solved by its products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.linalg

from linprobe.shapes import Floats, Labels

__all__ = ["CAREFUL", "EXACT", "LARGEST", "ROUGH", "WHOLE", "NewtonSystem", "Solve"]

WHOLE, LARGEST = 1000, 2000
"""Unknowns up to which a system is factored whole, in any case, and up to which the part that matters of a larger one
is: 0.02 s and 0.1 s a factor (an AVX-512 core at 30 GFLOP/s)."""

CAREFUL = 4500
"""Unknowns, at most, of a matrix that is factored where a search needs it: 0.6 s and 160 MB."""

LIVE = {True: 1e-4, False: 1.0}
"""Curvature of the data loss in a weight, as a share of that of the barrier of |W|, from which on the weight is part of
the factored matrix: of a system that is to be solved exactly, and of another. Below it the weight comes to rest at
0."""

PINNED = 1e-15
"""Ridge of the factored matrix, in units of its diagonal: it allows for the rounding of the factorization."""

EXACT, ROUGH, ITERATIONS = 1e-11, 1e-4, 60
"""What may be left of the right side, relative, in the units of the unknowns, where the whole matrix is factored and
elsewhere; iterations of conjugate gradients, at most: two or three with the whole matrix. Steps that are off by 1e-4
take no more steps (benchmarks/gauntlet.py)."""

FURTHER = 5
"""Times as many iterations where less than ROUGH is to be left."""

NUMBERS = 2**22
"""Numbers of weighted rows that are formed at once: 32 MB."""


class Solve(Protocol):
    """What solves the system for a right side (K, D + 1), from a solution of one near it if there is one."""

    def __call__(self, right: Floats, near: Floats | None = None) -> Floats: ...


@dataclass
class NewtonSystem:
    """H = sum_i x_i x_iᵀ ⊗ C_i + diag(added), plus what pins directions that change nothing.

    The curvature C_i (K, K) of an image is, of margins, sum_j m_ij (e_j - e_y)(e_j - e_y)ᵀ, and of softmax
    diag(d_i) - f_i f_iᵀ.

    Attributes:
        Z: (n, D + 1) rows, the last column all ones.
        y: (n,) labels.
        by_class: the rows of each class.
        weights: (n, K) m_ij, 0 at the label, or d_i; the share of the image included.
        factors: None for margins, or (n, K) f_i, with the root of the share.
        added: (K, D + 1), >= 0.
        free: the features of which adding one number to the weights of all classes changes nothing; D is the bias.
        exact: whether all of the matrix that is not at rest is factored.
        left: what may be left of a right side, relative.
        coarse: whether the classes may be factored by themselves, where many weights matter.
        struggled: whether conjugate gradients ran out of iterations, for want of such a matrix.
        within: (K, D + 1) the unknowns; the others stay 0. None for all.
    """

    Z: Floats
    y: Labels
    by_class: list[npt.NDArray[np.int64]]
    weights: Floats
    factors: Floats | None
    added: Floats
    free: npt.NDArray[np.int64]
    exact: bool = True
    left: float = EXACT
    coarse: bool = True
    struggled: bool = False
    within: npt.NDArray[np.bool_] | None = None

    def apply(self, x: Floats) -> Floats:
        """H x, (K, D + 1)."""
        S = self.Z @ x.T
        rows = np.arange(len(S))
        if self.factors is None:
            T = self.weights * (S - S[rows, self.y][:, None])
            T[rows, self.y] = -T.sum(axis=1)
        else:
            T = self.weights * S - self.factors * (self.factors * S).sum(axis=1)[:, None]
        out: Floats = T.T @ self.Z + self.added * x
        out[:, self.free] += self._pins * x[:, self.free].sum(axis=0)
        return out if self.within is None else np.where(self.within, out, 0.0)

    @cached_property
    def _of_class(self) -> Floats:
        """(n, K), the diagonal of each C_i."""
        if self.factors is not None:
            return self.weights - np.square(self.factors)
        out = self.weights.copy()
        out[np.arange(len(out)), self.y] = self.weights.sum(axis=1)
        return out

    @cached_property
    def _diagonal(self) -> Floats:
        """(K, D + 1), of the curvature of the data loss."""
        found: Floats = np.ascontiguousarray(self._of_class.T) @ np.square(self.Z)
        return found

    @cached_property
    def _pins(self) -> Floats:
        """What is added to all entries of the block of each free feature."""
        trace = (self._diagonal + self.added)[:, self.free].sum(axis=0)
        pins: Floats = np.maximum(trace / len(self.added), 1e-300) / len(self.added)
        return pins

    def solver(self) -> Solve:
        """A function that solves by conjugate gradients, preconditioned by a factor of the part that matters.

        Raises:
            LinAlgError: rounding leaves no positive definite matrix.
        """
        shape = self.added.shape
        data = self._diagonal.copy()
        data[:, self.free] += self._pins
        whole = data + self.added
        whole[whole <= 0.0] = 1.0
        share = np.where(self.added > 0.0, data / np.where(self.added > 0.0, self.added, 1.0), np.inf).ravel()
        if self.within is not None:
            share = np.where(self.within.ravel(), share, 0.0)
        live = np.flatnonzero(share > LIVE[self.exact])
        parts = [live]
        if not self.exact and len(live) > (LARGEST if self.coarse else CAREFUL):
            if self.coarse:
                parts = np.split(live, np.searchsorted(live, np.arange(1, shape[0]) * shape[1]))
            else:
                parts = [np.sort(np.argsort(-share, kind="stable")[:LARGEST])]
        factors = [(part, self._factor(part, whole.ravel()[part])) for part in parts if len(part)]
        inverse = 1.0 / whole.ravel()
        units = np.sqrt(inverse)

        def precondition(r: Floats) -> Floats:
            out = inverse * r
            for part, factor in factors:
                out[part] = scipy.linalg.cho_solve(factor, r[part], check_finite=False)
            return out

        def solve(right: Floats, near: Floats | None = None) -> Floats:
            r = (right if self.within is None else np.where(self.within, right, 0.0)).ravel().copy()
            x, most = np.zeros_like(r), self.left * float(np.abs(units * r).max(initial=0.0))
            if near is not None and not self.exact:
                x, r = near.ravel().copy(), r - self.apply(near).ravel()
            step, before = np.zeros_like(r), 0.0
            for _ in range(ITERATIONS if self.left >= ROUGH else FURTHER * ITERATIONS):
                if not float(np.abs(units * r).max(initial=0.0)) > most:
                    break
                z = precondition(r)
                rz = float(r @ z)
                step = z + (rz / before) * step if before > 0.0 else z
                moved = self.apply(step.reshape(shape)).ravel()
                curvature = float(step @ moved)
                if not curvature > 0.0:
                    break
                x, r, before = x + (rz / curvature) * step, r - (rz / curvature) * moved, rz
            else:
                self.struggled = len(parts) > 1
            return x.reshape(shape)

        return solve

    def _factor(self, live: npt.NDArray[np.int64], diagonal: Floats) -> tuple[Floats, bool]:
        """The Cholesky factor of the rows and columns `live` of H."""
        ridge = PINNED
        while True:
            matrix = self.matrix(live)
            matrix[np.diag_indices(len(live))] += ridge * diagonal
            try:
                # the lower triangle in C's order is the upper one in LAPACK's
                found: tuple[Floats, bool] = scipy.linalg.cho_factor(
                    matrix.T, lower=False, overwrite_a=True, check_finite=False
                )
                return found
            except scipy.linalg.LinAlgError:
                ridge *= 100.0
                if ridge > 1.0:
                    raise

    def matrix(self, live: npt.NDArray[np.int64]) -> Floats:
        """(L, L), of which the lower triangle is filled: the rows and columns `live`, in ascending order, of H."""
        K, width = self.added.shape
        of, feature = np.divmod(live, width)
        ends = np.searchsorted(of, np.arange(K + 1))
        H = np.zeros((len(live), len(live)))
        for k in range(K):
            own = slice(ends[k], ends[k + 1])
            Z = self.Z[:, feature[own]]
            H[own, own] += (Z * self._of_class[:, k][:, None]).T @ Z
        if self.factors is None:
            self._add_pairs(H, of, feature, ends)
        else:
            self._add_spread(H, of, feature, ends)
        H[np.diag_indices(len(live))] += self.added.ravel()[live]
        for f, pin in zip(self.free, self._pins, strict=True):
            at = np.flatnonzero(feature == f)
            H[np.ix_(at, at)] += pin
        return H

    def _add_pairs(
        self, H: Floats, of: npt.NDArray[np.int64], feature: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> None:
        """- m_ij x_i x_iᵀ in the blocks (j, y_i) and (y_i, j) below the diagonal."""
        for k, rows in enumerate(self.by_class):
            own = slice(ends[k], ends[k + 1])
            if own.start == own.stop:
                continue
            for start in range(0, len(rows), size := max(1, NUMBERS // max(1, len(of)))):
                part = rows[start : start + size]
                Z = self.Z[part]
                Y = self.weights[part][:, of] * Z[:, feature]
                Z = Z[:, feature[own]]
                H[own.stop :, own] -= Y[:, own.stop :].T @ Z
                H[own, : own.start] -= Z.T @ Y[:, : own.start]

    def _add_spread(
        self, H: Floats, of: npt.NDArray[np.int64], feature: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> None:
        """- f_ij f_ik x_i x_iᵀ in the blocks (j, k) below the diagonal."""
        assert self.factors is not None
        for start in range(0, len(self.Z), size := max(1, NUMBERS // max(1, len(of)))):
            part = slice(start, start + size)
            Y = self.factors[part][:, of] * self.Z[part][:, feature]
            for k in range(len(self.by_class)):
                own = slice(ends[k], ends[k + 1])
                H[own.stop :, own] -= Y[:, own.stop :].T @ Y[:, own]
