"""The pictures of a report with their captions; where one cannot be drawn, the page says why and shows the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.neighbors import NeighborModel
from linprobe.classifiers.rate_selection import Cell
from linprobe.data.base import ImageSet
from linprobe.errors import LinprobeError
from linprobe.explain.algebra import algebra_picture
from linprobe.explain.confident_errors import confident_errors, confident_errors_picture
from linprobe.explain.confusion import confusion_picture
from linprobe.explain.contributions import contributions_picture
from linprobe.explain.curves import AXES, QUANTITIES, LearningCurves, curves_picture, learning_curves
from linprobe.explain.landscape import Walk, landscape_picture, slice_around, walk
from linprobe.explain.learning_rates import rate_maps, rates_picture
from linprobe.explain.neighbors import neighbors_picture
from linprobe.explain.path import PATH_QUANTITIES, RegPath, path_picture, path_templates_picture
from linprobe.explain.picture import Picture
from linprobe.explain.planes import planes_picture, regions_picture, slice_picture
from linprobe.explain.reliability import reliability, reliability_picture
from linprobe.explain.schedules import schedules_picture
from linprobe.explain.templates import of_pixels, templates_picture
from linprobe.optimizers.base import Optimizer, Status
from linprobe.optimizers.exact import Exact
from linprobe.optimizers.gradient_descent import GradientDescent
from linprobe.optimizers.registry import OPTIMIZERS
from linprobe.optimizers.sgd import SGD
from linprobe.report.comparing import alike
from linprobe.report.processes import each
from linprobe.report.record import Record, Tested, evenly
from linprobe.report.words import percent_above, share
from linprobe.runs.evaluation import labels_by_name

__all__ = ["Figure", "Section", "Svg", "compared_sections", "sections_of", "shared_bound"]

LANDSCAPE_WEIGHTS = 150_000
"""Weights of a model, at most, whose landscape is drawn: the walks keep some eighty copies of them in memory."""

GD_STEPS, SGD_EPOCHS, EXACT_STEPS = 30, 12, 40
"""Steps of gradient descent, epochs of SGD and iterations of the exact solver on the landscape."""

POINTS = 2000
"""Test images, at most, among which those for the plane are chosen."""

K_NEAREST, NEIGHBORED, AMONG = 5, 5, 2000
"""Neighbours that are shown, or vote; test images shown with their neighbours; training images searched, at most."""

CUT = 21
"""Points along a side of the landscape."""


@dataclass(frozen=True)
class Svg:
    """A drawn picture.

    Attributes:
        text: the SVG element.
        alt: what it shows, in a sentence.
        width: in inches.
    """

    text: str
    alt: str
    width: float


@dataclass(frozen=True)
class Figure:
    """A picture, or several of one kind side by side, with what to see in it.

    Attributes:
        pictures: one or more.
        caption: a sentence or two.
    """

    pictures: Sequence[Svg]
    caption: str


def _figure(pictures: Sequence[Picture], caption: str) -> Figure:
    return Figure([Svg(picture.svg(), picture.alt, picture.width) for picture in pictures], caption)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: its name in a link.
        title: its heading.
        figures: its pictures.
        missing: what could not be drawn, and why.
    """

    key: str
    title: str
    figures: Sequence[Figure]
    missing: Sequence[str] = ()


Drawn = Iterator[Figure | str]
"""Pictures, and a sentence for each one that is missing."""

Plan = tuple[str, str, Callable[[Any], Drawn]]
"""Key and title of a section, and what draws it."""


def sections_of(record: Record, n_threads: int | None = None) -> list[Section]:
    """The pictures of one run, those that it has, drawn on `n_threads` cores, None for all."""
    plans: list[Plan] = [
        ("path", "The path over reg", _path),
        ("rates", "The learning rate", _rates),
        ("curves", "How it learnt", _curves),
        ("templates", "What it looks for: a template per class", _templates),
        ("geometry", "Where it draws the line", _geometry),
        ("errors", "What it gets wrong", _errors),
        ("image", "One image, number by number", _one_image),
        ("reliability", "Can its probabilities be trusted?", _reliability),
        ("landscape", "Loss landscape", _landscape),
    ]
    return _sections(plans, record, n_threads)


def compared_sections(records: Sequence[Record], n_threads: int | None = None) -> list[Section]:
    """The pictures of a comparison of runs, drawn on `n_threads` cores, None for all."""
    plans: list[Plan] = [
        ("path", "The paths over reg", _compared_paths),
        ("curves", "How they learnt", _compared_curves),
        ("templates", "What they look for: a template per class", _compared_templates),
    ]
    return _sections(plans, records, n_threads)


