"""Training that leaves a run folder behind: `train` begins a run, `resume` goes on with one to the same bits."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from linprobe.certificate import Certificate
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import model_bytes
from linprobe.classifiers.rows import Rows
from linprobe.data.base import Dataset, LabelledSet, ProgressCallback, ReadOptions, open_dataset
from linprobe.data.splits import train_validation_test
from linprobe.errors import LinprobeError, RunError
from linprobe.features.base import FeatureMap
from linprobe.optimizers.base import Epoch, State, Status, Watch
from linprobe.runs.evaluation import measure
from linprobe.runs.features import map_dataset, requested
from linprobe.runs.folder import RunFolder, check_free, make_run_folder, trace_row

__all__ = [
    "Interrupted",
    "Material",
    "RunResult",
    "TrainSettings",
    "absolute_source",
    "certificate_record",
    "check_features",
    "check_unfinished",
    "circumstances",
    "finite",
    "made_classifier",
    "made_material",
    "read_again",
    "read_source",
    "resume",
    "train",
    "versions",
]

CHECKPOINT_SECONDS = 1.0
"""Least time between two checkpoints: a kill loses no more than this, and short epochs do not wait for the disk."""


@dataclass(frozen=True)
class TrainSettings:
    """All that decides the bits of a run; settings.json holds it.

    Args:
        source: what `open_dataset` takes.
        classifier: parameters of LinearClassifier by name, all but random_state and n_threads. Here preprocess
            "auto" centres vectors, too.
        seed: of the splits, of the order of the images, and of sources that are drawn at random.
        validation: share of the training images held out, 0..1; a validation split of the source is used as it is.
        image_size: (height, width) to which pictures are resized, or None.
        on_bad_image: "fail" or "skip".
        features, feature_options: what the pictures are turned into, as `feature_map` takes them.
    """

    source: str
    classifier: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    validation: float = 0.0
    image_size: tuple[int, int] | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"
    features: str = "pixels"
    feature_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        path: the run folder.
        metrics: what metrics.json holds.
        classifier: the trained classifier.
        material: what it learnt from and was tested on, so that a report need not read it again.
    """

    path: Path
    metrics: dict[str, Any]
    classifier: LinearModel
    material: Material


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; the message says what was kept and how to go on."""


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
    """Train as `settings` say, in a new run folder.

    Args:
        settings: all that decides the result.
        out: the folder, new or empty; None for runs/<source>-<loss>-<number>.
        n_threads: threads that compute and decode; None for one per core. The result does not depend on it.
        cache: whether decoded pixels are kept, and those that are there are used.
        reading: told how far reading the source is.
        training: told of each epoch; returning True ends the run there, and its result is that of these weights.
        watch: told of what happens within long epochs, as `Optimizer.minimize` says.
    Raises:
        RunError: `out` is not free, or a file cannot be written.
        LinprobeError: the source or a setting cannot be used.
        Interrupted: Ctrl-C; the run folder then holds the last epoch.
    """
    if out is not None:
        check_free(out)
    LinearModel(**settings.classifier).check_parameters()  # before a source is read that may be large
    check_features(settings)
    dataset = read_source(settings, n_threads, cache, reading)
    settings = replace(settings, source=absolute_source(settings.source))
    record = {
        **versions(),
        **asdict(settings),
        "fingerprint": dataset.fingerprint,
        "format": dataset.format,
    }
    material = made_material(settings, dataset, settings.validation, n_threads, cache, reading)
    path = out or make_run_folder(settings.source, str(settings.classifier.get("loss", "softmax")), Path("runs"))
    run = RunFolder.create(path, record)
    session = _Session(run, settings, material, n_threads, training, watch)
    try:
        return session.run(None)
    except LinprobeError:
        if session.last is None:  # nothing was trained that could be continued
            run.remove()
        raise
    finally:
        run.close()


def resume(
    path: Path,
    *,
    n_threads: int | None = None,
    cache: bool = True,
    reading: ProgressCallback | None = None,
    training: Callable[[Epoch], bool | None] | None = None,
    watch: Watch | None = None,
) -> RunResult:
    """Go on with the run at `path` from its checkpoint, to the bits of a run that was never stopped.

    Raises:
        RunError: there is no run, it is finished, another process trains it, or its data changed.
        LinprobeError, Interrupted: as for `train`.
    """
    run = RunFolder.open(path)
    run.lock()
    try:
        check_unfinished(run, "run")
        settings = _settings_from(path, run.settings())
        progress = run.read_progress()
        dataset = read_again(run, settings, "run", n_threads, cache, reading)
        material = made_material(settings, dataset, settings.validation, n_threads, cache, reading)
        return _Session(run, settings, material, n_threads, training, watch).run(progress)
    finally:
        run.close()


class _Session:
    """One process's share of a run: from its start or a checkpoint to its end, or to Ctrl-C."""

    def __init__(
        self,
        run: RunFolder,
        settings: TrainSettings,
        material: Material,
        n_threads: int | None,
        tell: Callable[[Epoch], bool | None] | None,
        watch: Watch | None,
    ) -> None:
        self.run_folder, self.settings, self.material = run, settings, material
        self.split = train_validation_test(material.dataset, settings.validation, settings.seed)
        self.n_threads, self.tell, self.watch = n_threads, tell, watch
        self.trace: list[str] = []
        self.last: Epoch | None = None
        self.written = float("-inf")

    def run(self, progress: tuple[list[str], State] | None) -> RunResult:
        """Train, test, and write the result."""
        start: State | None = None
        if progress is not None:
            self.trace, start = progress
        split = self.split
        classifier = made_classifier(self.settings, self.material, self.n_threads)
        try:
            classifier.fit_sets(split.train, split.validation, self._record, start, self.watch)
            self._write_progress()
            made_from = {
                "image_size": self.settings.image_size,
                "seed": self.settings.seed,
                "validation": self.settings.validation,
            }
            model = model_bytes(classifier, made_from)
            if classifier.status_ is Status.INTERRUPTED:
                self.run_folder.write_model(model)
                raise self._interrupted(classifier.certificate_)
            metrics = self._metrics(classifier)
        except Interrupted:
            raise
        except KeyboardInterrupt as stop:
            raise self._interrupted() from stop
        self.run_folder.write_model(model)
        self.run_folder.write_metrics(metrics)
        return RunResult(self.run_folder.path, metrics, classifier, self.material)

    def _record(self, epoch: Epoch) -> bool:
        """Keep the row of `epoch`, and write trace and checkpoint unless that was done a moment ago."""
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
        """The last epoch written down, and the words for it; the model file is there if there is a certificate."""
        path = self.run_folder.path
        go_on = f"go on with: linprobe train --resume {path}"
        self._write_progress()
        if certificate is not None:
            return Interrupted(f"stopped, the best model so far was kept: {certificate.describe()}; {go_on}")
        if self.last is None:
            return Interrupted(f"stopped before the first epoch; {go_on}")
        return Interrupted(f"stopped after epoch {self.last.epoch}; {go_on}")

    def _metrics(self, classifier: LinearModel) -> dict[str, Any]:
        """The result: figures at the weights that were kept, in one fresh pass over each split."""
        split = self.split
        trained = measure(classifier, split.train, self.n_threads)
        validated = None if split.validation is None else measure(classifier, split.validation, self.n_threads)
        tested = measure(classifier, split.test, self.n_threads)  # the one time the test split is touched
        penalty = classifier.penalty_
        penalised = 0.0 if penalty is None else classifier.reg * penalty.value(classifier.weights_)
        solution = classifier.solution_
        return {
            "run": str(self.run_folder.path),
            "source": self.settings.source,
            "loss": classifier.loss,
            "penalty": classifier.penalty,
            "reg": classifier.reg,
            "objective": finite(trained.loss + penalised),
            "data_loss": finite(trained.loss),
            "train_accuracy": trained.accuracy,
            "validation_accuracy": None if validated is None else validated.accuracy,
            "test_accuracy": tested.accuracy,
            "validation_loss": None if validated is None else finite(validated.loss),
            "test_loss": finite(tested.loss),
            "seconds": solution.seconds,
            "passes": solution.passes,
            "epochs": solution.state.epoch,
            "status": solution.status.name.lower(),
            "status_text": solution.status.value,
            "certificate": certificate_record(classifier.certificate_),
            "chosen": solution.chosen,
            **circumstances(classifier, self.material, split.train),
            "n_train": trained.n_images,
            "n_validation": 0 if validated is None else validated.n_images,
            "n_test": tested.n_images,
        }


