"""How the commands speak: results on stdout, as a table or as one JSON object; progress on stderr."""

from __future__ import annotations

import codecs
import io
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from linprobe.cli.progress import busy
from linprobe.cli.terminal import drop_output, is_terminal, write, write_error
from linprobe.errors import RunError
from linprobe.plain import UNPRINTABLE, plain, printable, shell_word
from linprobe.printed import number_text, share_text

if TYPE_CHECKING:
    from rich.table import Table

    from linprobe.cli.options import RunOptions
    from linprobe.runs.evaluation_set import EvaluationSet
    from linprobe.runs.neighbors import KnnResult
    from linprobe.runs.records import RunMetrics
    from linprobe.runs.result import RunResult

__all__ = [
    "number",
    "print_facts",
    "print_json",
    "print_table",
    "say",
    "share",
    "show_result",
    "tested_facts",
    "trained_on",
    "warn",
]

Row: TypeAlias = Sequence[str]


def print_json(record: Mapping[str, object]) -> None:
    """One JSON object on stdout, in ASCII or UTF-8; NaN and infinity, which JSON does not have, become null."""
    text = UNPRINTABLE.sub(_escaped, json.dumps(plain(record), indent=2, allow_nan=False, ensure_ascii=False))
    if sys.stdout is None or codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8":
        text = re.sub("[^\0-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    write(text)


def _escaped(found: re.Match[str]) -> str:
    """An unprintable character inside JSON: its JSON escape, but of a byte that is not UTF-8 the text of `printable`,
    since strict readers refuse half surrogates."""
    character = found[0]
    if character == "\n":
        return character  # between two lines: inside strings they are escaped already
    if "\ud800" <= character <= "\udfff":
        return json.dumps(printable(character))[1:-1]
    return f"\\u{ord(character):04x}"


def say(text: str) -> None:
    """A line for the person at the terminal, on stderr."""
    write_error(text)


def warn(notes: Sequence[str]) -> None:
    """A line on stderr for each thing that a reader of the figures must know."""
    for note in notes:
        say(f"warning: {note}")


def number(value: float | None, digits: int = 4) -> str:
    """`value` for a table; a dash where there is none."""
    return number_text(value, digits)


def share(value: float | None) -> str:
    """A share 0..1, such as an accuracy, with four decimals or more; a dash where there is none."""
    return share_text(value)


def print_facts(facts: Mapping[str, str | Sequence[str]], title: str = "") -> None:
    """A result on stdout, a line per fact: name, value; a `title` stands above them, and sets them in.

    A value of several texts takes a line for each.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 3))
    for _ in range(2):
        table.add_column(overflow="fold")  # what is too long for a line goes on in the next: nothing is cut
    for name, value in facts.items():
        lines = [value] if isinstance(value, str) else value
        table.add_row(
            Text("  " * bool(title) + printable(name), style="cyan"), Text("\n".join(printable(line) for line in lines))
        )
    if title:
        write(f"\n{printable(title)}")
    _print(table)


def print_table(columns: Sequence[str], rows: Sequence[Row], *, numeric: Sequence[str] = ()) -> None:
    """A table on stdout, with an empty line below it; `numeric` columns are set flush right.

    In a narrow terminal texts are broken, and figures stay whole: 0.1 for 0.1234 would be another figure.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="cyan")
    for position, column in enumerate(columns):
        figures = column in numeric
        table.add_column(
            Text(printable(column)),
            justify="right" if figures else "left",
            overflow="fold",
            min_width=max((len(row[position]) for row in rows), default=0) if figures else None,
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    _print(table)
    write("")


def _print(table: Table) -> None:
    """Put a table on stdout, fitted to the terminal; into a file or a pipe no line is broken and no colour used."""
    from rich.console import Console

    if is_terminal(sys.stdout):
        Console(highlight=False).print(table, crop=False)
        return
    console = Console(highlight=False, no_color=True, width=1000, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    write("\n".join(line.rstrip() for line in captured.get().split("\n")).strip("\n"))


def trained_on(found: RunMetrics | KnnResult) -> str:
    """The source of a run in words: its training images, their shape, and how many classes."""
    of = f" of {'x'.join(map(str, found.image_shape))}" if found.image_shape else ""
    return f"{found.source}: {found.n_train} training images{of}, {found.n_classes} classes"


def tested_facts(tested: EvaluationSet, n_images: int) -> dict[str, str]:
    """Which images a trained model was tested on, as facts."""
    facts = {"split": f"{tested.split}: {tested.origin}", "images": str(n_images)}
    if tested.n_left_out:
        facts["left out"] = f"{tested.n_left_out} images that the model was trained on"
    if tested.n_trained_on:
        facts["trained on"] = f"{tested.n_trained_on} of these images"
    if tested.n_chosen_on:
        facts["chosen by"] = (
            f"{tested.n_chosen_on} of these images, so not all are new: they chose settings of the model, or when a "
            "training ended"
        )
    if tested.n_skipped:
        facts["skipped images"] = str(tested.n_skipped)
    return facts


def show_result(run: RunResult, options: RunOptions, show: Callable[[RunMetrics], None]) -> None:
    """Print the result of a run, as JSON if asked for; then write its report, unless the options say otherwise.

    The report is written as well where nobody reads what is printed (`| head`), or the disk behind stdout is full.

    Args:
        run: the result; nothing of it is read again.
        options: of the command.
        show: prints the tables of the command.
    Raises:
        BrokenPipeError: nobody reads stdout.
        RunError: stdout cannot be written; the message says how to see the result.
    """
    from linprobe.cli.words import figures

    again = f"the run is complete; show it with `linprobe info {shell_word(run.path)}`"
    try:
        if options.as_json:
            print_json(figures(run.metrics))
        else:
            show(run.metrics)
        path = _page_written(run, options)
        if path is not None and not options.as_json:
            print_facts({"report": str(path)})
    except BrokenPipeError:
        _page_written(run, options, once_more=False)
        say(f"stdout was closed: {again}")
        raise
    except OSError as error:
        drop_output()
        _page_written(run, options, once_more=False)
        raise RunError(f"stdout cannot be written ({error.strerror}); {again}.") from error


def _page_written(run: RunResult, options: RunOptions, *, once_more: bool = True) -> Path | None:
    """The report of a run that has just ended; None where the options want none.

    Whatever goes wrong is a warning: the training is done, and its files are there.

    Args:
        run, options: as of `show_result`.
        once_more: whether a report that is there is replaced.
    """
    if not options.report or (not once_more and (run.path / "report.html").exists()):
        return None
    try:
        from linprobe.report.page import write_report

        with busy("drawing the report", options.silent):
            path = write_report([run], n_threads=options.threads)
    except (Exception, KeyboardInterrupt) as error:  # a bug in drawing, too, is no training that failed
        reason = " ".join(str(error).split()) or type(error).__name__
        say(
            f"warning: no report was written ({reason}); the run is complete, try: "
            f"linprobe report {shell_word(run.path)}"
        )
        return None
    return path
