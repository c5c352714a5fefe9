"""Parquet: what is written comes back, batch by batch, and each way to get it wrong has its message."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

import linprobe.data.parquet as parquet_module
from linprobe.data.base import Dataset, EmbeddingSet, ReadOptions, open_dataset
from linprobe.data.cache import cache_folder, cache_info
from linprobe.data.folder import FolderReader
from linprobe.data.parquet import ParquetReader
from linprobe.errors import FormatError, ImageError, LabelError, SourceError, SplitError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

VECTORS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
LABELS = ["owl", "cat", "cat", "owl"]

OF = {"float16": pa.float16, "float32": pa.float32, "float64": pa.float64}


def column(X: np.ndarray, kind: str = "fixed") -> Any:
    """The rows of X as an Arrow column of lists."""
    numbers = pa.array(X.ravel(), OF[X.dtype.name]())
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(numbers, X.shape[1])
    offsets = np.arange(len(X) + 1) * X.shape[1]
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), numbers)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), numbers)


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    """A Parquet file with these columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def pair(path: Path, n: int = 4, labels: Any = LABELS, X: np.ndarray = VECTORS, **more: Any) -> Path:
    """A file with `embedding`, `label` and whatever else is given."""
    return write(path, {"embedding": column(X[:n]), "label": pa.array(labels[:n]), **more})


def read(path: Path, **options: Any) -> Dataset:
    assert ParquetReader().accepts(str(path), path)
    return ParquetReader().read(str(path), path, ReadOptions(**options))


def names_of(part: EmbeddingSet) -> list[str]:
    return [part.class_names[k] for k in part.y]


@settings(max_examples=40)
@given(
    st.sampled_from(["float16", "float32"]),
    st.sampled_from(["fixed", "list", "large"]),
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    st.sampled_from(["int8", "uint64", "int64", "bool", "str", "category"]),
    st.integers(1, 7),
    st.booleans(),
    st.data(),
)
def test_what_is_written_comes_back(dtype, kind, shape, labels, rows_at_once, cached, data):
    finite = st.floats(allow_nan=False, allow_infinity=False, width=8 * np.dtype(dtype).itemsize)
    X = data.draw(arrays(dtype, shape, elements=finite))
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(X), max_size=len(X))))
    named = y.astype(labels) if labels != "category" else np.array(["a", "b"])[y]
    written = pa.array(named.tolist() if labels == "str" else named)
    if labels == "category":
        written = pa.DictionaryArray.from_arrays(pa.array(y, pa.int8()), pa.array(["a", "b", "never used"]))
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(parquet_module, "VECTOR_ROWS", rows_at_once)
        patch.setattr(parquet_module, "LABEL_ROWS", rows_at_once)
        patch.setenv("LINPROBE_CACHE_DIR", f"{folder}/cache")
        path = write(Path(folder) / "set.parquet", {"v": column(X, kind), "c": written}, row_group_size=2)
        train = read(path, cache=cached).train
        assert isinstance(train, EmbeddingSet)
        assert train.X.dtype == dtype
        assert np.array_equal(train.X, X)
        assert names_of(train) == [str(name) for name in named]
        assert "never used" not in train.class_names
        del train


@pytest.mark.parametrize("kind", ["fixed", "list"])
def test_float64_becomes_float32(tmp_path, kind):
    X = VECTORS.astype(np.float64) / 3
    train = read(write(tmp_path / "set.parquet", {"v": column(X, kind), "c": pa.array(LABELS)})).train
    assert train.X.dtype == np.float32
    assert np.array_equal(train.X, X.astype(np.float32))


def test_integer_classes_are_in_the_order_of_their_values_over_all_files(tmp_path):
    for i, labels in enumerate(([10, 9], [2, 10])):
        pair(tmp_path / f"part-{i}.parquet", 2, labels)
    dataset = read(tmp_path)
    assert dataset.class_names == ("2", "9", "10")
    assert dataset.train.y.tolist() == [2, 1, 0, 2]


def test_many_files_follow_each_other_in_the_order_of_their_names(tmp_path):
    X = np.arange(60, dtype=np.float32).reshape(20, 3)
    for i in range(10):
        pair(tmp_path / f"part-{i}.parquet", 2, ["a", "b"], X[2 * i :])
    (tmp_path / "_SUCCESS").touch()  # of Spark
    (tmp_path / "_metadata.parquet").write_bytes(b"PAR1")
    train = read(tmp_path).train
    assert np.array_equal(train.X, X)
    assert names_of(train) == ["a", "b"] * 10


