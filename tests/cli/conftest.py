"""A command line to call, and small sources to call it on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from linprobe.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def record(self) -> dict[str, Any]:
        """The JSON object on stdout, which must hold nothing else, and no NaN."""

        def refuse(constant: str) -> None:
            raise ValueError(f"{constant} is not JSON")

        record = json.loads(self.out, parse_constant=refuse)
        assert isinstance(record, dict)
        return record


Call = Callable[..., Answer]


@pytest.fixture
def linprobe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`linprobe(*arguments)` in a fresh folder, as the installed program would run it.

    Trainings leave no report, which takes a second to draw, unless `report=True` is given.
    """
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, report: bool = False) -> Answer:
        if arguments[:1] in (("train",), ("sweep",)) and not report:
            arguments = (*arguments, "--no-report")
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="linprobe")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return call


def write_classes(
    folder: Path,
    n: int,
    seed: int,
    size: tuple[int, int] = (4, 4),
    names: tuple[str, ...] = ("dark", "light"),
    low: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """A folder with `n` pictures of each class, which a line can tell apart by how light they are."""
    random = np.random.default_rng(seed)
    for name in names:
        darkest = {"dark": 0, "amber": 80, "light": 150, **low}[name]
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(darkest, darkest + 100, (*size, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with train/ and test/, two classes, 4x4 PNG pictures."""
    write_classes(tmp_path / "pictures" / "train", 8, 0)
    write_classes(tmp_path / "pictures" / "test", 4, 1)
    return tmp_path / "pictures"


@pytest.fixture(scope="session")
def write_pictures() -> Callable[..., None]:
    """`write_pictures(folder, n, seed, size, names)`: a folder of class folders."""
    return write_classes
