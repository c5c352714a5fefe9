"""Ready-made corrupted sets on disk: CIFAR-10-C's arrays, ImageNet-C's folders, or one folder of class folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linprobe.data.base import ImageSet, ReadOptions, open_dataset
from linprobe.data.npy import load_npy
from linprobe.errors import FormatError, IncompatibleError, SourceError
from linprobe.shapes import Labels

__all__ = ["CorruptedSet", "open_corrupted"]

LEVELS = 5
"""Severities in one array of CIFAR-10-C, stacked from 1 to 5."""

LABELS = "labels.npy"
"""File of the labels in a folder of CIFAR-10-C."""


@dataclass(frozen=True)
class CorruptedSet:
    """Pictures that somebody has corrupted.

    Args:
        kind: the name of the file or folder.
        severity: 1..5; None for a set without severities.
        images: with their labels.
    """

    kind: str
    severity: int | None
    images: ImageSet


def open_corrupted(
    folder: Path, class_names: tuple[str, ...], options: ReadOptions | None = None
) -> list[CorruptedSet]:
    """The sets in `folder`, by kind and severity.

        labels.npy, gaussian_noise.npy, ...    CIFAR-10-C: (5 n, height, width, channels) uint8, n of severity 1 first;
                                               labels.npy holds (5 n,) or (n,) positions in `class_names`
        gaussian_noise/1/CLASS/*.jpg, ...      ImageNet-C: kind, severity 1..5, class folders
        CLASS/*.png, ...                       one set, named as the folder

    Arrays are memory-mapped, and pickles are not read.

    Args:
        class_names: of the source that the arrays are a corruption of.
        options: how pictures are read.
    Raises:
        SourceError: there is no such folder.
        DataError: a file is damaged or has another shape; the message names it.
    """
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: no such folder; expected one of CIFAR-10-C's .npy files, of kinds with folders 1..5, "
            "or of class folders."
        )
    arrays = sorted(path for path in folder.glob("*.npy") if not path.name.startswith("."))
    if arrays:
        return _arrays(arrays, folder / LABELS, class_names)
    kinds = _folders(folder)
    if kinds and all(_is_kind(kind) for kind in kinds):
        return [
            CorruptedSet(kind.name, int(level.name), _pictures(level, options))
            for kind in kinds
            for level in _folders(kind)
        ]
    return [CorruptedSet(folder.resolve().name, None, _pictures(folder, options))]


def _folders(folder: Path) -> list[Path]:
    """The folders right in `folder` that are not hidden, sorted."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed ({error.strerror}); check its permissions.") from error


def _is_kind(folder: Path) -> bool:
    """Whether `folder` holds nothing but folders 1..5 of class folders."""
    levels = _folders(folder)
    return bool(levels) and all(level.name in ("1", "2", "3", "4", "5") and _folders(level) for level in levels)


def _pictures(folder: Path, options: ReadOptions | None) -> ImageSet:
    """The pictures of one set: those of its test split, or all that it has."""
    dataset = open_dataset(str(folder), options or ReadOptions())
    images = dataset.test or dataset.train
    if not isinstance(images, ImageSet):
        raise IncompatibleError(f"{folder}: holds vectors; a corrupted set holds pictures. Give the pictures.")
    return images


def _arrays(paths: list[Path], labels_path: Path, class_names: tuple[str, ...]) -> list[CorruptedSet]:
    """The sets in the arrays of CIFAR-10-C."""
    if labels_path not in paths:
        raise FormatError(f"{labels_path}: is missing; the arrays beside it need their labels, as CIFAR-10-C has them.")
    labels = load_npy(labels_path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0:
        raise FormatError(
            f"{labels_path}: shape {labels.shape} and dtype {labels.dtype}; expected (5 n,) or (n,) integers."
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise FormatError(
            f"{labels_path}: labels {labels.min()}..{labels.max()}, but the source has {len(class_names)} classes; "
            f"expected 0..{len(class_names) - 1}. Is it a corruption of this source?"
        )
    y = labels.astype(np.int64)
    found: list[CorruptedSet] = []
    for path in paths:
        if path == labels_path:
            continue
        images = load_npy(path)
        if images.ndim != 4 or images.dtype != np.uint8 or len(images) % LEVELS or 0 in images.shape:
            raise FormatError(
                f"{path}: shape {images.shape} and dtype {images.dtype}; "
                "expected (5 n, height, width, channels) uint8, severities 1..5 one after the other."
            )
        n = len(images) // LEVELS
        if len(y) not in (n, len(images)):
            raise FormatError(
                f"{path}: {len(images)} pictures, but {labels_path.name} has {len(y)} labels; "
                f"expected {len(images)} or, for one severity, {n}."
            )
        for level in range(LEVELS):
            part = slice(level * n, (level + 1) * n)
            of_level: Labels = y if len(y) == n else y[part]
            found.append(CorruptedSet(path.stem, level + 1, ImageSet(images[part], of_level, class_names, str(path))))
    if not found:
        raise FormatError(f"{labels_path}: there is no array of pictures beside it, such as gaussian_noise.npy.")
    return found
