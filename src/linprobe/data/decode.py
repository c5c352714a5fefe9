"""From the bytes of picture files to one array of uint8 pixels."""

from __future__ import annotations

import importlib
import io
import os
import re
import stat
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from linprobe.cores import threads_for
from linprobe.data.base import ReadOptions
from linprobe.data.budget import (
    CHUNK_BYTES,
    FILE_LIMIT,
    PIXEL_LIMIT,
    PIXELS_PER_BYTE,
    SMALL_PIXELS,
    PixelRoom,
    most_pixels,
)
from linprobe.data.picture_parts import MOST_SEGMENTS, too_many_parts
from linprobe.errors import ImageError
from linprobe.plain import few, printable
from linprobe.shapes import Pixels

__all__ = [
    "BrokenImage", "Depth", "PictureFiles", "decode", "decode_all", "decode_with_depth", "picture_formats", "read_file",
]  # fmt: skip

FORMATS = {
    "JPEG": "Jpeg", "PNG": "Png", "GIF": "Gif", "BMP": "Bmp", "PPM": "Ppm", "TIFF": "Tiff", "WEBP": "WebP",
    "JPEG2000": "Jpeg2K", "AVIF": "Avif",
}  # fmt: skip
"""The formats that are opened, and Pillow's module of each. Others may start a program (EPS), fetch fonts, or have no
magic number. `docs/data.md` lists them."""

_PNG = b"\x89PNG\r\n\x1a\n"
"""First bytes of a PNG file."""

MOST_BROKEN = 5
"""Broken pictures that a message names; the others are counted. Each takes some 60 characters."""

_CHUNK = 256
"""Pictures per task of a thread. A tiny picture takes 20 microseconds to decode, about as long as to submit a task."""


class BrokenImage(Exception):
    """A picture that cannot be decoded; its text is the reason. Never leaves the data room."""


class PictureFiles(ABC):
    """Picture files by number: those of a folder, or of an archive."""

    names: Sequence[str]
    in_turn: bool = False
    """Whether one thread should read them in the order of `order`."""

    @abstractmethod
    def read(self, i: int) -> bytes:
        """The bytes of file `i`. Raises BrokenImage if it cannot be read."""

    def order(self) -> Sequence[int]:
        """The numbers of all files, in their order on disk."""
        return range(len(self.names))


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of the picture file `path`. Raises BrokenImage if it cannot be read."""
    try:
        about = os.stat(path)
        if stat.S_ISDIR(about.st_mode):
            raise BrokenImage("a folder")
        if not stat.S_ISREG(about.st_mode):  # opening a pipe would block
            raise BrokenImage("not a plain file")
        if about.st_size > FILE_LIMIT:
            raise BrokenImage(f"larger than {FILE_LIMIT:,} bytes")
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError as error:
        raise BrokenImage(error.strerror or str(error)) from error


@dataclass(frozen=True)
class Depth:
    """What of the pictures is lost in 8-bit pixels of one frame.

    Attributes:
        n: 16-bit pictures.
        top: the largest of their pixels once they are reduced to 8 bits, 0..255; 255 without such pictures.
        n_several: pictures of several frames or pages.
    """

    n: int = 0
    top: int = 255
    n_several: int = 0

    def with_also(self, other: Depth) -> Depth:
        """That of the pictures of both."""
        tops = [each.top for each in (self, other) if each.n]
        return Depth(self.n + other.n, max(tops, default=255), self.n_several + other.n_several)

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings: where the pictures used less than a quarter of their range, and where frames are not read."""
        notes = []
        if self.n and self.top < SMALL_RANGE:
            what = "1 picture has" if self.n == 1 else f"{self.n:,} pictures have"
            share = f"{100 * (self.top + 1) / 256:.2g}%"
            notes.append(
                f"{what} 16 bits but no value above {share} of their range: as 8-bit pixels they have at most "
                f"{self.top + 1} grey levels. Scale their values up to 0..65535, then read them again."
            )
        if self.n_several:
            what = "1 picture has" if self.n_several == 1 else f"{self.n_several:,} pictures have"
            notes.append(f"{what} several frames or pages, of which only the first is read.")
        return tuple(notes)


SMALL_RANGE = 64
"""The largest 8-bit value, of pictures of 16 bits, below which they get a warning: a quarter of the range. Pictures of
12 bits reach 15, and dark photographs of 16 bits far more."""


