"""The run folder: the files of a run, each written whole, so that a kill at any moment leaves no damaged file.

    settings.json            what was requested, written once, before the first epoch
    trace.csv                a row per epoch, the start included
    checkpoint.safetensors   the optimizer's state, from which the run resumes
    model.safetensors        the trained classifier
    metrics.json             the result, written last: a run that has it is finished
    part-1.json, ...         of a sweep, in place of trace and checkpoint: the scores of each part
    path.safetensors         of a sweep: the weights of all members of the grid
    cell-1.json, ...         of a sweep over learning rates: the scores of each run of SGD, and until all are done
    cell-1.safetensors, ...  the state from which it continues
    report.html              the report
    .lock                    while a process trains: its lock

`records.py` says what the JSON files hold.

The trace is always written before the checkpoint: it holds at least the epochs of the checkpoint. A resumed run drops
the rows beyond it, because it runs those epochs again, bit-identically.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save as save_tensors

from linprobe.classifiers.tensor_file import parts_of
from linprobe.errors import RunError, walled
from linprobe.files import read_regular, remove_left_behind, unwritten, write_whole
from linprobe.optimizers.base import Epoch, State
from linprobe.plain import parse_json, shell_word
from linprobe.runs.rate_records import CellRunRecord
from linprobe.runs.records import (
    RUN_VERSION,
    PartRecord,
    RunMetrics,
    RunSettings,
    content_of,
    read_cell,
    read_metrics,
    read_part,
    read_settings,
)
from linprobe.shapes import Floats

__all__ = [
    "TRACE_COLUMNS",
    "GridWeights",
    "RunFolder",
    "check_free",
    "make_run_folder",
    "trace_row",
    "trace_rows",
    "write_atomically",
]

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK_NAME = ".lock"
"""The file in a run folder whose lock the process that trains holds: Windows can lock no folder."""

EPOCH_DIGITS = 15
"""Digits of an epoch at most: no run comes so far, and every such number is an exact float64."""

STEM_LETTERS = 100
"""Letters of the source's name in the name of a run folder, at most: file systems limit a name to 255 bytes."""

