"""Base of maps that apply another map to changed pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from linprobe.features.base import FeatureMap
from linprobe.features.parse import map_class

__all__ = ["WrappedMap"]


@dataclass
class WrappedMap(FeatureMap):
    """A map made from another one, with its D and its learned arrays.

    Args:
        inner: the other map, phi.
    """

    inner: FeatureMap

    @property
    def n_features(self) -> int:
        """D, once fitted."""
        return self.inner.n_features

    def settings(self) -> dict[str, Any]:
        """{"inner": {"name": ..., "settings": {...}}}, as JSON values."""
        return {"inner": {"name": self.inner.name, "settings": self.inner.settings()}}

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The learned arrays of phi."""
        return self.inner.tensors()

    @classmethod
    def restored(
        cls, settings: dict[str, Any], image_shape: tuple[int, int, int], tensors: dict[str, npt.NDArray[np.generic]]
    ) -> Self:
        """The fitted map with these `settings()`, `image_shape` and `tensors()`."""
        inner = settings["inner"]
        made = cls(map_class(inner["name"]).restored(inner["settings"], cls.inner_shape(image_shape), tensors))
        made.image_shape = image_shape
        return made

    @staticmethod
    def inner_shape(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The shape of the input of phi, for pictures of `image_shape`."""
        return image_shape
