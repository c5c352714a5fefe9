"""The command line: one file per command, loaded when it is called.

Exit codes: 0 done; 1 a gradient or an exercise is wrong, or linprobe itself is; 2 bad input, in one line; 130 Ctrl-C,
143 SIGTERM, 129 SIGHUP.
"""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from linprobe.cli.help import HelpContext
from linprobe.cli.options import debug
from linprobe.cli.stops import code_of_stop, leave_quietly, name_of_stop, stops_answered
from linprobe.cli.terminal import drop_output, prepare, write, write_error
from linprobe.errors import LinprobeError
from linprobe.wording import in_options

__all__ = ["main"]

COMMANDS = (
    "train",
    "sweep",
    "knn",
    "evaluate",
    "predict",
    "challenges",
    "report",
    "gradcheck",
    "lab",
    "assignment",
    "info",
    "cache",
)
"""Each is a module of this room that holds a click command of the same name."""

EXAMPLES = (
    ("linprobe train pictures/", "a folder with one folder of pictures per class"),
    ("linprobe evaluate runs/... pictures/", "accuracy, class by class"),
    ("linprobe predict runs/... cat.jpg", "the class of one picture"),
)
"""What to begin with: a command, and what it does or reads."""


class Linprobe(click.Group):
    """The group of commands, which also turns every exception into one line and an exit code."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its module imported only now: `--help` of one must not pay for the others."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"linprobe.cli.{cmd_name}"), cmd_name)
        command.context_class = HelpContext
        return command

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, and the examples."""
        super().format_help_text(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_dl(EXAMPLES, col_max=max(len(command) for command, _ in EXAMPLES))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command is answered with the known ones."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}; expected one of {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """As click does; after Ctrl-C click would print an empty line."""
        try:
            return super().make_context(*args, **extra)
        except KeyboardInterrupt:
            write_error(_stopped(""))
            raise click.exceptions.Exit(code_of_stop()) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; every exception that is not click's own ends here."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except LinprobeError as error:
            _end_if_stopped(ctx, error)
            _end(ctx, in_options(str(error)), 2)
        except KeyboardInterrupt as stop:
            _end(ctx, _stopped(str(stop)), code_of_stop(), kind="")
        except BrokenPipeError:
            # The reader of our output has left (`| head`): an error message would reach nobody.
            drop_output()
            ctx.exit(1)
        except OSError as error:
            # Errors of files are LinprobeErrors by now: this one is of our own output.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO) or error.filename is not None:
                _end(ctx, _bug(error), 1)
            drop_output()
            _end(ctx, _unwritable(error), 2)
        except MemoryError as error:
            _end(ctx, f"out of memory ({error}); use a smaller --image-size or fewer --threads", 2)
        except Exception as error:
            _end_if_stopped(ctx, error)
            _end(ctx, _bug(error), 1)

    def main(  # type: ignore[override]  # click's overloads differ between its versions
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run and leave with an exit code; an unusable command line gives one line."""
        if not extra.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **extra)
        prepare()
        # Without this the last garbage collections traverse all of scikit-learn, and take longer than a short command.
        atexit.register(gc.freeze)
        atexit.register(leave_quietly)
        try:
            with warnings.catch_warnings(), stops_answered():
                warnings.showwarning = _show_warning
                code = super().main(args, prog_name, standalone_mode=False, **extra)
        except (click.Abort, KeyboardInterrupt):
            write_error(_stopped(""))
            code = code_of_stop()
        except OSError as error:  # a --help that nobody reads, or that the disk has no room for
            drop_output()
            code = 1 if isinstance(error, BrokenPipeError) else 2
            if code == 2:
                write_error(f"error: {_unwritable(error)}")
        except click.exceptions.NoArgsIsHelpError as error:  # a group alone: its help, as it is set
            write_error(error.format_message())
            code = 2
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f"; see {context.command_path} --help" if context else ""
            write_error(f"error: {_one_line(error.format_message()).rstrip('.')}{hint}")
            code = 2
        sys.exit(code if isinstance(code, int) else 0)


def _end_if_stopped(ctx: click.Context, error: BaseException) -> None:
    """Leave as after Ctrl-C if an error comes from that: a module that was being imported raises ImportError."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt):
            _end(ctx, _stopped(str(seen)), code_of_stop(), kind="")
        seen = seen.__cause__ or seen.__context__


def _stopped(message: str) -> str:
    """The last line of a command that a signal ended; Ctrl-C needs no name where there is a message."""
    name = name_of_stop()
    if not message:
        return f"stopped by {name}"
    return message if name == "Ctrl-C" else f"{name}: {message}"


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
) -> None:
    """One line for a warning of a library; its place in the code only where no person wrote it for another."""
    place = "" if issubclass(category, UserWarning) else f" ({category.__name__}, {filename}:{lineno})"
    write_error(f"warning: {_one_line(str(message))}{place}")


def _bug(error: Exception) -> str:
    return f"{type(error).__name__}: {_one_line(str(error))}. This is a bug in linprobe: --debug shows where"


def _unwritable(error: OSError) -> str:
    return f"the output cannot be written ({error.strerror}); free some space, or send it elsewhere"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _end(ctx: click.Context, message: str, code: int, kind: str = "error: ") -> NoReturn:
    """Leave with `code` after one line on stderr; with --debug the traceback comes first."""
    if ctx.meta.get("linprobe.debug"):
        write_error(traceback.format_exc().rstrip("\n"))
    write_error(f"{kind}{message}".replace("\n", " "))
    ctx.exit(code)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        write(f"linprobe {version('linprobe')}")
        ctx.exit()


@click.group(cls=Linprobe, context_settings={"help_option_names": ["-h", "--help"]})
@debug
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version.",
)
def main() -> None:
    """Train and inspect a linear image classifier, f(x, W) = Wx + b."""
