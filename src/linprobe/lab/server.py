"""The application of the lab, and the server that runs it until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeAlias

from linprobe.errors import ParameterError, RunError
from linprobe.lab.answering import answered
from linprobe.lab.choices import page_table
from linprobe.lab.crew import Crew
from linprobe.lab.guard import Guard, Students, check_host
from linprobe.lab.hall import Class, NotAdmitted, closed_to_students
from linprobe.lab.pages import PAGES
from linprobe.lab.protocol import Client, Lab, Method, Page, encode
from linprobe.lab.roles import Bucket, Hall, Role
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

STUDENT_RATE, STUDENT_BURST = 120.0, 240
"""Messages a second that are read from a student's page, in the long run and at once; further ones wait unread. Chosen
by argument: a drag sends at most one for each of 60 frames a second, two where two panels follow it."""

STUDENT_BYTES = 4 * 2**20
"""Bytes of answers that may wait for a student's page; the connection of one that is further behind is closed. Chosen
by argument: the largest answer, a fine grid of regions, is 0.1 MB."""

CONNECTIONS_PER_PAGE = 8
"""HTTP connections at a time, for each page that a class takes, and that it takes from one address; a browser opens at
most 6."""

PAGES_BESIDE = 2
"""Pages of one address whose connections are allowed beside those that it may have open: one that is told that there
are too many, and the lecturer's."""

FILES = 256
"""Open files of a server beside its connections, at most: Python's own, runs, the processes that compute."""

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
        lab: what its pages share. With a hall, its students get an application of their own, without the pages that
            are closed to them.
        host: where it will listen.
        token: the secret that requests must show, in a class the lecturer's; None on loopback.
    Raises:
        ParameterError: the host is not loopback, or there is a class, and there is no token.
    """
    check_host(host, token)
    if lab.hall is None:
        return Guard(_application(lab, Role.LECTURER, frozenset()), token)
    if token is None or token == lab.hall.token:
        raise ParameterError("a class needs a token of the lecturer's own.")
    closed = closed_to_students(lab.hall, PAGES)
    students = Students(lab.hall.token, _application(lab, Role.STUDENT, closed))
    return Guard(_application(lab, Role.LECTURER, frozenset()), token, students)


def _application(lab: Lab, role: Role, closed: frozenset[str]) -> Starlette:
    """What those of a role may use: the built page, and the pages that are not closed to them."""
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    door = _Door(lab, role, closed)
    routes: list[BaseRoute] = [WebSocketRoute("/socket", door.talk)]
    routes += [route for page in PAGES if page.name not in closed for route in page.routes]
    routes += _page_routes(PAGE_FOLDER)
    app = Starlette(routes=routes)
    app.state.lab = lab
    return app


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


class _Door:
    """The WebSocket of those of one role.

    Args:
        lab: that they open.
        role: theirs.
        closed: the names of the pages that they may not use.
    """

    def __init__(self, lab: Lab, role: Role, closed: frozenset[str]) -> None:
        self.lab, self.role, self.closed = lab, role, closed
        of_all = {f"{page.name}.{name}": (page, method) for page in PAGES for name, method in page.methods.items()}
        self.methods: Methods = {name: method for name, (page, method) in of_all.items() if page.name not in closed}
        self.refused = {name: _why_closed(page) for name, (page, _) in of_all.items() if page.name in closed}
        # a slow method, of the pages that are not made for students, must not hold up those who drag
        self.quick = frozenset(name for name, (page, _) in of_all.items() if page.for_students)

    async def talk(self, websocket: WebSocket) -> None:
        """Answer the messages of one page until it leaves."""
        await websocket.accept()
        if self.role is Role.LECTURER:
            await self._talk(websocket, Client(self.lab, self.role, self.closed))
            return
        group = self.lab.service(Class)
        with contextlib.suppress(OSError):  # the first request says so
            self.lab.service(Crew).start()
        address = websocket.client.host if websocket.client else ""
        try:
            group.attendance.enter(address)
        except ParameterError as full:
            await websocket.send_text(encode({"event": "hall.refused", "data": NotAdmitted(in_words(str(full)))}))
            await websocket.close(1013, "the class takes no more pages")
            return
        try:
            group.count()
            await self._talk(websocket, Client(self.lab, self.role, self.closed, STUDENT_BYTES))
        finally:
            group.attendance.leave(address)
            group.count()

    async def _talk(self, websocket: WebSocket, client: Client) -> None:
        client.answer({"event": "choices", "data": page_table()})
        if self.lab.hall is not None:
            self.lab.service(Class).greet(client)
        self.lab.clients.add(client)
        running: set[asyncio.Task[None]] = set()
        bucket = Bucket(STUDENT_RATE, STUDENT_BURST)

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
                if self.role is Role.STUDENT and (pause := bucket.wait()) > 0:
                    await asyncio.sleep(pause)
                self._begin(client, message, running)
        finally:
            self.lab.clients.discard(client)
            sender.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):  # of a page that left while it was sent to
                await sender

    def _begin(self, client: Client, message: Mapping[str, Any], running: set[asyncio.Task[None]]) -> None:
        """Begin to answer a message; `running` are those that are being answered."""
        try:
            number, name, params = _request(message, self.methods, self.refused)
        except _BadRequest as bad:
            client.answer({"id": bad.number, "error": str(bad)})
            return
        if len(running) >= IN_FLIGHT:
            client.answer({"id": number, "error": f"more than {IN_FLIGHT} requests at a time; wait for an answer."})
            return
        task = asyncio.create_task(self._run(client, number, name, params, message["text"]))
        running.add(task)
        task.add_done_callback(running.discard)

    async def _run(self, client: Client, number: int | str, name: str, params: Mapping[str, object], text: str) -> None:
        """Answer one request. Of a student one is computed at a time, so that each gets a turn."""
        from starlette.concurrency import run_in_threadpool

        async with client.turn if self.role is Role.STUDENT else contextlib.nullcontext():
            if self.role is Role.STUDENT and name in self.quick:
                try:
                    client.pass_on(await self.lab.service(Crew).answer(text))
                except RunError as error:
                    client.answer({"id": number, "error": in_words(str(error))})
                return
            client.answer(await run_in_threadpool(answered, client, number, self.methods[name], params))


def _why_closed(page: Page) -> str:
    """Why students may not use a page, in a sentence."""
    if page.name == "hall":
        return "only the lecturer can show a step to all."
    return f"the page {page.name} is closed to students of this class; the lecturer can open it with --allow-training."


class _BadRequest(Exception):
    """A message that is no request; `number` is its id where it has one."""

    def __init__(self, number: int | str | None, why: str) -> None:
        super().__init__(why)
        self.number = number


def _request(
    message: Mapping[str, Any], methods: Methods, refused: Mapping[str, str]
) -> tuple[int | str, str, Mapping[str, object]]:
    """The request in a WebSocket message: its id, the name of its method, its parameters.

    Args:
        message: as ASGI has it.
        methods: that may be called.
        refused: why others may not, by their names.

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
    if isinstance(name, str) and name in refused:
        raise _BadRequest(number, refused[name])
    if not isinstance(name, str) or name not in methods:
        raise _BadRequest(number, f"no method {str(name)[:60]!r}; expected one of {', '.join(methods)}.")
    if not isinstance(params, dict):
        raise _BadRequest(number, "params must be an object.")
    return number, name, params


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


