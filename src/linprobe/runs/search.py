"""How a sweep chooses: what every kind of search shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.selection import Choice
from linprobe.data.base import LabelledSet
from linprobe.runs.folder import GridWeights, RunFolder
from linprobe.runs.material import Prepared
from linprobe.runs.rate_records import CellRow
from linprobe.runs.records import CertificateRecord, GridRow, SweepSettings, finite

__all__ = ["Chosen", "Search", "grid_rows"]


@dataclass(frozen=True)
class Chosen:
    """The figures of a search that has ended.

    Attributes:
        grid, cells, chosen_by: as in RunMetrics.
        accuracy, loss: on the images left out, of the chosen member.
        passes, seconds: of choosing, earlier sessions included.
    """

    grid: tuple[GridRow, ...]
    chosen_by: str
    accuracy: float
    loss: float
    passes: float
    cells: tuple[CellRow, ...] = ()


class Search(ABC):
    """What a sweep solves and chooses from, and the fit of the winner.

    Attributes:
        request, material: of the run.
        classifier: untrained, suited to the data.
        train, validation: the images to train on, and those to choose by; None where folds choose.
        own_validation: whether the source has a validation split, which no model is trained on.
        weights: of the members, where they are kept.
    """

    def __init__(self, prepared: Prepared) -> None:
        material = prepared.material
        assert isinstance(prepared.settings.request, SweepSettings)
        self.request, self.material = prepared.settings.request, material
        split, folds = material.split, self.request.folds
        # with folds, a validation split of the source is not looked at
        self.train, self.validation = split.train, None if folds else split.validation
        self.own_validation = material.dataset.validation is not None and not folds
        self.classifier = prepared.model
        self.classifier.classes_ = np.array(material.dataset.class_names)
        self.classifier.image_shape_ = material.dataset.image_shape
        self.weights: GridWeights | None = None

    @abstractmethod
    def choose(self, run: RunFolder) -> float:
        """Solve what is not done, write each part into the run folder, and choose; the seconds of earlier sessions.

        Raises:
            RunError: a file of the run is damaged, or cannot be written.
            KeyboardInterrupt: Ctrl-C; what is done is in the run folder.
        """

    @abstractmethod
    def refit(self, images: LabelledSet | None) -> LinearModel:
        """The winner fitted to `images`; None for those that it was chosen on."""

    @property
    @abstractmethod
    def chosen(self) -> Chosen:
        """The figures, once `choose` has ended."""

    @property
    @abstractmethod
    def reached(self) -> str:
        """How far `choose` came, to follow "stopped after"."""

    @property
    def validation_chose(self) -> bool:
        """Whether validation images chose among several members, once `choose` has ended."""
        return self.validation is not None and len(self.chosen.cells or self.chosen.grid) > 1

    @property
    def images_to_refit(self) -> LabelledSet | None:
        """The images of the refit, those held out included; None for those trained on, with a val/ folder or folds."""
        if self.validation is None or self.own_validation:
            return None
        assert self.train.rows is not None
        assert self.validation.rows is not None
        whole = self.material.dataset.train
        kept = np.union1d(self.train.rows, self.validation.rows)
        return whole.subset(np.flatnonzero(np.isin(whole.positions, kept)))


def grid_rows(choice: Choice) -> tuple[GridRow, ...]:
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
