"""A sweep that leaves a run folder: a grid solved, its best member chosen on validation, the winner tested once.

Besides the files of a training, the folder holds part-1.json, part-2.json, ...: the scores and certificates of each
part (a fold, or the one validation split), written when it is done. A sweep that was stopped resumes with the next.
The weights of all members of part 1 are in path.safetensors, unless they are too many: W (L, K, D) and b (L, K),
float32, and the reg values (L,).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import model_bytes
from linprobe.classifiers.rate_selection import CellProgress
from linprobe.classifiers.selection import Choice, PartScores, Selector
from linprobe.data.base import LabelledSet, ProgressCallback
from linprobe.data.splits import stratified_folds
from linprobe.errors import LinprobeError, RunError
from linprobe.optimizers.base import Status
from linprobe.optimizers.path import Progress, check_regs
from linprobe.runs.evaluation import Performance, measure
from linprobe.runs.folder import RunFolder, check_free, make_run_folder
from linprobe.runs.material import Prepared, prepare, prepare_again, unfinished_settings
from linprobe.runs.rate_sweep import RateSearch
from linprobe.runs.records import (
    CertificateRecord,
    PartRecord,
    RunMetrics,
    SweepSettings,
    finite,
)
from linprobe.runs.result import Interrupted, RunResult, circumstances, minimised, remember_images
from linprobe.runs.search import Chosen, Search, grid_rows
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
    training: Callable[[CellProgress], None] | None = None,
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
        training: of a sweep over learning rates: called after each epoch of each run of SGD.
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
    session = _Session(prepared, _search(prepared, solving, training))
    path = out or make_run_folder(began.request.source, f"sweep-{began.parameter('loss')}", Path("runs"))
    run = RunFolder.create(path, began, ours=out is None)
    try:
        return session.run(run)
    except LinprobeError:
        if not (run.unwritten or run.read_parts() or run.read_cell(1).rungs):
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
    training: Callable[[CellProgress], None] | None = None,
) -> RunResult:
    """The result of the sweep at `path`, continued after its finished parts; bit-identical to an unbroken sweep.

    Args:
        path: the run folder.
        source: where the data are now, if they have moved.
        n_threads, cache, reading, solving, training: as for `sweep`.
    Raises:
        RunError: there is no sweep, it is finished, another process works on it, or its data changed.
        LinprobeError, Interrupted: as for `sweep`.
    """
    run = RunFolder.open(path)
    run.lock()
    try:
        prepared = prepare_again(run, unfinished_settings(run, SweepSettings), source, n_threads, cache, reading)
        return _Session(prepared, _search(prepared, solving, training)).run(run)
    except (ArithmeticError, np.linalg.LinAlgError) as error:  # numbers that are finite, and that no search reaches
        raise RunError(f"{path}: the sweep cannot be resumed from its numbers ({error}); start it anew.") from error
    finally:
        run.close()


def _search(
    prepared: Prepared,
    solving: Callable[[str, Progress], None] | None,
    training: Callable[[CellProgress], None] | None,
) -> Search:
    """The search that the settings of a run request."""
    request = prepared.settings.request
    if isinstance(request, SweepSettings) and request.learning_rates:
        return RateSearch(prepared, solving, training)
    return _RegSearch(prepared, solving)


class _Session:
    """One process's share of a sweep."""

    def __init__(self, prepared: Prepared, search: Search) -> None:
        self.settings, self.search = prepared.settings, search
        self.request, self.material, self.test = search.request, search.material, search.material.split.test
        self.n_threads = search.classifier.n_threads

    def run(self, run: RunFolder) -> RunResult:
        """Solve the parts that are not done, choose, fit to all, test, and write the result."""
        begun = time.perf_counter()
        try:
            earlier = self.search.choose(run)
            images = self.search.images_to_refit
            classifier = self.search.refit(images)
            train = self.search.train if images is None else images
            if classifier.status_ is Status.INTERRUPTED:
                raise KeyboardInterrupt
            made_from = {
                "image_size": self.request.image_size,
                "seed": self.request.seed,
                "validation": 0.0,
                "content": self.material.contents.digest,
            }
            remember_images(classifier, self.material, train, self.search.validation_chose)
            model = model_bytes(classifier, made_from)
            tested = measure(classifier, self.test, self.n_threads)  # the one time it is touched
            metrics = self._metrics(run, classifier, train, tested, earlier + time.perf_counter() - begun)
            run.write_model(model)
            run.write_metrics(metrics)
        except KeyboardInterrupt as stop:
            if run.finished:
                raise
            raise Interrupted(f"stopped after {self.search.reached}", run.resume_command()) from stop
        weights = self.search.weights
        return RunResult(run.path, self.settings, metrics, classifier, self.material, tested, weights=weights)

    def _metrics(
        self, run: RunFolder, classifier: LinearModel, train: LabelledSet, tested: Performance, seconds: float
    ) -> RunMetrics:
        trained = measure(classifier, train, self.n_threads)
        certificate = CertificateRecord.of(classifier.certificate_)
        objective, data_loss = minimised(classifier, train, trained, certificate)
        chosen, validation = self.search.chosen, self.search.validation
        return RunMetrics(
            run=str(run.path),
            source=self.request.source,
            loss=str(classifier.loss),
            penalty=str(classifier.penalty),
            reg=float(classifier.reg),
            grid=chosen.grid,
            cells=chosen.cells,
            chosen_by=chosen.chosen_by,
            objective=finite(objective),
            data_loss=finite(data_loss),
            certificate=certificate,
            train_accuracy=trained.accuracy,
            validation_accuracy=chosen.accuracy,
            test_accuracy=tested.accuracy,
            validation_loss=finite(chosen.loss),
            test_loss=finite(tested.loss),
            seconds=seconds,
            passes=float(chosen.passes + classifier.solution_.passes),
            status=classifier.status_,
            chosen=dict(classifier.chosen_),
            **circumstances(classifier, self.material, train, self.request.seed, bool(self.request.folds)),
            n_train=trained.n_images,
            n_validation=len(train.y) if validation is None else validation.n_images,
            n_test=tested.n_images,
        )


