"""Checks of the parameters of feature maps, which convert NumPy's numbers to Python's, for JSON."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from linprobe.errors import ParameterError

__all__ = ["count", "flag", "number"]


def count(name: str, value: Any) -> int:
    """`value` as an int. Raises ParameterError unless it is a whole number >= 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < 1:
        raise ParameterError(f"{name} = {value!r}; expected a whole number >= 1.")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """`value` as a bool. Raises ParameterError unless it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ParameterError(f"{name} = {value!r}; expected True or False.")
    return bool(value)


def number(name: str, value: Any, *, high: float) -> float:
    """`value` as a float. Raises ParameterError unless it is a number > 0 and <= `high`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0.0 < float(value) <= high:
        raise ParameterError(f"{name} = {value!r}; expected a number > 0 and <= {high:g}.")
    return float(value)
