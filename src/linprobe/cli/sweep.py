"""`linprobe sweep SOURCE`: a grid of reg values or learning rates, the best chosen on held-out images, tested once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from linprobe.cli.kinds import Grid, NamedList
from linprobe.cli.options import (
    FEATURE_OPTIONS,
    WITH_RESUME,
    NamedOption,
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
    parameter_option,
    reading,
    refuse_changes,
    refuse_start,
    refuse_unused,
    run_options,
    seed_option,
    settings_given,
    threads,
    validation_option,
)
from linprobe.printed import gap_text, objective_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from linprobe.runs.rate_records import CellRow
    from linprobe.runs.records import RunMetrics
    from linprobe.runs.result import RunResult

NOT_CLASSIFIER = ("source", "reg_grid", "folds", "validation", "seed", "image_size", "on_bad_image", "out")
"""Parameters of the command that LinearClassifier does not have; all others have the same name there."""

OF_GRID = ("learning_rate_grid", "schedule", "update", "halving")
"""Parameters of the command that only a sweep over learning rates has, and that hold no value of one classifier."""

NOT_SWEPT = ("learning_rate", "patience")
"""Parameters of SGD that are no options: the grid has the first; the refit has no images for the second."""

REG_GRID = "1e-6:1e0:20"
"""The reg values of the exact optimizer where none are given. SGD then has the default of the classifier alone: its
runs are solved one by one."""


class SweepCommand(ObjectiveCommand):
    """A command that also has the parameters of SGD, from its registry, behind --update."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """All parameters, those of SGD included."""
        from linprobe.optimizers.registry import OPTIMIZERS

        known = super().get_params(ctx)
        taken = {parameter.name for parameter in known} | set(NOT_SWEPT)
        own = [parameter_option(one, "sgd") for one in OPTIMIZERS["sgd"].parameter_info if one.name not in taken]
        place = [parameter.name for parameter in known].index("update") + 1
        return [*known[:place], *own, *known[place:]]


@click.command(cls=SweepCommand, short_help="Choose reg, or the learning rate, from a grid.")
@click.argument("source", required=False)
@click.option(
    "--reg-grid",
    type=Grid(),
    metavar="LOW:HIGH:COUNT",
    help="The reg values, evenly spaced in the logarithm; or a list A,B,...  "
    f"[default: {REG_GRID}; of sgd 0.001 alone]",
)
@click.option("--folds", type=click.IntRange(min=2), metavar="K", help="Choose reg by K-fold cross-validation.")
@validation_option("to choose by")
@objective_options(with_reg=False)
@click.option(
    "--optimizer",
    type=click.Choice(["exact", "sgd"]),
    default="exact",
    show_default=True,
    help="exact: solve each reg to its optimum. sgd: run each learning rate with each reg, schedule and update.",
)
@click.option(
    "--learning-rate-grid",
    type=Grid(rates=True),
    metavar="LOW:HIGH:COUNT",
    help="Of sgd: the learning rates, evenly spaced in the logarithm; or a list A,B,...",
)
@click.option(
    "--schedule",
    type=NamedList("schedule", {"1/t": "inverse"}),
    cls=NamedOption,
    lists="schedule",
    about="Of sgd: one or more, with commas between them. The learning rate, with p the share of the run that is done "
    "and f = 0.01 (1/t is inverse): ",
    default="cosine",
    show_default=True,
)
@click.option(
    "--update",
    type=NamedList("update"),
    cls=NamedOption,
    lists="update",
    about="Of sgd: one or more, with commas between them. The step, with g the gradient of a mini-batch: ",
    default="momentum",
    show_default=True,
)
@click.option(
    "--halving/--no-halving",
    default=False,
    show_default=True,
    help="Of sgd: end the half of the runs with the higher validation loss early; the others go on for twice as many "
    "epochs, and are halved again.",
)
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

    With --optimizer sgd the grid is of learning rates, each with each reg, schedule and update. The table shows how far
    each run ends above the certified optimum of its reg.
    """
    from linprobe.cli.output import show_result, warn

    run = RunOptions.of(options)
    result = _start(ctx, options, run) if run.resume is None else _resume(ctx, options, run, run.resume)
    warn([*_warnings(result.metrics), *result.metrics.notes])
    show_result(result, run, _show)


def _start(ctx: click.Context, options: Options, run: RunOptions) -> RunResult:
    """Begin a sweep with the options of the command line."""
    from linprobe.cli.progress import cell_teller, path_teller, progress
    from linprobe.runs.records import SweepSettings
    from linprobe.runs.sweep import sweep as begin

    grid = _grid_given(ctx, options)
    settings = SweepSettings(
        **settings_given(options),
        classifier=classifier_given(options, _left_out(options)),
        folds=options["folds"],
        **grid,
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
            training=cell_teller(report),
        )


def _resume(ctx: click.Context, options: Options, run: RunOptions, folder: Path) -> RunResult:
    """Resume a sweep; SOURCE and options may be repeated, but not changed."""
    from linprobe.cli.progress import cell_teller, path_teller, progress
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
            training=cell_teller(report),
        )


