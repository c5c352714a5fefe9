"""Which Parquet files a source consists of, and the split of each: by folders, or by the names of the files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linprobe.data.names import split_word, splits_named
from linprobe.data.stored import files_in
from linprobe.data.wrapping import folders_in
from linprobe.errors import FormatError, SplitError
from linprobe.plain import few

__all__ = ["PARTS", "SUFFIXES", "PartFile", "find_files", "has_parquet", "missing_note"]

SUFFIXES = (".parquet", ".parq", ".pq")
"""Ends of the names of Parquet files, in lower case."""

PARTS = ("train", "validation", "test")
"""The splits, in the order of the rows."""

MOST_INNER = 8
"""Folders inside a folder that are searched for Parquet files, at most: a folder of classes may hold thousands."""

SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.\w+")
"""The name of a file that is one of several: what they share, its number from 0, and how many there are."""


@dataclass(frozen=True)
class PartFile:
    """One file, and the split by its name or its folder; None if neither names one."""

    path: Path
    part: str | None


def has_parquet(folder: Path) -> bool:
    """Whether a folder is a source of Parquet files: they lie right in it, or in the folders of its splits.

    Class folders with a Parquet file beside them are not: the file describes the pictures.
    """
    folders = folders_in(folder)
    if _parquet_files(folder):
        return not folders or any(map(_is_of_parquet, folders[:MOST_INNER]))
    named = splits_named([inside.name for inside in folders])
    return any(_is_of_parquet(inside) for inside in folders if inside.name in named)


def find_files(path: Path) -> list[PartFile]:
    """The files to read, split after split, sorted by name within each.

    Raises:
        FormatError: Parquet files lie both in the folders of splits and elsewhere.
        SplitError: the splits are not clear, or there is no train.
    """
    if not path.is_dir():
        return [PartFile(path, None)]
    own, folders = _parquet_files(path), [folder for folder in folders_in(path) if not folder.name.startswith("_")]
    files = _by_name(path, own) if own else _by_folder(path, folders)
    if own and (other := [folder for folder in folders if _is_of_parquet(folder)]):
        raise FormatError(
            f"{path}: found {own[0].name} and the folder {other[0].name}; expected all files in the folders of "
            "their splits, or none. Move the files."
        )
    parts = [file.part for file in files]
    if None not in parts and "train" not in parts:
        raise SplitError(
            f"{path}: found {', '.join(p for p in PARTS if p in parts)} but no train; add the files of the training "
            "split, or give the path of one file."
        )
    return sorted(files, key=lambda file: (PARTS.index(file.part or "train"), file.path.name))


def missing_note(files: Sequence[Path]) -> tuple[str, ...]:
    """A sentence on each set of files that is not whole, by their numbers: train-00001-of-00004.parquet."""
    found: dict[tuple[str, int], set[int]] = {}
    for file in files:
        if match := SHARD.fullmatch(file.name):
            found.setdefault((str(file.parent / match[1]), int(match[3])), set()).add(int(match[2]))
    return tuple(
        f"found {len(numbers)} of the {n} files {Path(name).name}-*-of-{n:05d}: the others are missing."
        for (name, n), numbers in found.items()
        if len(numbers) < n
    )


def _parquet_files(folder: Path) -> list[Path]:
    """The Parquet files directly in `folder`, without Spark's _metadata and hidden files."""
    return [f for f in files_in(folder) if f.suffix.lower() in SUFFIXES and not f.name.startswith((".", "_"))]


def _is_of_parquet(folder: Path) -> bool:
    """Whether a folder holds Parquet files and no folders, or folders that hold Parquet files."""
    inside = folders_in(folder)
    if inside:
        return any(map(_parquet_files, inside[:MOST_INNER]))
    return bool(_parquet_files(folder))


def _by_name(path: Path, own: list[Path]) -> list[PartFile]:
    """The files right in the folder of the source, with the splits of their names."""
    words = [split_word(file.stem) for file in own]
    if None in words and any(words):
        other, named = own[words.index(None)].name, next(f.name for f, word in zip(own, words, strict=True) if word)
        raise SplitError(
            f"{path}: found {other} and {named}; expected the word of a split in the name of each file, as in "
            "test-0.parquet, or in none. Rename the files."
        )
    return [PartFile(file, None if None in words else word) for file, word in zip(own, words, strict=True)]


def _by_folder(path: Path, folders: list[Path]) -> list[PartFile]:
    """The files in the folders of the splits. No folder that may be meant is left out without a word."""
    named = splits_named([folder.name for folder in folders])
    if other := [folder.name for folder in folders if folder.name not in named and _is_of_parquet(folder)]:
        raise FormatError(
            f"{path}: found Parquet files in {few(other)} and in {few(sorted(named))}; expected the folders train, val "
            "and test. Rename the folder, or move it elsewhere."
        )
    for part in PARTS:
        same = [name for name, its in named.items() if its == part]
        if len(same) > 1:
            raise SplitError(f"{path}: {few(same, separator=' and ')} both mean {part}; keep one of them.")
    files: list[PartFile] = []
    for folder in folders:
        if folder.name not in named:
            continue
        part, inside = named[folder.name], _parquet_files(folder)
        if not inside or folders_in(folder):
            found = f"the folder {folders_in(folder)[0].name}" if folders_in(folder) else "no Parquet file"
            raise SplitError(
                f"{folder}: found {found} in the folder of the {part} split; expected Parquet files right in it, as in "
                "the other splits. Move the files, or take the folder out of the source."
            )
        for file in inside:
            word = split_word(file.stem)
            if word not in (None, part):
                raise SplitError(
                    f"{file}: lies in the folder of the {part} split, but its name says {word}. Move or rename it."
                )
        files += [PartFile(file, part) for file in inside]
    return files
