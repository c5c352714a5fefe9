"""The command that trains the same again, out of the settings of a run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from linprobe.choices import only_of
from linprobe.classifiers.model import LinearModel
from linprobe.errors import ParameterError
from linprobe.optimizers.path import reg_grid

__all__ = ["command_of", "grid_text"]

ALWAYS = ("loss", "penalty", "reg", "optimizer")
"""Options that are written out even where they have their defaults."""

OPTIONS = (
    "loss", "delta", "penalty", "reg", "beta", "optimizer", "batch_size", "epochs", "learning_rate", "schedule",
    "update", "momentum", "average", "patience", "class_weight", "preprocess", "max_iter", "tol", "engine",
)  # fmt: skip
"""Parameters of LinearClassifier that are options of `linprobe train`."""

NOT_OF_SWEEP = ("reg", "optimizer")
"""Options that `linprobe sweep` has not; those of SGD come on top."""


def command_of(settings: Mapping[str, Any]) -> list[str] | None:
    """The words of the command line that asks for these settings; None where no command line can.

    Options at their defaults are left out, but for what is minimised, by what, and the seed.

    Args:
        settings: what settings.json of a run holds.
    """
    swept = settings.get("kind") == "sweep"
    classifier: Mapping[str, Any] = settings["classifier"]
    defaults = {name: p.default for name, p in inspect.signature(LinearModel).parameters.items()}
    words = ["linprobe", "sweep" if swept else "train", str(settings["source"])]
    if swept:
        words += ["--reg-grid", grid_text(settings["regs"])]
        if settings.get("folds"):
            words += ["--folds", str(settings["folds"])]
        else:
            words += ["--validation", repr(settings["validation"])]
    sgd = not swept and classifier.get("optimizer", defaults["optimizer"]) == "sgd"
    left_out = {*(NOT_OF_SWEEP if swept else ()), *(() if sgd else only_of("optimizer", "sgd"))}
    for name in OPTIONS:
        value = classifier.get(name, defaults[name])
        if name in left_out:
            continue
        if name in ALWAYS or value != defaults[name]:
            if not isinstance(value, str | int | float):
                return None  # weights of single classes, a loss of one's own
            words += _option(name, value)
    for name, value in classifier.items():
        if name not in OPTIONS and value != defaults.get(name, value):
            return None
    words += _feature_options(settings)
    if not swept and settings.get("validation"):
        words += ["--validation", repr(settings["validation"])]
    if settings.get("image_size"):
        words += ["--image-size", "x".join(str(n) for n in settings["image_size"])]
    if settings.get("on_bad_image", "fail") != "fail":
        words += ["--on-bad-image", str(settings["on_bad_image"])]
    return [*words, "--seed", str(settings.get("seed", 0))]


def _feature_options(settings: Mapping[str, Any]) -> list[str]:
    words = []
    if settings.get("features", "pixels") != "pixels":
        words += ["--features", str(settings["features"])]
    for name, value in settings.get("feature_options", {}).items():
        words += ["--flips"] if name == "mirror" and value else _option(name, value)
    return words


def _option(name: str, value: str | float) -> list[str]:
    """An option as it is written: a flag by its name, a number so that it reads back to the same bits."""
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [option] if value else []
    return [option, value if isinstance(value, str) else repr(value)]


def grid_text(regs: Sequence[float]) -> str:
    """The reg values as `--reg-grid` takes them, by their ends and count where these give the same ones."""
    short = f"{regs[0]!r}:{regs[-1]!r}:{len(regs)}"
    try:
        if reg_grid(short) == tuple(regs):
            return short
    except ParameterError:  # of a grid that holds 0
        pass
    return ",".join(repr(reg) for reg in regs)
