"""Each message that advises something: it is provoked, its advice is found in it, and following that works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(40, 5)).astype(np.float32)
TWO = np.arange(40) % 2
FAST = ("--max-iter", 40, "--tol", 1e-2)


def train(*arguments: object) -> tuple[object, ...]:
    """A short training into the folder run."""
    return ("train", *arguments, *FAST)


@dataclass(frozen=True)
class Advice:
    """A command that fails, a part of its message, and what to do next: None for a change of files alone.

    Args:
        failing: the command.
        advice: text of its message.
        followed: a command that must succeed.
        between: changes the files as advised.
    """

    failing: tuple[object, ...]
    advice: str
    followed: tuple[object, ...]
    between: Callable[[], None] = lambda: None


def divide() -> None:
    """No number above 1e6."""
    np.savez("large.npz", X=ROWS.astype(np.float64), y=TWO)


def resize() -> None:
    """Pictures of the size of the training."""
    np.savez("other_size.npz", X=np.zeros((40, 8, 8, 3), np.uint8), y=TWO)


def repair() -> None:
    """Another picture in place of the broken one."""
    Path("broken/dark/0.png").write_bytes(Path("broken/dark/1.png").read_bytes())


CASES = {
    "flips of vectors": Advice(train("rows.npz", "--flips"), "Leave --flips out", train("rows.npz")),
    "hog of vectors": Advice(
        train("rows.npz", "--features", "hog"), "Use --features pixels", train("rows.npz", "--features", "pixels")
    ),
    "hog of pictures that are too small": Advice(
        train("files", "--features", "hog"),
        "Enlarge them with --image-size, or leave hog out",
        train("files", "--features", "hog", "--image-size", "16x16"),
    ),
    "pooling that has no flips": Advice(
        train("files", "--features", "patches", "--patches", 4, "--pooling", "fractional", "--flips"),
        "use --pooling average or --pooling max, or leave out the flips",
        train("files", "--features", "patches", "--patches", 4, "--pooling", "average", "--image-size", "16x16"),
    ),
    "patches of pixels": Advice(
        train("digits", "--patches", 4),
        "--patches only applies to --features patches (got pixels); choose that, or leave --patches out",
        train("digits", "--features", "patches", "--patches", 4),
    ),
    "delta of softmax": Advice(
        train("digits", "--delta", 2),
        "--delta only applies to --loss hinge or squared-hinge (got softmax); choose that",
        train("digits", "--loss", "squared-hinge", "--delta", 2),
    ),
    "beta of l2": Advice(
        ("sweep", "digits", "--beta", 2),
        "--beta only applies to --penalty elastic-net (got l2); choose that, or leave --beta out",
        ("sweep", "digits", "--reg-grid", "1,2"),
    ),
    "batches of exact": Advice(
        train("rows.npz", "--batch-size", 4),
        "--batch-size only applies to --optimizer sgd (got exact); choose that",
        ("train", "rows.npz", "--batch-size", 4, "--optimizer", "sgd", "--epochs", 1),
    ),
    "another size, arrays": Advice(
        ("evaluate", "of_pictures", "other_size.npz"),
        "resize them to 8x8 and save them again",
        ("evaluate", "of_pictures", "other_size.npz"),
        resize,
    ),
    "another size, files": Advice(
        ("evaluate", "of_pictures", "files"),
        "resize them with --image-size 8x8",
        ("evaluate", "of_pictures", "files", "--image-size", "8x8"),
    ),
    "another size, one picture": Advice(
        ("predict", "of_pictures", "files/0/0.png"),
        "--image-size 8x8",
        ("predict", "of_pictures", "files/0/0.png", "--image-size", "8x8"),
    ),
    "too many neighbours": Advice(
        ("knn", "rows.npz", "--k", "5,60"), "use a k of at most 29", ("knn", "rows.npz", "--k", "5,29")
    ),
    "squares too large": Advice(
        train("large.npz"), "use --preprocess standardize", train("large.npz", "--preprocess", "standardize")
    ),
    "squares too large, divided": Advice(
        train("large.npz"), "divide the features so that none is above 1e6", train("large.npz"), divide
    ),
    "a broken picture, repaired": Advice(train("broken"), "replace them", train("broken"), repair),
    "a broken picture, left out": Advice(
        train("broken"), "leave them out with --on-bad-image skip", train("broken", "--on-bad-image", "skip")
    ),
    "a finished run": Advice(
        train("digits", "--out", "of_pictures"), "holds a finished run already; choose another --out", train("digits")
    ),
    "a sweep of a finished run": Advice(
        ("sweep", "--resume", "of_pictures"), "Start a new run to go further", train("digits")
    ),
    "no penalty to sweep": Advice(
        ("sweep", "rows.npz", "--penalty", "none"),
        "needs a penalty, one of l2, l1, elastic-net",
        ("sweep", "rows.npz", "--penalty", "elastic-net", "--reg-grid", "1e-1,1"),
    ),
    "a model of vectors": Advice(
        ("predict", "of_rows", "files/0/0.png"),
        "Use `linprobe evaluate` for labelled vectors",
        ("evaluate", "of_rows", "rows.npz"),
    ),
    "no run": Advice(
        ("report", "nowhere"), "`linprobe train SOURCE` makes one", ("report", "of_rows", "--out", "page.html")
    ),
    "patience without validation": Advice(
        ("train", "digits", "--optimizer", "sgd", "--patience", 2),
        "--validation",
        ("train", "digits", "--optimizer", "sgd", "--patience", 2, "--epochs", 2, "--validation", 0.2),
    ),
    "a run in place of a source": Advice(
        ("evaluate", "of_rows", "of_rows"), "linprobe info of_rows shows it", ("info", "of_rows")
    ),
    "pictures of different sizes": Advice(
        train("sizes"), "for example --image-size 4x4", train("sizes", "--image-size", "4x4")
    ),
}


@pytest.fixture
def sources(linprobe: Any, tmp_path: Path, write_pictures: Callable[..., None]) -> None:
    """Small sources and two runs in the working folder."""
    np.savez("rows.npz", X=ROWS, y=TWO)
    np.savez("large.npz", X=ROWS.astype(np.float64) * 1e30, y=TWO)
    np.savez("pictures.npz", X=RANDOM.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8), y=TWO)
    np.savez("other_size.npz", X=np.zeros((40, 10, 9, 3), np.uint8), y=TWO)
    write_pictures(tmp_path / "files", 5, 0)
    for name in ("dark", "light"):  # the classes of the model
        (tmp_path / "files" / name).rename(tmp_path / "files" / {"dark": "0", "light": "1"}[name])
    write_pictures(tmp_path / "broken", 5, 0)
    Path("broken/dark/0.png").write_bytes(b"no picture")
    write_pictures(tmp_path / "sizes", 5, 0)
    Image.new("RGB", (6, 6)).save("sizes/dark/9.png")
    assert linprobe(*train("pictures.npz", "--out", "of_pictures")).code == 0
    assert linprobe(*train("rows.npz", "--out", "of_rows")).code == 0


@pytest.mark.parametrize("name", CASES)
def test_advice_that_is_followed_works(linprobe: Any, sources: None, name: str) -> None:
    case = CASES[name]
    refused = linprobe(*case.failing)
    assert refused.code == 2, refused
    assert refused.err.startswith("error: ")
    assert refused.err.count("\n") == 1
    assert case.advice in refused.err
    case.between()
    followed = linprobe(*case.followed)
    assert followed.code == 0, followed.err
