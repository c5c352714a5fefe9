"""Base of maps that apply another map to changed pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy.typing as npt

from linprobe.features.base import FeatureMap, MapRecord
from linprobe.features.parse import restored_part

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

    @property
    def supervised(self) -> bool:
        """As phi."""
        return self.inner.supervised

    def settings(self) -> dict[str, object]:
        """{"inner": {"name": ..., "settings": {...}}}, as JSON values."""
        return {"inner": MapRecord.of(self.inner).as_json()}

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The learned arrays of phi."""
        return self.inner.tensors()

    @classmethod
    def restored(
        cls, settings: Mapping[str, object], image_shape: tuple[int, int, int], tensors: Mapping[str, npt.NDArray[Any]]
    ) -> Self:
        """The fitted map with these `settings()`, `image_shape` and `tensors()`."""
        made = cls(restored_part(settings, "inner", cls.inner_shape(image_shape), tensors))
        made.image_shape = image_shape
        return made

    @staticmethod
    def inner_shape(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The shape of the input of phi, for pictures of `image_shape`."""
        return image_shape
