"""What the lab may read: the built-in sets, what the command line named, what the page uploaded; nothing else."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from linprobe.data.base import Dataset, ImageSet, ReadOptions, open_dataset
from linprobe.data.planar import PLANAR
from linprobe.data.splits import notes_on
from linprobe.errors import DataError, ImageError, LinprobeError, ParameterError
from linprobe.lab.protocol import Lab
from linprobe.lab.uploads import LEAVE_OUT, RESIZE, Uploads, check_numbers
from linprobe.runs.material import absolute_source
from linprobe.wording import in_words

__all__ = ["BUILT_IN", "Description", "Source", "SourceShown", "Sources"]

BUILT_IN = ("digits", *(f"planar:{name}" for name in PLANAR))
"""Sources that come with linprobe."""

KEPT = 2
"""Datasets that are kept open."""


SourceKind: TypeAlias = Literal["built-in", "named", "uploaded"]


@dataclass(frozen=True)
class UploadShown:
    """What is known of an upload, as in `Upload`."""

    n_files: int
    size: tuple[int, int] | None
    one_size: bool


@dataclass(frozen=True)
class SourceShown:
    """A source in the list of the page; the attributes are those of `Source`."""

    key: str
    label: str
    kind: SourceKind
    upload: UploadShown | None


@dataclass(frozen=True)
class Description:
    """What a source holds.

    Attributes:
        source, label: its key, and how it is shown.
        format: as `Dataset.format`.
        pictures: whether it holds pictures, not vectors.
        shape: (height, width, channels), or (D,).
        class_names: of its classes.
        counts: images by split.
        skipped: pictures that could not be read.
        notes: sentences on what the reader did or found that a user must know of.
    """

    source: str
    label: str
    format: str
    pictures: bool
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    counts: Mapping[str, int]
    skipped: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A source of the lab.

    Attributes:
        key: what the page calls it, in its address as well.
        label: how it is shown.
        kind: built-in, named or uploaded.
        path: what `open_dataset` takes.
    """

    key: str
    label: str
    kind: SourceKind
    path: str


