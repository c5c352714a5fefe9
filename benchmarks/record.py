"""What the benchmarks share: interleaved timing, ratios pair by pair, facts of the machine, records on disk.

Nothing but the standard library is imported here: `memory.py` must stay small itself to measure its children.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

DISTURBED = 0.05
"""Share of the machine's cores, used by other processes during a run, above which its record carries a warning."""

SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that make OpenBLAS take other kernels or blocks than those of this processor, to NumPy's disadvantage."""


def interleaved(
    implementations: dict[str, Callable[[], Any]],
    repeats: int,
    *,
    pause: float = 0.0,
    before: Callable[[], Any] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each implementation in each repetition, after one repetition that is not counted.

    In repetition r the order begins with implementation r mod n, so that none always runs after the same other.

    Args:
        implementations: name of each, and what it does.
        repeats: repetitions that are counted, >= 1.
        pause: seconds of rest before each, in which the thread pool of the last implementation stops spinning.
        before: run before each, and not timed.
    """
    names = list(implementations)
    times: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats + 1):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            if before is not None:
                before()
            time.sleep(pause)
            start = time.perf_counter()
            implementations[name]()
            seconds = time.perf_counter() - start
            if repeat:
                times[name].append(seconds)
    return times


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, greatest, and all of `values` in their order."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "all": list(values)}


def compared(times: dict[str, list[float]], ours: str) -> dict[str, Any]:
    """The spread of the seconds of each, and of (seconds of another) / (seconds of ours) repetition by repetition.

    A ratio above 1 says that ours is faster. Both times of a pair were taken next to each other, so that what slows
    the machine for a while does not count as a difference.
    """
    ratios = {
        name: spread([theirs / mine for theirs, mine in zip(values, times[ours], strict=True)])
        for name, values in times.items()
        if name != ours
    }
    return {"seconds": {name: spread(values) for name, values in times.items()}, "ratios": ratios}


class Watch:
    """The machine, and how much of it others used while this process and its children ran."""

    def __init__(self) -> None:
        self.load = os.getloadavg()
        self._busy, self._own, self._start = busy_seconds(), own_seconds(), time.perf_counter()

    def facts(self, libraries: Sequence[str] = ()) -> dict[str, Any]:
        """Machine, versions, load and a warning (or None), to be read at the end of a run."""
        wall = time.perf_counter() - self._start
        busy = busy_seconds()
        cores = usable_cores()
        others = None
        if busy is not None and self._busy is not None and wall > 0:
            others = max(0.0, (busy - self._busy) - (own_seconds() - self._own)) / (wall * (os.cpu_count() or cores))
        variables = {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("OPENBLAS_", "OMP_", "MKL_", "GOMP_"))
        }
        return {
            "machine": machine(),
            "versions": {
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in ("linprobe", *libraries)},
            },
            "commit": commit(),
            "environment": variables,
            "blas": blas(),
            "load_average_before": list(self.load),
            "share_used_by_others": others,
            "seconds_in_all": wall,
            "warning": warning(others, variables),
        }


def warning(others: float | None, variables: dict[str, str]) -> str | None:
    """Why the figures of a run should not be trusted, or None."""
    reasons = []
    if others is None:
        reasons.append("what else ran on the machine is not known")
    elif others > DISTURBED:
        reasons.append(f"other processes used {100 * others:.0f}% of the cores during the run")
    reasons += [f"{name} is set, which slows NumPy down" for name in SLOWING if name in variables]
    return "; ".join(reasons) or None


def machine() -> dict[str, Any]:
    """Processor, usable cores, caches of the first core, memory in bytes, operating system."""
    about = {"processor": platform.processor() or platform.machine(), "cores": usable_cores()}
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        about["processor"] = next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    caches = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        with contextlib.suppress(OSError):
            level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
            caches[f"L{level}{'' if kind == 'Unified' else kind[0].lower()}"] = size
    about["caches"] = caches
    about["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    about["system"] = f"{platform.system()} {platform.machine()}"
    return about


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas() -> list[dict[str, Any]]:
    """The BLAS and OpenMP libraries that are loaded now, as threadpoolctl finds them, without their paths.

    PyTorch's own MKL is linked into it and not listed; it is added by name.
    """
    if "numpy" not in sys.modules:
        return []
    from threadpoolctl import threadpool_info

    kept = ("user_api", "internal_api", "prefix", "version", "architecture", "threading_layer", "num_threads")
    found = [{key: pool[key] for key in kept if pool.get(key) is not None} for pool in threadpool_info()]
    torch = sys.modules.get("torch")
    if torch is not None:
        mkl = re.search(r"Math Kernel Library Version (\S+)", torch.__config__.show())
        if mkl:
            found.append({"user_api": "blas", "used_by": "torch", "internal_api": "mkl", "version": mkl[1]})
    return found


def commit() -> str | None:
    """Short name of the commit that was measured, with a + after it if files differed; None outside of git."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip() or None


def busy_seconds() -> float | None:
    """Core-seconds in which the machine was not idle since it started, stolen time included; None if unknown."""
    try:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = (int(field) for field in fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Core-seconds that this process and the children it has waited for used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def image_archive() -> Path:
    """The zip of CIFAR-10 as class folders: LINPROBE_CIFAR10, or shared/data/cifar10.zip next to the repository."""
    return Path(os.environ.get("LINPROBE_CIFAR10") or ROOT.parent / "shared" / "data" / "cifar10.zip")


def why_absent(source: Path) -> str | None:
    """Why the archive cannot be measured, in words for the page, or None."""
    if source.is_file():
        return None
    return f"{source.name} is not there; give its path as argument, or in the variable LINPROBE_CIFAR10"


def arguments(description: str | None, name: str) -> argparse.ArgumentParser:
    """A parser with the option that every benchmark has, --out."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog=f"python -m benchmarks.{name}",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON record there; else it is printed")
    return parser


def deliver(record: dict[str, Any], out: Path | None) -> None:
    """Write the record to `out`, or print it; a warning goes to stderr as well."""
    if record.get("warning"):
        say(f"warning: {record['warning']}")
    if out is None:
        print(json.dumps(record, indent=1))
    else:
        write_aside(out, (json.dumps(record, indent=1) + "\n").encode())


def skip(name: str, reason: str, out: Path | None) -> None:
    """Deliver a record that says why nothing was measured."""
    say(f"{name}: skipped: {reason}")
    deliver({"benchmark": name, "skipped": reason}, out)


def write_aside(path: Path, data: bytes) -> None:
    """Write `path` under another name and rename it: it holds the old bytes or the new, never half of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def say(text: str) -> None:
    """A line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first to the left and the others to the right; empty ones are left out."""
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    head, rows = [head[i] for i in used], [[row[i] for i in used] for row in rows]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def spoken(about: dict[str, Any], unit: str = "", scale: float = 1.0) -> str:
    """A spread as `median unit (min-max)`, with three digits."""
    least, middle, most = (digits(scale * about[key]) for key in ("min", "median", "max"))
    return f"{middle}{' ' if unit else ''}{unit} ({least}–{most})"


def digits(value: float) -> str:
    """Three significant digits, never in scientific notation, all of those before the point."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}")
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}"