@pytest.mark.parametrize(
    "names",
    [
        ("train/0.parquet", "val/0.parquet", "test/0.parquet"),
        ("Training/a.pq", "validation/a.pq", "TEST/a.pq"),
        ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet", "test.parquet"),
    ],
)
def test_splits_are_folders_or_the_first_word_of_the_names(tmp_path, names):
    for n, name in zip((4, 2, 3), names, strict=True):
        pair(tmp_path / name, n, X=VECTORS + np.float32(n))
    dataset = read(tmp_path)
    for n, part in zip((4, 2, 3), (dataset.train, dataset.validation, dataset.test), strict=True):
        assert part is not None
        assert np.array_equal(part.X, VECTORS[:n] + np.float32(n))
        assert names_of(part) == LABELS[:n]


def test_a_column_may_say_the_split_of_each_row_and_rows_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_module, "VECTOR_ROWS", 3)
    X = np.arange(24, dtype=np.float32).reshape(8, 3)
    split = ["test", "train", "Train", "valid", "train", "test", "train", "validation"]
    for i in range(2):
        here = slice(4 * i, 4 * i + 4)
        more = {"split": pa.array(split[here]).dictionary_encode()}
        pair(tmp_path / f"{i}.parquet", 4, ["a", "b", "b", "a"], X[here], **more)
    dataset = read(tmp_path)
    assert dataset.test is not None
    assert dataset.validation is not None
    for part, rows in ((dataset.train, [1, 2, 4, 6]), (dataset.validation, [3, 7]), (dataset.test, [0, 5])):
        assert np.array_equal(part.X, X[rows])
        assert names_of(part) == [["a", "b", "b", "a"][row % 4] for row in rows]


def test_of_several_columns_the_one_with_the_telling_name_is_taken(tmp_path):
    more = {
        "id": pa.array([7, 8, 9, 10]),
        "raw": column(VECTORS * 2),
        "Vector": column(VECTORS),
        "file": pa.array(list("abcd")),
        "Target": pa.array(LABELS),
        "price": pa.array([1.0, 2, 3, 4]),
        "tags": pa.array([["a"], [], None, ["b"]]),
        "ragged": pa.array([[1], [2, 3], [], None]),
        "__index_level_0__": pa.array([0, 1, 2, 3]),
    }
    train = read(write(tmp_path / "set.parquet", more)).train
    assert np.array_equal(train.X, VECTORS)
    assert names_of(train) == LABELS


def test_a_tensor_column_is_a_column_of_vectors(tmp_path):
    tensors = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [3]), column(VECTORS))
    train = read(write(tmp_path / "set.parquet", {"v": tensors, "c": pa.array(LABELS)})).train
    assert np.array_equal(train.X, VECTORS)


def test_data_frames_of_pandas_and_polars_are_read(tmp_path):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    frame = pandas.DataFrame({"embedding": list(VECTORS), "label": pandas.Categorical(LABELS)}, index=[3, 5, 7, 9])
    frame.to_parquet(tmp_path / "pandas.parquet")
    polars.DataFrame({"embedding": VECTORS, "label": LABELS}).write_parquet(tmp_path / "polars.parquet")
    for name in ("pandas", "polars"):
        train = read(tmp_path / f"{name}.parquet").train
        assert np.array_equal(train.X, VECTORS)
        assert train.X.dtype == np.float32
        assert names_of(train) == LABELS


def test_the_second_read_maps_what_the_first_one_kept_and_needs_no_pyarrow(tmp_path, monkeypatch):
    first = read(pair(tmp_path / "set.parquet"))
    assert cache_info().n_entries == 1
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    second = read(tmp_path / "set.parquet")
    assert np.array_equal(second.train.X, VECTORS)
    assert not second.train.X.flags.writeable
    assert second.train.names is None
    assert first.fingerprint == second.fingerprint


def test_a_file_that_is_added_or_changed_is_another_entry(tmp_path):
    pair(tmp_path / "0.parquet")
    seen = {read(tmp_path).fingerprint}
    pair(tmp_path / "1.parquet", 2)
    seen.add(read(tmp_path).fingerprint)
    pair(tmp_path / "1.parquet", 3)
    dataset = read(tmp_path)
    assert len(seen | {dataset.fingerprint}) == 3
    assert dataset.train.n_images == 7


