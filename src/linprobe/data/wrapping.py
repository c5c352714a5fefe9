"""Folders that only hold another one: a data set is looked for inside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["data_sets_in", "files_of", "folders_in", "wrapped_in"]

MOST_LISTED = 100
"""Folders and files that are looked at for a message, at most."""

MOST_WRAPS = 8
"""Folders around a data set that are looked through, at most: each of them is shown to every reader."""


def wrapped_in(path: Path) -> Iterator[Path]:
    """The only visible folder inside `path`, the only one inside that, and so on: `MOST_WRAPS` at most.

    It ends at a folder that holds no visible folder, or several.
    """
    seen = {os.path.realpath(path)}
    while len(seen) <= MOST_WRAPS and len(folders := folders_in(path)) == 1:
        path = folders[0]
        if os.path.realpath(path) in seen:  # a link to a folder around it
            return
        seen.add(os.path.realpath(path))
        yield path


def data_sets_in(path: Path, accepted: Callable[[Path], bool]) -> list[Path]:
    """The folders inside `path` that are, or wrap, something that is `accepted`."""
    return [
        folder
        for folder in folders_in(path)[:MOST_LISTED]
        if accepted(folder) or any(accepted(inner) for inner in wrapped_in(folder))
    ]


def files_of(path: Path) -> list[Path]:
    """The visible files of a folder that holds no visible folder; else none."""
    return [] if folders_in(path) else _visible(path, os.DirEntry.is_file)[:MOST_LISTED]


def folders_in(path: Path) -> list[Path]:
    """The visible folders inside a folder, sorted; none where it cannot be listed."""
    return _visible(path, os.DirEntry.is_dir)


def _visible(path: Path, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Path]:
    """The visible entries of a folder that are `wanted`, sorted; none where it cannot be listed."""
    from linprobe.data.folder import is_hidden

    try:
        with os.scandir(path) as listed:
            return sorted(Path(entry.path) for entry in listed if wanted(entry) and not is_hidden(entry.name))
    except OSError:
        return []
