"""NumPy's files: what is written comes back, and each way to get them wrong has its message."""

from __future__ import annotations

import pickle
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from linprobe.data import arrays as arrays_module
from linprobe.data.arrays import ArraysReader
from linprobe.data.base import Dataset, EmbeddingSet, ImageSet, ReadOptions
from linprobe.errors import FormatError, ImageError, LabelError

PIXELS = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
VECTORS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
LABELS = np.array([0, 1, 1, 0])


def read(path: Path, **options: object) -> Dataset:
    assert ArraysReader().accepts(str(path), path)
    return ArraysReader().read(str(path), path, ReadOptions(**options))


def npz(folder: Path, **stored: object) -> Path:
    path = folder / "set.npz"
    np.savez(path, **stored)
    return path


@settings(max_examples=50)
@given(
    arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=4)),
    st.sampled_from([None, 1, 3, 4]),
    st.sampled_from(["int8", "uint8", ">i4", "uint64", "bool", "U3", "S3"]),
    st.booleans(),
    st.data(),
)
def test_what_is_written_comes_back(pixels, channels, dtype, packed, data):
    images = pixels if channels is None else np.repeat(pixels[..., None], channels, axis=3)
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(images), max_size=len(images)))).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        (np.savez_compressed if packed else np.savez)(f"{folder}/set.npz", X=images, y=y)
        dataset = read(Path(folder) / "set.npz")
    assert isinstance(dataset.train, ImageSet)
    assert np.array_equal(dataset.train.images, images[..., None] if channels is None else images)
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in y.tolist()]
    assert [dataset.class_names[k] for k in dataset.train.y] == names


@settings(max_examples=30)
@given(
    st.sampled_from(["<f2", "<f4", "<f8", ">f4", ">f8"]),
    array_shapes(min_dims=2, max_dims=2, max_side=5),
    st.booleans(),
    st.data(),
)
def test_vectors_come_back_in_their_dtype_and_the_byte_order_of_the_machine(dtype, shape, in_columns, data):
    finite = st.floats(allow_nan=False, allow_infinity=False, width=8 * np.dtype(dtype).itemsize)
    X = data.draw(arrays(dtype, shape, elements=finite.filter(lambda number: abs(number) <= 1e100)))
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/X.npy", np.asfortranarray(X) if in_columns else X)
        np.save(f"{folder}/y.npy", np.arange(len(X)) % 2)
        train = read(Path(folder)).train
        assert isinstance(train, EmbeddingSet)
        assert train.X.dtype == np.dtype(dtype).newbyteorder("=")
        assert train.X.dtype.isnative
        assert np.array_equal(train.X, X)
        del train


@pytest.mark.parametrize(
    "names",
    [
        ("X", "y"),
        ("x", "Y"),
        ("images", "labels"),
        ("embeddings", "labels"),
        ("features", "labels"),
        ("X_train", "y_train"),
        ("train_embeddings", "train_labels"),
    ],
)
def test_arrays_are_found_under_each_of_their_names(tmp_path, names):
    train = read(npz(tmp_path, **{names[0]: PIXELS, names[1]: LABELS, "other": LABELS})).train
    assert train.image_shape == (2, 3, 1)
    assert train.y.tolist() == LABELS.tolist()


def test_splits_are_kept_and_share_their_classes(tmp_path):
    dataset = read(
        npz(
            tmp_path,
            x_train=VECTORS,
            y_train=[5, 5, 7, 7],
            x_val=VECTORS[:1],
            y_val=[7],
            x_test=VECTORS[:2],
            y_test=[9, 5],
        )
    )
    assert dataset.class_names == ("5", "7", "9")
    assert dataset.train.y.tolist() == [0, 0, 1, 1]
    assert dataset.validation is not None
    assert dataset.validation.y.tolist() == [1]
    assert dataset.test is not None
    assert dataset.test.y.tolist() == [2, 0]


def test_a_column_of_labels_is_as_good_as_a_row(tmp_path):
    assert read(npz(tmp_path, X=PIXELS, y=LABELS[:, None])).train.y.tolist() == LABELS.tolist()


