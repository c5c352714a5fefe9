"""`linprobe challenges RUN_OR_MODEL SOURCE`: accuracy under the six challenges of recognition."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linprobe.cli.kinds import Severities
from linprobe.cli.options import NamedOption, model_and_source, reading_given, seed_option

if TYPE_CHECKING:
    from linprobe.challenges.table import ChallengeTable
    from linprobe.challenges.wilson import Rate
    from linprobe.runs.challenges import ChallengeRun


@click.command(short_help="Accuracy under the six challenges of recognition.")
@click.option(
    "--severity",
    "severities",
    type=Severities(),
    default="0:5",
    show_default=True,
    help="Severities, 0..5; at 0 no pixel changes.",
)
@click.option(
    "--challenges",
    "names",
    metavar="LIST",
    cls=NamedOption,
    lists="challenge",
    after=". A list may name challenges and single kinds, as in viewpoint,patch; none for --corrupted alone.  "
    "[default: all]",
)
@click.option(
    "--corrupted",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Score ready-made sets as well: CIFAR-10-C's .npy files, KIND/1..5/CLASS/ pictures, or CLASS/ pictures.",
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File for the example pictures, a PNG.  [default: challenges.png in the run folder]",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use N test images, spread evenly over the source.  [default: all]",
)
@seed_option("Of the challenges; the source of the training is split as it was then.")
@model_and_source
def challenges(model: Path, source: str, **options: Any) -> None:
    """Accuracy on images of SOURCE, changed in the ways that make recognition hard, with 95% intervals.

    The images are those that `linprobe evaluate` takes: none that the model was trained on.

    docs/challenges.md says what each severity means. knn:5, or knn:5:l1, in place of a run is the vote of the nearest
    training images of SOURCE. A run folder gets challenges.json and challenges.png.
    """
    from linprobe.cli.output import print_json, warn
    from linprobe.cli.progress import progress
    from linprobe.runs.challenges import challenge_source

    with progress(options["as_json"]) as report:
        run = challenge_source(
            model,
            source,
            severities=options["severities"],
            names=_names(options["names"]),
            corrupted=options["corrupted"],
            sheet=options["sheet"],
            limit=options["limit"],
            seed=options["seed"],
            **reading_given(options),
            progress=report,
        )
    warn(run.tested.notes)
    if options["as_json"]:
        print_json(run.record)
    else:
        _show(run)


def _names(text: str | None) -> tuple[str, ...] | None:
    """The names in a LIST."""
    if text is None:
        return None
    return () if text.strip() == "none" else tuple(name.strip() for name in text.split(","))


def _show(run: ChallengeRun) -> None:
    """The result as tables, and where it was written."""
    from linprobe.cli.output import print_facts, share, tested_facts
    from linprobe.cli.words import interval

    table = run.table
    _print_rows(table, corrupted=False)
    _print_rows(table, corrupted=True)
    facts = {**tested_facts(run.tested, table.clean.n), "accuracy unchanged": interval(table.clean)}
    inside = table.intraclass
    if inside is not None:
        for name, cluster in (("worst cluster", inside.worst), ("best cluster", inside.best)):
            if cluster is not None:
                facts[name] = f"{interval(cluster.rate)}, {cluster.rate.n} images of {cluster.class_name}"
        gaps = f"{share(inside.gap)} inside a class, {share(inside.gap_by_chance)} by chance"
        facts["best less worst"] = "no class has two clusters of 10 images" if math.isnan(inside.gap) else gaps
    if run.record_path is not None:
        facts["record"] = str(run.record_path)
    if run.sheet_path is not None:
        facts["sheet"] = str(run.sheet_path)
    print_facts(facts)


def _print_rows(table: ChallengeTable, *, corrupted: bool) -> None:
    """Accuracy by kind and severity, its 95% interval below it: of linprobe's own kinds, or of the corrupted sets."""
    from linprobe.cli.output import print_table
    from linprobe.printed import share_text

    rows = [row for row in table.rows() if (row[0] == "corrupted") == corrupted]
    if not rows:
        return
    severities = sorted({severity for *_, rates in rows for severity in rates if severity is not None})
    whole = any(None in rates for *_, rates in rows)
    names = [*(str(severity) for severity in severities), *(["accuracy"] if whole else ["mean"])]
    shown: list[tuple[str, ...]] = []
    above = ""
    for challenge, kind, rates in rows:
        if challenge != above:
            shown.append((challenge, *("" for _ in names)))
        above = challenge
        cells = [rates.get(severity) for severity in severities] + ([rates[None]] if whole else [])
        mean = [] if whole else [share_text(sum(rate.accuracy for rate in rates.values()) / len(rates), 3)]
        shown.append((f" {kind}", *("-" if rate is None else share_text(rate.accuracy, 3) for rate in cells), *mean))
        shown.append(("", *("" if rate is None else _ends(rate) for rate in cells), *("" for _ in mean)))
    print_table(("severity", *names), shown, numeric=names)


def _ends(rate: Rate) -> str:
    """The 95% interval of an accuracy, rounded outwards so that it still holds."""
    low, high = rate.interval
    return f"{math.floor(low * 100) / 100:.2f}-{math.ceil(high * 100) / 100:.2f}"
