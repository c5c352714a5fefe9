"""Figures and ends of a run in the words of the command line: options for parameters, intervals as intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linprobe.optimizers.base import Status
from linprobe.optimizers.obstacles import OBSTACLE
from linprobe.printed import bound_text, objective_text, share_text
from linprobe.wording import in_options

if TYPE_CHECKING:
    from linprobe.challenges.wilson import Rate
    from linprobe.runs.rate_records import CellRow
    from linprobe.runs.records import RunMetrics

__all__ = [
    "above_optimum",
    "cell_status",
    "chosen",
    "ended",
    "figures",
    "how_close",
    "interval",
    "objective",
    "warning",
]

USEFUL = ("method", "learning_rate", "weights")
"""What a table shows of what an optimizer chose: what one may choose oneself. The report and --json have all."""


def ended(metrics: RunMetrics) -> str:
    """How the training ended: a word, and the sentence of the status."""
    return f"{metrics.status.short}: {in_options(metrics.status_text, metrics.swept)}"


def figures(metrics: RunMetrics) -> dict[str, object]:
    """The figures of a run for --json: those of its metrics.json, the status in the words that the terminal shows."""
    from linprobe.runs.records import as_json

    words = {"status_text": in_options(metrics.status_text, metrics.swept)}
    if OBSTACLE in metrics.chosen:
        return as_json(metrics) | words | {"chosen": {**metrics.chosen, OBSTACLE: words["status_text"]}}
    return as_json(metrics) | words


def warning(metrics: RunMetrics) -> str:
    """The sentence of a status that is not the goal, and how far the objective may be from the least possible."""
    close = how_close(metrics)
    return in_options(metrics.status_text, metrics.swept) + ("" if close is None else f"; the objective is {close}")


def how_close(metrics: RunMetrics) -> str | None:
    """What the certificate proves, in words that follow "the objective is"; None where it proves no bound."""
    from linprobe.report.words import percent_above

    certificate = metrics.certificate
    if certificate is None or not metrics.bounded:
        return None
    if not certificate.lower_bound > 0.0:
        return "not known to be near the least possible: no bound above 0 is proved"
    percent = percent_above(certificate.objective, certificate.lower_bound)
    return f"at most {percent}% above the least possible, which is {bound_text(certificate.lower_bound)} or more"


def objective(metrics: RunMetrics) -> str:
    """The objective and its two parts."""
    from linprobe.choices import choices

    total, data = objective_text(metrics.objective), objective_text(metrics.data_loss)
    if metrics.penalty == "none":
        return f"{total} = {metrics.loss} loss, without a penalty"
    formula = choices("penalty")[metrics.penalty].text
    return f"{total} = {metrics.loss} loss {data} + reg {metrics.reg:g} times the penalty {formula}"


def chosen(metrics: RunMetrics) -> dict[str, str]:
    """What the optimizer chose from the data, by name: those of `USEFUL`, without their formulas."""
    return {name.replace("_", " "): text.partition(" = ")[0] for name, text in metrics.chosen.items() if name in USEFUL}


def above_optimum(cell: CellRow) -> str:
    """How far a run of SGD ended above the least possible objective of its reg, at most, in percent; else a dash."""
    from linprobe.report.words import percent_above

    return "-" if cell.above_optimum is None else f"{percent_above(1.0 + cell.above_optimum, 1.0)}%"


def cell_status(cell: CellRow) -> str:
    """How a run of SGD ended, in a word or two; with the epochs where others went on."""
    if cell.status is not Status.STOPPED:
        return cell.status.short
    return f"dropped after {cell.epochs} epoch{'s' if cell.epochs != 1 else ''}"


def interval(rate: Rate) -> str:
    """An accuracy and its 95% interval."""
    low, high = rate.interval
    return f"{share_text(rate.accuracy)}, 95% interval {share_text(low, 3)} to {share_text(high, 3)}"
