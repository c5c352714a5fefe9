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

__all__ = ["is_tar", "open_tar", "tar_entries"]

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
        return cast(BinaryIO, _Closing(gzip.GzipFile(fileobj=file, mode="rb"), file))
    if start[:3] == b"BZh":
        import bz2  # a Python may be built without it

        return cast(BinaryIO, _Closing(bz2.BZ2File(file), file))
    if start in (b"\xfd7zXZ\0",) or start[:3] == b"\x5d\0\0":
        import lzma

        return cast(BinaryIO, _Closing(lzma.LZMAFile(file), file))
    return file


class _Closing:
    """A decompressed file that closes the file below it as well."""

    def __init__(self, file: Any, below: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        self._files = (file, below)

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
