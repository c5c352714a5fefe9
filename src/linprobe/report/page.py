"""The page: a report as one HTML file, which needs no network and runs no script."""

from __future__ import annotations

import base64
import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from linprobe.challenges.wilson import wilson_interval
from linprobe.classifiers.model import BAD_ENDS
from linprobe.errors import OutputError, ParameterError
from linprobe.files import unwritten, write_whole
from linprobe.printed import gap_text, number_text, objective_text, points_text
from linprobe.report.command import command_of, grid_text, without_use
from linprobe.report.comparing import alike, comparable, duels
from linprobe.report.figures import Svg, compared_sections, sections_of, shared_bound
from linprobe.report.record import Record, read_record, record_of
from linprobe.report.words import certificate_sentence, share, trained_sentence
from linprobe.runs.records import OF_RATES, SweepSettings
from linprobe.runs.result import RunResult
from linprobe.wording import in_words

__all__ = ["REPORT", "write_report"]

REPORT = "report.html"
"""Name of the page in a run folder."""

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
"""Namespaces in the names of elements and attributes."""

MOST_CLASSES = 100
"""Classes that are listed one by one; of more, those with the lowest accuracy."""


@dataclass(frozen=True)
class ClassRow:
    """A class of the test images.

    Attributes:
        name: of the class.
        n: its images.
        accuracy: share of them classified correctly; NaN without images.
        interval: of 95%; None without images.
        taken_for: the class they are most often taken for, with the number of images.
    """

    name: str
    n: int
    accuracy: float
    interval: tuple[float, float] | None
    taken_for: str


@dataclass(frozen=True)
class Reproduction:
    """What it takes to train the same again.

    Attributes:
        name: of the run.
        command: a line for the shell; None where no command line can request the settings.
        facts: (name, value) of folder, data and versions.
        equivalents: how other tools write the same objective.
    """

    name: str
    command: str | None
    facts: Sequence[tuple[str, str]]
    equivalents: Sequence[str]


@dataclass(frozen=True)
class ComparedRow:
    """A figure of several runs.

    Attributes:
        name: of the figure.
        texts: its value in each run.
        best: positions of the best values; empty where the runs cannot be compared.
        notes: a line below each value, or none at all.
    """

    name: str
    texts: Sequence[str]
    best: Sequence[int] = ()
    notes: Sequence[str] = ()


