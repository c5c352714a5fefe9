"""A cache of decoded pixels and vectors, as memory maps.

An entry is a folder whose name is a digest of its source and options:

    pixels.npy     (M, height, width, channels) uint8, or vectors (M, D) float16 or float32
    labels.npy     (M,) int64
    names.txt      the M names, separated by NUL; empty for vectors
    entry.json     classes, sizes of the splits, skipped files, checksums; written last

It is written under a temporary name and renamed when it is complete, so no reader sees a partial entry.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import platform
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from linprobe.data.base import SkippedImage
from linprobe.errors import SourceError
from linprobe.files import runs_now, unwritten
from linprobe.plain import parse_json
from linprobe.shapes import Labels

__all__ = [
    "CacheInfo",
    "Decoded",
    "Filling",
    "cache_error",
    "cache_folder",
    "cache_info",
    "cache_key",
    "clear_cache",
    "load",
]

_VERSION = 4
"""Version of the decoder and of an entry's files; entries of another version are ignored."""

_KEY = re.compile(r"[0-9a-f]{64}")
"""Names of the folders of entries."""

_ASIDE = ".filling-"
"""Prefix of the name of an entry that is being written; the host and the number of the process follow."""

_ABANDONED = 24 * 3600.0
"""Age, in seconds, beyond which the unfinished entry of another host is deleted; no read takes as long."""


_filled_here: set[Path] = set()
"""The unfinished entries that threads of this process write."""


