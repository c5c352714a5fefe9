"""The arrays of a `State`, checked at the door of the optimizer that resumes from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.errors import StateError
from linprobe.objective import Objective
from linprobe.optimizers.base import State

__all__ = ["ArrayOfState", "checked_arrays", "weights_of_state"]

ArrayOfState: TypeAlias = tuple[tuple[int, ...], npt.DTypeLike]
"""Shape and dtype of an array of a state."""


def weights_of_state(objective: Objective, dtype: npt.DTypeLike = np.float64) -> dict[str, ArrayOfState]:
    """W and b, which every state has."""
    K, D = objective.n_classes, objective.n_features
    return {"W": ((K, D), dtype), "b": ((K,), dtype)}


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
    arrays = state.arrays
    for group in (*((name,) for name in required), *together):
        missing = [name for name in group if name not in arrays]
        if missing and (len(group) == 1 or len(missing) < len(group)):
            raise StateError(
                f"the state has no array {missing[0]!r}; it has {', '.join(sorted(arrays)) or 'none'}. "
                "Resume with the optimizer that made it, or begin anew."
            )
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
            "Resume from an earlier state, or begin anew."
        )
    return np.ascontiguousarray(array, dtype=dtype)