def write_report(
    runs: Sequence[str | Path | RunResult],
    out: str | Path | None = None,
    *,
    cache: bool = True,
    n_threads: int | None = None,
) -> Path:
    """The path of the page that was written: of one run everything, of several what differs between them.

    Args:
        runs: folders of finished runs of `train` or `sweep`, or their results: of a result nothing is read again.
        out: the file; None for report.html in the folder of one run, or comparison.html in the current folder.
        cache: whether decoded pixels that are kept are used.
        n_threads: of reading and computing.
    Raises:
        ParameterError: no run, or the same twice.
        RunError, ModelFileError: a run cannot be read; a source that is gone is no error, the page says so.
        OutputError: the page cannot be written.
    """
    paths = [run.path if isinstance(run, RunResult) else Path(run) for run in runs]
    if not paths:
        raise ParameterError("no run is named; give at least one run folder.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ParameterError("a run is named twice; give different ones to compare.")
    records = [
        record_of(run, n_threads=n_threads)
        if isinstance(run, RunResult)
        else read_record(Path(run), cache=cache, n_threads=n_threads)
        for run in runs
    ]
    _tell_apart(records)
    if out is None:
        out = paths[0] / REPORT if len(paths) == 1 else Path("comparison.html")
    page = _page_of_one(records[0], n_threads) if len(records) == 1 else _page_of_several(records, n_threads)
    target = Path(out)
    try:
        # file names need not be valid text: what UTF-8 cannot encode becomes a question mark
        write_whole(target, page.encode("utf-8", "replace"))
    except OSError as error:
        next_step = "run the command again, or name another file with --out"
        raise OutputError(unwritten(target, error, next_step, "the report")) from error
    return target


def _tell_apart(records: Sequence[Record]) -> None:
    """Add the name of the parent folder where two runs have the same name."""
    names = [record.name for record in records]
    for record in records:
        if names.count(record.name) > 1:
            record.name = str(Path(record.path.resolve().parent.name) / record.name)


def _page_of_one(record: Record, n_threads: int | None) -> str:
    metrics = record.metrics
    return _rendered(
        "report.html",
        title=record.name,
        record=record,
        metrics=metrics,
        sentence=_sentence(record),
        certificate=certificate_sentence(metrics),
        proved=metrics.bounded,
        warned=metrics.status in BAD_ENDS,
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
        sentences=[(record.name, _sentence(record)) for record in records],
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
    """The page of a template in this folder; all values but our own markup are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    numbers = iter(range(1, 10_000))
    environment.filters["share"] = share
    environment.filters["points"] = points_text
    environment.filters["svg"] = lambda picture: Markup(_inline(picture, next(numbers)))
    environment.filters["data_uri"] = lambda png: f"data:image/png;base64,{base64.b64encode(png).decode()}"
    style = Markup((here / "style.css").read_text())
    return environment.get_template(template).render(style=style, **values)


def _inline(picture: Svg, number: int) -> str:
    """The picture as an element of an HTML page, without namespaces, its ids unique on the page."""
    # XML allows no control characters
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


def _sentence(record: Record) -> str:
    """What was trained, and how; of the source the last part of its path: the whole stands under "reproduce"."""
    source = record.settings.request.source
    return trained_sentence(record.settings, record.metrics, Path(source).name or source)


def _facts(record: Record) -> list[tuple[str, str]]:
    """(name, value) of the other figures."""
    metrics = record.metrics
    objective, data_loss = metrics.objective, metrics.data_loss
    text = objective_text(objective, "–")
    if objective is not None and data_loss is not None and metrics.penalty != "none":
        text += f" = loss {objective_text(data_loss)} + penalty {_number(_penalised(record), 4)}"
    facts = [("test split", metrics.test_origin)] if metrics.test_origin else []
    facts.append(("objective", text))
    for name, loss in (("test", metrics.test_loss), ("validation", metrics.validation_loss)):
        if loss is not None:
            facts.append((f"mean loss on {name} images", _number(loss, 5)))
    if metrics.certificate is not None and metrics.bounded:
        facts.append(("relative gap, proved", gap_text(metrics.certificate.relative_gap)))
    what = "in all" if record.swept else "of optimisation"
    facts.append(("time", f"{metrics.seconds:.2f} s {what}, {metrics.passes:.4g} passes over the images"))
    if metrics.feature_seconds:
        facts.append(("features", f"{metrics.feature_seconds:.1f} s"))
    facts += [(f"{name.replace('_', ' ')}, chosen automatically", words) for name, words in metrics.chosen.items()]
    if metrics.skipped_images:
        facts.append(("pictures left out", f"{metrics.skipped_images} that could not be read"))
    facts += [("note", note) for note in metrics.notes]
    ended, tol = in_words(metrics.status_text), record.model.parameters()["tol"]
    facts.append(("how it ended", f"{ended}, {tol:g}" if ended.endswith("at most tol") else ended))
    return facts


def _guess(record: Record) -> tuple[str, float] | None:
    """The most frequent class of the test images, and its share: what guessing would reach."""
    if record.tested is None:
        return None
    counts = record.tested.performance.class_counts
    most = max(range(len(counts)), key=counts.__getitem__)
    return record.model.class_names_[most], counts[most] / max(1, sum(counts))


def _classes(record: Record) -> list[ClassRow]:
    """The classes of the test images; of very many, those with the lowest accuracy."""
    if record.tested is None:
        return []
    performance, names = record.tested.performance, record.model.class_names_
    rows = []
    for k, (n, accuracy) in enumerate(zip(performance.class_counts, performance.class_accuracy, strict=True)):
        wrong = performance.confusion[k].copy()
        wrong[k] = 0
        most = int(wrong.argmax())
        interval = wilson_interval(int(performance.confusion[k, k]), n) if n else None
        taken_for = f"{names[most]} ({wrong[most]})" if wrong[most] else "–"
        rows.append(ClassRow(names[k], n, accuracy, interval, taken_for))
    if len(rows) > MOST_CLASSES:
        rows = sorted(rows, key=lambda row: (math.isnan(row.accuracy), row.accuracy))[:MOST_CLASSES]
    return rows


def _reproduction(record: Record) -> Reproduction:
    """What it takes to train the same again."""
    settings, request = record.settings, record.settings.request
    words = command_of(settings)
    facts = (
        ("run folder", str(record.path.resolve())),
        ("source", f"{request.source} ({settings.format or 'unknown format'})"),
        ("fingerprint of the data", settings.fingerprint or "not recorded"),
        ("seed", str(request.seed)),
        ("linprobe", settings.linprobe_version or "not recorded"),
        ("NumPy", settings.numpy_version or "not recorded"),
        ("Python", settings.python_version or "not recorded"),
    )
    command = None if words is None else shlex.join(words)
    return Reproduction(record.name, command, facts, record.metrics.equivalents)


NOT_SHOWN = (
    *("n_threads", "random_state", "validation_fraction", "classifier", "feature_options"),
    *("delta", "beta", "loss_options", "penalty_options"),
)
"""Settings without a line of their own: without influence, or shown as what they hold."""


def _options(record: Record) -> list[tuple[str, str]]:
    """Every setting that decides the result of the run, defaults included."""
    request = record.settings.request
    values: dict[str, object] = {**record.model.parameters()}
    values |= {each.name: getattr(request, each.name) for each in fields(request)}
    values |= {**request.classifier, **request.feature_options}
    for name in NOT_SHOWN:
        values.pop(name)
    values |= record.own_parameters
    if isinstance(request, SweepSettings):
        values.pop("reg")  # the members', not the one of the model
        values["regs"] = grid_text(request.regs)
        for name in OF_RATES if not request.learning_rates else ("learning_rate", "schedule", "update"):
            values.pop(name)
        if request.learning_rates:
            values["learning_rates"] = grid_text(request.learning_rates)
            values |= {"schedules": ", ".join(request.schedules), "updates": ", ".join(request.updates)}
    idle = {"validation": bool(record.folds), "folds": not record.folds}
    idle |= {name: without_use(record.settings, name) for name in values.keys() & record.model.parameters().keys()}
    return [(name, _text(value)) for name, value in sorted(values.items()) if not idle.get(name)]


def _differing(records: Sequence[Record]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run) of those that are not the same in all runs that have a use for them."""
    options = [dict(_options(record)) for record in records]
    for record, values in zip(records, options, strict=True):
        values["kind"] = "sweep" if record.swept else "train"
        values["reg"] = _text(record.metrics.reg)
        values["fingerprint of the data"] = str(record.settings.fingerprint)[:12]
    names = sorted({name for values in options for name in values})
    table = [(name, [values.get(name, "–") for values in options]) for name in names]
    no_use = {"–"} if len({values["kind"] for values in options}) == 1 else set()
    return [(name, values) for name, values in table if len(set(values) - no_use) > 1]


def _compared(records: Sequence[Record]) -> list[ComparedRow]:
    """The figures of each run, row by row; the best is marked."""
    same_test = alike(records, attrgetter("test_key"))
    rows = []
    for part, same in (
        ("test", same_test),
        ("validation", alike(records, attrgetter("held_out_key"))),
        ("train", False),
    ):
        found = [next((a for a in record.accuracies() if a.part == part), None) for record in records]
        if any(found):
            values = [None if a is None else a.value for a in found]
            notes = [
                f"{share(a.interval[0])} to {share(a.interval[1])}" if a is not None and a.interval else ""
                for a in found
            ]
            best = _best(values, max) if same else []
            rows.append(ComparedRow(f"{part} accuracy", [share(value) for value in values], best, notes))
    metrics = [record.metrics for record in records]
    objectives = [each.objective for each in metrics]
    if any(value is not None for value in objectives):
        best = _best(objectives, min) if alike(records, attrgetter("objective_key")) else []
        rows.append(ComparedRow("objective", [objective_text(value, "–") for value in objectives], best))
    seconds = "seconds" if any(record.swept for record in records) else "seconds of optimisation"
    numbers: list[tuple[str, list[float | None], bool]] = [
        (
            "mean loss on test images",
            [each.test_loss for each in metrics],
            same_test and alike(records, attrgetter("loss_key")),
        ),
        (seconds, [each.seconds for each in metrics], False),
        ("passes over the images", [each.passes for each in metrics], False),
    ]
    for name, values, same in numbers:
        if any(value is not None for value in values):
            best = _best(values, min) if same else []
            rows.append(ComparedRow(name, [_number(value, 5) for value in values], best))
    rows.append(ComparedRow("training images", [f"{each.n_train:,}" for each in metrics]))
    rows.append(ComparedRow("status", [each.status.name.lower() for each in metrics]))
    return rows


def _best(values: Sequence[float | None], choose: Callable[[Sequence[float]], float]) -> list[int]:
    """Positions of the best values; none where all are the same."""
    known = [value for value in values if value is not None]
    if len(set(known)) < 2:
        return []
    return [i for i, value in enumerate(values) if value == choose(known)]


def _penalised(record: Record) -> float:
    """reg R(W) at the weights that were kept."""
    penalty = record.model.penalty_
    return 0.0 if penalty is None else record.metrics.reg * penalty.value(record.model.weights_)


def _number(value: float | None, digits: int) -> str:
    return number_text(value, digits, "–")


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