class Sources:
    """The sources of a lab.

    Args:
        lab: whose service it is.
    """

    def __init__(self, lab: Lab) -> None:
        self.uploads = lab.service(Uploads)
        texts = tuple(dict.fromkeys(lab.sources))
        self._named = [
            Source(_key(number, text, texts), _label(text, texts), "named", absolute_source(text))
            for number, text in enumerate(texts, 1)
        ]
        self._open: OrderedDict[tuple[str, tuple[int, int] | None, int, bool], Dataset] = OrderedDict()
        self._lock = threading.Lock()

    def all(self) -> list[Source]:
        """All of them: those of the command line first."""
        uploaded = [Source(key, kept.name, "uploaded", str(kept.path)) for key, kept in self.uploads.kept.items()]
        named = {source.path for source in self._named}
        built_in = [Source(name, name, "built-in", name) for name in BUILT_IN if name not in named]
        return [*self._named, *uploaded, *built_in]

    def shown(self) -> tuple[SourceShown, ...]:
        """All of them for the page."""
        kept = self.uploads.kept
        return tuple(
            SourceShown(
                source.key,
                source.label,
                source.kind,
                UploadShown(upload.n_files, upload.size, upload.one_size) if (upload := kept.get(source.key)) else None,
            )
            for source in self.all()
        )

    def of(self, key: str) -> Source:
        """The source that the page calls `key`.

        Raises:
            ParameterError: there is none.
        """
        for source in self.all():
            if source.key == key:
                return source
        raise ParameterError(f"source = {key[:80]!r}; the lab reads what its command line named, and uploads.")

    def of_run(self, path: str) -> Source:
        """The source that a run was trained on, if the lab may read it.

        Raises:
            ParameterError: the command line did not name it.
        """
        for source in self.all():
            if source.path == path:
                return source
        gone = not Path(path).exists()
        raise ParameterError(
            f"{Path(path).name}: the source of this run is gone; its pictures cannot be read again."
            if gone
            else f"the lab was not started with the source of this run; start it with: linprobe lab {path}"
        )

    def cache_of(self, source: Source) -> Path | None:
        """The folder for the decoded pixels of a source: None for the user's own."""
        return self.uploads.cache if source.kind == "uploaded" else None

    def check(self, source: Source, image_size: tuple[int, int] | None) -> None:
        """Raise ArchiveError where an upload is too large in this size."""
        if source.kind == "uploaded":
            check_numbers(self.uploads.kept[source.key], image_size)

    def dataset(
        self, source: Source, image_size: tuple[int, int] | None, seed: int = 0, *, skip_bad: bool = False
    ) -> Dataset:
        """What a source holds; the last ones are kept open.

        Args:
            source: which.
            image_size: (height, width) to resize to; None to leave pictures as they are.
            seed: of the sets that are drawn.
            skip_bad: leave out broken pictures.
        Raises:
            LinprobeError: it cannot be read.
        """
        self.check(source, image_size)
        key = (source.key, image_size, seed if source.path.startswith("planar:") else 0, skip_bad)
        with self._lock:  # a second page waits instead of decoding the same again
            if key in self._open:
                self._open.move_to_end(key)
                return self._open[key]
            options = ReadOptions(
                image_size=image_size,
                on_bad_image="skip" if skip_bad else "fail",
                cache=source.kind != "uploaded",
                seed=seed,
            )
            try:
                dataset = open_dataset(source.path, options)
            except DataError as error:
                raise self._in_words(source, error) from error
            except MemoryError as error:
                raise ImageError(
                    f"{source.label}: its pixels do not fit the memory; choose fewer in {RESIZE}."
                ) from error
            self._open[key] = dataset
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
            return dataset

    def describe(
        self, source: Source, image_size: tuple[int, int] | None, seed: int = 0, *, skip_bad: bool = False
    ) -> Description:
        """What the page shows of a source, read as `dataset` reads it: format, classes, counts, shape."""
        if source.kind == "named":  # it may have changed; a training would read it as it is now
            self._close(source.key)
        dataset = self.dataset(source, image_size, seed, skip_bad=skip_bad)
        pictures = isinstance(dataset.train, ImageSet)
        parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
        return Description(
            source=source.key,
            label=source.label,
            format=dataset.format,
            pictures=pictures,
            shape=dataset.image_shape or (int(dataset.train.X.shape[1]),),
            class_names=dataset.class_names,
            counts={name: part.n_images for name, part in parts.items() if part is not None},
            skipped=len(dataset.skipped),
            notes=tuple(map(in_words, notes_on(dataset, dataset))),
        )

    def forget(self, key: str) -> None:
        """Delete an upload, and what was decoded of it. Raises ParameterError where there is none of that key."""
        self.uploads.forget(key)
        self._close(key)

    def _close(self, key: str) -> None:
        """Forget what was read of a source."""
        with self._lock:
            for opened in [opened for opened in self._open if opened[0] == key]:
                del self._open[opened]

    @staticmethod
    def _in_words(source: Source, error: LinprobeError) -> LinprobeError:
        """The error with the name that the page shows in place of the path, and with the remedy of the page."""
        text = str(error).replace(source.path, source.label)
        if "--image-size" in text:
            text = text.partition("; resize all with")[0] + f"; choose a size in {RESIZE}."
        text = text.replace("leave them out with --on-bad-image skip", f"check {LEAVE_OUT}")
        return type(error)(text)


def _label(text: str, all_of_them: tuple[str, ...]) -> str:
    """The last part of a path, where that distinguishes it from the others."""
    return _name(text) if sum(_name(other) == _name(text) for other in all_of_them) == 1 else text


def _key(number: int, text: str, all_of_them: tuple[str, ...]) -> str:
    """The key of the source `text`: it stands in the address of the page, which is passed on, and holds no folder."""
    alone = sum(_name(other) == _name(text) for other in all_of_them) == 1
    return f"source:{_name(text)}" if alone else f"source:{number}:{_name(text)}"


def _name(text: str) -> str:
    """The last part of a path; of "." and "/" that of the folder itself, or the text."""
    return Path(text).name or Path(text).resolve().name or text
