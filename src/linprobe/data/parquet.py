"""Parquet: a column of vectors and a column of labels, in one file or many, streamed into one memory map."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, final

import numpy as np
import numpy.typing as npt

from linprobe.data.base import Dataset, EmbeddingSet, Reader, ReadOptions
from linprobe.data.budget import LABEL_CHARACTERS, Budget
from linprobe.data.cache import Decoded, Filling, cache_key, load
from linprobe.data.names import SPLITS
from linprobe.data.parquet_files import PARTS, SUFFIXES, PartFile, find_files, has_parquet, missing_note
from linprobe.data.stored import check_image_size
from linprobe.errors import FormatError, LabelError, SourceError, SplitError
from linprobe.extras import install_command
from linprobe.plain import few, printable

__all__ = ["ParquetReader"]

VECTOR_NAMES = ("embedding", "embeddings", "features", "vector", "x")
"""Names, case-insensitive, that decide which of several lists of floats holds the vectors."""

LABEL_NAMES = ("label", "labels", "class", "target", "y")
"""Names, case-insensitive, that decide which of several suitable columns holds the labels."""

VECTOR_ROWS = 2**10
"""Vectors decoded at once: 6 MB if each has 1,536 float32 numbers."""

LABEL_ROWS = 2**16
"""Labels decoded at once: 512 KB of int64."""

LABEL_BYTES = 8
"""Bytes of a label in memory: int64."""

READ_BUFFER = 2**20
"""Bytes of a column read at once. Without a buffer, or with pre_buffer, Arrow reads the column of a whole row group."""

Allocate: TypeAlias = Callable[[tuple[int, ...], npt.DTypeLike], npt.NDArray[Any]]


@dataclass(frozen=True)
class _Columns:
    """The columns that are read of every file.

    Args:
        where: the first file, for messages on others that differ.
        vectors, labels, split: names of the columns; the last is None if no column gives the split.
        dtype: of the vectors in X.
        kind: of the labels: integers, strings or booleans.
    """

    where: Path
    vectors: str
    labels: str
    split: str | None
    dtype: np.dtype[Any]
    kind: str


@final
class ParquetReader(Reader):
    """Reads a .parquet file, or a folder of them, with or without train/, val/ and test/.

    Columns are chosen by their types. The one list of floats holds the vectors, and the one column of integers, strings
    or categories holds the labels. A column `split` gives the split of each row. float16 and float32 keep their dtype,
    float64 becomes float32. Rows are streamed batch by batch into a memory map in the cache, so memory holds only one
    batch of them.
    """

    name: ClassVar[str] = "parquet"

    def accepts(self, source: str, path: Path | None) -> bool:
        if path is None:
            return False
        if path.is_dir():
            return has_parquet(path)
        return path.is_file() and path.suffix.lower() in SUFFIXES

    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        assert path is not None
        check_image_size(source, None, options)
        files = find_files(path)
        try:
            about = [(str(file.path.relative_to(path.parent)), file.path.stat()) for file in files]
        except OSError as error:
            raise SourceError(f"{path}: cannot be listed ({error.strerror}); check its permissions.") from error
        stamps = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in about]
        key = cache_key(self.name, os.path.realpath(path), stamps)
        decoded = load(key) if options.cache else None
        if decoded is None and options.cache:
            _import_pyarrow(source)
            with Filling.start(key) as filling:
                decoded = _decode(path, files, options, filling.allocate)
                decoded = filling.finish(decoded, decoded.pixels)
        elif decoded is None:
            _import_pyarrow(source)
            decoded = _decode(path, files, options, lambda shape, dtype: _in_memory(path, shape, dtype))
        sets: dict[str, EmbeddingSet] = {}
        start = 0
        for part, n_rows in decoded.splits:
            rows = slice(start, start + n_rows)
            sets[part] = EmbeddingSet(decoded.pixels[rows], decoded.y[rows], decoded.class_names, source)
            start += n_rows
        return Dataset(
            source,
            self.name,
            decoded.class_names,
            sets["train"],
            sets.get("validation"),
            sets.get("test"),
            fingerprint=key,
            notes=missing_note([file.path for file in files]),
        )


def _import_pyarrow(source: str | Path = "a source") -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet, imported only when a file is decoded."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SourceError(
            f"{source}: reading Parquet needs pyarrow, which is not installed; install it with: "
            f"{install_command('parquet')}."
        ) from error
    return pyarrow, pyarrow.parquet


def _in_memory(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    try:
        return np.empty(shape, dtype)
    except MemoryError as error:
        raise SourceError(
            f"{path}: {shape[0]} vectors of {shape[1]} numbers do not fit into memory; read them with the cache."
        ) from error


def _decode(path: Path, files: Sequence[PartFile], options: ReadOptions, allocate: Allocate) -> Decoded:
    """All rows of `files`, split after split: first the labels of all files, then the vectors of all files."""
    columns = _checked_columns(files)
    budget = Budget(str(path), sum(file.path.stat().st_size for file in files), FormatError)
    for file in files:
        budget.unpack(_decoded_bytes(file.path, columns))
    class_names, y, parts = _read_labels(files, columns)
    counts = np.bincount(parts, minlength=len(PARTS))
    for part, count in zip(PARTS, counts, strict=True):
        if not count and (part == "train" or any(file.part == part for file in files)):
            _refuse_empty(path, part, len(y))
    order = np.argsort(parts, kind="stable")
    positions = np.empty(len(y), np.int64)
    positions[order] = np.arange(len(y))
    X = _read_vectors(files, columns, positions, options, allocate)
    splits = tuple((part, int(count)) for part, count in zip(PARTS, counts, strict=True) if count)
    return Decoded(X, y[order], (), class_names, splits, ())


def _refuse_empty(path: Path, part: str, n_rows: int) -> None:
    if n_rows == 0:
        raise FormatError(f"{path}: found no row; expected one for each image. Write the file again with its rows.")
    raise SplitError(f"{path}: found no row of the {part} split; expected at least one. Add rows, or remove the split.")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns the errors of Arrow on damaged files into a FormatError that names the file."""
    pa, _ = _import_pyarrow(path)
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:  # the last, for names of columns
        lines = str(error).splitlines() or [type(error).__name__]
        raise FormatError(
            f"{path}: found what cannot be read ({lines[0].rstrip('.')}), expected a whole Parquet file. "
            "Write or fetch the file again."
        ) from error


