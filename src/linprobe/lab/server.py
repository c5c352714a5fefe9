"""The application of the lab, and the server that runs it until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import ipaddress
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

from linprobe.errors import LinprobeError, ParameterError
from linprobe.lab.choices import page_table
from linprobe.lab.guard import Guard, check_host
from linprobe.lab.pages import PAGES
from linprobe.lab.protocol import Client, Lab, Method
from linprobe.plain import parse_json
from linprobe.wording import in_words

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.websockets import WebSocket

__all__ = [
    "IN_FLIGHT",
    "MESSAGE_BYTES",
    "PAGE_FOLDER",
    "make_app",
    "make_server",
    "open_port",
    "reachable",
    "serve",
    "served",
]

PAGE_FOLDER = Path(__file__).parent / "page"
"""The built page."""

MESSAGE_BYTES = 256 * 1024
"""Longest message that is read; a longer one is answered with an error."""

FRAME_BYTES = 64 * MESSAGE_BYTES
"""Longest message that is taken off the wire at all; the connection of a longer one is closed."""

IN_FLIGHT = 8
"""Requests of one page that may be computed at a time."""

Methods: TypeAlias = Mapping[str, Method[Any]]  # each of a request type of its own
"""The methods of all pages by their whole names."""

MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""Media type of each kind of file that is served."""


def make_app(lab: Lab, *, host: str = "127.0.0.1", token: str | None = None) -> Guard:
    """The ASGI application, guarded.

    Args:
        lab: what its pages share.
        host: where it will listen.
        token: the secret that requests must show; None on loopback.
    Raises:
        ParameterError: the host is not loopback and there is no token.
    """
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    check_host(host, token)
    methods = {f"{page.name}.{name}": method for page in PAGES for name, method in page.methods.items()}

    async def talk(websocket: WebSocket) -> None:
        await _talk(websocket, lab, methods)

    routes: list[BaseRoute] = [WebSocketRoute("/socket", talk)]
    routes += [route for page in PAGES for route in page.routes]
    routes += _page_routes(PAGE_FOLDER)
    app: Starlette = Starlette(routes=routes)
    app.state.lab = lab
    return Guard(app, token)


def _page_routes(folder: Path) -> list[BaseRoute]:
    """A route for each file of the built page, which is small and kept in memory."""
    from starlette.routing import Route

    if not (folder / "index.html").exists():
        raise ParameterError(f"{folder}: the page of the lab is not there; build it with `make web`.")
    files = sorted(path for path in folder.iterdir() if path.suffix in MEDIA_TYPES)
    routes: list[BaseRoute] = [Route(f"/{path.name}", _file(path)) for path in files]
    return [*routes, Route("/", _file(folder / "index.html"))]


def _file(path: Path) -> Callable[[Request], Response]:
    from starlette.responses import Response

    content, kind = path.read_bytes(), MEDIA_TYPES[path.suffix]
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        return Response(content, media_type=kind, headers={"etag": tag})

    return answer


async def _talk(websocket: WebSocket, lab: Lab, methods: Methods) -> None:
    """Answer the messages of one page until it leaves."""
    await websocket.accept()
    client = Client(lab)
    client.answer({"event": "choices", "data": page_table()})
    lab.clients.add(client)
    running: set[asyncio.Task[None]] = set()

    async def send_all() -> None:
        try:
            while True:
                await websocket.send_text(await client.next())
        except Exception:  # the page gets no answer any more: it must not wait, but connect anew
            with contextlib.suppress(Exception):
                await websocket.close(1011)
            raise

    sender = asyncio.create_task(send_all())
    try:
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            if client.behind:
                await websocket.close(1013, "this page does not read its answers")
                break
            try:
                number, method, params = _request(message, methods)
            except _BadRequest as bad:
                client.answer({"id": bad.number, "error": str(bad)})
                continue
            if len(running) >= IN_FLIGHT:
                client.answer({"id": number, "error": f"more than {IN_FLIGHT} requests at a time; wait for an answer."})
                continue
            task = asyncio.create_task(_run(client, number, method, params))
            running.add(task)
            task.add_done_callback(running.discard)
    finally:
        lab.clients.discard(client)
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # of a page that left while it was sent to
            await sender


class _BadRequest(Exception):
    """A message that is no request; `number` is its id where it has one."""

    def __init__(self, number: int | str | None, why: str) -> None:
        super().__init__(why)
        self.number = number


