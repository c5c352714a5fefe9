"""A feature map of the pictures at half their size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError
from linprobe.features.base import Supervision
from linprobe.features.wrapped import WrappedMap
from linprobe.shapes import Floats, Pixels

__all__ = ["HalvedMap", "halved"]


@final
@dataclass
class HalvedMap(WrappedMap):
    """phi(x at half its height and width), with the D of phi: a second scale, at a quarter of the cost.

    Args:
        inner: phi.
    """

    name = "halved"

    @property
    def spec(self) -> str:
        """That of phi, followed by "/2"."""
        return f"{self.inner.spec}/2"

    def _learn(self, images: Pixels, seed: int, supervision: Supervision | None) -> None:
        height, width, _ = self.fitted_shape
        if height % 2 or width % 2:
            raise ParameterError(
                f"features = {self.spec!r}: the pictures are {height}x{width}, and an odd number of pixels cannot be "
                "halved; resize them (image_size)."
            )
        if supervision is not None and supervision.validation is not None:
            pictures, y = supervision.validation
            supervision = replace(supervision, validation=(halved(pictures), y))
        self.inner.fit(halved(images), seed, supervision)

    def _transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        return self.inner.transform(halved(images))

    def spread(self, values: Floats) -> npt.NDArray[np.float64]:
        """The result of phi for the halved picture, each pixel divided among the four it averages."""
        return 0.25 * self.inner.spread(values).repeat(2, axis=1).repeat(2, axis=2)

    @staticmethod
    def inner_shape(image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Half of it."""
        height, width, channels = image_shape
        return height // 2, width // 2, channels


def halved(images: Pixels) -> Pixels:
    """(N, height / 2, width / 2, channels) uint8: the mean of each square of four pixels, halves rounded up.

    Args:
        images: (N, height, width, channels) uint8, height and width even.
    """
    made = np.empty((len(images), images.shape[1] // 2, images.shape[2] // 2, images.shape[3]), np.uint8)
    for start in range(0, len(images), 1024):  # in blocks: the 16-bit copy is twice the size of the pictures
        block = images[start : start + 1024].astype(np.uint16)
        total = block[:, ::2, ::2] + block[:, ::2, 1::2] + block[:, 1::2, ::2] + block[:, 1::2, 1::2]
        made[start : start + 1024] = (total + 2) >> 2
    return made
