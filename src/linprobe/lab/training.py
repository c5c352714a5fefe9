"""The trainings of the lab, one at a time, each in a process of its own (worker.py)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from linprobe.errors import RunError
from linprobe.files import unwritten
from linprobe.lab.job import (
    EVENTS,
    Command,
    Ended,
    Event,
    Finished,
    GlimpseMet,
    Job,
    JobShown,
    Order,
    Phase,
    Reading,
    Rows,
    TraceRow,
)
from linprobe.optimizers.base import Status
from linprobe.optimizers.registry import OPTIMIZERS
from linprobe.plain import plain
from linprobe.runs.folder import RunFolder, make_run_folder
from linprobe.runs.records import TrainSettings
from linprobe.typed_json import dataclass_from

__all__ = ["Trainer"]

CLOSE_SECONDS = 20.0
"""Seconds that a training has to save its state when the lab ends. Then it is killed; its files stay whole."""

Listener = Callable[[JobShown | Event], None]
"""Called with the training whenever its phase or message changes, and with the events of its process."""


class Trainer:
    """Starts, stops and follows trainings.

    Args:
        runs: the folder of the run folders.
        notify: called with every event, from a thread of its own.
    """

    def __init__(self, runs: Path, notify: Listener) -> None:
        self.runs, self.notify = runs, notify
        self.job: Job | None = None
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lock = threading.RLock()
        self._looking = False

    def start(self, settings: TrainSettings, source: str, *, cache: Path | None = None) -> Job:
        """The job of a new run in the folder of runs.

        Args:
            settings: as `runs.train.train` takes them; the run is the one that the command line would make.
            source: what the page calls the source.
            cache: folder for decoded pixels; None for the user's.
        Raises:
            RunError: another training runs, or the folder cannot be made.
        """
        with self._lock:
            self._check_free()
            path = make_run_folder(settings.source, str(settings.classifier.get("loss", "softmax")), self.runs)
            try:
                return self._begin(path, source, settings, cache=cache)
            except BaseException:
                with contextlib.suppress(OSError):
                    path.rmdir()  # it is empty
                raise

    def resume(
        self,
        path: Path,
        source: str,
        settings: TrainSettings,
        trace: Sequence[TraceRow] = (),
        *,
        finish: bool = False,
        cache: Path | None = None,
    ) -> Job:
        """The job that resumes a stopped run; with `finish`, it ends the run with its last checkpoint.

        Args:
            path: the run folder.
            settings: those in it; to be shown, the training reads them itself.
            trace: the rows so far.
            source, cache: as for `start`.
        Raises:
            RunError: another training runs.
        """
        with self._lock:
            self._check_free()
            return self._begin(path, source, settings, resumed=True, finish=finish, cache=cache, trace=trace)

    def stop(self) -> None:
        """Stop as Ctrl-C does: the run folder holds everything that resuming needs.

        Raises:
            RunError: no training runs.
        """
        with self._lock:
            job, process = self._running()
            job.phase, job.message = "stopping", "saving its state ..."
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            self.notify(job.shown())  # under the lock: the event of its end must come later

    def finish(self) -> None:
        """End the training at its next row, test it, and write the result.

        Raises:
            RunError: no training runs.
        """
        with self._lock:
            job, _ = self._running()
            unit = OPTIMIZERS[str(job.settings.classifier.get("optimizer", "exact"))].unit
            job.message = f"ending after this {unit}; then the test images are classified ..."
            self._say(Command(finish=True))
            self.notify(job.shown())

    def look(self, looking: bool) -> None:
        """Note whether the weights are wanted; the process sends them only then."""
        with self._lock:
            if looking != self._looking:
                self._looking = looking
                self._say(Command(look=looking))

    def wait(self, seconds: float | None = None) -> Job | None:
        """The job, once its process has ended or the time is over."""
        reader = self._reader
        if reader is not None:
            reader.join(seconds)
        return self.job

    def close(self) -> None:
        """Stop what runs, and wait until it has written down what it has."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(RunError):
            self.stop()
        try:
            process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        self.wait(5.0)

    def _check_free(self) -> None:
        if self.job is not None and self.job.running:
            raise RunError(f"{self.job.run} is being trained, and the lab trains one run at a time; stop it first.")

    def _running(self) -> tuple[Job, subprocess.Popen[str]]:
        if self.job is None or self._process is None or not self.job.running:
            raise RunError("no training runs; start one, or resume a run of the list.")
        return self.job, self._process

    def _begin(
        self,
        path: Path,
        source: str,
        settings: TrainSettings,
        *,
        finish: bool = False,
        resumed: bool = False,
        cache: Path | None,
        trace: Sequence[TraceRow] = (),
    ) -> Job:
        order = Order(str(path), None if resumed else settings, finish)
        try:
            errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by the thread that follows
        except OSError as error:
            next_step = "start it again; or start the lab with another folder in TMPDIR"
            raise RunError(unwritten(error.filename or "TMPDIR", error, next_step, "a temporary file")) from error
        environment = dict(os.environ) if cache is None else {**os.environ, "LINPROBE_CACHE_DIR": str(cache)}
        process = subprocess.Popen(
            [sys.executable, "-m", "linprobe.lab.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # Ctrl-C in the terminal goes to the lab, which stops the training itself
        )
        self._process, self._looking = process, False
        self.job = job = Job(path.name, source, settings, rows=list(trace), process=process.pid)
        self._say(order)
        self._reader = threading.Thread(target=self._follow, args=(job, process, errors), daemon=True)
        self._reader.start()
        self.notify(job.shown())
        return job

    def _say(self, line: Order | Command) -> None:
        """Send a line to the process, if one still reads."""
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(plain(line)) + "\n")
            self._process.stdin.flush()

    def _follow(self, job: Job, process: subprocess.Popen[str], errors: TextIO) -> None:
        """Read the events of the process until it ends."""
        ended = False
        assert process.stdout is not None
        with errors, process.stdout:
            for line in process.stdout:
                try:
                    fields = json.loads(line)
                except ValueError:  # empty, or cut short by the stop
                    continue
                ended = self._met(job, dataclass_from(EVENTS[fields["kind"]], fields)) or ended
            code = process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            if not ended:
                errors.seek(0)
                last = errors.read().strip().splitlines()[-1:] or ["it printed no error"]
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                begun = (self.runs / job.run / "settings.json").exists()
                if not begun:
                    self._remove_empty(self.runs / job.run)
                then = "resume the run" if begun else "start it again"
                self._end(job, "failed", f"the training process ended with {how} ({last[0]}); {then}.")

    def _remove_empty(self, run: Path) -> None:
        """Delete the folder of a process that ended before its run began."""
        folder = RunFolder(run)
        with contextlib.suppress(OSError, RunError):  # resumed by somebody else
            folder.lock()  # which removes what was left behind
            folder.close()
            run.rmdir()

    def _met(self, job: Job, event: Event) -> bool:
        """Take in one line; whether it is the last one."""
        match event:
            case Reading():
                self._phase(job, "reading")
            case Rows():
                with self._lock:
                    job.add(event.rows)
                self._phase(job, "training")
            case GlimpseMet():
                with self._lock:
                    job.glimpse(event)
            case Finished():
                job.metrics = event.metrics
                kept = event.metrics.status is Status.STOPPED  # by nobody but `finish`
                self._end(job, "finished", "kept as it was then" if kept else event.metrics.status_text)
                return True
            case Ended():
                self._end(job, event.phase, event.message)
                return True
        self.notify(event)
        return False

    def _phase(self, job: Job, phase: Phase) -> None:
        with self._lock:
            if job.phase != phase and job.phase != "stopping":
                job.phase = phase
                self.notify(job.shown())

    def _end(self, job: Job, phase: Phase, message: str) -> None:
        with self._lock:
            job.phase, job.message = phase, message
            self.notify(job.shown())
