"""What a search takes its directions from: an interface for the two kinds of quasi-Newton steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from linprobe.optimizers.requests import Point
from linprobe.shapes import Floats

__all__ = ["Steps"]


class Steps(ABC):
    """A model of the objective, learned from pairs of a step and the change of the gradient along it."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Pairs that are kept."""

    @property
    def rms_curvature(self) -> float:
        """Curvature of the data loss in W, root mean square over directions; inf where weights must not be rounded."""
        return math.inf

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of a `State` that belong to the model."""
        return {}

    @abstractmethod
    def arrays(self) -> dict[str, Floats]:
        """The arrays of a `State` that belong to the model."""

    @abstractmethod
    def direction(self, point: Point) -> Floats:
        """The step (K, D + 1) from a point to where the model predicts the minimum; its last column is of the bias."""

    @abstractmethod
    def add(self, point: Point, following: Point) -> None:
        """Learn the pair of two points in succession."""

    @abstractmethod
    def review(self, iteration: int, point: Point) -> None:
        """Estimate the curvature of the loss again, in some iterations."""

    @abstractmethod
    def clear(self) -> None:
        """Drop the pairs: rounding may have made them wrong."""

    def flattest(self, point: Point) -> Point:
        """A point near by whose gradient is predicted to be smaller, which a proof prefers; else the point itself."""
        return point
