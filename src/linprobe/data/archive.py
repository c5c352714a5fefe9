"""Class folders inside a .zip, .tar or compressed .tar, read without unpacking it to disk."""

from __future__ import annotations

import mmap
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple

from linprobe.data.base import Dataset, Reader, ReadOptions
from linprobe.data.cache import cache_key
from linprobe.data.decode import FILE_LIMIT, BrokenImage, PictureFiles
from linprobe.data.folder import Layout, arrange, is_hidden, read_class_folders
from linprobe.errors import ArchiveError

__all__ = ["ArchiveReader"]

try:
    from lzma import LZMAError
except ImportError:  # a Python built without lzma never raises its error
    LZMAError = OSError  # type: ignore[misc, assignment]

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

_BEYOND_32_BITS = 0xFFFFFFFF
"""Value of a 32-bit field whose number is in the extra field, in 64 bits."""

_EXTRA_64_BITS, _EXTRA_NAME = 0x0001, 0x7075
"""Tags of the extra fields that override an entry: 64-bit numbers, and a name in UTF-8."""

_UTF8_FLAG = 0x800
"""Flag of an entry whose name is in UTF-8."""

_PLAIN_VERSION = 20
"""Zip version times ten that reads stored and deflated entries; 64 bits, encryption and others need a later one."""

_UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    OverflowError,
    ValueError,
)
"""What zipfile, tarfile and the decompressors raise for damaged archives."""


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
            with path.open("rb") as file:
                start = file.read(4)
            return start in (b"PK\3\4", b"PK\5\6") or tarfile.is_tarfile(path)
        except (OSError, EOFError, zlib.error):
            return False

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
        files: list[_ZipFiles | _TarFiles] = []

        def arranged() -> tuple[Layout, PictureFiles]:
            with _explained(source):
                opened = _ZipFiles(path, source) if zipfile.is_zipfile(path) else _TarFiles(path, source)
            files.append(opened)
            layout = arrange(opened.names, opened.folders, source, options.to_train)
            layout = replace(layout, notes=layout.notes + opened.notes)
            opened.pick(layout.files)
            return layout, opened

        try:
            return read_class_folders(source, self.name, key, options, arranged)
        finally:
            for opened in files:
                opened.close()


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
        self._zip: zipfile.ZipFile | None = None
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            listed = _plain_directory(self._map)
            if listed is None:
                self._zip = zipfile.ZipFile(path)
                self._infos = {info.header_offset: info for info in self._zip.infolist()}
                listed, self.notes = _directory(self._zip)
            names = _Names(source)
            self._entries: list[_Entry] = []
            for entry in listed:
                if stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _unsafe(source, entry.name, "a link or a device")
                if entry.flags & 1:
                    raise ArchiveError(
                        f"{source}: the entry {entry.name} is encrypted; make an archive without a password."
                    )
                # Some Windows programs end the names of folders in a backslash.
                if names.add(entry.name, entry.name.endswith(("/", "\\"))):
                    self._entries.append(entry)
        except BaseException:
            self.close()
            raise
        self.names: Sequence[str] = names.files
        self.folders = names.folders

    def close(self) -> None:
        """Let go of the archive."""
        self._map.close()
        if self._zip is not None:
            self._zip.close()

    def pick(self, numbers: Sequence[int]) -> None:
        """Keep the entries `numbers` only, in that order."""
        self.names = [self.names[i] for i in numbers]
        self._entries = [self._entries[i] for i in numbers]

    def order(self) -> Sequence[int]:
        """As they lie in the archive."""
        return sorted(range(len(self._entries)), key=lambda i: self._entries[i].header_start)

    def read(self, i: int) -> bytes:
        """The bytes of entry `i`, its checksum verified."""
        entry = self._entries[i]
        if entry.size > FILE_LIMIT:
            raise BrokenImage(f"larger than {FILE_LIMIT:,} bytes")
        try:
            if self._zip is not None and entry.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                return self._zip.read(self._infos[entry.header_start])  # locks the archive, but these are rare
            if entry.header_start < 0:
                raise BrokenImage("the archive is damaged here")
            signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(self._map, entry.header_start)
            start = entry.header_start + _LOCAL_HEADER.size + name_length + extra_length
            data = self._map[start : start + entry.packed_size]
            if signature != b"PK\3\4" or len(data) != entry.packed_size:
                raise BrokenImage("the archive is damaged here")
            if entry.method == zipfile.ZIP_DEFLATED:
                # One byte more than the declared size detects a decompression bomb.
                data = zlib.decompressobj(-15).decompress(data, entry.size + 1)
        except (*_UNREADABLE, struct.error) as error:
            raise BrokenImage(f"the archive is damaged here: {error}") from error
        if len(data) != entry.size or zlib.crc32(data) != entry.crc:
            raise BrokenImage("CRC mismatch: the entry is corrupt")
        return data


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
    """Entries of a tar, read one after the other as they lie in it."""

    in_turn = True
    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, source: str) -> None:
        self._members: list[tuple[int, int]] = []
        names = _Names(source)
        with tarfile.open(path, "r:*") as tar:
            for member in tar:
                if not (member.isreg() or member.isdir()):
                    raise _unsafe(source, member.name, "a link or a device")
                if member.issparse():
                    raise _unsafe(source, member.name, "a sparse file")
                if names.add(member.name, member.isdir()):
                    self._members.append((member.offset_data, member.size))
            # tarfile accepts a tar that was cut between two entries; a complete one ends in zeros.
            assert tar.fileobj is not None  # opened for reading
            tar.fileobj.seek(tar.offset)
            if not tar.fileobj.read(1):
                raise tarfile.ReadError("its end mark is missing")
        self.names: Sequence[str] = names.files
        self.folders = names.folders
        self._tar = tarfile.open(path, "r:*")  # noqa: SIM115 - closed by `close`
        file = self._tar.fileobj
        assert file is not None  # opened for reading
        self._file: BinaryIO = file  # type: ignore[assignment]

    def close(self) -> None:
        """Let go of the archive."""
        self._tar.close()

    def pick(self, numbers: Sequence[int]) -> None:
        """Keep the entries `numbers` only, in that order."""
        self.names = [self.names[i] for i in numbers]
        self._members = [self._members[i] for i in numbers]

    def order(self) -> Sequence[int]:
        """As they lie in the archive: a compressed one can only be read forwards."""
        return sorted(range(len(self._members)), key=self._members.__getitem__)

    def read(self, i: int) -> bytes:
        """The bytes of entry `i`."""
        offset, size = self._members[i]
        if size > FILE_LIMIT:
            raise BrokenImage(f"larger than {FILE_LIMIT:,} bytes")
        try:
            self._file.seek(offset)
            data = self._file.read(size)
        except _UNREADABLE as error:
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
def _explained(source: str) -> Iterator[None]:
    """Turn the errors of zipfile and tarfile into a message of one line."""
    try:
        yield
    except ArchiveError:
        raise
    except _UNREADABLE as error:
        # tarfile lists the error of every kind of compression; the first line is enough.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(": ")
        raise ArchiveError(
            f"{source}: not a readable archive ({reason}); it may be truncated. Fetch or create it again."
        ) from error
