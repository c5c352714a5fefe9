"""The challenges of recognition on the test images of a source, for the model of a run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from linprobe.challenges.base import SEVERITIES
from linprobe.challenges.corrupted import CorruptedSet, open_corrupted
from linprobe.challenges.table import ChallengeTable, Classify, choose, run_challenges, score_sets
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import read_model
from linprobe.classifiers.neighbors import NeighborModel
from linprobe.data.base import ImageSet, LabelledSet, ProgressCallback, ReadOptions, open_dataset
from linprobe.data.splits import notes_on, origin_of, train_validation_test
from linprobe.errors import IncompatibleError, ParameterError, RunError
from linprobe.runs.contents import Digests, digests_of
from linprobe.runs.evaluation import labels_by_name, remedy
from linprobe.runs.evaluation_set import EvaluationSet, counted_again, evaluation_set, together
from linprobe.runs.folder import write_atomically
from linprobe.runs.models import Reading, model_file_of, picture_shape, reading_of, scores_of_pictures, suited_to
from linprobe.shapes import Labels, Pixels

__all__ = ["ChallengeRun", "challenge_source", "classifier_of"]

RECORD, SHEET = "challenges.json", "challenges.png"
"""Files that a run folder gets."""


@dataclass(frozen=True)
class ChallengeRun:
    """The result of the challenges for one model and source.

    Args:
        table: accuracies with their intervals.
        record: the whole result, for JSON.
        record_path, sheet_path: the files written, None where there is none.
        tested: which images were changed; its parts are those before a limit.
    """

    table: ChallengeTable
    record: Mapping[str, object]
    record_path: Path | None
    sheet_path: Path | None
    tested: EvaluationSet


NEIGHBOURS = re.compile(r"knn:(\d+)(?::(l2|l1))?")
"""How nearest neighbours are written in place of a run: k, and the metric."""


def neighbours_of(train: object, k: int, metric: str, n_threads: int | None = None) -> Classify:
    """A function from pictures to the classes that their k nearest training pictures vote for.

    Raises:
        IncompatibleError: `train` does not hold pictures.
        ParameterError: k is larger than the training set.
    """
    model = NeighborModel(k, metric, n_threads=n_threads).fit_sets(_pictures(train))

    def classify(pictures: Pixels) -> Labels:
        return model.labels_by_k(pictures.reshape(len(pictures), -1), [k])[k]

    return classify


def classifier_of(model: LinearModel, n_threads: int | None = None) -> Classify:
    """A function from pictures (n, height, width, channels) uint8 to classes (n,), positions in `class_names_`."""
    model.n_threads = n_threads

    def classify(pictures: Pixels) -> Labels:
        labels: Labels = scores_of_pictures(model, pictures, n_threads).argmax(axis=1)
        return labels

    return classify


def challenge_source(
    model: Path,
    source: str,
    *,
    severities: Sequence[int] = SEVERITIES,
    names: Sequence[str] | None = None,
    corrupted: Path | None = None,
    sheet: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    image_size: tuple[int, int] | None = None,
    on_bad_image: Literal["fail", "skip"] = "fail",
    cache: bool = True,
    n_threads: int | None = None,
    progress: ProgressCallback | None = None,
) -> ChallengeRun:
    """Accuracy of the model of a run folder or model file on the changed test images of `source`.

    The test images are those of `evaluation_set`: none that the model was trained on. A run folder gets challenges.json
    and, unless no kind changes pictures, challenges.png.

    Args:
        model: a run folder, a model file, or knn:K or knn:K:METRIC for the K nearest training images of the source.
        severities: some of 0..5.
        names: challenges or kinds; None for all, () for none.
        corrupted: a folder of ready-made corrupted sets, scored as well.
        sheet: file for the sheet of example pictures; None for the one in the run folder, if `model` is one.
        limit: test images to use, spread evenly over the source; None for all.
        seed: of the challenges. The source of the training is split as it was then.
        image_size: (height, width); None for that of the training.
        source, on_bad_image, cache, n_threads, progress: as `open_dataset` takes them.
    Raises:
        LinprobeError: the model or the source cannot be read, they do not fit, or a file cannot be written.
    """
    wanted = choose(names)  # an unknown name is refused before anything is read
    is_run = model.is_dir()
    _check_writable(model if is_run else None, sheet)
    asked = None if model.exists() else NEIGHBOURS.fullmatch(str(model))
    classifier, shape = (None, None) if asked else _model_of_pictures(model)
    trained_with = Reading(0, 0.0, None) if classifier is None else reading_of(classifier, model)
    options = ReadOptions(
        image_size=trained_with.image_size if image_size is None else image_size,
        on_bad_image=on_bad_image,
        cache=cache,
        n_threads=n_threads,
        seed=trained_with.seed,
        progress=progress,
        to_train=classifier is None,
    )
    dataset = open_dataset(source, options)
    if classifier is None:
        assert asked is not None
        split = train_validation_test(dataset, 0.0, trained_with.seed)
        neighbours = neighbours_of(split.train, int(asked[1]), asked[2] or "l2", n_threads)
        subject = _Subject(neighbours, dataset.class_names, _pictures(split.train).images.shape[1:])
        origin = origin_of(dataset, "test", split.test, trained_with.seed)
        notes = notes_on(dataset, split)
        picked = EvaluationSet("test", origin, (split.test,), 0, None, 0, notes, len(dataset.skipped), True)
        known: Digests | None = np.sort(digests_of(split.train, n_threads))
        chosen: Digests | None = np.empty(0, np.uint64)  # k is given
    else:
        assert shape is not None
        subject = _Subject(classifier_of(classifier, n_threads), classifier.class_names_, shape)
        picked = evaluation_set(classifier, dataset, trained_with, n_threads=n_threads)
        known, chosen = classifier.trained_on_, classifier.chosen_on_
    tested = _tested(picked.parts, subject, limit)
    if known is not None and (limit is not None or classifier is None):
        picked = counted_again(picked, tested.images, known, chosen, n_threads)
    # before the table, which takes long: a corrupted set that does not fit is refused now
    sets = [] if corrupted is None else _corrupted(corrupted, dataset.class_names, options, subject)
    table = run_challenges(
        subject.classify,
        tested.images.images,
        tested.y,
        subject.class_names,
        severities,
        seed,
        rows=tested.images.rows,
        names=wanted,
        n_threads=n_threads,
        progress=progress,
    )
    if sets:
        labelled = [
            (one.kind, one.severity, one.images, labels_by_name(one.images, subject.class_names)) for one in sets
        ]
        cells = score_sets(subject.classify, labelled, n_threads=n_threads, progress=progress)
        table = replace(table, cells=table.cells + cells)
    if sheet is None and is_run and any(challenge != "corrupted" for challenge, _, _ in table.rows()):
        sheet = model / SHEET
    if sheet is not None:
        _write_sheet(sheet, subject, tested, seed, wanted)
    record = {
        "model": str(model),
        "source": source,
        "corrupted": None if corrupted is None else str(corrupted),
        "limit": limit,
        "split": picked.split,
        "split_origin": picked.origin,
        "n_images": len(tested.y),
        "n_left_out": picked.n_left_out,
        "n_trained_on": picked.n_trained_on,
        "n_chosen_on": picked.n_chosen_on,
        "skipped_images": picked.n_skipped,
        "own_source": picked.own_source,
        "notes": list(picked.notes),
        **table.as_dict(),
        "sheet": None if sheet is None else str(sheet),
    }
    record_path = model / RECORD if is_run else None
    if record_path is not None:
        write_atomically(record_path, (json.dumps(record, indent=2, allow_nan=False) + "\n").encode())
    return ChallengeRun(table, record, record_path, sheet, picked)


@dataclass(frozen=True)
class _Subject:
    """What is challenged: a function from pictures to classes, the names of these, and the shape of the pictures."""

    classify: Classify
    class_names: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Tested:
    """The test images that are changed, and their labels as the subject has them."""

    images: ImageSet
    y: Labels


def _tested(parts: Sequence[LabelledSet], subject: _Subject, limit: int | None) -> _Tested:
    """`limit` of the test images, labelled as the subject does.

    Raises:
        IncompatibleError: they do not fit the subject.
    """
    images = together([_fitting(part, subject.shape) for part in parts])
    y, some = labels_by_name(images, subject.class_names), _spread(images, limit)
    return _Tested(images, y) if some is None else _Tested(images.subset(some), y[some])


def _write_sheet(sheet: Path, subject: _Subject, tested: _Tested, seed: int, kinds: tuple[str, ...]) -> None:
    """Write the sheet of example pictures."""
    from linprobe.challenges.sheet import contact_sheet, to_png  # Pillow

    drawn = contact_sheet(
        tested.images.images,
        tested.y,
        subject.class_names,
        seed,
        rows=tested.images.rows,
        names=kinds,
        classify=subject.classify,
    )
    write_atomically(sheet, to_png(drawn))


def _check_writable(run: Path | None, sheet: Path | None) -> None:
    """Raise RunError where a file cannot be written, before the table is computed."""
    if run is not None and not os.access(run, os.W_OK):
        raise RunError(
            f"{run}: cannot write {RECORD}: the run folder is read-only. Give its model.safetensors in place of the "
            "folder, and --sheet for the pictures."
        )
    if sheet is not None and not os.access(sheet.parent, os.W_OK):
        raise RunError(f"{sheet}: cannot be written; check the folder and its permissions.")


def _model_of_pictures(path: Path) -> tuple[LinearModel, tuple[int, ...]]:
    """The model that `path` means, and the shape of the pictures that it reads.

    Raises:
        IncompatibleError: it was trained on vectors.
    """
    model = read_model(model_file_of(path))
    shape = picture_shape(model)
    if shape is None:
        raise IncompatibleError(
            f"{path}: this model was trained on vectors of {model.weights_.shape[1]} numbers; the challenges change "
            "pictures. Give a model that was trained on pictures."
        )
    return model, shape


def _pictures(images: object) -> ImageSet:
    """`images`, checked to be pictures.

    Raises:
        IncompatibleError: they are vectors.
    """
    if not isinstance(images, ImageSet):
        raise IncompatibleError(
            f"{getattr(images, 'source', images)}: holds vectors; the challenges change pictures. "
            "Give a source of pictures."
        )
    return images


def _fitting(images: object, shape: tuple[int, ...]) -> ImageSet:
    """`images`, checked to be pictures of the shape that the model reads.

    Raises:
        IncompatibleError: they are not.
    """
    images = suited_to(_pictures(images), shape)
    assert isinstance(images, ImageSet)
    if images.image_shape != shape:
        found, expected = ("x".join(map(str, one)) for one in (images.images.shape[1:], shape))
        raise IncompatibleError(
            f"{images.source}: its images are {found}, but the model was trained on {expected}; "
            f"{remedy(images, shape)}."
        )
    return images


def _spread(images: ImageSet, limit: int | None) -> npt.NDArray[np.int64] | None:
    """Positions of `limit` images, evenly spaced, because a source may be sorted by class. None for all."""
    if limit is not None and limit < 1:
        raise ParameterError(f"limit = {limit}; expected at least 1 image, or None for all.")
    if limit is None or limit >= images.n_images:
        return None
    return np.arange(limit, dtype=np.int64) * images.n_images // limit


def _corrupted(
    folder: Path, class_names: tuple[str, ...], options: ReadOptions, subject: _Subject
) -> list[CorruptedSet]:
    """The corrupted sets in `folder`, all checked before the first is scored."""
    sets = open_corrupted(folder, class_names, options)
    for one in sets:
        _fitting(one.images, subject.shape)
        labels_by_name(one.images, subject.class_names)
    return sets
