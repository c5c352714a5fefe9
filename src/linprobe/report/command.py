"""The command that repeats a run, from its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linprobe.choices import own_option
from linprobe.classifiers.model_record import default_parameters
from linprobe.classifiers.unused import REGISTRIES, unused
from linprobe.errors import ParameterError
from linprobe.optimizers.path import reg_grid
from linprobe.runs.records import RunSettings, SweepSettings, TrainSettings

__all__ = ["command_of", "grid_text", "without_use"]

ALWAYS = ("loss", "penalty", "reg", "optimizer")
"""Options that are written out even where they have their defaults."""

OPTIONS = (
    "loss", "delta", "penalty", "reg", "beta", "optimizer", "batch_size", "epochs", "learning_rate", "schedule",
    "update", "momentum", "dropout", "average", "patience", "class_weight", "preprocess", "max_iter", "tol", "engine",
)  # fmt: skip
"""Parameters of LinearClassifier that are options of `linprobe train`."""

KNOWN = (*OPTIONS, "loss_options", "penalty_options")
"""Parameters of LinearClassifier that the command line can set."""

NOT_OF_SWEEP = ("reg", "optimizer", "learning_rate", "schedule", "update")
"""Parameters that are no options of `linprobe sweep`, or that its grid gives."""


def command_of(settings: RunSettings) -> list[str] | None:
    """The words of the command line that requests these settings; None where no command line can.

    Options at their defaults are left out, except for the seed and those in `ALWAYS`.
    """
    request, defaults = settings.request, default_parameters()
    words = ["linprobe", request.kind, request.source]
    if isinstance(request, SweepSettings):
        words += _grid_options(request)
        words += ["--folds", str(request.folds)] if request.folds else ["--validation", repr(request.validation)]
    for name in OPTIONS:
        value = settings.parameter(name)
        if (settings.swept and name in NOT_OF_SWEEP) or without_use(settings, name):
            continue
        if name in ALWAYS or value != defaults[name]:
            if not isinstance(value, str | int | float):
                return None  # weights of single classes
            words += _option(name, value)
    for kind in ("loss", "penalty"):
        own = settings.parameter(f"{kind}_options")
        for name, value in own.items() if isinstance(own, Mapping) else ():
            words += _option(own_option(kind, name), value)
    if any(name not in KNOWN and value != defaults[name] for name, value in request.classifier.items()):
        return None
    made = _feature_options(request)
    if made is None:
        return None
    words += made
    if not settings.swept and request.validation:
        words += ["--validation", repr(request.validation)]
    if request.image_size is not None:
        words += ["--image-size", "x".join(map(str, request.image_size))]
    if request.on_bad_image != "fail":
        words += ["--on-bad-image", request.on_bad_image]
    return [*words, "--seed", str(request.seed)]


def _grid_options(request: SweepSettings) -> list[str]:
    """The options of the grid of a sweep."""
    words = ["--reg-grid", grid_text(request.regs)]
    if not request.learning_rates:
        return words
    return [
        *("--optimizer", "sgd", "--learning-rate-grid", grid_text(request.learning_rates)),
        *([] if request.classifier.get("penalty") == "none" else words),
        *("--schedule", ",".join(request.schedules), "--update", ",".join(request.updates)),
        *(["--halving"] if request.halving else []),
    ]


def without_use(settings: RunSettings, name: str) -> bool:
    """Whether the loss, penalty, optimizer or update of the run does not take a parameter of the classifier."""
    return unused([name], {kind: settings.parameter(kind) for kind in REGISTRIES}) is not None


def _feature_options(request: TrainSettings | SweepSettings) -> list[str] | None:
    """The options of the features; None where no command line has them."""
    words = [] if request.features == "pixels" else ["--features", request.features]
    for name, value in request.feature_options.items():
        if name == "mirror":
            words += ["--flips"] if value else []
        elif value is False and name.startswith("net_"):
            words.append(f"--{'no-' + name.replace('_', '-')}")
        elif isinstance(value, str | int | float):
            words += _option(name, value)
        else:
            return None
    return words


def _option(name: str, value: str | float) -> list[str]:
    """An option as it is written: a flag by its name, a number with all its digits."""
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [option] if value else []
    return [option, value if isinstance(value, str) else repr(value)]


def grid_text(regs: Sequence[float]) -> str:
    """The reg values as `--reg-grid` takes them: LOW:HIGH:COUNT where that gives the same values, else a list."""
    short = f"{regs[0]!r}:{regs[-1]!r}:{len(regs)}"
    try:
        if reg_grid(short) == tuple(regs):
            return short
    except ParameterError:  # of a grid that holds 0
        pass
    return ",".join(repr(reg) for reg in regs)
