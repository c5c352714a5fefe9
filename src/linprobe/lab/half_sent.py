"""HTTP connections that end where a request stops half-way, or where one address has too many.

uvicorn itself waits for the rest of a request for ever, and counts no addresses.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["SECONDS", "Impatient", "limited"]

SECONDS = 20.0
"""Seconds for the head of a request, and between two pieces of its body. Chosen by argument: the slowest upload sends
more often."""


class Impatient(H11Protocol):
    """Closes the connection of a client that sends half a request."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        # a body may take long, piece by piece; a head may not
        if self._waiting is None or self.conn.their_state is h11.SEND_BODY:
            self._wait()
        super().data_received(data)

    def on_response_complete(self) -> None:
        self._stop_waiting()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.close()


def limited(most: int) -> type[Impatient]:
    """Connections of which one address has at most `most` at a time; further ones are closed.

    A WebSocket counts until it is opened: those of students are counted as pages.
    """
    open_from: Counter[str] = Counter()

    class Limited(Impatient):
        _counted: str | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
            super().connection_made(transport)
            address = str((transport.get_extra_info("peername") or ("",))[0])
            if open_from[address] >= most:
                transport.abort()
                return
            open_from[address] += 1
            self._counted = address

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._leave()
            super().handle_websocket_upgrade(event)

        def connection_lost(self, exc: Exception | None) -> None:
            self._leave()
            super().connection_lost(exc)

        def _leave(self) -> None:
            if self._counted is not None:
                open_from[self._counted] -= 1
                if not open_from[self._counted]:
                    del open_from[self._counted]
                self._counted = None

    return Limited
