"""`linprobe predict RUN_OR_MODEL IMAGE_OR_FOLDER...`: the class of each picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linprobe.cli.kinds import ImageSize
from linprobe.cli.options import bad_image_option, debug, json_output, quiet, threads

if TYPE_CHECKING:
    from linprobe.runs.prediction import Prediction


@click.command(short_help="The classes of pictures, the best first.")
@click.argument("model", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE_OR_FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="Classes shown for each picture.",
)
@click.option(
    "--image-size",
    type=ImageSize(),
    metavar="HxW",
    help="Resize every picture to this height and width.  [default: as in the training, which may be not at all]",
)
@bad_image_option("skip")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write all scores to this file instead of a table: FILE.csv, a row per picture, or FILE.jsonl, an object per "
    "line.",
)
@threads
@quiet
@json_output
@debug
def predict(model: Path, images: tuple[Path, ...], **options: Any) -> None:
    """The classes that RUN_OR_MODEL gives each picture, the best first.

    A folder stands for all pictures in it and below it. With the softmax loss the figure is a probability, 0..1; with
    a hinge loss it is the score s = Wx + b, of which only differences mean anything: delta is the required margin.
    """
    from linprobe.cli.output import print_facts, print_json, warn
    from linprobe.cli.progress import progress
    from linprobe.runs.prediction import check_table_name, pictures_in, predict_pictures, write_predictions

    top, out = options["top"], options["out"]
    if out is not None:
        check_table_name(out)  # before the work
    with progress(options["quiet"] or options["as_json"]) as report:
        found = predict_pictures(
            model,
            pictures_in(images),
            image_size=options["image_size"],
            on_bad_image=options["on_bad_image"],
            n_threads=options["threads"],
            progress=report,
        )
    warn(found.notes)
    if out is not None:
        write_predictions(out, found)
    if options["as_json"]:
        skipped = [{"image": one.name, "reason": one.reason} for one in found.skipped]
        print_json({"model": str(model), "images": [p.as_dict(top) for p in found.predictions], "skipped": skipped})
    elif out is not None:
        print_facts({"pictures": str(len(found.predictions)), "left out": str(len(found.skipped)), "written": str(out)})
    else:
        _show(found.predictions, top)


def _show(predictions: tuple[Prediction, ...], top: int) -> None:
    """The best classes of each picture as a table."""
    from linprobe.cli.output import print_table

    kind = "probability" if predictions[0].probabilities is not None else "score"
    text = _probability if kind == "probability" else "{:z.4f}".format
    rows = []
    for prediction in predictions:
        for rank, (name, figure) in enumerate(prediction.best(top)):
            rows.append((str(prediction.image) if rank == 0 else "", name, text(figure)))
    print_table(("image", "class", kind), rows, numeric=(kind,))


def _probability(value: float) -> str:
    """A probability with four decimals, which is called 0 or 1 only where it is."""
    text = f"{value:.4f}"
    if text == "0.0000" and value > 0.0:
        return "<0.0001"
    return ">0.9999" if text == "1.0000" and value < 1.0 else text
