"""Where the regions of a linear classifier of points in the plane meet, and where a margin is just met: segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import hypot
from typing import TypeAlias

from linprobe.errors import ParameterError
from linprobe.shapes import Floats

__all__ = ["Border", "class_borders", "zero_lines"]

FLAT = 1e-12
"""Cosine between a line and the normal of a half plane, at most, for the two to be taken as parallel; of unit vectors,
whose rounding is 1e-16."""

SLACK = 1e-9
"""By how much of the longer side of the view a line may lie outside a half plane that it is parallel to: the line of
two equal rows of W lies on the edge of both."""

Point: TypeAlias = tuple[float, float]

HalfPlane: TypeAlias = tuple[float, float, float]
"""(a, b, c), where a x + b y + c >= 0, with a² + b² = 1; a = b = 0 for all of the plane or none of it."""


@dataclass(frozen=True)
class Border:
    """A segment on which class `inside` leads class `other` by just the margin, both ends inside the view."""

    inside: int
    other: int
    start: Point
    end: Point


def class_borders(
    W: Floats, b: Floats, low: Sequence[float], high: Sequence[float], margin: float = 0.0
) -> tuple[Border, ...]:
    """The parts of the lines s_i - s_j = margin on which s_i leads every class by at least the margin.

    For margin 0 they are the borders between the regions, each once, with i < j. For a margin above 0 they enclose, for
    each class i, the points on which the hinge of that margin is 0. Equal rows of W have no border.

    Args:
        W, b: (K, 2) and (K,), of s = W x + b.
        low, high: two corners (x, y) of the view, low < high in both.
        margin: >= 0, in the unit of the scores.
    Raises:
        ParameterError: a corner or the margin cannot be used.
    Example:
        >>> class_borders(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.zeros(2), (-1, -1), (1, 1))
        (Border(inside=0, other=1, start=(0.0, -1.0), end=(0.0, 1.0)),)
    """
    _check_view(low, high)
    if not margin >= 0.0:
        raise ParameterError(f"margin = {margin}; expected a number >= 0.")
    rows = [(float(w[0]), float(w[1]), float(bias)) for w, bias in zip(W, b, strict=True)]
    view = _view(low, high)
    slack = SLACK * max(high[0] - low[0], high[1] - low[1])
    pairs = permutations if margin > 0.0 else combinations
    found = []
    for i, j in pairs(range(len(rows)), 2):
        others = [_lead(rows[i], row, margin) for k, row in enumerate(rows) if k not in (i, j)]
        segment = _clipped(_lead(rows[i], rows[j], margin), [*view, *others], slack)
        if segment is not None:
            found.append(Border(i, j, *segment))
    return tuple(found)


def zero_lines(
    W: Floats, b: Floats, low: Sequence[float], high: Sequence[float]
) -> tuple[tuple[Point, Point] | None, ...]:
    """The segment of each class on which its score is 0, within the view; None where there is none.

    Args:
        W, b: (K, 2) and (K,), of s = W x + b.
        low, high: two corners (x, y) of the view, low < high in both.
    Raises:
        ParameterError: a corner cannot be used.
    Example:
        >>> zero_lines(np.array([[1.0, 0.0], [0.0, 0.0]]), np.ones(2), (-2, -2), (2, 2))
        (((-1.0, -2.0), (-1.0, 2.0)), None)
    """
    _check_view(low, high)
    slack = SLACK * max(high[0] - low[0], high[1] - low[1])
    rows = [(float(w[0]), float(w[1]), float(bias)) for w, bias in zip(W, b, strict=True)]
    return tuple(_clipped(_lead(row, (0.0, 0.0, 0.0), 0.0), _view(low, high), slack) for row in rows)


def _check_view(low: Sequence[float], high: Sequence[float]) -> None:
    if not (low[0] < high[0] and low[1] < high[1]):
        raise ParameterError(f"low = {low}, high = {high}; expected two points (x, y), low below high in x and in y.")


def _view(low: Sequence[float], high: Sequence[float]) -> list[HalfPlane]:
    """The half planes that bound a view."""
    return [(1.0, 0.0, -low[0]), (-1.0, 0.0, high[0]), (0.0, 1.0, -low[1]), (0.0, -1.0, high[1])]


def _lead(own: HalfPlane, other: HalfPlane, margin: float) -> HalfPlane:
    """Where the score of one row of (W, b) is above that of another by at least the margin."""
    a, b, c = own[0] - other[0], own[1] - other[1], own[2] - other[2] - margin
    size = hypot(a, b) or 1.0
    return a / size, b / size, c / size


def _clipped(line: HalfPlane, sides: Sequence[HalfPlane], slack: float) -> tuple[Point, Point] | None:
    """The ends of the edge of a half plane within all other half planes; None where nothing of it lies there.

    One half plane at least must bound the edge on either end, as those of a view do.
    """
    a, b, c = line
    if a == b == 0.0:
        return None
    first, last = float("-inf"), float("inf")  # along (-b, a), from the point of the edge that is nearest to (0, 0)
    for x, y, shift in sides:
        slope, height = y * a - x * b, shift - c * (x * a + y * b)
        if abs(slope) <= FLAT:
            if height < -slack:
                return None
        elif slope > 0.0:
            first = max(first, -height / slope)
        else:
            last = min(last, -height / slope)
    if not first < last:
        return None
    start, end = ((-c * a - t * b + 0.0, -c * b + t * a + 0.0) for t in (first, last))  # + 0.0: 0 has no sign
    return start, end
