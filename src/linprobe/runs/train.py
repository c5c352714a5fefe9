"""Training that leaves a run folder: `train` begins a run, `resume` continues one, bit-identical to an unbroken run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from linprobe.certificate import Certificate
from linprobe.classifiers.model_file import model_bytes
from linprobe.data.base import ProgressCallback
from linprobe.errors import LinprobeError, RunError
from linprobe.optimizers.base import Epoch, State, Status, Watch
from linprobe.optimizers.registry import OPTIMIZERS
from linprobe.runs.evaluation import Performance, measure
from linprobe.runs.folder import RunFolder, check_free, make_run_folder, trace_row, trace_rows
from linprobe.runs.material import Prepared, prepare, prepare_again, unfinished_settings
from linprobe.runs.records import CertificateRecord, RunMetrics, TrainSettings, finite
from linprobe.runs.result import Interrupted, RunResult, circumstances, minimised, remember_images

__all__ = ["Interrupted", "RunResult", "TrainSettings", "resume", "train"]

CHECKPOINT_SECONDS = 1.0
"""Least seconds between two checkpoints: a kill loses no more than this, and short epochs do not wait for the disk."""


def train(
    settings: TrainSettings,
    *,
    out: Path | None = None,
    n_threads: int | None = None,
    cache: bool = True,
    reading: ProgressCallback | None = None,
    training: Callable[[Epoch], bool | None] | None = None,
    watch: Watch | None = None,
) -> RunResult:
    """The result of a training in a new run folder.

    Args:
        settings: all that decides the result.
        out: the folder, new or empty; None for runs/<source>-<loss>-<number>.
        n_threads: threads that compute and decode; None for one per core. The result does not depend on it.
        cache: whether decoded pixels are kept, and those that are there are used.
        reading: called with the progress of reading the source.
        training: called with each epoch; returning True ends the run there, and its result is that of these weights.
        watch: called within long epochs, as `Optimizer.minimize` says.
    Raises:
        RunError: `out` is not free, or a file cannot be written.
        LinprobeError: the source or a setting cannot be used.
        Interrupted: Ctrl-C; the run folder then holds the last epoch.
    """
    if out is not None:
        check_free(out)
    prepared = prepare(settings, n_threads, cache, reading)
    began = prepared.settings
    path = out or make_run_folder(began.request.source, str(began.parameter("loss")), Path("runs"))
    run = RunFolder.create(path, began, ours=out is None)
    try:
        session = _Session(run, prepared, training, watch)
        return session.run(None)
    except LinprobeError:
        if session.last is None and not run.unwritten:  # nothing was trained that could be continued
            run.remove()
        raise
    finally:
        run.close()


def resume(
    path: Path,
    *,
    source: str | None = None,
    n_threads: int | None = None,
    cache: bool = True,
    reading: ProgressCallback | None = None,
    training: Callable[[Epoch], bool | None] | None = None,
    watch: Watch | None = None,
) -> RunResult:
    """The result of the run at `path`, continued from its checkpoint; bit-identical to a run that was never stopped.

    Args:
        path: the run folder.
        source: where the data are now, if they have moved.
        n_threads, cache, reading, training, watch: as for `train`.
    Raises:
        RunError: there is no run, it is finished, another process trains it, or its data changed.
        LinprobeError, Interrupted: as for `train`.
    """
    run = RunFolder.open(path)
    run.lock()
    try:
        settings = unfinished_settings(run, TrainSettings)
        progress = run.read_progress()  # before the source, which may be large
        prepared = prepare_again(run, settings, source, n_threads, cache, reading)
        return _Session(run, prepared, training, watch).run(progress)
    except (ArithmeticError, np.linalg.LinAlgError) as error:  # numbers that are finite, and that no search reaches
        raise RunError(
            f"{path / 'checkpoint.safetensors'}: the run cannot be resumed from its numbers ({error}); start it anew."
        ) from error
    finally:
        run.close()


class _Session:
    """One process's share of a run: from its start or a checkpoint to its end, or to Ctrl-C."""

    def __init__(
        self,
        run: RunFolder,
        prepared: Prepared,
        tell: Callable[[Epoch], bool | None] | None,
        watch: Watch | None,
    ) -> None:
        self.run_folder, self.settings = run, prepared.settings
        self.model, self.material = prepared.model, prepared.material
        self.tell, self.watch = tell, watch
        self.trace: list[str] = []
        self.last: Epoch | None = None
        self.written = float("-inf")

    def run(self, progress: tuple[list[str], State] | None) -> RunResult:
        """Train, test, and write the result."""
        start: State | None = None
        if progress is not None:
            self.trace, start = progress
        split, request, classifier = self.material.split, self.settings.request, self.model
        try:
            classifier.fit_sets(split.train, split.validation, self._record, start, self.watch)
            self._write_progress()
            made_from = {
                "image_size": request.image_size,
                "seed": request.seed,
                "validation": request.validation,
                "content": self.material.contents.digest,
            }
            ends_by_validation = classifier.optimizer == "sgd" and classifier.patience is not None
            remember_images(classifier, self.material, split.train, ends_by_validation)
            model = model_bytes(classifier, made_from)
            if classifier.status_ is Status.INTERRUPTED:
                self.run_folder.write_model(model)
                raise self._interrupted(classifier.certificate_)
            tested = measure(classifier, split.test, classifier.n_threads)  # the one time the test split is touched
            metrics = self._metrics(tested)
            self.run_folder.write_model(model)
            self.run_folder.write_metrics(metrics)
        except Interrupted:
            raise
        except KeyboardInterrupt as stop:
            if self.run_folder.finished:
                raise
            raise self._interrupted() from stop
        rows = trace_rows(self.trace)
        return RunResult(self.run_folder.path, self.settings, metrics, classifier, self.material, tested, rows)

    def _record(self, epoch: Epoch) -> bool:
        """Keep the row of `epoch`; write trace and checkpoint, at most every CHECKPOINT_SECONDS."""
        if epoch.epoch == len(self.trace):  # the first call after resuming repeats the checkpoint's row
            self.trace.append(trace_row(epoch))
        self.last = epoch  # after its row: Ctrl-C may come in between, and no checkpoint may be ahead of the trace
        if time.monotonic() - self.written >= CHECKPOINT_SECONDS:
            self._write_progress()
        return self.tell is not None and self.tell(epoch) is True

    def _write_progress(self) -> None:
        if self.last is not None:
            self.run_folder.write_progress(self.trace[: self.last.epoch + 1], self.last.state)
            self.written = time.monotonic()

    def _interrupted(self, certificate: Certificate | None = None) -> Interrupted:
        """Ctrl-C in words, once the last epoch is written; with a certificate the model file is there, too."""
        command = self.run_folder.resume_command()
        self._write_progress()
        if certificate is not None:
            return Interrupted(f"stopped, the best model so far was kept: {certificate.describe()}", command)
        unit = OPTIMIZERS[str(self.settings.parameter("optimizer"))].unit
        if self.last is None:
            return Interrupted(f"stopped before the first {unit}", command)
        passes = "" if unit == "epoch" else f" ({self.last.passes:g} passes over the images)"
        return Interrupted(f"stopped after {unit} {self.last.epoch}{passes}", command)

    def _metrics(self, tested: Performance) -> RunMetrics:
        """The result: figures at the weights that were kept, in one fresh pass over each split."""
        split, classifier = self.material.split, self.model
        trained = measure(classifier, split.train, classifier.n_threads)
        validated = None if split.validation is None else measure(classifier, split.validation, classifier.n_threads)
        solution, certificate = classifier.solution_, CertificateRecord.of(classifier.certificate_)
        objective, data_loss = minimised(classifier, split.train, trained, certificate)
        return RunMetrics(
            run=str(self.run_folder.path),
            source=self.settings.request.source,
            loss=str(classifier.loss),
            penalty=str(classifier.penalty),
            reg=float(classifier.reg),
            objective=finite(objective),
            data_loss=finite(data_loss),
            train_accuracy=trained.accuracy,
            validation_accuracy=None if validated is None else validated.accuracy,
            test_accuracy=tested.accuracy,
            validation_loss=None if validated is None else finite(validated.loss),
            test_loss=finite(tested.loss),
            seconds=solution.seconds,
            passes=float(solution.passes),
            epochs=solution.state.epoch,
            status=solution.status,
            certificate=certificate,
            chosen=dict(solution.chosen),
            **circumstances(classifier, self.material, split.train, self.settings.request.seed),
            n_train=trained.n_images,
            n_validation=0 if validated is None else validated.n_images,
            n_test=tested.n_images,
        )
