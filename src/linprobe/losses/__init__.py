"""Losses: from scores and labels to the loss of each image and its gradient in the scores."""

from __future__ import annotations

from collections.abc import Callable

from linprobe.errors import ParameterError
from linprobe.losses.base import Loss
from linprobe.losses.hinge import MulticlassHinge
from linprobe.losses.softmax import SoftmaxCrossEntropy
from linprobe.losses.squared_hinge import SquaredHinge
from linprobe.parameters import check_given

__all__ = ["LOSSES", "Loss", "MulticlassHinge", "SoftmaxCrossEntropy", "SquaredHinge", "make_loss"]

LOSSES: dict[str, Callable[..., Loss]] = {
    loss.name: loss
    for loss in (
        MulticlassHinge,
        SquaredHinge,
        SoftmaxCrossEntropy,
    )
}
"""Each loss by its name, for the command line, the classifiers and the model file."""


def make_loss(name: str, **parameters: float) -> Loss:
    """The loss called `name`, with its `parameters` (e.g. delta).

    Raises:
        ParameterError: there is no such loss, it has no such parameter, or a value is out of range.
    Example:
        >>> make_loss("hinge", delta=2.0)
        MulticlassHinge(delta=2.0)
    """
    if name not in LOSSES:
        raise ParameterError(f"loss = {name!r}; expected one of {', '.join(LOSSES)}.")
    check_given(f"the loss {name!r}", LOSSES[name], parameters)
    return LOSSES[name](**parameters)
