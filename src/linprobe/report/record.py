"""All that a report tells of one run: its files, and what its model does on the test images of its source."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linprobe.challenges.wilson import wilson_interval
from linprobe.choices import parameters_of
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import read_model
from linprobe.data.base import Dataset, ImageSet, LabelledSet, ReadOptions, open_dataset
from linprobe.data.splits import train_validation_test
from linprobe.errors import LinprobeError, RunError
from linprobe.losses.softmax import SoftmaxCrossEntropy
from linprobe.runs.evaluation import Performance, labels_by_name, measure
from linprobe.runs.features import kept_features, map_images
from linprobe.runs.folder import RunFolder
from linprobe.shapes import Floats, Labels, Pixels

if TYPE_CHECKING:
    from linprobe.runs.train import Material

__all__ = ["Accuracy", "Challenges", "Record", "Tested", "evenly", "read_record"]

SCORES = 2**23
"""Scores of test images, at most, that are looked at one by one: 64 MB."""

SHEET_BYTES = 2_000_000
"""Size, at most, of a sheet of challenged pictures that is put into the page."""

LANDSCAPE_ROWS, LANDSCAPE_SCORES = 200, 20_000
"""Training images, and scores of them, at most, of which the loss landscape is drawn; at least a hundred images."""


METRICS: Mapping[str, Any] = {
    **dict.fromkeys(("loss", "penalty", "status"), str),
    "objective": Real | None,
    **dict.fromkeys(("reg", "n_train", "n_test", "n_classes", "n_features", "seconds", "passes"), Real),
}
"""What every report needs of metrics.json."""

MAYBE = tuple(f"{part}_{figure}" for part in ("train", "validation", "test") for figure in ("accuracy", "loss"))
"""Numbers of metrics.json that may be missing, or null."""

PROOF = ("objective", "lower_bound", "relative_gap", "gradient_norm")
"""Numbers of a certificate."""


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

    def probabilities(self) -> Floats:
        """(n, K) softmax of the scores."""
        return SoftmaxCrossEntropy().probabilities(self.scores)

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

    def vectors(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Rows (m, D) that the model reads at some positions."""
        picked: npt.NDArray[Any] = self.seen.X[self.seen.positions[positions]]
        return picked


@dataclass(frozen=True)
class Challenges:
    """What `linprobe challenges` has left in the run folder.

    Attributes:
        n_images: pictures that were changed.
        clean: accuracy on them as they are, 0..1.
        severities: the columns.
        rows: (challenge, kind, accuracy at each severity, NaN where there is none).
        sheet: the sheet of example pictures, a PNG file; None where there is none, or it is large.
    """

    n_images: int
    clean: float
    severities: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[float, ...]], ...]
    sheet: bytes | None = None


