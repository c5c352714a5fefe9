"""Bad input, as seen from the command line: exit code 2, one line that names the file, no traceback, nothing left."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as save_tensors

from linprobe.classifiers.model_file import _digest, _parts, load_model

CALL = "from linprobe.cli import main; main(prog_name='linprobe')"
"""The installed program, to be run by the Python of the tests."""


def png(width: int, height: int) -> bytes:
    """The header of a PNG picture of that size, with no pixels behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )


def write_idx(path: Path, magic: int, sizes: list[int], data: bytes) -> None:
    """An IDX file."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + data)


def write_zip(path: Path, *names: str) -> None:
    """A zip archive with entries of those names."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch pwned",)


def missing(folder: Path) -> str:
    return "nowhere"


def empty_folder(folder: Path) -> str:
    (folder / "empty").mkdir()
    return "empty"


def one_class(folder: Path) -> str:
    for path in (folder / "pictures").glob("*/light"):
        for picture in path.iterdir():
            picture.unlink()
        path.rmdir()
    return "pictures"


def broken_pictures(folder: Path) -> str:
    whole = (folder / "pictures" / "train" / "dark" / "0.png").read_bytes()
    (folder / "pictures" / "train" / "dark" / "cut.png").write_bytes(whole[:50])
    (folder / "pictures" / "test" / "light" / "text.jpg").write_text("no picture")
    return "pictures"


def bomb(folder: Path) -> str:
    (folder / "pictures" / "train" / "dark" / "bomb.png").write_bytes(png(60_000, 60_000))
    return "pictures"


def zip_with_dots(folder: Path) -> str:
    write_zip(folder / "dots.zip", "a/cat/1.png", "a/../../dog/1.png")
    return "dots.zip"


def zip_with_absolute_path(folder: Path) -> str:
    write_zip(folder / "absolute.zip", "/cat/1.png", "dog/1.png")
    return "absolute.zip"


def idx_with_wrong_magic(folder: Path) -> str:
    write_idx(folder / "idx" / "train-images-idx3-ubyte", 0x801, [4], bytes(4))
    write_idx(folder / "idx" / "train-labels-idx1-ubyte", 0x801, [4], bytes(4))
    return "idx"


def idx_cut_short(folder: Path) -> str:
    write_idx(folder / "idx" / "train-images-idx3-ubyte", 0x803, [4, 2, 2], bytes(15))
    write_idx(folder / "idx" / "train-labels-idx1-ubyte", 0x801, [4], bytes(4))
    return "idx"


def pickle_of_something_else(folder: Path) -> str:
    (folder / "cifar").mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (folder / "cifar" / name).write_bytes(pickle.dumps({b"data": Evil(), b"labels": [0]}))
    return "cifar"


def save_arrays(folder: Path, X: Any, y: Any) -> str:
    np.savez(folder / "arrays.npz", X=X, y=y)
    return "arrays.npz"


def nan(folder: Path) -> str:
    X = np.ones((6, 2))
    X[3, 1] = np.nan
    return save_arrays(folder, X, np.arange(6) % 2)


def infinity(folder: Path) -> str:
    X = np.ones((6, 2))
    X[4, 0] = np.inf
    return save_arrays(folder, X, np.arange(6) % 2)


def labels_of_wrong_length(folder: Path) -> str:
    return save_arrays(folder, np.ones((6, 2)), np.arange(5) % 2)


def labels_of_one_class(folder: Path) -> str:
    return save_arrays(folder, np.ones((6, 2)), np.zeros(6, np.int64))


def labels_out_of_range(folder: Path) -> str:
    np.savez(folder / "arrays.npz", X=np.ones((6, 2)), y=[0, 1, 2, 0, 1, 0], class_names=["cat", "dog"])
    return "arrays.npz"


def numbers_whose_squares_overflow(folder: Path) -> str:
    return save_arrays(folder, np.full((6, 2), -1e200), np.arange(6) % 2)


def other_names(folder: Path) -> str:
    np.savez(folder / "arrays.npz", pixels=np.ones((6, 2)), y=np.arange(6) % 2)
    return "arrays.npz"


