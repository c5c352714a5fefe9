"""`linprobe info SOURCE_OR_MODEL`: what a source or a model holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from linprobe.cli.options import Options, debug, json_output, reading, reading_given, threads
from linprobe.plain import shell_word
from linprobe.printed import bound_text, gap_text, number_text, objective_text, share_text
from linprobe.wording import in_options

SHOWN = 20
"""Items of a list, at most, that are shown; --json has all."""


@click.command(short_help="What a source or a model holds.")
@click.argument("what", metavar="SOURCE_OR_MODEL")
@reading
@threads
@json_output
@debug
def info(what: str, as_json: bool, **options: Any) -> None:
    """What SOURCE_OR_MODEL is: format, image shape, classes and counts; or shapes and settings of a model.

    A model is a model.safetensors or a run folder; anything else is read as a source of images.
    """
    from linprobe.cli.output import print_facts, print_json, warn

    path = Path(what)
    if (path / "settings.json").is_file():
        record = _run(path)
    elif path.suffix == ".safetensors":
        record = _model(path)
    else:
        record, notes = _source(what, as_json, options)
        warn(notes)
    if as_json:
        print_json(record)
        return
    tables = {name: value for name, value in record.items() if isinstance(value, dict)}
    print_facts({_words(name): _shown(value, name) for name, value in record.items() if name not in tables})
    for name, table in tables.items():
        print_facts({str(key): _shown(value, str(key)) for key, value in table.items()}, title=_words(name))


def _run(path: Path) -> dict[str, object]:
    """What a run folder holds: its model too, if it is finished."""
    from linprobe.cli.words import figures
    from linprobe.optimizers.registry import OPTIMIZERS
    from linprobe.runs.folder import RunFolder
    from linprobe.runs.records import SweepSettings, as_json

    run = RunFolder.open(path)
    if run.finished:
        result = figures(run.metrics())
        said = {"kind": "run", "run": str(path), "status": result["status_text"], "finished": True}
        return {**_model(run.model_path), **said, "result": result}
    settings = run.settings()
    request = settings.request
    if isinstance(request, SweepSettings):
        done = {"parts_done": len(run.read_parts())}
        if request.rate_grid is not None:
            cells = range(1, len(request.rate_grid.cells) + 1)
            done["sgd_runs_begun"] = sum(bool(run.read_cell(number).rungs) for number in cells)
    else:
        progress, unit = run.read_progress(), OPTIMIZERS[str(settings.parameter("optimizer"))].unit
        done = {f"{unit}s_done": 0 if progress is None else progress[1].epoch}
    return {
        "kind": "run",
        "run": str(path),
        "finished": False,
        **done,
        "next": f"linprobe {settings.request.kind} --resume {shell_word(path)}",
        "settings": as_json(settings),
    }


def _model(path: Path) -> dict[str, object]:
    """What a model file holds."""
    from linprobe.classifiers.model_file import read_model
    from linprobe.runs.models import picture_shape

    classifier = read_model(path)
    return {
        "kind": "model",
        "model": str(path),
        "image_shape": picture_shape(classifier),
        "n_features": classifier.weights_.shape[1],
        "n_classes": classifier.weights_.shape[0],
        "n_parameters": classifier.weights_.size + classifier.bias_.size,
        "zero_weights": int((classifier.weights_ == 0).sum()),
        "class_names": list(classifier.class_names_),
        "status": in_options(classifier.status_.value),
        "settings": {name: value for name, value in classifier.parameters().items() if value is not None},
        "trained_with": classifier.extra_,
    }


def _source(source: str, quiet: bool, options: Options) -> tuple[dict[str, object], tuple[str, ...]]:
    """What a source of images or vectors holds, and what its reader has to say."""
    import numpy as np

    from linprobe.cli.progress import progress
    from linprobe.data.base import ReadOptions, open_dataset

    with progress(quiet) as report:
        dataset = open_dataset(
            source,
            ReadOptions(
                **reading_given(options),
                progress=report,
            ),
        )
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    there = {name: part for name, part in splits.items() if part is not None}
    K = len(dataset.class_names)
    counts = {name: np.bincount(part.y, minlength=K).tolist() for name, part in there.items()}
    record = {
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
        **({"notes": list(dataset.notes)} if dataset.notes else {}),
    }
    return record, dataset.notes


def _words(name: str) -> str:
    """A key as a person would write it."""
    return {"n_features": "features", "n_classes": "classes", "n_images": "images", "n_parameters": "parameters"}.get(
        name, name.replace("_", " ")
    )


def _shown(value: object, name: str) -> str | list[str]:
    """`value` for a table: sentences, or names with blanks, one below the other; all else as `_text`."""
    if name == "cells" and isinstance(value, list):
        return f"{len(value)} runs of SGD; --json has their figures"
    if name == "grid" and isinstance(value, list) and value:
        return f"{len(value)} values of reg, {value[0]['reg']:.3g} to {value[-1]['reg']:.3g}; --json has their figures"
    if isinstance(value, list | tuple) and any(isinstance(item, str) and " " in item for item in value):
        more = [f"and {len(value) - SHOWN} more"] if len(value) > SHOWN else []
        return [str(item) for item in value[:SHOWN]] + more
    return _text(value, name)


TEXTS: Mapping[str, Callable[[float], str]] = {
    **dict.fromkeys(("objective", "data_loss"), objective_text),
    **dict.fromkeys(("train_accuracy", "validation_accuracy", "test_accuracy"), share_text),
    **dict.fromkeys(("gap", "relative_gap"), gap_text),
    "lower_bound": bound_text,
}
"""How figures are printed, by their names: as all other commands do."""


def _text(value: object, name: str = "") -> str:
    """`value` in one line: shapes as 32x32x3, counts by split as train 10, test 2, the first of many names."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item, key)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        if all(isinstance(item, int) for item in value):
            return "x".join(map(str, value))
        more = f" and {len(value) - SHOWN} more" if len(value) > SHOWN else ""
        return ", ".join(str(item) for item in value[:SHOWN]) + more
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return TEXTS[name](value) if name in TEXTS else number_text(value, 6)
    return "-" if value is None or value == "" else str(value)