@dataclass(frozen=True)
class Decoded:
    """The pictures or vectors of a source, split after split.

    Args:
        pixels: (M, height, width, channels) uint8, or vectors (M, D) float16 or float32.
        y: (M,) int64.
        names: M names; none for vectors.
        class_names: K names.
        splits: name of each split and the number of its pictures, in the order of the rows.
        skipped: files left out.
        notes: as in `Dataset`.
    """

    pixels: npt.NDArray[Any]
    y: Labels
    names: tuple[str, ...]
    class_names: tuple[str, ...]
    splits: tuple[tuple[str, int], ...]
    skipped: tuple[SkippedImage, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CacheInfo:
    """The folder of the cache, its number of entries, and their size in bytes."""

    folder: Path
    n_entries: int
    n_bytes: int


def cache_folder() -> Path:
    """LINPROBE_CACHE_DIR, or the user's cache folder of this operating system."""
    return Path(os.environ.get("LINPROBE_CACHE_DIR") or platformdirs.user_cache_dir("linprobe"))


def cache_key(*parts: object) -> str:
    """Hex digest of `parts`: paths, sizes, times and options."""
    return hashlib.sha256(repr((_VERSION, *parts)).encode("utf-8", "surrogateescape")).hexdigest()


def cache_error(folder: Path, error: OSError) -> SourceError:
    """What is raised where a folder of the cache cannot be written, with the next steps."""
    other = "run the command again; or name another folder in LINPROBE_CACHE_DIR, or use --no-cache"
    return SourceError(unwritten(folder, error, other, "the cache"))


def cache_info() -> CacheInfo:
    """The present contents of the cache; its bytes include unfinished entries."""
    folders = _own_folders()
    n_bytes = 0
    for folder in folders:
        for file in folder.glob("*"):
            try:
                n_bytes += file.stat().st_size
            except OSError:  # deleted by another process in the meantime
                continue
    return CacheInfo(cache_folder(), sum(_KEY.fullmatch(f.name) is not None for f in folders), n_bytes)


def clear_cache() -> CacheInfo:
    """Delete all entries, and no other file of the folder; returns what was deleted.

    An entry that a running process writes is left: the process goes on.

    Raises:
        SourceError: an entry cannot be deleted.
    """
    before = cache_info()
    for folder in _own_folders():
        try:
            if not (folder.name.startswith(_ASIDE) and _may_be_written(folder)):
                shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SourceError(f"{folder}: cannot be deleted ({error.strerror}); check its permissions.") from error
    after = cache_info()  # other processes may have filled it meanwhile
    n_entries, n_bytes = before.n_entries - after.n_entries, before.n_bytes - after.n_bytes
    return CacheInfo(before.folder, max(0, n_entries), max(0, n_bytes))


def load(key: str) -> Decoded | None:
    """The entry `key`, its pixels as a read-only memory map; None if there is none or it is damaged."""
    folder = cache_folder() / key
    try:
        record = parse_json((folder / "entry.json").read_bytes())
        labels, names = (folder / "labels.npy").read_bytes(), (folder / "names.txt").read_bytes()
        if [zlib.crc32(labels), zlib.crc32(names)] != record["crc32"]:
            return None
        stat = (folder / "pixels.npy").stat()
        if stat.st_size != record["pixel_file_size"]:
            return None
        stored = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        if list(stored.shape) != record["shape"] or stored.dtype != record.get("dtype", "uint8"):
            return None
        # A later modification time means that the file was written to; only then is the checksum computed.
        if stat.st_mtime_ns != record["pixel_file_time"] and _pixel_crc32(stored) != record["pixel_crc32"]:
            return None
        y = np.load(folder / "labels.npy", allow_pickle=False)
        return Decoded(
            # A plain view: each slice of the subclass np.memmap costs microseconds.
            np.asarray(stored)[: len(y)],
            y,
            tuple(names.decode("utf-8", "surrogateescape").split("\0")) if names else (),
            tuple(record["class_names"]),
            tuple((name, n) for name, n in record["splits"]),
            tuple(SkippedImage(**skipped) for skipped in record["skipped"]),
            tuple(record["notes"]),
        )
    except MemoryError:
        raise
    except Exception:  # NumPy raises almost any class for damaged headers
        return None


class Filling:
    """An entry that is being written, under a temporary name until `finish`."""

    def __init__(self, key: str, aside: Path) -> None:
        self.key = key
        self.aside = aside

    @classmethod
    @contextmanager
    def start(cls, key: str) -> Iterator[Filling]:
        """A new entry, which is deleted unless `finish` completes it.

        Raises:
            SourceError: the cache folder cannot be written, or the disk is full.
        """
        parent = cache_folder()
        aside = None
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _sweep(parent)
            aside = Path(tempfile.mkdtemp(prefix=f"{_ASIDE}{_host()}-{os.getpid()}-", dir=parent))
            _filled_here.add(aside)
            yield cls(key, aside)
        except OSError as error:
            raise cache_error(parent, error) from error
        finally:
            if aside is not None:
                shutil.rmtree(aside, ignore_errors=True)
                _filled_here.discard(aside)

    def allocate(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
        """A new memory map of that shape, with its disk space reserved; it replaces an earlier one."""
        dtype = np.dtype(dtype)
        path = self.aside / "pixels.npy"
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            # Writing into a map on a full disk kills the process (SIGBUS), so the space is reserved first.
            _reserve(file.fileno(), file.tell(), math.prod(shape) * dtype.itemsize)
        return np.asarray(np.load(path, mmap_mode="r+", allow_pickle=False))

    def finish(self, decoded: Decoded, stored: npt.NDArray[Any]) -> Decoded:
        """`decoded`, read back from the finished entry; `stored` is the array of `allocate`."""
        np.save(self.aside / "labels.npy", decoded.y)
        names = "\0".join(decoded.names).encode("utf-8", "surrogateescape")
        (self.aside / "names.txt").write_bytes(names)
        path = self.aside / "pixels.npy"
        _flush(stored)
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        now = time.time_ns()
        os.utime(path, ns=(now, now))
        stat = path.stat()
        record = {
            "class_names": decoded.class_names,
            "splits": decoded.splits,
            "skipped": [asdict(skipped) for skipped in decoded.skipped],
            "notes": decoded.notes,
            "shape": stored.shape,
            "dtype": stored.dtype.name,
            "crc32": [zlib.crc32((self.aside / "labels.npy").read_bytes()), zlib.crc32(names)],
            "pixel_file_size": stat.st_size,
            "pixel_file_time": stat.st_mtime_ns,
            "pixel_crc32": _pixel_crc32(stored),
        }
        (self.aside / "entry.json").write_text(json.dumps(record))
        folder = cache_folder() / self.key
        try:
            self.aside.rename(folder)
        except OSError:
            # There is a damaged entry, or one that another process finished first; the new one replaces it.
            shutil.rmtree(folder, ignore_errors=True)
            self.aside.rename(folder)
        kept = load(self.key)
        return decoded if kept is None else kept


def _pixel_crc32(stored: npt.NDArray[Any]) -> int:
    """CRC-32 of all pixels, computed in blocks of 1,024 rows."""
    crc = 0
    for start in range(0, len(stored), 1024):
        crc = zlib.crc32(np.ascontiguousarray(stored[start : start + 1024]).data, crc)
    return crc


def _flush(stored: npt.NDArray[Any]) -> None:
    """Write the pages of the memory map behind `stored` to its file."""
    base: object = stored
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        base.flush()


def _reserve(descriptor: int, start: int, size: int) -> None:
    """Reserve `size` bytes of disk after byte `start`. Raises OSError if the disk has fewer."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, max(size, 1))
        return
    block = bytes(1 << 20)
    os.lseek(descriptor, start, os.SEEK_SET)
    for at in range(0, size, len(block)):
        os.write(descriptor, block[: size - at])


def _own_folders() -> list[Path]:
    """The entries of the cache, finished or not; LINPROBE_CACHE_DIR may hold other files too."""
    try:
        found = sorted(cache_folder().iterdir())
    except OSError:
        return []
    return [f for f in found if (_KEY.fullmatch(f.name) or f.name.startswith(_ASIDE)) and f.is_dir()]


def _host() -> str:
    """A name of this machine, as part of a file name: others may share the folder, and their processes are unknown."""
    return hashlib.sha256(platform.node().encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _may_be_written(folder: Path) -> bool:
    """Whether a process may be writing the unfinished entry: on this host one that runs, on others for a day.

    A clock that is set forward makes the entries of this host no older.

    Raises:
        OSError: the folder is gone.
    """
    ours = f"{_ASIDE}{_host()}-"
    if not folder.name.startswith(ours):
        return time.time() - folder.stat().st_mtime <= _ABANDONED
    process = folder.name[len(ours) :].partition("-")[0]
    # the number of a dead process may be that of this one: containers begin to count anew
    return folder in _filled_here if process == str(os.getpid()) else runs_now(process)


def _sweep(parent: Path) -> None:
    """Delete the unfinished entries of killed processes."""
    for folder in parent.glob(f"{_ASIDE}*"):
        try:
            if not _may_be_written(folder):
                shutil.rmtree(folder)
        except OSError:  # another process deletes it too
            continue
