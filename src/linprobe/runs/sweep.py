"""A sweep over reg that leaves a run folder: the grid solved jointly, reg chosen on validation, the winner tested once.

Besides the files of a training, the folder holds part-1.json, part-2.json, ...: the scores and certificates of each
part (a fold, or the one validation split), written when it is done. A sweep that was stopped goes on with the next.
The weights of all members of part 1 are in path.safetensors, unless they are too many: W (L, K, D) and b (L, K),
float32, and the reg values (L,).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from linprobe.certificate import Certificate
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import model_bytes
from linprobe.classifiers.selection import Choice, PartScores, Selector
from linprobe.data.base import ProgressCallback
from linprobe.data.splits import split_dataset, stratified_folds
from linprobe.errors import LinprobeError, ParameterError, RunError
from linprobe.optimizers.base import Status
from linprobe.optimizers.path import Progress, check_regs
from linprobe.runs.evaluation import measure
from linprobe.runs.folder import RunFolder, check_free, make_run_folder
from linprobe.runs.train import (
    Interrupted,
    Material,
    RunResult,
    absolute_source,
    certificate_record,
    check_features,
    check_unfinished,
    circumstances,
    finite,
    made_classifier,
    made_material,
    read_again,
    read_source,
    versions,
)
from linprobe.shapes import Floats

__all__ = ["SweepSettings", "resume_sweep", "sweep"]

PATH_NUMBERS = 2**24
"""Weights of a grid, at most, that are kept: 64 MB."""


@dataclass(frozen=True)
class SweepSettings:
    """All that decides the bits of a sweep; settings.json holds it.

    Args:
        source: what `open_dataset` takes.
        regs: the grid, each >= 0.
        classifier: parameters of LinearClassifier by name, without reg, optimizer, random_state and n_threads.
        folds: how many; None for one validation split.
        validation: share of the training images held out to choose reg by, 0..1, when there are no folds; a
            validation split of the source is used as it is.
        seed: of the splits and folds, and of sources that are drawn at random.
        image_size: (height, width) to which pictures are resized, or None.
        on_bad_image: "fail" or "skip".
        features, feature_options: what the pictures are turned into, as `feature_map` takes them.
    """

    source: str
    regs: tuple[float, ...]
    classifier: dict[str, Any] = field(default_factory=dict)
    folds: int | None = None
    validation: float = 0.1
    seed: int = 0
    image_size: tuple[int, int] | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"
    features: str = "pixels"
    feature_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_regs(self.regs)
        if self.classifier.get("penalty") == "none":
            raise ParameterError("penalty = 'none'; a sweep over reg needs a penalty: l2, l1 or elastic-net.")
        if self.folds is not None and self.folds < 2:
            raise ParameterError(f"folds = {self.folds}; expected at least 2.")
        if self.folds is None and not 0.0 < self.validation < 1.0:
            raise ParameterError(
                f"validation = {self.validation}; a sweep chooses reg on held-out images: expected a share > 0 and < 1."
            )

    @property
    def held_out(self) -> float:
        """The share of the training images that is held out for good: none with folds."""
        return 0.0 if self.folds else self.validation


def sweep(
    settings: SweepSettings,
    *,
    out: Path | None = None,
    n_threads: int | None = None,
    cache: bool = True,
    reading: ProgressCallback | None = None,
    solving: Callable[[str, Progress], None] | None = None,
) -> RunResult:
    """Sweep as `settings` say, in a new run folder.

    The winner is fitted to all training images, those held out included.

    Args:
        settings: all that decides the result.
        out: the folder, new or empty; None for runs/<source>-sweep-<loss>-<number>.
        n_threads: threads that compute and decode; None for one per core. The result does not depend on it.
        cache: whether decoded pixels are kept, and those that are there are used.
        reading: told how far reading the source is.
        solving: told of each step of each member, with the name of the part ("fold 2 of 5", "all images").
    Raises:
        RunError: `out` is not free, or a file cannot be written.
        LinprobeError: the source or a setting cannot be used.
        Interrupted: Ctrl-C; the run folder then holds the parts that are done.
    """
    if out is not None:
        check_free(out)
    LinearModel(**settings.classifier).check_parameters()  # before a source is read that may be large
    check_features(settings)
    dataset = read_source(settings, n_threads, cache, reading)
    settings = replace(settings, source=absolute_source(settings.source))
    record = {
        "kind": "sweep",
        **versions(),
        **asdict(settings),
        "fingerprint": dataset.fingerprint,
        "format": dataset.format,
    }
    material = made_material(settings, dataset, settings.held_out, n_threads, cache, reading)
    session = _Session(settings, material, n_threads, solving)  # splits, so that what cannot be split leaves no folder
    loss = str(settings.classifier.get("loss", "softmax"))
    run = RunFolder.create(out or make_run_folder(settings.source, f"sweep-{loss}", Path("runs")), record)
    try:
        return session.run(run)
    except LinprobeError:
        if not run.read_parts():
            run.remove()
        raise
    finally:
        run.close()


def resume_sweep(
    path: Path,
    *,
    n_threads: int | None = None,
    cache: bool = True,
    reading: ProgressCallback | None = None,
    solving: Callable[[str, Progress], None] | None = None,
) -> RunResult:
    """Go on with the sweep at `path` after the parts that are done, to the bits of one that was never stopped.

    Raises:
        RunError: there is no sweep, it is finished, another process works on it, or its data changed.
        LinprobeError, Interrupted: as for `sweep`.
    """
    run = RunFolder.open(path)
    run.lock()
    try:
        check_unfinished(run, "sweep")
        settings = _settings_from(path, run.settings())
        dataset = read_again(run, settings, "sweep", n_threads, cache, reading)
        material = made_material(settings, dataset, settings.held_out, n_threads, cache, reading)
        return _Session(settings, material, n_threads, solving).run(run)
    finally:
        run.close()


class _Session:
    """One process's share of a sweep."""

    def __init__(
        self,
        settings: SweepSettings,
        material: Material,
        n_threads: int | None,
        solving: Callable[[str, Progress], None] | None,
    ) -> None:
        self.settings, self.material, self.n_threads, self.solving = settings, material, n_threads, solving
        dataset = self.dataset = material.dataset
        self.part_name = ""
        parts = split_dataset(dataset, validation=settings.held_out, seed=settings.seed)
        assert parts.test is not None
        self.test = parts.test
        # with folds, a validation split of the source is not looked at
        self.train, self.validation = parts.train, None if settings.folds else parts.validation
        self.own_validation = dataset.validation is not None and not settings.folds
        if settings.folds:
            self.folds = stratified_folds(self.train.y, settings.folds, settings.seed)
        self.classifier = made_classifier(settings, material, n_threads)
        self.classifier.classes_ = np.array(dataset.class_names)
        self.classifier.image_shape_ = dataset.image_shape

    def run(self, run: RunFolder) -> RunResult:
        """Solve the parts that are not done, choose, fit to all, test, and write the result."""
        begun = time.perf_counter()
        done = [_scores_from(run.path, record) for record in run.read_parts()]
        try:
            regs = check_regs(self.settings.regs)
            selector = Selector(self.classifier, self.classifier.rows_of(self.train), regs, self._tell)
            for number, (name, solve) in enumerate(self._parts(selector), start=1):
                if number <= len(done):
                    continue
                self.part_name = name
                scores = solve()
                if Status.INTERRUPTED in scores.statuses:
                    raise KeyboardInterrupt
                if scores.weights:  # before the part: a sweep goes on after the parts that are there
                    run.write_path(regs, scores.weights)
                run.write_part(number, _record(scores))
                done.append(replace(scores, weights=()))
            choice = Choice(regs, tuple(done))
            self.part_name = "all training images"
            classifier = self._refit(selector, regs[choice.best], _kept_weights(run, choice.best))
            if classifier.status_ is Status.INTERRUPTED:
                raise KeyboardInterrupt
            made_from = {
                "image_size": self.settings.image_size,
                "seed": self.settings.seed,
                "validation": 0.0,
            }
            model = model_bytes(classifier, made_from)
            metrics = self._metrics(run, classifier, choice, time.perf_counter() - begun)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                f"stopped after {len(done)} of {self._n_parts} parts; go on with: linprobe sweep --resume {run.path}"
            ) from stop
        run.write_model(model)
        run.write_metrics(metrics)
        return RunResult(run.path, metrics, classifier, self.material)

    @property
    def _n_parts(self) -> int:
        return self.settings.folds or 1

    def _parts(self, selector: Selector[LinearModel]) -> Sequence[tuple[str, Callable[[], PartScores]]]:
        """(name, what solves it) of each part."""
        if self.settings.folds:
            every = np.arange(len(self.train.y))

            def of(fold: Any, first: bool) -> Callable[[], PartScores]:
                keep = first and self._path_is_small
                return lambda: selector.part(np.setdiff1d(every, fold), selector.images.at(fold), keep)

            return [(f"fold {i} of {len(self.folds)}", of(fold, i == 1)) for i, fold in enumerate(self.folds, start=1)]
        assert self.validation is not None
        held_out = self.classifier.rows_of(self.validation)
        return [("validation", lambda: selector.part(None, held_out, self._path_is_small))]

    @property
    def _path_is_small(self) -> bool:
        """Whether the weights of all members are few enough to be kept."""
        n_weights: int = len(self.dataset.class_names) * int(self.train.X.shape[1])
        return len(self.settings.regs) * n_weights <= PATH_NUMBERS

    def _refit(self, selector: Selector[LinearModel], reg: float, start: tuple[Floats, Floats] | None) -> LinearModel:
        """The winner on all training images: with those that were held out of them, but not a val/ folder."""
        if self.validation is None or self.own_validation:
            return selector.refit(reg, start)
        assert self.train.rows is not None
        assert self.validation.rows is not None
        whole = self.dataset.train
        kept = np.union1d(self.train.rows, self.validation.rows)
        self.train = whole.subset(np.flatnonzero(np.isin(whole.positions, kept)))
        return Selector(self.classifier, self.classifier.rows_of(self.train), [reg], self._tell).refit(reg, start)

    def _tell(self, progress: Progress) -> None:
        if self.solving is not None:
            self.solving(self.part_name, progress)

    def _metrics(self, run: RunFolder, classifier: LinearModel, choice: Choice, seconds: float) -> dict[str, Any]:
        trained = measure(classifier, self.train, self.n_threads)
        tested = measure(classifier, self.test, self.n_threads)  # the one time the test split is touched
        certificate = classifier.certificate_
        assert certificate is not None
        accuracies, losses = choice.accuracies, choice.losses
        return {
            "kind": "sweep",
            "run": str(run.path),
            "source": self.settings.source,
            "loss": self.settings.classifier.get("loss", "softmax"),
            "penalty": self.settings.classifier.get("penalty", "l2"),
            "reg": classifier.reg,
            "grid": [
                {
                    "reg": reg,
                    "validation_accuracy": float(accuracies[i]),
                    "validation_loss": finite(float(losses[i])),
                    "train_accuracy": _mean(part.train_accuracies[i] for part in choice.parts),
                    "norm": _mean(part.norms[i] for part in choice.parts),
                    "zeros": _mean(part.zeros[i] for part in choice.parts),
                    "accuracies": [part.accuracies[i] for part in choice.parts],
                    "certificates": [certificate_record(part.certificates[i]) for part in choice.parts],
                    "statuses": [part.statuses[i].name.lower() for part in choice.parts],
                }
                for i, reg in enumerate(choice.regs)
            ],
            "chosen_by": f"{self.settings.folds} folds" if self.settings.folds else "validation images",
            "objective": certificate.objective,
            "certificate": certificate_record(certificate),
            "train_accuracy": trained.accuracy,
            "validation_accuracy": float(accuracies[choice.best]),
            "test_accuracy": tested.accuracy,
            "test_loss": finite(tested.loss),
            "seconds": seconds,
            "passes": sum(part.passes for part in choice.parts) + classifier.solution_.passes,
            "status": classifier.status_.name.lower(),
            "status_text": classifier.status_.value,
            **circumstances(classifier, self.material, self.train),
            "n_train": trained.n_images,
            "n_validation": len(self.train.y) if self.validation is None else self.validation.n_images,
            "n_test": tested.n_images,
        }


