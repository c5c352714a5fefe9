"""The SGD updates in plain NumPy: from gradient to direction and step; the oracle of the fused loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from linprobe.parameters import Parameter
from linprobe.shapes import Floats

__all__ = ["UPDATES", "Rates", "Update"]


@dataclass(frozen=True)
class Rates:
    """The numbers of an update, under the names of the papers."""

    momentum: float = 0.9
    rho: float = 0.99
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


Direction: TypeAlias = Callable[
    [Floats, Floats | None, Floats | None, float, int, Rates], tuple[Floats, Floats | float]
]


@dataclass(frozen=True)
class Update:
    """One way to turn gradients into steps, W <- prox(W - s d, s h), the kinked part of the penalty in prox.

    Attributes:
        title: what readers call it.
        formula: the step on one line, g being the gradient of the mini-batch, eta the learning rate.
        arrays: suffixes of the arrays it keeps for W and for b: "m" (velocity, first moment), "v" (sum of
            squares, second moment).
        adaptive: whether each coordinate has a step size of its own, free of the scale of the gradient.
        direction: (G, m, v, eta, t, rates) -> (d, s), with m and v updated in place; t counts from 1; s is a
            number or an array of the shape of G.
        parameter_info: its parameters among those of `SGD`.
    """

    title: str
    formula: str
    arrays: tuple[str, ...]
    adaptive: bool
    direction: Direction
    parameter_info: tuple[Parameter, ...] = ()

    def gradients_per_step(self, momentum: float) -> float:
        """h: how many gradients d adds up in the long run: 1 / (1 - mu) for momentum and nesterov, else 1.

        The prox has to shrink by as many: at a standstill m = G / (1 - mu), and the minimum of the objective,
        where prox_l1 balances G, is a fixed point only if the prox takes the step s / (1 - mu) too.
        """
        return 1.0 / (1.0 - momentum) if "m" in self.arrays and not self.adaptive else 1.0


def _kept(array: Floats | None) -> Floats:
    if array is None:
        raise TypeError("this update keeps an array that was not handed in; see Update.arrays")
    return array


def _plain(
    G: Floats, m: Floats | None, v: Floats | None, eta: float, t: int, rates: Rates
) -> tuple[Floats, Floats | float]:
    """d = G, s = eta."""
    return G, eta


def _momentum(
    G: Floats, m: Floats | None, v: Floats | None, eta: float, t: int, rates: Rates
) -> tuple[Floats, Floats | float]:
    """m <- mu m + G; d = m, s = eta."""
    m = _kept(m)
    m *= rates.momentum
    m += G
    return m, eta


def _nesterov(
    G: Floats, m: Floats | None, v: Floats | None, eta: float, t: int, rates: Rates
) -> tuple[Floats, Floats | float]:
    """m <- mu m + G; d = G + mu m, s = eta."""
    m = _kept(m)
    m *= rates.momentum
    m += G
    return G + rates.momentum * m, eta


def _adagrad(
    G: Floats, m: Floats | None, v: Floats | None, eta: float, t: int, rates: Rates
) -> tuple[Floats, Floats | float]:
    """v <- v + G²; d = G, s = eta / (sqrt(v) + eps)."""
    v = _kept(v)
    v += np.square(G)
    return G, eta / (np.sqrt(v) + rates.epsilon)


def _rmsprop(
    G: Floats, m: Floats | None, v: Floats | None, eta: float, t: int, rates: Rates
) -> tuple[Floats, Floats | float]:
    """v <- rho v + (1 - rho) G²; d = G, s = eta / (sqrt(v) + eps)."""
    v = _kept(v)
    v *= rates.rho
    v += (1.0 - rates.rho) * np.square(G)
    return G, eta / (np.sqrt(v) + rates.epsilon)


def _adam(
    G: Floats, m: Floats | None, v: Floats | None, eta: float, t: int, rates: Rates
) -> tuple[Floats, Floats | float]:
    """m, v: running means of G and G²; d = m / (1 - beta1^t), s = eta / (sqrt(v / (1 - beta2^t)) + eps)."""
    m, v = _kept(m), _kept(v)
    m *= rates.beta1
    m += (1.0 - rates.beta1) * G
    v *= rates.beta2
    v += (1.0 - rates.beta2) * np.square(G)
    s = eta / (np.sqrt(v / (1.0 - rates.beta2**t)) + rates.epsilon)
    return m / (1.0 - rates.beta1**t), s


MOMENTUM = (
    Parameter("momentum", Rates.momentum, "mu, the share of the last step that is kept, below 1", low=0.0, high=1.0),
)
"""The parameter of the two updates with a velocity."""

UPDATES: dict[str, Update] = {
    "plain": Update("plain", "W ← W − η g", (), False, _plain),
    "momentum": Update("momentum", "m ← μ m + g;  W ← W − η m", ("m",), False, _momentum, MOMENTUM),
    "nesterov": Update("Nesterov", "m ← μ m + g;  W ← W − η (g + μ m)", ("m",), False, _nesterov, MOMENTUM),
    "adagrad": Update("AdaGrad", "v ← v + g^2;  W ← W − η g / √v", ("v",), True, _adagrad),
    "rmsprop": Update("RMSProp", "v ← ρ v + (1 − ρ) g^2;  W ← W − η g / √v", ("v",), True, _rmsprop),
    "adam": Update("Adam", "m, v: running means of g and g^2;  W ← W − η m / √v", ("m", "v"), True, _adam),
}
"""Each update by its name. Source: CS231n notes, neural-networks-3, "Parameter updates"."""
