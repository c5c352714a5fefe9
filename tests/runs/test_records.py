"""The records of a run folder: read back as they were written, and one clear error for anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linprobe.certificate import Certificate
from linprobe.classifiers.model_record import default_parameters, model_of
from linprobe.errors import ParameterError, RunError
from linprobe.optimizers.base import Status
from linprobe.runs import records
from linprobe.runs.folder import RunFolder
from linprobe.runs.rate_records import CellRow, CellRunRecord, RungRecord
from linprobe.runs.records import (
    CertificateRecord,
    GridRow,
    PartRecord,
    RunMetrics,
    RunSettings,
    SweepSettings,
    TrainSettings,
    as_json,
    content_of,
    read_cell,
    read_challenges,
    read_metrics,
    read_part,
    read_settings,
)

CERTIFICATE = CertificateRecord(0.25, 0.2, 1e-3, 12.0, 0.5)

TRAINED = RunMetrics(
    loss="softmax",
    penalty="l2",
    reg=1e-3,
    status=Status.CERTIFIED,
    seconds=0.1,
    passes=12.5,
    n_features=64,
    n_classes=10,
    n_train=1438,
    n_test=359,
    objective=0.25,
    certificate=CERTIFICATE,
    test_accuracy=0.9,
    chosen={"learning_rate": "0.1 by the curvature"},
    equivalents=("C = 1",),
    image_shape=(8, 8, 1),
)
SWEPT = replace(
    TRAINED,
    chosen={},
    grid=(
        GridRow(1e-3, 0.9, 0.3, 0.95, 2.0, 0.0, (0.9,), (CERTIFICATE,), (Status.CERTIFIED,)),
        GridRow(1.0, 0.8, None, 0.85, None, 1.0, (0.8,), (None,), (Status.MAX_ITER,)),
    ),
    chosen_by="validation images",
)
TRAIN = RunSettings(
    TrainSettings(
        "digits",
        {"optimizer": "sgd", "epochs": 3, "class_weight": {"0": 2.0}, "patience": None, "average": True},
        seed=2**70,
        validation=0.25,
        image_size=(8, 6),
        feature_options={"patches": 50, "mean": (0.5, 0.25)},
    ),
    "abc",
    "digits",
)
SWEEP = RunSettings(SweepSettings("digits", (1e-3, 1.0), {"penalty": "l1"}, folds=3))
RATES = RunSettings(
    SweepSettings(
        "digits",
        (1e-3, 1.0),
        {"optimizer": "sgd", "epochs": 8, "momentum": 0.5},
        learning_rates=(0.1, 0.3),
        schedules=("step", "cosine"),
        updates=("momentum",),
        halving=True,
    )
)
RATED = replace(
    SWEPT,
    cells=(
        CellRow(0.1, 1e-3, "step", "momentum", 8, Status.COMPLETED, 0.9, 0.3, 0.4, 0.01, chosen=True),
        CellRow(0.3, 1e-3, "step", "momentum", 0, Status.DIVERGED),
    ),
)
CELL = CellRunRecord(
    (RungRecord(2, Status.STOPPED, 0.1, 0.9, None, 0.5), RungRecord(3, Status.DIVERGED, 0.2)),
)
PART = PartRecord(
    (0.9, 0.8), (0.3, None), (CERTIFICATE, None), (Status.CERTIFIED, Status.STALLED), 3.5, 0.1,
    (1.0000000000000002, 0.5), (2.0, None), (0.0, 1.0),
)  # fmt: skip
CHALLENGES = {
    "n_images": 10,
    "clean": {"accuracy": 0.5},
    "cells": [{"challenge": "clutter", "kind": "rim", "severity": None, "accuracy": 1.0}],
}

Reader = Callable[[Path], object]
WHOLE: list[tuple[Reader, dict[str, Any]]] = [
    (read_settings, as_json(TRAIN)),
    (read_settings, as_json(SWEEP)),
    (read_metrics, as_json(TRAINED)),
    (read_metrics, as_json(SWEPT)),
    (read_part, as_json(PART)),
    (read_settings, as_json(RATES)),
    (read_metrics, as_json(RATED)),
    (read_cell, as_json(CELL)),
    (read_challenges, CHALLENGES),
]
KINDS = [
    *("settings", "settings of a sweep", "metrics", "metrics of a sweep", "part"),
    *("settings of rates", "metrics of rates", "cell", "challenges"),
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["hinge", "skip", "sweep"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("record", [TRAIN, SWEEP, TRAINED, SWEPT, PART, RATES, RATED, CELL], ids=KINDS[:8])
def test_a_record_reads_back_as_it_was_written(tmp_path: Path, record: Any) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content_of(record))
    readers = {RunSettings: read_settings, RunMetrics: read_metrics, PartRecord: read_part, CellRunRecord: read_cell}
    assert readers[type(record)](path) == record  # type: ignore[operator]  # one of four functions
    assert json.loads(path.read_text())["run_version"] == 1


@pytest.mark.parametrize(("read", "whole"), WHOLE, ids=KINDS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_at_any_key_gives_a_record_or_the_error_that_names_the_file(
    tmp_path: Path, read: Reader, whole: dict[str, Any], data: st.DataObject
) -> None:
    """A file that a run wrote, with a value replaced or removed somewhere; or any JSON at all."""
    found = json.loads(json.dumps(whole))
    for _ in range(data.draw(st.integers(1, 3))):
        found = changed(found, data)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(found))
    text = refusal(read, path)
    assert text is None or (text.startswith(f"{path}: ") and "\n" not in text)
    assert len(text or "") < len(str(path)) + 700


def refusal(read: Reader, path: Path) -> str | None:
    """What the reader says of a file that it refuses."""
    try:
        read(path)
    except RunError as error:
        return str(error)
    return None


def changed(found: Any, data: st.DataObject) -> Any:
    """A JSON value with something in it replaced, or removed."""
    inside = list(found) if isinstance(found, dict) else list(range(len(found))) if isinstance(found, list) else []
    if not inside or data.draw(st.integers(0, 9)) == 0:
        return data.draw(JSON)
    key = data.draw(st.sampled_from(inside))
    if isinstance(found, dict) and data.draw(st.integers(0, 4)) == 0:
        return {name: value for name, value in found.items() if name != key}
    found[key] = changed(found[key], data)
    return found


@pytest.mark.parametrize(("read", "whole"), WHOLE, ids=KINDS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_the_error_that_names_the_file(
    tmp_path: Path, read: Reader, whole: dict[str, Any], content: bytes
) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"record\.json: "):
        read(path)


@pytest.mark.parametrize(("read", "whole"), WHOLE, ids=KINDS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"reg": NaN}', "is not JSON .NaN"),
        (b'{"reg": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"run_version": 2}', "run_version is 2, expected 1"),
        (b'{"run_version": true}', "run_version is True, expected 1"),
        (b'"text"', "expected a JSON object, found 'text'"),
        (b"{}", "is missing; expected"),
    ],
    ids=["empty", "no text", "deep", "NaN", "long number", "other version", "flag", "text", "no keys"],
)
def test_what_is_no_record_at_all_is_named(
    tmp_path: Path, read: Reader, whole: dict[str, Any], content: bytes, message: str
) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=rf"record\.json: .*{message}"):
        read(path)


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_BYTES", 10)
    path = tmp_path / "metrics.json"
    path.write_bytes(content_of(TRAINED))
    with pytest.raises(RunError, match=r"metrics\.json: cannot be read \(it has [\d,]+ bytes, at most 10 are read"):
        read_metrics(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": 1}, r"source is 1; expected text"),
        ({"validation": 2.0}, r"validation is 2\.0; expected a finite number 0\.\.1"),
        ({"image_size": [8]}, r"image_size is \[8\]; expected a list of 2 values or null"),
        ({"image_size": [8, "x"]}, r"image_size\[1\] is 'x'; expected a whole number >= 0"),
        ({"on_bad_image": "ignore"}, r"on_bad_image is 'ignore'; expected 'fail' or 'skip'"),
        ({"classifier": {"reg": "low"}}, r"classifier\.reg is 'low'; expected a finite number"),
        ({"classifier": {"reg": -1.0}}, r"reg = -1\.0"),
        ({"classifier": {"colour": 1}}, r"classifier\.colour is no parameter of the classifier; known are loss, "),
        ({"kind": "dance"}, r"kind is 'dance'; expected 'train' or 'sweep'"),
        ({"kind": "sweep"}, r"regs is missing; expected a list"),
        ({"fingerprint": 3}, r"fingerprint is 3; expected text or null"),
    ],
)
def test_settings_that_no_run_has_are_named_with_their_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**as_json(TRAIN), **changes}))
    with pytest.raises(RunError, match=rf"settings\.json: {message}"):
        read_settings(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"certificate": {**as_json(TRAINED)["certificate"], "lower_bound": 0.3}}, r"certificate\.lower_bound is 0\.3"),  # type: ignore[dict-item]
        ({"status": "fine"}, r"status is 'fine'; expected one of certified, "),
        ({"n_train": 1.5}, r"n_train is 1\.5; expected a whole number"),
        ({"passes": True}, r"passes is True; expected a finite number >= 0"),
        ({"chosen": {"learning_rate": 1}}, r"chosen\.learning_rate is 1; expected text"),
        ({"equivalents": "C"}, r"equivalents is 'C'; expected a list"),
    ],
)
def test_metrics_that_no_run_has_are_named_with_their_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({**as_json(TRAINED), **changes}))
    with pytest.raises(RunError, match=rf"metrics\.json: {message}"):
        read_metrics(path)


def test_a_run_of_an_earlier_version_reads(tmp_path: Path) -> None:
    """Before the records, metrics.json had no version, and a part wrote the names of its statuses in capitals."""
    metrics = as_json(TRAINED)
    del metrics["run_version"]
    (tmp_path / "metrics.json").write_text(json.dumps({**metrics, "status": "certified", "kind": "train"}))
    assert read_metrics(tmp_path / "metrics.json") == TRAINED
    part = as_json(PART)
    del part["run_version"]
    (tmp_path / "part-1.json").write_text(json.dumps({**part, "statuses": ["CERTIFIED", "STALLED"]}))
    assert read_part(tmp_path / "part-1.json") == PART
    settings = as_json(TRAIN)
    del settings["run_version"]
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    assert RunFolder.open(tmp_path).settings() == TRAIN


def test_lists_of_a_part_have_one_length(tmp_path: Path) -> None:
    path = tmp_path / "part-1.json"
    path.write_text(json.dumps({**as_json(PART), "norms": [1.0]}))
    with pytest.raises(RunError, match=r"part-1\.json: the lists have different lengths .*norms 1"):
        read_part(path)


def test_what_is_not_finite_proves_nothing() -> None:
    assert CertificateRecord.of(None) is None
    assert CertificateRecord.of(Certificate(1.0, float("-inf"), 0.0)) is None
    assert CertificateRecord.of(Certificate(float("nan"), 0.0, 0.0)) is None
    assert CertificateRecord.of(Certificate(1.0, 0.5, 0.1, 3.0, 0.2)) == CertificateRecord(1.0, 0.5, 0.1, 3.0, 0.2)


def test_a_value_that_no_file_can_hold_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    settings = RunSettings(TrainSettings("digits", {"loss": object()}))  # type: ignore[dict-item]
    with pytest.raises(ParameterError, match="JSON values only"):
        RunFolder.create(tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_the_types_of_all_parameters_are_known_to_the_reader() -> None:
    defaults = {name: value for name, value in default_parameters().items() if name != "n_threads"}
    assert model_of(defaults, "classifier").parameters() == default_parameters()  # type: ignore[arg-type]
    assert [each.name for each in fields(PartRecord)] == [
        "accuracies", "losses", "certificates", "statuses", "passes", "seconds", "train_accuracies", "norms", "zeros",
    ]  # fmt: skip
