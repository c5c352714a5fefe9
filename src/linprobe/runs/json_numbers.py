"""Types of the numbers in the JSON files of a run: their ranges are checked as a file is read."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from linprobe.typed_json import Within

__all__ = ["Count", "NotNegative", "Positive", "Seed", "Share"]

MOST_COUNT = 2**53
"""Largest count that is read: larger ones are no exact float64."""

Count: TypeAlias = Annotated[int, Within(0, MOST_COUNT)]
Seed: TypeAlias = Annotated[int, Within(0)]
Share: TypeAlias = Annotated[float, Within(0.0, 1.0 + 1e-9)]  # a ratio of sums of weights: rounding may exceed 1
NotNegative: TypeAlias = Annotated[float, Within(0.0)]
Positive: TypeAlias = Annotated[float, Within(0.0, open_low=True)]
