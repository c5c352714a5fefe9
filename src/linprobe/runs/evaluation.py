"""The performance of a classifier on labelled images: accuracy, by class, and the confusion matrix."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import read_model
from linprobe.data.base import ImageSet, LabelledSet, ProgressCallback, ReadOptions, open_dataset
from linprobe.data.names import seen_name
from linprobe.errors import IncompatibleError
from linprobe.features.base import FeatureMap
from linprobe.objective import Objective
from linprobe.plain import few
from linprobe.runs.evaluation_set import EvaluationSet, SplitName, evaluation_set
from linprobe.runs.features import map_images
from linprobe.runs.folder import write_atomically
from linprobe.runs.models import model_file_of, reading_of
from linprobe.shapes import Labels

__all__ = ["Evaluation", "Performance", "evaluate_source", "labels_by_name", "measure", "write_confusion"]

BLOCK_NUMBERS = 2**22
"""Scores in a block of images: 32 MB of float64."""


@dataclass(frozen=True)
class Performance:
    """The performance of a classifier on a set of labelled images.

    Attributes:
        n_images: number of images.
        accuracy: share of them classified correctly, 0..1.
        loss: mean of L_i over them, without the penalty.
        class_names: names of the K classes, in the order of the classifier.
        confusion: (K, K) int64; entry [i, j] counts the images of class i that are classified as j.
    """

    n_images: int
    accuracy: float
    loss: float
    class_names: tuple[str, ...]
    confusion: npt.NDArray[np.int64]

    @property
    def class_counts(self) -> list[int]:
        """Images of each class."""
        return [int(count) for count in self.confusion.sum(axis=1)]

    @property
    def class_accuracy(self) -> list[float]:
        """Share of the images of each class classified correctly; NaN for a class without images."""
        hits = np.diagonal(self.confusion)
        return [float(h) / count if count else float("nan") for h, count in zip(hits, self.class_counts, strict=True)]


@dataclass(frozen=True)
class Evaluation:
    """The performance of a trained model on images of a source.

    Attributes:
        performance: on all of `tested`.
        tested: which images these are.
    """

    performance: Performance
    tested: EvaluationSet

    def as_dict(self) -> dict[str, object]:
        """For JSON, as `linprobe evaluate --json` prints it."""
        found, tested = self.performance, self.tested
        return {
            "split": tested.split,
            "split_origin": tested.origin,
            "n_images": found.n_images,
            "n_left_out": tested.n_left_out,
            "n_trained_on": tested.n_trained_on,
            "n_chosen_on": tested.n_chosen_on,
            "skipped_images": tested.n_skipped,
            "notes": list(tested.notes),
            "accuracy": found.accuracy,
            "loss": found.loss,
            "classes": [
                {"name": name, "n_images": count, "accuracy": accuracy}
                for name, count, accuracy in zip(
                    found.class_names, found.class_counts, found.class_accuracy, strict=True
                )
            ],
            "confusion": found.confusion,
        }


def write_confusion(path: Path, performance: Performance) -> None:
    """Write the confusion matrix as CSV: a row for each class, with the number of its images taken for each class.

    Raises:
        RunError: the file cannot be written.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["is \\ taken for", *performance.class_names])
    for name, counts in zip(performance.class_names, performance.confusion.tolist(), strict=True):
        table.writerow([name, *counts])
    write_atomically(path, out.getvalue().encode("utf-8", "surrogateescape"))