def decode(data: bytes, image_size: tuple[int, int] | None = None) -> Pixels:
    """(height, width, 1) pixels of a grey picture, (height, width, 3) of any other.

    Transparent pixels are blended with white, 16 bits are rounded to 8, palettes and CMYK become RGB, and the
    orientation in EXIF or XMP is applied. Of an animation, the first frame is used.

    Args:
        data: the whole file.
        image_size: (height, width) to resize to, bilinear with antialiasing.
    Raises:
        BrokenImage: not a picture, truncated, of signed or floating-point pixels, or of more than `PIXEL_LIMIT` pixels.
    """
    return decode_with_depth(data, image_size)[0]


def decode_with_depth(data: bytes, image_size: tuple[int, int] | None = None) -> tuple[Pixels, Depth]:
    """As `decode`, and what the picture used of its range if it has 16 bits."""
    return _decoded(data, image_size, _Place(None))


def _decoded(data: bytes, image_size: tuple[int, int] | None, place: _Place) -> tuple[Pixels, Depth]:
    try:
        pixels, depth = _fast_jpeg(data, place), Depth()
        if pixels is None:
            pixels, depth = _any_picture(data, place)
        return _resized(pixels, image_size), depth
    finally:
        place.leave()


class _Place:
    """The place of one picture in the room of all; a small one needs none.

    Attributes:
        n_pixels: of the picture, by its header; 0 before it is known.
    """

    __slots__ = ("_room", "_taken", "n_pixels")

    def __init__(self, room: PixelRoom | None) -> None:
        self._room, self._taken, self.n_pixels = room, 0, 0

    def enter(self, height: int, width: int) -> None:
        """Wait for a place. Raises BrokenImage for a picture of too many pixels."""
        n_pixels = height * width
        if n_pixels > PIXEL_LIMIT:
            raise BrokenImage(f"{height}x{width} = {n_pixels:,} pixels; at most {PIXEL_LIMIT:,} are read")
        self.n_pixels = n_pixels
        if n_pixels > SMALL_PIXELS and self._room is not None:
            self.leave()
            self._room.take(n_pixels)
            self._taken = n_pixels

    def leave(self) -> None:
        """Give the place back."""
        if self._taken and self._room is not None:
            self._room.give(self._taken)
            self._taken = 0


