"""IDX files, plain or gzipped: MNIST and its family.

An IDX file holds a magic number (two zero bytes, the type of the numbers, the number of axes), the length of each axis
as a big-endian 32-bit integer, and the numbers. Images are unsigned bytes (0x08) with 3 axes, or with 4, the channels
last. Labels are unsigned bytes with 1 axis.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, ClassVar, final

import numpy as np
import numpy.typing as npt

from linprobe.data.base import Dataset, ImageSet, Reader, ReadOptions
from linprobe.data.budget import RATIO, most_unpacked
from linprobe.data.stored import check_image_size, check_pixels, files_in, fingerprint_of_files, number_classes
from linprobe.data.tar import gunzipped
from linprobe.errors import FormatError, LabelError, walled
from linprobe.files import open_regular
from linprobe.plain import few
from linprobe.shapes import Pixels

__all__ = ["IdxReader"]

MNIST_NAME = re.compile(r"(?P<set>.*-)?(?P<part>train|t10k|test)-images[-.]idx[34]-ubyte(\.gz)?")
"""An images file of a folder: train-images-idx3-ubyte, emnist-letters-test-images-idx3-ubyte.gz, ..."""

IDX_NAME = re.compile(r".*(idx\d-ubyte|\.idx\d?)(\.gz)?", re.IGNORECASE)
"""Any IDX file: train-images-idx3-ubyte.gz, images.idx3, ..."""


@final
class IdxReader(Reader):
    """Reads a folder with MNIST's file names, or one images file with its labels file in the same folder."""

    name: ClassVar[str] = "idx"

    def accepts(self, source: str, path: Path | None) -> bool:
        if path is None:
            return False
        if path.is_dir():
            return bool(_images_files(path))
        return bool(IDX_NAME.fullmatch(path.name)) or _begins_like_idx(path)

    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        assert path is not None
        files = _choose(path) if path.is_dir() else {"train": path}
        images = {part: _read(file, axes=(3, 4)) for part, file in files.items()}
        labels_files = {part: _labels_file(file) for part, file in files.items()}
        labels = {part: _read(file, axes=(1,)) for part, file in labels_files.items()}
        for part, file in files.items():
            _check_images(file, images[part], files["train"], images["train"])
            if len(labels[part]) != len(images[part]):
                raise LabelError(
                    f"{labels_files[part]}: found {len(labels[part])} labels, expected "
                    f"{len(images[part])}, one for each image of {file.name}. Fetch the two files from the "
                    "same place."
                )
        class_names, numbered = number_classes(labels.values())
        parts = {
            part: ImageSet(_with_channels(images[part]), y, class_names, str(files[part]))
            for part, y in zip(files, numbered, strict=True)
        }
        check_image_size(source, parts["train"].image_shape, options)
        return Dataset(
            source,
            self.name,
            class_names,
            parts["train"],
            test=parts.get("test"),
            fingerprint=fingerprint_of_files([*files.values(), *labels_files.values()]),
        )


def _images_files(folder: Path) -> dict[tuple[str, str], Path]:
    """The images files of `folder` by (name of the set, train or test); a plain file takes precedence over its .gz."""
    found: dict[tuple[str, str], Path] = {}
    for file in files_in(folder):
        match = MNIST_NAME.fullmatch(file.name)
        if match:
            found.setdefault((match["set"] or "", "train" if match["part"] == "train" else "test"), file)
    return found


def _choose(folder: Path) -> dict[str, Path]:
    """The images files of the one set in `folder`, by split."""
    found = _images_files(folder)
    sets = sorted({name for name, _ in found})
    if len(sets) > 1:
        raise FormatError(
            f"{folder}: found {len(sets)} sets of IDX files ({few([repr(name) for name in sets])}), "
            "expected one. Give the path of one images file, or move each set to a folder of its own."
        )
    files = {part: file for (_, part), file in sorted(found.items(), reverse=True)}  # train before test
    if "train" not in files:
        raise FormatError(
            f"{folder}: found {files['test'].name} but no training images; expected "
            "train-images-idx3-ubyte, plain or .gz. Add it, or give the path of the images file "
            "to use it alone."
        )
    return files


def _labels_file(images: Path) -> Path:
    """The labels file of `images`: ...-labels-idx1-ubyte for ...-images-idx3-ubyte, plain or .gz."""
    head, word, tail = images.name.removesuffix(".gz").rpartition("images")
    if not word:
        raise FormatError(
            f"{images}: the name does not say which file holds its labels; expected a name with the word "
            "'images', as in train-images-idx3-ubyte, and a file of the same name with 'labels'. Rename "
            "the two files."
        )
    name = f"{head}labels{re.sub('idx[34]', 'idx1', tail)}"
    for candidate in (images.with_name(name), images.with_name(name + ".gz")):
        if candidate.is_file():
            return candidate
    raise FormatError(
        f"{images}: found no labels for it; expected {name} or {name}.gz in the same folder. Put the labels file there."
    )


