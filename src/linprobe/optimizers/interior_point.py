"""The interior point method: the exact optimum of small problems, whatever the loss, the penalty and the scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeAlias, final

import numpy as np
import numpy.typing as npt
import scipy.linalg
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, absolute_tol, certify
from linprobe.errors import IncompatibleError
from linprobe.objective import Evaluation, Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.interior_system import CAREFUL, EXACT, LARGEST, ROUGH, WHOLE, NewtonSystem, Solve
from linprobe.optimizers.states import checked_arrays, weights_of_state
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["InteriorPoint", "PointWithin", "Within", "interior_point_cost", "minimize_within"]

TO_BOUNDARY = 0.99
"""Share of the largest step that keeps every variable inside its bounds. A usual choice; nothing here depends on it."""

CORRECTORS, FURTHER, LOW, HIGH = 3, 1.5, 0.1, 10.0
"""Centrality correctors of a step, at most; how much longer a step each asks for; the products, in units of their aim,
between which it wants them (Gondzio, "Multiple centrality corrections in a primal-dual method", 1996)."""

LEAST_SHARE = 1e-3
"""Least share of the complementarity that a step aims at: a smaller one leaves the central path for too little."""

ATTEMPT = 0.3
"""A certificate is computed once the estimated gap is below this share of tol."""

AGAIN = 0.1
"""After a certificate that fell short the next is computed at this share of the gap estimated then."""

MOST_UNIT = 1e6
STEPS = 300
"""Iterations, at most, whatever `max_iter`: most problems need 8 to 30 (benchmarks/gauntlet.py)."""

DROPPED = 1e-13
"""Share of the weight below which an image, or all images of a class, are left out: they are far below any gap."""

AWAY = {1: 2.0, 2: 2.0, None: 60.0}
"""How far, in units of the scores, the bias of a class that is left out puts it below all labels, by the power of the
margins: beyond the margin; e^-60 for softmax."""

SHORT, PATIENCE = 1e-6, 4
"""A step below SHORT is no progress; after PATIENCE of them in a row the search ends."""

NO_NEWS = 8
"""Iterations in a row in which the gap does not fall, after which the search ends."""

FINER = 0.01
"""What may be left of a system, as a share of what was before, once the gap does not fall."""

PRODUCTS = 200.0
"""Products with the system of a step, counted in its cost, where conjugate gradients take the place of a factor."""

NEWS = 0.9
"""Share of the lowest gap so far below which a gap is progress."""

HALVINGS = 30
"""Halvings, at most, of a step of a loss that is not piecewise quadratic."""

LAG = 0.1
"""Least complementarity aimed at, as a share of what the residual costs a bound."""

MERIT_NOISE = 1e-14
"""Rounding of the merit function, relative to the sizes of its terms."""

SUFFICIENT = 1e-4
"""Decrease of the merit function, as a share of what its slope promises (Armijo)."""

CONSTANT = 1e-12
"""A feature whose deviation is below this share of its mean is constant: what varies is rounding."""

Falls: TypeAlias = list[tuple[Floats, Floats]]
"""By how much the two products of each kind of kinks are to fall."""

Moves: TypeAlias = list[tuple[Floats, Floats, Floats]]
"""Steps of slope and slacks, (dg, du, dv), of each kind of kinks."""


@final
@dataclass(frozen=True)
class InteriorPoint(Optimizer):
    """Newton steps on the optimality conditions, primal and dual together, along the central path.

    Each kink, max(0, m) of a margin m or |w| of a weight w, is written with a slope g inside its bounds and two slacks:

        m = u - v,   (1 - g) u = mu,   g v = mu,   u, v > 0,   0 < g < 1        (|w|: slopes in (-1, 1))

    and mu goes to 0. Softmax needs no slacks: its Hessian is used as it is. One step solves a dense symmetric system of
    K (D + 1) unknowns, or K (min(N, D) + 1) with L2 alone, so that the method is for small problems. Ten to thirty
    steps are enough at any scale of the features and any reg, and the slopes g are a tight dual point.

    Args:
        tol: relative duality gap to reach, >= 0.
        max_iter: iterations at most, >= 0.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Mehrotra, "On the implementation of a primal-dual interior point method", 1992; Wright, "Primal-dual
        interior-point methods", 1997.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l1", reg=0.1, engine="reference")
        >>> solution = InteriorPoint(tol=1e-6).minimize(objective)
        >>> solution.status.name, round(solution.certificate.objective, 6)
        ('CERTIFIED', 0.2)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    name: ClassVar[str] = "interior-point"

    def __post_init__(self) -> None:
        check_range("tol", self.tol, low=0.0)
        check_range("max_iter", self.max_iter, low=0)

    def minimize(
        self,
        objective: Objective,
        start: State | None = None,
        callback: Callback | None = None,
        validation: Objective | None = None,
        watch: Watch | None = None,
    ) -> Solution:
        """The weights found, with their certificate; one row of the trace per iteration.

        Raises:
            IncompatibleError: the loss declares neither margins nor `curvature_weights`, or the penalty no
            coefficients.
        """
        _check(objective)
        # slopes that reach their bounds in rounding divide by 0: such a step is not finite, and ends the search
        with threadpool_limits(1), np.errstate(all="ignore"):  # the bits must not depend on the threads of the BLAS
            return _Run(self, objective, start, Trace(objective, validation, callback)).run()