def test_without_pyarrow_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    pair(tmp_path / "set.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        SourceError, match=r"set\.parquet: reading Parquet needs pyarrow.*install it with: pip install .pyarrow>="
    ):
        open_dataset(tmp_path / "set.parquet")


@pytest.mark.parametrize("kind", ["fixed", "list"])
def test_arrow_never_holds_more_than_a_few_batches(tmp_path, kind):
    X = np.random.default_rng(0).standard_normal((40_000, 128)).astype(np.float32)
    columns = {"embedding": column(X, kind), "label": pa.array(np.arange(len(X)) % 2)}
    path = write(tmp_path / "set.parquet", columns, row_group_size=len(X), use_dictionary=False)
    del columns
    # in a Python of its own: the pool counts since its start, and so holds what writing took
    code = (
        "import sys, pyarrow as pa, linprobe as l; train = l.open_dataset(sys.argv[1]).train; "
        "print(*train.X.shape, pa.default_memory_pool().max_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    n_rows, n_features, peak = map(int, done.stdout.split())
    assert (n_rows, n_features) == X.shape
    assert peak < X.nbytes / 2  # 20 MB in one row group; buffers, pages and a batch take some 7 MB
    assert np.array_equal(read(path).train.X, X)


def test_progress_is_told_and_ends_at_the_number_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_module, "VECTOR_ROWS", 3)
    told: list[tuple[str, int, int]] = []
    read(pair(tmp_path / "set.parquet"), progress=lambda *what: told.append(what))
    assert told == [("reading vectors", 3, 4), ("reading vectors", 4, 4)]


def test_other_sources_are_not_accepted(tmp_path):
    pair(tmp_path / "pictures" / "metadata.parquet")
    (tmp_path / "pictures" / "cat").mkdir()
    pair(tmp_path / "splits" / "train" / "metadata.parquet")
    (tmp_path / "splits" / "train" / "cat").mkdir()
    (tmp_path / "empty").mkdir()
    for path in (None, tmp_path / "pictures", tmp_path / "splits", tmp_path / "empty", tmp_path / "set.npz"):
        assert not ParquetReader().accepts("source", path)
    assert FolderReader().accepts("source", tmp_path / "pictures")


def test_vectors_have_no_image_size(tmp_path):
    with pytest.raises(ImageError, match="holds vectors, which are not resized"):
        read(pair(tmp_path / "set.parquet"), image_size=(4, 4))


FIXED = column(VECTORS)
NAN, INFINITE = VECTORS.copy(), VECTORS.copy()
NAN[2, 1], INFINITE[3, 0] = np.nan, -np.inf
HUGE = VECTORS.astype(np.float64)
HUGE[1, 2] = 1e39
LISTS = VECTORS.tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"embedding": column(NAN), "label": LABELS}, r"column 'embedding': found nan at row 2, position 1, expected"),
        ({"embedding": column(INFINITE, "list"), "label": LABELS}, r"found -inf at row 3, position 0, expected finite"),
        ({"embedding": column(NAN.astype("f2")), "label": LABELS}, r"found nan at row 2, position 1"),
        ({"embedding": column(HUGE), "label": LABELS}, r"found 1e\+39 at row 1, position 2, .*at most 3\.4e38"),
        (
            {"embedding": pa.array([*LISTS[:3], [1.0]], pa.list_(pa.float32())), "label": LABELS},
            r"found 1 numbers at row 3, expected 3 as in row 0 of set\.parquet\. Write vectors of one length",
        ),
        ({"embedding": pa.array([[]] * 4, pa.list_(pa.float32())), "label": LABELS}, r"found 0 numbers at row 0"),
        (
            {"embedding": pa.array([*LISTS[:2], None, LISTS[3]], pa.list_(pa.float32())), "label": LABELS},
            r"found null at row 2, expected a vector",
        ),
        (
            {"embedding": pa.array([LISTS[0], None, *LISTS[2:]], pa.list_(pa.float32(), 3)), "label": LABELS},
            r"found null at row 1, expected a vector",
        ),
        (
            {"embedding": pa.array([*LISTS[:3], [1.0, None, 2.0]], pa.list_(pa.float32())), "label": LABELS},
            r"found null at row 3, position 1, expected finite",
        ),
        ({"label": LABELS}, r"found 'label' \(string\); expected a column of vectors, a list of float16"),
        ({"embedding": FIXED}, r"expected a column of labels, integers or strings\. Add"),
        (
            {"a": FIXED, "b": FIXED, "label": LABELS},
            r"found the columns 'a', 'b', expected one of vectors.*'embedding'",
        ),
        (
            {"embedding": FIXED, "vector": FIXED, "label": LABELS},
            r"found the columns 'embedding', 'vector', expected one of vectors",
        ),
        ({"v": FIXED, "fine": LABELS, "coarse": LABELS}, r"found the columns 'fine', 'coarse', expected one of labels"),
        (
            {"v": FIXED, "label": [0.0, 1, 1, 0], "id": [1, 2, 3, 4]},
            r"found the column 'label' \(double\), expected labels, integers or strings",
        ),
        (
            {"embedding": pa.array([[1, 2]] * 4), "label": LABELS},
            r"found the column 'embedding' \(list<element: int64>\), expected vectors",
        ),
        (
            {"embedding": column(VECTORS[:0]), "label": pa.array([], pa.string())},
            r"found no row; expected one for each image",
        ),
    ],
)
def test_columns_that_cannot_be_used_are_errors_in_one_line(tmp_path, columns, message):
    with pytest.raises(FormatError, match=r"set\.parquet.*" + message) as caught:
        read(write(tmp_path / "set.parquet", columns))
    assert "\n" not in str(caught.value)
    assert not list(cache_folder().iterdir())


