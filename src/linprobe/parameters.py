"""What a parameter of a loss, a penalty or a training is: its default, its range, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from linprobe.shapes import check_range

__all__ = ["Parameter", "Setting"]

Setting: TypeAlias = str | bool | int | float | None
"""The value of a parameter, as an option and a JSON file hold it; None for "not set"."""


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

    def check(self, value: float) -> None:
        """Raise ParameterError unless `value` is a finite number in the range."""
        check_range(self.name, value, low=self.low, high=self.high, open_low=self.open_low)

    @property
    def range(self) -> str:
        """The range in words, such as "> 0" or ">= 0 and <= 1"; "" where there is none."""
        low = "" if self.low == -math.inf else f"{'>' if self.open_low else '>='} {self.low:g}"
        high = "" if self.high == math.inf else f"<= {self.high:g}"
        return " and ".join(filter(None, (low, high)))
