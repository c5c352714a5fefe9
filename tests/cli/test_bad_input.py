"""Bad input, as seen from the command line: exit code 2, one line that names the file, no traceback, nothing left."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linprobe.classifiers.model_file import load_model


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


def class_missing_in_a_split(folder: Path) -> str:
    for picture in (folder / "pictures" / "test" / "light").iterdir():
        picture.unlink()
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


def sizes_that_differ(folder: Path) -> str:
    from PIL import Image

    Image.fromarray(np.zeros((6, 5, 3), np.uint8)).save(folder / "pictures" / "train" / "dark" / "large.png")
    return "pictures"


CASES: list[tuple[Callable[[Path], str], list[str]]] = [
    (missing, ["nowhere", "no such file or folder"]),
    (empty_folder, ["empty"]),
    (one_class, ["dark", "at least two classes"]),
    (class_missing_in_a_split, ["light", "test"]),
    (broken_pictures, ["train/dark/cut.png", "test/light/text.jpg", "--on-bad-image skip"]),
    (bomb, ["bomb.png"]),
    (zip_with_dots, ["a/../../dog/1.png"]),
    (zip_with_absolute_path, ["/cat/1.png"]),
    (idx_with_wrong_magic, ["train-images-idx3-ubyte", "0x00000803", "0x00000801"]),
    (idx_cut_short, ["train-images-idx3-ubyte", "15", "16"]),
    (pickle_of_something_else, ["system"]),
    (nan, ["nan", "row 3"]),
    (infinity, ["inf", "row 4"]),
    (labels_of_wrong_length, ["5", "6"]),
    (labels_of_one_class, ["class"]),
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
        (wrong_version, "has version 9, expected 1"),
        (cut_short, "not a safetensors file, or a damaged one"),
        (other_file, "not a safetensors file, or a damaged one"),
        (one_bit, "its checksum does not fit"),
        (gone, "this run has no model yet"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_model_is_told_in_one_line(
    linprobe: Any, pictures: Path, damage: Callable[[Path], None], words: str
) -> None:
    linprobe("train", pictures, "--epochs", 1, "--out", "run")
    load_model("run")
    damage(Path("run") / "model.safetensors")
    picture = pictures / "test" / "dark" / "0.png"
    for command in (["evaluate", "run", pictures], ["predict", "run", picture]):
        answer = linprobe(*command)
        assert answer.code == 2
        assert answer.err.startswith("error: ")
        assert answer.err.count("\n") == 1
        assert words in answer.err
