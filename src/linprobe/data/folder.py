"""A folder of class folders, with or without train, validation and test above them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from linprobe.data.base import Dataset, ImageSet, Reader, ReadOptions, SkippedImage
from linprobe.data.budget import LABEL_CHARACTERS, Budget
from linprobe.data.cache import Decoded, Filling, cache_key, load
from linprobe.data.decode import PictureFiles, decode_all, read_file
from linprobe.data.names import seen_name, split_named, splits_named
from linprobe.errors import ImageError, LabelError, SourceError, SplitError
from linprobe.plain import few, printable
from linprobe.shapes import Pixels

__all__ = ["FolderReader", "Layout", "arrange", "is_hidden", "pictures_below", "read_class_folders"]

_PICTURE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
"""Ends of file names, in lower case, that make a file outside the class folders an error; other files are ignored."""

_HIDDEN = {
    "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found",
    "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle",
}  # fmt: skip
"""Names, in lower case, of files and folders that operating systems and network drives add: @eaDir holds the thumbnails
of a Synology drive."""

_ALIKE = 0.5
"""Least share of the subfolders of two "classes" that both have, for a warning that the classes may be splits."""

_EXPECTED = "expected a folder per class with its pictures inside, or train/, val/ and test/ with class folders"
"""The layouts, for messages."""


@dataclass(frozen=True)
class Layout:
    """The split and class of each picture.

    Args:
        class_names: K names, sorted.
        splits: name of each split and the number of its pictures.
        files: all pictures, split after split, class after class, sorted, as positions in the given names.
        labels: the class of each of `files`.
        notes: as in `Dataset`.
    """

    class_names: tuple[str, ...]
    splits: tuple[tuple[str, int], ...]
    files: tuple[int, ...]
    labels: tuple[int, ...]
    notes: tuple[str, ...] = ()


class FolderReader(Reader):
    """Reads a folder of class folders. Pictures may lie deeper inside; hidden files are ignored."""

    name: ClassVar[str] = "folder"

    def accepts(self, source: str, path: Path | None) -> bool:
        """Any folder that no earlier reader accepts."""
        return path is not None and path.is_dir()

    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        """The pictures by split. Raises SourceError, LabelError, SplitError or ImageError."""
        assert path is not None  # as `accepts` demands
        folders: set[str] = set()
        found: list[tuple[str, int, int]] = []
        _walk(path, "", folders, found, (os.path.realpath(path),), Budget(source, None, SourceError))
        found.sort()
        # The key covers folders too: an empty folder added later is a class without pictures, which is an error.
        parts = (os.path.realpath(path), found, sorted(folders), options.image_size, options.on_bad_image)
        key = cache_key(self.name, *parts)

        def arranged() -> tuple[Layout, PictureFiles]:
            names = [name for name, _, _ in found]
            layout = arrange(names, folders, source, options.to_train)
            return layout, _FolderFiles(path, [names[i] for i in layout.files])

        return read_class_folders(source, self.name, key, options, arranged)


@dataclass
class _FolderFiles(PictureFiles):
    root: Path
    names: Sequence[str]

    def read(self, i: int) -> bytes:
        """The bytes of file `i`."""
        return read_file(os.path.join(self.root, self.names[i]))


def is_hidden(name: str) -> bool:
    """Whether file managers hide a file or folder of this name: .git, __MACOSX, Thumbs.db, ..."""
    return name.startswith(".") or name.lower() in _HIDDEN


def pictures_below(folder: Path) -> list[Path]:
    """The files in `folder`, and in the folders below it, whose names end as those of pictures do; hidden ones are not.

    Raises:
        SourceError: a folder cannot be listed, or there are too many files.
    """
    found: list[tuple[str, int, int]] = []
    _walk(folder, "", set(), found, (os.path.realpath(folder),), Budget(str(folder), 0, SourceError))
    names = sorted(name for name, _, _ in found)
    return [folder / name for name in names if os.path.splitext(name)[1].lower() in _PICTURE_SUFFIXES]


def arrange(names: Sequence[str], folders: Iterable[str], source: str, to_train: bool = True) -> Layout:
    """The split and class of each picture, by its path alone.

    Args:
        names: relative paths of all files that are not hidden, with slashes.
        folders: relative paths of all folders, empty ones included.
        source: for messages.
        to_train: as in `ReadOptions`.
    Raises:
        SourceError: the source is empty, pictures lie outside the class folders, or the folders fit no layout.
        LabelError: fewer than two classes; one class is enough unless `to_train`.
        SplitError: no training images, or a class that has none, unless not `to_train`; or no images at all.
    """
    # Many names share a folder: each folder is examined once, not once for every name.
    inside: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        inside[name.rpartition("/")[0]].append(i)
    loose = inside.pop("", [])
    paths = {folder: tuple(folder.split("/")) for folder in (*folders, *inside)}
    tree = _tree(paths.values())
    if not tree and not names:
        raise SourceError(f"{source}: empty; {_EXPECTED}.")
    depth = _split_depth(tree)
    loose_in_class = (inside.get("/".join(folder), []) for folder in tree if len(folder) == depth + 1)
    if _splits_inside(tree, depth) and not any(_holds_picture(numbers, names) for numbers in loose_in_class):
        paths = {folder: _exchanged(parts, depth) for folder, parts in paths.items()}
        tree = _tree(parts for parts in paths.values() if len(parts) > depth + 1)
    split_of = _split_folders(tree, depth, source, to_train)
    class_depth = depth if not split_of else depth + 2 if _doubled(tree, depth, split_of) else depth + 1
    classes = {folder for folder in tree if len(folder) == class_depth + 1}
    class_of = _class_names(classes, source)
    members: dict[tuple[str, str], list[int]] = {
        (split_of.get(folder[depth], "train"), class_of[folder[class_depth]]): [] for folder in classes
    }
    for folder_name, numbers in inside.items():
        parts = paths[folder_name]
        if len(parts) > class_depth:
            members[split_of.get(parts[depth], "train"), class_of[parts[class_depth]]] += numbers
        else:
            loose += numbers
    _check_no_picture(loose, names, source, split_of)
    warned = None if split_of else _same_inside(tree, class_depth, source) or _named_as_splits(class_of.values())
    return _in_order(members, names, source, to_train, () if warned is None else (warned,))


def _split_depth(tree: set[tuple[str, ...]]) -> int:
    """Depth of the folders train, val and test, or of the class folders: below folders that hold one folder alone.

    Args:
        tree: all folders, as the parts of their paths.
    """
    inside: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for folder in tree:
        inside[folder[:-1]].add(folder[-1])
    around: tuple[str, ...] = ()
    while len(inside[around]) == 1:
        (only,) = inside[around]
        if split_named(only) is not None or (*around, only) not in inside:
            break
        around = (*around, only)
    return len(around)


def _tree(paths: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """All folders, and those above them, as the parts of their paths."""
    return {parts[:n] for parts in paths for n in range(1, len(parts) + 1)}


def _splits_inside(tree: set[tuple[str, ...]], depth: int) -> bool:
    """Whether each class folder, at `depth`, holds the splits and nothing else: cat/train, cat/test, dog/train, ..."""
    inside: dict[str, set[str]] = {folder[depth]: set() for folder in tree if len(folder) == depth + 1}
    for folder in tree:
        if len(folder) == depth + 2:
            inside[folder[depth]].add(folder[depth + 1])
    if not inside or not all(inside.values()) or splits_named(inside):
        return False
    names = set().union(*inside.values())
    found = splits_named(names)
    return len(found) == len(names) and len(set(found.values())) > 1


def _exchanged(parts: tuple[str, ...], depth: int) -> tuple[str, ...]:
    """A path with the split above the class: of cat/train/old with depth 0, train/cat/old."""
    if len(parts) < depth + 2:
        return parts
    return (*parts[:depth], parts[depth + 1], parts[depth], *parts[depth + 2 :])


def _holds_picture(numbers: Iterable[int], names: Sequence[str]) -> bool:
    """Whether one of some files is a picture, by the end of its name."""
    return any(os.path.splitext(names[i])[1].lower() in _PICTURE_SUFFIXES for i in numbers)


def _named_as_splits(class_names: Iterable[str]) -> str | None:
    """A warning where all classes have the names of different splits; else None."""
    names = sorted(set(class_names))
    if len(names) < 2 or len(set(splits_named(names).values())) < len(names):
        return None
    return (
        f"the classes are {few(names)}, which are names of splits. If they are splits, put a folder for each class "
        "into each of them, and its pictures there."
    )


def _class_names(folders: Iterable[tuple[str, ...]], source: str) -> dict[str, str]:
    """The class of each of the names of class folders: one class for names that differ in nothing that is seen.

    Raises:
        LabelError: two folders in one place have such names, or a name is too long.
    """
    for folder in folders:
        if len(folder[-1]) > LABEL_CHARACTERS:
            raise LabelError(
                f"{source}: the name of the class folder {folder[-1][:40]!r}... has {len(folder[-1]):,} characters, "
                f"expected at most {LABEL_CHARACTERS:,}. Rename it."
            )
    given: dict[tuple[tuple[str, ...], str], str] = {}
    for folder in sorted(folders):
        before = given.setdefault((folder[:-1], seen_name(folder[-1])), folder[-1])
        if before != folder[-1]:
            raise LabelError(
                f"{source}: the class folders {before!a} and {folder[-1]!a} have names that look the same; "
                "move the pictures into one of them, or rename one."
            )
    return {folder[-1]: seen_name(folder[-1]) for folder in folders}


def _split_folders(tree: set[tuple[str, ...]], depth: int, source: str, to_train: bool) -> dict[str, str]:
    """The split of each folder at `depth`; empty if these are the class folders.

    Raises:
        SourceError: only some of the folders are named after splits.
        SplitError: two folders mean the same split, or there is no train.
    """
    tops = {folder[depth] for folder in tree if len(folder) > depth}
    split_of = dict(splits_named(tops))
    parents = {folder[depth] for folder in tree if len(folder) == depth + 2}
    if not (split_of.keys() & parents):
        return {}  # a class may be called "test"
    if len(split_of) < len(tops):
        others = few(sorted(tops - split_of.keys()), 4)
        splits = few(sorted(split_of))
        raise SourceError(
            f"{source}: found {others} and {splits}; {_EXPECTED}. Move {others} elsewhere, or rename it to val or test "
            f"if it is a split. If {splits} is a class, give it another name."
        )
    _check_splits(split_of, source, to_train)
    return split_of


def _doubled(tree: set[tuple[str, ...]], depth: int, split_of: dict[str, str]) -> bool:
    """Whether each folder of a split holds one folder alone, named after the same split: train/train/CLASS."""
    inside: dict[str, list[str]] = {top: [] for top in split_of}
    for folder in tree:
        if len(folder) == depth + 2:
            inside[folder[depth]].append(folder[depth + 1])
    return all(
        len(found) == 1 and (found[0].lower() == top.lower() or split_named(found[0]) == split_of[top])
        for top, found in inside.items()
    )


def _same_inside(tree: set[tuple[str, ...]], class_depth: int, source: str) -> str | None:
    """A warning where all class folders hold the same subfolders, as splits of unknown names would; else None."""
    inside: dict[str, set[str]] = defaultdict(set)
    for folder in tree:
        if len(folder) == class_depth + 1:
            inside[folder[class_depth]] |= set()
        elif len(folder) == class_depth + 2:
            inside[folder[class_depth]].add(folder[class_depth + 1])
    if len(inside) < 2:
        return None
    common, every = set.intersection(*inside.values()), set.union(*inside.values())
    if len(common) < 2 or len(common) < _ALIKE * len(every):
        return None
    outer, inner = (few(sorted(found), 4) for found in (inside, common))
    return (
        f"the classes are {outer}, and each of them has the subfolders {inner}. If these are the classes, and the "
        "folders above them are splits, rename the folders above to train, val and test."
    )


def _check_no_picture(loose: list[int], names: Sequence[str], source: str, split_of: Mapping[str, str]) -> None:
    """Raise SourceError if one of the files `loose` is a picture; `split_of` are the folders of the splits."""
    for i in loose:
        if os.path.splitext(names[i])[1].lower() in _PICTURE_SUFFIXES:
            step = "Move it into the folder of its class."
            around = names[i].split("/")[:-1]
            if around and split_of.get(around[-1], "train") != "train":  # a test set whose labels nobody has
                step = f"Give each class of {around[-1]} a folder, or take {around[-1]} out of the source."
            raise SourceError(
                f"{source}: the picture {printable(names[i])} lies in no class folder; {_EXPECTED}. {step}"
            )


def read_class_folders(
    source: str,
    format_name: str,
    key: str,
    options: ReadOptions,
    arranged: Callable[[], tuple[Layout, PictureFiles]],
) -> Dataset:
    """The pictures of class folders, from the cache or decoded.

    Args:
        source, format_name: as in Dataset.
        key: the name of the entry in the cache, which changes when the pictures change.
        arranged: returns the layout and the files in its order; called only if the cache has no entry.
    Raises:
        DataError: as `decode_all`, `arrange` and `Filling`.
    """
    decoded = load(key) if options.cache else None
    if decoded is not None and options.to_train and not _can_train(decoded):
        arranged()  # says what is missing: a model was tested on this source
    if decoded is None:
        layout, files = arranged()
        if options.cache:
            with Filling.start(key) as filling:
                decoded, stored = _decode(layout, files, source, options, filling.allocate)
                decoded = filling.finish(decoded, stored)
        else:
            decoded, _ = _decode(layout, files, source, options, lambda shape: _in_memory(source, shape))
    nothing = slice(0, 0)
    sets = {"train": ImageSet(decoded.pixels[nothing], decoded.y[nothing], decoded.class_names, source, names=())}
    start = 0
    for split, n_images in decoded.splits:
        part = slice(start, start + n_images)
        sets[split] = ImageSet(
            decoded.pixels[part], decoded.y[part], decoded.class_names, source, names=decoded.names[part]
        )
        start += n_images
    return Dataset(
        source,
        format_name,
        decoded.class_names,
        sets["train"],
        sets.get("validation"),
        sets.get("test"),
        decoded.skipped,
        key,
        decoded.notes,
    )


def _can_train(decoded: Decoded) -> bool:
    """Whether there are two classes, all with training images."""
    n_train = dict(decoded.splits).get("train", 0)
    n_classes = len(decoded.class_names)
    return n_classes > 1 and len(np.unique(decoded.y[:n_train])) == n_classes


def _walk(
    root: Path,
    inside: str,
    folders: set[str],
    found: list[tuple[str, int, int]],
    above: tuple[str, ...],
    budget: Budget,
) -> None:
    """Collect folders, and (relative path, size, time) of files; links are followed, and a cycle is an error."""
    try:
        with os.scandir(root / inside) as listed:
            entries = [entry for entry in listed if not is_hidden(entry.name)]
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            budget.enter(name)
            if entry.is_dir():
                folders.add(name)
                real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                if real in above:
                    raise SourceError(f"{entry.path}: a link to a folder above it; remove the link.")
                if entry.is_symlink():
                    budget.follow(real)
                _walk(root, name, folders, found, (*above, real), budget)
            else:
                # A dangling link is a broken picture, with the size and time of the link.
                about = entry.stat(follow_symlinks=os.path.exists(entry.path))
                found.append((name, about.st_size, about.st_mtime_ns))
    except OSError as error:
        raise SourceError(f"{root / inside}: cannot be listed ({error.strerror}); check its permissions.") from error


def _check_splits(split_of: dict[str, str], source: str, to_train: bool) -> None:
    """Raise SplitError unless there is one folder per split, and one of them is train if it is `to_train`."""
    for split in set(split_of.values()):
        same = sorted(folder for folder, its in split_of.items() if its == split)
        if len(same) > 1:
            raise SplitError(f"{source}: {few(same, separator=' and ')} both mean {split}; keep one of them.")
    if to_train and split_of and "train" not in split_of.values():
        raise SplitError(
            f"{source}: found {few(sorted(split_of))} but no train; add a folder train with a folder per class."
        )


def _in_order(
    members: dict[tuple[str, str], list[int]],
    names: Sequence[str],
    source: str,
    to_train: bool,
    notes: tuple[str, ...],
) -> Layout:
    """The layout of `members`, the files of each (split, class)."""
    class_names = tuple(sorted({class_name for _, class_name in members}))
    splits = [split for split in ("train", "validation", "test") if any(its == split for its, _ in members)]
    if len(class_names) < (2 if to_train else 1):
        found = f"only the class folder {class_names[0]}" if class_names else "no class folder"
        raise LabelError(f"{source}: found {found}; {_EXPECTED}. A classifier needs at least two classes.")
    files: list[int] = []
    labels: list[int] = []
    sizes: list[tuple[str, int]] = []
    for split in splits:
        before = len(files)
        for k, class_name in enumerate(class_names):
            numbers = sorted(members.get((split, class_name), []), key=names.__getitem__)
            if not numbers and split == "train" and to_train:
                raise _no_training_images(members, splits, class_name, source)
            files += numbers
            labels += [k] * len(numbers)
        sizes.append((split, len(files) - before))
    if not files:
        raise SplitError(f"{source}: its class folders hold no picture; add pictures.")
    return Layout(class_names, tuple(sizes), tuple(files), tuple(labels), notes)


def _no_training_images(
    members: dict[tuple[str, str], list[int]], splits: Sequence[str], class_name: str, source: str
) -> SplitError:
    """The error for a class without training images: its folder is empty, or it is in other splits only."""
    if ("train", class_name) in members:
        where = f"{class_name} of train" if len(splits) > 1 else class_name
        return SplitError(f"{source}: the class folder {where} holds no picture; add pictures or remove it.")
    having = ", ".join(split for split in splits if (split, class_name) in members)
    return SplitError(
        f"{source}: the class {class_name} is in {having} but not in train; "
        "add its folder with pictures to train, or remove the class from all splits."
    )


def _in_memory(source: str, shape: tuple[int, int, int, int]) -> Pixels:
    try:
        return np.empty(shape, dtype=np.uint8)
    except MemoryError as error:
        raise SourceError(
            f"{source}: {shape[0]} pictures of {shape[1]}x{shape[2]} do not fit into memory; "
            "read them with the cache, or smaller, with --image-size HxW."
        ) from error


def _decode(
    layout: Layout,
    files: PictureFiles,
    source: str,
    options: ReadOptions,
    allocate: Callable[[tuple[int, int, int, int]], Pixels],
) -> tuple[Decoded, Pixels]:
    """The pictures of `layout` without the broken ones, and the whole array of `allocate`."""
    stored, broken, depth = decode_all(files, source, options, allocate)
    y = np.array(layout.labels, dtype=np.int64)
    names = tuple(files.names)
    good = np.ones(len(y), dtype=np.bool_)
    good[list(broken)] = False
    split = np.repeat(np.arange(len(layout.splits)), [n for _, n in layout.splits])[good]
    y = y[good]
    if broken:
        keep = np.flatnonzero(good)
        for start in range(0, len(keep), 1024):  # moves rows to smaller positions of the same array
            stored[start : start + 1024][: len(keep) - start] = stored[keep[start : start + 1024]]
        names = tuple(names[i] for i in keep)
        for s, (split_name, _) in enumerate(layout.splits):
            if split_name != "train" or not options.to_train:
                continue
            lost = np.flatnonzero(np.bincount(y[split == s], minlength=len(layout.class_names)) == 0)
            if len(lost):
                raise ImageError(
                    f"{source}: all pictures of the class {layout.class_names[lost[0]]} in {split_name} "
                    f"are broken ({len(broken)} broken pictures in all); replace them, or remove the class."
                )
    sizes = tuple((name, int(np.count_nonzero(split == s))) for s, (name, _) in enumerate(layout.splits))
    skipped = tuple(SkippedImage(files.names[i], reason) for i, reason in broken.items())
    notes = (*layout.notes, *depth.notes)
    return Decoded(stored[: len(y)], y, names, layout.class_names, sizes, skipped, notes), stored
