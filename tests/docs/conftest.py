"""What the pages of the documentation call their reader's data, small enough for a test."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

CLASSES = ("cat", "deer", "frog")


def pictures(label: int, n: int, seed: int) -> npt.NDArray[np.uint8]:
    """(n, 8, 8, 3) noisy stripes, whose direction and colour tell the class."""
    random = np.random.default_rng([label, seed])
    rows, columns = np.mgrid[:8, :8]
    stripes = np.sin((rows, columns, rows + columns)[label] * 1.6)[None, :, :, None]
    color = np.roll([60.0, 20.0, 0.0], label)
    noise = random.normal(0.0, 25.0, (n, 8, 8, 3))
    return np.clip(110.0 + 40.0 * stripes + color + noise, 0.0, 255.0).astype(np.uint8)


def write(folder: Path, n: int, seed: int) -> None:
    """A folder for each class, with `n` pictures in it."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i, pixels in enumerate(pictures(label, n, seed)):
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a reader of the documentation works, the present one, with what the pages name.

    pictures/ and cat.jpg; in the place of CIFAR-10 an archive of the same layout, cifar10.zip, and CIFAR-10-C/.
    """
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "pictures", 20, seed=0)
    Image.fromarray(pictures(0, 1, seed=1)[0]).save(tmp_path / "cat.jpg")
    with zipfile.ZipFile(tmp_path / "cifar10.zip", "w") as archive:
        for split, n, seed in (("train", 20, 2), ("test", 8, 3)):
            write(tmp_path / "made" / split, n, seed)
            for path in sorted((tmp_path / "made" / split).rglob("*.png")):
                archive.write(path, path.relative_to(tmp_path / "made"))
    corrupted = tmp_path / "CIFAR-10-C"
    corrupted.mkdir()
    np.save(corrupted / "fog.npy", np.concatenate([pictures(label, 5, seed=4) for label in range(3)]))
    np.save(corrupted / "labels.npy", np.repeat(np.arange(3), 5))
    return tmp_path