def evaluate_source(
    model: Path,
    source: str,
    *,
    split: SplitName | None = None,
    seed: int | None = None,
    image_size: tuple[int, int] | None = None,
    on_bad_image: Literal["fail", "skip"] = "fail",
    cache: bool = True,
    n_threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> Evaluation:
    """The performance of the model of a run folder or model file on images of `source` that it was not trained on.

    Args:
        model: a run folder, or a model file.
        split, seed: which images, as `evaluation_set` takes them.
        image_size: (height, width); None for that of the training.
        source, on_bad_image, cache, n_threads, progress: as `open_dataset` takes them.
    Raises:
        LinprobeError: the model or the source cannot be read, or they do not fit.
    """
    classifier = read_model(model_file_of(model))
    trained_with = reading_of(classifier, model)
    options = ReadOptions(
        image_size=trained_with.image_size if image_size is None else image_size,
        on_bad_image=on_bad_image,
        cache=cache,
        n_threads=n_threads,
        seed=trained_with.seed if seed is None else seed,
        progress=progress,
        to_train=False,
    )
    dataset = open_dataset(source, options)
    tested = evaluation_set(classifier, dataset, trained_with, split=split, seed=seed, n_threads=n_threads)
    parts = tested.parts
    if classifier.features_ is not None:
        parts = tuple(_with_features(classifier.features_, part, n_threads, progress) for part in parts)
    measured = [measure(classifier, part, n_threads) for part in parts]
    return Evaluation(_together(measured), tested)


def _together(measured: Sequence[Performance]) -> Performance:
    """The performance on several sets as one."""
    if len(measured) == 1:  # its figures are those of the training, to the last bit
        return measured[0]
    n = sum(part.n_images for part in measured)
    confusion: npt.NDArray[np.int64] = np.sum([part.confusion for part in measured], axis=0)
    loss = sum(part.loss * part.n_images for part in measured) / n
    return Performance(n, float(np.trace(confusion)) / n, loss, measured[0].class_names, confusion)


def _with_features(
    features: FeatureMap, images: LabelledSet, n_threads: int | None, progress: ProgressCallback | None
) -> LabelledSet:
    """The features of pictures of the right size.

    Raises:
        IncompatibleError: they are vectors, or pictures of another size.
    """
    if not isinstance(images, ImageSet) or images.image_shape != features.image_shape:
        raise IncompatibleError(
            f"{images.source}: its images are {_shape(images)}, but the features of the model ({features.spec}) were "
            f"learnt from {_shape_text(features.image_shape, 0)}; {remedy(images, features.image_shape)}."
        )
    return map_images(images, features, n_threads, progress)


def measure(classifier: LinearModel, images: LabelledSet, n_threads: int | None = None) -> Performance:
    """The performance of `classifier` on `images`, read in blocks; the classes are matched by name.

    Raises:
        IncompatibleError: the images have another shape than those of the training, or a class it does not know.
    """
    names = classifier.class_names_
    y = labels_by_name(images, names)
    if images.image_shape != classifier.image_shape_ or images.X.shape[1] != classifier.weights_.shape[1]:
        raise IncompatibleError(
            f"{images.source}: its images are {_shape(images)}, but the model was trained on "
            f"{_shape_text(classifier.image_shape_, classifier.weights_.shape[1])}; "
            f"{remedy(images, classifier.image_shape_)}."
        )
    K = len(names)
    objective = Objective(
        images.X,
        y,
        loss=classifier.loss_,
        penalty=None,
        reg=0.0,
        n_classes=K,
        rows=images.rows,
        affine=classifier.affine_,
        n_threads=n_threads,
    )
    total, confusion = 0.0, np.zeros((K, K), np.int64)
    size = max(1, BLOCK_NUMBERS // K)
    for start in range(0, len(y), size):
        rows = np.arange(start, min(start + size, len(y)))
        scores = objective.engine.scores(classifier.weights_, classifier.bias_, rows)
        total += float(objective.loss.value(scores, y[rows]).sum())
        confusion += np.bincount(y[rows] * K + scores.argmax(axis=1), minlength=K * K).reshape(K, K)
    n = len(y)
    return Performance(n, float(np.trace(confusion)) / n, total / n, names, confusion)


def labels_by_name(images: LabelledSet, class_names: tuple[str, ...]) -> Labels:
    """The labels of `images` as positions in `class_names`.

    Raises:
        IncompatibleError: a class of the images is not among them.
    """
    if images.class_names == class_names:
        return images.y
    present = {int(label) for label in np.unique(images.y)}
    position = {name: k for k, name in enumerate(class_names)}
    seen = Counter(map(seen_name, class_names))
    alike = {seen_name(name): k for k, name in enumerate(class_names) if seen[seen_name(name)] == 1}
    for name in images.class_names:
        if name not in position and seen_name(name) in alike:
            position[name] = alike[seen_name(name)]
    unknown = [name for k, name in enumerate(images.class_names) if k in present and name not in position]
    if unknown:
        raise IncompatibleError(
            f"{images.source}: the model does not know the class {few([repr(name) for name in unknown])}; "
            f"it knows {few([repr(name) for name in class_names])}. Rename the classes, or train on this source."
        )
    table = np.array([position.get(name, -1) for name in images.class_names], dtype=np.int64)
    return table[images.y]


def remedy(images: LabelledSet, expected: tuple[int, ...] | None) -> str:
    """The next step for images of another shape than `expected`."""
    found = images.image_shape
    if found is None or expected is None:
        return "give a source of the same kind, or train on this one"
    if found[:2] != expected[:2]:
        size = f"{expected[0]}x{expected[1]}"
        if isinstance(images, ImageSet) and images.names is None:  # arrays, which are not resized
            return f"resize them to {size} and save them again, or give them as picture files with --image-size {size}"
        return f"resize them with --image-size {size}"
    kind = {1: "grey", 3: "RGB"}.get(expected[2], f"{expected[2]}-channel")
    return f"save them as {kind} pictures, or train on this source"


def _shape(images: LabelledSet) -> str:
    return _shape_text(images.image_shape, images.X.shape[1])


def _shape_text(shape: tuple[int, ...] | None, n_features: int) -> str:
    return f"vectors of {n_features} numbers" if shape is None else "x".join(map(str, shape))
