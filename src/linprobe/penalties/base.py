"""The Penalty interface: from weights to R(W), its gradient and its prox. The objective multiplies by `reg`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from linprobe.errors import IncompatibleError
from linprobe.parameters import Parameter
from linprobe.shapes import Floats

__all__ = ["Penalty", "excess", "soft_threshold"]


def soft_threshold(V: Floats, step: Floats | float) -> Floats:
    """`V` with each entry moved towards 0 by `step`, in the dtype of V: the prox of step |.|.

    V minus V clipped to [-step, step]: an entry within the interval becomes exactly +0.
    """
    step = np.asarray(step, dtype=V.dtype)
    return V - np.clip(V, -step, step)


def excess(V: Floats, reg: float) -> Floats:
    """max(0, |V| - reg), float64, and 0 where |V| exceeds reg by no more than a relative 1e-12.

    Rounding may leave a V that was scaled to |V| <= reg slightly above reg; the tolerance covers it.
    """
    size = np.abs(V).astype(np.float64)
    return np.where(size <= reg * (1.0 + 1e-12), 0.0, size - reg)


class Penalty(ABC):
    """A convex penalty of the weights, R(W); the bias is never penalised.

    Shapes, for every method of every penalty: `W` (K, D) floats; results keep its dtype.

    Every penalty is the sum of a smooth part and a kinked part:

        R(W) = smooth(W) + kinked(W)

    `gradient` is that of the smooth part, and `prox` that of the kinked part. L2 is all smooth, L1 all kinked.
    """

    name: ClassVar[str]
    """Its name on the command line and in the model file."""

    title: ClassVar[str] = ""
    """What readers call it, as "elastic net"; "" for its name."""

    formula: ClassVar[str] = ""
    """R(W) on one line, for the command line and the lab, which sets `^2` above the line."""

    parameter_info: ClassVar[tuple[Parameter, ...]] = ()
    """What each parameter of the constructor means, and its range."""

    smooth: ClassVar[bool]
    """Whether R has no kinked part, so that `prox` changes nothing."""

    @property
    def parameters(self) -> dict[str, float]:
        """The numbers that, with `name`, define the penalty (e.g. beta): for the model file."""
        return {one.name: getattr(self, one.name) for one in self.parameter_info}

    @property
    def coefficients(self) -> tuple[float, float] | None:
        """(a, c) if R(W) = a sum W² + c sum |W|, which the fused loops of the engines support; else None."""
        return None

    coefficient_symbols: ClassVar[tuple[str, str]] = ("a", "c")
    """How the lines on other tools write `coefficients`: "0", "1" or the name of a parameter, as ("beta", "1")."""

    @property
    def strong_convexity(self) -> float:
        """The largest m for which R(W) - (m/2) sum W² is convex."""
        return 0.0

    @abstractmethod
    def value(self, W: Floats) -> float:
        """R(W), one number, summed in float64."""

    @abstractmethod
    def gradient(self, W: Floats) -> Floats:
        """Gradient (K, D) of the smooth part of R."""

    @abstractmethod
    def prox(self, V: Floats, step: Floats | float) -> Floats:
        """argmin over W of (1/2) sum (W - V)² + sum step * kinked(W), shape (K, D).

        `step` is a number or an array (K, D): the step of each coordinate, for the adaptive updates.
        """

    @abstractmethod
    def conjugate(self, V: Floats, reg: float) -> float:
        """(reg R)*(V) = max over W of sum V * W - reg R(W); +inf where it is unbounded."""

    def dual_scale(self, V: Floats, reg: float) -> float:
        """Nearly the largest t <= 1 for which (reg R)*(t V) is finite: 1 unless R is L1."""
        return 1.0

    def least_subgradient(self, W: Floats, gradient: Floats, reg: float) -> Floats:
        """The smallest element (K, D) of gradient + reg * (subgradients of the kinked part of R at W).

        `gradient` is that of all smooth parts: the data loss, and reg times the smooth part of R. The result is 0 if
        and only if W is optimal, so its norm is a stopping criterion. Away from kinks it is the gradient of the
        objective.

        Raises:
            IncompatibleError: R has a kinked part and does not define this.
        """
        if not self.smooth:
            raise IncompatibleError(
                f"{type(self).__name__} has kinks but no least_subgradient; define it, as docs/add_a_penalty.md shows."
            )
        return gradient

    def kinks(self, W: Floats) -> Floats:
        """Signed quantities whose zeros are the kinks of R: W itself for L1, an empty array for L2."""
        return W[:0]
