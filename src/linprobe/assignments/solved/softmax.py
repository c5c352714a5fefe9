"""The softmax loss: probabilities that do not overflow, the loss by loops and without, and its gradient.

The scores s = W x_i + b are unnormalised log-probabilities:

    p_k = e^{s_k} / sum_j e^{s_j}          L_i = -log p_{y_i}

The objective is the mean of L_i over the images plus reg times the sum of the squares of W. b is not penalised.

In every function
    W       (K, D) floats: a row of weights for each class
    b       (K,) floats
    X       (N, D) floats: a row for each image
    y       (N,) whole numbers 0..K-1: the classes
    reg     a number >= 0
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any
"""A NumPy array."""


def probabilities(S: Array) -> Array:
    """The probabilities of scores S (N, K), without a loop.

    Scores of 1,000 must not overflow: the largest score of an image can be taken from all its scores first, which
    leaves the probabilities as they are.
    """
    # answer
    E = np.exp(S - S.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)
    # end


def loss_by_loops(W: Array, b: Array, X: Array, y: Array, reg: float) -> float:
    """The objective, by a loop over the images and one over the classes."""
    # answer
    total = 0.0
    for x, label in zip(X, y, strict=True):
        s = W @ x + b
        s = s - max(s)
        total += math.log(sum(math.exp(s[j]) for j in range(len(W)))) - s[label]
    return total / len(X) + reg * float(np.sum(W**2))
    # end


def loss(W: Array, b: Array, X: Array, y: Array, reg: float) -> float:
    """The same number as `loss_by_loops`, without a loop, and finite for any scores.

    -log p is the logarithm of the sum of e^{s_j} minus s_{y_i}. It is finite where p itself is rounded to 0.
    """
    # answer
    S = X @ W.T + b
    S = S - S.max(axis=1, keepdims=True)
    losses = np.log(np.exp(S).sum(axis=1)) - S[np.arange(len(X)), y]
    return float(losses.mean() + reg * np.sum(W**2))
    # end


def gradient(W: Array, b: Array, X: Array, y: Array, reg: float) -> tuple[Array, Array]:
    """The gradient of the objective in W, (K, D), and in b, (K,), without a loop.

    In the scores it is p - 1 for the correct class, and p for each other.
    """
    # answer
    dS = probabilities(X @ W.T + b)
    dS[np.arange(len(X)), y] -= 1.0
    return dS.T @ X / len(X) + 2.0 * reg * W, dS.sum(axis=0) / len(X)
    # end