@dataclass
class Record:
    """One run, as far as it can be read.

    Attributes:
        path: the folder.
        name: what it is called beside others.
        settings, metrics: of the run folder.
        trace: rows, none for a sweep.
        weights: W (L, K, D) and regs (L,) of a sweep, or None.
        model: the classifier.
        tested: None where the source cannot be read.
        challenges: None where there are none.
        test_drawn: whether the test images were drawn from the source's, with the seed; None where it is not known.
        train: the training images as the source has them; None where they cannot be read.
        sample: training images for the loss landscape, as the model reads them; None where they cannot be read.
        missing: what is not there, and why, in sentences.
    """

    path: Path
    name: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    trace: list[dict[str, float]]
    weights: Mapping[str, npt.NDArray[Any]] | None
    model: LinearModel
    tested: Tested | None = None
    challenges: Challenges | None = None
    test_drawn: bool | None = None
    train: LabelledSet | None = None
    sample: LabelledSet | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def swept(self) -> bool:
        """Whether it is a sweep."""
        return self.metrics.get("kind") == "sweep"

    @property
    def lower_bound(self) -> float | None:
        """What no weights go below; None where nothing was proved."""
        certificate = self.metrics.get("certificate")
        known = certificate is not None and self.metrics["penalty"] != "none" and self.metrics["reg"] > 0.0
        return certificate["lower_bound"] if certificate is not None and known else None

    @property
    def test_key(self) -> tuple[object, ...]:
        """What two runs have in common that were tested on the same images."""
        drawn = self.settings.get("seed") if self.test_drawn in (True, None) else "the source's"
        return self._data_key, self.metrics["n_test"], drawn

    @property
    def held_out_key(self) -> tuple[object, ...]:
        """What two runs have in common that held out the same images, in the same parts."""
        settings = self.settings
        how = ("folds", settings["folds"]) if settings.get("folds") else ("share", settings.get("validation"))
        return self.test_key, how, settings.get("seed"), self.metrics.get("n_validation")

    @property
    def loss_key(self) -> tuple[object, ...]:
        """What two runs have in common that have the same loss."""
        return tuple(self.objective_parts[name] for name in ("loss", "delta"))

    @property
    def objective_parts(self) -> dict[str, object]:
        """All that decides the function that is minimised, by names for readers."""
        settings, metrics = self.model.parameters(), self.metrics
        taken = {*parameters_of("loss", metrics["loss"]), *parameters_of("penalty", metrics["penalty"])}
        # the seed draws what is held out, if anything is, and what the features draw
        drawn = self.test_key, self.held_out_key if metrics.get("n_validation") and not self.swept else None
        features = metrics.get("features", "pixels")
        return {
            **{name: str(settings[name]) for name in ("loss", "penalty", "class_weight", "preprocess")},
            **{name: settings[name] if name in taken else None for name in ("delta", "beta")},
            "reg": None if metrics["penalty"] == "none" else metrics["reg"],
            "features": (features, str(self.settings.get("feature_options")), features != "pixels" and drawn),
            "image size": str(self.settings.get("image_size")),
            "training images": (self._data_key, drawn, metrics["n_train"]),
        }

    @property
    def objective_key(self) -> tuple[object, ...]:
        """What two runs have in common that minimise the same function."""
        return tuple(self.objective_parts.values())

    @property
    def _data_key(self) -> tuple[object, ...]:
        return self.settings.get("fingerprint"), self.settings.get("on_bad_image", "fail")

    def accuracies(self) -> list[Accuracy]:
        """Training, validation and test, those that are there."""
        metrics, found = self.metrics, []
        for part, note in (
            ("test", "images never seen before: the number to quote"),
            ("validation", "held out of the training"),
            ("train", "the images it learnt from"),
        ):
            value, n = metrics.get(f"{part}_accuracy"), metrics.get(f"n_{part}") or 0
            if value is None or not n or not math.isfinite(value):
                continue
            fresh = part != "train"
            if part == "validation" and self.swept:
                note, fresh = f"best of {len(metrics['grid'])} values of reg, so a little too good", False
            elif part == "validation" and self.settings["classifier"].get("patience"):
                note, fresh = "chose when to stop, so a little too good", False
            interval = wilson_interval(round(value * n), n) if fresh else None
            found.append(Accuracy(part, value, n, interval, note))
        return found


def read_record(
    path: Path, *, cache: bool = True, n_threads: int | None = None, material: Material | None = None
) -> Record:
    """The finished run at `path`, and its model on the test images where the source is still there.

    Args:
        path: a run folder.
        cache: whether decoded pixels that are kept are used.
        n_threads: of reading and computing.
        material: what the run learnt from, where it is still at hand.
    Raises:
        RunError: there is no run, it is not finished, or its files are damaged.
        ModelFileError: its model is damaged.
    """
    run = RunFolder.open(path)
    settings = run.settings()
    swept = settings.get("kind") == "sweep"
    command = "sweep" if swept else "train"
    if not run.finished:
        raise RunError(f"{path}: this run is not finished; finish it with `linprobe {command} --resume {path}`.")
    metrics, model = run.metrics(), read_model(run.model_path)
    record = Record(path, path.resolve().name, settings, metrics, [], None, model)
    _check(record)
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
        _read_images(record, cache, n_threads, material)
    except (LinprobeError, OSError, TypeError, ValueError) as error:  # settings of another hand, too
        record.tested = record.train = record.sample = None
        record.missing.append(f"No pictures of images, and no figures by class: the source cannot be read ({error})")
    return record


def _check(record: Record) -> None:
    """Raise RunError where settings or metrics lack what every report needs, or hold something else there."""
    settings, metrics = record.settings, record.metrics
    wanted: dict[str, Any] = {
        "settings.json": (settings, {"source": str, "classifier": dict}),
        "metrics.json": (metrics, {**METRICS, "grid": list} if record.swept else METRICS),
    }
    for name, (values, kinds) in wanted.items():
        lacking = [key for key in kinds if key not in values]
        if lacking:
            raise RunError(f"{record.path / name}: it has no {', '.join(lacking)}; a report needs them: train again.")
        odd = [key for key, kind in kinds.items() if not isinstance(values[key], kind)]
        odd += [key for key in MAYBE if name == "metrics.json" and not isinstance(values.get(key, 0.0), Real | None)]
        if odd:
            raise RunError(f"{record.path / name}: {odd[0]} is {values[odd[0]]!r}, which no run writes; train again.")
    rows: list[tuple[str, Any, tuple[str, ...]]] = [("certificate", metrics.get("certificate"), PROOF)]
    rows += [("a row of grid", row, ("reg",)) for row in (metrics["grid"] if record.swept else ())]
    for name, row, numbers in rows:
        if row is None and name == "certificate":
            continue
        if not isinstance(row, dict) or not all(isinstance(row.get(key), Real) for key in numbers):
            raise RunError(
                f"{record.path / 'metrics.json'}: {name} is {row!r}; expected numbers for {', '.join(numbers)}: "
                "train again."
            )
    if record.swept and not metrics["grid"]:
        raise RunError(f"{record.path / 'metrics.json'}: grid is empty; sweep again.")


