"""The model file: a trained LinearClassifier as safetensors, never a pickle, written atomically.

Tensors, float64: W (K, D) and b (K,) for the mapped input, and scale and shift (D,) of its map,
x' = scale * x + shift.
The metadata has one entry, `linprobe`: a JSON object with

    version, linprobe_version    version of the layout, and of the program that wrote the file
    classes, class_names         labels and their dtype; the labels as text
    image_shape                  [height, width, channels], or null for vectors
    settings                     the parameters of LinearClassifier, without n_threads
    status, n_iter               how the training ended
    certificate                  the certificate of W and b, without the seconds; null after SGD
    features                     name, settings and image_shape of the feature map; null for pixels
    feature_names                column names of a data frame, or null
    extra                        JSON values that the caller added
    sha256                       of the tensors' bytes and of all other entries

The file of a NearestNeighbors holds its training rows instead (`neighbors_file.py`). That of a LinearClassifierCV is
that of the classifier that it chose.

The arrays of a feature map are tensors `features.NAME`. The model of a run has a tensor `trained_on` (N,) uint64, the
digests of the images that it was trained on (`runs/contents.py`). A tensor `chosen_on` (M,) uint64 has those of other
images that chose something. The metadata is one entry because safetensors does not fix the order of several, and equal
trainings give equal files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as save_tensors

from linprobe.classifiers.model import AnyModel, LinearModel
from linprobe.classifiers.model_record import ClassesRecord, FeaturesRecord, ModelRecord, ProofRecord, parameters_of
from linprobe.classifiers.neighbors import NeighborModel
from linprobe.classifiers.neighbors_file import NEIGHBORS, neighbors_from, neighbors_parts
from linprobe.classifiers.tensor_file import parts_of
from linprobe.errors import IncompatibleError, LinprobeError, ModelFileError, walled
from linprobe.features.base import Affine
from linprobe.features.parse import map_class
from linprobe.files import read_regular, unwritten, write_whole
from linprobe.losses import LOSSES, Loss
from linprobe.parameters import NAMED
from linprobe.penalties import PENALTIES, Penalty
from linprobe.plain import parse_json
from linprobe.typed_json import MismatchError, dataclass_from

if TYPE_CHECKING:
    from linprobe.classifiers.linear import LinearClassifier
    from linprobe.classifiers.nearest_neighbors import NearestNeighbors
    from linprobe.classifiers.savable import Savable

__all__ = ["MODEL_VERSION", "load_model", "model_bytes", "read_model", "save"]

MODEL_VERSION = 1
"""Version of the layout."""

TENSORS = ("W", "b", "scale", "shift")
"""Tensors that every model file holds."""

TRAINED_ON = "trained_on"
"""Name of the tensor of the digests of the training images."""

CHOSEN_ON = "chosen_on"
"""Name of the tensor of the digests of other images that chose something; files of earlier versions lack it."""

FEATURES = "features."
"""Prefix of the names of the feature map's tensors."""

AGAIN = "copy the file again, or train again"
"""Next step of the messages about a damaged file."""


def save(
    classifier: LinearModel | NeighborModel | Savable,
    path: str | os.PathLike[str],
    extra: Mapping[str, object] | None = None,
) -> None:
    """Write the trained `classifier` to `path`, atomically: on an error an existing file is unchanged.

    Args:
        classifier: a trained one; of a LinearClassifierCV the classifier that it chose is written.
        path: the file.
        extra: JSON values to store with a linear classifier; `load_model` returns them as `extra_`.
    Raises:
        IncompatibleError: the file cannot hold this classifier (see `model_bytes`).
        ModelFileError: the file cannot be written.
    """
    target = Path(path)
    if isinstance(classifier, NeighborModel):
        content = _bytes_of(*neighbors_parts(classifier))
    else:
        # a LinearClassifierCV has chosen one, and all others are LinearModels, which Savable does not say
        chosen: LinearModel = getattr(classifier, "classifier_", classifier)  # type: ignore[arg-type]
        content = model_bytes(chosen, extra)
    try:
        write_whole(target, content)
    except OSError as error:
        raise ModelFileError(unwritten(target, error, "save it again, or give another path", "the model")) from error


