"""The weight of each row: its sample weight times its class weight, in any range of float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError, ShapeError
from linprobe.plain import few
from linprobe.shapes import Floats, Labels, check_range, check_sample_weight

__all__ = ["row_weights"]

MOST_EXPONENT = 900
"""Exponent of the power of two that a product gets back, at most and with a minus at least: the sum of N weights must
be finite in float64, and the smallest of them normal numbers."""


def row_weights(
    sample_weight: npt.ArrayLike | None,
    class_weight: Mapping[Any, float] | str | None,
    y: Labels,
    labels: npt.NDArray[Any],
    names: tuple[str, ...],
) -> Floats | None:
    """Sample weight times class weight, (N,) float64; None if both are None. Only their ratios count.

    Factors are divided by powers of two before they are multiplied, which is exact, so that no product of weights from
    1e-310 to 1e308 overflows. The product gets the powers of two back where float64 holds it.

    Args:
        sample_weight: (N,) weights >= 0, one number for all, or None.
        class_weight: "balanced", a weight for some of the labels, or None.
        y: (N,) positions in `labels`.
        labels, names: (K,) the classes, and their names for messages.
    Raises:
        ShapeError: the sample weights are not N numbers.
        ParameterError: a weight is negative or not finite, all are zero, or a class is unknown.
    """
    weight: Floats | None = None
    if sample_weight is not None:
        try:
            weight = np.asarray(sample_weight, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ShapeError(f"sample_weight is not a list of numbers ({error}).") from error
        if weight.ndim == 0:
            weight = np.full(len(y), float(weight))
        check_sample_weight(weight, len(y))
    if class_weight is None:
        return weight
    weight = np.ones(len(y)) if weight is None else weight
    if class_weight == "balanced":
        weight = _balanced(weight, y, len(labels))
    elif isinstance(class_weight, Mapping):
        factors = _factors(class_weight, labels, names)
        of_weight, of_factors = (int(np.frexp(numbers.max())[1]) for numbers in (weight, factors))
        exponents = np.full(len(factors), of_weight)
        weight = _product(weight, exponents, np.ldexp(factors, -of_factors), y, of_weight + of_factors)
    check_sample_weight(weight, len(y))
    return weight


def _balanced(weight: Floats, y: Labels, n_classes: int) -> Floats:
    """Weights (N,) with which all classes have the same total: w_i sum w / (K sum w over the class of i)."""
    largest = np.zeros(n_classes)
    np.maximum.at(largest, y, weight)
    exponents = np.frexp(largest)[1].astype(np.int64)
    sizes = np.bincount(y, weights=np.ldexp(weight, -exponents[y]), minlength=n_classes)
    present = sizes > 0
    factors = np.ones(n_classes)  # that of a class without images, or of total weight 0, has no effect
    total = np.ldexp(sizes, exponents - exponents[present].max()).sum()
    factors[present] = total / (present.sum() * sizes[present])
    return _product(weight, exponents, factors, y, int(exponents[present].max()))


def _product(weight: Floats, exponents: npt.NDArray[np.int64], factors: Floats, y: Labels, shift: int) -> Floats:
    """weight 2**-exponents[y] factors[y] 2**shift, (N,), times another power of two where that is extreme."""
    scaled = np.ldexp(weight, -exponents[y]) * factors[y]
    return np.ldexp(scaled, max(-MOST_EXPONENT, min(shift, MOST_EXPONENT)))


def _factors(given: Mapping[Any, float], labels: npt.NDArray[Any], names: tuple[str, ...]) -> Floats:
    """(K,) weight of each class; 1 for one that is not given."""
    factors = np.ones(len(labels))
    known = {label: k for k, label in enumerate(labels.tolist())}
    for label, value in given.items():
        if label not in known:
            raise ParameterError(f"class_weight names the class {label!r}; the classes are {few(names)}.")
        check_range(f"class_weight[{label!r}]", value, low=0.0)
        factors[known[label]] = value
    return factors