def _resized(pixels: Pixels, image_size: tuple[int, int] | None) -> Pixels:
    """The picture in this (height, width); the array itself where it has it, or where None is given."""
    if image_size is not None and pixels.shape[:2] != image_size:
        flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        resized = Image.fromarray(flat).resize(image_size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(resized, dtype=np.uint8).reshape(*image_size, pixels.shape[2])
    return pixels


def decode_all(
    files: PictureFiles,
    source: str,
    options: ReadOptions,
    allocate: Callable[[tuple[int, int, int, int]], Pixels],
) -> tuple[Pixels, dict[int, str], Depth]:
    """The (M, height, width, channels) pixels of all `files`, why some are broken, by number, and their depth.

    The one channel of grey pictures is kept only if all pictures are grey.

    Args:
        files: the pictures; row i of the result is file i, and undefined if file i is broken.
        source: for messages.
        allocate: returns the array to decode into, given its shape. It is called again if a coloured picture follows
            grey ones; the first array is then discarded.
    Raises:
        ImageError: sizes differ, or pictures are broken with `options.on_bad_image` "fail", or all are.
    """
    n_threads = threads_for(options.n_threads)
    # Pillow warns about unusual EXIF data and palettes, which a user cannot act on. The filter is set here and not in
    # the threads, since it applies to the whole process.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(n_threads, thread_name_prefix="linprobe-decode") as pool:
            first, shape = _first_picture(files, source, options)
            room = PixelRoom(n_threads)
            task = _Task(files, options.image_size, allocate((len(files.names), *shape)), room)
            try:
                broken, depth = _run(pool, n_threads, task, source, first, options)
            except _HasColour:
                task = _Task(files, options.image_size, allocate((len(files.names), *shape[:2], 3)), room)
                broken, depth = _run(pool, n_threads, task, source, first, options)
    if broken and options.on_bad_image == "fail":
        raise ImageError(_broken_message(files, source, broken))
    return task.out, broken, depth


class _HasColour(Exception):
    """A coloured picture after grey ones only."""


@dataclass(frozen=True)
class _Task:
    """Decodes chunks of files into their rows of `out`."""

    files: PictureFiles
    image_size: tuple[int, int] | None
    out: Pixels
    room: PixelRoom

    def run(self, numbers: Sequence[int], contents: Sequence[bytes | BrokenImage] | None) -> _Outcome:
        """The outcome for the files `numbers`; `contents` are their bytes, or None if they are still to be read."""
        outcome = _Outcome(len(numbers), {})
        for number, i in enumerate(numbers):
            place = _Place(self.room)
            try:
                data = self.files.read(i) if contents is None else contents[number]
                if isinstance(data, BrokenImage):
                    raise data
                outcome.n_bytes += len(data)
                pixels, depth = _decoded(data, self.image_size, place)
                outcome.depth = outcome.depth.with_also(depth)
            except BrokenImage as error:
                outcome.broken[i] = str(error)
                continue
            finally:
                outcome.n_pixels += place.n_pixels
            if outcome.n_pixels > most_pixels(outcome.n_bytes):
                break
            if pixels.shape[:2] != self.out.shape[1:3]:
                outcome.other_size = (i, pixels.shape[:2])
                break
            if pixels.shape[2] > self.out.shape[3]:
                outcome.has_colour = True
                break
            self.out[i] = pixels
        return outcome


@dataclass
class _Outcome:
    n_files: int
    broken: dict[int, str]
    other_size: tuple[int, tuple[int, ...]] | None = None
    has_colour: bool = False
    depth: Depth = Depth()
    n_bytes: int = 0
    n_pixels: int = 0


def _first_picture(files: PictureFiles, source: str, options: ReadOptions) -> tuple[int, tuple[int, int, int]]:
    """The number and shape of the first file that is not broken."""
    broken: dict[int, str] = {}
    for i in files.order():
        try:
            height, width, channels = decode(files.read(i), options.image_size).shape
        except BrokenImage as error:
            broken[i] = str(error)
        else:
            return i, (height, width, channels)
    raise ImageError(_broken_message(files, source, broken))


def _run(
    pool: ThreadPoolExecutor, n_threads: int, task: _Task, source: str, first: int, options: ReadOptions
) -> tuple[dict[int, str], Depth]:
    """Decode all files, a few chunks ahead. Outcomes are taken in order, so that messages do not depend on timing."""
    files, order = task.files, task.files.order()
    waiting: deque[Future[_Outcome]] = deque()
    ahead: deque[int] = deque()  # bytes that were read for each of these
    broken: dict[int, str] = {}
    done, depth, n_bytes, n_pixels = 0, Depth(), 0, 0

    def meet() -> None:
        nonlocal done, depth, n_bytes, n_pixels
        outcome = waiting.popleft().result()
        ahead.popleft()
        n_bytes, n_pixels = n_bytes + outcome.n_bytes, n_pixels + outcome.n_pixels
        if n_pixels > most_pixels(n_bytes):
            raise ImageError(
                f"{source}: pictures of {n_pixels:,} pixels or more in {n_bytes:,} bytes of files; expected at most "
                f"{most_pixels(0):,} pixels and {PIXELS_PER_BYTE} for each byte. If you trust them, make them smaller "
                "with another program first."
            )
        broken.update(outcome.broken)
        depth = depth.with_also(outcome.depth)
        if outcome.other_size is not None:
            i, size = outcome.other_size
            height, width = task.out.shape[1:3]
            raise ImageError(
                f"{source}: pictures of different sizes: {printable(files.names[first])} is {height}x{width} and "
                f"{printable(files.names[i])} is {size[0]}x{size[1]} (height x width); resize all with "
                f"--image-size HxW, for example --image-size {height}x{width}."
            )
        if outcome.has_colour:
            raise _HasColour
        done += outcome.n_files
        if options.progress is not None:
            options.progress("decoding pictures", done, len(order))

    try:
        for numbers, contents in _chunks(files, order):
            waiting.append(pool.submit(task.run, numbers, contents))
            ahead.append(0 if contents is None else sum(len(each) for each in contents if isinstance(each, bytes)))
            while len(waiting) > 2 * n_threads or (waiting and sum(ahead) > 2 * n_threads * CHUNK_BYTES):
                meet()
        while waiting:
            meet()
    finally:
        for future in waiting:
            future.cancel()
        # No thread may still write into an array that is about to be discarded.
        for future in waiting:
            if not future.cancelled():
                future.exception()
    return dict(sorted(broken.items())), depth


def _chunks(
    files: PictureFiles, order: Sequence[int]
) -> Iterator[tuple[Sequence[int], list[bytes | BrokenImage] | None]]:
    """The numbers of the files of each task, and their bytes where one thread reads them all."""
    if not files.in_turn:
        yield from ((order[start : start + _CHUNK], None) for start in range(0, len(order), _CHUNK))
        return
    numbers: list[int] = []
    contents: list[bytes | BrokenImage] = []
    n_bytes = 0
    for i in order:
        content = _content(files, i)
        numbers.append(i)
        contents.append(content)
        n_bytes += len(content) if isinstance(content, bytes) else 0
        if len(numbers) == _CHUNK or n_bytes >= CHUNK_BYTES:
            yield numbers, contents
            numbers, contents, n_bytes = [], [], 0
    if numbers:
        yield numbers, contents


def _content(files: PictureFiles, i: int) -> bytes | BrokenImage:
    try:
        return files.read(i)
    except BrokenImage as error:
        return error


def _broken_message(files: PictureFiles, source: str, broken: dict[int, str]) -> str:
    listed = [f"{printable(files.names[i])} ({broken[i]})" for i in sorted(broken)]
    what = "1 picture" if len(broken) == 1 else f"{len(broken)} pictures"
    if len(broken) == len(files.names):
        advice = "no picture remains; replace them."
    else:
        advice = "replace them, or leave them out with --on-bad-image skip."
    return f"{source}: {what} of {len(files.names)} cannot be read: {few(listed, MOST_BROKEN)}; {advice}"


def _fast_jpeg(data: bytes, place: _Place) -> Pixels | None:
    """The pixels of a plain JPEG, equal to Pillow's but faster to decode; None for any other file.

    If libjpeg reports an error, Pillow decides whether the picture is broken. `place` is entered before it is decoded.
    """
    if data[:3] != b"\xff\xd8\xff" or _may_be_turned(data):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "Gray"):
            return None
        place.enter(height, width)
        _check_scans(data, height * width)
        pixels: Pixels = simplejpeg.decode_jpeg(data, "GRAY" if colours == "Gray" else "RGB")
    except ValueError:
        return None
    return pixels