def model_bytes(classifier: LinearModel, extra: Mapping[str, object] | None = None) -> bytes:
    """The content of the model file: bit-identical for the same training, with any number of threads.

    Args:
        classifier: a trained one.
        extra: JSON values to store with it; `load_model` returns them as `extra_`.
    Raises:
        IncompatibleError: it is not trained, its loss or penalty is not one of linprobe's, or its labels are
            neither numbers nor text.
    """
    if not hasattr(classifier, "weights_"):
        raise IncompatibleError("the classifier is not trained; call fit before saving it.")
    D = classifier.weights_.shape[1]
    affine = classifier.affine_ or Affine(np.ones(D), np.zeros(D))
    fitted = {"W": classifier.weights_, "b": classifier.bias_, "scale": affine.scale, "shift": affine.shift}
    tensors: dict[str, npt.NDArray[Any]] = {
        name: np.ascontiguousarray(tensor, dtype=np.float64) for name, tensor in fitted.items()
    }
    features, proved = classifier.features_, classifier.certificate_
    if features is not None:
        tensors |= {FEATURES + name: np.ascontiguousarray(tensor) for name, tensor in features.tensors().items()}
    for name, digests in ((TRAINED_ON, classifier.trained_on_), (CHOSEN_ON, classifier.chosen_on_)):
        if digests is not None:
            tensors[name] = digests
    names = getattr(classifier, "feature_names_in_", None)
    record = {
        "classes": asdict(ClassesRecord.of(classifier.classes_)),
        "class_names": list(classifier.class_names_),
        "image_shape": None if classifier.image_shape_ is None else list(classifier.image_shape_),
        "settings": _settings_record(classifier),
        "status": classifier.status_.name,
        "n_iter": int(classifier.n_iter_),
        "certificate": None if proved is None else asdict(ProofRecord.of(proved)),
        "features": None if features is None else asdict(FeaturesRecord.of(features)),
        "feature_names": None if names is None else [str(name) for name in names],
        "extra": dict(extra or {}),
    }
    return _bytes_of(tensors, record)


def _bytes_of(tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, object]) -> bytes:
    """A model file of these tensors and metadata."""
    record: dict[str, object] = {
        "version": MODEL_VERSION,
        "linprobe_version": _linprobe_version(),
        **metadata,
    }
    try:
        # encoded and decoded once, so that the digest is of what a reader gets: tuples become lists
        record = json.loads(json.dumps(record, default=_plain))
    except (TypeError, ValueError) as error:
        raise IncompatibleError(f"the model file holds JSON values only ({error}).") from error
    record["sha256"] = _digest(tensors, record)
    content: bytes = save_tensors(dict(tensors), {"linprobe": json.dumps(record, sort_keys=True)})
    return content


def load_model(path: str | os.PathLike[str]) -> LinearClassifier | NearestNeighbors:
    """The trained classifier in the model file `path`, or in the run folder `path`.

    Raises:
        ModelFileError: there is none, or it is damaged, incomplete, or of another version.
    """
    from linprobe.classifiers.linear import LinearClassifier  # scikit-learn takes long
    from linprobe.classifiers.nearest_neighbors import NearestNeighbors

    def made(tensors: Tensors, record: dict[str, object]) -> LinearClassifier | NearestNeighbors:
        if record.get("kind") == NEIGHBORS:
            return neighbors_from(NearestNeighbors, tensors, record)
        return _linear(LinearClassifier, tensors, record)

    return _read(path, made)


def read_model(path: str | os.PathLike[str]) -> LinearModel:
    """As `load_model`, without scikit-learn."""
    return _read(path, partial(_linear, LinearModel))


Tensors: TypeAlias = dict[str, npt.NDArray[Any]]
Made = TypeVar("Made")


def _read(path: str | os.PathLike[str], make: Callable[[Tensors, dict[str, object]], Made]) -> Made:
    """What `make` makes of the tensors and the metadata of a file."""
    target = Path(path)
    try:
        if target.is_dir():
            target = target / "model.safetensors"
        content = read_regular(target)
    except OSError as error:
        raise ModelFileError(
            f"{target}: the model cannot be read ({error.strerror}); expected a model.safetensors, or a run folder: "
            "check the path."
        ) from error
    try:
        with walled(ModelFileError, target, f"expected a model of linprobe; {AGAIN}."):
            return _model_from(content, make)
    except _DamageError as damage:
        raise ModelFileError(f"{target}: {damage}") from damage.__cause__


