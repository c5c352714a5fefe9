"""The records of a run folder: what its JSON files hold, as frozen dataclasses, written, read and checked here.

    settings.json     RunSettings        what was requested, and the data and versions that the run began with
    metrics.json      RunMetrics         the result, with its CertificateRecord
    part-1.json, ...  PartRecord         of a sweep: the scores of the grid on one part of the images
    cell-1.json, ...  CellRunRecord      of a sweep over learning rates: the scores of one run of SGD
    challenges.json   ChallengeRecord    of `linprobe challenges`: the figures that a report shows

The fields of a dataclass are the keys of its file, and their types say what a file may hold: `typed_json.py` compares
each value with its type. Whatever a file holds, a reader returns a record or raises one RunError that names the file,
the key, what was found and what was expected. Keys that no field has are ignored. A field with a default may be absent:
runs of earlier versions lack some keys. A file without `run_version` counts as version 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar

from linprobe.certificate import Certificate
from linprobe.classifiers.model_record import default_parameters, model_of
from linprobe.classifiers.selection import PartScores
from linprobe.errors import LinprobeError, ParameterError, RunError
from linprobe.files import read_regular
from linprobe.optimizers.base import SOLVED, Status
from linprobe.optimizers.obstacles import OBSTACLE
from linprobe.plain import parse_json
from linprobe.runs.json_numbers import Count, NotNegative, Share
from linprobe.runs.rate_records import CellRow, CellRunRecord
from linprobe.runs.requests import Parameters, SweepSettings, TrainSettings
from linprobe.typed_json import MismatchError, dataclass_from, shortened, value_of

__all__ = [
    "OF_RATES",
    "RUN_VERSION",
    "CertificateRecord",
    "ChallengeRecord",
    "GridRow",
    "Parameters",
    "PartRecord",
    "RunMetrics",
    "RunSettings",
    "SweepSettings",
    "TrainSettings",
    "as_json",
    "content_of",
    "finite",
    "read_cell",
    "read_challenges",
    "read_metrics",
    "read_part",
    "read_settings",
]

Record = TypeVar("Record")

ANEW = "restore the file, or start a new run"
"""Next step of the message about a damaged file of a run."""

RUN_VERSION = 1
"""Version of the layout of a run folder; every file of it carries it."""

MOST_BYTES = 2**26
"""Bytes of a JSON file, at most: 64 MiB. A sweep of 1,000 values and 10 folds writes 10,000 certificates of some 250
bytes each: 3 MB."""


@dataclass(frozen=True)
class RunSettings:
    """What settings.json holds.

    Attributes:
        request: all that decides the bits of the run.
        fingerprint: of the data that the run began with; None where it was not recorded.
        format: of the source, as `Dataset.format`.
        content: digest of the images and labels, wherever they lie; None where it was not recorded.
        linprobe_version, python_version, numpy_version: of the programs that began the run.
    """

    request: TrainSettings | SweepSettings
    fingerprint: str | None = None
    format: str | None = None
    content: str | None = None
    linprobe_version: str | None = None
    python_version: str | None = None
    numpy_version: str | None = None

    @property
    def swept(self) -> bool:
        """Whether the run is a sweep."""
        return isinstance(self.request, SweepSettings)

    def parameter(self, name: str) -> object:
        """A parameter of the classifier: as it was requested, else its default."""
        return self.request.classifier.get(name, default_parameters()[name])


@dataclass(frozen=True)
class CertificateRecord:
    """A certificate as metrics.json holds it; all numbers are finite, and lower_bound <= objective.

    The gaps are written for other readers. They are computed from the two bounds when the file is read.

    Attributes:
        objective: L(W, b), in float64.
        lower_bound: no weights have a lower objective.
        gradient_norm: of the least subgradient of L.
        passes, seconds: what it took until here.
    """

    objective: float
    lower_bound: float
    gradient_norm: NotNegative
    passes: NotNegative = 0.0
    seconds: NotNegative = 0.0

    def __post_init__(self) -> None:
        if self.lower_bound > self.objective:
            raise ParameterError(f"lower_bound is {self.lower_bound!r}; expected at most objective, {self.objective!r}")

    @classmethod
    def of(cls, certificate: Certificate | None) -> CertificateRecord | None:
        """The record of a certificate; None where there is none, or where a number is not finite: nothing is proved."""
        if certificate is None:
            return None
        values = {each.name: float(getattr(certificate, each.name)) for each in fields(cls)}
        if not all(map(math.isfinite, values.values())):
            return None
        return cls(**{**values, "lower_bound": min(values["lower_bound"], values["objective"])})

    @property
    def certificate(self) -> Certificate:
        """The certificate itself."""
        return Certificate(self.objective, self.lower_bound, self.gradient_norm, self.passes, self.seconds)

    @property
    def gap(self) -> float:
        """objective - lower_bound."""
        return self.certificate.gap

    @property
    def relative_gap(self) -> float:
        """gap / objective."""
        return self.certificate.relative_gap


@dataclass(frozen=True)
class GridRow:
    """A reg value of a sweep; figures of several parts are means over them.

    Attributes:
        reg: the value.
        validation_accuracy, validation_loss: on the images left out.
        train_accuracy: on the images trained on.
        norm: sqrt(sum W²), without the bias.
        zeros: share of the weights that are exactly 0.
        accuracies, certificates, statuses: of each part; a certificate is None where nothing was proved.
    """

    reg: NotNegative
    validation_accuracy: Share | None = None
    validation_loss: float | None = None
    train_accuracy: Share | None = None
    norm: NotNegative | None = None
    zeros: Share | None = None
    accuracies: tuple[Share, ...] = ()
    certificates: tuple[CertificateRecord | None, ...] = ()
    statuses: tuple[Status, ...] = ()

    @property
    def relative_gap(self) -> float | None:
        """The largest relative gap of the parts; None where nothing was proved."""
        return max((proved.relative_gap for proved in self.certificates if proved is not None), default=None)

    @property
    def solved(self) -> bool:
        """Whether every part ended at its optimum."""
        return all(status.name.lower() in SOLVED for status in self.statuses)


@dataclass(frozen=True)
class RunMetrics:
    """What metrics.json holds: the result of a run, its figures taken at the weights that were kept.

    Attributes:
        run, source: the folder and the source, as they were called then.
        loss, penalty, reg: what was minimised.
        objective: L(W, b) over the training images, with the weights of their classes if there are any: what was
            minimised; None where it is not a finite number.
        data_loss: its part without the penalty.
        certificate: what is proved; None where nothing is.
        train_accuracy, validation_accuracy, test_accuracy: shares of images, 0..1, whatever the weights; None where
            there are no images. Those of a sweep's validation are of the chosen reg, means over the folds if there are
            any.
        validation_loss, test_loss: means of L_i over images, whatever the weights.
        seconds: of optimisation; of a sweep those of choosing, refit and test, resumed parts included.
        passes: over the training images.
        status: why the training ended.
        epochs: done; None for a sweep.
        chosen: what the optimizer chose from the data, in words by name; of a sweep, that of the final fit.
        grid: the reg values of a sweep, ascending, each solved exactly; empty for a training, and for a sweep over
            learning rates without a penalty.
        cells: the runs of a sweep over learning rates; empty for others.
        chosen_by: how a sweep chose reg.
        features: spec of the features.
        n_test_trained_on: test images that are equal to a training image or to its mirror image.
        n_test_chosen_on: others that are equal to a validation image that chose something, or to its mirror image.
        n_features: D.
        feature_seconds: to compute the features.
        equivalents: lines that say how other tools write the same objective.
        skipped_images: pictures that could not be read.
        n_classes: K.
        image_shape: (height, width, channels), or None for vectors.
        n_train, n_validation, n_test: images.
        test_origin: where the test images come from, in words; "" where it was not recorded.
        notes: sentences on the source and its splits that a reader of the figures must know.
    """

    loss: str
    penalty: str
    reg: NotNegative
    status: Status
    seconds: NotNegative
    passes: NotNegative
    n_features: Count
    n_classes: Count
    n_train: Count
    n_test: Count
    objective: float | None
    run: str = ""
    source: str = ""
    data_loss: float | None = None
    certificate: CertificateRecord | None = None
    train_accuracy: Share | None = None
    validation_accuracy: Share | None = None
    test_accuracy: Share | None = None
    validation_loss: float | None = None
    test_loss: float | None = None
    epochs: Count | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    grid: tuple[GridRow, ...] = ()
    cells: tuple[CellRow, ...] = ()
    chosen_by: str = ""
    features: str = "pixels"
    feature_seconds: NotNegative = 0.0
    equivalents: tuple[str, ...] = ()
    skipped_images: Count = 0
    n_test_trained_on: Count = 0
    n_test_chosen_on: Count = 0
    image_shape: tuple[Count, Count, Count] | None = None
    n_validation: Count = 0
    test_origin: str = ""
    notes: tuple[str, ...] = ()

    @property
    def swept(self) -> bool:
        """Whether it is the result of a sweep."""
        return bool(self.grid or self.cells)

    @property
    def chosen_cell(self) -> CellRow | None:
        """The run that a sweep over learning rates has chosen."""
        return next((cell for cell in self.cells if cell.chosen), None)

    @property
    def status_text(self) -> str:
        """Why the training ended, in a sentence; what in the data was in the way, where that is known."""
        return self.chosen.get(OBSTACLE, self.status.value)

    @property
    def solved(self) -> bool:
        """Whether the weights are the optimum, as far as can be shown."""
        return self.status.name.lower() in SOLVED

    @property
    def bounded(self) -> bool:
        """Whether the certificate proves a bound: without a penalty there is none but 0."""
        return self.certificate is not None and self.penalty != "none" and self.reg > 0.0

    @property
    def lower_bound(self) -> float | None:
        """What no weights go below; None where nothing was proved."""
        return self.certificate.lower_bound if self.certificate is not None and self.bounded else None


@dataclass(frozen=True)
class PartRecord:
    """What part-N.json of a sweep holds: `PartScores` without the weights."""

    accuracies: tuple[Share, ...]
    losses: tuple[float | None, ...]
    certificates: tuple[CertificateRecord | None, ...]
    statuses: tuple[Status, ...]
    passes: NotNegative
    seconds: NotNegative
    train_accuracies: tuple[Share, ...]
    norms: tuple[NotNegative | None, ...]
    zeros: tuple[Share, ...]

    def __post_init__(self) -> None:
        lengths = {each.name: len(getattr(self, each.name)) for each in fields(self) if each.name in PER_MEMBER}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ParameterError(f"the lists have different lengths ({shown}); expected one value per reg value")

    @classmethod
    def of(cls, scores: PartScores) -> PartRecord:
        """The record of the scores of a part."""
        return cls(
            scores.accuracies,
            tuple(map(finite, scores.losses)),
            tuple(map(CertificateRecord.of, scores.certificates)),
            scores.statuses,
            scores.passes,
            scores.seconds,
            scores.train_accuracies,
            tuple(map(finite, scores.norms)),
            scores.zeros,
        )

    @property
    def scores(self) -> PartScores:
        """The scores, without weights; NaN where a number was not finite."""
        nothing = Certificate(math.inf, -math.inf, math.inf)
        return PartScores(
            self.accuracies,
            tuple(math.nan if loss is None else loss for loss in self.losses),
            tuple(nothing if proved is None else proved.certificate for proved in self.certificates),
            self.statuses,
            self.passes,
            self.seconds,
            self.train_accuracies,
            tuple(math.nan if norm is None else norm for norm in self.norms),
            self.zeros,
        )


PER_MEMBER = ("accuracies", "losses", "certificates", "statuses", "train_accuracies", "norms", "zeros")
"""Lists of a PartRecord, one value per reg value each."""


@dataclass(frozen=True)
class CleanRecord:
    """Accuracy on the pictures as they are."""

    accuracy: Share


@dataclass(frozen=True)
class CellRecord:
    """Accuracy under one kind of change.

    Attributes:
        challenge, kind: names.
        severity: 0..5; None for a set without severities.
        accuracy: 0..1.
    """

    challenge: str
    kind: str
    severity: Count | None
    accuracy: Share


@dataclass(frozen=True)
class ChallengeRecord:
    """What a report shows of challenges.json.

    Attributes:
        n_images: pictures that were changed.
        clean: accuracy on them as they are.
        cells: accuracy by challenge, kind and severity.
        source, split: where the pictures come from.
        own_source: whether that is the source of the training.
        n_chosen_on: of the pictures, those that chose something of the model; None where that is not known.
    """

    n_images: Count
    clean: CleanRecord
    cells: tuple[CellRecord, ...]
    source: str = ""
    split: str = "test"
    own_source: bool = True
    n_chosen_on: Count | None = None


OF_RATES = ("learning_rates", "schedules", "updates", "halving")
"""Fields of SweepSettings that only a sweep over learning rates has; the files of others do not name them."""


def read_settings(path: Path) -> RunSettings:
    """The settings in the file `path`.

    Raises:
        RunError: it holds something else.
    """
    found = _object_in(path)
    with _Named(path):
        kind = value_of(Literal["train", "sweep"], found.get("kind", "train"), "kind")
        request: TrainSettings | SweepSettings
        request = dataclass_from(SweepSettings, found) if kind == "sweep" else dataclass_from(TrainSettings, found)
        model_of(request.classifier, "classifier")
        began = {
            each.name: value_of(str | None, found.get(each.name), each.name)
            for each in fields(RunSettings)
            if each.name != "request"
        }
        return RunSettings(request, **began)


def read_metrics(path: Path) -> RunMetrics:
    """The result in the file `path`.

    Raises:
        RunError: it holds something else.
    """
    found = _object_in(path)
    with _Named(path):
        metrics = dataclass_from(RunMetrics, found)
        kind = value_of(Literal["train", "sweep"], found.get("kind", "train"), "kind")
        if (kind == "sweep") != metrics.swept:
            raise MismatchError.of("grid", found.get("grid"), "the reg values of a sweep, and none for a training")
        return metrics


def read_part(path: Path) -> PartRecord:
    """The scores of a part of a sweep in the file `path`.

    Raises:
        RunError: it holds something else.
    """
    return _record_in(path, PartRecord)


def read_cell(path: Path) -> CellRunRecord:
    """The scores of a run of SGD of a sweep in the file `path`.

    Raises:
        RunError: it holds something else.
    """
    return _record_in(path, CellRunRecord)


def read_challenges(path: Path) -> ChallengeRecord:
    """The figures of `linprobe challenges` in the file `path`.

    Raises:
        RunError: it holds something else.
    """
    return _record_in(path, ChallengeRecord, "run `linprobe challenges` again")


def as_json(record: RunSettings | RunMetrics | PartRecord | CellRunRecord) -> dict[str, object]:
    """The record as JSON values, by the keys of its file."""
    if isinstance(record, RunSettings):
        values = {each.name: getattr(record, each.name) for each in fields(record) if each.name != "request"}
        kind = {"kind": "sweep"} if record.swept else {}
        request = _plain(record.request)
        if record.swept and not request["learning_rates"]:  # a sweep over reg alone
            request = {name: value for name, value in request.items() if name not in OF_RATES}
        return {"run_version": RUN_VERSION, **kind, **_plain(values), **request}
    plain: dict[str, object] = _plain(record)
    if isinstance(record, RunMetrics):
        other = {"epochs"} if record.swept else {"grid", "chosen_by"}
        other |= set() if record.cells else {"cells"}
        kind = {"kind": "sweep"} if record.swept else {}
        plain = {**kind, **{name: value for name, value in plain.items() if name not in other}}
        plain["status_text"] = record.status_text
    return {"run_version": RUN_VERSION, **plain}


def content_of(record: RunSettings | RunMetrics | PartRecord | CellRunRecord) -> bytes:
    """The record as the bytes of its file.

    Raises:
        ParameterError: a setting is no JSON value.
    """
    try:
        return (json.dumps(as_json(record), indent=2, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"a run folder holds JSON values only, and its settings or figures do not: {error}."
        ) from error


def finite(value: float) -> float | None:
    """`value`; None, which JSON can hold, where it is NaN or infinite."""
    return float(value) if math.isfinite(value) else None


class _Named:
    """Turns what is wrong inside of it into one RunError that names the file."""

    def __init__(self, path: Path, remedy: str = ANEW) -> None:
        self.path, self.remedy = path, remedy

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, MismatchError | LinprobeError) and not isinstance(error, RunError):
            raise RunError(f"{self.path}: {str(error).rstrip('.')}; {self.remedy}.") from error


def _record_in(path: Path, kind: type[Record], remedy: str = ANEW) -> Record:
    """The record of that kind in the file `path`. Raises RunError, with `remedy`, where it holds something else."""
    found = _object_in(path, remedy)
    with _Named(path, remedy):
        return dataclass_from(kind, found)


def _object_in(path: Path, remedy: str = ANEW) -> dict[str, object]:
    """The JSON object in a file of this version."""
    try:
        found = parse_json(read_regular(path, MOST_BYTES))
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {remedy}.") from error
    except ValueError as error:
        raise RunError(f"{path}: is not JSON ({error}); {remedy}.") from error
    if not isinstance(found, dict):
        raise RunError(f"{path}: expected a JSON object, found {shortened(found)}; {remedy}.")
    version = found.get("run_version", RUN_VERSION)
    if version != RUN_VERSION or isinstance(version, bool):
        raise RunError(
            f"{path}: run_version is {shortened(version)}, expected {RUN_VERSION}; "
            "read this run with the linprobe that made it."
        )
    return found


def _plain(value: Any) -> Any:
    """A record as JSON values."""
    if is_dataclass(value) and type(value).__module__.startswith("linprobe.runs."):  # not a loss of the caller's own
        plain = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        if isinstance(value, CertificateRecord):
            plain |= {"gap": value.gap, "relative_gap": value.relative_gap}
        return plain
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value  # a NumPy number
