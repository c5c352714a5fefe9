"""What a run is requested to do: all that decides its bits, as settings.json holds it and Python gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from linprobe.classifiers.model_record import model_of
from linprobe.classifiers.rate_selection import RateGrid, check_swept
from linprobe.errors import ParameterError
from linprobe.optimizers.path import check_regs
from linprobe.penalties import PENALTIES
from linprobe.runs.json_numbers import Count, NotNegative, Seed, Share

__all__ = ["Parameter", "Parameters", "SweepSettings", "TrainSettings"]

Parameter: TypeAlias = str | bool | int | float | tuple[float, ...] | Mapping[str, bool | int | float] | None
"""A value of a setting, as JSON can hold it."""

Parameters: TypeAlias = Mapping[str, Parameter]
"""Settings by name."""


@dataclass(frozen=True)
class TrainSettings:
    """All that decides the bits of a training.

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

    kind: ClassVar[Literal["train", "sweep"]] = "train"

    source: str
    classifier: Parameters = field(default_factory=dict)
    seed: Seed = 0
    validation: Share = 0.0
    image_size: tuple[Count, Count] | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"
    features: str = "pixels"
    feature_options: Parameters = field(default_factory=dict)

    @property
    def held_out(self) -> float:
        """Share of the training images that is held out for good."""
        return self.validation


@dataclass(frozen=True)
class SweepSettings:
    """All that decides the bits of a sweep.

    Args:
        source: what `open_dataset` takes.
        regs: the grid, each >= 0.
        classifier: parameters of LinearClassifier by name, without reg, random_state and n_threads. The optimizer is
            "exact", or with `learning_rates` "sgd".
        folds: how many; None for one validation split.
        validation: share of the training images held out to choose reg by, 0..1, when there are no folds; a
            validation split of the source is used as it is.
        seed: of the splits and folds, and of sources that are drawn at random.
        image_size: (height, width) to which pictures are resized, or None.
        on_bad_image: "fail" or "skip".
        features, feature_options: what the pictures are turned into, as `feature_map` takes them.
        learning_rates, schedules, updates, halving: of a sweep over learning rates, as in `RateGrid`; else empty.
    Raises:
        ParameterError: a sweep cannot be made of these values.
    """

    kind: ClassVar[Literal["train", "sweep"]] = "sweep"

    source: str
    regs: tuple[NotNegative, ...]
    classifier: Parameters = field(default_factory=dict)
    folds: Count | None = None
    validation: Share = 0.1
    seed: Seed = 0
    image_size: tuple[Count, Count] | None = None
    on_bad_image: Literal["fail", "skip"] = "fail"
    features: str = "pixels"
    feature_options: Parameters = field(default_factory=dict)
    learning_rates: tuple[NotNegative, ...] = ()
    schedules: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    halving: bool = False

    def __post_init__(self) -> None:
        check_regs(self.regs)
        grid = self.rate_grid
        if grid is not None:
            check_swept(model_of(self.classifier), grid)
            if self.folds is not None:
                raise ParameterError(
                    f"folds = {self.folds}; learning rates are chosen on one validation split: leave folds out."
                )
        elif self.classifier.get("optimizer", "exact") != "exact" or self.schedules or self.updates or self.halving:
            raise ParameterError("learning_rates is empty; a sweep with SGD needs a grid of learning rates.")
        elif self.classifier.get("penalty") == "none":
            known = ", ".join(name for name in PENALTIES if name != "none")
            raise ParameterError(f"penalty = 'none'; a sweep over reg needs a penalty, one of {known}.")
        if self.folds is not None and self.folds < 2:
            raise ParameterError(f"folds = {self.folds}; expected at least 2.")
        if self.folds is None and not 0.0 < self.validation < 1.0:
            raise ParameterError(
                f"validation = {self.validation}; a sweep chooses reg on held-out images: expected a share > 0 and < 1."
            )

    @property
    def rate_grid(self) -> RateGrid | None:
        """The cells of a sweep over learning rates; None of one over reg alone."""
        if not self.learning_rates:
            return None
        return RateGrid(self.learning_rates, self.regs, self.schedules, self.updates, self.halving)

    @property
    def held_out(self) -> float:
        """Share of the training images that is held out for good: none with folds."""
        return 0.0 if self.folds else self.validation
