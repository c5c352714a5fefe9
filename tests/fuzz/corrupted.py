"""Targets: sets of corrupted pictures, as CIFAR-10-C and ImageNet-C."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from linprobe.challenges.corrupted import open_corrupted
from linprobe.challenges.table import score_sets
from linprobe.data import ReadOptions

from .cases import Target
from .mutations import mutated_bytes
from .sources import PIXELS, picture, png_repaired, saved

CLASSES = ("cat", "dog", "owl")

IMAGES = np.concatenate([PIXELS[:2]] * 5)
"""Two pictures of five severities each, as CIFAR-10-C stacks them."""

Y = np.array([0, 2])

TREE = tuple(f"{kind}/{level}/{name}/0.png" for kind in ("fog", "snow") for level in (1, 5) for name in CLASSES)
"""Pictures of ImageNet-C."""


STRANGE = ("0", "6", "1 ", "٣", "-1", "train", "test", ".x", "__x", "a\nb", "x" * 200, "é", "fog", "cat")
"""Names of folders and files."""


def read(folder: Path) -> int:
    """Reads the sets, and scores a classifier that always finds the first class."""
    sets = open_corrupted(folder, CLASSES, ReadOptions(cache=False, n_threads=1))
    known = [(one.kind, one.severity, one.images, one.images.y) for one in sets]
    score_sets(lambda pictures: np.zeros(len(pictures), np.int64), known)
    return sum(one.images.X[one.images.positions].nbytes for one in sets)


def among(name: str, others: dict[str, bytes]):
    """Plays one file of a set whose other files are in order."""

    def play(folder: Path, content: bytes) -> int:
        for path, good in {**others, name: content}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(good)
        return read(folder)

    return play


def mutated_tree(names: tuple[str, ...], chance: random.Random) -> tuple[str, ...]:
    """The names of the pictures after some were moved, doubled or taken away."""
    changed = list(names)
    for _ in range(chance.choice((1, 1, 2, 4))):
        i = chance.randrange(len(changed))
        parts = changed[i].split("/")
        at = chance.randrange(len(parts))
        match chance.randrange(5):
            case 0 if len(changed) > 1:
                del changed[i]
                continue
            case 1:
                parts[at] = chance.choice(
                    ("0", "6", "1 ", "٣", "-1", "train", "test", ".x", "__x", "a\nb", "x" * 200, "é")
                )
            case 2:
                parts[at:at] = [chance.choice(("1", "2", "fog", "cat", "deep"))]
            case 3 if len(parts) > 1:
                del parts[at]
            case _:
                parts[at] = f"{chance.randrange(9)}{parts[at]}"
        changed[i] = "/".join(parts)
    return tuple(changed)


def play_tree(folder: Path, names: tuple[str, ...]) -> int:
    """Plays a tree of pictures; two names that cannot stand side by side are left out."""
    for name in names:
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture("PNG"))
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    return read(folder)


def targets() -> list[Target]:
    """Arrays, pictures and trees of corrupted sets."""
    images = (saved(IMAGES), saved(np.asfortranarray(IMAGES)))
    labels = (saved(Y), saved(np.tile(Y, 5).astype(np.uint8)))
    tree = {name: picture("PNG") for name in TREE}
    return [
        Target("corrupted images", images, mutated_bytes, among("fog.npy", {"labels.npy": labels[0]})),
        Target("corrupted labels", labels, mutated_bytes, among("labels.npy", {"fog.npy": images[0]})),
        Target("corrupted picture", (picture("PNG"),), png_repaired, among(TREE[0], tree)),
        Target("corrupted tree", (TREE, tuple(f"{name}/{i}.png" for name in CLASSES for i in range(2))),
               mutated_tree, play_tree),
    ]  # fmt: skip
