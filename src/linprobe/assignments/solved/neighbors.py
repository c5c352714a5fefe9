"""Nearest neighbours: distances by loops and without, the vote, and k chosen by folds.

In every function
    Q       (n, D) floats: a row for each image to classify
    X       (N, D) floats: a row for each training image
    y       (N,) whole numbers >= 0: the classes of the training images
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = Any
"""A NumPy array."""


def distances_by_loops(Q: Array, X: Array) -> Array:
    """The Euclidean distance of each row of Q from each row of X, (n, N), by two loops."""
    # answer
    found = np.zeros((len(Q), len(X)))
    for i, q in enumerate(Q):
        for j, x in enumerate(X):
            found[i, j] = np.sqrt(np.sum((q - x) ** 2))
    return found
    # end


def distances(Q: Array, X: Array) -> Array:
    """The same, without a loop, and without an array of n x N x D numbers.

    |q - x|² = |q|² - 2 q.x + |x|². Rounding can make that a little less than 0.
    """
    # answer
    squares = np.sum(Q**2, axis=1)[:, None] - 2.0 * Q @ X.T + np.sum(X**2, axis=1)
    return np.sqrt(np.maximum(squares, 0.0))
    # end


def vote(D: Array, y: Array, k: int) -> Array:
    """The class that most of the k nearest training images have, (n,); of equal ones the smallest class.

    Args:
        D: distances (n, N).
        y: classes (N,) of the training images.
        k: how many vote, 1 <= k <= N.
    """
    # answer
    nearest = np.argsort(D, axis=1, kind="stable")[:, :k]
    n_classes = int(y.max()) + 1
    return np.array([np.argmax(np.bincount(y[row], minlength=n_classes)) for row in nearest])
    # end


def choose_k(ks: Sequence[int], X: Array, y: Array, n_folds: int) -> int:
    """The k with the highest mean accuracy over the folds; of equal ones the smallest.

    Image i is in fold i % n_folds. Each fold is classified by the images of the other folds.
    """
    # answer
    folds = np.arange(len(X)) % n_folds
    accuracies = dict.fromkeys(ks, 0.0)
    for fold in range(n_folds):
        held = folds == fold
        D = distances(X[held], X[~held])
        for k in ks:
            accuracies[k] += float(np.mean(vote(D, y[~held], k) == y[held])) / n_folds
    return min(ks, key=lambda k: (-accuracies[k], k))
    # end