class _DamageError(LinprobeError):
    """The message about a damaged model file, without the name of the file."""


def _model_from(content: bytes, make: Callable[[Tensors, dict[str, object]], Made]) -> Made:
    tensors, record = _parts(content)
    if record.get("version") != MODEL_VERSION:
        raise _DamageError(
            f"the model file has version {record.get('version')!r}, expected {MODEL_VERSION}; "
            "read it with the linprobe that wrote it, or train again."
        )
    if record.get("sha256") != _digest(tensors, {k: v for k, v in record.items() if k != "sha256"}):
        raise _DamageError(f"the model file is damaged: checksum mismatch; {AGAIN}.")
    try:
        return make(tensors, record)
    except _DamageError:
        raise
    except (LinprobeError, MismatchError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _DamageError(
            f"the metadata of the model file cannot be used ({_one_line(error)}); train again."
        ) from error


def _linear(kind: type[AnyModel], tensors: Tensors, record: dict[str, object]) -> AnyModel:
    """A linear classifier."""
    if record.get("kind") == NEIGHBORS:
        raise _DamageError(
            "this file holds nearest neighbours, not a linear classifier; read it in Python, with load_model."
        )
    missing = [name for name in TENSORS if name not in tensors]
    if missing:
        raise _DamageError(f"the model file lacks {', '.join(missing)}; it must hold {', '.join(TENSORS)}; {AGAIN}.")
    _check_tensors(tensors)
    return _assembled(kind, tensors, dataclass_from(ModelRecord, record))


def _parts(content: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, object]]:
    """Tensors and metadata of a model file."""
    try:
        tensors, metadata = parts_of(content)
    except ValueError as error:
        raise _DamageError(
            f"not a safetensors file, or a damaged one ({_one_line(error)}); expected a model of linprobe. "
            "Give a run folder, or its model.safetensors."
        ) from error
    text = metadata.get("linprobe")
    if text is None:
        raise _DamageError(
            "a safetensors file, but not a model of linprobe: its metadata has no entry 'linprobe'. "
            "Give a run folder, or its model.safetensors."
        )
    try:
        record = parse_json(text)
    except ValueError as error:
        raise _DamageError(f"the metadata of the model file is damaged ({_one_line(error)}); {AGAIN}.") from error
    if not isinstance(record, dict):
        raise _DamageError(
            f"the metadata of the model file is a {type(record).__name__}, expected a JSON object; {AGAIN}."
        )
    return tensors, record


def _check_tensors(tensors: dict[str, npt.NDArray[Any]]) -> None:
    shape = tensors["W"].shape
    K, D = shape if len(shape) == 2 else (0, 0)
    if K < 2 or D < 1:
        raise _DamageError(f"W has shape {shape}; expected (n_classes, n_features) with at least 2 classes; {AGAIN}.")
    for name, expected in (("b", (K,)), ("scale", (D,)), ("shift", (D,))):
        if tensors[name].shape != expected:
            raise _DamageError(f"{name} has shape {tensors[name].shape}, but W {shape}; expected {expected}; {AGAIN}.")
    for name in TENSORS:
        if tensors[name].dtype != np.float64:
            raise _DamageError(f"{name} has dtype {tensors[name].dtype}; expected float64; {AGAIN}.")
        if not np.isfinite(tensors[name]).all():
            raise _DamageError(f"{name} holds NaN or infinity; every number must be finite; {AGAIN}.")


