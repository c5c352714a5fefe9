"""JSON values as dataclasses: a value is compared with the type of its field, and what differs is named.

Known types are str, bool, int, float (finite; whole numbers too), None, unions, Literal, enumerations by name, and
object for any value. Lists are `tuple[X, ...]` or `tuple[X, Y]`; objects are `Mapping[str, X]` or a dataclass. In
`Annotated[X, rule]` a `Rule` such as `Within(low, high)` says what else must hold.
"""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from linprobe.errors import LinprobeError

__all__ = [
    "Closed",
    "MismatchError",
    "Rule",
    "Within",
    "dataclass_from",
    "hints_of",
    "inside",
    "shortened",
    "value_of",
]

Record = TypeVar("Record")

ENORMOUS = 1e15
"""An upper end from which on it is not worth a word in a message."""


class Closed:
    """Base of records whose JSON object may hold no key that is not a field."""


class Rule(ABC):
    """What must hold of a value besides its type; it stands in `Annotated[X, rule]`."""

    @abstractmethod
    def read(self, hint: Any, found: object, key: str) -> Any:
        """`found` as a value of the type `hint` that the rule allows.

        Raises:
            MismatchError: it is none.
        """

    @abstractmethod
    def expected(self, hint: Any) -> str:
        """What `read` accepts, in words."""


