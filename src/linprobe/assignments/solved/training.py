"""Training: stochastic gradient descent, predictions, and reg chosen by validation images.

In every function
    W       (K, D) floats: a row of weights for each class
    b       (K,) floats
    X       (N, D) floats: a row for each image
    y       (N,) whole numbers 0..K-1: the classes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any
"""A NumPy array."""


def predict(W: Array, b: Array, X: Array) -> Array:
    """The class with the highest score of each image, (N,), without a loop."""
    # answer
    return np.argmax(X @ W.T + b, axis=1)
    # end


def descend(
    W: Array,
    b: Array,
    X: Array,
    y: Array,
    gradient: Callable[[Array, Array, Array, Array], tuple[Array, Array]],
    learning_rate: float,
    n_steps: int,
    batch_size: int,
    random: np.random.Generator,
) -> tuple[Array, Array]:
    """W and b after `n_steps` steps of stochastic gradient descent.

    Each step draws `batch_size` images with `random.integers(len(X), size=batch_size)`, and goes against the gradient
    of the objective on them, `gradient(W, b, X_batch, y_batch) -> (dW, db)`. The arrays W and b that come in stay as
    they are.
    """
    # answer
    W, b = W.copy(), b.copy()
    for _ in range(n_steps):
        rows = random.integers(len(X), size=batch_size)
        dW, db = gradient(W, b, X[rows], y[rows])
        W -= learning_rate * dW
        b -= learning_rate * db
    return W, b
    # end


def choose_reg(
    regs: Sequence[float],
    fit: Callable[[float], tuple[Array, Array]],
    X_validation: Array,
    y_validation: Array,
) -> float:
    """The value of `regs` whose classifier is right on most validation images; of equal ones the largest.

    `fit(reg) -> (W, b)` trains on other images. It takes long: call it once for each value.
    """
    # answer
    accuracies = {}
    for reg in regs:
        W, b = fit(reg)
        accuracies[reg] = float(np.mean(predict(W, b, X_validation) == y_validation))
    return max(regs, key=lambda reg: (accuracies[reg], reg))
    # end