def _kept_weights(run: RunFolder, number: int) -> tuple[Floats, Floats] | None:
    """W (K, D) and b (K,) of a member of the grid in part 1, as the folder holds them: near those on all images."""
    path = run.read_path()
    return None if path is None else (path["W"][number].astype(np.float64), path["b"][number].astype(np.float64))


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


RECORDED = ("accuracies", "losses", "passes", "seconds", "train_accuracies", "norms", "zeros")
"""What part-N.json holds as it is."""


def _record(scores: PartScores) -> dict[str, Any]:
    """The scores of a part as JSON."""
    return {
        **{name: getattr(scores, name) for name in RECORDED},
        "certificates": [asdict(certificate) for certificate in scores.certificates],
        "statuses": [status.name for status in scores.statuses],
    }


def _scores_from(path: Path, record: dict[str, Any]) -> PartScores:
    try:
        return PartScores(
            tuple(record["accuracies"]),
            tuple(record["losses"]),
            tuple(Certificate(**certificate) for certificate in record["certificates"]),
            tuple(Status[name] for name in record["statuses"]),
            record["passes"],
            record["seconds"],
            tuple(record["train_accuracies"]),
            tuple(record["norms"]),
            tuple(record["zeros"]),
        )
    except (KeyError, TypeError) as error:
        raise RunError(f"{path}: a part-N.json is not one of a sweep ({error!r}); start a new sweep.") from error


def _settings_from(path: Path, record: dict[str, Any]) -> SweepSettings:
    """The settings that settings.json holds."""
    try:
        if record.get("kind") != "sweep":
            raise KeyError("kind: a training; go on with `linprobe train --resume`")
        settings = SweepSettings(**{column.name: record[column.name] for column in fields(SweepSettings)})
        size = None if settings.image_size is None else (settings.image_size[0], settings.image_size[1])
        LinearModel(**settings.classifier)
    except (KeyError, TypeError, IndexError) as error:
        raise RunError(f"{path / 'settings.json'}: not the settings of a sweep ({error!r}).") from error
    return replace(settings, image_size=size, regs=tuple(settings.regs))
