"""The optimizers that the classifiers, the command line and the lab offer, by name; none is imported for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from linprobe.parameters import Parameter

__all__ = ["OPTIMIZERS", "Offered"]


@dataclass(frozen=True)
class Offered:
    """An optimizer as it is offered.

    Args:
        title: what readers call it.
        meaning: what it does, in a few words.
        unit: what a row of its trace counts.
        parameter_info: its parameters that the classifiers and the command line take.
    """

    title: str
    meaning: str
    unit: Literal["epoch", "iteration"]
    parameter_info: tuple[Parameter, ...]


OPTIMIZERS = {
    "exact": Offered(
        "exact",
        "the optimum, with a proven bound on how far from it the result can be",
        "iteration",
        (
            Parameter("tol", 1e-4, "relative duality gap to reach", low=0.0),
            Parameter("max_iter", 1000, "most iterations, of all methods together", "whole", low=0),
        ),
    ),
    "sgd": Offered(
        "stochastic gradient descent",
        "mini-batches, sampled without replacement",
        "epoch",
        (
            Parameter("batch_size", 32, "images per step", "whole", low=1),
            Parameter("epochs", 20, "passes over the training images", "whole", low=0),
            Parameter("learning_rate", "auto", 'step size; "auto" takes it from the curvature', low=0.0, open_low=True),
            Parameter("schedule", "cosine", "how the learning rate falls over the epochs", "text"),
            Parameter("update", "momentum", "how a gradient becomes a step", "text"),
            Parameter("momentum", 0.9, "mu of the updates momentum and nesterov, below 1", low=0.0, high=1.0),
            Parameter("dropout", 0.0, "probability that an input is dropped, below 1", low=0.0, high=1.0),
            Parameter("average", False, "whether the iterates of the second half of the epochs are averaged", "flag"),
            Parameter("patience", None, "epochs without a lower validation loss before it ends", "whole", low=1),
        ),
    ),
    "gd": Offered(
        "gradient descent",
        "steps along the gradient of all images, with a line search",
        "iteration",
        (
            Parameter("tol", 1e-4, "norm of the gradient to reach", low=0.0),
            Parameter("max_iter", 1000, "most steps", "whole", low=0),
        ),
    ),
}
"""Each by its name; `Exact`, `SGD` and `GradientDescent` are the classes."""