def _batches(path: Path, names: Sequence[str], n_rows: int, use_threads: bool) -> Iterator[tuple[int, list[Any]]]:
    """(number of the first row, the columns `names`) of each batch of at most `n_rows` rows."""
    _, pq = _import_pyarrow(path)
    start = 0
    with _readable(path), pq.ParquetFile(path, buffer_size=READ_BUFFER, pre_buffer=False) as opened:
        for batch in opened.iter_batches(n_rows, columns=list(names), use_threads=use_threads):
            yield start, [batch.column(name) for name in names]
            start += batch.num_rows


def _checked_columns(files: Sequence[PartFile]) -> _Columns:
    """The columns to read, chosen in the first file; all other files must have them."""
    first: _Columns | None = None
    for file in files:
        _, pq = _import_pyarrow(file.path)
        with _readable(file.path), pq.ParquetFile(file.path) as opened:
            types = list(zip(opened.schema_arrow.names, opened.schema_arrow.types, strict=True))
        if first is None:
            first = _choose_columns(file, types)
        else:
            _check_same(file.path, types, first)
    assert first is not None  # a folder without files is not accepted
    return first


def _decoded_bytes(path: Path, columns: _Columns) -> int:
    """Bytes that the file declares for its vectors and labels in memory."""
    _, pq = _import_pyarrow(path)
    with _readable(path), pq.ParquetFile(path) as opened:
        about = opened.metadata
        n_numbers = 0
        for group in range(about.num_row_groups):
            for i in range(about.row_group(group).num_columns):
                chunk = about.row_group(group).column(i)
                if chunk.path_in_schema.split(".")[0] == columns.vectors:
                    n_numbers += chunk.num_values
        return int(n_numbers * columns.dtype.itemsize + about.num_rows * LABEL_BYTES)


def _choose_columns(file: PartFile, types: list[tuple[str, Any]]) -> _Columns:
    """The columns of vectors, labels and split among (name, Arrow type) of the first file."""
    split = next((name for name, t in types if name.lower() == "split" and _kind(t) == "strings"), None)
    vectors = [name for name, t in types if _float_of(t) is not None]
    labels = [
        name for name, t in types if _kind(t) is not None and name != split and not name.startswith("__index_level_")
    ]
    vectors_name = _choose(
        file.path, types, vectors, VECTOR_NAMES, "vectors, a list of float16, float32 or float64 numbers"
    )
    labels_name = _choose(file.path, types, labels, LABEL_NAMES, "labels, integers or strings")
    by_name = dict(types)
    dtype, kind = _float_of(by_name[vectors_name]), _kind(by_name[labels_name])
    assert dtype is not None
    assert kind is not None
    return _Columns(file.path, vectors_name, labels_name, split if file.part is None else None, dtype, kind)