def minimize_within(objective: Objective, within: Within, tol: float) -> PointWithin | None:
    """The optimum of margins and |W| over few weights; None where a step was not finite.

    Args:
        objective: a loss of margins, and a penalty with |W|.
        within: the weights.
        tol: the relative gap over these weights at which the search ends.
    """
    with threadpool_limits(1), np.errstate(all="ignore"):
        run = _Run(InteriorPoint(tol), objective, None, Trace(objective, None, None), within)
        run.search()
        W, b = run.features.weights(run.theta)
        G = run.dual_point()
    assert G is not None
    finite = np.isfinite(W).all() and np.isfinite(b).all() and np.isfinite(G).all()
    return PointWithin(W, b, G) if finite else None


def interior_point_cost(objective: Objective) -> tuple[float, float]:
    """(floating point operations of one iteration, bytes of its arrays) of `InteriorPoint` on this objective."""
    N, K = objective.n_images, objective.n_classes
    D = objective.n_features if _needs_all_features(objective) else min(N, objective.n_features)
    n = K * (D + 1)
    factored = n if n <= WHOLE else min(n, LARGEST)
    of_pairs = objective.loss.margin_power is not None
    assembly = 4.0 * N * (min(n * (D + 1), LARGEST * factored) if of_pairs else factored**2)
    products = PRODUCTS * 4.0 * N * n if n > WHOLE else 0.0
    numbers = 2.0 * min(n, CAREFUL) ** 2 + N * (3.0 * D + 20.0 * K) + 20.0 * n
    return assembly + products + factored**3 / 3.0, 8.0 * numbers


def _needs_all_features(objective: Objective) -> bool:
    """With L2 alone, or no penalty, the weights may be taken in the span of the images."""
    return objective.penalised and objective.l1_weight > 0.0


def _check(objective: Objective) -> None:
    loss, penalty = objective.loss, objective.penalty
    if loss.margin_power is None and loss.curvature_form != "spread":
        raise IncompatibleError(
            f"InteriorPoint needs a loss of margins, or curvature_weights; {type(loss).__name__} declares neither. "
            "Use optimizer='exact'."
        )
    if penalty is not None and penalty.coefficients is None:
        raise IncompatibleError(
            f"InteriorPoint needs a penalty a sum W² + c sum |W|; {type(penalty).__name__} has no coefficients. "
            "Use optimizer='sgd'."
        )


@dataclass(frozen=True)
class Within:
    """The weights of a search over few of them; all others are 0.

    Attributes:
        positions: (n,) the features that they belong to.
        weights: (n, K) whether a weight is one of them.
    """

    positions: npt.NDArray[np.int64]
    weights: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PointWithin:
    """What a search over few weights found.

    Attributes:
        W: (K, n) float64, with exact zeros.
        b: (K,) float64.
        G: (N, K) float64, a dual point of the problem over these weights.
    """

    W: Floats
    b: Floats
    G: Floats


