"""Arrays saved by NumPy: .npz archives and .npy files, never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, final

import numpy as np
import numpy.typing as npt

from linprobe.data.base import Dataset, EmbeddingSet, ImageSet, LabelledSet, Reader, ReadOptions
from linprobe.data.budget import LABEL_CHARACTERS
from linprobe.data.names import SPLITS, splits_named, words_of
from linprobe.data.npy import load_npy, load_npz
from linprobe.data.stored import (
    check_image_size,
    check_pixels,
    files_in,
    fingerprint_of_files,
    has_folders,
    number_classes,
)
from linprobe.errors import FormatError, LabelError
from linprobe.plain import few, printable

__all__ = ["ArraysReader"]

Array: TypeAlias = npt.NDArray[Any]
Layout: TypeAlias = dict[str, list[tuple[str, str]]]

PAIRS = (("x", "y"), ("images", "labels"), ("embeddings", "labels"), ("features", "labels"))
"""Names of rows and of their labels, in lower case; case is ignored."""


def _layout(rows: str, labels: str, form: str) -> Layout:
    return {part: [(form.format(rows, word), form.format(labels, word)) for word in WORDS[part]] for part in WORDS}


WORDS = {
    part: tuple(word for word, split in SPLITS.items() if split == part) for part in ("train", "validation", "test")
}
"""Words for each split in the names of arrays."""

FORMS = ("{0}_{1}", "{1}_{0}")
"""The word of the split behind the name of the rows or labels, or before it."""

LAYOUTS: tuple[Layout, ...] = (
    *(_layout(rows, labels, form) for rows, labels in PAIRS for form in FORMS),
    *(
        {part: [(rows, labels)] if part == "train" else first[part] + second[part] for part in WORDS}
        for rows, labels in PAIRS
        for first, second in [[_layout(rows, labels, form) for form in FORMS]]
    ),
)
"""For each split, the names its arrays may have: x_train and y_train, train_embeddings and train_labels, x and y."""

EXPECTED = "X and y, or images and labels, or embeddings and labels, or x_train, y_train, x_test and y_test"
"""Names of arrays, for messages."""

RENAME = "Save them again under these names."
"""Next step of the messages about names."""

CLASS_NAMES = "class_names"
"""An optional array of K strings; the labels must then be integers in 0..K-1."""

LARGEST_CODE = 0x10FFFF
"""The last character of Unicode; NumPy reads any 32 bits as a text."""

LARGEST = 1e100
"""Largest absolute value of a number in a vector: sums of squares over all features and rows stay finite in float64."""

BLOCK_NUMBERS = 2**22
"""Numbers in a block that is searched for NaN, whose flags take 4 MB."""


@dataclass(frozen=True)
class _Stored:
    """An array and its name in messages: "digits.npz, array 'X'"."""

    where: str
    array: Array


@final
class ArraysReader(Reader):
    """Reads a .npz, a .npy with its labels in another .npy, a folder of .npy, or a folder with a .npz for each split.

    The labels of NAME.npy are in NAME_labels.npy, those of X.npy also in y.npy. uint8 arrays (N, height, width[,
    channels]) are pictures, float arrays (N, D) are vectors. Labels are integers or strings. A .npy is memory-mapped,
    read-only. Arrays are copied only if an engine cannot read their layout.
    """

    name: ClassVar[str] = "arrays"

    def accepts(self, source: str, path: Path | None) -> bool:
        if path is None:
            return False
        if not path.is_dir():
            return path.suffix.lower() in (".npz", ".npy")
        names = {file.stem.lower() for file in _files(path, ".npy")}
        if any(set(pair) <= names for layout in LAYOUTS for pair in layout["train"]):
            return True
        # only arrays, though not a complete set of them: this reader reports what is missing
        return bool(names or _files(path, ".npz")) and not has_folders(path)

    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        assert path is not None
        if path.is_dir():
            there = _files(path, ".npy")
            files, names = [file for file in there if _is_known(file.stem)], [file.stem for file in there]
            stored = {file.stem: _Stored(str(file), load_npy(file)) for file in files}
            if not files:
                files, stored, names = _load_folder_of_npz(path)
        elif path.suffix.lower() == ".npz":
            files, (stored, names) = [path], _load_npz(path)
        else:
            names = []
            labels_path = _labels_path(path)
            files = [path, labels_path]
            stored = {
                "X": _Stored(str(path), load_npy(path)),
                "y": _Stored(str(labels_path), load_npy(labels_path)),
            }
        by_name = _by_name(str(path), stored)
        layout = _layout_of(str(path), by_name, list(stored))
        class_names, parts = _labelled_sets(str(path), by_name, layout)
        check_image_size(source, parts["train"].image_shape, options)
        return Dataset(
            source,
            self.name,
            class_names,
            parts["train"],
            parts.get("validation"),
            parts.get("test"),
            fingerprint=fingerprint_of_files(files),
            notes=_unread_note(names, layout),
        )


def _files(folder: Path, suffix: str) -> list[Path]:
    return [file for file in files_in(folder) if file.suffix.lower() == suffix and not file.name.startswith(".")]


def _is_known(name: str) -> bool:
    known = {array for layout in LAYOUTS for pairs in layout.values() for pair in pairs for array in pair}
    return name.lower() in known | {CLASS_NAMES}


def _unread_note(names: list[str], layout: Layout) -> tuple[str, ...]:
    """A sentence on arrays that are not read though their names speak of rows, labels or a split; at most one."""
    read = {array for pairs in layout.values() for pair in pairs for array in pair} | {CLASS_NAMES}
    telling = {word for pair in PAIRS for word in pair}
    unread = [
        name
        for name in names
        if name.lower() not in read and (words_of(name) & telling or any(word in name.lower() for word in SPLITS))
    ]
    if not unread:
        return ()
    return (
        f"the arrays {few(unread)} are not read. Splits are named train, val and test, in the form of "
        "X_train and y_train.",
    )


def _load_folder_of_npz(folder: Path) -> tuple[list[Path], dict[str, _Stored], list[str]]:
    """(the files, the arrays by name, all names) of a folder with one .npz, or with train.npz and others by split."""
    files = _files(folder, ".npz")
    split_of = splits_named([file.stem for file in files])
    parts = [split_of.get(file.stem, "") for file in files]
    if len(files) == 1 and parts != ["train"]:
        return files, *_load_npz(files[0])
    if "train" not in parts or "" in parts or len(set(parts)) < len(parts):
        found = few([file.name for file in files or _files(folder, ".npy")])
        raise FormatError(
            f"{folder}: found {found}; expected the files X.npy and y.npy, or X_train.npy, y_train.npy, X_test.npy and "
            "y_test.npy, or one .npz, or train.npz, val.npz and test.npz. Rename the files."
        )
    stored = {}
    for file, part in zip(files, parts, strict=True):
        arrays, _ = _load_npz(file)
        by_name = {name.lower(): array for name, array in arrays.items()}
        pair = next((pair for pair in PAIRS if set(pair) <= by_name.keys()), None)
        if pair is None:
            raise FormatError(
                f"{file}: found {few(list(arrays))}; expected the arrays X and y, or embeddings and labels, of this "
                f"split. {RENAME}"
            )
        for name, role in zip(pair, PAIRS[0], strict=True):
            stored[f"{role}_{WORDS[part][0]}"] = by_name[name]
        if CLASS_NAMES in by_name and part == "train":
            stored[CLASS_NAMES] = by_name[CLASS_NAMES]
    return files, stored, []


def _labels_path(path: Path) -> Path:
    """The file of the labels of the array in `path`."""
    candidates = [path.with_name(f"{path.stem}_labels.npy")]
    for layout in LAYOUTS:
        for images, labels in (pair for pairs in layout.values() for pair in pairs):
            if path.stem.lower() == images:
                candidates.append(path.with_name(f"{labels}.npy"))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FormatError(
        f"{path}: found no labels for it; expected {' or '.join(c.name for c in candidates)} in the same folder. "
        f"Save the labels there, one for each row of {path.name}."
    )


def _load_npz(path: Path) -> tuple[dict[str, _Stored], list[str]]:
    """The arrays in `path` with known names, and the names of all."""
    every: list[str] = []

    def known(names: list[str]) -> list[str]:
        every.extend(names)
        found = [name for name in names if _is_known(name)]
        if not found:
            shown = few(names) or "nothing"
            step = RENAME
            if {"indptr", "indices", "data"} <= set(names):
                step = "Save the dense rows of this sparse matrix as X, with X=matrix.toarray(), and y."
            raise FormatError(f"{path}: found {shown}; expected the arrays {EXPECTED}. {step}")
        return found

    return {name: _Stored(f"{path}, array {name!r}", array) for name, array in load_npz(path, known)}, every


def _by_name(source: str, stored: Mapping[str, _Stored]) -> dict[str, _Stored]:
    """The arrays by name in lower case. Raises FormatError where two names are the same then."""
    by_name = {name.lower(): array for name, array in stored.items()}
    if len(by_name) < len(stored):
        raise FormatError(
            f"{source}: found {few(list(stored))}; expected names that differ by more than case. Rename or remove one."
        )
    return by_name


def _layout_of(source: str, by_name: Mapping[str, _Stored], names: list[str]) -> Layout:
    """The first layout whose training arrays are there. Raises FormatError where there is none, with the `names`."""
    for layout in LAYOUTS:
        if any(set(pair) <= by_name.keys() for pair in layout["train"]):
            return layout
    raise FormatError(f"{source}: found {few(names)}; expected the arrays {EXPECTED}. {RENAME}")


def _labelled_sets(
    source: str, by_name: Mapping[str, _Stored], layout: Layout
) -> tuple[tuple[str, ...], dict[str, LabelledSet]]:
    """(class names, the sets by split) of the arrays of a layout."""
    X: dict[str, _Stored] = {}
    y: dict[str, _Stored] = {}
    for part, (images, labels) in ((part, pair) for part, pairs in layout.items() for pair in pairs):
        if images in by_name and labels in by_name:
            if part in X:
                raise FormatError(
                    f"{source}: found {images} and {X[part].where}, both for {part}; expected one. Remove the other."
                )
            X[part] = _checked_rows(by_name[images])
            y[part] = _checked_labels(by_name[labels], len(X[part].array), by_name[images].where)
        elif images in by_name or labels in by_name:
            there, missing = (images, labels) if images in by_name else (labels, images)
            raise FormatError(
                f"{source}: found {there} without {missing}; expected both. Save {missing} too, or leave {there} out."
            )
    _check_alike(X, y)
    if CLASS_NAMES in by_name:
        class_names = _checked_class_names(by_name[CLASS_NAMES])
        numbered = [_checked_range(found, len(class_names)) for found in y.values()]
    else:
        class_names, numbered = number_classes(found.array for found in y.values())
    sets: dict[str, LabelledSet] = {}
    for (part, rows), numbers in zip(X.items(), numbered, strict=True):
        if rows.array.dtype == np.uint8:
            sets[part] = ImageSet(rows.array, numbers, class_names, rows.where)
        else:
            sets[part] = EmbeddingSet(rows.array, numbers, class_names, rows.where)
    return class_names, sets


def _checked_rows(rows: _Stored) -> _Stored:
    """Pictures (N, height, width, channels) uint8, or vectors (N, D) of finite floats."""
    X = rows.array
    found = f"{X.dtype} of shape {X.shape}"
    if X.ndim and len(X) == 0:
        raise FormatError(f"{rows.where}: found {found}, expected at least one row. Save it again with its rows.")
    if X.dtype == np.uint8 and X.ndim in (3, 4):
        X = X[..., None] if X.ndim == 3 else X
        if 0 in X.shape or X.shape[3] > 4:
            raise FormatError(
                f"{rows.where}: found {found}, expected (N, height, width, channels) with 1 to 4 channels. "
                "Put the channels last: X.transpose(0, 2, 3, 1)."
            )
        check_pixels(rows.where, X.shape[1:])
        # pictures are read as rows: from another layout, each read would copy all of them
        return _Stored(rows.where, np.ascontiguousarray(X))
    if X.dtype.kind == "f" and X.dtype.itemsize in (2, 4, 8) and X.ndim == 2 and X.shape[1]:
        _check_numbers(rows.where, X)
        return _Stored(rows.where, X.astype(X.dtype.newbyteorder("="), copy=False))
    if X.dtype == np.uint8:
        step = "Reshape it to (N, height, width, channels), or save it as float32 if the rows are no pictures."
    elif X.dtype.kind == "f" and X.ndim in (3, 4):
        step = "Save pictures as uint8, 0..255, or flatten each row: X.reshape(len(X), -1)."
    else:
        step = "Save pictures as uint8, 0..255, and vectors as float32 with one row each."
    raise FormatError(
        f"{rows.where}: found {found}, expected pictures, uint8 (N, height, width[, channels]), or "
        f"vectors, float16, float32 or float64 (N, D). {step}"
    )


def _check_numbers(where: str, X: Array) -> None:
    """Raise FormatError at the first number of `X` (N, D) that is NaN, infinite or beyond `LARGEST`, block by block."""
    size = max(1, BLOCK_NUMBERS // X.shape[1])
    for start in range(0, len(X), size):
        block = X[start : start + size]
        good = np.abs(block) <= LARGEST if X.dtype.itemsize == 8 else np.isfinite(block)
        if good.all():
            continue
        row, column = (int(i) for i in np.argwhere(~good)[0])
        found = X[start + row, column]
        if np.isfinite(found):
            expected = f"numbers up to {LARGEST:g} in size, since sums of their squares are needed. Divide them"
        else:
            expected = "finite numbers. Leave the row out, or fill it: numpy.nan_to_num"
        raise FormatError(f"{where}: found {found} at row {start + row}, column {column}, expected {expected}.")


def _checked_labels(labels: _Stored, n_rows: int, rows_where: str) -> _Stored:
    """Labels (N,) of integers, bools or strings, one for each of the `n_rows` rows."""
    y = labels.array
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # a column, as Keras keeps them
    if y.ndim != 1:
        raise LabelError(f"{labels.where}: found shape {y.shape}, expected ({n_rows},). {_one_label_each(y)}")
    if y.dtype.kind not in "iubUS":
        raise LabelError(
            f"{labels.where}: found dtype {y.dtype}, expected integers or strings. Save y.astype(int), or the names."
        )
    _check_texts(labels)
    if len(y) != n_rows:
        raise LabelError(
            f"{labels.where}: found {len(y)} labels, expected {n_rows}, one for each row of {rows_where}. "
            "Save the two from the same rows."
        )
    if y.dtype.kind == "u" and int(y.max()) > np.iinfo(np.int64).max:
        raise LabelError(
            f"{labels.where}: found {int(y.max())} at row {int(y.argmax())}, expected integers below "
            "2**63. Number the classes from 0."
        )
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise LabelError(
                f"{labels.where}: found bytes that are not UTF-8, expected names. Save them as str."
            ) from error
    return _Stored(labels.where, y.astype(np.int64) if y.dtype.kind in "iu" else np.asarray(y))


def _check_texts(names: _Stored) -> None:
    """Raise LabelError for texts that are too long, as an array pads each to the longest, or hold no characters."""
    kind, size = names.array.dtype.kind, names.array.dtype.itemsize
    width = size // 4 if kind == "U" else size
    if kind in "US" and width > LABEL_CHARACTERS:
        raise LabelError(
            f"{names.where}: found texts of up to {width:,} characters, expected at most {LABEL_CHARACTERS:,}. "
            "Save shorter names."
        )
    if kind == "U" and size and names.array.size:
        codes = np.ascontiguousarray(names.array).view(names.array.dtype.str[0] + "u4")
        if int(codes.max()) > LARGEST_CODE:
            raise LabelError(
                f"{names.where}: found a text with the character {int(codes.max()):#x}, expected at most "
                f"{LARGEST_CODE:#x}, the last of Unicode. The file is damaged: save or fetch it again."
            )


def _check_alike(X: Mapping[str, _Stored], y: Mapping[str, _Stored]) -> None:
    """Raise unless all splits have rows of one dtype and shape, and labels of one kind."""
    for part in X:
        train, other = X["train"].array, X[part].array
        if (train.dtype, train.shape[1:]) != (other.dtype, other.shape[1:]):
            raise FormatError(
                f"{X[part].where}: found {other.dtype} rows of shape {other.shape[1:]}, expected "
                f"{train.dtype} of {train.shape[1:]} as in {X['train'].where}. Save all splits alike."
            )
        if y["train"].array.dtype.kind != y[part].array.dtype.kind:
            raise LabelError(
                f"{y[part].where}: found labels of dtype {y[part].array.dtype}, expected "
                f"{y['train'].array.dtype} as in {y['train'].where}. Save all splits alike."
            )


def _one_label_each(y: npt.NDArray[Any]) -> str:
    """The next step for labels that are not one column: only rows with a single 1 name one class each."""
    if y.ndim != 2:
        return "Save one label per row."
    if y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        return "Save the column that names the class of each row: y[:, k]."
    each = np.count_nonzero(y, axis=1)
    if (each == 1).all():
        return "Turn one-hot rows into integers: y.argmax(axis=1)."
    return (
        f"Its rows mark {each.min()} to {each.max()} of {y.shape[1]} classes, and a linear classifier gives one class: "
        "train one for each column, with the labels y[:, k]."
    )


def _checked_class_names(names: _Stored) -> tuple[str, ...]:
    if names.array.ndim != 1 or names.array.dtype.kind != "U":
        raise LabelError(
            f"{names.where}: found {names.array.dtype} of shape {names.array.shape}, expected K strings. "
            "Save numpy.array([...names...]), or leave it out."
        )
    _check_texts(names)
    class_names = tuple(printable(str(name)) for name in names.array)
    if len(set(class_names)) < len(class_names):
        twice = next(name for name in class_names if class_names.count(name) > 1)
        raise LabelError(f"{names.where}: found {twice!r} twice, expected K different names. Rename one.")
    return class_names


def _checked_range(labels: _Stored, n_classes: int) -> npt.NDArray[np.int64]:
    """The labels, all in 0..n_classes-1."""
    y = labels.array
    if y.dtype.kind != "i":
        raise LabelError(
            f"{labels.where}: found dtype {y.dtype} with {CLASS_NAMES} given, expected integers in "
            f"0..{n_classes - 1}. Save integers, or leave {CLASS_NAMES} out."
        )
    outside = np.flatnonzero((y < 0) | (y >= n_classes))
    if len(outside):
        row = int(outside[0])
        raise LabelError(
            f"{labels.where}: found {int(y[row])} at row {row}, expected 0..{n_classes - 1}, one of the "
            f"{n_classes} {CLASS_NAMES}. Correct the label, or add the name."
        )
    return y.astype(np.int64)