def _read_trace(record: Record, run: RunFolder) -> None:
    if not record.swept:
        record.trace = run.read_trace()


def _read_weights(record: Record, run: RunFolder) -> None:
    if record.swept:
        record.weights = run.read_path()
        if record.weights is None:
            record.missing.append("No templates along the path: the weights of the grid were too many to keep.")
        elif record.weights["W"].shape[1:] != record.model.weights_.shape:
            record.weights = None
            raise RunError(
                f"{run.path / 'path.safetensors'}: its weights are of another shape than those of the model."
            )


def _read_challenges(record: Record, run: RunFolder) -> None:
    path, sheet = run.path / "challenges.json", run.path / "challenges.png"
    if not path.exists():
        return
    try:
        found = json.loads(path.read_text())
        cells = [(c["challenge"], c["kind"], _severity(c["severity"]), float(c["accuracy"])) for c in found["cells"]]
        severities = tuple(sorted({severity for _, _, severity, _ in cells}))
        kinds = list(dict.fromkeys((challenge, kind) for challenge, kind, _, _ in cells))
        accuracy = {(kind, severity): value for _, kind, severity, value in cells}
        rows = tuple(
            (str(challenge), str(kind), tuple(accuracy.get((kind, severity), math.nan) for severity in severities))
            for challenge, kind in kinds
        )
        png = sheet.read_bytes() if sheet.exists() and sheet.stat().st_size <= SHEET_BYTES else None
        record.challenges = Challenges(int(found["n_images"]), float(found["clean"]["accuracy"]), severities, rows, png)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: cannot be read ({error!r}); run `linprobe challenges` again.") from error


def _severity(severity: int | None) -> str:
    """A column: "severity 3", or "all" for a set of several severities."""
    return "all" if severity is None else f"severity {severity}"


def _read_images(record: Record, cache: bool, n_threads: int | None, material: Material | None) -> None:
    """Read the source, unless its material is at hand, and ask the model about its test images."""
    settings, model = record.settings, record.model
    size = settings.get("image_size")
    options = ReadOptions(
        image_size=None if size is None else (int(size[0]), int(size[1])),
        on_bad_image=settings.get("on_bad_image", "fail"),
        cache=cache,
        n_threads=n_threads,
        seed=int(settings.get("seed", 0)),
    )
    dataset = open_dataset(str(settings["source"]), options) if material is None else material.as_read
    if dataset.fingerprint != settings.get("fingerprint"):
        record.missing.append(
            f"No pictures of images, and no figures by class: {settings['source']} has changed since this run."
        )
        return
    record.test_drawn = dataset.test is None
    share = 0.0 if settings.get("folds") else float(settings.get("validation", 0.0))
    seed = int(settings.get("seed", 0))
    split = train_validation_test(dataset, share, seed)
    seen = split
    if model.features_ is not None:
        kept = kept_features(dataset, model.features_) if cache and material is None else None
        if material is not None:
            kept = material.dataset
        if kept is not None:
            seen = train_validation_test(kept, share, seed)
        else:
            seen = _mapped(record, dataset, share, seed, n_threads)
    performance = measure(model, seen.test, n_threads)
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


def _mapped(record: Record, dataset: Dataset, share: float, seed: int, n_threads: int | None) -> Any:
    """The split with the features of the test images, and of a sample of the training images, computed anew."""
    features = record.model.features_
    assert features is not None
    split = train_validation_test(dataset, share, seed)
    parts = {"train": _sample(split.train), "test": split.test}
    mapped = {}
    for name, part in parts.items():
        assert isinstance(part, ImageSet)
        mapped[name] = map_images(part, features, n_threads)
    return replace(split, train=mapped["train"], validation=None, test=mapped["test"])


def _sample(train: LabelledSet) -> LabelledSet:
    """As many of the images as the landscape takes, drawn with a fixed seed, in their order."""
    n = min(LANDSCAPE_ROWS, max(100, LANDSCAPE_SCORES // len(train.class_names)))
    if train.n_images <= n:
        return train
    random = np.random.Generator(np.random.PCG64(0))
    return train.subset(np.sort(random.choice(train.n_images, n, replace=False)))


def _blocks(rows: npt.NDArray[np.int64], size: int = 4096) -> list[npt.NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
