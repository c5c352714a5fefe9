"""Class folders inside a .zip, .tar or compressed .tar, read without unpacking it to disk."""

from __future__ import annotations

import mmap
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from linprobe.data.base import Dataset, Reader, ReadOptions
from linprobe.data.budget import FILE_LIMIT, Budget
from linprobe.data.cache import cache_key
from linprobe.data.decode import BrokenImage, PictureFiles
from linprobe.data.folder import Layout, arrange, is_hidden, read_class_folders
from linprobe.data.other_formats import PYTORCH, data_files_among, other_format
from linprobe.data.tar import is_tar, open_tar, tar_entries
from linprobe.errors import ArchiveError, DataError, LinprobeError, walled
from linprobe.files import open_regular
from linprobe.plain import printable

__all__ = ["ArchiveReader", "check_layout"]

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""Ends of the names of archives, in lower case."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, length of the name and of the extra field, of the header in front of a zip entry's bytes."""

_DIRECTORY_ENTRY = struct.Struct("<4s2xHHH4xIIIHHH6xHI")
"""Signature, version needed, flags, method, checksum, packed size, size, lengths of name, extra field and comment,
Unix mode, start of the local header: the fields of an entry in the directory of a zip that are used."""

_DIRECTORY_END = struct.Struct("<4sIHHIIH")
"""Signature, numbers of the disks, entries on this disk, entries, size, start, length of the comment."""

