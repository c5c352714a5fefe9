"""Typed states: what a search saves, checked in one place when it is resumed.

`State` is the form in a file: numbers and arrays by name. Each optimizer has a frozen record of its own, derived from
`SavedState`, with a field for each name. `from_state` checks and converts, `to_state` writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from linprobe.errors import StateError
from linprobe.objective import Objective
from linprobe.optimizers.base import State
from linprobe.shapes import Floats

__all__ = [
    "ArrayOfState",
    "SavedState",
    "checked_arrays",
    "require_arrays",
    "saved_array",
    "saved_number",
    "sizes_of",
    "weights_of_state",
]

ArrayOfState: TypeAlias = tuple[tuple[int, ...], npt.DTypeLike]
"""Shape and dtype of an array of a state."""

Saved = TypeVar("Saved", bound="SavedState")


@dataclass(frozen=True)
class _ArrayField:
    """What is known of an array field: its name in a file, its shape in words of `sizes_of`, how it is checked."""

    key: str
    shape: tuple[str, ...]
    dtype: npt.DTypeLike | None
    required: bool
    group: str
    may_overflow: bool


@dataclass(frozen=True)
class _NumberField:
    """What is known of a number field: its name in a file, its type, and its range, both ends included."""

    key: str
    kind: type
    low: float
    high: float


def saved_array(
    *shape: str,
    dtype: npt.DTypeLike | None = None,
    required: bool = False,
    group: str = "",
    may_overflow: bool = False,
    key: str = "",
) -> Any:
    """A field of a `SavedState` that is an array, None where it is absent.

    Args:
        shape: a key of the sizes for each axis, such as "K", "D".
        dtype: the dtype that the search computes with; None for the one given to `from_state`.
        required: whether a state without it is refused.
        group: fields with the same word are all there or none.
        may_overflow: whether infinities are allowed, as in sums of squares of gradients.
        key: its name in a file, where that is not the name of the field.
    """
    spec = _ArrayField(key, shape, dtype, required, group, may_overflow)
    return field(default=None, metadata={"array": spec})


def saved_number(default: float = math.nan, *, low: float = -math.inf, high: float = math.inf, key: str = "") -> Any:
    """A field of a `SavedState` that is a number: a float or an int, by its default.

    A state without it has the default. NaN and infinities stand for "not known yet", and are not written.

    Args:
        low, high: the range of a finite value.
        key: its name in a file, where that is not the name of the field.
    """
    return field(default=default, metadata={"number": _NumberField(key, type(default), low, high)})


def saved_flag(default: bool | None = None, *, key: str = "") -> Any:
    """A field of a `SavedState` that is true or false, 1 or 0 in a file; None stands for "not known yet"."""
    return field(default=default, metadata={"number": _NumberField(key, bool, 0.0, 1.0)})


def sizes_of(objective: Objective) -> dict[str, int]:
    """The sizes that every problem has: N images, D features, K classes, and J = D + 1 with the bias."""
    N, D, K = objective.n_images, objective.n_features, objective.n_classes
    return {"N": N, "D": D, "K": K, "J": D + 1}


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """What a search saves between two rows of its trace. Subclasses add the fields of their method.

    Attributes:
        epoch: iterations, rounds or epochs done.
        W, b: (K, D) and (K,), the weights of the row.
        seconds: of the search so far.
        passes: over the training images so far.
    """

    epoch: int = 0
    W: Floats = saved_array("K", "D", required=True)
    b: Floats = saved_array("K", required=True)
    seconds: float = saved_number(0.0, low=0.0)
    passes: float = saved_number(0.0, low=0.0)

    @classmethod
    def from_state(
        cls: type[Saved], state: State, sizes: Mapping[str, int], dtype: npt.DTypeLike = np.float64
    ) -> Saved:
        """The record of `state`. Names that it does not know are ignored: they belong to another optimizer.

        Arrays become C-contiguous in the dtype of their field. An array that is so already is shared, not copied.

        Args:
            sizes: of the axes, as from `sizes_of`.
            dtype: of the arrays whose field names none.
        Raises:
            StateError: a required array is missing; an array has another shape, is neither float32 nor float64, or is
                not finite; a number is not finite, not whole where it counts, or out of range.
        """
        known: dict[str, ArrayOfState] = {}
        groups: dict[str, list[str]] = {}
        required, overflow, names = [], [], {}
        for each in fields(cls):
            if (spec := each.metadata.get("array")) is None:
                continue
            key = spec.key or each.name
            names[key] = each.name
            known[key] = tuple(sizes[axis] for axis in spec.shape), dtype if spec.dtype is None else spec.dtype
            if spec.required:
                required.append(key)
            if spec.group:
                groups.setdefault(spec.group, []).append(key)
            if spec.may_overflow:
                overflow.append(key)
        together = [tuple(keys) for keys in groups.values()]
        arrays = checked_arrays(state, known, required=required, together=together, may_overflow=overflow)
        # the types of the fields differ: `checked_arrays` and `_checked_number` check each
        values: dict[str, Any] = {names[key]: array for key, array in arrays.items()}
        for each in fields(cls):
            if (number := each.metadata.get("number")) is not None:
                key = number.key or each.name
                if key in state.numbers:
                    values[each.name] = _checked_number(key, state.numbers[key], each.default, number)
        return cls(epoch=state.epoch, **values)

    @classmethod
    def wrote(cls, state: State) -> bool:
        """Whether the optimizer of this record saved `state`: it has every number that only the record always writes.

        Those are its own numbers with a finite default. Always true for a record that has none.
        """
        shared = {each.name for each in fields(SavedState)}
        numbers = {
            number.key or each.name
            for each in fields(cls)
            if (number := each.metadata.get("number")) is not None
            and each.name not in shared
            and isinstance(each.default, int | float)
            and math.isfinite(each.default)
        }
        return numbers <= state.numbers.keys()

    def to_state(self) -> State:
        """The form in a file: the arrays that are there, shared, and the finite numbers as floats."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        numbers: dict[str, float] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None:
                continue
            if (spec := each.metadata.get("array")) is not None:
                arrays[spec.key or each.name] = value
            elif (number := each.metadata.get("number")) is not None and math.isfinite(value):
                numbers[number.key or each.name] = float(value)
        return State(self.epoch, arrays, numbers)