def test_class_names_name_the_labels(tmp_path):
    dataset = read(npz(tmp_path, X=PIXELS, y=LABELS, class_names=["cat", "dog", "owl"]))
    assert dataset.class_names == ("cat", "dog", "owl")
    assert dataset.train.y.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("X_name", "y_name", "source"),
    [
        ("X", "y", "."),
        ("x_train", "y_train", "."),
        ("X", "y", "X.npy"),
        ("faces", "faces_labels", "faces.npy"),
    ],
)
def test_npy_files_are_found_by_their_names_and_mapped_not_read(tmp_path, X_name, y_name, source):
    np.save(tmp_path / f"{X_name}.npy", PIXELS)
    np.save(tmp_path / f"{y_name}.npy", LABELS)
    train = read(tmp_path / source).train
    assert isinstance(train, ImageSet)
    assert np.array_equal(train.images[..., 0], PIXELS)
    assert not train.images.flags.writeable
    assert is_mapped(train.images)
    assert is_mapped(train.X)


def is_mapped(array: np.ndarray) -> bool:
    """Whether the numbers of `array` lie in a file."""
    base: object = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
@pytest.mark.parametrize("form", ["{0}_{1}", "{1}_{0}"])
def test_a_folder_of_embeddings_by_split_is_mapped_in_its_own_dtype(tmp_path, dtype, validation, form):
    names = {"train": ["owl", "cat", "owl", "cat"], validation: ["owl"], "test": ["cat", "owl"]}
    for word, labels in names.items():
        np.save(tmp_path / f"{form.format('embeddings', word)}.npy", VECTORS[: len(labels)].astype(dtype))
        np.save(tmp_path / f"{form.format('labels', word)}.npy", labels)
    dataset = read(tmp_path)
    assert dataset.class_names == ("cat", "owl")
    for part, labels in zip((dataset.train, dataset.validation, dataset.test), names.values(), strict=True):
        assert isinstance(part, EmbeddingSet)
        assert part.X.dtype == dtype
        assert np.array_equal(part.X, VECTORS[: len(labels)].astype(dtype))
        assert is_mapped(part.X)
        assert [dataset.class_names[k] for k in part.y] == labels


def test_a_folder_may_hold_one_npz_for_each_split_or_one_for_all(tmp_path):
    for name, n in (("train", 4), ("valid", 2), ("test", 3)):
        (tmp_path / "parts").mkdir(exist_ok=True)
        np.savez(tmp_path / "parts" / f"{name}.npz", Embeddings=VECTORS[:n], labels=LABELS[:n])
    dataset = read(tmp_path / "parts")
    assert [part and part.n_images for part in (dataset.train, dataset.validation, dataset.test)] == [4, 2, 3]
    (tmp_path / "whole").mkdir()
    np.savez(tmp_path / "whole" / "faces.npz", X_train=VECTORS, y_train=LABELS, X_test=VECTORS, y_test=LABELS)
    assert read(tmp_path / "whole").test is not None
    (tmp_path / "named").mkdir()
    np.savez(tmp_path / "named" / "train.npz", X=VECTORS, y=LABELS, class_names=["cat", "owl"])
    assert read(tmp_path / "named").class_names == ("cat", "owl")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["X.npy"], r"found X; expected the arrays X and y"),
        (["y.npy"], r"found y; expected the arrays X and y"),
        (["vectors.npy", "y_.npy"], r"found vectors\.npy, y_\.npy; expected the files X\.npy and y\.npy, or"),
        (["test.npz", "val.npz"], r"found test\.npz, val\.npz; expected the files .* or train\.npz, val\.npz"),
        (["train.npz", "more.npz"], r"found more\.npz, train\.npz; expected"),
        (["val.npz", "valid.npz", "train.npz"], r"found train\.npz, val\.npz, valid\.npz; expected"),
        (["X_train.npy", "y_train.npy", "X_test.npy"], r"found x_test without y_test; expected both"),
        (
            ["X_train.npy", "y_train.npy", "X_val.npy", "y_val.npy", "X_valid.npy", "y_valid.npy"],
            r"found x_valid and .*X_val\.npy, both for validation; expected one",
        ),
    ],
)
def test_a_folder_of_nothing_but_arrays_says_which_files_are_missing(tmp_path, files, message):
    for file in files:
        if file.endswith(".npz"):
            np.savez(tmp_path / file, X=VECTORS, y=LABELS)
        else:
            np.save(tmp_path / file, VECTORS if file[0] in "vX" else LABELS)
    with pytest.raises(FormatError, match=message):
        read(tmp_path)


