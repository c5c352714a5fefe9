"""Runs: killed at any moment, stopped by Ctrl-C, on a full disk, continued to the same bits."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linprobe.classifiers.model_file import load_model
from linprobe.errors import LinprobeError, RunError
from linprobe.optimizers.base import Epoch, Status
from linprobe.runs import train as train_module
from linprobe.runs.folder import TRACE_COLUMNS, RunFolder
from linprobe.runs.train import Interrupted, RunResult, TrainSettings, resume, train

N_EPOCHS = 6


def settings(**classifier: Any) -> TrainSettings:
    """A short run on the digits."""
    return TrainSettings("digits", {"optimizer": "sgd", "epochs": N_EPOCHS, **classifier}, validation=0.2)


def trace_without_seconds(run: Path) -> list[dict[str, str]]:
    """The rows of trace.csv, less their only column that may differ."""
    with open(run / "trace.csv", newline="") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def same_result(one: Path, other: Path) -> None:
    """Assert that two runs came to the same bits."""
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert trace_without_seconds(one) == trace_without_seconds(other)
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (one, other)]
    for record in metrics:
        del record["seconds"], record["run"]
        if record["certificate"] is not None:
            del record["certificate"]["seconds"]
    assert metrics[0] == metrics[1]


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after each epoch, however short."""
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 0.0)


WAYS: list[dict[str, Any]] = [
    {"update": "plain", "schedule": "constant"},
    {"update": "adam", "loss": "hinge", "schedule": "cosine", "average": True},
    {"update": "nesterov", "penalty": "elastic-net", "reg": 1e-2, "schedule": "step"},
    {"update": "momentum", "loss": "squared-hinge", "patience": 1},
    {"optimizer": "gd", "loss": "softmax"},
]


def names(way: dict[str, Any]) -> str:
    """The id of a test with these settings."""
    return "-".join(str(v) for v in way.values())


