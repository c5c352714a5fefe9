"""Nearest neighbours on a source: k chosen on held-out images, the test images classified once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.neighbors import NeighborModel, accuracy
from linprobe.classifiers.selection import SAME
from linprobe.data.base import Dataset, LabelledSet, ProgressCallback
from linprobe.data.splits import Split, notes_on, origin_of, split_dataset, stratified_folds
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.neighbors.search import METRICS, check_metric
from linprobe.runs.contents import digests_of, digests_to_know, doubled_notes, known_by, seen_images, twins_notes
from linprobe.runs.material import read_source
from linprobe.runs.prediction import read_pictures

__all__ = ["KnnResult", "KnnSettings", "Neighbour", "Neighbourhood", "choose_and_test"]


@dataclass(frozen=True)
class KnnSettings:
    """All that decides the result.

    Args:
        source: what `open_dataset` takes.
        ks: numbers of neighbours to choose from, each >= 1; a single one needs no choice.
        metric: "l2", "l1" or "cosine".
        validation: share of the training images held out to choose k by, 0 < validation < 1, when there are no
            folds; a validation split of the source is used as it is.
        folds: how many, to choose k by cross-validation; None for one validation split.
        seed: of the splits and folds, and of sources that are drawn at random.
        image_size: (height, width) to which pictures are resized, or None.
        on_bad_image: "fail" or "skip".
        possible_only: leave out those of `ks` that are larger than the training set, in place of an error.
    Raises:
        ParameterError: one of them is outside its range.
    """

    source: str
    ks: tuple[int, ...] = (1, 3, 5, 7, 9, 11, 15, 21)
    metric: str = "l2"
    validation: float = 0.1
    folds: int | None = None
    seed: int = 0
    image_size: tuple[int, int] | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"
    possible_only: bool = False

    def __post_init__(self) -> None:
        """Check the ranges, and sort the ks."""
        if not self.ks or min(self.ks) < 1:
            raise ParameterError(f"k = {', '.join(map(str, self.ks))}; expected numbers of neighbours, each >= 1.")
        if self.metric not in METRICS:
            raise ParameterError(f"metric = {self.metric!r}; expected one of {', '.join(METRICS)}.")
        if self.folds is not None and self.folds < 2:
            raise ParameterError(f"folds = {self.folds}; expected at least 2.")
        if self.folds is None and not 0.0 < self.validation < 1.0:
            raise ParameterError(f"validation = {self.validation}; expected the share to hold out, > 0 and < 1.")
        object.__setattr__(self, "ks", tuple(sorted(set(self.ks))))


@dataclass(frozen=True)
class Neighbour:
    """A training image near a picture.

    Attributes:
        position: in the training set.
        name: its file; None where the source has no names.
        class_name: its class.
        distance: to the picture, in the metric.
    """

    position: int
    name: str | None
    class_name: str
    distance: float


@dataclass(frozen=True)
class Neighbourhood:
    """The nearest training images of a picture, the nearest first.

    Attributes:
        image: its file.
        class_name: the class that they vote for.
        neighbours: k of them.
    """

    image: str
    class_name: str
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True)
class KnnResult:
    """What nearest neighbours give on a source.

    Attributes:
        source, metric: of the settings.
        k: the number of neighbours that was chosen.
        chosen_by: how.
        validation_accuracies: of each k, ascending; empty where there was no choice.
        test_accuracy: with the chosen k.
        seconds: to choose and to test.
        search: how it was searched, in words.
        n_train, n_validation, n_test, n_classes: counts.
        test_origin: where the test images come from, in words.
        image_shape: (height, width, channels); None for vectors.
        skipped_images: pictures that could not be read.
        neighbours: of the pictures that were requested.
        notes: sentences on the source and its splits that a reader of the figures must know.
    """

    source: str
    metric: str
    k: int
    chosen_by: str
    validation_accuracies: dict[int, float]
    test_accuracy: float
    seconds: float
    search: str
    n_train: int
    n_validation: int
    n_test: int
    n_classes: int
    image_shape: tuple[int, ...] | None
    skipped_images: int
    test_origin: str
    neighbours: tuple[Neighbourhood, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For JSON, as `linprobe knn --json` prints it."""
        accuracies = {str(k): value for k, value in self.validation_accuracies.items()}
        neighbours = [
            {
                "image": one.image,
                "class": one.class_name,
                "neighbours": [
                    {"position": near.position, "name": near.name, "class": near.class_name, "distance": near.distance}
                    for near in one.neighbours
                ],
            }
            for one in self.neighbours
        ]
        same = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            **same,
            "validation_accuracies": accuracies,
            "validation_accuracy": self.validation_accuracies.get(self.k),
            "neighbours": neighbours,
        }


