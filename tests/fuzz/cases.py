"""What is fuzzed: each target has valid seeds, a mutation of them, and a way to play a mutated one.

To play a case raises an error of linprobe, or returns; anything else is a fault.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Mutate = Callable[[Any, random.Random], Any]
"""A mutated case of a seed."""

Play = Callable[[Path, Any], int]
"""Plays a case in an empty folder; returns the bytes of what was decoded."""


@dataclass(frozen=True)
class Target:
    """One format or message.

    Args:
        name: of the target.
        given: valid cases, or what makes them when they are needed.
        mutate: makes a case of a seed.
        play: reads the case, in a folder of its own.
    """

    name: str
    given: tuple[Any, ...] | Callable[[], tuple[Any, ...]]
    mutate: Mutate
    play: Play

    @cached_property
    def seeds(self) -> tuple[Any, ...]:
        """The valid cases."""
        return self.given if isinstance(self.given, tuple) else self.given()

    def case(self, seed: int, number: int) -> Any:
        """Case `number` of a run with this seed; case 0 is the first seed as it is."""
        chance = random.Random(f"{seed} {self.name} {number}")
        content = self.seeds[number % len(self.seeds)]
        return content if number < len(self.seeds) else self.mutate(content, chance)
