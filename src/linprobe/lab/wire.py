"""The fields of requests and answers: rules of what a request may hold, and arrays on their way to the page.

Requests and answers are frozen dataclasses. `tools/page_types.py` writes their twins in TypeScript from the types here.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.choices import choices
from linprobe.data.planar import PLANAR
from linprobe.errors import ParameterError
from linprobe.shapes import Labels
from linprobe.typed_json import MismatchError, Rule, Within, shortened, value_of

__all__ = [
    "Axes",
    "ClassNumbers",
    "Most",
    "NotNegative",
    "Number",
    "Numbers",
    "OneOf",
    "Packed",
    "PlanarName",
    "Positive",
    "Registered",
    "RunName",
    "Seed",
    "SourceKey",
    "Text",
    "check_labels_of",
    "check_shape",
    "packed",
]

LARGEST = 1e12
"""Absolute value of a number of a request, at most."""

Number: TypeAlias = Annotated[float, Within(-LARGEST, LARGEST)]
NotNegative: TypeAlias = Annotated[float, Within(0.0, LARGEST)]
Positive: TypeAlias = Annotated[float, Within(0.0, LARGEST, open_low=True)]
Seed: TypeAlias = Annotated[int, Within(0, 2**31 - 1)]


@dataclass(frozen=True)
class Text(Rule):
    """A text of at most `longest` characters, none of them half a surrogate pair: no file is called so."""

    longest: int

    def read(self, hint: Any, found: object, key: str) -> str:
        """The text."""
        if not isinstance(found, str) or len(found) > self.longest:
            raise MismatchError.of(key, found, self.expected(hint))
        try:
            found.encode()
        except UnicodeEncodeError:
            raise MismatchError.of(key, found, "a text of whole characters") from None
        return found

    def expected(self, hint: Any) -> str:
        """In words."""
        return f"a text of at most {self.longest} characters"


RunName: TypeAlias = Annotated[str, Text(200)]
"""The name of a run folder, which `run_at` checks."""

SourceKey: TypeAlias = Annotated[str, Text(4096)]
"""What the page calls a source, which `Sources.of` checks."""


@dataclass(frozen=True)
class OneOf(Rule):
    """One of the names, which the page knows as the type `title`."""

    title: str
    names: tuple[str, ...]

    def read(self, hint: Any, found: object, key: str) -> str:
        """The name."""
        if not isinstance(found, str) or found not in self.names:
            raise MismatchError.of(key, found, self.expected(hint))
        return found

    def expected(self, hint: Any) -> str:
        """The names."""
        return f"one of {', '.join(self.names)}"


PlanarName: TypeAlias = Annotated[str, OneOf("PlanarSet", tuple(PLANAR))]
"""A planar set."""


@dataclass(frozen=True)
class Registered(Rule):
    """A name of the table of choices, as it is when the request is read."""

    kind: str

    def read(self, hint: Any, found: object, key: str) -> str:
        """The name."""
        if not isinstance(found, str) or found not in choices(self.kind):
            raise MismatchError.of(key, found, self.expected(hint))
        return found

    def expected(self, hint: Any) -> str:
        """The names."""
        return f"one of {', '.join(choices(self.kind))}"


@dataclass(frozen=True)
class Most(Rule):
    """A list or an object of at most `entries` entries."""

    entries: int

    def read(self, hint: Any, found: object, key: str) -> Any:
        """The entries."""
        if isinstance(found, list | dict) and len(found) > self.entries:
            raise MismatchError(f"{key} has {len(found)} entries; expected at most {self.entries}", key)
        return value_of(hint, found, key)

    def expected(self, hint: Any) -> str:
        """In words."""
        return f"at most {self.entries} entries"


@dataclass(frozen=True)
class Axes:
    """Of an array of an answer: its number of axes; whether NaN or infinity may stand in it, which travel as null."""

    number: int
    gaps: bool = False


@dataclass(frozen=True)
class Numbers(Rule):
    """An array of finite numbers, as lists of lists.

    Args:
        shape: length of each axis; None for 1..most.
        most: see `shape`.
        size: absolute value of a number, at most.
    """

    shape: tuple[int | None, ...]
    most: int
    size: float = 1e9

    def read(self, hint: Any, found: object, key: str) -> npt.NDArray[np.float64]:
        """The array, float64."""
        try:
            if not isinstance(found, list):
                raise TypeError
            array = np.array(found, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise MismatchError.of(key, found, f"{_size(self.shape)} numbers") from None
        fits = array.ndim == len(self.shape) and all(
            (1 <= length <= self.most) if wanted is None else length == wanted
            for length, wanted in zip(array.shape, self.shape, strict=True)
        )
        if not fits:
            raise MismatchError(f"{key} has shape {array.shape}; expected {self.expected(hint)}", key)
        if not (np.abs(array) <= self.size).all():  # NaN is never inside
            raise MismatchError(f"{key} holds a number that is not finite or above {self.size:g} in size", key)
        return array

    def expected(self, hint: Any) -> str:
        """As in "n x 2 numbers, n in 1..400"."""
        return f"{_size(self.shape)} numbers" + (f", n in 1..{self.most}" if None in self.shape else "")


@dataclass(frozen=True)
class ClassNumbers(Rule):
    """A list of 1..most classes, whole numbers >= 0; `check_labels_of` compares them with the number of classes."""

    most: int

    def read(self, hint: Any, found: object, key: str) -> Labels:
        """(n,) int64."""
        array = Numbers((None,), self.most).read(hint, found, key)
        if (array != np.floor(array)).any() or (array < 0).any():
            raise MismatchError.of(key, found, "whole numbers >= 0")
        return array.astype(np.int64)

    def expected(self, hint: Any) -> str:
        """In words."""
        return f"1..{self.most} whole numbers >= 0"


def _size(shape: tuple[int | None, ...]) -> str:
    return " x ".join("n" if length is None else str(length) for length in shape)


def check_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise ParameterError unless the array has this shape."""
    if array.shape != shape:
        raise ParameterError(f"{name} has shape {array.shape}; expected {_size(shape)} numbers.")


def check_labels_of(name: str, labels: Labels, n: int, n_classes: int) -> None:
    """Raise ParameterError unless there are n labels, 0..n_classes-1."""
    check_shape(name, labels, (n,))
    if (labels >= n_classes).any():
        raise ParameterError(f"{name} holds {shortened(int(labels.max()))}; expected classes 0..{n_classes - 1}.")


@dataclass(frozen=True)
class Packed:
    """A grid of bytes, row after row, in base64: of classes 0..255, of heights, or RGB for each pixel."""

    height: int
    width: int
    bytes: str


def packed(grid: npt.NDArray[Any]) -> Packed:
    """A grid (height, width) of numbers 0..255, or (height, width, 3) of colours."""
    data = base64.b64encode(np.ascontiguousarray(grid, dtype=np.uint8).tobytes()).decode("ascii")
    return Packed(int(grid.shape[0]), int(grid.shape[1]), data)
