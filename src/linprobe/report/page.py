"""The page: everything of a report in one HTML file, which asks nothing of a network and runs no script."""

from __future__ import annotations

import base64
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from linprobe.challenges.wilson import wilson_interval
from linprobe.choices import only_of, parameters_of
from linprobe.errors import OutputError, ParameterError
from linprobe.files import write_whole
from linprobe.report.command import command_of, grid_text
from linprobe.report.comparing import alike, comparable, duels
from linprobe.report.figures import Svg, compared_sections, sections_of, shared_bound
from linprobe.report.record import Record, read_record
from linprobe.report.words import bounded, certificate_sentence, share, trained_sentence

if TYPE_CHECKING:
    from linprobe.runs.train import Material

__all__ = ["REPORT", "write_report"]

REPORT = "report.html"
"""Name of the page in a run folder."""

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"

MOST_CLASSES = 100
"""Classes that are listed one by one; of more, those with the lowest accuracy."""

WARNED = ("diverged", "stalled", "max_iter", "separable")
"""Ends of a training that ask for something to be changed."""


def write_report(
    runs: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    cache: bool = True,
    n_threads: int | None = None,
    material: Material | None = None,
) -> Path:
    """The path of the page that was written: of one run all there is to see, of several what sets them apart.

    Args:
        runs: run folders, finished ones, of `train` or `sweep`.
        out: the file; None for report.html in the folder of one run, or comparison.html where the command is run.
        cache: whether decoded pixels that are kept are used.
        n_threads: of reading and computing.
        material: what a run that has just ended learnt from; the source of the one run is then not read again.
    Raises:
        ParameterError: no run, the same twice, or material of several runs.
        RunError, ModelFileError: a run cannot be read; a source that is gone is no error, the page says so.
        OutputError: the page cannot be written.
    """
    paths = [Path(run) for run in runs]
    if not paths:
        raise ParameterError("no run is named; give at least one run folder.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ParameterError("a run is named twice; give different ones to compare.")
    if material is not None and len(paths) > 1:
        raise ParameterError("material is given for several runs; expected one run folder with it.")
    records = [read_record(path, cache=cache, n_threads=n_threads, material=material) for path in paths]
    _tell_apart(records)
    if out is None:
        out = paths[0] / REPORT if len(paths) == 1 else Path("comparison.html")
    page = _page_of_one(records[0], n_threads) if len(records) == 1 else _page_of_several(records, n_threads)
    target = Path(out)
    try:
        # file names need not be text: what cannot be written as UTF-8 becomes a question mark
        write_whole(target, page.encode("utf-8", "replace"))
    except OSError as error:
        raise OutputError(
            f"{target}: the report cannot be written ({error.strerror}); check the folder and the space, "
            "or name another file with --out."
        ) from error
    return target


def _tell_apart(records: Sequence[Record]) -> None:
    """Give runs whose folders have one name their parents' names, too."""
    names = [record.name for record in records]
    for record in records:
        if names.count(record.name) > 1:
            record.name = str(Path(record.path.resolve().parent.name) / record.name)


def _page_of_one(record: Record, n_threads: int | None) -> str:
    metrics, settings = record.metrics, record.settings
    return _rendered(
        "report.html",
        title=record.name,
        record=record,
        metrics=metrics,
        sentence=trained_sentence(settings, metrics, _source_name(settings)),
        certificate=certificate_sentence(metrics),
        proved=bounded(metrics),
        warned=metrics["status"] in WARNED,
        accuracies=record.accuracies(),
        facts=_facts(record),
        classes=_classes(record),
        n_classes_left_out=max(0, len(record.model.class_names_) - MOST_CLASSES),
        guess=_guess(record),
        sections=sections_of(record, n_threads),
        challenges=record.challenges,
        runs=[_reproduction(record)],
        options=_options(record),
    )


def _page_of_several(records: Sequence[Record], n_threads: int | None) -> str:
    certificates = [
        (record.name, certificate_sentence(record.metrics, *shared_bound(record, records))) for record in records
    ]
    return _rendered(
        "comparison.html",
        title=f"{len(records)} runs",
        records=records,
        sentences=[
            (record.name, trained_sentence(record.settings, record.metrics, _source_name(record.settings)))
            for record in records
        ],
        certificates=certificates,
        differing=_differing(records),
        rows=_compared(records),
        comparable=comparable(records),
        duels=duels(records),
        sections=compared_sections(records, n_threads),
        runs=[_reproduction(record) for record in records],
        missing=[(record.name, text) for record in records for text in record.missing],
    )


def _rendered(template: str, **values: Any) -> str:
    """The page of a template beside this file; what is not markup of our own is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    numbers = iter(range(1, 10_000))
    environment.filters["share"] = share
    environment.filters["points"] = lambda value: f"{100.0 * value:+.1f}"
    environment.filters["svg"] = lambda picture: Markup(_inline(picture, next(numbers)))
    environment.filters["data_uri"] = lambda png: f"data:image/png;base64,{base64.b64encode(png).decode()}"
    style = Markup((here / "style.css").read_text())
    return environment.get_template(template).render(style=style, **values)


def _inline(picture: Svg, number: int) -> str:
    """The picture as an element of an HTML page: no namespaces, and no name that another picture has, too."""
    # what a font cannot draw is not always what XML may hold
    root = ElementTree.fromstring(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "\N{REPLACEMENT CHARACTER}", picture.text))
    used = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            used |= set(re.findall(r"url\(#([^)]+)\)", value))
            if name in (f"{XLINK}href", "href") and value.startswith("#"):
                used.add(value[1:])
    for parent in root.iter():
        for child in list(parent):
            styles = child.tag == f"{SVG}defs" and all(part.tag == f"{SVG}style" for part in child)
            if styles or child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)
        attributes = {name.replace(XLINK, ""): value for name, value in element.attrib.items()}
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "id" and value not in used:
                continue
            value = re.sub(r"url\(#([^)]+)\)", rf"url(#p{number}-\1)", value)
            if name == "id":
                value = f"p{number}-{value}"
            elif name == "href" and value.startswith("#"):
                value = f"#p{number}-{value[1:]}"
            element.attrib[name] = value
        if element.tail is not None:
            element.tail = element.tail.strip() or None
        if element.tag != "text" and element.text is not None:
            element.text = element.text.strip() or None
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib.update({"role": "img", "aria-label": picture.alt})
    return ElementTree.tostring(root, encoding="unicode")


def _source_name(settings: Mapping[str, Any]) -> str:
    """The last part of the source's path: the whole of it stands under "reproduce"."""
    source = str(settings["source"])
    return Path(source).name or source


def _facts(record: Record) -> list[tuple[str, str]]:
    """(name, value) of the other figures."""
    metrics = record.metrics
    facts = [("objective", _number(metrics["objective"], 6))]
    known = metrics["objective"] is not None and metrics.get("data_loss") is not None
    if known and metrics["penalty"] != "none":
        penalty = metrics["objective"] - metrics["data_loss"]
        facts[0] = (
            "objective",
            f"{metrics['objective']:.6g} = loss {metrics['data_loss']:.6g} + penalty {penalty:.4g}",
        )
    if metrics.get("test_loss") is not None:
        facts.append(("mean loss on test images", _number(metrics["test_loss"], 5)))
    if metrics.get("validation_loss") is not None:
        facts.append(("mean loss on validation images", _number(metrics["validation_loss"], 5)))
    if record.lower_bound is not None:
        facts.append(("relative gap, proved", f"{metrics['certificate']['relative_gap']:.1e}"))
    facts.append(
        ("time", f"{metrics['seconds']:.2f} s of optimisation, {metrics['passes']:.4g} passes over the images")
    )
    if metrics.get("feature_seconds"):
        facts.append(("features", f"{metrics['feature_seconds']:.1f} s"))
    chosen = metrics.get("chosen") or {}
    facts += [(f"{name.replace('_', ' ')}, chosen by itself", str(text)) for name, text in chosen.items()]
    if metrics.get("skipped_images"):
        facts.append(("pictures left out", f"{metrics['skipped_images']} that could not be read"))
    ended = str(metrics.get("status_text") or metrics["status"])
    tol = record.model.parameters()["tol"]
    facts.append(("how it ended", f"{ended}, {tol:g}" if ended.endswith("at most tol") else ended))
    return facts


def _guess(record: Record) -> tuple[str, float] | None:
    """The most frequent class of the test images, and its share: what guessing would reach."""
    if record.tested is None:
        return None
    counts = record.tested.performance.class_counts
    most = max(range(len(counts)), key=counts.__getitem__)
    return record.model.class_names_[most], counts[most] / max(1, sum(counts))


def _classes(record: Record) -> list[dict[str, Any]]:
    """Each class of the test images: name, images, accuracy with interval, and what it is most often taken for."""
    if record.tested is None:
        return []
    performance, names = record.tested.performance, record.model.class_names_
    rows: list[dict[str, Any]] = []
    for k, (n, accuracy) in enumerate(zip(performance.class_counts, performance.class_accuracy, strict=True)):
        wrong = performance.confusion[k].copy()
        wrong[k] = 0
        most = int(wrong.argmax())
        rows.append(
            {
                "name": names[k],
                "n": n,
                "accuracy": accuracy,
                "interval": wilson_interval(int(performance.confusion[k, k]), n) if n else None,
                "taken_for": f"{names[most]} ({wrong[most]})" if wrong[most] else "–",
            }
        )
    if len(rows) > MOST_CLASSES:
        rows = sorted(rows, key=lambda row: (math.isnan(row["accuracy"]), row["accuracy"]))[:MOST_CLASSES]
    return rows


def _reproduction(record: Record) -> dict[str, Any]:
    """What it takes to train the same again."""
    settings = record.settings
    words = command_of(settings)
    return {
        "name": record.name,
        "command": None if words is None else shlex.join(words),
        "facts": [
            ("run folder", str(record.path.resolve())),
            ("source", f"{settings['source']} ({settings.get('format', 'unknown format')})"),
            ("fingerprint of the data", settings.get("fingerprint") or "not recorded"),
            ("seed", str(settings.get("seed", 0))),
            ("linprobe", settings.get("linprobe_version", "not recorded")),
            ("NumPy", settings.get("numpy_version", "not recorded")),
            ("Python", settings.get("python_version", "not recorded")),
        ],
        "equivalents": [str(line) for line in record.metrics.get("equivalents") or []],
    }


def _options(record: Record) -> list[tuple[str, str]]:
    """Every setting that decides what the run gives, defaults included."""
    left_out = ("run_version", "linprobe_version", "python_version", "numpy_version", "kind", "fingerprint", "format")
    flat: dict[str, Any] = {**record.model.parameters(), **record.settings}
    for name in ("n_threads", "random_state", "validation_fraction", *left_out):
        flat.pop(name, None)
    for name in ("classifier", "feature_options"):
        flat |= flat.pop(name, None) or {}
    if record.swept:
        flat.pop("reg", None)  # the members', not the one of the model
        flat["regs"] = grid_text([float(reg) for reg in flat["regs"]])
    taken = {*parameters_of("loss", record.metrics["loss"]), *parameters_of("penalty", record.metrics["penalty"])}
    without_use = {
        "delta": "delta" not in taken,
        "beta": "beta" not in taken,
        "reg": record.metrics["penalty"] == "none",
        "validation": bool(record.settings.get("folds")),
        "folds": not record.settings.get("folds"),
        **dict.fromkeys(only_of("optimizer", "sgd"), flat.get("optimizer") != "sgd"),
        **dict.fromkeys(("max_iter", "tol"), flat.get("optimizer") == "sgd"),
    }
    for name in [name for name, useless in without_use.items() if useless]:
        flat.pop(name, None)
    return [(name, _text(value)) for name, value in sorted(flat.items())]


def _differing(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run) of those that are not the same in all runs that have a use for them."""
    options = [dict(_options(record)) for record in records]
    for record, values in zip(records, options, strict=True):
        values["kind"] = "sweep" if record.swept else "train"
        values["reg"] = _text(record.metrics["reg"])
        values["fingerprint of the data"] = str(record.settings.get("fingerprint"))[:12]
    names = sorted({name for values in options for name in values})
    table = [(name, [values.get(name, "–") for values in options]) for name in names]
    without_use = {"–"} if len({values["kind"] for values in options}) == 1 else set()
    return [(name, values) for name, values in table if len(set(values) - without_use) > 1]


def _compared(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The figures of each run, row by row; the best is marked."""
    rows: list[dict[str, Any]] = []
    measured = {
        "test": alike(records, attrgetter("test_key")),
        "validation": alike(records, attrgetter("held_out_key")),
        "train": False,
    }
    for part, same in measured.items():
        found = [next((a for a in record.accuracies() if a.part == part), None) for record in records]
        if any(found):
            values = [None if a is None else a.value for a in found]
            notes = [
                f"{share(a.interval[0])} to {share(a.interval[1])}" if a is not None and a.interval else ""
                for a in found
            ]
            best = _best(values, max) if same else []
            rows.append(
                {"name": f"{part} accuracy", "texts": [share(value) for value in values], "notes": notes, "best": best}
            )
    numbers: list[tuple[str, list[float | None], bool]] = [
        ("objective", [record.metrics["objective"] for record in records], alike(records, attrgetter("objective_key"))),
        (
            "mean loss on test images",
            [record.metrics.get("test_loss") for record in records],
            measured["test"] and alike(records, attrgetter("loss_key")),
        ),
        ("seconds of optimisation", [record.metrics.get("seconds") for record in records], False),
        ("passes over the images", [record.metrics.get("passes") for record in records], False),
    ]
    for name, found_numbers, same in numbers:
        if any(value is not None for value in found_numbers):
            best = _best(found_numbers, min) if same else []
            rows.append({"name": name, "texts": [_number(value, 5) for value in found_numbers], "best": best})
    rows.append({"name": "training images", "texts": [f"{r.metrics['n_train']:,}" for r in records], "best": []})
    rows.append({"name": "status", "texts": [str(r.metrics["status"]) for r in records], "best": []})
    return rows


def _best(values: Sequence[float | None], choose: Any) -> list[int]:
    """Positions of the best values; none where all are the same."""
    known = [value for value in values if value is not None]
    if len(set(known)) < 2:
        return []
    return [i for i, value in enumerate(values) if value == choose(known)]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