def choose_and_test(
    settings: KnnSettings,
    *,
    neighbours_of: Sequence[Path] = (),
    n_threads: int | None = None,
    cache: bool = True,
    progress: ProgressCallback | None = None,
) -> KnnResult:
    """The k that does best on held-out images, and its accuracy on the test images.

    All k are judged by one search of the held-out images, or of each fold; the k with the highest accuracy is chosen,
    of equal ones the smallest. The test images are then searched once, with that k, among all training images, those
    that were held out to choose k included; a validation split of the source is not searched.

    Args:
        settings: all that decides the result.
        neighbours_of: pictures whose neighbours among the training images are listed.
        n_threads: threads that search and decode; None for one per core. The result does not depend on it.
        cache: whether decoded pixels are kept, and those that are there are used.
        progress: called with the progress of reading and searching.
    Raises:
        ParameterError: a k is larger than the training set.
        IncompatibleError: the metric does not fit the data, or the neighbours of pictures are requested of vectors.
        LinprobeError: the source or a picture cannot be used.
    """
    tell = progress or (lambda what, done, total: None)
    dataset = read_source(settings, n_threads, cache, progress)
    check_metric(settings.metric, dataset.train.X.dtype)
    pictures = _pictures(dataset, neighbours_of, settings)
    started = time.perf_counter()
    choosing = len(settings.ks) > 1
    share = settings.validation if choosing and settings.folds is None else 0.0
    parts = split_dataset(dataset, validation=share, seed=settings.seed)
    assert parts.test is not None
    train, validation = parts.train, parts.validation
    accuracies: dict[int, float] = {}
    n_validation = 0
    if settings.possible_only:
        least = train.n_images - (-(-train.n_images // settings.folds) if choosing and settings.folds else 0)
        settings = replace(settings, ks=tuple(k for k in settings.ks if k <= max(least, 1)))
    if choosing and settings.folds:
        accuracies, n_validation = _by_folds(train, settings, n_threads, tell), train.n_images
    elif choosing:
        assert validation is not None
        accuracies = _judged(train, validation, settings, n_threads, "validation", tell)
        n_validation = validation.n_images
        if dataset.validation is None:
            train = _together(train, validation)
    most = max(accuracies.values(), default=0.0) - SAME
    k = min(one for one in settings.ks if accuracies.get(one, 0.0) >= most)
    model = NeighborModel(k, settings.metric, n_threads=n_threads).fit_sets(train)
    found = model.labels_by_k(parts.test.X, [k], parts.test.rows, lambda done, total: tell("test images", done, total))[
        k
    ]
    test_accuracy = accuracy(found, parts.test.y)
    seconds = time.perf_counter() - started
    return KnnResult(
        source=settings.source,
        metric=settings.metric,
        k=k,
        chosen_by=_chosen_by(settings, choosing),
        validation_accuracies={one: accuracies[one] for one in sorted(accuracies)},
        test_accuracy=test_accuracy,
        seconds=seconds,
        search=model.search_.describe(),
        n_train=train.n_images,
        n_validation=n_validation,
        n_test=parts.test.n_images,
        n_classes=len(dataset.class_names),
        image_shape=dataset.image_shape,
        skipped_images=len(dataset.skipped),
        test_origin=origin_of(dataset, "test", parts.test, settings.seed),
        neighbours=_neighbours(model, train, neighbours_of, pictures),
        notes=(
            *notes_on(dataset, Split(train, parts.validation, parts.test)),
            *_testing_notes(train, parts, choosing and settings.folds is None, n_threads),
            *_judging_notes(settings, dataset, parts, choosing, n_threads),
        ),
    )


def _testing_notes(train: LabelledSet, parts: Dataset, chose: bool, n_threads: int | None) -> tuple[str, ...]:
    """Sentences on test images that are equal to one that was searched, or to a validation image that chose k."""
    assert parts.test is not None
    tested = digests_to_know(parts.test, n_threads)
    seen = known_by(tested, digests_of(train, n_threads))
    if not chose or parts.validation is None:
        return twins_notes(seen)
    chosen = known_by(tested, digests_of(parts.validation, n_threads))
    return (*twins_notes(seen), *twins_notes(chosen & ~seen, of="validation"))


def _judging_notes(
    settings: KnnSettings, dataset: Dataset, parts: Dataset, choosing: bool, n_threads: int | None
) -> tuple[str, ...]:
    """Sentences on the images that judge k: those equal to training images, and a validation split that is not used."""
    trained = digests_of(parts.train, n_threads)
    if not choosing:
        return ()
    if settings.folds is None:
        assert parts.validation is not None
        return twins_notes(seen_images(parts.validation, trained, n_threads), "validation")
    unused = dataset.validation
    note = "" if unused is None else f"the {unused.n_images:,} images of the validation split are not used: k is chosen"
    return (
        *([] if unused is None else [f"{note} by folds of the train split."]),
        *doubled_notes(trained, parts.train.y, folds=True),
    )


def _chosen_by(settings: KnnSettings, choosing: bool) -> str:
    if not choosing:
        return "the command line"
    return f"{settings.folds} folds" if settings.folds else "validation images"


def _judged(
    train: LabelledSet,
    left_out: LabelledSet,
    settings: KnnSettings,
    n_threads: int | None,
    what: str,
    tell: ProgressCallback,
) -> dict[int, float]:
    """Accuracy of each k on the held-out images, from one search of them."""
    model = NeighborModel(max(settings.ks), settings.metric, n_threads=n_threads).fit_sets(train)
    found = model.labels_by_k(left_out.X, settings.ks, left_out.rows, lambda done, total: tell(what, done, total))
    return {k: accuracy(labels, left_out.y) for k, labels in found.items()}


def _by_folds(
    train: LabelledSet, settings: KnnSettings, n_threads: int | None, tell: ProgressCallback
) -> dict[int, float]:
    """Mean over the folds of the accuracy of each k."""
    assert settings.folds is not None
    folds = stratified_folds(train.y, settings.folds, settings.seed)
    judged = []
    for number, fold in enumerate(folds, start=1):
        rest = np.setdiff1d(np.arange(train.n_images), fold)
        what = f"fold {number} of {len(folds)}"
        judged.append(_judged(train.subset(rest), train.subset(fold), settings, n_threads, what, tell))
    return {k: float(np.mean([one[k] for one in judged])) for k in settings.ks}


def _together(train: LabelledSet, held_out: LabelledSet) -> LabelledSet:
    """The training images and those held out of them, which share one array, in its order."""
    assert train.rows is not None
    assert held_out.rows is not None
    rows = np.concatenate([train.rows, held_out.rows])
    order = np.argsort(rows)
    names = None
    if train.names is not None and held_out.names is not None:
        both = (*train.names, *held_out.names)
        names = tuple(both[i] for i in order)
    return replace(train, rows=rows[order], y=np.concatenate([train.y, held_out.y])[order], names=names)


def _pictures(dataset: Dataset, images: Sequence[Path], settings: KnnSettings) -> npt.NDArray[np.uint8] | None:
    """The pictures whose neighbours are requested, read before the search begins."""
    if not images:
        return None
    if dataset.image_shape is None:
        raise IncompatibleError(
            f"{settings.source}: holds vectors of {dataset.train.X.shape[1]} numbers; --neighbours-of needs a source "
            "of pictures. Leave the option out, or use NearestNeighbors.kneighbors in Python."
        )
    return read_pictures(images, dataset.image_shape, settings.image_size).reshape(len(images), -1)


def _neighbours(
    model: NeighborModel, train: LabelledSet, images: Sequence[Path], pictures: npt.NDArray[np.uint8] | None
) -> tuple[Neighbourhood, ...]:
    """The k nearest training images of each picture."""
    if pictures is None:
        return ()
    distances, positions = model.nearest(pictures)
    elected = model.labels_by_k(pictures, [model.k])[model.k]
    return tuple(
        Neighbourhood(
            str(image),
            train.class_names[elected[i]],
            tuple(
                Neighbour(
                    int(position),
                    None if train.names is None else train.names[position],
                    train.class_names[train.y[position]],
                    float(distance),
                )
                for distance, position in zip(distances[i], positions[i], strict=True)
            ),
        )
        for i, image in enumerate(images)
    )