def array_without_labels(folder: Path) -> str:
    np.save(folder / "faces.npy", np.ones((6, 2)))
    return "faces.npy"


def rows_without_labels(folder: Path) -> str:
    (folder / "embeddings").mkdir()
    np.save(folder / "embeddings" / "X_train.npy", np.ones((6, 2), np.float16))
    return "embeddings"


def splits_of_different_width(folder: Path) -> str:
    (folder / "embeddings").mkdir()
    for word, width in (("train", 2), ("test", 3)):
        np.save(folder / "embeddings" / f"X_{word}.npy", np.ones((6, width), np.float16))
        np.save(folder / "embeddings" / f"y_{word}.npy", np.arange(6) % 2)
    return "embeddings"


def write_parquet(path: Path, **columns: Any) -> str:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path.parent.name


def parquet_with_ragged_vectors(folder: Path) -> str:
    return write_parquet(folder / "embeddings" / "0.parquet", x=[[1.0, 2.0], [1.0], [2.0, 3.0]], y=[0, 1, 0])


def parquet_with_a_null(folder: Path) -> str:
    return write_parquet(folder / "embeddings" / "0.parquet", x=[[1.0, 2.0]] * 3, y=["a", None, "b"])


def parquet_without_labels(folder: Path) -> str:
    return write_parquet(folder / "embeddings" / "0.parquet", x=[[1.0, 2.0]] * 3, price=[1.5, 2.5, 3.5])


