"""Targets: model files, run folders and entries of the cache."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import load

from linprobe.classifiers import model_file
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.rate_selection import CellProgress
from linprobe.data import cache as pixel_cache
from linprobe.data.base import EmbeddingSet, ImageSet
from linprobe.errors import LinprobeError
from linprobe.features.base import Supervision
from linprobe.features.parse import feature_map
from linprobe.lab.protocol import encode
from linprobe.lab.run_list import list_runs, trace_of
from linprobe.runs.folder import RunFolder
from linprobe.runs.models import picture_shape, reading_of, scores_of_pictures
from linprobe.runs.records import SweepSettings, TrainSettings, read_challenges
from linprobe.runs.sweep import resume_sweep, sweep
from linprobe.runs.train import resume, train

from .cases import Target
from .mutations import mutated_bytes, mutated_json, mutated_value

PICTURES = np.random.default_rng(1).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3
CLASSES = ("a", "b", "c")

MOST_PIXELS = 2**20
"""Pixels of a picture that a model is applied to once it was read, at most."""


def model_bytes(spec: str | None) -> bytes:
    """A model file of pictures, or of the features `spec` of them."""
    model = LinearModel(max_iter=3)
    rows: Any = ImageSet(PICTURES, LABELS, CLASSES, "fuzz")
    if spec is not None:
        options: dict[str, Any] = {"patches": {"patches": 4}, "net": {"net_width": 1, "net_epochs": 1}}.get(spec, {})
        supervision = Supervision(LABELS, len(CLASSES), n_threads=1)
        model.features_ = feature_map(spec, mirror="color" in spec, **options).fit(PICTURES, 0, supervision)
        rows = EmbeddingSet(model.features_.transform(PICTURES), LABELS, CLASSES, "fuzz")
    model.fit_sets(rows)
    return model_file.model_bytes(model, {"seed": 0, "validation": 0.1, "image_size": [16, 16]})


def tensors_of(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a valid safetensors file."""
    length = int.from_bytes(content[:8], "little")
    return dict(load(content)), json.loads(content[8 : 8 + length]).get("__metadata__", {})


def saved(tensors: dict[str, np.ndarray], notes: dict[str, str]) -> bytes:
    """A safetensors file; the library itself writes its metadata in any order."""
    header: dict[str, Any] = {"__metadata__": notes} if notes else {}
    at = 0
    for name, tensor in sorted(tensors.items()):
        header[name] = {"dtype": TYPES[tensor.dtype.str[1:]], "shape": list(tensor.shape)}
        header[name]["data_offsets"] = [at, at + tensor.nbytes]
        at += tensor.nbytes
    text = json.dumps(header).encode()
    content = b"".join(np.ascontiguousarray(tensor).tobytes() for _, tensor in sorted(tensors.items()))
    return len(text).to_bytes(8, "little") + text + content


TYPES = {"f2": "F16", "f4": "F32", "f8": "F64", "i8": "I64", "u1": "U8", "b1": "BOOL"}
"""dtypes of NumPy, as safetensors calls them."""


