"""Tar archives, plain or compressed, listed within the budget of a source."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, cast

from linprobe.data.budget import Budget
from linprobe.errors import ArchiveError
from linprobe.files import open_regular

__all__ = ["gunzipped", "is_tar", "open_tar", "tar_entries"]

IDLE_BYTES = 2**20
"""Packed bytes that may be read before one comes out: a block of bzip2 has up to 900,000. Empty streams of gzip take
half a second for as many."""

HEADER_BYTES = 2**20
"""Bytes of one header at most. tarfile reads a header of pax or GNU as a whole, by the size that it declares; those of
names take a few hundred."""


def open_tar(path: Path) -> BinaryIO:
    """The bytes of the tar in `path`, decompressed as they are read.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    file = open_regular(path)
    try:
        start = file.read(6)
        file.seek(0)
        return _decompressed(file, start)
    except BaseException:
        file.close()
        raise


def _decompressed(file: BinaryIO, start: bytes) -> BinaryIO:
    """The file, or its content where the first bytes are those of gzip, bzip2 or xz; closing it closes the file."""
    if start[:2] == b"\x1f\x8b":
        return gunzipped(file)
    fed = _Fed(file)
    if start[:3] == b"BZh":
        import bz2  # a Python may be built without it

        return cast(BinaryIO, _Closing(bz2.BZ2File(cast(BinaryIO, fed)), fed))
    if start in (b"\xfd7zXZ\0",) or start[:3] == b"\x5d\0\0":
        import lzma

        return cast(BinaryIO, _Closing(lzma.LZMAFile(cast(BinaryIO, fed)), fed))
    return file


def gunzipped(file: BinaryIO) -> BinaryIO:
    """The content of a gzip file; closing it closes the file. It can be read and sought in."""
    fed = _Fed(file)
    return cast(BinaryIO, _Closing(gzip.GzipFile(fileobj=cast(BinaryIO, fed), mode="rb"), fed))


class _Fed:
    """A packed file that a decompressor reads, and that refuses to be read on and on where nothing comes out.

    A file of empty streams, 20 bytes each, gives no byte in as many steps as it has streams.

    Args:
        file: the packed file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, IDLE_BYTES
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def grant(self, n_bytes: int) -> None:
        """Allow the packed bytes of the next `n_bytes` that come out: packed badly, they are about as many."""
        self._left = IDLE_BYTES + 2 * max(0, n_bytes)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises ValueError where more are read than can be needed."""
        if self._left < 0:
            raise ValueError(f"{IDLE_BYTES:,} packed bytes that hold nothing")
        content = self._file.read(size)
        self._left -= len(content)
        return content

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True


class _Closing:
    """A decompressed file that closes the file below it as well."""

    def __init__(self, file: Any, below: _Fed) -> None:
        self.tell = file.tell
        self._files = (file, below)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        file, below = self._files
        below.grant(size)
        return bytes(file.read(size))

    def seek(self, position: int) -> int:
        """To an absolute position."""
        file, below = self._files
        below.grant(max(position, position - file.tell()))
        return int(file.seek(position))

    def close(self) -> None:
        """Close both."""
        for file in self._files:
            file.close()


class _Listed:
    """What tarfile may do with an archive to list it: no large reads, and no more bytes than the budget holds."""

    def __init__(self, file: BinaryIO, budget: Budget, where: str) -> None:
        self._file, self._budget, self._where = file, budget, where
        self._furthest = 0

    def read(self, size: int = -1) -> bytes:
        """At most HEADER_BYTES."""
        if not 0 <= size <= HEADER_BYTES:
            raise ArchiveError(
                f"{self._where}: a header of {size:,} bytes, expected 0..{HEADER_BYTES:,}. Create the archive again."
            )
        self._reach(self._file.tell() + size)
        return self._file.read(size)

    def seek(self, position: int) -> int:
        """To an absolute position."""
        self._reach(position)
        return self._file.seek(position)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def _reach(self, position: int) -> None:
        if position > self._furthest:
            self._budget.unpack(position - self._furthest)
            self._furthest = position


def tar_entries(path: Path, where: str, budget: Budget) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    """Each entry of the tar in `path`, in order, and the file that holds its bytes from `offset_data` on.

    Raises:
        ArchiveError: an entry of negative size, a huge header, or more bytes than the budget holds.
        Exception: of almost any class, for a damaged archive.
    """
    with closing(open_tar(path)) as file:
        listed = cast(BinaryIO, _Listed(file, budget, where))
        with tarfile.open(fileobj=listed, mode="r:") as tar:
            for member in tar:
                budget.enter(member.name)
                if member.size < 0:
                    raise ArchiveError(
                        f"{where}: the entry {member.name!r} has a size of {member.size} bytes, expected 0 or more. "
                        "Create the archive again."
                    )
                yield member, file
            # tarfile accepts a tar that was cut between two entries; a complete one ends in zeros.
            file.seek(tar.offset)
            if not file.read(1):
                raise tarfile.ReadError("its end mark is missing")


def is_tar(path: Path) -> bool:
    """Whether `path` begins like a tar, plain or compressed."""
    try:
        with closing(open_tar(path)) as file:
            start = file.read(512)
        tarfile.TarInfo.frombuf(start, tarfile.ENCODING, "surrogateescape")
    except Exception:  # damaged, or anything but a tar: the decompressors raise almost any class
        return False
    return True