@dataclass(frozen=True)
class Within(Rule):
    """The range of a number, both ends included; with `open_low` all but the lower one."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False

    def read(self, hint: Any, found: object, key: str) -> Any:
        """The number, of the type `hint`, in the range."""
        try:
            value = value_of(hint, found, key)
        except MismatchError:
            raise MismatchError.of(key, found, self.expected(hint)) from None
        if self.low <= value <= self.high and not (self.open_low and value == self.low):
            return value
        raise MismatchError.of(key, found, self.expected(hint))

    def expected(self, hint: Any) -> str:
        """As in "a whole number 1..10"."""
        low, high = (str(end) if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high))
        if self.high < ENORMOUS and not self.open_low:
            return f"{_expected(hint)} {low}..{high}"
        most = f" and <= {high}" if self.high < ENORMOUS else ""
        return f"{_expected(hint)} {'>' if self.open_low else '>='} {low}{most}"


class MismatchError(Exception):
    """A JSON value that is not what it should be; the message says what was found and what was expected.

    Args:
        message: with the key in front.
        key: where the value stands.
    """

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key

    @classmethod
    def of(cls, key: str, found: object, expected: str) -> MismatchError:
        """The error for a value, MISSING where there is none, and what was expected in words."""
        text = "missing" if found is MISSING else shortened(found)
        return cls(f"{key or 'the file'} is {text}; expected {expected}", key)


_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong, _SHORT.maxlevel = 60, 60, 40, 2


def shortened(found: object) -> str:
    """A value as a message shows it: some sixty letters at most, on one line."""
    return _SHORT.repr(found)


def dataclass_from(kind: type[Record], found: object, key: str = "") -> Record:
    """The dataclass `kind` with the values that a JSON object holds under the names of its fields.

    Args:
        kind: the dataclass.
        found: a JSON value.
        key: where it stands in the file; "" for the whole of it.
    Raises:
        MismatchError: it is no object, a value is not of the type of its field, or is missing and has no default; or
            the record is `Closed` and there is a key that it does not have.
    """
    if not isinstance(found, dict):
        raise MismatchError.of(key, found, "an object")
    if issubclass(kind, Closed):
        names = [each.name for each in fields(kind) if each.init]  # type: ignore[arg-type]  # as below
        for name in found:
            if name not in names:
                expected = f"expected one of {', '.join(names)}" if names else "expected an empty object"
                raise MismatchError(f"{inside(key, name)} is no known field; {expected}", inside(key, name))
    values: dict[str, Any] = {}  # of the types of the fields, which value_of checks
    for each in fields(kind):  # type: ignore[arg-type]  # a dataclass, which TypeVar cannot say
        if not each.init:
            continue
        if each.name not in found and (each.default is not MISSING or each.default_factory is not MISSING):
            continue
        hint = hints_of(kind)[each.name]  # type: ignore[arg-type]  # a type is hashable
        values[each.name] = value_of(hint, found.get(each.name, MISSING), inside(key, each.name))
    try:
        return kind(**values)
    except LinprobeError as error:  # from its __post_init__
        inner = f"{key}." if key else ""
        raise MismatchError(f"{inner}{error}", inner) from error


def value_of(hint: Any, found: object, key: str) -> Any:
    """`found` as a value of the type `hint`; lists become tuples, whole numbers floats.

    Raises:
        MismatchError: it is not of that type.
    """
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return arguments[1].read(arguments[0], found, key)
    if kind in (Union, UnionType):
        return _one_of(arguments, found, key)
    if hint is object:
        return found
    if kind is tuple and isinstance(found, list | tuple):
        if arguments[1:] == (...,):
            return tuple(value_of(arguments[0], item, f"{key}[{i}]") for i, item in enumerate(found))
        if len(found) == len(arguments):
            pairs = enumerate(zip(arguments, found, strict=True))
            return tuple(value_of(argument, item, f"{key}[{i}]") for i, (argument, item) in pairs)
    elif kind is Mapping and isinstance(found, dict):
        return {name: value_of(arguments[1], item, inside(key, str(name))) for name, item in found.items()}
    elif kind is Literal and isinstance(found, str) and found in arguments:
        return found
    elif isinstance(hint, type):
        return _of_type(hint, found, key)
    raise MismatchError.of(key, found, _expected(hint))


def _of_type(hint: type, found: object, key: str) -> Any:
    """`found` as a number, text, flag, null, member of an enumeration, or dataclass."""
    if is_dataclass(hint):
        return dataclass_from(hint, found, key)
    if issubclass(hint, Enum) and isinstance(found, str) and found.upper() in hint.__members__:
        return hint[found.upper()]
    if hint is float and isinstance(found, int | float) and not isinstance(found, bool):
        try:
            number = float(found)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    elif hint in (str, bool, int, NoneType) and type(found) is hint:
        return found
    raise MismatchError.of(key, found, _expected(hint))


def _one_of(hints: Sequence[Any], found: object, key: str) -> Any:
    """`found` as the first of the types that it is; of one that fails inside, the error names the place."""
    deepest: MismatchError | None = None
    for hint in hints:
        try:
            return value_of(hint, found, key)
        except MismatchError as error:
            if error.key != key and deepest is None:
                deepest = error
    raise deepest or MismatchError.of(key, found, _expected(Union[tuple(hints)]))  # noqa: UP007 - of a tuple


def _expected(hint: Any) -> str:
    """A type in words."""
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return str(arguments[1].expected(arguments[0]))
    if kind in (Union, UnionType):
        words = [_expected(argument) for argument in arguments]
        return " or ".join(dict.fromkeys(word for word in words if word))
    if kind is Literal:
        return " or ".join(map(repr, arguments))
    if kind is tuple:
        return "a list" if arguments[1:] == (...,) else f"a list of {len(arguments)} values"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(name.lower() for name in hint.__members__)
    names = {str: "text", float: "a finite number", int: "a whole number", bool: "true or false", NoneType: "null"}
    return names.get(hint, "an object" if kind is Mapping or is_dataclass(hint) else "")


def inside(key: str, name: str) -> str:
    """The key of the entry `name` of an object."""
    shown = shortened(name) if len(name) > 40 or not name.isprintable() else name
    return f"{key}.{shown}" if key else shown


@cache
def hints_of(of: Any) -> dict[str, Any]:  # a type may be any object: a class, a union, None
    """The types of the fields of a dataclass, or of the arguments of a function."""
    return get_type_hints(of, include_extras=True)
