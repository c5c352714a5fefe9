"""CIFAR-10 and CIFAR-100, python and binary versions, as a folder or as the published tar.gz.

Both store a picture as 3,072 bytes: the red plane of 32 rows of 32, then the green, then the blue. The python version
is a pickle, and a pickle can run any code. The unpickler here accepts NumPy arrays and plain containers only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from linprobe.data.base import Dataset, ImageSet, Reader, ReadOptions
from linprobe.data.budget import LABEL_CHARACTERS, Budget
from linprobe.data.plain_pickle import unpickle
from linprobe.data.stored import check_image_size, files_in, fingerprint_of_files
from linprobe.data.tar import tar_entries
from linprobe.errors import ArchiveError, FormatError, LabelError, walled
from linprobe.files import read_regular
from linprobe.plain import few, printable

__all__ = ["CifarReader"]

N_BYTES = 3 * 32 * 32
"""Bytes of a picture."""

MOST_ENTRIES = 32
"""Entries of an archive that are listed to decide whether it is CIFAR; the published ones hold at most 9."""

MOST_BYTES = 2**28
"""Largest file that is read, in bytes; the largest published one has 185 million."""


MOST_NAMES_BYTES = 2**20
"""Largest file of class names, in bytes; that of CIFAR-100 has 2,000."""


@dataclass(frozen=True)
class _Version:
    """The file names of one version, and the place of its labels.

    Args:
        told_by: names any of which identifies the version; all of `beside` must exist too.
        names_key, labels_key: keys of the pickles; "" in the binary version.
        n_label_bytes: bytes before a picture in the binary version, the last of which is the label; 0 for a pickle.
    """

    title: str
    train: tuple[str, ...]
    test: str
    meta: str
    told_by: tuple[str, ...]
    beside: tuple[str, ...] = ()
    names_key: str = ""
    labels_key: str = ""
    n_label_bytes: int = 0

    @property
    def files(self) -> tuple[str, ...]:
        return (self.meta, *self.train, self.test)


def _five(ending: str) -> tuple[str, ...]:
    return tuple(f"data_batch_{i}{ending}" for i in range(1, 6))


VERSIONS = (
    _Version(
        "CIFAR-10, python version",
        train=_five(""),
        test="test_batch",
        meta="batches.meta",
        told_by=(*_five(""), "test_batch"),
        names_key="label_names",
        labels_key="labels",
    ),
    _Version(
        "CIFAR-10, binary version",
        train=_five(".bin"),
        test="test_batch.bin",
        meta="batches.meta.txt",
        told_by=(*_five(".bin"), "test_batch.bin"),
        n_label_bytes=1,
    ),
    _Version(
        "CIFAR-100, python version",
        train=("train",),
        test="test",
        meta="meta",
        told_by=("train", "test"),
        beside=("meta",),  # other folders hold files called train and test too
        names_key="fine_label_names",
        labels_key="fine_labels",
    ),
    _Version(
        "CIFAR-100, binary version",
        train=("train.bin",),
        test="test.bin",
        meta="fine_label_names.txt",
        told_by=("train.bin", "test.bin"),
        n_label_bytes=2,  # the coarse label, then the fine one
    ),
)


@dataclass(frozen=True)
class _Batch:
    """One file: pictures (n, 3072) as stored, labels (n,), and the names of the pictures if it has them."""

    where: str
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...] | None


@final
class CifarReader(Reader):
    """Reads CIFAR-10 and CIFAR-100 (with its 100 fine labels), recognised by the names of the files."""

    name: ClassVar[str] = "cifar"

    def accepts(self, source: str, path: Path | None) -> bool:
        return path is not None and _version(path) is not None

    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        assert path is not None
        version = _version(path)
        assert version is not None
        class_names: tuple[str, ...] = ()
        batches: dict[str, _Batch] = {}
        for name, where, content in _contents(path, version):
            if name == version.meta:
                class_names = _class_names(where, content, version)
            elif version.n_label_bytes:
                batches[name] = _binary_batch(where, content, version)
            else:
                batches[name] = _pickled_batch(where, content, version)
            if options.progress is not None:
                options.progress("reading CIFAR", len(batches), len(version.files) - 1)
        missing = [name for name in version.files if name not in batches and name != version.meta]
        missing += [] if class_names else [version.meta]
        if missing:
            raise FormatError(
                f"{path}: found {version.title} without {', '.join(missing)}; expected the files "
                f"{', '.join(version.files)}. Fetch it again, and unpack all of it."
            )
        check_image_size(source, (32, 32, 3), options)
        files = [path] if path.is_file() else [path / name for name in version.files]
        return Dataset(
            source,
            self.name,
            class_names,
            _images([batches.pop(name) for name in version.train], class_names, str(path)),
            test=_images([batches.pop(version.test)], class_names, str(path)),
            fingerprint=fingerprint_of_files(files),
        )


def _version(path: Path) -> _Version | None:
    """The version whose files are in `path`, a folder or a tar file; None where there is none."""
    if path.is_dir():
        names = {file.name for file in files_in(path)}
    elif re.search(r"\.(tar|tgz|tar\.[a-z0-9]+)$", path.name, re.IGNORECASE):
        names = _names_in_tar(path)
    else:
        return None
    return _told(names)


def _names_in_tar(path: Path) -> set[str]:
    """The names of the files in a tar file, until they name a version: the rest would have to be decompressed."""
    names: set[str] = set()
    try:
        for entry, _ in tar_entries(path, str(path), Budget(str(path), path.stat().st_size)):
            names |= {PurePosixPath(entry.name).name} if entry.isfile() else set()
            if len(names) >= MOST_ENTRIES or _told(names):
                break
    except Exception:  # a damaged archive is recognised by the names before the damage, if at all
        return names
    return names


def _told(names: set[str]) -> _Version | None:
    return next((v for v in VERSIONS if names & set(v.told_by) and names >= set(v.beside)), None)


def _contents(path: Path, version: _Version) -> Iterator[tuple[str, str, bytes]]:
    """(name, name in messages, content) of each file of `version` in `path`, in one pass.

    Raises:
        ArchiveError: the archive is damaged, or an entry is too large.
        FormatError: a file of the folder cannot be read.
    """
    if path.is_dir():
        for name in version.files:
            if not (path / name).is_file():
                continue
            try:
                content = read_regular(path / name, MOST_NAMES_BYTES if name == version.meta else MOST_BYTES)
            except OSError as error:
                raise FormatError(
                    f"{path / name}: cannot be read ({error.strerror}); expected a file of {version.title}. "
                    "Check its permissions, or fetch it again."
                ) from error
            yield name, str(path / name), content
        return
    seen: set[str] = set()
    with walled(ArchiveError, path, f"expected the archive of {version.title}. Fetch it again."):
        for entry, file in tar_entries(path, str(path), Budget(str(path), path.stat().st_size)):
            name = PurePosixPath(entry.name).name
            if not entry.isfile() or name not in version.files or name in seen:
                continue
            most = MOST_NAMES_BYTES if name == version.meta else MOST_BYTES
            if entry.size > most:
                raise ArchiveError(
                    f"{path}, entry {entry.name}: found {entry.size} bytes, expected at most {most}. "
                    "This is not the CIFAR that its authors publish: fetch it again."
                )
            seen.add(name)
            file.seek(entry.offset_data)
            content = file.read(entry.size)
            if len(content) != entry.size:
                raise ArchiveError(f"{path}, entry {entry.name}: the archive is truncated here. Fetch it again.")
            yield name, f"{path}, entry {entry.name}", content


def _images(batches: list[_Batch], class_names: tuple[str, ...], source: str) -> ImageSet:
    """The pictures of `batches` in order, with the planes as the last axis."""
    images = np.empty((sum(len(batch.labels) for batch in batches), 32, 32, 3), np.uint8)
    start = 0
    for batch in batches:
        outside = np.flatnonzero((batch.labels < 0) | (batch.labels >= len(class_names)))
        if len(outside):
            row = int(outside[0])
            raise LabelError(
                f"{batch.where}: found label {batch.labels[row]} at row {row}, expected "
                f"0..{len(class_names) - 1}, one of the {len(class_names)} class names. Fetch the file "
                "again."
            )
        end = start + len(batch.labels)
        images[start:end] = batch.pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        start = end
    names: list[str] | None = []
    for batch in batches:
        names = None if names is None or batch.names is None else names + list(batch.names)
    y = np.concatenate([batch.labels for batch in batches])
    return ImageSet(images, y, class_names, source, names=None if names is None else tuple(names))


def _binary_batch(where: str, content: bytes, version: _Version) -> _Batch:
    """The batch of a binary file, whose records hold the label bytes and one picture."""
    record = version.n_label_bytes + N_BYTES
    if not content or len(content) % record:
        raise FormatError(
            f"{where}: found {len(content)} bytes, expected a multiple of {record}: "
            f"{version.n_label_bytes} of label and {N_BYTES} of picture in each record. Fetch the file "
            "again: it is truncated or damaged."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    labels = records[:, version.n_label_bytes - 1].astype(np.int64)
    return _Batch(where, records[:, version.n_label_bytes :], labels, None)


def _pickled_batch(where: str, content: bytes, version: _Version) -> _Batch:
    """The batch of a pickle: `data` (n, 3072) uint8, n labels, and optionally n file names."""
    batch = _unpickled(where, content)
    pixels = _value(where, batch, "data")
    if not (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.ndim == 2
        and pixels.shape[1] == N_BYTES
        and len(pixels)
    ):
        found = f"{pixels.dtype} of shape {pixels.shape}" if isinstance(pixels, np.ndarray) else _kind(pixels)
        raise FormatError(f"{where}: found {found} under 'data', expected uint8 of (n, {N_BYTES}). {_AGAIN}")
    labels = _value(where, batch, version.labels_key)
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        labels = labels.tolist()
    if not (isinstance(labels, list) and all(type(label) is int and abs(label) < 2**31 for label in labels)):
        raise FormatError(
            f"{where}: found {_kind(labels)} under {version.labels_key!r}, expected a list of small integers. {_AGAIN}"
        )
    if len(labels) != len(pixels):
        raise LabelError(f"{where}: found {len(labels)} labels, expected {len(pixels)}, one a picture. {_AGAIN}")
    found_names = batch.get("filenames")
    named = isinstance(found_names, list) and len(found_names) == len(labels)
    names = tuple(_text(name) for name in found_names or ()) if named else None
    return _Batch(where, pixels, np.array(labels, np.int64), names)


def _class_names(where: str, content: bytes, version: _Version) -> tuple[str, ...]:
    """The class names in their file, in the order of the labels."""
    if version.n_label_bytes:
        names = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
        names = [name for name in names if name]
    else:
        found = _value(where, _unpickled(where, content), version.names_key)
        names = [_text(name) for name in found] if isinstance(found, list) else []
    if not names or len(set(names)) < len(names):
        raise FormatError(f"{where}: found {len(names)} class names, expected different names, one a class. {_AGAIN}")
    if (longest := max(map(len, names))) > LABEL_CHARACTERS:
        raise FormatError(
            f"{where}: found a class name of {longest:,} characters, expected at most {LABEL_CHARACTERS:,}. {_AGAIN}"
        )
    return tuple(map(printable, names))


_AGAIN = "This is not the CIFAR that its authors publish: fetch it again."
"""Next step of the messages about a file's content."""


def _value(where: str, batch: dict[str, Any], key: str) -> Any:  # of whatever the file holds
    if key not in batch:
        found = few([repr(key) for key in batch]) or "no keys"
        raise FormatError(f"{where}: found {found}, expected the key {key!r}. {_AGAIN}")
    return batch[key]


def _unpickled(where: str, content: bytes) -> dict[str, Any]:  # as above
    """The dictionary in a pickle. Raises FormatError as `unpickle` does."""
    return unpickle(where, content, _AGAIN)


def _kind(value: object) -> str:
    return f"an object of type {type(value).__name__}"


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
