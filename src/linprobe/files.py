"""Files that are written whole or not at all, and read only where they are regular files."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_regular", "read_regular", "remove_left_behind", "runs_now", "unwritten", "write_whole"]

NAME_BYTES = 255
"""Bytes of a file name, at most: the limit of the usual file systems."""

_NUMBER_BYTES = 40
"""Bytes of the name of a file that is written aside, beyond those of the file: dots, the process, `partial`."""

_REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", "Free some space"),
    errno.EDQUOT: ("your share of the disk is used up", "Free some space"),
    errno.EFBIG: ("the file is larger than allowed", "Raise the limit of this shell (`ulimit -f`)"),
    errno.EROFS: ("the file system is read-only", "Make it writable"),
    errno.EACCES: ("the folder is not yours to write to", "Change its permissions"),
    errno.EPERM: ("the folder is not yours to write to", "Change its permissions"),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter one"),
    errno.ENOENT: ("its folder does not exist", "Create it"),
    errno.ENOTDIR: ("a file is in the place of its folder", "Move that file away"),
    errno.EEXIST: ("a file is in the place of its folder", "Move that file away"),
    errno.EISDIR: ("a folder of that name is in its place", "Move that folder away"),
    errno.EIO: ("the disk reports an error", "Check the disk and its connection"),
    errno.ESTALE: ("the network folder is gone", "Connect it again"),
    errno.EMFILE: ("too many files are open", "Raise the limit of this shell (`ulimit -n`)"),
}
"""What was found when a file could not be written, and what mends it, by the number of the error."""


def unwritten(path: str | os.PathLike[str], error: OSError, next_step: str, what: str = "") -> str:
    """The message that says why `path` could not be written, what mends it, and what to do then.

    Args:
        path: the file, or the folder that could not be made.
        error: of the system.
        next_step: what to do once the cause is mended, to follow "then".
        what: what the file is, to follow its path; nothing where the path says it.
    """
    found, mend = _REASONS.get(error.errno or 0, ("the system refuses it", "Check the folder"))
    subject = f"{what} cannot be written: " if what else "cannot be written: "
    return f"{os.fspath(path)}: {subject}{found} ({error.strerror or error}). {mend}, then {next_step}."


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
    before this returns, where the file system can do that.

    Raises:
        OSError: the disk is full, or the folder cannot be written; `path` is as it was.
    """
    stem = _stem_aside(path.name)
    remove_left_behind(path.parent, glob.escape(stem), of_the_dead=True)
    aside = path.with_name(f".{stem}.{os.getpid()}.partial")
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
            with suppress(OSError):  # it is written: only a loss of power can bring back the old name
                os.fsync(folder)  # some network folders refuse it
        finally:
            os.close(folder)
    except BaseException:  # a full disk, or Ctrl-C between two system calls
        with suppress(OSError):  # what hinders the writing may hinder this too, and is the error to report
            aside.unlink(missing_ok=True)
        raise


def _stem_aside(name: str) -> str:
    """`name`, or a digest of it where the name of the file aside would be too long for the file system."""
    content = os.fsencode(name)
    return name if len(content) <= NAME_BYTES - _NUMBER_BYTES else hashlib.sha256(content).hexdigest()


def remove_left_behind(folder: Path, name: str, *, of_the_dead: bool = False) -> None:
    """Remove what a writer that was killed just before its last step left beside the files called `name`, a glob.

    Such a file is hidden and whole, but nobody will give it its name any more.

    Args:
        folder, name: where, and which.
        of_the_dead: leave the files of processes that run now; without it no writer of `name` may be at work.
    """
    for aside in folder.glob(f".{name}.*.partial"):
        if not of_the_dead or not runs_now(aside.suffixes[-2][1:]):
            with suppress(OSError):  # another user's, in a folder that all may write to; or the disk is read-only
                aside.unlink(missing_ok=True)


def runs_now(process: str) -> bool:
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
