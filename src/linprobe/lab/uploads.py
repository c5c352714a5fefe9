"""What the page uploads: kept in a folder of the lab's own, checked before anything is decoded, gone at its end."""

from __future__ import annotations

import os
import re
import shutil
import struct
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from linprobe.data.archive import check_layout
from linprobe.data.decode import picture_formats
from linprobe.errors import ArchiveError, ImageError, ParameterError, RunError
from linprobe.files import unwritten
from linprobe.lab.protocol import Lab
from linprobe.plain import printable

__all__ = [
    "LEAVE_OUT", "MOST_BYTES", "MOST_ENTRIES", "MOST_NUMBERS", "MOST_PIXELS", "PICTURE_BYTES", "RESIZE", "Upload",
    "Uploads", "check_numbers", "check_zip", "picture_size", "shown_name",
]  # fmt: skip

MOST_BYTES = 512 * 2**20
"""Of one archive, as it is uploaded."""

MOST_UPLOADS = 16
"""Uploads that are kept, at most."""

PICTURE_BYTES = 32 * 2**20
"""Of a single picture, and of an entry of an archive, unpacked."""

MOST_PIXELS = 25_000_000
"""Most pixels of a single picture, by its header: more than a telephone takes by default, and 75 MB decoded."""

MOST_ENTRIES = 65_000
"""Of an archive; what the plain format can count is little more."""

DIRECTORY_BYTES = 16 * 2**20
"""Of the list of entries, which is read as a whole."""

UNPACKED_BYTES = 4 * 2**30
"""Most bytes that the entries of an archive may declare, all together."""

MOST_NUMBERS = 2**29
"""Intensities of all pictures of an upload, decoded: height x width x 3 for each."""

RESIZE, LEAVE_OUT = "'Resize pictures'", "'Leave out broken pictures'"
"""The controls of the page with which a source may be read that is refused without: an upload then stays."""

_END = struct.Struct("<4sHHHHIIH")
"""The end of a zip's directory: signature, disks, entries here, entries, size, start, length of the comment."""

_END_64 = struct.Struct("<32xQQ8x")
"""The end in 64 bits, 56 bytes: entries, and size of the directory."""

_LOCATOR_64_BYTES = 20
"""Bytes between the end in 64 bits and that in 32 bits; they begin with PK 6 7."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods of compression that are read: zipfile unpacks the others without a limit."""


@dataclass(frozen=True)
class Upload:
    """An archive that was uploaded and checked.

    Attributes:
        path: of the file.
        name: what the user calls it.
        n_files: entries that are files.
        size: (height, width) of the largest of its pictures; None where none was found.
        one_size: whether all pictures have that size.
    """

    path: Path
    name: str
    n_files: int
    size: tuple[int, int] | None
    one_size: bool


class Uploads:
    """The lab's folder of uploads.

    Args:
        lab: whose service it is.
    Raises:
        RunError: the temporary folder cannot be written.
    """

    def __init__(self, lab: Lab) -> None:
        try:
            _sweep()
            self.folder = Path(tempfile.mkdtemp(prefix=f"linprobe-lab-{os.getpid()}-"))
        except OSError as error:
            next_step = "upload again; or start the lab with another folder in TMPDIR"
            raise RunError(unwritten(error.filename or "TMPDIR", error, next_step, "the temporary folder")) from error
        self.kept: dict[str, Upload] = {}
        self._count = 0

    @property
    def cache(self) -> Path:
        """Where pixels decoded from uploads are kept: they go with the lab, and never into the user's cache."""
        return self.folder / "cache"

    def place(self, name: str) -> Path:
        """A new, empty folder's path for an upload called `name`; its last part is a plain file name.

        Raises:
            ParameterError: it is not called `.zip`, or there are too many.
        """
        last = shown_name(name)
        if not last.lower().endswith(".zip") or len(last) < 5:
            raise ParameterError(f"{last or 'a file without a name'} is no .zip; put the class folders into one.")
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", last[:-4]).strip("-.")[-76:] or "archive"
        if len(list(self.folder.glob("upload-*"))) >= MOST_UPLOADS:  # those that are still being sent count as well
            raise ParameterError(f"there are {MOST_UPLOADS} uploads already; remove one first.")
        self._count += 1
        folder = self.folder / f"upload-{self._count}"
        folder.mkdir(parents=True)  # a service that cleans temporary folders may have deleted that of the lab
        return folder / f"{plain}.zip"

    def keep(self, path: Path, name: str) -> tuple[str, Upload]:
        """(key, upload) of the archive that was written to `path`.

        Args:
            path: as from `place`.
            name: what the user calls it.
        Raises:
            DataError: it is damaged, beyond a limit, or holds no class folders.
        """
        upload = check_zip(path, shown_name(name))
        check_layout(path, upload.name)
        key = f"upload:{path.parent.name.rpartition('-')[2]}:{path.name}"
        self.kept[key] = upload
        return key, upload

    def forget(self, key: str) -> None:
        """Delete an upload. Raises ParameterError where there is none of that key."""
        upload = self.kept.pop(key, None)
        if upload is None:
            raise ParameterError(f"there is no upload {key!r}.")
        shutil.rmtree(upload.path.parent, ignore_errors=True)

    def drop(self, path: Path | None) -> None:
        """Delete what was written of an upload that came to nothing."""
        if path is not None:
            shutil.rmtree(path.parent, ignore_errors=True)

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def shown_name(name: str) -> str:
    """The last part of the name of a file that is sent, as messages show it: at most 80 letters, all printable."""
    return printable(name.replace("\\", "/").rpartition("/")[2].strip())[-80:]


