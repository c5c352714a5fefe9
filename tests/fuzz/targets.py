"""All targets by name."""

from __future__ import annotations

from functools import cache

from . import corrupted, lab, models, networks, sources
from .cases import Target


@cache
def _all() -> dict[str, Target]:
    return {each.name: each for room in (sources, corrupted, networks, models, lab) for each in room.targets()}


def names() -> list[str]:
    """Names of all targets."""
    return list(_all())


def target(name: str) -> Target:
    """The target of that name."""
    return _all()[name]