def _choose(
    path: Path, types: list[tuple[str, Any]], candidates: list[str], preferred: tuple[str, ...], what: str
) -> str:
    """The one of `candidates`, or the one with a name in `preferred`."""
    named = [name for name in candidates if name.lower() in preferred]
    chosen = named or candidates
    wrong = [f"{name!r} ({t})" for name, t in types if name.lower() in preferred and name not in candidates]
    if not named and wrong:  # another column of a suitable type must not replace it silently
        raise FormatError(f"{path}: found the column {wrong[0]}, expected {what}. Write it so, or rename it.")
    if not chosen:
        found = few([f"{name!r} ({t})" for name, t in types]) or "no column"
        raise FormatError(f"{path}: found {found}; expected a column of {what}. Add the column.")
    if len(chosen) > 1:
        found = few([repr(name) for name in chosen])
        raise FormatError(
            f"{path}: found the columns {found}, expected one of {what}. "
            f"Name one of them {preferred[0]!r}, or leave the others out."
        )
    return chosen[0]


def _check_same(path: Path, types: list[tuple[str, Any]], first: _Columns) -> None:
    """Raise unless the columns of another file are those of the first."""
    names = [name for name, _ in types]
    by_name = dict(types)
    for name in (first.vectors, first.labels, first.split):
        if name is not None and names.count(name) != 1:
            raise FormatError(
                f"{path}: found the columns {few([repr(name) for name in names]) or '(none)'}; expected {name!r} once, "
                f"as in {first.where}. Write all files alike."
            )
    found: Sequence[tuple[str, object, object]] = (
        (first.vectors, _float_of(by_name[first.vectors]), first.dtype),
        (first.labels, _kind(by_name[first.labels]), first.kind),
        (first.split or "", first.split and _kind(by_name[first.split]), first.split and "strings"),
    )
    for name, its, expected in found:
        if its != expected:
            raise FormatError(
                f"{path}: found {by_name[name]} in column {name!r}, expected {expected} as in {first.where}. "
                "Write all files alike."
            )


def _float_of(arrow_type: Any) -> np.dtype[Any] | None:
    """The dtype of X for a column of lists of floats; None for any other column."""
    pa, _ = _import_pyarrow()
    if isinstance(arrow_type, pa.BaseExtensionType):  # a tensor is stored as a list
        arrow_type = arrow_type.storage_type
    of = pa.types
    if not (of.is_fixed_size_list(arrow_type) or of.is_list(arrow_type) or of.is_large_list(arrow_type)):
        return None
    if of.is_float16(arrow_type.value_type):
        return np.dtype(np.float16)
    return np.dtype(np.float32) if of.is_floating(arrow_type.value_type) else None


def _kind(arrow_type: Any) -> str | None:
    """integers, strings or booleans, plain or as a dictionary (categories); None for any other column."""
    pa, _ = _import_pyarrow()
    of = pa.types
    if of.is_dictionary(arrow_type):
        arrow_type = arrow_type.value_type
    if of.is_integer(arrow_type):
        return "integers"
    if of.is_string(arrow_type) or of.is_large_string(arrow_type):
        return "strings"
    return "booleans" if of.is_boolean(arrow_type) else None


