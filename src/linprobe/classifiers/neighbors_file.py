"""The tensors and the metadata of a model file that holds nearest neighbours: the training rows themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model_record import ClassesRecord, Length
from linprobe.classifiers.neighbors import AnyNeighbors, NeighborModel
from linprobe.errors import IncompatibleError
from linprobe.typed_json import Within, dataclass_from

__all__ = ["NEIGHBORS", "neighbors_from", "neighbors_parts"]

NEIGHBORS = "nearest-neighbors"
"""The entry `kind` of the metadata; that of a linear classifier has none."""

DTYPES = (np.uint8, np.float16, np.float32, np.float64)
"""Dtypes that rows may have."""


@dataclass(frozen=True)
class NeighborsRecord:
    """The metadata but for version, kind and checksum.

    Attributes:
        k, metric, engine: parameters of the classifier.
        classes, class_names: the labels, and as text.
        image_shape: (height, width, channels), or None for vectors.
        feature_names: columns of a data frame, or None.
    """

    k: Annotated[int, Within(1)]
    metric: str
    engine: str
    classes: ClassesRecord
    class_names: tuple[str, ...]
    image_shape: tuple[Length, Length, Length] | None = None
    feature_names: tuple[str, ...] | None = None


def neighbors_parts(model: NeighborModel) -> tuple[dict[str, npt.NDArray[Any]], dict[str, object]]:
    """(tensors, metadata) of a fitted model: X (N, D), labels (N,) int64, and its record.

    Raises:
        IncompatibleError: it is not fitted, or its labels are neither numbers nor text.
    """
    if not hasattr(model, "search_"):
        raise IncompatibleError("the classifier is not fitted; call fit before saving it.")
    search = model.search_
    X = search.X if search.rows is None else search.X[search.rows]
    shape, names = model.image_shape_, getattr(model, "feature_names_in_", None)
    record = NeighborsRecord(
        int(model.k),
        str(model.metric),
        str(model.engine),
        ClassesRecord.of(model.classes_),
        tuple(str(label) for label in model.classes_),
        None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2])),
        None if names is None else tuple(str(name) for name in names),
    )
    tensors = {"X": np.ascontiguousarray(X), "labels": np.ascontiguousarray(model.labels_, np.int64)}
    return tensors, {"kind": NEIGHBORS, **asdict(record)}


def neighbors_from(
    kind: type[AnyNeighbors], tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, object]
) -> AnyNeighbors:
    """The model that `neighbors_parts` took apart.

    Raises:
        ValueError, KeyError: the parts do not fit each other.
        MismatchError, LinprobeError: an entry of the metadata cannot be used.
    """
    record = dataclass_from(NeighborsRecord, dict(metadata))
    X, labels, classes = tensors["X"], tensors["labels"], record.classes.array
    if X.ndim != 2 or X.dtype not in DTYPES or (X.dtype != np.uint8 and not np.isfinite(X).all()):
        raise ValueError(f"X has dtype {X.dtype} and shape {X.shape}; expected finite rows (N, D)")
    if labels.dtype != np.int64 or labels.shape != (len(X),) or not len(labels):
        raise ValueError(f"labels has dtype {labels.dtype} and shape {labels.shape}; expected ({len(X)},) int64")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(f"labels holds {labels.min()}..{labels.max()}; expected 0..{len(classes) - 1}")
    if record.image_shape is not None and np.prod(record.image_shape) != X.shape[1]:
        raise ValueError(f"image_shape is {list(record.image_shape)} but X has {X.shape[1]} columns")
    model = kind(record.k, record.metric, engine=record.engine)
    model.image_shape_ = record.image_shape
    if record.feature_names is not None:
        if len(record.feature_names) != X.shape[1]:
            raise ValueError(f"{len(record.feature_names)} feature names but X has {X.shape[1]} columns")
        model.feature_names_in_ = np.array(record.feature_names, dtype=object)
    model.restore(X, labels, classes)
    return model
