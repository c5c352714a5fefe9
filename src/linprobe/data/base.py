"""Records of labelled data, the Reader interface, and `open_dataset(source)`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.shapes import Labels, Pixels

__all__ = ["Dataset", "EmbeddingSet", "ImageSet", "ReadOptions", "Reader", "SkippedImage"]


@dataclass(frozen=True)
class ImageSet:
    """Labelled pictures of one size.

    Args:
        images: (M, height, width, channels) uint8, intensities 0..255; may be a read-only memory map.
        y: (N,) int64 labels in 0..K-1, one per used row.
        class_names: K names.
        source: where they came from, for messages.
        rows: (N,) positions in `images` of the pictures of this set, or None for all. A subset shares the pixels.
        names: the file or entry name of each of the N pictures, where there is one.
    """

    images: Pixels
    y: Labels
    class_names: tuple[str, ...]
    source: str
    rows: npt.NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None

    @property
    def X(self) -> Pixels:
        """(M, D) view of *all* stored pictures as rows, D = height * width * channels; `rows` picks from it."""
        return self.images.reshape(len(self.images), -1)

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(height, width, channels)."""
        return self.images.shape[1:]

    @property
    def n_images(self) -> int:
        """N."""
        return len(self.y)

    def subset(self, picked: npt.NDArray[np.int64]) -> ImageSet:
        """The pictures at positions `picked` (0..N-1), sharing the pixels."""
        return replace(
            self,
            y=self.y[picked],
            rows=picked if self.rows is None else self.rows[picked],
            names=None if self.names is None else tuple(self.names[i] for i in picked),
        )


@dataclass(frozen=True)
class EmbeddingSet:
    """Labelled vectors: embeddings, features, or points in the plane.

    Args:
        X: (M, D) float16, float32 or float64; may be a read-only memory map.
        y, class_names, source, rows, names: as in `ImageSet`.
    """

    X: npt.NDArray[Any]
    y: Labels
    class_names: tuple[str, ...]
    source: str
    rows: npt.NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """None: a vector has no rows and columns."""
        return None

    @property
    def n_images(self) -> int:
        """N."""
        return len(self.y)

    def subset(self, picked: npt.NDArray[np.int64]) -> EmbeddingSet:
        """The vectors at positions `picked` (0..N-1), sharing memory."""
        return replace(
            self,
            y=self.y[picked],
            rows=picked if self.rows is None else self.rows[picked],
            names=None if self.names is None else tuple(self.names[i] for i in picked),
        )


LabelledSet: TypeAlias = ImageSet | EmbeddingSet


@dataclass(frozen=True)
class SkippedImage:
    """A file that was left out, and why, in words."""

    name: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """What a source holds, by split.

    Args:
        source: as given by the user.
        format: the reader's name (digits, planar, folder, archive, cifar, idx, arrays).
        train: the training images.
        validation, test: None where the source has no such split.
        skipped: files left out (only with on_bad_image="skip").
        fingerprint: hex digest of the source's content, or of its paths, sizes and times.
    """

    source: str
    format: str
    class_names: tuple[str, ...]
    train: LabelledSet
    validation: LabelledSet | None = None
    test: LabelledSet | None = None
    skipped: tuple[SkippedImage, ...] = ()
    fingerprint: str = ""

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(height, width, channels), or None for vectors."""
        return self.train.image_shape


ProgressCallback: TypeAlias = Callable[[str, int, int], None]
"""Called with (what is being done, how many are done, how many there are)."""


@dataclass(frozen=True)
class ReadOptions:
    """How to read a source.

    Args:
        image_size: (height, width) to which every picture is resized; None demands that all have one size.
        on_bad_image: "fail" lists every broken picture and stops; "skip" leaves them out and counts them.
        cache: keep decoded pixels under the user's cache folder, and use those that are there.
        n_threads: decoding threads; None for one per core.
        seed: for the sources that are drawn at random (planar).
        progress: told how far a long read is.
    """

    image_size: tuple[int, int] | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"
    cache: bool = True
    n_threads: int | None = None
    seed: int = 0
    progress: ProgressCallback | None = field(default=None, compare=False)


class Reader(ABC):
    """Reads one format. `accepts` looks at the source itself, never at a flag."""

    name: ClassVar[str]

    @abstractmethod
    def accepts(self, source: str, path: Path | None) -> bool:
        """Whether this reader reads `source`; `path` is None for embedded sources and else exists."""

    @abstractmethod
    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        """The data by split. Raises a DataError that names the file, what was found, and the next step."""