def make_server(app: Guard, hall: Hall | None = None) -> uvicorn.Server:
    """The server of the application; `run(sockets=[...])` of it serves until Ctrl-C, or until `should_exit` is set.

    Args:
        app: the application.
        hall: of a class, whose connections are limited.
    """
    import uvicorn

    from linprobe.lab.half_sent import Impatient, limited

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Impatient if hall is None else limited(_most_connections(hall)),
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            # of many students, each could have the server hold one of these
            ws_max_size=FRAME_BYTES if hall is None else 2 * MESSAGE_BYTES,
            limit_concurrency=None if hall is None else CONNECTIONS_PER_PAGE * hall.students,
            ws_per_message_deflate=False,  # on loopback it only takes time
            timeout_graceful_shutdown=1,
        )
    )


def serve(app: Guard, listening: socket.socket, lab: Lab) -> None:
    """Run the application on the socket until Ctrl-C, then end the services of the lab.

    Raises:
        KeyboardInterrupt: how it ends; the services have ended.
    """
    server = make_server(app, lab.hall)
    if lab.hall is not None:
        _make_room(lab.hall)
    try:
        with _hang_ups_met(server):
            server.run(sockets=[listening])
    finally:
        lab.close()
        listening.close()


def _most_connections(hall: Hall) -> int:
    """HTTP connections of one address at a time."""
    return CONNECTIONS_PER_PAGE * (hall.per_address + PAGES_BESIDE)


def _make_room(hall: Hall) -> None:
    """Raise the number of files that this process may open, so that each student's connections fit, where that can be.

    The usual 1,024 would do for about a hundred students.
    """
    needed = (1 + CONNECTIONS_PER_PAGE) * hall.students + FILES
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # not on every system

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < needed:
            most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


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
    server = make_server(make_app(lab, host=host, token=token), lab.hall)
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
