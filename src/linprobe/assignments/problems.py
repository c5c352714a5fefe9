"""Small problems on which a student's functions are tried, and what any function must keep to."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from linprobe.assignments.verdict import Wrong
from linprobe.shapes import Floats, Labels

__all__ = ["Problem", "check_unchanged", "has_loop", "problems"]

LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
"""What a loop is to Python's parser."""

HIDDEN = {"map", "vectorize", "apply_along_axis", "fromiter", "frompyfunc", "apply_over_axes"}
"""Calls that are loops by another name."""


@dataclass(frozen=True)
class Problem:
    """Where a function is tried.

    Attributes:
        words: what the verdict calls it.
        W, b, X, y, reg: its arguments.
        generic: whether different formulas give different results here, so that a mistake can be told.
    """

    words: str
    W: Floats
    b: Floats
    X: Floats
    y: Labels
    reg: float
    generic: bool = False

    def arguments(self) -> tuple[Any, ...]:
        """(W, b, X, y, reg)."""
        return self.W, self.b, self.X, self.y, self.reg

    def moved(self, name: str, index: tuple[int, ...], by: float) -> Problem:
        """With one number of W or b changed."""
        part = getattr(self, name).copy()
        part[index] += by
        return replace(self, **{name: part})


def problems() -> Iterator[Problem]:
    """From the ordinary to the odd: a wrong formula shows in the first, and is told there."""
    random = np.random.default_rng(0)

    def made(words: str, n: int, n_classes: int, d: int, reg: float, scale: float = 1.0, **more: Any) -> Problem:
        W, b = scale * random.normal(size=(n_classes, d)), random.normal(size=n_classes)
        y = random.integers(0, n_classes, n)
        return Problem(words, W, b, random.normal(size=(n, d)), y, reg, **more)

    yield made("7 images of 4 classes, reg 0.3", 7, 4, 5, 0.3, generic=True)
    yield made("1 image of 2 classes, reg 0", 1, 2, 3, 0.0)
    yield made("12 images of 5 classes, of which some are missing", 12, 5, 2, 0.01)
    yield made("scores of 1,000 and more", 6, 3, 4, 0.0, scale=1000.0)


def check_unchanged(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """What the function returns for copies of the arguments.

    Raises:
        Wrong: it changes one of them.
    """
    given = [np.copy(one) if isinstance(one, np.ndarray) else one for one in arguments]
    found = function(*given)
    names = list(inspect.signature(function).parameters)
    for name, before, after in zip(names, arguments, given, strict=False):
        if isinstance(before, np.ndarray) and not np.array_equal(before, after):
            raise Wrong(f"it changes {name}, which the caller still needs; work on a copy")
    return found


def has_loop(function: Callable[..., Any]) -> int | None:
    """The line of the file in which a function has its first loop; None without one."""
    lines, first = inspect.getsourcelines(function)
    for node in ast.walk(ast.parse(textwrap.dedent("".join(lines)))):
        called = getattr(node, "func", None)
        name = getattr(called, "attr", getattr(called, "id", ""))
        if isinstance(node, LOOPS) or (isinstance(node, ast.Call) and name in HIDDEN):
            return first + node.lineno - 1
    return None
