"""A share of hits, and its confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

from linprobe.errors import ParameterError

__all__ = ["Change", "ChangeJson", "Rate", "RateJson", "wilson_interval"]

Z95 = 1.959963984540054
"""The normal quantile of 97.5%."""


class RateJson(TypedDict):
    """A share of hits in JSON, with its 95% interval."""

    n_images: int
    accuracy: float
    low: float
    high: float


class ChangeJson(TypedDict, total=False):
    """A change of accuracy in JSON, with its 95% interval and its counts; all of the keys, or none."""

    change: float
    change_low: float
    change_high: float
    lost: int
    gained: int


@dataclass(frozen=True)
class Rate:
    """`hits` of `n` pictures classified correctly."""

    hits: int
    n: int

    @property
    def accuracy(self) -> float:
        """hits / n, 0..1; NaN for n = 0."""
        return self.hits / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the accuracy, (low, high)."""
        return wilson_interval(self.hits, self.n)

    def as_dict(self) -> RateJson:
        """For JSON: n_images, accuracy, low, high."""
        low, high = self.interval
        return {"n_images": self.n, "accuracy": self.accuracy, "low": low, "high": high}


@dataclass(frozen=True)
class Change:
    """What happened to the hits among `n` pictures when they were changed.

    Args:
        lost: classified correctly before and wrongly after.
        gained: the other way round.
        n: pictures, > 0.
    """

    lost: int
    gained: int
    n: int

    @property
    def value(self) -> float:
        """Accuracy after less accuracy before, -1..1."""
        return (self.gained - self.lost) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of `value`, (low, high).

            d ± z sqrt(g + l - (g - l)² / m) / m,  d = (g - l) / m,  l = lost + 1/2, g = gained + 1/2, m = n + 2

        The pictures are the same before and after, so that only those that moved count: it is shorter than that of
        the difference between two accuracies.

        Source:
            Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in
            Medicine 24, 2005: Wald's interval with half a picture more in each of the four cells.
        """
        lost, gained, n = self.lost + 0.5, self.gained + 0.5, self.n + 2
        middle = (gained - lost) / n
        half = Z95 * math.sqrt(lost + gained - (gained - lost) ** 2 / n) / n
        return max(-1.0, middle - half), min(1.0, middle + half)

    def as_dict(self) -> ChangeJson:
        """For JSON: change, change_low, change_high, lost, gained."""
        low, high = self.interval
        return {
            "change": self.value,
            "change_low": low,
            "change_high": high,
            "lost": self.lost,
            "gained": self.gained,
        }


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """The 95% interval (low, high) of a share of which `hits` of `n` were seen.

        (h + z²/2 ± z sqrt(h (n - h) / n + z²/4)) / (n + z²),  z = 1.96

    It is valid near 0 and 1 too, where the normal approximation leaves 0..1. It covers the sampling of the test
    pictures, not the variation between trainings. n = 0 gives (0, 1).

    Raises:
        ParameterError: not 0 <= hits <= n.
    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    if not 0 <= hits <= n:
        raise ParameterError(f"hits = {hits}, n = {n}; expected 0 <= hits <= n.")
    if n == 0:
        return 0.0, 1.0
    z2 = Z95 * Z95
    half = Z95 * math.sqrt(hits * (n - hits) / n + z2 / 4)
    low, high = (hits + z2 / 2 - half) / (n + z2), (hits + z2 / 2 + half) / (n + z2)
    # at the ends the formula is exact, its rounding is not
    return 0.0 if hits == 0 else low, 1.0 if hits == n else high
