"""An objective, its lower bound and their gap as text: the same digits wherever they are shown.

The command line, the reports, the lab and the warnings print these figures with the functions below. What is proved is
never overstated: an objective and a gap are rounded up, a lower bound is rounded down. Only a share of 0 or 1 is
printed as 0 or 1, and no number as -0.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

__all__ = ["bound_text", "gap_text", "number_text", "objective_text", "percent_text", "points_text", "share_text"]

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


def share_text(value: float | None, decimals: int = 4, missing: str = "-") -> str:
    """A share 0..1, such as an accuracy; with more decimals where it would be rounded to 0 or 1 and is not.

    Example:
        >>> share_text(0.5), share_text(1.0), share_text(0.99996), share_text(0.9996, 2)
        ('0.5000', '1.0000', '0.99996', '0.9996')
    """
    return missing if value is None or math.isnan(value) else _unless_whole(value, decimals, (0.0, 1.0))


def percent_text(value: float | None, decimals: int = 1, missing: str = "-") -> str:
    """A share 0..1 in percent; with more decimals where it would be rounded to 0% or 100% and is not.

    Example:
        >>> percent_text(0.413), percent_text(1.0), percent_text(0.9996), percent_text(0.00004)
        ('41.3%', '100.0%', '99.96%', '0.004%')
    """
    return missing if value is None or math.isnan(value) else f"{_unless_whole(100.0 * value, decimals, (0.0, 100.0))}%"


def points_text(value: float) -> str:
    """A difference of two shares in percentage points, with its sign; with more decimals where it would round to 0.

    Example:
        >>> points_text(0.0123), points_text(-0.0003), points_text(0.0)
        ('+1.2', '-0.03', '+0.0')
    """
    text = _unless_whole(100.0 * value, 1, (0.0,))
    return text if text.startswith("-") else f"+{text}"


def number_text(value: float | None, digits: int = 4, missing: str = "-") -> str:
    """A number with some significant digits; `missing` where there is none.

    Example:
        >>> number_text(1234.5678), number_text(-0.0)
        ('1235', '0')
    """
    return missing if value is None or math.isnan(value) else f"{value:z.{digits}g}"


def _unless_whole(value: float, decimals: int, ends: tuple[float, ...]) -> str:
    """The value with these decimals, or with the fewest more that do not round it to one of the ends."""
    for more in range(decimals, MOST_DECIMALS):
        text = f"{value:z.{more}f}"
        if float(text) not in ends:
            return text
    return f"{value:z.{decimals}f}"


MOST_DECIMALS = 11
"""Decimals of a share below this: what is nearer to 0 or 1 is that, but for rounding. No source has 10^11 images."""


def _decimal(value: float, rounding: str) -> str:
    """The rounded value without an exponent and without zeros at its end; with an exponent where it is very small."""
    if not math.isfinite(value):
        return f"{value:g}"
    value += 0.0  # -0.0 becomes 0.0
    rounded = _rounded(value, DIGITS, rounding)
    if value == 0.0 or PLAIN_LOW <= abs(value) < PLAIN_HIGH:
        text = f"{rounded:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{float(rounded):.{DIGITS}g}"


def _rounded(value: float, digits: int, rounding: str) -> Decimal:
    """The value, as the shortest text that reads back as the same number, to some significant digits."""
    return Context(prec=digits, rounding=rounding).create_decimal(repr(float(value)))
