"""Which methods find the exact optimum of an objective, in which order, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers.admm import ADMM
from linprobe.optimizers.base import Optimizer
from linprobe.optimizers.coordinate_descent import is_sparse
from linprobe.optimizers.dual_ascent import DualAscent, dual_bytes, suits_dual_ascent
from linprobe.optimizers.interior_point import InteriorPoint, interior_point_cost
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.optimizers.moments import Moments
from linprobe.optimizers.newton import Newton, suits_newton
from linprobe.optimizers.preconditioner import DENSE_FEATURES
from linprobe.optimizers.span import SpanOfImages, suits_span
from linprobe.optimizers.working_set import WorkingSet, suits_working_set, uses_few_weights, working_set_cost

__all__ = ["PlannedMethod", "is_smooth", "plan_methods"]

INTERIOR_FIRST, INTERIOR_FIRST_L1, INTERIOR_FIRST_SQUARED = 5e8, 2e9, 3e10
"""Floating point operations of one step up to which the interior point method is tried first, for an objective with
kinks. The first limit, some 15 ms, is the general one. The second is for margins with |W| that leaves most weights
nonzero. The third replaces the second for the squared hinge on few images, where working sets save little
(benchmarks/gauntlet.py)."""

INTERIOR_SECOND = 1e10
"""The same for the hinge without |W| after dual ascent, which may converge slowly. On 2,000 one-hot vectors of 269
features and four classes at reg 1e-5 (4.5e9 operations) the interior point method takes 13 steps and 2.8 s, and working
sets 30 s."""

FEW_IMAGES_PER_FEATURE = 1.25
"""Images per feature up to which a data set has few images: it is usually separable then. Chosen by argument."""

INTERIOR_LAST, INTERIOR_BYTES = 1e11, 2e9
"""Operations and bytes of one step up to which the interior point method is tried at all: some seconds, 2 GB."""

FIRST_DUAL_EPOCHS = 100
"""Epochs of dual ascent before working sets take over: well conditioned problems need fewer. Chosen by argument."""

LATER_ITERATIONS = 300
"""Iterations of `max_iter` that are reserved for each method after the first. If `max_iter` is not larger, only the
first method runs. Chosen by argument."""

DUAL_IMAGES, DUAL_IMAGES_OF_HINGE, DUAL_PER_WEIGHT = 20_000, 100_000, 0.3
"""Images up to which dual ascent is tried first: DUAL_IMAGES for a smooth loss, which has a faster method for more
images, and DUAL_IMAGES_OF_HINGE for the hinge. For a smooth loss also up to DUAL_PER_WEIGHT images per weight: then the
classes are nearly separable, and the faster method converges slowly. On 50,000 x 768 with 1,000 classes (0.07 images
per weight, squared hinge, reg 1e-4) `Newton` is at 20 times the optimum after 420 passes, and `DualAscent` at a gap of
4e-3 after 29."""

DUAL_BYTES_OF_PIXELS, DUAL_BYTES_OF_VECTORS = 2**28, 2**30
"""Bytes that dual ascent may use, for uint8 pixels and for vectors. The limit for pixels is lower: their float32 copy
is four times their size, and `ADMM`, which needs no copy, solves them in some hundred passes. On 50,000 vectors of 100
classes `ADMM` still has a gap of 1 after 1,000 passes."""

WORKING_SET_BYTES, WORKING_SET_BYTES_OF_PIXELS = 2e9, 2.5e8
"""Bytes that working sets may need if all features joined the set; the second limit is for uint8 pixels, which ADMM
reads without a copy. Chosen by argument."""

FEW_SCORES, SOME_SCORES = 2**16, 2**18
"""Scores, N times K, up to which working sets are tried for a smooth loss with any number of features. SOME_SCORES is
for the squared hinge with few nonzero weights, FEW_SCORES for all else. With L1 on 1,600 vectors of 100 classes working
sets take a quarter of the time of LBFGS."""

NEWTON_CLASSES = 32
"""Number of classes from which `Newton` replaces `LBFGS`. It begins with L-BFGS steps, and keeps to them if they
converge quickly. With fewer classes a product with the Hessian costs nearly as much as a pass
(benchmarks/many_classes.py)."""

NEWTON_CLASSES_BFLOAT16 = 8
"""The same if the engine multiplies Hessians of all classes in bfloat16. On 60,000 x 784 with ten classes and reg 1e-5
`Newton` takes 0.6 of the time of `LBFGS` with softmax, and 0.4 with the squared hinge."""

MAX_VARIANCE = 1e20
"""Largest mean variance of the features, and inverse of the smallest, for which float32 can hold their second moment
and its inverse."""


@dataclass(frozen=True)
class PlannedMethod:
    """A method of a plan.

    Attributes:
        method: with its own tol and max_iter.
        moment: name of the attribute of `Moments` that the method is given; "" for none.
    """

    method: Optimizer
    moment: str = ""

    def arguments(self, moments: Moments) -> dict[str, Any]:  # each method takes other ones
        """Further arguments of the method's `minimize`: the moment of the features, computed now if it is not yet."""
        return {"moment": getattr(moments, self.moment)} if self.moment else {}


