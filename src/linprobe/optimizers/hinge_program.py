"""The hinge with |W| on few images, as a linear or quadratic program, by an interior point method on its dual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linprobe.cores import by_threads
from linprobe.shapes import Floats, Labels

__all__ = ["MAX_PAIRS", "HingeProgram", "ProgramPoint"]

MAX_PAIRS = 4096
"""Pairs of an image and a wrong class, at most: the matrix of a step has their number squared in float64 entries, 134
MB."""

MAX_STEPS = 60
"""Steps, at most; most problems take 15 to 25 (benchmarks/wide.py)."""

TO_BOUNDARY = 0.98
"""Step length, as a share of the largest step that keeps all variables in their bounds. The usual value."""

MIN_CENTERING = 1e-4
"""Smallest centering parameter, the factor by which a step aims to lower the complementarity products. At 0 the next
system would be singular. Chosen by argument."""

MIN_STEP = 1e-8
"""Step length below which the search ends, as a share of the full step. Chosen by argument."""

MAX_COLUMN_SUM = 1e-3
"""Largest column sum of an accepted dual point, as a share of the gap. The certificate balances the columns, and loses
next to nothing for so small a sum. Chosen by argument."""

ZERO_RATIOS = (1.0, 1e-1, 1e-2, 1e-3, 0.0)
"""A weight is set to 0 if its ratio to the slack of its slope, each in its own unit, is below this. The first value is
used in every step; the others are tried if rounding ends a search before the gap is small enough. Chosen by
argument."""

START_MARGIN = 0.05
"""Distance of the first slopes from their bounds 0 and 1, at least. Chosen by argument."""


@dataclass(frozen=True)
class ProgramPoint:
    """A solution of one program.

    Attributes:
        W: (n, K) float64, with exact zeros.
        b: (K,) float64.
        G: (N, K) float64, the slopes: a dual point with feasible rows.
        gap: relative duality gap if the columns of G summed to 0; they nearly do.
        steps: Newton steps that were taken.
    """

    W: Floats
    b: Floats
    G: Floats
    gap: float
    steps: int


@dataclass
class _Variables:
    """The primal and dual variables; all but b are above 0.

    Attributes:
        T: (P,) a_i times the slope of each pair, below a_i.
        above, below: (P,) multipliers of T <= a and T >= 0; margin = above - below at the optimum.
        up, low: (n, K), W = up - low.
        over, under: (n, K), slacks of the bounds on A: size + A + 2 squares W and size - A - 2 squares W.
        b: (K,).
    """

    T: Floats
    above: Floats
    below: Floats
    up: Floats
    low: Floats
    over: Floats
    under: Floats
    b: Floats

    def shifted(self, p: float, q: float, d: _Variables) -> _Variables:
        """The variables after a step of length p along d in the dual ones, and of length q in the primal ones."""
        dual = {name: getattr(self, name) + p * getattr(d, name) for name in ("T", "over", "under")}
        primal = {name: getattr(self, name) + q * getattr(d, name) for name in ("above", "below", "up", "low", "b")}
        return _Variables(**dual, **primal)

    def products(self, a: Floats) -> float:
        """The sum of the complementarity products, which is 0 at the optimum."""
        pairs = float(self.above @ (a - self.T) + self.below @ self.T)
        return pairs + float((self.up * self.over).sum() + (self.low * self.under).sum())

    def lengths(self, a: Floats, d: _Variables) -> tuple[float, float]:
        """The longest step lengths along d, dual and primal, that keep all variables above 0."""
        dual = min(_longest(self.T, d.T), _longest(a - self.T, -d.T))
        dual = min(dual, _longest(self.over, d.over), _longest(self.under, d.under))
        pairs = min(_longest(self.above, d.above), _longest(self.below, d.below))
        return dual, min(pairs, _longest(self.up, d.up), _longest(self.low, d.low))


class HingeProgram:
    """min sum_i a_i sum_{j != y_i} max(0, s_j - s_y + delta) + squares W² + size |W|,   s = W x + b, all x in memory.

    Its dual has a slope t_ij in 0..1 for each pair of an image and another class. With A = sum_i a_i G_i x_iᵀ it
    requires |A| <= size (for the elastic net, |A| - 2 squares |W| <= size) and columns of G that sum to 0. Primal and
    dual variables take Newton steps together, along the central path (Mehrotra's predictor and corrector). A step
    solves a system of N (K - 1) unknowns, whatever the number of features.

    Args:
        X: (n, N) features about their means, feature by feature.
        y: (N,) labels; classes that do not occur get no slopes, and a bias that no margin reaches.
        shares: (N,) a_i, sum 1; images of share 0 are left out.
        n_classes: K.
        delta: required margin.
        squares, size: factors of sum W² and sum |W|; size > 0.
        n_threads: for the products of each class, None for one per core. The result does not depend on it.
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
        self._own, self._shares = self._y[self._image], self._a[self._image]  # (P,), of each pair
        self._unit = 1.0  # of a weight

    def minimize(self, W: Floats, b: Floats, G: Floats, tol: float) -> ProgramPoint | None:
        """Weights with a relative gap of at most `tol`; if rounding prevents that, the best that were found.

        Args:
            W, b: (n, K) and (K,), the starting weights.
            G: (N, K), the starting slopes.
            tol: relative gap.
        """
        sparse: ProgramPoint | None = None
        if self._K < 2:
            return sparse
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            at: _Variables | None = self._begin(W[:, self._labels], b[self._labels], G[self._rows][:, self._labels])
            for steps in range(MAX_STEPS):
                if at is None:
                    break
                last, found = at, self._point(at, steps, ZERO_RATIOS[0])
                if found is not None and (sparse is None or found.gap < sparse.gap):
                    sparse = found
                if sparse is not None and sparse.gap <= tol:
                    return sparse
                at = self._follow(at)
            others = [self._point(last, steps, share) for share in ZERO_RATIOS[1:]]
        return min(
            (point for point in (sparse, *others) if point is not None), key=lambda point: point.gap, default=None
        )

    def _begin(self, W: Floats, b: Floats, G: Floats) -> _Variables:
        """The starting point: near the given weights and slopes, and well inside all bounds."""
        X, size, delta = self._X, self._size, self._delta
        T = np.clip(G[self._image, self._other], START_MARGIN, 1.0 - START_MARGIN) * self._shares
        m, A = self._margins(X.T @ W + b) + delta, X @ self._slopes(T)
        room = START_MARGIN * max(size, float(np.abs(A).max(initial=0.0)))
        typical = float(np.sqrt(np.square(X).sum(axis=0) @ self._a)) or 1.0
        self._unit = float(np.abs(W).max(initial=0.0)) or delta / typical
        return _Variables(
            T=T,
            above=np.maximum(m, 0.0) + START_MARGIN * delta,
            below=np.maximum(-m, 0.0) + START_MARGIN * delta,
            up=np.maximum(W, 0.0) + START_MARGIN * self._unit,
            low=np.maximum(-W, 0.0) + START_MARGIN * self._unit,
            over=np.maximum(size + A, room),
            under=np.maximum(size - A, room),
            b=b,
        )

    def _point(self, at: _Variables, steps: int, share: float) -> ProgramPoint | None:
        """The weights with exact zeros, and the slopes; None if the columns of the slopes do not nearly sum to 0."""
        slopes = self._slopes(at.T)
        rest = (np.maximum(at.up, at.low) / self._unit) / (np.minimum(at.over, at.under) / self._size)
        W = np.where(rest < share, 0.0, at.up - at.low)
        value, uneven = self._value(W, at.b), float(np.abs(slopes.sum(axis=0)).max())
        gap = (value - self._bound(at.T, self._X @ slopes)) / max(value, 1e-300)
        if not np.isfinite(gap) or uneven > MAX_COLUMN_SUM * max(gap, 0.0):
            return None
        return self._with_all(W, at.b, at.T, gap, steps)

    def _follow(self, at: _Variables) -> _Variables | None:
        """The variables after one step; None if it is too short or not finite, or the system cannot be factored."""
        a, count = self._shares, 2.0 * (len(at.T) + at.up.size)
        mu = at.products(a) / count
        try:
            solve = _System(self, at)
        except (np.linalg.LinAlgError, ValueError):
            return None
        d = solve.direction(0.0, None)
        p, q = self._lengths(at, d)
        left = at.shifted(min(1.0, p), min(1.0, q), d).products(a) / count
        if not (np.isfinite(left) and mu > 0.0):
            return None
        d = solve.direction(max((max(left, 0.0) / mu) ** 3, MIN_CENTERING) * mu, d)
        p, q = (min(1.0, TO_BOUNDARY * length) for length in self._lengths(at, d))
        return at.shifted(p, q, d) if max(p, q) >= MIN_STEP else None

    def _lengths(self, at: _Variables, d: _Variables) -> tuple[float, float]:
        p, q = at.lengths(self._shares, d)
        return (p, q) if self._squares == 0.0 else (min(p, q), min(p, q))  # the dual slacks contain W

    def _value(self, W: Floats, b: Floats) -> float:
        margins = self._margins(self._X.T @ W + b) + self._delta
        return float(self._shares @ np.maximum(margins, 0.0)) + self._penalty(W)

    def _penalty(self, W: Floats) -> float:
        return self._size * float(np.abs(W).sum()) + self._squares * float(np.square(W).sum())

    def _bound(self, T: Floats, A: Floats) -> float:
        """The dual value of T. Without squares T is scaled down until |A| <= size."""
        value, largest = self._delta * float(T.sum()), float(np.abs(A).max(initial=0.0))
        if self._squares == 0.0:
            return value * min(1.0, self._size / largest) if largest > 0.0 else value
        return value - float(np.square(np.maximum(np.abs(A) - self._size, 0.0)).sum()) / (4.0 * self._squares)

    def _slopes(self, T: Floats) -> Floats:
        """G (N, K) from one number per pair: it is added at the wrong class, and subtracted at the label."""
        G = np.zeros((self._N, self._K))
        G[self._image, self._other] = T
        G[np.arange(self._N), self._y] = -G.sum(axis=1)
        return G

    def _margins(self, S: Floats) -> Floats:
        """s_j - s_y of each pair."""
        return S[self._image, self._other] - S[self._image, self._own]

    def _matrix(self, theta: Floats) -> Floats:
        """(pairs, pairs), of which the lower triangle is filled: X diag(theta_k) Xᵀ of each class between the pairs.

        The entry of pairs (i, j) and (l, m), of images i and l and classes j and m, is [j = m] B_j - [j = y_l] B_j - [m
        = y_i] B_m + [y_i = y_l] B_{y_i}, at (i, l).
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

    def _with_all(self, W: Floats, b: Floats, T: Floats, gap: float, steps: int) -> ProgramPoint:
        """The solution for all classes and images, absent classes and images of weight 0 included."""
        N, K = self._all
        full, bias, G = np.zeros((len(W), K)), np.empty(K), np.zeros((N, K))
        full[:, self._labels] = W
        S = self._X.T @ W + b
        bias[:] = float(S[np.arange(self._N), self._y].min()) - self._delta  # no margin reaches it
        bias[self._labels] = b
        slopes = self._slopes(np.clip(T / self._shares, 0.0, 1.0))
        G[self._rows[:, None], self._labels] = slopes
        return ProgramPoint(full, bias, G, gap, steps)


class _System:
    """The linear system of a step, factored: the same for the predictor and the corrector."""

    def __init__(self, program: HingeProgram, at: _Variables) -> None:
        from scipy.linalg import cho_factor, cho_solve

        self._program, self._at, self._solve = program, at, cho_solve
        X, squares, size = program._X, program._squares, program._size
        self._W, slopes = at.up - at.low, program._slopes(at.T)
        A = X @ slopes
        self._columns = slopes.sum(axis=0)
        self._m = program._margins(X.T @ self._W + at.b) + program._delta
        self._below_a = program._shares - at.T
        # residuals of the definitions of the slacks
        self._over = at.over - (size + A + 2.0 * squares * self._W)
        self._under = at.under - (size - A - 2.0 * squares * self._W)
        theta = at.up / at.over + at.low / at.under
        self._turned = 1.0 + 2.0 * squares * theta
        self._theta = theta / self._turned
        matrix = program._matrix(self._theta)
        P, K = len(at.T), len(at.b)
        matrix[np.diag_indices(P)] += at.above / self._below_a + at.below / at.T
        # the lower triangle in C's order is the upper one in LAPACK's
        self._factor = cho_factor(matrix.T, lower=False, overwrite_a=True, check_finite=False)
        self._ones = np.zeros((P, K))
        self._ones[np.arange(P), program._other] = 1.0
        self._ones[np.arange(P), program._own] = -1.0
        self._solved = cho_solve(self._factor, self._ones, check_finite=False)
        self._between = np.linalg.pinv(self._ones.T @ self._solved, hermitian=True, rcond=1e-12)

    def direction(self, aim: float, predicted: _Variables | None) -> _Variables:
        """The step that aims at complementarity products of `aim`; with the second-order terms of `predicted`, if
        given."""
        program, at, u = self._program, self._at, self._below_a
        X, squares, d = program._X, program._squares, predicted
        of_above = aim if d is None else aim + d.above * d.T
        of_below = aim if d is None else aim - d.below * d.T
        of_up, of_low = (aim, aim) if d is None else (aim - d.up * d.over, aim - d.low * d.under)
        free = of_up / at.over - of_low / at.under - self._W
        free = (free + at.up * self._over / at.over - at.low * self._under / at.under) / self._turned
        right = self._m - of_above / u + of_below / at.T + program._margins(X.T @ free)
        x = self._solve(self._factor, right, check_finite=False)
        db = self._between @ (-self._columns - self._ones.T @ x)
        dT = x + self._solved @ db
        dA = X @ program._slopes(dT)
        dW = free - self._theta * dA
        over, under = dA + 2.0 * squares * dW - self._over, -dA - 2.0 * squares * dW - self._under
        return _Variables(
            T=dT,
            above=(of_above - at.above * u + at.above * dT) / u,
            below=(of_below - at.below * at.T - at.below * dT) / at.T,
            up=(of_up - at.up * at.over - at.up * over) / at.over,
            low=(of_low - at.low * at.under - at.low * under) / at.under,
            over=over,
            under=under,
            b=db,
        )


def _longest(at: Floats, step: Floats) -> float:
    """The largest step length that keeps all numbers above 0."""
    falling = step < 0.0
    return float((-at[falling] / step[falling]).min(initial=np.inf))
