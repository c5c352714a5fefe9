"""Files of numpy.save and numpy.savez, whose headers are compared with the bytes behind them before NumPy reads on."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from linprobe.data.budget import Budget
from linprobe.data.other_formats import other_format
from linprobe.errors import FormatError, walled
from linprobe.files import open_regular

__all__ = ["load_npy", "load_npz"]

HEADER_BYTES = 10_000
"""Bytes of a header at most, as in NumPy; a plain one has 118."""

PLAIN_HEADER = re.compile(rb"[\w\s'\"<>|=:,.\[\](){}]*")
"""Bytes of which the header of a plain array is made. Python, which evaluates it, recurses with every other sign."""

MOST_BRACKETS = 64
"""Brackets of a header at most; a plain array has two pairs."""

AGAIN = "expected an array that numpy.save or numpy.savez wrote. Save or fetch the file again."
"""What was expected, and the next step."""


def load_npy(path: Path) -> npt.NDArray[Any]:
    """The array in the .npy file `path`, memory-mapped, read-only.

    Raises:
        FormatError: it is no plain array, or shorter than its header says.
    """
    with walled(FormatError, path, AGAIN):
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            _check_header(file, str(path), size)
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def load_npz(path: Path, wanted: Callable[[list[str]], list[str]]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Name and array of each array of the .npz file `path` that is wanted.

    Args:
        path: the file.
        wanted: picks names among those of the file.
    Raises:
        FormatError: it is damaged, or an array is not plain, or unpacks to more than the budget of the file.
    """
    with walled(FormatError, path, AGAIN), open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if file.read(6) == b"\x93NUMPY":
            raise FormatError(f"{path}: found a single array, expected an .npz. Rename the file to .npy.")
        if not zipfile.is_zipfile(file):
            known = other_format(path)
            raise FormatError(f"{path} is {known}.") if known else _pickled(str(path))
        budget = Budget(str(path), size, FormatError)
        with zipfile.ZipFile(file) as archive:
            entries: dict[str, zipfile.ZipInfo] = {}
            for entry in archive.infolist():
                if entries.setdefault(name := entry.filename.removesuffix(".npy"), entry) is not entry:
                    raise FormatError(f"{path}: found two arrays called {name!r}, {AGAIN}")
            for name in wanted(list(entries)):
                budget.unpack(entries[name].file_size)
                yield name, _member(archive, entries[name], f"{path}, array {name!r}")


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> npt.NDArray[Any]:
    """The array in an entry of an .npz file. Raises FormatError as `load_npz`."""
    if entry.flag_bits & 1:
        raise FormatError(f"{where}: found an encrypted array, expected a plain one. Save the file without a password.")
    with walled(FormatError, where, AGAIN):
        with archive.open(entry) as member:
            _check_header(member, where, entry.file_size)
        with archive.open(entry) as member:
            return np.asarray(np.lib.format.read_array(member, allow_pickle=False, max_header_size=HEADER_BYTES))


def _check_header(file: IO[bytes], where: str, n_bytes: int) -> None:
    """Raise FormatError unless the file of `n_bytes` begins with the header of a plain array that it holds.

    Raises:
        Exception: of almost any class, where NumPy cannot read the header.
    """
    start = file.read(12)
    if start[:6] != b"\x93NUMPY":
        raise _pickled(where)
    width = 2 if start[6:7] == b"\1" else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > HEADER_BYTES:
        raise FormatError(f"{where}: found a header of {length:,} bytes, {AGAIN}")
    text = start[8 + width :] + file.read(length + 8 + width - len(start))
    if not PLAIN_HEADER.fullmatch(text) or sum(text.count(sign) for sign in b"[({") > MOST_BRACKETS:
        raise FormatError(f"{where}: found a header that is not that of a plain array, {AGAIN}")
    header = io.BytesIO(start[: 8 + width] + text)
    version = np.lib.format.read_magic(header)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(header, max_header_size=HEADER_BYTES)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(header, max_header_size=HEADER_BYTES)
    if dtype.hasobject:
        raise _pickled(where)
    claimed, there = math.prod(shape) * dtype.itemsize, n_bytes - 8 - width - length
    if min(shape, default=0) < 0 or dtype.itemsize == 0 or claimed > there:
        raise FormatError(
            f"{where}: the header claims {dtype} of shape {shape}, {claimed:,} bytes, but {there:,} follow, {AGAIN}"
        )


def _pickled(where: str) -> FormatError:
    return FormatError(
        f"{where}: found Python objects (a pickle) or no array at all, expected an array of numbers or "
        "strings; a pickle can run any code and is not read. Save it again with a plain dtype."
    )