def parquet_cut_short(folder: Path) -> str:
    source = write_parquet(folder / "embeddings" / "0.parquet", x=[[1.0, 2.0]] * 3, y=[0, 1, 0])
    whole = (folder / source / "0.parquet").read_bytes()
    (folder / source / "1.parquet").write_bytes(whole[: len(whole) // 2])
    return source


def empty_class_folder(folder: Path) -> str:
    (folder / "pictures" / "train" / "medium").mkdir()
    (folder / "pictures" / "test" / "medium").mkdir()
    return "pictures"


def many_broken_pictures(folder: Path) -> str:
    for i in range(30):
        (folder / "pictures" / "train" / "dark" / f"broken{i:02}.jpg").write_bytes(b"")
    return "pictures"


def only_broken_pictures(folder: Path) -> str:
    for path in (folder / "pictures").rglob("*.png"):
        path.write_bytes(b"")
    return "pictures"


def archive_without_entries(folder: Path) -> str:
    write_zip(folder / "none.zip")
    return "none.zip"


def archive_of_no_bytes(folder: Path) -> str:
    (folder / "none.zip").write_bytes(b"")
    return "none.zip"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "pipe"


def no_name(folder: Path) -> str:
    return ""


def sizes_that_differ(folder: Path) -> str:
    from PIL import Image

    Image.fromarray(np.zeros((6, 5, 3), np.uint8)).save(folder / "pictures" / "train" / "dark" / "large.png")
    return "pictures"


CASES: list[tuple[Callable[[Path], str], list[str]]] = [
    (missing, ["nowhere", "no such file or folder"]),
    (empty_folder, ["empty"]),
    (one_class, ["dark", "at least two classes"]),
    (broken_pictures, ["train/dark/cut.png", "test/light/text.jpg", "--on-bad-image skip"]),
    (many_broken_pictures, ["broken00.jpg (an empty file)", "broken04.jpg (an empty file) and 25 more"]),
    (only_broken_pictures, ["24 pictures of 24", "no picture remains"]),
    (bomb, ["bomb.png (3,600,000,000 pixels; at most 67,108,864 are read)"]),
    (archive_without_entries, ["empty; expected a folder per class"]),
    (archive_of_no_bytes, ["not a readable archive"]),
    (pipe, ["a pipe, a socket or a device", "regular file"]),
    (no_name, ["the source is an empty text"]),
    (empty_class_folder, ["class folder medium of train holds no picture"]),
    (zip_with_dots, ["a/../../dog/1.png"]),
    (zip_with_absolute_path, ["/cat/1.png"]),
    (idx_with_wrong_magic, ["train-images-idx3-ubyte", "0x00000803", "0x00000801"]),
    (idx_cut_short, ["train-images-idx3-ubyte", "15", "16"]),
    (pickle_of_something_else, ["system"]),
    (nan, ["nan", "row 3"]),
    (infinity, ["inf", "row 4"]),
    (labels_of_wrong_length, ["5", "6"]),
    (labels_of_one_class, ["class"]),
    (labels_out_of_range, ["found 2 at row 2, expected 0..1"]),
    (numbers_whose_squares_overflow, ["array 'X'", "found -1e+200 at row 0, column 0", "numbers up to 1e+100"]),
    (other_names, ["found y; expected the arrays X and y"]),
    (rows_without_labels, ["found X_train; expected the arrays X and y"]),
    (splits_of_different_width, ["X_test.npy: found float16 rows of shape (3,), expected float16 of (2,)"]),
    (parquet_with_ragged_vectors, ["0.parquet, column 'x': found 1 numbers at row 1, expected 2"]),
    (parquet_with_a_null, ["0.parquet: found null at row 1 of column 'y'"]),
    (parquet_without_labels, ["'price' (double); expected a column of labels"]),
    (parquet_cut_short, ["1.parquet: found what cannot be read", "Write or fetch the file again"]),
    (array_without_labels, ["expected faces_labels.npy in the same folder. Save"]),
    (sizes_that_differ, ["large.png", "6x5", "4x4", "--image-size"]),
]


@pytest.mark.parametrize(("make", "words"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_source_that_cannot_be_used_is_told_in_one_line(
    linprobe: Any, pictures: Path, tmp_path: Path, make: Callable[[Path], str], words: list[str]
) -> None:
    source = make(tmp_path)
    answer = linprobe("train", source, "--out", "run")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert "Traceback" not in answer.err
    for word in (Path(source).name, *words):
        assert word in answer.err
    assert not Path("run").exists()
    assert not Path("pwned").exists()


@pytest.mark.parametrize("command", ["evaluate", "info", "gradcheck"])
@pytest.mark.parametrize(("make", "words"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_other_commands_tell_it_as_train_does(
    linprobe: Any, pictures: Path, tmp_path: Path, make: Callable[[Path], str], words: list[str], command: str
) -> None:
    if make is labels_of_one_class and command == "info":
        pytest.skip("what such a source holds may be asked")
    if make in (one_class, empty_class_folder) and command == "evaluate":
        pytest.skip("test pictures need not be of every class: tests/cli/test_evaluate.py")
    linprobe("train", pictures, "--optimizer", "sgd", "--epochs", 0, "--out", "run")
    source = make(tmp_path)
    answer = linprobe(command, "run", source) if command == "evaluate" else linprobe(command, source)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    for word in words:
        assert word in answer.err


def test_broken_pictures_are_left_out_and_counted_when_asked(linprobe: Any, pictures: Path, tmp_path: Path) -> None:
    source = many_broken_pictures(tmp_path)
    answer = linprobe("train", source, "--optimizer", "sgd", "--epochs", 1, "--on-bad-image", "skip", "--json")
    assert answer.code == 0
    assert answer.record["skipped_images"] == 30
    assert answer.record["n_train"] == 16


def test_the_traceback_is_shown_when_asked(linprobe: Any) -> None:
    answer = linprobe("train", "nowhere", "--debug")
    assert answer.code == 2
    assert answer.err.startswith("Traceback")
    assert answer.err.splitlines()[-1].startswith("error: nowhere: ")


def test_pictures_that_do_not_fit_the_model_are_told_with_the_way_out(
    linprobe: Any, pictures: Path, tmp_path: Path
) -> None:
    from PIL import Image

    linprobe("train", pictures, "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    answer = linprobe("evaluate", "run", pictures, "--image-size", "5x3")
    assert answer.code == 2
    assert "resize them with --image-size 4x4" in answer.err
    for path in pictures.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert linprobe("evaluate", "run", pictures).code == 0  # grey ones are read as colour


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("arguments", [["info", "digits"], ["info", "digits", "--json"], ["--help"]])
def test_a_full_disk_behind_stdout_is_told_in_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", CALL, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "error: the output cannot be written (No space left on device); free some space, or send it elsewhere\n"
    )


def test_a_pipe_in_place_of_a_model_or_picture_is_not_waited_for(linprobe: Any, pictures: Path, tmp_path: Path) -> None:
    linprobe("train", pictures, "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    pipe(tmp_path)
    answer = linprobe("predict", "run", "pipe")
    assert answer.code == 2
    assert "pipe (not a " in answer.err
    answer = linprobe("evaluate", "pipe", pictures)
    assert answer.code == 2
    assert answer.err.startswith("error: pipe: the model cannot be read (not a regular file")
    assert answer.err.count("\n") == 1


def signed_again(model: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change tensors and record of a model file, and give it the checksum that fits."""
    tensors, record = _parts(model.read_bytes())
    del record["sha256"]
    change(tensors, record)
    record["sha256"] = _digest(tensors, record)
    model.write_bytes(save_tensors(tensors, {"linprobe": json.dumps(record)}))


def wrong_shape(model: Path) -> None:
    signed_again(model, lambda tensors, _: tensors.update(b=np.zeros(3)))


def missing_tensor(model: Path) -> None:
    signed_again(model, lambda tensors, _: tensors.pop("shift"))


def weight_that_is_nan(model: Path) -> None:
    signed_again(model, lambda tensors, _: tensors.update(b=np.full(2, np.nan)))


def notes_that_are_no_numbers(model: Path) -> None:
    signed_again(model, lambda _, record: record["extra"].update(image_size=["a", "b"]))


def wrong_version(model: Path) -> None:
    content = model.read_bytes()
    damaged = content.replace(b'\\"version\\": 1', b'\\"version\\": 9', 1)
    assert damaged != content
    model.write_bytes(damaged)


def cut_short(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-8])


def other_file(model: Path) -> None:
    model.write_bytes(b"not a model")


def one_bit(model: Path) -> None:
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(bytes(content))


def gone(model: Path) -> None:
    model.unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (wrong_shape, "b has shape (3,), but W (2, 48); expected (2,); copy the file again, or train again"),
        (missing_tensor, "the model file lacks shift; it must hold W, b, scale, shift; copy the file again"),
        (weight_that_is_nan, "b holds NaN or infinity; every number must be finite; copy the file again"),
        (notes_that_are_no_numbers, "its entry 'extra', on how the source was read, cannot be used"),
        (wrong_version, "has version 9, expected 1"),
        (cut_short, "not a safetensors file, or a damaged one"),
        (other_file, "not a safetensors file, or a damaged one"),
        (one_bit, "checksum mismatch"),
        (gone, "this run has no model yet"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_model_is_told_in_one_line(
    linprobe: Any, pictures: Path, damage: Callable[[Path], None], words: str
) -> None:
    linprobe("train", pictures, "--optimizer", "sgd", "--epochs", 1, "--out", "run")
    load_model("run")
    damage(Path("run") / "model.safetensors")
    picture = pictures / "test" / "dark" / "0.png"
    for command in (["evaluate", "run", pictures], ["predict", "run", picture]):
        answer = linprobe(*command)
        assert answer.code == 2
        assert answer.err.startswith("error: ")
        assert answer.err.count("\n") == 1
        assert words in answer.err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_file_that_outgrows_its_limit_is_told_with_the_way_on(pictures: Path, tmp_path: Path) -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); {CALL}"
    arguments = ["train", "pictures", "--no-cache", "--optimizer", "sgd", "--epochs", "2", "--out", "run"]
    done = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(
        "error: run/checkpoint.safetensors: cannot be written: the file is larger than allowed"
    )
    assert done.stderr.endswith("(`ulimit -f`), then continue with `linprobe train --resume run`.\n")
    assert done.stderr.count("\n") == 1
    again = [sys.executable, "-c", CALL, "train", "--resume", "run"]
    assert subprocess.run(again, capture_output=True, cwd=tmp_path).returncode == 0
