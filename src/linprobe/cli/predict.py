"""`linprobe predict RUN_OR_MODEL IMAGE...`: the class of each picture."""

from __future__ import annotations

from pathlib import Path

import click

from linprobe.cli.options import IMAGE_SIZE, debug, json_output


@click.command(short_help="The classes of single pictures, the best first.")
@click.argument("model", metavar="RUN_OR_MODEL", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
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
    type=IMAGE_SIZE,
    metavar="HxW",
    help="Resize every picture to this height and width.  [default: as in the training, which may be not at all]",
)
@json_output
@debug
def predict(model: Path, images: tuple[Path, ...], top: int, image_size: tuple[int, int] | None, as_json: bool) -> None:
    """The classes that RUN_OR_MODEL gives each IMAGE, the best first.

    With the softmax loss the figure is a probability, 0..1; with a hinge loss it is the score s = Wx + b, of which
    only differences mean anything: delta is the required margin.
    """
    from linprobe.cli.output import print_json, print_table, share
    from linprobe.runs.prediction import predict_pictures

    predictions = predict_pictures(model, images, image_size=image_size)
    if as_json:
        print_json({"model": str(model), "images": [p.as_dict(top) for p in predictions]})
        return
    kind = "probability" if predictions[0].probabilities is not None else "score"
    rows = []
    for prediction in predictions:
        for rank, (name, figure) in enumerate(prediction.best(top)):
            rows.append((str(prediction.image) if rank == 0 else "", name, share(figure)))
    print_table(("image", "class", kind), rows, numeric=(kind,))
