"""The kinds of value that options take: what is read from text, and how a value that cannot be used is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

__all__ = ["Grid", "ImageSize", "LearningRate", "Named", "NamedList", "Number", "Severities"]


class ImageSize(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """`HxW` or one number for both, in pixels, as (height, width)."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(height, width), both at least 1."""
        found = re.fullmatch(r"(\d+)(?:[xX×](\d+))?", str(value).strip())
        size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if min(size) < 1:
            self.fail(f"{value!r}; expected height x width in pixels, as in 32x32", param, ctx)
        return size


class LearningRate(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """A positive number, or `auto`."""

    name = "F|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The number, or "auto"."""
        if value == "auto":
            return "auto"
        try:
            rate = float(value)
        except ValueError:
            rate = float("nan")
        if not 0 < rate < float("inf"):
            self.fail(f"{value!r}; expected a number > 0, or auto", param, ctx)
        return rate


class Grid(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """Values of reg, or learning rates: `LOW:HIGH:COUNT` or `A,B,...`.

    Args:
        rates: whether they are learning rates.
    """

    name = "LOW:HIGH:COUNT"

    def __init__(self, *, rates: bool = False) -> None:
        self.rates = rates

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The values, ascending."""
        if isinstance(value, tuple):
            return value
        from linprobe.errors import ParameterError
        from linprobe.optimizers.path import rate_grid, reg_grid

        try:
            return rate_grid(str(value)) if self.rates else reg_grid(str(value))
        except ParameterError as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A number in a range, infinity and NaN left out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r}; expected a finite number", param, ctx)
        return number


class Named(click.Choice):  # type: ignore[type-arg]  # generic only since click 8.2
    """A choice of a kind of `linprobe.choices`, read when a value is parsed or a help is shown.

    Args:
        kind: a name in `linprobe.choices.KINDS`.
        also: further names that are accepted, such as "1/t" for "inverse".
    """

    def __init__(self, kind: str, also: tuple[str, ...] = ()) -> None:
        self.kind, self.also, self.case_sensitive = kind, also, True

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]  # an attribute in click
        """The names, in the order in which they are shown."""
        from linprobe.choices import choices

        return (*choices(self.kind), *self.also)


class NamedList(Named):
    """Choices of a kind with commas between them, each once.

    Args:
        kind: a name in `linprobe.choices.KINDS`.
        also: further names for some of them.
    """

    name = "NAME,..."

    def __init__(self, kind: str, also: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(kind, tuple(also))
        self.other_names = also

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names, in their order."""
        if isinstance(value, tuple):
            return value
        given = [str(super(NamedList, self).convert(name.strip(), param, ctx)) for name in str(value).split(",")]
        names = [self.other_names.get(name, name) for name in given]
        for i, name in enumerate(names):
            if name in names[:i]:
                self.fail(f"{given[i]!r} is given twice; expected each one once", param, ctx)
        return tuple(names)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """What the help shows for a value."""
        return "NAME,..."


class Severities(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """`A:B`, `A,B,...` or one number, of 0..5."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The severities, ascending."""
        text = str(value).replace(" ", "")
        if found := re.fullmatch(r"([0-5]):([0-5])", text):
            severities = tuple(range(int(found[1]), int(found[2]) + 1))
        elif re.fullmatch(r"[0-5](,[0-5])*", text):
            severities = tuple(sorted({int(one) for one in text.split(",")}))
        else:
            severities = ()
        if not severities:
            self.fail(f"{value!r}; expected severities of 0..5, as in 0:5 or 1,3,5", param, ctx)
        return severities
