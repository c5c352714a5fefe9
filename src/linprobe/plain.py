"""Plain values: what JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """`value` as dicts, lists, strings and numbers; NaN and infinity, which JSON does not have, become None.

    NumPy arrays and numbers are unpacked at any depth. A dataclass becomes a dict of its fields. A value of another
    type is returned unchanged.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if hasattr(value, "tolist"):  # NumPy, without importing it here
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
