"""`linprobe train SOURCE`: images in, run folder out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from linprobe.cli.kinds import LearningRate, Number
from linprobe.cli.options import (
    FEATURE_OPTIONS,
    WITH_RESUME,
    ObjectiveCommand,
    Options,
    RunOptions,
    classifier_given,
    classifier_options,
    debug,
    feature_options,
    features_given,
    given,
    named_option,
    objective_options,
    reading,
    refuse_changes,
    refuse_start,
    run_options,
    seed_option,
    settings_given,
    threads,
)

if TYPE_CHECKING:
    from pathlib import Path

    from linprobe.cli.progress import TrainingTeller
    from linprobe.data.base import ProgressCallback
    from linprobe.runs.records import RunMetrics, RunSettings
    from linprobe.runs.result import RunResult

NOT_CLASSIFIER = ("source", "seed", "validation", "image_size", "on_bad_image", "out")
"""Parameters of the command that LinearClassifier does not have; all others have the same name there."""


@click.command(cls=ObjectiveCommand, short_help="Train on the images of a source, leave a run folder.")
@click.argument("source", required=False)
@objective_options()
@named_option("--optimizer", "optimizer", "exact")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    metavar="M",
    help="Images per step of sgd.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="E",
    help="Passes of sgd over the training images; for gd, the same as --max-iter.",
)
@click.option(
    "--learning-rate",
    type=LearningRate(),
    metavar="F|auto",
    default="auto",
    show_default=True,
    help="Step size of sgd; auto chooses it from the curvature of loss and pixels, and says what was chosen.",
)
@named_option(
    "--schedule",
    "schedule",
    "cosine",
    about="The learning rate of sgd, with p the share of the run that is done and f = 0.01 (1/t is inverse): ",
    also=("1/t",),
)
@named_option("--update", "update", "momentum", about="The step of sgd, with g the gradient of a mini-batch: ")
@click.option(
    "--momentum",
    type=Number(min=0, max=1, max_open=True),
    default=0.9,
    show_default=True,
    metavar="F",
    help="mu of the updates momentum and nesterov: v = mu v + gradient.",
)
@click.option(
    "--dropout",
    type=Number(min=0, max=1, max_open=True),
    default=0.0,
    show_default=True,
    metavar="P",
    help="Set each input of sgd to 0 with probability P, anew for every image of every batch, and divide the others by "
    "1 - P.",
)
@click.option("--average", is_flag=True, help="Take the mean of the iterates of the second half of the epochs.")
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    metavar="E",
    help="End sgd when the validation loss has not fallen for E epochs, and keep the weights with the lowest; "
    "needs validation images.  [default: never]",
)
@feature_options
@classifier_options
@seed_option("Seed of the splits and of the order of the images; runs with the same seed are bit-identical.")
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
@run_options("run")
@debug
@click.pass_context
def train(ctx: click.Context, /, **options: Any) -> None:
    """Train a linear classifier on the images of SOURCE.

    Minimises L(W, b) = (1/N) sum L_i + reg R(W) over the training split, of pixels scaled to 0..1 and centred on
    their mean image, or of vectors centred on their mean. The test split is used once, at the end.

    SOURCE is a folder with a folder of pictures per class (with or without train/ val/ test/), or a .zip or .tar[.gz]
    of one. It may also be CIFAR, IDX (MNIST), embeddings in .npz, .npy or .parquet files, or a built-in set: digits,
    planar:shell, ...
    """
    from linprobe.cli.output import show_result, warn

    run = RunOptions.of(options)
    result = _start(ctx, options, run) if run.resume is None else _resume(ctx, options, run, run.resume)
    _warn(result.metrics)
    warn(result.metrics.notes)
    show_result(result, run, _show)


def _start(ctx: click.Context, options: Options, run: RunOptions) -> RunResult:
    """Begin a run with the options of the command line."""
    from linprobe.cli.progress import progress
    from linprobe.runs.records import RunSettings, TrainSettings
    from linprobe.runs.train import train as begin

    refuse_start(ctx, options)
    classifier = classifier_given(options, {*NOT_CLASSIFIER, *FEATURE_OPTIONS, *WITH_RESUME})
    if options["optimizer"] == "gd" and given(ctx, "epochs"):
        if given(ctx, "max_iter"):
            raise click.UsageError("--epochs and --max-iter mean the same for --optimizer gd; give one of them", ctx)
        classifier["max_iter"] = classifier.pop("epochs")
    settings = TrainSettings(
        **settings_given(options),
        classifier=classifier,
        **features_given(options),
    )
    with progress(run.silent) as report:
        return begin(
            settings,
            out=options["out"],
            n_threads=run.threads,
            cache=run.cache,
            reading=report,
            training=(teller := _teller(report, RunSettings(settings))).epoch,
            watch=teller.watch,
        )


def _resume(ctx: click.Context, options: Options, run: RunOptions, folder: Path) -> RunResult:
    """Resume a run; SOURCE and options may be repeated, but not changed."""
    from linprobe.cli.progress import progress
    from linprobe.runs.folder import RunFolder
    from linprobe.runs.train import resume

    settings = RunFolder.open(folder).settings()
    refuse_changes(ctx, options, settings)
    with progress(run.silent) as report:
        return resume(
            folder,
            source=run.moved_to,
            n_threads=run.threads,
            cache=run.cache,
            reading=report,
            training=(teller := _teller(report, settings)).epoch,
            watch=teller.watch,
        )


def _teller(report: ProgressCallback, settings: RunSettings) -> TrainingTeller:
    """What draws the progress of a training with these settings."""
    from linprobe.cli.progress import TrainingTeller

    optimizer = str(settings.parameter("optimizer"))
    steps = {"sgd": "epochs", "gd": "max_iter"}.get(optimizer)
    planned = 0 if steps is None else int(str(settings.parameter(steps)))
    return TrainingTeller(report, optimizer, planned, float(str(settings.parameter("tol"))) if planned == 0 else None)


def _warn(metrics: RunMetrics) -> None:
    """A warning where the training ended before its goal, with the gap that was reached."""
    from linprobe.classifiers.model import BAD_ENDS
    from linprobe.cli.output import say
    from linprobe.cli.words import warning

    if metrics.status not in BAD_ENDS:
        return
    say(f"warning: {warning(metrics)}")


def _show(metrics: RunMetrics) -> None:
    """The result as a table."""
    from linprobe.cli.output import print_facts, share, trained_on
    from linprobe.cli.words import chosen, ended, how_close, objective
    from linprobe.report.words import learnt_features

    certificate = how_close(metrics)
    print_facts(
        {
            "source": trained_on(metrics),
            "objective": objective(metrics),
            **({} if certificate is None else {"certificate": f"the objective is {certificate}"}),
            **({"features": learnt} if (learnt := learnt_features(metrics)) else {}),
            "train accuracy": share(metrics.train_accuracy),
            **(
                {"validation accuracy": f"{share(metrics.validation_accuracy)}  ({metrics.n_validation} images)"}
                if metrics.n_validation
                else {}
            ),
            "test accuracy": f"{share(metrics.test_accuracy)}  ({metrics.n_test} images)",
            **({"test split": metrics.test_origin} if metrics.test_origin else {}),
            "time": f"{metrics.seconds:.2f} s of optimisation, {metrics.passes:g} passes over the images",
            **chosen(metrics),
            **({"skipped images": str(metrics.skipped_images)} if metrics.skipped_images else {}),
            "status": ended(metrics),
            "run": metrics.run,
        }
    )