class _Coder:
    """Numbers the distinct values of a column in order of first occurrence."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def encode(self, path: Path, name: str, start: int, column: Any) -> npt.NDArray[np.int64]:
        """The numbers of one batch; raises LabelError at a null."""
        pa, _ = _import_pyarrow(path)
        if not isinstance(column, pa.DictionaryArray):
            column = column.dictionary_encode()
        indices = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        table = np.full(len(column.dictionary) + 1, -1, np.int64)  # the last entry is that of null
        for i in np.unique(indices[indices >= 0]):  # categories without rows are not classes
            try:
                value = column.dictionary[int(i)].as_py()
            except UnicodeDecodeError as error:
                raise LabelError(
                    f"{path}: found bytes that are not UTF-8 in column {name!r}, expected names. Write them as UTF-8."
                ) from error
            if isinstance(value, str) and len(value) > LABEL_CHARACTERS:
                raise LabelError(
                    f"{path}: found a text of {len(value):,} characters in column {name!r}, expected at most "
                    f"{LABEL_CHARACTERS:,}. Write shorter names, or give the column of the labels another name."
                )
            if value is not None:
                table[i] = self.numbers.setdefault(value, len(self.numbers))
        codes: npt.NDArray[np.int64] = table[indices]
        if len(codes) and codes.min() < 0:
            row = start + int(codes.argmin())
            raise LabelError(
                f"{path}: found null at row {row} of column {name!r}, expected a value in every row. "
                "Fill it, or leave the row out."
            )
        return codes


def _read_labels(
    files: Sequence[PartFile], columns: _Columns
) -> tuple[tuple[str, ...], npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """(class names, the class of each row, its split as a position in PARTS), in the order of the files."""
    labels, split_words = _Coder(), _Coder()
    y: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    parts: list[npt.NDArray[np.int8]] = [np.empty(0, np.int8)]
    names = [columns.labels] if columns.split is None else [columns.labels, columns.split]
    for file in files:
        for start, found in _batches(file.path, names, LABEL_ROWS, False):
            y.append(labels.encode(file.path, columns.labels, start, found[0]))
            if columns.split is None:
                parts.append(np.full(len(found[0]), PARTS.index(file.part or "train"), np.int8))
                continue
            words = split_words.encode(file.path, columns.split, start, found[1])
            known = [SPLITS.get(word.lower(), "") for word in split_words.numbers]
            if "" in known:
                word = list(split_words.numbers)[known.index("")]
                row = start + int(np.flatnonzero(words == known.index(""))[0])
                raise SplitError(
                    f"{file.path}: found {word!r} at row {row} of column {columns.split!r}, expected train, validation "
                    "or test. Correct it, or give the column another name."
                )
            parts.append(np.array([PARTS.index(part) for part in known], np.int8)[words])
    classes = sorted(labels.numbers)
    rank = np.empty(len(classes), np.int64)
    rank[[labels.numbers[value] for value in classes]] = np.arange(len(classes))
    return tuple(printable(str(value)) for value in classes), rank[np.concatenate(y)], np.concatenate(parts)


def _read_vectors(
    files: Sequence[PartFile],
    columns: _Columns,
    positions: npt.NDArray[np.int64],
    options: ReadOptions,
    allocate: Allocate,
) -> npt.NDArray[Any]:
    """X (N, D), row i of the files at `positions[i]`."""
    X: npt.NDArray[Any] | None = None
    done = 0
    for file in files:
        for start, (column,) in _batches(file.path, [columns.vectors], VECTOR_ROWS, options.n_threads != 1):
            if not len(column):
                continue
            rows = _checked_vectors(file.path, columns, start, column, None if X is None else X.shape[1])
            if done + len(rows) > len(positions):
                break
            if X is None:
                X = allocate((len(positions), rows.shape[1]), columns.dtype)
            X[positions[done : done + len(rows)]] = rows
            done += len(rows)
            if options.progress is not None:
                options.progress("reading vectors", done, len(positions))
    if X is None or done != len(positions):
        raise FormatError(
            f"{columns.where}: found {len(positions)} labels, expected one for each vector. Write the files again."
        )
    return X


def _checked_vectors(path: Path, columns: _Columns, start: int, column: Any, width: int | None) -> npt.NDArray[Any]:
    """The (n, D) finite numbers of one batch, a view of Arrow's memory.

    Args:
        start: number of its first row.
        width: D, if it is known already.
    Raises:
        FormatError: a null, an empty vector, one of another length, NaN, infinity, or a number beyond float32.
    """
    pa, _ = _import_pyarrow(path)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    where = f"{path}, column {columns.vectors!r}"
    if column.null_count:
        row = start + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise FormatError(f"{where}: found null at row {row}, expected a vector. Fill it, or leave the row out.")
    if pa.types.is_fixed_size_list(column.type):
        lengths = np.full(len(column), column.type.list_size)
    else:
        lengths = np.diff(column.offsets.to_numpy())
    width = int(lengths[0]) if width is None else width
    other = np.flatnonzero(lengths != width)
    if width == 0 or len(other):
        row = int(other[0]) if len(other) else 0
        expected = "at least one" if width == 0 else f"{width} as in row 0 of {columns.where.name}"
        raise FormatError(
            f"{where}: found {lengths[row]} numbers at row {start + row}, expected {expected}. "
            "Write vectors of one length."
        )
    numbers = column.flatten()
    if numbers.null_count:
        at = int(np.flatnonzero(numbers.is_null().to_numpy(zero_copy_only=False))[0])
        raise _bad_number(where, "null", start, at, width)
    rows: npt.NDArray[Any] = numbers.to_numpy().reshape(-1, width)
    # False for NaN too
    good = np.abs(rows) <= np.finfo(np.float32).max if rows.dtype == np.float64 else np.isfinite(rows)
    if not good.all():
        at = int(np.flatnonzero(~good.ravel())[0])
        raise _bad_number(where, str(rows.ravel()[at]), start, at, width)
    return rows


def _bad_number(where: str, found: str, start: int, at: int, width: int) -> FormatError:
    """The error for the number at position `at` of a batch."""
    return FormatError(
        f"{where}: found {found} at row {start + at // width}, position {at % width}, expected finite numbers, at most "
        "3.4e38 in size (float32). Leave the row out, or fill it."
    )