def _request(message: Mapping[str, Any], methods: Methods) -> tuple[int | str, Method[Any], Mapping[str, object]]:
    """The request in a WebSocket message.

    Raises:
        _BadRequest: it is none.
    """
    text = message.get("text")
    if text is None:
        raise _BadRequest(None, "a binary message; expected JSON text.")
    if len(text) > MESSAGE_BYTES or len(text.encode()) > MESSAGE_BYTES:
        raise _BadRequest(None, f"a message of {len(text)} characters; at most {MESSAGE_BYTES} bytes are read.")
    try:
        value = parse_json(text)
    except ValueError:
        raise _BadRequest(None, 'not JSON; expected {"id": ..., "method": ..., "params": {...}}.') from None
    number = value.get("id") if isinstance(value, dict) else None
    if isinstance(number, bool) or not isinstance(number, int | str):
        raise _BadRequest(None, 'expected {"id": a number, "method": ..., "params": {...}}.')
    name, params = value.get("method"), value.get("params", {})
    if not isinstance(name, str) or name not in methods:
        raise _BadRequest(number, f"no method {str(name)[:60]!r}; expected one of {', '.join(methods)}.")
    if not isinstance(params, dict):
        raise _BadRequest(number, "params must be an object.")
    return number, methods[name], params


async def _run(client: Client, number: int | str, method: Method[Any], params: Mapping[str, object]) -> None:
    """Answer one request, whatever happens in it."""
    from starlette.concurrency import run_in_threadpool

    try:
        client.answer({"id": number, "result": await run_in_threadpool(method.answer, client, params)})
    except LinprobeError as error:
        client.answer({"id": number, "error": in_words(str(error))})
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        client.answer({"id": number, "error": f"{type(error).__name__}: {error}. This is a bug in linprobe."})


def open_port(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 for a free one.

    Raises:
        ParameterError: the host is unknown, or the port taken or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address[:2], family=family)
    except UnicodeError:
        raise ParameterError(f"host {host!r} is not a name of a host; try --host 127.0.0.1.") from None
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                why = f"port {port} is taken; choose another with --port, or --port 0 for a free one."
            case errno.EACCES:
                why = f"port {port} is not allowed to you; choose one above 1023 with --port."
            case _:
                why = f"host {host!r} cannot be listened to ({error.strerror or error}); try --host 127.0.0.1."
        raise ParameterError(why) from None
    return listening


def reachable(host: str) -> str:
    """The name or address of this machine under which other machines find what listens to `host`.

    "0.0.0.0" and "::" stand for all addresses of a machine and are no address that another machine can open.
    """
    try:
        listens = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host
    if not listens.is_unspecified:
        return host
    family, elsewhere = (socket.AF_INET, "192.0.2.1") if listens.version == 4 else (socket.AF_INET6, "2001:db8::1")
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((elsewhere, 9))  # sends nothing: it looks up which own address leads out
        return str(probe.getsockname()[0])
    return socket.gethostname()


def make_server(app: Guard) -> uvicorn.Server:
    """The server of the application; `run(sockets=[...])` of it serves until Ctrl-C, or until `should_exit` is set."""
    import uvicorn

    from linprobe.lab.half_sent import Impatient

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Impatient,
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=FRAME_BYTES,
            ws_per_message_deflate=False,  # on loopback it only takes time
            timeout_graceful_shutdown=1,
        )
    )


def serve(app: Guard, listening: socket.socket, lab: Lab) -> None:
    """Run the application on the socket until Ctrl-C, then end the services of the lab.

    Raises:
        KeyboardInterrupt: how it ends; the services have ended.
    """
    server = make_server(app)
    try:
        with _hang_ups_met(server):
            server.run(sockets=[listening])
    finally:
        lab.close()
        listening.close()


@contextlib.contextmanager
def _hang_ups_met(server: uvicorn.Server) -> Iterator[None]:
    """Inside, SIGHUP ends the server as SIGTERM does, which uvicorn knows; then the handler of before is called.

    An exception of that handler, raised in the middle of the event loop, would be one of whatever task ran there.
    """
    number = getattr(signal, "SIGHUP", None)
    before = None if number is None else signal.getsignal(number)
    if number is None or not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    met: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        met.append(number)
        server.handle_exit(number, frame)

    signal.signal(number, end)
    try:
        yield
    finally:
        signal.signal(number, before)
    if met:
        signal.raise_signal(number)


@contextlib.contextmanager
def served(lab: Lab, *, host: str = "127.0.0.1", token: str | None = None) -> Iterator[str]:
    """The address of the lab, served from a thread on a free port as long as the `with` lasts.

    Args:
        lab, host, token: as for `make_app`; it listens on loopback, whatever the host.
    Raises:
        RuntimeError: the server did not end within 20 seconds.
    """
    listening = open_port("127.0.0.1", 0)
    server = make_server(make_app(lab, host=host, token=token))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        lab.close()
        listening.close()
        if thread.is_alive():
            raise RuntimeError("the server of the lab did not end within 20 seconds")
