"""A challenge: kinds of changes of pictures, each with a table of amounts, and their random numbers.

Pictures are (N, height, width, channels) uint8, intensities 0..255, of any size and number of channels.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError, ShapeError
from linprobe.shapes import Pixels

__all__ = ["SEVERITIES", "Block", "Challenge", "Kind", "to_pixels", "uniforms"]

SEVERITIES = (0, 1, 2, 3, 4, 5)
"""0 changes no pixel."""

PART_NUMBERS = 2**16
"""Intensities of a block, at most. Its float32 arrays stay in the cache, and the allocator reuses them. Larger arrays
are returned to the system each time, which takes two thirds more processor time."""

GOLDEN = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: the increment of SplitMix64."""


@dataclass(frozen=True)
class Kind:
    """One change of pictures.

    Args:
        name: unique among all challenges.
        amounts: what severities 1..5 mean, in `unit`; they grow in effect.
        unit: what an amount is, in words.
    """

    name: str
    amounts: tuple[float, float, float, float, float]
    unit: str


@dataclass(frozen=True)
class Block:
    """Some of the pictures, which one call changes.

    Args:
        images: (n, height, width, channels) uint8, the pictures to change; not to be written to.
        numbers: (n,) int64, where each stands among all pictures.
        source: all pictures, from which clutter is taken; may be a memory map.
        seed: of what is drawn.
        kind: name of the kind, so that no two kinds draw alike.
    """

    images: Pixels
    numbers: npt.NDArray[np.int64]
    source: Pixels
    seed: int
    kind: str

    def uniforms(self, count: int) -> npt.NDArray[np.float64]:
        """(n, count) in [0, 1): of each picture's own, whatever block it is in."""
        return uniforms(self.seed, self.kind, self.numbers, count)


class Challenge(ABC):
    """Seeded changes of pictures to which a classifier should be robust.

    The random numbers of a picture (a direction, a place) depend on the seed, the kind and the picture's number only.
    So blocks and threads give the same pixels, and higher severities enlarge the same change.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]

    @final
    def apply(
        self,
        images: Pixels,
        kind: str,
        severity: int,
        seed: int = 0,
        *,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> Pixels:
        """Pictures as `kind` of this severity changes them, (n, height, width, channels) uint8, a new array.

        Args:
            images: (N, height, width, channels) uint8, all pictures; may be a memory map.
            kind: the name of one of `kinds`.
            severity: 0..5; 0 changes nothing.
            seed: >= 0, of what is drawn.
            rows: (n,) positions of the pictures that are wanted; None for all.
        Raises:
            ShapeError: `images` has another dtype or number of axes, or pictures without pixels.
            ParameterError: the kind or the severity is unknown, the seed is negative, or a row is out of range.
        """
        chosen = self._checked(images, kind, severity, seed)
        numbers = np.arange(len(images)) if rows is None else np.asarray(rows, dtype=np.int64)
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(images)):
            raise ParameterError(
                f"rows lie in {numbers.min()}..{numbers.max()}; expected positions in 0..{len(images) - 1}."
            )
        pictures: Pixels = np.array(images if rows is None else images[numbers])  # a copy, never a view of a file
        return self._change(pictures, numbers, images, chosen, severity, seed)

    @final
    def apply_again(
        self,
        pictures: Pixels,
        kind: str,
        severity: int,
        seed: int = 0,
        *,
        numbers: npt.NDArray[np.int64],
        source: Pixels,
    ) -> Pixels:
        """Pictures that were changed before, or come from elsewhere, changed as `apply` would: a new array.

        Args:
            pictures: (n, height, width, channels) uint8.
            kind, severity, seed: as for `apply`.
            numbers: (n,) the positions in `source` by which each is known: what is drawn for it depends on them.
            source: (N, height, width, channels) uint8, all pictures, from which clutter is taken.
        Raises:
            ShapeError, ParameterError: as for `apply`; the pictures have another shape than those of `source`.
        """
        chosen = self._checked(pictures, kind, severity, seed)
        self._checked(source, kind, severity, seed)
        if pictures.shape[1:] != source.shape[1:]:
            raise ShapeError(f"pictures have shape {pictures.shape[1:]}, but those of the source {source.shape[1:]}.")
        return self._change(np.array(pictures), numbers, source, chosen, severity, seed)

    def _change(
        self,
        pictures: Pixels,
        numbers: npt.NDArray[np.int64],
        source: Pixels,
        kind: Kind,
        severity: int,
        seed: int,
    ) -> Pixels:
        """`pictures` themselves, changed in place, a part at a time."""
        if severity == 0 or len(pictures) == 0:
            return pictures
        size = max(1, PART_NUMBERS // int(np.prod(pictures.shape[1:])))
        for start in range(0, len(pictures), size):
            part = slice(start, start + size)
            block = Block(pictures[part], numbers[part], source, seed, kind.name)
            pictures[part] = self._changed(block, kind.amounts[severity - 1])
        return pictures

    @abstractmethod
    def _changed(self, block: Block, amount: float) -> Pixels:
        """The pictures of `block` as `block.kind` changes them; called from several threads at once."""

    def _checked(self, images: Pixels, kind: str, severity: int, seed: int) -> Kind:
        """The kind of that name, once everything about it is in order."""
        if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape[1:]:
            raise ShapeError(
                f"images has shape {images.shape} and dtype {images.dtype}; "
                "expected (N, height, width, channels) uint8, with at least one pixel."
            )
        if severity not in SEVERITIES:
            raise ParameterError(f"severity = {severity}; expected one of 0, 1, 2, 3, 4, 5.")
        if seed < 0:
            raise ParameterError(f"seed = {seed}; expected an integer >= 0.")
        for known in self.kinds:
            if known.name == kind:
                return known
        raise ParameterError(
            f"kind = {kind!r}; expected one of {', '.join(known.name for known in self.kinds)}, "
            f"the kinds of {self.name}."
        )


def uniforms(seed: int, kind: str, numbers: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """(n, count) float64 in [0, 1), a function of the seed, the kind and each picture's number alone.

    A generator would have to be made for each picture, which takes longer than changing it; a hash of a counter
    needs none.

    Source:
        SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    key = int.from_bytes(hashlib.sha256(f"{kind} {seed}".encode()).digest()[:8], "little")
    row = numbers.astype(np.uint64)[:, None]
    counter = row * np.uint64(count) + np.arange(1, count + 1).astype(np.uint64)
    # arrays of uint64 wrap around, as SplitMix64 requires
    z = counter * np.uint64(GOLDEN) + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    drawn: npt.NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn


def to_pixels(values: npt.NDArray[np.float32]) -> Pixels:
    """`values` rounded to the nearest of 0..255, as uint8; they are overwritten."""
    values += np.float32(0.5)
    np.clip(values, 0.0, 255.0, out=values)
    return values.astype(np.uint8)