TRACE_COLUMNS = tuple(column.name for column in fields(Epoch) if column.name != "state")


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` into `path`, as `write_whole` does.

    Raises:
        RunError: the disk is full, or the folder cannot be written; `path` is as it was.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise RunError(unwritten(path, error, "run the command again, or name another file")) from error


@dataclass
class RunFolder:
    """One run folder, open for reading, or (after `lock`) for writing.

    Attributes:
        path: the folder.
        unwritten: whether a file could not be written, and the user was told how to continue.
    """

    path: Path
    unwritten: bool = False
    _settings: RunSettings | None = None
    _lock: BaseFileLock | None = None

    @classmethod
    def create(cls, path: Path, settings: RunSettings, *, ours: bool = False) -> RunFolder:
        """A new, locked run folder that holds `settings`.

        Args:
            path: the folder, new or empty.
            settings: of the run.
            ours: whether an empty folder goes if the run cannot be made in it; a new one always goes.
        Raises:
            RunError: `path` exists and is not an empty folder, or cannot be made.
            ParameterError: a setting is no JSON value.
        """
        content = content_of(settings)
        check_free(path)
        existed = path.exists() and not ours
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_be_made(path, error) from error
        run, ours_alone = cls(path), False
        try:
            run.lock()
            check_free(path)  # again: another process may have begun, and even finished, a run in the meantime
            run._settings, ours_alone = settings, True
            run._write("settings.json", content)
        except BaseException:  # Ctrl-C too, which may come when the file has its name
            if ours_alone:
                with suppress(OSError):
                    (path / "settings.json").unlink()
            run.close()
            if not existed:
                with suppress(OSError):  # another process has begun a run there
                    path.rmdir()
            raise
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run folder at `path`, for reading.

        Raises:
            RunError: there is none, it is of another version, or its settings are damaged.
        """
        with walled(RunError, path, "expected a run folder. Check the path."):  # a name that is too long
            if not path.exists():
                raise RunError(f"{path}: no such run folder; `linprobe train SOURCE` makes one.")
            if not (path / "settings.json").is_file():
                raise RunError(
                    f"{path}: not a run folder: it has no settings.json. Give the folder that `linprobe train` printed."
                )
        run = cls(path)
        run.settings()
        return run

    def lock(self) -> None:
        """Keep other processes from writing here until this one ends, however it ends, or calls `close`.

        Raises:
            RunError: another process holds the run, or the folder cannot be written.
        """
        from filelock import FileLock, Timeout  # here: who only reads a run does without it

        lock = FileLock(self.path / LOCK_NAME, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise RunError(
                f"{self.path}: another process is training this run; wait until it ends, or stop it."
            ) from None
        except OSError as error:
            raise RunError(unwritten(self.path / LOCK_NAME, error, self._next_step())) from error
        self._lock, self._settings = lock, None  # another process may have changed them before
        for name in ("*.json", "*.csv", "*.safetensors"):  # a report is written without the lock
            remove_left_behind(self.path, name)

    def remove(self) -> None:
        """Delete a run that has not trained yet: its settings, and the folder, as far as the disk allows it."""
        with suppress(OSError):
            (self.path / "settings.json").unlink()
        self.close()
        with suppress(OSError):
            self.path.rmdir()

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            # Before the lock is let go: whoever takes it next sees that its file is gone, and makes a new one.
            with suppress(OSError):  # Windows removes no open file; filelock does it there
                (self.path / LOCK_NAME).unlink()
            self._lock.release()
            self._lock = None

    def resume_command(self) -> str:
        """The command that finishes the run. Raises RunError as `settings`."""
        return f"linprobe {self.settings().request.kind} --resume {shell_word(self.path)}"

    def _next_step(self) -> str:
        """What to do once a file can be written again."""
        try:
            begun = (self.path / "settings.json").exists()
        except OSError:  # the disk does not say
            begun = self._settings is not None
        return f"continue with `{self.resume_command()}`" if begun else "run the command again"

    def _write(self, name: str, content: bytes) -> None:
        """Write a file of the run whole. Raises RunError with the command that continues."""
        path = self.path / name
        try:
            write_whole(path, content)
        except OSError as error:
            self.unwritten = True
            raise RunError(unwritten(path, error, self._next_step())) from error

    @property
    def model_path(self) -> Path:
        """Where the trained classifier is."""
        return self.path / "model.safetensors"

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: metrics.json is the last file written."""
        return (self.path / "metrics.json").is_file()

    def write_settings(self, settings: RunSettings) -> None:
        """Write settings that say where the source is now; they decide the same bits."""
        self._write("settings.json", content_of(settings))
        self._settings = settings

    def settings(self) -> RunSettings:
        """What was requested, read once. Raises RunError when settings.json holds something else."""
        if self._settings is None:  # kept: a disk that fails later must not hide the command to resume with
            self._settings = read_settings(self.path / "settings.json")
        return self._settings

    def metrics(self) -> RunMetrics:
        """The result of a finished run. Raises RunError when metrics.json holds something else."""
        return read_metrics(self.path / "metrics.json")

    def write_metrics(self, metrics: RunMetrics) -> None:
        """Write the result; from now on the run is finished."""
        self._write("metrics.json", content_of(metrics))

    def write_part(self, number: int, part: PartRecord) -> None:
        """Write the scores of part `number` (1, 2, ...) of a sweep."""
        self._write(f"part-{number}.json", content_of(part))

    def read_parts(self) -> list[PartRecord]:
        """The scores of the parts of a sweep that are done, in order."""
        numbers = itertools.takewhile(lambda n: (self.path / f"part-{n}.json").is_file(), itertools.count(1))
        return [read_part(self.path / f"part-{n}.json") for n in numbers]

    def write_cell(self, number: int, record: CellRunRecord, state: State | None) -> None:
        """Write the scores of cell `number` (1, 2, ...) of a sweep, and first the state from which it continues."""
        if state is not None:
            self._write(f"cell-{number}.safetensors", _state_bytes(state))
        self._write(f"cell-{number}.json", content_of(record))

    def read_cell(self, number: int) -> CellRunRecord:
        """The scores of a cell of a sweep; without rungs where none is done."""
        path = self.path / f"cell-{number}.json"
        return read_cell(path) if path.is_file() else CellRunRecord(())

    def read_cell_state(self, number: int) -> State:
        """The state from which a cell of a sweep continues.

        Raises:
            RunError: there is none, or it is damaged.
        """
        path = self.path / f"cell-{number}.safetensors"
        try:
            return _state_in(read_regular(path))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: the state of a run cannot be read ({error}); sweep again.") from error

    def remove_cell_states(self) -> None:
        """Delete the states of all cells, which nothing continues any more, as far as the disk allows it."""
        for path in self.path.glob("cell-*.safetensors"):
            with suppress(OSError):
                path.unlink()

    def remove_parts(self) -> None:
        """Delete what a sweep has found that cannot be finished, as far as the disk allows it."""
        for path in (*self.path.glob("part-*.json"), *self.path.glob("cell-*.*")):
            with suppress(OSError):
                path.unlink()

    def write_path(self, regs: Sequence[float], weights: Sequence[tuple[Floats, Floats]]) -> GridWeights:
        """The W (K, D) and b (K,) of each member of a sweep as they are written: in float32."""
        W, b = (np.stack([pair[i] for pair in weights]).astype(np.float32) for i in (0, 1))
        grid = GridWeights(W, b, np.array(regs, np.float64))
        content = save_tensors({"W": grid.W, "b": grid.b, "regs": grid.regs})
        self._write("path.safetensors", content)
        return grid

    def read_path(self) -> GridWeights | None:
        """The weights of the members of a sweep; None where they were not kept.

        Raises:
            RunError: the file is damaged.
        """
        path = self.path / "path.safetensors"
        if not path.exists():
            return None
        try:
            tensors, _ = parts_of(read_regular(path))
            W, b, regs = (_real(tensors, name) for name in ("W", "b", "regs"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: the weights of the grid cannot be read ({error}); sweep again.") from error
        if W.ndim != 3 or b.shape != W.shape[:2] or regs.shape != W.shape[:1]:
            raise RunError(
                f"{path}: W, b and regs have shapes {W.shape}, {b.shape} and {regs.shape}; "
                "expected (L, K, D), (L, K) and (L,); sweep again."
            )
        return GridWeights(W, b, regs)

    def read_trace(self) -> list[dict[str, float]]:
        """The rows of the trace, by the names of `Epoch` but for `state`; NaN where a cell is empty.

        Raises:
            RunError: there is none (a sweep has none), or it is damaged.
        """
        path = self.path / "trace.csv"
        try:
            header, *lines = read_regular(path).decode().splitlines()
            if header != ",".join(TRACE_COLUMNS):
                raise ValueError("its columns are not those of a trace")
            return trace_rows(lines)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise RunError(f"{path}: the trace cannot be read ({error}); start the run anew.") from error

    def write_model(self, content: bytes) -> None:
        """Write the bytes of a model file."""
        self._write(self.model_path.name, content)

    def write_progress(self, trace: list[str], state: State) -> None:
        """Write the trace (a line per epoch, without the header) and the checkpoint of its last epoch."""
        text = "\n".join([",".join(TRACE_COLUMNS), *trace, ""])
        self._write("trace.csv", text.encode())
        self._write("checkpoint.safetensors", _state_bytes(state))

    def read_progress(self) -> tuple[list[str], State] | None:
        """The trace up to the checkpoint, and the checkpoint, as `write_progress` takes them; or None.

        Raises:
            RunError: one of the two files is missing or damaged.
        """
        path = self.path / "checkpoint.safetensors"
        if not path.exists():
            return None
        try:
            state = _state_in(read_regular(path))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: the checkpoint cannot be read ({error}); start the run anew.") from error
        trace_path = self.path / "trace.csv"
        try:
            lines = read_regular(trace_path).decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{trace_path}: the trace cannot be read ({error}); start the run anew.") from error
        trace = lines[1 : state.epoch + 2]  # the header, then a row for epoch 0, 1, ...
        epochs = [line.split(",", 1)[0] for line in trace]
        expected = map(str, range(len(trace)))
        if (
            lines[:1] != [",".join(TRACE_COLUMNS)]
            or len(trace) != state.epoch + 1
            or any(found != epoch for found, epoch in zip(epochs, expected, strict=True))
        ):
            raise RunError(
                f"{trace_path}: expected the header and a row for each epoch 0..{state.epoch} of the "
                f"checkpoint, found {len(trace)} rows that do not fit it; start the run anew."
            )
        try:
            trace_rows(trace)
        except ValueError as error:
            raise RunError(f"{trace_path}: the trace cannot be read ({error}); start the run anew.") from error
        return trace, state


@dataclass(frozen=True)
class GridWeights:
    """The weights of the members of a sweep, of its first part.

    Attributes:
        W: (L, K, D).
        b: (L, K).
        regs: (L,).
    """

    W: Floats
    b: Floats
    regs: Floats


def _state_bytes(state: State) -> bytes:
    """The bytes of a checkpoint."""
    numbers = {name: _number(value) for name, value in state.numbers.items()}
    # JSON writes floats as repr does: they read back bit for bit
    metadata = {"run_version": str(RUN_VERSION), "epoch": str(state.epoch), "numbers": json.dumps(numbers)}
    arrays = {name: np.ascontiguousarray(array) for name, array in state.arrays.items()}
    return save_tensors(arrays, metadata)


def _state_in(content: bytes) -> State:
    """The state in the bytes of a checkpoint.

    Its weights are finite; the other arrays may hold infinities, such as sums of squares.

    Raises:
        ValueError: the bytes hold something else.
    """
    tensors, notes = parts_of(content)
    missing = [name for name in ("run_version", "epoch", "numbers") if name not in notes]
    if missing:
        raise ValueError(f"its metadata has no entry {missing[0]!r}")
    if notes["run_version"] != str(RUN_VERSION):
        raise ValueError(f"run_version is {notes['run_version'][:60]}, expected {RUN_VERSION}")
    if not notes["epoch"].isascii() or not notes["epoch"].isdigit() or len(notes["epoch"]) > EPOCH_DIGITS:
        raise ValueError(f"epoch is {notes['epoch'][:60]!r}, expected a whole number >= 0")
    epoch, numbers = int(notes["epoch"]), parse_json(notes["numbers"], with_infinity=True)
    if not isinstance(numbers, dict):
        raise ValueError(f"numbers is a {type(numbers).__name__}, expected an object")
    odd = [name for name, number in numbers.items() if isinstance(number, bool) or not isinstance(number, int | float)]
    if odd:
        raise ValueError(f"numbers.{odd[0][:60]} is a {type(numbers[odd[0]]).__name__}, expected a number")
    arrays = {name: _real(tensors, name, finite=name in ("W", "b")) for name in {"W": None, "b": None} | tensors}
    W, b = arrays["W"], arrays["b"]
    if W.ndim != 2 or b.shape != W.shape[:1]:
        raise ValueError(f"W and b have shapes {W.shape} and {b.shape}, expected (K, D) and (K,)")
    return State(epoch, arrays, numbers)


def _real(
    tensors: Mapping[str, npt.NDArray[np.generic]], name: str, *, finite: bool = True
) -> npt.NDArray[np.float32] | npt.NDArray[np.float64]:
    """The array `name`, once it is float32 or float64 and holds no NaN, and no infinity if it is to be finite."""
    if name not in tensors:
        raise ValueError(f"it has no array {name!r}, only {', '.join(tensors) or 'none'}")
    array = tensors[name]
    if array.dtype != np.float32 and array.dtype != np.float64:
        raise ValueError(f"the array {name!r} is {array.dtype}, expected float32 or float64")
    real = array.astype(array.dtype, copy=False)
    if np.isnan(real).any() or (finite and not np.isfinite(real).all()):
        raise ValueError(f"the array {name!r} holds NaN or infinity, expected finite numbers")
    return real


def trace_row(epoch: Epoch) -> str:
    """The line of trace.csv for `epoch`: numbers as repr writes them, nothing where there is none (NaN)."""
    cells = (_number(getattr(epoch, name)) for name in TRACE_COLUMNS)
    return ",".join("" if math.isnan(cell) else repr(cell) for cell in cells)


def trace_rows(lines: Sequence[str]) -> list[dict[str, float]]:
    """Lines of trace.csv as numbers by the names of `Epoch`; NaN where a cell is empty.

    Raises:
        ValueError: a line is not one of a trace.
    """
    rows = [[float(cell) if cell else math.nan for cell in line.split(",")] for line in lines]
    odd = [number for number, row in enumerate(rows) if len(row) != len(TRACE_COLUMNS)]
    if odd:
        raise ValueError(f"row {odd[0]} has {len(rows[odd[0]])} cells, expected {len(TRACE_COLUMNS)}")
    return [dict(zip(TRACE_COLUMNS, row, strict=True)) for row in rows]


def check_free(path: Path) -> None:
    """Raise RunError unless `path` does not exist, or is an empty folder.

    A folder counts as empty where a run was killed before its settings were written: it holds the lock, or a file that
    was never renamed. Whoever locks it next removes these.
    """
    try:
        _check_free(path)
    except OSError as error:
        raise _cannot_be_made(path, error) from error


def _check_free(path: Path) -> None:
    """As `check_free`. Raises OSError where the system does not say what is there."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: is a file; --out needs a new or empty folder. Choose another.")
    if (path / "settings.json").exists():
        run = RunFolder(path)
        if run.finished:
            raise RunError(f"{path}: holds a finished run already; choose another --out.")
        raise RunError(
            f"{path}: holds a run already; resume it with --resume {shell_word(path)}, or choose another --out."
        )
    if path.is_dir() and any(entry.name != LOCK_NAME and entry.suffix != ".partial" for entry in path.iterdir()):
        raise RunError(f"{path}: the folder is not empty; --out needs a new or empty one. Choose another.")


def make_run_folder(source: str, loss: str, parent: Path) -> Path:
    """A new, empty folder `parent`/<source>-<loss>-<number>, with the first number that is free.

    Raises:
        RunError: the folder cannot be created.
    """
    stem = re.sub(r"\.(zip|tar|tgz|gz|npz|npy)(?=\.|$)", "", Path(source).name, flags=re.IGNORECASE)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:STEM_LETTERS] or "run"
    for number in itertools.count(1):
        path = parent / f"{stem}-{loss}-{number}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_be_made(parent, error) from error
        try:
            path.mkdir()
        except FileExistsError:  # another process was faster
            continue
        except OSError as error:
            raise _cannot_be_made(path, error) from error
        return path
    raise AssertionError("there is always a next number")


def _cannot_be_made(path: Path, error: OSError) -> RunError:
    return RunError(unwritten(path, error, "run the command again, or choose another with --out", "the run folder"))


def _number(value: float) -> float:
    """`value` as a Python number."""
    number: float = value.item() if isinstance(value, np.generic) else value
    return number
