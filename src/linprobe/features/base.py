"""From pictures to rows of X: the Affine map that an engine applies, and maps that compute features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.parameters import Parameter
from linprobe.shapes import Floats, Pixels
from linprobe.typed_json import Closed, MismatchError, dataclass_from

__all__ = ["Affine", "FeatureMap", "MapRecord"]


@dataclass(frozen=True)
class Affine:
    """x -> scale * x + shift, feature by feature.

    Args:
        scale: (D,) float64.
        shift: (D,) float64.
    """

    scale: Floats
    shift: Floats

    def __post_init__(self) -> None:
        if self.scale.ndim != 1 or self.scale.shape != self.shift.shape:
            raise ShapeError(
                f"scale has shape {self.scale.shape}, shift {self.shift.shape}; both must be (n_features,)."
            )

    def apply(self, X: Floats) -> Floats:
        """`X` (N, D) of any dtype, mapped in float64: for small arrays and for the reference engine."""
        return np.asarray(X, dtype=np.float64) * self.scale + self.shift


@dataclass(frozen=True)
class MapRecord(Closed):
    """A feature map that is a part of another one, as the settings of that hold it: its name and its own settings."""

    name: str
    settings: Mapping[str, object]

    @classmethod
    def of(cls, part: FeatureMap) -> MapRecord:
        """The record of a map."""
        return cls(part.name, part.settings())

    def as_json(self) -> dict[str, object]:
        """As `FeatureMap.settings` holds it."""
        return {"name": self.name, "settings": dict(self.settings)}


@dataclass
class FeatureMap(Closed, ABC):
    """Pictures of one size (N, height, width, channels) uint8 to numbers (N, D) float32.

    A map is a dataclass: its fields are its parameters (JSON values), and `LEARNT` names the arrays that `fit` sets,
    so that a model file stores both. Each picture is mapped independently: the rows of a transform do not depend on
    which pictures are transformed with it.

    Attributes:
        title, meaning: what readers call it, and what it computes, in a few words; "" for its name, and for nothing.
        parameter_info: the parameters that the command line and the lab offer.
        image_shape: (height, width, channels) of the pictures it was fitted to; None before.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    meaning: ClassVar[str] = ""
    parameter_info: ClassVar[tuple[Parameter, ...]] = ()
    LEARNT: ClassVar[tuple[str, ...]] = ()

    image_shape: tuple[int, int, int] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def spec(self) -> str:
        """Its name for the user, without parameters: "hog", or "hog+color" for joined maps."""
        return self.name

    @property
    @abstractmethod
    def n_features(self) -> int:
        """D, once fitted."""

    @abstractmethod
    def _fit(self, images: Pixels, seed: int) -> None:
        """Set the learned arrays; `image_shape` is set already. `images` may be a large memory map."""

    @abstractmethod
    def _transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        """(N, D) for a block of pictures; called from several threads at once."""

    @property
    def fitted_shape(self) -> tuple[int, int, int]:
        """`image_shape`, once fitted.

        Raises:
            ParameterError: `fit` was not called.
        """
        if self.image_shape is None:
            raise ParameterError(
                f"this {type(self).__name__} is not fitted; call fit(images) on training pictures first."
            )
        return self.image_shape

    def fit(self, images: Pixels, seed: int = 0) -> Self:
        """The map itself, fitted to training pictures.

        Args:
            images: (N, height, width, channels) uint8, or (N, height, width) for grey; memory maps included.
            seed: of random draws.
        Raises:
            ShapeError: they have another shape or dtype, or there are none.
            ParameterError: a parameter that does not suit their size.
        """
        images = checked_images(images)
        if len(images) == 0:
            raise ShapeError("images has no rows; at least one picture is needed.")
        height, width, channels = images.shape[1:]
        self.image_shape = (height, width, channels)
        self._fit(images, seed)
        return self

    def transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        """The numbers (N, D) of pictures (N, height, width, channels) uint8.

        Raises:
            ShapeError: they have another shape or dtype than those of `fit`.
            ParameterError: `fit` was not called.
        """
        fitted = self.fitted_shape
        images = checked_images(images)
        if images.shape[1:] != fitted:
            expected, found = ("x".join(map(str, shape)) for shape in (fitted, images.shape[1:]))
            raise ShapeError(
                f"{self.name}: the pictures are {found}, but the features were fitted to {expected}; "
                f"resize them to {expected}, or fit the features again."
            )
        return self._transform(images)

    def spread(self, values: Floats) -> npt.NDArray[np.float64]:
        """A number for each feature (n, D) distributed over the pixels, (n, height, width), with the same sum.

        The number of a feature is divided evenly among the pixels that the feature is computed from.

        Raises:
            IncompatibleError: these features are computed from the whole picture.
        """
        raise IncompatibleError(
            f"{self.spec}: each of these features is computed from the whole picture and belongs to no part of it. "
            "Use pixels, hog, color or patches."
        )

    def settings(self) -> dict[str, object]:
        """The parameters, as JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The learned arrays, by name."""
        return {name: getattr(self, name) for name in self.LEARNT}

    @classmethod
    def restored(
        cls, settings: Mapping[str, object], image_shape: tuple[int, int, int], tensors: Mapping[str, npt.NDArray[Any]]
    ) -> Self:
        """The fitted map with these `settings()`, `image_shape` and `tensors()`.

        Raises:
            ParameterError: a setting is unknown, of another type than its field, or out of range.
        """
        try:
            made = dataclass_from(cls, dict(settings))
        except MismatchError as odd:
            raise ParameterError(f"{cls.name}: {str(odd).rstrip('.')}.") from None
        made.image_shape = image_shape
        for name in cls.LEARNT:
            setattr(made, name, tensors[name])
        made.check_learnt()
        return made

    def check_learnt(self) -> None:
        """Raise ShapeError or ParameterError where learned arrays of a file do not suit the map; none by default."""


def checked_images(images: Pixels) -> Pixels:
    """`images` as (N, height, width, channels).

    Raises:
        ShapeError: it is not uint8, or has another number of axes.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ShapeError(
            f"images has shape {images.shape} and dtype {images.dtype}; expected (N, height, width, channels) uint8."
        )
    return images if images.ndim == 4 else images[..., None]