def test_the_file_of_a_split_without_rows_and_labels_is_named(tmp_path):
    np.savez(tmp_path / "train.npz", X=VECTORS, y=LABELS)
    np.savez(tmp_path / "test.npz", X=VECTORS, target=LABELS)
    with pytest.raises(FormatError, match=r"test\.npz: found X; expected the arrays X and y, or embeddings and labels"):
        read(tmp_path)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_reading_vectors_takes_a_block_of_memory_and_no_copy_of_them(tmp_path, dtype, monkeypatch):
    monkeypatch.setattr(arrays_module, "BLOCK_NUMBERS", 2**14)
    X = np.ones((4000, 256), dtype)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", np.arange(len(X)) % 2)
    read(tmp_path)  # what is imported on the way
    tracemalloc.start()
    try:
        dataset = read(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(dataset.train.X, X)
    assert peak < X.nbytes / 4  # of which labels, their sorted copy and their numbers take 0.1 MB


def test_the_fingerprint_changes_with_the_file(tmp_path):
    before = read(npz(tmp_path, X=PIXELS, y=LABELS)).fingerprint
    assert before == read(tmp_path / "set.npz").fingerprint
    assert before != read(npz(tmp_path, X=PIXELS[:, :1], y=LABELS)).fingerprint


def test_folders_and_files_of_other_formats_are_not_accepted(tmp_path):
    (tmp_path / "cat").mkdir()  # a folder of class folders, with something beside them
    np.save(tmp_path / "X.npy", PIXELS)
    for path in (None, tmp_path, tmp_path / "set.zip"):
        assert not ArraysReader().accepts("source", path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_number_that_is_not_finite_is_named_by_row_and_column(tmp_path, bad, monkeypatch):
    monkeypatch.setattr(arrays_module, "BLOCK_NUMBERS", 6)  # two rows
    X = VECTORS.copy()
    X[3, 1] = X[3, 2] = bad
    with pytest.raises(FormatError, match=rf"'X': found {bad} at row 3, column 1, expected finite numbers\. Leave"):
        read(npz(tmp_path, X=X, y=LABELS))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (PIXELS.reshape(4, 6), r"found uint8 of shape \(4, 6\).*Reshape it"),
        (np.zeros((4, 3, 8, 8), np.uint8), r"1 to 4 channels.*X\.transpose\(0, 2, 3, 1\)"),
        (np.zeros((4, 2, 2, 3)), r"found float64 of shape .*Save pictures as uint8, 0\.\.255, or flatten"),
        (np.zeros((4, 2), int), r"found int64 .*vectors as float32"),
        (np.zeros((4, 2), complex), r"found complex128 .*vectors as float32"),
        (np.zeros((4, 0), np.float32), r"found float32 of shape \(4, 0\)"),
        (np.float32(1), r"found float32 of shape \(\)"),
        (np.zeros((0, 2, 2), np.uint8), r"expected at least one row"),
        (np.zeros((4, 0, 2), np.uint8), r"found uint8 of shape \(4, 0, 2\)"),
    ],
)
def test_arrays_that_are_neither_pictures_nor_vectors_are_errors(tmp_path, X, message):
    with pytest.raises(FormatError, match=r"set\.npz, array 'X': .*" + message):
        read(npz(tmp_path, X=X, y=LABELS))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (LABELS[:3], r"found 3 labels, expected 4, one for each row of .*'X'\. Save"),
        (np.eye(4), r"found shape \(4, 4\), expected \(4,\).*argmax"),
        (np.zeros((4, 1, 1), int), r"found shape \(4, 1, 1\).*one label per row"),
        (LABELS.astype(float), r"found dtype float64, expected integers or strings"),
        (np.array([0, 1, 2**63, 1], np.uint64), r"found 9223372036854775808 at row 2"),
        (np.array([b"\xff", b"a", b"a", b"b"]), r"not UTF-8"),
    ],
)
def test_labels_that_do_not_fit_are_errors(tmp_path, y, message):
    with pytest.raises(LabelError, match=r"set\.npz, array 'y': .*" + message):
        read(npz(tmp_path, X=PIXELS, y=y))