def _sections(plans: Sequence[Plan], of: Any, n_threads: int | None) -> list[Section]:
    """The sections of the plans that drew something, or that say what is missing."""

    def section(plan: Plan) -> Section:
        key, title, draw = plan
        figures: list[Figure] = []
        missing: list[str] = []
        try:
            for drawn in draw(of):
                if isinstance(drawn, Figure):
                    figures.append(drawn)
                else:
                    missing.append(drawn)
        except (LinprobeError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            missing.append(f"A picture is missing here: {error}")
        return Section(key, title, figures, missing)

    return [found for found in each(section, plans, n_threads) if found.figures or found.missing]


def _compared_paths(records: Sequence[Record]) -> Drawn:
    sweeps = [record for record in records if record.swept and not record.metrics.cells]
    if not sweeps:
        return
    paths = {record.name: _path_of(record) for record in sweeps}
    chosen = {record.name: record.metrics.reg for record in sweeps}
    caption = "Each colour is a sweep; the dotted lines are the values that each has chosen."
    penalties = {record.metrics.penalty for record in sweeps}
    if len(penalties) > 1:
        caption += (
            f" One value of reg is not as strong in {_listed(sorted(penalties))}: compare how high the curves rise, "
            "not where."
        )
    if not alike(sweeps, attrgetter("held_out_key")):
        caption += " They held out other images: the dashed curves are not measured on the same ones."
    yield _path_figure(paths, chosen, caption)


def _compared_curves(records: Sequence[Record]) -> Drawn:
    """The curves of each training; one that proves no bound takes that of another run on the same objective."""
    curves = {
        record.name: learning_curves(record.trace, shared_bound(record, records)[0])
        for record in records
        if record.trace
    }
    if curves:
        same = alike(records, attrgetter("objective_key"))
        caption = "Each colour is a run." + (
            "" if same else " The runs minimise different functions: their objectives are not comparable."
        )
        yield _curves_figure(curves, caption)


def _compared_templates(records: Sequence[Record]) -> Drawn:
    for record in records:
        try:
            kind = "pixels" if _has_templates(record) else record.metrics.features
            yield _figure([templates_picture(record.model)], f"{record.name}: weights of {kind}.")
        except LinprobeError as error:
            yield f"No templates of {record.name}: {error}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _curves(record: Record) -> Drawn:
    if record.trace:
        curves = {"": learning_curves(record.trace, record.metrics.lower_bound)}
        gap = " The gap is the objective minus the proved lower bound: the optimum is at most this far below."
        unit = OPTIMIZERS[str(record.settings.parameter("optimizer"))].unit
        yield _curves_figure(curves, f"A mark is an {unit}." + (gap if record.metrics.lower_bound is not None else ""))


def _curves_figure(curves: dict[str, LearningCurves], caption: str) -> Figure:
    gap = any(drawn.gap is not None for drawn in curves.values())
    quantities = [quantity for quantity in QUANTITIES if gap or quantity != "gap"]
    return _figure([curves_picture(curves, [quantity], [axis]) for axis in AXES for quantity in quantities], caption)


def shared_bound(record: Record, records: Sequence[Record]) -> tuple[float | None, str]:
    """The highest lower bound that is proved for the objective of `record`, and the other run that proved it.

    Its own where it has one; (None, "") where none of the runs proves any.
    """
    if record.metrics.lower_bound is not None:
        return record.metrics.lower_bound, ""
    same = [other for other in records if other.objective_key == record.objective_key]
    proved = [(other.metrics.lower_bound, other.name) for other in same if other.metrics.lower_bound is not None]
    return max(proved, default=(None, ""))


def _path(record: Record) -> Drawn:
    if not record.swept or record.metrics.cells:
        return
    path, chosen = _path_of(record), record.metrics.reg
    yield _path_figure(
        {"": path},
        {"": chosen},
        "A small reg lets the weights grow until they fit the training images; a large one holds them near 0. "
        "The dotted line is the value that did best on the images held out. The relative gap bounds the "
        "distance of each value from its optimum, as its certificate proves.",
    )
    if record.weights is not None and _has_templates(record):
        regs = [float(reg) for reg in record.weights.regs]
        yield _figure(
            [path_templates_picture(record.model, regs, list(record.weights.W), chosen=chosen)],
            "The same classes along the path, each column on its own scale: an L2 penalty blurs the templates as reg "
            "grows, an L1 penalty carves them down to few pixels.",
        )


def _rates(record: Record) -> Drawn:
    """The runs of a sweep over learning rates, and their schedules."""
    rows, chosen = record.metrics.cells, record.metrics.chosen_cell
    if chosen is None:
        return
    cells = [Cell(row.learning_rate, row.reg, row.schedule, row.update) for row in rows]
    accuracies = [np.nan if row.validation_accuracy is None else row.validation_accuracy for row in rows]
    dropped = [row.status is Status.STOPPED for row in rows]
    caption = (
        "Each square is a run of SGD, with its accuracy on the validation images. The chosen one has a frame; a cross "
        "is a run that diverged."
    )
    if any(dropped):
        caption += " In brackets are runs that successive halving ended early: their accuracies are of fewer epochs."
    if chosen.above_optimum is not None:
        percent = percent_above(1.0 + chosen.above_optimum, 1.0)
        caption += f" The objective of the chosen run ended at most {percent}% above the least possible one of its reg."
    yield _figure([rates_picture(rate_maps(cells, accuracies, dropped=dropped, chosen=rows.index(chosen)))], caption)
    schedules, epochs = list(dict.fromkeys(row.schedule for row in rows)), int(str(record.settings.parameter("epochs")))
    yield _figure(
        [schedules_picture(schedules, chosen.learning_rate, epochs)],
        "How the learning rate falls over a whole run, from the chosen one.",
    )


def _path_of(record: Record) -> RegPath:
    """What the grid of a sweep gave, in ascending order of reg."""
    grid = sorted(record.metrics.grid, key=attrgetter("reg"))

    def column(name: str) -> npt.NDArray[np.float64]:
        values = [getattr(row, name) for row in grid]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    names = ("reg", "train_accuracy", "validation_accuracy", "norm", "zeros", "relative_gap")
    return RegPath(*map(column, names))


def _path_figure(paths: dict[str, RegPath], chosen: dict[str, float], caption: str) -> Figure:
    known = [quantity for quantity in PATH_QUANTITIES if any(path.knows(quantity) for path in paths.values())]
    return _figure([path_picture(paths, chosen, [quantity]) for quantity in known], caption)


def _has_templates(record: Record) -> bool:
    return of_pixels(record.model.features_) and (
        record.model.image_shape_ is not None or record.model.features_ is not None
    )


def _templates(record: Record) -> Drawn:
    model = record.model
    if not _has_templates(record):
        yield _figure(
            [templates_picture(model)],
            "Its weights, class by class: which numbers raise the score, and which lower it.",
        )
        return
    yield _figure(
        [templates_picture(model, "signed")],
        "The score of a class is the sum of its template times the picture: blue is where light speaks for the class, "
        "red where it speaks against it.",
    )
    shape = model.image_shape_ if model.features_ is None else model.features_.image_shape
    if shape is not None and shape[2] == 3:
        yield _figure([templates_picture(model, "color")], "The same weights as colours: grey is 0.")


def _geometry(record: Record) -> Drawn:
    tested, model = record.tested, record.model
    if tested is None:
        return
    rows = evenly(len(tested.y), POINTS)
    names = model.classes_[tested.y[rows]]
    if model.features_ is None and model.weights_.shape[1] == 2:
        yield _figure(
            [planes_picture(model, tested.vectors(rows), names)],
            "The test points, the regions of the classes, and the line on which each score is 0 with its normal.",
        )
        if record.train is not None:
            voting = _Voting(NeighborModel(min(K_NEAREST, record.train.n_images)).fit_sets(record.train))
            points, k = tested.vectors(rows), voting.model.k
            right = float(np.mean(voting.predict(points) == names))
            yield _figure(
                [regions_picture(voting, points, names)],
                f"For comparison, the regions of the {k} nearest training points, which vote: "
                f"{share(right)} of the test points are given their class, by the linear classifier "
                f"{share(tested.performance.accuracy)}. These borders follow the points.",
            )
    elif model.weights_.shape[1] > 2 and len(np.unique(names)) > 1:
        pixels = model.features_ is None and isinstance(tested.images, ImageSet)
        yield _figure(
            [slice_picture(model, tested.pictures(rows) if pixels else tested.vectors(rows), names)],
            "Test images of the classes that are confused most, projected onto the plane in which the model separates "
            "them: the borders between the classes are straight lines.",
        )


def _errors(record: Record) -> Drawn:
    tested = record.tested
    if tested is None:
        return
    yield _figure(
        [confusion_picture(tested.performance.confusion, record.model.class_names_)],
        "A row is a true class, a column the predicted class: the errors are off the diagonal.",
    )
    if isinstance(tested.images, ImageSet):
        errors = confident_errors(tested.scores, tested.y)
        if len(errors.rows):
            yield _figure(
                [
                    confident_errors_picture(
                        tested.pictures(errors.rows), errors.true, tested.scores[errors.rows], record.model.class_names_
                    )
                ],
                "The test images it is most sure of and wrong about: the true class above, the class it gave below, "
                "with the difference of the two scores.",
            )


def _one_image(record: Record) -> Drawn:
    tested, model = record.tested, record.model
    if tested is None or not isinstance(tested.images, ImageSet):
        return
    errors = confident_errors(tested.scores, tested.y, 1)
    row = int(errors.rows[0]) if len(errors.rows) else 0
    label, names = int(tested.y[row]), model.class_names_
    picture = tested.pictures(np.array([row]))[0]
    yield _figure(
        [algebra_picture(model, picture, label)],
        f"W x + b of the test image {_named(tested, row)}, of the class {names[label]}, as the numbers they are.",
    )
    if len(errors.rows):
        said = int(errors.predicted[0])
        yield _figure(
            [contributions_picture(model, picture, said, label)],
            f"Why it said {names[said]} and not {names[label]}: what each pixel adds to the two scores.",
        )

    if isinstance(record.train, ImageSet):
        yield _neighbors(record, record.train, tested)


def _neighbors(record: Record, train: ImageSet, tested: Tested) -> Figure:
    """A few test images, evenly taken, and the nearest of some training images."""
    among = train.subset(evenly(train.n_images, AMONG))
    search = NeighborModel(min(K_NEAREST, among.n_images)).fit_sets(among)
    chosen = ((np.arange(NEIGHBORED) + 0.5) * len(tested.y) / NEIGHBORED).astype(np.int64)
    chosen = np.unique(chosen)
    images = tested.pictures(chosen)
    _, near = search.nearest(images.reshape(len(images), -1))
    names = record.model.class_names_
    found = labels_by_name(among, names)[near]
    same = int((found == tested.y[chosen][:, None]).sum())
    some = f" (of {among.n_images:,} of them)" if among.n_images < train.n_images else ""
    return _figure(
        [neighbors_picture(images, tested.y[chosen], among.images[among.positions[near]], found, names)],
        f"For comparison, a nearest-neighbour classifier: test images, and the training images{some} whose pixels "
        f"differ least. {same} of {found.size} have the class of the image. Images with similar pixels often share "
        "background and light, not the object.",
    )


@dataclass(frozen=True)
class _Voting:
    """Nearest neighbours with the interface that `regions_picture` needs."""

    model: NeighborModel

    @property
    def classes_(self) -> npt.NDArray[Any]:
        return self.model.classes_

    def predict(self, points: npt.NDArray[Any]) -> npt.NDArray[Any]:
        k = self.model.k
        labels: npt.NDArray[Any] = self.classes_[self.model.labels_by_k(points, [k])[k]]
        return labels


def _named(tested: Tested, row: int) -> str:
    """A test image by its file, or by its number."""
    return tested.images.names[row] if tested.images.names is not None else f"number {row + 1}"


def _reliability(record: Record) -> Drawn:
    loss = record.model.loss_
    if record.tested is None or not loss.gives_probabilities:
        return
    found = reliability(loss.probabilities(record.tested.scores), record.tested.y)
    yield _figure(
        [reliability_picture(found)],
        "Of the test images to which it gives a probability of about 70%, about 70% should be right: then a bar ends "
        f"at the diagonal. On average a bar misses it by {100.0 * found.ece:.1f}% (the expected calibration error).",
    )


def _landscape(record: Record) -> Drawn:
    sample, model = record.sample, record.model
    if sample is None or model.weights_.size > LANDSCAPE_WEIGHTS:
        return
    objective = model.objective_of(model.rows_of(sample))
    optimizers: dict[str, Optimizer] = {
        "gradient descent": GradientDescent(max_iter=GD_STEPS),
        "SGD": SGD(epochs=SGD_EPOCHS),
        "exact": Exact(tol=1e-2, max_iter=EXACT_STEPS),
    }
    walks: dict[str, Walk] = {name: walk(optimizer, objective) for name, optimizer in optimizers.items()}
    cut = slice_around(objective, list(walks.values()), CUT)
    n = sample.n_images
    yield _figure(
        [landscape_picture(cut, {name: taken}) for name, taken in walks.items()],
        f"The same objective on {n:,} training images, on the plane closest to the paths of three optimizers (it holds "
        f"{100.0 * cut.plane.share:.0f}% of their squared distances). The title of each panel has the final objective "
        "and the passes over the images. The star is the lowest point reached; the square is W = 0.",
    )
