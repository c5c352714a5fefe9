"""The metadata of a model file as records: each value is compared with its type before a model is made of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.certificate import Certificate
from linprobe.classifiers.model import LinearModel
from linprobe.data.budget import PIXEL_LIMIT
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.features.base import FeatureMap
from linprobe.optimizers.base import Status
from linprobe.typed_json import Closed, MismatchError, Within, hints_of, inside, value_of

__all__ = [
    "ClassesRecord",
    "FeaturesRecord",
    "ModelRecord",
    "ProofRecord",
    "default_parameters",
    "model_of",
    "parameters_of",
]

LABEL_KINDS = "biufUO"
"""Kinds of NumPy dtypes that labels may have: booleans, integers, floats, text, and text as objects."""

Label: TypeAlias = bool | int | float | str
Length: TypeAlias = Annotated[int, Within(1, PIXEL_LIMIT)]

MOST_LABEL_BYTES = 2**26
"""Bytes of all labels at most: NumPy pads every text to the longest. 10,000 labels of 1,000 characters have 40 MB."""


@dataclass(frozen=True)
class ClassesRecord(Closed):
    """The labels, and their dtype as NumPy writes it."""

    dtype: str
    values: tuple[Label, ...]

    @classmethod
    def of(cls, classes: npt.NDArray[Any]) -> ClassesRecord:
        """The record of labels (K,).

        Raises:
            IncompatibleError: they are neither numbers nor text.
        """
        values = tuple(classes.tolist())
        if classes.dtype.kind not in LABEL_KINDS or (
            classes.dtype.kind == "O" and not all(isinstance(value, str) for value in values)
        ):
            raise IncompatibleError(
                f"the labels have dtype {classes.dtype}; the model file holds numbers or text: convert y before fit."
            )
        return cls(classes.dtype.str, values)

    @property
    def array(self) -> npt.NDArray[Any]:
        """The labels (K,).

        Raises:
            ValueError, TypeError: there is no such dtype, or it cannot hold them.
        """
        dtype = np.dtype(self.dtype)
        if dtype.kind not in LABEL_KINDS:
            raise ValueError(f"labels of dtype {dtype}")
        if dtype.itemsize * len(self.values) > MOST_LABEL_BYTES:
            raise ValueError(f"{len(self.values)} labels of dtype {dtype}, more than {MOST_LABEL_BYTES:,} bytes")
        return np.array(self.values, dtype=dtype)


@dataclass(frozen=True)
class FeaturesRecord(Closed):
    """A fitted feature map: its name, its settings, and (height, width, channels) of the pictures it was fitted to."""

    name: str
    settings: Mapping[str, object]
    image_shape: tuple[Length, Length, Length]

    @classmethod
    def of(cls, features: FeatureMap) -> FeaturesRecord:
        """The record of a fitted map."""
        return cls(features.name, features.settings(), features.fitted_shape)


@dataclass(frozen=True)
class ProofRecord(Closed):
    """A certificate without the seconds, which vary: equal trainings give equal files.

    None stands for what JSON has not: an objective or gradient that is no finite number, a bound that is not proved.
    """

    objective: float | None
    lower_bound: float | None
    gradient_norm: float | None
    passes: float

    @classmethod
    def of(cls, found: Certificate) -> ProofRecord:
        """The record of a certificate."""
        objective, bound, norm = map(_finite, (found.objective, found.lower_bound, found.gradient_norm))
        return cls(objective, bound, norm, found.passes)

    @property
    def certificate(self) -> Certificate:
        """The certificate; its seconds are NaN."""
        return Certificate(
            math.inf if self.objective is None else self.objective,
            -math.inf if self.lower_bound is None else self.lower_bound,
            math.inf if self.gradient_norm is None else self.gradient_norm,
            self.passes,
            math.nan,
        )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class ModelRecord:
    """All metadata of a model file but its version and its checksum.

    Attributes:
        linprobe_version: of the program that wrote it.
        classes, class_names: the labels, and as text.
        image_shape: (height, width, channels), or None for vectors.
        settings: the parameters of the classifier, which `parameters_of` checks.
        status, n_iter: how the training ended.
        certificate: of W and b; None after SGD.
        features: the feature map; None for pixels.
        feature_names: columns of a data frame, or None.
        extra: JSON values that the caller added.
    """

    classes: ClassesRecord
    class_names: tuple[str, ...]
    image_shape: tuple[Length, Length, Length] | None
    settings: Mapping[str, object]
    status: Status
    n_iter: Annotated[int, Within(0)]
    feature_names: tuple[str, ...] | None
    extra: Mapping[str, object]
    linprobe_version: str = ""
    certificate: ProofRecord | None = None
    features: FeaturesRecord | None = None


def parameters_of(
    settings: Mapping[str, object], key: str
) -> dict[str, Any]:  # of the types that the constructor takes
    """The parameters of the classifier that settings hold as JSON values.

    Args:
        settings: by name.
        key: where they stand in a file; "" for settings that no file holds.
    Raises:
        MismatchError: a setting is no parameter, or is not of its type.
    """
    hints = {name: hint for name, hint in hints_of(LinearModel.__init__).items() if name != "return"}
    values: dict[str, Any] = {}  # as above
    for name, value in settings.items():
        place = inside(key, name)
        if name not in hints:
            known = ", ".join(hints)
            raise MismatchError(f"{place} is no parameter of the classifier; known are {known}.", place)
        if name == "class_weight" and isinstance(value, list):  # JSON has only text as keys
            values[name] = dict(value_of(tuple[tuple[Label, float], ...], value, place))
        else:
            values[name] = value_of(hints[name], value, place)
    return values


def model_of(settings: Mapping[str, object], key: str = "") -> LinearModel:
    """The classifier with the parameters that settings hold, none of them out of range.

    Args:
        settings, key: as of `parameters_of`.
    Raises:
        ParameterError: a parameter is unknown, of another type, or out of range.
    """
    try:
        model = LinearModel(**parameters_of(settings, key))
    except MismatchError as odd:
        raise ParameterError(str(odd)) from None
    try:
        model.check_parameters()
    except (TypeError, OverflowError) as error:
        raise ParameterError(f"{key or 'the classifier'} cannot be used: {error}.") from error
    return model


@cache
def default_parameters() -> dict[str, object]:
    """The parameters of the classifier, and their defaults."""
    return dict(LinearModel().parameters())
