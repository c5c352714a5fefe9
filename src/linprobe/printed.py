"""An objective, its lower bound and their gap as text: the same digits wherever they are shown.

The command line, the reports, the lab and the warnings print these figures with the functions below. What is proved is
never overstated: an objective and a gap are rounded up, a lower bound is rounded down.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

__all__ = ["bound_text", "gap_text", "objective_text"]

DIGITS = 6
"""Significant digits of an objective and of a bound. Chosen by argument: they show a relative gap of 1e-5, a tenth of
the default tol."""

GAP_DIGITS = 2
"""Significant digits of a gap. Chosen by argument: only its size matters."""

PLAIN_LOW, PLAIN_HIGH = 1e-7, 1e15
"""Sizes between which an objective has no exponent. Chosen by argument: readers of a report do not all know `e-05`."""


def objective_text(value: float | None, missing: str = "-") -> str:
    """An objective, or a part of it, rounded up to six significant digits; `missing` where there is none.

    Example:
        >>> objective_text(1.695064)
        '1.69507'
    """
    return missing if value is None or math.isnan(value) else _decimal(value, ROUND_CEILING)


def bound_text(value: float | None, missing: str = "-") -> str:
    """A lower bound, rounded down to six significant digits; `missing` where there is none.

    Example:
        >>> bound_text(1.695064)
        '1.69506'
    """
    return missing if value is None or math.isnan(value) else _decimal(value, ROUND_FLOOR)


def gap_text(value: float | None, missing: str = "-") -> str:
    """A gap, rounded up to two significant digits; `missing` where there is none.

    Example:
        >>> gap_text(9.71e-5)
        '9.8e-05'
    """
    if value is None or math.isnan(value):
        return missing
    return f"{float(_rounded(value, GAP_DIGITS, ROUND_CEILING)):.{GAP_DIGITS - 1}e}"


def _decimal(value: float, rounding: str) -> str:
    """The rounded value without an exponent and without zeros at its end; with an exponent where it is very small."""
    if not math.isfinite(value):
        return f"{value:g}"
    rounded = _rounded(value, DIGITS, rounding)
    if value == 0.0 or PLAIN_LOW <= abs(value) < PLAIN_HIGH:
        text = f"{rounded:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{float(rounded):.{DIGITS}g}"


def _rounded(value: float, digits: int, rounding: str) -> Decimal:
    """The value, as the shortest text that reads back as the same number, to some significant digits."""
    return Context(prec=digits, rounding=rounding).create_decimal(repr(float(value)))
