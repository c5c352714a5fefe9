"""The hinge with |W| as a linear or quadratic program of few images: an interior point method in its dual."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from linprobe.cores import by_threads
from linprobe.shapes import Floats, Labels

__all__ = ["MOST_PAIRS", "HingeProgram", "ProgramPoint"]

MOST_PAIRS = 4096
"""Pairs of an image and another class than its own, at most: the matrix of a step takes 8 bytes times their square."""

STEPS = 60
"""Steps, at most; 15 to 25 are usual (benchmarks/wide.py)."""

TO_BOUNDARY = 0.98
"""Share of the largest step that keeps every variable inside its bounds."""

SHORT = 1e-8
"""A step below it is no progress."""

BALANCED = 1e-9
"""Sum of a column of the dual point that is as good as 0."""

AT_REST = (1.0, 1e-1, 1e-2, 1e-3)
"""Ratio of a weight to the slack of its slope, each in its own unit, below which it is 0; the next one where too many
were."""

WARM = 0.05
"""Distance of a slope from its bounds, 0 and 1, where a search begins, at least."""


@dataclass
class ProgramPoint:
    """Weights and slopes of one program.

    Attributes:
        W: (n, K) float64, with exact zeros.
        b: (K,) float64.
        G: (N, K) float64, the slopes: a dual point with feasible rows.
        steps: that were made.
    """

    W: Floats
    b: Floats
    G: Floats
    steps: int


class HingeProgram:
    """min sum_i a_i sum_{j != y_i} max(0, s_j - s_y + delta) + squares W² + size |W|,   s = W x + b, all x in memory.

    Its dual has a slope t_ij in 0..1 for each pair of an image and another class; with A = sum_i a_i G_i x_iᵀ it asks for
    |A| <= size (of the elastic net, |A| - 2 squares |W| <= size) and columns of G that sum to 0. Primal and dual
    variables take Newton steps together, along the central path (Mehrotra's predictor and corrector). A step solves a
    system of N (K - 1) unknowns, whatever the number of features.

    Args:
        X: (n, N) features about their means, feature by feature.
        y: (N,) labels; classes that do not occur get no slopes, and a bias that no margin reaches.
        shares: (N,) a_i, sum 1; images of share 0 are left out.
        n_classes: K.
        delta: margin asked.
        squares, size: factors of sum W² and sum |W|; size > 0.
        n_threads: for the products of each class, None for one per core; the bits are the same for any.
    Source:
        Mehrotra, "On the implementation of a primal-dual interior point method", 1992.
    """

    def __init__(
        self,
        X: Floats,
        y: Labels,
        shares: Floats,
        n_classes: int,
        *,
        delta: float,
        squares: float,
        size: float,
        n_threads: int | None = None,
    ) -> None:
        self._all = (len(y), n_classes)
        self._rows = np.flatnonzero(shares > 0.0)
        self._rows = self._rows[np.argsort(y[self._rows], kind="stable")]  # class by class
        self._labels, self._y = np.unique(y[self._rows], return_inverse=True)
        self._X = np.ascontiguousarray(X[:, self._rows], np.float64)
        self._a = shares[self._rows]
        self._N, self._K = len(self._rows), len(self._labels)
        self._delta, self._squares, self._size, self._n_threads = delta, squares, size, n_threads
        # pairs, class by class: those of class k are all images but its own
        members = [np.flatnonzero(self._y != k) for k in range(self._K)]
        self._ends = np.concatenate([[0], np.cumsum([len(rows) for rows in members])])
        self._image = np.concatenate(members) if members else np.zeros(0, np.int64)
        self._other = np.repeat(np.arange(self._K), np.diff(self._ends))

    @cached_property
    def _own(self) -> npt.NDArray[np.int64]:
        return self._y[self._image]

    def minimize(self, W: Floats, b: Floats, G: Floats, tol: float) -> ProgramPoint | None:
        """Weights whose objective is within a share `tol` of the minimum; None where rounding stops the search before.

        Args:
            W, b: (n, K) and (K,): weights to begin near.
            G: (N, K) slopes to begin near.
            tol: relative gap.
        """
        if self._K < 2:
            return None
        try:
            with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
                return self._minimize(W[:, self._labels], b[self._labels], G[self._rows][:, self._labels], tol)
        except (np.linalg.LinAlgError, ValueError):  # not positive definite by rounding, or numbers that overflowed
            return None

    def _minimize(self, W: Floats, b: Floats, G: Floats, tol: float) -> ProgramPoint | None:
        X, K, N, size, squares, delta = self._X, self._K, self._N, self._size, self._squares, self._delta
        n, a = len(X), self._a[self._image]
        pairs = len(a)
        T = np.clip(G[self._image, self._other], WARM, 1.0 - WARM) * a
        margins = self._margins(X.T @ W + b) + delta
        xi, v = np.maximum(margins, 0.0) + WARM * delta, np.maximum(-margins, 0.0) + WARM * delta
        A = X @ self._slopes(T)
        slack = np.maximum(size, np.abs(A).max(initial=0.0))
        unit = float(np.abs(W).max(initial=0.0)) or delta / float(np.sqrt(np.square(X).sum(axis=0) @ self._a) or 1.0)
        up, low = np.maximum(W, 0.0) + WARM * unit, np.maximum(-W, 0.0) + WARM * unit
        over = np.maximum(size + A, WARM * slack)  # size + A + 2 squares W, the slack of up
        under = np.maximum(size - A, WARM * slack)
        count = 2.0 * (pairs + n * K)
        for steps in range(STEPS):
            W, A, u = up - low, X @ self._slopes(T), a - T
            columns = self._slopes(T).sum(axis=0)
            margins = self._margins(X.T @ W + b) + delta
            mu = float(xi @ u + v @ T + (up * over).sum() + (low * under).sum()) / count
            if not np.isfinite(mu):
                return None
            primal = float(a @ np.maximum(margins, 0.0)) + self._penalty(W)
            bound = self._bound(T, A)
            if primal - bound <= tol * primal and np.abs(columns).max() <= BALANCED:
                at_rest = (np.maximum(up, low) / unit) / (np.minimum(over, under) / size)
                for share in AT_REST:
                    sparse = np.where(at_rest < share, 0.0, W)
                    margins = self._margins(X.T @ sparse + b) + delta
                    found = float(a @ np.maximum(margins, 0.0)) + self._penalty(sparse)
                    if found - bound <= tol * found:
                        return self._point(sparse, b, T, steps)
            theta = up / over + low / under
            behind, before = over - (size + A + 2.0 * squares * W), under - (size - A - 2.0 * squares * W)
            turned = 1.0 + 2.0 * squares * theta
            matrix = self._matrix(theta / turned)
            matrix[np.diag_indices(pairs)] += xi / u + v / T
            factor = cho_factor(matrix.T, lower=False, overwrite_a=True, check_finite=False)  # as LAPACK wants it
            ones = np.zeros((pairs, K))
            ones[np.arange(pairs), self._other] = 1.0
            ones[np.arange(pairs), self._own] = -1.0
            solved = cho_solve(factor, ones, check_finite=False)
            between = np.linalg.pinv(ones.T @ solved, hermitian=True, rcond=1e-12)

            def direction(aim: float, of_xi: Floats | float, of_v: Floats | float, of_up: Floats | float, of_low: Floats | float):  # type: ignore[no-untyped-def]
                free = (aim - of_up) / over - (aim - of_low) / under - W + up * behind / over - low * before / under
                free = free / turned
                right = margins - (aim - of_xi) / u + (aim - of_v) / T + self._margins(X.T @ free)
                x = cho_solve(factor, right, check_finite=False)
                db = between @ (-columns - ones.T @ x)
                dT = x + solved @ db
                dA = X @ self._slopes(dT)
                dW = free - theta / turned * dA
                d_over, d_under = dA + 2.0 * squares * dW - behind, -dA - 2.0 * squares * dW - before
                d_up = (aim - of_up - up * over - up * d_over) / over
                d_low = (aim - of_low - low * under - low * d_under) / under
                d_xi = (aim - of_xi - xi * u + xi * dT) / u
                d_v = (aim - of_v - v * T - v * dT) / T
                return dT, db, d_xi, d_v, d_up, d_low, d_over, d_under

            def lengths(d) -> tuple[float, float]:  # type: ignore[no-untyped-def]
                of_dual = min(_longest(T, d[0]), _longest(u, -d[0]), _longest(over, d[6]), _longest(under, d[7]))
                of_primal = min(_longest(xi, d[2]), _longest(v, d[3]), _longest(up, d[4]), _longest(low, d[5]))
                if squares > 0.0:  # the slacks of the dual hold W
                    of_dual = of_primal = min(of_dual, of_primal)
                return of_dual, of_primal

            d = direction(0.0, 0.0, 0.0, 0.0, 0.0)
            p, q = lengths(d)
            p, q = min(1.0, p), min(1.0, q)
            left = float((xi + q * d[2]) @ (u - p * d[0]) + (v + q * d[3]) @ (T + p * d[0]))
            left += float(((up + q * d[4]) * (over + p * d[6])).sum() + ((low + q * d[5]) * (under + p * d[7])).sum())
            share = (max(left, 0.0) / count / mu) ** 3
            d = direction(share * mu, -d[2] * d[0], d[3] * d[0], d[4] * d[6], d[5] * d[7])
            p, q = lengths(d)
            p, q = min(1.0, TO_BOUNDARY * p), min(1.0, TO_BOUNDARY * q)
            if max(p, q) < SHORT:
                return None
            T, over, under = T + p * d[0], over + p * d[6], under + p * d[7]
            b, xi, v, up, low = b + q * d[1], xi + q * d[2], v + q * d[3], up + q * d[4], low + q * d[5]
        return None

    def _penalty(self, W: Floats) -> float:
        return self._size * float(np.abs(W).sum()) + self._squares * float(np.square(W).sum())

    def _bound(self, T: Floats, A: Floats) -> float:
        """The dual value of T, scaled until |A| is within bounds where there are no squares."""
        value, largest = self._delta * float(T.sum()), float(np.abs(A).max(initial=0.0))
        if self._squares == 0.0:
            return value * min(1.0, self._size / largest) if largest > 0.0 else value
        return value - float(np.square(np.maximum(np.abs(A) - self._size, 0.0)).sum()) / (4.0 * self._squares)

    def _slopes(self, T: Floats) -> Floats:
        """(N, K) for one number a pair: each at its other class, and with a minus at its own."""
        G = np.zeros((self._N, self._K))
        G[self._image, self._other] = T
        G[np.arange(self._N), self._y] = -G.sum(axis=1)
        return G

    def _margins(self, S: Floats) -> Floats:
        """s_j - s_y of each pair."""
        return S[self._image, self._other] - S[self._image, self._own]

    def _matrix(self, theta: Floats) -> Floats:
        """(pairs, pairs), of which the lower triangle is filled: X diag(theta_k) Xᵀ of each class between the pairs.

        Of pairs (i, j) and (l, m) it is [j = m] B_j - [j = y_l] B_j - [m = y_i] B_m + [y_i = y_l] B_{y_i}, all at (i, l).
        """
        K, N, y = self._K, self._N, self._y

        def products(k: int) -> Floats:
            Z = self._X * np.sqrt(theta[:, k])[:, None]
            B: Floats = Z.T @ Z
            return B

        B = list(by_threads(products, range(K), self._n_threads))
        own, starts = np.zeros((N, N)), np.searchsorted(y, np.arange(K + 1))
        parts = [slice(starts[k], starts[k + 1]) for k in range(K)]
        for k, part in enumerate(parts):
            own[part, part] = B[k][part, part]
        others = [np.r_[0 : starts[k], starts[k + 1] : N] for k in range(K)]
        ends = self._ends
        out = np.empty((ends[-1], ends[-1]))
        for j in range(K):
            for m in range(j + 1):
                block = own.copy()
                block[:, parts[j]] -= B[j][:, parts[j]]
                block[parts[m]] -= B[m][parts[m]]
                if j == m:
                    block += B[j]
                out[ends[j] : ends[j + 1], ends[m] : ends[m + 1]] = block[np.ix_(others[j], others[m])]
        return out

    def _point(self, W: Floats, b: Floats, T: Floats, steps: int) -> ProgramPoint:
        """With all classes and images again."""
        N, K = self._all
        full, bias, G = np.zeros((len(W), K)), np.empty(K), np.zeros((N, K))
        full[:, self._labels] = W
        S = self._X.T @ W + b
        bias[:] = float(S[np.arange(self._N), self._y].min()) - self._delta  # no margin reaches it
        bias[self._labels] = b
        slopes = self._slopes(np.clip(T / self._a[self._image], 0.0, 1.0))
        G[self._rows[:, None], self._labels] = slopes
        return ProgramPoint(full, bias, G, steps)


def _longest(at: Floats, step: Floats) -> float:
    """The largest share of a step that keeps all above 0."""
    falling = step < 0.0
    return float((-at[falling] / step[falling]).min(initial=np.inf))
