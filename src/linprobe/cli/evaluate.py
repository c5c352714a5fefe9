"""`linprobe evaluate RUN_OR_MODEL SOURCE`: accuracy and confusions of a model on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linprobe.cli.options import model_and_source, reading_given

if TYPE_CHECKING:
    from linprobe.runs.evaluation import Evaluation

SHOWN_CLASSES = 20
"""Classes, at most, whose confusion table is shown: a larger one does not fit a terminal; --confusion writes it."""


@click.command(short_help="Accuracy, class by class, and the confusions.")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Which images. The source of the training is split as it was then. Of another source, images that the model "
    "was trained on are left out.  [default: test; all of another source that has no test split]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    help="Draw a test split with this seed, where the source has none.  [default: as in the training]",
)
@click.option(
    "--confusion",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the confusion matrix to this CSV file: a row for each class, a column for each class it is taken for.",
)
@model_and_source
def evaluate(model: Path, source: str, **options: Any) -> None:
    """Accuracy, by class, and the confusions, on images of SOURCE that the model was not trained on.

    RUN_OR_MODEL is a run folder or a model.safetensors. The classes of SOURCE are matched with those of the model by
    name; its pictures must have the size of the training (they are resized if those of the training were). Grey and
    colour are converted as the model needs them.
    """
    from linprobe.cli.output import print_json, warn
    from linprobe.cli.progress import progress
    from linprobe.runs.evaluation import evaluate_source, write_confusion

    with progress(options["as_json"]) as report:
        evaluation = evaluate_source(
            model,
            source,
            split=options["split"],
            seed=options["seed"],
            **reading_given(options),
            progress=report,
        )
    warn(evaluation.tested.notes)
    if options["confusion"] is not None:
        write_confusion(options["confusion"], evaluation.performance)
    if options["as_json"]:
        print_json({"model": str(model), "source": source, **evaluation.as_dict()})
    else:
        _show(evaluation)


def _show(evaluation: Evaluation) -> None:
    """The result as tables: the figures, the classes, and for few classes the confusions."""
    from linprobe.challenges.wilson import Rate
    from linprobe.cli.output import number, print_facts, print_table, share, tested_facts
    from linprobe.cli.words import interval

    performance = evaluation.performance
    names, confusion = performance.class_names, performance.confusion
    rows = []
    for k, (name, count, accuracy) in enumerate(
        zip(names, performance.class_counts, performance.class_accuracy, strict=True)
    ):
        mistaken = confusion[k].copy()
        mistaken[k] = 0
        most = f"{names[mistaken.argmax()]} ({mistaken.max()})" if mistaken.any() else "-"
        rows.append((name, str(count), share(accuracy), most))
    print_table(("class", "images", "accuracy", "most often taken for"), rows, numeric=("images", "accuracy"))
    if len(names) <= SHOWN_CLASSES:
        counts = [(name, *(str(count) for count in row)) for name, row in zip(names, confusion, strict=True)]
        print_table(("is \\ taken for", *names), counts, numeric=names)
    print_facts(
        {
            **tested_facts(evaluation.tested, performance.n_images),
            "accuracy": interval(Rate(round(performance.accuracy * performance.n_images), performance.n_images)),
            "loss": number(performance.loss, 6),
        }
    )
