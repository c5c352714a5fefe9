"""Trainings of the lab: the runs of the library, in a process that can be stopped, watched and killed."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from linprobe.errors import RunError
from linprobe.lab import job as job_module
from linprobe.lab.job import EVENTS, Event, Job, JobShown, Rows, TraceRow, Weights
from linprobe.lab.training import Trainer
from linprobe.optimizers.base import Status
from linprobe.runs.folder import TRACE_COLUMNS
from linprobe.runs.records import TrainSettings, as_json
from linprobe.runs.train import train

from .pictures import write_source

Started = Callable[..., Trainer]


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A zip of sixty small pictures."""
    return str(write_source(tmp_path / "things.zip"))


class Heard:
    """What a trainer told, in order."""

    def __init__(self) -> None:
        self.events: list[JobShown | Event] = []

    def __call__(self, event: JobShown | Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[str]:
        """The kinds of the events."""
        return ["state" if isinstance(event, JobShown) else event.kind for event in self.events]

    def wait_for(self, kind: str) -> None:
        """Wait until an event of that kind was told."""
        until(lambda: kind in self.kinds())


def until(true: Callable[[], bool]) -> None:
    """Wait for something that takes a moment."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def heard() -> Heard:
    """Keeps what is told."""
    return Heard()


@pytest.fixture
def trainer(tmp_path: Path, heard: Heard) -> Iterator[Trainer]:
    """A trainer with a folder of runs of its own."""
    made = Trainer(tmp_path / "runs", heard)
    yield made
    made.close()


def endless(source: str, **more: Any) -> TrainSettings:
    """A training that ends when it is told to."""
    return TrainSettings(source, {"optimizer": "sgd", "epochs": 1_000_000, "batch_size": 4, **more}, validation=0.2)


def ended(trainer: Trainer) -> Job:
    """The job, once its process is gone."""
    job = trainer.wait(60)
    assert job is not None
    assert not job.running, job
    return job


def test_a_training_of_the_lab_gives_the_bits_of_the_library(trainer, heard, source, tmp_path):
    settings = TrainSettings(source, {"optimizer": "sgd", "epochs": 5, "loss": "hinge"}, seed=3, validation=0.2)
    expected = train(settings, out=tmp_path / "alone")
    job = trainer.start(settings, "things")
    assert job.run == "things-hinge-1"
    assert ended(trainer).phase == "finished"
    run = tmp_path / "runs" / job.run
    assert (run / "model.safetensors").read_bytes() == (expected.path / "model.safetensors").read_bytes()
    assert as_json(job.metrics) == json.loads((run / "metrics.json").read_text())
    assert job.metrics.test_accuracy == expected.metrics.test_accuracy
    assert [row.epoch for row in job.rows] == [0, 1, 2, 3, 4, 5]
    assert job.rows[-1].objective == pytest.approx(expected.classifier.history_[-1]["objective"], rel=1e-12)
    told = [row.epoch for event in heard.events if isinstance(event, Rows) for row in event.rows]
    assert told == [0, 1, 2, 3, 4, 5]
    assert heard.kinds()[-1] == "state"


def test_a_stopped_training_goes_on_where_it_was(trainer, heard, source, tmp_path):
    job = trainer.start(endless(source), "things")
    heard.wait_for("rows")
    trainer.stop()
    assert ended(trainer).phase == "stopped"
    assert re.fullmatch(r"stopped after epoch \d+", job.message)  # the page has a button to resume it
    run = tmp_path / "runs" / job.run
    assert not (run / "metrics.json").exists()
    reached = len((run / "trace.csv").read_text().splitlines()) - 2
    heard.events.clear()
    again = trainer.resume(run, "things", endless(source))
    heard.wait_for("rows")
    assert again.rows[0].epoch == reached
    trainer.stop()
    ended(trainer)


def test_the_end_is_told_after_the_stop_however_long_that_takes_to_tell(heard, source, tmp_path):
    def slow(event: JobShown | Event) -> None:
        if isinstance(event, JobShown) and event.phase == "stopping":
            made._process.wait(60)  # the training is over before the page hears that it stops
            time.sleep(0.2)
        heard(event)

    made = Trainer(tmp_path / "runs", slow)
    made.start(endless(source), "things")
    heard.wait_for("rows")
    made.stop()
    ended(made)
    assert [event.phase for event in heard.events if isinstance(event, JobShown)][-2:] == ["stopping", "stopped"]


def test_a_running_training_can_be_kept_as_it_is(trainer, heard, source):
    job = trainer.start(endless(source), "things")
    heard.wait_for("rows")
    trainer.finish()
    assert ended(trainer).phase == "finished"
    assert job.metrics.status is Status.STOPPED
    assert job.message == "kept as it was then"
    assert 0 < job.metrics.test_accuracy <= 1


def test_one_training_runs_at_a_time(trainer, heard, source):
    job = trainer.start(endless(source), "things")
    with pytest.raises(RunError, match=f"{job.run} is being trained, and the lab trains one run at a time"):
        trainer.start(endless(source), "things")
    heard.wait_for("rows")
    trainer.stop()
    ended(trainer)
    with pytest.raises(RunError, match="no training runs"):
        trainer.stop()


def test_weights_are_sent_to_those_who_look_and_to_nobody_else(trainer, heard, source):
    trainer.start(endless(source), "things")
    heard.wait_for("rows")
    assert "weights" not in heard.kinds()
    trainer.look(True)
    heard.wait_for("weights")
    sent = next(event for event in heard.events if isinstance(event, Weights))
    assert sent.shape == (3, 8 * 8 * 3)
    trainer.look(False)


def test_a_training_that_is_killed_is_told_and_what_it_reached_can_be_kept(trainer, heard, source, tmp_path):
    job = trainer.start(endless(source), "things")
    heard.wait_for("rows")
    until(lambda: (tmp_path / "runs" / job.run / "checkpoint.safetensors").exists())
    os.kill(job.process, signal.SIGKILL)
    assert ended(trainer).phase == "failed"
    assert "ended with signal 9" in job.message
    kept = trainer.resume(tmp_path / "runs" / job.run, "things", endless(source), finish=True)
    assert ended(trainer).phase == "finished"
    assert kept.metrics.status is Status.STOPPED
    assert kept.metrics.epochs == kept.rows[-1].epoch
    assert (tmp_path / "runs" / job.run / "model.safetensors").exists()


def test_a_training_that_is_killed_before_its_run_began_leaves_no_folder(trainer, source, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")  # it ends at once, without a word
    trainer.start(endless(source), "things")
    assert (
        ended(trainer).message == "the training process ended with exit code 1 (it printed no error); start it again."
    )
    assert list((tmp_path / "runs").iterdir()) == []


def test_without_a_temporary_folder_a_training_is_refused_and_leaves_no_folder(trainer, source, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(RunError, match="a temporary file cannot be written: its folder does not exist"):
        trainer.start(endless(source), "things")
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_error_in_the_source_is_told_in_its_words_and_leaves_no_run(trainer, tmp_path):
    (tmp_path / "empty.zip").write_bytes(b"PK\5\6" + bytes(18))
    job = trainer.start(TrainSettings(str(tmp_path / "empty.zip")), "empty")
    assert ended(trainer).phase == "failed"
    assert "empty" in job.message
    assert not list((tmp_path / "runs").iterdir())


def test_the_end_of_the_lab_stops_the_training_in_order(trainer, heard, source, tmp_path):
    job = trainer.start(endless(source), "things")
    heard.wait_for("rows")
    trainer.close()
    assert job.phase == "stopped"
    assert (tmp_path / "runs" / job.run / "checkpoint.safetensors").exists()


def test_a_lab_that_vanishes_takes_its_training_with_it(trainer, heard, source, tmp_path):
    job = trainer.start(endless(source), "things")
    heard.wait_for("rows")
    trainer._process.stdin.close()  # what the process sees when the lab was killed
    assert ended(trainer).phase == "stopped"
    assert (tmp_path / "runs" / job.run / "checkpoint.safetensors").exists()


def test_a_long_trace_is_thinned_with_its_last_row_kept(monkeypatch):
    monkeypatch.setattr(job_module, "MOST_ROWS", 10)
    job = Job("run", "source", TrainSettings("source"))
    for epoch in range(101):
        job.add((TraceRow(epoch),))
        assert job.rows[-1].epoch == epoch
        assert len(job.rows) <= 11
    epochs = [row.epoch for row in job.rows]
    assert epochs[0] == 0
    assert len({later - earlier for earlier, later in itertools.pairwise(epochs[:-1])}) == 1
    job.add((TraceRow(48),))  # a run that goes on from its checkpoint tells its rows again
    assert [row.epoch for row in job.rows][-1] == 48


def test_a_row_has_the_columns_of_a_trace_and_the_predicted_gap():
    assert tuple(each.name for each in fields(TraceRow)) == (*TRACE_COLUMNS, "left")
    assert TraceRow.of({"epoch": 1.0, "objective": math.nan}) == TraceRow(1.0)


def test_every_event_is_found_by_its_kind():
    assert {kind: event.kind for kind, event in EVENTS.items()} == {kind: kind for kind in EVENTS}
    assert set(EVENTS.values()) == set(get_args(Event))
