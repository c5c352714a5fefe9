"""What in the data keeps an objective from a proof of tol, in a sentence, where no method had one."""

from __future__ import annotations

import numpy as np

from linprobe.objective import Objective
from linprobe.shapes import Floats

__all__ = ["OBSTACLE", "SQUARES_TOO_LARGE", "obstacle"]

OBSTACLE = "obstacle"
"""Name, in `Solution.chosen`, of that sentence."""

SAMPLE_ROWS = 4096
"""Images, at most, from which the spread of a feature is taken. Chosen by argument."""

FAR, UNEVEN, LIGHT = 1e9, 1e6, 1e12
"""Largest ratios that do not count as an obstacle: of the numbers of a feature and its spread; of the spreads of two
features; and of the weights of two images. Chosen by argument: float64 has 16 digits, and a proof of tol needs some
six."""

LARGE = 1e6
"""Largest spread of a feature that does not count as an obstacle. Chosen by argument: a proof loses as many digits as
the features have before the point. Features of 1e5 are certified in tests/optimizers/test_obstacles.py, and those of
1e11 are not."""

SQUARES_TOO_LARGE = (
    "sums of squares of the features are too large for float32: for numbers of up to 1e36 use "
    "preprocess='standardize'; else divide the features so that none is above 1e6"
)
"""What methods say that sum squares in float32, which ends at 3.4e38; engines read the features in float32 before they
standardise. Weights are not to blame: an objective divides unusually large ones by a power of 2."""


def obstacle(objective: Objective) -> str:
    """What was found in the data, and a next step.

    Features far from 0 are named first, then scales that differ, features that are large, and weights that differ.
    Else reg is.
    """
    examples = objective.examples
    X = examples.mapped(objective.statistics.sample(SAMPLE_ROWS))
    spreads: Floats = X.max(axis=0) - X.min(axis=0)
    varied = spreads > 0.0
    if varied.any():
        far = np.where(varied, objective.statistics.feature_sizes / np.where(varied, spreads, 1.0), 0.0)
        if far.max() > FAR:
            return (
                f"feature {int(far.argmax())} (counted from 0) lies {far.max():.0e} times its spread from 0, so "
                "rounding hides the minimum: subtract one of the rows from all rows before the fit"
            )
        if (uneven := float(spreads.max() / spreads[varied].min())) > UNEVEN:
            return (
                f"the scales of the features differ by a factor of {uneven:.0e}, so rounding hides the minimum: use "
                "preprocess='standardize'"
            )
        if spreads.max() > LARGE and objective.penalised:
            return (
                f"the features spread over {spreads.max():.0e}, so rounding hides the minimum at "
                f"reg={objective.reg:g}: use preprocess='standardize'"
            )
    weight = examples.sample_weight
    if weight is not None and (light := float(weight.max() / weight[weight > 0.0].min())) > LIGHT:
        return (
            f"the sample weights differ by a factor of {light:.0e}, so rounding hides the minimum: leave out the "
            "images of least weight"
        )
    if not objective.penalised:
        return "no step decreased the objective further: use penalty='l2' with reg > 0, or loosen tol"
    return f"no step decreased the objective further, at reg={objective.reg:g}: increase reg, or loosen tol"
