"""`linprobe report RUN...`: one run as a page, or a comparison of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from linprobe.cli.options import debug, json_output, no_cache, threads


@click.command(short_help="Write a page that shows a run, or compares several.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The page.  [default: report.html in the folder of one run, comparison.html here for several]",
)
@no_cache
@threads
@json_output
@debug
def report(runs: tuple[Path, ...], **options: Any) -> None:
    """Write one HTML file that shows what a run learnt and how good it is, or how several runs differ.

    The page needs no network and no script. The source of the run is read again for the pictures. Where it is gone or
    has changed, the page says so and shows the rest.
    """
    from linprobe.cli.output import print_facts, print_json
    from linprobe.cli.progress import busy
    from linprobe.report.page import write_report

    with busy("drawing the report", options["as_json"]):
        path = write_report(runs, options["out"], cache=options["cache"], n_threads=options["threads"])
    if options["as_json"]:
        print_json({"runs": [str(run) for run in runs], "report": str(path), "bytes": path.stat().st_size})
    else:
        print_facts({"report": str(path)})
