"""The path of reg values and the scale of embeddings, on a few rows; no speed is asserted."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from benchmarks import path, scale


@pytest.fixture(scope="module")
def digits():
    """Training and held-out rows."""
    return path.split("digits", 300)


def test_one_in_ten_images_is_held_out_and_the_map_is_that_of_the_others(digits):
    train, held_out = digits
    assert (len(train.y), len(held_out.y)) == (270, 30)
    assert train.affine is held_out.affine
    np.testing.assert_allclose(train.floats(np.float64).mean(axis=0), 0.0, atol=1e-12)


def test_a_path_is_certified_throughout_and_compared_with_its_hardest_member(digits):
    regs = np.geomspace(1e-4, 1e-1, 4).tolist()
    record = json.loads(json.dumps(path.measure(digits[0], regs, 1, 2)))
    assert [about["reg"] for about in record["members"]] == regs
    assert all(about["status"] == "CERTIFIED" and about["relative_gap"] <= 1e-4 for about in record["members"])
    assert record["hardest"] in regs
    slowest = max(record["members"], key=lambda about: about["alone"]["seconds"])
    assert slowest["reg"] == record["hardest"]
    assert len(record["ratios"]["path"]["all"]) == 2
    assert record["passes"] > 0


def test_logistic_regression_cv_has_our_objective_and_its_time_is_extrapolated(digits):
    regs = np.geomspace(1e-3, 1e-1, 4).tolist()
    record = path.measure(digits[0], regs, 1, 1)
    found = path.measure_cv(*digits, record["members"], 2, 2000, 1)
    assert [about["reg"] for about in found["results"]] == [regs[3], regs[0]]
    assert all(-1e-6 <= about["gap"] <= 1e-3 for about in found["results"])
    assert found["extrapolated_seconds"] == pytest.approx(2 * found["seconds"])


def test_the_script_of_the_path_has_a_quick_mode(tmp_path, monkeypatch, capsys):
    out = tmp_path / "record.json"
    words = ["--quick", "--images", "200", "--regs", "3", "--cv", "1", "--max-iter", "5", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["path", *words, "--out", str(out)])
    path.main()
    record = json.loads(out.read_text())
    assert record["benchmark"] == "path"
    assert record["aim"] == 4.0
    assert {"machine", "versions", "commit", "warning", "n_train", "members", "logistic_regression_cv"} <= set(record)
    assert "path / hardest" in capsys.readouterr().err


def test_without_the_archive_the_record_of_the_path_says_so(tmp_path, monkeypatch):
    out = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["path", str(tmp_path / "none.zip"), "--out", str(out)])
    path.main()
    assert "none.zip is not there" in json.loads(out.read_text())["skipped"]


def test_embeddings_are_seeded_half_floats_with_every_class():
    one, other = (scale.embeddings(100, 8, 5, 1e-3) for _ in range(2))
    assert one.X.dtype == np.float16
    np.testing.assert_array_equal(one.X, other.X)
    assert np.bincount(one.y).tolist() == [20] * 5


def test_the_script_of_the_scale_tells_a_rate_its_share_and_a_certificate(tmp_path, monkeypatch):
    out = tmp_path / "record.json"
    words = ["--images", "500", "--features", "16", "--classes", "5", "--repeats", "2", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["scale", *words, "--out", str(out)])
    scale.main()
    record = json.loads(out.read_text())
    assert (record["n_images"], record["n_features"], record["n_classes"]) == (500, 16, 5)
    assert record["rows_bytes"] == 500 * 16 * 2
    one, optimum = record["pass"], record["optimum"]
    seconds, rate = one["seconds"]["all"], one["gflops"]["linprobe"]["all"]
    np.testing.assert_allclose(np.multiply(seconds, rate), 4 * 500 * 16 * 5 / 1e9)
    shares = np.divide(one["gflops"]["linprobe"]["all"], one["gflops"]["sgemm"]["all"])
    np.testing.assert_allclose(one["share_of_sgemm"]["all"], shares)
    assert optimum["status"] == "CERTIFIED"
    assert optimum["relative_gap"] <= 1e-3
