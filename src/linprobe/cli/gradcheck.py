"""`linprobe gradcheck SOURCE`: the analytic gradient compared with differences, on real images."""

from __future__ import annotations

from typing import Any

import click

from linprobe.cli.kinds import Number
from linprobe.cli.options import (
    ObjectiveCommand,
    Options,
    debug,
    json_output,
    objective_options,
    own_given,
    reading,
    reading_given,
    refuse_unused,
    seed_option,
    threads,
)
from linprobe.cli.terminal import write


@click.command(cls=ObjectiveCommand, short_help="Compare the analytic gradient with differences.")
@click.argument("source")
@objective_options()
@click.option(
    "--coordinates",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Coordinates of W and b compared, drawn with the seed.",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    metavar="N",
    help="Training images that the objective is taken over, drawn with the seed.",
)
@click.option(
    "--step",
    type=Number(min=0, min_open=True),
    default=1e-5,
    show_default=True,
    metavar="H",
    help="h, the change of a score, in the unit of the scores.",
)
@click.option(
    "--tolerance",
    type=Number(min=0, min_open=True),
    default=1e-7,
    show_default=True,
    metavar="F",
    help="Largest relative error of a gradient that counts as correct.",
)
@seed_option("Of all samples.")
@reading
@threads
@json_output
@debug
@click.pass_context
def gradcheck(ctx: click.Context, /, source: str, **options: Any) -> None:
    """Compare the gradient of L(W, b) on the training images of SOURCE with differences of its value.

    Shows forward, (f(x + h) - f(x)) / h, and centred differences, (f(x + h) - f(x - h)) / 2h, and judges by the
    second. A coordinate whose interval crosses a kink (a hinge margin at 0, L1 at 0) is counted apart. The native core
    is compared with the plain NumPy engine as well. Exit code 1 when a gradient is wrong.
    """
    from linprobe.cli.output import print_json
    from linprobe.cli.progress import progress
    from linprobe.data.base import ReadOptions, open_dataset
    from linprobe.features.pixels import Pixels
    from linprobe.gradcheck import check_gradient
    from linprobe.losses import make_loss
    from linprobe.objective import Objective
    from linprobe.penalties import make_penalty

    refuse_unused(ctx, options)
    with progress(options["as_json"]) as report:
        dataset = open_dataset(
            source,
            ReadOptions(
                **reading_given(options),
                seed=options["seed"],
                progress=report,
            ),
        )
    train = dataset.train
    objective = Objective(
        train.X,
        train.y,
        loss=make_loss(options["loss"], **_taken("loss", options)),
        penalty=make_penalty(options["penalty"], **_taken("penalty", options)),
        reg=options["reg"],
        n_classes=len(dataset.class_names),
        rows=train.rows,
        affine=Pixels().fit(train.X, train.rows).affine,
        n_threads=options["threads"],
    )
    found = check_gradient(
        objective,
        n_coordinates=options["coordinates"],
        n_images=options["images"],
        seed=options["seed"],
        step=options["step"],
        tolerance=options["tolerance"],
    )
    if options["as_json"]:
        print_json({"source": source, **found.as_dict()})
    else:
        write(str(found))
    ctx.exit(0 if found.ok else 1)


def _taken(kind: str, options: Options) -> dict[str, float]:
    """The parameters of the chosen loss or penalty, as the options give them."""
    from linprobe.choices import choices

    names = [parameter.name for parameter in choices(kind)[options[kind]].parameters]
    return {**{name: options[name] for name in names if name in options}, **own_given(kind, options)}