def plan_methods(objective: Objective, moments: Moments, tol: float, max_iter: int) -> list[PlannedMethod]:
    """The methods of `Exact.plan`, with their tol and max_iter.

    Args:
        moments: of the features. They are computed here if a smooth loss has a penalty with |W|.
    Raises:
        IncompatibleError: the exact optimum of such a penalty cannot be had.
    """
    choices = _choices(objective, moments)
    if max_iter <= LATER_ITERATIONS:
        choices = choices[:1]
    planned: list[PlannedMethod] = []
    remaining = max_iter
    for number, (method, moment) in enumerate(choices):
        later = len(choices) - number - 1
        share = max(remaining - later * LATER_ITERATIONS, remaining // 2) if later else remaining
        if method is DualAscent and objective.l1_weight > 0.0 and (WorkingSet, "") in choices[number:]:
            share = min(share, FIRST_DUAL_EPOCHS)
        planned.append(PlannedMethod(method(tol, share), moment))
        remaining -= share
    return planned


Choice: TypeAlias = tuple[Callable[[float, int], Optimizer], str]
"""(makes an optimizer from tol and max_iter; name of the moment of the features that it is given, "" for none)."""


def _choices(objective: Objective, moments: Moments) -> list[Choice]:
    """The methods of `Exact.plan`, in their order."""
    smooth = is_smooth(objective)
    operations, n_bytes = _interior(objective)
    sets = not smooth and suits_working_set(objective)
    kinked = sets and objective.loss.margin_power is not None and objective.l1_weight > 0.0
    few = kinked and uses_few_weights(objective)
    in_sets = sets and _suits_working_set(objective, few)
    first = INTERIOR_FIRST
    if kinked and not few:
        few_images = objective.n_images <= FEW_IMAGES_PER_FEATURE * objective.n_features
        first = INTERIOR_FIRST_SQUARED if objective.loss.margin_power == 2 and few_images else INTERIOR_FIRST_L1
    choices: list[Choice] = []
    if not smooth and operations <= first and n_bytes <= INTERIOR_BYTES:
        choices.append((InteriorPoint, ""))
    if in_sets and few:
        choices.append((WorkingSet, ""))
    if suits_dual_ascent(objective) and _suits_dual(objective) and not (smooth and operations <= INTERIOR_FIRST):
        choices.append((DualAscent, ""))
        after_ascent = operations <= INTERIOR_SECOND and n_bytes <= INTERIOR_BYTES and objective.l1_weight == 0.0
        if not smooth and after_ascent and (InteriorPoint, "") not in choices:
            choices.append((InteriorPoint, ""))
    if in_sets and not few:
        choices.append((WorkingSet, ""))
    if suits_span(objective):
        choices.append((SpanOfImages, ""))
    elif not choices or smooth:
        choices.append(_by_gradients(objective, moments))
    fits = sets and working_set_cost(objective, objective.n_features) <= WORKING_SET_BYTES
    if fits and (WorkingSet, "") not in choices:
        choices.append((WorkingSet, ""))
    if smooth and suits_dual_ascent(objective) and _fits_dual(objective) and (DualAscent, "") not in choices:
        choices.append((DualAscent, ""))
    if (InteriorPoint, "") not in choices and operations <= INTERIOR_LAST and n_bytes <= INTERIOR_BYTES:
        choices.append((InteriorPoint, ""))
    return choices


def _by_gradients(objective: Objective, moments: Moments) -> Choice:
    """The method that needs the images only for sums over all of them."""
    smooth = is_smooth(objective)
    least = NEWTON_CLASSES_BFLOAT16 if objective.engine.multiplies_hessians else NEWTON_CLASSES
    if suits_newton(objective) and objective.n_classes >= least:
        return Newton, "sampled"
    if smooth or (objective.loss.smooth and _descends(objective, moments)):
        return LBFGS, "sampled"
    return ADMM, "exact"


def _suits_dual(objective: Objective) -> bool:
    """Whether dual ascent is the fastest method: few images, or the hinge on vectors that fit memory."""
    weights = objective.n_features * objective.n_classes
    most = max(DUAL_IMAGES, DUAL_PER_WEIGHT * weights) if objective.loss.smooth else DUAL_IMAGES_OF_HINGE
    return objective.n_images <= most and _fits_dual(objective)


def _fits_dual(objective: Objective) -> bool:
    """Whether dual ascent keeps no more bytes than it may."""
    most = DUAL_BYTES_OF_PIXELS if objective.examples.X.dtype == np.uint8 else DUAL_BYTES_OF_VECTORS
    return dual_bytes(objective) <= most


def _suits_working_set(objective: Objective, few: bool) -> bool:
    """Whether working sets are the fastest method for a hinge or for |W|; `few` weights are used, or most.

    They copy the features in use to float64. With a smooth loss LBFGS is faster, unless there are few scores or its (D,
    D) matrix would be too large. Many uint8 pixels are left to ADMM, which does not copy them.
    """
    N, D, power = objective.n_images, objective.n_features, objective.loss.margin_power
    if power != 1:
        return D > DENSE_FEATURES or N * objective.n_classes <= (SOME_SCORES if power == 2 and few else FEW_SCORES)
    if objective.l1_weight > 0.0 and D > DENSE_FEATURES:
        return True
    bytes_kept = working_set_cost(objective, D)
    return bytes_kept <= (WORKING_SET_BYTES_OF_PIXELS if objective.examples.X.dtype == np.uint8 else WORKING_SET_BYTES)


def _interior(objective: Objective) -> tuple[float, float]:
    """(operations of a step of the interior point method, bytes it takes); infinite where it cannot run."""
    loss, penalty = objective.loss, objective.penalty
    if loss.margin_power is None and loss.curvature_form != "spread":
        return math.inf, math.inf
    if penalty is not None and penalty.coefficients is None:
        return math.inf, math.inf
    return interior_point_cost(objective)


def is_smooth(objective: Objective) -> bool:
    """Whether neither the loss nor the penalty has kinks.

    Raises:
        IncompatibleError: the exact optimum of such a penalty cannot be had.
    """
    if objective.penalty is not None and objective.penalty.coefficients is None:
        raise IncompatibleError(
            f"optimizer='exact' needs a penalty a sum W² + c sum |W|; {type(objective.penalty).__name__} has no "
            "coefficients: use optimizer='sgd' or 'gd'."
        )
    return objective.loss.smooth and not (objective.penalised and objective.l1_weight > 0.0)


def _descends(objective: Objective, moments: Moments) -> bool:
    """Whether the steps of `LBFGS` with |W|, by coordinate descent, are faster than ADMM.

    With L1 alone they are faster even if few weights are 0: ADMM then takes many hundred passes.
    """
    if objective.n_features > DENSE_FEATURES:
        return False
    variance = moments.sampled.trace / max(1, objective.n_features)
    in_range = 1.0 / MAX_VARIANCE < variance < MAX_VARIANCE
    return in_range and (objective.l2_weight == 0.0 or is_sparse(objective, moments.sampled))
