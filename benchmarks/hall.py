"""How fluid a class is: students who all drag a point at once, and how soon each of them sees the new numbers.

    python -m benchmarks.hall [--students N] [--seconds S]

The lab runs as a program of its own, `linprobe lab --class`; the students are WebSockets of one other process, each
with 60 points of its own. A hand moves sixty times a second. As the page does, a student has one request on its way,
and sends the latest state when the answer has come. An update is one answer: it took from the movement that it shows to
its arrival. Both processes share the cores of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.record import machine

WITHIN = 0.2
"""Seconds after which an update no longer looks like the hand's own movement; the target is 95% within them."""

MOVES = 60
"""Movements of a hand a second."""

LOOK = {
    "loss": "hinge", "penalty": "l2", "reg": 0.01,
    "W": [[0.9, -0.5], [0.1, 1.0], [-0.9, -0.4]], "b": [0.1, -0.2, 0.0],
    "view": [-2, -2, 2, 2], "size": 120,
}  # fmt: skip
"""What the playground requests while a point moves: its regions on the coarse grid."""


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0, help="of the drag")
    given = parser.parse_args()
    with lab(given.students) as (address, token):
        took = asyncio.run(drag_all(address, token, given.students, given.seconds))
    print(json.dumps({"machine": machine(), **summary(took, given.students, given.seconds)}, indent=2))


@contextlib.contextmanager
def lab(students: int) -> Iterator[tuple[str, str]]:
    """The address of a class on loopback, in a process of its own, and the students' token."""
    options = ["lab", "--class", "--host", "127.0.0.1", "--port", "0", "--per-address", str(students)]
    program = f"from linprobe.cli import main; main({options!r})"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"(http://\S+)/\?token=(\S+)", process.stdout.readline())
        assert found is not None
        try:
            yield found[1], found[2]
        finally:
            process.terminate()


async def drag_all(address: str, token: str, students: int, seconds: float) -> list[float]:
    """Seconds of the updates of all students."""
    ready = asyncio.Barrier(students)
    each = await asyncio.gather(*(drag(address, token, i, ready, seconds) for i in range(students)))
    return [took for one in each for took in one]


async def drag(address: str, token: str, seed: int, ready: asyncio.Barrier, seconds: float) -> list[float]:
    """Seconds of the updates of one student."""
    from websockets.asyncio.client import connect

    headers = {"Authorization": f"Bearer {token}"}
    at = address.replace("http", "ws", 1) + "/socket"
    async with connect(at, origin=address, additional_headers=headers, max_size=2**24) as socket:  # type: ignore[arg-type]
        drawn = await ask(socket, "playground.draw", {"set": "spiral", "n": 60, "seed": seed})
        problem: dict[str, Any] = {**LOOK, **{name: drawn[name] for name in ("points", "labels", "n_classes")}}
        x, y = problem["points"][0]
        await ready.wait()
        begun = time.perf_counter()
        await asyncio.sleep(seed % MOVES / MOVES**2)  # no two hands move in step
        took: list[float] = []
        while (now := time.perf_counter() - begun) < seconds:
            moved = math.floor(now * MOVES) / MOVES
            turn = 2 * math.pi * moved
            problem["points"][0] = [x + 0.3 * math.cos(turn), y + 0.3 * math.sin(turn)]
            await ask(socket, "playground.look", problem)
            ended = time.perf_counter() - begun
            took.append(ended - moved)
            if ended - moved < 1 / MOVES:  # the hand has not moved since
                await asyncio.sleep(moved + 1 / MOVES - ended)
        return took


async def ask(socket: Any, method: str, params: dict[str, Any]) -> Any:
    """The answer to a request, events left out."""
    await socket.send(json.dumps({"id": 1, "method": method, "params": params}))
    while "event" in (answer := json.loads(await socket.recv())):
        pass
    return answer["result"]


def summary(took: list[float], students: int, seconds: float) -> dict[str, float]:
    """What is reported of the seconds of all updates."""
    middle, late, latest = np.quantile(took, [0.5, 0.95, 1.0])
    return {
        "students": students,
        "seconds": seconds,
        "updates_a_second_each": round(len(took) / students / seconds, 1),
        "share_within_200_ms": round(float(np.mean(np.array(took) <= WITHIN)), 4),
        "median_ms": round(1e3 * float(middle)),
        "p95_ms": round(1e3 * float(late)),
        "longest_ms": round(1e3 * float(latest)),
    }


if __name__ == "__main__":
    main()