@pytest.mark.parametrize("way", WAYS, ids=names)
def test_a_run_stopped_after_any_epoch_goes_on_to_the_same_bits(tmp_path: Path, way: dict[str, Any]) -> None:
    whole = train(settings(**way), out=tmp_path / "whole")
    last = len(trace_without_seconds(whole.path)) - 1
    for stop_at in sorted({0, 1, last // 2, last}):

        def stop(epoch: Epoch, stop_at: int = stop_at) -> None:
            if epoch.epoch == stop_at:
                raise KeyboardInterrupt

        out = tmp_path / f"stopped-{stop_at}"
        with pytest.raises(Interrupted, match=f"stopped after (epoch|iteration) {stop_at}[; ].*--resume {out}"):
            train(settings(**way), out=out, training=stop)
        assert not (out / "metrics.json").exists()
        resume(out)
        same_result(whole.path, out)


EXACT: list[dict[str, Any]] = [
    {"optimizer": "exact", "loss": "softmax"},
    {"optimizer": "exact", "loss": "squared-hinge", "penalty": "none"},
    {"optimizer": "exact", "loss": "hinge", "reg": 1e-2},
    {"optimizer": "exact", "loss": "squared-hinge", "penalty": "l1", "reg": 1e-2},
    {"optimizer": "exact", "loss": "softmax", "penalty": "elastic-net", "tol": 1e-6},
]


@pytest.mark.parametrize("way", EXACT, ids=names)
def test_an_exact_run_stopped_anywhere_keeps_its_model_and_goes_on_to_the_same_bits(
    tmp_path: Path, way: dict[str, Any]
) -> None:
    whole = train(settings(**way), out=tmp_path / "whole")
    assert whole.metrics.status in (Status.CERTIFIED, Status.CONVERGED)
    last = len(trace_without_seconds(whole.path)) - 1
    for stop_at in sorted({0, 1, last // 2, last}):

        def stop(epoch: Epoch, stop_at: int = stop_at) -> None:
            if epoch.epoch == stop_at:
                raise KeyboardInterrupt

        out = tmp_path / f"stopped-{stop_at}"
        with pytest.raises(Interrupted, match=rf"stopped, the best model so far was kept: .*--resume {out}"):
            train(settings(**way), out=out, training=stop)
        assert not (out / "metrics.json").exists()
        model = load_model(out)
        assert model.status_ is Status.INTERRUPTED
        # the weights of the last row, or better ones: their bias may be balanced already
        objective = float(trace_without_seconds(out)[-1]["objective"])
        assert model.certificate_.objective <= objective * (1 + 1e-6)
        assert whole.metrics.certificate is not None
        assert model.certificate_.lower_bound <= whole.metrics.certificate.objective
        resume(out)
        same_result(whole.path, out)


@pytest.mark.parametrize("way", [{}, EXACT[0], EXACT[2]], ids=["sgd", "lbfgs", "admm"])
def test_the_number_of_threads_may_change_on_resuming(tmp_path: Path, way: dict[str, Any]) -> None:
    whole = train(settings(**way), out=tmp_path / "whole", n_threads=1)

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        train(settings(**way), out=tmp_path / "stopped", n_threads=2, training=stop)
    resume(tmp_path / "stopped", n_threads=3)
    same_result(whole.path, tmp_path / "stopped")


CHILD = """
import json
import sys
from pathlib import Path
from linprobe.runs import train as t
t.CHECKPOINT_SECONDS = 0.0
settings = t.TrainSettings("digits", json.loads(sys.argv[2]), validation=0.2)
out = Path(sys.argv[1])
t.resume(out) if (out / "settings.json").exists() else t.train(settings, out=out)
"""


def whole_files(run: Path) -> None:
    """Assert that each file in the folder is complete, and that none is there to stay that should not be."""
    names = {"settings.json", "trace.csv", "checkpoint.safetensors", "model.safetensors", "metrics.json"}
    folder = RunFolder.open(run)
    folder.lock()  # as whoever writes next does
    folder.close()
    found = set(os.listdir(run))
    assert found <= names, found - names
    folder.read_progress()
    if "trace.csv" in found:
        text = (run / "trace.csv").read_text()
        assert text.endswith("\n")
        assert all(len(line.split(",")) == len(TRACE_COLUMNS) for line in text.splitlines())
    if "metrics.json" in found:
        folder.metrics()


# dozens of rows of the trace each
LONG: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "epochs": 60, "loss": "hinge"},
    "lbfgs": {"optimizer": "exact", "max_iter": 60, "tol": 0.0},
    "interior-point": {"optimizer": "exact", "max_iter": 60, "tol": 0.0, "loss": "hinge", "penalty": "elastic-net"},
}


@pytest.mark.parametrize(
    "way",
    # test_every_fault.py, which is slow too, kills runs at each of their operations
    [pytest.param(way, id=name, marks=[] if name == "sgd" else [pytest.mark.slow]) for name, way in LONG.items()],
)
def test_a_run_killed_again_and_again_leaves_whole_files_and_ends_at_the_same_bits(
    tmp_path: Path, way: dict[str, Any]
) -> None:
    whole = train(TrainSettings("digits", way, validation=0.2), out=tmp_path / "whole")
    assert len(trace_without_seconds(whole.path)) > 20
    out = tmp_path / "killed"
    random = np.random.default_rng(0)
    kills = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", CHILD, str(out), json.dumps(way)]) as child:
            while not (out / "settings.json").exists() and child.poll() is None:
                time.sleep(0.005)
            epochs_before = len((out / "trace.csv").read_text().splitlines()) if (out / "trace.csv").exists() else 0
            deadline = time.monotonic() + 20
            while child.poll() is None and time.monotonic() < deadline:
                rows = (out / "trace.csv").read_text().splitlines() if (out / "trace.csv").exists() else []
                if len(rows) > epochs_before + 3:
                    break
            time.sleep(float(random.uniform(0, 0.02)))
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
        whole_files(out)
        if (out / "metrics.json").exists():
            break
    assert kills > 0
    if not (out / "metrics.json").exists():
        resume(out)
    whole_files(out)
    same_result(whole.path, out)


def test_a_kill_before_the_first_checkpoint_starts_from_the_beginning(tmp_path: Path) -> None:
    whole = train(settings(), out=tmp_path / "whole")
    out = tmp_path / "early"
    out.mkdir()
    (out / "settings.json").write_bytes((whole.path / "settings.json").read_bytes())
    resume(out)
    same_result(whole.path, out)


def test_a_kill_between_the_model_and_the_metrics_is_mended(tmp_path: Path) -> None:
    whole = train(settings(), out=tmp_path / "whole")
    before = {path.name: path.read_bytes() for path in whole.path.iterdir()}
    out = tmp_path / "late"
    out.mkdir()
    for name in before.keys() - {"metrics.json"}:
        (out / name).write_bytes(before[name])
    resume(out)
    same_result(whole.path, out)


@pytest.fixture
def finished(tmp_path: Path) -> RunResult:
    """A finished run of SGD."""
    return train(settings(), out=tmp_path / "finished")


def test_a_finished_run_is_not_resumed(finished: RunResult) -> None:
    before = {path.name: path.read_bytes() for path in finished.path.iterdir()}
    with pytest.raises(RunError, match=r"this run is finished; its result is in .*metrics\.json"):
        resume(finished.path)
    assert {path.name: path.read_bytes() for path in finished.path.iterdir()} == before


def test_a_run_whose_data_changed_is_not_resumed(tmp_path: Path) -> None:
    source = tmp_path / "points.npz"
    X = np.random.default_rng(0).integers(0, 256, (40, 3, 3, 1)).astype(np.uint8)
    y = np.arange(40) % 2
    np.savez(source, X=X, y=y)
    with pytest.raises(Interrupted):
        train(TrainSettings(str(source)), out=tmp_path / "run", training=_interrupt)
    np.savez(source, X=255 - X, y=y)
    with pytest.raises(RunError, match=r"the data in .*points\.npz are not those that this run began with"):
        resume(tmp_path / "run")


def test_a_run_whose_source_has_moved_is_resumed(tmp_path: Path) -> None:
    source = tmp_path / "points.npz"
    X = np.random.default_rng(0).integers(0, 256, (40, 3, 3, 1)).astype(np.uint8)
    np.savez(source, X=X, y=np.arange(40) % 2)
    settings = TrainSettings(str(source), classifier={"optimizer": "sgd", "epochs": 2})
    unbroken = train(settings, out=tmp_path / "unbroken")
    with pytest.raises(Interrupted):
        train(settings, out=tmp_path / "run", training=_interrupt)
    moved = source.rename(tmp_path / "moved.npz")
    with pytest.raises(LinprobeError, match="no such file"):
        resume(tmp_path / "run")
    resumed = resume(tmp_path / "run", source=str(moved))
    assert (resumed.path / "model.safetensors").read_bytes() == (unbroken.path / "model.safetensors").read_bytes()
    assert resumed.path.joinpath("settings.json").read_text().count(str(moved)) == 1


def test_a_run_whose_files_were_written_again_is_resumed(tmp_path: Path) -> None:
    source = tmp_path / "points.npz"
    X = np.random.default_rng(0).integers(0, 256, (40, 3, 3, 1)).astype(np.uint8)
    np.savez(source, X=X, y=np.arange(40) % 2)
    with pytest.raises(Interrupted):
        train(TrainSettings(str(source)), out=tmp_path / "run", training=_interrupt)
    np.savez_compressed(source, X=X, y=np.arange(40) % 2)  # another file of the same images
    assert resume(tmp_path / "run").metrics.n_train == 32


def _interrupt(_: Epoch) -> None:
    raise KeyboardInterrupt


def test_settings_that_are_not_those_of_a_training_are_named(finished: RunResult) -> None:
    (finished.path / "metrics.json").unlink()
    path = finished.path / "settings.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "classifier": {"no_such_option": 1}}))
    with pytest.raises(RunError, match=r"settings\.json: classifier\.no_such_option is no parameter"):
        resume(finished.path)


def test_an_error_in_the_source_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no-such-source"):
        train(TrainSettings(str(tmp_path / "no-such-source")), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_beyond_the_limit_ends_the_run_in_words_and_the_run_can_go_on(
    tmp_path: Path, finished: RunResult
) -> None:
    # the trace (some 200 bytes a row) outgrows the limit, the checkpoint does not
    code = (
        "import resource, signal, sys; from pathlib import Path; from linprobe.runs import train as t\n"
        "t.CHECKPOINT_SECONDS = 0.0\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"settings = t.TrainSettings('digits', {{'optimizer': 'sgd', 'epochs': {N_EPOCHS}}}, validation=0.2)\n"
        "def tell(epoch):\n"
        "    if epoch.epoch == 2: resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"
        "t.train(settings, out=Path(sys.argv[1]), training=tell)\n"
    )
    out = tmp_path / "run"
    assert resource.RLIMIT_FSIZE is not None
    ended = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=False)
    assert "RunError: " in ended.stderr
    assert f"{out / 'trace.csv'}: cannot be written: the file is larger than allowed" in ended.stderr
    whole_files(out)
    assert [row["epoch"] for row in trace_without_seconds(out)] == ["0", "1", "2"]
    resume(out)
    same_result(finished.path, out)


def test_the_metrics_tell_what_came_out(finished: RunResult) -> None:
    assert RunFolder.open(finished.path).metrics() == finished.metrics
    metrics = json.loads((finished.path / "metrics.json").read_text())
    assert metrics["run"] == str(finished.path)
    assert metrics["n_train"] + metrics["n_validation"] + metrics["n_test"] == 1797
    assert metrics["objective"] == pytest.approx(float(trace_without_seconds(finished.path)[-1]["objective"]), rel=1e-6)
    for name in ("train_accuracy", "validation_accuracy", "test_accuracy"):
        assert 0.8 < metrics[name] <= 1.0
    assert metrics["skipped_images"] == 0


@pytest.mark.parametrize("way", EXACT, ids=names)
def test_the_metrics_hold_the_certificate_of_the_model(tmp_path: Path, way: dict[str, Any]) -> None:
    result = train(settings(**way), out=tmp_path / "run")
    metrics = RunFolder.open(result.path).metrics()
    assert metrics == result.metrics
    kept, record = load_model(result.path).certificate_, metrics.certificate
    assert record is not None
    for name in ("objective", "lower_bound", "gradient_norm", "passes", "gap", "relative_gap"):
        assert getattr(record, name) == getattr(kept, name)
    written = json.loads((result.path / "metrics.json").read_text())["certificate"]
    assert (written["gap"], written["relative_gap"]) == (kept.gap, kept.relative_gap)
    assert 0.0 < record.seconds <= metrics.seconds
    assert record.passes <= metrics.passes
    # metrics.json has its objective from a pass in float32: of an objective of nothing but a few margins it knows less
    assert metrics.objective == pytest.approx(record.objective, rel=1e-5, abs=1e-8)
    rows = trace_without_seconds(result.path)
    assert [int(row["epoch"]) for row in rows] == list(range((metrics.epochs or 0) + 1))


def test_the_default_is_the_exact_optimum(tmp_path: Path) -> None:
    assert train(TrainSettings("digits"), out=tmp_path / "run").metrics.status is Status.CERTIFIED


def test_the_trace_has_a_row_for_each_epoch_and_the_start(finished: RunResult) -> None:
    rows = trace_without_seconds(finished.path)
    assert [int(row["epoch"]) for row in rows] == list(range(N_EPOCHS + 1))
    assert float(rows[0]["objective"]) == pytest.approx(np.log(10), rel=1e-6)  # W = 0: all classes are as likely
    for row in rows:
        assert float(row["objective"]) == pytest.approx(float(row["data_loss"]) + float(row["penalty"]))
        assert row["validation_accuracy"] != ""


def test_checkpoints_are_written_at_most_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_module, "CHECKPOINT_SECONDS", 3600.0)
    written: list[int] = []
    real = RunFolder.write_progress

    def spy(self: RunFolder, trace: list[str], state: Any) -> None:
        written.append(state.epoch)
        real(self, trace, state)

    monkeypatch.setattr(RunFolder, "write_progress", spy)
    train(settings(), out=tmp_path / "run")
    assert written == [0, N_EPOCHS]


def test_a_checkpoint_of_numbers_that_no_search_reaches_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    train(TrainSettings("planar:spiral", {"max_iter": 2}), out=path, n_threads=1)
    (path / "metrics.json").unlink()

    def fail(*_: object) -> None:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(train_module._Session, "run", fail)
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: the run cannot be resumed .*SVD did not converge"):
        resume(path, n_threads=1)


@pytest.mark.parametrize("name", ["write_model", "write_metrics"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_ctrl_c_while_the_result_is_written_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    write = getattr(RunFolder, name)

    def stop(run: RunFolder, content: Any) -> None:
        if when == "after":
            write(run, content)
        raise KeyboardInterrupt

    whole = train(settings(), out=tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, name, stop)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(settings(), out=tmp_path / "run")
    if name == "write_metrics" and when == "after":  # it is finished
        assert not isinstance(caught.value, Interrupted)
    else:
        assert f"--resume {tmp_path / 'run'}" in str(caught.value)
        resume(tmp_path / "run")
    same_result(whole.path, tmp_path / "run")


def test_ctrl_c_while_a_run_folder_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = RunFolder._write

    def stop(run: RunFolder, *given: Any) -> None:
        write(run, *given)
        raise KeyboardInterrupt

    (tmp_path / "empty").mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "_write", stop)
        for name in ("new", "empty"):
            with pytest.raises(KeyboardInterrupt):
                train(settings(), out=tmp_path / name)
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "empty").iterdir())
