"""`linprobe knn SOURCE`: nearest neighbours, k chosen on held-out images, tested once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linprobe.cli.options import (
    debug,
    given,
    json_output,
    quiet,
    reading,
    seed_option,
    settings_given,
    threads,
    validation_option,
)

if TYPE_CHECKING:
    from linprobe.runs.neighbors import KnnResult

METRICS = ("l2", "l1", "cosine")
"""Values of --metric."""


class Counts(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.4
    """Whole numbers >= 1, as in `1,3,5`."""

    name = "A,B,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers, as they were given."""
        if isinstance(value, tuple):
            return value
        try:
            counts = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            counts = ()
        if not counts or min(counts) < 1:
            self.fail(f"{value!r}; expected numbers of neighbours >= 1, as in 1,3,5", param, ctx)
        return counts


@click.command(short_help="Classify by the nearest training images, k chosen on held-out images.")
@click.argument("source")
@click.option(
    "--k",
    "ks",
    type=Counts(),
    default="1,3,5,7,9,11,15,21",
    show_default=True,
    help="Numbers of neighbours to choose from, all judged by one search; a single one is used as it is.",
)
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    default="l2",
    show_default=True,
    help="l2: |a - b|. l1: sum |a - b|, of pixels. cosine: 1 - cos, of embeddings.",
)
@click.option("--folds", type=click.IntRange(min=2), metavar="N", help="Choose k by N-fold cross-validation.")
@validation_option("to choose k by")
@click.option(
    "--neighbours-of",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="IMAGE",
    help="List the neighbours of this picture, with class and distance; may be repeated.",
)
@seed_option("Of the splits and folds: same seed, same result.")
@threads
@reading
@quiet
@json_output
@debug
@click.pass_context
def knn(ctx: click.Context, /, **options: Any) -> None:
    """Classify the test images of SOURCE by the classes of their nearest training images.

    The search is exact. The k with the highest accuracy on held-out images is chosen. The test split is used once, at
    the end. Of images at equal distances the first in the training set is the nearer; of classes with equally many
    votes, the one with the smaller sum of distances wins.
    """
    from linprobe.cli.output import print_json, warn
    from linprobe.cli.progress import progress
    from linprobe.runs.neighbors import KnnSettings, choose_and_test

    if options["folds"] is not None and given(ctx, "validation"):
        raise click.UsageError("--folds and --validation are two ways to choose k; give one of them", ctx)
    settings = KnnSettings(
        **settings_given(options),
        ks=options["ks"],
        metric=options["metric"],
        folds=options["folds"],
        possible_only=not given(ctx, "ks"),
    )
    with progress(options["quiet"] or options["as_json"]) as report:
        result = choose_and_test(
            settings,
            neighbours_of=options["neighbours_of"],
            n_threads=options["threads"],
            cache=options["cache"],
            progress=report,
        )
    warn(result.notes)
    if options["as_json"]:
        print_json(result.as_dict())
    else:
        _show(result)


def _show(result: KnnResult) -> None:
    """The result as tables."""
    from linprobe.cli.output import number, print_facts, print_table, share, trained_on

    if result.validation_accuracies:
        print_table(
            ("k", "validation accuracy"),
            [(str(k), share(accuracy)) for k, accuracy in result.validation_accuracies.items()],
            numeric=("k", "validation accuracy"),
        )
    print_facts(
        {
            "source": trained_on(result),
            "k": f"{result.k}, chosen by {result.chosen_by}; metric {result.metric}",
            "test accuracy": f"{share(result.test_accuracy)} of {result.n_test} images",
            "test split": result.test_origin,
            "seconds": f"{number(result.seconds, 3)} ({result.search})",
            **({"skipped images": str(result.skipped_images)} if result.skipped_images else {}),
        }
    )
    for picture in result.neighbours:
        print_facts({}, f"{picture.image}: {picture.class_name}")
        print_table(
            ("neighbour", "class", "distance"),
            [
                (near.name or f"training image {near.position}", near.class_name, number(near.distance, 6))
                for near in picture.neighbours
            ],
            numeric=("distance",),
        )
