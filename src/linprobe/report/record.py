"""All that a report shows of one run: from its result in this process, or from its folder and its source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linprobe.challenges.wilson import wilson_interval
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import read_model
from linprobe.data.base import ImageSet, LabelledSet
from linprobe.data.splits import Split, train_validation_test
from linprobe.errors import LinprobeError, RunError
from linprobe.files import read_regular
from linprobe.parameters import NAMED
from linprobe.report.words import counted
from linprobe.runs.contents import contents_of
from linprobe.runs.evaluation import Performance, labels_by_name, measure
from linprobe.runs.features import kept_features, map_images
from linprobe.runs.folder import GridWeights, RunFolder
from linprobe.runs.material import read_source, split_like
from linprobe.runs.records import RunMetrics, RunSettings, SweepSettings, read_challenges
from linprobe.runs.result import RunResult
from linprobe.shapes import Floats, Labels, Pixels

__all__ = ["Accuracy", "Challenges", "Record", "Tested", "evenly", "read_record", "record_of"]

SCORES = 2**23
"""Scores of test images, at most, that are looked at one by one: 64 MB."""

SHEET_BYTES = 2_000_000
"""Size, at most, of a sheet of challenged pictures that is put into the page."""

LANDSCAPE_ROWS, LANDSCAPE_SCORES = 200, 20_000
"""Training images, and scores of them, at most, of which the loss landscape is drawn; at least a hundred images."""


@dataclass(frozen=True)
class Accuracy:
    """A share of images classified correctly, of a part of the data.

    Attributes:
        part: its name.
        value: 0..1.
        n: images.
        interval: of 95% (Wilson); None where the images are no fresh sample.
        note: what to know of it.
    """

    part: str
    value: float
    n: int
    interval: tuple[float, float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Tested:
    """What the model does on the test images.

    Attributes:
        performance: on all of them.
        images: those that are looked at one by one, as the source has them: pictures or vectors.
        seen: the same as the model reads them: pixels, vectors, or features.
        y: (n,) their labels, as positions in the names of the model.
        scores: (n, K) of these.
        n_all: test images; n where all are looked at.
    """

    performance: Performance
    images: LabelledSet
    seen: LabelledSet
    y: Labels
    scores: Floats
    n_all: int

    @property
    def whole(self) -> bool:
        """Whether all test images are looked at one by one."""
        return len(self.y) == self.n_all

    def hits(self) -> npt.NDArray[np.bool_]:
        """(n,) whether each image is given its class."""
        found: npt.NDArray[np.bool_] = self.scores.argmax(axis=1) == self.y
        return found

    def pictures(self, positions: npt.NDArray[np.int64]) -> Pixels:
        """Pictures (m, height, width, channels) at some positions; the images are pictures."""
        assert isinstance(self.images, ImageSet)
        return self.images.images[self.images.positions[positions]]

    def vectors(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """Rows (m, D) that the model reads at some positions."""
        picked: npt.NDArray[np.generic] = self.seen.X[self.seen.positions[positions]]
        return picked


@dataclass(frozen=True)
class Challenges:
    """What `linprobe challenges` has left in the run folder.

    Attributes:
        pictures: how many were changed, and of which source.
        clean: accuracy on them as they are, 0..1.
        severities: the columns.
        rows: (challenge, kind, accuracy at each severity, NaN where there is none).
        sheet: the sheet of example pictures, a PNG file; None where there is none, or it is large.
    """

    pictures: str
    clean: float
    severities: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[float, ...]], ...]
    sheet: bytes | None = None


@dataclass
class Record:
    """One run, as far as it is known.

    Attributes:
        path: the folder.
        name: what it is called in a comparison.
        settings, metrics: of the run folder.
        model: the classifier.
        trace: rows, none for a sweep.
        weights: of the members of a sweep, or None.
        tested: None where the source cannot be read.
        challenges: None where there are none.
        test_drawn: whether the test images were drawn from the source's, with the seed; None where it is not known.
        train: the training images as the source has them; None where they cannot be read.
        sample: training images for the loss landscape, as the model reads them; None where they cannot be read.
        missing: what is not there, and why, in sentences.
    """

    path: Path
    name: str
    settings: RunSettings
    metrics: RunMetrics
    model: LinearModel
    trace: Sequence[Mapping[str, float]] = ()
    weights: GridWeights | None = None
    tested: Tested | None = None
    challenges: Challenges | None = None
    test_drawn: bool | None = None
    train: LabelledSet | None = None
    sample: LabelledSet | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def swept(self) -> bool:
        """Whether it is a sweep."""
        return self.metrics.swept

    @property
    def folds(self) -> int | None:
        """Folds of a sweep that chose reg by them."""
        request = self.settings.request
        return request.folds if isinstance(request, SweepSettings) else None

    @property
    def test_key(self) -> tuple[object, ...]:
        """Equal for two runs that were tested on the same images."""
        drawn = self.settings.request.seed if self.test_drawn in (True, None) else "the source's"
        return self._data_key, self.metrics.n_test, drawn

    @property
    def held_out_key(self) -> tuple[object, ...]:
        """Equal for two runs that held out the same images, in the same parts."""
        request = self.settings.request
        how = ("folds", self.folds) if self.folds else ("share", request.validation)
        return self.test_key, how, request.seed, self.metrics.n_validation

    @property
    def loss_key(self) -> tuple[object, ...]:
        """Equal for two runs that have the same loss."""
        return self.objective_parts["loss"], tuple(self.model.loss_.parameters.items())

    @property
    def own_parameters(self) -> dict[str, float]:
        """The parameters of the loss and of the penalty by name; "loss NAME" where another setting has the name."""
        loss = self.model.loss_.parameters
        penalty = {} if self.model.penalty_ is None else self.model.penalty_.parameters
        settings = self.model.parameters().keys() - set(NAMED.values())
        shared = (loss.keys() & penalty.keys()) | settings | {each.name for each in fields(self.settings.request)}
        return {
            f"{kind} {name}" if name in shared else name: value
            for kind, own in (("loss", loss), ("penalty", penalty))
            for name, value in own.items()
        }

    @property
    def objective_parts(self) -> dict[str, object]:
        """All that decides the function that is minimised, by names for readers."""
        parameters, metrics, request = self.model.parameters(), self.metrics, self.settings.request
        # the seed draws what is held out, if anything is, and what the features draw
        drawn = self.test_key, self.held_out_key if metrics.n_validation and not self.swept else None
        return {
            **{name: str(parameters[name]) for name in ("loss", "penalty", "class_weight", "preprocess")},
            **self.own_parameters,
            "reg": None if metrics.penalty == "none" else metrics.reg,
            "features": (metrics.features, str(request.feature_options), metrics.features != "pixels" and drawn),
            "image size": str(request.image_size),
            "training images": (self._data_key, drawn, metrics.n_train),
        }

    @property
    def objective_key(self) -> tuple[object, ...]:
        """Equal for two runs that minimise the same function."""
        return tuple(self.objective_parts.items())

    @property
    def _data_key(self) -> tuple[object, ...]:
        return self.settings.fingerprint, self.settings.request.on_bad_image

    def accuracies(self) -> list[Accuracy]:
        """Test, validation and training accuracy, those that are there."""
        metrics, found = self.metrics, []
        unseen = "images never seen before: the number to quote"
        twins = {"training": metrics.n_test_trained_on, "validation": metrics.n_test_chosen_on}
        equal = [f"{n:,} of them equal to a {part} image" for part, n in twins.items() if n]
        if equal:
            unseen = f"{' and '.join(equal)}, so not all are new"
        for part, value, n, note in (
            ("test", metrics.test_accuracy, metrics.n_test, unseen),
            ("validation", metrics.validation_accuracy, metrics.n_validation, "held out of the training"),
            ("train", metrics.train_accuracy, metrics.n_train, "the images it learnt from"),
        ):
            if value is None or not n:
                continue
            fresh = part != "train"
            if part == "validation" and self.swept:
                tried = counted(len(metrics.cells), "run") if metrics.cells else f"{len(metrics.grid)} values of reg"
                note, fresh = f"best of {tried}, so slightly too high", False
            elif part == "validation" and self.settings.parameter("patience"):
                note, fresh = "chose when to stop, so slightly too high", False
            interval = wilson_interval(min(n, round(value * n)), n) if fresh else None
            found.append(Accuracy(part, value, n, interval, note))
        return found


def read_record(path: Path, *, cache: bool = True, n_threads: int | None = None) -> Record:
    """The finished run at `path`, and its model on the test images where the source is still there.

    Args:
        path: a run folder.
        cache: whether decoded pixels that are kept are used.
        n_threads: of reading and computing.
    Raises:
        RunError: there is no finished run, or its settings or metrics are damaged.
        ModelFileError: its model is damaged.
    """
    run = RunFolder.open(path)
    settings = run.settings()
    if not run.finished:
        raise RunError(f"{path}: this run is not finished; finish it with `{run.resume_command()}`.")
    metrics = run.metrics()
    if metrics.swept != settings.swept:
        raise RunError(
            f"{path}: settings.json is of a {settings.request.kind}, but metrics.json is not; "
            "restore the files, or start a new run."
        )
    record = Record(path, path.resolve().name, settings, metrics, read_model(run.model_path))
    parts = (
        (_read_trace, "learning curves"),
        (_read_weights, "templates along the path"),
        (_read_challenges, "challenges"),
    )
    for read, what in parts:
        try:
            read(record, run)
        except RunError as error:
            record.missing.append(f"No {what}: {error}")
    try:
        _read_images(record, cache, n_threads)
    except (LinprobeError, OSError, ValueError) as error:
        record.tested = record.train = record.sample = None
        record.missing.append(f"No pictures of images, and no figures by class: the source cannot be read ({error})")
    return record


def record_of(result: RunResult, *, n_threads: int | None = None) -> Record:
    """The run that has just ended in this process: nothing is read again."""
    material = result.material
    record = Record(
        result.path,
        result.path.resolve().name,
        result.settings,
        result.metrics,
        result.classifier,
        result.trace,
        result.weights,
    )
    if record.swept and record.weights is None and not record.metrics.cells:
        record.missing.append(NO_WEIGHTS)
    try:
        _read_challenges(record, RunFolder(result.path))
    except RunError as error:
        record.missing.append(f"No challenges: {error}")
    record.test_drawn = material.as_read.test is None
    _look_at_images(record, material.split_as_read, material.split, result.tested, n_threads)
    return record


NO_WEIGHTS = "No templates along the path: the weights of the grid were too many to keep."
"""Note of a sweep without stored weights."""


def _read_trace(record: Record, run: RunFolder) -> None:
    if not record.swept:
        record.trace = run.read_trace()


def _read_weights(record: Record, run: RunFolder) -> None:
    if not record.swept or record.metrics.cells:
        return
    weights = run.read_path()
    if weights is None:
        record.missing.append(NO_WEIGHTS)
    elif weights.W.shape[1:] != record.model.weights_.shape:
        raise RunError(
            f"{run.path / 'path.safetensors'}: W has shape {weights.W.shape}; this model has "
            f"{record.model.weights_.shape}, so that (L, K, D) was expected; sweep again."
        )
    record.weights = weights


def _read_challenges(record: Record, run: RunFolder) -> None:
    path, sheet = run.path / "challenges.json", run.path / "challenges.png"
    if not path.exists():
        return
    found = read_challenges(path)
    severities = tuple(sorted({_severity(cell.severity) for cell in found.cells}))
    accuracy = {(cell.kind, _severity(cell.severity)): cell.accuracy for cell in found.cells}
    rows = tuple(
        (challenge, kind, tuple(accuracy.get((kind, severity), math.nan) for severity in severities))
        for challenge, kind in dict.fromkeys((cell.challenge, cell.kind) for cell in found.cells)
    )
    try:
        png = read_regular(sheet) if sheet.exists() and sheet.stat().st_size <= SHEET_BYTES else None
    except OSError as error:
        raise RunError(f"{sheet}: cannot be read ({error.strerror}); run `linprobe challenges` again.") from error
    pictures = counted(found.n_images, "test image")
    if not found.own_source:
        whole = "" if found.split == "all" else f", split {found.split}"
        pictures = f"{counted(found.n_images)} of another source ({found.source}{whole})"
    if found.n_chosen_on:
        pictures += f", {found.n_chosen_on:,} of them not new because they chose settings of the model"
    record.challenges = Challenges(pictures, found.clean.accuracy, severities, rows, png)


def _severity(severity: int | None) -> str:
    """A column: "severity 3", or "all" for a set of several severities."""
    return "all" if severity is None else f"severity {severity}"


def _read_images(record: Record, cache: bool, n_threads: int | None) -> None:
    """Read the source, split it as the run did, and apply the model to its test images."""
    request, features = record.settings.request, record.model.features_
    dataset = read_source(request, n_threads, cache, None)
    settings = record.settings
    if dataset.fingerprint != settings.fingerprint and contents_of(dataset, n_threads).digest != settings.content:
        record.missing.append(
            f"No pictures of images, and no figures by class: {request.source} has changed since this run."
        )
        return
    record.test_drawn = dataset.test is None
    split = train_validation_test(dataset, request.held_out, request.seed)
    seen = split
    if features is not None:
        kept = kept_features(dataset, features) if cache else None
        seen = _mapped(record, split, n_threads) if kept is None else split_like(split, dataset, kept)
    _look_at_images(record, split, seen, measure(record.model, seen.test, n_threads), n_threads)


def _look_at_images(record: Record, split: Split, seen: Split, performance: Performance, n_threads: int | None) -> None:
    """Keep the images that the page shows: `split` as the source has them, `seen` as the model reads them."""
    model = record.model
    n_all = seen.test.n_images
    n = min(n_all, max(1, SCORES // len(model.class_names_)))
    looked_at = evenly(n_all, n)
    test, seen_test = split.test.subset(looked_at), seen.test.subset(looked_at)
    model.n_threads = n_threads
    scores = np.concatenate([model.scores(seen_test.X[rows]) for rows in _blocks(seen_test.positions)])
    record.tested = Tested(performance, test, seen_test, labels_by_name(test, model.class_names_), scores, n_all)
    record.train, record.sample = split.train, _sample(seen.train)


def evenly(n: int, most: int) -> npt.NDArray[np.int64]:
    """At most `most` positions of 0..n-1, evenly spread, in ascending order."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))


def _mapped(record: Record, split: Split, n_threads: int | None) -> Split:
    """The split with the features of the test images, and of a sample of the training images, computed anew."""
    features, train, test = record.model.features_, _sample(split.train), split.test
    assert features is not None
    assert isinstance(train, ImageSet)
    assert isinstance(test, ImageSet)
    return Split(map_images(train, features, n_threads), None, map_images(test, features, n_threads))


def _sample(train: LabelledSet) -> LabelledSet:
    """As many of the images as the landscape takes, drawn with a fixed seed, in their order."""
    n = min(LANDSCAPE_ROWS, max(100, LANDSCAPE_SCORES // len(train.class_names)))
    if train.n_images <= n:
        return train
    random = np.random.Generator(np.random.PCG64(0))
    return train.subset(np.sort(random.choice(train.n_images, n, replace=False)))


def _blocks(rows: npt.NDArray[np.int64], size: int = 4096) -> list[npt.NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
