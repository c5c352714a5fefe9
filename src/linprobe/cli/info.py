"""`linprobe info SOURCE_OR_MODEL`: what a source or a model holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from linprobe.cli.options import debug, json_output, reading, threads


@click.command()
@click.argument("what", metavar="SOURCE_OR_MODEL")
@reading
@threads
@json_output
@debug
def info(what: str, as_json: bool, **options: Any) -> None:
    """What SOURCE_OR_MODEL is: format, image shape, classes and counts; or shapes and settings of a model.

    A model is a run folder or a model.safetensors; anything else is read as a source of images.
    """
    from linprobe.cli.output import print_facts, print_json, print_table

    path = Path(what)
    if path.suffix == ".safetensors" or (path / "settings.json").is_file():
        record = _model(path)
    else:
        record = _source(what, as_json, options)
    if as_json:
        print_json(record)
        return
    tables = {name: value for name, value in record.items() if isinstance(value, dict)}
    print_facts({name.replace("_", " "): _text(value) for name, value in record.items() if name not in tables})
    for name, table in tables.items():
        rows = [(str(key), _text(value)) for key, value in table.items()]
        print_table((name.replace("_", " "), ""), rows)


def _model(path: Path) -> dict[str, Any]:
    """The record of a model file, or of the model of a run folder."""
    from linprobe.classifiers.model_file import load_model
    from linprobe.runs.models import model_file_of

    file = model_file_of(path)
    classifier = load_model(file)
    return {
        "kind": "model",
        "model": str(file),
        "image_shape": classifier.image_shape_,
        "n_features": classifier.weights_.shape[1],
        "n_classes": classifier.weights_.shape[0],
        "n_parameters": classifier.weights_.size + classifier.bias_.size,
        "zero_weights": int((classifier.weights_ == 0).sum()),
        "status": classifier.status_.value,
        "classes": dict(enumerate(classifier.class_names_)),
        "settings": {name: value for name, value in classifier.get_params().items() if value is not None},
        "trained_with": classifier.extra_,
    }


def _source(source: str, quiet: bool, options: dict[str, Any]) -> dict[str, Any]:
    """The record of a source of images or vectors."""
    import numpy as np

    from linprobe.cli.output import progress
    from linprobe.data.base import ReadOptions, open_dataset

    with progress(quiet) as report:
        dataset = open_dataset(
            source,
            ReadOptions(
                image_size=options["image_size"],
                on_bad_image=options["on_bad_image"],
                cache=options["cache"],
                n_threads=options["threads"],
                progress=report,
            ),
        )
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    there = {name: part for name, part in splits.items() if part is not None}
    K = len(dataset.class_names)
    counts = {name: np.bincount(part.y, minlength=K).tolist() for name, part in there.items()}
    return {
        "kind": "source",
        "source": dataset.source,
        "format": dataset.format,
        "image_shape": dataset.image_shape,
        "n_features": dataset.train.X.shape[1],
        "dtype": str(dataset.train.X.dtype),
        "n_classes": K,
        "n_images": {name: part.n_images for name, part in there.items()},
        "classes": {
            class_name: {name: counts[name][k] for name in there} for k, class_name in enumerate(dataset.class_names)
        },
        "skipped_images": len(dataset.skipped),
        "fingerprint": dataset.fingerprint,
    }


def _text(value: Any) -> str:
    """`value` for a table: shapes as 32x32x3, counts by split as train 10, test 2."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return "x".join(map(str, value))
    return "-" if value is None or value == "" else str(value)