def check_zip(path: Path, name: str) -> Upload:
    """What the zip at `path` holds, by its directory and the headers of its pictures; nothing else is unpacked.

    Unsafe entries, damage and classes are for the reader of archives, which meets them in `check_layout` or later.

    Raises:
        ArchiveError: no zip, or one with too many entries, bytes, or pixels in a picture.
    """
    count, size = _directory_size(path, name)
    if count > MOST_ENTRIES or size > DIRECTORY_BYTES:
        raise ArchiveError(f"{name}: {count:,} entries or more; the lab takes up to {MOST_ENTRIES:,}: train on a part.")
    try:
        with zipfile.ZipFile(path) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(files) > MOST_ENTRIES:
                raise ArchiveError(f"{name}: {len(files):,} entries; the lab takes up to {MOST_ENTRIES:,}.")
            other = next((entry for entry in files if entry.compress_type not in _METHODS), None)
            if other is not None:
                raise ArchiveError(
                    f"{name}: {printable(other.filename)[-80:]} is compressed by another method than Deflate, and the "
                    "lab cannot see how large its picture is before it is unpacked; make the zip with Deflate."
                )
            unpacked = sum(entry.file_size for entry in files)
            if unpacked > UNPACKED_BYTES:
                raise ArchiveError(
                    f"{name}: its entries declare {unpacked / 2**30:.1f} GiB; the lab takes up to "
                    f"{UNPACKED_BYTES // 2**30}."
                )
            large = next((entry for entry in files if entry.file_size > PICTURE_BYTES), None)
            if large is not None:
                raise ArchiveError(
                    f"{name}: {printable(large.filename)[-80:]} holds {large.file_size / 2**20:,.0f} MiB; the lab "
                    f"takes pictures of up to {PICTURE_BYTES // 2**20} MiB: make it smaller, or leave it out."
                )
            sizes = [found for entry in files if (found := _size_of(archive, entry)) is not None]
    except (ArchiveError, MemoryError):
        raise
    except ImageError as error:
        raise ArchiveError(f"{name}: {error}") from None
    except Exception as error:  # zipfile raises almost any class for damaged archives
        raise ArchiveError(f"{name}: not a readable archive ({error}); make it again.") from error
    return Upload(
        path, name, len(files), max(sizes, key=lambda size: size[0] * size[1], default=None), len(set(sizes)) <= 1
    )


def check_numbers(upload: Upload, image_size: tuple[int, int] | None) -> None:
    """Raise ArchiveError where its pictures, read in this size, would take more memory than the lab gives them."""
    size = image_size or upload.size
    if size is None:
        return
    numbers = upload.n_files * size[0] * size[1] * 3
    if numbers > MOST_NUMBERS:
        raise ArchiveError(
            f"{upload.name}: {upload.n_files:,} pictures of {size[0]}x{size[1]} are {numbers / 2**20:,.0f} MiB of "
            f"pixels; the lab takes up to {MOST_NUMBERS // 2**20:,}: choose fewer pixels in {RESIZE}."
        )


def _directory_size(path: Path, name: str) -> tuple[int, int]:
    """(entries, bytes) as the end of the zip's directory declares them, in 32 or in 64 bits.

    Raises:
        ArchiveError: there is no such end.
    """
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _END_64.size - _LOCATOR_64_BYTES - _END.size - 0xFFFF))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        raise ArchiveError(f"{name}: not a zip, or one that was cut short; make it again.")
    _, _, _, _, entries, size, _, _ = _END.unpack_from(tail, at)
    # zipfile takes the numbers of 64 bits wherever there are some, whatever those of 32 bits are
    before = tail[max(0, at - _LOCATOR_64_BYTES - _END_64.size) : at]
    if before[-_LOCATOR_64_BYTES:][:4] == b"PK\6\7" and len(before) == _LOCATOR_64_BYTES + _END_64.size:
        entries_64, size_64 = _END_64.unpack_from(before)
        entries, size = max(entries, entries_64), max(size, size_64)
    return int(entries), int(size)


def _size_of(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[int, int] | None:
    """(height, width) of a picture by its header; None for anything else. Raises ImageError as `picture_size`."""
    if entry.flag_bits & 1:
        return None
    try:
        with archive.open(entry) as file:
            return picture_size(printable(entry.filename)[-80:], file)
    except ImageError:
        raise
    except Exception:  # damage of any kind: the reader of archives reports it
        return None


def picture_size(name: str, file: IO[bytes]) -> tuple[int, int] | None:
    """(height, width) of the picture in the open `file`, by its header; None for what is no picture.

    Raises:
        ImageError: it has more pixels than the lab decodes; the message names it `name`.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of very many pixels: they are refused in our own words
        try:
            with Image.open(file, formats=picture_formats()) as picture:
                height, width = picture.height, picture.width
        except Image.DecompressionBombError:
            height, width = 0, 0
        except Exception:  # Pillow's readers raise almost anything
            return None
    if height * width > MOST_PIXELS or not height:
        found = f"{width} x {height} pixels" if height else "hundreds of millions of pixels"
        raise ImageError(
            f"{name} has {found}; the lab takes pictures of up to {MOST_PIXELS // 10**6} million pixels: make it "
            "smaller."
        )
    return height, width


def _sweep() -> None:
    """Delete the folders of labs that were killed; on Windows, where asking whether a process lives ends it, none."""
    if os.name == "nt":
        return
    for folder in Path(tempfile.gettempdir()).glob("linprobe-lab-*-*"):
        number = folder.name.split("-")[2]
        if number.isdigit() and folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            try:
                os.kill(int(number), 0)
            except ProcessLookupError:
                shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue
