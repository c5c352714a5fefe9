"""A feature map averaged over each picture and its mirror image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from linprobe.features.base import Supervision
from linprobe.features.wrapped import WrappedMap
from linprobe.shapes import Floats, Pixels

__all__ = ["MirroredMap"]


@final
@dataclass
class MirroredMap(WrappedMap):
    """(phi(x) + phi(x mirrored)) / 2, with the D of phi.

    For pixels, hog and color, mirroring a picture permutes its features. Then this equals training on the pictures and
    their mirror images: the objective is convex and invariant under the permutation, so an optimum gives permuted
    features the same weight, and the scores are those of the mean.

    Args:
        inner: phi.
    """

    name = "mirrored"

    @property
    def spec(self) -> str:
        """That of phi."""
        return self.inner.spec

    def _learn(self, images: Pixels, seed: int, supervision: Supervision | None) -> None:
        self.inner.fit(images, seed, supervision)

    def _transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        mean = self.inner.transform(images)
        mean += self.inner.transform(images[:, :, ::-1])
        mean *= np.float32(0.5)
        return mean

    def spread(self, values: Floats) -> npt.NDArray[np.float64]:
        """Half of what phi spreads, and half of its mirror image."""
        found = self.inner.spread(values)
        return 0.5 * (found + found[:, :, ::-1])
