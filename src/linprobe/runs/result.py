"""What a run gives: its folder, its figures, and all that a report shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from linprobe.classifiers.model import LinearModel
from linprobe.data.base import LabelledSet
from linprobe.data.splits import notes_on
from linprobe.runs.evaluation import Performance
from linprobe.runs.folder import GridWeights
from linprobe.runs.material import Material
from linprobe.runs.records import CertificateRecord, RunMetrics, RunSettings

__all__ = ["Circumstances", "Interrupted", "RunResult", "circumstances", "minimised"]


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
    """Ctrl-C during a run; the message says what was kept and how to resume."""


class Circumstances(TypedDict):
    """Fields of RunMetrics that every kind of run fills alike."""

    features: str
    n_features: int
    feature_seconds: float
    equivalents: tuple[str, ...]
    skipped_images: int
    n_classes: int
    image_shape: tuple[int, int, int] | None
    notes: tuple[str, ...]


def circumstances(classifier: LinearModel, material: Material, train: LabelledSet) -> Circumstances:
    """What the metrics of every kind of run say of objective and source."""
    objective = classifier.objective_of(classifier.rows_of(train))
    dataset, features = material.dataset, material.features
    shape = dataset.image_shape if features is None else features.image_shape
    return {
        "features": "pixels" if features is None else features.spec,
        "n_features": int(train.X.shape[1]),
        "feature_seconds": material.seconds,
        "equivalents": tuple(line.strip() for line in objective.describe().splitlines()),
        "skipped_images": len(dataset.skipped),
        "n_classes": len(dataset.class_names),
        "notes": notes_on(material.as_read, material.split),
        "image_shape": None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2])),
    }


def minimised(
    classifier: LinearModel, train: LabelledSet, certificate: CertificateRecord | None
) -> tuple[float, float]:
    """L(W, b) and its part without the penalty: what the training minimised, weights of the classes included.

    The certificate has the objective already, in float64; without one it takes a pass over the training images.
    """
    objective = classifier.objective_of(classifier.rows_of(train))
    penalty = objective.penalty_value(classifier.weights_)
    if certificate is not None:
        return certificate.objective, certificate.objective - penalty
    value = objective.value(classifier.weights_, classifier.bias_)
    return value, value - penalty