_LOCATOR_64, _LOCATOR_64_SIZE = b"PK\6\7", 20
"""Signature and bytes of the zip64 locator, which precedes the end of the directory and refers to a 64-bit one."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
"""Methods of compression that are read."""

_OTHER_METHODS = {6: "imploding", 9: "Deflate64", 93: "Zstandard", 95: "XZ", 96: "JPEG", 98: "PPMd", 99: "AES"}
"""Names of methods that are not."""

_BEYOND_32_BITS = 0xFFFFFFFF
"""Value of a 32-bit field whose number is in the extra field, in 64 bits."""

_EXTRA_64_BITS, _EXTRA_NAME = 0x0001, 0x7075
"""Tags of the extra fields that override an entry: 64-bit numbers, and a name in UTF-8."""

_UTF8_FLAG = 0x800
"""Flag of an entry whose name is in UTF-8."""

_PLAIN_VERSION = 20
"""Zip version times ten that reads stored and deflated entries; 64 bits, encryption and others need a later one."""


class ArchiveReader(Reader):
    """Reads class folders inside an archive, at its top or within a single folder."""

    name: ClassVar[str] = "archive"

    def accepts(self, source: str, path: Path | None) -> bool:
        """A file that begins like a zip or tar, or is named like one: this reader reports damaged archives."""
        if path is None or not path.is_file():
            return False
        if source.lower().endswith(_SUFFIXES):
            return True
        try:
            with open_regular(path) as file:
                start = file.read(4)
        except OSError:
            return False
        return start in (b"PK\3\4", b"PK\5\6") or is_tar(path)

    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        """The pictures by split. Raises ArchiveError, or as FolderReader."""
        assert path is not None  # as `accepts` demands
        about = path.stat()
        key = cache_key(
            self.name,
            os.path.realpath(path),
            about.st_size,
            about.st_mtime_ns,
            options.image_size,
            options.on_bad_image,
        )
        with ExitStack() as files:

            def arranged() -> tuple[Layout, PictureFiles]:
                opened = _opened(path, source)
                files.callback(opened.close)
                return _arranged(opened, path, source, options.to_train), opened

            return read_class_folders(source, self.name, key, options, arranged)


def check_layout(path: Path, source: str) -> None:
    """Look for class folders in an archive by its directory and names alone; no picture is read.

    Args:
        path: of the archive.
        source: what messages call it.
    Raises:
        DataError: as `ArchiveReader.read`, for what the names and the directory show.
    """
    with walled(ArchiveError, source, "expected an archive of class folders. Make it again."), ExitStack() as files:
        opened = _opened(path, source)
        files.callback(opened.close)
        _arranged(opened, path, source, to_train=True)


def _opened(path: Path, source: str) -> _ZipFiles | _TarFiles:
    """The entries of an archive; the caller closes it."""
    with _explained(source, path):
        return _ZipFiles(path, source) if zipfile.is_zipfile(path) else _TarFiles(path, source)


def _arranged(opened: _ZipFiles | _TarFiles, path: Path, source: str, to_train: bool) -> Layout:
    """The layout of the entries, which then keep the pictures alone, in its order."""
    try:
        layout = arrange(opened.names, opened.folders, source, to_train)
    except DataError as error:
        _refer_to_data_files(source, path, opened.names, error)
        raise
    opened.pick(layout.files)
    return replace(layout, notes=layout.notes + opened.notes)


class _Entry(NamedTuple):
    """One entry of the directory of a zip; sizes and positions in bytes."""

    name: str
    mode: int
    flags: int
    method: int
    crc: int
    packed_size: int
    size: int
    header_start: int


class _ZipFiles(PictureFiles):
    """Entries of a zip, read from a memory map of the archive."""

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, source: str) -> None:
        with open_regular(path) as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            listed = _plain_directory(self._map)
            if listed is None:
                with zipfile.ZipFile(path) as archive:
                    listed, self.notes = _directory(archive)
            budget = Budget(source, len(self._map))
            names = _Names(source)
            self._entries: list[_Entry] = []
            for entry in listed:
                budget.enter(entry.name)
                if stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _unsafe(source, entry.name, "a link or a device")
                if entry.flags & 1:
                    raise ArchiveError(
                        f"{source}: the entry {entry.name} is encrypted; make an archive without a password."
                    )
                # Some Windows programs end the names of folders in a backslash.
                if names.add(entry.name, entry.name.endswith(("/", "\\"))):
                    self._entries.append(entry)
            _check_readable(source, self._entries)
            # larger entries are refused by their size alone
            budget.unpack(sum(entry.size for entry in self._entries if entry.size <= FILE_LIMIT))
            self._check_apart(source)
        except BaseException:
            self.close()
            raise
        self.names: Sequence[str] = names.files
        self.folders = names.folders

    def _check_apart(self, source: str) -> None:
        """Raise ArchiveError where two entries share bytes: a few bytes would be unpacked again and again."""
        length = len(self._map)
        starts = np.array([min(entry.header_start, length) for entry in self._entries], np.int64)
        packed = np.array([min(entry.packed_size, length + 1) for entry in self._entries], np.int64)
        packed[starts + packed > length] = 0  # beyond the end: refused when it is read
        order = np.argsort(starts, kind="stable")
        ends = starts[order] + _LOCAL_HEADER.size + packed[order]
        shared = np.flatnonzero(ends[:-1] > starts[order][1:])
        if len(shared):
            first, second = (self._entries[order[shared[0] + i]].name for i in (0, 1))
            raise ArchiveError(
                f"{source}: the entries {first!r} and {second!r} share bytes; expected bytes of its own for each. "
                "The archive is damaged, or made to fill a memory: create it again."
            )

    def close(self) -> None:
        """Let go of the archive."""
        self._map.close()

    def pick(self, numbers: Sequence[int]) -> None:
        """Keep the entries `numbers` only, in that order."""
        self.names = [self.names[i] for i in numbers]
        self._entries = [self._entries[i] for i in numbers]

    def order(self) -> Sequence[int]:
        """In the order of the archive."""
        return sorted(range(len(self._entries)), key=lambda i: self._entries[i].header_start)

    def read(self, i: int) -> bytes:
        """The bytes of entry `i`, its checksum verified."""
        entry = self._entries[i]
        if entry.size > FILE_LIMIT:
            raise BrokenImage(f"larger than {FILE_LIMIT:,} bytes")
        try:
            signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(self._map, entry.header_start)
            start = entry.header_start + _LOCAL_HEADER.size + name_length + extra_length
            data = self._map[start : start + entry.packed_size]
            if signature != b"PK\3\4" or len(data) != entry.packed_size:
                raise BrokenImage("the archive is damaged here")
            # One byte more than the declared size detects a decompression bomb.
            data = _unpacked(data, entry.method, entry.size + 1)
        except (BrokenImage, MemoryError):
            raise
        except Exception as error:  # zlib.error, LZMAError, struct.error, OSError, ...
            raise BrokenImage(f"the archive is damaged here: {error}") from error
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise BrokenImage("CRC mismatch: the entry is corrupt")
        return data


def _unpacked(data: bytes, method: int, most: int) -> bytes:
    """The first `most` bytes of a zip entry, at most."""
    if method == zipfile.ZIP_STORED:
        return data
    if method == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-15).decompress(data, most)
    if method == zipfile.ZIP_BZIP2:
        import bz2

        return bz2.BZ2Decompressor().decompress(data, most)
    if method == zipfile.ZIP_LZMA:
        import lzma

        # APPNOTE 5.8.8: two bytes of version, the length of the properties, then these: lc, lp and pb in one byte, and
        # the size of the dictionary. A dictionary larger than the entry is of no use.
        length, packed_powers, dictionary = struct.unpack_from("<xxHBI", data)
        powers = {"lc": packed_powers % 9, "lp": packed_powers // 9 % 5, "pb": packed_powers // 45}
        chain = [{"id": lzma.FILTER_LZMA1, "dict_size": max(min(dictionary, most), 4096), **powers}]
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain).decompress(data[4 + length :], most)
    raise BrokenImage(f"packed by method {method}, which is not read; expected stored or deflated")


def _check_readable(source: str, entries: Sequence[_Entry]) -> None:
    """Raise ArchiveError, once, where entries are compressed by an unknown method, or lie in an earlier part."""
    unknown = [entry.method for entry in entries if entry.method not in _METHODS]
    if unknown:
        raise ArchiveError(
            f"{source}: {len(unknown)} of its {len(entries)} files are compressed by "
            f"{_OTHER_METHODS.get(unknown[0], 'a method')} (method {unknown[0]} of zip), which Python does not read. "
            "Unpack it with another program, such as 7-Zip, and give the folder."
        )
    before = sum(entry.header_start < 0 for entry in entries)
    if before:
        raise ArchiveError(
            f"{source}: {before} of its {len(entries)} files lie before the beginning of the archive: it is the last "
            "part of several, or its beginning is lost. Join the parts, or fetch the whole."
        )


def _plain_directory(archive: mmap.mmap) -> list[_Entry] | None:
    """The entries of a plain zip, as zipfile would list them; None for any other zip, and for a damaged one.

    A plain zip has no comment, no leading bytes, no 64-bit numbers, ASCII names, and stored or deflated entries.
    zipfile takes three times as long: a tenth of the time to read 60,000 tiny pictures (benchmarks/zip_directory.py).
    """
    end = len(archive) - _DIRECTORY_END.size
    if end < 0:
        return None
    signature, disks, n_here, n_entries, size, start, comment = _DIRECTORY_END.unpack_from(archive, end)
    # With bytes in front of the archive, the start and size of the directory do not add up to its end.
    if signature != b"PK\5\6" or disks or comment or n_here != n_entries or start + size != end:
        return None
    if archive[max(0, end - _LOCATOR_64_SIZE) :][:4] == _LOCATOR_64:
        return None
    directory = archive[start:end]
    entries: list[_Entry] = []
    at = 0
    while at < size:
        after_header = at + _DIRECTORY_ENTRY.size
        if after_header > size:
            return None
        (
            signature, version, flags, method, crc, packed_size, n_bytes, name_size, extra_size, comment_size,
            mode, header_start,
        ) = _DIRECTORY_ENTRY.unpack_from(directory, at)  # fmt: skip
        if (
            signature != b"PK\1\2"
            or version > _PLAIN_VERSION
            or method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            or _BEYOND_32_BITS in (packed_size, n_bytes, header_start)
        ):
            return None
        after_name = after_header + name_size
        name = directory[after_header:after_name]
        if not name.isascii() or b"\0" in name:
            return None
        at = after_name + extra_size
        if extra_size and not _is_plain(directory[after_name:at]):
            return None
        at += comment_size
        entries.append(_Entry(name.decode("ascii"), mode, flags, method, crc, packed_size, n_bytes, header_start))
    return entries if at == size and len(entries) == n_entries else None


def _is_plain(extra: bytes) -> bool:
    """Whether the extra field of an entry is complete and overrides nothing of the entry."""
    while len(extra) >= 4:
        tag, size = struct.unpack_from("<HH", extra)
        if tag in (_EXTRA_64_BITS, _EXTRA_NAME) or 4 + size > len(extra):
            return False
        extra = extra[4 + size :]
    return True


def _directory(archive: zipfile.ZipFile) -> tuple[list[_Entry], tuple[str, ...]]:
    """The entries as zipfile lists them, and a note where their names were decoded by guess.

    A zip marks a name in UTF-8 by a flag, but many programs write UTF-8 without the flag. Where all names without the
    flag are valid UTF-8 they are read as that, else as code page 437, as the format says.
    """
    infos = archive.infolist()
    unmarked = {
        info.orig_filename: info.orig_filename.encode("cp437")
        for info in infos
        if not info.flag_bits & _UTF8_FLAG and not info.orig_filename.isascii() and info.filename == info.orig_filename
    }
    notes: tuple[str, ...] = ()
    try:
        names = {name: written.decode() for name, written in unmarked.items()}
    except UnicodeDecodeError:
        names = {}
        notes = (
            f"{len(unmarked)} names in the archive are neither ASCII nor UTF-8, and were read in code page 437: "
            f"{next(iter(unmarked))!r}. If that is wrong, create the archive again with names in UTF-8.",
        )
    entries = [
        _Entry(
            names.get(info.filename, info.filename),
            info.external_attr >> 16,
            info.flag_bits,
            info.compress_type,
            info.CRC,
            info.compress_size,
            info.file_size,
            info.header_offset,
        )
        for info in infos
    ]
    return entries, notes


class _TarFiles(PictureFiles):
    """Entries of a tar, read in their order."""

    in_turn = True
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, source: str) -> None:
        self._members: list[tuple[int, int]] = []
        names = _Names(source)
        for member, _ in tar_entries(path, source, Budget(source, path.stat().st_size)):
            if not (member.isreg() or member.isdir()):
                raise _unsafe(source, member.name, "a link or a device")
            if member.issparse():
                raise _unsafe(source, member.name, "a sparse file")
            if names.add(member.name, member.isdir()):
                self._members.append((member.offset_data, member.size))
        self.names: Sequence[str] = names.files
        self.folders = names.folders
        self._file = open_tar(path)

    def close(self) -> None:
        """Let go of the archive."""
        self._file.close()

    def pick(self, numbers: Sequence[int]) -> None:
        """Keep the entries `numbers` only, in that order."""
        self.names = [self.names[i] for i in numbers]
        self._members = [self._members[i] for i in numbers]

    def order(self) -> Sequence[int]:
        """In the order of the archive: a compressed one can only be read forwards."""
        return sorted(range(len(self._members)), key=self._members.__getitem__)

    def read(self, i: int) -> bytes:
        """The bytes of entry `i`."""
        offset, size = self._members[i]
        if size > FILE_LIMIT:
            raise BrokenImage(f"larger than {FILE_LIMIT:,} bytes")
        try:
            self._file.seek(offset)
            data = self._file.read(size)
        except MemoryError:
            raise
        except Exception as error:  # zlib.error, LZMAError, EOFError, OSError, ...
            raise BrokenImage(f"the archive is damaged here: {error}") from error
        if len(data) != size:
            raise BrokenImage("the archive is truncated here")
        return data


class _Names:
    """Collects the names of entries, and refuses those that could not be unpacked safely."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.files: list[str] = []
        self.folders: set[str] = set()
        self._seen: set[str] = set()
        self._plain: dict[str, tuple[str, bool, bool]] = {}
        """Of each folder: its normalised name, whether it leaves the archive, whether it is hidden."""

    def add(self, given: str, is_folder: bool) -> bool:
        """Whether the entry `given` is a file to read. Raises ArchiveError if it is unsafe."""
        folder, _, last = given.replace("\\", "/").rstrip("/").rpartition("/")
        if "\0" in given:
            raise _unsafe(self.source, given, "a NUL in its name")
        if given[:1] in ("/", "\\") or given[1:3] in (":/", ":\\"):
            raise _unsafe(self.source, given, "an absolute path")
        if folder not in self._plain:  # many entries share a folder: checked once
            parts = [part for part in folder.split("/") if part not in ("", ".")]
            self._plain[folder] = ("/".join(parts), ".." in parts, any(map(is_hidden, parts)))
        inside, leaves, hidden = self._plain[folder]
        if leaves or last == "..":
            raise _unsafe(self.source, given, "a path that leaves the archive")
        if hidden or last in ("", ".") or is_hidden(last):
            return False
        name = f"{inside}/{last}" if inside else last
        if is_folder:
            self.folders.add(name)
            return False
        if name in self._seen:
            raise ArchiveError(f"{self.source}: two entries are called {given}; create the archive again.")
        self._seen.add(name)
        self.files.append(name)
        return True


