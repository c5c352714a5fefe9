"""What a page of the lab is written with: Page, Client, Lab, Params, and how numbers travel."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError
from linprobe.parameters import Parameter
from linprobe.plain import plain
from linprobe.shapes import check_range

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

__all__ = ["EVENTS_WAITING", "Client", "Lab", "Method", "Page", "Params", "encode", "packed"]

EVENTS_WAITING = 256
"""Events that may wait for a slow page; further ones are dropped. Answers and broadcasts are never dropped."""

Service = TypeVar("Service")


def encode(message: Mapping[str, Any]) -> str:
    """The message as JSON, in ASCII: half a surrogate pair, which a page may send, has no bytes in UTF-8.

    NaN and infinity become null.
    """
    return json.dumps(plain(message), allow_nan=False, separators=(",", ":"))


def packed(grid: npt.NDArray[Any]) -> dict[str, Any]:
    """A grid (height, width) of classes 0..255 as {"height", "width", "bytes"}: base64 of uint8, row after row."""
    data = base64.b64encode(np.ascontiguousarray(grid, dtype=np.uint8).tobytes()).decode("ascii")
    return {"height": int(grid.shape[0]), "width": int(grid.shape[1]), "bytes": data}


class Params:
    """The parameters of a request; every reader checks its value; a message is one sentence.

    Raises, in every method:
        ParameterError: the parameter is missing, of another kind, or outside its range.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def names(self, most: int) -> list[str]:
        """Names of the parameters, at most `most`."""
        if len(self._values) > most:
            raise ParameterError(f"{len(self._values)} parameters; expected at most {most}.")
        return [str(name) for name in self._values]

    def number(self, name: str, *, low: float = -1e12, high: float = 1e12, open_low: bool = False) -> float:
        """A finite number in [low, high], or ]low, high] with `open_low`."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ParameterError(f"{name} = {_shown(value)}; expected a number.")
        check_range(name, value, low=low, high=high, open_low=open_low)
        return float(value)

    def parameter(self, about: Parameter) -> float:
        """The number or flag called `about.name`, in its range."""
        if about.kind == "flag":
            return self.flag(about.name)
        low, high = max(about.low, -1e12), min(about.high, 1e12)
        if about.kind == "whole":
            return self.whole(about.name, low=math.ceil(low), high=math.floor(high))
        return self.number(about.name, low=low, high=high, open_low=about.open_low)

    def whole(self, name: str, *, low: int, high: int) -> int:
        """A whole number in low..high."""
        value = self.number(name, low=low, high=high)
        if value != math.floor(value):
            raise ParameterError(f"{name} = {value}; expected a whole number.")
        return int(value)

    def choice(self, name: str, choices: Iterable[str]) -> str:
        """One of `choices`."""
        value, known = self._values.get(name), list(choices)
        if not isinstance(value, str) or value not in known:
            raise ParameterError(f"{name} = {_shown(value)}; expected one of {', '.join(known)}.")
        return value

    def text(self, name: str, *, longest: int = 200) -> str:
        """A text of at most `longest` characters."""
        value = self._values.get(name)
        if not isinstance(value, str) or len(value) > longest:
            raise ParameterError(f"{name} = {_shown(value)}; expected a text of at most {longest} characters.")
        try:
            value.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which no file is called
            raise ParameterError(f"{name} = {_shown(value)}; expected a text of whole characters.") from None
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is missing."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise ParameterError(f"{name} = {_shown(value)}; expected true or false.")
        return value

    def group(self, name: str) -> Params:
        """The parameters inside the object `name`."""
        value = self._values.get(name)
        if not isinstance(value, dict):
            raise ParameterError(f"{name} = {_shown(value)}; expected an object.")
        return Params(value)

    def floats(self, name: str, shape: tuple[int | None, ...], *, most: int, size: float = 1e9) -> Any:
        """A float64 array of the shape; None in it stands for any length up to `most`, and at least 1.

        Args:
            size: the largest |number| allowed.
        """
        value = self._values.get(name)
        wanted = " x ".join("n" if n is None else str(n) for n in shape)
        try:
            if value is None:
                raise TypeError
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise ParameterError(f"{name} = {_shown(value)}; expected {wanted} numbers.") from None
        fits = array.ndim == len(shape) and all(
            (1 <= found <= most) if asked is None else found == asked
            for found, asked in zip(array.shape, shape, strict=True)
        )
        if not fits:
            limit = f", n in 1..{most}" if None in shape else ""
            raise ParameterError(f"{name} has shape {array.shape}; expected {wanted} numbers{limit}.")
        if not (np.abs(array) <= size).all():  # NaN is never inside
            raise ParameterError(f"{name} holds a number that is not finite or above {size:g} in size.")
        return array

    def labels(self, name: str, n: int, *, n_classes: int) -> npt.NDArray[np.int64]:
        """(n,) classes 0..n_classes-1."""
        array = self.floats(name, (n,), most=n)
        if (array != np.floor(array)).any() or (array < 0).any() or (array >= n_classes).any():
            raise ParameterError(f"{name} holds something else than whole numbers 0..{n_classes - 1}.")
        return np.asarray(array, dtype=np.int64)


def _shown(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Client:
    """One open page."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._loop = asyncio.get_running_loop()
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()

    def send(self, event: str, data: Any, *, always: bool = False) -> None:
        """Send an event to this page; from any thread. To a page that is gone nothing is sent.

        Args:
            always: also to a page that is far behind.
        """
        text = encode({"event": event, "data": data})
        try:
            self._loop.call_soon_threadsafe(self._outgoing.put_nowait if always else self._put_event, text)
        except RuntimeError:  # the loop has ended
            return

    def answer(self, message: Mapping[str, Any]) -> None:
        """Queue an answer; from the loop's own thread."""
        self._outgoing.put_nowait(encode(message))

    async def next(self) -> str:
        """The next text for the page."""
        return await self._outgoing.get()

    def _put_event(self, text: str) -> None:
        if self._outgoing.qsize() < EVENTS_WAITING:
            self._outgoing.put_nowait(text)


@dataclass
class Lab:
    """What all pages share.

    Args:
        sources: those of the command line, as they were given.
        runs: the folder of the run folders.
        report: writes the report of a run folder into it; the second argument says whether decoded pixels may be
            kept. None where reports cannot be written.
    """

    sources: tuple[str, ...] = ()
    runs: Path = Path("runs")
    report: Callable[[Path, bool], object] | None = None
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

    def broadcast(self, event: str, data: Any) -> None:
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


Method: TypeAlias = Callable[[Client, Params], Any]
"""A method of a page; it runs in a thread."""


@dataclass(frozen=True)
class Page:
    """A page's part of the back end.

    Args:
        name: the first part of its methods' names and of its address.
        methods: by the second part of their names.
        routes: of its own, for files that come and go; their paths begin with /<name>/.
    """

    name: str
    methods: Mapping[str, Method]
    routes: Sequence[BaseRoute] = ()