@pytest.mark.parametrize(
    ("y", "names", "message"),
    [
        ([0, 1, 2, 0], ["a", "b"], r"'y': found 2 at row 2, expected 0\.\.1"),
        ([0, -1, 1, 0], ["a", "b"], r"'y': found -1 at row 1, expected 0\.\.1"),
        (["a", "b", "a", "b"], ["a", "b"], r"'y': found dtype <U1 with class_names given"),
        ([0, 1, 1, 0], ["a", "a"], r"'class_names': found 'a' twice"),
        ([0, 1, 1, 0], [1, 2], r"'class_names': found int64 of shape \(2,\), expected K strings"),
    ],
)
def test_labels_beside_class_names_must_be_positions_among_them(tmp_path, y, names, message):
    with pytest.raises(LabelError, match=message):
        read(npz(tmp_path, X=PIXELS, y=y, class_names=names))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"a": LABELS, "b": LABELS}, r"found a, b; expected the arrays X and y, or images and labels"),
        ({}, r"found nothing; expected the arrays X and y"),
        ({"X": PIXELS, "x": PIXELS, "y": LABELS}, r"found X, x, y; expected names that differ by more than"),
        ({"X": PIXELS}, r"found X; expected the arrays X and y"),
        ({"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS}, r"found x_test without y_test"),
        ({"x_train": PIXELS, "y_train": LABELS, "y_test": LABELS}, r"found y_test without x_test"),
        (
            {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS[:, :1], "y_test": LABELS},
            r"'x_test': found uint8 rows of shape \(1, 3, 1\), expected uint8 of \(2, 3, 1\)",
        ),
    ],
)
def test_archives_without_the_arrays_that_belong_together_are_errors(tmp_path, stored, message):
    with pytest.raises(FormatError, match=message):
        read(npz(tmp_path, **stored))


def test_labels_of_two_kinds_are_an_error(tmp_path):
    stored = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS, "y_test": list("abab")}
    with pytest.raises(LabelError, match="'y_test': found labels of dtype <U1, expected int64"):
        read(npz(tmp_path, **stored))


class Trap:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", ["npz", "npy", "pickle"])
def test_a_pickle_inside_is_an_error_and_is_not_run(tmp_path, suffix):
    trap = np.array([Trap(tmp_path / "sprung")] * 4, dtype=object)
    np.save(tmp_path / "X_labels.npy", LABELS)
    if suffix == "npz":
        path = npz(tmp_path, X=trap, y=LABELS)
    else:
        path = tmp_path / "X.npy"
        path.write_bytes(pickle.dumps(trap)) if suffix == "pickle" else np.save(path, trap)
    with pytest.raises(FormatError, match=r"found Python objects .*is not read. Save it again with a plain dtype"):
        read(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_files_cut_short_anywhere_are_errors_that_name_the_file(tmp_path, suffix):
    if suffix == "npz":
        path = npz(tmp_path, X=PIXELS, y=LABELS)
    else:
        path = tmp_path / "X.npy"
        np.save(path, PIXELS)
        np.save(tmp_path / "y.npy", LABELS)
    whole = path.read_bytes()
    for length in (0, 1, 7, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=rf"{path.name}.*(found|expected)"):
            read(path)


def test_damaged_numbers_in_an_archive_are_an_error(tmp_path):
    path = npz(tmp_path, X=PIXELS, y=LABELS)
    content = bytearray(path.read_bytes())
    content[content.index(PIXELS.tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"'X': found what cannot be read \(BadZipFile: Bad CRC-32"):
        read(path)


def test_an_array_file_without_labels_beside_it_says_where_they_should_be(tmp_path):
    np.save(tmp_path / "faces.npy", PIXELS)
    with pytest.raises(
        FormatError, match=r"faces\.npy: found no labels for it; expected faces_labels\.npy in the same folder\. Save"
    ):
        read(tmp_path / "faces.npy")


def test_a_single_array_named_npz_is_an_error(tmp_path):
    np.save(tmp_path / "X.npy", PIXELS)
    (tmp_path / "X.npy").rename(tmp_path / "X.npz")
    with pytest.raises(FormatError, match=r"found a single array, expected an .npz"):
        read(tmp_path / "X.npz")


def test_stored_pictures_keep_their_size(tmp_path):
    path = npz(tmp_path, X=PIXELS, y=LABELS)
    assert read(path, image_size=(2, 3)).image_shape == (2, 3, 1)
    with pytest.raises(ImageError, match=r"holds pictures of 2x3.*expected 4x4"):
        read(path, image_size=(4, 4))
