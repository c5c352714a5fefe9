"""Labelled data sets, the Reader interface, and `open_dataset(source)`."""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import Field, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.data.names import alike_note, missing_note
from linprobe.data.other_formats import other_format
from linprobe.data.wrapping import data_sets_in, files_of, wrapped_in
from linprobe.errors import DataError, FormatError, IncompatibleError, ParameterError, SourceError, walled
from linprobe.plain import few, shell_word
from linprobe.shapes import Labels, Pixels

__all__ = [
    "Dataset",
    "EmbeddingSet",
    "ImageSet",
    "LabelledSet",
    "ProgressCallback",
    "ReadOptions",
    "Reader",
    "SkippedImage",
    "open_dataset",
]


class _Labelled:
    """Base of picture and vector sets: labels, names, and the rows used."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    y: Labels
    rows: npt.NDArray[np.int64] | None
    names: tuple[str, ...] | None

    @property
    def n_images(self) -> int:
        """N."""
        return len(self.y)

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """(N,) positions of the images in the stored array."""
        return np.arange(self.n_images) if self.rows is None else self.rows

    def subset(self, picked: npt.NDArray[np.int64]) -> Self:
        """The images at positions `picked` (0..N-1), sharing memory."""
        return replace(
            self,
            y=self.y[picked],
            rows=picked if self.rows is None else self.rows[picked],
            names=None if self.names is None else tuple(self.names[i] for i in picked),
        )


@dataclass(frozen=True)
class ImageSet(_Labelled):
    """Labelled pictures of one size.

    Args:
        images: (M, height, width, channels) uint8, intensities 0..255; may be a read-only memory map.
        y: (N,) int64 labels in 0..K-1, one per used row.
        class_names: K names.
        source: their origin, for messages.
        rows: (N,) positions in `images` of the pictures of this set, or None for all; a subset shares them.
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
        """(M, D) view of *all* stored pictures, D = height * width * channels; `rows` picks from it."""
        return self.images.reshape(len(self.images), math.prod(self.images.shape[1:]))

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(height, width, channels)."""
        return self.images.shape[1:]


@dataclass(frozen=True)
class EmbeddingSet(_Labelled):
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


LabelledSet: TypeAlias = ImageSet | EmbeddingSet


@dataclass(frozen=True)
class SkippedImage:
    """A file that was left out, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The data of a source, by split.

    Args:
        source: as given by the user.
        format: the reader's name (digits, planar, folder, archive, cifar, idx, arrays, parquet).
        train: the training images.
        validation, test: None where the source has no such split.
        skipped: files left out (only with on_bad_image="skip").
        notes: sentences on what the reader did or found that a user must know of; most sources have none.
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
    notes: tuple[str, ...] = ()

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """(height, width, channels), or None for vectors."""
        return self.train.image_shape


ProgressCallback: TypeAlias = Callable[[str, int, int], None]
"""Called with (the activity in words, the number done, the total)."""


@dataclass(frozen=True)
class ReadOptions:
    """How to read a source.

    Args:
        image_size: (height, width) to which every picture is resized; None requires pictures of one size.
        on_bad_image: "fail" raises an error that names the first broken pictures and counts the others; "skip" leaves
            them out.
        cache: whether decoded pixels and vectors are stored in, and read from, the user's cache folder.
        n_threads: decoding threads; None for one per core.
        seed: of the sources that are drawn at random (planar).
        progress: called during long reads.
        to_train: whether the source must have training images and two classes. False, for a source that a trained
            model is tested on, gives a training set without images where a folder has none.
    Raises:
        ParameterError: a size or a number of threads below 1, or another `on_bad_image`.
    """

    image_size: tuple[int, int] | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"
    cache: bool = True
    n_threads: int | None = None
    seed: int = 0
    progress: ProgressCallback | None = field(default=None, compare=False)
    to_train: bool = True

    def __post_init__(self) -> None:
        """Check the ranges."""
        size = self.image_size
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ParameterError(f"image_size = {size}; expected (height, width), both at least 1.")
        if self.on_bad_image not in ("fail", "skip"):
            raise ParameterError(f"on_bad_image = {self.on_bad_image!r}; expected one of fail, skip.")
        if self.n_threads is not None and self.n_threads < 1:
            raise ParameterError(f"n_threads = {self.n_threads}; expected at least 1, or None for one per core.")


class Reader(ABC):
    """Reads one format. `accepts` decides by the source itself, never by an option."""

    name: ClassVar[str]

    @abstractmethod
    def accepts(self, source: str, path: Path | None) -> bool:
        """Whether this reader reads `source`; `path` is None for built-in sources and exists otherwise."""

    @abstractmethod
    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        """The data by split. Raises a DataError that names the file, what was found, and the next step."""


_READERS = (
    ("digits", "DigitsReader"),
    ("planar", "PlanarReader"),
    ("arrays", "ArraysReader"),
    ("parquet", "ParquetReader"),
    ("idx", "IdxReader"),
    ("cifar", "CifarReader"),
    ("folder", "FolderReader"),
    ("archive", "ArchiveReader"),
)
"""Module and class of each reader, tried in this order: special formats before folders and archives."""


