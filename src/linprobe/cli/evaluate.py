"""`linprobe evaluate RUN_OR_MODEL SOURCE`: accuracy and confusions of a model on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linprobe.cli.options import debug, json_output, reading, reading_given, threads

if TYPE_CHECKING:
    from linprobe.runs.evaluation import Performance

SHOWN_CLASSES = 20
"""Classes, at most, whose confusion table is shown: a larger one does not fit a terminal; --json has it."""


@click.command(short_help="Accuracy, class by class, and the confusions.")
@click.argument("model", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path))
@click.argument("source")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test", "all"]),
    default="test",
    show_default=True,
    help="Which images. A source without a test split gives the same 20% for the test as in training (see --seed).",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    help="Of the split, where the source has none of its own.  [default: that of the training]",
)
@reading
@threads
@json_output
@debug
def evaluate(model: Path, source: str, **options: Any) -> None:
    """Accuracy, by class, and the confusions, on one split of SOURCE.

    RUN_OR_MODEL is a run folder or a model.safetensors. The classes of SOURCE are matched with those of the model by
    name; its pictures must have the size of the training (they are resized if those of the training were).
    """
    from linprobe.cli.output import print_json
    from linprobe.cli.progress import progress
    from linprobe.runs.evaluation import evaluate_source

    with progress(options["as_json"]) as report:
        performance = evaluate_source(
            model,
            source,
            split=options["split"],
            seed=options["seed"],
            **reading_given(options),
            progress=report,
        )
    if options["as_json"]:
        print_json(
            {
                "model": str(model),
                "source": source,
                "split": options["split"],
                "n_images": performance.n_images,
                "accuracy": performance.accuracy,
                "loss": performance.loss,
                "classes": [
                    {"name": name, "n_images": count, "accuracy": accuracy}
                    for name, count, accuracy in zip(
                        performance.class_names,
                        performance.class_counts,
                        performance.class_accuracy,
                        strict=True,
                    )
                ],
                "confusion": performance.confusion,
            }
        )
    else:
        _show(performance)


def _show(performance: Performance) -> None:
    """The result as tables: the figures, the classes, and for few classes the confusions."""
    from linprobe.cli.output import number, print_facts, print_table, share

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
            "images": str(performance.n_images),
            "accuracy": share(performance.accuracy),
            "loss": number(performance.loss, 6),
        }
    )