class SourceSettings(Protocol):
    """What settings say of the source and how it is read."""

    @property
    def source(self) -> str: ...
    @property
    def image_size(self) -> tuple[int, int] | None: ...
    @property
    def on_bad_image(self) -> Literal["fail", "skip"]: ...
    @property
    def seed(self) -> int: ...


class RunSettings(SourceSettings, Protocol):
    """What settings of every kind of run say."""

    @property
    def classifier(self) -> dict[str, Any]: ...
    @property
    def features(self) -> str: ...
    @property
    def feature_options(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Material:
    """What a run learns from: the dataset, of pictures, of given vectors, or of features of its pictures.

    Attributes:
        as_read: the dataset as it was read.
        features: what made the features, fitted; None where the dataset is as it was read.
        seconds: that took.
    """

    dataset: Dataset
    as_read: Dataset
    features: FeatureMap | None = None
    seconds: float = 0.0


def check_features(settings: RunSettings) -> None:
    """Raise ParameterError for features that do not exist, before a source is read that may be large."""
    requested(settings.features, settings.feature_options)


def made_material(
    settings: RunSettings,
    dataset: Dataset,
    validation: float,
    n_threads: int | None,
    cache: bool,
    reading: ProgressCallback | None,
) -> Material:
    """The dataset as the features make it; they learn from what is neither held out nor tested on."""
    # first: what cannot be split is to leave no run folder
    train = train_validation_test(dataset, validation, settings.seed).train
    features = requested(settings.features, settings.feature_options)
    if features is None:
        return Material(dataset, dataset)
    mapped = map_dataset(
        dataset, train, features, seed=settings.seed, cache=cache, n_threads=n_threads, progress=reading
    )
    return Material(mapped.dataset, dataset, mapped.features, mapped.seconds)


def read_source(
    settings: SourceSettings, n_threads: int | None, cache: bool, reading: ProgressCallback | None
) -> Dataset:
    """The dataset that the settings name, read as they say."""
    options = ReadOptions(
        image_size=settings.image_size,
        on_bad_image=settings.on_bad_image,
        cache=cache,
        n_threads=n_threads,
        seed=settings.seed,
        progress=reading,
    )
    return open_dataset(settings.source, options)


def check_unfinished(run: RunFolder, kind: str) -> None:
    """Raise RunError if nothing of the run, which is called `kind`, is left to do."""
    if run.finished:
        raise RunError(
            f"{run.path}: this {kind} is finished; its result is in {run.path / 'metrics.json'}. "
            f"Start a new {kind} to go further."
        )


def read_again(
    run: RunFolder,
    settings: RunSettings,
    kind: str,
    n_threads: int | None,
    cache: bool,
    reading: ProgressCallback | None,
) -> Dataset:
    """The dataset that the run, which is called `kind`, began with.

    Raises:
        RunError: the data changed since then.
    """
    dataset, began_with = read_source(settings, n_threads, cache, reading), str(run.settings().get("fingerprint"))
    if dataset.fingerprint != began_with:
        raise RunError(
            f"{run.path}: the data in {settings.source} changed since this {kind} began (fingerprint "
            f"{dataset.fingerprint[:12]}, expected {began_with[:12]}); bring them back, or start a new {kind}."
        )
    return dataset


def made_classifier(settings: RunSettings, material: Material, n_threads: int | None) -> LinearModel:
    """The classifier that a run trains; preprocess "auto" centres vectors, too, and standardises features."""
    parameters = dict(settings.classifier)
    if material.dataset.image_shape is None and parameters.get("preprocess", "auto") == "auto":
        # a network's vectors share a large mean: left in, it is the one direction that sets the learning rate
        parameters["preprocess"] = "center" if material.features is None else "standardize"
    model = LinearModel(**parameters, random_state=settings.seed, n_threads=n_threads)
    model.features_ = material.features
    return model


def circumstances(classifier: LinearModel, material: Material, train: LabelledSet) -> dict[str, Any]:
    """What metrics of every kind of run tell of the objective and the source."""
    objective = classifier.objective_of(Rows(train.X, train.y, train.rows))
    dataset, features = material.dataset, material.features
    shape = dataset.image_shape if features is None else features.image_shape
    return {
        "features": "pixels" if features is None else features.spec,
        "n_features": int(train.X.shape[1]),
        "feature_seconds": material.seconds,
        "equivalents": [line.strip() for line in objective.describe().splitlines()],
        "skipped_images": len(dataset.skipped),
        "n_classes": len(dataset.class_names),
        "image_shape": None if shape is None else list(shape),
    }


def versions() -> dict[str, str]:
    """Of linprobe, Python and NumPy, by the names that settings.json gives them."""
    return {
        "linprobe_version": version("linprobe"),
        "python_version": platform.python_version(),
        "numpy_version": np.__version__,
    }


def absolute_source(source: str) -> str:
    """`source`, as an absolute path if it is one, so that a run can be resumed from any folder."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source


def _settings_from(path: Path, record: dict[str, Any]) -> TrainSettings:
    """The settings that settings.json holds."""
    try:
        settings = TrainSettings(**{column.name: record[column.name] for column in fields(TrainSettings)})
        size = None if settings.image_size is None else (settings.image_size[0], settings.image_size[1])
        LinearModel(**settings.classifier)
    except (KeyError, TypeError, IndexError) as error:
        raise RunError(f"{path / 'settings.json'}: not the settings of a training ({error!r}).") from error
    return replace(settings, image_size=size)


def certificate_record(certificate: Certificate | None) -> dict[str, float] | None:
    """The certificate as JSON, with what follows from it; None for None."""
    if certificate is None:
        return None
    return {**asdict(certificate), "gap": certificate.gap, "relative_gap": certificate.relative_gap}


def finite(value: float) -> float | None:
    """`value`; None, which JSON can hold, where it is NaN or infinite."""
    return value if math.isfinite(value) else None
