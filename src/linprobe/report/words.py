"""What a run did, in sentences for readers who do not know duality."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

from linprobe.choices import title_of
from linprobe.features.parse import names_in
from linprobe.printed import bound_text, objective_text, percent_text
from linprobe.runs.records import RunMetrics, RunSettings

__all__ = ["certificate_sentence", "counted", "learnt_features", "share", "trained_sentence"]


def counted(n: int, what: str = "image") -> str:
    """`n` things, with thousands set apart: "1 image", "45,000 images"."""
    return f"{n:,} {what}{'' if n == 1 else 'es' if what.endswith('s') else 's'}"


def share(value: float | None) -> str:
    """A share 0..1 in percent, "41.3%"; a dash where there is none."""
    return percent_text(value, missing="–")


def trained_sentence(settings: RunSettings, metrics: RunMetrics, source: str) -> str:
    """What was trained on what, by what."""
    shape, features = metrics.image_shape, metrics.features
    size = f" of {shape[0]}×{shape[1]} {'grey' if shape[2] == 1 else 'RGB'} pixels (height × width)" if shape else ""
    what = (
        "their pixels"
        if shape and features == "pixels"
        else f"{features} features ({counted(metrics.n_features, 'number')} each)"
        if shape
        else f"vectors of {counted(metrics.n_features, 'number')}"
    )
    penalty = "no penalty" if metrics.penalty == "none" else f"the {title_of('penalty', metrics.penalty)} penalty"
    weight = "" if metrics.penalty == "none" else f" of weight reg = {metrics.reg:g}"
    images = "image" if shape else "vector"
    return (
        f"A linear classifier, f(x) = Wx + b, of {counted(metrics.n_classes, 'class')}, learnt from "
        f"{counted(metrics.n_train, 'training ' + images)} of {source}{size}. It sees {what}; it minimises the "
        f"{title_of('loss', metrics.loss)} loss with {penalty}{weight}; {_solved_how(settings, metrics)}."
    )


def _solved_how(settings: RunSettings, metrics: RunMetrics) -> str:
    """How the weights were found."""
    if metrics.cells:
        runs = counted(len(metrics.cells), "run")
        return (
            f"it was trained by {title_of('optimizer', 'sgd')}, its settings the best of {runs} by {metrics.chosen_by}"
        )
    if metrics.swept:
        every = all(row.solved for row in metrics.grid)
        solved = "solved to its optimum" if every else "by the exact solver, which did not always reach its tol"
        grid = counted(len(metrics.grid), "value")
        return f"reg was chosen from a grid of {grid} by {metrics.chosen_by}, each member {solved}"
    optimizer = str(settings.parameter("optimizer"))
    if optimizer != "exact":
        return f"it was trained by {title_of('optimizer', optimizer)}"
    if metrics.solved:
        return "it was solved to its optimum"
    return "it was trained by the exact solver, which ended before its tol"


def learnt_features(metrics: RunMetrics) -> str | None:
    """What is said of features that a network has learnt; None where none has."""
    if "net" not in names_in(metrics.features):
        return None
    return (
        f"{metrics.features}, {counted(metrics.n_features, 'number')} for each image; what is proved holds for the "
        "linear classifier, given these features, and nothing is proved of the network"
    )


def certificate_sentence(metrics: RunMetrics, bound: float | None = None, proved_by: str = "") -> str:
    """How close to the best possible classifier of its kind the run came, and no closer than is proven.

    Args:
        metrics: of the run.
        bound: a lower bound on the same objective that another run has proved, for a run that proves none.
        proved_by: the name of that run.
    """
    objective, source = metrics.objective, f" ({proved_by} has proved the bound)" if proved_by else ""
    if metrics.certificate is not None and metrics.bounded:
        bound, objective, source = metrics.certificate.lower_bound, metrics.certificate.objective, ""
    if objective is None:
        return "The objective is not a finite number: this training diverged, and its weights are of no use."
    if bound is not None and bound > 0.0:
        given = " This holds given the features; nothing is proved of the network that learnt them."
        learnt = given if learnt_features(metrics) else ""
        return (
            f"No linear classifier of this kind can have an objective below {bound_text(bound)}; this one has "
            f"{objective_text(objective)}, "
            f"so it is within {percent_above(objective, bound)}% of the best possible{source}.{learnt}"
        )
    if metrics.bounded:
        return (
            f"The objective is {objective_text(objective)}, and the only known lower bound is 0: "
            "the distance from the best possible is not known."
        )
    if metrics.certificate is not None:
        return (
            "Without a penalty there is no bound on how low the objective could still go. The norm of its gradient at "
            f"these weights is {metrics.certificate.gradient_norm:.2g}; at the optimum it is 0. With a penalty, "
            "reg > 0, the distance from the best possible is proved."
        )
    return (
        f"The objective is {objective_text(objective)}. This optimizer does not prove how close that is to the best "
        "possible; the same training with --optimizer exact does."
    )


def percent_above(objective: float, bound: float) -> str:
    """How far `objective` lies above a bound > 0, in percent of it: rounded up to one significant digit."""
    percent = 100.0 * max(0.0, objective - bound) / bound
    if percent <= 0.0:
        return "0"
    place = math.floor(math.log10(percent))
    unit = Decimal(1).scaleb(min(place, 0))
    return f"{Decimal(percent).quantize(unit, ROUND_CEILING).normalize():f}"
