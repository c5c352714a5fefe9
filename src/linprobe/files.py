"""Files that are written whole or not at all, and read only where they are regular files."""

from __future__ import annotations

import errno
import glob
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "read_regular", "remove_left_behind", "write_whole"]


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """The regular file `path`, open for reading.

    Raises:
        OSError: it is missing, not readable, or a folder, a pipe, a socket or a device. None of these blocks.
    """
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - it is returned
    try:
        _check_mode(path, os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """The bytes of the regular file `path`.

    Args:
        path: the file.
        most: bytes that are read at most; None for no limit.
    Raises:
        OSError: as `open_regular`; or the file is larger than `most`.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is not None and size > most:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes, at most {most:,} are read", os.fspath(path))
        return file.read()


def _open_without_waiting(path: str, flags: int) -> int:
    """A descriptor; opening a pipe that nobody writes to would wait for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_mode(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file but a pipe, a socket or a device", os.fspath(path))


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` into `path`: whatever happens, the file holds all of it or all of what it held before.

    The bytes go to a file without a name (Linux: O_TMPFILE), or to a hidden file in the same folder where the file
    system has no such files. Of the first kind only a kill between the last two system calls leaves anything. The next
    writer of `path` removes it. The bytes are on the disk before the name moves. Except on Windows, so is the name
    before this returns.

    Raises:
        OSError: the disk is full, or the folder cannot be written; `path` is as it was.
    """
    remove_left_behind(path.parent, glob.escape(path.name), of_the_dead=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if os.name == "nt":  # Windows opens no folders
            _write_named(aside, content)
            os.replace(aside, path)
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            nameless = _write_nameless(path.parent, content)
            try:
                if nameless is None:
                    _write_named(aside, content)
                else:
                    aside.unlink(missing_ok=True)
                    # only with a folder descriptor does os.link follow the link in /proc to the open file
                    os.link(f"/proc/self/fd/{nameless}", aside, src_dir_fd=folder, follow_symlinks=True)
            finally:
                if nameless is not None:
                    os.close(nameless)
            os.replace(aside, path)
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:  # a full disk, or Ctrl-C between two system calls
        aside.unlink(missing_ok=True)
        raise


def remove_left_behind(folder: Path, name: str, *, of_the_dead: bool = False) -> None:
    """Remove what a writer that was killed just before its last step left beside the files called `name`, a glob.

    Such a file is hidden and whole, but nobody will give it its name any more.

    Args:
        folder, name: where, and which.
        of_the_dead: leave the files of processes that run now; without it no writer of `name` may be at work.
    """
    for aside in folder.glob(f".{name}.*.partial"):
        if not of_the_dead:
            aside.unlink(missing_ok=True)
        elif not _runs_now(aside.suffixes[-2][1:]):
            with suppress(OSError):  # another user's, in a folder that all may write to
                aside.unlink()


def _runs_now(process: str) -> bool:
    """Whether a process of this number may be running on this machine."""
    if os.name == "nt" or not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):  # the second: a number that no process has
        return False
    except OSError:  # another user's
        return True
    return True


def _write_nameless(folder: Path, content: bytes) -> int | None:
    """Descriptor of a nameless file that holds `content`; None where the file system has no such files."""
    flag: int | None = getattr(os, "O_TMPFILE", None)
    if flag is None or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        descriptor = os.open(folder, flag | os.O_WRONLY, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return None
        raise
    try:
        _write_all(descriptor, content)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write_named(path: Path, content: bytes) -> None:
    """A file at `path` that holds `content`, on the disk."""
    binary: int = getattr(os, "O_BINARY", 0)  # Windows would write other ends of lines
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | binary, 0o666)
    try:
        _write_all(descriptor, content)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    """All of `content` into the open file, and onto the disk; os.write alone may stop half way."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)
