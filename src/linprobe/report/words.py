"""What a run did, in sentences for readers who have not met duality."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from linprobe.choices import title_of
from linprobe.optimizers.base import SOLVED

__all__ = ["bounded", "certificate_sentence", "counted", "share", "trained_sentence"]


def counted(n: int, what: str = "image") -> str:
    """`n` things, with thousands set apart: "1 image", "45,000 images"."""
    return f"{n:,} {what}{'' if n == 1 else 'es' if what.endswith('s') else 's'}"


def share(value: float | None) -> str:
    """A share 0..1 in percent, "41.3%"; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{100.0 * value:.1f}%"


def bounded(metrics: Mapping[str, Any]) -> bool:
    """Whether the certificate says more than that no loss is below 0: without a penalty it has no bound."""
    certificate = metrics.get("certificate")
    return (
        certificate is not None
        and metrics["penalty"] != "none"
        and metrics["reg"] > 0.0
        and math.isfinite(certificate["lower_bound"])
    )


def trained_sentence(settings: Mapping[str, Any], metrics: Mapping[str, Any], source: str) -> str:
    """What was trained on what, by what."""
    shape = metrics.get("image_shape")
    size = f" of {shape[1]}×{shape[0]} {'grey' if shape[2] == 1 else 'RGB'} pixels" if shape else ""
    features = metrics.get("features", "pixels")
    what = (
        "their pixels"
        if shape and features == "pixels"
        else f"{features} features ({counted(metrics['n_features'], 'number')} each)"
        if shape
        else f"vectors of {counted(metrics['n_features'], 'number')}"
    )
    penalty = "no penalty" if metrics["penalty"] == "none" else f"the {title_of('penalty', metrics['penalty'])} penalty"
    weight = "" if metrics["penalty"] == "none" else f" of weight reg = {metrics['reg']:g}"
    optimizer = settings["classifier"].get("optimizer", "exact")
    swept = metrics.get("kind") == "sweep"
    ends = {end for row in metrics["grid"] for end in row.get("statuses", ())} if swept else {metrics.get("status")}
    at_optimum = ends <= {*SOLVED, None}  # None where none is recorded
    solved = "solved to its optimum" if at_optimum else "by the exact solver, which did not always reach its tol"
    how = (
        f"reg was chosen from a grid of {len(metrics['grid'])} values by {metrics['chosen_by']}, each member {solved}"
        if swept
        else "it was solved to its optimum"
        if optimizer == "exact" and at_optimum
        else "it was trained by the exact solver, which ended before its tol"
        if optimizer == "exact"
        else f"it was trained by {title_of('optimizer', optimizer)}"
    )
    images = "image" if shape else "vector"
    return (
        f"A linear classifier, f(x) = Wx + b, of {counted(metrics['n_classes'], 'class')}, learnt from "
        f"{counted(metrics['n_train'], 'training ' + images)} of {source}{size}. It sees {what}; it minimises the "
        f"{title_of('loss', metrics['loss'])} loss with {penalty}{weight}; {how}."
    )


def certificate_sentence(metrics: Mapping[str, Any], bound: float | None = None, proved_by: str = "") -> str:
    """How close to the best possible classifier of its kind the run came, and no closer than is proven.

    Args:
        metrics: of the run.
        bound: a lower bound on the same objective that another run has proved, for a run that proves none.
        proved_by: the name of that run.
    """
    objective, source = metrics["objective"], f" ({proved_by} has proved the bound)" if proved_by else ""
    if bounded(metrics):
        bound, objective, source = metrics["certificate"]["lower_bound"], metrics["certificate"]["objective"], ""
    if objective is None or not math.isfinite(objective):
        return "The objective is not a finite number: this training diverged, and nothing can be said of its weights."
    if bound is not None and bound > 0.0:
        low, high = _apart(bound, objective)
        percent = 100.0 * max(0.0, objective - bound) / bound
        return (
            f"No linear classifier of this kind can have an objective below {low}; this one has {high}, "
            f"so it is within {_up(percent)}% of the best possible{source}."
        )
    if bounded(metrics):
        return (
            f"The objective is {objective:.6g}, and nothing better than 0 is known as a bound: how far from the best "
            "possible it is, is not known."
        )
    if metrics.get("certificate") is not None:
        norm = metrics["certificate"]["gradient_norm"]
        return (
            f"Without a penalty there is no bound on how low the objective could still go; at these weights its slope "
            f"(the norm of its gradient) is {norm:.2g}, and 0 would be the bottom. With a penalty, reg > 0, the "
            "distance from the best possible is proved."
        )
    return (
        f"The objective is {objective:.6g}. This optimizer does not prove how close that is to the best possible; "
        "the same training with --optimizer exact does."
    )


def _apart(low: float, high: float) -> tuple[str, str]:
    """A bound rounded down and an objective rounded up, with as many decimals as tell them apart, 2 to 12."""
    gap = max(high - low, 0.0)
    decimals = 4 if gap <= 0.0 else -math.floor(math.log10(gap))
    least = 3 - math.floor(math.log10(high)) if high > 0.0 else 2  # four significant digits
    decimals = min(12, max(2, decimals, min(least, 6)))
    unit = Decimal(1).scaleb(-decimals)
    return f"{Decimal(low).quantize(unit, ROUND_FLOOR):f}", f"{Decimal(high).quantize(unit, ROUND_CEILING):f}"


def _up(percent: float) -> str:
    """A percentage rounded up to one significant digit, below 10 with no exponent."""
    if percent <= 0.0:
        return "0"
    place = math.floor(math.log10(percent))
    unit = Decimal(1).scaleb(min(place, 0))
    return f"{Decimal(percent).quantize(unit, ROUND_CEILING).normalize():f}"