def open_dataset(
    source: str | Path,
    options: ReadOptions | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    on_bad_image: Literal["fail", "skip"] = "fail",
    cache: bool = True,
    n_threads: int | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Dataset:
    """The labelled data behind `source`, by split, read by the first reader that accepts it.

    Args:
        source: a path, or the name of a built-in source such as "digits".
        options: the options below as one record.
        image_size, on_bad_image, cache, n_threads, seed, progress: as in `ReadOptions`.
    Raises:
        SourceError: the path does not exist, or no reader accepts it.
        DataError: the data cannot be read; the message names the file.
        IncompatibleError: `options` and separate options are both given.
    """
    separate = ReadOptions(image_size, on_bad_image, cache, n_threads, seed, progress)
    if options is not None and (separate != ReadOptions() or progress is not None):
        raise IncompatibleError("open_dataset got options and separate options; pass only one of the two.")
    name = str(source)
    if not name:  # an empty shell variable would mean the current folder
        raise SourceError("the source is an empty text; expected a path, or the name of a built-in set such as digits.")
    try:
        found = Path(name).expanduser()
        path = found if found.exists() else None
    except (OSError, ValueError, RuntimeError) as error:  # too long, not searchable, a NUL, ~nobody
        raise SourceError(f"{name!r} cannot be accessed ({error}); check the path and its permissions.") from error
    if path is not None and not (path.is_dir() or path.is_file()):  # a pipe would be waited for
        raise SourceError(
            f"{name}: found a pipe, a socket or a device, expected a regular file or a folder. Copy it into a file."
        )
    chosen = options or separate
    try:
        with walled(FormatError, name, _WHOLE):
            return _read(name, path, chosen)
    except FormatError as error:
        if isinstance(error.__cause__, _ProgressError):
            raise error.__cause__.raised from None
        raise


_WHOLE = (
    "expected a source in a format that linprobe reads. Create or fetch it again; if other programs read it, "
    "report it with the output of --debug."
)
"""What was expected, and the next step, where a reader does not know what is wrong."""


class _ProgressError(Exception):
    """What the caller's own callback raised, which passes the outer wall as it is."""

    def __init__(self, raised: Exception) -> None:
        super().__init__(str(raised))
        self.raised = raised


def _guarded(progress: ProgressCallback) -> ProgressCallback:
    """The callback, with its errors marked as its own."""

    def call(activity: str, done: int, total: int) -> None:
        try:
            progress(activity, done, total)
        except Exception as error:
            raise _ProgressError(error) from error

    return call


def _read(name: str, path: Path | None, options: ReadOptions) -> Dataset:
    """The data of the first reader that accepts the source."""
    if options.progress is not None:
        options = replace(options, progress=_guarded(options.progress))
    if path is not None and (path / "settings.json").is_file() and files_of(path):
        raise SourceError(
            f"{name}: found a run folder, expected a source of images. Give the source that it was trained on: "
            f"linprobe info {shell_word(name)} shows it."
        )
    reader, path = _reader_of(name, path)
    if reader is not None:
        try:
            dataset = reader.read(name, path, options)
            found = (alike_note(dataset.class_names), missing_note(dataset.class_names))
            notes = tuple(note for note in found if note is not None)
            return replace(dataset, notes=(*dataset.notes, *notes)) if notes else dataset
        except DataError as error:
            _refer_to_folders_inside(name, reader, path, error)
            raise
    if path is None:
        raise SourceError(
            f"{name}: no such file or folder, and no built-in source of that name; expected a folder of "
            "class folders, an archive of one, a CIFAR, IDX, array or Parquet file, or digits. Check the spelling."
        )
    if known := other_format(path):
        raise SourceError(f"{name} is {known}.")
    raise SourceError(
        f"{name}: unknown format; expected a folder of class folders, a .zip or .tar of one, "
        "or a CIFAR, IDX, .npy, .npz or .parquet file. Put the pictures into one folder per class."
    )


def _readers() -> list[Reader]:
    """One of each kind, in the order of `_READERS`."""
    return [getattr(importlib.import_module(f"linprobe.data.{module}"), name)() for module, name in _READERS]


def _reader_of(name: str, path: Path | None) -> tuple[Reader | None, Path | None]:
    """The reader of a source, and what it reads: `path`, or a data set that is wrapped in folders."""
    readers = _readers()
    reader = next((one for one in readers if one.accepts(name, path)), None)
    if reader is None or reader.name != "folder" or path is None:
        return reader, path
    for inner in wrapped_in(path):
        other = next(one for one in readers if one.accepts(name, inner))
        if other.name != "folder":
            return other, inner
    return reader, path


def _refer_to_folders_inside(name: str, reader: Reader, path: Path | None, error: DataError) -> None:
    """Raise SourceError where a folder is no data set but holds some, as torchvision keeps them, or other files."""
    if reader.name != "folder" or path is None:
        return
    inside = data_sets_in(path, lambda inner: getattr(_reader_of(name, inner)[0], "name", "folder") != "folder")
    if inside:
        names = few([folder.name for folder in inside])
        raise SourceError(
            f"{name}: found the data set{'s' * (len(inside) > 1)} {names}, each in a folder of its own; "
            f"give one of these folders, as in {Path(name) / inside[0].name}."
        ) from error
    for file in files_of(path):
        if known := other_format(file):
            raise SourceError(f"{name}: found no class folder but the file {file.name}, which is {known}.") from error
