"""Plays the cases of the targets, each target in a process of its own that is watched from outside."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_SECONDS = 5.0
"""Of a processor, for one case."""

MOST_WAITED = 60.0
"""Seconds of the clock after which a case that stands still is ended: on a busy machine 5 seconds may pass idle."""

MOST_STARTING, READY = 300.0, b"ready"
"""Seconds of the clock that a process has to import everything, and what it says then."""

BASE_BYTES = 300 * 2**20
"""Memory of one case beside what it decodes (docs/data.md)."""

PIXEL_BYTES = 24
"""Memory of a pixel that is being decoded, of 16-bit pictures (docs/data.md)."""


@dataclass
class Tally:
    """The result of one target."""

    played: int = 0
    read: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    peak: int = 0
    faults: list[str] = field(default_factory=list)


def main() -> int:
    """1 where there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="names, or their beginnings; all without one")
    parser.add_argument("--cases", type=int, default=1500, help="of each target (1500)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to play one again (0)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(options.targets[0], options.seed, options.first, options.cases)
        return 0
    from .targets import names

    chosen = [name for name in names() if not options.targets or name.startswith(tuple(options.targets))]
    print(f"{'target':<22}{'cases':>7}{'read':>7}{'seconds':>9}{'slowest':>9}{'MB':>6}  faults")
    n_faults = 0
    for name in chosen:
        tally = play(name, options.seed, options.first, options.cases)
        n_faults += len(tally.faults)
        print(
            f"{name:<22}{tally.played:>7}{tally.read:>7}{tally.seconds:>9.1f}{tally.slowest:>9.2f}"
            f"{tally.peak / 2**20:>6.0f}  {len(tally.faults)}",
            flush=True,
        )
        for fault in tally.faults[:10]:
            print(f"    {fault}", flush=True)
    print(f"{n_faults} faults in {len(chosen)} targets (seed {options.seed})")
    return 1 if n_faults else 0


def play(name: str, seed: int, first: int, n_cases: int) -> Tally:
    """Cases first..n_cases-1 of a target; after a crash or a hang, a new process plays the rest."""
    tally, begun = Tally(), time.perf_counter()
    number = first
    while number < n_cases:
        number = _watched(name, seed, number, n_cases, tally)
    tally.seconds = time.perf_counter() - begun
    return tally


def _watched(name: str, seed: int, first: int, n_cases: int, tally: Tally) -> int:
    """Plays cases in one process; the number of the first case that it did not end."""
    command = [sys.executable, "-m", "tests.fuzz", name, "--worker", "--seed", str(seed)]
    command += ["--first", str(first), "--cases", str(n_cases)]
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output)
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    number, buffer, heard, ready = first, b"", time.monotonic(), False
    try:
        while True:
            piece = process.stdout.read() or b""
            ended = not piece and process.poll() is not None
            buffer += piece
            *lines, buffer = buffer.split(b"\n")
            for line in filter(None, lines):
                number = number if line == READY else _note(line.decode(), number, tally)
                heard, ready = time.monotonic(), True
            if ended:
                break
            if time.monotonic() - heard > (MOST_WAITED if ready else MOST_STARTING):
                tally.faults.append(f"case {number}: stood still for {MOST_WAITED:.0f} s")
                process.kill()
                process.wait()
                return number + 1
            time.sleep(0.02)
        if process.returncode:
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            tally.faults.append(f"case {number}: the process ended with {process.returncode} {' '.join(said)[:200]}")
            return number + 1
        return number
    finally:
        process.kill()
        process.wait()
        output.close()
        process.stdout.close()


def _note(line: str, number: int, tally: Tally) -> int:
    """Adds a line of the worker: case, read, seconds, bytes, fault, between tabs."""
    case, was_read, seconds, peak, fault = line.split("\t", 4)
    tally.played += 1
    tally.read += int(was_read)
    tally.slowest = max(tally.slowest, float(seconds))
    tally.peak = max(tally.peak, int(peak))
    if fault:
        tally.faults.append(f"case {case}: {fault}")
    return max(number, int(case) + 1)


def _work(name: str, seed: int, first: int, n_cases: int) -> None:
    """Plays cases, and prints a line for each."""
    from .targets import target

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no result
    warnings.simplefilter("ignore")
    chosen = target(name)
    out.write(READY.decode() + "\n")
    with tempfile.TemporaryDirectory(prefix="linprobe-fuzz-") as folder:
        os.environ["LINPROBE_CACHE_DIR"] = str(Path(folder) / "cache")
        for number in range(first, n_cases):
            out.write("\t".join(map(str, (number, *outcome(chosen, seed, number, Path(folder) / "case")))) + "\n")
        out.flush()


def outcome(chosen, seed: int, number: int, folder: Path) -> tuple[int, float, int, str]:
    """(1 if it was read, seconds of a processor, bytes of memory, the fault in words) of one case."""
    from linprobe.errors import LinprobeError

    case = chosen.case(seed, number)
    folder.mkdir()
    decoded, was_read, fault = 0, 0, ""
    _reset_peak()
    before, begun = _memory("VmRSS"), time.process_time()
    with _pixels() as pixels:
        try:
            decoded, was_read = chosen.play(folder, case), 1
        except LinprobeError as error:
            if "\n" in str(error) or not str(error):
                fault = f"the message is not one line: {str(error)[:200]!r}"
        except MemoryError:
            fault = "MemoryError"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            said, file = " ".join(str(error).split())[:150], Path(where.filename).name
            fault = f"{type(error).__name__}: {said} ({file}:{where.lineno})"
    seconds, peak = time.process_time() - begun, max(0, _memory("VmHWM") - before)
    shutil.rmtree(folder)
    if not fault and seconds > MOST_SECONDS:
        fault = f"{seconds:.1f} s"
    granted = BASE_BYTES + 2 * decoded + PIXEL_BYTES * pixels[0]
    if not fault and peak > granted:
        fault = f"{peak / 2**20:.0f} MB of memory, granted {granted / 2**20:.0f}"
    return was_read, round(seconds, 3), peak, fault


class _pixels:
    """Counts the pixels of the largest picture that is decoded inside."""

    def __enter__(self) -> list[int]:
        from linprobe.data import decode

        largest = [0]
        self.enter = enter = decode._Place.enter

        def counted(place, height: int, width: int) -> None:
            enter(place, height, width)
            largest[0] = max(largest[0], height * width)

        decode._Place.enter = counted
        return largest

    def __exit__(self, *_: object) -> None:
        from linprobe.data import decode

        decode._Place.enter = self.enter


def _reset_peak() -> None:
    """Let the kernel count the peak of memory anew; where it cannot, the peak is that of the process."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _memory(name: str) -> int:
    """Bytes of an entry of /proc/self/status; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def cases_of(name: str, seed: int, numbers: range, folder: Path) -> Iterator[str]:
    """The faults of some cases of a target, played in this process: the short form for the tests."""
    from .targets import target

    chosen = target(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in numbers:
            *_, fault = outcome(chosen, seed, number, folder / str(number))
            if fault:
                yield f"{name}, case {number}: {fault}"
