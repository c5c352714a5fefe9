"""The checks of the two losses: values compared with the library's, and wrong formulas that are often written, named.

A value that is wrong is compared with what known mistakes give, one at a time and two at a time. A gradient is, too;
if none of them explains it, the numeric gradient names the coordinate that is furthest off, away from kinks.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from linprobe.assignments.problems import Problem, check_unchanged, has_loop, problems
from linprobe.assignments.verdict import Wrong
from linprobe.losses import Loss, MulticlassHinge, SoftmaxCrossEntropy
from linprobe.shapes import Floats, Labels

__all__ = ["HINGE", "SOFTMAX"]

Values = Callable[[Floats, Labels], Floats]
"""Scores (N, K) and labels (N,) -> the loss of each image (N,), or its gradient in the scores (N, K)."""

STEP = 1e-5
"""h of the centred differences, in units of a score; as in `linprobe.gradcheck`."""

RIGHT, NUMERIC = 1e-8, 1e-5
"""Relative error of a value, or a gradient, that counts as rounding; and of a gradient against differences."""


@dataclass(frozen=True)
class Whole:
    """How the losses of the images and the penalty become the objective: as they should, or not.

    Args:
        mean: whether the losses are divided by N.
        penalty: what multiplies reg times the sum of W².
        penalty_in_mean: whether the penalty is divided by N as well.
        bias_counts: whether b is in the scores.
        bias_penalised: whether b is in the penalty.
        sign: of the gradient.
    """

    mean: bool = True
    penalty: float = 1.0
    penalty_in_mean: bool = False
    bias_counts: bool = True
    bias_penalised: bool = False
    sign: float = 1.0

    def scores(self, at: Problem) -> Floats:
        """(N, K)."""
        return at.X @ at.W.T + (at.b if self.bias_counts else 0.0)

    def value(self, at: Problem, losses: Values) -> float:
        """The objective."""
        n = len(at.y) if self.mean else 1
        squares = np.sum(at.W**2) + (np.sum(at.b**2) if self.bias_penalised else 0.0)
        penalty = self.penalty * at.reg * squares / (len(at.y) if self.penalty_in_mean else 1)
        return float(losses(self.scores(at), at.y).sum() / n + penalty)

    def gradient(self, at: Problem, slopes: Values) -> tuple[Floats, Floats]:
        """In W and in b."""
        n = len(at.y) if self.mean else 1
        dS = slopes(self.scores(at), at.y)
        factor = 2.0 * self.penalty * at.reg / (len(at.y) if self.penalty_in_mean else 1)
        db = dS.sum(axis=0) / n + (factor * at.b if self.bias_penalised else 0.0)
        return self.sign * (dS.T @ at.X / n + factor * at.W), self.sign * db


OF_VALUES = {
    "the losses are added up and not divided by N": Whole(mean=False),
    "reg times the sum of the squares of W is missing": Whole(penalty=0.0),
    "the penalty has a factor 1/2; here it is reg times the sum of the squares": Whole(penalty=0.5),
    "the penalty is divided by N as well; it counts once": Whole(penalty_in_mean=True),
    "b is missing in the scores": Whole(bias_counts=False),
    "b is in the penalty; only W is penalised": Whole(bias_penalised=True),
}
"""Mistakes of a value that do not depend on the loss."""

OF_GRADIENTS = {
    "it is the sum over the images and not divided by N": Whole(mean=False),
    "the gradient of the penalty, 2 reg W, is missing": Whole(penalty=0.0),
    "the gradient of reg times the sum of W² is 2 reg W, and not reg W": Whole(penalty=0.5),
    "the gradient of the penalty is divided by N; it counts once": Whole(penalty_in_mean=True),
    "b is missing in the scores": Whole(bias_counts=False),
    "b has a gradient of the penalty; only W is penalised": Whole(bias_penalised=True),
    "all signs are turned around": Whole(sign=-1.0),
}
"""Mistakes of a gradient that do not depend on the loss."""


def _margins(S: Floats, y: Labels, delta: float = 1.0, turned: bool = False) -> Floats:
    """(N, K) the margins; that of the correct class is 0."""
    own = np.take_along_axis(S, y[:, None], axis=1)
    margins: Floats = (own - S if turned else S - own) + delta
    margins[np.arange(len(y)), y] = 0.0
    return margins


def _positive(margins: Floats) -> Floats:
    return np.maximum(margins, 0.0)


HINGE_VALUES: dict[str, Values] = {
    "the correct class is counted, too: its margin is always 1": lambda S, y: _positive(_margins(S, y)).sum(1) + 1.0,
    "the margin of 1 is missing: it is s_j - s_{y_i} + 1": lambda S, y: _positive(_margins(S, y, 0.0)).sum(1),
    "the difference is turned around: it is s_j - s_{y_i} + 1": lambda S, y: _positive(_margins(S, y, 1.0, True)).sum(
        1
    ),
    "negative margins count as well: max(0, ...) is missing": lambda S, y: _margins(S, y).sum(1),
    "the margins are squared": lambda S, y: np.square(_positive(_margins(S, y))).sum(1),
    "only the largest margin of an image counts; here all are added": lambda S, y: _positive(_margins(S, y)).max(1),
}
"""Mistakes of the hinge of each image, by hint."""


def _hinge_slopes(S: Floats, y: Labels, own: str = "each", delta: float = 1.0) -> Floats:
    violated = (_margins(S, y, delta) > 0).astype(np.float64)
    rows = np.arange(len(y))
    violated[rows, y] = 0.0
    count = violated.sum(axis=1)
    violated[rows, y] = {"each": -count, "none": 0.0 * count, "once": -(count > 0).astype(float), "plus": 1.0 - count}[
        own
    ]
    return violated


HINGE_SLOPES: dict[str, Values] = {
    "row y_i is missing: each violated margin also contains -s_{y_i}": lambda S, y: _hinge_slopes(S, y, "none"),
    "row y_i gets -x_i once for an image; it gets it once for each violated margin": (
        lambda S, y: _hinge_slopes(S, y, "once")
    ),
    "row y_i also gets +x_i, as the correct class is counted": lambda S, y: _hinge_slopes(S, y, "plus"),
    "the margin of 1 is missing: it is s_j - s_{y_i} + 1 > 0": lambda S, y: _hinge_slopes(S, y, "each", 0.0),
}
"""Mistakes of the gradient of the hinge in the scores, by hint."""


def _log_sum(S: Floats) -> Floats:
    top = S.max(axis=1)
    total: Floats = np.log(np.exp(S - top[:, None]).sum(axis=1)) + top
    return total


def _own(S: Floats, y: Labels) -> Floats:
    own: Floats = np.take_along_axis(S, y[:, None], axis=1)[:, 0]
    return own


def _probabilities(S: Floats) -> Floats:
    return np.exp(S - _log_sum(S)[:, None])


SOFTMAX_VALUES: dict[str, Values] = {
    "the minus of -log p is missing": lambda S, y: _own(S, y) - _log_sum(S),
    "the logarithm is to the base 10; here it is the natural one": lambda S, y: (
        (_log_sum(S) - _own(S, y)) / np.log(10.0)
    ),
    "the logarithm is to the base 2; here it is the natural one": lambda S, y: (_log_sum(S) - _own(S, y)) / np.log(2.0),
    "it is the probability of the correct class, and not -log of it": lambda S, y: np.exp(_own(S, y) - _log_sum(S)),
    "s_{y_i} is not subtracted": lambda S, y: _log_sum(S),
    "s_{y_i} is not subtracted, less the largest score as in the sum": lambda S, y: _log_sum(S) - S.max(axis=1),
    "the correct class is left out of the sum of e^{s_j}": lambda S, y: (
        _log_sum(np.where(np.arange(S.shape[1]) == y[:, None], -np.inf, S)) - _own(S, y)
    ),
}
"""Mistakes of the softmax loss of each image, by hint."""


def _softmax_slopes(S: Floats, y: Labels, own: float) -> Floats:
    slopes = _probabilities(S)
    slopes[np.arange(len(y)), y] -= own
    return slopes


def _alone(S: Floats, y: Labels) -> Floats:
    slopes = np.zeros_like(S)
    slopes[np.arange(len(y)), y] = _own(_probabilities(S), y) - 1.0
    return slopes


SOFTMAX_SLOPES: dict[str, Values] = {
    "the 1 of the correct class is not subtracted: there it is p - 1": lambda S, y: _softmax_slopes(S, y, 0.0),
    "1 is added for the correct class; it is p - 1": lambda S, y: _softmax_slopes(S, y, -1.0),
    "only the row of the correct class has a gradient; the others have p": _alone,
}
"""Mistakes of the gradient of the softmax loss in the scores, by hint."""


def _explained(
    found: Any, right: Values, wrong: Mapping[str, Values], whole: Mapping[str, Whole], make: Any
) -> str | None:
    """The mistakes, at most two, that give what was found, in words; None if no two do.

    Args:
        found: what the student's lines give.
        right, wrong: the loss, or its gradient in the scores, as it is and with a mistake.
        whole: mistakes in the rest.
        make: (Whole, Values) -> the number or arrays to compare.
    """
    singles = [((hint,), Whole(), values) for hint, values in wrong.items()]
    singles += [((hint,), how, right) for hint, how in whole.items()]
    doubles = [((a, b), how, values) for (a, values), (b, how) in itertools.product(wrong.items(), whole.items())]
    for hints, how, values in [*singles, *doubles, *_pairs(whole, right)]:
        if _close(found, make(how, values)):
            return "; and ".join(hints)
    return None


def _pairs(whole: Mapping[str, Whole], right: Values) -> Iterator[tuple[tuple[str, str], Whole, Values]]:
    """Two mistakes of the rest at once."""
    plain = Whole()
    for (a, one), (b, two) in itertools.combinations(whole.items(), 2):
        both = {name: value for how in (one, two) for name, value in vars(how).items() if value != getattr(plain, name)}
        yield (a, b), Whole(**both), right


def _close(found: Any, expected: Any) -> bool:
    """Whether numbers or pairs of arrays are equal up to rounding."""
    ours, theirs = (np.concatenate([np.ravel(part) for part in _parts(of)]) for of in (expected, found))
    scale = float(np.abs(ours).max(initial=1e-12))
    return bool(np.isfinite(theirs).all()) and float(np.abs(ours - theirs).max()) <= RIGHT * scale


def _parts(of: Any) -> tuple[Any, ...]:
    return of if isinstance(of, tuple) else (of,)


@dataclass(frozen=True)
class FormulaCheck(ABC):
    """Of a function of (W, b, X, y, reg).

    Args:
        blank: its name.
        loss: the library's.
        mistakes: wrong losses, or slopes in the scores, by hint.
        loops: whether it may have loops.
    """

    blank: str
    loss: Loss
    mistakes: Mapping[str, Values]
    loops: bool

    def __call__(self, student: ModuleType) -> None:
        """Raise Wrong where it is."""
        function = getattr(student, self.blank)
        for at in problems():
            found = check_unchanged(function, at.arguments())
            self.check_form(at, found)
            if _close(found, self.made(at, Whole(), self.right)):
                continue
            hint = None
            if at.generic:
                hint = _explained(found, self.right, self.mistakes, self.of_all, partial(self.made, at))
            raise Wrong(f"{at.words}: {self.told(at, found, hint)}")
        _check_loops(function, self.loops)

    @property
    @abstractmethod
    def right(self) -> Values:
        """The loss of each image, or its slopes."""

    @property
    @abstractmethod
    def of_all(self) -> Mapping[str, Whole]:
        """The mistakes that do not depend on the loss."""

    @abstractmethod
    def check_form(self, at: Problem, found: Any) -> None:
        """Raise Wrong unless what was returned has the right form."""

    @abstractmethod
    def made(self, at: Problem, how: Whole, values: Values) -> Any:
        """What the function should return, or would with a mistake."""

    @abstractmethod
    def told(self, at: Problem, found: Any, hint: str | None) -> str:
        """What is wrong, with the hint if there is one."""


class ValueCheck(FormulaCheck):
    """Of a function that returns the objective."""

    @property
    def right(self) -> Values:
        """The loss of each image."""
        return self.loss.value

    @property
    def of_all(self) -> Mapping[str, Whole]:
        """`OF_VALUES`."""
        return OF_VALUES

    def check_form(self, at: Problem, found: Any) -> None:
        """One number."""
        if not isinstance(found, int | float | np.number) and getattr(found, "shape", None) != ():
            raise Wrong(f"expected one number; it returns {_kind(found)}")

    def made(self, at: Problem, how: Whole, values: Values) -> float:
        """The objective."""
        return how.value(at, values)

    def told(self, at: Problem, found: Any, hint: str | None) -> str:
        """Both numbers, and the hint."""
        numbers = f"{float(found):.6g}; expected {self.made(at, Whole(), self.right):.6g}"
        return f"{numbers}; {hint}" if hint else numbers


class SlopeCheck(FormulaCheck):
    """Of a function that returns the gradient, (dW, db)."""

    @property
    def right(self) -> Values:
        """The gradient of each loss in the scores."""
        return lambda S, y: self.loss.value_and_gradient(S, y)[1]

    @property
    def of_all(self) -> Mapping[str, Whole]:
        """`OF_GRADIENTS`."""
        return OF_GRADIENTS

    def check_form(self, at: Problem, found: Any) -> None:
        """Two arrays, in the shapes of W and b."""
        if not isinstance(found, tuple) or len(found) != 2:
            raise Wrong(f"expected two arrays, dW and db; it returns {_kind(found)}")
        for name, part, like in zip(("dW", "db"), found, (at.W, at.b), strict=True):
            if np.shape(part) != like.shape:
                raise Wrong(f"{name} is {_kind(part)}; expected shape {like.shape}, as {name[1:]} has")

    def made(self, at: Problem, how: Whole, values: Values) -> tuple[Floats, Floats]:
        """The gradient in W and in b."""
        return how.gradient(at, values)

    def told(self, at: Problem, found: Any, hint: str | None) -> str:
        """The hint, and the number that is furthest off."""
        worst = _worst(self.loss, at, found)
        return f"{hint}; {worst}" if hint else worst


def _worst(loss: Loss, at: Problem, found: tuple[Any, Any]) -> str:
    """The coordinate that centred differences contradict most, and how many more; kinks are left out and counted."""
    wrong: list[tuple[float, str]] = []
    n_kinks = 0
    for name, part, gradient in (("W", at.W, found[0]), ("b", at.b, found[1])):
        for index in np.ndindex(part.shape):
            below, above = at.moved(name, index, -STEP), at.moved(name, index, STEP)
            ends = [Whole().scores(end) for end in (below, above)]
            if (np.sign(loss.kinks(ends[0], at.y)) != np.sign(loss.kinks(ends[1], at.y))).any():
                n_kinks += 1
                continue
            numeric = (Whole().value(above, loss.value) - Whole().value(below, loss.value)) / (2 * STEP)
            own = float(np.asarray(gradient)[index])
            error = abs(own - numeric) / max(abs(own), abs(numeric), 1e-3)
            if not error <= NUMERIC:
                place = f"d{name}[{', '.join(map(str, index))}]"
                wrong.append((error, f"{place} is {own:.6g}, and by centred differences {numeric:.6g}"))
    kinks = f" ({n_kinks} more at kinks were left out)" if n_kinks else ""
    if not wrong:
        return f"the differences show nothing wrong{kinks}, and the values are not those of the formula"
    worst = max(wrong, key=lambda one: one[0])[1]
    return f"{len(wrong)} of {at.W.size + at.b.size} numbers are wrong: {worst}{kinks}"


def _kind(found: object) -> str:
    """What was returned, in words."""
    if found is None:
        return "None; is there a return?"
    shape = getattr(found, "shape", None)
    return f"a {type(found).__name__}" if shape is None else f"an array of shape {shape}"


def _check_loops(function: Any, allowed: bool) -> None:
    if not allowed and (loop := has_loop(function)):
        raise Wrong(f"the numbers are right, but there is a loop in line {loop}; it can be written without")


def _scores(student: ModuleType) -> None:
    for at in problems():
        found = check_unchanged(student.scores, (at.W, at.b, at.X))
        expected = Whole().scores(at)
        if np.shape(found) != expected.shape:
            turned = "; transpose it" if np.shape(found) == expected.T.shape else ""
            raise Wrong(f"expected shape {expected.shape}{turned}; it returns {_kind(found)}")
        if not _close(found, expected):
            hint = "; b is missing" if _close(found, expected - at.b) else ""
            raise Wrong(f"{at.words}: the scores are not W x + b{hint}")
    _check_loops(student.scores, False)


def _softmax_probabilities(student: ModuleType) -> None:
    for at in problems():
        S = Whole().scores(at)
        found = check_unchanged(student.probabilities, (S,))
        if np.shape(found) != S.shape:
            raise Wrong(f"expected shape {S.shape}; it returns {_kind(found)}")
        if np.isnan(found).any():
            raise Wrong(f"{at.words}: NaN, as e^s overflows; subtract the largest score of each image first")
        if not _close(found, _probabilities(S)):
            total = np.asarray(found).sum(axis=1)
            hint = "" if np.allclose(total, 1.0) else f"; those of the first image add up to {total[0]:.6g}"
            hint = "; each image is normalised by itself, axis 1" if np.allclose(np.sum(found, 0), 1.0) else hint
            raise Wrong(f"{at.words}: not the probabilities of these scores{hint}")
    _check_loops(student.probabilities, False)


_hinge, _softmax = MulticlassHinge(), SoftmaxCrossEntropy()

HINGE: dict[str, Callable[[ModuleType], None]] = {
    "scores": _scores,
    "loss_by_loops": ValueCheck("loss_by_loops", _hinge, HINGE_VALUES, True),
    "loss": ValueCheck("loss", _hinge, HINGE_VALUES, False),
    "gradient_by_loops": SlopeCheck("gradient_by_loops", _hinge, HINGE_SLOPES, True),
    "gradient": SlopeCheck("gradient", _hinge, HINGE_SLOPES, False),
}
"""The check of each blank of the assignment `hinge`."""

SOFTMAX: dict[str, Callable[[ModuleType], None]] = {
    "probabilities": _softmax_probabilities,
    "loss_by_loops": ValueCheck("loss_by_loops", _softmax, SOFTMAX_VALUES, True),
    "loss": ValueCheck("loss", _softmax, SOFTMAX_VALUES, False),
    "gradient": SlopeCheck("gradient", _softmax, SOFTMAX_SLOPES, False),
}
"""The check of each blank of the assignment `softmax`."""