def _grid_given(ctx: click.Context, options: Options) -> Options:
    """The grid of a new sweep, by the names of `SweepSettings`.

    Raises:
        UsageError: an option would do nothing, or one is missing.
    """
    from linprobe.classifiers.model_record import default_parameters
    from linprobe.optimizers.path import reg_grid

    refuse_start(ctx, options)
    if options["folds"] is not None and given(ctx, "validation"):
        raise click.UsageError("--folds and --validation are two ways to choose reg; give one of them", ctx)
    sgd = options["optimizer"] == "sgd"
    for name, owner in (("learning_rate_grid", "sgd"), ("halving", "sgd"), ("folds", "exact")):
        if given(ctx, name) and options["optimizer"] != owner:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(
                f"{option} only applies to --optimizer {owner} (got {options['optimizer']}); choose that, or leave "
                f"{option} out",
                ctx,
            )
    if not sgd:
        return {"regs": options["reg_grid"] or reg_grid(REG_GRID)}
    if options["learning_rate_grid"] is None:
        raise click.UsageError("--optimizer sgd needs --learning-rate-grid LOW:HIGH:COUNT, as in 1e-3:1e0:7", ctx)
    if options["penalty"] == "none" and given(ctx, "reg_grid"):
        raise click.UsageError("--reg-grid needs a penalty (got none); choose one, or leave --reg-grid out", ctx)
    _refuse_of_updates(ctx, options)
    return {
        "regs": options["reg_grid"] or (default_parameters()["reg"],),
        "learning_rates": options["learning_rate_grid"],
        "schedules": options["schedule"],
        "updates": options["update"],
        "halving": options["halving"],
    }


def _refuse_of_updates(ctx: click.Context, options: Options) -> None:
    """Raise UsageError for a given option that none of the updates of the grid has."""
    errors = []
    for update in options["update"]:
        try:
            refuse_unused(ctx, {"update": update})
        except click.UsageError as error:
            errors.append(error)
    if len(errors) == len(options["update"]):
        raise errors[0]


def _left_out(options: Options) -> set[str]:
    """Options that are no parameters of the classifiers of the sweep."""
    from linprobe.optimizers.registry import OPTIMIZERS

    left_out = {*NOT_CLASSIFIER, *OF_GRID, *FEATURE_OPTIONS, *WITH_RESUME}
    if options["optimizer"] == "exact":
        left_out |= {"optimizer", *(parameter.name for parameter in OPTIMIZERS["sgd"].parameter_info)}
    return left_out


def _warnings(metrics: RunMetrics) -> list[str]:
    """A line for members that are not certified, and one for the model."""
    from linprobe.classifiers.model import BAD_ENDS
    from linprobe.cli.words import warning

    lines = []
    early = [row for row in metrics.grid if not row.solved]
    if early:
        worst = max(early, key=lambda row: row.relative_gap or 0.0)
        reached = f"the worst: reg {worst.reg:.3g}, relative gap {gap_text(worst.relative_gap or 0.0)}"
        if metrics.cells:
            lines.append(
                f"the optima of {len(early)} of {len(metrics.grid)} reg values are not certified ({reached}), so runs "
                "may be closer to them than shown: leave the smallest values of --reg-grid out"
            )
        else:
            lines.append(
                f"{len(early)} of {len(metrics.grid)} reg values ended before tol ({reached}): raise --max-iter, "
                "loosen --tol, or leave the smallest values out"
            )
    if metrics.status in BAD_ENDS if metrics.cells else not metrics.solved:
        lines.append(warning(metrics))
    lines += _ends("reg", metrics.reg, [row.reg for row in metrics.grid], "--reg-grid")
    cell = metrics.chosen_cell
    if cell is not None:
        rates = [row.learning_rate for row in metrics.cells]
        lines += _ends("learning rate", cell.learning_rate, rates, "--learning-rate-grid")
    return lines


def _ends(name: str, best: float, values: Sequence[float], option: str) -> list[str]:
    """A line where the best value is at an end of the grid."""
    if min(values, default=best) == max(values, default=best) or min(values) < best < max(values):
        return []
    return [f"the best {name}, {best:.3g}, is at the end of the grid, and a better one may lie beyond: widen {option}"]


def _show(metrics: RunMetrics) -> None:
    """The grid as a table, and the result below it."""
    from linprobe.cli.output import number, print_facts, print_table, share, trained_on
    from linprobe.cli.words import ended, how_close
    from linprobe.report.words import learnt_features

    if metrics.cells:
        _show_cells(metrics.cells)
    else:
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
        columns = ("reg", "validation accuracy", "validation loss", "relative gap", "status", "")
        print_table(columns, rows, numeric=columns[:4])
    close, cell = how_close(metrics), metrics.chosen_cell
    chosen = f"{metrics.reg:.6g}, chosen by {metrics.chosen_by}"
    print_facts(
        {
            "source": trained_on(metrics),
            **({"reg": chosen} if cell is None else _chosen(cell, metrics)),
            "objective": objective_text(metrics.objective),
            **(
                {"certificate": "no bound is proved" if close is None else f"the objective is {close}"}
                if cell is None
                else {}
            ),
            **({"features": learnt} if (learnt := learnt_features(metrics)) else {}),
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


def _chosen(cell: CellRow, metrics: RunMetrics) -> dict[str, str]:
    """The run that was chosen, as facts."""
    reg = "" if metrics.penalty == "none" else f", with reg {cell.reg:.6g}"
    return {
        "learning rate": f"{cell.learning_rate:.6g}{reg}, chosen by {metrics.chosen_by}",
        "schedule, update": f"{cell.schedule}, {cell.update}",
    }


def _show_cells(cells: Sequence[CellRow]) -> None:
    """The runs of SGD as a table."""
    from linprobe.cli.output import number, print_table, share
    from linprobe.cli.words import above_optimum, cell_status

    columns = (
        *("rate", "reg", "schedule", "update", "validation accuracy", "validation loss", "above the optimum"),
        *("status", ""),
    )
    rows = [
        (
            f"{cell.learning_rate:.3g}",
            f"{cell.reg:.3g}",
            cell.schedule,
            cell.update,
            share(cell.validation_accuracy),
            number(cell.validation_loss, 4),
            above_optimum(cell),
            cell_status(cell),
            "<- chosen" if cell.chosen else "",
        )
        for cell in cells
    ]
    print_table(columns, rows, numeric=(*columns[:2], *columns[4:7]))
