"""The settings of a run as the page sends them, checked before a process is started."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from linprobe.choices import choices
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_record import model_of
from linprobe.classifiers.unused import REGISTRIES, unused
from linprobe.lab.choices import features
from linprobe.lab.problem import Options, check_options
from linprobe.lab.protocol import Request
from linprobe.lab.sources import Source
from linprobe.lab.wire import NotNegative, Positive, Registered, Seed
from linprobe.runs.requests import Parameter, TrainSettings
from linprobe.typed_json import MismatchError, Rule, Within

__all__ = ["ImageSize", "SettingsRequest", "settings_of"]

MOST_COUNT = 1_000_000
"""Epochs, iterations, batch size or patience of a request, at most."""

MOST_SIDE = 1024
"""Pixels of a side to which pictures are resized, at most."""

Side: TypeAlias = Annotated[int, Within(1, MOST_SIDE)]

ImageSize: TypeAlias = tuple[Side, Side]
"""(height, width) to which pictures are resized."""

MostCount: TypeAlias = Annotated[int, Within(0, MOST_COUNT)]
Positives: TypeAlias = Annotated[int, Within(1, MOST_COUNT)]


@dataclass(frozen=True)
class OfferedFeatures(Rule):
    """A name of the features that the page offers: none with a file, which only the command line may name."""

    def read(self, hint: Any, found: object, key: str) -> str:
        """The name."""
        if not isinstance(found, str) or found not in features():
            raise MismatchError.of(key, found, self.expected(hint))
        return found

    def expected(self, hint: Any) -> str:
        """The names."""
        return f"one of {', '.join(features())}"


@dataclass(frozen=True, kw_only=True)
class SettingsRequest(Request):
    """The settings of a run; those that the chosen loss, penalty, optimizer or update does not have are ignored.

    Args:
        loss ... penalty_options: parameters of LinearClassifier; learning_rate None for one that is chosen.
        features, flips, patches: what pictures are turned into; whether mirrored ones are averaged; how many patches.
        validation: share of the training images held out.
        seed: of all that is drawn at random.
        image_size: None to leave pictures as they are.
        skip_bad: whether broken pictures are left out.
    """

    loss: Annotated[str, Registered("loss")]
    penalty: Annotated[str, Registered("penalty")]
    reg: NotNegative
    beta: NotNegative
    delta: Positive
    optimizer: Annotated[str, Registered("optimizer")]
    preprocess: Annotated[str, Registered("preprocess")]
    tol: NotNegative
    max_iter: MostCount
    batch_size: Positives = 32
    epochs: MostCount = 20
    learning_rate: Positive | None = None
    schedule: Annotated[str, Registered("schedule")] = "cosine"
    update: Annotated[str, Registered("update")] = "momentum"
    momentum: NotNegative = 0.9
    dropout: Annotated[float, Within(0.0, 0.95)] = 0.0
    average: bool = False
    patience: Positives | None = None
    loss_options: Options = field(default_factory=dict)
    penalty_options: Options = field(default_factory=dict)
    features: Annotated[str, OfferedFeatures()]
    flips: bool = False
    patches: Annotated[int, Within(2, 100_000)] | None = None
    validation: Annotated[float, Within(0.0, 0.95)]
    seed: Seed
    image_size: ImageSize | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        check_options("loss", self.loss, self.loss_options)
        check_options("penalty", self.penalty, self.penalty_options)


def settings_of(source: Source, asked: SettingsRequest) -> TrainSettings:
    """The settings of a run.

    Raises:
        ParameterError: the classifier cannot have them.
    """
    chosen = {kind: getattr(asked, kind) for kind in REGISTRIES}
    classifier: dict[str, Parameter] = {
        "loss": asked.loss,
        "penalty": asked.penalty,
        "optimizer": asked.optimizer,
        "preprocess": asked.preprocess,
    }
    if asked.loss_options:
        classifier["loss_options"] = asked.loss_options
    if asked.penalty_options:
        classifier["penalty_options"] = asked.penalty_options
    # what the choices do not take keeps its default, whatever field of the page holds another value
    optimizers = choices("optimizer")
    own = (*optimizers["exact"].parameters, *optimizers[asked.optimizer].parameters)
    for name in ("reg", "delta", "beta", *(about.name for about in own)):
        value: Parameter = getattr(asked, name, None)
        default = inspect.signature(LinearModel).parameters[name].default
        classifier[name] = default if value is None or unused([name], chosen) else value
    model_of(classifier)
    options: dict[str, Parameter] = {"mirror": True} if asked.flips else {}
    if asked.features == "patches" and asked.patches is not None:
        options["patches"] = asked.patches
    return TrainSettings(
        source.path,
        classifier,
        seed=asked.seed,
        validation=asked.validation,
        image_size=asked.image_size,
        on_bad_image="skip" if asked.skip_bad else "fail",
        features=asked.features,
        feature_options=options,
    )
