"""Runs on learned features: what is kept between them, what goes on after a stop, and what reads their models."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_array_equal

from linprobe import LinearClassifier, load_model
from linprobe.cli import main
from linprobe.errors import IncompatibleError
from linprobe.features.base import FeatureMap
from linprobe.report.words import certificate_sentence, learnt_features
from linprobe.runs.models import scores_of_pictures
from linprobe.runs.requests import SweepSettings, TrainSettings
from linprobe.runs.sweep import sweep
from linprobe.runs.train import resume, train

pytest.importorskip("torch", reason="PyTorch is not installed")
from linprobe.features import net_training

NET: dict[str, Any] = {"net_width": 2, "net_epochs": 2}


def settings(**changed: Any) -> TrainSettings:
    given: dict[str, Any] = {"source": "digits", "features": "net", "feature_options": NET, "validation": 0.1} | changed
    return TrainSettings(**given)


def never(*_: object) -> None:
    raise AssertionError("the network is trained already")


def bits(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_network_is_trained_once_for_all_runs_on_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(settings(), out=tmp_path / "one", n_threads=1)
    monkeypatch.setattr(net_training._Loop, "epoch", never)
    train(settings(), out=tmp_path / "two", n_threads=1)
    assert bits(tmp_path / "one") == bits(tmp_path / "two")
    train(settings(classifier={"loss": "hinge", "reg": 1e-2}), out=tmp_path / "three", n_threads=1)
    with pytest.raises(AssertionError):
        train(settings(seed=1), out=tmp_path / "four", n_threads=1)
    with pytest.raises(AssertionError):
        train(settings(validation=0.2), out=tmp_path / "five", n_threads=1)
    assert first.metrics.features == "net"
    assert first.metrics.n_features == 8


def test_without_the_cache_the_bits_are_the_same(tmp_path: Path) -> None:
    train(settings(), out=tmp_path / "one", n_threads=1)
    train(settings(), out=tmp_path / "two", n_threads=1, cache=False)
    assert bits(tmp_path / "one") == bits(tmp_path / "two")


def test_a_network_whose_training_is_stopped_goes_on_in_the_next_run(tmp_path: Path) -> None:
    train(settings(feature_options={**NET, "net_epochs": 3}), out=tmp_path / "whole", n_threads=1, cache=False)
    said: list[str] = []

    def stop(what: str, done: int, total: int) -> None:
        said.append(what)
        if "epoch 2 of 3" in what:
            raise KeyboardInterrupt

    options = {**NET, "net_epochs": 3}
    with pytest.raises(KeyboardInterrupt, match=r"epoch 1 of 3 is kept, and the same command goes on after it"):
        train(settings(feature_options=options), out=tmp_path / "part", n_threads=1, reading=stop)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        train(settings(feature_options=options), out=tmp_path / "lost", n_threads=1, reading=stop, cache=False)
    assert any("epoch 1 of 3" in what for what in said)
    said.clear()
    train(
        settings(feature_options=options),
        out=tmp_path / "again",
        n_threads=1,
        reading=lambda *told: said.append(told[0]),
    )
    assert not any("epoch 1 of 3" in what for what in said)
    assert bits(tmp_path / "again") == bits(tmp_path / "whole")


def test_a_damaged_file_in_the_cache_is_trained_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("LINPROBE_CACHE_DIR", str(cache))
    train(settings(), out=tmp_path / "one", n_threads=1)
    (kept,) = cache.rglob("trained.safetensors")
    content = kept.read_bytes()
    for damaged in (b"", content[:100], content[:-8], b"\xff" * 64, content.replace(b"F32", b"I32")):
        kept.write_bytes(damaged)
        train(settings(), out=tmp_path / f"after {len(list(tmp_path.iterdir()))}", n_threads=1)
        assert kept.read_bytes() == content


def test_a_run_that_is_resumed_has_the_same_network(tmp_path: Path) -> None:
    request = settings(classifier={"optimizer": "sgd", "epochs": 4})
    train(request, out=tmp_path / "whole", n_threads=1)

    class Stop(Exception):
        pass

    def stop(epoch: Any) -> None:
        if epoch.epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        train(request, out=tmp_path / "part", training=stop, n_threads=1)
    resume(tmp_path / "part", n_threads=1)
    assert bits(tmp_path / "part") == bits(tmp_path / "whole")


def test_a_sweep_chooses_reg_on_the_features_and_refuses_folds(tmp_path: Path) -> None:
    request = SweepSettings(source="digits", features="net", feature_options=NET, regs=(1e-3, 1e-2))
    found = sweep(request, out=tmp_path / "sweep", n_threads=1)
    assert found.metrics.reg in (1e-3, 1e-2)
    assert found.metrics.test_accuracy > 0.3
    refused = SweepSettings(source="digits", features="net", feature_options=NET, regs=(1e-3,), folds=3)
    with pytest.raises(IncompatibleError, match="folds = 3: the features net learn from labels"):
        sweep(refused, out=tmp_path / "folds")
    assert not (tmp_path / "folds").exists()


def call(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="linprobe")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_command_reads_a_model_with_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--net-width", 2, "--net-epochs", 2, "--net-dropout", 0.1, "--no-net-batch-norm", "--seed", 3)
    told = call("train", "digits", "--features", "net", *options, "--out", "run")
    assert "nothing is proved of the network" in told
    page = (tmp_path / "run" / "report.html").read_text()
    assert "nothing is proved of the network" in page
    assert "--net-width 2 --net-epochs 2 --net-dropout 0.1 --no-net-batch-norm" in page
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    evaluated = json.loads(call("evaluate", "run", "digits", "--json"))
    assert evaluated["accuracy"] == metrics["test_accuracy"]
    tested = json.loads(call("challenges", "run", "digits", "--json"))
    assert tested
    from PIL import Image

    Image.fromarray(np.full((8, 8), 90, np.uint8)).save("one.png")
    assert json.loads(call("predict", "run", "one.png", "--json"))
    assert "net" in call("info", "run")


def test_scores_of_pictures_are_those_of_the_features(tmp_path: Path) -> None:
    run = train(settings(), out=tmp_path / "run", n_threads=1)
    model = load_model(run.path)
    assert isinstance(model, LinearClassifier)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    assert isinstance(model.features_, FeatureMap)
    rows = model.features_.transform(pictures).astype(np.float16)
    assert_array_equal(scores_of_pictures(model, pictures, 1), model.scores(rows))


def test_a_model_names_pytorch_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(settings(), out=tmp_path / "run", n_threads=1)
    for name in ("net_layers", "net_training"):
        monkeypatch.delitem(sys.modules, f"linprobe.features.{name}")
    monkeypatch.setitem(sys.modules, "torch", None)
    result = CliRunner().invoke(main, ["evaluate", str(tmp_path / "run"), "digits"], prog_name="linprobe")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: net: needs PyTorch, which is not installed; run: pip install ")
    assert result.stderr.count("\n") == 1


def test_what_is_said_of_learnt_features(tmp_path: Path) -> None:
    run = train(settings(features="net+color", feature_options=NET), out=tmp_path / "run", n_threads=1)
    assert learnt_features(run.metrics) is not None
    assert certificate_sentence(run.metrics).endswith("nothing is proved of the network that learnt them.")
    plain = train(settings(features="color", feature_options={}), out=tmp_path / "plain", n_threads=1)
    assert learnt_features(plain.metrics) is None
    assert "network" not in certificate_sentence(plain.metrics)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--net-dropout", 1), "'--net-dropout'"),
        (("--net-stochastic-depth", 0.1, "--net-depth", 0), "depth = 0 has none"),
        (("--net-epochs", 2, "--net-minutes", 1), "give one of them"),
        (("--net-pooling", "median"), "net: pooling = 'median'; expected one of average, max, fractional"),
        (("--features", "hog", "--net-width", 4), "--net-width only applies to --features net"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["train", "digits", "--features", "net", "--out", "run", *map(str, arguments)]
    result = CliRunner().invoke(main, given, prog_name="linprobe")
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