def _begins_like_idx(path: Path) -> bool:
    """Whether the first bytes are an IDX magic of unsigned bytes with 1 to 4 axes."""
    try:
        with _opened(path) as (file, _):
            magic = file.read(4)
    except Exception:  # damaged gzip raises several classes
        return False
    return len(magic) == 4 and magic[:3] == b"\0\0\x08" and 1 <= magic[3] <= 4


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """The content of `path`, decompressed where it is gzip, and whether it is."""
    with open_regular(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            yield file, False
            return
        with closing(gunzipped(file)) as unpacked:
            yield unpacked, True


def _read(path: Path, axes: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The array in `path`, with a number of axes in `axes`; a plain file is memory-mapped, read-only.

    Raises:
        FormatError: the magic or the length is wrong, or the gzip data are damaged.
    """
    stored = path.stat().st_size
    with walled(FormatError, path, f"expected an IDX file. {_AGAIN}"), _opened(path) as (file, packed):
        magic = file.read(4)
        _check_magic(path, magic, axes)
        lengths = file.read(4 * magic[3])
        start = 4 + 4 * magic[3]
        if len(lengths) < start - 4:
            raise FormatError(f"{path}: found {4 + len(lengths)} bytes, expected a header of {start}. {_AGAIN}")
        shape = tuple(int(n) for n in np.frombuffer(lengths, ">u4"))
        expected = math.prod(shape)
        if not packed:
            found = stored - start
        elif expected > most_unpacked(stored):  # checked before the memory is allocated
            raise FormatError(
                f"{path}: the header claims {expected:,} bytes of data ({_times(shape)}), expected at most "
                f"{most_unpacked(stored):,}: 256 MiB and {RATIO} times the file. {_AGAIN}"
            )
        else:
            data = file.read(expected + 1)  # one more than expected, to detect a file that is too long
            found = len(data)
    if found != expected:
        at_least = "at least " if packed and found > expected else ""
        raise FormatError(
            f"{path}: found {at_least}{found} bytes of data after the header, expected {expected} "
            f"({_times(shape)}). {_AGAIN}"
        )
    if expected == 0:
        raise FormatError(f"{path}: found an empty array ({_times(shape)}), expected at least one image. {_AGAIN}")
    if packed:
        return np.frombuffer(data, np.uint8).reshape(shape)
    return np.memmap(path, np.uint8, mode="r", offset=start, shape=shape)


_AGAIN = "Fetch the file again: it is truncated or damaged."
"""Next step of the messages about a file's content."""


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _check_magic(path: Path, magic: bytes, axes: tuple[int, ...]) -> None:
    """Raise FormatError unless `magic` is that of unsigned bytes with a number of axes in `axes`."""
    if len(magic) == 4 and magic[:3] == b"\0\0\x08" and magic[3] in axes:
        return
    word = "axis" if axes == (1,) else "axes"
    expected = f"0x{0x0800 + axes[0]:08x} (unsigned bytes, {axes[0]} {word})"
    if magic == b"\0\0\x08\x01":
        hint = "That is the magic of a label file: were the two paths swapped? Give the path of the images."
    elif magic in (b"\0\0\x08\x03", b"\0\0\x08\x04"):
        hint = "That is the magic of an image file: were the two paths swapped?"
    elif len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] != 8 and magic[3] in axes:
        hint = "The numbers are of another type: convert them to unsigned bytes, 0..255."
    else:
        hint = "This is not an IDX file of images or labels: fetch it again, or check the path."
    found = f"0x{magic.hex()}" if len(magic) == 4 else f"{len(magic)} bytes in all"
    raise FormatError(f"{path}: expected magic {expected} at byte 0, found {found}. {hint}")


def _check_images(path: Path, images: Pixels, train_path: Path, train: Pixels) -> None:
    """Raise FormatError unless there are 1 to 4 channels, few enough pixels, and the shape of the training pictures."""
    if images.ndim == 4 and images.shape[3] > 4:
        raise FormatError(
            f"{path}: found {images.shape[3]} channels in {_times(images.shape)}, expected 1 to 4 on the "
            "last axis. Write the images with the channels last."
        )
    check_pixels(path, images.shape[1:])
    if images.shape[1:] != train.shape[1:]:
        raise FormatError(
            f"{path}: found pictures of {_times(images.shape[1:])}, expected {_times(train.shape[1:])} as "
            f"in {train_path.name}. Fetch the two files from the same place."
        )


def _with_channels(images: Pixels) -> Pixels:
    return images[..., None] if images.ndim == 3 else images
