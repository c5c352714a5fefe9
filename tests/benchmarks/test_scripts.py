"""The scripts from the outside, on data of a few bytes; no speed is asserted."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from benchmarks.engine import LOSSES, check_same, numpy_pass
from benchmarks.record import ROOT
from benchmarks.train import resident
from PIL import Image

from benchmarks import engine, memory, reading


@pytest.fixture
def archive(tmp_path):
    """Eight small JPEGs in two class folders."""
    random = np.random.default_rng(0)
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as out:
        for split, name, i in ((s, n, i) for s in ("train", "test") for n in ("cat", "dog") for i in range(2)):
            data = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(data, "jpeg")
            out.writestr(f"{split}/{name}/{i}.jpg", data.getvalue())
    return path


@pytest.mark.parametrize("name", LOSSES)
def test_the_numpy_pass_has_the_loss_and_gradient_of_ours(name):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(7, 5)), random.integers(0, 3, 7)
    W, b = random.normal(size=(3, 5)), random.normal(size=3)
    values, dS = LOSSES[name].value_and_gradient(X @ W.T + b, y)
    total, dW, db = numpy_pass(name, X, y, W, b)
    np.testing.assert_allclose(total, values.sum(), rtol=1e-12)
    np.testing.assert_allclose(dW, dS.T @ X, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(db, dS.sum(axis=0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("other", [1.1, float("nan")])
def test_what_differs_is_not_compared(other):
    with pytest.raises(SystemExit, match="nothing to compare"):
        check_same(np.ones(2), {"numpy": np.array([1.0, other])}, "gradients", 1e-3)


def test_reading_shows_identical_pixels_and_counts_every_way(archive):
    record = reading.measure(archive, repeats=2)
    assert record["identical_pixels"]
    assert record["n_images"] == 8
    assert record["image_shape"] == [6, 5, 3]
    assert {len(about["all"]) for about in record["seconds"].values()} == {2}
    assert set(record["ratios"]) == {"pillow", "linprobe x1", "linprobe uncached"}


def test_reading_refuses_pixels_that_differ(archive):
    from linprobe import open_dataset

    names = reading.picture_names(archive)
    pixels = reading.with_pillow(archive, names, np.zeros((8, 6, 5, 3), np.uint8))
    reading.check_same(open_dataset(archive), names, pixels)
    pixels[3, 0, 0, 0] ^= 1
    with pytest.raises(SystemExit, match="differ"):
        reading.check_same(open_dataset(archive), names, pixels)


def test_memory_is_that_of_a_real_training(archive, tmp_path):
    record = memory.measure(str(archive), 1, tmp_path / "cache")
    (run,) = record["runs"]
    assert record["limit"] == 4 * 6 * 5 * 3 + 250_000_000
    assert 0 < run["RssAnon"] <= run["peak_resident"]
    assert 0 <= run["test_accuracy"] <= 1
    assert run["epochs"] > 0


@pytest.mark.parametrize("script", [reading, memory])
def test_without_the_archive_the_record_says_so(script, tmp_path, monkeypatch, capsys):
    out = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["script", str(tmp_path / "none.zip"), "--out", str(out)])
    script.main()
    record = json.loads(out.read_text())
    assert set(record) == {"benchmark", "skipped"}
    assert "none.zip is not there" in record["skipped"]
    assert "LINPROBE_CIFAR10" in capsys.readouterr().err


def test_without_pytorch_the_engine_is_skipped(tmp_path, monkeypatch):
    out = tmp_path / "record.json"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["engine", "--out", str(out)])
    engine.main()
    assert "PyTorch is not installed" in json.loads(out.read_text())["skipped"]


def test_memory_is_told_by_kind_and_a_process_that_ends_has_none():
    assert resident("Name:\tx\nRssAnon:\t  100 kB\nRssFile:\t 7 kB\n") == {"RssAnon": 102_400, "RssFile": 7168}
    assert resident("Name:\tx\nState:\tZ (zombie)\n") == {}


def test_the_measurer_of_memory_stays_small():
    """A child's peak begins with that of the process that forked it."""
    program = "import sys, benchmarks.memory; print(sorted({'numpy', 'linprobe', 'PIL', 'torch'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
    assert memory.ALLOWANCE == 250_000_000


def test_no_script_imports_pytorch_before_it_runs():
    program = "import sys, benchmarks.engine, benchmarks.reading, benchmarks.accuracy; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
