"""Train, validation and test parts, and folds: stratified, seeded, sharing the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from linprobe.data.base import Dataset, LabelledSet
from linprobe.errors import ParameterError, SplitError
from linprobe.plain import few
from linprobe.shapes import Labels

__all__ = [
    "TEST_SHARE",
    "Split",
    "lacking_note",
    "notes_on",
    "origin_of",
    "split_dataset",
    "stratified_folds",
    "train_validation_test",
]

TEST_SHARE = 0.2
"""Share of the images of a source without a test split that become one."""

TEST, VALIDATION, FOLDS = range(3)
"""Second word of each generator's seed, which makes the draws for the three purposes independent."""


@dataclass(frozen=True)
class Split:
    """The images for training, for model selection, and for the final test."""

    train: LabelledSet
    validation: LabelledSet | None
    test: LabelledSet


def train_validation_test(dataset: Dataset, validation: float = 0.0, seed: int = 0) -> Split:
    """The parts of `dataset` for one training, by `split_dataset`, always with a test part.

    Raises:
        ParameterError, SplitError: as `split_dataset`.
    """
    parts = split_dataset(dataset, validation=validation, seed=seed)
    assert parts.test is not None  # TEST_SHARE is above 0
    return Split(parts.train, parts.validation, parts.test)


def split_dataset(dataset: Dataset, *, validation: float = 0.0, test: float = TEST_SHARE, seed: int = 0) -> Dataset:
    """`dataset` with the parts it lacks held out of its training images, class by class.

    The images of a class are cut into equal stretches in the order of the source, and one image of each stretch is
    drawn. Neighbours are often similar (one writer, one camera, one day), so this varies less from seed to seed than
    a draw from the whole class. The test part of a seed is the same with and without a validation part. Rows keep
    their order, and all parts share one array of pixels.

    Args:
        validation: share of the training images to hold out after the test part, 0 <= validation < 1; 0 for none. A
            validation split of the source is used unchanged.
        test: share of the training images that become the test part if the source has none, 0 <= test < 1; 0 for none.
        seed: of the draw, >= 0.
    Raises:
        ParameterError: a share or the seed is outside its range.
        SplitError: there is only one class, or a class has too few images to be in every part that is held out. A
            class may lack images in a validation or test split of the source (see `lacking_note`).
    """
    for name, share in (("validation", validation), ("test", test)):
        if not 0.0 <= share < 1.0:
            raise ParameterError(f"{name} = {share}; expected the share of the images to hold out, >= 0 and < 1.")
    _check_seed(seed)
    _check_classes(dataset)
    holds_out = {
        "test": dataset.test is None and test > 0.0,
        "validation": dataset.validation is None and validation > 0.0,
    }
    _check_enough(dataset, [name for name, wanted in holds_out.items() if wanted])
    train, validated, tested = dataset.train, dataset.validation, dataset.test
    if holds_out["test"]:
        # before a validation part is drawn, each class keeps two images: one for it and one for training
        train, tested = _hold_out(train, test, _generator(seed, TEST), 2 if holds_out["validation"] else 1)
    if holds_out["validation"]:
        train, validated = _hold_out(train, validation, _generator(seed, VALIDATION), 1)
    return replace(dataset, train=train, validation=validated, test=tested)


def stratified_folds(y: Labels, k: int, seed: int = 0) -> list[npt.NDArray[np.int64]]:
    """k sorted arrays of rows, a partition of the rows of `y` (N,).

    The numbers of images of a class in two folds differ by at most one, and so do the sizes of two folds.

    Raises:
        ParameterError: `k` is below 2, or the seed below 0.
        SplitError: there is only one class, or a class has fewer than `k` images.
    """
    if k < 2:
        raise ParameterError(f"k = {k}; expected at least 2 folds.")
    _check_seed(seed)
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise SplitError(f"y has {len(classes)} class; expected at least 2. Add images of another class.")
    if counts.min() < k:
        label, count = classes[counts.argmin()], int(counts.min())
        raise SplitError(
            f"class {label} has {count} image{'s' * (count > 1)}; {k} folds need at least {k} of each "
            "class. Use fewer folds, or add images."
        )
    random = _generator(seed, FOLDS)
    # images are dealt to the folds in turn, class after class, each class starting where the last one ended
    dealt = np.concatenate([random.permutation(np.flatnonzero(y == label)) for label in classes])
    return [np.sort(dealt[fold::k]).astype(np.int64) for fold in range(k)]


