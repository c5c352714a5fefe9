"""How many parts the file of a picture consists of: Pillow handles each in Python, so that their number is its time."""

from __future__ import annotations

import re
import struct

__all__ = ["MOST_SEGMENTS", "too_many_parts"]

MOST_SEGMENTS = 10_000
"""Segments and filling bytes of a JPEG that are followed. Cameras write some 20, and Pillow takes 4 µs for each."""

MOST_CHUNKS = 100_000
"""Chunks of a PNG, and blocks of a GIF before its picture, at most: Pillow takes 2 to 4 µs for each. A PNG of 512 MB in
chunks of 8 KB has 65,536."""

MOST_STRIPS = 2**16
"""Strips or tiles of a TIFF at most: one for each row of the highest picture of usual programs. Pillow takes 20 µs."""

MOST_TAGS = 10_000
"""Tags in the first directory of a TIFF at most; usual ones have 20."""

MOST_TILES = 2**12
"""Tiles of a JPEG 2000 at most, for which OpenJPEG takes 12 KB each; 67 million pixels in tiles of 128 x 128."""

INTERPRETED_BYTES = 2**22
"""Bytes of a plain PPM or a run-length BMP at most, which Pillow reads in Python: about 1 µs a byte."""

HEADER_BYTES = 2**16
"""Bytes before the numbers of a PPM at most, comments included."""

PPM_HEADER = re.compile(rb"P[1-6](?:(?:[\s]|#[^\r\n]*[\r\n])+\d+){2}")
"""The beginning of a PPM, up to its height."""

SIZ = re.compile(rb"\xff\x4f\xff\x51.{4}(.{32})", re.DOTALL)
"""The first segments of a JPEG 2000, and eight numbers: sizes and offsets of the picture, then of its tiles."""

STRIP_TAGS = (273, 279, 324, 325)
"""Tags of a TIFF that hold a number for each strip or tile."""


def too_many_parts(data: bytes) -> str | None:
    """Why a picture of a format with many parts is not opened; None for all others. Structure is read, not believed.

    Args:
        data: the whole file.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _counted(_png_chunks(data), MOST_CHUNKS, "chunks")
    if data[:2] == b"\xff\xd8":
        return _counted(_jpeg_segments(data), MOST_SEGMENTS, "segments")
    if data[:4] == b"GIF8":
        return _counted(_gif_blocks(data), MOST_CHUNKS, "blocks before its picture")
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _counted(_tiff_strips(data), MOST_STRIPS, "strips")
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:8] == b"jP  ":
        return _counted(max(map(_tiles, SIZ.findall(data)), default=0), MOST_TILES, "tiles")
    return _interpreted(data)


def _counted(n: int, most: int, what: str) -> str | None:
    return f"more than {most:,} {what}" if n > most else None


def _interpreted(data: bytes) -> str | None:
    """The same for formats that Pillow reads in Python."""
    if re.match(rb"P[1-6]\s", data):
        if not PPM_HEADER.match(data, 0, HEADER_BYTES) and len(data) > HEADER_BYTES:
            return f"more than {HEADER_BYTES:,} bytes before its size"
        kind = "a plain PPM" if data[1:2] in b"123" else ""
    else:
        is_run_length = data[:2] == b"BM" and data[30:34] in (b"\1\0\0\0", b"\2\0\0\0")
        kind = "a run-length BMP" if is_run_length else ""
    if kind and len(data) > INTERPRETED_BYTES:
        return f"{kind} of {len(data):,} bytes, of which at most {INTERPRETED_BYTES:,} are read; save it as PNG"
    return None


def _png_chunks(data: bytes) -> int:
    at, n = 8, 0
    while at + 8 <= len(data) and n <= MOST_CHUNKS:
        at += 12 + int.from_bytes(data[at : at + 4], "big")  # length, name, content, checksum
        n += 1
    return n


def _jpeg_segments(data: bytes) -> int:
    """Segments and filling bytes before the pixels."""
    at, n = 2, 0
    while data[at : at + 1] == b"\xff" and n <= MOST_SEGMENTS:
        marker = data[at + 1 : at + 2]
        if marker in (b"\xda", b"\xd9"):
            break
        at += 1 if marker == b"\xff" else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        n += 1
    return n


def _gif_blocks(data: bytes) -> int:
    """Blocks of the extensions before the first picture."""
    at, n = 13, 0
    if data[10:11] and data[10] & 0x80:
        at += 3 * 2 ** ((data[10] & 7) + 1)
    while data[at : at + 1] == b"\x21" and n <= MOST_CHUNKS:
        at += 2
        while n <= MOST_CHUNKS:
            size = data[at] if at < len(data) else 0
            at, n = at + 1 + size, n + 1
            if size == 0:
                break
    return n


def _tiff_strips(data: bytes) -> int:
    """The largest number of strips or tiles that the first directory declares."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    start, head, entry = ("Q", "Q", "HHQ") if is_big else ("I", "H", "HHI")
    width = 20 if is_big else 12
    try:
        (at,) = struct.unpack_from(order + start, data, 8 if is_big else 4)
        (n,) = struct.unpack_from(order + head, data, at)
        at += struct.calcsize(order + head)
        if n > MOST_TAGS:
            return MOST_STRIPS + 1
        found = [struct.unpack_from(order + entry, data, at + i * width) for i in range(n)]
    except (struct.error, OverflowError):  # cut short: Pillow says so
        return 0
    return max((count for tag, _, count in found if tag in STRIP_TAGS), default=0)


def _tiles(numbers: bytes) -> int:
    right, bottom, _, _, width, height, left, top = struct.unpack(">8I", numbers)
    across, down = (-(-max(0, end - begin) // max(1, step)) for end, begin, step in
                    ((right, left, width), (bottom, top, height)))  # fmt: skip
    return int(across * down)
