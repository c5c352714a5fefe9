"""The linear system of a step of the interior point method: factored if small, else solved by conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.linalg

from linprobe.shapes import Floats, Labels

__all__ = [
    "EXACT_RESIDUAL",
    "MAX_EXACT",
    "MAX_PART",
    "MAX_WHOLE",
    "ROUGH_RESIDUAL",
    "NewtonSystem",
    "Solve",
    "SystemOptions",
]

MAX_WHOLE, MAX_PART = 1000, 2000
"""Unknowns up to which the whole system is factored (0.02 s per factor); and size of the part of a larger system that
is factored (0.1 s; an AVX-512 core at 30 GFLOP/s)."""

MAX_EXACT = 4500
"""Unknowns up to which all that matters is factored if a search does not converge otherwise: 0.6 s and 160 MB."""

MIN_CURVATURE = {True: 1e-4, False: 1.0}
"""Curvature of the data loss in a weight, as a share of that of the barrier of |W|, from which the weight is part of
the factored matrix; by whether the system is solved exactly. A weight below it converges to 0. Chosen by argument."""

FACTOR_RIDGE = 1e-15
"""Ridge of the factored matrix, in units of its diagonal, against the rounding of the factorisation. Chosen by
argument."""

EXACT_RESIDUAL, ROUGH_RESIDUAL, MAX_ITERATIONS = 1e-11, 1e-4, 60
"""Residual, relative to the right-hand side and in the units of the unknowns, at which conjugate gradients end:
EXACT_RESIDUAL if the whole matrix is factored, else ROUGH_RESIDUAL; and iterations, at most. With the whole matrix two
or three iterations are enough. A residual of 1e-4 does not increase the number of steps (benchmarks/gauntlet.py)."""

MORE_ITERATIONS = 5
"""Factor of MAX_ITERATIONS for a residual below ROUGH_RESIDUAL. Chosen by argument."""

BLOCK_NUMBERS = 2**22
"""Numbers of weighted rows that are formed at once: 32 MB of float64."""


class Solve(Protocol):
    """Solves the system for a right side (K, D + 1); `near` is the solution of a similar one, if there is one."""

    def __call__(self, right: Floats, near: Floats | None = None) -> Floats: ...


@dataclass
class SystemOptions:
    """How the linear systems of a search are solved; the search changes it if it does not converge.

    Attributes:
        exact: whether the whole part of the matrix that matters is factored.
        residual: relative residual at which conjugate gradients end.
        by_class: whether each class may be factored separately if many weights matter.
    """

    exact: bool = True
    residual: float = EXACT_RESIDUAL
    by_class: bool = True


@dataclass
class NewtonSystem:
    """H = sum_i x_i x_iᵀ ⊗ C_i + diag(added), plus a ridge along directions that change no loss.

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
        options: how it is solved.
        within: (K, D + 1) the unknowns; the others stay 0. None for all.
        struggled: whether conjugate gradients ran out of iterations with separately factored classes.
    """

    Z: Floats
    y: Labels
    by_class: list[npt.NDArray[np.int64]]
    weights: Floats
    factors: Floats | None
    added: Floats
    free: npt.NDArray[np.int64]
    options: SystemOptions = field(default_factory=SystemOptions)
    within: npt.NDArray[np.bool_] | None = None
    struggled: bool = False

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
        """The ridge along each free direction: it is added to all entries of the block of that feature."""
        trace = (self._diagonal + self.added)[:, self.free].sum(axis=0)
        pins: Floats = np.maximum(trace / len(self.added), 1e-300) / len(self.added)
        return pins

    def solver(self) -> Solve:
        """A function that solves by conjugate gradients, preconditioned by factors of the part that matters.

        Raises:
            LinAlgError: rounding leaves no positive definite matrix.
        """
        data = self._diagonal.copy()
        data[:, self.free] += self._pins
        whole = data + self.added
        whole[whole <= 0.0] = 1.0
        parts = self._factored_parts(data)
        factors = [(part, self._factor(part, whole.ravel()[part])) for part in parts if len(part)]
        inverse = 1.0 / whole.ravel()

        def precondition(r: Floats) -> Floats:
            out = inverse * r
            for part, factor in factors:
                out[part] = scipy.linalg.cho_solve(factor, r[part], check_finite=False)
            return out

        def solve(right: Floats, near: Floats | None = None) -> Floats:
            x, converged = self._conjugate_gradients(precondition, np.sqrt(inverse), right, near)
            if not converged:
                self.struggled = len(parts) > 1
            return x

        return solve

    def _factored_parts(self, data: Floats) -> list[npt.NDArray[np.int64]]:
        """Positions of the unknowns that are factored together: all that matter. If these are too many: class by class,
        or the MAX_PART that matter most.

        Args:
            data: (K, D + 1) the diagonal of the data loss.
        """
        options, (K, width) = self.options, self.added.shape
        share = np.where(self.added > 0.0, data / np.where(self.added > 0.0, self.added, 1.0), np.inf).ravel()
        if self.within is not None:
            share = np.where(self.within.ravel(), share, 0.0)
        live = np.flatnonzero(share > MIN_CURVATURE[options.exact])
        if options.exact or len(live) <= (MAX_PART if options.by_class else MAX_EXACT):
            return [live]
        if options.by_class:
            return np.split(live, np.searchsorted(live, np.arange(1, K) * width))
        return [np.sort(np.argsort(-share, kind="stable")[:MAX_PART])]

    def _conjugate_gradients(
        self, precondition: Callable[[Floats], Floats], units: Floats, right: Floats, near: Floats | None
    ) -> tuple[Floats, bool]:
        """(x (K, D + 1) with H x near `right`; whether they ended within their iterations).

        Args:
            units: (K (D + 1),) in which the residual is measured.
        """
        options, shape = self.options, self.added.shape
        r = (right if self.within is None else np.where(self.within, right, 0.0)).ravel().copy()
        x, most = np.zeros_like(r), options.residual * float(np.abs(units * r).max(initial=0.0))
        if near is not None and not options.exact:
            x, r = near.ravel().copy(), r - self.apply(near).ravel()
        step, before = np.zeros_like(r), 0.0
        for _ in range(MAX_ITERATIONS * (1 if options.residual >= ROUGH_RESIDUAL else MORE_ITERATIONS)):
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
            return x.reshape(shape), False
        return x.reshape(shape), True

    def _factor(self, live: npt.NDArray[np.int64], diagonal: Floats) -> tuple[Floats, bool]:
        """The Cholesky factor of the rows and columns `live` of H."""
        ridge = FACTOR_RIDGE
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
            for start in range(0, len(rows), size := max(1, BLOCK_NUMBERS // max(1, len(of)))):
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
        for start in range(0, len(self.Z), size := max(1, BLOCK_NUMBERS // max(1, len(of)))):
            part = slice(start, start + size)
            Y = self.factors[part][:, of] * self.Z[part][:, feature]
            for k in range(len(self.by_class)):
                own = slice(ends[k], ends[k + 1])
                H[own.stop :, own] -= Y[:, own.stop :].T @ Y[:, own]
