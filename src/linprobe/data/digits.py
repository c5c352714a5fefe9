"""The handwritten digits that come with scikit-learn: real scans, no download."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, final

import numpy as np

from linprobe.data.base import Dataset, ImageSet, Reader, ReadOptions
from linprobe.data.stored import check_image_size, fingerprint_of_arrays

__all__ = ["DigitsReader", "load_digits"]


def load_digits() -> ImageSet:
    """1,797 scans of digits, (1797, 8, 8, 1) uint8.

    The set counts the dark dots of each 4x4 block, 0..16; here intensity = round(255 count / 16), halves
    to even.

    Source:
        UCI, "Optical Recognition of Handwritten Digits", the test part, as in `sklearn.datasets.load_digits`.
    """
    from sklearn.datasets import load_digits as counts_and_labels  # slow to import

    counts, y = counts_and_labels(return_X_y=True)
    images = np.rint(counts * (255.0 / 16.0)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return ImageSet(images, y.astype(np.int64), tuple("0123456789"), "digits")


@final
class DigitsReader(Reader):
    """Reads the source `digits`, which has no splits."""

    name: ClassVar[str] = "digits"

    def accepts(self, source: str, path: Path | None) -> bool:
        return path is None and source == "digits"

    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        digits = load_digits()
        check_image_size(source, digits.image_shape, options)
        fingerprint = fingerprint_of_arrays(digits.images, digits.y)
        return Dataset(source, self.name, digits.class_names, digits, fingerprint=fingerprint)
