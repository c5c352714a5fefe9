"""Arrays in the cache: what a feature map has learnt so far, so that a training that is cut off goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from linprobe.classifiers.tensor_file import parts_of
from linprobe.data.cache import cache_error, cache_folder
from linprobe.files import read_regular, write_whole

__all__ = ["CachedTensors"]

LARGEST = 2**30
"""Bytes of the file that are read, at most: 1 GiB, the state of the training of some 60 million weights."""


class CachedTensors:
    """The entry `key` of the cache: a folder with one file of arrays.

    Args:
        key: a digest, as of `cache_key`.
    """

    def __init__(self, key: str) -> None:
        self.file = cache_folder() / key / "trained.safetensors"

    def read(self) -> dict[str, npt.NDArray[Any]] | None:
        """What was written last; None where there is nothing, or it is damaged."""
        try:
            return parts_of(read_regular(self.file, LARGEST))[0]
        except (OSError, ValueError):
            return None

    def write(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        """Keep these in place of what was there, whole or not at all.

        Raises:
            SourceError: the cache folder cannot be written, or the disk is full.
        """
        content = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.file, content)
        except OSError as error:
            raise cache_error(self.file.parent, error) from error
