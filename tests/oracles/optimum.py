"""The optimum by a cone program, from code that shares nothing with linprobe: Clarabel, an interior point method.

    minimise  sum_i a_i L_i(W x_i + b, y_i) + squares sum W² + sizes sum |W|,   a_i = w_i / sum w

Softmax becomes exponential cones, a hinge slacks above its margins, a squared hinge the squares of those slacks, and
|W| a second variable above W and -W. The values are evaluated afterwards, at the point that was found, in long doubles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import clarabel
import numpy as np
import scipy.sparse as sp

Array = np.ndarray[Any, Any]

WIDE = np.longdouble


@dataclass(frozen=True)
class Data:
    """An objective as plain arrays.

    Attributes:
        X: (N, D), mapped, long doubles.
        y, weight: (N,); a weight of 0 leaves an image out.
        loss: "softmax", "hinge" or "squared-hinge", with its `delta`.
        squares, sizes: factors of sum W² and of sum |W|.
        numbers: (D,) the largest |scale x| + |shift| that any code can have met on its way to X.
    """

    X: Array
    y: Array
    weight: Array
    n_classes: int
    loss: str
    delta: float
    squares: float
    sizes: float
    numbers: Array

    def rounding(self, W: Array, b: Array) -> float:
        """What float64 may miss of L(W, b): 64 roundings of each score's terms, through the slope of the loss."""
        L, others = float(self.value(W, b)), self.n_classes - 1
        eps = 64 * np.finfo(np.float64).eps
        moved = 2.0 * eps * float((np.abs(W) @ self.numbers + np.abs(b)).max())  # of a margin
        slope = 2.0 * np.sqrt(L) + moved if self.loss == "squared-hinge" else 1.0
        return eps * L + others * slope * moved

    def value(self, W: Array, b: Array) -> WIDE:
        """L(W, b) in long doubles: its rounding is 2000 times less than that of any float64 it is compared with."""
        W, rows = W.astype(WIDE), np.arange(len(self.y))
        S = self.X @ W.T + b.astype(WIDE)
        margins = S - S[rows, self.y, None]
        if self.loss == "softmax":
            top = margins.max(axis=1)
            losses = top + np.log(np.exp(margins - top[:, None]).sum(axis=1))
        else:
            margins = np.maximum(margins + WIDE(self.delta), 0)
            margins[rows, self.y] = 0
            losses = (margins if self.loss == "hinge" else margins**2).sum(axis=1)
        weight = self.weight.astype(WIDE)
        data = (weight * losses).sum() / weight.sum()
        return data + WIDE(self.squares) * (W**2).sum() + WIDE(self.sizes) * np.abs(W).sum()


@dataclass(frozen=True)
class Optimum:
    """What the solver found, converged or not.

    Attributes:
        W, b: a point, in long doubles, and so `upper`, L there, is never below the optimum.
        lower: a bound from the multipliers; 0, which every loss and penalty allows, where the solver did not converge.
        G: (N, K) float64, the dual point in linprobe's form, with feasible rows: -w_i / sum w_i of the multipliers.
    """

    W: Array
    b: Array
    upper: WIDE
    lower: float
    G: Array


def optimum(data: Data) -> Optimum:
    """The optimum of `data`. The bias of class 0 is held at 0: one number added to every score changes no loss."""
    used = np.flatnonzero(data.weight > 0)
    y = data.y[used]
    # The bias is free: about their mean, and at size 1, the columns are as well conditioned as they can be.
    mean = data.X[used].mean(axis=0)
    X = (data.X[used] - mean).astype(np.float64)
    share = data.weight[used] / data.weight.sum()
    (N, D), K = X.shape, data.n_classes
    unit = np.where(np.abs(X).max(axis=0) > 0, np.abs(X).max(axis=0), 1.0)
    Z = np.concatenate([X / unit, np.ones((N, 1))], axis=1)

    # s_j - s_y of every image and every j != y, as rows over (W * unit, b), class by class
    image = np.repeat(np.arange(N), K - 1)
    other = np.array([[j for j in range(K) if j != label] for label in range(K)])[y].ravel()
    pairs, n = len(image), K * (D + 1)
    row = np.repeat(np.arange(pairs), D + 1)
    columns = np.arange(D + 1)
    margins = sp.csc_matrix(
        (
            np.concatenate([Z[image].ravel(), -Z[image].ravel()]),
            (
                np.concatenate([row, row]),
                np.concatenate(
                    [(other[:, None] * (D + 1) + columns).ravel(), (y[image][:, None] * (D + 1) + columns).ravel()]
                ),
            ),
        ),
        shape=(pairs, n),
    )
    free = np.flatnonzero(np.arange(n) != D)
    margins = margins[:, free]
    inverse = np.concatenate([np.tile(np.append(1.0 / unit, 0.0), K)])[free]
    n = len(free)

    program = _Program()
    program.variables(n, squares=data.squares * inverse**2, cost=np.zeros(n))
    eye, none = sp.identity(pairs, format="csc"), sp.csc_matrix
    if data.loss == "softmax":
        # log sum_j e^(m_j) <= t by e^(m_j - t) <= u_j, sum u <= 1; the own margin is 0
        program.variables(N, cost=share)
        program.variables(pairs + N)
        to_image = sp.csc_matrix((np.ones(pairs), (np.arange(pairs), image)), shape=(pairs, N))
        all_images = sp.vstack([to_image, sp.identity(N)])
        all_margins = sp.vstack([margins, none((N, n))])
        own = sp.hstack([none((N, n + N)), all_images.T])
        program.at_most(own, np.ones(N))
        program.exponential(
            sp.hstack([all_margins, -all_images, none((pairs + N, pairs + N))]),
            sp.hstack([none((pairs + N, n + N)), sp.identity(pairs + N)]),
        )
    elif data.loss == "hinge":
        program.variables(pairs, cost=share[image])
        program.at_most(sp.hstack([margins, -eye]), np.full(pairs, -data.delta))
        program.at_most(sp.hstack([none((pairs, n)), -eye]), np.zeros(pairs))
    else:
        program.variables(pairs, squares=share[image])
        program.at_most(sp.hstack([margins, -eye]), np.full(pairs, -data.delta))
    if data.sizes > 0.0:
        sized = np.flatnonzero(inverse > 0)
        program.variables(len(sized), cost=data.sizes * inverse[sized])
        picked = sp.identity(n, format="csr")[sized]
        between = program.width - n - len(sized)
        for sign in (1.0, -1.0):
            blocks = [sign * picked, none((len(sized), between)), -sp.identity(len(sized))]
            program.at_most(sp.hstack(blocks), np.zeros(len(sized)))

    x, z, lower = program.solve()
    full = np.zeros(K * (D + 1))
    full[free] = x[:n]
    full = full.reshape(K, D + 1)
    W = full[:, :-1].astype(WIDE) / unit
    b = full[:, -1] - W @ mean
    multipliers = z[N : N + 3 * (pairs + N) : 3][:pairs] if data.loss == "softmax" else z[:pairs]
    G = _feasible_slopes(data, np.abs(multipliers) / share[image], used[image], other)
    return Optimum(W, b, data.value(W, b), lower, G)


