"""Runs on features: learnt from the training pictures alone, kept, stored in the model, continued to the same bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from linprobe.classifiers.model_file import load_model
from linprobe.data.base import open_dataset
from linprobe.data.cache import cache_info
from linprobe.data.splits import train_validation_test
from linprobe.errors import IncompatibleError, ModelFileError, ParameterError
from linprobe.features.parse import feature_map
from linprobe.runs import features as features_module
from linprobe.runs.challenges import challenge_source
from linprobe.runs.evaluation import evaluate_source
from linprobe.runs.features import kept_features, map_dataset
from linprobe.runs.prediction import predict_pictures
from linprobe.runs.sweep import SweepSettings, sweep
from linprobe.runs.train import TrainSettings, resume, train

PATCHES = {"patches": 30, "size": 3}


def settings(**changes):
    return TrainSettings(**{"source": "digits", "features": "patches+hog", "feature_options": PATCHES, **changes})


def test_a_run_on_features_is_evaluated_and_predicts_with_its_model_alone(tmp_path: Path):
    run = train(settings(), out=tmp_path / "run")
    assert run.metrics.features == "patches+hog"
    assert run.metrics.image_shape == (8, 8, 1)
    assert run.metrics.test_accuracy > 0.97
    moved = tmp_path / "model.safetensors"
    moved.write_bytes((run.path / "model.safetensors").read_bytes())
    performance = evaluate_source(moved, "digits").performance
    assert performance.accuracy == run.metrics.test_accuracy
    dataset = open_dataset("digits")
    part = train_validation_test(dataset).test
    files = []
    for i, row in enumerate(part.rows[:5]):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(part.images[row, :, :, 0]).save(files[-1])
    model = load_model(moved)
    scores = model.decision_function(model.features_.transform(part.images[part.rows[:5]]))
    for i, prediction in enumerate(predict_pictures(moved, files).predictions):
        assert prediction.best(1)[0][0] == model.classes_[scores[i].argmax()]


def test_features_learn_from_the_training_pictures_alone():
    dataset = open_dataset("digits")
    split = train_validation_test(dataset, 0.2, seed=1)
    mapped = map_dataset(dataset, split.train, feature_map("patches", **PATCHES), seed=5)
    alone = feature_map("patches", **PATCHES).fit(split.train.images[split.train.rows], seed=5)
    assert_array_equal(mapped.features.filters, alone.filters)
    X = mapped.dataset.train.X
    assert X.dtype == np.float16
    rows = np.arange(dataset.train.n_images) if dataset.train.rows is None else dataset.train.rows
    assert_array_equal(X, alone.transform(dataset.train.images[rows]).astype(np.float16))
    again = train_validation_test(mapped.dataset, 0.2, seed=1)
    for one, other in ((split.train, again.train), (split.validation, again.validation), (split.test, again.test)):
        assert_array_equal(one.y, other.y)
        assert_array_equal(alone.transform(one.images[one.rows]).astype(np.float16), other.X[other.rows])


def test_features_are_computed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    first = train(settings(), out=tmp_path / "one")
    assert cache_info().n_entries >= 1

    def never(*_: object) -> None:
        raise AssertionError("the features are there already")

    monkeypatch.setattr(features_module, "_fill", never)
    second = train(settings(), out=tmp_path / "two")
    models = [(run.path / "model.safetensors").read_bytes() for run in (first, second)]
    assert models[0] == models[1]
    with pytest.raises(AssertionError):
        train(settings(feature_options={**PATCHES, "patches": 32}), out=tmp_path / "three")


@pytest.mark.parametrize("threads", [1, 3])
def test_the_features_do_not_depend_on_threads_or_cache(threads: int):
    dataset = open_dataset("digits")
    train_part = train_validation_test(dataset).train
    wanted = map_dataset(dataset, train_part, feature_map("patches", **PATCHES)).dataset.train.X
    found = map_dataset(dataset, train_part, feature_map("patches", **PATCHES), cache=False, n_threads=threads)
    assert_array_equal(found.dataset.train.X, wanted)


def test_a_stopped_run_on_features_goes_on_to_the_same_bits(tmp_path: Path):
    whole = train(settings(classifier={"optimizer": "sgd", "epochs": 4}), out=tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(epoch):
        if epoch.epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        train(settings(classifier={"optimizer": "sgd", "epochs": 4}), out=tmp_path / "part", training=stop)
    resumed = resume(tmp_path / "part")
    files = [(path / "model.safetensors").read_bytes() for path in (whole.path, resumed.path)]
    assert files[0] == files[1]


def test_a_sweep_runs_on_features(tmp_path: Path):
    found = sweep(
        SweepSettings("digits", (1e-3, 1e-2), features="hog", feature_options={"mirror": True}), out=tmp_path / "s"
    )
    assert found.metrics.features == "hog"
    assert found.metrics.test_accuracy > 0.85  # digits do not gain from their mirror images
    assert json.loads((tmp_path / "s" / "settings.json").read_text())["feature_options"] == {"mirror": True}
    assert load_model(tmp_path / "s").features_.spec == "hog"


def test_what_does_not_suit_is_one_clear_line(tmp_path: Path):
    with pytest.raises(ParameterError, match=r"features = 'hogs'; expected one of"):
        train(settings(features="hogs", feature_options={}), out=tmp_path / "run")
    with pytest.raises(ParameterError, match="no parameter 'patches'"):
        train(settings(features="hog", feature_options={"patches": 4}), out=tmp_path / "run")
    with pytest.raises(IncompatibleError, match="holds vectors; hog needs pictures"):
        train(settings(source="planar:shell", features="hog", feature_options={}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = train(settings(features="hog", feature_options={}), out=tmp_path / "good")
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(6):
            Image.new("L", (9, 9), 20 * i).save(tmp_path / "pictures" / name / f"{i}.png")
    with pytest.raises(IncompatibleError, match=r"9x9x1, but the features of the model \(hog\) were learnt from 8x8x1"):
        evaluate_source(run.path, str(tmp_path / "pictures"))


def test_a_model_file_whose_features_do_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = train(settings(features="color", feature_options={}), out=tmp_path / "run")
    from linprobe.classifiers import model_file

    monkeypatch.setattr(model_file, "_digest", lambda *_: "same")
    monkeypatch.setattr(model_file, "map_class", lambda _: feature_map("pixels").__class__)
    content = (run.path / "model.safetensors").read_bytes()
    digest = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["linprobe"])[
        "sha256"
    ]
    monkeypatch.setattr(model_file, "_digest", lambda *_: digest)
    with pytest.raises(ModelFileError, match="metadata of the model file cannot be used"):
        load_model(run.path)


def test_the_challenges_are_met_by_a_model_of_features(tmp_path: Path):
    run = train(settings(features="hog", feature_options={}), out=tmp_path / "run")
    record = challenge_source(run.path, "digits", severities=(1, 5), names=("rotation",)).record
    assert record["clean"]["accuracy"] == run.metrics.test_accuracy
    assert record["cells"][-1]["accuracy"] < record["clean"]["accuracy"]


def test_the_challenges_are_met_by_nearest_neighbours():
    record = challenge_source(Path("knn:3"), "digits", severities=(5,), names=("rotation",)).record
    assert record["clean"]["accuracy"] > 0.97
    assert record["cells"][-1]["accuracy"] < record["clean"]["accuracy"]
    with pytest.raises(IncompatibleError, match="holds vectors"):
        challenge_source(Path("knn:3"), "planar:shell")
    with pytest.raises(ParameterError, match="k = 0"):
        challenge_source(Path("knn:0"), "digits")


def test_features_that_a_run_has_kept_are_found_by_the_map_in_its_model(tmp_path: Path):
    run = train(settings(feature_options={**PATCHES, "mirror": True}), out=tmp_path / "run")
    dataset, features = open_dataset("digits"), load_model(run.path).features_
    found = kept_features(dataset, features)
    split = train_validation_test(found)
    assert split.test.n_images == run.metrics.n_test
    picked = dataset.train.images[train_validation_test(dataset).test.rows[:5]]
    assert_array_equal(split.test.X[split.test.rows[:5]], features.transform(picked).astype(np.float16))
    assert kept_features(dataset, feature_map("hog").fit(dataset.train.images, 0)) is None