def mutate_tensors(tensors: dict[str, np.ndarray], chance: random.Random) -> None:
    """Changes one tensor in place: its shape, its type, its numbers, its name, or whether it is there."""
    name = chance.choice(sorted(tensors))
    tensor = tensors[name]
    match chance.randrange(9):
        case 0:
            del tensors[name]
        case 1:
            tensors[chance.choice(("W", "b", "x" * 60, "", "features.", name + "2"))] = tensors.pop(name)
        case 2:
            tensors[name] = tensor.astype(chance.choice((np.float16, np.float32, np.float64, np.int64, np.uint8, bool)))
        case 3:
            tensors[name] = tensor.reshape(chance.choice(((-1,), (1, *tensor.shape), (*tensor.shape, 1))))
        case 4:
            tensors[name] = np.ascontiguousarray(tensor[: chance.choice((0, 1, len(tensor) // 2))])
        case 5:
            tensors[name] = np.ascontiguousarray(tensor.T) if tensor.ndim > 1 else tensor[:1]
        case 6:
            tensors[name] = np.zeros(chance.choice(((), (0,), (2**40, 0), (1, 1), (3, 5, 7))), tensor.dtype)
        case _:
            tensor = tensor.copy()
            flat = tensor.reshape(-1)
            if len(flat):
                flat[chance.randrange(len(flat))] = (
                    chance.choice((0, 1, 255))
                    if tensor.dtype.kind in "ui"
                    else (chance.choice((np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30)))
                )
            tensors[name] = tensor


def mutated_model(content: bytes, chance: random.Random) -> bytes:
    """Mutates the bytes of a model file, or its parts; the checksum of the parts is right again."""
    if chance.random() < 0.2:
        return mutated_bytes(content, chance)
    tensors, notes = tensors_of(content)
    record = json.loads(notes["linprobe"])
    if chance.random() < 0.3:
        mutate_tensors(tensors, chance)
    else:
        part = chance.choice((record, record, record["settings"], record["features"] or record, record["classes"]))
        changed = mutated_value(part, chance)
        record = record if isinstance(record, dict) and changed is part else {**record, "extra": changed}
    record.pop("sha256", None)
    record["sha256"] = model_file._digest(tensors, json.loads(json.dumps(record)))
    return saved(tensors, {"linprobe": json.dumps(record, sort_keys=True)})


def play_model(folder: Path, content: bytes) -> int:
    """Reads a model, and applies it to a picture of its size."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    model = model_file.read_model(path)
    reading_of(model, path)
    shape = picture_shape(model)
    if shape is not None and np.prod(shape, dtype=float) <= MOST_PIXELS:
        scores_of_pictures(model, np.zeros((2, *shape), np.uint8), 1)
    json.dumps([*model.class_names_, str(model.classes_), repr(model.certificate_)])
    return len(content) * 4


@cache
def run_files(swept: bool) -> dict[str, bytes]:
    """The files of a finished run."""
    with TemporaryDirectory() as name:
        path = Path(name) / "run"
        if swept:
            sweep(SweepSettings("planar:quadrants", (1e-2, 1e-1), {"max_iter": 5}, folds=2), out=path, n_threads=1)
        else:
            classifier = {"optimizer": "sgd", "epochs": 2, "batch_size": 400}
            train(TrainSettings("planar:spiral", classifier, validation=0.1), out=path, n_threads=1)
        files = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file() and file.name != ".lock"}
    cells = [{"challenge": "occlusion", "kind": "square", "severity": s, "accuracy": 0.5} for s in range(1, 6)]
    files["challenges.json"] = json.dumps({"n_images": 9, "clean": {"accuracy": 0.5}, "cells": cells}).encode()
    return files


@cache
def exact_files() -> dict[str, bytes]:
    """The files of a run of exact optimisation that was stopped at a checkpoint."""
    with TemporaryDirectory() as name:
        path = Path(name) / "run"
        train(TrainSettings("planar:three-modes", {"max_iter": 6, "tol": 1e-9}), out=path, n_threads=1)
        return {
            f.name: f.read_bytes() for f in path.iterdir() if f.is_file() and f.name not in (".lock", "metrics.json")
        }


@cache
def rate_files() -> dict[str, bytes]:
    """The files of a sweep over learning rates that was stopped while its second cell was continued."""

    def stop(progress: CellProgress) -> None:
        if progress.until == 4:
            raise KeyboardInterrupt

    with TemporaryDirectory() as name:
        path = Path(name) / "run"
        grid = {"learning_rates": (1e-9, 0.1), "schedules": ("step",), "updates": ("adam",), "halving": True}
        classifier = {"optimizer": "sgd", "epochs": 4, "batch_size": 400}
        with contextlib.suppress(KeyboardInterrupt):
            wanted = SweepSettings("planar:quadrants", (1e-2,), classifier, **grid)
            sweep(wanted, out=path, n_threads=1, training=stop)
        return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file() and file.name != ".lock"}


def mutated_file(content: bytes, chance: random.Random) -> bytes:
    """Mutates a file of a run by its kind."""
    if content[:1] == b"{":
        return mutated_json(json.loads(content), chance).encode("utf-8", "surrogatepass")
    if content[8:9] != b"{" or chance.random() < 0.2:
        return mutated_bytes(content, chance)
    tensors, notes = tensors_of(content)
    if chance.random() < 0.6 or not notes:
        mutate_tensors(tensors, chance)
    else:
        name = chance.choice(sorted(notes))
        if notes[name][:1] == "{":
            notes[name] = mutated_json(json.loads(notes[name]), chance).encode("utf-8", "replace").decode()
        else:
            notes[name] = chance.choice(("99999999999", "-1", "1" * 5000, "", "x", "٣", "1e3", "0", "1"))
    return saved(tensors, notes)


def run_target(name: str, file: str, files: Callable[[], dict[str, bytes]], *, resumed: bool = False) -> Target:
    """A target that mutates one file of a run and reads all of the run."""

    def play(folder: Path, content: bytes) -> int:
        path = folder / "run"
        path.mkdir()
        for other, good in files().items():
            (path / other).write_bytes(content if other == file else good)
        run = RunFolder(path)
        steps: list[Callable[[], object]] = [
            lambda: RunFolder.open(path), run.settings, run.read_trace, run.read_progress, run.read_path,
            run.read_parts, lambda: trace_of(run), lambda: model_file.read_model(path),
        ]  # fmt: skip
        if (path / "metrics.json").exists():
            steps += [run.metrics, lambda: read_challenges(path / "challenges.json")]
        if resumed:
            (path / "metrics.json").unlink(missing_ok=True)
            again = resume_sweep if any("cell-" in other for other in files()) else resume
            steps.append(lambda: again(path, n_threads=1, cache=False))
        refusals = []
        for step in steps:
            try:
                step()
            except LinprobeError as error:
                refusals.append(error)
        encode({"runs": list_runs(folder)})
        if refusal := next((error for error in refusals if file in str(error)), None):
            raise refusal
        return len(content) * 4

    return Target(name, lambda: (files()[file],), mutated_file, play)


@cache
def cache_entry() -> dict[str, bytes]:
    """The files of an entry of the cache."""
    with TemporaryDirectory() as name, pixel_cache_in(Path(name)):
        with pixel_cache.Filling.start("0" * 64) as filling:
            stored = filling.allocate(PICTURES.shape)
            stored[:] = PICTURES
            names = tuple(f"{i}.png" for i in range(12))
            filling.finish(pixel_cache.Decoded(stored, LABELS, names, CLASSES, (("train", 12),), ()), stored)
        return {file.name: file.read_bytes() for file in (Path(name) / ("0" * 64)).iterdir()}


class pixel_cache_in:
    """Has the cache of pixels in another folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        self.before = pixel_cache.cache_folder
        pixel_cache.cache_folder = lambda: self.folder

    def __exit__(self, *_: object) -> None:
        pixel_cache.cache_folder = self.before


def cache_target(file: str) -> Target:
    """A target that mutates one file of an entry of the cache, which is read or counts as missing."""

    def play(folder: Path, content: bytes) -> int:
        entry = folder / ("0" * 64)
        entry.mkdir()
        for other, good in cache_entry().items():
            (entry / other).write_bytes(content if other == file else good)
        with pixel_cache_in(folder):
            found = pixel_cache.load("0" * 64)
        return 0 if found is None else found.pixels.nbytes

    return Target(f"cache {file}", lambda: (cache_entry()[file],), mutated_file, play)


def targets() -> list[Target]:
    """Models, runs and the cache."""
    specs = [None, "hog", "color", "patches", "hog/2+color"]
    if importlib.util.find_spec("torch") is not None:
        specs.append("net")
    trained, swept = (lambda: run_files(False)), (lambda: run_files(True))
    return [
        Target("model", lambda: tuple(map(model_bytes, specs)), mutated_model, play_model),
        *(run_target(f"run {file}", file, trained) for file in ("settings.json", "metrics.json", "challenges.json")),
        *(run_target(f"sweep {file}", file, swept) for file in
          ("settings.json", "metrics.json", "part-1.json", "path.safetensors")),
        run_target("run trace.csv", "trace.csv", trained, resumed=True),
        run_target("run checkpoint", "checkpoint.safetensors", trained, resumed=True),
        run_target("rates settings.json", "settings.json", rate_files),
        *(run_target(f"rates {file}", file, rate_files, resumed=True) for file in
          ("part-1.json", "cell-2.json", "cell-2.safetensors")),
        run_target("exact checkpoint", "checkpoint.safetensors", exact_files, resumed=True),
        *map(cache_target, ("entry.json", "labels.npy", "pixels.npy")),
    ]  # fmt: skip
