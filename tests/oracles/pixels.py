"""Forty images of six pixels in three classes, and the objective over them, for tests that need no more."""

from __future__ import annotations

import numpy as np

from linprobe.features import Pixels
from linprobe.objective import Objective

N, D, K = 40, 6, 3
RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (N, D), dtype=np.uint8)
Y = RANDOM.integers(0, K, N)
W = RANDOM.normal(size=(K, D))
B = RANDOM.normal(size=K)
WEIGHT = RANDOM.integers(1, 4, N).astype(float)
AFFINE = Pixels().fit(X).affine
MAPPED = AFFINE.apply(X)


def make(loss="softmax", penalty="l2", reg=0.1, **options):
    """The objective over these images, by the reference engine."""
    options = {"affine": AFFINE, "engine": "reference", "n_classes": K, **options}
    return Objective(X, options.pop("y", Y), loss=loss, penalty=penalty, reg=reg, **options)