def _check_scans(data: bytes, n_pixels: int) -> None:
    """Raise BrokenImage for a JPEG of very many scans: each of a few bytes, it goes through all pixels again."""
    if n_pixels * len(data) < SCANNED:
        return
    first = data.find(b"\xff\xda")
    end = data.find(b"\xff\xd9", first)  # neither pair of bytes stands inside a scan
    n_scans = data.count(b"\xff\xda", first, end if end >= 0 else len(data)) if first >= 0 else 0
    if n_scans > MOST_SCANS:
        raise BrokenImage(f"{n_scans:,} scans; at most {MOST_SCANS} are read")


SCANNED = 2**33
"""Pixels times bytes of a JPEG from which on its scans are counted, which takes a second for 2 GB. Below, scans of 12
bytes each go through 700 million pixels at most: about a second."""

MOST_SCANS = 100
"""Scans of a progressive JPEG at most; encoders make 10."""


def _may_be_turned(data: bytes) -> bool:
    """Whether a segment of a JPEG before its pixels may hold an orientation, or the segments cannot be followed."""
    at = 2
    for _ in range(MOST_SEGMENTS):
        if data[at : at + 1] != b"\xff":
            break
        marker = data[at + 1 : at + 2]
        if marker in (b"\xda", b"\xd9"):  # the pixels begin, or the file ends
            return False
        if marker == b"\xff":  # a filling byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == b"\xe1":
            start = data[at + 4 : at + 8]
            if start == b"Exif" or (start == b"http" and b"Orientation" in data[at + 4 : end]):  # XMP begins with a URL
                return True
        at = end
    return True


