"""Steps where |W| has kinks: to the minimum of a quadratic model of the data loss plus the whole penalty."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linprobe.algebra.quadratic import QuadraticModel
from linprobe.engines.base import Precision
from linprobe.objective import Objective
from linprobe.optimizers.balance import bias_curvature
from linprobe.optimizers.base import zeros_state
from linprobe.optimizers.pairs import curves, keep, listed, numbered
from linprobe.optimizers.preconditioner import SecondMoment
from linprobe.optimizers.requests import Point, run_search, visit
from linprobe.optimizers.steps import Steps
from linprobe.shapes import Floats

__all__ = ["DescentSteps", "is_sparse"]

COUPLING_ROWS = 4096
"""Images over which the curvature C of the loss in the scores is averaged. Chosen by argument: each of its K² numbers
is right to a few hundredths, and the scores of 4,096 images cost less than a tenth of a pass over 50,000. Passes in
benchmarks/constants.py: a third: +1%; three times: 0%."""

RIDGE, MIN_COUPLING = 0.01, 0.1
"""Ridge added to C, as a share of its mean diagonal; and the floor of that mean, as a share of the mean of the C
before. C is singular along (1, ..., 1), as no loss changes when one number is added to all scores. It is nearly 0 where
every image is far beyond its margins. Passes in benchmarks/constants.py: RIDGE at a third: 0%; three times: -10%.
MIN_COUPLING at a third: -1%; three times: -5%."""

ALL_FEATURES_SHARE = 0.5
"""Share of the features in use above which all of them are used, without a copy of their part of the moment. Chosen by
argument: the copy costs as much as a sweep over them. Passes in benchmarks/constants.py: a third: 0%; three times:
+1%."""

MAX_JOINING, MAX_ROUNDS = 1 / 16, 4
"""Share of the features that may join those in use before each round of a step, and rounds of a step. Chosen by
argument: a feature that joins costs a row of the moment in each sweep, and few of those whose slope is large at first
keep a weight. A later step takes the rest."""

MODEL_TOL = 0.02
"""How precisely a step minimises the model: the largest slope that remains, as a share of the largest before the step.
Passes in benchmarks/constants.py: a third: -4%; three times: -2%."""

MIN_SWEEPS, MAX_SWEEPS, PASS_SHARE = 20, 400, 0.25
"""Sweeps over the weights in one step: between these two, as many as cost this share of the products of a pass. Passes
in benchmarks/constants.py: PASS_SHARE at a third: -3%; three times: -2%."""

INTERRUPT_PRODUCTS = 2e8
"""Products between two checks for Ctrl-C: about a tenth of a second."""

MAX_NONZERO = 0.3
"""Share of the weights that leave 0 in a first step up to which coordinate descent is preferred to ADMM for the
elastic net. Chosen by argument: a sweep costs D products for each weight that is not 0. ADMM's fit costs D for every
weight, but in matrix products, which are several times as fast."""

SMALL_SWEEP_PRODUCTS = 2**24
"""Products of a sweep over all weights, K D², up to which coordinate descent is preferred whatever that share: a sweep
then takes milliseconds. Chosen by argument."""


class DescentSteps(Steps):
    """The last pairs of a search, and the step to the minimum of the model that they make.

        g·D + 1/2 D·B D + reg R(W + D),   B = C x H, updated by the pairs as in BFGS

    H is the second moment of the features about their mean, C (K, K) the mean curvature of the loss in the scores,
    which is estimated again after the 1st, 2nd, 4th, 8th, ... step. With one number in place of C a search takes three
    times as many steps.

    Args:
        objective: its loss is smooth.
        moment: of its features, of a sample.
        arrays: "s0", "s1", ... and "y0", ..., (K, D + 1), and "coupling", (K, K), of an earlier search.
    Source:
        Lee, Sun and Saunders, "Proximal Newton-type methods for minimizing composite functions", 2014; the pairs as
        Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices", 1994, section 3; the descent as
        Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via coordinate descent",
        2010.
    """

    def __init__(self, objective: Objective, moment: SecondMoment, arrays: dict[str, Floats]) -> None:
        self._objective, self._mean, self._gram = objective, moment.mean, moment.dense
        self._s, self._y = listed(arrays, "s"), listed(arrays, "y")
        self._moved = [self._times_gram(s) for s in self._s]
        self._coupling = arrays.get("coupling")
        self._room = np.empty(0, np.float32)

    @property
    def count(self) -> int:
        return len(self._s)

    def clear(self) -> None:
        self._s, self._y, self._moved = [], [], []

    def arrays(self) -> dict[str, Floats]:
        coupling = {} if self._coupling is None else {"coupling": self._coupling.copy()}
        return coupling | numbered(s=self._s, y=self._y)

    def review(self, iteration: int, point: Point) -> None:
        """Measure C after iteration 0, 1, 2, 4, 8, ..."""
        if iteration & (iteration - 1) == 0 or self._coupling is None:
            C = bias_curvature(self._objective, point.W, point.b, COUPLING_ROWS)
            before = 0.0 if self._coupling is None else MIN_COUPLING * float(np.trace(self._coupling))
            self._coupling = C + RIDGE * max(float(np.trace(C)), before, 1e-300) / len(C) * np.eye(len(C))

    def add(self, point: Point, following: Point) -> None:
        step, change = point.step_to(following), following.gradient - point.gradient
        change[:, :-1] -= 2.0 * self._objective.l2_weight * step[:, :-1]
        s, y = self._shifted(step), self._centred(change)
        if curves(s, y):
            keep((self._s, s), (self._y, y), (self._moved, self._times_gram(s)))

    def direction(self, point: Point, most: int = MAX_SWEEPS, new: float = MAX_JOINING) -> Floats:
        """The step (K, D + 1) from a point.

        Args:
            most: sweeps at most.
            new: share of the features that may join those in use before a round.
        """
        if self._coupling is None:
            self.review(0, point)
        with np.errstate(over="ignore", invalid="ignore"):  # in a search that diverges; the line search finds out
            return self._direction(point, most, new)

    def _direction(self, point: Point, most: int, new: float) -> Floats:
        coupling, W = self._coupling, point.W
        assert coupling is not None
        K, D = W.shape
        smooth = point.gradient
        smooth[:, :-1] -= 2.0 * self._objective.l2_weight * W
        slope = np.ascontiguousarray(self._centred(smooth).T)  # (D + 1, K)
        try:
            pairs = self._pairs(coupling)
        except np.linalg.LinAlgError:  # rounding has made the pairs linearly dependent
            self.clear()
            pairs = self._pairs(coupling)
        found = self._model_minimum(W, slope, pairs, most, new)
        step = np.empty((K, D + 1))
        step[:, :D] = (found[:D] - W.T).T
        step[:, D] = found[D] - step[:, :D] @ self._mean
        return step

    def _model_minimum(
        self,
        W: Floats,
        slope: Floats,
        pairs: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
        most: int,
        new: float,
    ) -> Floats:
        """(D + 1, K) near the minimum of the model: W, and the change of the centred bias in the last row.

        A round minimises over the features in use; then those join whose slope exceeds the l1 weight.

        Args:
            slope: (D + 1, K), of the data loss at W.
            pairs: `_pairs`.
            most, new: as `direction` takes them.
        """
        coupling, gram, reg = self._coupling, self._gram, self._objective.l1_weight
        assert coupling is not None
        (K, D), at, (left, right) = W.shape, W.T, pairs
        ridge = 2.0 * self._objective.l2_weight
        found = np.concatenate([W, np.zeros((K, 1))], axis=1).T.copy()
        sums, moved = np.zeros(left.shape[2], np.float32), np.zeros((K, D + 1), np.float32)
        before = slope[:D] + ridge * at
        excess = np.where(at == 0.0, np.maximum(0.0, np.abs(before) - reg), np.abs(before + reg * np.sign(at)))
        tol = MODEL_TOL * float(excess.max(initial=0.0))
        features = (at != 0.0).any(axis=1)
        most_new = max(64, int(new * D), int(np.count_nonzero(features)) // 2)
        joining = _largest(np.where(at == 0.0, excess, 0.0).max(axis=1), most_new)
        for _ in range(MAX_ROUNDS):
            features |= joining
            all_features = np.count_nonzero(features) > ALL_FEATURES_SHARE * D
            picked = np.append(np.arange(D) if all_features else np.flatnonzero(features), D)
            part = QuadraticModel(
                self._gram_of(picked[:-1]),
                coupling,
                ridge,
                reg,
                slope[picked],
                left[picked],
                right[picked],
                found[picked],
                np.ascontiguousarray(moved[:, picked]),
                sums,
            )
            self._descend(part, tol, most)
            found[picked] = part.W
            changes = part.W[:-1] - at[picked[:-1]]
            moved[:, :D] = changes.T.astype(np.float32) @ gram[picked[:-1]]
            moved[:, D] = found[D]
            model = slope[:D] + (coupling.astype(np.float32) @ moved[:, :D]).T - left[:D] @ sums
            beyond = np.where(features, 0.0, np.abs(model).max(axis=1) - reg)
            joining = _largest(np.where(beyond > tol, beyond, 0.0), most_new)
            if not joining.any():
                break
        return found

    def _descend(self, model: QuadraticModel, tol: float, most: int) -> None:
        objective = self._objective
        n, K = model.W.shape
        done, largest = 0, np.inf
        while done < most and largest > tol:
            work = float(np.count_nonzero(model.W)) * (n + K) + n * K
            most = int(min(most, max(MIN_SWEEPS, PASS_SHARE * objective.n_images * objective.n_features * K / work)))
            piece = min(max(5, int(INTERRUPT_PRODUCTS / work)), most - done)
            if piece <= 0:
                break
            sweeps, largest = objective.engine.algebra.descend(model, piece, tol)
            done += sweeps

    def _pairs(self, coupling: Floats) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """left and right (D + 1, K, 2 m), the pairs' correction of the model: B is C x H less their product."""
        K, D = len(coupling), len(self._mean)
        m = len(self._s)
        left = np.zeros((D + 1, K, 2 * m), np.float32)
        if m == 0:
            return left, left.copy()
        s, y = (np.stack(kept).reshape(m, -1) for kept in (self._s, self._y))
        coupled = np.stack([coupling @ moved for moved in self._moved])
        products, both = s @ y.T, np.zeros((2 * m, 2 * m))
        both[:m, :m], both[:m, m:] = s @ coupled.reshape(m, -1).T, np.tril(products, -1)
        both[m:, :m], both[m:, m:] = both[:m, m:].T, -np.diag(np.diagonal(products))
        left[:, :, :m], left[:, :, m:] = coupled.transpose(2, 1, 0), y.reshape(coupled.shape).transpose(2, 1, 0)
        return left, left @ np.linalg.inv(both).astype(np.float32)

    def _gram_of(self, picked: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        n = len(picked)
        if n == len(self._gram):
            return self._gram
        if n * n > len(self._room):  # kept: fresh memory costs more than what is written to it
            self._room = np.empty(2 * n * n, np.float32)
        gram = self._room[: n * n].reshape(n, n)
        for row, feature in zip(gram, picked, strict=True):
            np.take(self._gram[feature], picked, out=row, mode="clip")
        return gram

    def _times_gram(self, s: Floats) -> Floats:
        moved = np.empty_like(s)
        moved[:, :-1], moved[:, -1] = s[:, :-1].astype(np.float32) @ self._gram, s[:, -1]
        return moved

    def _centred(self, gradient: Floats) -> Floats:
        """The gradient in W and b + W·mean."""
        centred = gradient.copy()
        centred[:, :-1] -= gradient[:, -1:] * self._mean
        return centred

    def _shifted(self, step: Floats) -> Floats:
        """The step in W and b + W·mean."""
        shifted = step.copy()
        shifted[:, -1] += step[:, :-1] @ self._mean
        return shifted


def _largest(values: Floats, most: int) -> npt.NDArray[np.bool_]:
    """Which of the values above 0 are among the largest `most`."""
    if most < len(values):
        values = np.where(values >= np.partition(values, -most)[-most], values, 0.0)
    return values > 0.0


def is_sparse(objective: Objective, moment: SecondMoment) -> bool:
    """Whether few weights leave 0 in a first step from zero weights: then coordinate descent is faster than ADMM."""
    D, K = objective.n_features, objective.n_classes
    if float(D) * D * K <= SMALL_SWEEP_PRODUCTS:
        return True
    zero = zeros_state(objective, np.float64).arrays
    point = run_search(objective, visit(objective, zero["W"], zero["b"], Precision.SINGLE))
    step = DescentSteps(objective, moment, {}).direction(point, MIN_SWEEPS, new=1.0)
    return int(np.count_nonzero(step[:, :-1])) <= MAX_NONZERO * D * K
