"""Any encoding, any name: what a terminal lacks is degraded, names are escaped, JSON is always valid UTF-8."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from linprobe.cli import COMMANDS, main
from linprobe.cli.output import print_facts, print_table
from linprobe.errors import LinprobeError
from linprobe.plain import UNPRINTABLE, printable

ENCODINGS = ["utf-8", "latin-1", "ascii"]

NAMES = ("a\x1b[31mred", "two\nlines", "猫", "\u202eturned ±", os.fsdecode(b"ni\xf1o"))
"""An escape sequence, an end of line, letters of few encodings, a mark that turns text, bytes that are not UTF-8."""


def call(encoding: str, *arguments: object) -> Result:
    """A command whose streams have that encoding and refuse what it lacks, as the streams of Python do."""
    return CliRunner(charset=encoding).invoke(main, [str(argument) for argument in arguments], prog_name="linprobe")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, write_pictures: Callable[..., None]) -> Path:
    """A folder with a source of odd names, a broken picture in it, a run and a sweep."""
    folder = tmp_path_factory.mktemp("odd")
    write_pictures(folder / "source", 8, 0, names=("dark", "amber", "light", "1", "2"), low={"1": 30, "2": 60})
    for name, odd_name in zip(("dark", "amber", "light", "1", "2"), NAMES, strict=True):
        (folder / "source" / name).rename(folder / "source" / odd_name)
    (folder / "source" / "猫" / os.fsdecode(b"caf\xe9\x1b[2J.png")).write_bytes(b"no picture")
    (folder / os.fsdecode(b"\xe9\n.png")).write_bytes((folder / "source" / "猫" / "0.png").read_bytes())
    for kind in (["train"], ["sweep", "--reg-grid", "1e-2,1e-1"]):
        source = (*kind, folder / "source", "--on-bad-image", "skip", "--no-cache")
        result = call("ascii", *source, "--out", folder / kind[0])
        assert result.exit_code == 0, result.stderr
        assert (folder / kind[0] / "report.html").is_file(), result.stderr
    return folder


def commands(folder: Path) -> dict[str, tuple[object, ...]]:
    """Commands that print names, with the exit code 0."""
    source = (folder / "source", "--on-bad-image", "skip", "--no-cache")
    picture = next(folder.glob("*.png"))
    return {
        "train": ("train", *source, "--out", folder / "new", "--no-report"),
        "sweep": ("sweep", *source, "--reg-grid", "1e-2,1e-1", "--out", folder / "new", "--no-report"),
        "evaluate": ("evaluate", folder / "train", *source, "--split", "all"),
        "predict": ("predict", folder / "train", picture),
        "challenges": ("challenges", folder / "train", *source, "--challenges", "mirror"),
        "info": ("info", *source),
        "info run": ("info", folder / "train"),
        "knn": ("knn", *source, "--k", "1", "--neighbours-of", picture),
    }


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_prints_to_any_encoding(odd: Path, encoding: str) -> None:
    for name, arguments in commands(odd).items():
        for json_too in ((), ("--json",)):
            shutil.rmtree(odd / "new", ignore_errors=True)
            result = call(encoding, *arguments, *json_too)
            assert result.exit_code == 0, (name, result.stderr)
            text = result.stdout_bytes.decode("utf-8" if json_too else encoding)
            assert not UNPRINTABLE.search(text.replace("\n", "")), name
            assert not UNPRINTABLE.search(result.stderr_bytes.decode(encoding).replace("\n", "")), name
            if json_too:
                json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")  # no half surrogates


def test_a_comparison_names_runs_of_odd_classes(odd: Path) -> None:
    result = call("ascii", "report", odd / "train", odd / "sweep", "--out", odd / "page.html", "--json")
    assert result.exit_code == 0, result.stderr
    (odd / "page.html").read_text(encoding="utf-8")


def test_names_are_escaped_and_glyphs_degraded(odd: Path) -> None:
    evaluate = commands(odd)["evaluate"]
    table = call("ascii", *evaluate).stdout_bytes.decode("ascii")
    for escaped in (r"a\x1b[31mred", r"two\nlines", r"\u732b", r"\u202eturned +-", r"ni\xf1o", "-----"):
        assert escaped in table
    classes = json.loads(call("utf-8", *evaluate, "--json").stdout)["classes"]
    assert {one["name"] for one in classes} == {printable(name) for name in NAMES}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_errors_show_odd_names_in_one_line(odd: Path, encoding: str) -> None:
    missing = os.fsdecode(b"\xe9\x1b[2J\n.png")
    for arguments in (
        ("train", odd / "source"),
        ("predict", odd / "train", odd / missing),
        ("train", missing),
        (missing,),
        ("train", odd / "source", f"--{missing}"),
        ("train", odd / "source", "--loss", missing),
        ("train", "--resume", missing),
        ("lab", "--host", missing),
        ("evaluate", missing, "digits"),
    ):
        result = call(encoding, *arguments)
        line = result.stderr_bytes.decode(encoding)
        assert result.exit_code == 2, line
        assert line.startswith("error: ")
        assert not UNPRINTABLE.search(line.removesuffix("\n"))
        assert r"\x1b[2J" in line, line


def test_help_needs_no_more_than_ascii() -> None:
    """`click` would print UTF-8 where the encoding is ASCII."""
    for command in ("", *COMMANDS):
        result = call("utf-8", *command.split(), "--help")
        assert result.stdout_bytes.isascii(), command


def test_without_stdout_and_stderr_a_command_still_works(pictures: Path) -> None:
    program = "from linprobe.cli import main; main(prog_name='linprobe')"
    for redirected in (">&- 2>&-", ">&-", "2>&-", "2>/dev/full"):
        ended = subprocess.run(
            f'"{sys.executable}" -c "{program}" train pictures --no-report --max-iter 2 {redirected}',
            shell=True,
            cwd=pictures.parent,
            capture_output=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended
        assert b"Traceback" not in ended.stderr


def test_a_warning_of_python_is_one_line(linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def warning(*_: object, **__: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("the pictures\nare dark", UserWarning, stacklevel=1)
            np.float32(1e30) * np.float32(1e30)
        raise LinprobeError("the end")

    monkeypatch.setattr("linprobe.runs.material.open_dataset", warning)
    first, second, last = linprobe("train", "digits").err.splitlines()
    assert first == "warning: the pictures are dark"
    assert re.fullmatch(r"warning: overflow encountered in .* \(RuntimeWarning, .*test_terminal\.py:\d+\)", second)
    assert last == "error: the end"


@pytest.mark.parametrize("width", [20, 40, 100])
def test_a_narrow_terminal_cuts_no_figure_and_no_name(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("linprobe.cli.output.is_terminal", lambda _: True)
    name, digest = "a_picture_with_a_long_name.png", "0123456789abcdef" * 4
    figures = ("0.1234", "<0.0001", "0.64-1.00", "4.5e-05")
    print_table(("image", "validation accuracy", *"abc"), [(name, *figures)], numeric=("validation accuracy", *"abc"))
    print_facts({"fingerprint": digest})
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert all(figure in shown for figure in figures)
    table, facts = shown.split("\n\n")
    below = table.partition("─\n")[2].splitlines()
    assert "".join(row.split(" ")[0] for row in below) == name
    assert "".join(row.rsplit(" ", 1)[-1] for row in map(str.rstrip, facts.splitlines())) == digest


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_a_narrow_terminal_cuts_no_help(command: str, linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {}
    for width in (40, 60, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        shown = linprobe(*command.split(), "--help").out
        assert max(map(len, shown.splitlines())) <= min(width, 80)
        words[width] = re.sub(r"\s|-", "", shown)  # words are broken at their hyphens
    assert words[40] == words[60] == words[200]


def test_in_a_narrow_terminal_the_text_of_an_option_stands_below_it(
    linprobe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = linprobe("train", "--help").out
    assert "\n  --batch-size M\n      Images per step of sgd.\n" in shown
    assert "\n  --schedule [constant|step|\n      exponential|cosine|inverse|1/t]\n      The learning rate" in shown