def _unsafe(source: str, entry: str, what: str) -> ArchiveError:
    return ArchiveError(
        f"{source}: unsafe entry {entry!r}: {what}; expected plain files and folders. "
        "Create the archive again without it."
    )


@contextmanager
def _explained(source: str, path: Path) -> Iterator[None]:
    """Turn the errors of zipfile and tarfile into a message of one line."""
    try:
        yield
    except (LinprobeError, MemoryError):
        raise
    except Exception as error:  # zipfile, tarfile and the decompressors raise almost any class
        if known := other_format(path):
            raise ArchiveError(f"{source} is {known}.") from error
        # tarfile lists the error of every kind of compression; the first line is enough.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(": ")
        with open_regular(path) as file:
            begins_like_zip = file.read(4) == b"PK\3\4"
        if begins_like_zip:
            reason = "it begins like a zip, but has no directory at its end"
        raise ArchiveError(
            f"{source}: not a readable archive ({reason}). It may be cut short, or one part of several: compare its "
            "size with that of the original, and fetch or create it again if they differ."
        ) from error


def _refer_to_data_files(source: str, path: Path, names: Sequence[str], error: DataError) -> None:
    """Raise ArchiveError where an archive without class folders holds files of arrays, or the tensors of PyTorch."""
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        raise ArchiveError(f"{source} is {PYTORCH}.") from error
    found = data_files_among(names)
    if found:
        more = f" and {len(found) - 1} more files of data" if len(found) > 1 else ""
        raise ArchiveError(
            f"{source}: found {printable(found[0])}{more}, no class folders; only class "
            "folders are read from inside an archive. Unpack it, and give the folder."
        ) from error