def _hold_out(
    images: LabelledSet, share: float, random: np.random.Generator, keep: int
) -> tuple[LabelledSet, LabelledSet]:
    """(images kept, images held out): `share` of each class, at least one; at least `keep` are kept."""
    counts = np.bincount(images.y)
    held = np.floor(share * counts).astype(np.int64)
    missing = round(share * len(images.y)) - int(held.sum())
    # largest remainders first, so that the total is the requested share, rounded to an image
    held[np.argsort(held - share * counts, kind="stable")[: max(missing, 0)]] += 1
    held = np.clip(held, 1, counts - keep)
    out = np.zeros(len(images.y), dtype=bool)
    for label, count in enumerate(held):
        rows = np.flatnonzero(images.y == label)
        # one image from each of `count` equal stretches of the class
        starts = np.arange(count + 1) * len(rows) // max(count, 1)
        out[rows[random.integers(starts[:-1], starts[1:])]] = True
    return images.subset(np.flatnonzero(~out)), images.subset(np.flatnonzero(out))


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise ParameterError(f"seed = {seed}; expected an integer >= 0.")


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, purpose]))


def notes_on(dataset: Dataset, split: Split | Dataset) -> tuple[str, ...]:
    """What a user must know of the figures of a split: the notes of its source, and the classes that a part lacks."""
    parts = (("validation", split.validation), ("test", split.test))
    notes = [_lacking(images, part) for part, images in parts if images is not None]
    return (*dataset.notes, *(note for note in notes if note is not None))


def _lacking(images: LabelledSet, part: str) -> str | None:
    """A sentence on the classes that have no image among some; None where all have one."""
    names = images.class_names
    empty = np.flatnonzero(np.bincount(images.y, minlength=len(names)) == 0)
    return lacking_note([names[label] for label in empty], len(names), part)


def origin_of(dataset: Dataset, part: str, images: LabelledSet, seed: int) -> str:
    """Where a part of a source comes from, in words that every table, file and page shows.

    Args:
        dataset: as its source has it, before it is split.
        part: "train", "validation" or "test".
        images: the part.
        seed: of the draw.
    """
    if images is getattr(dataset, part) or (part != "train" and getattr(dataset, part) is not None):
        return "the source's own"
    if part == "train":
        return f"what seed {seed} left of the source after drawing the other splits"
    n_all = dataset.train.n_images
    return f"{images.n_images:,} of the source's {n_all:,} images for training, drawn with seed {seed}"


def lacking_note(lacking: Sequence[str], n_classes: int, part: str) -> str | None:
    """A sentence on the classes that have no image in a part of the data; None where all have one.

    Args:
        lacking: the names of these classes.
        n_classes: of the data, or of the model.
        part: train, validation, test or all.
    """
    if not lacking:
        return None
    where = "the source" if part == "all" else f"the {part} split"
    return (
        f"{_classes(tuple(lacking), np.arange(len(lacking)))} no image in {where}: "
        f"its figures are over the other {n_classes - len(lacking)} of {n_classes} classes."
    )


def _check_classes(dataset: Dataset) -> None:
    """Raise unless there are at least two classes, each with an image to train on."""
    names = dataset.class_names
    if len(names) < 2:
        raise SplitError(
            f"{dataset.source}: found one class only, {', '.join(map(repr, names))}; expected at least 2. "
            "Add images of another class."
        )
    empty = np.flatnonzero(np.bincount(dataset.train.y, minlength=len(names)) == 0)
    if len(empty):
        raise SplitError(
            f"{dataset.source}: {_classes(names, empty)} no image in the train split; expected at "
            f"least 1 image of each of the {len(names)} classes. Add images, or remove the class from "
            "every split."
        )


def _check_enough(dataset: Dataset, held_out: list[str]) -> None:
    """Raise unless each class has an image for every part in `held_out`, and one to train on."""
    needed = 1 + len(held_out)
    counts = np.bincount(dataset.train.y, minlength=len(dataset.class_names))
    few = np.flatnonzero(counts < needed)
    if len(few) == len(counts) > 2:
        raise SplitError(
            f"{dataset.source}: {len(counts)} classes with fewer than {needed} images each; these labels number the "
            "images rather than name their classes. Use the labels that say what each image shows."
        )
    if len(few):
        parts = " and ".join(["train", *held_out] if len(held_out) < 2 else ["train, test", "validation"])
        raise SplitError(
            f"{dataset.source}: {_classes(dataset.class_names, few)} fewer than {needed} images to train on; expected "
            f"at least {needed}, one each for {parts}. Add images, or provide the splits in the source itself."
        )


def _classes(names: tuple[str, ...], labels: npt.NDArray[np.intp]) -> str:
    """ "class 'cat' has" or "classes 'cat', 'dog' and 3 more have"."""
    shown = few([repr(names[label]) for label in labels], 5)
    return f"class {shown} has" if len(labels) == 1 else f"classes {shown} have"
