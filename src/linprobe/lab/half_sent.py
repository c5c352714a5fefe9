"""HTTP connections that end where a request stops half-way: uvicorn itself waits for the rest for ever."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["SECONDS", "Impatient"]

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
