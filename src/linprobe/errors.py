"""Every exception of linprobe.

    LinprobeError
    ├── DataError                 a file or an array of data cannot be used
    │   ├── SourceError           the source is missing, empty, or of no known format
    │   ├── ArchiveError          an archive with unsafe or unreadable entries
    │   ├── ImageError            pictures that are broken, too large, or of different sizes
    │   ├── FormatError           a CIFAR, IDX or array file that breaks its own format
    │   ├── LabelError            labels out of range, of the wrong length, or of one class only
    │   └── SplitError            a split that cannot be made, or a class without images
    ├── ShapeError                an array whose shape does not fit the others
    ├── ParameterError            an argument outside its range; the message lists the valid choices
    ├── IncompatibleError         two choices that do not work together
    ├── StateError                a state of another optimizer or problem
    ├── ModelFileError            a model file that is damaged, incomplete or of another version
    ├── OutputError               a picture or page that cannot be written
    └── RunError                  a run folder that cannot be written, read or resumed

Every message says what was found, what was expected, and the next step. All but OutputError and RunError are also a
ValueError, which is what scikit-learn raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from linprobe.plain import cut_words, printable

__all__ = [
    "ArchiveError",
    "DataError",
    "FormatError",
    "ImageError",
    "IncompatibleError",
    "LabelError",
    "LinprobeError",
    "ModelFileError",
    "OutputError",
    "ParameterError",
    "RunError",
    "ShapeError",
    "SourceError",
    "SplitError",
    "StateError",
    "walled",
]


class LinprobeError(Exception):
    """Base class of all errors of linprobe. The command line prints them in one line and exits with code 2."""

    def __str__(self) -> str:
        """The message in one line: a name may hold ends of lines, codes that move a cursor, or 4,000 letters."""
        return cut_words(printable(super().__str__()))


class DataError(LinprobeError, ValueError):
    """Data that cannot be used."""


class SourceError(DataError):
    """A source that is missing, empty, or of no known format."""


class ArchiveError(DataError):
    """An archive whose entries are unsafe or unreadable."""


class ImageError(DataError):
    """Pictures that are broken, too large, or of different sizes."""


class FormatError(DataError):
    """A file that breaks the format it claims to have."""


class LabelError(DataError):
    """Labels that are out of range, of the wrong length, or all alike."""


class SplitError(DataError):
    """A train / validation / test split that cannot be made."""


class ShapeError(LinprobeError, ValueError):
    """An array whose shape does not fit the others."""


class ParameterError(LinprobeError, ValueError):
    """An argument outside its range."""


class IncompatibleError(LinprobeError, ValueError):
    """Two choices that do not work together."""


class StateError(LinprobeError, ValueError):
    """A state of another optimizer or problem, which cannot be resumed from."""


class ModelFileError(LinprobeError, ValueError):
    """A model file that is damaged, incomplete or of another version."""


class OutputError(LinprobeError):
    """A picture or page that cannot be written."""


class RunError(LinprobeError):
    """A run folder that cannot be written, read or resumed."""


@contextmanager
def walled(kind: type[LinprobeError], where: object, advice: str) -> Iterator[None]:
    """The outer wall of a reader: what the code inside raises leaves as an error of linprobe.

    Errors of linprobe, MemoryError, KeyboardInterrupt and SystemExit pass. Readers name the faults they know; for
    damaged bytes, the libraries below them raise almost any class, and no list of classes is complete.

    Args:
        kind: the class of the error.
        where: the file or source, for the message.
        advice: what was expected, and the next step.
    """
    try:
        yield
    except (LinprobeError, MemoryError):
        raise
    except Exception as error:
        found = " ".join(str(error).split())[:200] or "no reason given"
        raise kind(f"{where}: found what cannot be read ({type(error).__name__}: {found}), {advice}") from error
