"""A training of the lab as records: its trace, its result, and what its process and the lab send each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, TypeAlias

from linprobe.optimizers.base import Status
from linprobe.printed import bound_text, gap_text, objective_text
from linprobe.runs.json_numbers import Count, NotNegative, Share
from linprobe.runs.records import RunMetrics, TrainSettings, finite
from linprobe.wording import in_words

__all__ = [
    "EVENTS",
    "MOST_ROWS",
    "CertificateShown",
    "Command",
    "Ended",
    "Event",
    "Finished",
    "GlimpseMet",
    "Job",
    "JobShown",
    "Order",
    "Phase",
    "Reading",
    "Result",
    "Rows",
    "TraceRow",
    "Weights",
]

MOST_ROWS = 4000
"""Most rows of a trace that are kept for the page. A longer trace loses every second row, as often as needed."""

MOST_GLIMPSES = 100
"""Most glimpses since the last row that are kept for the page."""

Phase: TypeAlias = Literal["starting", "reading", "training", "stopping", "finished", "stopped", "failed"]
"""How far a training is; the last three are ends."""


@dataclass(frozen=True)
class TraceRow:
    """A row of a trace: the columns of trace.csv, and the predicted gap; None for what is not known."""

    epoch: float
    objective: float | None = None
    data_loss: float | None = None
    penalty: float | None = None
    gradient_norm: float | None = None
    train_accuracy: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    learning_rate: float | None = None
    passes: float | None = None
    seconds: float | None = None
    left: float | None = None

    @classmethod
    def of(cls, values: Mapping[str, float], left: float = math.nan) -> TraceRow:
        """The row of these columns; NaN and infinity become None."""
        others = {name: finite(value) for name, value in values.items() if name != "epoch"}
        return cls(epoch=float(values["epoch"]), left=finite(left), **others)


@dataclass(frozen=True)
class CertificateShown:
    """What is proved of a result."""

    relative_gap: float
    lower_bound: float


@dataclass(frozen=True)
class FigureTexts:
    """Figures and the status as the command line and the report print them; "-" where there is none."""

    objective: str
    lower_bound: str
    relative_gap: str
    status: str

    @classmethod
    def of(cls, metrics: RunMetrics) -> FigureTexts:
        """Those of a result."""
        proved = metrics.certificate if metrics.bounded else None
        gap = None if proved is None else proved.relative_gap
        return cls(
            objective_text(metrics.objective), bound_text(metrics.lower_bound), gap_text(gap), metrics.status.short
        )


@dataclass(frozen=True)
class Result:
    """The result of a run as the page shows it; the attributes but `texts` are those of `RunMetrics`.

    The sentences of the status and the notes are in plain words, not in those of Python.
    """

    penalty: str
    reg: NotNegative
    objective: float | None
    train_accuracy: Share | None
    validation_accuracy: Share | None
    test_accuracy: Share | None
    seconds: NotNegative
    passes: NotNegative
    epochs: Count | None
    status: Status
    status_text: str
    certificate: CertificateShown | None
    n_train: Count
    n_test: Count
    test_origin: str
    n_classes: Count
    image_shape: tuple[Count, Count, Count] | None
    features: str
    notes: tuple[str, ...]
    texts: FigureTexts

    @classmethod
    def of(cls, metrics: RunMetrics) -> Result:
        """What the page shows of metrics.json."""
        proved = metrics.certificate
        shown = None if proved is None else CertificateShown(proved.relative_gap, proved.lower_bound)
        own = ("certificate", "notes", "status_text", "texts")
        same = {each.name: getattr(metrics, each.name) for each in fields(cls) if each.name not in own}
        notes = tuple(map(in_words, metrics.notes))
        return cls(
            **same,
            notes=notes,
            status_text=in_words(metrics.status_text),
            certificate=shown,
            texts=FigureTexts.of(metrics),
        )


@dataclass(frozen=True)
class JobShown:
    """A training as the page gets it; the attributes are those of `Job`. The long ones are None where not requested."""

    run: str
    source: str
    phase: Phase
    message: str
    running: bool
    settings: TrainSettings
    metrics: Result | None
    rows: tuple[TraceRow, ...] | None
    glimpses: tuple[tuple[float, float | None], ...] | None


@dataclass
class Job:
    """What is known of a training.

    Attributes:
        run: name of its folder.
        source: what it trains on, as the page calls it.
        settings: as requested; for a resumed run, as read from its folder.
        phase: how far it is.
        message: a sentence for the page.
        rows: of the trace, thinned.
        glimpses: (epochs, mean loss) since the last row.
        metrics: those of a finished run.
        process: its number on this machine.
    """

    run: str
    source: str
    settings: TrainSettings
    phase: Phase = "starting"
    message: str = ""
    rows: list[TraceRow] = field(default_factory=list)
    glimpses: list[tuple[float, float | None]] = field(default_factory=list)
    metrics: RunMetrics | None = None
    process: int = 0
    every: int = 1

    @property
    def running(self) -> bool:
        """Whether its process has not come to its end."""
        return self.phase not in ("finished", "stopped", "failed")

    def shown(self, *, with_rows: bool = False) -> JobShown:
        """What the page gets; the rows only if requested."""
        return JobShown(
            self.run,
            self.source,
            self.phase,
            in_words(self.message),
            self.running,
            self.settings,
            None if self.metrics is None else Result.of(self.metrics),
            tuple(self.rows) if with_rows else None,
            tuple(self.glimpses) if with_rows else None,
        )

    def add(self, rows: tuple[TraceRow, ...]) -> None:
        """Keep every n-th row, and always the last one. A row that arrives again replaces the old one."""
        for row in rows:
            while self.rows and self.rows[-1].epoch >= row.epoch:
                self.rows.pop()
            if self.rows and self.rows[-1].epoch % self.every:
                self.rows.pop()
            self.rows.append(row)
        if len(self.rows) > MOST_ROWS:
            self.every *= 2
            self.rows = [row for row in self.rows[:-1] if not row.epoch % self.every] + self.rows[-1:]
        self.glimpses = []

    def glimpse(self, met: GlimpseMet) -> None:
        """Keep a glimpse."""
        self.glimpses = [*self.glimpses[1 - MOST_GLIMPSES :], (met.epoch, met.data_loss)]


# ---- from the lab to the process: lines of JSON ----


@dataclass(frozen=True)
class Order:
    """The first line: what to train.

    Attributes:
        run: the run folder.
        settings: of a new run; None to resume the one in the folder.
        finish: whether to end the run at its first row.
    """

    run: str
    settings: TrainSettings | None
    finish: bool


@dataclass(frozen=True)
class Command:
    """A later line.

    Attributes:
        look: whether the weights are wanted; None for no change.
        finish: whether to end the run at the next row of its trace.
    """

    look: bool | None = None
    finish: bool = False


# ---- from the process to the lab: lines of JSON with their kind ----


@dataclass(frozen=True)
class Reading:
    """How far the source is read."""

    kind: ClassVar[str] = "reading"

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Rows:
    """New rows of the trace."""

    kind: ClassVar[str] = "rows"

    rows: tuple[TraceRow, ...]


@dataclass(frozen=True)
class GlimpseMet:
    """Where the training is between two rows: epochs, and the mean loss since the last glimpse."""

    kind: ClassVar[str] = "glimpse"

    epoch: float
    data_loss: float | None


@dataclass(frozen=True)
class Weights:
    """W (K, D) as base64 of float32."""

    kind: ClassVar[str] = "weights"

    epoch: float
    shape: tuple[int, int]
    bytes: str


@dataclass(frozen=True)
class Finished:
    """The last line of a training that ended by itself, or was kept as it was."""

    kind: ClassVar[str] = "finished"

    metrics: RunMetrics


@dataclass(frozen=True)
class Ended:
    """The last line of a training that did not finish, in a sentence; `phase` says how it ended."""

    kind: ClassVar[str] = "ended"

    phase: Literal["stopped", "failed"]
    message: str


Event: TypeAlias = Reading | Rows | GlimpseMet | Weights | Finished | Ended
"""A line of the process."""

EVENTS: Mapping[str, type[Event]] = {each.kind: each for each in (Reading, Rows, GlimpseMet, Weights, Finished, Ended)}
"""The records of the lines, by kind."""
