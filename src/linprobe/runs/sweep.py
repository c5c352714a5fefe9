"""A sweep over reg that leaves a run folder: the grid solved jointly, reg chosen on validation, the winner tested once.

Besides the files of a training, the folder holds part-1.json, part-2.json, ...: the scores and certificates of each
part (a fold, or the one validation split), written when it is done. A sweep that was stopped resumes with the next.
The weights of all members of part 1 are in path.safetensors, unless they are too many: W (L, K, D) and b (L, K),
float32, and the reg values (L,).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import model_bytes
from linprobe.classifiers.selection import Choice, PartScores, Selector
from linprobe.data.base import ProgressCallback
from linprobe.data.splits import stratified_folds
from linprobe.errors import LinprobeError, RunError
from linprobe.optimizers.base import Status
from linprobe.optimizers.path import Progress, check_regs
from linprobe.runs.evaluation import Performance, measure
from linprobe.runs.folder import GridWeights, RunFolder, check_free, make_run_folder
from linprobe.runs.material import Prepared, prepare, prepare_again, unfinished_settings
from linprobe.runs.records import (
    CertificateRecord,
    GridRow,
    PartRecord,
    RunMetrics,
    SweepSettings,
    finite,
)
from linprobe.runs.result import Interrupted, RunResult, circumstances, minimised, trained_on
from linprobe.shapes import Floats

__all__ = ["SweepSettings", "resume_sweep", "sweep"]

PATH_NUMBERS = 2**24
"""Weights of a grid, at most, that are kept: 64 MB of float32."""


def sweep(
    settings: SweepSettings,
    *,
    out: Path | None = None,
    n_threads: int | None = None,
    cache: bool = True,
    reading: ProgressCallback | None = None,
    solving: Callable[[str, Progress], None] | None = None,
) -> RunResult:
    """The result of a sweep in a new run folder.

    The winner is fitted to all training images, those held out included.

    Args:
        settings: all that decides the result.
        out: the folder, new or empty; None for runs/<source>-sweep-<loss>-<number>.
        n_threads: threads that compute and decode; None for one per core. The result does not depend on it.
        cache: whether decoded pixels are kept, and those that are there are used.
        reading: called with the progress of reading the source.
        solving: called with each step of each member and the name of the part ("fold 2 of 5", "all images").
    Raises:
        RunError: `out` is not free, or a file cannot be written.
        LinprobeError: the source or a setting cannot be used.
        Interrupted: Ctrl-C; the run folder then holds the parts that are done.
    """
    if out is not None:
        check_free(out)
    prepared = prepare(settings, n_threads, cache, reading)
    began = prepared.settings
    # splits into folds: a dataset that cannot be split must leave no folder
    session = _Session(prepared, solving)
    path = out or make_run_folder(began.request.source, f"sweep-{began.parameter('loss')}", Path("runs"))
    run = RunFolder.create(path, began, ours=out is None)
    try:
        return session.run(run)
    except LinprobeError:
        if not (run.unwritten or run.read_parts()):
            run.remove()
        raise
    finally:
        run.close()


def resume_sweep(
    path: Path,
    *,
    source: str | None = None,
    n_threads: int | None = None,
    cache: bool = True,
    reading: ProgressCallback | None = None,
    solving: Callable[[str, Progress], None] | None = None,
) -> RunResult:
    """The result of the sweep at `path`, continued after its finished parts; bit-identical to an unbroken sweep.

    Args:
        path: the run folder.
        source: where the data are now, if they have moved.
        n_threads, cache, reading, solving: as for `sweep`.
    Raises:
        RunError: there is no sweep, it is finished, another process works on it, or its data changed.
        LinprobeError, Interrupted: as for `sweep`.
    """
    run = RunFolder.open(path)
    run.lock()
    try:
        prepared = prepare_again(run, unfinished_settings(run, SweepSettings), source, n_threads, cache, reading)
        return _Session(prepared, solving).run(run)
    finally:
        run.close()


class _Session:
    """One process's share of a sweep."""

    def __init__(
        self,
        prepared: Prepared,
        solving: Callable[[str, Progress], None] | None,
    ) -> None:
        settings, material = prepared.settings, prepared.material
        assert isinstance(settings.request, SweepSettings)
        self.settings, self.request, self.material, self.solving = settings, settings.request, material, solving
        self.part_name = ""
        self.weights: GridWeights | None = None
        split, folds = material.split, self.request.folds
        self.test = split.test
        # with folds, a validation split of the source is not looked at
        self.train, self.validation = split.train, None if folds else split.validation
        self.own_validation = material.dataset.validation is not None and not folds
        self.folds = stratified_folds(self.train.y, folds, self.request.seed) if folds else []
        self.classifier = prepared.model
        self.classifier.classes_ = np.array(material.dataset.class_names)
        self.classifier.image_shape_ = material.dataset.image_shape

    def run(self, run: RunFolder) -> RunResult:
        """Solve the parts that are not done, choose, fit to all, test, and write the result."""
        begun = time.perf_counter()
        regs = check_regs(self.request.regs)
        done = self._parts_done(run, len(regs))
        earlier = sum(part.seconds for part in done)
        try:
            selector = Selector(self.classifier, self.classifier.rows_of(self.train), regs, self._tell)
            for number, (name, solve) in enumerate(self._parts(selector), start=1):
                if number <= len(done):
                    continue
                self.part_name = name
                scores = solve()
                if Status.INTERRUPTED in scores.statuses:
                    raise KeyboardInterrupt
                if scores.weights:  # before the part: a resumed sweep skips the parts that are there
                    self.weights = run.write_path(regs, scores.weights)
                run.write_part(number, PartRecord.of(scores))
                done.append(replace(scores, weights=()))
            choice = Choice(regs, tuple(done))
            self.part_name = "all training images"
            classifier = self._refit(selector, regs[choice.best], self._start_of_refit(choice.best))
            if classifier.status_ is Status.INTERRUPTED:
                raise KeyboardInterrupt
            made_from = {
                "image_size": self.request.image_size,
                "seed": self.request.seed,
                "validation": 0.0,
                "content": self.material.contents.digest,
            }
            classifier.trained_on_ = trained_on(self.material, self.train)
            model = model_bytes(classifier, made_from)
            tested = measure(classifier, self.test, self.classifier.n_threads)  # the one time it is touched
            metrics = self._metrics(run, classifier, choice, tested, earlier + time.perf_counter() - begun)
        except KeyboardInterrupt as stop:
            raise Interrupted(f"stopped after {len(done)} of {self._n_parts} parts", run.resume_command()) from stop
        run.write_model(model)
        run.write_metrics(metrics)
        return RunResult(run.path, self.settings, metrics, classifier, self.material, tested, weights=self.weights)

    def _parts_done(self, run: RunFolder, n_regs: int) -> list[PartScores]:
        """The scores of the parts that a stopped sweep has left, and in `weights` those of part 1.

        Raises:
            RunError: a file is damaged, or of a sweep over another grid.
        """
        done = [part.scores for part in run.read_parts()]
        for number, scores in enumerate(done, start=1):
            if len(scores.accuracies) != n_regs or number > self._n_parts:
                raise RunError(
                    f"{run.path / f'part-{number}.json'}: holds {len(scores.accuracies)} reg values; expected {n_regs} "
                    f"in each of {self._n_parts} parts, as settings.json says; start a new sweep."
                )
        if done:
            self.weights = run.read_path()
        return done

    def _start_of_refit(self, number: int) -> tuple[Floats, Floats] | None:
        """W (K, D) and b (K,) of a member of the grid in part 1: near those on all images."""
        if self.weights is None:
            return None
        return self.weights.W[number].astype(np.float64), self.weights.b[number].astype(np.float64)

    @property
    def _n_parts(self) -> int:
        return self.request.folds or 1

    def _parts(self, selector: Selector[LinearModel]) -> Sequence[tuple[str, Callable[[], PartScores]]]:
        """(name, what solves it) of each part."""
        if self.folds:
            every = np.arange(len(self.train.y))

            def of(fold: npt.NDArray[np.int64], first: bool) -> Callable[[], PartScores]:
                keep = first and self._path_is_small
                return lambda: selector.part(np.setdiff1d(every, fold), selector.images.at(fold), keep)

            return [(f"fold {i} of {len(self.folds)}", of(fold, i == 1)) for i, fold in enumerate(self.folds, start=1)]
        assert self.validation is not None
        held_out = self.classifier.rows_of(self.validation)
        return [("validation", lambda: selector.part(None, held_out, self._path_is_small))]

    @property
    def _path_is_small(self) -> bool:
        """Whether the weights of all members are few enough to be kept."""
        n_weights: int = len(self.material.dataset.class_names) * int(self.train.X.shape[1])
        return len(self.request.regs) * n_weights <= PATH_NUMBERS

    def _refit(self, selector: Selector[LinearModel], reg: float, start: tuple[Floats, Floats] | None) -> LinearModel:
        """The winner on all training images: with those that were held out of them, but not a val/ folder."""
        if self.validation is None or self.own_validation:
            return selector.refit(reg, start)
        assert self.train.rows is not None
        assert self.validation.rows is not None
        whole = self.material.dataset.train
        kept = np.union1d(self.train.rows, self.validation.rows)
        self.train = whole.subset(np.flatnonzero(np.isin(whole.positions, kept)))
        return Selector(self.classifier, self.classifier.rows_of(self.train), [reg], self._tell).refit(reg, start)

    def _tell(self, progress: Progress) -> None:
        if self.solving is not None:
            self.solving(self.part_name, progress)

    def _metrics(
        self, run: RunFolder, classifier: LinearModel, choice: Choice, tested: Performance, seconds: float
    ) -> RunMetrics:
        trained = measure(classifier, self.train, self.classifier.n_threads)
        certificate = CertificateRecord.of(classifier.certificate_)
        objective, data_loss = minimised(classifier, self.train, trained, certificate)
        return RunMetrics(
            run=str(run.path),
            source=self.request.source,
            loss=str(classifier.loss),
            penalty=str(classifier.penalty),
            reg=float(classifier.reg),
            grid=_grid(choice),
            chosen_by=f"{self.request.folds} folds" if self.request.folds else "validation images",
            objective=finite(objective),
            data_loss=finite(data_loss),
            certificate=certificate,
            train_accuracy=trained.accuracy,
            validation_accuracy=float(choice.accuracies[choice.best]),
            test_accuracy=tested.accuracy,
            validation_loss=finite(float(choice.losses[choice.best])),
            test_loss=finite(tested.loss),
            seconds=seconds,
            passes=float(sum(part.passes for part in choice.parts) + classifier.solution_.passes),
            status=classifier.status_,
            **circumstances(classifier, self.material, self.train, self.request.seed, bool(self.folds)),
            n_train=trained.n_images,
            n_validation=len(self.train.y) if self.validation is None else self.validation.n_images,
            n_test=tested.n_images,
        )


def _grid(choice: Choice) -> tuple[GridRow, ...]:
    """A row for each reg value."""
    accuracies, losses, parts = choice.accuracies, choice.losses, choice.parts
    return tuple(
        GridRow(
            reg=float(reg),
            validation_accuracy=float(accuracies[i]),
            validation_loss=finite(float(losses[i])),
            train_accuracy=_mean(part.train_accuracies[i] for part in parts),
            norm=finite(_mean(part.norms[i] for part in parts)),
            zeros=_mean(part.zeros[i] for part in parts),
            accuracies=tuple(part.accuracies[i] for part in parts),
            certificates=tuple(CertificateRecord.of(part.certificates[i]) for part in parts),
            statuses=tuple(part.statuses[i] for part in parts),
        )
        for i, reg in enumerate(choice.regs)
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
