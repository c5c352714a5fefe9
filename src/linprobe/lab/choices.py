"""The table of choices as the page gets it: without what a page may not name, and with a join that people use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from linprobe.choices import KINDS, Choice, choices, table
from linprobe.lab.wire import OneOf

__all__ = ["Table", "features", "page_table"]

Table: TypeAlias = Mapping[Annotated[str, OneOf("Kind", tuple(KINDS))], tuple[Choice, ...]]
"""Kind -> its choices in order."""

JOINED = ("hog", "color")
"""Feature maps that are offered as a join, too."""


def features() -> dict[str, Choice]:
    """The features that a page offers: none with a file, which only the command line may name; and one join."""
    known = choices("features")
    found = {name: one for name, one in known.items() if not any(p.name == "file" for p in one.parameters)}
    name = "+".join(JOINED)
    found[name] = Choice(name, " + ".join(known[part].title for part in JOINED), meaning="both, side by side")
    return found


def page_table() -> Table:
    """Kind -> its choices, as `linprobe.choices.table`; each page gets it when it connects."""
    return {**table(), "features": tuple(features().values())}
