"""`linprobe lab [SOURCE ...]`: the workbench in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from linprobe.cli.options import debug
from linprobe.cli.qr import show
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
    show_default="127.0.0.1, with --class 0.0.0.0",
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
@click.option("--class", "for_class", is_flag=True, help="Serve a class: students open the lab over the network.")
@click.option(
    "--allow-training", is_flag=True, help="With --class: students may upload, train, and read the folder of runs."
)
@click.option(
    "--students",
    type=click.IntRange(1, 1000),
    default=128,
    show_default=True,
    metavar="N",
    help="With --class: pages of students that may be open at a time.",
)
@click.option(
    "--per-address",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    metavar="N",
    help="With --class: of these, from one network address. Behind a router that all share, set it to --students.",
)
@debug
def lab(
    sources: tuple[str, ...],
    port: int,
    host: str | None,
    runs: Path,
    for_class: bool,
    allow_training: bool,
    students: int,
    per_address: int,
) -> None:
    """Serve the lab: points, scores, gradients, training and inspection in the browser, computed by linprobe.

    Each SOURCE can be trained on. The lab listens on this machine only, unless --host names another address: then the
    printed address holds a token, and requests without it are refused. Ctrl-C ends the lab.

    With --class it serves a lecture hall: students open a second address, with a token of their own. They can neither
    upload nor train, unless --allow-training is given, and the lecturer can show a step to all of them.
    """
    from importlib.util import find_spec

    from linprobe.extras import install_command

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise IncompatibleError(f"the lab needs {', '.join(missing)}; install with: {install_command('lab')}")
    from linprobe.lab.guard import is_loopback, new_code, new_token
    from linprobe.lab.protocol import Lab
    from linprobe.lab.qr import modules
    from linprobe.lab.roles import Hall
    from linprobe.lab.server import make_app, open_port, serve
    from linprobe.lab.sources import BUILT_IN

    for source in sources:
        if source not in BUILT_IN and not Path(source).expanduser().exists():
            raise SourceError(f"{source}: no such file or folder; expected a source to train on. Check the spelling.")
    host = host if host is not None else "0.0.0.0" if for_class else "127.0.0.1"
    token = new_token() if for_class or not is_loopback(host) else None
    listening = open_port(host, port)
    port = listening.getsockname()[1]
    if for_class:
        code = new_code()
        hall = Hall(code, _address(host, port, code), allow_training, students, per_address)
        shared = Lab(sources, runs, _write_report, hall)
        write(f"students open {hall.address}")
        show(modules(hall.address))
        write(f"you open {_address(_own(host), port, token)} on this machine - Ctrl-C ends it")
    else:
        shared = Lab(sources, runs, _write_report)
        write(f"the lab is at {_address(host, port, token)} - Ctrl-C ends it")
    app = make_app(shared, host=host, token=token)
    try:
        serve(app, listening, shared)
    except KeyboardInterrupt:  # by Ctrl-C is how it ends
        if name_of_stop() != "Ctrl-C":
            raise


def _own(host: str) -> str:
    """The address under which this machine reaches a lab at `host` without the network."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}.get(host, host)


def _address(host: str, port: int, token: str | None) -> str:
    """The address of the lab, with its token."""
    from linprobe.lab.server import reachable

    at = reachable(host)
    at = f"[{at}]" if ":" in at and not at.startswith("[") else at
    return f"http://{at}:{port}/" + (f"?token={token}" if token else "")


def _write_report(run: Path, cache: bool) -> Path:
    """The report of a finished run, in its folder."""
    from linprobe.report.page import write_report

    return write_report([run], cache=cache)
