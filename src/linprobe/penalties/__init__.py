"""Penalties: from weights to R(W), its gradient, prox and conjugate."""

from __future__ import annotations

from collections.abc import Callable

from linprobe.errors import ParameterError
from linprobe.parameters import check_given
from linprobe.penalties.base import Penalty
from linprobe.penalties.elastic_net import ElasticNet
from linprobe.penalties.l1 import L1
from linprobe.penalties.l2 import L2

__all__ = ["L1", "L2", "PENALTIES", "ElasticNet", "Penalty", "make_penalty"]

PENALTIES: dict[str, Callable[..., Penalty] | None] = {
    **{
        penalty.name: penalty
        for penalty in (
            L2,
            L1,
            ElasticNet,
        )
    },
    "none": None,
}
"""Each penalty by its name, for the command line, the classifiers and the model file."""


def make_penalty(name: str, **parameters: float) -> Penalty | None:
    """The penalty called `name`, with its `parameters` (e.g. beta); None for "none".

    Raises:
        ParameterError: there is no such penalty, it has no such parameter, or a value is out of range.
    Example:
        >>> make_penalty("elastic-net", beta=0.5)
        ElasticNet(beta=0.5)
    """
    if name not in PENALTIES:
        raise ParameterError(f"penalty = {name!r}; expected one of {', '.join(PENALTIES)}.")
    kind = PENALTIES[name]
    check_given(f"the penalty {name!r}", kind, parameters)
    return None if kind is None else kind(**parameters)
