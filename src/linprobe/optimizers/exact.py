"""The exact optimum of any objective here, with a certificate: the optimizer that fits the objective is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers.admm import ADMM
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Watch
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.shapes import check_range

__all__ = ["Exact"]


@final
@dataclass(frozen=True)
class Exact(Optimizer):
    """`LBFGS` where loss and penalty are smooth, `ADMM` where one of them has kinks.

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
    ) -> Solution:
        """The weights found, with their certificate.

        Raises:
            IncompatibleError: the loss has no conjugate or no prox, or the penalty no coefficients.
        """
        return self.method(objective).minimize(objective, start, callback, validation, watch)

    def method(self, objective: Objective) -> LBFGS | ADMM:
        """The optimizer that fits the objective.

        Raises:
            IncompatibleError: none does.
        """
        if objective.penalty is not None and objective.penalty.coefficients is None:
            raise IncompatibleError(
                f"optimizer='exact' needs a penalty a sum W² + c sum |W|; {type(objective.penalty).__name__} has no "
                "coefficients: use optimizer='sgd' or 'gd'."
            )
        smooth = objective.loss.smooth and (not objective.penalised or objective.sizes == 0.0)
        return LBFGS(self.tol, self.max_iter) if smooth else ADMM(self.tol, self.max_iter)
