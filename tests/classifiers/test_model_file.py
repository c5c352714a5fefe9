"""The model file: what comes back, and one line for everything that can be wrong with it."""

from __future__ import annotations

import json
import math
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from linprobe.certificate import Certificate
from linprobe.classifiers import model_file
from linprobe.classifiers.linear import LinearClassifier
from linprobe.classifiers.linear_cv import LinearClassifierCV
from linprobe.classifiers.model_file import load_model, model_bytes, read_model, save
from linprobe.classifiers.nearest_neighbors import NearestNeighbors
from linprobe.data.base import ImageSet
from linprobe.data.digits import load_digits
from linprobe.errors import IncompatibleError, ModelFileError
from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy
from linprobe.penalties import ElasticNet

Digits = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def make(**parameters: Any) -> LinearClassifier:
    """A classifier that is trained at once."""
    return LinearClassifier(**{"random_state": 0, **parameters})


def parts(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and record of a model file, to be changed."""
    length = int.from_bytes(content[:8], "little")
    return load_tensors(content), json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["linprobe"])


def put_together(tensors: dict[str, Any], record: dict[str, Any]) -> bytes:
    """A file of these parts, with a checksum that fits: as a faulty program would write it."""
    record.pop("sha256", None)
    record["sha256"] = model_file._digest(tensors, record)
    return save_tensors(tensors, {"linprobe": json.dumps(record)})


# what comes back


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"loss": "hinge", "delta": 2.0, "penalty": "elastic-net", "beta": 0.25, "reg": 1e-2},
        {"loss": MulticlassHinge(3.0), "penalty": ElasticNet(0.5), "preprocess": "standardize"},
        {"loss": "squared-hinge", "penalty": "none", "preprocess": "none", "class_weight": {3: 2.0}},
        {"loss": SoftmaxCrossEntropy(), "optimizer": "sgd", "epochs": 2, "momentum": 0.5},
        {"optimizer": "gd", "loss": "squared-hinge", "tol": 1e9, "random_state": np.random.RandomState(0)},
    ],
    ids=[
        "defaults",
        "names",
        "objects",
        "none",
        "sgd",
        "gd",
    ],  # the same in every worker: a RandomState prints its address
)
def test_a_model_reads_back_to_the_same_bits(tmp_path: Path, digits: Digits, parameters: dict[str, Any]) -> None:
    X, y = digits
    classifier = make(**parameters).fit(X, y)
    save(classifier, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert_array_equal(again.decision_function(X), classifier.decision_function(X))
    assert_array_equal(again.predict(X), classifier.predict(X))
    for name in ("weights_", "bias_", "coef_", "intercept_", "classes_"):
        assert_array_equal(getattr(again, name), getattr(classifier, name))
    assert again.classes_.dtype == classifier.classes_.dtype
    for name in ("loss_", "penalty_", "status_", "n_iter_", "n_features_in_", "image_shape_", "class_names_"):
        assert getattr(again, name) == getattr(classifier, name)
    for name in ("reg", "preprocess", "class_weight", "optimizer", "tol", "epochs"):
        assert getattr(again, name) == getattr(classifier, name)
    assert hasattr(again, "predict_proba") == hasattr(classifier, "predict_proba")
    assert os.listdir(tmp_path) == ["model.safetensors"]


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], [-1.0, 1.0], [7, 8]])
@pytest.mark.parametrize("as_objects", [False, True])
def test_labels_of_any_kind_read_back(tmp_path: Path, labels: list[Any], as_objects: bool) -> None:
    y = np.array(labels)[np.arange(20) % 2]
    if as_objects and isinstance(labels[0], str):
        y = y.astype(object)
    X = np.random.default_rng(0).normal(size=(20, 3))
    save(make().fit(X, y), tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.classes_.dtype == y.dtype
    assert_array_equal(again.classes_, labels)
    assert again.coef_.shape == (1, 3)


def test_image_shape_class_names_column_names_and_extras_read_back(tmp_path: Path, digits: Digits) -> None:
    X, y = digits
    images = ImageSet(X.reshape(-1, 8, 8, 1), y, tuple("éßçdefghij"), "digits")
    save(make().fit_sets(images), tmp_path / "model", {"image_size": (8, 8)})
    again = load_model(tmp_path / "model")
    assert again.image_shape_ == (8, 8, 1)
    assert again.class_names_ == tuple("éßçdefghij")
    assert again.extra_ == {"image_size": [8, 8]}
    frame = pd.DataFrame(X, columns=[f"p{i}" for i in range(64)])
    save(make().fit(frame, y), tmp_path / "model")
    assert load_model(tmp_path / "model").feature_names_in_[3] == "p3"


def test_a_run_folder_stands_for_its_model(tmp_path: Path, fitted: LinearClassifier) -> None:
    save(fitted, tmp_path / "model.safetensors")
    assert_array_equal(load_model(tmp_path).coef_, fitted.coef_)


def test_equal_trainings_give_equal_files_whatever_the_threads(digits: Digits) -> None:
    for settings in ({}, {"penalty": "elastic-net", "reg": 1e-2}, {"optimizer": "sgd", "epochs": 2}):
        contents = {model_bytes(make(**settings, n_threads=n).fit(*digits)) for n in (1, 2, None)}
        assert len(contents) == 1


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_the_certificate_reads_back_but_for_its_seconds(tmp_path: Path, digits: Digits, loss: str) -> None:
    classifier = make(loss=loss, reg=1e-2).fit(*digits)
    save(classifier, tmp_path / "model")
    found, again = classifier.certificate_, load_model(tmp_path / "model").certificate_
    assert found.seconds > 0.0
    assert math.isnan(again.seconds)
    assert replace(again, seconds=found.seconds) == found
    assert (again.gap, again.relative_gap) == (found.gap, found.relative_gap)


def test_a_certificate_that_proves_nothing_reads_back(tmp_path: Path, digits: Digits) -> None:
    classifier = make(reg=1e-2).fit(*digits)
    classifier.certificate_ = Certificate(1.5, -math.inf, math.inf, 2.0)
    save(classifier, tmp_path / "model")
    found = load_model(tmp_path / "model").certificate_
    assert found is not None
    assert (found.objective, found.lower_bound, found.gradient_norm, found.passes) == (1.5, -math.inf, math.inf, 2.0)


@pytest.mark.parametrize("optimizer", ["sgd", "gd"])
def test_a_model_without_a_certificate_reads_back_without_one(tmp_path: Path, digits: Digits, optimizer: str) -> None:
    short = {"epochs": 1} if optimizer == "sgd" else {"tol": 1e9}
    classifier = make(optimizer=optimizer, **short).fit(*digits)
    assert classifier.certificate_ is None
    save(classifier, tmp_path / "model")
    assert load_model(tmp_path / "model").certificate_ is None
    # so do the files of a linprobe that knew no certificates
    tensors, record = parts((tmp_path / "model").read_bytes())
    del record["certificate"]
    (tmp_path / "model").write_bytes(put_together(tensors, record))
    assert load_model(tmp_path / "model").certificate_ is None


def test_a_model_that_was_read_can_be_written_again_and_trained_on(tmp_path: Path, digits: Digits) -> None:
    X, y = digits
    content = model_bytes(make(optimizer="sgd", epochs=2).fit(X, y), {"image_size": None})
    (tmp_path / "model").write_bytes(content)
    again = load_model(tmp_path / "model")
    assert model_bytes(again, again.extra_) == content
    before = again.score(X, y)
    assert again.partial_fit(X, y).score(X, y) > before - 0.02


def test_an_exact_model_that_was_read_can_be_written_again_and_goes_on_as_a_stream(
    tmp_path: Path, digits: Digits
) -> None:
    X, y = digits
    content = model_bytes(make().fit(X, y))
    (tmp_path / "model").write_bytes(content)
    again = load_model(tmp_path / "model")
    assert model_bytes(again) == content
    before = again.score(X, y)
    assert again.set_params(optimizer="sgd").partial_fit(X, y).score(X, y) > before - 0.02


# what cannot be written


@dataclass(frozen=True)
class OwnHinge(MulticlassHinge.__base__):  # type: ignore[misc, name-defined]
    """A loss that has the name of another."""

    name: ClassVar[str] = "hinge"
    smooth: ClassVar[bool] = False

    def value_and_gradient(self, scores: Any, y: Any) -> tuple[Any, Any]:
        return MulticlassHinge().value_and_gradient(scores, y)


def test_what_a_file_cannot_hold_is_refused(digits: Digits, fitted: LinearClassifier) -> None:
    X, y = digits
    with pytest.raises(IncompatibleError, match="is not trained; call fit"):
        model_bytes(make())
    with pytest.raises(IncompatibleError, match=r"loss = OwnHinge\(\) is not one of linprobe's"):
        model_bytes(make(loss=OwnHinge(), optimizer="sgd", epochs=1).fit(X, y))
    with pytest.raises(IncompatibleError, match=r"JSON values only .*Path"):
        model_bytes(fitted, {"path": Path()})


def test_a_write_that_fails_leaves_the_old_model_and_nothing_else(tmp_path: Path, fitted: LinearClassifier) -> None:
    path = tmp_path / "model.safetensors"
    save(fitted, path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # a disk with room for 100 bytes
    try:
        with pytest.raises(ModelFileError, match=r"model\.safetensors: the model cannot be written"):
            save(fitted, path, {"new": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_a_write_that_is_interrupted_leaves_nothing_behind(
    tmp_path: Path, fitted: LinearClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(fitted, tmp_path / "model")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_missing_is_named(tmp_path: Path, fitted: LinearClassifier) -> None:
    with pytest.raises(ModelFileError, match=r"nowhere/model: the model cannot be written: its folder .*Create it"):
        save(fitted, tmp_path / "nowhere" / "model")


# what cannot be read


def refuse(path: Path, content: bytes) -> str:
    """The message about a model file of this content: one line that names the file."""
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "model", tmp_path):
        with pytest.raises(ModelFileError, match="the model cannot be read"):
            load_model(path)


def test_a_file_of_any_shorter_length_is_refused(tmp_path: Path, fitted: LinearClassifier) -> None:
    content = model_bytes(fitted)
    for length in [*range(64), *range(64, len(content), 97), len(content) - 1]:
        refuse(tmp_path / "model", content[:length])
    refuse(tmp_path / "model", content + b"\0")


def test_any_flipped_bit_is_noticed(tmp_path: Path, fitted: LinearClassifier) -> None:
    content = model_bytes(fitted)
    random = np.random.default_rng(0)
    for position in [*range(16), *random.integers(0, len(content), 400).tolist()]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(random.integers(8))
        refuse(tmp_path / "model", bytes(damaged))


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    assert "not a safetensors file" in refuse(path, b"\x80\x04pickled")
    assert "not a safetensors file" in refuse(path, (2**62).to_bytes(8, "little") + b"{}")
    assert "not a model of linprobe" in refuse(path, save_tensors({"W": np.zeros((2, 3))}))
    assert "not a model of linprobe" in refuse(path, save_tensors({"W": np.zeros((2, 3))}, {"other": "{}"}))
    assert "metadata of the model file is damaged" in refuse(path, save_tensors({}, {"linprobe": "{"}))
    assert "is a list, expected a JSON object" in refuse(path, save_tensors({}, {"linprobe": "[]"}))
    assert "damaged" in refuse(path, save_tensors({}, {"linprobe": "[" * 100_000}))


Change = Callable[[dict[str, Any], dict[str, Any]], object]
FAULTS: list[tuple[str, Change]] = [
    ("version 2, expected 1", lambda t, r: r.update(version=2)),
    ("version None, expected 1", lambda t, r: r.pop("version")),
    ("lacks W, shift", lambda t, r: (t.pop("W"), t.pop("shift"))),
    ("W has shape (64,)", lambda t, r: t.update(W=t["W"][0])),
    ("W has shape (1, 64)", lambda t, r: t.update(W=t["W"][:1])),
    ("b has shape (9,), but W (10, 64); expected (10,)", lambda t, r: t.update(b=t["b"][:9])),
    ("scale has shape (63,)", lambda t, r: t.update(scale=t["scale"][:63])),
    ("shift has shape (64, 1)", lambda t, r: t.update(shift=t["shift"][:, None])),
    ("W has dtype float32; expected float64", lambda t, r: t.update(W=t["W"].astype(np.float32))),
    ("W holds NaN or infinity", lambda t, r: t.update(W=t["W"] * np.nan)),
    ("scale holds NaN or infinity", lambda t, r: t.update(scale=t["scale"] * np.inf)),
    ("settings is missing; expected an object", lambda t, r: r.pop("settings")),
    ("no_such", lambda t, r: r["settings"].update(no_such=1)),
    ("loss is 'absolute'", lambda t, r: r["settings"].update(loss="absolute")),
    ("loss is []", lambda t, r: r["settings"].update(loss=[])),
    ("settings.reg is 'much'; expected a finite number", lambda t, r: r["settings"].update(reg="much")),
    ("penalty is None", lambda t, r: r["settings"].update(penalty=None)),
    ("settings is 3", lambda t, r: r.update(settings=3)),
    ("9 classes but W has 10 rows", lambda t, r: r["classes"]["values"].pop()),
    ("labels of dtype", lambda t, r: r["classes"].update(dtype="<M8[s]")),
    ("data type", lambda t, r: r["classes"].update(dtype="nonsense")),
    ("image_shape is [8, 9, 1] but W has 64 columns", lambda t, r: r.update(image_shape=[8, 9, 1])),
    ("cannot be used", lambda t, r: r.update(image_shape="big")),
    ("1 feature names but W has 64", lambda t, r: r.update(feature_names=["a"])),
    ("FINISHED", lambda t, r: r.update(status="FINISHED")),
    ("cannot be used", lambda t, r: r.update(n_iter="many")),
    ("cannot be used", lambda t, r: r.update(extra=3)),
    ("cannot be used", lambda t, r: r.update(certificate=3)),
    ("no_such", lambda t, r: r["certificate"].update(no_such=1.0)),
    ("settings.colour is no parameter of the classifier", lambda t, r: r["settings"].update(colour=1)),
    ("status is 'FINE'; expected one of", lambda t, r: r.update(status="FINE")),
    ("certificate.lower_bound is missing; expected a finite number", lambda t, r: r["certificate"].pop("lower_bound")),
]


@pytest.mark.parametrize(("message", "change"), FAULTS, ids=[f"{i}-{m}" for i, (m, _) in enumerate(FAULTS)])
def test_a_model_that_does_not_fit_together_is_refused(
    tmp_path: Path, digits: Digits, message: str, change: Change
) -> None:
    tensors, record = parts(model_bytes(make().fit(*digits)))
    change(tensors, record)
    assert message in refuse(tmp_path / "model", put_together(tensors, record))


ROWS = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.5, 2.5], [2.5, 0.5]])
WORDS = np.array(["up", "right"] * 3)


@pytest.mark.parametrize(
    "classifier", [LinearClassifier(random_state=0), LinearClassifierCV([1e-2, 1e-1], folds=3), NearestNeighbors(k=1)]
)
def test_every_public_classifier_saves_itself_and_is_loaded(classifier, tmp_path):
    classifier.fit(ROWS, WORDS)
    classifier.save(tmp_path / "one.safetensors")
    save(classifier, tmp_path / "other.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "other.safetensors").read_bytes()
    again = load_model(tmp_path / "one.safetensors")
    assert type(again) is (LinearClassifier if isinstance(classifier, LinearClassifierCV) else type(classifier))
    assert (again.predict(ROWS + 0.1) == classifier.predict(ROWS + 0.1)).all()
    assert_array_equal(again.predict_proba(ROWS + 0.1), classifier.predict_proba(ROWS + 0.1))
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()


@pytest.mark.parametrize("classifier", [LinearClassifier(), LinearClassifierCV(), NearestNeighbors()])
def test_a_classifier_that_is_not_fitted_is_not_saved(classifier, tmp_path):
    with pytest.raises(IncompatibleError, match=r"is not (trained|fitted); call fit before saving it"):
        classifier.save(tmp_path / "none.safetensors")
    assert not (tmp_path / "none.safetensors").exists()


def test_neighbours_of_pictures_keep_their_names_shape_and_subset(tmp_path):
    digits = load_digits().subset(np.arange(5, 60))
    model = NearestNeighbors(k=3).fit_sets(digits)
    model.save(tmp_path / "n.safetensors")
    again = load_model(tmp_path / "n.safetensors")
    assert (again.k, again.image_shape_, again.search_.X.dtype) == (3, (8, 8, 1), np.uint8)
    assert again.search_.X.shape == (55, 64)
    queries = load_digits().X[100:150]
    assert_array_equal(again.kneighbors(queries)[1], model.kneighbors(queries)[1])
    assert (again.predict(queries) == model.predict(queries)).all()


def test_a_file_of_neighbours_that_was_changed_or_serves_another_purpose_is_refused(tmp_path):
    path = tmp_path / "n.safetensors"
    NearestNeighbors(k=1).fit(ROWS, WORDS).save(path)
    with pytest.raises(ModelFileError, match="holds nearest neighbours, not a linear classifier"):
        read_model(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="checksum mismatch"):
        load_model(path)
