"""Every option that a message names is an option of the command line, and of the command that it is named with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import linprobe
from linprobe.cli import COMMANDS, main

PACKAGE = Path(linprobe.__file__).parent

ELSEWHERE = {"--upgrade", "--extra-index-url", "--index-url", "--no-deps"}
"""Options of pip, which messages on missing libraries may name."""

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def options_of(name: str) -> set[str]:
    """The options of a command, those of its subcommands and of the program included."""
    context = click.Context(main)
    found = main.get_command(context, name)
    assert found is not None
    commands = [found, *getattr(found, "commands", {}).values()]
    parameters = [one for command in commands for one in command.get_params(click.Context(command))]
    return {option for one in (*parameters, *main.params) for option in (*one.opts, *one.secondary_opts)}


OPTIONS = {name: options_of(name) for name in COMMANDS}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each string of a file that is no docstring; the values in an f-string become a space."""
    tree = ast.parse(path.read_text())
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, described) and node.body and isinstance(node.body[0], ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else " " for part in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docstrings | inside):
            yield node.lineno, node.value


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_message_names_an_option_that_does_not_exist(path: Path) -> None:
    known = set().union(*OPTIONS.values()) | ELSEWHERE
    odd = [(line, option) for line, text in texts(path) for option in OPTION.findall(text) if option not in known]
    assert odd == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_an_option_that_is_named_with_its_command_belongs_to_it(path: Path) -> None:
    odd = []
    for line, text in texts(path):
        for name, words in re.findall(rf"linprobe ({'|'.join(COMMANDS)})\b((?: [^`;.,]*)?)", text):
            odd += [(line, name, option) for option in OPTION.findall(words) if option not in OPTIONS[name]]
    assert odd == []


def test_the_search_finds_what_it_is_for() -> None:
    assert {"--max-iter", "--loss", "--resume", "--debug"} <= OPTIONS["train"]
    assert "--max-iter" not in OPTIONS["evaluate"]
    found = {option for path in PACKAGE.rglob("*.py") for _, text in texts(path) for option in OPTION.findall(text)}
    assert {"--image-size", "--on-bad-image", "--validation", "--seed"} <= found
