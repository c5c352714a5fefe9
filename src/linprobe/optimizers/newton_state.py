"""What Newton's method saves, and its state where L-BFGS was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from linprobe.engines.base import Precision
from linprobe.optimizers.base import Solution, State
from linprobe.optimizers.states import SavedState, saved_array, saved_flag, saved_number
from linprobe.shapes import Floats

__all__ = ["NewtonState", "handed_over"]


@final
@dataclass(frozen=True, kw_only=True)
class NewtonState(SavedState):
    """What Newton's method saves; while it is L-BFGS that searches, the state is that of `LBFGS`.

    Attributes:
        metric_W, metric_b: where the preconditioner was made.
        damping, metric_damping: (K,) of the Hessian at the last step, and at that point; None for 0.
        newton: always true; the state of L-BFGS has no such number.
        threshold, model_threshold: of `ProofPolicy`, for the gradient's dual point and for the model's.
        precision: of the next pass, as `Precision` numbers it.
        products: that the first step with the preconditioner took; NaN before the first step.
        extra_cost: of the steps since then, beyond that, in passes.
        stage_reg, metric_reg: reg of the problem that is solved now, and that of the preconditioner; NaN for the
            objective's.
        renewals, patience: of the preconditioner, see `MAX_RENEWALS`.
        short_steps, steps: so far.
        predicted_gap: the duality gap predicted from the gradient.
    """

    metric_W: Floats | None = saved_array("K", "D", group="metric")
    metric_b: Floats | None = saved_array("K", group="metric")
    damping: Floats | None = saved_array("K", group="damping")
    metric_damping: Floats | None = saved_array("K", group="damping")
    newton: bool = saved_flag(True)
    threshold: float = saved_number(low=0.0, key="wanted")
    model_threshold: float = saved_number(low=0.0, key="model_wanted")
    precision: int = saved_number(int(Precision.SINGLE), low=min(Precision), high=max(Precision))
    products: float = saved_number(low=0.0)
    extra_cost: float = saved_number(0.0, low=0.0, key="extra")
    stage_reg: float = saved_number(low=0.0, key="stage")
    metric_reg: float = saved_number(low=0.0)
    renewals: float = saved_number(0.0, low=0.0)
    patience: float = saved_number(0.5, low=0.0)
    short_steps: int = saved_number(0, low=0, key="short")
    steps: int = saved_number(0, low=0, key="taken")
    predicted_gap: float = saved_number()


def handed_over(first: Solution, tol: float) -> State:
    """The state of Newton's method where L-BFGS was stopped."""
    W = first.W - first.W.mean(axis=0)  # no loss with a `curvature_form` depends on the mean, and L2 is less without it
    return NewtonState(
        epoch=first.state.epoch,
        W=W,
        b=first.b,
        passes=first.passes,
        metric_W=W,
        metric_b=first.b,
        threshold=tol,
    ).to_state()
