"""What a run gives: its folder, its figures, and all that a report shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from linprobe.classifiers.model import LinearModel
from linprobe.data.base import LabelledSet
from linprobe.data.splits import notes_on, origin_of
from linprobe.runs.contents import Digests, digests_to_know, doubled_notes, known_by, twins_notes
from linprobe.runs.evaluation import Performance
from linprobe.runs.folder import GridWeights
from linprobe.runs.material import Material
from linprobe.runs.records import CertificateRecord, RunMetrics, RunSettings

__all__ = ["Circumstances", "Interrupted", "RunResult", "circumstances", "minimised", "remember_images"]


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        path: the run folder.
        settings: what settings.json holds.
        metrics: what metrics.json holds.
        classifier: the trained classifier.
        material: what it learnt from and was tested on.
        tested: its performance on the test images.
        trace: rows by the names of `Epoch`, without `state`; none of a sweep.
        weights: of the members of a sweep; None of a training, or where they were too many to keep.
    """

    path: Path
    settings: RunSettings
    metrics: RunMetrics
    classifier: LinearModel
    material: Material
    tested: Performance
    trace: Sequence[Mapping[str, float]] = ()
    weights: GridWeights | None = None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; the message says what was kept and how to resume.

    Args:
        reached: how far the run was, in a sentence.
        command: resumes it.
    """

    def __init__(self, reached: str, command: str) -> None:
        super().__init__(f"{reached}; resume with: {command}")
        self.reached = reached


class Circumstances(TypedDict):
    """Fields of RunMetrics that every kind of run fills alike."""

    features: str
    n_features: int
    feature_seconds: float
    equivalents: tuple[str, ...]
    skipped_images: int
    n_classes: int
    n_test_trained_on: int
    n_test_chosen_on: int
    image_shape: tuple[int, int, int] | None
    test_origin: str
    notes: tuple[str, ...]


def circumstances(
    classifier: LinearModel, material: Material, train: LabelledSet, seed: int, folds: bool = False
) -> Circumstances:
    """What the metrics of every kind of run say of objective and source.

    Args:
        classifier: the trained one, which remembers its images (`remember_images`).
        material: what it learnt from.
        seed: of the splits.
        train: the images of the final training.
        folds: whether reg was chosen by folds of the training images.
    """
    objective = classifier.objective_of(classifier.rows_of(train))
    dataset, features = material.dataset, material.features
    shape = dataset.image_shape if features is None else features.image_shape
    assert classifier.trained_on_ is not None
    assert classifier.chosen_on_ is not None
    digests = _digests_to_know(material, "test", classifier.n_threads)
    seen = known_by(digests, classifier.trained_on_)
    chose = known_by(digests, classifier.chosen_on_) & ~seen
    twins = (*twins_notes(seen), *twins_notes(chose, of="validation"))
    return {
        "features": "pixels" if features is None else features.spec,
        "n_features": int(train.X.shape[1]),
        "feature_seconds": material.seconds,
        "equivalents": tuple(line.strip() for line in objective.describe().splitlines()),
        "skipped_images": len(dataset.skipped),
        "n_classes": len(dataset.class_names),
        "test_origin": origin_of(material.as_read, "test", material.split_as_read.test, seed),
        "n_test_trained_on": int(seen.sum()),
        "n_test_chosen_on": int(chose.sum()),
        "notes": (*notes_on(material.as_read, material.split), *twins, *_notes(material, train, folds)),
        "image_shape": None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2])),
    }


def remember_images(classifier: LinearModel, material: Material, train: LabelledSet, chose: bool) -> None:
    """Give a trained classifier the digests of the images of its run, as the model file holds them.

    Args:
        train: the images that it was trained on.
        chose: whether the validation images chose something of its training. Features that learn from labels are
            chosen by them in any case.
    """
    trained = np.sort(material.contents.of_train(material.dataset.train, train))
    chosen = np.empty(0, np.uint64)
    chose = chose or (material.features is not None and material.features.supervised)
    if chose and material.split.validation is not None:
        chosen = np.setdiff1d(_digests_of(material, "validation"), trained)
    classifier.trained_on_, classifier.chosen_on_ = trained, chosen


def _digests_to_know(
    material: Material, part: Literal["validation", "test"], n_threads: int | None
) -> tuple[Digests, ...]:
    """The digests by which the images of a part, a split of the source or drawn from it, are known again."""
    return digests_to_know(getattr(material.split_as_read, part), n_threads, _digests_of(material, part))


def _digests_of(material: Material, part: Literal["validation", "test"]) -> Digests:
    """(N,) the digests of a part, a split of the source or drawn from it."""
    digests: Digests | None = getattr(material.contents, part)
    if getattr(material.as_read, part) is None or digests is None:
        return material.contents.of_train(material.as_read.train, getattr(material.split_as_read, part))
    return digests


def _notes(material: Material, train: LabelledSet, folds: bool) -> tuple[str, ...]:
    """What a reader must know of the images that were trained on, and of those that judge."""
    dataset, split, contents = material.dataset, material.split, material.contents
    trained = contents.of_train(dataset.train, train)
    notes: list[str] = []
    if folds and dataset.validation is not None:
        n = dataset.validation.n_images
        notes.append(
            f"the {n:,} images of the validation split are not used: reg is chosen by folds of the train split."
        )
    elif split.validation is not None:
        chosen_on = contents.of_train(dataset.train, split.train)  # a refit takes the validation images as well
        notes += twins_notes(known_by(_digests_to_know(material, "validation", None), chosen_on), "validation")
    return (*notes, *doubled_notes(trained, train.y, folds))


def minimised(
    classifier: LinearModel, train: LabelledSet, trained: Performance, certificate: CertificateRecord | None
) -> tuple[float, float]:
    """L(W, b) and its part without the penalty: what the training minimised, weights of the classes included.

    Args:
        classifier: the trained one.
        train: what it was trained on.
        trained: its performance there.
        certificate: has the objective already, in float64; None after a training that proves nothing.
    """
    objective = classifier.objective_of(classifier.rows_of(train))
    penalty = objective.penalty_value(classifier.weights_)
    if classifier.class_weight is None:
        return trained.loss + penalty if certificate is None else certificate.objective, trained.loss
    if certificate is not None:
        return certificate.objective, certificate.objective - penalty
    value = objective.value(classifier.weights_, classifier.bias_)
    return value, value - penalty