def test_rows_are_counted_through_all_batches_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_module, "VECTOR_ROWS", 1)
    monkeypatch.setattr(parquet_module, "LABEL_ROWS", 1)
    with pytest.raises(FormatError, match="nan at row 2, position 1"):
        read(pair(tmp_path / "vectors.parquet", X=NAN))
    with pytest.raises(LabelError, match="null at row 3 of column 'label', expected a value"):
        read(pair(tmp_path / "labels.parquet", labels=["a", "b", "a", None]))


def test_a_null_among_the_categories_is_found(tmp_path):
    labels = pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 1], pa.int8()), pa.array(["a", "b"]))
    with pytest.raises(LabelError, match="null at row 1 of column 'label'"):
        read(write(tmp_path / "set.parquet", {"embedding": FIXED, "label": labels}))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"embedding": FIXED, "class": LABELS}, r"1\.parquet: found .*'class'; expected 'label' once, as in .*0\.parq"),
        (
            {"vector": FIXED, "label": LABELS},
            r"1\.parquet: found the columns 'vector', 'label'; expected 'embedding' once",
        ),
        ({"embedding": FIXED, "label": [0, 1, 0, 1]}, r"1\.parquet: found int64 in column 'label', expected strings"),
        (
            {"embedding": column(VECTORS.astype("f2")), "label": LABELS},
            r"1\.parquet: found fixed_size_list<element: halffloat>\[3\] in column 'embedding', expected float32",
        ),
        (
            {"embedding": column(VECTORS[:, :2]), "label": LABELS},
            r"1\.parquet, column 'embedding': found 2 numbers at row 0, expected 3 as in row 0 of 0\.parquet",
        ),
    ],
)
def test_files_that_differ_are_errors_that_name_both(tmp_path, columns, message):
    pair(tmp_path / "0.parquet")
    write(tmp_path / "1.parquet", columns)
    with pytest.raises(FormatError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["val/0.parquet", "test/0.parquet"], r"found validation, test but no train"),
        (["test-0.parquet", "val-0.parquet"], r"found validation, test but no train"),
        (
            ["train-0.parquet", "more.parquet"],
            r"found more\.parquet and train-0\.parquet; expected the word of a split",
        ),
        (["train/0.parquet", "training/0.parquet"], r"train and training both mean train"),
        (["train/0.parquet", "more.parquet"], r"found more\.parquet and the folder train; expected all files"),
        (["all.parquet", "more/0.parquet"], r"found all\.parquet and the folder more; expected all files"),
        (["train/0.parquet", "extra/0.parquet"], r"found Parquet files in extra and in train; expected the folders"),
        (
            ["train/2021/0.parquet", "test/2021/0.parquet"],
            r"test: found the folder 2021 in the folder of the test split",
        ),
        (["train/0.parquet", "train/more/1.parquet"], r"train: found the folder more in the folder of the train"),
        (
            ["train/train/0.parquet", "test/test/0.parquet"],
            r"test: found the folder test in the folder of the test split",
        ),
        (
            ["train/0.parquet", "train/test-0.parquet"],
            r"test-0\.parquet: lies in the folder of the train split, but",
        ),
    ],
)
def test_splits_that_make_no_sense_are_errors(tmp_path, names, message):
    for name in names:
        pair(tmp_path / name)
    with pytest.raises((SplitError, FormatError), match=message):
        read(tmp_path)


