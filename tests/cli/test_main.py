"""The program as a whole: help, version, errors in one line, nothing heavy before it is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest

from linprobe.cli import COMMANDS, main
from linprobe.losses import LOSSES
from linprobe.penalties import PENALTIES

HEAVY = {"numpy", "scipy", "sklearn", "torch", "PIL", "simplejpeg", "safetensors", "rich", "pandas"}

LISTS_CHOICES = {"train", "sweep", "gradcheck", "challenges"}
"""Their help is made from the registries of losses, penalties, ..., whose files import NumPy, and nothing heavier."""


def command(name: str) -> click.Command:
    """The click command called `name`."""
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


def option(name: str, parameter: str) -> Any:
    """One option of a command."""
    return next(p for p in command(name).params if p.name == parameter)


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=lambda a: " ".join(a) or "linprobe")
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('LOADED', *{name.split('.')[0] for name in sys.modules}))\n"
        "from linprobe.cli import main\n"
        f"main({[*arguments, '--help']!r}, prog_name='linprobe')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    text, loaded = ended.stdout.split("LOADED")
    assert text.startswith(f"Usage: {' '.join(['linprobe', *arguments])}")
    assert not (HEAVY - ({"numpy"} if LISTS_CHOICES & set(arguments) else set())) & set(loaded.split())


def test_every_command_and_option_has_a_help_text() -> None:
    for name in COMMANDS:
        for one in (command(name), *getattr(command(name), "commands", {}).values()):
            assert one.help
            for parameter in one.params:
                assert isinstance(parameter, click.Argument) or parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("arguments", [[], ["cache"]])
def test_no_command_prints_the_help_as_it_is_set(linprobe: Any, arguments: list[str]) -> None:
    answer = linprobe(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("Usage: linprobe")
    assert "\nCommands:\n" in answer.err


def test_the_list_of_commands_cuts_no_sentence_short(linprobe: Any) -> None:
    for arguments in ([], ["cache"]):
        assert "..." not in linprobe(*arguments, "--help").out.split("Commands:")[1]


def test_the_page_on_the_command_line_has_every_key_of_the_record(linprobe: Any) -> None:
    record = linprobe("train", "digits", "--optimizer", "sgd", "--epochs", 1, "--json").record
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    rows = page.split("## `train --json`")[1].split("\n## ")[0]
    keys = [key for row in re.findall(r"^\|([^|]+)\|", rows, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)]
    assert sorted(keys) == sorted(record)


def test_the_version_is_that_of_the_package(linprobe: Any) -> None:
    assert linprobe("--version").out == f"linprobe {version('linprobe')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "no such command 'frobnicate'; expected one of train, sweep, knn, evaluate, predict"),
        (["--frobnicate"], "No such option"),
        (["train"], "missing SOURCE"),
        (["train", "digits", "--loss", "squared"], "'squared' is not one of 'hinge', 'squared-hinge', 'softmax'"),
        (["train", "digits", "--reg", "-1"], "-1.0 is not in the range x>=0"),
        (["train", "digits", "--reg", "nan"], "--reg"),
        (["train", "digits", "--learning-rate", "fast"], "'fast'; expected a number > 0, or auto"),
        (["train", "digits", "--learning-rate", "-1"], "expected a number > 0, or auto"),
        (["train", "digits", "--image-size", "0x3"], "'0x3'; expected height x width in pixels"),
        (["train", "digits", "--batch-size", "0"], "0 is not in the range x>=1"),
        (["train", "digits", "--validation", "1"], "--validation"),
        (["evaluate", "run"], "Missing argument 'SOURCE'"),
        (["predict", "run"], "Missing argument 'IMAGE_OR_FOLDER...'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_unusable_command_line_is_told_in_one_line(linprobe: Any, arguments: list[str], message: str) -> None:
    answer = linprobe(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("error: ")
    assert message in answer.err


def test_a_traceback_is_shown_only_with_debug(linprobe: Any) -> None:
    plain = linprobe("info", "no/such/path")
    assert plain.code == 2
    assert plain.err.startswith("error: ")
    assert plain.err.count("\n") == 1
    for arguments in (["--debug", "info", "no/such/path"], ["info", "no/such/path", "--debug"]):
        loud = linprobe(*arguments)
        assert loud.code == 2
        assert loud.err.startswith("Traceback")
        assert loud.err.endswith(plain.err)


def test_a_bug_is_called_a_bug_and_ends_with_code_1(linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(option("info", "as_json"), "callback", broken)
    answer = linprobe("info", "digits", "--json")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("error: ZeroDivisionError: first line second line. This is a bug in linprobe")
    assert answer.err.count("\n") == 1


def test_the_choices_of_the_options_are_those_of_the_rooms() -> None:
    assert set(option("train", "loss").type.choices) == LOSSES.keys()
    assert set(option("train", "penalty").type.choices) == PENALTIES.keys()


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = "from linprobe.cli import main; main(['info', 'digits'], prog_name='linprobe')"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
