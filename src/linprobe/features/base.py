"""From pictures to rows of X: the Affine map that an engine applies, and maps that compute features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.parameters import Parameter
from linprobe.shapes import Floats, Labels, Pixels
from linprobe.typed_json import Closed, MismatchError, dataclass_from

__all__ = ["Affine", "FeatureMap", "KeptTensors", "MapRecord", "Supervision"]


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


class KeptTensors(Protocol):
    """A place where arrays are kept between two processes."""

    def read(self) -> dict[str, npt.NDArray[Any]] | None:
        """What was written last; None where there is nothing, or it is damaged."""

    def write(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep these in place of what was there, whole or not at all."""


@dataclass(frozen=True)
class Supervision:
    """What a map that learns from labels is given beside its training pictures.

    Args:
        y: (N,) int64, the class of each training picture, 0..K-1.
        n_classes: K, >= 2.
        validation: pictures and their classes, which decide when the training ends; None for none.
        n_threads: threads that train; None for one per core.
        progress: called with what is done, how much of it, and how much there is.
        store: from a description of the training to the place where it is kept; None to keep nothing.
    """

    y: Labels
    n_classes: int
    validation: tuple[Pixels, Labels] | None = None
    n_threads: int | None = None
    progress: Callable[[str, int, int], None] | None = None
    store: Callable[[str], KeptTensors] | None = None


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

    @property
    def supervised(self) -> bool:
        """Whether it learns from labels, too."""
        return False

    def _fit(self, images: Pixels, seed: int) -> None:
        """Set the learned arrays; `image_shape` is set already. `images` may be a large memory map."""
        raise NotImplementedError(f"{type(self).__name__} has neither _fit nor _learn")

    def _learn(self, images: Pixels, seed: int, supervision: Supervision | None) -> None:
        """As `_fit`, which it calls; what a supervised map overrides, and one that is made of others."""
        self._fit(images, seed)

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

    def fit(self, images: Pixels, seed: int = 0, supervision: Supervision | None = None) -> Self:
        """The map itself, fitted to training pictures.

        Args:
            images: (N, height, width, channels) uint8, or (N, height, width) for grey; memory maps included.
            seed: of random draws.
            supervision: their labels and more, which a map that is `supervised` requires; others ignore it.
        Raises:
            ShapeError: they have another shape or dtype, or there are none; or the labels do not suit them.
            ParameterError: a parameter that does not suit their size, or a supervised map without labels.
        """
        images = checked_images(images)
        if len(images) == 0:
            raise ShapeError("images has no rows; at least one picture is needed.")
        if self.supervised:
            supervision = _checked_supervision(self.spec, images, supervision)
        height, width, channels = images.shape[1:]
        self.image_shape = (height, width, channels)
        self._learn(images, seed, supervision)
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


def _checked_supervision(spec: str, images: Pixels, supervision: Supervision | None) -> Supervision:
    """The supervision, its validation pictures as (N, height, width, channels).

    Raises:
        ParameterError: there is none.
        ShapeError: the labels are others than one class, 0..K-1, for each picture.
    """
    if supervision is None:
        raise ParameterError(
            f"{spec}: these features learn from labels; call fit(images, seed, Supervision(y, n_classes))."
        )
    parts = [(images, supervision.y)]
    if supervision.validation is not None:
        pictures, y = supervision.validation
        supervision = replace(supervision, validation=(checked_images(pictures), y))
        parts.append((pictures, y))
    for pictures, y in parts:
        if y.shape != (len(pictures),) or y.dtype != np.int64 or len(y) == 0:
            raise ShapeError(f"y has shape {y.shape} and dtype {y.dtype}; expected ({len(pictures)},) int64.")
        if y.min() < 0 or y.max() >= supervision.n_classes:
            raise ShapeError(f"y holds {y.min()}..{y.max()}; expected 0..{supervision.n_classes - 1}.")
    return supervision


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
