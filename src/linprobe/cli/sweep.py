"""`linprobe sweep SOURCE`: a whole grid of reg values, the best one chosen on held-out images and tested once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from linprobe.cli.kinds import Grid
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
    objective_options,
    reading,
    refuse_changes,
    refuse_start,
    run_options,
    seed_option,
    settings_given,
    threads,
    validation_option,
)
from linprobe.printed import gap_text, objective_text

if TYPE_CHECKING:
    from pathlib import Path

    from linprobe.runs.records import RunMetrics
    from linprobe.runs.result import RunResult

NOT_CLASSIFIER = ("source", "reg_grid", "folds", "validation", "seed", "image_size", "on_bad_image", "out")
"""Parameters of the command that LinearClassifier does not have; all others have the same name there."""


@click.command(cls=ObjectiveCommand, short_help="Choose reg from a grid, every member solved and certified.")
@click.argument("source", required=False)
@click.option(
    "--reg-grid",
    type=Grid(),
    default="1e-6:1e0:20",
    show_default=True,
    metavar="LOW:HIGH:COUNT",
    help="The reg values, evenly spaced in the logarithm; or a list A,B,...",
)
@click.option("--folds", type=click.IntRange(min=2), metavar="K", help="Choose reg by K-fold cross-validation.")
@validation_option("to choose by")
@objective_options(with_reg=False)
@feature_options
@classifier_options
@seed_option("Seed of the splits and folds; runs with the same seed are bit-identical.")
@threads
@reading
@run_options("sweep")
@debug
@click.pass_context
def sweep(ctx: click.Context, /, **options: Any) -> None:
    """Solve a whole grid of reg values on the images of SOURCE, and keep the best.

    All values are solved together in shared passes over the images, each to a proven gap. The value with the highest
    accuracy on held-out images is fitted to all training images. The test split is used once, at the end.
    """
    from linprobe.cli.output import print_json, result_shown, warn
    from linprobe.runs.records import as_json

    run = RunOptions.of(options)
    result = _start(ctx, options, run) if run.resume is None else _resume(ctx, options, run, run.resume)
    warn([*_warnings(result.metrics), *result.metrics.notes])
    with result_shown(result, run):
        if run.as_json:
            print_json(as_json(result.metrics))
        else:
            _show(result.metrics)


def _start(ctx: click.Context, options: Options, run: RunOptions) -> RunResult:
    """Begin a sweep with the options of the command line."""
    from linprobe.cli.progress import path_teller, progress
    from linprobe.runs.records import SweepSettings
    from linprobe.runs.sweep import sweep as begin

    refuse_start(ctx, options)
    if options["folds"] is not None and given(ctx, "validation"):
        raise click.UsageError("--folds and --validation are two ways to choose reg; give one of them", ctx)
    left_out = {*NOT_CLASSIFIER, *FEATURE_OPTIONS, *WITH_RESUME}
    settings = SweepSettings(
        **settings_given(options),
        regs=options["reg_grid"],
        classifier=classifier_given(options, left_out),
        folds=options["folds"],
        **features_given(options),
    )
    with progress(run.silent) as report:
        return begin(
            settings,
            out=options["out"],
            n_threads=run.threads,
            cache=run.cache,
            reading=report,
            solving=path_teller(report),
        )


def _resume(ctx: click.Context, options: Options, run: RunOptions, folder: Path) -> RunResult:
    """Resume a sweep; SOURCE and options may be repeated, but not changed."""
    from linprobe.cli.progress import path_teller, progress
    from linprobe.runs.folder import RunFolder
    from linprobe.runs.sweep import resume_sweep

    refuse_changes(ctx, options, RunFolder.open(folder).settings())
    with progress(run.silent) as report:
        return resume_sweep(
            folder,
            source=run.moved_to,
            n_threads=run.threads,
            cache=run.cache,
            reading=report,
            solving=path_teller(report),
        )


def _warnings(metrics: RunMetrics) -> list[str]:
    """A line for members that are not certified, and one for the model."""
    from linprobe.cli.words import warning

    lines = []
    early = [row for row in metrics.grid if not row.solved]
    if early:
        worst = max(early, key=lambda row: row.relative_gap or 0.0)
        lines.append(
            f"{len(early)} of {len(metrics.grid)} reg values ended before tol (the worst: reg {worst.reg:.3g}, "
            f"relative gap {gap_text(worst.relative_gap or 0.0)}): raise --max-iter, loosen --tol, or leave the "
            "smallest values out"
        )
    if not metrics.solved:
        lines.append(warning(metrics))
    if len(metrics.grid) > 1 and metrics.reg in (metrics.grid[0].reg, metrics.grid[-1].reg):
        lines.append(
            f"the best reg, {metrics.reg:.3g}, is at the end of the grid, and a better one may lie beyond: "
            "widen --reg-grid"
        )
    return lines


def _show(metrics: RunMetrics) -> None:
    """The grid as a table, and the result below it."""
    from linprobe.cli.output import number, print_facts, print_table, share, trained_on
    from linprobe.cli.words import ended, how_close

    rows = [
        (
            f"{row.reg:.3g}",
            share(row.validation_accuracy),
            number(row.validation_loss, 4),
            gap_text(row.relative_gap),
            ", ".join(sorted({status.short for status in row.statuses})),
            "<- chosen" if row.reg == metrics.reg else "",
        )
        for row in metrics.grid
    ]
    close = how_close(metrics)
    columns = ("reg", "validation accuracy", "validation loss", "relative gap", "status", "")
    print_table(columns, rows, numeric=columns[:4])
    print_facts(
        {
            "source": trained_on(metrics),
            "reg": f"{metrics.reg:.6g}, chosen by {metrics.chosen_by}",
            "objective": objective_text(metrics.objective),
            "certificate": "no bound is proved" if close is None else f"the objective is {close}",
            "train accuracy": share(metrics.train_accuracy),
            "test accuracy": f"{share(metrics.test_accuracy)}  ({metrics.n_test} images)",
            **({"test split": metrics.test_origin} if metrics.test_origin else {}),
            "time": f"{metrics.seconds:.2f} s in all, {metrics.passes:g} passes over the images",
            "in other tools": metrics.equivalents[1:],
            **({"skipped images": str(metrics.skipped_images)} if metrics.skipped_images else {}),
            "status": ended(metrics),
            "run": metrics.run,
        }
    )
