"""Functions shared by the readers of stored arrays: labels as positions, fingerprints, fixed sizes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.data.base import ReadOptions
from linprobe.data.budget import PIXEL_LIMIT
from linprobe.errors import FormatError, ImageError
from linprobe.plain import printable

__all__ = [
    "check_image_size",
    "check_pixels",
    "files_in",
    "fingerprint_of_arrays",
    "fingerprint_of_files",
    "has_folders",
    "number_classes",
]


def files_in(folder: Path) -> list[Path]:
    """The files directly in `folder`, sorted; none if it cannot be listed, which the folder reader reports."""
    try:
        return sorted(file for file in folder.iterdir() if file.is_file())
    except OSError:
        return []


def has_folders(folder: Path) -> bool:
    """Whether a folder that is not hidden lies in `folder`."""
    try:
        return any(inside.is_dir() and not inside.name.startswith((".", "__")) for inside in folder.iterdir())
    except OSError:
        return False


def number_classes(
    labels: Iterable[npt.NDArray[Any]],
) -> tuple[tuple[str, ...], list[npt.NDArray[np.int64]]]:
    """(names of the classes in sorted order, each array of `labels` as positions among them).

    Characters that no terminal can show become escapes, as in the names of folders.

    Args:
        labels: one array (N,) for each split, all of integers, all of bools or all of strings.
    Example:
        >>> number_classes([np.array([7, 3, 7]), np.array([9])])
        (('3', '7', '9'), [array([1, 0, 1]), array([2])])
    """
    labels = list(labels)
    classes = np.unique(np.concatenate(labels))
    return tuple(printable(str(c)) for c in classes), [np.searchsorted(classes, y).astype(np.int64) for y in labels]


def fingerprint_of_files(paths: Iterable[Path]) -> str:
    """Hex digest of the names, sizes and modification times of `paths`, sorted; no file is read."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        stat = path.stat()
        digest.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def fingerprint_of_arrays(*arrays: npt.NDArray[Any]) -> str:
    """Hex digest of the dtypes, shapes and numbers of `arrays`."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_pixels(where: object, image_shape: tuple[int, ...]) -> None:
    """Raise FormatError for stored pictures of more than `PIXEL_LIMIT` pixels each, the limit of picture files."""
    n_pixels = math.prod(image_shape[:2])
    if n_pixels > PIXEL_LIMIT:
        raise FormatError(
            f"{where}: found pictures of {image_shape[0]} x {image_shape[1]} = {n_pixels:,} pixels, expected at most "
            f"{PIXEL_LIMIT:,}. Save smaller ones."
        )


def check_image_size(source: str, image_shape: tuple[int, ...] | None, options: ReadOptions) -> None:
    """Raise ImageError if `options` require a size that the stored pictures do not have."""
    if options.image_size is None or (image_shape is not None and image_shape[:2] == options.image_size):
        return
    height, width = options.image_size
    found = "holds vectors" if image_shape is None else f"holds pictures of {image_shape[0]}x{image_shape[1]}"
    raise ImageError(
        f"{source}: {found}, which are not resized; expected {height}x{width} by the image size. "
        "Leave the image size out, or save the pictures as files in class folders, which can be resized."
    )
