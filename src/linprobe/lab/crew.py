"""The processes that answer the students of a class: as many requests at a time as there are cores."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys

from linprobe.cores import usable_cores
from linprobe.errors import RunError
from linprobe.lab.answering import HEAD, framed
from linprobe.lab.protocol import Lab

__all__ = ["Crew"]

MOST = 8
"""Processes at most, of about 150 MB each. Chosen by argument: two of them answer 64 students."""

SECONDS = 30.0
"""Seconds for an answer; its process is then ended. Chosen by argument: the slowest request takes one second."""

CLOSE_SECONDS = 5.0
"""Seconds for a process to end by itself once its socket is closed."""


class Crew:
    """The processes of a lab: a service, used from the loop's own thread. They are started by their first requests.

    A thread would share the interpreter with the server and with the other threads, and wait for it.

    Args:
        lab: whose they are.
    """

    def __init__(self, lab: Lab) -> None:
        self._all = [_Hand() for _ in range(min(MOST, usable_cores()))]
        self._free: asyncio.Queue[_Hand] = asyncio.Queue()
        for hand in self._all:
            self._free.put_nowait(hand)

    def start(self) -> None:
        """Start those that do not run; they take a second or two until they answer.

        Raises:
            OSError: the system has no room for one.
        """
        for hand in self._all:
            hand.start()

    async def answer(self, text: str) -> str:
        """The text of the answer to the text of a request of a page for students; who comes first is first.

        Raises:
            RunError: the process ended, or took too long.
        """
        hand = await self._free.get()
        try:
            return await hand.answer(text)
        finally:
            self._free.put_nowait(hand)

    def close(self) -> None:
        """End the processes."""
        for hand in self._all:
            hand.end()


class _Hand:
    """One process, which is started when it is needed and again after it has failed."""

    _process: subprocess.Popen[bytes] | None = None
    _socket: socket.socket | None = None

    def start(self) -> None:
        """Start the process, if it does not run.

        Raises:
            OSError: the system has no room for it.
        """
        if self._process is not None:
            return
        self._socket, other = socket.socketpair()
        self._socket.setblocking(False)
        with other:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "linprobe.lab.answering"],
                    stdin=other.fileno(),
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C in the terminal goes to the lab, which closes the socket
                )
            except OSError:
                self.end()
                raise

    async def answer(self, text: str) -> str:
        """The text of an answer.

        Raises:
            RunError: the process ended, or took too long.
        """
        try:
            self.start()
            async with asyncio.timeout(SECONDS):
                assert self._socket is not None  # it was started
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(self._socket, framed(text.encode("utf-8", "surrogatepass")))
                size = int.from_bytes(await _received(self._socket, HEAD), "big")
                return (await _received(self._socket, size)).decode("ascii")
        except TimeoutError:
            self.end()
            raise RunError(f"the answer took more than {SECONDS:.0f} seconds; request less at a time.") from None
        except (OSError, EOFError) as error:
            self.end()
            raise RunError(f"the process that computes has ended, or cannot start ({error}); try again.") from None
        except BaseException:  # of an answer that nobody waits for: what it would still send belongs to no request
            self.end()
            raise

    def end(self) -> None:
        """End the process."""
        if self._socket is not None:
            self._socket.close()
        process, self._process, self._socket = self._process, None, None
        if process is not None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(CLOSE_SECONDS)


async def _received(connection: socket.socket, size: int) -> bytes:
    """The next `size` bytes.

    Raises:
        EOFError: the other end was closed before.
    """
    loop = asyncio.get_running_loop()
    content = bytearray()
    while len(content) < size:
        piece = await loop.sock_recv(connection, size - len(content))
        if not piece:
            raise EOFError("it closed its connection")
        content += piece
    return bytes(content)