def _assembled(kind: type[AnyModel], tensors: dict[str, npt.NDArray[Any]], record: ModelRecord) -> AnyModel:
    settings = parameters_of(record.settings, "settings")
    for name, known in (("loss", LOSSES), ("penalty", PENALTIES)):
        if settings.get(name) not in known:
            raise ValueError(f"{name} is {settings.get(name)!r}, expected one of {', '.join(known)}")
    classifier = kind(**settings)
    classifier.check_parameters()
    K, D = tensors["W"].shape
    classifier.classes_ = record.classes.array
    if classifier.classes_.shape != (K,):
        raise ValueError(f"{len(classifier.classes_)} classes but W has {K} rows")
    shape = record.image_shape
    if shape is not None and math.prod(shape) != D:
        raise ValueError(f"image_shape is {list(shape)} but W has {D} columns")
    classifier.image_shape_ = shape
    if record.feature_names is not None:
        classifier.feature_names_in_ = np.array(record.feature_names, dtype=object)
        if classifier.feature_names_in_.shape != (D,):
            raise ValueError(f"{len(record.feature_names)} feature names but W has {D} columns")
    mapped = (tensors["scale"] != 1.0).any() or tensors["shift"].any()
    classifier.affine_ = Affine(tensors["scale"], tensors["shift"]) if mapped else None
    classifier.n_features_in_ = int(D)
    classifier.n_iter_ = record.n_iter
    classifier.status_ = record.status
    classifier.certificate_ = None if record.certificate is None else record.certificate.certificate
    classifier.extra_ = record.extra
    if record.features is not None:
        own = {name.removeprefix(FEATURES): tensor for name, tensor in tensors.items() if name.startswith(FEATURES)}
        made = map_class(record.features.name).restored(record.features.settings, record.features.image_shape, own)
        if made.n_features != D:
            raise ValueError(f"the feature map has {made.n_features} numbers but W {D} columns")
        classifier.features_ = made
    classifier.trained_on_, classifier.chosen_on_ = _digests_in(tensors, TRAINED_ON), _digests_in(tensors, CHOSEN_ON)
    classifier.loss_, classifier.penalty_ = classifier._make_loss(), classifier._make_penalty()
    classifier._set_weights(tensors["W"], tensors["b"])
    return classifier


def _digests_in(tensors: Tensors, name: str) -> npt.NDArray[np.uint64] | None:
    """The digests of images in a tensor; None where the file has none."""
    found = tensors.get(name)
    if found is not None and (found.dtype != np.uint64 or found.ndim != 1):
        raise ValueError(f"{name} is no array (N,) of uint64")
    return found


def _settings_record(classifier: LinearModel) -> dict[str, object]:
    """The parameters as JSON values; a loss or penalty of linprobe's by its name and numbers."""
    settings = classifier.parameters()
    del settings["n_threads"]  # a property of the machine: equal trainings give equal files
    if not isinstance(settings["random_state"], int | np.integer):
        settings["random_state"] = None
    for name, kind in (("loss", Loss), ("penalty", Penalty)):
        value = settings[name]
        if isinstance(value, kind):
            known: Mapping[str, Any] = LOSSES if name == "loss" else PENALTIES
            if known.get(value.name) is not type(value):
                raise IncompatibleError(
                    f"{name} = {value!r} is not one of linprobe's, so a model file cannot store it; "
                    f"expected one of {', '.join(known)}. Save coef_ and intercept_ with numpy.savez."
                )
            own = dict(value.parameters)
            if hasattr(value, "__dataclass_fields__") and known[value.name](**own) != value:
                raise IncompatibleError(
                    f"{name} = {value!r} has parameters that its parameter_info does not declare, so a model file "
                    "cannot store them; declare them."
                )
            if NAMED[name] in own:
                settings[NAMED[name]] = own.pop(NAMED[name])
            settings[name], settings[f"{name}_options"] = value.name, own
        if not settings[f"{name}_options"]:  # a file without them is one that earlier versions read
            del settings[f"{name}_options"]
    if isinstance(settings["class_weight"], Mapping):  # JSON has only text as keys
        settings["class_weight"] = [[label, value] for label, value in settings["class_weight"].items()]
    return settings


def _digest(tensors: Mapping[str, npt.NDArray[Any]], record: Mapping[str, object]) -> str:
    """SHA-256 of names, dtypes, shapes and bytes of the tensors, and of `record` with sorted keys, in hex."""
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """The Python number in a NumPy number, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"found a {type(value).__name__}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _linprobe_version() -> str:
    try:
        return version("linprobe")
    except PackageNotFoundError:  # run from the source tree
        return "unknown"