class _RegSearch(Search):
    """The exact optima of all reg values on each part, a fold or the one validation split.

    Args:
        prepared: of the run.
        solving: called with each step of each member, and the name of the part.
    """

    def __init__(self, prepared: Prepared, solving: Callable[[str, Progress], None] | None) -> None:
        super().__init__(prepared)
        self.solving, self.part_name = solving, ""
        folds = self.request.folds
        self.folds = stratified_folds(self.train.y, folds, self.request.seed) if folds else []
        self.regs = check_regs(self.request.regs)
        self.done: list[PartScores] = []
        self.selector: Selector[LinearModel] | None = None

    def choose(self, run: RunFolder) -> float:
        """As `Search.choose`."""
        self.done = self._parts_done(run)
        earlier = sum(part.seconds for part in self.done)
        self.selector = Selector(self.classifier, self.classifier.rows_of(self.train), self.regs, self._tell)
        for number, (name, solve) in enumerate(self._parts(self.selector), start=1):
            if number <= len(self.done):
                continue
            self.part_name = name
            scores = solve()
            if Status.INTERRUPTED in scores.statuses:
                raise KeyboardInterrupt
            if scores.weights:  # before the part: a resumed sweep skips the parts that are there
                self.weights = run.write_path(self.regs, scores.weights)
            run.write_part(number, PartRecord.of(scores))
            self.done.append(replace(scores, weights=()))
        return earlier

    def refit(self, images: LabelledSet | None) -> LinearModel:
        """As `Search.refit`; the search starts at the weights of the winner, where they are kept."""
        assert self.selector is not None
        self.part_name, best = "all training images", self._choice.best
        reg, start = self.regs[best], self._start_of_refit(best)
        if images is None:
            return self.selector.refit(reg, start)
        return Selector(self.classifier, self.classifier.rows_of(images), [reg], self._tell).refit(reg, start)

    @property
    def chosen(self) -> Chosen:
        """As `Search.chosen`."""
        choice, folds = self._choice, self.request.folds
        return Chosen(
            grid=grid_rows(choice),
            chosen_by=f"{folds} folds" if folds else "validation images",
            accuracy=float(choice.accuracies[choice.best]),
            loss=float(choice.losses[choice.best]),
            passes=sum(part.passes for part in choice.parts),
        )

    @property
    def reached(self) -> str:
        """As `Search.reached`."""
        return f"{len(self.done)} of {self._n_parts} parts"

    @property
    def _choice(self) -> Choice:
        return Choice(self.regs, tuple(self.done))

    def _parts_done(self, run: RunFolder) -> list[PartScores]:
        """The scores of the parts that a stopped sweep has left, and in `weights` those of part 1.

        Raises:
            RunError: a file is damaged, or of a sweep over another grid.
        """
        done = [part.scores for part in run.read_parts()]
        for number, scores in enumerate(done, start=1):
            if len(scores.accuracies) != len(self.regs) or number > self._n_parts:
                raise RunError(
                    f"{run.path / f'part-{number}.json'}: holds {len(scores.accuracies)} reg values; expected "
                    f"{len(self.regs)} in each of {self._n_parts} parts, as settings.json says; start a new sweep."
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

    def _tell(self, progress: Progress) -> None:
        if self.solving is not None:
            self.solving(self.part_name, progress)
