"""Plain values: what JSON can hold."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

from linprobe.parameters import Parameter
from linprobe.plain import few, parse_json, plain, printable, shell_word


def test_numpy_is_unpacked_and_what_json_does_not_have_becomes_null():
    value = {1: np.float32(0.5), "a": [np.arange(2), (np.inf, np.nan)], "b": np.array([[1.0, -np.inf]]), "c": np.True_}
    assert plain(value) == {"1": 0.5, "a": [[0, 1], [None, None]], "b": [[1.0, None]], "c": True}
    assert json.dumps(plain(value), allow_nan=False)


def test_a_plain_value_stays_as_it_is():
    value = {"text": "x", "flag": False, "none": None, "number": 1.5, "list": [{"deep": []}]}
    assert plain(value) == value


def test_many_names_are_counted():
    assert few([]) == ""
    assert few(["a"]) == "a"
    assert few([str(i) for i in range(8)]) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert few([str(i) for i in range(2000)], 2, "; ") == "0; 1 and 1,998 more"


def test_a_record_becomes_an_object_of_its_fields():
    parameter = Parameter("tol", 1e-4, "gap", low=0.0)
    assert plain([parameter])[0] == {
        "name": "tol", "default": 1e-4, "meaning": "gap", "kind": "number", "low": 0.0, "high": None, "open_low": False,
    }  # fmt: skip
    assert plain(Parameter) is Parameter


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[1",
        "NaN",
        "-Infinity",
        "1" * 5000,
        b"\xff",
        "",
        '"' + "[" * 100,
        "[" * 65 + "]" * 65,
    ],
)
def test_what_is_not_json_is_a_value_error_whatever_it_is(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_brackets_in_texts_are_not_counted():
    assert parse_json(json.dumps(["[" * 1000, '"{\\"' * 100, "\\"])) == ["[" * 1000, '"{\\"' * 100, "\\"]
    assert parse_json(json.dumps([[1]] * 1000).encode()) == [[1]] * 1000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat 猫 ±", "cat 猫 ±"),
        ("a\x1b[2J\nb\r", r"a\x1b[2J\nb\r"),
        ("caf\udce9", r"caf\xe9"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b1m\u2028", r"\x9b1m\u2028"),
    ],
)
def test_unprintable_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_ends_of_lines_may_be_kept() -> None:
    assert printable("a\nb\tc", keep="\n") == "a\nb\\tc"


def test_a_path_in_a_command_can_be_copied() -> None:
    assert shell_word("runs/digits-1") == "runs/digits-1"
    assert shlex.split(shell_word("my runs/it's")) == ["my runs/it's"]
