"""The run folder: files are whole or as they were, progress comes back bit for bit."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from linprobe.classifiers.model_file import read_model
from linprobe.errors import ModelFileError, RunError
from linprobe.optimizers.base import Epoch, State
from linprobe.runs.folder import TRACE_COLUMNS, RunFolder, make_run_folder, trace_row, write_atomically
from linprobe.runs.models import model_file_of
from linprobe.runs.records import RunSettings, TrainSettings, content_of

SETTINGS = RunSettings(TrainSettings("digits", {"reg": 1e-3}))


def state_after(epoch: int) -> State:
    """A state whose numbers show any lost bit."""
    arrays = {
        "W": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3) * np.float32(1 + epoch),
        "b": np.array([0.1, np.nextafter(0.1, 1)]),
    }
    return State(epoch, arrays, {"learning_rate": 0.1 + 0.2, "best": float("inf"), "step": float(7 * epoch)})


def epoch_row(epoch: int, **changed: Any) -> str:
    """A line of the trace."""
    numbers = dict.fromkeys(TRACE_COLUMNS, 1.0 / 3.0) | {"epoch": epoch} | changed
    return trace_row(Epoch(**numbers, state=state_after(epoch)))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        (errno.ENOSPC, "the disk is full .* Free some space, then"),
        (errno.EDQUOT, "your share of the disk is used up .* Free some space, then"),
        (errno.EROFS, "the file system is read-only .* Make it writable, then"),
        (errno.EACCES, "the folder is not yours to write to .* Change its permissions, then"),
        (errno.EIO, "the disk reports an error .* Check the disk and its connection, then"),
        (errno.ENETDOWN, "the system refuses it .* Check the folder, then"),
    ],
)
def test_a_disk_that_refuses_names_the_file_and_says_how_to_go_on(
    tmp_path: Path, code: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sheet.png"
    write_atomically(path, b"before")
    run = RunFolder.create(tmp_path / "a run", SETTINGS)

    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match=rf"sheet\.png: cannot be written: {found} run the command again"):
            write_atomically(path, b"after")
        with pytest.raises(RunError, match=rf"trace\.csv: .* {found} .*`linprobe train --resume '.*/a run'`"):
            run.write_progress([epoch_row(0)], state_after(0))
        with pytest.raises(RunError, match=rf"settings\.json: .* {found} run the command again"):
            RunFolder.create(tmp_path / "another", SETTINGS)
    assert path.read_bytes() == b"before"
    assert not (tmp_path / "another").exists()


def test_a_folder_that_a_killed_run_left_without_settings_is_free(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".settings.json.77.partial").touch()
    RunFolder.create(tmp_path, SETTINGS).close()
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="none/file: cannot be written"):
        write_atomically(tmp_path / "none" / "file", b"x")


def test_progress_comes_back_bit_for_bit(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", SETTINGS)
    trace = [epoch_row(0), epoch_row(1), epoch_row(2)]
    run.write_progress(trace, state_after(2))
    found = RunFolder.open(run.path).read_progress()
    assert found is not None
    lines, state = found
    assert lines == trace
    assert state.epoch == 2
    assert state.numbers == state_after(2).numbers
    for name, array in state_after(2).arrays.items():
        assert state.arrays[name].dtype == array.dtype
        assert state.arrays[name].tobytes() == array.tobytes()


@settings(max_examples=30)
@given(st.floats(allow_nan=False))
def test_every_number_of_a_state_survives(number: float) -> None:
    with tempfile.TemporaryDirectory() as parent:
        run = RunFolder.create(Path(parent) / "run", SETTINGS)
        run.write_progress(
            [epoch_row(0)],
            State(0, {"W": np.zeros((1, 1)), "b": np.zeros(1), "v": np.array([number])}, {"number": number}),
        )
        found = run.read_progress()
        run.close()
    assert found is not None
    assert np.float64(found[1].numbers["number"]).tobytes() == np.float64(number).tobytes()
    assert found[1].arrays["v"].tobytes() == np.array([number]).tobytes()


def test_rows_written_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", SETTINGS)
    run.write_progress([epoch_row(0), epoch_row(1)], state_after(1))
    trace = (run.path / "trace.csv").read_text() + epoch_row(2) + "\n"
    write_atomically(run.path / "trace.csv", trace.encode())
    found = run.read_progress()
    assert found is not None
    assert found[0] == [epoch_row(0), epoch_row(1)]


def test_a_cell_without_a_number_is_empty() -> None:
    row = epoch_row(3, validation_loss=float("nan"), validation_accuracy=np.float64("nan"), objective=np.float64(0.1))
    cells = dict(zip(TRACE_COLUMNS, row.split(","), strict=True))
    assert cells["epoch"] == "3"
    assert cells["objective"] == "0.1"
    assert cells["validation_loss"] == cells["validation_accuracy"] == ""


def test_before_the_first_checkpoint_there_is_no_progress(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path / "run", SETTINGS).read_progress() is None


@pytest.mark.parametrize("broken", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"not a tensor file at all"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, broken: bytes) -> None:
    run = RunFolder.create(tmp_path / "run", SETTINGS)
    run.write_progress([epoch_row(0)], state_after(0))
    (run.path / "checkpoint.safetensors").write_bytes(broken)
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: the checkpoint cannot be read"):
        run.read_progress()


GOOD = {"W": np.zeros((2, 3), np.float32), "b": np.zeros(2)}
NOTES = {"run_version": "1", "epoch": "0", "numbers": "{}"}


@pytest.mark.parametrize(
    ("arrays", "notes", "message"),
    [
        ({"b": np.zeros(2)}, NOTES, "it has no array 'W', only b"),
        ({**GOOD, "W": np.zeros((2, 3), np.int64)}, NOTES, "the array 'W' is int64, expected float32 or float64"),
        ({**GOOD, "W": np.full((2, 3), np.inf)}, NOTES, "the array 'W' holds NaN or infinity"),
        ({**GOOD, "velocity": np.full(2, np.nan)}, NOTES, "the array 'velocity' holds NaN or infinity"),
        ({**GOOD, "b": np.zeros(3)}, NOTES, r"W and b have shapes \(2, 3\) and \(3,\), expected \(K, D\) and \(K,\)"),
        (GOOD, {**NOTES, "run_version": "2"}, "run_version is 2, expected 1"),
        (GOOD, {**NOTES, "epoch": "-1"}, "epoch is '-1', expected a whole number >= 0"),
        (GOOD, {**NOTES, "epoch": "soon"}, "epoch is 'soon', expected a whole number >= 0"),
        (GOOD, {**NOTES, "numbers": "[1]"}, "numbers is a list, expected"),
        (GOOD, {**NOTES, "numbers": '{"step": "far"}'}, "numbers.step is a str, expected a number"),
        (GOOD, {"run_version": "1"}, "its metadata has no entry 'epoch'"),
    ],
)
def test_a_checkpoint_that_holds_something_else_is_named(
    tmp_path: Path, arrays: dict[str, Any], notes: dict[str, str], message: str
) -> None:
    run = RunFolder.create(tmp_path / "run", SETTINGS)
    (run.path / "checkpoint.safetensors").write_bytes(save(arrays, notes))
    with pytest.raises(RunError, match=rf"checkpoint\.safetensors: the checkpoint cannot be read \({message}"):
        run.read_progress()


@settings(max_examples=150)
@given(st.data())
def test_a_checkpoint_with_any_bytes_changed_is_read_or_named(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as parent:
        run = RunFolder.create(Path(parent) / "run", SETTINGS)
        run.write_progress([epoch_row(0)], state_after(0))
        path = run.path / "checkpoint.safetensors"
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
        with suppress(RunError):
            found = run.read_progress()
            assert found is not None
            assert found[1].arrays["W"].ndim == 2
        run.close()


def test_a_trace_that_does_not_reach_the_checkpoint_is_named(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", SETTINGS)
    run.write_progress([epoch_row(0)], state_after(0))
    run.write_progress([epoch_row(0)], state_after(1))
    with pytest.raises(RunError, match=r"trace\.csv: expected the header and a row for each epoch 0\.\.1"):
        run.read_progress()


def test_a_new_run_takes_no_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="the folder is not empty; --out needs a new or empty one"):
        RunFolder.create(tmp_path, SETTINGS)
    RunFolder.create(tmp_path / "run", SETTINGS)
    with pytest.raises(RunError, match="holds a run already; resume it with --resume"):
        RunFolder.create(tmp_path / "run", SETTINGS)
    with pytest.raises(RunError, match=r"notes\.txt: is a file"):
        RunFolder.create(tmp_path / "notes.txt", SETTINGS)


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(RunError, match=r"not a run folder: it has no settings\.json"):
        RunFolder.open(tmp_path)
    (tmp_path / "settings.json").write_text("[1]")
    with pytest.raises(RunError, match=r"expected a JSON object, found \[1\]"):
        RunFolder.open(tmp_path)
    (tmp_path / "settings.json").write_text('{"run_version": 99}')
    with pytest.raises(RunError, match="run_version is 99, expected 1"):
        RunFolder.open(tmp_path)


def test_a_run_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path / "run", SETTINGS)
    second = RunFolder.open(tmp_path / "run")
    with pytest.raises(RunError, match="another process is training this run"):
        second.lock()
    first.close()
    second.lock()
    second.close()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("digits", "digits-softmax-1"),
        ("/data/cifar10.zip", "cifar10-softmax-1"),
        ("cats and dogs.tar.gz", "cats-and-dogs-softmax-1"),
        ("planar:three-modes", "planar-three-modes-softmax-1"),
        ("pictures/", "pictures-softmax-1"),
        ("..", "run-softmax-1"),
    ],
)
def test_a_run_is_named_after_its_source_and_loss(tmp_path: Path, source: str, name: str) -> None:
    assert make_run_folder(source, "softmax", tmp_path) == tmp_path / name


def test_the_next_run_gets_the_next_number(tmp_path: Path) -> None:
    names = [make_run_folder("digits", "hinge", tmp_path / "runs").name for _ in range(3)]
    assert names == ["digits-hinge-1", "digits-hinge-2", "digits-hinge-3"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    (tmp_path / "nowhere").symlink_to("none")
    for parent in ("runs", "nowhere"):
        with pytest.raises(RunError, match=rf"{parent}: the run folder cannot be written: a file is in .* --out"):
            make_run_folder("digits", "hinge", tmp_path / parent)
    with pytest.raises(RunError, match="runs/mine: the run folder cannot be written: a file is in the place"):
        RunFolder.create(tmp_path / "runs" / "mine", SETTINGS)
    with pytest.raises(RunError, match=r"x: the run folder cannot be written: the name is too long .*shorter"):
        RunFolder.create(tmp_path / ("x" * 300), SETTINGS)


def test_a_long_name_of_a_source_does_not_make_the_name_of_its_run_too_long(tmp_path: Path) -> None:
    assert make_run_folder("x" * 255, "hinge", tmp_path).name == "x" * 100 + "-hinge-1"


def test_a_run_that_began_and_ended_in_the_meantime_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = RunFolder.lock

    def late(run: RunFolder) -> None:
        really(run)
        (run.path / "settings.json").write_text("{}")
        (run.path / "metrics.json").write_text("{}")

    monkeypatch.setattr(RunFolder, "lock", late)
    with pytest.raises(RunError, match="holds a finished run already"):
        RunFolder.create(tmp_path / "run", SETTINGS)
    assert (tmp_path / "run" / "settings.json").read_text() == "{}"


def test_a_disk_that_fails_does_not_hide_the_command_to_resume_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    RunFolder.create(tmp_path / "run", SETTINGS).close()
    run = RunFolder.open(tmp_path / "run")
    for name in ("open", "fsync", "stat"):
        monkeypatch.setattr(os, name, failing)
    with pytest.raises(RunError, match=r"the disk reports an error .* continue with `linprobe train --resume .*run`"):
        run.write_model(b"x")


def test_the_settings_are_read_once_and_anew_with_the_lock(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", SETTINGS).close()
    run = RunFolder.open(tmp_path / "run")
    moved = replace(SETTINGS, request=replace(SETTINGS.request, source="elsewhere"))
    (tmp_path / "run" / "settings.json").write_bytes(content_of(moved))  # as a process that resumed it has
    assert run.settings() == SETTINGS
    run.lock()
    try:
        assert run.settings() == moved
    finally:
        run.close()


def test_a_numbered_folder_goes_when_nothing_can_be_written_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = make_run_folder("digits", "hinge", tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="settings"):
        RunFolder.create(path, SETTINGS, ours=True)
    assert not path.exists()


def test_a_name_that_is_too_long_is_no_run(tmp_path: Path) -> None:
    for read in (RunFolder.open, model_file_of):
        with pytest.raises(RunError, match="File name too long"):
            read(tmp_path / ("x" * 300))
    with pytest.raises(ModelFileError, match="File name too long"):
        read_model(tmp_path / ("x" * 300))
