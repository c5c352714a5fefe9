"""The checks of training: predictions, each step of the descent, and the choice of reg."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from linprobe.assignments.problems import check_unchanged, has_loop, problems
from linprobe.assignments.verdict import Wrong
from linprobe.shapes import Floats, Labels

__all__ = ["TRAINING"]


def _predict(student: ModuleType) -> None:
    for at in problems():
        found = np.asarray(check_unchanged(student.predict, (at.W, at.b, at.X)))
        S = at.X @ at.W.T + at.b
        if found.shape != (len(at.X),):
            raise Wrong(f"it returns shape {found.shape}; expected a class for each image, ({len(at.X)},)")
        if not np.array_equal(found, S.argmax(axis=1)):
            low = np.array_equal(found, S.argmin(axis=1))
            bare = np.array_equal(found, (at.X @ at.W.T).argmax(axis=1))
            hint = "; these have the lowest score" if low else "; b is missing in the scores" if bare else ""
            raise Wrong(f"{at.words}: {found.tolist()}; expected {S.argmax(axis=1).tolist()}{hint}")
    if loop := has_loop(student.predict):
        raise Wrong(f"the classes are right, but there is a loop in line {loop}; it can be written without")


class _Recorder:
    """A gradient function that notes the images it is called with; X holds their numbers."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, W: Floats, b: Floats, X: Floats, y: Labels) -> tuple[Floats, Floats]:
        self.batches.append([int(number) for number in np.ravel(X[:, 0])])
        if list(y) != [number % 3 for number in self.batches[-1]]:
            raise Wrong("the classes of a batch are not those of its images; take the same rows of X and y")
        slope = X[:, 1].mean()
        return W * 0.5 + slope, b * 0.5 - slope


N_IMAGES, N_STEPS, BATCH, RATE = 40, 6, 4, 0.1
"""Of the descent that is checked: so few steps that each is compared."""


def _descended(sign: float, rate: float) -> tuple[Floats, Floats, list[list[int]]]:
    """W, b and the batches of the right descent, or of one with another sign or rate."""
    W, b, X, y = _start()
    random, gradient = np.random.default_rng(5), _Recorder()
    for _ in range(N_STEPS):
        rows = random.integers(N_IMAGES, size=BATCH)
        dW, db = gradient(W, b, X[rows], y[rows])
        W, b = W - sign * rate * dW, b - sign * rate * db
    return W, b, gradient.batches


def _start() -> tuple[Floats, Floats, Floats, Labels]:
    random = np.random.default_rng(3)
    X = np.stack([np.arange(N_IMAGES, dtype=float), random.normal(size=N_IMAGES)], axis=1)
    return random.normal(size=(3, 2)), random.normal(size=3), X, np.arange(N_IMAGES) % 3


def _descend(student: ModuleType) -> None:
    W, b, X, y = _start()
    gradient = _Recorder()
    arguments = (W, b, X, y, gradient, RATE, N_STEPS, BATCH, np.random.default_rng(5))
    found: Any = check_unchanged(student.descend, arguments)
    if not isinstance(found, tuple) or [np.shape(part) for part in found] != [W.shape, b.shape]:
        raise Wrong(f"it returns a {type(found).__name__}; expected the two arrays W {W.shape} and b {b.shape}")
    expected = _descended(1.0, RATE)
    _check_batches(gradient.batches, expected[2])
    if all(np.allclose(one, other) for one, other in zip(found, expected[:2], strict=True)):
        return
    for hint, sign, rate in (
        ("each step goes with the gradient; to descend, go against it", -1.0, RATE),
        ("the learning rate is missing", 1.0, 1.0),
    ):
        if np.allclose(found[0], _descended(sign, rate)[0]):
            raise Wrong(hint)
    if np.allclose(found[0], expected[0]):
        raise Wrong("W is right and b is not; b takes the same step with db")
    raise Wrong("the batches are right, and the weights are not; each step is W - learning_rate * dW")


def _check_batches(found: list[list[int]], expected: list[list[int]]) -> None:
    if len(found) != len(expected):
        raise Wrong(f"it asked for {len(found)} gradients; expected {len(expected)}, one for each step")
    sizes = {len(batch) for batch in found}
    if sizes != {BATCH}:
        raise Wrong(f"a batch has {', '.join(map(str, sorted(sizes)))} images; expected {BATCH}")
    if found == expected:
        return
    if all(batch == found[0] for batch in found):
        raise Wrong("every step takes the same batch; draw a new one in each step")
    raise Wrong(
        f"the first batch has the images {found[0]}; expected {expected[0]}, as random.integers(len(X), "
        "size=batch_size) draws them"
    )


def _choose_reg(student: ModuleType) -> None:
    X, y = np.eye(10), np.zeros(10, np.int64)
    for words, right in (
        ("accuracies 0.5, 0.9, 0.7", {0.01: 5, 0.1: 9, 1.0: 7}),
        ("accuracies 0.9, 0.2, 0.4", {0.01: 9, 0.1: 2, 1.0: 4}),
        ("accuracies 0.6, 0.8, 0.8", {0.01: 6, 0.1: 8, 1.0: 8}),
    ):
        asked: list[float] = []

        def fit(reg: float, right: dict[float, int] = right, asked: list[float] = asked) -> tuple[Floats, Floats]:
            """A classifier that is right on so many of the ten images, all of class 0."""
            asked.append(reg)
            return np.stack([np.zeros(10), np.where(np.arange(10) < right[reg], -1.0, 1.0)]), np.zeros(2)

        found = student.choose_reg(list(right), fit, X, y)
        most = max(right.values())
        expected = max(reg for reg, n in right.items() if n == most)
        if len(asked) != len(right):
            raise Wrong(f"fit was called {len(asked)} times for {len(right)} values; call it once for each")
        if found != expected:
            tie = "; of equal ones take the largest" if found in right and right[found] == most else ""
            raise Wrong(f"{words} for reg 0.01, 0.1, 1: it chooses {found}; expected {expected:g}{tie}")


TRAINING: dict[str, Callable[[ModuleType], None]] = {
    "predict": _predict,
    "descend": _descend,
    "choose_reg": _choose_reg,
}
"""The check of each blank of the assignment `training`."""
