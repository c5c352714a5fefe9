"""The digits, and a classifier of them."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_digits

from linprobe.classifiers.linear import LinearClassifier

Digits = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


@functools.cache
def read_digits() -> Digits:
    """The scanned digits, (1797, 64) uint8 intensities 0..255, and their labels."""
    X, y = load_digits(return_X_y=True)
    return np.round(X * 255 / 16).astype(np.uint8), y.astype(np.int64)


@pytest.fixture
def digits() -> Digits:
    """The scanned digits."""
    return read_digits()


@pytest.fixture
def fitted(digits: Digits) -> LinearClassifier:
    """A classifier of the digits, trained with the defaults."""
    return LinearClassifier(random_state=0).fit(*digits)
