"""The exact optimum of any objective here, with a certificate: the optimizer that fits the objective is taken."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers.admm import ADMM
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Watch
from linprobe.optimizers.coordinate_descent import is_sparse
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.optimizers.normal_equations import ExactMoment, exact_moment
from linprobe.optimizers.preconditioner import DENSE_FEATURES, SecondMoment, second_moment
from linprobe.optimizers.trace import Clock
from linprobe.shapes import check_range

__all__ = ["Exact", "Moments", "is_smooth"]

USUAL = 1e20
"""Mean variance of the features, and its inverse, up to which float32 has room for their moment and its inverse."""


class Moments:
    """The second moments of the features of an objective, each computed when it is first asked for.

    Args:
        objective: any with these images.
        known: one of them, or None.
        many: whether many reg values will use them.
    """

    def __init__(
        self, objective: Objective, known: SecondMoment | ExactMoment | None = None, *, many: bool = False
    ) -> None:
        self._objective, self._known, self._many = objective, known, many

    @cached_property
    def sampled(self) -> SecondMoment:
        """That of a sample, or of all images if it is known."""
        known = self._known
        if isinstance(known, SecondMoment):
            return known
        if known is not None and known.of_features:
            return SecondMoment(known.mean, known.matrix.astype(np.float32))
        return second_moment(self._objective, many=self._many)

    @cached_property
    def exact(self) -> ExactMoment:
        """That of all images."""
        return self._known if isinstance(self._known, ExactMoment) else exact_moment(self._objective)


@final
@dataclass(frozen=True)
class Exact(Optimizer):
    """`LBFGS` where the loss is smooth, `ADMM` where it has kinks, or the penalty has and few weights are 0.

    Args:
        tol: relative duality gap to reach, >= 0; without a penalty, see `LBFGS` and `ADMM`.
        max_iter: iterations at most, >= 0; each takes a pass over the images, or a few.
    Raises:
        ParameterError: an argument outside its range.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l2", reg=0.1, engine="reference")
        >>> solution = Exact(tol=1e-4).minimize(objective)
        >>> solution.status.name, solution.certificate.relative_gap <= 1e-4
        ('CERTIFIED', True)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    name: ClassVar[str] = "exact"

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
        moments: Moments | None = None,
    ) -> Solution:
        """The weights found, with their certificate.

        Args:
            moments: of the features, if others share them.
        Raises:
            IncompatibleError: the loss has no conjugate or no prox, or the penalty no coefficients.
        """
        clock = Clock(0.0)
        moments = moments or Moments(objective)
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            method = self.method(objective, moments)
            if isinstance(method, LBFGS):
                sampled = moments.sampled
                return method.minimize(objective, start, callback, validation, watch, sampled, clock())
            exact = moments.exact
            return method.minimize(objective, start, callback, validation, watch, exact, clock())

    def method(self, objective: Objective, moments: Moments) -> LBFGS | ADMM:
        """The optimizer that fits the objective.

        Args:
            moments: of its features, which are looked at where a smooth loss has a penalty with |W|.
        Raises:
            IncompatibleError: none does.
        """
        if is_smooth(objective) or (objective.loss.smooth and _descends(objective, moments)):
            return LBFGS(self.tol, self.max_iter)
        return ADMM(self.tol, self.max_iter)


def is_smooth(objective: Objective) -> bool:
    """Whether neither the loss nor the penalty has kinks.

    Raises:
        IncompatibleError: the exact optimum of such a penalty is not to be had.
    """
    if objective.penalty is not None and objective.penalty.coefficients is None:
        raise IncompatibleError(
            f"optimizer='exact' needs a penalty a sum W² + c sum |W|; {type(objective.penalty).__name__} has no "
            "coefficients: use optimizer='sgd' or 'gd'."
        )
    return objective.loss.smooth and not (objective.penalised and objective.l1_weight > 0.0)


def _descends(objective: Objective, moments: Moments) -> bool:
    """Whether the steps of `LBFGS` with |W|, by coordinate descent, are the sooner way.

    With L1 alone they are even where few weights are 0: ADMM then takes many hundred passes.
    """
    if objective.n_features > DENSE_FEATURES:
        return False
    variance = moments.sampled.trace / max(1, objective.n_features)
    usual = 1.0 / USUAL < variance < USUAL
    return usual and (objective.l2_weight == 0.0 or is_sparse(objective, moments.sampled))
