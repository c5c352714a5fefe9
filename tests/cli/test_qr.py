"""The QR code in the terminal: the modules of the library, whatever the encoding, the colours and the width."""

from __future__ import annotations

import io
import os
import re
import sys

import pytest

from linprobe.cli import qr
from linprobe.cli.qr import QUIET_ZONE, drawn, show
from linprobe.extras import install_command
from linprobe.lab.qr import modules

MODULES = ("1101", "0110", "1010", "0001")
SIDE = len(MODULES) + 2 * QUIET_ZONE
EDGE = "0" * QUIET_ZONE
FRAMED = ["0" * SIDE] * QUIET_ZONE + [EDGE + row + EDGE for row in MODULES] + ["0" * SIDE] * QUIET_ZONE


class Terminal(io.TextIOWrapper):
    """A terminal of an encoding, which keeps what it is sent."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture
def terminal(monkeypatch):
    """`terminal(encoding, columns)`: stdout, as such a terminal."""

    def made(encoding: str, columns: int) -> Terminal:
        stream = Terminal(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(qr.shutil, "get_terminal_size", lambda: os.terminal_size((columns, 24)))
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return made


@pytest.mark.parametrize("rows", [MODULES, ("110", "011", "101")])
def test_half_letters_hold_two_rows_of_modules_in_black_on_white(rows):
    lines = drawn(rows, "utf-8")
    assert all(re.fullmatch(r"\x1b\[30;47m[ ▀▄█]+\x1b\[0m", line) for line in lines)
    inner = [line.removeprefix("\x1b[30;47m").removesuffix("\x1b[0m") for line in lines]
    seen = ["".join("1" if c in dark else "0" for c in line) for line in inner for dark in ("▀█", "▄█")]
    expected = ["0" * len(seen[0])] * QUIET_ZONE + [EDGE + row + EDGE for row in rows]
    assert seen[: len(expected)] == expected
    assert not any("1" in row for row in seen[len(expected) :])
    assert len(seen) - len(expected) >= QUIET_ZONE


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "no-such-encoding"])
def test_where_the_encoding_lacks_them_modules_are_blanks_on_black_or_white(encoding):
    lines = drawn(MODULES, encoding)
    for line, row in zip(lines, FRAMED, strict=True):
        assert line.isascii()
        assert "".join("1" if ground == "0" else "0" for ground in re.findall(r"\x1b\[4([07])m {2}", line)) == row
        assert line.endswith("\x1b[0m")


@pytest.mark.parametrize(("encoding", "needed"), [("utf-8", SIDE), ("ascii", 2 * SIDE)])
def test_a_terminal_that_is_too_narrow_gets_a_line_and_no_part_of_a_code(terminal, encoding, needed):
    out = terminal(encoding, needed)
    show(MODULES)
    assert out.text() == "\n".join(drawn(MODULES, encoding)) + "\n"
    out = terminal(encoding, needed - 1)
    show(MODULES)
    assert out.text().startswith(f"its QR code takes {needed} columns, and this terminal has {needed - 1}; ")
    assert "\x1b" not in out.text()


def test_what_is_no_terminal_gets_nothing(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    show(MODULES)
    show(())
    assert out.getvalue() == ""


def test_without_the_library_a_line_says_how_to_get_it(terminal, monkeypatch):
    monkeypatch.setitem(sys.modules, "segno", None)
    out = terminal("utf-8", 80)
    show(modules("http://192.168.1.2:8421/?token=abcdefghjk"))
    assert out.text() == f"for a QR code of it, install segno: {install_command('lab')}\n"


def test_the_modules_of_an_address_are_those_of_a_qr_code_that_80_columns_hold():
    pytest.importorskip("segno", reason="segno, of the extra lab, is missing: pip install '.[lab]'")
    code = modules("http://192.168.100.200:54321/?token=abcdefghjk")
    assert {len(row) for row in code} == {len(code)} == {29}  # version 3
    finder = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    for top, left in ((0, 0), (0, 22), (22, 0)):  # its three corners
        assert [row[left : left + 7] for row in code[top : top + 7]] == finder
    assert 2 * (len(code) + 2 * QUIET_ZONE) <= 80
