"""The budget of one source: what a file may make the machine do before any of its content is believed.

Every reader compares what a header declares with these limits before it allocates, unpacks or follows anything.
`docs/data.md` states them.
"""

from __future__ import annotations

import threading
from collections import Counter

from linprobe.errors import ArchiveError, DataError

__all__ = [
    "CHUNK_BYTES", "DEPTH", "ENTRIES", "FILE_LIMIT", "LABEL_CHARACTERS", "NAME_CHARACTERS", "PIXEL_LIMIT",
    "SMALL_PIXELS", "Budget", "PixelRoom", "most_pixels", "most_unpacked",
]  # fmt: skip

PIXEL_LIMIT = 2**26
"""Pixels of one picture at most, by its header: 67 million, the sensor of a 64-megapixel camera."""

FREE_PIXELS, PIXELS_PER_BYTE = 2**29, 200
"""The pictures of a source may have 537 million pixels, and 200 for each byte of their files. Photographs have 2 to 20
pixels a byte, flat drawings of a million pixels some 200; a picture of one colour has 1,000 and more, and takes as long
to decode."""

THREAD_PIXELS = 2**25
"""Pixels that each decoding thread adds to those that may be decoded at once: 235 MB at 7 bytes a pixel, which
Pillow's copy and ours take together."""

SMALL_PIXELS = 2**20
"""Pixels up to which a picture is decoded without waiting for room: 7 MB a thread."""

FILE_LIMIT = 2**29
"""Bytes of one picture file or entry at most: 512 MB, a 16-bit TIFF of `PIXEL_LIMIT` pixels."""

CHUNK_BYTES = 2**24
"""Bytes of picture files that are read ahead of one decoding thread, but for a single larger file."""

FREE_BYTES, RATIO = 2**28, 100
"""A compressed file may unpack to 256 MiB and 100 times its own bytes. MNIST unpacks to 5 times its bytes, flat
drawings as .bmp to about 50; a bomb of zeros to 1,000 and more. 256 MiB take a second to unpack."""

ENTRIES = 10_000_000
"""Files and folders of one source at most; the usual set of ImageNet has 1.4 million."""

FREE_ENTRIES, ENTRY_BYTES = 10_000, 20
"""An archive may have 10,000 entries, and one for each 20 bytes of its file. An entry takes 76 bytes of a zip without
its content, a compressed tar of the smallest PNGs 60; half a million empty ones can be packed into 40 KB."""

DEPTH = 64
"""Folders within folders at most, in a folder or in the names of an archive."""

LINKS = 100
"""Times that links lead to one folder, at most: two links in each of 30 folders to the next make a billion paths."""

NAME_CHARACTERS = 4096
"""Characters of the name of an entry at most, as Linux allows for a path."""

LABEL_CHARACTERS = 1000
"""Characters of one label or class name at most: arrays pad every label to the longest."""


def most_unpacked(n_bytes: int) -> int:
    """Bytes that a compressed file of `n_bytes` may unpack to."""
    return FREE_BYTES + RATIO * n_bytes


def most_pixels(n_bytes: int) -> int:
    """Pixels that picture files of `n_bytes` together may have."""
    return FREE_PIXELS + PIXELS_PER_BYTE * n_bytes


class Budget:
    """What remains of the budget of one source.

    Args:
        where: the source, for messages.
        n_bytes: its size on disk; None for a folder, which is not packed.
        kind: of the errors.
    """

    def __init__(self, where: str, n_bytes: int | None, kind: type[DataError] = ArchiveError) -> None:
        self.where, self.kind, self.most = where, kind, most_unpacked(n_bytes or 0)
        self.most_entries = ENTRIES if n_bytes is None else min(ENTRIES, FREE_ENTRIES + n_bytes // ENTRY_BYTES)
        self.n_unpacked = self.n_entries = 0
        self._links: Counter[str] = Counter()

    def unpack(self, n_bytes: int) -> None:
        """Count bytes that will be unpacked. Raises the error of this budget when they are too many."""
        if n_bytes < 0:
            raise self.kind(f"{self.where}: found a size of {n_bytes} bytes, expected 0 or more. {_ANEW}")
        self.n_unpacked += n_bytes
        if self.n_unpacked > self.most:
            raise self.kind(
                f"{self.where}: unpacks to {self.n_unpacked:,} bytes or more, expected at most {self.most:,}: 256 MiB "
                f"and {RATIO} times the file. If you trust it, unpack it into a folder and read that."
            )

    def follow(self, folder: str) -> None:
        """Count a link to a folder. Raises the error of this budget where many links lead to it."""
        self._links[folder] += 1
        if self._links[folder] > LINKS:
            raise self.kind(f"{self.where}: more than {LINKS} links lead to {folder}; remove some of them.")

    def enter(self, name: str) -> None:
        """Count an entry called `name`, with slashes. Raises the error of this budget beyond a limit."""
        self.n_entries += 1
        if self.n_entries > self.most_entries:
            raise self.kind(
                f"{self.where}: more than {self.most_entries:,} entries, which is too many for its size; divide it "
                "into several sources."
            )
        if len(name) > NAME_CHARACTERS:
            raise self.kind(
                f"{self.where}: the name of an entry has {len(name):,} characters, expected at most "
                f"{NAME_CHARACTERS:,}. {_ANEW}"
            )
        if name.count("/") > DEPTH:
            raise self.kind(
                f"{self.where}: {name[:60]!r}... lies {name.count('/')} folders deep, expected at most {DEPTH}. {_ANEW}"
            )


_ANEW = "Make it again, or fetch it from another place."
"""Next step of the messages about structure."""


class PixelRoom:
    """Lets threads decode pictures as long as their pixels together stay below a limit; a single one always fits.

    Args:
        n_threads: that decode.
    """

    def __init__(self, n_threads: int) -> None:
        self._most = max(PIXEL_LIMIT, n_threads * THREAD_PIXELS)
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, n_pixels: int) -> None:
        """Take room for `n_pixels`, once there is some."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + n_pixels <= self._most)
            self._taken += n_pixels

    def give(self, n_pixels: int) -> None:
        """Give room back."""
        with self._changed:
            self._taken -= n_pixels
            self._changed.notify_all()