def _checked_number(name: str, value: Any, default: Any, spec: _NumberField) -> Any:
    """The number, of the type of its field.

    Raises:
        StateError: it is no number of that type within its range.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        right = False
    else:
        if math.isfinite(number):
            right = spec.low <= number <= spec.high and (spec.kind is float or number == math.floor(number))
        else:
            if spec.kind is float and not math.isfinite(default):
                return default
            right = False
    if not right:
        expected = {float: "a number", int: "a whole number", bool: "0 or 1"}[spec.kind]
        if spec.kind is not bool and (spec.low > -math.inf or spec.high < math.inf):
            expected += f" in {spec.low:g}..{spec.high:g}"
        raise StateError(
            f"the state's number {name!r} is {value!r}; expected {expected}. "
            "Resume from an earlier state, or start from the beginning."
        )
    return spec.kind(number)


def weights_of_state(objective: Objective, dtype: npt.DTypeLike = np.float64) -> dict[str, ArrayOfState]:
    """W and b, which every state has."""
    K, D = objective.n_classes, objective.n_features
    return {"W": ((K, D), dtype), "b": ((K,), dtype)}


def require_arrays(state: State, names: Iterable[str]) -> None:
    """Nothing, if the state has all these arrays.

    Raises:
        StateError: one is missing.
    """
    for name in names:
        if name not in state.arrays:
            raise StateError(
                f"the state has no array {name!r}; it has {', '.join(sorted(state.arrays)) or 'none'}. "
                "Resume with the optimizer that made it, or start from the beginning."
            )


def checked_arrays(
    state: State,
    known: Mapping[str, ArrayOfState],
    *,
    required: Iterable[str] = ("W", "b"),
    together: Iterable[tuple[str, ...]] = (),
    may_overflow: Iterable[str] = (),
) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the state that the optimizer knows, C-contiguous and in the dtypes that it computes with.

    An array that is so already is not copied. Arrays of other names are left out: they belong to another optimizer,
    whose weights may be a start all the same.

    Args:
        state: to resume from, or to begin at.
        known: shape and dtype of each array that the optimizer may find.
        required: names that must be there.
        together: groups of names of which all are there or none.
        may_overflow: names of arrays that may hold infinities, such as sums of squares of gradients.
    Raises:
        StateError: a name is missing; an array has another shape, is neither float32 nor float64, or is not finite.
    """
    for group in (*((name,) for name in required), *together):
        if len(group) == 1 or any(name in state.arrays for name in group):
            require_arrays(state, group)
    arrays = state.arrays
    overflow = set(may_overflow)
    return {
        name: _checked(name, arrays[name], *expected, may_overflow=name in overflow)
        for name, expected in known.items()
        if name in arrays
    }


def _checked(
    name: str, array: npt.NDArray[Any], shape: tuple[int, ...], dtype: npt.DTypeLike, *, may_overflow: bool
) -> npt.NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise StateError(f"the state's array {name!r} is {found}; expected float32 or float64.")
    if array.shape != shape:
        raise StateError(
            f"the state's array {name!r} has shape {array.shape}; expected {shape} for this problem. "
            "Was the state made with other images, features or classes?"
        )
    if not may_overflow and not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise StateError(
            f"the state's array {name!r} holds {array[place]} at {list(place)}; expected finite numbers. "
            "Resume from an earlier state, or start from the beginning."
        )
    return np.ascontiguousarray(array, dtype=dtype)
