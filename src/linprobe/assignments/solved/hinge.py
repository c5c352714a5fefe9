"""The multiclass SVM loss: by loops, without loops, and its gradient.

The linear classifier gives image x_i the scores s = W x_i + b, one for each class. Its loss is

    L_i = sum over j != y_i of max(0, s_j - s_{y_i} + 1)

and the objective is the mean of L_i over the images plus reg times the sum of the squares of W. b is not penalised.

In every function
    W       (K, D) floats: a row of weights for each class
    b       (K,) floats
    X       (N, D) floats: a row for each image
    y       (N,) whole numbers 0..K-1: the classes
    reg     a number >= 0
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
"""A NumPy array."""


def scores(W: Array, b: Array, X: Array) -> Array:
    """The scores of all images, (N, K). One line, without a loop."""
    # answer
    return X @ W.T + b
    # end


def loss_by_loops(W: Array, b: Array, X: Array, y: Array, reg: float) -> float:
    """The objective, by a loop over the images and one over the classes."""
    # answer
    total = 0.0
    for x, label in zip(X, y, strict=True):
        s = W @ x + b
        for j in range(len(W)):
            if j != label:
                total += max(0.0, s[j] - s[label] + 1.0)
    return total / len(X) + reg * float(np.sum(W**2))
    # end


def loss(W: Array, b: Array, X: Array, y: Array, reg: float) -> float:
    """The same number as `loss_by_loops`, without a loop."""
    # answer
    S = X @ W.T + b
    rows = np.arange(len(X))
    margins = np.maximum(0.0, S - S[rows, y][:, None] + 1.0)
    margins[rows, y] = 0.0
    return float(margins.sum() / len(X) + reg * np.sum(W**2))
    # end


def gradient_by_loops(W: Array, b: Array, X: Array, y: Array, reg: float) -> tuple[Array, Array]:
    """The gradient of the objective in W, (K, D), and in b, (K,), by loops.

    A violated margin, s_j - s_{y_i} + 1 > 0, has the gradient x_i in row j of W, and -x_i in row y_i.
    """
    # answer
    dW, db = np.zeros_like(W), np.zeros_like(b)
    for x, label in zip(X, y, strict=True):
        s = W @ x + b
        for j in range(len(W)):
            if j != label and s[j] - s[label] + 1.0 > 0.0:
                dW[j] += x
                dW[label] -= x
                db[j] += 1.0
                db[label] -= 1.0
    return dW / len(X) + 2.0 * reg * W, db / len(X)
    # end


def gradient(W: Array, b: Array, X: Array, y: Array, reg: float) -> tuple[Array, Array]:
    """The same as `gradient_by_loops`, without a loop.

    First the gradient in the scores, (N, K): 1 for each violated margin, and in column y_i minus their number.
    """
    # answer
    S = X @ W.T + b
    rows = np.arange(len(X))
    dS = (S - S[rows, y][:, None] + 1.0 > 0.0).astype(float)
    dS[rows, y] = 0.0
    dS[rows, y] = -dS.sum(axis=1)
    return dS.T @ X / len(X) + 2.0 * reg * W, dS.sum(axis=0) / len(X)
    # end