class _Features:
    """The images that count in coordinates that suit the arithmetic, and the way back.

    Z = (X' - mean) / scale, each feature about its mean and in units of its deviation; with L2 alone and fewer images
    than
    features Z is (X' - mean) Q, an orthonormal basis Q of what the images span. Images and classes of no weight, or of
    next to none, are left out.

    Attributes:
        Z: (n, d + 1), the last column all ones.
        y: (n,) labels, 0..K'-1 among the classes that are left.
        a: (n,) shares of the weight.
        rows: (n,) positions of these images.
        classes: (K',) the classes that are left.
    """

    def __init__(self, objective: Objective, positions: npt.NDArray[np.int64] | None = None) -> None:
        """All features, or those at `positions`."""
        self._objective = objective
        shares, y = objective.shares(), objective.examples.y
        of_class = np.bincount(y, weights=shares, minlength=objective.n_classes)
        self.classes = np.flatnonzero(of_class > DROPPED)
        self.rows = np.flatnonzero((shares > DROPPED / len(y)) & (of_class > DROPPED)[y])
        self.a = shares[self.rows]
        self.y = np.searchsorted(self.classes, y[self.rows])
        X = objective.examples.mapped(self.rows, positions)
        n, D = X.shape
        self.mean = X.mean(axis=0)
        X -= self.mean
        deviations = np.sqrt(np.square(X).mean(axis=0))
        # what varies less than the rounding of the numbers it is the difference of carries nothing
        sizes = objective.feature_sizes()
        constant = deviations <= CONSTANT * (sizes if positions is None else sizes[positions])
        X[:, constant] = 0.0
        deviations[constant] = 0.0
        self.basis: Floats | None = None
        if n < D and not _needs_all_features(objective):
            scale = float(np.sqrt(np.square(deviations).mean())) or 1.0
            self.basis, R = scipy.linalg.qr(X.T, mode="economic", check_finite=False)
            X, self.scale = np.ascontiguousarray(R.T) / scale, np.full(n, scale)
        else:
            self.scale = np.where(deviations > 0.0, deviations, 1.0)
            X /= self.scale
        self.Z = np.concatenate([X, np.ones((n, 1))], axis=1)

    def weights(self, theta: Floats) -> tuple[Floats, Floats]:
        """(W, b) of the mapped features for theta (K', d + 1)."""
        objective, loss = self._objective, self._objective.loss
        inner = theta[:, :-1] / self.scale
        if self.basis is not None:
            inner = inner @ self.basis.T
        bias = theta[:, -1] - inner @ self.mean
        if len(self.classes) == objective.n_classes:
            return inner, bias
        W, b = np.zeros((objective.n_classes, inner.shape[1])), np.zeros(objective.n_classes)
        W[self.classes], b[self.classes] = inner, bias
        own = (self.Z @ theta.T)[np.arange(len(self.y)), self.y]
        left_out = np.setdiff1d(np.arange(objective.n_classes), self.classes)
        b[left_out] = own.min() - AWAY[loss.margin_power] * loss.unit
        return W, b


