"""What a page of the lab is written with: Page, Method, Request, Client, Lab."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from linprobe.errors import ParameterError
from linprobe.lab.roles import Hall, Role
from linprobe.plain import plain
from linprobe.typed_json import Closed, MismatchError, dataclass_from

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

__all__ = [
    "EVENTS_WAITING",
    "Client",
    "Lab",
    "Method",
    "NoParameters",
    "Page",
    "Refused",
    "Request",
    "encode",
    "read_request",
]

EVENTS_WAITING = 256
"""Events that may wait for a slow page; further ones are dropped. Answers and broadcasts are never dropped."""

MOST_WAITING = 4096
"""Answers and events that may wait for a page; the connection of one that is further behind is closed. Chosen by
argument: a page that reads is never more than some hundred behind, and most answers are below 10 kB."""

Service = TypeVar("Service")


def encode(message: Mapping[str, object]) -> str:
    """The message as JSON, in ASCII: half a surrogate pair, which a page may send, has no bytes in UTF-8.

    NaN and infinity become null.
    """
    return json.dumps(plain(message), allow_nan=False, separators=(",", ":"))


class Request(Closed):
    """Base of the records of requests: a field that the record does not have is refused."""


@dataclass(frozen=True)
class Refused:
    """The answer to an upload that is refused, in one sentence."""

    error: str


@dataclass(frozen=True)
class NoParameters(Request):
    """A request that holds nothing."""


Asked = TypeVar("Asked", bound=Request)


def read_request(kind: type[Asked], params: Mapping[str, object]) -> Asked:
    """The request that `params` hold.

    Raises:
        ParameterError: a field is unknown, missing, of another type or out of range; the message is one line.
    """
    try:
        return dataclass_from(kind, params)
    except MismatchError as odd:
        raise ParameterError(f"{str(odd).rstrip('.')}.") from None


class Client:
    """One open page.

    Args:
        lab: that it has opened.
        role: of who has opened it.
        closed: names of the pages that it may not use; it hears none of their events.
        most_bytes: bytes of answers and events that may wait for it; None for no limit but their number.
    """

    def __init__(
        self,
        lab: Lab,
        role: Role = Role.LECTURER,
        closed: frozenset[str] = frozenset(),
        most_bytes: int | None = None,
    ) -> None:
        self.lab, self.role, self.closed, self.most_bytes = lab, role, closed, most_bytes
        self.turn = asyncio.Lock()
        """Held by the request of a student that is computed; their next one waits."""
        self._loop = asyncio.get_running_loop()
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._bytes = 0

    def send(self, event: str, data: object, *, always: bool = False) -> None:
        """Send an event to this page; from any thread. To a page that is gone nothing is sent.

        Args:
            always: also to a page that is far behind.
        """
        if event.partition(".")[0] in self.closed and not event.startswith("hall."):
            return
        text = encode({"event": event, "data": data})
        try:
            self._loop.call_soon_threadsafe(self._put if always else self._put_event, text)
        except RuntimeError:  # the loop has ended
            return

    def answer(self, message: Mapping[str, object]) -> None:
        """Queue an answer; from the loop's own thread."""
        self._put(encode(message))

    def pass_on(self, text: str) -> None:
        """Queue an answer that is text already; from the loop's own thread."""
        self._put(text)

    @property
    def behind(self) -> bool:
        """Whether so much waits for this page that it cannot be reading any more."""
        too_large = self.most_bytes is not None and self._bytes > self.most_bytes
        return too_large or self._outgoing.qsize() >= MOST_WAITING

    async def next(self) -> str:
        """The next text for the page."""
        text = await self._outgoing.get()
        self._bytes -= len(text)
        return text

    def _put(self, text: str) -> None:
        self._bytes += len(text)
        self._outgoing.put_nowait(text)

    def _put_event(self, text: str) -> None:
        if self._outgoing.qsize() < EVENTS_WAITING:
            self._put(text)


@dataclass
class Lab:
    """What all pages share.

    Args:
        sources: those of the command line, as they were given.
        runs: the folder of the run folders.
        report: writes the report of a run folder into it; the second argument says whether decoded pixels may be
            kept. None where reports cannot be written.
        hall: what a class is given; None for a lab without one.
    """

    sources: tuple[str, ...] = ()
    runs: Path = Path("runs")
    report: Callable[[Path, bool], object] | None = None
    hall: Hall | None = None
    clients: set[Client] = field(default_factory=set)
    _services: dict[type, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def service(self, kind: Callable[[Lab], Service]) -> Service:
        """The one `kind(lab)` of this lab, made at its first use."""
        key: Any = kind
        with self._lock:
            if key not in self._services:
                self._services[key] = kind(self)
            made: Service = self._services[key]
            return made

    def broadcast(self, event: str, data: object) -> None:
        """Send an event to all pages, those far behind as well; from any thread."""
        for client in tuple(self.clients):
            client.send(event, data, always=True)

    def close(self) -> None:
        """End the services that have a `close`, those made last first: they may need the others."""
        with self._lock:
            for service in reversed(list(self._services.values())):
                close = getattr(service, "close", None)
                if close is not None:
                    close()
            self._services.clear()


@dataclass(frozen=True)
class Method(Generic[Asked]):
    """A method of a page.

    Args:
        request: the record of its parameters.
        handler: what answers; it runs in a thread. Its return type is that of the answer.
    """

    request: type[Asked]
    handler: Callable[[Client, Asked], object]

    def answer(self, client: Client, params: Mapping[str, object]) -> object:
        """The answer to a request.

        Raises:
            ParameterError: `params` are not those of the method.
            LinprobeError: what the handler raises.
        """
        return self.handler(client, read_request(self.request, params))


@dataclass(frozen=True)
class Page:
    """A page's part of the back end.

    Args:
        name: the first part of its methods' names and of its address.
        methods: by the second part of their names.
        events: the record of each event that the server sends to the page, by the second part of its name.
        routes: of its own, for files that come and go; their paths begin with /<name>/.
        for_students: whether the students of a class may use it: its methods compute from their requests alone, in
            milliseconds, and read, keep and start nothing. Students are answered by processes that have no client.
            Without it the page is the lecturer's.
    """

    name: str
    methods: Mapping[str, Method[Any]]  # each of a request type of its own
    routes: Sequence[BaseRoute] = ()
    events: Mapping[str, type] = field(default_factory=dict)
    for_students: bool = False
