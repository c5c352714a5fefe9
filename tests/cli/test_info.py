"""`linprobe info` and `linprobe cache`: what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_a_source_is_described(linprobe: Any, pictures: Path) -> None:
    record = linprobe("info", pictures, "--json").record
    assert (record["kind"], record["format"]) == ("source", "folder")
    assert record["image_shape"] == [4, 4, 3]
    assert record["n_images"] == {"train": 16, "test": 8}
    assert record["classes"] == {"dark": {"train": 8, "test": 4}, "light": {"train": 8, "test": 4}}
    text = linprobe("info", pictures).out
    assert "image shape      4x4x3\n" in text
    assert "  dark    train 8, test 4\n" in text


def test_vectors_are_described(linprobe: Any) -> None:
    record = linprobe("info", "planar:quadrants", "--json").record
    assert (record["format"], record["image_shape"], record["n_features"]) == ("planar", None, 2)


def test_a_finished_run_is_described_with_its_result(linprobe: Any) -> None:
    result = linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 1, "--reg", 0.5, "--json").record
    record = linprobe("info", result["run"], "--json").record
    assert (record["kind"], record["finished"]) == ("run", True)
    assert record["result"] == result
    assert record["settings"]["reg"] == 0.5
    assert record["class_names"] == list("0123456789")
    text = linprobe("info", result["run"]).out
    assert "scikit-learn, LIBLINEAR: C = 1/(2 reg N) = " in text


def test_a_certificate_is_told_with_no_more_digits_than_one_reads(linprobe: Any) -> None:
    result = linprobe("train", "planar:quadrants", "--no-report", "--json").record
    text = linprobe("info", result["run"]).out
    assert f"objective {result['certificate']['objective']:.6g}, lower_bound" in text


def test_a_model_file_is_described(linprobe: Any) -> None:
    run = linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 1, "--json").record["run"]
    record = linprobe("info", Path(run) / "model.safetensors", "--json").record
    assert (record["kind"], record["n_parameters"]) == ("model", 650)
    assert record["image_shape"] == [8, 8, 1]


def test_the_cache_is_described_and_cleared(linprobe: Any, pictures: Path, own_cache: Path) -> None:
    assert linprobe("cache", "info", "--json").record == {"folder": str(own_cache), "n_entries": 0, "n_bytes": 0}
    linprobe("info", pictures)
    held = linprobe("cache", "info", "--json").record
    assert held["n_entries"] == 1
    assert held["n_bytes"] > 16 * 4 * 4 * 3
    assert linprobe("cache", "clear", "--json").record == held
    assert "sources kept   0" in linprobe("cache", "info").out
    linprobe("info", pictures, "--no-cache")
    assert linprobe("cache", "info", "--json").record["n_entries"] == 0
