"""The program `linprobe`, also run by `python -m linprobe`: the command line, ended quietly by Ctrl-C at any moment.

Nothing is imported before Ctrl-C is caught: while the command line loads, it would end in a traceback.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line, and leave with its exit code: 130 after Ctrl-C.

    `linprobe.cli` reports a Ctrl-C while it runs. One that comes earlier, while modules are imported, is caught here.
    """
    try:
        from linprobe.cli import main as run

        run()
    except SystemExit:
        raise
    except BaseException as error:
        if not _comes_from_ctrl_c(error):
            raise
        import contextlib
        import os

        with contextlib.suppress(OSError):  # stderr may be closed
            os.write(2, b"stopped by Ctrl-C\n")
        os._exit(130)


def _comes_from_ctrl_c(error: BaseException | None) -> bool:
    """Whether Ctrl-C was pressed: the import of a module that it stopped may raise an ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


if __name__ == "__main__":
    main()