def _feasible_slopes(data: Data, slopes: Array, rows: Array, others: Array) -> Array:
    """G (N, K): the slope of each pair of row and other class, moved to where the conjugate is finite."""
    G = np.zeros((len(data.y), data.n_classes))
    G[rows, others] = slopes
    if data.loss == "softmax":
        G /= np.maximum(1.0, G.sum(axis=1, keepdims=True))
    elif data.loss == "hinge":
        G = np.minimum(G, 1.0)
    G[np.arange(len(G)), data.y] = -G.sum(axis=1)
    return G


class _Program:
    """minimise (1/2) x·P x + cost·x over A x + s = right, s in cones."""

    def __init__(self) -> None:
        self.squares: list[Array] = []
        self.cost: list[Array] = []
        self.rows: list[Any] = []
        self.right: list[Array] = []
        self.cones: list[Any] = []

    @property
    def width(self) -> int:
        return sum(len(cost) for cost in self.cost)

    def variables(self, n: int, squares: Array | None = None, cost: Array | None = None) -> None:
        self.squares.append(np.zeros(n) if squares is None else 2.0 * squares)
        self.cost.append(np.zeros(n) if cost is None else cost)

    def at_most(self, A: Any, right: Array) -> None:
        self.rows.append(A)
        self.right.append(right)
        self.cones.append(clarabel.NonnegativeConeT(len(right)))

    def exponential(self, power: Any, above: Any) -> None:
        """e^(power x) <= above x, row by row."""
        n = power.shape[0]
        rows = sp.vstack([-power, sp.csc_matrix(power.shape), -above]).tocsr()
        self.rows.append(rows[np.arange(3 * n).reshape(3, n).T.ravel()])
        self.right.append(np.tile([0.0, 1.0, 0.0], n))
        self.cones += [clarabel.ExponentialConeT()] * n

    def solve(self) -> tuple[Array, Array, float]:
        """(x, z, a lower bound)."""
        squares, cost, right = np.concatenate(self.squares), np.concatenate(self.cost), np.concatenate(self.right)
        width = len(cost)
        A = sp.vstack([sp.hstack([rows, sp.csc_matrix((rows.shape[0], width - rows.shape[1]))]) for rows in self.rows])
        settings = clarabel.DefaultSettings()
        settings.verbose, settings.max_threads, settings.presolve_enable = False, 1, False
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
        P = sp.diags(squares, format="csc")
        found = clarabel.DefaultSolver(P, cost, A.tocsc(), right, self.cones, settings).solve()
        x, z = np.array(found.x), np.array(found.z)
        # For z in the dual cone and any feasible v, with r = P x + cost + Aᵀ z,
        #     f(v) >= -(1/2) x·P x - right·z + r·v
        # which is Clarabel's dual objective but for r·v. v is the optimum, taken to be at most twice as large, entry
        # by entry, as the x that was found, or at most 1; the rest is the rounding of the sums of these products.
        r = squares * x + cost + A.T @ z
        missing = float(np.abs(r) @ (2.0 * np.abs(x) + 1.0))
        rounding = 1e-14 * float(np.abs(squares) @ x**2 + np.abs(right) @ np.abs(z))
        bound = float(-0.5 * (squares * x) @ x - right @ z) - missing - rounding
        # with large residuals the solver stopped early, and its x says nothing of the size of the optimum
        return x, z, bound if missing <= 1e-6 * abs(bound) else 0.0