@cache
def picture_formats() -> tuple[str, ...]:
    """The formats of pictures that are read, as Pillow calls them: those of FORMATS that it has."""
    for module in FORMATS.values():
        with suppress(ImportError):  # AVIF came with Pillow 11.3
            importlib.import_module(f"PIL.{module}ImagePlugin")
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _any_picture(data: bytes, place: _Place) -> tuple[Pixels, Depth]:
    """The pixels of a picture in any of the FORMATS, and its depth; `place` as for `_fast_jpeg`."""
    if reason := too_many_parts(data):
        raise BrokenImage(reason)
    try:
        with Image.open(io.BytesIO(data), formats=picture_formats()) as opened:
            place.enter(opened.height, opened.width)
            if opened.format in ("JPEG", "MPO"):
                _check_scans(data, opened.height * opened.width)
            has_16_bits, n_several = _check_kind(opened, data), int(_has_several_frames(opened))
            scale = _scale_of(opened)
            opened.load()
            ImageOps.exif_transpose(opened, in_place=True)
            pixels = _to_pixels(opened, scale)
            top = int(pixels.max(initial=0)) if has_16_bits else 255
            return pixels, Depth(int(has_16_bits), top, n_several)
    except (BrokenImage, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # Pillow does not open pictures beyond twice its limit
        found = re.search(r"\d+", str(error))
        many = f"{int(found[0]):,}" if found else "far too many"
        raise BrokenImage(f"{many} pixels; at most {PIXEL_LIMIT:,} are read") from error
    except UnidentifiedImageError:
        raise BrokenImage("an empty file" if not data else "not a picture of a format that is read") from None
    except Exception as error:
        without_text = _without_text(data) if isinstance(error, ValueError) else data
        if len(without_text) < len(data):  # Pillow refuses PNG files for more than 1 MB of text, which no pixel needs
            return _any_picture(without_text, place)
        # for damaged input, Pillow's decoders raise almost any class: OSError, SyntaxError, struct.error, ...
        raise BrokenImage(" ".join(str(error).split()) or type(error).__name__) from error


def _without_text(data: bytes) -> bytes:
    """A PNG without its compressed texts and colour profile; any other file as it is."""
    if data[:8] != _PNG:
        return data
    kept, at = [_PNG], 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")  # length, name, content, checksum
        if data[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _check_kind(picture: Image.Image, data: bytes) -> bool:
    """Whether a picture that is not decoded yet has 16 bits for each number.

    Raises:
        BrokenImage: its numbers are signed.
    """
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        bits = picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
        # 32 bits are signed in every file that Pillow writes, and are judged by their values
        if 2 in picture.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, ()) and max(bits) <= 16:
            raise BrokenImage(f"signed pixels {UNKNOWN_RANGE}")
        return 16 in bits
    if picture.format == "PNG":
        return data[24:25] == b"\x10"  # of its first chunk, IHDR
    return picture.mode.startswith("I;16")


def _has_several_frames(picture: Image.Image) -> bool:
    """Whether a picture that is not decoded yet is an animation, or has several pages."""
    if picture.format in ("JPEG", "MPO"):  # cameras append previews and maps of brightness
        return False
    with suppress(Exception):  # the second frame is damaged: the first is what is read
        return bool(getattr(picture, "is_animated", False))
    return False


@dataclass(frozen=True)
class _Scale:
    """What the values of a grey picture of more than 8 bits mean: the largest, and whether that is black."""

    largest: int = 65535
    inverted: bool = False


def _scale_of(picture: Image.Image) -> _Scale:
    """The scale of a picture. A TIFF may have 12 bits, or say that 0 is white, which Pillow heeds for 8 bits only."""
    if not isinstance(picture, TiffImagePlugin.TiffImageFile) or not picture.mode.startswith("I"):
        return _Scale()
    bits = picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))
    white_is_zero = picture.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    return _Scale(4095 if tuple(bits) == (12,) else 65535, white_is_zero)


UNKNOWN_RANGE = "of unknown range; save it with 8 or 16 unsigned bits"
"""End of the message on pixels whose white is not known."""


def _to_pixels(picture: Image.Image, scale: _Scale) -> Pixels:
    """(height, width, 1 or 3) pixels of a decoded picture of any mode; `scale` is of those of more than 8 bits."""
    mode = picture.mode
    if mode.startswith("I"):
        # 16 bits, or 32 of which PNG and TIFF writers fill 16: 65535 becomes 255, and 257 v becomes v.
        wide = np.asarray(picture, dtype=np.int64)
        low, high = int(wide.min(initial=0)), int(wide.max(initial=0))
        if low < 0 or high > scale.largest:
            raise BrokenImage(f"pixels from {low} to {high}, {UNKNOWN_RANGE}")
        grey = ((510 * wide + scale.largest) // (2 * scale.largest)).astype(np.uint8)[:, :, np.newaxis]
        return 255 - grey if scale.inverted else grey
    if mode == "F":
        raise BrokenImage(f"floating-point pixels {UNKNOWN_RANGE}")
    may_be_grey = mode in ("1", "L", "LA", "La", "P", "PA")
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", over.size, (255, 255, 255, 255)), over)
    elif mode in ("1", "L"):
        return np.asarray(picture.convert("L"), dtype=np.uint8)[:, :, np.newaxis]
    pixels = _array_of(picture if picture.mode == "RGB" else picture.convert("RGB"))
    if may_be_grey and (pixels == pixels[:, :, :1]).all():
        return pixels[:, :, :1]
    return pixels


def _array_of(picture: Image.Image) -> Pixels:
    """(height, width, 3) pixels of an RGB picture, taken strip by strip: at once, Pillow makes two more copies."""
    pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    rows = max(1, SMALL_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        strip = (
            picture
            if rows >= picture.height
            else picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        )
        pixels[top : top + rows] = np.asarray(strip)
    return pixels
