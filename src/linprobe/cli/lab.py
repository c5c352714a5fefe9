"""`linprobe lab [SOURCE ...]`: the workbench in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from linprobe.cli.options import debug
from linprobe.cli.stops import name_of_stop
from linprobe.cli.terminal import write
from linprobe.errors import IncompatibleError, SourceError

NEEDED = ("starlette", "uvicorn", "websockets")
"""Modules of the optional dependencies of the lab."""


@click.command(short_help="The workbench in the browser.")
@click.argument("sources", nargs=-1, metavar="[SOURCE ...]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8421,
    show_default=True,
    metavar="P",
    help="Port it listens on; 0 for a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="H",
    help="Address it listens on. An address that other machines can reach requires a token.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    metavar="FOLDER",
    help="The folder of runs: the lab lists them, and puts new ones there.",
)
@debug
def lab(sources: tuple[str, ...], port: int, host: str, runs: Path) -> None:
    """Serve the lab: points, scores, gradients, training and inspection in the browser, computed by linprobe.

    Each SOURCE can be trained on. The lab listens on this machine only, unless --host names another address: then the
    printed address holds a token, and requests without it are refused. Ctrl-C ends the lab.
    """
    from importlib.util import find_spec

    from linprobe.extras import install_command

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise IncompatibleError(f"the lab needs {', '.join(missing)}; install with: {install_command('lab')}")
    from linprobe.lab.guard import is_loopback, new_token
    from linprobe.lab.protocol import Lab
    from linprobe.lab.server import make_app, open_port, reachable, serve
    from linprobe.lab.sources import BUILT_IN

    for source in sources:
        if source not in BUILT_IN and not Path(source).expanduser().exists():
            raise SourceError(f"{source}: no such file or folder; expected a source to train on. Check the spelling.")
    token = None if is_loopback(host) else new_token()
    shared = Lab(sources, runs, _write_report)
    app = make_app(shared, host=host, token=token)
    listening = open_port(host, port)
    at = reachable(host)
    at = f"[{at}]" if ":" in at else at
    address = f"http://{at}:{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
    write(f"the lab is at {address} - Ctrl-C ends it")
    try:
        serve(app, listening, shared)
    except KeyboardInterrupt:  # by Ctrl-C is how it ends
        if name_of_stop() != "Ctrl-C":
            raise


def _write_report(run: Path, cache: bool) -> Path:
    """The report of a finished run, in its folder."""
    from linprobe.report.page import write_report

    return write_report([run], cache=cache)