@pytest.mark.parametrize("other", ["test/", "test/table.csv", "test/cat/0.png"])
def test_a_folder_of_a_split_without_parquet_files_is_not_ignored(tmp_path, other):
    pair(tmp_path / "train" / "0.parquet")
    (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / other).mkdir() if other.endswith("/") else (tmp_path / other).write_bytes(b"0")
    with pytest.raises(SplitError, match=r"test: found (no Parquet file|the folder cat) in the folder of the test"):
        read(tmp_path)


def test_what_stands_beside_the_folders_of_splits_and_is_no_data_is_left_alone(tmp_path):
    pair(tmp_path / "train" / "0.parquet", 4)
    pair(tmp_path / "test" / "0.parquet", 2)
    for name in ("README.md", "train/_SUCCESS", "train/.0.parquet.crc", "pictures/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"0")
    pair(tmp_path / ".cache" / "test" / "0.parquet")
    dataset = read(tmp_path)
    assert dataset.test is not None
    assert (dataset.train.n_images, dataset.test.n_images) == (4, 2)


def test_a_table_beside_class_folders_does_not_hide_the_pictures(tmp_path):
    for split in ("train", "test"):
        pair(tmp_path / split / "metadata.parquet")
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir()
            Image.new("L", (3, 3)).save(tmp_path / split / name / "0.png")
    assert open_dataset(tmp_path).format == "folder"


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (["train", "test", "fold3", "train"], r"found 'fold3' at row 2 of column 'split', expected train, validation"),
        (["test", "test", "val", "test"], r"found no row of the train split"),
    ],
)
def test_a_column_of_splits_must_name_splits(tmp_path, split, message):
    with pytest.raises(SplitError, match=message):
        read(pair(tmp_path / "set.parquet", split=pa.array(split)))


def test_a_split_whose_files_have_no_row_is_an_error(tmp_path):
    pair(tmp_path / "train.parquet")
    write(tmp_path / "test.parquet", {"embedding": column(VECTORS[:0]), "label": pa.array([], pa.string())})
    with pytest.raises(SplitError, match="found no row of the test split"):
        read(tmp_path)


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_files_cut_short_anywhere_are_errors_that_name_the_file(tmp_path, compression):
    whole = pair(tmp_path / "set.parquet").read_bytes()
    for length in (0, 1, 4, 40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.parquet").write_bytes(whole[:length])
        with pytest.raises(
            FormatError, match=r"cut\.parquet: found what cannot be read .*fetch the file again"
        ) as caught:
            read(tmp_path / "cut.parquet")
        assert "\n" not in str(caught.value)


def test_names_of_columns_that_are_no_text_are_an_error(tmp_path):
    path = pair(tmp_path / "set.parquet")
    path.write_bytes(path.read_bytes().replace(b"label", b"lab\xffl"))
    with pytest.raises(FormatError, match=r"set\.parquet: found what cannot be read"):
        read(path)


def test_labels_that_are_no_text_are_an_error(tmp_path):
    offsets = pa.py_buffer(np.array([0, 1, 2, 3, 4], np.int32).tobytes())
    labels = pa.Array.from_buffers(pa.string(), 4, [None, offsets, pa.py_buffer(b"ab\xffa")])
    with pytest.raises(LabelError, match=r"found bytes that are not UTF-8 in column 'label'"):
        read(write(tmp_path / "set.parquet", {"embedding": FIXED, "label": labels}))


def test_damaged_pages_are_errors_that_name_the_file(tmp_path):
    path = pair(tmp_path / "set.parquet", X=np.arange(12, dtype=np.float32).reshape(4, 3))
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"set\.parquet"):
        read(path)
    assert not list(cache_folder().iterdir())
