"""`linprobe train SOURCE`: images in, run folder out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from linprobe.cli.options import (
    LEARNING_RATE,
    Number,
    debug,
    json_output,
    objective_options,
    reading,
    threads,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from linprobe.data.base import ProgressCallback
    from linprobe.optimizers.base import Epoch
    from linprobe.runs.train import RunResult

SCHEDULES = ("constant", "step", "exponential", "cosine", "inverse")
UPDATES = ("plain", "momentum", "nesterov", "adagrad", "rmsprop", "adam")

CLASSIFIER_OPTIONS = (
    "loss",
    "delta",
    "penalty",
    "reg",
    "beta",
    "optimizer",
    "batch_size",
    "epochs",
    "learning_rate",
    "schedule",
    "update",
)
"""Options that are parameters of LinearClassifier, under the same name."""

WITH_RESUME = ("resume", "threads", "cache", "as_json", "quiet")
"""Parameters that may be given with --resume: the result does not depend on them."""


@click.command()
@click.argument("source", required=False)
@objective_options
@click.option(
    "--optimizer",
    type=click.Choice(["sgd", "gd"]),
    default="sgd",
    show_default=True,
    help="sgd: mini-batches, sampled without replacement. gd: gradient descent on all images with a line search.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="M",
    help="Images per SGD step.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="E",
    help="Passes of SGD over the training images; iterations of gd.",
)
@click.option(
    "--learning-rate",
    type=LEARNING_RATE,
    default="auto",
    show_default=True,
    help="Step size; auto chooses it from the curvature of loss and pixels, and says what was chosen.",
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    default="cosine",
    show_default=True,
    help="How the learning rate falls over the epochs; inverse is 1/t.",
)
@click.option("--update", type=click.Choice(UPDATES), default="momentum", show_default=True, help="The SGD update.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="S",
    help="Of the splits and of the order of the images: same seed, same bits.",
)
@threads
@click.option(
    "--validation",
    type=Number(min=0, max=1, max_open=True),
    default=0.0,
    show_default=True,
    metavar="F",
    help="Share of the training images held out, class by class; a val/ folder is used as it is.",
)
@reading
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="The run folder, new or empty.  [default: runs/...]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue a run that was stopped or killed, with its own settings, to the same bits.",
)
@json_output
@click.option("--quiet", is_flag=True, help="Show no progress.")
@debug
@click.pass_context
def train(ctx: click.Context, /, **options: Any) -> None:
    """Train a linear classifier on the images of SOURCE.

    Minimises L(W, b) = (1/N) sum L_i + reg R(W) over the training split, of pixels scaled to 0..1 and centred on
    their mean image. The test split is touched once, at the end.

    SOURCE is a folder with a folder of pictures per class (with or without train/ val/ test/), the same in a .zip or
    .tar[.gz], CIFAR, IDX (MNIST), .npz or .npy, or one of the built-in sets: digits, planar:shell, ...
    """
    from linprobe.cli.output import print_json

    result = _resume(ctx, options) if options["resume"] else _start(options)
    if options["as_json"]:
        print_json(result.metrics)
    else:
        _show(result)


def _start(options: dict[str, Any]) -> RunResult:
    """Begin a run with the options of the command line."""
    from linprobe.cli.output import progress
    from linprobe.runs.train import TrainSettings
    from linprobe.runs.train import train as begin

    if options["source"] is None:
        raise click.UsageError("missing SOURCE; give one, or --resume RUN", click.get_current_context())
    settings = TrainSettings(
        source=options["source"],
        classifier={name: options[name] for name in CLASSIFIER_OPTIONS},
        seed=options["seed"],
        validation=options["validation"],
        image_size=options["image_size"],
        on_bad_image=options["on_bad_image"],
    )
    with progress(options["quiet"] or options["as_json"]) as report:
        return begin(
            settings,
            out=options["out"],
            n_threads=options["threads"],
            cache=options["cache"],
            reading=report,
            training=_teller(report, options["epochs"]),
        )


def _resume(ctx: click.Context, options: dict[str, Any]) -> RunResult:
    """Go on with a run; an option that would change its bits is refused."""
    from linprobe.cli.output import progress
    from linprobe.runs.folder import RunFolder
    from linprobe.runs.train import resume

    given = [
        parameter
        for parameter in ctx.command.params
        if parameter.name
        and parameter.name not in WITH_RESUME
        and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        names = ", ".join(parameter.opts[0] if parameter.opts[0].startswith("-") else "SOURCE" for parameter in given)
        raise click.UsageError(f"{names} cannot be given with --resume: the run goes on with its own settings", ctx)
    epochs = RunFolder.open(options["resume"]).settings().get("classifier", {}).get("epochs", 0)
    with progress(options["quiet"] or options["as_json"]) as report:
        return resume(
            options["resume"],
            n_threads=options["threads"],
            cache=options["cache"],
            reading=report,
            training=_teller(report, epochs),
        )


def _teller(report: ProgressCallback, n_epochs: int) -> Callable[[Epoch], None]:
    """What draws the progress of the training."""

    def tell(epoch: Epoch) -> None:
        held_out = "" if math.isnan(epoch.validation_accuracy) else f", validation {epoch.validation_accuracy:.3f}"
        what = f"objective {epoch.objective:.4f}, train accuracy {epoch.train_accuracy:.3f}{held_out}"
        report(what, epoch.epoch, n_epochs)

    return tell


def _show(result: RunResult) -> None:
    """The result as a table."""
    from linprobe.cli.output import number, print_facts, share

    metrics = result.metrics
    shape = metrics["image_shape"]
    print_facts(
        {
            "source": f"{metrics['source']}: {metrics['n_train']} training images"
            + (f" of {'x'.join(map(str, shape))}" if shape else "")
            + f", {metrics['n_classes']} classes",
            "objective": f"{number(metrics['objective'], 6)} = {metrics['loss']} {number(metrics['data_loss'], 6)}"
            + ("" if metrics["penalty"] == "none" else f" + {metrics['reg']:g} R(W), R = {metrics['penalty']}"),
            "train accuracy": share(metrics["train_accuracy"]),
            "validation accuracy": share(metrics["validation_accuracy"]),
            "test accuracy": f"{share(metrics['test_accuracy'])}  ({metrics['n_test']} images)",
            "time": f"{metrics['seconds']:.2f} s of optimisation, {metrics['passes']:g} passes over the training images",
            **{name.replace("_", " "): text for name, text in metrics["chosen"].items()},
            **({"skipped images": str(metrics["skipped_images"])} if metrics["skipped_images"] else {}),
            "status": f"{metrics['status']}: {metrics['status_text']}",
            "run": metrics["run"],
        }
    )
