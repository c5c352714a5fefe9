"""What a parameter of a loss, a penalty or a training is: its default, its range, and what it means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from numbers import Integral, Real
from typing import Literal, TypeAlias, cast

from linprobe.errors import ParameterError
from linprobe.shapes import check_range

__all__ = ["NAMED", "Parameter", "Setting", "check_given"]

Setting: TypeAlias = str | bool | int | float | None
"""The value of a parameter, as an option and a JSON file hold it; None for "not set"."""

NAMED = {"loss": "delta", "penalty": "beta"}
"""The parameter of a loss, and of a penalty, that the classifiers take by name; their `loss_options` and
`penalty_options` hold the others."""


@dataclass(frozen=True)
class Parameter:
    """One parameter, as the command line, the lab and the report describe it.

    Args:
        name: as the constructor takes it.
        default: the value that is used where none is given; None for "not set".
        meaning: one line, with the unit.
        kind: "number", "whole" (an integer), "flag" or "text".
        low, high: the range of a number; both ends belong to it.
        open_low: whether `low` itself is left out.
    Example:
        >>> Parameter("delta", 1.0, "margin", low=0.0, open_low=True).range
        '> 0'
    """

    name: str
    default: Setting
    meaning: str
    kind: Literal["number", "whole", "flag", "text"] = "number"
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False

    def check(self, value: object) -> None:
        """Raise ParameterError unless `value` is of the kind, and a number finite and in the range."""
        expected = {"flag": bool, "text": str, "whole": Integral, "number": Real}[self.kind]
        if not isinstance(value, expected) or (isinstance(value, bool) and self.kind != "flag"):
            what = {"flag": "True or False", "text": "a text", "whole": "a whole number", "number": "a number"}
            raise ParameterError(f"{self.name} = {value!r}; expected {what[self.kind]}.")
        if self.kind in ("whole", "number"):
            check_range(self.name, cast(float, value), low=self.low, high=self.high, open_low=self.open_low)

    @property
    def range(self) -> str:
        """The range in words, such as "> 0" or ">= 0 and <= 1"; "" where there is none."""
        low = "" if self.low == -math.inf else f"{'>' if self.open_low else '>='} {self.low:g}"
        high = "" if self.high == math.inf else f"<= {self.high:g}"
        return " and ".join(filter(None, (low, high)))


def check_given(what: str, kind: Callable[..., object] | None, given: Mapping[str, object]) -> None:
    """Raise ParameterError where the constructor `kind` lacks a parameter that is given, or the value is out of range.

    Args:
        what: what the messages call it, such as "the loss 'hinge'".
        kind: the class; its `parameter_info` declares the ranges. None has no parameter.
        given: values by name.
    """
    known = [] if kind is None else list(signature(kind).parameters)
    for name in given:
        if name not in known:
            raise ParameterError(f"{what} has no parameter {name!r}; it has {', '.join(known) or 'none'}.")
    for declared in getattr(kind, "parameter_info", ()):
        if declared.name in given:
            declared.check(given[declared.name])
