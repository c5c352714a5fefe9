"""Class folders inside a .zip, .tar or compressed .tar, read in place: nothing is unpacked."""

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
from pathlib import Path
from typing import BinaryIO, ClassVar

from linprobe.data.base import Dataset, Reader, ReadOptions
from linprobe.data.cache import cache_key
from linprobe.data.decode import FILE_LIMIT, BrokenImage, PictureFiles
from linprobe.data.folder import Layout, arrange, is_hidden, read_class_folders
from linprobe.errors import ArchiveError

__all__ = ["ArchiveReader"]

_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Signature, length of the name and of the extra field, of the header in front of a zip entry's bytes."""

_UNREADABLE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
)


class ArchiveReader(Reader):
    """Reads class folders inside an archive, with or without a single folder around them."""

    name: ClassVar[str] = "archive"

    def accepts(self, source: str, path: Path | None) -> bool:
        """A file that begins like a zip or tar, or is named like one: reporting damage is for this reader."""
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
            layout = arrange(opened.names, opened.folders, source)
            opened.pick(layout.files)
            return layout, opened

        try:
            return read_class_folders(source, self.name, key, options, arranged)
        finally:
            for opened in files:
                opened.close()


class _ZipFiles(PictureFiles):
    """Entries of a zip, taken straight from a memory map of the archive."""

    def __init__(self, path: Path, source: str) -> None:
        self.names: Sequence[str] = []
        self.folders: set[str] = set()
        self._infos: list[zipfile.ZipInfo] = []
        self._zip = zipfile.ZipFile(path)
        try:
            names = _Names(source)
            for info in self._zip.infolist():
                mode = info.external_attr >> 16
                kind = stat.S_IFMT(mode)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise _unsafe(source, info.filename, "a link or a device")
                if info.flag_bits & 1:
                    raise ArchiveError(
                        f"{source}: the entry {info.filename} is encrypted; make an archive without a password."
                    )
                if names.add(info.filename, info.is_dir()):
                    self._infos.append(info)
            self.names, self.folders = names.files, names.folders
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except BaseException:
            self._zip.close()
            raise

    def close(self) -> None:
        """Let go of the archive."""
        self._map.close()
        self._zip.close()

    def pick(self, numbers: Sequence[int]) -> None:
        """Keep the entries `numbers` only, in that order."""
        self.names = [self.names[i] for i in numbers]
        self._infos = [self._infos[i] for i in numbers]

    def order(self) -> Sequence[int]:
        """As they lie in the archive."""
        return sorted(range(len(self._infos)), key=lambda i: self._infos[i].header_offset)

    def read(self, i: int) -> bytes:
        """The bytes of entry `i`, its checksum verified."""
        info = self._infos[i]
        if info.file_size > FILE_LIMIT:
            raise BrokenImage(f"larger than {FILE_LIMIT:,} bytes")
        try:
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                return self._zip.read(info)  # locks the archive, but these are rare
            signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(self._map, info.header_offset)
            start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
            data = self._map[start : start + info.compress_size]
            if signature != b"PK\3\4" or len(data) != info.compress_size:
                raise BrokenImage("the archive is damaged here")
            if info.compress_type == zipfile.ZIP_DEFLATED:
                # One byte more than promised is enough to see a bomb.
                data = zlib.decompressobj(-15).decompress(data, info.file_size + 1)
        except (*_UNREADABLE, struct.error) as error:
            raise BrokenImage(f"the archive is damaged here: {error}") from error
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise BrokenImage("its checksum in the archive is another")
        return data


class _TarFiles(PictureFiles):
    """Entries of a tar, read one after the other as they lie in it."""

    in_turn = True

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
            # tarfile takes a tar that was cut between two entries for a whole one; a whole one ends in zeros.
            assert tar.fileobj is not None  # opened for reading
            tar.fileobj.seek(tar.offset)
            if not tar.fileobj.read(1):
                raise tarfile.ReadError("no mark at its end")
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
            raise BrokenImage("the archive is cut short here")
        return data


class _Names:
    """Collects the names of entries, and refuses those that could not be unpacked safely."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.files: list[str] = []
        self.folders: set[str] = set()
        self._seen: set[str] = set()
        self._plain: dict[str, tuple[str, bool, bool]] = {}
        """Of each folder: its name without detours, whether it leaves the archive, whether it is hidden."""

    def add(self, given: str, is_folder: bool) -> bool:
        """Whether the entry `given` is a file to read. Raises ArchiveError if it is unsafe."""
        folder, _, last = given.replace("\\", "/").rstrip("/").rpartition("/")
        if given[:1] in ("/", "\\") or given[1:3] in (":/", ":\\"):
            raise _unsafe(self.source, given, "an absolute path")
        if folder not in self._plain:  # entries share few folders, so these are looked at once
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
            raise ArchiveError(f"{self.source}: two entries are called {given}; make the archive anew.")
        self._seen.add(name)
        self.files.append(name)
        return True


def _unsafe(source: str, entry: str, what: str) -> ArchiveError:
    return ArchiveError(
        f"{source}: unsafe entry {entry!r}: {what}; expected plain files and folders. Make the archive anew without it."
    )


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """Turn what zipfile and tarfile raise into one line."""
    try:
        yield
    except ArchiveError:
        raise
    except _UNREADABLE as error:
        # tarfile lists what every kind of compression had against the file; the first line is enough.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(": ")
        raise ArchiveError(
            f"{source}: not a readable archive ({reason}); it may be cut short. Fetch or make it again."
        ) from error