@dataclass
class _Kinks:
    """Slopes and slacks of kinks of one kind, all of one shape.

    z = u - v,  (upper - g) u = mu,  (g - lower) v = mu. A squared margin has no upper bound, and u = g / 2.

    Attributes:
        g, u, v: the slope and the two slacks.
        lower, upper: bounds of the slope; `upper` None for a squared margin.
        counted: which entries are kinks; the others (the label's own) are held at rest.
    """

    g: Floats
    u: Floats
    v: Floats
    lower: float
    upper: float | None
    counted: Floats
    unit: Floats
    _curvature: Floats | None = None

    def curvature(self) -> Floats:
        """dg/dz with mu held."""
        if self._curvature is None:
            first = 0.5 if self.upper is None else self.u / (self.upper - self.g)
            self._curvature = self.counted / (first + self.v / (self.g - self.lower))
        return self._curvature

    def products(self, g: Floats, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """((upper - g) u, (g - lower) v): both mu on the central path."""
        return (np.zeros_like(u) if self.upper is None else (self.upper - g) * u), (g - self.lower) * v

    def target(self, z: Floats, first: Floats, second: Floats) -> Floats:
        """rho, with which dg = curvature (dz - rho), given by how much the two products are to fall."""
        u = 0.5 * self.g if self.upper is None else self.u
        missing = u - self.v - z
        falling = 0.0 if self.upper is None else first / (self.upper - self.g)
        return missing - falling + second / (self.g - self.lower)

    def steps(self, dg: Floats, first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
        """(dg, du, dv)."""
        du = 0.5 * dg if self.upper is None else (self.u * dg - first) / (self.upper - self.g)
        return dg, du, -(self.v * dg + second) / (self.g - self.lower)

    def longest(self, dg: Floats, du: Floats, dv: Floats) -> float:
        """The largest step that keeps slopes and slacks inside their bounds."""
        rooms = [(self.g - self.lower, dg), (self.v, dv)]
        if self.upper is not None:
            rooms += [(self.upper - self.g, -dg), (self.u, du)]
        rates = [float((-(step / room)[self.counted > 0]).max(initial=0.0)) for room, step in rooms]
        return 1.0 / max(*rates, 1e-300)

    def move(self, step: float, dg: Floats, du: Floats, dv: Floats) -> None:
        keep = self.counted > 0
        self.g = np.where(keep, self.g + step * dg, self.g)
        self.u = np.where(keep, self.u + step * du, self.u)
        self.v = np.where(keep, self.v + step * dv, self.v)
        self._curvature = None


def _toward(products: Floats, aim: Floats) -> Floats:
    """What is to be added to products so that they lie near the aim; no more than HIGH times it is taken away."""
    found: Floats = np.maximum(np.clip(products, LOW * aim, HIGH * aim) - products, -HIGH * aim)
    return found


def _finite(step: Floats, moves: Moves) -> bool:
    """Whether a step, of theta and of the kinks, is free of what a system that rounding made singular leaves."""
    return bool(np.isfinite(step).all()) and all(np.isfinite(part).all() for move in moves for part in move)


class _Run:
    """One search.

    Args:
        settings: tol and max_iter.
        objective: what is minimised.
        start: a state to resume from bit by bit, weights to begin near, or None.
        trace: where the rows go.
    """

    def __init__(
        self,
        settings: InteriorPoint,
        objective: Objective,
        start: State | None,
        trace: Trace,
        within: Within | None = None,
    ) -> None:
        self.settings, self.objective, self.trace = settings, objective, trace
        self.features = _Features(objective, None if within is None else within.positions)
        self.Z, self.y, self.a = self.features.Z, self.features.y, self.features.a
        K, d = len(self.features.classes), self.Z.shape[1] - 1
        self.n, self.K, self.d = len(self.y), K, d
        self.by_class = [np.flatnonzero(self.y == k) for k in range(K)]
        # the penalty in these coordinates: (1, d)
        scale = self.features.scale
        self.l2 = objective.l2_weight / np.square(scale)
        self.l1 = objective.l1_weight / scale
        numbers = {} if start is None else start.numbers
        self.clock, self.passes = Clock(numbers.get("seconds", 0.0)), numbers.get("passes", 0.0)
        self.iteration = 0 if start is None else start.epoch
        unknowns = K * (d + 1)
        self.within: npt.NDArray[np.bool_] | None = None
        if within is not None:
            self.within = np.ones((K, d + 1), bool)
            self.within[:, :-1] = within.weights.T[self.features.classes]
            unknowns = int(self.within.sum())
        self.short = int(numbers.get("short", 0.0))
        self.exact = bool(numbers.get("exact", float(unknowns <= (WHOLE if within is None else LARGEST))))
        self.left = numbers.get("left", EXACT if self.exact else ROUGH)
        self.coarse = bool(numbers.get("coarse", 1.0))
        self.lowest, self.since = numbers.get("lowest", math.inf), int(numbers.get("since", 0.0))
        self.margins: _Kinks | None = None
        self.sizes: _Kinks | None = None
        self.predicted = math.inf
        self.attempted = numbers.get("attempted", math.inf)
        self._begin({} if start is None else self._checked(start))

    def _checked(self, start: State) -> dict[str, Floats]:
        """The arrays of a state to resume from; none where it is one of another method, or weights alone."""
        if "theta" not in start.arrays:
            return {}
        known = weights_of_state(self.objective) | {"theta": ((self.K, self.d + 1), np.float64)}
        groups = []
        for name, there, shape in (
            ("margin", self.objective.loss.margin_power is not None, (self.n, self.K)),
            ("size", _needs_all_features(self.objective), (self.K, self.d)),
        ):
            if there:
                groups.append(tuple(f"{name}_{part}" for part in "guv"))
                known |= dict.fromkeys(groups[-1], (shape, np.float64))
        return checked_arrays(start, known, required=["theta", *(part for group in groups for part in group)])

    def _begin(self, arrays: dict[str, Floats]) -> None:
        loss, K, d = self.objective.loss, self.K, self.d
        self.theta = np.zeros((K, d + 1))
        self.typical = float(self.a.mean())
        if "theta" in arrays:
            self.theta = arrays["theta"].copy()
        if loss.margin_power is not None:
            delta = self.delta = loss.unit
            off_label = np.ones((self.n, K))
            off_label[np.arange(self.n), self.y] = 0.0
            upper = 1.0 if loss.margin_power == 1 else None
            unit = np.repeat(np.minimum(self.typical / self.a, MOST_UNIT)[:, None], K, axis=1)
            if "margin_g" in arrays:
                g, u, v = (arrays[f"margin_{name}"].copy() for name in "guv")
            else:  # at scores of 0 each margin is delta
                u, v = 2.0 * delta * unit, delta * unit
                g = np.full_like(u, 0.5) if upper else np.full_like(u, 4.0 * delta)
            self.margins = _Kinks(g, u, v, 0.0, upper, off_label, unit)
        if _needs_all_features(self.objective):
            unit = np.repeat((self.typical / np.maximum(self.l1, 1e-300))[None], K, axis=0)
            if "size_g" in arrays:
                g, u, v = (arrays[f"size_{name}"].copy() for name in "guv")
            else:
                g, u, v = np.zeros((K, d)), 0.5 * self.objective.loss.unit * unit, 0.5 * self.objective.loss.unit * unit
            counted = np.ones((K, d)) if self.within is None else self.within[:, :-1].astype(np.float64)
            self.sizes = _Kinks(g, u, v, -1.0, 1.0, counted, unit)

    # ---- the quantities of one point -------------------------------------------------------------------------

    def margins_at(self, theta: Floats) -> Floats:
        """s_j - s_y + delta, (n, K)."""
        S: Floats = self.Z @ theta.T
        return S - S[np.arange(self.n), self.y][:, None] + self.delta

    def _slopes(self, theta: Floats) -> Floats:
        """G (n, K): the slopes of the losses, of the kinks where there are any; rows sum to 0."""
        if self.margins is None:
            return self.objective.loss.value_and_gradient(self.Z @ theta.T, self.y)[1]
        return self._with_label(self.margins.g * self.margins.counted)

    def _with_label(self, E: Floats) -> Floats:
        """E (n, K) with minus the sum of the others at the label."""
        E[np.arange(self.n), self.y] = 0.0
        E[np.arange(self.n), self.y] = -E.sum(axis=1)
        return E

    def _residual(self, theta: Floats) -> Floats:
        """The gradient of the Lagrangian in theta, (K, d + 1): 0 at the optimum."""
        r: Floats = (self.a[:, None] * self._slopes(theta)).T @ self.Z
        r[:, :-1] += 2.0 * self.l2 * theta[:, :-1]
        if self.sizes is not None:
            r[:, :-1] += self.l1 * self.sizes.g
        return r if self.within is None else np.where(self.within, r, 0.0)

    def _system(self, theta: Floats) -> NewtonSystem:
        """The Newton system, symmetric positive definite."""
        factors = None
        if self.margins is not None:
            weights = self.a[:, None] * self.margins.curvature()
        else:
            diagonal = self.objective.loss.curvature_weights(self.Z @ theta.T, self.y)
            weights = self.a[:, None] * diagonal
            factors = weights / np.sqrt(weights.sum(axis=1, keepdims=True))
        added = np.zeros((self.K, self.d + 1))
        added[:, :-1] = 2.0 * self.l2
        if self.sizes is not None:
            added[:, :-1] += self.l1 * self.sizes.curvature()
        # adding one number to all biases changes nothing; nor, without a penalty, does one to all weights of a feature
        free = np.array([self.d]) if self.objective.penalised else np.arange(self.d + 1)
        return NewtonSystem(
            self.Z,
            self.y,
            self.by_class,
            weights,
            factors,
            added,
            free,
            self.exact,
            self.left,
            self.coarse,
            within=self.within,
        )

    # ---- one step --------------------------------------------------------------------------------------------

    @cached_property
    def _all(self) -> list[tuple[_Kinks, Floats]]:
        """The kinds of kinks, with the weight of each in the objective."""
        found: list[tuple[_Kinks, Floats]] = []
        if self.margins is not None:
            found.append((self.margins, self.a[:, None] * self.margins.counted))
        if self.sizes is not None:
            found.append((self.sizes, self.l1 * self.sizes.counted))
        return found

    def _complementarity(self, moves: list[tuple[Floats, Floats, Floats]] | None = None, step: float = 0.0) -> float:
        """mu: the mean of the products, weighted as they count in the gap."""
        total = weight = 0.0
        for i, (kinks, share) in enumerate(self._all):
            dg, du, dv = (0.0, 0.0, 0.0) if moves is None else moves[i]
            first, second = kinks.products(kinks.g + step * dg, kinks.u + step * du, kinks.v + step * dv)
            total += float((share * (first + second)).sum())
            weight += float((share * kinks.unit).sum()) * (1.0 if kinks.upper is None else 2.0)
        return total / weight if weight > 0.0 else 0.0

    def _gap(self) -> float:
        """What the products, weighted, add up to: the duality gap where all residuals are 0."""
        return sum(float((share * sum(kinks.products(kinks.g, kinks.u, kinks.v))).sum()) for kinks, share in self._all)

    def _kinked(self, theta: Floats) -> list[Floats]:
        """z of each kind of kinks."""
        found = [] if self.margins is None else [self.margins_at(theta)]
        return found if self.sizes is None else [*found, theta[:, :-1]]

    def _moves(self, solve: Solve, residual: Floats, falls: Falls, near: Floats | None = None) -> tuple[Floats, Moves]:
        """(step of theta, steps of the kinks) by which the products fall as told."""
        zs, right, targets = self._kinked(self.theta), -residual, []
        for (kinks, _), z, (first, second) in zip(self._all, zs, falls, strict=True):
            rho = kinks.target(z, first, second)
            targets.append(rho)
            bent = kinks.curvature() * rho
            if kinks is self.margins:
                right = right + self._with_label(self.a[:, None] * bent).T @ self.Z
            else:
                right[:, :-1] += self.l1 * bent
        step = solve(right, near)
        moves = []
        for (kinks, _), (first, second), rho in zip(self._all, falls, targets, strict=True):
            dz = step[:, :-1]
            if kinks is self.margins:
                dS = self.Z @ step.T
                dz = dS - dS[np.arange(self.n), self.y][:, None]
            moves.append(kinks.steps(kinks.curvature() * (dz - rho), first, second))
        return step, moves

    def _longest(self, moves: Moves) -> float:
        longest = [kinks.longest(*move) for (kinks, _), move in zip(self._all, moves, strict=True)]
        return min([1.0, *(TO_BOUNDARY * step for step in longest)])

    def _step(self) -> float:
        """Move once; the length of the step, 0 where none could be made."""
        residual = self._residual(self.theta)
        try:
            system = self._system(self.theta)
            solve = system.solver()
        except scipy.linalg.LinAlgError:
            return 0.0
        mu = self._complementarity()
        falls: Falls = [kinks.products(kinks.g, kinks.u, kinks.v) for kinks, _ in self._all]
        step, moves = self._moves(solve, residual, falls)
        if moves:
            longest = self._longest(moves)
            share = max(LEAST_SHARE, (self._complementarity(moves, longest) / max(mu, 1e-300)) ** 3)
            aim = min(share, 1.0) * mu
            if share < 1.0:
                # slopes that reach their bounds while the gradient is still far off are stuck there
                aim = max(aim, min(0.5 * mu, LAG * self._along(residual) * mu / max(self._gap(), 1e-300)))
            second_order = self.margins is not None
            falls = [
                (
                    first - aim * kinks.unit - (dg * du if second_order else 0.0),
                    second - aim * kinks.unit + (dg * dv if second_order else 0.0),
                )
                for (kinks, _), (first, second), (dg, du, dv) in zip(self._all, falls, moves, strict=True)
            ]
            step, moves = self._moves(solve, residual, falls, step)
        else:
            aim = 0.0
        if not _finite(step, moves):
            return 0.0
        length = self._longest(moves)
        for _ in range(CORRECTORS if moves else 0):
            tried = min(1.0, FURTHER * length + 0.1)
            corrected: Falls = [
                (first - _toward(products[0], aim * kinks.unit), second - _toward(products[1], aim * kinks.unit))
                for (first, second), (kinks, _), (dg, du, dv) in zip(falls, self._all, moves, strict=True)
                for products in [kinks.products(kinks.g + tried * dg, kinks.u + tried * du, kinks.v + tried * dv)]
            ]
            other = self._moves(solve, residual, corrected, step)
            longest = self._longest(other[1])
            if not longest > length + 0.1 * (tried - length) or not _finite(*other):
                break
            falls, length, (step, moves) = corrected, longest, other
        if self.margins is None:
            length = self._searched(step, moves, length, aim)
        self.theta = self.theta + length * step
        self.coarse = self.coarse and not system.struggled
        for (kinks, _), move in zip(self._all, moves, strict=True):
            kinks.move(length, *move)
        return length

    def _searched(self, step: Floats, moves: Moves, length: float, mu: float) -> float:
        """A step along which the smooth loss and the barrier fall enough."""
        before = self._merit(self.theta, moves, 0.0, mu)
        losses, dS = self.objective.loss.value_and_gradient(self.Z @ self.theta.T, self.y)
        slope = float(((self.a[:, None] * dS).T @ self.Z * step).sum())
        slope += float((2.0 * self.l2 * self.theta[:, :-1] * step[:, :-1]).sum())
        noise = float(self.a @ np.abs(losses)) + float((self.l2 * np.square(self.theta[:, :-1])).sum())
        if self.sizes is not None:
            (_, du, dv), u, v = moves[0], self.sizes.u, self.sizes.v
            aim = mu * self.sizes.unit
            slope += float((self.l1 * (du + dv - aim * (du / u + dv / v))).sum())
            noise += float((self.l1 * (u + v + aim * (np.abs(np.log(u)) + np.abs(np.log(v))))).sum())
        noise *= MERIT_NOISE
        for _ in range(HALVINGS):
            after = self._merit(self.theta + length * step, moves, length, mu)
            if after <= before + SUFFICIENT * length * min(slope, 0.0) + noise:
                return length
            length *= 0.5
        return 0.0

    def _merit(self, theta: Floats, moves: Moves, length: float, mu: float) -> float:
        losses = self.objective.loss.value_and_gradient(self.Z @ theta.T, self.y)[0]
        value = float(self.a @ losses) + float((self.l2 * np.square(theta[:, :-1])).sum())
        if self.sizes is not None:
            _, du, dv = moves[0]
            u, v = self.sizes.u + length * du, self.sizes.v + length * dv
            value += float((self.l1 * (u + v - mu * self.sizes.unit * (np.log(u) + np.log(v)))).sum())
        return value

    # ---- the search ------------------------------------------------------------------------------------------

    def run(self) -> Solution:
        """Steps until the certificate is good enough, or nothing moves."""
        certificate: Certificate | None = None
        candidate: list[Floats] = []
        status: Status | None = None
        try:
            while status is None:
                W, b = self.features.weights(self.theta)
                evaluation, gap = self._evaluated(W, b)
                if self._report(evaluation, W, b):
                    status = Status.STOPPED
                    break
                negligible = absolute_tol(self.objective, self.settings.tol)
                wanted = self.settings.tol * evaluation.objective if evaluation.objective > negligible else negligible
                promising = gap <= min(ATTEMPT * wanted, AGAIN * self.attempted)
                self._watch(gap)
                ended = (
                    self.iteration >= min(self.settings.max_iter, STEPS)
                    or self.short >= PATIENCE
                    or self.since >= NO_NEWS
                )
                if promising or ended:
                    self.attempted = gap
                    certificate, *candidate = self._certified(W, b)
                    status = proved_status(self.objective, certificate, self.settings.tol)
                    if status is None and promising and not self.objective.penalised:
                        status = Status.CONVERGED
                    if status is None and ended:
                        status = Status.STALLED if self.iteration < self.settings.max_iter else Status.MAX_ITER
                if status is None:
                    length = self._step()
                    self.passes += 3.0  # scores and curvature are formed once, slopes are summed twice
                    self.short = self.short + 1 if length < SHORT else 0
                    self.iteration += 1
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        # before the certificate of an interrupted search: one that was not interrupted has no pass for it
        state = self._state(*self.features.weights(self.theta))
        if certificate is None:
            certificate, *candidate = self._certified(*self.features.weights(self.theta))
        W, b = candidate
        if self.trace.history:
            data_loss = certificate.objective - self.objective.penalty_value(W)
            self.trace.history[-1] |= {"objective": certificate.objective, "data_loss": data_loss}
        return Solution(W, b, status, self.trace.history, state, self.passes, self.clock(), {}, certificate)

    def search(self) -> None:
        """Steps until the gap over these weights is small enough, with exact zeros too, or nothing moves."""
        while True:
            evaluation, gap = self._evaluated(*self.features.weights(self.theta))
            small = max(abs(evaluation.objective), 1e-300) * self.settings.tol
            self._watch(gap)
            ended = self.iteration >= STEPS or self.short >= PATIENCE or self.since >= NO_NEWS
            if ended or gap <= small:
                sparse = self._at_rest()
                better = self._value(sparse) <= evaluation.objective + small
                if better or ended:
                    self.theta = sparse if better else self.theta
                    return
            length = self._step()
            self.short = self.short + 1 if length < SHORT else 0
            self.iteration += 1

    def _watch(self, gap: float) -> None:
        """Solve the systems more exactly from now on where the gap no longer falls."""
        if gap < NEWS * self.lowest:
            self.lowest, self.since = gap, 0
            return
        self.since += 1
        if self.exact:
            return
        self.left = max(EXACT, FINER * self.left)
        if self.since >= PATIENCE and self.K * (self.d + 1) <= CAREFUL:
            self.exact, self.left, self.since, self.short = True, EXACT, 0, 0

    def _evaluated(self, W: Floats, b: Floats) -> tuple[Evaluation, float]:
        """(the objective at the weights; the gap that the kinks' slopes would prove, were the residual 0)."""
        objective = self.objective
        S = self.Z @ self.theta.T
        losses = objective.loss.value(S, self.y)
        data_loss, penalty = float(self.a @ losses), objective.penalty_value(W)
        accuracy = float(self.a @ (S.argmax(axis=1) == self.y))
        r = self._residual(self.theta)
        norm = float(np.sqrt(np.square(r[:, :-1] / self.features.scale).sum() + np.square(r[:, -1]).sum()))
        value = data_loss + penalty
        self.predicted = self._gap() + self._cost_of(r) if math.isfinite(value) else math.inf
        return Evaluation(value, data_loss, penalty, accuracy, norm), self.predicted

    def _cost_of(self, r: Floats) -> float:
        """What the residual of the Lagrangian costs a bound: r² / (4 l2), or with |W| alone, r·theta."""
        if self.objective.l2_weight > 0.0:
            return float((np.square(r[:, :-1]) / (4.0 * self.l2)).sum()) + float(np.abs(r[:, -1]).sum())
        return self._along(r)

    def _along(self, r: Floats) -> float:
        return float(np.abs(r * self.theta).sum()) + float(np.abs(r[:, -1]).sum())

    def dual_point(self) -> Floats | None:
        """(N, K) the slopes of the margins; None of a loss without kinks."""
        if self.margins is None:
            return None
        G = np.zeros((self.objective.n_images, self.objective.n_classes))
        g = np.clip(self.margins.g, 0.0, self.margins.upper)
        G[np.ix_(self.features.rows, self.features.classes)] = self._with_label(g * self.margins.counted)
        return G

    def _at_rest(self) -> Floats:
        """theta, with exact zeros where the penalty makes them."""
        assert self.sizes is not None
        sparse = self.theta.copy()
        sparse[:, :-1][np.maximum(self.sizes.u, self.sizes.v) < 1.0 - np.abs(self.sizes.g)] = 0.0
        return sparse

    def _value(self, theta: Floats) -> float:
        """The objective at theta."""
        losses = self.objective.loss.value(self.Z @ theta.T, self.y)
        W = theta[:, :-1]
        return float(self.a @ losses) + float((self.l2 * np.square(W)).sum()) + float((self.l1 * np.abs(W)).sum())

    def _certified(self, W: Floats, b: Floats) -> tuple[Certificate, Floats, Floats]:
        """The certificate, with exact zeros where the penalty makes them, and its weights."""
        objective = self.objective
        G = self.dual_point()
        best: tuple[Certificate, Floats, Floats] | None = None
        candidates = [(W, b)]
        if self.sizes is not None:
            candidates.insert(0, self.features.weights(self._at_rest()))
        for at, bias in candidates:
            found = certify(objective, at, bias, G, careful=True, passes=self.passes, seconds=self.clock())
            self.passes = found.passes
            if best is None or found.relative_gap < best[0].relative_gap:
                best = found, at, bias
            if proved_status(objective, found, self.settings.tol):
                break
        assert best is not None
        return best

    def _report(self, evaluation: Evaluation, W: Floats, b: Floats) -> bool:
        """Add a row to the trace; whether the callback asks to stop."""
        validation = self.trace.validation
        held_out = None if validation is None else validation.evaluate(W, b)
        seconds = self.clock()
        return self.trace.add(
            (evaluation, held_out), self._state(W, b), learning_rate=0.0, passes=self.passes, seconds=seconds
        )

    def _state(self, W: Floats, b: Floats) -> State:
        arrays = {"W": W, "b": b, "theta": self.theta}
        for name, kinks in (("margin", self.margins), ("size", self.sizes)):
            if kinks is not None:
                arrays |= {f"{name}_g": kinks.g, f"{name}_u": kinks.u, f"{name}_v": kinks.v}
        numbers = {
            "seconds": self.clock(),
            "passes": self.passes,
            "short": float(self.short),
            "exact": float(self.exact),
            "coarse": float(self.coarse),
            "left": self.left,
            "lowest": self.lowest,
            "since": float(self.since),
            "attempted": self.attempted,
        }
        if math.isfinite(self.predicted):
            numbers["predicted_gap"] = self.predicted
        return State(self.iteration, arrays, numbers)
