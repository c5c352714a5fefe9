"""The variables of the interior point method: weights, and a slope and two slacks for each kink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.objective import Objective
from linprobe.optimizers.interior_features import ScaledFeatures, needs_all_features
from linprobe.optimizers.interior_system import NewtonSystem, SystemOptions
from linprobe.shapes import Floats

__all__ = ["Kinks", "Moves", "Reductions", "Variables", "Within"]

MAX_UNIT = 1e6
"""Largest unit of a slack, relative to that of an image of average weight. Chosen by argument: images of tiny weight
would otherwise have slacks beyond the range in which the system is well scaled."""

START_ROOM = 1.0
"""Slack, in units of the loss, that a kink at its corner has where a search starts near other weights. Chosen by
argument."""

Reductions: TypeAlias = list[tuple[Floats, Floats]]
"""By how much a step is to reduce the two products of each kind of kinks."""

Moves: TypeAlias = list[tuple[Floats, Floats, Floats]]
"""Steps (dg, du, dv) of slopes and slacks, for each kind of kinks."""


@dataclass(frozen=True)
class Within:
    """The weights of a search over few of them; all others are 0.

    Attributes:
        positions: (n,) the features that they belong to.
        weights: (n, K) whether a weight is one of them.
    """

    positions: npt.NDArray[np.int64]
    weights: npt.NDArray[np.bool_]


@dataclass
class Kinks:
    """Slopes and slacks of kinks of one kind, all of one shape.

    z = u - v,  (upper - g) u = mu,  (g - lower) v = mu. A squared margin has no upper bound, and u = g / 2.

    Attributes:
        g, u, v: the slope and the two slacks.
        lower, upper: bounds of the slope; `upper` None for a squared margin.
        counted: 1 for entries that are kinks, 0 for the others (the label's own), which never move.
        unit: of mu for each entry.
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

    def products_after(self, step: float, move: tuple[Floats, Floats, Floats]) -> tuple[Floats, Floats]:
        """The products after a step along a move."""
        dg, du, dv = move
        return self.products(self.g + step * dg, self.u + step * du, self.v + step * dv)

    def start_near(self, g: Floats, z: Floats, mu: float, typical: float) -> None:
        """Take these slopes, and slacks whose products are mu; slopes nearer their bounds than at z are moved away.

        Args:
            g, z: slopes and arguments of the kinks.
            typical: size of an argument.
        """
        product = mu * self.unit
        room = np.minimum(product / (np.abs(z) + START_ROOM * typical), 0.5)
        g = np.where(self.counted > 0, g, 0.5 * (self.lower + (1.0 if self.upper is None else self.upper)))
        self.g = np.clip(g, self.lower + room, np.inf if self.upper is None else self.upper - room)
        self.u = 0.5 * self.g if self.upper is None else product / (self.upper - self.g)
        self.v = product / (self.g - self.lower)
        self._curvature = None

    def target(self, z: Floats, first: Floats, second: Floats) -> Floats:
        """rho of dg = curvature (dz - rho), where the two products are to fall by `first` and `second`."""
        u = 0.5 * self.g if self.upper is None else self.u
        residual = u - self.v - z
        falling = 0.0 if self.upper is None else first / (self.upper - self.g)
        return residual - falling + second / (self.g - self.lower)

    def steps(self, dg: Floats, first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
        """(dg, du, dv)."""
        du = 0.5 * dg if self.upper is None else (self.u * dg - first) / (self.upper - self.g)
        return dg, du, -(self.v * dg + second) / (self.g - self.lower)

    def longest(self, dg: Floats, du: Floats, dv: Floats) -> float:
        """The largest step that keeps slopes and slacks inside their bounds."""
        distances = [(self.g - self.lower, dg), (self.v, dv)]
        if self.upper is not None:
            distances += [(self.upper - self.g, -dg), (self.u, du)]
        rates = [float((-(step / distance)[self.counted > 0]).max(initial=0.0)) for distance, step in distances]
        return 1.0 / max(*rates, 1e-300)

    def move(self, step: float, dg: Floats, du: Floats, dv: Floats) -> None:
        """Take a step along a move."""
        counted = self.counted > 0
        self.g = np.where(counted, self.g + step * dg, self.g)
        self.u = np.where(counted, self.u + step * du, self.u)
        self.v = np.where(counted, self.v + step * dv, self.v)
        self._curvature = None


class Variables:
    """theta, the slopes and slacks of all kinks, and the optimality conditions there.

    Attributes:
        theta: (K, d + 1) the weights of the scaled features, the bias in the last column.
        margins: the kinks of the losses; None where the loss has no margins.
        sizes: the kinks of |W|; None without |W|.
        l2, l1: (d,) the penalty in these coordinates.
        within: (K, d + 1) the unknowns; None for all.
        n_unknowns: their number.
    """

    def __init__(self, objective: Objective, within: Within | None = None) -> None:
        """At theta = 0, with slopes and slacks well inside their bounds."""
        self.objective = objective
        self.features = ScaledFeatures(objective, None if within is None else within.positions)
        self.Z, self.y, self.a = self.features.Z, self.features.y, self.features.a
        K, d = len(self.features.classes), self.Z.shape[1] - 1
        self.n, self.K, self.d = len(self.y), K, d
        self._by_class = [np.flatnonzero(self.y == k) for k in range(K)]
        scale = self.features.scale
        self.l2 = objective.l2_weight / np.square(scale)
        self.l1 = objective.l1_weight / scale
        self.within: npt.NDArray[np.bool_] | None = None
        self.n_unknowns = K * (d + 1)
        if within is not None:
            self.within = np.ones((K, d + 1), bool)
            self.within[:, :-1] = within.weights.T[self.features.classes]
            self.n_unknowns = int(self.within.sum())
        self.theta = np.zeros((K, d + 1))
        self.margins, self.sizes = self._first_margins(), self._first_sizes()
        self.kinds: list[tuple[Kinks, Floats]] = []  # the kinks, with the weight of each in the objective
        if self.margins is not None:
            self.kinds.append((self.margins, self.a[:, None] * self.margins.counted))
        if self.sizes is not None:
            self.kinds.append((self.sizes, self.l1 * self.sizes.counted))
        self._kind_weights = [float((share * kinks.unit).sum()) for kinks, share in self.kinds]

    def _first_margins(self) -> Kinks | None:
        """At scores of 0, where each margin is delta."""
        loss, n, K = self.objective.loss, self.n, self.K
        if loss.margin_power is None:
            return None
        off_label = np.ones((n, K))
        off_label[np.arange(n), self.y] = 0.0
        upper = 1.0 if loss.margin_power == 1 else None
        unit = np.repeat(np.minimum(self._mean_share / self.a, MAX_UNIT)[:, None], K, axis=1)
        u, v = 2.0 * loss.unit * unit, loss.unit * unit
        g = np.full_like(u, 0.5) if upper else np.full_like(u, 4.0 * loss.unit)
        return Kinks(g, u, v, 0.0, upper, off_label, unit)

    def _first_sizes(self) -> Kinks | None:
        """At weights of 0, with slopes of 0."""
        if not needs_all_features(self.objective):
            return None
        unit = np.repeat((self._mean_share / np.maximum(self.l1, 1e-300))[None], self.K, axis=0)
        u, v = 0.5 * self.objective.loss.unit * unit, 0.5 * self.objective.loss.unit * unit
        counted = np.ones((self.K, self.d)) if self.within is None else self.within[:, :-1].astype(np.float64)
        return Kinks(np.zeros((self.K, self.d)), u, v, -1.0, 1.0, counted, unit)

    def start_near(self, W: Floats, b: Floats, G: Floats, gap: float) -> None:
        """Move to the weights and slopes given, with slacks of the central path where the gap is `gap`.

        Args:
            W, b: (K, d) and (K,): weights of the mapped features.
            G: (N, K) slopes of the losses.
            gap: above 0; absolute.
        """
        features = self.features
        theta = features.coordinates(W, b)
        self.theta = theta if self.within is None else np.where(self.within, theta, 0.0)
        mu = gap / (2.0 * max(sum(self._kind_weights), 1e-300))
        slopes = G[np.ix_(features.rows, features.classes)]
        for (kinks, _), z in zip(self.kinds, self.kink_arguments(), strict=True):
            if kinks is self.sizes:  # the slopes of the margins are set: they come first in `kinds`
                slopes = -((self.a[:, None] * self.slopes()).T @ self.Z)[:, :-1]
                slopes = (slopes - 2.0 * self.l2 * self.theta[:, :-1]) / self.l1
            kinks.start_near(slopes, z, mu, self.objective.loss.unit)

    @property
    def _mean_share(self) -> float:
        return float(self.a.mean())

    def restore(self, arrays: Mapping[str, Floats]) -> None:
        """Take theta, slopes and slacks of a saved state, by the names of `arrays`."""
        self.theta = arrays["theta"].copy()
        for name, kinks in (("margin", self.margins), ("size", self.sizes)):
            if kinks is not None:
                kinks.g, kinks.u, kinks.v = (arrays[f"{name}_{part}"].copy() for part in "guv")

    def arrays(self) -> dict[str, Floats]:
        """What `restore` needs."""
        arrays = {"theta": self.theta}
        for name, kinks in (("margin", self.margins), ("size", self.sizes)):
            if kinks is not None:
                arrays |= {f"{name}_g": kinks.g, f"{name}_u": kinks.u, f"{name}_v": kinks.v}
        return arrays

    def with_label(self, E: Floats) -> Floats:
        """E (n, K), changed: at each label, minus the sum of the other entries."""
        E[np.arange(self.n), self.y] = 0.0
        E[np.arange(self.n), self.y] = -E.sum(axis=1)
        return E

    def slopes(self) -> Floats:
        """G (n, K): the slopes of the losses, those of the kinks where there are any; rows sum to 0."""
        if self.margins is None:
            return self.objective.loss.value_and_gradient(self.Z @ self.theta.T, self.y)[1]
        return self.with_label(self.margins.g * self.margins.counted)

    def kink_arguments(self) -> list[Floats]:
        """z of each kind of kinks: the margins s_j - s_y + delta (n, K), and the weights (K, d)."""
        arguments: list[Floats] = []
        if self.margins is not None:
            S: Floats = self.Z @ self.theta.T
            arguments.append(S - S[np.arange(self.n), self.y][:, None] + self.objective.loss.unit)
        return arguments if self.sizes is None else [*arguments, self.theta[:, :-1]]

    def residual(self) -> Floats:
        """The gradient of the Lagrangian in theta, (K, d + 1): 0 at the optimum."""
        r: Floats = (self.a[:, None] * self.slopes()).T @ self.Z
        r[:, :-1] += 2.0 * self.l2 * self.theta[:, :-1]
        if self.sizes is not None:
            r[:, :-1] += self.l1 * self.sizes.g
        return r if self.within is None else np.where(self.within, r, 0.0)

    def residual_product(self, r: Floats) -> float:
        """sum |r theta|, and |r| of the bias: what the residual r costs a bound with |W| alone."""
        return float(np.abs(r * self.theta).sum()) + float(np.abs(r[:, -1]).sum())

    def residual_cost(self, r: Floats) -> float:
        """What the residual r of the Lagrangian costs a bound: r² / (4 l2), or with |W| alone `residual_product`."""
        if self.objective.l2_weight > 0.0:
            return float((np.square(r[:, :-1]) / (4.0 * self.l2)).sum()) + float(np.abs(r[:, -1]).sum())
        return self.residual_product(r)

    def system(self, options: SystemOptions) -> NewtonSystem:
        """The Newton system, symmetric positive definite."""
        factors = None
        if self.margins is not None:
            weights = self.a[:, None] * self.margins.curvature()
        else:
            diagonal = self.objective.loss.curvature_weights(self.Z @ self.theta.T, self.y)
            weights = self.a[:, None] * diagonal
            factors = weights / np.sqrt(weights.sum(axis=1, keepdims=True))
        added = np.zeros((self.K, self.d + 1))
        added[:, :-1] = 2.0 * self.l2
        if self.sizes is not None:
            added[:, :-1] += self.l1 * self.sizes.curvature()
        # adding one number to all biases changes nothing; nor, without a penalty, does one to all weights of a feature
        free = np.array([self.d]) if self.objective.penalised else np.arange(self.d + 1)
        return NewtonSystem(self.Z, self.y, self._by_class, weights, factors, added, free, options, self.within)

    def complementarity(self, moves: Moves | None = None, step: float = 0.0) -> float:
        """mu: the mean of the products, weighted as they count in the gap; after a step along the moves."""
        total = weight = 0.0
        for i, (kinks, share) in enumerate(self.kinds):
            first, second = (
                kinks.products(kinks.g, kinks.u, kinks.v) if moves is None else kinks.products_after(step, moves[i])
            )
            total += float((share * (first + second)).sum())
            weight += self._kind_weights[i] * (1.0 if kinks.upper is None else 2.0)
        return total / weight if weight > 0.0 else 0.0

    def gap(self) -> float:
        """The weighted sum of the products: the duality gap where all residuals are 0."""
        return sum(float((share * sum(kinks.products(kinks.g, kinks.u, kinks.v))).sum()) for kinks, share in self.kinds)

    def value(self, theta: Floats) -> float:
        """The objective at theta."""
        losses = self.objective.loss.value(self.Z @ theta.T, self.y)
        W = theta[:, :-1]
        return float(self.a @ losses) + float((self.l2 * np.square(W)).sum()) + float((self.l1 * np.abs(W)).sum())

    def with_exact_zeros(self, ratio: float = 1.0) -> Floats:
        """theta, with 0 for every weight whose slack, over the distance of its slope from the bounds, is below `ratio`.

        At the optimum the ratio is 0 for weights of 0, and infinite for all others.
        """
        assert self.sizes is not None
        sparse = self.theta.copy()
        sparse[:, :-1][np.maximum(self.sizes.u, self.sizes.v) < ratio * (1.0 - np.abs(self.sizes.g))] = 0.0
        return sparse

    def dual_point(self) -> Floats | None:
        """(N, K) the slopes of the margins; None for a loss without kinks."""
        if self.margins is None:
            return None
        G = np.zeros((self.objective.n_images, self.objective.n_classes))
        g = np.clip(self.margins.g, 0.0, self.margins.upper)
        G[np.ix_(self.features.rows, self.features.classes)] = self.with_label(g * self.margins.counted)
        return G
